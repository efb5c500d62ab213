"""What every tab is made of in which something is asked: composer, drawn parts, how they are wired.

Components only; what they set off is each tab's own.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

#: How a handler is wired: no endpoint of the API.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
#: The same for one that must not wait in the queue.
AT_ONCE: dict[str, Any] = {**PRIVATE, "queue": False}


def composer(placeholder: str, label: str, elem_id: str) -> gr.MultimodalTextbox:
    """Where a question and its images are put."""
    return gr.MultimodalTextbox(
        placeholder=placeholder,
        file_count="multiple",
        file_types=["image", ".heic", ".heif"],
        sources=["upload"],
        show_label=False,
        label=label,
        container=False,
        lines=1,
        max_lines=6,
        max_plain_text_length=1_000_000,  # long text is refused, not made a file
        elem_id=elem_id,
    )


def idle() -> Any:
    """The composer, ready for a question."""
    return gr.MultimodalTextbox(submit_btn=True, stop_btn=False)


def waiting() -> Any:
    """The composer while a reply is awaited, which can be stopped; what is in it stays."""
    return gr.MultimodalTextbox(submit_btn=False, stop_btn=True)


def emptied() -> Any:
    """The same, its question taken."""
    return gr.MultimodalTextbox(None, submit_btn=False, stop_btn=True)


def part(elem_id: str, events: str, value: str = "", template: str = "${value}") -> gr.HTML:
    """A part of the page that the server draws and whose buttons set off named events."""
    return gr.HTML(
        value,
        html_template=template,
        js_on_load=f"studio.wire(element, trigger, watch, {events})",
        apply_default_css=False,
        elem_id=elem_id,
    )


def owner(tab: gr.Request) -> str:
    """Which tab asks: Gradio names each visit of the page anew."""
    return tab.session_hash or ""

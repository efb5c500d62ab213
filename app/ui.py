"""The page: header, chat, and how it is served. No handler and no model in here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from app import chat, theme
from app.host import Host
from app.icons import icon
from app.room import Room
from app.store import Store

NAME = "Reason-RFT Studio"
LINE = "Watch a vision-language model reason. Then teach it."
HOME = Path(__file__).resolve().parent.parent / "data" / "chats"
QUEUE_SIZE = 64  #: visitors waiting; more are told to come back


def build(home: Path = HOME, zoo_file: Path | None = None, host: Host | None = None) -> gr.Blocks:
    """The whole page. ``home`` keeps the conversations; ``zoo_file`` has cards of the user's own.

    ``host`` says what its visitors may do; without it, all.
    """
    host = host or Host()
    room = Room(Store(home.resolve()), zoo_file, host=host)
    with gr.Blocks(
        title=NAME, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)
    ) as demo:
        gr.HTML(_header(), elem_id="top", apply_default_css=False, js_on_load=None)
        chat.tab(demo, room)
    demo.queue(max_size=QUEUE_SIZE, default_concurrency_limit=8)
    return demo


def launch_options(home: Path = HOME) -> dict[str, Any]:
    """What ``launch`` is given, on a laptop, on a Space and in the tests alike."""
    return {
        "theme": theme.gradio_theme(),
        "head": _head(),
        "favicon_path": theme.ASSETS / "favicon.svg",
        "footer_links": [],
        "allowed_paths": [str(home.resolve())],
        "max_file_size": "64mb",
        "run_history": False,
        "ssr_mode": False,
        "share": False,
        "show_error": True,
    }


def _head() -> str:
    # Not through ``css``: Gradio would confine that to its own container, and what lies on top
    # of the page or depends on the body's state would stay undressed.
    script = (theme.ASSETS / "page.js").read_text(encoding="utf-8")
    return f"<style>{theme.css()}</style><script>{script}</script>"


def _header() -> str:
    return (
        f'<header class="top"><p class="name"><i class="mark"></i>{NAME}</p><p class="line">{LINE}</p>'
        '<span class="tools"><button class="tool" data-do="settings" id="open-settings" '
        f'aria-label="Settings and examples" aria-expanded="false">{icon("tune")}</button>'
        '<button class="tool" data-do="theme" id="theme" aria-label="Light or dark">'
        f"{icon('theme')}</button></span></header>"
    )

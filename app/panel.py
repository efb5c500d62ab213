"""The side panel: checkpoint, task, prompt, decoding, examples.

What a visitor sets here is remembered by the browser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr

from app import examples
from rft.tasks import AnswerKind
from rft.types import Decoding, TaskName

FREE = "free"
PAPER = Decoding()
LARGEST_SEED = 2**63 - 1  #: what torch takes

TASK_NAMES = {
    "Counting": "counting",
    "Structure": "structure",
    "Spatial": "spatial",
    "Free": FREE,
}
#: What may be asked for, by task: on the radio's face, and as a prompt has it.
KINDS: dict[str, list[tuple[str, AnswerKind]]] = {
    "structure": [("As asked", "auto"), ("Letter", "choice"), ("Number", "number")],
    FREE: [
        ("As asked", "auto"),
        ("Points", "points"),
        ("Box", "box"),
        ("Grasp", "grasp"),
        ("Path", "trajectory"),
    ],
}
_LIMITS = {
    "temperature": (0.0, 2.0),
    "top_p": (0.05, 1.0),
    "top_k": (0, 200),
    "max_tokens": (16, 2048),
    "kilopixels": (20, 1000),
}


@dataclass(frozen=True)
class Panel:
    """The panel's components. ``controls`` are the decoding's, in decoding_of's order."""

    card: gr.HTML
    task: gr.Radio
    kind: gr.Radio
    prompt: gr.Accordion
    preview: gr.HTML
    examples: gr.HTML
    paper: gr.Button
    controls: tuple[Any, ...]

    @property
    def remembered(self) -> list[Any]:
        """The components whose values come back after a reload, in order."""
        return [self.task, self.kind, *self.controls]

    def restored(self, kept: Any, task: TaskName | None) -> list[Any]:
        """Values for ``remembered``: what the browser kept, if it is complete."""
        if not isinstance(kept, list) or len(kept) != len(self.remembered):
            kept = [task or FREE, "auto", *paper_values()]
        return [kept[0], asked_for(kept[0], kept[1]), *kept[2:]]

    def wire(self, session: gr.BrowserState) -> None:
        """Keep what is set, and put the paper's decoding back on demand; all in the browser."""
        for component in self.remembered:
            component.change(
                None,
                [session, *self.remembered],
                [session],
                js="(kept, ...controls) => ({...kept, controls})",
                api_visibility="private",
            )
        self.task.change(
            asked_for,
            [self.task, self.kind],
            [self.kind],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        self.paper.click(
            paper_values, None, list(self.controls), queue=False, api_visibility="private"
        )


def panel() -> Panel:
    """Lay out the panel."""
    with gr.Column(elem_id="side"):
        card = gr.HTML(
            js_on_load="studio.wire(element, trigger, watch, ['browse', 'fetch'])",
            apply_default_css=False,
            elem_id="card",
        )
        with gr.Column(elem_id="settings"):
            task = gr.Radio(
                list(TASK_NAMES.items()),
                value="counting",
                label="Task",
                elem_id="task",
            )
            kind = kinds("kind")
            with gr.Accordion("Show prompt", open=False, elem_id="prompt") as prompt:
                preview = gr.HTML(elem_id="preview", apply_default_css=False)
            with gr.Accordion("Decoding", open=False, elem_id="decoding"):
                controls = _controls()
                paper = gr.Button("The paper's settings", size="sm", elem_id="paper")
            strip = gr.HTML(
                examples.strip(),
                js_on_load="studio.wire(element, trigger, watch, ['example'])",
                apply_default_css=False,
                elem_id="examples",
            )
    return Panel(card, task, kind, prompt, preview, strip, paper, controls)


def kinds(elem_id: str) -> gr.Radio:
    """Which sort of answer is asked for, where the task leaves it open."""
    return gr.Radio(KINDS[FREE], value="auto", label="Ask for", visible=False, elem_id=elem_id)


def asked_for(task: str, kind: Any) -> Any:
    """The same for this task: its sorts, ``kind`` among them or else as asked."""
    known = KINDS.get(task, [])
    value = kind if any(kind == name for _, name in known) else "auto"
    if not known:
        return gr.Radio(value=value, visible=False)
    return gr.Radio(known, value=value, visible=True)


def paper_values() -> list[Any]:
    """The paper's evaluation decoding, as the controls show it."""
    kilopixels = PAPER.max_pixels // 1000
    return [PAPER.temperature, PAPER.top_p, PAPER.top_k, PAPER.max_new_tokens, kilopixels, None]


def decoding_of(*values: Any) -> Decoding:
    """The decoding that the controls say. Values from outside are forced into their limits.

    An emptied field means the paper's value.
    """
    temperature, top_p, top_k, tokens, kilopixels = (
        paper if _missing(value) else min(max(value, low), high)
        for value, paper, (low, high) in zip(
            values[:5], paper_values()[:5], _LIMITS.values(), strict=True
        )
    )
    seed = None if _missing(values[5]) else int(min(max(values[5], 0), LARGEST_SEED))
    return Decoding(
        float(temperature), float(top_p), int(top_k), int(tokens), int(kilopixels * 1000), seed
    )


def _missing(value: Any) -> bool:
    return value is None or math.isnan(value)


def task_of(value: str) -> TaskName | None:
    """The task that the page names; None for a free question."""
    return next((name for name in get_args(TaskName) if name == value), None)


def _controls() -> tuple[Any, ...]:
    values = paper_values()

    def slider(name: str, label: str, at: int, step: float) -> gr.Slider:
        low, high = _LIMITS[name]
        return gr.Slider(low, high, values[at], step=step, label=label, elem_id=name)

    return (
        slider("temperature", "Temperature", 0, 0.05),
        slider("top_p", "Top-p", 1, 0.05),
        slider("top_k", "Top-k", 2, 1),
        slider("max_tokens", "Max tokens", 3, 16),
        slider("kilopixels", "Image size, thousand pixels", 4, 10),
        gr.Number(None, label="Seed (empty: by chance)", precision=0, elem_id="seed"),
    )


__all__: Sequence[str] = (
    "FREE",
    "KINDS",
    "TASK_NAMES",
    "Panel",
    "asked_for",
    "decoding_of",
    "kinds",
    "panel",
    "paper_values",
    "task_of",
)

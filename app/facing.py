"""The Compare tab's components, and a comparison drawn into them. No handler in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import gradio as gr

from app import asking, beside, examples
from app.asking import part
from app.comparison import FEWEST, MOST, Comparisons
from app.conversation import Conversation
from app.panel import TASK_NAMES, task_of
from app.room import verdict
from rft import zoo
from rft.types import TaskName

STORAGE_KEY = "reason-rft-studio-compare"
_SHELF = '<div id="lineup" popover="auto" role="dialog" aria-label="Checkpoints">${value}</div>'


@dataclass(frozen=True)
class Page:
    """The components that handlers read and write."""

    session: gr.BrowserState
    task: gr.Radio
    composer: gr.MultimodalTextbox
    gold: gr.Textbox
    seed: gr.Number
    examples: gr.HTML
    asked: gr.HTML
    panes: gr.HTML
    shelf: gr.HTML

    @property
    def drawn(self) -> list[Any]:
        return [self.session, self.asked, self.panes, self.composer]


def session() -> gr.BrowserState:
    """What the browser keeps; to be made at the top of the page, where it outlives the tab."""
    return gr.BrowserState({}, storage_key=STORAGE_KEY, secret=STORAGE_KEY)


def lay_out(session: gr.BrowserState) -> Page:
    """Lay out the tab."""
    with gr.Column(elem_id="compare"):
        with gr.Row(elem_id="strip-top"):
            names = list(TASK_NAMES.items())
            task = gr.Radio(names, value="counting", label="Task", elem_id="c-task")
            composer = asking.composer(
                "Ask them all about the image…", "Question for all", "c-composer"
            )
            gold = gr.Textbox(label="Gold answer", placeholder="if known", elem_id="c-gold")
            seed = gr.Number(0, label="Seed", precision=0, elem_id="c-seed")
        strip = part("c-examples", "['example']", examples.strip())
        asked = part("c-asked", "['again']")
        panes = part("c-panes", "['browse', 'drop']")
        shelf = part("c-shelf", "['choose']", template=_SHELF)
    return Page(session, task, composer, gold, seed, strip, asked, panes, shelf)


def draw(
    all: Comparisons,
    kept: dict[str, Any],
    made: Conversation,
    cards: Sequence[zoo.Card] | None = None,
) -> tuple[str, str]:
    """The question and the panes; ``cards`` saves looking again for those that ``kept`` names."""
    cards = all.lineup(kept.get("cards"), task_kept(kept)) if cards is None else cards
    verdicts = [verdict(exchange) for exchange in made.exchanges]

    def address(name: str) -> str:
        return f"gradio_api/file={quote(str(all.store.picture(made.id, name)))}"

    return beside.asked(made, address), beside.panes(cards, made, verdicts, MOST, FEWEST)


def task_kept(kept: dict[str, Any]) -> TaskName | None:
    """The task that the visitor was at."""
    return task_of(kept.get("task") or "counting")

"""The Compare tab's components, and a comparison drawn into them. No handler in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr

from app import asking, beside, blind, examples, onset, picker, scoreboard, votes
from app.asking import part
from app.comparison import Comparisons
from app.contenders import FEWEST, MOST, chosen
from app.conversation import Conversation
from app.gallery import served
from app.host import Host
from app.panel import TASK_NAMES, kinds, task_of
from app.room import verdict
from app.votes import Pair
from rft import zoo
from rft.types import TaskName

HOT = 0.7  #: the temperature to begin with where several samples are drawn
STORAGE_KEY = "reason-rft-studio-compare"
#: What is judged does not change while others are still being written.
_verdict = lru_cache(maxsize=256)(verdict)
_SHELF = '<div id="lineup" popover="auto" role="dialog" aria-label="Checkpoints">${value}</div>'


@dataclass(frozen=True)
class Page:
    """The components that handlers read and write."""

    session: gr.BrowserState
    task: gr.Radio
    kind: gr.Radio
    composer: gr.MultimodalTextbox
    gold: gr.Textbox
    seed: gr.Number
    samples: gr.Number
    temperature: gr.Number
    blind: gr.Checkbox
    examples: gr.HTML
    asked: gr.HTML
    fetching: gr.HTML
    panes: gr.HTML
    votes: gr.HTML
    shelf: gr.HTML
    parcel: gr.HTML
    set: onset.Page

    @property
    def settings(self) -> dict[str, Any]:
        """How one question is asked, by the names under which the browser keeps it."""
        return {
            "seed": self.seed,
            "samples": self.samples,
            "temperature": self.temperature,
            "blind": self.blind,
        }

    @property
    def drawn(self) -> list[Any]:
        return [self.session, self.asked, self.panes, self.composer]


def session() -> gr.BrowserState:
    """What the browser keeps; to be made at the top of the page, where it outlives the tab."""
    return gr.BrowserState({}, storage_key=STORAGE_KEY, secret=STORAGE_KEY)


def lay_out(session: gr.BrowserState, wires: onset.Wires, host: Host) -> Page:
    """Lay out the tab."""
    with gr.Column(elem_id="compare"):
        mode = onset.switch()
        with gr.Row(elem_id="strip-top"):
            names = list(TASK_NAMES.items())
            task = gr.Radio(names, value="counting", label="Task", elem_id="c-task")
            composer = asking.composer(
                "Ask them all about the image…", "Question for all", "c-composer"
            )
            gold = gr.Textbox(label="Gold answer", placeholder="if known", elem_id="c-gold")
            seed = gr.Number(0, label="Seed", precision=0, elem_id="c-seed")
            # Their limits are told by who reads them: Gradio's refusals name no field.
            samples = gr.Number(1, label="Samples each", precision=0, elem_id="c-samples")
            temperature = gr.Number(
                HOT, label="Temperature", step=0.1, visible=False, elem_id="c-temperature"
            )
            blind = gr.Checkbox(label="Blind", elem_id="c-blind")
        kind = kinds("c-kind")
        strip = part("c-examples", "['example']", examples.strip())
        asked = part("c-asked", "['again', 'keep']")
        fetching = part("c-fetching", "[]")
        panes = part("c-panes", "['browse', 'drop', 'fetch', 'vote', 'reveal']")
        votes = part("c-votes", "['csv']")
        shelf = part("c-shelf", "['choose']", template=_SHELF)
        parcel = gr.HTML(
            "", html_template="", js_on_load="watch('value', () => studio.hand(props.value))",
            visible="hidden", elem_id="c-parcel",
        )  # fmt: skip
        set = onset.lay_out(wires, mode, host)
    return Page(
        session, task, kind, composer, gold, seed, samples, temperature, blind, strip, asked,
        fetching, panes, votes, shelf, parcel, set,
    )  # fmt: skip


def draw(
    all: Comparisons,
    kept: dict[str, Any],
    made: Conversation,
    cards: Sequence[zoo.Card] | None = None,
) -> tuple[str, str]:
    """The question and the panes; ``cards`` saves looking again for those that ``kept`` names."""
    gallery = served(all.store, made.id)
    if all.veiled(made):
        return beside.asked(made, gallery.address, veil=True), beside.veiled(made, gallery)
    cards = chosen(all.room, kept, task_kept(kept)) if cards is None else cards
    verdicts = [_verdict(exchange) for exchange in made.exchanges]
    vote = all.votes.of(made.id)
    absent = None if made.busy else _absent(all, cards)
    panes = beside.panes(cards, made, verdicts, MOST, FEWEST, gallery, vote, absent)
    return beside.asked(made, gallery.address), panes


def current(all: Comparisons, kept: dict[str, Any]) -> Conversation:
    """The browser's last comparison if it is of the task that is chosen now, else an empty one."""
    made = all.open(kept.get("last"))
    if made.last is None or made.last.ask.task == task_kept(kept):
        return made
    return all.open(None)


def _absent(all: Comparisons, cards: Sequence[zoo.Card]) -> dict[str, str]:
    """Those of the cards that are not on this machine: how they come here, or why they cannot."""
    states = {card.id: all.room.state(card) for card in cards}
    return {
        card.id: picker.missing(states[card.id], place)
        for place, card in enumerate(cards)
        if states[card.id].kind in ("download", "unavailable")
    }


def line(all: Comparisons, kept: dict[str, Any]) -> str:
    """Whom a set would be put to: the same as the panes'."""
    return scoreboard.lineup(chosen(all.room, kept, task_kept(kept)), MOST, FEWEST)


def tally(all: Comparisons) -> str:
    """The votes on all comparisons; to strangers, those on checkpoints that they can choose."""
    found = pairs(all)
    told = {id for pair in found for id in (pair.first.id, pair.second.id)}
    shown = [vote for vote in all.votes.all() if votes.tally([vote], told)]
    return blind.tally(found, len(shown))


def pairs(all: Comparisons) -> list[Pair]:
    """The same as counts."""
    known = {card.id for card in all.room.cards()} if all.room.host.public else None
    return votes.tally(all.votes.all(), known)


def task_kept(kept: dict[str, Any]) -> TaskName | None:
    """The task that the visitor was at."""
    return task_of(kept.get("task") or "counting")

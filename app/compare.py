"""The Compare tab: its components, and which action each of them sets off.

Handlers read, ask the comparisons, and return what app.beside draws. The browser keeps whom its
visitor compares and the last comparison's name; what was said lies in its file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import gradio as gr

from app import api, beside, examples, picker
from app.comparison import FEWEST, MOST, Comparisons
from app.conversation import Conversation
from app.faults import told
from app.panel import LARGEST_SEED, PAPER, TASK_NAMES, task_of
from app.room import verdict
from rft import zoo
from rft.types import Decoding

STORAGE_KEY = "reason-rft-studio-compare"
_SHELF = '<div id="lineup" popover="auto" role="dialog" aria-label="Checkpoints">${value}</div>'
_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_AT_ONCE: dict[str, Any] = {**_PRIVATE, "queue": False}


@dataclass(frozen=True)
class _Page:
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


def tab(session: gr.BrowserState, comparisons: Comparisons, opened: gr.Tab) -> None:
    """Lay out the tab and wire it to ``comparisons``; it is drawn when it is ``opened``."""
    with gr.Column(elem_id="compare"):
        with gr.Row(elem_id="strip-top"):
            names = list(TASK_NAMES.items())
            task = gr.Radio(names, value="counting", label="Task", elem_id="c-task")
            composer = gr.MultimodalTextbox(
                placeholder="Ask them all about the image…",
                file_count="multiple",
                file_types=["image", ".heic", ".heif"],
                sources=["upload"],
                show_label=False,
                label="Question for all",
                container=False,
                lines=1,
                max_lines=6,
                max_plain_text_length=1_000_000,
                elem_id="c-composer",
            )
            gold = gr.Textbox(label="Gold answer", placeholder="if known", elem_id="c-gold")
            seed = gr.Number(0, label="Seed", precision=0, elem_id="c-seed")
        strip = _html("c-examples", "['example']", examples.strip())
        asked = _html("c-asked", "['again']")
        panes = _html("c-panes", "['browse', 'drop']")
        shelf = _html("c-shelf", "['choose']", template=_SHELF)
    page = _Page(session, task, composer, gold, seed, strip, asked, panes, shelf)
    _wire_asking(page, comparisons)
    _wire_rest(page, comparisons, opened)


def _html(elem_id: str, events: str, value: str = "", template: str = "${value}") -> gr.HTML:
    return gr.HTML(
        value,
        html_template=template,
        js_on_load=f"studio.wire(element, trigger, watch, {events})",
        apply_default_css=False,
        elem_id=elem_id,
    )


def _wire_asking(page: _Page, all: Comparisons) -> None:
    """Everything that ends in replies: the question is taken, then answered; and stopping it."""
    session = page.session

    @told
    def ask(
        message: dict[str, Any], kept: dict[str, Any], task: str, gold: str, tab: gr.Request
    ) -> Any:
        all.free(kept.get("last"))
        files = [api.path(file) for file in message["files"]]
        cards = all.lineup(kept.get("cards"), task_of(task))
        made = all.ask(cards, message["text"], files, task_of(task), gold, owner=_owner(tab))
        return *begun(kept, made), ""

    @told
    def ask_example(kept: dict[str, Any], event: gr.EventData, tab: gr.Request) -> Any:
        all.free(kept.get("last"))
        problem = examples.example(event.key).problem
        cards = all.lineup(kept.get("cards"), problem.task)
        made = all.ask_problem(cards, problem, owner=_owner(tab))
        return *begun({**kept, "task": problem.task}, made), problem.task

    @told
    def ask_again(kept: dict[str, Any], task: str, tab: gr.Request) -> Any:
        all.free(kept.get("last"))
        cards = all.lineup(kept.get("cards"), task_of(task))
        return begun(kept, all.again(cards, all.open(kept.get("last")), owner=_owner(tab)))

    def begun(kept: dict[str, Any], made: Conversation) -> Any:
        kept = {**kept, "last": made.id}
        waiting = gr.MultimodalTextbox(None, submit_btn=False, stop_btn=True)
        return kept, *_drawn(all, kept, made), waiting

    @told
    def replies(kept: dict[str, Any], seed: Any, tab: gr.Request) -> Iterator[Any]:
        cards = all.lineup(kept.get("cards"), _task(kept))  # once: it looks at every folder
        for made in all.write(kept.get("last"), _decoding(seed), owner=_owner(tab)):
            yield _drawn(all, kept, made, cards)

    @told
    def stop(kept: dict[str, Any]) -> Any:
        made = all.stop(kept.get("last"))
        if all.room.desk.busy(made.id):
            return gr.skip(), gr.skip(), gr.skip()
        return *_drawn(all, kept, made), _idle()

    starts = [
        page.composer.submit(
            ask,
            [page.composer, session, page.task, page.gold],
            [*page.drawn, page.gold],
            **_PRIVATE,
        ),
        page.examples.example(ask_example, [session], [*page.drawn, page.task], **_PRIVATE),
        page.asked.again(ask_again, [session, page.task], page.drawn, **_PRIVATE),
    ]
    written, stopped = [page.asked, page.panes], [page.asked, page.panes, page.composer]
    for start in starts:
        replied = start.success(
            replies,
            [session, page.seed],
            written,
            concurrency_limit=api.SLOTS,
            concurrency_id=api.QUEUE,
            **_PRIVATE,
        )
        # Where the queue was full, nobody comes for the place that was held.
        replied.failure(stop, [session], stopped, **_AT_ONCE)
        replied.success(_idle, None, [page.composer], **_AT_ONCE)
    page.composer.stop(stop, [session], stopped, **_AT_ONCE)


def _wire_rest(page: _Page, all: Comparisons, opened: gr.Tab) -> None:
    """Choosing whom to compare, and the page's own state."""
    session, line = page.session, [page.session, page.panes]

    @told
    def browse(kept: dict[str, Any], event: gr.EventData) -> Any:
        kept = {**kept, "pane": int(event.pane)}
        known = all.room.cards()
        cards = all.lineup(kept.get("cards"), _task(kept))
        chosen = cards[kept["pane"]].id if kept["pane"] < len(cards) else ""
        free = all.room.engine.memory()
        states = {item.id: zoo.state(item, free) for item in known}
        ways: Any = {"listed_only": all.room.host.public, "field": "typed-pane"}
        return kept, picker.shelf(known, states, chosen, **ways)

    @told
    def choose(kept: dict[str, Any], event: gr.EventData) -> Any:
        all.free(kept.get("last"))
        cards = all.lineup(kept.get("cards"), _task(kept))
        return lined_up(kept, all.placed(cards, int(kept.get("pane", 0)), event.card))

    @told
    def drop(kept: dict[str, Any], event: gr.EventData) -> Any:
        all.free(kept.get("last"))
        cards = all.lineup(kept.get("cards"), _task(kept))
        left = [card for place, card in enumerate(cards) if place != int(event.pane)]
        return lined_up(kept, left if len(left) >= FEWEST else cards)

    def lined_up(kept: dict[str, Any], cards: list[zoo.Card]) -> Any:
        kept = {**kept, "cards": [card.id for card in cards]}
        return kept, _drawn(all, kept, all.open(kept.get("last")))[1]

    @told
    def turn(kept: dict[str, Any], task: str) -> Any:
        kept = {**kept, "task": task}
        if all.room.desk.busy(kept.get("last") or ""):
            return kept, gr.skip()
        return kept, _drawn(all, kept, all.open(kept.get("last")))[1]

    @told
    def restore(kept: dict[str, Any]) -> Any:
        made = all.open(kept.get("last"))
        busy = all.room.desk.busy(made.id)
        drawn = (gr.skip(), gr.skip(), gr.skip()) if busy else (*_drawn(all, kept, made), _idle())
        return *drawn, kept.get("task") or "counting", kept.get("seed", 0)

    @told
    def follow(kept: dict[str, Any]) -> Iterator[Any]:
        # A reload in the middle of it: the old tab's generator ends it in a moment.
        last = kept.get("last") or ""
        if not all.room.desk.busy(last):
            yield gr.skip(), gr.skip(), gr.skip()  # nothing to follow
            return
        while all.room.desk.busy(last):
            time.sleep(0.2)
            yield gr.skip(), gr.skip(), gr.skip()
        yield *_drawn(all, kept, all.open(last)), _idle()

    page.panes.browse(browse, [session], [session, page.shelf], **_PRIVATE)
    page.shelf.choose(choose, [session], line, **_PRIVATE)
    page.panes.drop(drop, [session], line, **_PRIVATE)
    page.task.input(turn, [session, page.task], line, **_PRIVATE)
    page.seed.change(
        None, [session, page.seed], [session], js="(kept, seed) => ({...kept, seed})",
        api_visibility="private",
    )  # fmt: skip
    shown = [page.asked, page.panes, page.composer]
    opened.select(restore, [session], [*shown, page.task, page.seed], **_PRIVATE).then(
        follow, [session], shown, concurrency_limit=None, **_PRIVATE
    )


def _drawn(
    all: Comparisons,
    kept: dict[str, Any],
    made: Conversation,
    cards: Sequence[zoo.Card] | None = None,
) -> tuple[str, str]:
    """The question and the panes."""
    cards = all.lineup(kept.get("cards"), _task(kept)) if cards is None else cards
    verdicts = [verdict(exchange) for exchange in made.exchanges]

    def address(name: str) -> str:
        return f"gradio_api/file={quote(str(all.store.picture(made.id, name)))}"

    return beside.asked(made, address), beside.panes(cards, made, verdicts, MOST, FEWEST)


def _task(kept: dict[str, Any]) -> Any:
    return task_of(kept.get("task") or "counting")


def _decoding(seed: Any) -> Decoding:
    """The paper's, with the seed that the page says; an emptied field means 0."""
    number = 0 if seed is None or seed != seed else int(min(max(seed, 0), LARGEST_SEED))
    return replace(PAPER, seed=number)


def _idle() -> Any:
    return gr.MultimodalTextbox(submit_btn=True, stop_btn=False)


def _owner(tab: gr.Request) -> str:
    return tab.session_hash or ""

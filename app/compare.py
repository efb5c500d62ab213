"""The Compare tab: one question to several checkpoints, and what came of it.

Handlers read, ask the comparisons, and return what app.beside draws. The browser keeps whom its
visitor compares and the last comparison's name; what was said lies in its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from app import api, examples, facing, lineup, onset, outcome
from app.asking import AT_ONCE, PRIVATE, emptied, idle, owner, waiting
from app.comparison import Comparisons
from app.contenders import chosen
from app.conversation import Conversation, Terms
from app.drafts import Drafts
from app.facing import HOT, Page, current, draw, session, task_kept
from app.faults import told
from app.markup import plain
from app.panel import LARGEST_SEED, PAPER, asked_for, task_of
from app.sittings import Sittings
from rft.errors import DiskError, InputError


def tab(
    session: gr.BrowserState,
    wires: onset.Wires,
    comparisons: Comparisons,
    drafts: Drafts,
    opened: gr.Tab,
) -> Page:
    """Lay out the tab and wire it to ``comparisons``; it is drawn when it is ``opened``.

    ``drafts`` keeps the sets of problems that visitors bring.
    """
    page = facing.lay_out(session, wires, comparisons.room.host)
    _wire(page, comparisons)
    lineup.wire(page, comparisons, opened)
    outcome.wire(page, comparisons)
    sittings = Sittings(comparisons, drafts)
    onset.wire(page.set, sittings, session, page.task, page.seed, page.parcel, opened)
    return page


def join(page: Page, others: Sequence[gr.Tab]) -> None:
    """Look at evaluations only while the tab is open."""
    onset.leave(page.set, others)


def _wire(page: Page, all: Comparisons) -> None:
    """Everything that ends in replies: the question is taken, then answered; and stopping it."""
    session, terms = page.session, partial(_terms, all.most_samples)

    @told
    def ask(
        tab: gr.Request,
        message: dict[str, Any],
        kept: dict[str, Any],
        task: str,
        gold: str,
        kind: Any,
        *settings: Any,
    ) -> Any:
        all.free(kept.get("last"))
        files = [api.path(file) for file in message["files"]]
        if task_of(task) and not files:
            raise InputError("Add the image that the question is about, or choose Free.")
        cards = chosen(all.room, kept, task_of(task))
        words = message["text"], files, task_of(task), gold, kind
        made = all.ask(cards, *words, terms=terms(*settings), owner=owner(tab))
        return *begun({**kept, "task": task}, made), emptied(), ""

    @told
    def ask_example(
        event: gr.EventData, tab: gr.Request, kept: dict[str, Any], *settings: Any
    ) -> Any:
        all.free(kept.get("last"))
        problem = examples.example(event.key).problem
        cards = chosen(all.room, kept, problem.task)
        made = all.ask_problem(cards, problem, terms=terms(*settings), owner=owner(tab))
        kept = {**kept, "task": problem.task}
        return *begun(kept, made), waiting(), problem.task, facing.line(all, kept)

    @told
    def ask_again(tab: gr.Request, kept: dict[str, Any], task: str, *settings: Any) -> Any:
        all.free(kept.get("last"))
        cards, last = chosen(all.room, kept, task_of(task)), all.open(kept.get("last"))
        made = all.again(cards, last, terms=terms(*settings), owner=owner(tab))
        return *begun(kept, made), waiting()

    def begun(kept: dict[str, Any], made: Conversation) -> Any:
        kept = {**kept, "last": made.id}
        return kept, *draw(all, kept, made)

    @told
    def replies(kept: dict[str, Any], tab: gr.Request) -> Iterator[Any]:
        cards = chosen(all.room, kept, task_kept(kept))  # once: it looks at every folder
        try:
            for made in all.write(kept.get("last"), owner=owner(tab)):
                yield draw(all, kept, made, cards)
        except DiskError as error:  # what was said stays on the page, though it could not be kept
            gr.Warning(plain(str(error)), duration=None)

    @told
    def settle(kept: dict[str, Any]) -> Any:
        """When all is said: the composer is free, and another task may have been chosen since."""
        made = all.open(kept.get("last"))
        if all.busy(made.id):  # asked since
            return gr.skip(), gr.skip(), gr.skip()
        if made.last is None or made.last.ask.task == task_kept(kept):
            return gr.skip(), gr.skip(), idle()
        return *draw(all, kept, current(all, kept)), idle()

    @told
    def stop(kept: dict[str, Any]) -> Any:
        made = all.stop(kept.get("last"))
        if all.busy(made.id):
            return gr.skip(), gr.skip(), gr.skip()
        return *draw(all, kept, made), idle()

    page.task.change(asked_for, [page.task, page.kind], [page.kind], **AT_ONCE)
    settings = list(page.settings.values())
    words = [page.composer, session, page.task, page.gold, page.kind, *settings]
    starts = [
        page.composer.submit(ask, words, [*page.drawn, page.gold], **PRIVATE),
        page.gold.submit(ask, words, [*page.drawn, page.gold], **PRIVATE),
        page.examples.example(
            ask_example, [session, *settings], [*page.drawn, page.task, page.set.line], **PRIVATE
        ),
        page.asked.again(ask_again, [session, page.task, *settings], page.drawn, **PRIVATE),
    ]
    written, stopped = [page.asked, page.panes], [page.asked, page.panes, page.composer]
    for start in starts:
        replied = start.success(
            replies,
            [session],
            written,
            concurrency_limit=api.SLOTS,
            concurrency_id=api.QUEUE,
            **PRIVATE,
        )
        # Where the queue was full, nobody comes for the place that was held.
        replied.failure(stop, [session], stopped, **AT_ONCE)
        replied.success(settle, [session], stopped, **AT_ONCE)
    page.composer.stop(stop, [session], stopped, **AT_ONCE)


def _terms(most: int, seed: Any, samples: Any, temperature: Any, blind: Any) -> Terms:
    """What the page says. An emptied field means what it began with; a single sample is drawn
    as the paper draws it."""
    count = int(_number("samples each", samples, 1, most, 1))
    warmth = PAPER.temperature if count == 1 else _number("temperature", temperature, 0, 2, HOT)
    return Terms(int(_number("seed", seed, 0, LARGEST_SEED, 0)), warmth, count, blind is True)


def _number(name: str, value: Any, low: float, high: float, empty: float) -> float:
    number: float = empty if value is None or value != value else value
    if not low <= number <= high:
        raise InputError(f"The {name} must be from {low:.16g} to {high:.16g}, not {number:.16g}.")
    return number


wires = onset.wires

__all__ = ("join", "session", "tab", "wires")

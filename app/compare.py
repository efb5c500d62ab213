"""The Compare tab: one question to several checkpoints, and what came of it.

Handlers read, ask the comparisons, and return what app.beside draws. The browser keeps whom its
visitor compares and the last comparison's name; what was said lies in its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from app import api, examples, facing, lineup
from app.asking import AT_ONCE, PRIVATE, emptied, idle, owner
from app.comparison import Comparisons
from app.conversation import Conversation
from app.facing import Page, draw, session, task_kept
from app.faults import told
from app.panel import LARGEST_SEED, PAPER, task_of
from rft.types import Decoding


def tab(session: gr.BrowserState, comparisons: Comparisons, opened: gr.Tab) -> None:
    """Lay out the tab and wire it to ``comparisons``; it is drawn when it is ``opened``."""
    page = facing.lay_out(session)
    _wire(page, comparisons)
    lineup.wire(page, comparisons, opened)


def _wire(page: Page, all: Comparisons) -> None:
    """Everything that ends in replies: the question is taken, then answered; and stopping it."""
    session = page.session

    @told
    def ask(
        message: dict[str, Any], kept: dict[str, Any], task: str, gold: str, tab: gr.Request
    ) -> Any:
        all.free(kept.get("last"))
        files = [api.path(file) for file in message["files"]]
        cards = all.lineup(kept.get("cards"), task_of(task))
        made = all.ask(cards, message["text"], files, task_of(task), gold, owner=owner(tab))
        return *begun({**kept, "task": task}, made), ""

    @told
    def ask_example(kept: dict[str, Any], event: gr.EventData, tab: gr.Request) -> Any:
        all.free(kept.get("last"))
        problem = examples.example(event.key).problem
        cards = all.lineup(kept.get("cards"), problem.task)
        made = all.ask_problem(cards, problem, owner=owner(tab))
        return *begun({**kept, "task": problem.task}, made), problem.task

    @told
    def ask_again(kept: dict[str, Any], task: str, tab: gr.Request) -> Any:
        all.free(kept.get("last"))
        cards = all.lineup(kept.get("cards"), task_of(task))
        return begun(kept, all.again(cards, all.open(kept.get("last")), owner=owner(tab)))

    def begun(kept: dict[str, Any], made: Conversation) -> Any:
        kept = {**kept, "last": made.id}
        return kept, *draw(all, kept, made), emptied()

    @told
    def replies(kept: dict[str, Any], seed: Any, tab: gr.Request) -> Iterator[Any]:
        cards = all.lineup(kept.get("cards"), task_kept(kept))  # once: it looks at every folder
        for made in all.write(kept.get("last"), _decoding(seed), owner=owner(tab)):
            yield draw(all, kept, made, cards)

    @told
    def stop(kept: dict[str, Any]) -> Any:
        made = all.stop(kept.get("last"))
        if all.busy(made.id):
            return gr.skip(), gr.skip(), gr.skip()
        return *draw(all, kept, made), idle()

    starts = [
        page.composer.submit(
            ask,
            [page.composer, session, page.task, page.gold],
            [*page.drawn, page.gold],
            **PRIVATE,
        ),
        page.examples.example(ask_example, [session], [*page.drawn, page.task], **PRIVATE),
        page.asked.again(ask_again, [session, page.task], page.drawn, **PRIVATE),
    ]
    written, stopped = [page.asked, page.panes], [page.asked, page.panes, page.composer]
    for start in starts:
        replied = start.success(
            replies,
            [session, page.seed],
            written,
            concurrency_limit=api.SLOTS,
            concurrency_id=api.QUEUE,
            **PRIVATE,
        )
        # Where the queue was full, nobody comes for the place that was held.
        replied.failure(stop, [session], stopped, **AT_ONCE)
        replied.success(idle, None, [page.composer], **AT_ONCE)
    page.composer.stop(stop, [session], stopped, **AT_ONCE)


def _decoding(seed: Any) -> Decoding:
    """The paper's, with the seed that the page says; an emptied field means 0."""
    number = 0 if seed is None or seed != seed else int(min(max(seed, 0), LARGEST_SEED))
    return replace(PAPER, seed=number)


__all__ = ("session", "tab")

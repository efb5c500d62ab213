"""Whom the Compare tab compares, as its visitor chooses; and the tab as it was left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app import picker
from app.asking import AT_ONCE, PRIVATE, idle
from app.comparison import Comparisons
from app.contenders import FEWEST, chosen, placed
from app.facing import HOT, Page, current, draw, line, tally, task_kept
from app.faults import told
from rft import zoo


def wire(page: Page, all: Comparisons, opened: gr.Tab) -> None:
    """Choosing whom to compare, and the page's own state."""
    session, lines = page.session, [page.session, page.panes, page.set.line]

    @told
    def browse(kept: dict[str, Any], event: gr.EventData) -> Any:
        kept = {**kept, "pane": int(event.pane)}
        known = all.room.cards()
        cards = chosen(all.room, kept, task_kept(kept))
        current = cards[kept["pane"]].id if kept["pane"] < len(cards) else ""
        free = all.room.engine.memory()
        states = {item.id: zoo.state(item, free) for item in known}
        ways: Any = {
            "listed_only": all.room.host.public,
            "field": "typed-pane",
            "task": task_kept(kept),
        }
        return kept, picker.shelf(known, states, current, **ways)

    @told
    def choose(kept: dict[str, Any], event: gr.EventData) -> Any:
        all.free(kept.get("last"))
        cards = chosen(all.room, kept, task_kept(kept))
        return lined_up(kept, placed(all.room, cards, int(kept.get("pane", 0)), event.card))

    @told
    def drop(kept: dict[str, Any], event: gr.EventData) -> Any:
        all.free(kept.get("last"))
        cards = chosen(all.room, kept, task_kept(kept))
        left = [card for place, card in enumerate(cards) if place != int(event.pane)]
        return lined_up(kept, left if len(left) >= FEWEST else cards)

    @told
    def fetch(kept: dict[str, Any], event: gr.EventData) -> Iterator[str]:
        # Told in a part of its own: the panes may be asked, and others chosen, meanwhile.
        cards, place = chosen(all.room, kept, task_kept(kept)), int(event.pane)
        for progress in zoo.fetch(cards[place]) if place < len(cards) else ():
            yield picker.fetching(progress)

    def fetched(kept: dict[str, Any]) -> Any:
        if all.busy(kept.get("last")):
            return "", gr.skip()
        return "", draw(all, kept, current(all, kept))[1]

    def lined_up(kept: dict[str, Any], cards: list[zoo.Card]) -> Any:
        others = kept["cards"] if isinstance(kept.get("cards"), dict) else {}
        ids = [card.id for card in cards]
        kept = {**kept, "cards": {**others, task_kept(kept) or "": ids}}
        return kept, draw(all, kept, current(all, kept))[1], line(all, kept)

    @told
    def turn(kept: dict[str, Any], task: str) -> Any:
        kept = {**kept, "task": task}
        if all.busy(kept.get("last")):
            return kept, gr.skip(), gr.skip(), line(all, kept)
        return kept, *draw(all, kept, current(all, kept)), line(all, kept)

    @told
    def restore(kept: dict[str, Any]) -> Any:
        busy = all.busy(kept.get("last"))
        made = current(all, kept)
        drawn = (gr.skip(), gr.skip(), gr.skip()) if busy else (*draw(all, kept, made), idle())
        several = int(kept.get("samples") or 1) > 1
        heat = gr.Number(kept.get("temperature", HOT), visible=several)
        ways = (kept.get("seed", 0), kept.get("samples", 1), heat, kept.get("blind") is True)
        drawn = (*drawn, tally(all), line(all, kept))
        return *drawn, kept.get("task") or "counting", kept.get("n", gr.skip()), *ways

    @told
    def follow(kept: dict[str, Any]) -> Iterator[Any]:
        # A reload in the middle of it: the old tab's generator ends it in a moment.
        last = kept.get("last") or ""
        if not all.busy(last):
            yield gr.skip(), gr.skip(), gr.skip()  # nothing to follow
            return
        while all.busy(last):
            time.sleep(0.2)
            yield gr.skip(), gr.skip(), gr.skip()
        yield *draw(all, kept, all.open(last)), idle()

    for shown in (page.panes, page.set.line):
        shown.browse(browse, [session], [session, page.shelf], **PRIVATE)
        shown.drop(drop, [session], lines, **PRIVATE)
    # However it ended; by what the browser keeps then.
    page.panes.fetch(fetch, [session], [page.fetching], concurrency_limit=4, **PRIVATE).then(
        fetched, [session], [page.fetching, page.panes], **AT_ONCE
    )
    page.shelf.choose(choose, [session], lines, **PRIVATE)
    page.task.input(turn, [session, page.task], [session, page.asked, *lines[1:]], **PRIVATE)
    for name, component in {**page.settings, "n": page.set.n}.items():
        component.change(
            None, [session, component], [session],
            js=f"(kept, value) => ({{...kept, {name}: value}})", api_visibility="private",
        )  # fmt: skip
    page.samples.change(
        lambda count: gr.Number(visible=(count or 1) > 1), [page.samples], [page.temperature],
        **AT_ONCE,
    )  # fmt: skip
    replied = [page.asked, page.panes, page.composer]
    restored = [*replied, page.votes, page.set.line, page.task, page.set.n]
    restored += page.settings.values()
    opened.select(restore, [session], restored, **PRIVATE).then(
        follow, [session], replied, concurrency_limit=None, **PRIVATE
    )

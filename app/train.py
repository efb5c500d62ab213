"""The Train tab: laid out, wired, and looking at the runs while it is open.

A handler reads, calls rft, and returns what the pure modules draw. What a run is doing stands in
its folder; the browser keeps where its visitor looks, and the server nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app import forge, panes, parts, steer
from app.host import Host
from app.intake import Sources
from app.parts import PRIVATE, Page, Wires, wires
from rft.engine import Engine


def tab(wires: Wires, sources: Sources, host: Host, engine: Engine) -> Page:
    """Lay out the tab and wire it to the runs of ``sources``; ``engine`` is Chat's."""
    page = parts.lay_out(wires, sources, host, engine)
    forge.wire_draft(page)
    forge.wire_own(page)
    steer.wire_runs(page)

    def tick(kept: Any, seen: Any) -> list[Any]:
        return panes.draw(page, kept, seen)

    watched = [*page.drawn, wires.seen]
    wires.timer.tick(tick, [wires.view, wires.seen], watched, **PRIVATE)
    return page


def join(page: Page, others: Sequence[gr.Tab], training: gr.Tab) -> None:
    """Look at the runs only while the tab is open, and at once when it is opened."""
    wires = page.wires

    def opened(kept: Any, seen: Any, *draft: Any) -> list[Any]:
        return [
            gr.Timer(active=True),
            *panes.draw(page, kept, seen),
            *forge.judged(page, kept, draft),
        ]

    training.select(
        opened,
        [wires.view, wires.seen, *page.draft],
        [wires.timer, *page.drawn, wires.seen, page.data.preview, page.summary],
        **PRIVATE,
    )
    # In the browser alone: the page begins with Chat selected, and an answer to that which came
    # late would stop the timer of a visitor who has moved on.
    for other in others:
        other.select(
            None, None, [wires.timer], js="() => ({__type__: 'update', active: false})",
            api_visibility="private",
        )  # fmt: skip


__all__ = ("Page", "Wires", "join", "tab", "wires")

"""What is done with a finished comparison: the vote, the names, the tally as a file.

Handlers alone. What counts is decided by app.comparison and app.votes.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from app import facing, votes
from app.asking import PRIVATE
from app.comparison import Comparisons
from app.facing import Page, draw, tally
from app.faults import told


def wire(page: Page, all: Comparisons) -> None:
    """Voting, and what can be saved."""
    session, drawn = page.session, [page.asked, page.panes, page.votes]

    @told
    def vote(kept: dict[str, Any], event: gr.EventData) -> Any:
        made = all.vote(kept.get("last"), str(event.choice))
        return *draw(all, kept, made), tally(all)

    @told
    def reveal(kept: dict[str, Any]) -> Any:
        return *draw(all, kept, all.reveal(kept.get("last"))), tally(all)

    @told
    def csv() -> Any:
        text = votes.table(facing.pairs(all))
        return {"name": "votes.csv", "type": "text/csv", "text": text}

    page.panes.vote(vote, [session], drawn, **PRIVATE)
    page.panes.reveal(reveal, [session], drawn, **PRIVATE)
    page.votes.csv(csv, None, [page.parcel], **PRIVATE)

"""What is done with a finished comparison: the vote, the names, and files to pass on.

Handlers alone. What counts is decided by app.comparison and app.votes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import gradio as gr

from app import facing, sharefile, votes
from app.asking import PRIVATE
from app.comparison import Comparisons
from app.contenders import chosen
from app.facing import Page, draw, tally, task_kept
from app.faults import told
from app.gallery import served
from app.room import verdict
from app.store import data_url
from rft.errors import InputError


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

    @told
    def keep(kept: dict[str, Any]) -> Any:
        return {"name": sharefile.NAME, "type": "text/html", "text": shared(all, kept)}

    # Not called "share": an event of that name is Gradio's own, and never arrives.
    page.asked.keep(keep, [session], [page.parcel], **PRIVATE)
    page.panes.vote(vote, [session], drawn, **PRIVATE)
    page.panes.reveal(reveal, [session], drawn, **PRIVATE)
    page.votes.csv(csv, None, [page.parcel], **PRIVATE)


def shared(all: Comparisons, kept: dict[str, Any]) -> str:
    """The comparison as a file; InputError while it is being written, or names are hidden."""
    made = all.open(kept.get("last"))
    all.free(made.id)
    if not made.exchanges:
        raise InputError("That comparison is no longer kept: ask again.")
    if all.veiled(made):
        raise InputError("Vote first, or show the names: the file names the checkpoints.")
    gallery = served(all.store, made.id)
    inside = replace(gallery, address=lambda name: data_url(all.store.picture(made.id, name)))
    verdicts = [verdict(exchange) for exchange in made.exchanges]
    shown = [card.id for card in chosen(all.room, kept, task_kept(kept))]
    day = date.today().isoformat()
    return sharefile.page(made, verdicts, inside, day, all.votes.of(made.id), shown)

"""An evaluation as one HTML file to pass on: the bars, the tests, and every problem's answers.

Pure. Drawn as on the page, in the frame of app.sharefile, with nothing to press; problems that
tell the checkpoints apart stand there with their images and both reasonings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from app import cases, scoreboard, sharefile
from app.sets import Row, Sheet
from rft.tasks import TASKS

NAME = "evaluation.html"
OPENED = 12  #: problems with images: enough to see what differs, in a file that can be sent
_STYLES = ("share.css", "onset.css")


def telling(sheet: Sheet) -> list[Row]:
    """The problems to open: those that some have right and others wrong, then the others."""

    def agreed(row: Row) -> bool:
        return len({answer.right(sheet.measure) for answer in row.answers if answer}) < 2

    return sorted(sheet.rows, key=agreed)[:OPENED]


def page(sheet: Sheet, opened: Sequence[tuple[Row, Sequence[Image.Image]]], day: str) -> str:
    """The file. ``opened`` are problems with their images, ``day`` is when it was made."""
    reticent = replace(
        sheet,
        columns=tuple(
            replace(column, fault=sharefile.FAILED if column.fault else "")
            for column in sheet.columns
        ),
    )
    right = f"right {scoreboard.MEASURES[sheet.measure]}"
    facts = [sheet.title, sheet.how, right, f"{len(sheet.rows):,} problems answered", day]
    which = f"{len(opened)} of {len(sheet.rows):,} problems in full"
    if len(opened) < len(sheet.rows) and len(sheet.columns) > 1:
        which += ": first those that some have right and others wrong"
    problems = f"<h2>{which}</h2>" + "".join(
        cases.printed(reticent, row, pictures) for row, pictures in opened
    )
    body = (
        f'<div class="report">{scoreboard.bars(reticent)}{problems}<section class="cases"><header>'
        f'<h3>All problems</h3></header><div class="scroller">{cases.rows(reticent, sheet.rows)}'
        "</div></section></div>"
    )
    return sharefile.frame(TASKS[sheet.task].title, facts, body, _STYLES)

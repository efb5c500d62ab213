"""Problems as HTML: thumbnails with question and gold answer, and examples that can be edited.

Pure, but that it reads the pictures it shows. What anybody wrote passes app.markup.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from app.icons import icon
from app.markup import plain
from rft.errors import InputError
from rft.example import Example
from rft.images import open_image
from rft.types import Picture, Problem

THUMBS = 48  #: problems shown of each side; the rest is counted
_SIDE = 88  # pixels of a thumbnail, shown at half of it


def preview(train: Sequence[Problem], heldout: Sequence[Problem], notes: Sequence[str] = ()) -> str:
    """Both sides as thumbnails with question and gold answer, and what there is to note."""
    told = "".join(f'<p class="hint">{plain(note)}</p>' for note in notes)
    return f"{_side('Train', train)}{_side('Held out', heldout)}{told}"


def made(examples: Sequence[Example], faults: Sequence[str | None]) -> str:
    """Examples made by hand: each can be edited in place and deleted."""
    if not examples:
        return '<p class="hint">No example yet: image, question, answer, then Add.</p>'
    rows = "".join(
        _row(index, example, fault)
        for index, (example, fault) in enumerate(zip(examples, faults, strict=True))
    )
    count = f"{len(examples)} example{'s' * (len(examples) > 1)}"
    return f"<h3>{count}</h3><ol>{rows}</ol>"


def _row(index: int, example: Example, fault: str | None) -> str:
    pictures = "".join(f'<img src="{_small(picture)}" alt="">' for picture in example.images)

    def field(name: str, words: str, value: str) -> str:
        return (
            f'<input data-amend="{name}" data-index="{index}" value="{plain(value)}" '
            f'aria-label="{words} of example {index + 1}" placeholder="{words}">'
        )

    wrong = f'<p class="fault" role="alert">{plain(fault)}</p>' if fault else ""
    return (
        f'<li><span class="pictures">{pictures}</span><div>'
        f'{field("question", "Question", example.question)}<div class="two">'
        f"{field('answer', 'Answer', example.answer)}"
        f"{field('cot', 'Reasoning, for CoT-SFT', example.cot)}</div>{wrong}</div>"
        f'<button class="tool" data-do="drop" data-index="{index}" title="Delete" '
        f'aria-label="Delete example {index + 1}">{icon("clear")}</button></li>'
    )


def _side(title: str, problems: Sequence[Problem]) -> str:
    items = "".join(_item(problem) for problem in problems[:THUMBS])
    more = len(problems) - THUMBS
    rest = f'<li class="more">and {more} more</li>' if more > 0 else ""
    if not problems:
        rest = '<li class="more">None: nothing is measured, and memorising goes unseen.</li>'
    return (
        f'<section class="side" aria-label="{title}"><h3>{title} <b>{len(problems)}</b> '
        f"with their answers</h3><ul>{items}{rest}</ul></section>"
    )


def _item(problem: Problem) -> str:
    pictures = "".join(f'<img src="{_small(picture)}" alt="">' for picture in problem.images)
    words = plain(f"{problem.question[:300]}\n→ {problem.answer[:100]}")
    return (
        f'<li><button class="thumb" data-do="peek" title="{words}" aria-label="{words}">{pictures}'
        f"<span>{plain(problem.answer[:8])}</span></button></li>"
    )


def _small(picture: Picture) -> str:
    return _small_file(picture) if isinstance(picture, Path) else _encoded(picture)


@functools.lru_cache(maxsize=1024)
def _small_file(path: Path) -> str:
    try:
        return _encoded(open_image(path))
    except InputError:  # deleted or damaged since: what stays empty says so
        return "data:,"


def _encoded(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    small = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    small.save(buffer, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"

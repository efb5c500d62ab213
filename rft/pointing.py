"""What an answer points at: its points, boxes and paths in shares of an image, or nothing.

Total and pure: a text, the sizes of the images and the family of the model decide. Opens no
image and draws nothing. What the numbers count is decided once for the whole answer, by what
the family was taught, and said:

- Numbers up to 1, not all of them whole, are shares of the sides, whoever writes them.
- Qwen2-VL counts in thousandths of the sides.
- Qwen2.5-VL, and RoboBrain 2.0 which is one, counts in pixels of the image that it was given,
  which is the uploaded one fitted into a bound of pixels: a model cannot know what was there
  before. So pixels are those of ``Canvas.seen``, not those of the file.
- Where less than two in three of the figures would lie on the image, the next reading is tried,
  of which the last are the pixels of the file: a server elsewhere may have given it whole. Where
  none fits, nothing is drawn.

In an answer to one of the three tasks only what is named points, a ``bbox_2d``: bare numbers are
its result, whatever they look like. Nowhere do whole numbers below ten point: they are a count, a
ratio, or a point of somebody's plane.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rft.coordinates import Figure, Kind, Pair, figures, meant
from rft.types import TaskName

Unit = Literal["share", "thousandth", "seen", "kept"]
Size = tuple[int, int]  # width, height

MOST = 100  #: figures that are drawn, and points of a path
LONGEST_LABEL = 60  #: characters
_SLACK = 0.02  # of a side: what lies so little outside is rounding, and is drawn at the edge
_NUMBERED = re.compile(r"\b(?:image|picture|photo|figure)\s*#?(\d)\b", re.I)
_ORDINAL = re.compile(
    r"\b(first|second|third|fourth|1st|2nd|3rd|4th)\s+(?:image|picture|photo)", re.I
)
_POINT = re.compile(r"\bpoints?\b", re.I)
_ORDINALS = ("first", "second", "third", "fourth")
_READINGS: dict[str, tuple[Unit, ...]] = {
    "qwen2_vl": ("thousandth", "seen", "kept"),
    "qwen2_5_vl": ("seen", "thousandth", "kept"),
}


@dataclass(frozen=True)
class Canvas:
    """An image: its size as it is kept, and as the model was given it."""

    kept: Size
    seen: Size


@dataclass(frozen=True)
class Mark:
    """A point, the two corners of a box, or the points of a path; x and y are in [0, 1]."""

    kind: Kind
    points: tuple[Pair, ...]
    label: str = ""


@dataclass(frozen=True)
class Pointing:
    """The marks on the image number ``image``, and the reading of the numbers that they rest on.

    ``named``: the answer or the question says which image. ``outside`` counts the figures that
    do not lie on it, ``more`` those beyond MOST.
    """

    image: int
    unit: Unit
    marks: tuple[Mark, ...]
    named: bool = False
    outside: int = 0
    more: int = 0


def pointing(
    answer: str,
    canvases: Sequence[Canvas],
    *,
    question: str = "",
    family: str = "",
    task: TaskName | None = None,
    kind: Kind | None = None,
) -> Pointing | None:
    """Where the answer points; None where it does not, or nothing there can be read for sure.

    ``question`` is the prompt: it may name an image, and tells points from a trajectory where
    ``kind``, what was asked for, does not.
    """
    if not canvases:
        return None
    corners = family == "qwen2_vl" and (kind == "box" if kind else not _POINT.search(question))
    if kind is None:
        kind = meant(question)
        if kind == "point" and meant(answer) == "path":
            kind = "path"
    found = figures(answer, kind, corners=corners, bare=task is None)
    if not found:
        return None
    image, named = _image(answer, question, len(canvases))
    for unit in _readings(found, family):
        marks = [_placed(figure, unit, canvases[image]) for figure in found]
        inside = [mark for mark in marks if mark is not None]
        if inside and 3 * len(inside) >= 2 * len(marks):
            outside, more = len(marks) - len(inside), max(0, len(inside) - MOST)
            return Pointing(image, unit, tuple(inside[:MOST]), named, outside, more)
    return None


def _readings(found: Sequence[Figure], family: str) -> tuple[Unit, ...]:
    """What the numbers may count, the likeliest first."""
    numbers = [number for figure in found for pair in figure.pairs for number in pair]
    if max(numbers) <= 1 + _SLACK and any(not number.is_integer() for number in numbers):
        return ("share",)
    if max(numbers) < 10:
        return ()
    return _READINGS.get(family, ("seen", "thousandth", "kept"))


def _placed(figure: Figure, unit: Unit, canvas: Canvas) -> Mark | None:
    """The figure in shares of the image; None where it does not lie on it."""
    sides = {"share": (1, 1), "thousandth": (1000, 1000), "seen": canvas.seen, "kept": canvas.kept}
    width, height = sides[unit]
    points = tuple((x / width, y / height) for x, y in figure.pairs[:MOST])
    if not all(-_SLACK <= number <= 1 + _SLACK for point in points for number in point):
        return None
    points = tuple((min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)) for x, y in points)
    label = " ".join(figure.label.split())
    short = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return Mark(figure.kind, points, short)


def _image(answer: str, question: str, count: int) -> tuple[int, bool]:
    """Which image is meant: the only one that the answer names, else the question, else the first."""
    for text in (answer, question):
        named = {int(number) - 1 for number in _NUMBERED.findall(text)}
        named |= {_ordinal(word) for word in _ORDINAL.findall(text)}
        if len(named) == 1 and 0 <= (place := named.pop()) < count:
            return place, count > 1
    return 0, False


def _ordinal(word: str) -> int:
    return int(word[0]) - 1 if word[0].isdigit() else _ORDINALS.index(word.lower())

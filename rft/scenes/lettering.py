"""Texts on pictures: their font, their widths, and the places where they are easily read.

Coordinates and sizes are shares of the picture's side, whatever that will be.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from PIL import ImageFont

from rft.scenes.figures import Point
from rft.scenes.grid import GRID, corner

#: Font sizes of figures, the largest that fits being taken. With the first every digit is as wide
#: as a cell of the grid; with the second three still have their middles in three cells. Letters of
#: corners are a little smaller.
EMS = (0.2155, 0.17)
NAME_PART = 0.87
_REFERENCE = 200  # pixels at which text is measured, so that layouts do not depend on the size


@functools.lru_cache(maxsize=64)
def font(pixels: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's embedded font: the machine may have none of its own."""
    return ImageFont.load_default(pixels)


@functools.lru_cache(maxsize=2048)
def extent(text: str) -> tuple[float, float]:
    """Width and height of a text's ink at font size 1."""
    left, top, right, bottom = font(_REFERENCE).getbbox(text)
    return (right - left) / _REFERENCE, (bottom - top) / _REFERENCE


def characters(text: str, x: float, y: float, em: float) -> list[tuple[float, float, str]]:
    """Each character of a text whose middle is at x and y: where its own middle is."""
    letters = font(_REFERENCE)
    ends = [letters.getlength(text[:i]) / _REFERENCE * em for i in range(len(text) + 1)]
    left = x - ends[-1] / 2
    return [(left + (ends[i] + ends[i + 1]) / 2, y, text[i]) for i in range(len(text))]


def snap(text: str, em: float, at: Point) -> list[Point]:
    """The places around this one, nearest first, at which a text's characters lie on the grid.

    Its first character's middle is then in the middle of a cell, and at the largest font size
    those of the digits behind it nearly are.
    """
    lead = _lead(text, em)
    column, row = corner(at - lead)
    places = [complex(column + i, row + j) / GRID + lead for i in (0, 1) for j in (0, 1)]
    return sorted(places, key=lambda place: abs(place - at))


def snapped(text: str, em: float, places: Iterable[Point]) -> Iterator[Point]:
    """:func:`snap` of all these places, around no cell twice."""
    lead, tried = _lead(text, em), set()
    for place in places:
        if (start := corner(place - lead)) not in tried:
            tried.add(start)
            yield from snap(text, em, place)


def _lead(text: str, em: float) -> float:
    """How far a text's middle is to the right of its first character's."""
    return (extent(text)[0] - extent(text[:1])[0]) * em / 2

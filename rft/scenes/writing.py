"""Numbers and letters as geometry figures have them, to be read and no more.

Whoever can read them here has only to find them in a figure. This module knows pens and paper;
no geometry and no question.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from rft.scenes.grid import cell
from rft.scenes.lettering import EMS, font, snap
from rft.scenes.pens import OTHER_HANDS, TEXTBOOK, Style

#: Font size of a figure's values, as a share of the picture's side.
EM = EMS[0]
#: How many times as large as that the texts of figures may be.
ZOOMS = tuple(em / EM for em in EMS)
LETTERS = "xyntkwABCDEFGHJKLMNOPQRSTUVXYZ"  # of figures


@dataclass(frozen=True)
class Written:
    """A text and where its middle is, as shares of the side."""

    text: str
    x: float
    y: float

    @property
    def cell(self) -> str:
        """Where it is, in a word."""
        return cell(self.x, self.y)


def glyph(rng: random.Random, most: int, zoom: float) -> list[Written]:
    """One text of at most so many characters, so many times larger than in figures."""
    text = "".join(rng.choice("0123456789" * 8 + LETTERS) for _ in range(rng.randint(1, most)))
    text = text if text.isdigit() else text[-1]
    x, y = (rng.uniform(r, 1 - r) for r in _room(text, zoom))
    return [Written(text, round(x, 3), round(y, 3))]


def page(rng: random.Random, most: int, zoom: float) -> list[Written]:
    """Texts on the grid of figures, one at least, from left to right, so many times larger."""
    found: list[Written] = []
    wanted, tries = rng.randint(1, most), 0
    while not found or (len(found) < wanted and tries < 20 * wanted):
        text, tries = _text(rng), tries + 1
        wide, high = _room(text, zoom)
        somewhere = complex(rng.uniform(wide, 1 - wide), rng.uniform(high, 1 - high))
        at = snap(text, EM * zoom, somewhere)[0]
        x, y = round(at.real, 3), round(at.imag, 3)
        if (
            wide <= x <= 1 - wide
            and high <= y <= 1 - high
            and all(abs(x - o.x) > 0.05 and _apart(x, y, text, o, zoom) for o in found)
        ):
            found.append(Written(text, x, y))
    return sorted(found, key=lambda one: one.x)


def _room(text: str, zoom: float) -> tuple[float, float]:
    """Half of what a text takes, across and down; less than half of the picture."""
    return min(0.48, 0.3 * len(text) * EM * zoom), min(0.48, 0.5 * EM * zoom)


def _apart(x: float, y: float, text: str, other: Written, zoom: float) -> bool:
    wide = 0.31 * (len(text) + len(other.text)) * EM * zoom
    return abs(x - other.x) > wide or abs(y - other.y) > 1.05 * EM * zoom


def _text(rng: random.Random) -> str:
    sort = rng.choices(("number", "degrees", "decimal", "letter"), weights=(40, 35, 8, 17))[0]
    if sort == "letter":
        return rng.choice(LETTERS)
    number = rng.choices((rng.randint(2, 9), rng.randint(10, 99), rng.randint(100, 179)), (1, 6, 2))
    ending = {"number": "", "degrees": "°", "decimal": f".{rng.choice('5525')}"}[sort]
    return f"{number[0]}{ending}"


def caption(texts: list[Written]) -> str:
    """What is written where."""
    return "; ".join(f"{one.cell} {one.text}" for one in texts) + "."


def draw(
    texts: list[Written], rng: random.Random, size: int, zoom: float, *, shifted: bool
) -> Image.Image:
    """The page, RGB, ``size`` pixels square, with a few strokes that mean nothing."""
    style: Style = rng.choice(OTHER_HANDS if shifted else TEXTBOOK)
    sheet = Image.new("RGB", (3 * size, 3 * size), rng.choice((style.paper, style.wash)))
    pen = ImageDraw.Draw(sheet)
    for _ in range(rng.randint(0, 3)):
        ends = [(rng.uniform(0, 3 * size), rng.uniform(0, 3 * size)) for _ in range(2)]
        if all(_clear(one, ends, 3 * size, zoom) for one in texts):
            pen.line(ends, fill=style.ink, width=max(1, round(3 * size * style.width)))
    picture = sheet.reduce(3)
    letters = font(EM * zoom * size)
    for one in texts:
        left, top, right, bottom = letters.getbbox(one.text)
        colour = style.accent if one.text.isalpha() else style.ink
        at = (one.x * size - (left + right) / 2, one.y * size - (top + bottom) / 2)
        ImageDraw.Draw(picture).text(at, one.text, fill=colour, font=letters)
    return picture


def _clear(one: Written, ends: list[tuple[float, float]], side: int, zoom: float) -> bool:
    """Whether a stroke stays off a text, judged at some points along it."""
    (x1, y1), (x2, y2) = ends
    wide, high = 0.33 * len(one.text) * EM * zoom * side, 0.6 * EM * zoom * side
    return not any(
        abs(x1 + (x2 - x1) * i / 40 - one.x * side) < wide
        and abs(y1 + (y2 - y1) * i / 40 - one.y * side) < high
        for i in range(41)
    )

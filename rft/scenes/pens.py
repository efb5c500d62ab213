"""How a placed figure is drawn: the textbook's clean pens, and the pens of other hands.

Strokes are drawn enlarged and reduced, text at its final size. This module knows no geometry
beyond strokes, and no question.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw

from rft.scenes.figures import Angle, Point
from rft.scenes.layout import STROKE, Label, Layout
from rft.scenes.lettering import font
from rft.scenes.marks import arc_points, arc_radius, arrow_of, circle_points, corner_points, tick_of

_Path = list[Point]


@dataclass(frozen=True)
class Style:
    """Colours and habits of a hand. Widths are parts of the picture's side.

    ``wash`` fills shapes, ``glow`` fills marked angles, ``accent`` is for what is asked, and
    ``grid`` is the lines of the paper, if it has any. ``shake`` is how far a stroke strays and
    ``strokes`` how often it is drawn; ``inside`` writes lengths on the inner side.
    """

    paper: str
    ink: str
    wash: str
    accent: str
    glow: str
    asked_glow: str
    letter: str
    width: float = STROKE
    grid: str = ""
    shake: float = 0.0
    strokes: int = 1
    inside: bool = False


TEXTBOOK = (
    Style("#ffffff", "#22303f", "#eaf2f9", "#c2410c", "#cfe0ef", "#fbd9c5", "#22303f"),
    Style("#ffffff", "#2b2b2b", "#f4f1ea", "#0b63b0", "#e2dccb", "#cbe0f4", "#2b2b2b"),
    Style("#fdfcf8", "#1f3d36", "#e7f2ec", "#b3261e", "#c8e2d5", "#f8d3cf", "#1f3d36"),
    Style("#fbfbfd", "#2d2a4a", "#efedf9", "#0f766e", "#d9d5f0", "#c5e8e2", "#2d2a4a"),
    Style("#ffffff", "#333a45", "#fdf3dd", "#9a3412", "#f8e2b4", "#f6d3c0", "#333a45"),
)

OTHER_HANDS = (
    # Chalk on a green and on a black board.
    Style(
        "#24483e",
        "#f3f1e4",
        "#2d5a4e",
        "#ffd166",
        "#3b7060",
        "#6b6a3a",
        "#bfe3d0",
        width=0.015,
        shake=0.0035,
        strokes=2,
    ),
    Style(
        "#23262b",
        "#eceff4",
        "#2d333b",
        "#ff9e80",
        "#424b57",
        "#684a44",
        "#9fd3ff",
        width=0.015,
        shake=0.003,
        strokes=2,
    ),
    # A blueprint.
    Style(
        "#1d4e89",
        "#ffffff",
        "#28609f",
        "#ffe066",
        "#3f78b8",
        "#7b8a5b",
        "#cfe6ff",
        width=0.01,
        grid="#2a5c98",
        inside=True,
    ),
    # Pencil on squared paper.
    Style(
        "#faf7ee",
        "#4a4a4a",
        "#efe9d8",
        "#c81e5b",
        "#ddd3b8",
        "#f3c6d4",
        "#55504a",
        width=0.011,
        grid="#dbe6ea",
        shake=0.005,
        strokes=2,
    ),
    # Cut-out shapes on coloured card.
    Style("#f6c453", "#7a1f3d", "#fde8b0", "#0b4f6c", "#f3a65a", "#a9cfc9", "#7a1f3d", width=0.022),
    Style(
        "#bfe0da",
        "#1d3557",
        "#ffffff",
        "#a4161a",
        "#8fc1d4",
        "#f2b8b5",
        "#1d3557",
        width=0.02,
        inside=True,
    ),
    # A felt pen on brown paper.
    Style(
        "#dcc7a1",
        "#3b2a1a",
        "#e8d8ba",
        "#7d1128",
        "#c9a66b",
        "#dfa79b",
        "#3b2a1a",
        width=0.018,
        shake=0.006,
    ),
)


class Pen:
    """Draws one picture. Points are in the unit square, ``scale`` pixels to its side."""

    def __init__(self, style: Style, rng: random.Random, scale: int) -> None:
        self._style, self._rng, self._scale = style, rng, scale
        self.sheet = Image.new("RGB", (scale, scale), style.paper)
        self._draw = ImageDraw.Draw(self.sheet)

    def fill(self, path: _Path, colour: str) -> None:
        self._draw.polygon(self._pixels(path), fill=colour)

    def disc(self, at: Point, radius: float, colour: str) -> None:
        x, y, r = at.real * self._scale, at.imag * self._scale, radius * self._scale
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def stroke(self, path: _Path, colour: str, width: float = 1.0) -> None:
        """A path with round ends and joints, as often as the hand draws it."""
        for _ in range(self._style.strokes):
            points = self._shaken(path)
            radius = self._style.width * width / (1.6 if self._style.strokes > 1 else 2)
            pixels = self._pixels(points)
            self._draw.line(pixels, fill=colour, width=max(1, round(2 * radius * self._scale)))
            for point in (points[0], *_bends(points), points[-1]):
                self.disc(point, radius, colour)

    def dashes(self, path: _Path, colour: str, dash: float = 0.028) -> None:
        a, b = path
        count = max(1, round(abs(b - a) / dash / 2))
        step = (b - a) / (2 * count - 0.2)
        for i in range(count):
            self.stroke([a + 2 * i * step, a + (2 * i + 0.8) * step], colour, 0.75)

    def _pixels(self, path: _Path) -> list[tuple[float, float]]:
        return [(point.real * self._scale, point.imag * self._scale) for point in path]

    def _shaken(self, path: _Path) -> _Path:
        """The path as an unsteady hand draws it: two slow waves across each straight piece."""
        shake = self._style.shake
        if not shake:
            return path
        wave = [(self._rng.uniform(0, 6.3), self._rng.uniform(9, 22)) for _ in range(4)]

        def strayed(point: Point, far: float) -> Point:
            across = sum(math.sin(phase + speed * far) for phase, speed in wave[:2])
            along = sum(math.sin(phase + speed * far) for phase, speed in wave[2:])
            return point + 0.5 * shake * complex(across, along)

        out, far = [strayed(path[0], 0.0)], 0.0
        for a, b in itertools.pairwise(path):
            steps = max(1, math.ceil(abs(b - a) / 0.025))
            out += [
                strayed(a + (b - a) * i / steps, far + abs(b - a) * i / steps)
                for i in range(1, steps + 1)
            ]
            far += abs(b - a)
        return out


def draw(layout: Layout, style: Style, rng: random.Random, size: int) -> Image.Image:
    """The picture, RGB, ``size`` pixels square."""
    factor = 3 if size >= 240 else 4
    pen = Pen(style, rng, factor * size)
    _draw_strokes(pen, layout, style)
    picture = pen.sheet.reduce(factor)
    for label in layout.labels:
        _write(picture, label, style, size)
    return picture


def _draw_strokes(pen: Pen, layout: Layout, style: Style) -> None:
    figure = layout.figure
    if style.grid:
        for i in range(1, 16):
            at = i / 16
            for path in ([complex(at, 0), complex(at, 1)], [complex(0, at), complex(1, at)]):
                pen.fill(_thin(path, 0.003), style.grid)
    circles = [circle_points(circle, 72) for circle in figure.circles]
    for path in (*circles, *map(list, figure.shapes)):
        pen.fill(path, style.wash)
    for angle in figure.angles:
        colour = style.asked_glow if angle.asked else style.glow
        pen.fill([angle.at, *_arc(angle)], colour)
    for dash in figure.dashes:
        pen.dashes(list(dash), style.ink)
    for corner in figure.corners:
        pen.stroke(corner_points(corner), style.ink, 0.6)
    for angle in figure.angles:
        pen.stroke(_arc(angle), style.accent if angle.asked else style.ink, 0.75)
    for path in (*circles, *([*shape, shape[0]] for shape in figure.shapes)):
        pen.stroke(path, style.ink)
    for line in figure.lines:
        pen.stroke(list(line), style.ink)
    for length in figure.lengths:
        if length.asked:
            pen.stroke([length.one, length.two], style.accent)
    for side in figure.ticks:
        pen.stroke(list(tick_of(side)), style.ink, 0.8)
    for arrow in figure.arrows:
        pen.stroke(arrow_of(arrow), style.ink, 0.9)
    for dot in figure.dots:
        pen.disc(dot, 0.8 * style.width + 0.004, style.ink)


def _bends(path: _Path) -> Iterator[Point]:
    """The points where a path turns so much that its pieces need a round joint.

    Pillow's own joints take most of the time of a picture, for they are drawn at every point.
    """
    for a, b, c in zip(path, path[1:], path[2:], strict=False):
        before, after = b - a, (c - b).conjugate()
        if abs((before * after).imag) > 0.15 * abs(before) * abs(after):
            yield b


def _arc(angle: Angle) -> _Path:
    return arc_points(angle, arc_radius(angle), 24)


def _thin(path: _Path, width: float) -> _Path:
    """A straight line as a narrow rectangle."""
    a, b = path
    across = 1j * width * (b - a) / abs(b - a) / 2
    return [a + across, b + across, b - across, a - across]


def _write(picture: Image.Image, label: Label, style: Style, size: int) -> None:
    """Text at the final size, its ink centred on the label's point."""
    letters = font(label.em * size)
    left, top, right, bottom = letters.getbbox(label.text)
    colour = {"asked": style.accent, "value": style.ink, "name": style.letter}[label.role]
    at = (label.at.real * size - (left + right) / 2, label.at.imag * size - (top + bottom) / 2)
    ImageDraw.Draw(picture).text(at, label.text, fill=colour, font=letters)

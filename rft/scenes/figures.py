"""What a geometry figure is made of: points, strokes and marks, in exact proportions.

Every figure is true to scale: a labelled angle really has its size, and labelled lengths share
one unit, so that a figure proves its own answer. This module knows no pixels, colours or text
of questions.

Points are complex numbers with the imaginary axis up: turning is multiplication.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

Point = complex
Segment = tuple[Point, Point]

T = TypeVar("T")


@dataclass(frozen=True)
class Angle:
    """The angle below 180° at ``at`` between the rays to ``one`` and ``two``."""

    at: Point
    one: Point
    two: Point
    text: str = ""
    asked: bool = False

    @property
    def degrees(self) -> float:
        return abs(math.degrees(cmath.phase((self.one - self.at) / (self.two - self.at))))


@dataclass(frozen=True)
class Length:
    """A length between two points; its label stands on the side that looks away from ``away``.

    An ``outer`` label stays there whatever the style: on the other side one would read it as
    the length of a part.
    """

    one: Point
    two: Point
    text: str
    away: Point
    asked: bool = False
    outer: bool = False

    @property
    def measure(self) -> float:
        return abs(self.two - self.one)


@dataclass(frozen=True)
class Name:
    """The letter of a point, written on the side that looks away from ``away``."""

    at: Point
    text: str
    away: Point


@dataclass(frozen=True)
class Figure:
    """Shapes are filled and outlined; the rest is drawn over them.

    A circle is its centre and a point of its rim. ``corners`` carry the small square of a
    right angle; ``ticks`` mark equal sides; an arrow (at, towards) marks parallels.
    """

    shapes: tuple[tuple[Point, ...], ...] = ()
    circles: tuple[Segment, ...] = ()
    lines: tuple[Segment, ...] = ()
    dashes: tuple[Segment, ...] = ()
    dots: tuple[Point, ...] = ()
    corners: tuple[Angle, ...] = ()
    ticks: tuple[Segment, ...] = ()
    arrows: tuple[Segment, ...] = ()
    angles: tuple[Angle, ...] = ()
    lengths: tuple[Length, ...] = ()
    names: tuple[Name, ...] = ()

    def moved(self, move: Callable[[Point], Point]) -> Figure:
        """The figure with every point moved; ``move`` must keep proportions."""
        return _moved(self, move)

    def turned(self, degrees: float) -> Figure:
        """The figure turned counter-clockwise."""
        turn = polar(degrees)
        return self.moved(lambda point: point * turn)

    def mirrored(self) -> Figure:
        """The figure with left and right exchanged."""
        return self.moved(lambda point: -point.conjugate())

    def sides(self) -> list[Segment]:
        """Every straight stroke, outlines of shapes included."""
        outlines = [
            (point, shape[(i + 1) % len(shape)])
            for shape in self.shapes
            for i, point in enumerate(shape)
        ]
        return [*outlines, *self.lines, *self.dashes]


def _moved(value: T, move: Callable[[Point], Point]) -> T:
    moved: Any = value
    if isinstance(value, complex):
        moved = move(value)
    elif isinstance(value, tuple):
        moved = tuple(_moved(item, move) for item in value)
    elif is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: _moved(getattr(value, f.name), move) for f in fields(value)}
        moved = replace(value, **changes)
    return moved


def polar(degrees: float, radius: float = 1.0) -> Point:
    """The point at this distance from the origin, ``degrees`` counter-clockwise from right."""
    return cmath.rect(radius, math.radians(degrees))


def triangle_of_angles(first: float, second: float) -> tuple[Point, Point, Point]:
    """A triangle on a base from 0 to 1 with these angles (degrees) at the base's ends."""
    third = 180 - first - second
    leg = math.sin(math.radians(second)) / math.sin(math.radians(third))
    return 0j, 1 + 0j, polar(first, leg)


def triangle_of_sides(base: float, left: float, right: float) -> tuple[Point, Point, Point]:
    """A triangle on a base from 0 with the other sides ``left`` (at 0) and ``right``."""
    x = (base**2 + left**2 - right**2) / (2 * base)
    return 0j, complex(base), complex(x, math.sqrt(left**2 - x**2))


def middle(points: tuple[Point, ...]) -> Point:
    return sum(points, 0j) / len(points)


def corner_names(corners: tuple[Point, ...], letters: str) -> tuple[Name, ...]:
    """A letter outside each corner of a polygon."""
    inside = middle(corners)
    return tuple(Name(at, text, inside) for at, text in zip(corners, letters, strict=False))

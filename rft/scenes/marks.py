"""The lines that marks consist of: arcs, small squares, ticks, chevrons, circles.

Coordinates are those of the unit square that a picture shows. This module draws nothing.
"""

from __future__ import annotations

import itertools
import math

from rft.scenes.figures import Angle, Figure, Point, Segment, polar


def arc_radius(angle: Angle) -> float:
    """The radius of an angle's arc: wider for narrow angles, never past half a ray."""
    reach = min(abs(angle.one - angle.at), abs(angle.two - angle.at))
    return min(0.072 + 1.8 / max(angle.degrees, 20), 0.45 * reach)


def arc_points(angle: Angle, radius: float, steps: int) -> list[Point]:
    """Points of the arc from ray ``one`` to ray ``two``."""
    start = (angle.one - angle.at) / abs(angle.one - angle.at)
    end = (angle.two - angle.at) / abs(angle.two - angle.at)
    sweep = math.degrees(math.atan2((end / start).imag, (end / start).real))
    return [angle.at + radius * start * polar(sweep * i / steps) for i in range(steps + 1)]


def corner_points(corner: Angle, side: float = 0.055) -> list[Point]:
    """The three free points of the small square of a right angle."""
    one = side * (corner.one - corner.at) / abs(corner.one - corner.at)
    two = side * (corner.two - corner.at) / abs(corner.two - corner.at)
    return [corner.at + one, corner.at + one + two, corner.at + two]


def tick_of(side: Segment, reach: float = 0.03) -> Segment:
    """The short stroke across the middle of a side."""
    a, b = side
    across = 1j * reach * (b - a) / abs(b - a)
    return (a + b) / 2 - across, (a + b) / 2 + across


def arrow_of(arrow: Segment, reach: float = 0.04) -> list[Point]:
    """The chevron at ``arrow[0]`` that points towards ``arrow[1]``."""
    at, towards = arrow
    back = -reach * (towards - at) / abs(towards - at)
    return [at + back * polar(38), at, at + back * polar(-38)]


def circle_points(circle: Segment, steps: int) -> list[Point]:
    """Points of a circle, closed."""
    centre, rim = circle
    return [centre + (rim - centre) * polar(360 * i / steps) for i in range(steps + 1)]


def strokes_of(figure: Figure) -> list[Segment]:
    """Everything a label must not touch, as straight pieces."""
    paths = [circle_points(circle, 40) for circle in figure.circles]
    paths += [arc_points(angle, arc_radius(angle), 8) for angle in figure.angles]
    paths += [corner_points(corner) for corner in figure.corners]
    paths += [arrow_of(arrow) for arrow in figure.arrows]
    strokes = [*figure.sides(), *(tick_of(side, 0.045) for side in figure.ticks)]
    strokes += [(a, b) for path in paths for a, b in itertools.pairwise(path)]
    strokes += [(dot - 0.015, dot + 0.015) for dot in figure.dots]
    return strokes

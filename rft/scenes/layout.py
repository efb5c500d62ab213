"""Where a figure lies on its picture, and where its labels stand: legible, touching nothing.

Coordinates are those of the unit square with y down, whatever the picture's size will be.
This module knows fonts only as widths; it draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rft.scenes.figures import Angle, Figure, Length, Name, Point, Segment, polar
from rft.scenes.grid import GRID
from rft.scenes.lettering import EMS, NAME_PART, extent, snapped
from rft.scenes.marks import arc_radius, circle_points, strokes_of

STROKE = 0.013
_PAD = 0.5 * STROKE + 0.008
_EDGE = 0.02
# How much nearer a label is to its own mark than to any other: angles, lengths.
_NEARER, _MUCH_NEARER = 0.8, 0.7
_MARGINS = (0.07, 0.12, 0.17, 0.22)

Role = Literal["value", "asked", "name"]
_Sides = Literal["outer", "inner", "either"]


@dataclass(frozen=True)
class Label:
    """A text whose ink is centred on ``at``; ``em`` is its font size."""

    text: str
    at: Point
    em: float
    role: Role


@dataclass(frozen=True)
class Layout:
    """A figure in place, with its labels."""

    figure: Figure
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class _Box:
    at: Point
    half_width: float
    half_height: float

    def grown(self, pad: float) -> _Box:
        return _Box(self.at, self.half_width + pad, self.half_height + pad)

    def meets(self, other: _Box) -> bool:
        gap = self.at - other.at
        return (
            abs(gap.real) < self.half_width + other.half_width
            and abs(gap.imag) < self.half_height + other.half_height
        )

    def on_picture(self) -> bool:
        x, y, low, high = self.at.real, self.at.imag, _EDGE, 1 - _EDGE
        w, h = self.half_width, self.half_height
        return x - w > low and x + w < high and y - h > low and y + h < high


class _Sheet:
    """A figure in place and everything that a label must not touch, as straight pieces."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.strokes = strokes_of(figure)
        # Plain numbers, for this is asked thousands of times for one picture.
        self._numbers = [(a.real, a.imag, b.real, b.imag) for a, b in self.strokes]

    def free(self, box: _Box) -> bool:
        """Whether no stroke touches the box. Separating axes: the box's two, the stroke's normal."""
        x, y, w, h = box.at.real, box.at.imag, box.half_width, box.half_height
        left, right, top, bottom = x - w, x + w, y - h, y + h
        for ax, ay, bx, by in self._numbers:
            if (
                (ax < left and bx < left)
                or (ax > right and bx > right)
                or (ay < top and by < top)
                or (ay > bottom and by > bottom)
            ):
                continue
            dx, dy = bx - ax, by - ay
            if abs(dx * (ay - y) - dy * (ax - x)) <= w * abs(dy) + h * abs(dx):
                return False
        return True

    def clear_way(self, way: Segment) -> bool:
        """Whether no stroke cuts the straight way from a mark to its label."""
        return not any(_cut(way, stroke) for stroke in self.strokes)


def place(figure: Figure, inside: bool = False) -> Layout | None:
    """The figure with the largest text that fits, or None where none does.

    Lengths stand outside, or with ``inside`` on the inner side of their lines; where they do
    not fit so, on either side.
    """
    sheets: dict[float, _Sheet] = {}
    sides: tuple[_Sides, ...] = ("inner" if inside else "outer", "either")
    for em in EMS:
        for side in sides if figure.lengths else sides[:1]:
            for margin in _MARGINS:
                if margin not in sheets:
                    sheets[margin] = _Sheet(_fit(figure, margin))
                labels = _labels(sheets[margin], em, side)
                if labels is not None:
                    return _centred(sheets[margin].figure, labels)
    return None


def _box(text: str, at: Point, em: float) -> _Box:
    width, height = extent(text)
    return _Box(at, width * em / 2, height * em / 2)


def _fit(figure: Figure, margin: float) -> Figure:
    points = [point for segment in figure.sides() for point in segment]
    for circle in figure.circles:
        points += circle_points(circle, 32)
    left, right = min(p.real for p in points), max(p.real for p in points)
    low, high = min(p.imag for p in points), max(p.imag for p in points)
    scale = (1 - 2 * margin) / max(right - left, high - low)
    centre = complex(left + right, low + high) / 2
    return figure.moved(lambda point: ((point - centre) * scale).conjugate() + (0.5 + 0.5j))


def _centred(figure: Figure, labels: list[Label]) -> Layout:
    boxes = [_box(label.text, label.at, label.em) for label in labels]
    points = [point for stroke in strokes_of(figure) for point in stroke]
    for box in boxes:
        half = complex(box.half_width, box.half_height)
        points += [box.at - half, box.at + half]
    xs, ys = [p.real for p in points], [p.imag for p in points]
    shift = 0.5 + 0.5j - complex(min(xs) + max(xs), min(ys) + max(ys)) / 2
    # By whole cells, and never beyond the middle, where all is on the picture still.
    shift = complex(int(shift.real * GRID), int(shift.imag * GRID)) / GRID
    moved = [Label(label.text, label.at + shift, label.em, label.role) for label in labels]
    return Layout(figure.moved(lambda point: point + shift), tuple(moved))


def _labels(sheet: _Sheet, value_em: float, sides: _Sides) -> list[Label] | None:
    """Narrow angles first, for they have the least room; then lengths, then letters."""
    figure = sheet.figure
    taken: list[_Box] = []
    labels: list[Label] = []
    marks: list[Angle | Length | Name] = [a for a in figure.angles if a.text]
    marks.sort(key=lambda mark: mark.degrees if isinstance(mark, Angle) else 0.0)
    marks += [length for length in figure.lengths if length.text]
    marks += figure.names
    for mark in marks:
        em = NAME_PART * value_em if isinstance(mark, Name) else value_em
        for at in snapped(mark.text, em, _candidates(mark, em, sides)):
            box = _box(mark.text, at, em).grown(_PAD)
            if (
                box.on_picture()
                and not any(box.meets(other) for other in taken)
                and sheet.free(box)
                and _belongs(mark, at, sheet)
            ):
                break
        else:
            return None
        taken.append(box)
        role: Role = "name" if isinstance(mark, Name) else "asked" if mark.asked else "value"
        labels.append(Label(mark.text, at, em, role))
    return labels


def _belongs(mark: Angle | Length | Name, at: Point, sheet: _Sheet) -> bool:
    """Whether a reader would take a label at this place to be this mark's and no other's."""
    figure = sheet.figure
    if isinstance(mark, Angle):
        reach = abs(at - mark.at)
        start = mark.at + (at - mark.at) / reach * (arc_radius(mark) + 0.01)
        return all(
            reach < abs(at - rival.at) * (_NEARER if _between_rays(at, rival) else 1)
            for rival in figure.angles
            if rival.at != mark.at
        ) and sheet.clear_way((start, at))
    if isinstance(mark, Length):
        own = (mark.one, mark.two)
        reach = _distance(at, own)
        rivals = [(other.one, other.two) for other in figure.lengths if other != mark]
        return (
            mark.outer or all(reach < _MUCH_NEARER * _distance(at, rival) for rival in rivals)
        ) and all(
            reach < _NEARER * _distance(at, side) for side in figure.sides() if _apart(side, own)
        )
    return True


def _apart(side: Segment, own: Segment) -> bool:
    """Whether a stroke is another one than that on which a length lies, wholly or in part."""
    return max(_distance(end, side) for end in own) > 0.02


def _cut(first: Segment, second: Segment) -> bool:
    """Whether two segments cross."""

    def sides(line: Segment, points: Segment) -> bool:
        along = (line[1] - line[0]).conjugate()
        return ((points[0] - line[0]) * along).imag * ((points[1] - line[0]) * along).imag < 0

    return sides(first, second) and sides(second, first)


def _distance(point: Point, segment: Segment) -> float:
    """From a point to the nearest point of a segment."""
    a, b = segment
    part = ((point - a) * (b - a).conjugate()).real / abs(b - a) ** 2
    return abs(point - a - min(1.0, max(0.0, part)) * (b - a))


def _candidates(mark: Angle | Length | Name, em: float, sides: _Sides) -> Iterator[Point]:
    """Places for a label, best first."""
    if isinstance(mark, Angle):
        yield from _angle_places(mark, em)
    elif isinstance(mark, Length):
        yield from _length_places(mark, em, sides)
    else:
        box = _box(mark.text, mark.at, em)
        out = (mark.at - mark.away) / abs(mark.at - mark.away)
        for reach in (0.02, 0.035, 0.05):
            for turn in (0, 20, -20, 40, -40, 65, -65, 90, -90):
                yield mark.at + _clear(box, out * polar(turn), reach + _PAD)


def _angle_places(angle: Angle, em: float) -> Iterator[Point]:
    """Between the rays: along the bisector, outwards from the arc, a little to either side."""
    one = (angle.one - angle.at) / abs(angle.one - angle.at)
    two = (angle.two - angle.at) / abs(angle.two - angle.at)
    bisector = (one + two) / abs(one + two)
    inward_one, inward_two = _inward(one, bisector), _inward(two, bisector)
    box = _box(angle.text, 0j, em).grown(_PAD)
    room_one, room_two = _support(box, inward_one), _support(box, inward_two)
    turns = [bisector * polar(part * angle.degrees) for part in (0, 0.1, -0.1, 0.2, -0.2)]
    limit = min(0.4, 0.8 * max(abs(angle.one - angle.at), abs(angle.two - angle.at)))
    reach = arc_radius(angle) + 0.04
    while reach < limit:
        for turn in turns:
            place = reach * turn
            if (place * inward_one.conjugate()).real > room_one and (
                place * inward_two.conjugate()
            ).real > room_two:
                yield angle.at + place
        reach += 0.016


def _between_rays(point: Point, angle: Angle) -> bool:
    one, two = angle.one - angle.at, angle.two - angle.at
    bisector = one / abs(one) + two / abs(two)
    return all(
        ((point - angle.at) * _inward(ray, bisector).conjugate()).real > 0 for ray in (one, two)
    )


def _inward(ray: Point, bisector: Point) -> Point:
    """The unit normal of a ray, on the side of the bisector."""
    normal = 1j * ray
    return normal if (bisector * normal.conjugate()).real > 0 else -normal


def _length_places(length: Length, em: float, sides: _Sides) -> Iterator[Point]:
    """Beside the middle of the line, then beside other parts of it."""
    along = length.two - length.one
    out = 1j * along / abs(along)
    to_away = length.away - length.one
    if (to_away * out.conjugate()).real > 0:
        out = -out
    box = _box(length.text, 0j, em)
    if length.outer or sides == "outer":
        normals = [out]
    else:
        normals = [-out] if sides == "inner" else [out, -out]
    for side in normals:
        for gap in (0.012, 0.03, 0.045):
            for part in (0.5, 0.44, 0.56, 0.38, 0.62, 0.3, 0.7):
                yield length.one + part * along + _clear(box, side, gap + _PAD)


def _clear(box: _Box, direction: Point, gap: float) -> Point:
    """How far a box's centre must go in a direction to leave ``gap`` to the line across it."""
    return direction * (_support(box, direction) + gap)


def _support(box: _Box, direction: Point) -> float:
    """How far a box reaches from its centre in a direction."""
    return abs(direction.real) * box.half_width + abs(direction.imag) * box.half_height

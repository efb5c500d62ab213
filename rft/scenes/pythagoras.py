"""Questions that whole right triangles answer: sides, diagonals, heights, chords, tangents.

Each function draws random values and returns a Draft; it knows no split, style or size.
"""

from __future__ import annotations

import functools
import math
import random

from rft.scenes.drafts import Draft, Letters, Number, Working, length_draft, scene_key, show
from rft.scenes.figures import Angle, Figure, Length, Name, Segment, corner_names


@functools.cache
def whole_triangles(thin: float = 3.5, longest: int = 60) -> tuple[tuple[int, int, int], ...]:
    """Right triangles with whole sides, none thinner than ``thin``; legs in both orders."""
    found = []
    for a in range(3, longest):
        for b in range(3, longest):
            c = math.isqrt(a * a + b * b)
            if c * c == a * a + b * b and c <= longest and max(a, b) < thin * min(a, b):
                found.append((a, b, c))
    return tuple(found)


def right_triangle(rng: random.Random, letters: Letters) -> Draft:
    """A side by Pythagoras: of a right triangle, of half a rectangle, of half an isosceles one."""
    forms = (_plain, _plain, _in_rectangle, _in_isosceles)
    return rng.choice(forms)(rng, letters)


def _plain(rng: random.Random, letters: Letters) -> Draft:
    a, b, c = sides = rng.choice(whole_triangles())
    corners = (0j, complex(a), complex(0, b))
    asked = rng.randrange(3)
    ends = ((0, 1), (0, 2), (1, 2))
    names: tuple[Name, ...] = ()
    subject, mark = letters.unknown, letters.unknown
    if rng.random() < 0.5:
        subject, mark = "".join(letters.corners[i] for i in ends[asked]), ""
        names = corner_names(corners, letters.corners)
    working = Working(f"The triangle has a right angle; {_shown(sides, asked)} are shown.")
    answer, slips = _solved(working, sides, asked)
    figure = Figure(
        shapes=(corners,),
        corners=(Angle(*corners),),
        lengths=tuple(
            Length(
                corners[one],
                corners[two],
                mark if i == asked else show(sides[i]),
                corners[3 - one - two],
                i == asked,
            )
            for i, (one, two) in enumerate(ends)
        ),
        names=names,
    )
    return length_draft(scene_key("right", a, b, c), figure, subject, answer, working, slips)


def _in_rectangle(rng: random.Random, letters: Letters) -> Draft:
    a, b, c = sides = rng.choice(whole_triangles(2.6))
    corner, right, far, top = shape = (0j, complex(a), complex(a, b), complex(0, b))
    asked, x = rng.choice((0, 1, 2, 2)), letters.unknown
    texts = [x if i == asked else show(sides[i]) for i in range(3)]
    working = Working(f"The diagonal makes a right triangle; {_shown(sides, asked)} are shown.")
    answer, slips = _solved(working, sides, asked)
    figure = Figure(
        shapes=(shape,),
        lines=((right, top),),
        corners=tuple(Angle(shape[i], shape[i - 1], shape[i - 3]) for i in range(4)),
        lengths=(
            Length(corner, right, texts[0], far, asked == 0),
            Length(right, far, texts[1], corner, asked == 1),
            Length(right, top, texts[2], corner, asked == 2),
        ),
    )
    return length_draft(scene_key("diagonal", a, b, c), figure, x, answer, working, slips)


def _in_isosceles(rng: random.Random, letters: Letters) -> Draft:
    """The whole base is shown, and the height or the equal sides."""
    half, height, side = sides = rng.choice(whole_triangles(2.6))
    left, right, top, foot = complex(-half), complex(half), complex(0, height), 0j
    asked, x = rng.choice((1, 2)), letters.unknown
    other = show(sides[3 - asked])
    working = Working(f"Two sides are equal, so the height halves the base {2 * half}.")
    working.step(2 * half, "÷", 2)
    working.say(f"The other length shown is {other}.")
    answer, slips = _solved(working, sides, asked)
    figure = Figure(
        shapes=((left, right, top),),
        dashes=((foot, top),),
        corners=(Angle(foot, right, top),),
        ticks=((left, top), (right, top)),
        lengths=(
            Length(left, right, show(2 * half), top, outer=True),
            Length(foot, top, x if asked == 1 else other, right, asked == 1),
            Length(right, top, x if asked == 2 else other, foot, asked == 2),
        ),
    )
    slips += (2 * half, 2 * side - half)
    key = scene_key("legs", half, height, side)
    return length_draft(key, figure, x, answer, working, slips)


def chord(rng: random.Random, letters: Letters) -> Draft:
    """Half a chord and its distance from the centre are the legs to the radius."""
    # Nearer to the centre or to the rim a chord leaves its labels no room.
    half, distance, radius = sides = rng.choice(
        [t for t in whole_triangles() if 0.38 < t[1] / t[2] < 0.62]
    )
    centre, foot = 0j, complex(0, -distance)
    left, right = foot - half, foot + half
    asked, x = rng.randrange(3), letters.unknown
    names: tuple[Name, ...] = ()
    texts = [x if i == asked else show(sides[i]) for i in range(3)]
    if asked == 0:
        subject = f"chord {letters.corners[:2]}"
        names = (Name(left, letters.corners[0], centre), Name(right, letters.corners[1], centre))
        working = Working(f"The radius is {radius}, the distance to the chord {distance}.")
        working.say("With half the chord they form a right triangle.")
        _, slips = _solved(working, sides, asked)
        answer: Number = working.step(2, "×", half)
        slips += (half,)
    else:
        subject = x
        what = f"radius {radius}" if asked == 1 else f"distance {distance}"
        working = Working(f"The chord is {2 * half}; half of it and the {what} are in a triangle.")
        working.step(2 * half, "÷", 2)
        answer, slips = _solved(working, sides, asked)
    figure = Figure(
        circles=((centre, right),),
        lines=((left, right), (centre, right)),
        dashes=((centre, foot),),
        dots=(centre,),
        corners=(Angle(foot, centre, left),),
        lengths=(
            Length(left, right, "" if names else show(2 * half), centre, asked == 0, outer=True),
            Length(centre, foot, texts[1], right, asked == 1),
            Length(centre, right, texts[2], foot, asked == 2),
        ),
        names=names,
    )
    key = scene_key("chord", half, distance, radius)
    return length_draft(key, figure, subject, answer, working, slips)


def tangent(rng: random.Random, letters: Letters) -> Draft:
    """A tangent stands upright on the radius."""
    radius, along, across = sides = rng.choice(
        [t for t in whole_triangles(2.6) if t[1] > 0.8 * t[0]]
    )
    centre, touch, outer = 0j, complex(0, -radius), complex(along, -radius)
    asked, x = rng.randrange(3), letters.unknown
    texts = [x if i == asked else show(sides[i]) for i in range(3)]
    working = Working(f"A tangent meets the radius at 90°; {_shown(sides, asked)} are shown.")
    answer, slips = _solved(working, sides, asked)
    line: Segment = (touch - 0.6 * radius, outer + 0.15 * along)
    figure = Figure(
        circles=((centre, touch),),
        lines=(line, (centre, touch), (centre, outer)),
        dots=(centre, touch, outer),
        corners=(Angle(touch, centre, outer),),
        lengths=(
            Length(centre, touch, texts[0], outer, asked == 0),
            Length(touch, outer, texts[1], centre, asked == 1),
            Length(centre, outer, texts[2], touch, asked == 2),
        ),
    )
    key = scene_key("tangent", radius, along, across)
    return length_draft(key, figure, x, answer, working, slips)


def _shown(sides: tuple[int, int, int], asked: int) -> str:
    """What the figure gives, with the longest side named as such."""
    a, b, c = sides
    return {
        0: f"the leg {b} and the longest side {c}",
        1: f"the leg {a} and the longest side {c}",
        2: f"the legs {a} and {b}",
    }[asked]


def _solved(
    working: Working, sides: tuple[int, int, int], asked: int
) -> tuple[Number, tuple[Number, ...]]:
    """Write how the side follows from the other two; the answer and the typical errors."""
    root, (one, two) = sides[asked], [side for i, side in enumerate(sides) if i != asked]
    if asked == 2:
        squares = working.step(one, "×", one), working.step(two, "×", two)
        total = working.step(squares[0], "+", squares[1])
        slips: tuple[Number, ...] = (
            one + two,
            abs(one - two),
            math.isqrt(abs(one * one - two * two)),
        )
    else:
        squares = working.step(two, "×", two), working.step(one, "×", one)
        total = working.step(squares[0], "-", squares[1])
        slips = (two - one, two + one, math.isqrt(one * one + two * two))
    working.say(f"{root} × {root} = {show(total)}.")
    return root, slips

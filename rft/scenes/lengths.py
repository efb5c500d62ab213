"""Questions that ask for a perimeter or an area.

Each function draws random values and returns a Draft; it knows no split, style or size.
"""

from __future__ import annotations

import math
import random
from decimal import Decimal

from rft.scenes.drafts import (
    PI,
    Draft,
    Letters,
    Measure,
    Number,
    Working,
    number_questions,
    scene_key,
    show,
    tidy,
)
from rft.scenes.figures import (
    Angle,
    Figure,
    Length,
    Point,
    Segment,
    middle,
    polar,
    triangle_of_sides,
)
from rft.scenes.pythagoras import whole_triangles

#: One factor of an area has one digit: a tiny model can learn such products, and no longer ones.
_DIGIT = 9


def perimeter(rng: random.Random, letters: Letters) -> Draft:
    """Once round a rectangle, a parallelogram, a triangle or a regular polygon."""
    forms = (_rectangle, _parallelogram, _three_sides, _three_sides, _regular)
    return rng.choice(forms)(rng, "perimeter")


def area(rng: random.Random, letters: Letters) -> Draft:
    """What a rectangle, triangle, parallelogram, trapezoid or circle covers."""
    forms = (_rectangle, _parallelogram, _half_rectangle, _half_rectangle, _trapezoid, _disc)
    return rng.choice(forms)(rng, "area")


def _draft(
    key: str,
    figure: Figure,
    shape: str,
    measure: Measure,
    working: Working,
    answer: Number,
    slips: tuple[Number, ...],
) -> Draft:
    name = "area" if measure == "disc" else measure
    after = " Take π = 3.14." if measure == "disc" else ""
    questions = number_questions(f"{name} of the {shape}", after)
    return Draft(key, figure, measure, questions, f"the {name}", answer, str(working), slips)


def _round_and_in(
    working: Working, measure: Measure, a: int, b: int, height: int
) -> tuple[Number, tuple[Number, ...]]:
    """Perimeter or area of a shape with opposite sides equal, and the typical errors."""
    if measure == "perimeter":
        working.say("The perimeter is twice the sum of two sides.")
        total = working.step(a, "+", b)
        return working.step(2, "×", total), (total, a * height, 2 * a + b, a + 2 * b)
    working.say("The area is base times height.")
    answer = working.step(a, "×", height)
    return answer, (2 * (a + b), a + height, a * b, tidy(Decimal(a * height) / 2), 2 * a * height)


def _rectangle(rng: random.Random, measure: Measure) -> Draft:
    most = 40 if measure == "perimeter" else _DIGIT
    a, b = rng.randint(3, 40), rng.randint(3, most)
    while not 1.15 < a / b < 2.6:
        a, b = rng.randint(3, 40), rng.randint(3, most)
    if rng.random() < 0.3:
        a, b = b, a
    shape = (0j, complex(a), complex(a, b), complex(0, b))
    inside = middle(shape)
    sides = ((0j, complex(a)), rng.choice(((shape[1], shape[2]), (shape[0], shape[3]))))
    working = Working(f"The sides of the rectangle are {a} and {b}.")
    answer, slips = _round_and_in(working, measure, a, b, b)
    figure = Figure(
        shapes=(shape,),
        corners=tuple(Angle(shape[i], shape[i - 1], shape[i - 3]) for i in range(4)),
        lengths=(Length(*sides[0], show(a), inside), Length(*sides[1], show(b), inside)),
    )
    return _draft(
        scene_key("rectangle", a, b), figure, "rectangle", measure, working, answer, slips
    )


def _parallelogram(rng: random.Random, measure: Measure) -> Draft:
    """Base, slanting side and height are whole numbers; an area shows one length too many."""
    most = 20 if measure == "perimeter" else _DIGIT
    lean, height, slant = rng.choice([sides for sides in _leaning() if sides[1] <= most])
    base = rng.randint(lean + 3, min(lean + 22, 3 * height))
    top = complex(lean, height)
    shape = (0j, complex(base), top + base, top)
    foot = complex(lean)
    working: Working
    lengths = [
        Length(0j, complex(base), show(base), middle(shape), outer=True),
        Length(0j, top, show(slant), middle(shape)),
    ]
    dashes: tuple[Segment, ...] = ()
    if measure == "area":
        dashes = ((foot, top),)
        lengths.append(Length(foot, top, show(height), 0j))
        working = Working(f"The base is {base}, the height {height}; the side {slant} is not used.")
    else:
        working = Working(f"The sides of the parallelogram are {base} and {slant}.")
    answer, slips = _round_and_in(working, measure, base, slant, height)
    figure = Figure(
        shapes=(shape,),
        dashes=dashes,
        corners=(Angle(foot, complex(base), top),) if dashes else (),
        lengths=tuple(lengths),
    )
    key = scene_key("parallelogram", base, slant)
    return _draft(key, figure, "parallelogram", measure, working, answer, slips)


def _leaning() -> list[tuple[int, int, int]]:
    """Right triangles that lean neither too flat nor too steep."""
    return [(a, b, c) for a, b, c in whole_triangles() if 0.4 < a / b < 1.4 and c <= 20]


def _three_sides(rng: random.Random, measure: Measure) -> Draft:
    equal = rng.random() < 0.4
    corners: tuple[Point, ...] = ()
    while not corners:
        a, b, c = (rng.randint(5, 40) for _ in range(3))
        c = b if equal else c
        # No corner below 36 degrees, by the law of cosines: flat triangles leave labels no room.
        cosines = [
            (q * q + r * r - p * p) / (2 * q * r) for p, q, r in ((a, b, c), (b, c, a), (c, a, b))
        ]
        if max(cosines) < math.cos(math.radians(36)) and len({a, b, c}) == 3 - equal:
            corners = triangle_of_sides(a, b, c)
    left, right, top = corners
    inside = middle(corners)
    lengths = [Length(left, right, show(a), inside), Length(left, top, show(b), inside)]
    if equal:
        working = Working(f"Two sides are equal, {b} each; the base is {a}.")
        double = working.step(2, "×", b)
        answer = working.step(double, "+", a)
        slips: tuple[Number, ...] = (a + b, 2 * a + b, 2 * (a + b), double)
        figure = Figure(
            shapes=(corners,), ticks=((left, top), (right, top)), lengths=tuple(lengths)
        )
    else:
        working = Working(f"The sides of the triangle are {a}, {b} and {c}.")
        total = working.step(a, "+", b)
        answer = working.step(total, "+", c)
        slips = (total, b + c, a + c, answer + a, answer + b, answer + c)
        lengths.append(Length(right, top, show(c), inside))
        figure = Figure(shapes=(corners,), lengths=tuple(lengths))
    return _draft(scene_key("sides", a, b, c), figure, "triangle", measure, working, answer, slips)


def _regular(rng: random.Random, measure: Measure) -> Draft:
    count, side = rng.choice((3, 4, 5, 6)), rng.randint(3, 40)
    name = {3: "equilateral triangle", 4: "square", 5: "regular pentagon", 6: "regular hexagon"}
    radius = side / (2 * math.sin(math.pi / count))
    start = 270 - 180 / count
    shape = tuple(polar(start + 360 * i / count, radius) for i in range(count))
    sides = tuple(zip(shape, (*shape[1:], shape[0]), strict=True))
    labelled = rng.randrange(count)
    working = Working(f"The {count} sides are equal, {side} each.")
    answer = working.step(count, "×", side)
    slips = ((count - 1) * side, (count + 1) * side, side * side, count + side, 2 * side)
    figure = Figure(
        shapes=(shape,), ticks=sides, lengths=(Length(*sides[labelled], show(side), 0j),)
    )
    key = scene_key("regular", count, side)
    return _draft(key, figure, name[count], measure, working, answer, slips)


def _half_rectangle(rng: random.Random, measure: Measure) -> Draft:
    """A triangle by base and height."""
    base, height = rng.randint(4, 24), rng.randint(3, _DIGIT)
    while base * height % 2 or not 0.9 < base / height < 2.4:
        base, height = rng.randint(4, 24), rng.randint(3, _DIGIT)
    foot = complex(base * rng.uniform(0.3, 0.7))
    top = foot + complex(0, height)
    corners = (0j, complex(base), top)
    working = Working(f"The base of the triangle is {base} and its height {height}.")
    working.say("The area is half of base times height.")
    product = working.step(base, "×", height)
    answer = working.step(product, "÷", 2)
    figure = Figure(
        shapes=(corners,),
        dashes=((foot, top),),
        corners=(Angle(foot, complex(base), top),),
        lengths=(
            Length(0j, complex(base), show(base), top, outer=True),
            Length(foot, top, show(height), 0j),
        ),
    )
    slips = (product, base + height, 2 * product, (base + height) // 2)
    key = scene_key("height", base, height)
    return _draft(key, figure, "triangle", measure, working, answer, slips)


def _trapezoid(rng: random.Random, measure: Measure) -> Draft:
    low, high, height = 0, 0, 0
    while (low + high) * height % 2 or not 0.35 < high / max(low, 1) < 0.8 or low > 2.4 * height:
        low, high, height = rng.randint(4, 24), rng.randint(2, 18), rng.randint(3, _DIGIT)
    shift = (low - high) * rng.uniform(0.15, 0.85)
    left, right = complex(shift, height), complex(shift + high, height)
    shape = (0j, complex(low), right, left)
    foot = complex(shift + 0.3 * high)
    top = foot + complex(0, height)
    working = Working(f"The parallel sides are {low} and {high}, the height is {height}.")
    working.say("The area is half of their sum times the height.")
    total = working.step(low, "+", high)
    product = working.step(total, "×", height)
    answer = working.step(product, "÷", 2)
    figure = Figure(
        shapes=(shape,),
        dashes=((foot, top),),
        corners=(Angle(foot, complex(low), top),),
        lengths=(
            Length(0j, complex(low), show(low), top, outer=True),
            Length(left, right, show(high), foot, outer=True),
            Length(foot, top, show(height), 0j),
        ),
    )
    slips = (product, low * height, high * height, total + height, low * high)
    key = scene_key("trapezoid", low, high, height)
    return _draft(key, figure, "trapezoid", measure, working, answer, slips)


def _disc(rng: random.Random, measure: Measure) -> Draft:
    radius, by_radius = rng.randint(2, 12), rng.random() < 0.5
    if by_radius:
        working = Working(f"The radius is {radius}.")
    else:
        working = Working(f"The diameter is {2 * radius}.")
        working.step(2 * radius, "÷", 2)
    working.say("The area is π times the radius times the radius.")
    square = working.step(radius, "×", radius)
    answer = working.step(PI, "×", square)
    rim = radius * polar(rng.choice((0, 25, 40, 140, 155)))
    ends = (0j, rim) if by_radius else (-rim, rim)
    figure = Figure(
        circles=((0j, rim),),
        shapes=(),
        lines=(ends,),
        dots=(0j,),
        lengths=(Length(*ends, show(radius if by_radius else 2 * radius), -1j * radius),),
    )
    slips = (*tuple(tidy(PI * part) for part in (2 * radius, 4 * square, radius)), square)
    return _draft(scene_key("circle", 2 * radius), figure, "circle", "disc", working, answer, slips)

"""Questions that ask for an angle of a triangle, on a line, at a crossing, between parallels.

Each function draws random values and returns a Draft; it knows no split, style or size.
"""

from __future__ import annotations

import math
import random

from rft.scenes.drafts import (
    Draft,
    Letters,
    Number,
    Working,
    angle_draft,
    degrees,
    scene_key,
)
from rft.scenes.figures import (
    Angle,
    Figure,
    Point,
    Segment,
    corner_names,
    polar,
    triangle_of_angles,
)


def triangle_angle(rng: random.Random, letters: Letters) -> Draft:
    """The third angle of a triangle, or an angle outside it."""
    values = [0, 0, 0]
    while not 30 <= values[2] <= 110:
        values[0], values[1] = rng.randint(30, 110), rng.randint(30, 110)
        values[2] = 180 - values[0] - values[1]
    rng.shuffle(values)
    manner = rng.choice(("marked", "named", "exterior"))
    if manner == "exterior":
        return _exterior_angle(rng, letters, values)
    corners = triangle_of_angles(values[0], values[1])
    asked = rng.randrange(3)
    shown = [i for i in range(3) if i != asked]
    a, b = (values[i] for i in shown)
    texts = [degrees(value) for value in values]
    if manner == "named":
        subject, texts[asked] = letters.corners[asked], ""
        seen = " and ".join(f"angle {letters.corners[i]} = {texts[i]}" for i in shown)
        working = Working(f"The triangle has {seen}.")
    else:
        subject = texts[asked] = letters.unknown
        working = Working(f"The triangle has angles {degrees(a)}, {degrees(b)} and {subject}.")
    working.say("The angles of a triangle add up to 180°.")
    total = working.step(a, "+", b)
    answer = working.step(180, "-", total)
    figure = Figure(
        shapes=(corners,),
        angles=tuple(
            Angle(corners[i], corners[i - 1], corners[i - 2], texts[i], i == asked)
            for i in range(3)
        ),
        names=corner_names(corners, letters.corners) if manner == "named" else (),
    )
    slips = (total, 180 - a, 180 - b, abs(90 - a), abs(90 - b), abs(a - b))
    key = scene_key("triangle", *values)
    return angle_draft(key, figure, subject, answer, working, slips)


def _exterior_angle(rng: random.Random, letters: Letters, values: list[int]) -> Draft:
    """The base of the triangle runs on past its right end."""
    left, right, top = triangle_of_angles(values[0], values[1])
    x, rule = letters.unknown, "An exterior angle is the sum of the two opposite angles."
    slips: tuple[Number, ...]
    if rng.random() < 0.5:
        a, b = values[0], values[2]
        texts, asked = (degrees(a), degrees(b), x), 2
        working = Working(f"The opposite angles are {degrees(a)} and {degrees(b)}; {x} is outside.")
        working.say(rule)
        answer = working.step(a, "+", b)
        slips = (180 - a - b, 180 - a, 180 - b, abs(a - b))
    else:
        a, b = values[0], 180 - values[1]
        texts, asked = (degrees(a), x, degrees(b)), 1
        working = Working(f"The angle outside is {degrees(b)}; {degrees(a)} and {x} are opposite.")
        working.say(rule)
        answer = working.step(b, "-", a)
        slips = (180 - b, 180 - a, abs(180 - a - b), abs(90 - a))
    end = right + 0.4
    figure = Figure(
        shapes=((left, right, top),),
        lines=((right, end),),
        angles=(
            Angle(left, right, top, texts[0]),
            Angle(top, left, right, texts[1], asked == 1),
            Angle(right, end, top, texts[2], asked == 2),
        ),
    )
    return angle_draft(scene_key("triangle", *values), figure, x, answer, working, slips)


def isosceles_angle(rng: random.Random, letters: Letters) -> Draft:
    """From the apex to the base angles and back, also by way of the angle outside."""
    manner = rng.choice(("base", "apex", "outside"))
    x, apex = letters.unknown, rng.randint(30, 110)
    if manner != "base":
        apex -= apex % 2
    corners = triangle_of_angles((180 - apex) / 2, (180 - apex) / 2)
    left, right, top = corners
    lines: tuple[Segment, ...] = ()
    slips: tuple[Number, ...]
    if manner == "base":
        working = Working(
            f"Two sides are equal, so both base angles are {x}; the third is {apex}°."
        )
        rest = working.step(180, "-", apex)
        answer = working.step(rest, "÷", 2)
        angles: tuple[Angle, ...] = (
            Angle(top, left, right, degrees(apex)),
            rng.choice((Angle(left, right, top, x, True), Angle(right, left, top, x, True))),
        )
        slips = (rest, apex, abs(180 - 2 * apex), 90 - apex // 2 + 10)
    else:
        given = (180 - apex) // 2 if manner == "apex" else 180 - (180 - apex) // 2
        if manner == "apex":
            working = Working(f"Two sides are equal, so both base angles are {given}°.")
            base: Number = given
            angles = (Angle(left, right, top, degrees(given)),)
        else:
            working = Working(f"Two sides are equal; the angle outside the base is {given}°.")
            base = working.step(180, "-", given)
            end = right + 0.4
            lines = ((right, end),)
            angles = (Angle(right, end, top, degrees(given)),)
        double = working.step(2, "×", base)
        answer = working.step(180, "-", double)
        angles += (Angle(top, left, right, x, True),)
        slips = (180 - given, given, given // 2, double, 90 - apex // 2)
    figure = Figure(
        shapes=(corners,), lines=lines, angles=angles, ticks=((left, top), (right, top))
    )
    return angle_draft(scene_key("isosceles", apex), figure, x, answer, working, slips)


def line_angle(rng: random.Random, letters: Letters) -> Draft:
    """Angles side by side that fill a right angle, a straight line or a full turn."""
    whole = rng.choice((90, 180, 180, 180, 360, 360))
    parts, least = {90: (2, 25), 180: (rng.choice((2, 3, 3)), 28), 360: (3, 75)}[whole]
    most = min(152, whole - least)
    values = [0]
    while not least <= values[-1] <= most:
        values = [rng.randint(least, most) for _ in range(parts - 1)]
        values.append(whole - sum(values))
    rng.shuffle(values)
    asked = rng.randrange(parts)
    x, given = letters.unknown, [v for i, v in enumerate(values) if i != asked]
    turns = [sum(values[:i]) for i in range(parts + 1)]
    rays = [polar(turn) for turn in turns]
    kind, seen = {
        90: ("corner", "fill a right angle"),
        180: ("line", "lie on a straight line"),
        360: ("point", "go all the way round"),
    }[whole]
    listed = ", ".join(degrees(value) for value in given)
    working = Working(f"The angles {listed} and {x} {seen}, {whole}° in all.")
    total: Number = given[0]
    if parts == 3:
        total = working.step(given[0], "+", given[1])
    answer = working.step(whole, "-", total)
    wrong = {90: 180, 180: 360, 360: 180}[whole]
    slips = (wrong - int(total), total, *given, abs(90 - int(total)), (whole - given[0]) // 2)
    figure = Figure(
        lines=tuple((0j, ray) for ray in (rays[:-1] if whole == 360 else rays)),
        dots=(0j,),
        corners=(Angle(0j, rays[0], rays[-1]),) if whole == 90 else (),
        angles=tuple(
            Angle(0j, rays[i], rays[i + 1], x if i == asked else degrees(values[i]), i == asked)
            for i in range(parts)
        ),
    )
    return angle_draft(scene_key(kind, *values), figure, x, answer, working, slips)


def vertical_angle(rng: random.Random, letters: Letters) -> Draft:
    """Two or three lines through one point: opposite angles are equal."""
    x, slant = letters.unknown, rng.uniform(-25, 25)
    if rng.random() < 0.4:
        a = rng.randint(38, 142)
        values = [a, 180 - a]
        sector = rng.choice((1, 2, 2, 3))  # twice as often the opposite one
        shown = {0: a}
    else:
        values = [0, 0, 0]
        while not 34 <= values[2] <= 100:
            values[0], values[1] = rng.randint(34, 100), rng.randint(34, 100)
            values[2] = 180 - values[0] - values[1]
        rng.shuffle(values)
        shown = {0: values[0], 1: values[1]}
        sector = rng.choice((3, 4, 5, 5))
    count = len(values)
    turns = [slant + sum(values[:i]) for i in range(count)]
    rays = [polar(turn) for turn in turns]
    rays += [-ray for ray in rays]
    angles = [Angle(0j, rays[i], rays[i + 1], degrees(value)) for i, value in sorted(shown.items())]
    angles.append(Angle(0j, rays[sector], rays[(sector + 1) % (2 * count)], x, True))
    a = shown[0]
    listed = " and ".join(degrees(value) for value in shown.values())
    lines = "Two" if count == 2 else "Three"
    working = Working(f"{lines} lines cross; {listed} {'is' if count == 2 else 'are'} shown.")
    answer: Number
    if sector - count in shown:
        answer = shown[sector - count]
        working.say(f"{x} is opposite {degrees(answer)}, and opposite angles are equal.")
        slips: tuple[Number, ...] = (180 - answer, abs(90 - answer), 180 - answer // 2)
        slips += (180 - sum(shown.values()), *(v for v in shown.values() if v != answer))
    elif count == 2:
        working.say(f"{x} lies beside {degrees(a)} on a straight line, 180° in all.")
        answer = working.step(180, "-", a)
        slips = (a, abs(90 - a), 180 - a // 2)
    else:
        working.say(f"{x} is opposite the third angle on the line, 180° in all.")
        total = working.step(a, "+", shown[1])
        answer = working.step(180, "-", total)
        slips = (total, a, shown[1], 180 - a, 180 - shown[1])
    figure = Figure(
        lines=tuple((-rays[i], rays[i]) for i in range(count)), dots=(0j,), angles=tuple(angles)
    )
    return angle_draft(scene_key("crossing", *values), figure, x, answer, working, slips)


def parallel_angle(rng: random.Random, letters: Letters) -> Draft:
    """Two parallels, cut by a line or joined by a bent one."""
    return (_bend if rng.random() < 0.3 else _transversal)(rng, letters)


def _transversal(rng: random.Random, letters: Letters) -> Draft:
    """Sectors are numbered counter-clockwise from the one above the line, on its right."""
    tilt = rng.randint(40, 140)
    cut = polar(tilt)
    height = 0.42
    upper = complex(height / math.tan(math.radians(tilt)), height)
    lower = -upper
    reach = 0.4 / math.sin(math.radians(tilt))
    above, below = rng.randrange(4), rng.randrange(4)
    x = letters.unknown

    def mark(at: Point, sector: int, text: str, asked: bool) -> Angle:
        rays = (1 + 0j, cut, -1 + 0j, -cut)
        return Angle(at, at + rays[sector], at + rays[(sector + 1) % 4], text, asked)

    given = tilt if above % 2 == 0 else 180 - tilt
    working = Working(f"Two parallel lines are cut, one at {given}°, the other at {x}.")
    answer: Number
    slips: tuple[Number, ...] = (180 - given, abs(90 - given), 180 - given // 2, given // 2)
    if above == below:
        working.say("They are corresponding angles, so they are equal.")
        answer = given
    elif (above - below) % 2 == 0:
        working.say("They are alternate angles, so they are equal.")
        answer = given
    elif (above, below) in ((2, 1), (3, 0)):
        working.say("They lie between the parallels on one side and add up to 180°.")
        answer = working.step(180, "-", given)
        slips = (given, *slips[1:])
    else:
        working.say(f"{x} lies beside the corresponding angle {given}° on a straight line.")
        answer = working.step(180, "-", given)
        slips = (given, *slips[1:])
    left, right = min(upper.real, lower.real) - 0.75, max(upper.real, lower.real) + 0.75
    levels = ((complex(left, y), complex(right, y)) for y in (height, -height))
    angles = [mark(upper, above, degrees(given), False), mark(lower, below, x, True)]
    figure = Figure(
        lines=(*levels, (lower - reach * cut, upper + reach * cut)),
        dots=(upper, lower),
        arrows=tuple((complex(right - 0.12, y), complex(right, y)) for y in (height, -height)),
        angles=tuple(angles),
    )
    return angle_draft(scene_key("parallels", tilt, 180 - tilt), figure, x, answer, working, slips)


def _bend(rng: random.Random, letters: Letters) -> Draft:
    """A bent line between parallels: the angle at its knee is the sum of the two at its ends."""
    a, b = rng.randint(44, 78), rng.randint(44, 78)
    height = 0.5
    drop = 2 * height * rng.uniform(0.42, 0.58)
    knee = complex(0, height - drop)
    top = knee + polar(180 - a, drop / math.sin(math.radians(a)))
    bottom = knee + polar(180 + b, (2 * height - drop) / math.sin(math.radians(b)))
    left, right = min(top.real, bottom.real) - 0.25, knee.real + 0.35
    x, asked = letters.unknown, rng.choice((1, 1, 0, 2))
    texts = [degrees(a), degrees(a + b), degrees(b)]
    texts[asked] = x
    shown = [text for text in texts if text != x]
    working = Working(f"Between parallels a line bends; {shown[0]} and {shown[1]} are shown.")
    working.say("The angle at the bend is the sum of the two at the ends.")
    slips: tuple[Number, ...]
    if asked == 1:
        answer = working.step(a, "+", b)
        slips = (180 - a - b, 180 - a, 180 - b, abs(a - b), 90 + a)
    else:
        other = b if asked == 0 else a
        answer = working.step(a + b, "-", other)
        slips = (180 - a - b, 180 - other, other, (a + b) // 2, abs(90 - other))
    figure = Figure(
        lines=(
            (complex(left, height), complex(right, height)),
            (complex(left, -height), complex(right, -height)),
            (top, knee),
            (knee, bottom),
        ),
        dots=(top, knee, bottom),
        arrows=tuple((complex(right - 0.1, y), complex(right, y)) for y in (height, -height)),
        angles=(
            Angle(top, top + 0.8, knee, texts[0], asked == 0),
            Angle(knee, top, bottom, texts[1], asked == 1),
            Angle(bottom, bottom + 0.8, knee, texts[2], asked == 2),
        ),
    )
    return angle_draft(scene_key("bend", a, b), figure, x, answer, working, slips)

"""Questions about circles: angles at the centre and at the rim, radii, chords, circumference.

Each function draws random values and returns a Draft; it knows no split, style or size.
"""

from __future__ import annotations

import random
from decimal import Decimal

from rft.scenes.drafts import (
    PI,
    Draft,
    Letters,
    Number,
    Working,
    angle_draft,
    degrees,
    number_questions,
    scene_key,
    show,
    tidy,
)
from rft.scenes.figures import Angle, Figure, Length, Name, Point, Segment, polar
from rft.scenes.pythagoras import chord, tangent

CENTRE: Point = 0j
_CIRCLE: Segment = (CENTRE, 1 + 0j)


def circle_angle(rng: random.Random, letters: Letters) -> Draft:
    """An angle that a theorem about circles gives."""
    manners = (_at_centre, _at_centre, _in_semicircle, _between_radii, _cyclic)
    return rng.choice(manners)(rng, letters)


def _at_centre(rng: random.Random, letters: Letters) -> Draft:
    """The angle at the centre is twice the angle at the rim."""
    rim, x = rng.randint(40, 72), letters.unknown
    left, right = polar(270 - rim), polar(270 + rim)
    top = polar(90 + rng.uniform(-28, 28))
    slips: tuple[Number, ...]
    if rng.random() < 0.5:
        texts = (degrees(rim), x)
        working = Working(f"The angle at the rim is {rim}°; {x} is at the centre on the same arc.")
        working.say("The angle at the centre is twice the angle at the rim.")
        answer = working.step(2, "×", rim)
        slips = (rim, 180 - rim, 180 - 2 * rim, 90 - rim, 90 + rim)
    else:
        texts = (x, degrees(2 * rim))
        working = Working(f"The angle at the centre is {2 * rim}°; {x} is at the rim on that arc.")
        working.say("The angle at the rim is half the angle at the centre.")
        answer = working.step(2 * rim, "÷", 2)
        slips = (2 * rim, 180 - 2 * rim, 90 - rim, 180 - rim)
    figure = Figure(
        circles=(_CIRCLE,),
        lines=((top, left), (top, right), (CENTRE, left), (CENTRE, right)),
        dots=(CENTRE,),
        angles=(
            Angle(top, left, right, texts[0], texts[0] == x),
            Angle(CENTRE, left, right, texts[1], texts[1] == x),
        ),
    )
    return angle_draft(scene_key("inscribed", rim), figure, x, answer, working, slips)


def _in_semicircle(rng: random.Random, letters: Letters) -> Draft:
    """The angle that stands on a diameter is right."""
    given, x = rng.randint(25, 65), letters.unknown
    left, right, top = -1 + 0j, 1 + 0j, polar(2 * given)
    working = Working(f"One side of the triangle is a diameter; {given}° and {x} lie on it.")
    working.say("The angle opposite a diameter is 90°.")
    answer = working.step(90, "-", given)
    figure = Figure(
        circles=(_CIRCLE,),
        lines=((left, right), (left, top), (right, top)),
        dots=(CENTRE,),
        angles=(Angle(left, right, top, degrees(given)), Angle(right, left, top, x, True)),
        names=(Name(CENTRE, letters.centre, 1j),),
    )
    slips = (180 - given, given, 2 * given, 180 - 2 * given, (180 - given) // 2)
    key = scene_key("semicircle", given, 90 - given)
    return angle_draft(key, figure, x, answer, working, slips)


def _between_radii(rng: random.Random, letters: Letters) -> Draft:
    """Two radii and a chord make an isosceles triangle."""
    central, x = rng.randint(72, 108), letters.unknown
    left, right = polar(270 - central / 2), polar(270 + central / 2)
    working = Working(f"Two radii meet at {central}°, so the angles at the rim are both {x}.")
    rest = working.step(180, "-", central)
    answer = working.step(rest, "÷", 2)
    figure = Figure(
        circles=(_CIRCLE,),
        lines=((CENTRE, left), (CENTRE, right), (left, right)),
        dots=(CENTRE,),
        angles=(
            Angle(CENTRE, left, right, degrees(central)),
            Angle(right, CENTRE, left, x, True),
        ),
        names=(Name(CENTRE, letters.centre, -1j),),
    )
    slips = (rest, central // 2, 180 - central // 2, 90 - central // 2 + 10)
    return angle_draft(scene_key("radii", central), figure, x, answer, working, slips)


def _cyclic(rng: random.Random, letters: Letters) -> Draft:
    """Opposite angles of a quadrilateral in a circle."""
    given, x = rng.randint(58, 122), letters.unknown
    low = 270 - given + rng.uniform(-15, 15)
    high = low + 2 * given
    corners = (
        polar(low),
        polar(low + 2 * given * rng.uniform(0.4, 0.6)),
        polar(high),
        polar(high + (360 - 2 * given) * rng.uniform(0.4, 0.6)),
    )
    working = Working(f"Four corners lie on the circle; {given}° and {x} are opposite.")
    working.say("Opposite angles of such a quadrilateral add up to 180°.")
    answer = working.step(180, "-", given)
    figure = Figure(
        circles=(_CIRCLE,),
        shapes=(corners,),
        angles=(
            Angle(corners[3], corners[0], corners[2], degrees(given)),
            Angle(corners[1], corners[0], corners[2], x, True),
        ),
    )
    slips = (given, abs(90 - given), 180 - given // 2, given // 2, (360 - given) // 2)
    return angle_draft(scene_key("cyclic", given, 180 - given), figure, x, answer, working, slips)


def circle_length(rng: random.Random, letters: Letters) -> Draft:
    """Radius, diameter and circumference; a chord and its distance from the centre."""
    if rng.random() < 0.6:
        return rng.choice((chord, tangent))(rng, letters)
    asked = rng.choice(("radius", "diameter", "circumference"))
    diameter = rng.randint(4, 20 if asked == "circumference" else 99)
    radius = tidy(Decimal(diameter) / 2)
    by_radius = asked == "diameter" or (asked == "circumference" and rng.random() < 0.5)
    working = Working(
        f"The line from the centre to the rim is a radius, {show(radius)}."
        if by_radius
        else f"The line through the centre is a diameter, {diameter}."
    )
    slips: tuple[Number, ...]
    questions = number_questions(f"{asked} of the circle")
    answer: Number
    if asked == "radius":
        answer = working.step(diameter, "÷", 2)
        slips = (2 * diameter, diameter, tidy(Decimal(diameter) / 4))
    elif asked == "diameter":
        answer = working.step(2, "×", radius)
        slips = (radius, 4 * radius, tidy(Decimal(diameter) / 4), diameter + 2)
    else:
        questions = number_questions(f"{asked} of the circle", " Take π = 3.14.")
        working.say("The circumference is π times the diameter.")
        whole = working.step(2, "×", radius) if by_radius else diameter
        answer = working.step(PI, "×", whole)
        slips = tuple(tidy(PI * part) for part in (radius, 2 * diameter, radius * radius))
    rim = diameter / 2 * polar(rng.choice((0, 25, 40, 140, 155, 205, 320)))
    ends = (CENTRE, rim) if by_radius else (-rim, rim)
    figure = Figure(
        circles=((CENTRE, rim),),
        lines=(ends,),
        dots=(CENTRE,),
        lengths=(Length(*ends, show(radius if by_radius else diameter), -1j * abs(rim)),),
    )
    return Draft(
        key=scene_key("circle", diameter),
        figure=figure,
        measure=asked,  # type: ignore[arg-type]  # a tuple of these very words
        questions=questions,
        subject=f"the {asked}",
        answer=answer,
        working=str(working),
        slips=slips,
    )

"""What a geometry question is before it is drawn, and the arithmetic that answers it.

A Working computes while it writes, so that the derivation and the value cannot drift apart.
This module knows no drawing, no split and no multiple choice.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from rft.scenes.figures import Figure

Number = int | Decimal

Measure = Literal[
    "angle", "length", "perimeter", "area", "radius", "diameter", "circumference", "disc"
]

PI = Decimal("3.14")

_SIGNS = {"+": operator.add, "-": operator.sub, "×": operator.mul}


@dataclass(frozen=True)
class Letters:
    """The letters that a drawing style uses; never A to D, which name the choices."""

    unknown: str
    corners: str
    centre: str


@dataclass(frozen=True)
class Draft:
    """A question about a figure, with its derivation, before it is drawn.

    ``key`` is the canonical description of the scene: the same figure in other letters, mirrored
    or with another of its values hidden has the same key. ``measure`` says what of the figure
    the answer is; ``slips`` are the results of typical errors; ``subject`` is what the answer's
    last sentence names.
    """

    key: str
    figure: Figure
    measure: Measure
    questions: tuple[str, ...]
    subject: str
    answer: Number
    working: str
    slips: tuple[Number, ...]


class Working:
    """A chain of thought: what is read off the figure, then each step, computed as written."""

    def __init__(self, seen: str) -> None:
        self._sentences = [seen]

    def say(self, sentence: str) -> None:
        self._sentences.append(sentence)

    def step(self, left: Number, sign: Literal["+", "-", "×", "÷"], right: Number) -> Number:
        """Write ``left sign right = result`` and return the result."""
        if sign == "÷":
            result = tidy(Decimal(left) / Decimal(right))
        else:
            result = tidy(Decimal(_SIGNS[sign](left, right)))
        self._sentences.append(f"{show(left)} {sign} {show(right)} = {show(result)}.")
        return result

    def __str__(self) -> str:
        return " ".join(self._sentences)


def tidy(number: Decimal) -> Number:
    """The number as an int where it is whole."""
    return int(number) if number == number.to_integral_value() else number.normalize()


def show(number: Number) -> str:
    """The number as it is written in figures and answers: no exponent, no trailing zeros."""
    return str(number) if isinstance(number, int) else f"{number.normalize():f}"


def degrees(number: Number) -> str:
    return f"{show(number)}°"


def angle_draft(
    key: str,
    figure: Figure,
    name: str,
    answer: Number,
    working: Working,
    slips: tuple[Number, ...],
) -> Draft:
    """A draft that asks for the angle of this name."""
    questions = (
        f"What is the size of angle {name} in degrees?",
        f"Find angle {name}, in degrees.",
        f"How many degrees is angle {name}?",
    )
    subject = f"angle {name}"
    return Draft(key, figure, "angle", questions, subject, answer, str(working), slips)


def length_draft(
    key: str,
    figure: Figure,
    name: str,
    answer: Number,
    working: Working,
    slips: tuple[Number, ...],
) -> Draft:
    """A draft that asks for a length that the figure marks."""
    questions = (
        f"What is the length of {name}?",
        f"Find the length of {name}.",
        f"How long is {name}?",
    )
    return Draft(key, figure, "length", questions, name, answer, str(working), slips)


def number_questions(name: str, after: str = "") -> tuple[str, ...]:
    return tuple(
        text + after
        for text in (
            f"What is the {name}?",
            f"Find the {name}.",
            f"Work out the {name}.",
        )
    )


def scene_key(kind: str, *values: Number) -> str:
    """The canonical description of a figure by its kind and values, in whatever order."""
    return "|".join([kind, *(show(number) for number in sorted(values))])

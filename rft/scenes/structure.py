"""Structure perception: geometry figures with a question that only the figure answers.

Half of the questions are numeric, half offer four choices. ``kind`` is the sort of question,
with "-choice" at its end where choices are offered. Outside the training domain the same
questions are drawn by other hands, turned, and lettered otherwise. This module knows which sorts
there are and how they become Problems; the figures are made elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from PIL import Image

from rft.scenes import Split, belongs
from rft.scenes.angles import (
    isosceles_angle,
    line_angle,
    parallel_angle,
    triangle_angle,
    vertical_angle,
)
from rft.scenes.circles import circle_angle, circle_length
from rft.scenes.drafts import Draft, Letters, Number, degrees, show
from rft.scenes.layout import Layout, place
from rft.scenes.lengths import area, perimeter
from rft.scenes.pens import OTHER_HANDS, TEXTBOOK, Style, draw
from rft.scenes.pythagoras import right_triangle
from rft.types import Problem

KINDS: dict[str, Callable[[random.Random, Letters], Draft]] = {
    "triangle-angle": triangle_angle,
    "isosceles-angle": isosceles_angle,
    "line-angle": line_angle,
    "vertical-angle": vertical_angle,
    "parallel-angle": parallel_angle,
    "circle-angle": circle_angle,
    "circle-length": circle_length,
    "right-triangle": right_triangle,
    "perimeter": perimeter,
    "area": area,
}

_USUAL_UNKNOWNS, _USUAL_CORNERS, _USUAL_CENTRE = "xy", ("PQR", "KLM", "EFG", "RST"), "O"
_OTHER_UNKNOWNS, _OTHER_CORNERS, _OTHER_CENTRE = "ntkw", ("UVW", "XYZ", "HJN"), "Z"


def pose(
    rng: random.Random, split: Split, *, shifted: bool | None = None
) -> tuple[Callable[[int], Image.Image], Problem]:
    """A problem whose figure is not yet drawn, and what draws it at a size in pixels.

    ``shifted``: whether another hand than the textbook's draws it; without it, as the split has it.
    """
    shifted = split not in ("train", "id") if shifted is None else shifted
    kind = rng.choice(tuple(KINDS))
    style = rng.choice(OTHER_HANDS if shifted else TEXTBOOK)
    draft, layout = sketch(rng, kind, split, style, shifted=shifted)
    question, answer, closing = rng.choice(draft.questions), show(draft.answer), ""
    if rng.random() < 0.5:
        kind += "-choice"
        options = choices(rng, draft)
        answer = "ABCD"[options.index(draft.answer)]
        written = [degrees(o) if draft.measure == "angle" else show(o) for o in options]
        listed = " ".join(f"{letter}. {text}" for letter, text in zip("ABCD", written, strict=True))
        question, closing = f"{question} Choices: {listed}", f" {chosen(options, draft.answer)}"
    posed = Problem(
        id="",
        task="structure",
        images=(),
        question=question,
        answer=answer,
        cot=f"{draft.working} So {draft.subject} = {show(draft.answer)}.{closing}",
        kind=kind,
        scene=draft.key,
    )
    return partial(draw, layout, style, rng), posed


def problem(rng: random.Random, split: Split, size: int) -> Problem:
    """One question about one figure; its id is given by the caller."""
    paint, posed = pose(rng, split)
    return replace(posed, images=(paint(size),))


def chosen(options: Sequence[Number], answer: Number) -> str:
    """Each choice up to the right one beside the answer, and whether they are the same.

    Side by side, so that digits are compared with what stands a few tokens before. To compare over
    a distance, or to find a number's letter, a small model did not learn from thousands of them.
    """
    upto = options[: options.index(answer) + 1]
    judged = (
        f"{letter}: {show(option)} = {show(answer)}? {'yes' if option == answer else 'no'}"
        for letter, option in zip("ABCD", upto, strict=False)
    )
    return f"{'; '.join(judged)}."


def sketch(
    rng: random.Random, kind: str, split: Split, style: Style, *, shifted: bool
) -> tuple[Draft, Layout]:
    """A draft of this kind that belongs to the split and whose labels all find room."""
    while True:
        draft = KINDS[kind](rng, _letters(rng, shifted))
        if not belongs(draft.key, split):
            continue
        figure = draft.figure.mirrored() if rng.random() < 0.5 else draft.figure
        if shifted:
            figure = figure.turned(rng.uniform(20, 340))
        layout = place(figure, style.inside)
        if layout is not None:
            return draft, layout


def choices(rng: random.Random, draft: Draft) -> list[Number]:
    """The answer among three wrong options, in random order.

    Wrong options are the results of typical errors and of slips of calculation. Neither the
    answer's rank among them nor its distance to them gives it away.
    """
    gold, most = draft.answer, 179 if draft.measure == "angle" else 10**9
    slips = [slip for slip in dict.fromkeys(draft.slips) if 0 < slip <= most and slip != gold]
    smaller, options, tries = rng.randrange(4), [gold], 0
    while len(set(options)) < 4 or (sum(o < gold for o in options) != smaller and tries < 100):
        wanted = rng.choices(range(4), (1, 1, 2, 3))[0]
        taken = rng.sample(slips, min(len(slips), wanted))
        count = 3 - len(taken)
        # As many of the four are near to each other whether the answer is one of them or not.
        home = gold if rng.random() < (count + 1) / 4 else rng.choice(taken)
        near = [o for o in _near(rng, home, count) if 0 < o <= most]
        options, tries = [gold, *taken, *near], tries + 1
    rng.shuffle(options)
    return options


def _near(rng: random.Random, home: Number, count: int) -> list[Number]:
    """So many numbers that slips of calculation could make of each other and of ``home``.

    Each is a step from another; that may be ``home`` or not, so that it does not stand out.
    """
    places = [0]
    for _ in range(count):
        places.append(rng.choice(places) + rng.choice((10, 5, 2, 1, -10, -5, -2, -1)))
    start = places.pop(rng.randrange(len(places)))
    return [home + place - start for place in places]


def _letters(rng: random.Random, shifted: bool) -> Letters:
    if shifted:
        return Letters(rng.choice(_OTHER_UNKNOWNS), rng.choice(_OTHER_CORNERS), _OTHER_CENTRE)
    return Letters(rng.choice(_USUAL_UNKNOWNS), rng.choice(_USUAL_CORNERS), _USUAL_CENTRE)

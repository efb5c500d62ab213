"""Visual counting: solids on a table, and arithmetic about them.

The questions are CLEVR-Math's kinds (count, subtract, add, several steps). The domain shift
is what Super-CLEVR is to CLEVR: other looks of the objects, clutter, busy backgrounds and
more objects, with the same vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from PIL import Image, ImageDraw

from rft.scenes import Split, belongs
from rft.scenes.grid import cell
from rft.scenes.objects import COLORS, SHAPES, Look, place, table
from rft.types import Problem

SIZES = ("small", "large")
MATERIALS = ("rubber", "metal")
KINDS = ("count", "subtract", "subtract-other", "add", "two-steps")

#: Diameter as a share of the image's side.
_SIDE = {"small": 0.185, "large": 0.30}
_TONES = ((203, 205, 209), (214, 208, 198), (196, 204, 210), (222, 222, 222), (188, 190, 186))
_BUSY_TONES = ((120, 146, 128), (168, 128, 104), (96, 118, 152), (186, 172, 120), (88, 92, 100))


@dataclass(frozen=True)
class Thing:
    """An object of a scene; ``x`` and ``y`` are its centre as shares of the side."""

    size: str
    color: str
    material: str
    shape: str
    x: float
    y: float

    @property
    def name(self) -> str:
        return f"{self.size} {self.color} {self.material} {self.shape}"

    @property
    def cell(self) -> str:
        """Where it is, in a word."""
        return cell(self.x, self.y)


@dataclass(frozen=True)
class Group:
    """What a question speaks of: some attributes, each fixed or left open ("")."""

    size: str = ""
    color: str = ""
    material: str = ""
    shape: str = ""

    def __contains__(self, thing: object) -> bool:
        return all(
            not want or want == getattr(thing, field)
            for field, want in (
                ("size", self.size),
                ("color", self.color),
                ("material", self.material),
                ("shape", self.shape),
            )
        )

    def words(self, number: int = 2) -> str:
        noun = (self.shape or "object") + ("" if number == 1 else "s")
        return " ".join(w for w in (self.size, self.color, self.material, noun) if w)


EVERYTHING = Group()


def scene(rng: random.Random, split: Split, most: int = 6) -> list[Thing]:
    """Draw a scene that belongs to the split, its objects from left to right.

    ``most`` bounds their number; out of domain there are four to nine.
    """
    while True:
        count = rng.randint(4, 9) if split == "ood" else rng.randint(1, most)
        things = _layout(rng, count)
        if things and belongs(key(things), split):
            return things


def key(things: list[Thing]) -> str:
    """A scene's canonical description: what is where, on a grid of eighths."""
    return ";".join(f"{t.name}@{int(t.x * 8)},{int(t.y * 8)}" for t in things)


def _layout(rng: random.Random, count: int) -> list[Thing]:
    """Objects that hardly overlap and whose order from left to right is plain to see.

    A scene of few attributes has groups worth counting, so each scene draws its objects
    from a palette of its own. Empty when the table is too full.
    """
    colors = rng.sample(sorted(COLORS), rng.randint(2, 5))
    shapes = rng.sample(SHAPES, rng.randint(1, 3))
    things: list[Thing] = []
    for _ in range(60 * count):
        if len(things) == count:
            break
        size = rng.choice(SIZES)
        reach = min(0.4, _SIDE[size] * 0.55 + 0.02)
        x, y = rng.uniform(reach, 1 - reach), rng.uniform(reach, 1 - reach)
        thing = Thing(
            size,
            rng.choice(colors),
            rng.choice(MATERIALS),
            rng.choice(shapes),
            round(x, 3),
            round(y, 3),
        )
        clear = all(
            abs(x - other.x) > 0.045
            and ((x - other.x) ** 2 + (y - other.y) ** 2) ** 0.5
            > 0.56 * (_SIDE[size] + _SIDE[other.size])
            for other in things
        )
        if clear:
            things.append(thing)
    return sorted(things, key=lambda t: t.x) if len(things) == count else []


def draw(things: list[Thing], rng: random.Random, split: Split, size: int) -> Image.Image:
    """Paint a scene: RGB, ``size`` x ``size`` pixels; ``rng`` varies light, scale and clutter."""
    shifted = split == "ood"
    canvas = table(size, rng.choice(_BUSY_TONES if shifted else _TONES)).copy()
    look: Look = "toon" if shifted and rng.random() < 0.7 else "solid"
    if shifted:
        _clutter(canvas, rng, size)
    zoom = rng.uniform(0.95, 1.05)
    for thing in sorted(things, key=lambda t: t.y):
        side = max(6, round(_SIDE[thing.size] * zoom * size))
        place(
            canvas,
            (thing.x * size, thing.y * size),
            side,
            thing.shape,
            thing.color,
            thing.material,
            look,
        )
    return canvas


def _clutter(canvas: Image.Image, rng: random.Random, size: int) -> None:
    """Marks on the table that are no objects: stripes, tiles or crumbs, near its own colour."""
    pen = ImageDraw.Draw(canvas, "RGBA")
    ink = (255, 255, 255, 26) if rng.random() < 0.5 else (0, 0, 0, 26)
    sort = rng.choice(("stripes", "tiles", "crumbs"))
    if sort == "stripes":
        gap, slant = size * rng.uniform(0.08, 0.16), size * rng.uniform(-0.5, 0.5)
        for i in range(-8, 30):
            pen.line(
                [(i * gap, 0), (i * gap + slant, size)], fill=ink, width=max(1, round(gap / 3))
            )
    elif sort == "tiles":
        gap = size * rng.uniform(0.1, 0.2)
        for i in range(11):
            for j in range(11):
                if (i + j) % 2:
                    pen.rectangle([i * gap, j * gap, (i + 1) * gap, (j + 1) * gap], fill=ink)
    else:
        for _ in range(40):
            x, y, r = rng.uniform(0, size), rng.uniform(0, size), size * rng.uniform(0.004, 0.018)
            pen.ellipse([x - r, y - r, x + r, y + r], fill=(*ink[:3], 60))


def _group(rng: random.Random, things: list[Thing]) -> Group:
    """A group named after an object of the scene; sometimes one that may be empty."""
    thing = rng.choice(things)
    if rng.random() < 0.1:
        thing = Thing(
            rng.choice(SIZES),
            rng.choice(sorted(COLORS)),
            rng.choice(MATERIALS),
            rng.choice(SHAPES),
            0,
            0,
        )
    fixed = rng.choices(
        (("color",), ("shape",), ("color", "shape"), ("size",), ("material",), ("size", "shape"),
         ("material", "shape"), ("size", "color", "material", "shape")),
        weights=(22, 22, 20, 9, 9, 7, 7, 4),
    )[0]  # fmt: skip
    return Group(**{name: getattr(thing, name) for name in fixed})


def caption(things: list[Thing]) -> str:
    """Every object from left to right, numbered, with its cell: the ground of all reasoning."""
    return f"From left to right: {', '.join(_listed(things, []))}."


def looking_for(things: list[Thing], groups: list[Group], counts: Callable[[Thing], bool]) -> str:
    """The same, saying of every object whether it belongs to each of the groups, and why.

    The object's attributes that matter are said again, up to the first that does not fit: each
    word is then a copy or the comparison of two words. Whether it counts follows, and how many do
    so far. A small model learns that, where it does not learn to pick the members out of a
    finished list, nor to judge in one word.
    """
    if not groups:
        return caption(things)
    sought = ", then ".join(group.words() for group in groups)
    told, number = list[str](), 0
    for thing, listed in zip(things, _listed(things, groups), strict=True):
        inside = counts(thing)
        number += inside
        told.append(f"{listed}: {'in' if inside else 'out'} {number}")
    return f"Find {sought}, from left to right: {', '.join(told)}."


def _listed(things: list[Thing], groups: list[Group]) -> list[str]:
    told = []
    for number, thing in enumerate(things, 1):
        judged = "; ".join(_judged(thing, group) for group in groups)
        told.append(f"{number} {thing.cell} {thing.name}{': ' if groups else ''}{judged}")
    return told


def _judged(thing: Thing, group: Group) -> str:
    said: list[str] = []
    for name in ("size", "color", "material", "shape"):
        if wanted := getattr(group, name):
            said.append(getattr(thing, name))
            if said[-1] != wanted:
                return " ".join([*said, "no"])
    return " ".join([*said, "yes"])


class Asked(NamedTuple):
    """A question, and how its answer is found.

    The sentences of ``rest`` begin with the question's own words: a small model learns to repeat
    long before it learns to rephrase.
    """

    question: str
    answer: int
    groups: list[Group]  # what must be looked for
    counts: Callable[[Thing], bool]  # what is tallied
    rest: list[str]  # what follows from the tally


def _count(rng: random.Random, things: list[Thing]) -> Asked:
    group = EVERYTHING if rng.random() < 0.15 else _group(rng, things)
    found = sum(thing in group for thing in things)
    question = f"How many {group.words()} are there?"
    rest = [f"How many {group.words()}: {found}."]
    return Asked(question, found, [group], lambda t: t in group, rest)


def _subtract(rng: random.Random, things: list[Thing]) -> Asked:
    group = _group(rng, things)
    left = sum(thing not in group for thing in things)
    question = f"Subtract all {group.words()}. How many objects are left?"
    rest = [f"How many objects are left: {left}."]
    return Asked(question, left, [group], lambda t: t not in group, rest)


def _subtract_other(rng: random.Random, things: list[Thing]) -> Asked:
    """The question asks for one group after another one is gone: what is left must be looked at."""
    group, asked = _group(rng, things), _group(rng, things)

    def counts(thing: Thing) -> bool:
        return thing in asked and thing not in group

    left = sum(map(counts, things))
    question = f"Subtract all {group.words()}. How many {asked.words()} are left?"
    rest = [f"How many {asked.words()} are left: {left}."]
    return Asked(question, left, [group, asked], counts, rest)


def _add(rng: random.Random, things: list[Thing]) -> Asked:
    group, more = _group(rng, things), rng.randint(1, 5)
    asked = group if rng.random() < 0.5 else EVERYTHING
    found = sum(thing in asked for thing in things)
    added = f"Add {more} {group.words(more)}"
    question = f"{added}. How many {asked.words()} are there?"
    rest = [f"How many {asked.words()}: {found}.", f"{added}: {found} + {more} = {found + more}."]
    return Asked(question, found + more, [asked], lambda t: t in asked, rest)


def _two_steps(rng: random.Random, things: list[Thing]) -> Asked:
    first, second = _group(rng, things), _group(rng, things)
    adds = rng.random() < 0.5
    groups = [first] if adds else [first, second]

    def counts(thing: Thing) -> bool:
        return not any(thing in group for group in groups)

    result = sum(map(counts, things))
    if adds:
        kept, more = result, rng.randint(1, 5)
        result, then = kept + more, f"Add {more} {second.words(more)}"
        told = f"Subtract all {first.words()}: {kept} left."
        rest = [told, f"{then}: {kept} + {more} = {result}."]
    else:
        then = f"Subtract all {second.words()}"
        rest = [f"How many objects are left: {result}."]
    question = f"Subtract all {first.words()}. {then}. How many objects are left?"
    return Asked(question, result, groups, counts, rest)


_ASK: dict[str, Callable[[random.Random, list[Thing]], Asked]] = {
    "count": _count,
    "subtract": _subtract,
    "subtract-other": _subtract_other,
    "add": _add,
    "two-steps": _two_steps,
}


def ask(rng: random.Random, things: list[Thing], kind: str) -> tuple[str, str, str]:
    """A question of this kind about a scene: (question, gold answer, chain of thought)."""
    asked = _ASK[kind](rng, things)
    sought = [group for group in asked.groups if group != EVERYTHING]
    told = [looking_for(things, sought, asked.counts), *asked.rest]
    return asked.question, str(asked.answer), " ".join(told)


def pose(rng: random.Random, split: Split, most: int = 6) -> tuple[list[Thing], Problem]:
    """A scene and a question about it, not yet drawn; ``most`` as for :func:`scene`."""
    things = scene(rng, split, most)
    kind = rng.choices(KINDS, weights=(28, 22, 16, 18, 16))[0]
    question, answer, cot = ask(rng, things, kind)
    return things, Problem("", "counting", (), question, answer, cot, kind)


def problem(rng: random.Random, split: Split, size: int) -> Problem:
    """One counting problem; see :func:`rft.scenes.make`."""
    things, posed = pose(rng, split)
    return replace(posed, images=(draw(things, rng, split, size),))

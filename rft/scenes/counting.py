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


def draw(
    things: list[Thing], rng: random.Random, split: Split, size: int, zoom: float = 1.0
) -> Image.Image:
    """Paint a scene: RGB, ``size`` x ``size`` pixels; ``rng`` varies light, scale and clutter."""
    shifted = split == "ood"
    canvas = table(size, rng.choice(_BUSY_TONES if shifted else _TONES)).copy()
    look: Look = "toon" if shifted and rng.random() < 0.7 else "solid"
    if shifted:
        _clutter(canvas, rng, size)
    zoom *= rng.uniform(0.95, 1.05)
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


def _group(rng: random.Random, things: list[Thing], open_share: float = 0.1) -> Group:
    """A group named after an object of the scene; sometimes one that may be empty."""
    thing = rng.choice(things)
    if rng.random() < open_share:
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


def looking_for(things: list[Thing], groups: list[Group]) -> str:
    """The same, saying of every object whether it belongs to each of the groups, and why.

    The object's attributes that matter are said again, up to the first that does not fit: each
    word is then a copy or the comparison of two words. A small model learns that, where it does
    not learn to pick the members out of a finished list, nor to judge in one word.
    """
    return _found_among(groups, _listed(things, groups)) if groups else caption(things)


def _found_among(groups: list[Group], listed: list[str]) -> str:
    sought = ", then ".join(group.words() for group in groups)
    return f"Find {sought}, from left to right: {', '.join(listed)}."


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


def _found(
    things: list[tuple[int, Thing]], group: Group, asking: str
) -> tuple[list[tuple[int, Thing]], str]:
    """The members of a group, and the sentence that counts them.

    The sentence begins with the question's own words, ``asking``: a small model learns to repeat
    long before it learns to rephrase.
    """
    members = [(i, t) for i, t in things if t in group]
    where = ", ".join(str(i) for i, _ in members) or "none"
    return members, f"{asking} {group.words()}: {where}, so {len(members)}."


def tallied(things: list[Thing], groups: list[Group], counts: Callable[[Thing], bool]) -> str:
    """What :func:`looking_for` says, and of each object whether it counts, and how many so far.

    The next base learns this: of a finished list of judgements, above all for a second group, a
    small model overlooks members that it has judged rightly.
    """
    if not groups:
        return caption(things)
    told, number = list[str](), 0
    for thing, listed in zip(things, _listed(things, groups), strict=True):
        inside = counts(thing)
        number += inside
        told.append(f"{listed}: {'in' if inside else 'out'} {number}")
    return _found_among(groups, told)


class Asked(NamedTuple):
    """A question, and how its answer is found."""

    question: str
    answer: int
    groups: list[Group]  # what must be looked for
    steps: list[str]  # what follows from a list of judgements
    counts: Callable[[Thing], bool]  # what is tallied
    rest: list[str]  # what follows from the tally


def _count(rng: random.Random, things: list[Thing]) -> Asked:
    group = EVERYTHING if rng.random() < 0.15 else _group(rng, things)
    found, sentence = _found(list(enumerate(things, 1)), group, "How many")
    question = f"How many {group.words()} are there?"
    tally = [f"How many {group.words()}: {len(found)}."]
    return Asked(question, len(found), [group], [sentence], lambda t: t in group, tally)


def _subtract(rng: random.Random, things: list[Thing]) -> Asked:
    group, total = _group(rng, things), len(things)
    gone, sentence = _found(list(enumerate(things, 1)), group, "Subtract all")
    left = total - len(gone)
    steps = [sentence, f"How many objects are left: {total} - {len(gone)} = {left}."]
    question = f"Subtract all {group.words()}. How many objects are left?"
    tally = [f"How many objects are left: {left}."]
    return Asked(question, left, [group], steps, lambda t: t not in group, tally)


def _subtract_other(rng: random.Random, things: list[Thing]) -> Asked:
    """The question asks for one group after another one is gone: what is left must be looked at."""
    group, asked = _group(rng, things), _group(rng, things)
    numbered = list(enumerate(things, 1))
    gone, first = _found(numbered, group, "Subtract all")
    left, second = _found([pair for pair in numbered if pair not in gone], asked, "How many")
    question = f"Subtract all {group.words()}. How many {asked.words()} are left?"
    tally = [f"How many {asked.words()} are left: {len(left)}."]

    def counts(thing: Thing) -> bool:
        return thing in asked and thing not in group

    return Asked(question, len(left), [group, asked], [first, second], counts, tally)


def _add(rng: random.Random, things: list[Thing]) -> Asked:
    group, more = _group(rng, things), rng.randint(1, 5)
    asked = group if rng.random() < 0.5 else EVERYTHING
    found, sentence = _found(list(enumerate(things, 1)), asked, "How many")
    total = len(found) + more
    added = f"Add {more} {group.words(more)}"
    question = f"{added}. How many {asked.words()} are there?"
    then = f"{added}: {len(found)} + {more} = {total}."
    tally = [f"How many {asked.words()}: {len(found)}.", then]
    return Asked(question, total, [asked], [sentence, then], lambda t: t in asked, tally)


def _two_steps(rng: random.Random, things: list[Thing]) -> Asked:
    first, second, total = _group(rng, things), _group(rng, things), len(things)
    numbered = list(enumerate(things, 1))
    gone, one = _found(numbered, first, "Subtract all")
    kept = total - len(gone)
    steps, groups = [one, f"{total} - {len(gone)} = {kept}."], [first]
    if rng.random() < 0.5:
        more = rng.randint(1, 5)
        result, then = kept + more, f"Add {more} {second.words(more)}"
        steps.append(f"{then}: {kept} + {more} = {result}.")
        tally = [f"Subtract all {first.words()}: {kept} left.", steps[-1]]
    else:
        also, two = _found([p for p in numbered if p not in gone], second, "Subtract all")
        result, then = kept - len(also), f"Subtract all {second.words()}"
        steps, groups = [*steps, two, f"{kept} - {len(also)} = {result}."], [first, second]
        tally = [f"How many objects are left: {result}."]
    question = f"Subtract all {first.words()}. {then}. How many objects are left?"

    def counts(thing: Thing) -> bool:
        return not any(thing in group for group in groups)

    return Asked(question, result, groups, steps, counts, tally)


_ASK: dict[str, Callable[[random.Random, list[Thing]], Asked]] = {
    "count": _count,
    "subtract": _subtract,
    "subtract-other": _subtract_other,
    "add": _add,
    "two-steps": _two_steps,
}


def ask(
    rng: random.Random, things: list[Thing], kind: str, *, tally: bool = False
) -> tuple[str, str, str]:
    """A question of this kind about a scene: (question, gold answer, chain of thought)."""
    asked = _ASK[kind](rng, things)
    sought = [group for group in asked.groups if group != EVERYTHING]
    if tally:
        told = [tallied(things, sought, asked.counts), *asked.rest]
    else:
        told = [looking_for(things, sought), *asked.steps]
    return asked.question, str(asked.answer), " ".join(told)


def pose(
    rng: random.Random, split: Split, most: int = 6, *, tally: bool = False
) -> tuple[list[Thing], Problem]:
    """A scene and a question about it, not yet drawn; ``most`` as for :func:`scene`."""
    things = scene(rng, split, most)
    kind = rng.choices(KINDS, weights=(28, 22, 16, 18, 16))[0]
    question, answer, cot = ask(rng, things, kind, tally=tally)
    return things, Problem("", "counting", (), question, answer, cot, kind)


def problem(rng: random.Random, split: Split, size: int) -> Problem:
    """One counting problem; see :func:`rft.scenes.make`."""
    things, posed = pose(rng, split)
    return replace(posed, images=(draw(things, rng, split, size),))

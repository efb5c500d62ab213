"""Spatial transformation: solids on a tiled table, before and after one to four changes.

The domain shift turns the camera: the final image is seen from the table's left or right side,
the initial one always from its front. Every problem has one solution: no other way to match
the objects of both images can be written in four calls.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from PIL import Image

from rft.calls import FUNCTIONS, Call
from rft.scenes import Split, belongs
from rft.scenes.board import TILES, TONES, Place, View, paint, project, turned
from rft.scenes.objects import place
from rft.types import Problem

KINDS = ("1-step", "2-steps", "3-steps", "4-steps")
FIELDS = ("shape", "size", "color", "material")
#: The value of change_position -> one tile that way, on the table as seen from its front.
STEPS: dict[str, tuple[int, int]] = {
    "front": (0, -1),
    "behind": (0, 1),
    "left": (-1, 0),
    "right": (1, 0),
    "front_left": (-1, -1),
    "front_right": (1, -1),
    "behind_left": (-1, 1),
    "behind_right": (1, 1),
}

#: Side of the sprite as a share of the picture, in the middle of the table.
_SIDE = {"small": 0.125, "medium": 0.18, "large": 0.255}
_TILE = 0.195  # width of a tile in the middle of the table, as a share of the picture
_JITTER = 0.1  # how far from the middle of its tile an object may stand, in tiles
_MOST_HIDDEN = 0.3
_LIMIT = 4  # calls in an answer
_VIEWS: dict[Split, View] = {"ood-left": "left", "ood-right": "right"}
_VALUES = {name: FUNCTIONS[f"change_{name}"] for name in FIELDS}


@dataclass(frozen=True)
class Thing:
    """An object on the table; ``tile`` is (column, row), from the left and from the front."""

    shape: str
    size: str
    color: str
    material: str
    tile: tuple[int, int]
    shift: Place  # from the middle of its tile; a moved object takes it along

    @property
    def name(self) -> str:
        return f"{self.size} {self.color} {self.material} {self.shape}"

    @property
    def spot(self) -> Place:
        return self.tile[0] + 0.5 + self.shift[0], self.tile[1] + 0.5 + self.shift[1]


@dataclass(frozen=True)
class Story:
    """A scene before and after ``calls``; an object's id is its index in both."""

    before: tuple[Thing, ...]
    after: tuple[Thing, ...]
    calls: tuple[Call, ...]
    view: View  # of the final image


def key(things: Sequence[Thing]) -> str:
    """A scene's canonical description, whatever its objects' ids: what is on which tile."""
    return ";".join(sorted(f"{cell(t.tile)} {t.name}" for t in things))


def cell(tile: tuple[int, int]) -> str:
    """A tile's name as on a chessboard: a1 is in front at the left, where grid.cell has it behind."""
    return f"{'abcd'[tile[0]]}{tile[1] + 1}"


def story(rng: random.Random, split: Split, view: View | None = None) -> Story:
    """Draw a scene that belongs to the split, and changes that can be told from the images.

    ``view`` is the final image's; without it, the split's own.
    """
    view = view or _VIEWS.get(split, "front")
    # Drawn once, or the sparse and simple scenes, which fail less often, would be the most.
    count, number = rng.randint(2, 5), rng.randint(1, _LIMIT)
    while True:
        before = _scene(rng, count)
        # Most scenes fail the first test, which costs least.
        if not belongs(key(before), split) or _alike(before) or not _stands(before, "front"):
            continue
        for _ in range(20):
            drawn = _changed(rng, before, number)
            if drawn is None:
                continue
            after, calls = drawn
            if _stands(after, view) and _only_solution(before, after):
                return Story(before, after, calls, view)


def _scene(rng: random.Random, count: int) -> tuple[Thing, ...]:
    """Any objects on tiles of their own; their ids say nothing of their places."""
    things = []
    for tile in rng.sample([(x, y) for x in range(TILES) for y in range(TILES)], count):
        shape, size, color, material = (rng.choice(_VALUES[name]) for name in FIELDS)
        shift = (round(rng.uniform(-_JITTER, _JITTER), 3), round(rng.uniform(-_JITTER, _JITTER), 3))
        things.append(Thing(shape, size, color, material, tile, shift))
    return tuple(things)


def _alike(things: Sequence[Thing]) -> bool:
    """Whether some two objects differ in fewer than two attributes: they are easily confused."""
    return any(_unlike(a, b) < 2 for i, a in enumerate(things) for b in things[:i])


def _unlike(one: Thing, two: Thing) -> int:
    return sum(getattr(one, name) != getattr(two, name) for name in FIELDS)


def _stands(things: Sequence[Thing], view: View) -> bool:
    """Whether no two objects collide, and each is mostly visible."""
    for i, one in enumerate(things):
        hidden = 0.0
        for j, two in enumerate(things):
            if i == j:
                continue
            (x1, y1), (x2, y2) = one.spot, two.spot
            need = 0.5 * (_SIDE[one.size] + _SIDE[two.size]) / _TILE
            if (x1 - x2) ** 2 + (y1 - y2) ** 2 < (0.93 * need) ** 2:
                return False
            if turned(two.spot, view)[1] < turned(one.spot, view)[1]:
                hidden += _overlap(_box(one, view), _box(two, view))
        if hidden > _MOST_HIDDEN:
            return False
    return True


def _box(thing: Thing, view: View) -> tuple[float, float, float, float]:
    """What an object covers in the picture: left, top, right, bottom as shares of its side."""
    (x, y), side = centre(thing, view)
    half = 0.42 * side
    return x - half, y - half, x + half, y + half


def _overlap(back: tuple[float, ...], front: tuple[float, ...]) -> float:
    """The share of ``back`` that ``front`` covers."""
    width = min(back[2], front[2]) - max(back[0], front[0])
    height = min(back[3], front[3]) - max(back[1], front[1])
    return max(0.0, width) * max(0.0, height) / ((back[2] - back[0]) * (back[3] - back[1]))


def centre(thing: Thing, view: View) -> tuple[Place, float]:
    """Where the sprite's middle is in the picture, and its side: its foot is on its spot."""
    x, y, scale = project(thing.spot, view)
    side = _SIDE[thing.size] * scale
    return (x, y - 0.3 * side), side


def _changed(
    rng: random.Random, before: tuple[Thing, ...], number: int
) -> tuple[tuple[Thing, ...], tuple[Call, ...]] | None:
    """The scene after ``number`` changes, and their calls in canonical order.

    None where an object has no free tile to go to.
    """
    pairs = [(i, name) for i in range(len(before)) for name in FUNCTIONS]
    order = list(FUNCTIONS)
    chosen = sorted(rng.sample(pairs, number), key=lambda pair: (pair[0], order.index(pair[1])))
    after, calls = list(before), []
    for i, function in chosen:
        field = function.removeprefix("change_")
        if field == "position":
            ways = _ways(before[i].tile, {t.tile for j, t in enumerate(after) if j != i})
            if not ways:
                return None
            value = rng.choice(sorted(ways))
            after[i] = replace(after[i], tile=rng.choice(ways[value]))
        else:
            now = getattr(before[i], field)
            value = rng.choice([v for v in FUNCTIONS[function] if v != now])
            look: dict[str, Any] = {field: value}
            after[i] = replace(after[i], **look)
        calls.append(Call(function, str(i), value))
    return tuple(after), tuple(calls)


def _ways(start: tuple[int, int], taken: set[tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    """Where an object can go: each direction that has free tiles, and those tiles."""
    ways: dict[str, list[tuple[int, int]]] = {}
    for value, (dx, dy) in STEPS.items():
        line = [(start[0] + n * dx, start[1] + n * dy) for n in range(1, TILES)]
        free = [t for t in line if max(t) < TILES and min(t) >= 0 and t not in taken]
        if free:
            ways[value] = free
    return ways


def _only_solution(before: Sequence[Thing], after: Sequence[Thing]) -> bool:
    """Whether no other matching of the objects can be written in as many calls as an answer has."""
    calls = [[_unlike(a, b) + (a.tile != b.tile) for b in after] for a in before]
    identity = tuple(range(len(before)))
    return all(
        match == identity or sum(calls[i][j] for i, j in enumerate(match)) > _LIMIT
        for match in permutations(identity)
    )


def draw(told: Story, rng: random.Random, size: int) -> tuple[Image.Image, Image.Image]:
    """Paint both images, RGB, ``size`` x ``size`` pixels; ``rng`` varies colours and scale."""
    tone, zoom = rng.choice(TONES), rng.uniform(0.96, 1.04)
    return (
        _picture(told.before, "front", size, tone, zoom),
        _picture(told.after, told.view, size, tone, zoom),
    )


def glimpse(rng: random.Random, most: int, view: View = "front") -> tuple[Thing, ...]:
    """A training scene of at most so many objects, to be looked at and no more."""
    count = rng.randint(1, most)
    while True:
        things = _scene(rng, count)
        if belongs(key(things), "train") and not _alike(things) and _stands(things, view):
            return things


def caption(things: Sequence[Thing], view: View = "front") -> str:
    """What stands where in the picture, from its left to its right and from front to back.

    Seen from a side, each tile that an object seems to stand on is also called by its own name.
    """
    listed = []
    for thing in sorted(things, key=lambda t: seen(t.tile, view)):
        own = "" if view == "front" else f"{cell(seen(thing.tile, view))} is "
        listed.append(f"{own}{cell(thing.tile)} {thing.name}")
    return "; ".join(listed)


def draw_one(
    things: Sequence[Thing], rng: random.Random, size: int, view: View = "front"
) -> Image.Image:
    """One scene, RGB, ``size`` x ``size`` pixels."""
    return _picture(things, view, size, rng.choice(TONES), rng.uniform(0.96, 1.04))


def _picture(
    things: Sequence[Thing], view: View, size: int, tone: tuple[int, int, int], zoom: float
) -> Image.Image:
    canvas = paint(size, tone, view).copy()
    for thing in sorted(things, key=lambda t: -turned(t.spot, view)[1]):
        (x, y), share = centre(thing, view)
        side = max(5, round(share * zoom * size))
        place(canvas, (x * size, y * size), side, thing.shape, thing.color, thing.material)
    return canvas


def question(before: Sequence[Thing]) -> str:
    """The objects as the tuples that the task's instruction describes, and what is asked."""
    listed = ", ".join(entry(i, thing) for i, thing in enumerate(before))
    return f"The objects of the first image: [{listed}]. Which functions lead to the second?"


def entry(number: int, thing: Thing) -> str:
    """An object of the first image as the question has it: its id and its FIELDS."""
    return str((str(number), *(getattr(thing, name) for name in FIELDS)))


def written(calls: Sequence[Call]) -> str:
    """The calls as an answer has them."""
    return ", ".join(f"{c.function}({c.object}, '{c.value}')" for c in calls)


#: Where the table's dark front edge is in the picture, and what follows from it.
EDGES: dict[View, str] = {
    "front": "The dark edge is in front.",
    "left": "The dark edge is at the right: seen from the left.",
    "right": "The dark edge is at the left: seen from the right.",
}


def look(before: Sequence[Thing], after: Sequence[Thing], view: View) -> str:
    """What stands where in both images: the ground of all reasoning."""
    return f"First: {caption(before)}. {EDGES[view]} Second: {caption(after, view)}."


def derive(told: Story) -> str:
    """The chain of thought: both images read, then each object followed from one to the other.

    A tile is named as on a chessboard: columns a to d from the left, rows 1 to 4 from the front.
    As in the counting scenes, each word is a copy or the comparison of two words: an object's
    entry in the question is copied to the letter, each of its attributes stands beside what it
    became, and a call follows where the two differ. A small model that was to compare all
    attributes at once gave one change to objects that had two.
    """
    steps = [look(told.before, told.after, told.view)]
    for i, (was, now) in enumerate(zip(told.before, told.after, strict=True)):
        calls = {c.function: c for c in told.calls if c.object == str(i)}
        followed = []
        for function in FUNCTIONS:
            name = function.removeprefix("change_")
            then, since = (
                cell(thing.tile) if name == "position" else getattr(thing, name)
                for thing in (was, now)
            )
            call = f", {written([calls[function]])}" if function in calls else ""
            followed.append(f"{then} {since}{call}")
        places = f"{cell(was.tile)}, then {cell(now.tile)}"
        steps.append(f"{entry(i, was)}: {was.name}: {places}: {'; '.join(followed)}.")
    return " ".join(steps)


def seen(tile: tuple[int, int], view: View) -> tuple[int, int]:
    """The tile that an object seems to stand on for who takes the view for the front."""
    x, y = turned((tile[0] + 0.5, tile[1] + 0.5), view)
    return int(x), int(y)


def pose(rng: random.Random, split: Split, view: View | None = None) -> tuple[Story, Problem]:
    """A story and the question about it, not yet drawn; ``view`` as for :func:`story`."""
    told = story(rng, split, view)
    posed = Problem(
        "",
        "spatial",
        (),
        question(told.before),
        written(told.calls),
        derive(told),
        KINDS[len(told.calls) - 1],
    )
    return told, posed


def problem(rng: random.Random, split: Split, size: int) -> Problem:
    """One spatial problem; see :func:`rft.scenes.make`."""
    told, posed = pose(rng, split)
    return replace(posed, images=draw(told, rng, size))

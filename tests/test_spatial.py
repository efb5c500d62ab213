"""Spatial transformation: golds replayed, derivations checked by hand-written tables, pictures read."""

from __future__ import annotations

import random
import re
from ast import literal_eval
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from PIL import Image

from rft.calls import FUNCTIONS, exact_calls
from rft.parse import parse
from rft.rewards import REWARDS
from rft.scenes import SPLITS, Split, make
from rft.scenes.board import TILES, View, project
from rft.scenes.objects import COLORS
from rft.scenes.spatial import FIELDS, KINDS, STEPS, Story, Thing, draw, key, pose
from rft.types import Problem

ALL = SPLITS["spatial"]
READ = re.compile(
    r"First: ([^.]+)\. The dark edge is (in front|at the (?:right|left): seen from the (?:left|right))"
    r"\. Second: ([^.]+)\. \('0'"
)
ITEM = re.compile(r"(?:(\w\d) is )?(\w\d) (\w+ \w+ \w+ \w+)")
REASON = re.compile(
    r"(\('\d', [^)]*\)): (\w+ \w+ \w+ \w+): (\w\d), then (\w\d): ((?:[^.;]+; ){4}[^.;]+)\."
)
#: For each view, the tile of the first image that is seen at (column, row).
RULES = {
    "ood-left": lambda column, row: f"{'abcd'[row - 1]}{4 - 'abcd'.index(column)}",
    "ood-right": lambda column, row: f"{'dcba'[row - 1]}{1 + 'abcd'.index(column)}",
}
EDGES = {
    "ood-left": "at the right: seen from the left",
    "ood-right": "at the left: seen from the right",
}


def posed(split: Split, count: int = 150) -> list[tuple[Story, Problem]]:
    return [pose(random.Random(f"{split}/{seed}"), split) for seed in range(count)]


def answered(text: str) -> str:
    return f"<think>\nso\n</think>\n<answer>\n{text}\n</answer>"


@pytest.mark.parametrize("split", ALL)
def test_the_same_arguments_give_the_same_problem_whatever_global_state(split: Split) -> None:
    first = make("spatial", split, 5, 112)
    random.seed(1)
    again = make("spatial", split, 5, 112)
    assert [i.tobytes() for i in first.images] == [i.tobytes() for i in again.images]
    assert replace(first, images=()) == replace(again, images=())
    assert first.id == f"spatial-{split}-5"
    assert [(i.mode, i.size) for i in first.images] == [("RGB", (112, 112))] * 2


@pytest.mark.parametrize("split", ALL)
def test_gold_scores_full_marks_and_a_missing_change_does_not(split: Split) -> None:
    for _, problem in posed(split, 60):
        whole = parse(answered(problem.answer))
        part = parse(answered(problem.answer.rpartition(", change_")[0]))
        for name in ("function", "function_full", "function_exact", "function_penalty"):
            assert REWARDS[name](whole, problem) == 1.0
            assert REWARDS[name](part, problem) < 1.0


@pytest.mark.parametrize("split", ALL)
def test_the_gold_leads_from_the_first_scene_to_the_second(split: Split) -> None:
    for told, problem in posed(split):
        things = list(told.before)
        calls = exact_calls(problem.answer)
        assert len({(c.function, c.object) for c in calls}) == len(calls) in range(1, 5)
        assert problem.kind == KINDS[len(calls) - 1]
        for function, name, value in calls:
            i, field = int(name), function.removeprefix("change_")
            assert value in FUNCTIONS[function]
            if field == "position":
                (x, y), (to_x, to_y) = told.before[i].tile, told.after[i].tile
                distance = max(abs(to_x - x), abs(to_y - y))
                dx, dy = STEPS[value]
                assert distance and (to_x - x, to_y - y) == (dx * distance, dy * distance)
                things[i] = replace(things[i], tile=(to_x, to_y))
            else:
                assert getattr(things[i], field) != value
                things[i] = replace(things[i], **{field: value})
        assert tuple(things) == told.after


@pytest.mark.parametrize("split", ALL)
def test_the_question_lists_the_first_scene(split: Split) -> None:
    for told, problem in posed(split, 30):
        listed = literal_eval(re.search(r"\[.*\]", problem.question).group())
        assert listed == [
            (str(i), *(getattr(thing, name) for name in FIELDS))
            for i, thing in enumerate(told.before)
        ]


@pytest.mark.parametrize("split", ALL)
def test_the_chain_of_thought_is_true_and_leads_to_the_answer(split: Split) -> None:
    for told, problem in posed(split):
        first, edge, second = READ.match(problem.cot).groups()
        assert edge == EDGES.get(split, "in front")
        for listed, things in ((first, told.before), (second, told.after)):
            items = [ITEM.fullmatch(item).groups() for item in listed.split("; ")]
            assert {(at, name) for _, at, name in items} == {(tile(t), t.name) for t in things}
            turned = split in RULES and listed is second
            assert all((seen is not None) == turned for seen, _, _ in items)
            for seen, at, _ in items:
                assert not turned or RULES[split](seen[0], int(seen[1])) == at
            shown = [seen or at for seen, at, _ in items]
            assert shown == sorted(shown)
        found, concluded = REASON.findall(problem.cot), []
        assert len(found) == len(told.before)
        for i, (was, now) in enumerate(zip(told.before, told.after, strict=True)):
            entry, name, at, then, pairs = found[i]
            assert entry in problem.question and literal_eval(entry)[0] == str(i)
            assert (name, at, then) == (was.name, tile(was), tile(now))
            looks = [[*thing.name.split(), tile(thing)] for thing in (was, now)]
            for (old, new), pair in zip(zip(*looks, strict=True), pairs.split("; "), strict=True):
                both, _, call = pair.partition(", ")
                assert both == f"{old} {new}" and bool(call) == (old != new)
                concluded += [call] if call else []
        assert ", ".join(concluded) == problem.answer


def tile(thing: Thing) -> str:
    return f"{'abcd'[thing.tile[0]]}{thing.tile[1] + 1}"


def test_splits_never_share_a_first_scene() -> None:
    keys = {split: {key(told.before) for told, _ in posed(split, 300)} for split in ALL}
    for one, two in combinations(ALL, 2):
        if {one, two} != {"ood-left", "ood-right"}:  # both are the domain shift
            assert not keys[one] & keys[two]


def test_a_scene_is_the_same_whatever_its_objects_ids() -> None:
    for told, _ in posed("train", 5):
        assert key(told.before) == key(told.before[::-1])


@pytest.mark.parametrize("split", ALL)
def test_objects_stand_apart_on_the_table_and_in_the_picture(split: Split) -> None:
    for told, _ in posed(split):
        for things, view in ((told.before, "front"), (told.after, told.view)):
            assert len({thing.tile for thing in things}) == len(things) in range(2, 6)
            for thing in things:
                assert all(0 < part < TILES for part in thing.spot)
                x, y, _ = project(thing.spot, view)
                assert 0.1 < x < 0.9 and 0.25 < y < 0.9


@pytest.mark.parametrize("split", ALL)
def test_no_two_objects_can_have_changed_places_unnoticed(split: Split) -> None:
    def calls(was: Thing, now: Thing) -> int:
        return sum(getattr(was, n) != getattr(now, n) for n in (*FIELDS, "tile"))

    for told, _ in posed(split):
        for i, j in combinations(range(len(told.before)), 2):
            rest = sum(
                calls(was, now)
                for k, (was, now) in enumerate(zip(told.before, told.after, strict=True))
                if k not in (i, j)
            )
            swapped = calls(told.before[i], told.after[j]) + calls(told.before[j], told.after[i])
            assert rest + swapped > 4


@pytest.mark.parametrize("split", ALL)
def test_everything_occurs(split: Split) -> None:
    stories = posed(split, 200)
    kinds = Counter(problem.kind for _, problem in stories)
    calls = [call for told, _ in stories for call in told.calls]
    assert set(kinds) == set(KINDS) and min(kinds.values()) > 25
    assert {(c.function, c.value) for c in calls} == {
        (function, value) for function, values in FUNCTIONS.items() for value in values
    }
    assert {len(told.before) for told, _ in stories} == {2, 3, 4, 5}
    view = split.removeprefix("ood-") if split in RULES else "front"
    assert {told.view for told, _ in stories} == {view}


@pytest.mark.parametrize("view", ["front", "left", "right"])
def test_views_turn_the_table(view: View) -> None:
    nearest = {"front": (2, 0), "left": (0, 2), "right": (TILES, 2)}[view]
    sides = [(2, 0), (0, 2), (TILES, 2), (2, TILES)]
    assert max(sides, key=lambda place: project(place, view)[1]) == nearest
    # The strip is in front at first; from the left it is at the right, and the reverse.
    x = project((2, 0), view)[0]
    assert {"front": x == 0.5, "left": x > 0.8, "right": x < 0.2}[view]


@pytest.mark.parametrize("split", ALL)
def test_the_pictures_show_the_objects_where_they_stand(split: Split) -> None:
    """The colour a little above a rubber object's spot is its own, in the view that is claimed."""
    looked = 0
    for told, _ in posed(split, 20):
        for things, view, image in zip(
            (told.before, told.after),
            ("front", told.view),
            draw(told, random.Random(0), 224),
            strict=True,
        ):
            for thing in things:
                if thing.material == "rubber" and _free(thing, things, view):
                    x, y, _ = project(thing.spot, view)
                    assert _nearest_color(image, x, y - 0.03) == thing.color
                    looked += 1
    assert looked > 10


def _free(thing: Thing, things: tuple[Thing, ...], view: View) -> bool:
    x, y, _ = project(thing.spot, view)
    rest = [project(other.spot, view) for other in things if other is not thing]
    return all(abs(x - px) > 0.15 or abs(y - py) > 0.25 for px, py, _ in rest)


def _nearest_color(image: Image.Image, x: float, y: float) -> str:
    seen = image.getpixel((round(x * image.width), round(y * image.height)))

    def unlike(color: str) -> float:
        # Brightness is the light's, so colours are compared by direction.
        own = COLORS[color]
        product = sum(a * b for a, b in zip(seen, own, strict=True))
        return -product / (sum(a * a for a in seen) * sum(a * a for a in own)) ** 0.5

    return min(COLORS, key=unlike)

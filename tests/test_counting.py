"""Counting scenes: the chain of thought derives the gold answer, and is true of the scene."""

import random
import re

import pytest

from rft.errors import InputError
from rft.scenes import SPLITS, counting, make
from rft.scenes.counting import KINDS, Group, Thing

SPLIT_NAMES = SPLITS["counting"]


@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_a_problem_is_the_same_every_time(split: str) -> None:
    one, two = make("counting", split, 7, 96), make("counting", split, 7, 96)
    assert one.images[0].tobytes() == two.images[0].tobytes()
    assert (one.question, one.answer, one.cot) == (two.question, two.answer, two.cot)
    assert one.images[0].size == (96, 96) and one.images[0].mode == "RGB"


def test_splits_never_share_a_scene() -> None:
    keys = {
        split: {
            counting.key(counting.scene(random.Random(f"{split}{i}"), split)) for i in range(400)
        }
        for split in SPLIT_NAMES
    }
    assert all(len(found) > 390 for found in keys.values())
    assert not keys["train"] & keys["id"] and not keys["train"] & keys["ood"]
    assert not keys["id"] & keys["ood"]


@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_the_reasoning_says_what_is_there_and_judges_it(split: str) -> None:
    for seed in range(150):
        things, posed = counting.pose(random.Random(seed), split)
        listed = re.match(r"(?:Find (.*?), f|F)rom left to right: (.*?)\.", posed.cot)
        assert listed
        groups = [_words(words) for words in (listed[1] or "").split(", then ") if words]
        for number, (thing, told) in enumerate(zip(things, listed[2].split(", "), strict=True), 1):
            name, _, judged = told.partition(": ")
            assert name == f"{number} {thing.cell} {thing.name}"
            verdicts = [
                verdict.split() for verdict in judged.partition(": ")[0].split("; ") if verdict
            ]
            assert [v[-1] for v in verdicts] == ["yes" if thing in g else "no" for g in groups]
            assert all(word in thing.name.split() for v in verdicts for word in v[:-1])
        assert [t.x for t in things] == sorted(t.x for t in things)


@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_objects_are_counted_one_by_one(split: str) -> None:
    for seed in range(300):
        things, posed = counting.pose(random.Random(seed), split)
        listed, _, rest = posed.cot.partition(". ")
        words = re.findall(r"(?:Subtract all|How many) ([a-z ]+?)(?:\.| are)", posed.question)
        gone = [_words(group) for group in words[:-1]]
        asked = _words(words[-1])
        so_far = 0
        for thing, told in zip(things, listed.partition(": ")[2].split(", "), strict=True):
            counts = thing in asked and not any(thing in group for group in gone)
            so_far += counts
            if ": " in told:  # not where everything counts, and nothing is looked for
                assert told.rpartition(": ")[2] == f"{'in' if counts else 'out'} {so_far}", posed
        final = str(so_far) == posed.answer or "Add" in posed.question
        assert re.match(rf"How many .*: {so_far}\.|Subtract all .*: {so_far} left\.", rest), posed
        assert final and ("left: " not in rest or rest.endswith(f"left: {posed.answer}.")), posed
        for left, right, result in re.findall(r"(\d+) \+ (\d+) = (\d+)\.", posed.cot):
            assert int(left) == so_far and int(left) + int(right) == int(result)
        assert re.findall(r"\d+", posed.cot)[-1] == posed.answer


def _words(group: str) -> Group:
    known = {
        "size": counting.SIZES,
        "color": tuple(counting.COLORS),
        "material": counting.MATERIALS,
        "shape": ("cube", "sphere", "cylinder"),
    }
    words = (
        group.replace("cubes", "cube").replace("spheres", "sphere").replace("cylinders", "cylinder")
    )
    return Group(**{
        field: next((w for w in words.split() if w in values), "") for field, values in known.items()
    })  # fmt: skip


def test_gold_answers_agree_with_a_second_way_of_counting() -> None:
    """The question's words alone, read anew and applied to the scene."""
    for seed in range(400):
        things, posed = counting.pose(random.Random(seed), "train")
        kept: list[Thing] = list(things)
        added: list[tuple[Group, int]] = []
        asked = None
        for sentence in re.split(r"[.?] ?", posed.question):
            if found := re.match(r"Subtract all (.+)", sentence):
                kept = [t for t in kept if t not in _words(found[1])]
            elif found := re.match(r"Add (\d) (.+)", sentence):
                added.append((_words(found[2]), int(found[1])))
            elif found := re.match(r"How many (.+?) are (left|there)", sentence):
                asked = _words(found[1])
        assert asked is not None
        total = sum(t in asked for t in kept)
        total += sum(n for group, n in added if asked in (Group(), group))
        assert str(total) == posed.answer, posed


def test_every_kind_occurs() -> None:
    kinds = {counting.pose(random.Random(seed), "id")[1].kind for seed in range(120)}
    assert kinds == set(KINDS)


def test_a_wrong_split_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(InputError, match="ood-left"):
        make("counting", "ood-left", 0)

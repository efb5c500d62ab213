"""Geometry problems: every gold answer is measured on its own figure, every derivation redone."""

import math
import random
import re
from collections import Counter
from decimal import Decimal

import pytest
from PIL import ImageColor

from rft.scenes import make, writing
from rft.scenes.drafts import Draft, show
from rft.scenes.layout import Layout
from rft.scenes.lettering import font
from rft.scenes.pens import OTHER_HANDS, TEXTBOOK, draw
from rft.scenes.structure import KINDS, choices, sketch
from rft.types import Problem

STEP = re.compile(r"([\d.]+) ([-+×÷]) ([\d.]+) = (\d+(?:\.\d+)?)")
CONSTANTS = {Decimal(c) for c in ("2", "3", "4", "5", "6", "90", "180", "360", "3.14")}


def problems(split: str, count: int = 120) -> list[Problem]:
    return [make("structure", split, seed, 56) for seed in range(count)]


def sketches(kind: str, split: str = "train", count: int = 40) -> list[tuple[Draft, Layout]]:
    styles = OTHER_HANDS if split == "ood" else TEXTBOOK
    rng = random.Random(f"{kind}/{split}")
    shifted = split == "ood"
    return [sketch(rng, kind, split, rng.choice(styles), shifted=shifted) for _ in range(count)]


def calculate(left: str, sign: str, right: str) -> Decimal:
    a, b = Decimal(left), Decimal(right)
    if sign == "+":
        return a + b
    if sign == "-":
        return a - b
    return a * b if sign == "×" else a / b


def options_of(problem: Problem) -> dict[str, str]:
    listed = problem.question.partition("Choices: ")[2]
    return dict(re.findall(r"([A-D])\. ([\d.]+)°?(?= |$)", listed))


def test_the_same_arguments_give_the_same_problem_whatever_global_state():
    for split in ("train", "id", "ood"):
        first = make("structure", split, 5, 112)
        random.seed(1)
        again = make("structure", split, 5, 112)
        assert first.images[0].tobytes() == again.images[0].tobytes()
        assert (first.question, first.answer, first.cot) == (
            again.question,
            again.answer,
            again.cot,
        )
        assert first.id == f"structure-{split}-5"


@pytest.mark.parametrize("size", [56, 112, 168, 240, 336, 500])
def test_pictures_have_the_size_asked_for_and_the_problem_does_not_depend_on_it(size):
    problem = make("structure", "ood", 3, size)
    (picture,) = problem.images
    assert picture.size == (size, size)
    assert picture.mode == "RGB"
    assert problem.question == make("structure", "ood", 3).question


@pytest.mark.parametrize("split", ["train", "id", "ood"])
def test_every_derivation_is_true_and_ends_in_the_gold_answer(split):
    for problem in problems(split):
        seen = problem.cot.partition(" So ")[0]
        steps = STEP.findall(seen)
        for left, sign, right, result in steps:
            assert calculate(left, sign, right) == Decimal(result), problem.cot
        value = re.search(r" So [\w ]+ = ([\d.]+)\.(?: |$)", problem.cot)[1]
        if steps:
            left, sign, right, result = steps[-1]
            # A square root is shown by its square: the root is then the answer.
            assert value in ((left, result) if left == right else (result,)), problem.cot
        else:
            assert f"{value}°" in seen, problem.cot
        if problem.kind.endswith("-choice"):
            options = options_of(problem)
            *wrong, right = problem.cot.rpartition(f" = {value}. ")[2].split("; ")
            before = "ABCD"[: "ABCD".index(problem.answer)]
            assert wrong == [f"{letter}: {options[letter]} = {value}? no" for letter in before]
            assert value not in [options[letter] for letter in before]
            assert right == f"{problem.answer}: {value} = {value}? yes."
            assert options[problem.answer] == value
        else:
            assert problem.answer == value


@pytest.mark.parametrize("kind", KINDS)
def test_steps_use_only_what_the_figure_shows_constants_and_earlier_results(kind):
    for draft, layout in sketches(kind):
        known = {Decimal(number) for label in layout.labels for number in digits(label.text)}
        known |= CONSTANTS
        for left, sign, right, result in STEP.findall(draft.working):
            root = left == right and Decimal(result) in known and sign == "×"
            assert {Decimal(left), Decimal(right)} <= known or root, draft.working
            known |= {Decimal(left), Decimal(right), Decimal(result)}


def digits(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


@pytest.mark.parametrize("split", ["train", "ood"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gold_answer_can_be_measured_on_the_figure(kind, split):
    for draft, layout in sketches(kind, split):
        assert measured(draft, layout) == pytest.approx(float(draft.answer), rel=1e-6), draft


def measured(draft: Draft, layout: Layout) -> float:
    """The answer by ruler and protractor; all labels are checked against the drawing on the way."""
    figure = layout.figure
    for angle in figure.angles:
        if digits(angle.text):
            assert angle.degrees == pytest.approx(float(angle.text[:-1]), rel=1e-6)
    if draft.measure == "angle":
        (asked,) = (angle for angle in figure.angles if angle.asked)
        return asked.degrees
    units = [line.measure / float(line.text) for line in figure.lengths if digits(line.text)]
    assert units == pytest.approx([units[0]] * len(units), rel=1e-6)
    unit = units[0]
    if draft.measure == "length":
        (line,) = (line for line in figure.lengths if line.asked)
        return line.measure / unit
    if draft.measure in ("perimeter", "area"):
        (shape,) = figure.shapes
        edges = list(zip(shape, (*shape[1:], shape[0]), strict=True))
        if draft.measure == "perimeter":
            return sum(abs(b - a) for a, b in edges) / unit
        return abs(sum((a.conjugate() * b).imag for a, b in edges)) / 2 / unit**2
    ((centre, rim),) = figure.circles
    radius = abs(rim - centre) / unit
    return {
        "radius": radius,
        "diameter": 2 * radius,
        "circumference": 2 * 3.14 * radius,
        "disc": 3.14 * radius**2,
    }[draft.measure]


@pytest.mark.parametrize("split", ["train", "ood"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_line_runs_under_a_label(kind, split):
    size = 224
    styles = OTHER_HANDS if split == "ood" else TEXTBOOK
    for i, (_, layout) in enumerate(sketches(kind, split, 14)):
        style = styles[i % len(styles)]
        bare = draw(Layout(layout.figure, ()), style, random.Random(0), size)
        inks = [ImageColor.getrgb(colour) for colour in (style.ink, style.accent)]
        for label in layout.labels:
            left, top, right, bottom = font(label.em * size).getbbox(label.text)
            half = complex(right - left, bottom - top) / 2
            low, high = label.at * size - half, label.at * size + half
            assert min(low.real, low.imag) > 0 and max(high.real, high.imag) < size
            box = bare.crop((round(low.real), round(low.imag), round(high.real), round(high.imag)))
            for _, colour in box.getcolors(size * size):
                assert min(math.dist(colour, ink) for ink in inks) > 45, (kind, label)


@pytest.mark.parametrize("split", ["train", "ood"])
def test_labels_keep_apart_and_are_large(split):
    for kind in KINDS:
        for _, layout in sketches(kind, split, 8):
            boxes = []
            for label in layout.labels:
                assert label.em >= (0.09 if label.role == "name" else 0.11)
                left, top, right, bottom = font(100).getbbox(label.text)
                half = complex(right - left, bottom - top) / 200 * label.em
                boxes.append((label.at - half, label.at + half))
            for i, (low, high) in enumerate(boxes):
                for other_low, other_high in boxes[:i]:
                    assert (
                        high.real < other_low.real
                        or other_high.real < low.real
                        or high.imag < other_low.imag
                        or other_high.imag < low.imag
                    )


def test_options_are_four_distinct_and_the_gold_position_is_even():
    places: Counter[str] = Counter()
    for seed in range(600):
        problem = make("structure", "train", seed, 24)
        if problem.kind.endswith("-choice"):
            options = options_of(problem)
            assert list(options) == list("ABCD")
            assert len(set(options.values())) == 4
            places[problem.answer] += 1
        else:
            assert "Choices" not in problem.question
            assert Decimal(problem.answer) > 0
    total = sum(places.values())
    assert 240 < total < 360
    assert all(0.17 < places[letter] / total < 0.33 for letter in "ABCD")


def test_wrong_options_come_from_typical_errors_and_do_not_frame_the_answer():
    rng, near_misses, count = random.Random(0), 0, 0
    ranks: Counter[int] = Counter()
    for kind in KINDS:
        for draft, _ in sketches(kind, count=20):
            options = choices(rng, draft)
            ranks[sorted(options).index(draft.answer)] += 1
            for option in options:
                assert option > 0
                assert draft.measure != "angle" or option < 180
                if option != draft.answer:
                    count += 1
                    near_misses += option not in draft.slips
    assert near_misses < 0.5 * count
    assert all(0.15 < ranks[rank] / ranks.total() < 0.35 for rank in range(4))


def test_the_answer_is_not_the_option_that_the_others_are_near_to():
    hits = count = 0.0
    for kind in KINDS:
        rng = random.Random(kind)
        for draft, _ in sketches(kind):
            for _ in range(6):
                options = choices(rng, draft)
                near = [sum(abs(a - b) in (1, 2, 5, 10) for b in options) for a in options]
                best = [a for a, n in zip(options, near, strict=True) if n == max(near)]
                hits += (draft.answer in best) / len(best)
                count += 1
    assert 0.2 < hits / count < 0.3


def test_questions_give_no_value_away():
    for problem in problems("train", 200):
        asked = problem.question.partition(" Choices:")[0].replace("π = 3.14", "π")
        assert not digits(asked), problem.question


def test_splits_share_no_scene():
    keys: dict[str, set[str]] = {}
    for split in ("train", "id", "ood"):
        rng = random.Random(split)
        keys[split] = {
            sketch(rng, kind, split, TEXTBOOK[0], shifted=False)[0].key
            for kind in KINDS
            for _ in range(50)
        }
    assert not keys["train"] & keys["id"]
    assert not keys["train"] & keys["ood"]
    assert not keys["id"] & keys["ood"]
    assert len(keys["id"]) > 120


def test_a_scene_key_ignores_how_the_same_scene_is_shown():
    """Figures with the same labelled shape have the same key: nothing slips between splits."""
    shown: dict[tuple[str, ...], set[str]] = {}
    for kind in KINDS:
        for draft, layout in sketches(kind, count=120):
            values = sorted(label.text for label in layout.labels if label.role == "value")
            answer = show(draft.answer)
            shown.setdefault((kind, draft.working, answer, *values), set()).add(draft.key)
    assert all(len(keys) == 1 for keys in shown.values())


def test_other_hands_write_other_letters():
    letters = {
        split: {
            label.text
            for kind in KINDS
            for _, layout in sketches(kind, split, 10)
            for label in layout.labels
            if not digits(label.text)
        }
        for split in ("train", "ood")
    }
    assert not letters["train"] & letters["ood"]
    assert not (letters["train"] | letters["ood"]) & set("ABCD")


@pytest.mark.parametrize("zoom", [*writing.ZOOMS, 1.6])
def test_what_is_to_be_read_stands_apart_in_its_cell(zoom):
    for seed in range(40):
        texts = writing.page(random.Random(seed), 5, zoom)
        assert 1 <= len(texts) <= 5 and [t.x for t in texts] == sorted(t.x for t in texts)
        read = re.findall(r"([a-d])([1-4]) ([\w.]+°?)(?:; |\.$)", writing.caption(texts))
        assert [text for _, _, text in read] == [t.text for t in texts]
        for (column, row, _), one in zip(read, texts, strict=True):
            assert "abcd".index(column) == int(one.x * 4) and int(row) == int(one.y * 4) + 1
        picture = writing.draw(texts, random.Random(seed), 112, zoom, shifted=seed % 2 == 0)
        assert picture.size == (112, 112) and len(picture.getcolors(112 * 112)) > 5


def test_close_ups_are_numbers_or_one_letter_and_lie_within_the_picture():
    for seed in range(40):
        (one,) = writing.glyph(random.Random(seed), 3, 2.6)
        assert (one.text.isdigit() and len(one.text) <= 3) or len(one.text) == 1
        assert 0 < one.x < 1 and 0 < one.y < 1

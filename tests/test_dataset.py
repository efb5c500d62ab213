"""The data of a run: drawn, from folders, by hand; train and held-out never share an image."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from rft.data import load, write
from rft.dataset import SIZE, Example, again, bundled, from_folder, handmade
from rft.errors import InputError
from rft.scenes import SPLITS, make


def pixels(problems) -> set[bytes]:
    return {
        (image if isinstance(image, Image.Image) else Image.open(image).convert("RGB")).tobytes()
        for problem in problems
        for image in problem.images
    }


def picture(shade: int, size: int = 28) -> Image.Image:
    return Image.new("RGB", (size, size), (shade, 90, 0))


def folder(tmp_path: Path, rows: list[dict], name: str = "Visual-Counting-train.json") -> Path:
    """A flat set with images 0.png to 9.png, each of its own colour."""
    tmp_path.mkdir(parents=True, exist_ok=True)
    for shade in range(10):
        picture(25 * shade).save(tmp_path / f"{shade}.png")
    (tmp_path / name).write_text(json.dumps(rows))
    return tmp_path


def row(id: object, image: object, question: str = "How many?", answer: str = "3") -> dict:
    return {"id": str(id), "image": image, "problem": question, "answer": answer}


# Drawn scenes


@pytest.mark.parametrize("task", list(SPLITS))
def test_drawn_problems_are_nested_in_proportion_and_apart(task):
    few, more = bundled(task, "train", 8, 6, 3), bundled(task, "train", 24, 6, 3)
    assert [p.id for p in more.train[:8]] == [p.id for p in few.train]
    assert [p.id for p in more.heldout] == [p.id for p in few.heldout]
    assert [p.id for p in bundled(task, "train", 8, 6, 4).heldout] == [p.id for p in few.heldout]
    assert all("-id-" in p.id for p in more.heldout) and len(more.heldout) == 6
    assert pixels(more.train).isdisjoint(pixels(more.heldout))
    assert more.train[0].images[0].size == (SIZE, SIZE)
    assert len(Counter(p.kind for p in more.train)) >= 4
    assert "24 to learn from (" in more.line and "6 held out" in more.line


def test_a_shifted_split_is_measured_on_itself_and_says_so():
    chosen = bundled("spatial", "ood-left", 4, 4, 0)
    assert all("-ood-left-" in p.id for p in [*chosen.train, *chosen.heldout])
    assert not {p.id for p in chosen.train} & {p.id for p in chosen.heldout}
    assert "no domain shift" in chosen.notes[0]
    other = bundled("spatial", "train", 4, 4, 0, "ood-right")
    assert all("-ood-right-" in p.id for p in other.heldout) and not other.notes


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (("counting", "ood-left", 4, 4, 0), "no split"),
        (("counting", "id", 4, 4, 0), "Learn from"),
        (("counting", "train", 4, 4, 0, "train"), "hold out"),
        (("counting", "train", 0, 4, 0), "at least one"),
        (("counting", "train", 4, -1, 0), "negative"),
        (("counting", "train", 9000, 4, 0), "python -m rft data"),
        (("counting", "train", 4, 4, -1), "seed"),
        (("driving", "train", 4, 4, 0), "No task"),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked, word):
    with pytest.raises(InputError, match=word):
        bundled(*asked)


def test_a_choice_is_made_again(tmp_path):
    chosen = bundled("counting", "train", 5, 3, 7)
    same = again(json.loads(json.dumps(chosen.source)))
    assert [p.id for p in same.train] == [p.id for p in chosen.train]
    assert [p.id for p in same.heldout] == [p.id for p in chosen.heldout]
    write(chosen.train, tmp_path / "data", "train")
    write(chosen.heldout, tmp_path / "data", "id")
    kept = again({"from": "handmade"}, tmp_path / "data")
    assert [p.id for p in kept.train] == [p.id for p in chosen.train]
    assert [p.answer for p in kept.heldout] == [p.answer for p in chosen.heldout]
    assert "earlier run" in kept.notes[0]
    many = again({**chosen.source, "k": 5_000}, tmp_path / "data")  # drawn by a command
    assert [p.id for p in many.train] == [p.id for p in kept.train]
    with pytest.raises(InputError, match="choose the data anew"):
        again({"from": "handmade"}, tmp_path / "gone")


# Folders


def test_a_folder_with_a_test_split_is_measured_on_it(tmp_path):
    for split, seeds in (("train", range(9)), ("id", range(50, 54)), ("ood", range(60, 64))):
        write((make("counting", split, seed, 56) for seed in seeds), tmp_path, split)
    chosen = from_folder(tmp_path, 6, 3, 0)
    assert len(chosen.train) == 6 and all("-train-" in p.id for p in chosen.train)
    assert len(chosen.heldout) == 3 and all("-id-" in p.id for p in chosen.heldout)
    assert "from its id split" in chosen.notes[0]
    assert len(from_folder(tmp_path, None, 3, 0).train) == 9
    assert from_folder(tmp_path, 6, 0, 0).heldout == []
    assert "only 4 different" in " ".join(from_folder(tmp_path, 6, 9, 0).notes)
    with pytest.raises(InputError, match="only 9 problems"):
        from_folder(tmp_path, 12, 3, 0)


def test_held_out_images_leave_training_whatever_their_name_or_question(tmp_path):
    rows = [row(n, f"{n}.png") for n in range(8)]
    rows += [row("copy", "copy.bmp"), row("other", "3.png", "How many cubes?", "1")]
    folder(tmp_path, rows)
    for seed in range(6):  # whichever of them is held out
        picture(75).save(tmp_path / "copy.bmp")  # the pixels of 3.png
        chosen = from_folder(tmp_path, None, 3, seed)
        assert len(chosen.heldout) == 3
        assert pixels(chosen.train).isdisjoint(pixels(chosen.heldout))
        if {"3", "copy", "other"} & {p.id for p in chosen.heldout}:
            assert "left out of training" in " ".join(chosen.notes)
        else:
            assert any("3" in n and "copy" in n and "twice" in n for n in chosen.notes)


def test_two_answers_to_one_question_are_noted_and_ids_made_different(tmp_path):
    rows = [row("a/b", "1.png"), row("a_b", "1.png", answer="4"), row("a:b", "2.png")]
    chosen = from_folder(folder(tmp_path / "set", rows), None, 0, 0)
    assert "two answers" in chosen.notes[0]
    write(chosen.train, tmp_path / "out", "train")
    assert len(load(tmp_path / "out")) == 3


def test_bad_images_and_mixed_tasks_are_named(tmp_path):
    rows = [row("good", "1.png"), row("bad", "bad.png"), row("gone", "gone.png")]
    folder(tmp_path / "a", rows)
    (tmp_path / "a" / "bad.png").write_text("not an image")
    with pytest.raises(InputError, match=r"record 3: names the image “gone.png”"):
        from_folder(tmp_path / "a", 2, 0, 0)
    folder(tmp_path / "a", rows[:2])
    with pytest.raises(InputError, match=r"bad: “bad.png”"):
        from_folder(tmp_path / "a", 2, 0, 0)
    folder(tmp_path / "b", [row("one", "1.png")])
    spatial = [row("two", ["1.png", "2.png"], answer="change_color(1, 'red')")]
    folder(tmp_path / "b", spatial, "Spatial-Transformation-train.json")
    with pytest.raises(InputError, match="counting and spatial: say which"):
        from_folder(tmp_path / "b", 1, 0, 0)
    assert from_folder(tmp_path / "b", 1, 0, 0, "spatial").task == "spatial"


# By hand


def test_examples_become_problems_without_tags(tmp_path):
    picture(5).save(tmp_path / "a.png")
    examples = [
        Example((tmp_path / "a.png",), "How many?", "<answer> 4 </answer>", "<think>so</think>"),
        *(Example((picture(20 * n),), f"Question {n}?", str(n)) for n in range(1, 6)),
    ]
    chosen = handmade("counting", examples, 2, 0)
    assert len(chosen.train) == 4 and len(chosen.heldout) == 2
    first = next(p for p in [*chosen.train, *chosen.heldout] if p.id == "example-1")
    assert (first.answer, first.cot) == ("4", "so")
    assert chosen.source["from"] == "handmade" and not chosen.notes


def test_an_image_of_a_held_out_example_is_not_learned():
    examples = [Example((picture(9),), f"Question {n}?", "1") for n in range(3)]
    with pytest.raises(InputError, match="only 0 problems to learn from that share no image"):
        handmade("counting", examples, 1, 0)
    examples.append(Example((picture(200),), "Question?", "1"))
    chosen = [handmade("counting", examples, 1, seed) for seed in range(12)]
    assert {len(c.train) for c in chosen} == {1, 3}
    assert all(("left out of training" in " ".join(c.notes)) == (len(c.train) == 1) for c in chosen)


@pytest.mark.parametrize(
    ("task", "example", "words"),
    [
        ("counting", Example((), "How many?", "1"), "has no image: add one"),
        ("spatial", Example((picture(1),), "What?", "change_size(1, 'small')"), "1 image, but"),
        ("counting", Example((picture(1), picture(2)), "How many?", "1"), "2 images, but"),
        ("counting", Example((picture(1),), "  ", "1"), "no question"),
        ("counting", Example((picture(1),), "How many?", " "), "no answer"),
        ("counting", Example((picture(1),), "How many?", "five"), "an integer"),
        ("counting", Example((picture(1),), "How many?", "5.0"), "write 5,"),
        ("counting", Example((picture(1, 4),), "How many?", "5"), "too small"),
        ("structure", Example((picture(1),), "x? A. 3 B. 4", "3"), "write the letter"),
        ("structure", Example((picture(1),), "Find x.", "B"), "lists no choices"),
        ("structure", Example((picture(1),), "Find x.", "wide"), "or a number"),
        ("spatial", Example((picture(1),) * 2, "What?", "paint it red"), "no function call"),
        ("spatial", Example((picture(1),) * 2, "What?", "paint(1, 'red')"), "no function here"),
        ("spatial", Example((picture(1),) * 2, "What?", "change_size(1, 'red')"), "its values are"),
    ],
)
def test_what_is_wrong_with_an_example_is_said_by_its_number(task, example, words):
    good = {"counting": "7", "structure": "7", "spatial": "change_color(0, 'red')"}[task]
    fine = Example((picture(3),) * (2 if task == "spatial" else 1), "Which?", good)
    with pytest.raises(InputError, match=r"^Example 2 ") as caught:
        handmade(task, [fine, example], 0, 0)
    assert words in str(caught.value)
    assert len(handmade(task, [fine], 0, 0).train) == 1


def test_many_faults_are_bounded_and_too_many_held_out_refused():
    with pytest.raises(InputError, match="and 5 more"):
        handmade("counting", [Example((), "?", "1")] * 25, 0, 0)
    with pytest.raises(InputError, match="leave none"):
        handmade("counting", [Example((picture(1),), "Q?", "1")], 1, 0)
    with pytest.raises(InputError, match="no example yet"):
        handmade("counting", [], 0, 0)

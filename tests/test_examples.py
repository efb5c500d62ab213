"""The examples to click: they cover what the page can ask, and are quick to load."""

from __future__ import annotations

import re
from itertools import product

import pytest

from app.examples import EXAMPLES, example, strip, welcome
from rft import scenes
from rft.errors import InputError
from rft.tasks import TASKS, is_choice


def test_every_task_and_split_and_both_sorts_of_answer_are_there():
    wanted = {(task, split) for task in TASKS for split in scenes.SPLITS[task] if split != "train"}
    assert {(item.task, item.split) for item in EXAMPLES} == wanted
    structure = [item for item in EXAMPLES if item.task == "structure"]
    assert {(item.split, item.answer) for item in structure} == set(
        product(("id", "ood"), ("number", "choice"))
    )
    for item in structure:
        assert is_choice(item.problem.question) == (item.answer == "choice")
        assert item.problem.answer.isalpha() == (item.answer == "choice")


def test_each_has_its_images_and_a_name_of_its_own():
    for item in EXAMPLES:
        assert len(item.problem.images) == TASKS[item.task].pictures
        assert example(item.key) is item
    assert len({item.title for item in EXAMPLES}) == len(EXAMPLES)
    with pytest.raises(InputError, match="Reload"):
        example("counting-train")


def test_they_are_small():
    html = strip()
    assert html.count('data-do="example"') == len(EXAMPLES)
    assert len(re.findall("<img ", html)) == sum(len(item.problem.images) for item in EXAMPLES)
    assert len(html) < 50_000
    assert all(len(welcome(task)) < 20_000 for task in TASKS)

"""The examples to click: they cover what the page can ask, and are quick to load."""

from __future__ import annotations

import base64
import io
import re
from itertools import product

import pytest
from PIL import Image, ImageChops, ImageStat

from app.examples import EXAMPLES, drawn, example, strip, welcome
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


def test_what_is_shown_is_what_would_be_drawn_now():
    """Else ``python -m app.examples`` was forgotten."""
    data = re.compile('data:image/webp;base64,([^"]+)')
    assert data.sub("", strip()) == data.sub("", drawn())
    shown, now = data.findall(strip()), data.findall(drawn())
    assert len(shown) == len(now) > len(EXAMPLES)
    for one, other in zip(shown, now, strict=True):
        gap = ImageChops.difference(_picture(one), _picture(other))
        assert max(ImageStat.Stat(gap).mean) < 4  # another libwebp's rounding, and no more


def test_another_picture_would_be_noticed():
    pictures = re.findall('base64,([^"]+)', drawn())
    gap = ImageChops.difference(_picture(pictures[0]), _picture(pictures[1]))
    assert max(ImageStat.Stat(gap).mean) > 8


def _picture(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

"""Procedural problems: seeded, reproducible, drawn with Pillow.

``make`` is the one entrance. This package knows no model, no prompt and no file.
"""

from __future__ import annotations

import hashlib
import importlib
import random
from dataclasses import replace
from typing import Literal, get_args

from rft.errors import InputError
from rft.types import Problem, TaskName

Split = Literal["train", "id", "ood", "ood-left", "ood-right"]

SPLITS: dict[TaskName, tuple[Split, ...]] = {
    "counting": ("train", "id", "ood"),
    "structure": ("train", "id", "ood"),
    "spatial": ("train", "id", "ood-left", "ood-right"),
}
#: What a split is called, on the page and in tables.
SPLIT_NAMES: dict[str, str] = {
    "train": "training scenes",
    "id": "as trained",
    "ood": "domain shift",
    "ood-left": "from the left",
    "ood-right": "from the right",
}


def belongs(key: str, split: Split) -> bool:
    """Whether the scene with this canonical description may appear in ``split``.

    A scene's hash puts it in one of ten buckets: 0-7 train, 8 id, 9 every ood split.
    Generators draw until the scene belongs, so the splits never share a scene.
    """
    bucket = hashlib.sha256(key.encode()).digest()[0] % 10
    if split == "train":
        return bucket < 8
    return bucket == (8 if split == "id" else 9)


def make(task: TaskName, split: Split, seed: int, size: int = 336) -> Problem:
    """The problem number ``seed`` of a split; images are RGB, ``size`` x ``size`` pixels.

    Deterministic in its arguments. Raises InputError for a task or split that does not exist.
    """
    if task not in get_args(TaskName) or split not in SPLITS[task]:
        known = "; ".join(f"{name}: {', '.join(SPLITS[name])}" for name in SPLITS)
        raise InputError(f"No split {split!r} of task {task!r}. Choose one of: {known}.")
    module = importlib.import_module(f"rft.scenes.{task}")
    problem = module.problem(random.Random(f"{task}/{split}/{seed}"), split, size)
    return replace(problem, id=f"{task}-{split}-{seed}")

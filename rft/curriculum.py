"""What a tiny checkpoint is taught when: the curricula, from looking to thinking.

A curriculum is endless and seeded: its lesson number ``i`` is always the same. This module knows
lessons; no model and no trainer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import get_args

from rft.errors import InputError
from rft.lessons import Lesson, answered, looked_at, picks, posed, sums, written
from rft.types import TaskName

#: How the base comes to its tasks. Up to each of these lessons: how often the sorts of SORTS are
#: drawn, how many objects there are at most to look at, and the share of a task that only looks.
#: One object at first, and no other task. With two objects, boards and writing from the start, a
#: new language model was at chance of colours after 13,000 lessons.
SORTS = ("counting", "spatial", "structure", "writing", "sums")
COMING = (
    (4_000, (100, 0, 0, 0, 0), 1, 1.0),
    (9_000, (85, 15, 0, 0, 0), 2, 1.0),
    (15_000, (60, 40, 0, 0, 0), 4, 1.0),
    (26_000, (30, 30, 0, 40, 0), 4, 1.0),
    (42_000, (24, 30, 24, 16, 6), 5, 0.6),
    (192_000, (36, 34, 18, 6, 6), 6, 0.2),
    (230_400, (24, 42, 24, 3, 7), 6, 0.1),
    (262_400, (20, 38, 34, 2, 6), 6, 0.1),
    (332_800, (16, 38, 24, 2, 20), 6, 0.05),
    (409_600, (14, 44, 30, 2, 10), 6, 0.05),
    (None, (26, 42, 24, 1, 7), 6, 0.04),
)
#: The share of lessons in the looks of the domain shift, of training scenes all the same: as the
#: Qwen2-VL of the paper, the base has seen more of the world than the fine-tuning shows again.
WIDE = 0.25
#: In which manners problems are answered. Mostly in full, for thinking is what takes long to
#: learn; at the end of a base so that it is left UNDECIDED: it can think, rather answers at once,
#: and reinforcement learning has something to bring out. The first range ended the base of then.
MANNERS = ("plain", "bare", "tagged", "full")
THOROUGH, MIXED = (3, 3, 6, 88), (5, 28, 47, 20)
UNDECIDED = (range(396_000, 409_600), range(461_000, 467_840))


def base(index: int) -> Lesson:
    """What an instruction-tuned base knows: scenes, boards and figures, read and thought about."""
    rng = random.Random(f"lesson/base/{index}")
    _, weights, most, share = next(row for row in COMING if row[0] is None or index < row[0])
    sort = rng.choices(SORTS, weights)[0]
    looking, shifted = rng.random() < share, rng.random() < WIDE
    if sort == "sums":
        return rng.choice((sums, picks, picks))(rng)
    if sort == "writing":
        return written(rng, shifted=shifted)
    task = next(name for name in get_args(TaskName) if name == sort)
    if looking:
        return looked_at(rng, task, most, shifted=shifted)
    manners = MIXED if any(index in lessons for lessons in UNDECIDED) else THOROUGH
    return answered(*posed(rng, task, shifted=shifted), rng.choices(MANNERS, manners)[0])


CURRICULA: dict[str, Callable[[int], Lesson]] = {"base": base}


def curriculum(name: str) -> Callable[[int], Lesson]:
    """The curriculum of this name; InputError names the ones there are."""
    if name not in CURRICULA:
        raise InputError(f"No curriculum {name!r}. Choose one of: {', '.join(CURRICULA)}.")
    return CURRICULA[name]

"""In which order problems are trained on. Pure; the same for every process of a run."""

from __future__ import annotations

import random


def passes(count: int, batch: int, steps: int, seed: int) -> list[int]:
    """Rows of ``steps`` batches: pass after pass over ``count`` problems, each newly shuffled.

    No batch holds a problem twice, unless there are fewer problems than a batch takes: what is
    left of a pass and fills no batch is dropped.
    """
    order: list[int] = []
    number = 0
    while len(order) < steps * batch:
        rows = list(range(count))
        random.Random(f"order/{seed}/{number}").shuffle(rows)
        order += rows[: count // batch * batch] or rows
        number += 1
    return order[: steps * batch]


def per_pass(share: int, most: int) -> int:
    """The largest divisor of ``share`` that is at most ``most``."""
    return next(size for size in range(min(share, most), 0, -1) if share % size == 0)

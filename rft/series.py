"""Numbers along the steps of a run: has one changed, or is that the noise?

Pure mathematics on the lines of metrics.jsonl; it knows neither what a number means nor whether
its change is good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

#: Steps averaged at either end. Five tame the noise of a group's reward a little; beyond twenty
#: a window would hold the change itself.
WINDOW = (5, 20)
#: Standard errors that a change must exceed. The doctor looks again after every step, so the
#: usual two would cry wolf in many a run that only wobbles.
SURE = 3.0


@dataclass(frozen=True)
class Change:
    """A number's mean over the first and the last steps, and the standard error between them."""

    early: float
    late: float
    error: float

    @property
    def by(self) -> float:
        return self.late - self.early

    @property
    def real(self) -> bool:
        """Whether the change is larger than the noise from step to step explains."""
        return abs(self.by) > max(SURE * self.error, 1e-9)

    @property
    def rose(self) -> bool:
        return self.real and self.by > 0

    @property
    def fell(self) -> bool:
        return self.real and self.by < 0


def number(value: Any) -> float | None:
    """The value if it is a finite number; None for what is missing or broken."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def broken(value: Any) -> bool:
    """Whether a value was meant to be a number and is NaN or infinite."""
    if isinstance(value, str):  # as strict JSON must write them
        return value.strip("+-").lower() in ("nan", "inf", "infinity")
    return isinstance(value, float) and not math.isfinite(value)


def column(lines: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    """The finite values of one metric, in order."""
    return [x for line in lines if (x := number(line.get(name))) is not None]


def window(count: int) -> int:
    """How many of ``count`` steps to average at either end."""
    return min(WINDOW[1], max(WINDOW[0], count // 4))


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def late(values: Sequence[float]) -> float | None:
    """The mean over the last steps; None before there are enough of them."""
    size = window(len(values))
    return mean(values[-size:]) if len(values) >= size else None


def noise(values: Sequence[float]) -> float:
    """Standard deviation from step to step: the root of half the mean squared difference.

    Unlike the deviation from the mean, a trend hardly enters it (von Neumann 1941).
    """
    steps = [(b - a) ** 2 for a, b in pairwise(values)]
    return math.sqrt(mean(steps) / 2)


def change(values: Sequence[float]) -> Change | None:
    """The first steps against the last; None where the two windows would overlap."""
    size = window(len(values))
    if len(values) < 2 * size:
        return None
    error = noise(values) * math.sqrt(2 / size)
    return Change(mean(values[:size]), mean(values[-size:]), error)


def fall(values: Sequence[float]) -> Change | None:
    """The best window of steps against the last, with the same standard error."""
    size = window(len(values))
    if len(values) < 2 * size:
        return None
    ends = range(size, len(values) - size + 1)
    peak = max(mean(values[end - size : end]) for end in ends)
    return Change(peak, mean(values[-size:]), noise(values) * math.sqrt(2 / size))


def share_error(rate: float, count: int) -> float:
    """Standard error between two shares of ``count`` problems each.

    As if the problems were different ones. They are the same, which can only make the error
    smaller: who compares the counts of one set this way errs on the side of silence.
    """
    return math.sqrt(2 * rate * (1 - rate) / count) if count else math.inf

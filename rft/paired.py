"""Two reports on the same problems, compared problem by problem.

Pure: takes what rft.evaluate.report gives, twice; knows no checkpoint. Before and after a run,
or two checkpoints side by side: the question is the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rft.errors import InputError
from rft.evaluate import wilson
from rft.types import Measure

#: Below this p the sentence says "more than chance".
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Flip:
    """A problem that one of the two got right and the other did not. ``gained``: the second."""

    id: str
    question: str
    gold: str
    before: str
    after: str
    gained: bool


@dataclass(frozen=True)
class Paired:
    """How two reports agree: counts of problems, the difference of their rates, and its doubt.

    ``p`` is McNemar's exact two-sided p value; ``low`` and ``high`` bound ``difference`` (after
    minus before, in shares of 1) with 95% confidence.
    """

    both: int
    only_before: int
    only_after: int
    neither: int
    p: float
    difference: float
    low: float
    high: float
    sentence: str
    flips: tuple[Flip, ...]

    @property
    def n(self) -> int:
        return self.both + self.only_before + self.only_after + self.neither

    @property
    def before(self) -> int:
        """Problems that the first got right."""
        return self.both + self.only_before

    @property
    def after(self) -> int:
        """Problems that the second got right."""
        return self.both + self.only_after


def mcnemar(only_before: int, only_after: int) -> float:
    """Exact two-sided p that as lopsided a split of the flips comes by chance (McNemar 1947).

    Under the null each flip goes either way with probability 1/2: twice the binomial tail.
    """
    flips = only_before + only_after
    tail = sum(math.comb(flips, k) for k in range(min(only_before, only_after) + 1))
    return min(1.0, 2 * tail / 2**flips)


def interval(
    both: int, only_before: int, only_after: int, neither: int, z: float = 1.959964
) -> tuple[float, float]:
    """95% interval of after minus before for paired shares; (-1, 1) where nothing was measured.

    Newcombe 1998 (Statistics in Medicine 17, 2635 to 2650), method 10: the Wilson limits of the
    two shares, joined by squaring and adding, less what their correlation takes away.
    """
    n = both + only_before + only_after + neither
    if n == 0:
        return -1.0, 1.0
    first, second = both + only_before, both + only_after
    p1, p2 = first / n, second / n
    (low1, high1), (low2, high2) = wilson(first, n, z), wilson(second, n, z)
    spread = first * (n - first) * second * (n - second)
    agreement = float(both * neither - only_before * only_after)
    if agreement > 0:
        agreement = max(agreement - n / 2, 0.0)
    phi = agreement / math.sqrt(spread) if spread else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    difference = p2 - p1
    return (
        max(-1.0, difference - reach(p2 - low2, high1 - p1)),
        min(1.0, difference + reach(p1 - low1, high2 - p2)),
    )


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    measure: Measure = "strict",
    names: tuple[str, str] = ("before", "after"),
) -> Paired:
    """Compare two reports of the same problems, in whatever order each lists them.

    InputError where they are not of the same problems, or hold none.
    """
    first, second = _answers(before, names[0]), _answers(after, names[1])
    _same(first, second, names)
    flips = []
    counts = {(b, a): 0 for b in (True, False) for a in (True, False)}
    for name, old in first.items():
        new = second[name]
        was, now = bool(old[measure]), bool(new[measure])
        counts[was, now] += 1
        if was != now:
            flips.append(
                Flip(name, str(old.get("question", "")), str(old.get("gold", "")),
                     str(old.get("completion", "")), str(new.get("completion", "")), now)
            )  # fmt: skip
    both, only_before = counts[True, True], counts[True, False]
    only_after, neither = counts[False, True], counts[False, False]
    low, high = interval(both, only_before, only_after, neither)
    p = mcnemar(only_before, only_after)
    difference = (only_after - only_before) / len(first)
    return Paired(
        both, only_before, only_after, neither, p, difference, low, high,
        _sentence(both, only_before, only_after, neither, p, (low, high), names), tuple(flips),
    )  # fmt: skip


def _answers(report: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    listed = report.get("answers")
    whole = isinstance(listed, list) and all(
        isinstance(a, dict) and {"id", "strict", "lenient"} <= set(a) for a in listed
    )
    if not whole or not listed:
        raise InputError(f"The report “{name}” lists no answers: measure the checkpoint again.")
    answers = {str(answer["id"]): answer for answer in listed}
    if len(answers) < len(listed):
        raise InputError(
            f"The report “{name}” lists a problem twice: measure on problems with ids of their own."
        )
    return answers


def _same(
    first: Mapping[str, Mapping[str, Any]],
    second: Mapping[str, Mapping[str, Any]],
    names: tuple[str, str],
) -> None:
    if alone := set(first) ^ set(second):
        holder = names[0] if min(alone) in first else names[1]
        raise InputError(
            f"The reports are of different problems: {len(alone)} are in one alone (first: "
            f"{min(alone)}, in “{holder}”). Measure both on the same problems."
        )
    for name, one in first.items():
        if any(one.get(part) != second[name].get(part) for part in ("question", "gold")):
            raise InputError(
                f"Problem {name} is another one in “{names[1]}” than in “{names[0]}”: measure "
                "both on the same problems."
            )


def _sentence(
    both: int, only_before: int, only_after: int, neither: int,
    p: float, bounds: tuple[float, float], names: tuple[str, str],
) -> str:  # fmt: skip
    n = both + only_before + only_after + neither
    first, second = _right(both + only_before, n), _right(both + only_after, n)
    points, low, high = (100 * share for share in ((only_after - only_before) / n, *bounds))
    chance = f"McNemar's exact p {'< 0.0001' if p < 0.0001 else f'= {p:.2g}'}"
    verdict = "more than chance explains" if p < SIGNIFICANT else "chance alone may explain it"
    if names == ("before", "after"):
        told = f"{first} before, {second} after: {points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})."
        what, same = f"{only_after} turned right, {only_before} turned wrong", "No problem changed."
    else:
        told = f"{names[0]} has {first} right, {names[1]} {second}: {_ahead(points, low, high, names)}."
        what = f"Only {names[1]} is right on {only_after}, only {names[0]} on {only_before}"
        same = "Both are right on the same problems."
    return f"{told} {f'{what}: {verdict} ({chance}).' if only_before + only_after else same}"


def _ahead(points: float, low: float, high: float, names: tuple[str, str]) -> str:
    if points < 0:
        points, low, high, names = -points, -high, -low, (names[1], names[0])
    lead = f"{names[1]} is ahead by {points:.1f} points" if points else "neither is ahead"
    return f"{lead} (95% interval {low:+.1f} to {high:+.1f})"


def _right(right: int, n: int) -> str:
    return f"{100 * right / n:.1f}% ({right} of {n})"

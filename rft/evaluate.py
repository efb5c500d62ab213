"""Accuracy of a checkpoint on a task: strict and lenient, with intervals, per question kind.

Strict is right inside ``<answer>``, as GRPO is rewarded on counting and structure; calls must be
right as a whole, in any spelling. Lenient is right anyhow: a bare answer counts. Knows policies
and problems; writes nothing. rft.exam keeps what is answered.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rft.answering import batched
from rft.parse import first_answer, parse
from rft.rewards import explain
from rft.tasks import prompt_for
from rft.truth import supported
from rft.types import Decoding, Problem, Reply, TaskName, Turn

if TYPE_CHECKING:
    from rft.policy import Policy

#: The reward that decides "right", inside the answer tag and anywhere.
STRICT = {"counting": "accuracy", "structure": "accuracy", "spatial": "function_exact"}
LENIENT = {
    "counting": "accuracy_robust",
    "structure": "accuracy_robust",
    "spatial": "function_exact",
}


@dataclass(frozen=True)
class Share:
    """``right`` of ``n``, with a 95% interval of the underlying rate.

    Wilson's, or, where problems share scenes, the normal one of their standard error ``spread``.
    """

    right: int
    n: int
    spread: float | None = None

    @property
    def rate(self) -> float:
        return self.right / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if self.spread is None:
            return wilson(self.right, self.n)
        return around(self.rate, self.spread)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:6.1%}  [{low:.1%}, {high:.1%}]  {self.right}/{self.n}"

    def record(self) -> dict[str, float | int]:
        low, high = self.interval
        return {"rate": self.rate, "low": low, "high": high, "right": self.right, "n": self.n}


def around(mean: float, spread: float, z: float = 1.959964) -> tuple[float, float]:
    """The normal 95% interval of a mean with this standard error, within 0 and 1."""
    return max(0.0, mean - z * spread), min(1.0, mean + z * spread)


def clustered(values: Sequence[float], scenes: Sequence[str]) -> float:
    """The standard error of a mean where scenes were drawn, and values share them.

    The sandwich estimator (Liang and Zeger 1986); "" is a scene of its own. 1, which says nothing,
    where all is one scene.
    """
    mean = fmean(values)
    sums: dict[str | int, float] = {}
    for number, (value, scene) in enumerate(zip(values, scenes, strict=True)):
        sums[scene or number] = sums.get(scene or number, 0.0) + value - mean
    if len(sums) < 2:
        return 1.0
    squares = sum(total * total for total in sums.values())
    return math.sqrt(len(sums) / (len(sums) - 1) * squares) / len(values)


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a rate (Wilson 1927); (0, 1) where nothing was measured."""
    if n == 0:
        return 0.0, 1.0
    rate, share = right / n, z * z / n
    middle = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / n + share / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Verdict:
    """One problem, what was said, and whether it was right: judged once, when first asked."""

    problem: Problem
    reply: Reply

    @cached_property
    def strict(self) -> bool:
        # A tag that was opened and never closed is no answer, whatever the text holds.
        if first_answer(self.reply.text) is None:
            return False
        return explain(STRICT[self.problem.task], self.reply, self.problem).value == 1

    @cached_property
    def lenient(self) -> bool:
        # What was only thought is no answer: calls are looked for in the whole text otherwise.
        said = replace(self.reply, text=self.reply.final)
        name = LENIENT[self.problem.task]
        return self.strict or explain(name, said, self.problem).value == 1

    @cached_property
    def formed(self) -> bool:
        return explain("format", self.reply, self.problem).value == 1

    @cached_property
    def reasoned(self) -> tuple[int, int]:
        """(True statements of the reasoning, all of them); (0, 0) where nothing can be checked."""
        derivation = self.problem.cot
        return supported(self.reply.thinking, derivation) if derivation else (0, 0)


def answer(
    policy: Policy,
    problems: Sequence[Problem],
    decoding: Decoding,
    batch: int,
    *,
    prompt: Callable[[TaskName, str], str] = prompt_for,
) -> list[Verdict]:
    """Ask every problem once; the verdicts are in the problems' order.

    ``prompt`` makes the text from task and question.
    """
    asked = [[Turn("user", prompt(p.task, p.question), p.images)] for p in problems]
    seeds = [(decoding.seed or 0) + place for place in range(len(problems))]
    found: dict[int, Verdict] = {}
    for texts in batched(policy, batch)(asked, decoding, seeds, threading.Event()):
        found |= {place: Verdict(problems[place], parse(text)) for place, text in texts.items()}
    return [found[place] for place in sorted(found)]


def report(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Shares overall and per kind, and every answer: what the JSON file holds."""
    kinds = sorted({v.problem.kind for v in verdicts})
    strict = [v.strict for v in verdicts]
    lenient = [v.lenient for v in verdicts]
    form = [v.formed for v in verdicts]
    reasoned = [v.reasoned for v in verdicts]

    def share(right: Sequence[bool], kind: str | None = None) -> dict[str, float | int]:
        of = [r for r, v in zip(right, verdicts, strict=True) if kind in (None, v.problem.kind)]
        return Share(sum(of), len(of)).record()

    return {
        "strict": share(strict),
        "lenient": share(lenient),
        "format": share(form),
        "reasoning": {"true": sum(t for t, _ in reasoned), "said": sum(n for _, n in reasoned)},
        "kinds": {k: {"strict": share(strict, k), "lenient": share(lenient, k)} for k in kinds},
        "answers": [
            {
                "id": v.problem.id,
                "kind": v.problem.kind,
                "question": v.problem.question,
                "gold": v.problem.answer,
                "completion": v.reply.text,
                "strict": s,
                "lenient": le,
                "format": formed,
                "true": true,
                "said": said,
            }
            for v, s, le, formed, (true, said) in zip(
                verdicts, strict, lenient, form, reasoned, strict=True
            )
        ],
    }


def table(found: dict[str, Any]) -> str:
    """The report as text for a terminal."""

    def line(name: str, of: dict[str, Any]) -> str:
        return f"  {name:<22}{Share(of['right'], of['n'])}"

    lines = [line(name, found[name]) for name in ("strict", "lenient", "format")]
    if said := found["reasoning"]["said"]:
        true = found["reasoning"]["true"]
        lines += [f"  {'reasoning true':<22}{true / said:6.1%}  {true:,} of {said:,} statements"]
    kinds = [line(kind, of["strict"]) for kind, of in found["kinds"].items()]
    return "\n".join([*lines, "strict, by kind:", *kinds])

"""Reward functions, why they gave what they gave, and their weighted sum.

A reward is pure, ``(Reply, Problem) -> float``, and reads the raw text of the reply. It knows
no prompt, no model and no trainer.

``accuracy``, ``format``, ``math_tolerance``, ``function``, ``function_full``,
``function_penalty`` and ``reasoning_steps`` behave as in Reason-RFT (arXiv 2503.20752), their
odd cases included, so that numbers can be compared. Each ``…_robust`` reward asks the same, but
as a person reads: "6.0" is 6, "(b)" is B, double quotes are quotes, spaces around tags are none
of the answer. ``function_exact`` is exact match, where the others give partial credit.

What differs from the reference on purpose: an answer may span lines; a bug raises, where the
reference gives 0; "nan" is a text and not a number. Left out: the length reward, which compares
completions of a group and so is no function of one reply.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from rft.calls import Agreement, Call, Credit, agree, exact_calls, spoken_calls
from rft.equality import number, same_answer, same_mathematics, spoken_number
from rft.errors import InputError
from rft.parse import first_answer
from rft.types import Problem, Reply, Score

Reward = Callable[[Reply, Problem], float]
#: A reward with its reason: value, and a few words that a person can check.
Judge = Callable[[Reply, Problem], tuple[float, str]]

CREDITS = {
    "function": Credit(1.0, 0.5, 0.5, 0.25),
    "function_full": Credit(1.0),
    "function_penalty": Credit(1.0, -0.25, -0.25, -0.5),
}

_BETWEEN = re.compile(r"</think>\s*<answer>")
_STEP = re.compile(r"Step \d+:|\A\d+\.|\n[-*]|First,|Second,|Next,|Finally,")


def gold_of(problem: Problem) -> str:
    """The gold answer, stripped, and unwrapped where a data set keeps it in answer tags."""
    tagged = first_answer(problem.answer)
    return problem.answer.strip() if tagged is None else tagged


def said_in(reply: Reply) -> str:
    """What the reference takes for the answer: the first tagged one, else the whole text."""
    tagged = first_answer(reply.text)
    return reply.text.strip() if tagged is None else tagged


def well_formed(text: str) -> bool:
    r"""Whether the whole text matches ``<think>.*?</think>\s*<answer>.*?</answer>`` (DOTALL).

    Written without that pattern, whose time grows with the square of a text full of tags.
    """
    between = _BETWEEN.search(text, len("<think>"))
    return (
        text.startswith("<think>")
        and text.endswith("</answer>")
        and between is not None
        and between.end() <= len(text) - len("</answer>")
    )


def tolerance(said: float, gold: float) -> float:
    """1 within 5% of gold, 0 beyond 20%, half a cosine between. Where gold is 0: 0."""
    near, far, off = 0.05 * abs(gold), 0.20 * abs(gold), abs(said - gold)
    if off < near:
        return 1.0
    # With gold 0 the formula is 0/0 for the right answer, which the reference counts as 0.
    if off > far or near == far:
        return 0.0
    return 0.5 * (math.cos(math.pi * (off - near) / (far - near)) + 1)


def _accuracy(reply: Reply, problem: Problem) -> tuple[float, str]:
    right = said_in(reply) == gold_of(problem)
    return _or_mathematics(float(right), "", reply, problem)


def _math_tolerance(reply: Reply, problem: Problem) -> tuple[float, str]:
    said, gold = number(said_in(reply)), number(gold_of(problem))
    if said is None or gold is None:
        return _accuracy(reply, problem)
    return _or_mathematics(tolerance(said, gold), _distance(said, gold), reply, problem)


def _or_mathematics(value: float, note: str, reply: Reply, problem: Problem) -> tuple[float, str]:
    """The value so far; where it is 0 and no answer tag exists, math_verify may still give 1."""
    verdict = _verdict(said_in(reply), gold_of(problem))
    if first_answer(reply.text) is not None:
        return value, verdict + note
    if value == 0 and same_mathematics(reply.text, problem.answer):
        return 1.0, f"no <answer> tag, but the text holds {_short(gold_of(problem))}"
    return value, f"no <answer> tag; {verdict}{note}"


def _format(reply: Reply, problem: Problem) -> tuple[float, str]:
    return float(well_formed(reply.text)), _form(reply.text)


def _reasoning_steps(reply: Reply, problem: Problem) -> tuple[float, str]:
    marks = len(_STEP.findall(reply.text))
    return min(1.0, marks / 3), f"{marks} step marks, 3 give full marks"


def _function(read: Callable[[str], list[Call]], credit: Credit) -> Judge:
    def judge(reply: Reply, problem: Problem) -> tuple[float, str]:
        agreement = agree(read(said_in(reply)), read(problem.answer))
        return agreement.value(credit), _account(agreement)

    return judge


def _function_exact(reply: Reply, problem: Problem) -> tuple[float, str]:
    agreement = agree(spoken_calls(said_in(reply)), spoken_calls(problem.answer))
    every = agreement.full == agreement.gold == agreement.said > 0
    return float(every), _account(agreement)


def _accuracy_robust(reply: Reply, problem: Problem) -> tuple[float, str]:
    said, gold = reply.final, gold_of(problem)
    untagged = "" if reply.answer is not None else "no <answer> tag; "
    return float(same_answer(said, gold)), untagged + _verdict(said, gold)


def _format_robust(reply: Reply, problem: Problem) -> tuple[float, str]:
    text = reply.text.strip()
    if well_formed(text) and text.count("<answer>") > 1:
        return 0.0, "more than one <answer>"
    return float(well_formed(text)), _form(text)


def _math_tolerance_robust(reply: Reply, problem: Problem) -> tuple[float, str]:
    said, gold = spoken_number(reply.final), spoken_number(gold_of(problem))
    if said is None or gold is None or said == gold:
        return _accuracy_robust(reply, problem)
    return tolerance(said, gold), _verdict(reply.final, gold_of(problem)) + _distance(said, gold)


_JUDGES: dict[str, Judge] = {
    "accuracy": _accuracy,
    "format": _format,
    "math_tolerance": _math_tolerance,
    **{name: _function(exact_calls, credit) for name, credit in CREDITS.items()},
    "reasoning_steps": _reasoning_steps,
    "accuracy_robust": _accuracy_robust,
    "format_robust": _format_robust,
    "math_tolerance_robust": _math_tolerance_robust,
    **{f"{name}_robust": _function(spoken_calls, credit) for name, credit in CREDITS.items()},
    "function_exact": _function_exact,
}


def _value_of(name: str) -> Reward:
    def reward(reply: Reply, problem: Problem) -> float:
        return _JUDGES[name](reply, problem)[0]

    reward.__name__ = name  # trainers name their metrics after it
    return reward


REWARDS: dict[str, Reward] = {name: _value_of(name) for name in _JUDGES}


def explain(name: str, reply: Reply, problem: Problem) -> Score:
    """The named reward's value and its reason. Raises InputError for an unknown name."""
    _known(name)
    return Score(name, *_JUDGES[name](reply, problem))


@dataclass(frozen=True)
class Rubric:
    """Rewards and their weights, in the order shown. Weight 0 is a metric: shown, not summed."""

    weights: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.weights]
        for name, weight in self.weights:
            _known(name)
            if not math.isfinite(weight):
                raise InputError(f"The weight of {name} is {weight}. Give a finite number.")
        if len(set(names)) < len(names):
            raise InputError(f"A reward stands twice in {', '.join(names)}. Name each once.")

    def scores(self, reply: Reply, problem: Problem) -> list[Score]:
        """One Score for each reward, metrics included, in the rubric's order."""
        return [explain(name, reply, problem) for name, _ in self.weights]

    def total(self, reply: Reply, problem: Problem) -> float:
        """The weighted sum that training maximises."""
        return sum(
            weight * REWARDS[name](reply, problem) for name, weight in self.weights if weight
        )

    @property
    def full_marks(self) -> float:
        """The total of a reply that is right in every respect."""
        return sum((weight for _, weight in self.weights if weight > 0), start=0.0)


def _known(name: str) -> None:
    if name not in _JUDGES:
        raise InputError(f"No reward is named {name!r}. Choose one of: {', '.join(_JUDGES)}.")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _verdict(said: str, gold: str) -> str:
    if not said:
        return f"said nothing, gold is {_short(gold)}"
    if said == gold:
        return f"said {_short(said)}, as gold"
    return f"said {_short(said)}, gold is {_short(gold)}"


def _distance(said: float, gold: float) -> str:
    return f" ({abs(said - gold) / abs(gold):.0%} off)" if gold and said != gold else ""


def _form(text: str) -> str:
    """What of the strict form is missing, first things first."""
    if well_formed(text):
        return "<think>…</think><answer>…</answer>"
    missing = [tag for tag in ("<think>", "</think>", "<answer>", "</answer>") if tag not in text]
    if missing:
        return f"no {missing[0]} tag"
    if not text.startswith("<think>"):
        return "text or space before <think>"
    if not text.endswith("</answer>"):
        return "text or space after </answer>"
    return "tags out of order, or text between </think> and <answer>"


def _account(agreement: Agreement) -> str:
    if not agreement.said:
        return "no function call found in the answer"
    if not agreement.gold:
        return "no function call found in the gold answer"
    parts = [f"{agreement.full} of {agreement.gold} functions right"]
    partly = agreement.function_object + agreement.function_value + agreement.function_only
    wrong = agreement.unique - agreement.full - partly
    repeats = agreement.said - agreement.unique
    for count, what in ((partly, "partly right"), (wrong, "wrong"), (repeats, "repeated")):
        if count:
            parts.append(f"{count} {what}")
    return ", ".join(parts)

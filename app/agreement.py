"""Which of several answers to one question are the same, and that in a sentence.

Pure: texts go in. What counts as the same is rft's to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from rft.calls import spoken_calls
from rft.equality import same_answer
from rft.types import TaskName

_COUNTS = {2: "Both", 3: "All three", 4: "All four"}


def same(one: str, other: str, task: TaskName | None) -> bool:
    """Whether a person would take the two for one answer; the order of calls does not matter."""
    if task == "spatial" and (calls := set(spoken_calls(one))):
        return calls == set(spoken_calls(other))
    # "B" is said by "(B) 30°", and that not by "B": either way round will do.
    return same_answer(one, other) or same_answer(other, one)


def camps(answers: Sequence[str], task: TaskName | None) -> list[int]:
    """For each answer, the place of the first that is the same. No answer is like no other."""
    found: list[int] = []
    for place, answer in enumerate(answers):
        alike = (first for first in found if first != place and same(answer, answers[first], task))
        found.append(next(alike, place) if answer.strip() else place)
    return found


def sentence(answers: Sequence[str], task: TaskName | None) -> str:
    """How far they agree."""
    given = [answer for answer in answers if answer.strip()]
    silent, sides = len(answers) - len(given), len(set(camps(given, task)))
    if len(given) < 2:
        return "Only one of them answers." if given else "None of them answers."
    if sides == 1:
        who = _COUNTS.get(len(given), "All") if not silent else f"{len(given)} of {len(answers)}"
        return f"{who} give the same answer."
    said = "Their answers differ" if sides == len(given) else f"{sides} different answers"
    return f"{said}; {silent} of {len(answers)} give none." if silent else f"{said}."


def standing(answers: Sequence[str], task: TaskName | None) -> list[str]:
    """For each answer: "same" as all others, "shared" with some, "odd" where it stands alone."""
    found = camps(answers, task)
    words = []
    for camp in found:
        size = found.count(camp)
        words.append("same" if size == len(found) else "shared" if size > 1 else "odd")
    return words

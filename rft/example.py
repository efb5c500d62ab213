"""An example made by hand, and what can be wrong with it before anything learns from it.

Rewards compare texts: a gold answer must be written as a model is asked to write it, or no reply
could ever be right. This module knows one example at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rft.calls import FUNCTIONS, exact_calls
from rft.equality import spoken_number
from rft.errors import InputError
from rft.images import open_image
from rft.records import strip_prompt, thought, unwrap
from rft.tasks import TASKS, is_choice
from rft.types import Picture, Problem, TaskName

NAMED = 5  #: rows named in one sentence


@dataclass(frozen=True)
class Example:
    """One example as it was typed. ``cot`` is a chain of thought, where there is one."""

    images: tuple[Picture, ...]
    question: str
    answer: str
    cot: str = ""


def problem_of(task: TaskName, example: Example, id: str) -> Problem:
    """The problem that a faultless example poses: without tags or prompt texts around it."""
    answer = unwrap(example.answer)
    kind = ("choice" if re.fullmatch("[A-D]", answer) else "numeric") if task == "structure" else ""
    question = strip_prompt(example.question, task)
    return Problem(id, task, tuple(example.images), question, answer, thought(example.cot), kind)


def example_fault(task: TaskName, example: Example) -> str | None:
    """What is wrong with it, to follow its name ("has no image: add one."); None if nothing is."""
    wanted, given = TASKS[task].pictures, len(example.images)
    if not given:
        return f"has no image: add {'one' if wanted == 1 else f'{wanted}, before and after'}."
    if given != wanted:
        takes = "one" if wanted == 1 else f"{wanted}, before and after"
        return f"has {given} image{'s' * (given > 1)}, but {task} takes {takes}: correct them."
    question = strip_prompt(example.question, task)
    if not question:
        return "has no question: write one."
    if fault := answer_fault(task, question, unwrap(example.answer)):
        return fault
    for image in example.images:
        try:
            open_image(image)
        except InputError as error:
            return f"has an image that cannot be used: {error}"
    return None


def gold_faults(problems: Sequence[Problem]) -> list[str]:
    """Those whose gold answers no reply could match, by their names; the first few in words."""
    # Geometry is left out: its rewards compare any text with any text.
    asked = [problem for problem in problems if problem.task != "structure"]
    faulty = {p.id: f for p in asked if (f := answer_fault(p.task, p.question, p.answer))}
    found = [f"{id} {fault}" for id, fault in list(faulty.items())[:NAMED]]
    if (more := len(faulty) - NAMED) > 0:
        found.append(f"{more} more rows have such answers: correct them all.")
    return found


def answer_fault(task: TaskName, question: str, answer: str) -> str | None:
    """Why no reply could be right against this gold answer; None if one could."""
    shown = answer if len(answer) <= 40 else f"{answer[:39]}…"
    if not answer:
        return "has no answer: write the right one."
    if task == "counting":
        number = spoken_number(answer)
        if number is None or number != int(number):
            return f"has the answer “{shown}”, but counting needs an integer: write it in digits."
        if answer != str(int(number)):
            return f"has the answer “{shown}”: write {int(number)}, as a model is asked to."
        return None
    if task == "structure":
        letter, offers = bool(re.fullmatch("[A-D]", answer)), is_choice(question)
        if offers and not letter:
            return f"offers choices, but has the answer “{shown}”: write the letter, A to D."
        if letter and not offers:
            return f"has the answer {answer}, but lists no choices: add them, “A. 30 B. 45 …”."
        if not letter and spoken_number(answer) is None:
            return f"has the answer “{shown}”: write a letter from A to D, or a number."
        return None
    return _calls_fault(answer, shown)


def _calls_fault(answer: str, shown: str) -> str | None:
    calls = exact_calls(answer)
    if not calls:
        return f"has the answer “{shown}”, no function call: write, say, change_color(2, 'red')."
    for call in calls:
        if call.function not in FUNCTIONS:
            return f"calls {call.function[:40]}, no function here: use {', '.join(FUNCTIONS)}."
        if call.value not in FUNCTIONS[call.function]:
            values = ", ".join(FUNCTIONS[call.function])
            return f"has {call.function} to “{call.value[:40]}”: its values are {values}."
    return None

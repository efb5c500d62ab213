"""The three tasks: what is asked for, in which words, and how a reply is marked.

The prompts are those that the released checkpoints were trained with, but for the long spatial
instruction, which is our own; a checkpoint's card may name a file with the trained one. Knows
no image, no model and no template: text in, text out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rft.calls import FUNCTIONS
from rft.rewards import Rubric
from rft.types import Problem, TaskName

#: What sort of answer is asked for: the second and third of structure, the rest of free questions.
AnswerKind = Literal["auto", "choice", "number", "points", "box", "grasp", "trajectory"]

#: Of the constant TRANCE_QUESTION_PROMPT that trained the released spatial checkpoints.
TRAINED_INSTRUCTION_SHA256 = "aaff3c2ea0e669138e3f6ed01fa75e19d0305f42b92c04bf84ff7bdea1ec9c32"

#: Where a user's own instruction wants the question: as the reference writes it, and as we do.
PLACEHOLDERS = ("{Question}", "{Q}")


@dataclass(frozen=True)
class Task:
    """One task. ``pictures`` is the number of images that a question is about."""

    name: TaskName
    title: str
    line: str  # what the task is, in a line for a visitor
    pictures: int
    answer: str  # what <answer> holds
    rubric: Rubric


TASKS: dict[TaskName, Task] = {
    "counting": Task(
        name="counting",
        title="Visual counting",
        line="Count objects, after adding some or taking some away.",
        pictures=1,
        answer="an integer",
        rubric=Rubric(
            (("accuracy", 1.0), ("format", 1.0), ("accuracy_robust", 0.0), ("format_robust", 0.0))
        ),
    ),
    "structure": Task(
        name="structure",
        title="Structure perception",
        line="Read a figure of geometry: angles, lengths, areas.",
        pictures=1,
        answer="a letter, or a number",
        rubric=Rubric(
            (
                ("accuracy", 1.0),
                ("format", 1.0),
                ("accuracy_robust", 0.0),
                ("math_tolerance_robust", 0.0),
                ("format_robust", 0.0),
            )
        ),
    ),
    "spatial": Task(
        name="spatial",
        title="Spatial transformation",
        line="Find the changes that lead from the first image to the second.",
        pictures=2,
        answer="func(object_id, 'value'), separated by commas",
        rubric=Rubric(
            (
                ("function_full", 1.0),
                ("format", 1.0),
                ("function", 0.0),
                ("function_exact", 0.0),
                ("format_robust", 0.0),
            )
        ),
    ),
}

_FUNCTION_LINES = "\n".join(f"- {name}: {', '.join(values)}" for name, values in FUNCTIONS.items())

#: Our own words for what the trained instruction says, in its order.
SPATIAL_INSTRUCTION = f"""\
Two images show one scene: the first before, the second after some of its objects were changed. \
Each object of the first image is described by a tuple \
('object_id', 'shape', 'size', 'color', 'material'). Work out which 1 to 4 changes, applied to \
the first image, produce the second. Every change is written as a function call \
func(object_id, 'value'): the function says what changes, object_id which object, value what it \
becomes.

The functions and their possible values:
{_FUNCTION_LINES}

A value of change_position is the direction in which the object moved, seen from the place \
where the first image shows it.

First reason inside <think> </think>. Then write the function calls, separated by commas, and \
nothing else inside <answer> </answer>, like this: \
<answer>change_color(2, 'red'), change_position(0, 'front_left')</answer>
"""

_TAGS = "Output the thinking process in <think> </think> and final answer ({}) in <answer> </answer> tags."
_COUNT = _TAGS.format("number")
_CALCULATE = _TAGS.format("float number or int number")
_TRANSFORM = _TAGS.format("sequence of functions only")
_CHOOSE = (
    "Please select the correct answer by writing the letter (A, B, C or D) that precedes your "
    "choice.\n" + _TAGS.format("chosen letter")
)


def prompt_for(
    task: TaskName | None,
    question: str,
    *,
    answer_kind: AnswerKind = "auto",
    instruction: str | None = None,
) -> str:
    """The text that follows the images in the user's turn.

    ``task`` None is a free question: its bare text. ``answer_kind`` matters to structure alone;
    "auto" looks for options in the question. ``instruction`` is a user's own text: where it has
    a placeholder it is the whole prompt; else it goes before question and closing words, in
    place of our spatial instruction.
    """
    if task is None:
        return question
    if instruction is None:
        instruction = SPATIAL_INSTRUCTION if task == "spatial" else ""
    for placeholder in PLACEHOLDERS:
        if placeholder in instruction:
            return instruction.replace(placeholder, question)
    asked = f"{question} {_closing(task, question, answer_kind)}"
    return f"{instruction.rstrip()}\n\n{asked}" if instruction.strip() else asked


def _closing(task: TaskName, question: str, answer_kind: AnswerKind) -> str:
    if task == "counting":
        return _COUNT
    if task == "spatial":
        return _TRANSFORM
    chooses = answer_kind == "choice" or (answer_kind == "auto" and is_choice(question))
    return _CHOOSE if chooses else _CALCULATE


def completion_of(problem: Problem) -> str:
    """The paper's CoT-SFT target for a problem (section 3.1): reasoning, then the answer."""
    return f"<think>\n{problem.cot}\n</think>\n<answer>\n{problem.answer}\n</answer>"


def trained_instruction(text: str) -> bool:
    """Whether this is, letter by letter, the instruction of the released spatial checkpoints.

    A line end that an editor put at the file's end does not count.
    """
    return any(
        hashlib.sha256(variant.encode()).hexdigest() == TRAINED_INSTRUCTION_SHA256
        for variant in (text, text.removesuffix("\n"))
    )


# The ways to mark an option: "(A) 5", "A. 5", "A) 5", "A: 5". A letter right before the mark
# rules out "f(A)" and "Fig. BA."; "A:B" and "A.B" are a ratio and an abbreviation.
_MARKS = tuple(
    (re.compile(pattern.replace("L", "A")), re.compile(pattern.replace("L", "B")))
    for pattern in (
        r"(?<![\w∠(])\(L\)(?=\s*[^\s,;.)])",
        r"(?<![\w∠])L[.．、](?=\s*[^\s,;.])(?![A-Z])",
        r"(?<![\w∠(])L\)(?=\s*[^\s,;.])",
        r"(?<![\w∠])L[:：](?=\s*[^\s,;.])(?!\s*[A-H]\s*[:：])",
    )
)
# "… from A. The line through B. Find": points of a figure that end a clause, no options.
_POINT = re.compile(
    r"\b(?:at|and|or|through|from|to|with|points?|angles?|vertex|circle|cent(?:er|re))\s*\Z",
    re.IGNORECASE,
)


def is_choice(question: str) -> bool:
    """Whether the question offers options: a mark for A and later one of the same kind for B."""
    for mark_a, mark_b in _MARKS:
        first = next(_options(mark_a, question), None)
        if first is None:
            continue
        for second in _options(mark_b, question):
            if question[first.end() : second.start()].strip(" \t\r\n,;."):
                return True
    return False


def _options(mark: re.Pattern[str], question: str) -> Iterator[re.Match[str]]:
    """Where the mark stands before an option, and not after the name of a point."""
    return (
        found
        for found in mark.finditer(question)
        if not _POINT.search(question, max(0, found.start() - 20), found.start())
    )

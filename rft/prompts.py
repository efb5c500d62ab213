"""What a checkpoint is asked with: its task's prompt, in the words that it was trained on.

The one place where a card decides about a prompt, for the page and for measuring alike. Knows
cards and tasks; no model, no image and no template.
"""

from __future__ import annotations

from rft import zoo
from rft.promptfile import Instruction
from rft.tasks import AnswerKind, prompt_for
from rft.types import TaskName

#: The paper measures the Qwen bases on counting with an instruction to answer in Arabic numerals
#: in place of the think/answer prompt, which they were never trained on. It does not print its
#: text: these words are ours.
NUMERALS = "Answer with one number in Arabic numerals, and nothing else."

#: How a free question asks for a place in the image. What RoboBrain 2.0 learned to point with asks
#: for these four in this order of thoughts and these notations; the words are ours.
PLACES: dict[str, str] = {
    "points": "{Q}\nAnswer with a list of points, [(x1, y1), (x2, y2), ...]: the x and y "
    "coordinates of each in the image.",
    "box": "Give the bounding box of what this describes, [x1, y1, x2, y2]: {Q}",
    "grasp": 'You are a robot, and your task is "{Q}". Predict the affordance area where your end '
    "effector should take hold, as [x1, y1, x2, y2].",
    "trajectory": 'You are a robot, and your task is "{Q}". Predict up to 10 key points of the '
    "trajectory of your end effector, in order, as [[x1, y1], [x2, y2], ...].",
}


def prompt(card: zoo.Card, task: TaskName | None, question: str, kind: AnswerKind = "auto") -> str:
    """The text that goes to the card's model after the images.

    A bare question for a checkpoint that was trained on bare ones (ANS-SFT), and where none of
    the tasks is asked and no place. InputError where the card's prompt file cannot be used.
    """
    if task is None:
        return PLACES.get(kind, "{Q}").replace("{Q}", question)
    if card.stage == "ans-sft":
        return question
    own = instruction(card, task)
    if own is not None:
        return prompt_for(task, question, answer_kind=kind, instruction=own.text)
    if not tagged(card, task):
        return f"{question} {NUMERALS}"
    return prompt_for(task, question, answer_kind=kind)


def tagged(card: zoo.Card, task: TaskName) -> bool:
    """Whether its prompt asks the card for tags: where it does not, an answer without them is
    as right."""
    if card.stage == "ans-sft":
        return False
    bare = task == "counting" and card.stage == "base"
    return not bare or card.tiny or instruction(card, task) is not None


def instruction(card: zoo.Card, task: TaskName | None) -> Instruction | None:
    """The card's own prompt file, where it plays a part in a question of this task.

    A file speaks of its card's task and of no other; that of a card without a task, of all.
    """
    if task is None or card.stage == "ans-sft" or card.task not in (None, task):
        return None
    return zoo.instruction(card)

"""A record of a Reason-RFT data set, taken apart: question, answer and chain of thought, bare.

Three forms are read: the published one (``problem, answer, cot``), the one for RL
(``problem, solution``) and the ShareGPT one for SFT (``messages``). All may carry prompt
texts, image placeholders and tags, which are taken off here. Pure: no file is opened,
images are names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from rft.errors import InputError
from rft.tasks import TASKS, prompt_for
from rft.types import Problem, TaskName

_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL)
_THOUGHT = re.compile(r"<think>(.*?)(?:</think>|<answer>|\Z)", re.DOTALL)
# Closing sentences of all tasks' prompts; what stands in the brackets differs by task.
_TAGS = "Output the thinking process in <think>"
_CLOSING = re.compile(
    rf"(?:Please select the correct answer by writing the letter[^\n]*\n?)?{_TAGS}"
    r"[^\n]*</answer> tags\.?\s*\Z"
)
_PLACEHOLDER = "<image>"
_USER, _ASSISTANT = ("user", "human"), ("assistant", "gpt")


@dataclass(frozen=True)
class Record:
    """What one row says, without any prompt, placeholder or tag around it."""

    id: str
    task: TaskName
    images: tuple[str, ...]
    question: str
    answer: str
    cot: str
    kind: str


def read(row: Any, task: TaskName | None, fallback_id: str) -> Record:
    """The row's content. ``task`` None: told by the number of images, if that tells it.

    Raises InputError, whose message says which field is wrong and how.
    """
    if not isinstance(row, Mapping):
        raise InputError(f"holds {_what(row)} where a record {{…}} should be")
    images = _images(row)
    if task is None:
        if len(images) != TASKS["spatial"].pictures:
            raise InputError("does not tell its task; name the task when loading it")
        task = "spatial"
    if len(images) != TASKS[task].pictures:
        raise InputError(f"has {len(images)} image(s), but {task} takes {TASKS[task].pictures}")
    if "messages" in row or "conversations" in row:
        problem, reply = _exchange(row)
        answer, cot = reply, reply if "<think>" in reply else ""
    else:
        problem = _text(row, "problem")
        cot = _text(row, "cot") if row.get("cot") is not None else ""
        answer = _text(row, "answer", "solution")
    bare = unwrap(answer)
    if not bare:
        raise InputError("has an empty answer")
    question = strip_prompt(problem, task)
    if not question:
        raise InputError("has an empty problem")
    kind = _text(row, "kind") if row.get("kind") is not None else ""
    if not kind and task == "structure":
        kind = "choice" if bare in ("A", "B", "C", "D") else "numeric"
    id = _text(row, "id") if row.get("id") is not None else fallback_id
    return Record(id, task, images, question, bare, thought(cot), kind)


def published(problem: Problem, images: list[str]) -> dict[str, Any]:
    """The problem as a record of the published form, plus our ``kind``.

    ``images`` are the names of its image files; one stands alone, two are a list.
    """
    return {
        "id": problem.id,
        "image": images[0] if len(images) == 1 else images,
        "problem": problem.question,
        "answer": problem.answer,
        "cot": problem.cot,
        "kind": problem.kind,
    }


def unwrap(answer: str) -> str:
    """The answer without tags: of the first ``<answer>``, where there is one."""
    tagged = _ANSWER.search(answer)
    return (tagged[1] if tagged else answer).strip()


def thought(cot: str) -> str:
    """The chain of thought without tags, and without the answer that may follow it."""
    if "<think>" not in cot and "</think>" in cot:
        cot = "<think>" + cot  # a chat template may have opened it
    tagged = _THOUGHT.search(cot)
    return (tagged[1] if tagged else cot.partition("<answer>")[0]).strip()


def strip_prompt(text: str, task: TaskName) -> str:
    """The question {Q} in a text that may be a whole prompt.

    Known closing sentences go, and so does what precedes an image placeholder or is this
    project's own instruction. An instruction unknown here stays part of the question.
    """
    if _TAGS in text:
        text = _CLOSING.sub("", text)
    opening = _opening(task)
    if opening and text.startswith(opening):
        text = text[len(opening) :]
    before, _, after = text.rpartition(_PLACEHOLDER)
    return (after if after.strip() else before.replace(_PLACEHOLDER, "")).strip()


@cache
def _opening(task: TaskName) -> str:
    """What this project's own prompt for the task says before the question."""
    return prompt_for(task, "\0").partition("\0")[0]


def _images(row: Mapping[str, Any]) -> tuple[str, ...]:
    value = row.get("image", row.get("images"))
    if value is None:
        raise InputError("has no field “image”")
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError("has an “image” that is neither a file name nor a list of them")
    return tuple(names)


def _exchange(row: Mapping[str, Any]) -> tuple[str, str]:
    """The one question and the one reply of a ShareGPT row."""
    turns = row.get("messages", row.get("conversations"))
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    for turn in turns if isinstance(turns, list) else []:
        role = turn.get("role", turn.get("from")) if isinstance(turn, Mapping) else None
        text = turn.get("content", turn.get("value")) if isinstance(turn, Mapping) else None
        if role in _USER + _ASSISTANT and isinstance(text, str):
            said["user" if role in _USER else "assistant"].append(_encodable(text, "messages"))
    if (len(said["user"]), len(said["assistant"])) != (1, 1):
        raise InputError("has “messages” that are not one user turn and one reply in text")
    return said["user"][0], said["assistant"][0]


def _text(row: Mapping[str, Any], *fields: str) -> str:
    """The first of the fields that is there, as text; numbers are taken as written."""
    for field in fields:
        value = row.get(field)
        if isinstance(value, str):
            return _encodable(value, field)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if value is not None:
            raise InputError(f"has a “{field}” that is {_what(value)} instead of text")
    raise InputError(f"has no field “{'” or “'.join(fields)}”")


def _encodable(text: str, field: str) -> str:
    """The text, if it can be written again: JSON may smuggle in half characters."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"has a broken character in “{field}”") from None
    return text


def _what(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true/false", str: "text"}
    return "nothing" if value is None else names.get(type(value), "a number")

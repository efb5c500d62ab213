"""``python -m rft score``: a reward for each line of a JSONL file.

Reads ``{"completion": …, "solution": …}`` line by line and prints each with its reward, in
order. A line that cannot be scored is named on standard error and costs the others nothing.
Knows no reward by itself: names and values are rft.rewards' business.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, TextIO

from rft.errors import InputError
from rft.parse import parse
from rft.rewards import REWARDS
from rft.types import Problem


def command(argv: list[str]) -> int:
    """Exit status: 0, 1 where a line could not be scored, 2 where nothing could be read."""
    parser = argparse.ArgumentParser(prog="python -m rft score", description=__doc__)
    parser.add_argument("--reward", required=True, choices=list(REWARDS), metavar="NAME")
    parser.add_argument(
        "--solution-field", default="solution", metavar="FIELD", help="the gold answer's field"
    )
    parser.add_argument("file", metavar="FILE.jsonl", help='"-" is standard input')
    parser.epilog = f"NAME is one of: {', '.join(REWARDS)}."
    chosen = parser.parse_args(argv)
    with ExitStack() as stack:
        try:
            lines = (
                sys.stdin.buffer
                if chosen.file == "-"
                else stack.enter_context(open(chosen.file, "rb"))
            )
        except OSError as error:
            reason = error.strerror or error
            print(f"{chosen.file}: {reason}. Name a readable JSONL file.", file=sys.stderr)
            return 2
        return (
            1 if score(lines, chosen.reward, chosen.solution_field, sys.stdout, sys.stderr) else 0
        )


def score(
    lines: Iterable[bytes], reward: str, solution_field: str, out: TextIO, complaints: TextIO
) -> int:
    """Score line by line; returns how many lines could not be scored. Blank ones are skipped."""
    bad = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record, completion, solution = read(line, solution_field)
        except InputError as error:
            bad += 1
            print(f"line {number}: {error}", file=complaints, flush=True)
            continue
        # No reward asks for the task or the images, so the record need not tell them.
        problem = Problem(str(number), "counting", (), "", solution)
        try:
            record["reward"] = REWARDS[reward](parse(completion), problem)
        except Exception as fault:  # the outermost frame: one line must not cost the others
            bad += 1
            print(
                f"line {number}: a fault of this program, not of the line "
                f"({type(fault).__name__}: {fault}). Please report it with the line.",
                file=complaints,
                flush=True,
            )
            continue
        print(json.dumps(record), file=out, flush=True)
    return bad


def read(line: bytes, solution_field: str) -> tuple[dict[str, Any], str, str]:
    """The record, its completion and its solution. Raises InputError, saying what is wrong."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, nested without end
        raise InputError(f"not JSON ({error}). Write one object a line.") from error
    if not isinstance(record, dict):
        raise InputError(f"a JSON {_kind(record)}. Write one object a line.")
    for field in ("completion", solution_field):
        if field not in record:
            raise InputError(f"no field {field!r}. {_remedy(field, record)}")
    return record, _completion(record["completion"]), _solution(record[solution_field])


def _completion(value: Any) -> str:
    """A text, or a chat ``[{"role": …, "content": text}]``, whose first message counts."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0].get("content")
    if not isinstance(value, str):
        raise InputError(
            "completion is neither a text nor a chat. "
            'Write "text" or [{"role": "assistant", "content": "text"}].'
        )
    return value


def _solution(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"the solution is a JSON {_kind(value)}. Write a text or a number.")
    return str(value)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "number")


def _remedy(field: str, record: dict[str, Any]) -> str:
    if field == "completion":
        return "Add the text to be scored."
    return f"Name the gold answer's field with --solution-field; there are: {', '.join(record)}."

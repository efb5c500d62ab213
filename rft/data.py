"""Data sets as folders: written in the published Reason-RFT layout, read from all its forms.

Images are kept as paths: nothing is decoded on loading. What a record's fields mean is the
business of :mod:`rft.records`; what lies where, of :mod:`rft.shelf`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rft.errors import InputError, StudioError
from rft.images import open_image
from rft.records import published, read
from rft.scenes import SPLITS, Split, make
from rft.shelf import MARKER, Shelf, files, json_file, side, task_of
from rft.types import Problem, TaskName

SHOWN_FAULTS = 20  #: bad rows named in one message
SEED_STRIDE = 1_000_000  #: problem i of seed s is made from s * SEED_STRIDE + i


def load(path: Path, task: TaskName | None = None, split: Split | None = None) -> list[Problem]:
    """The problems of a data folder, of one JSON file (a list) or of one JSONL file.

    In a folder the file names tell task and split; ``task`` and ``split`` choose among them.
    For a file whose name does not tell its task, ``task`` names it. Raises InputError, which
    lists the bad rows (up to a bound), and where a folder's splits would be mixed.
    """
    problems: list[Problem] = []
    faults: list[str] = []
    for file in files(path, task, split):
        shelf, known = Shelf(file), task_of(file) or task
        for where, number, row in _rows(file):
            try:
                if isinstance(row, InputError):
                    raise row
                record = read(row, known, f"{file.stem}-{number}")
                images = tuple(shelf.find(name) for name in record.images)
            except InputError as fault:
                faults.append(f"{file.name}, {where} {number}: {fault}")
                continue
            problems.append(
                Problem(
                    record.id,
                    record.task,
                    images,
                    record.question,
                    record.answer,
                    record.cot,
                    record.kind,
                )
            )
    if faults:
        hidden = len(faults) - SHOWN_FAULTS
        raise InputError(
            f"{len(faults)} of {len(faults) + len(problems)} rows cannot be used. "
            "Correct or remove them:\n"
            + "\n".join(faults[:SHOWN_FAULTS])
            + (f"\n… and {hidden} more" if hidden > 0 else "")
        )
    if not problems:
        raise InputError(f"{path} holds no problems. Name a folder or file that holds some.")
    return problems


def write(
    problems: Iterable[Problem], out: Path, split: Split, about: Mapping[str, Any] | None = None
) -> Path:
    """Write the problems, all of one task, as one split of the data folder ``out``.

    The folder may hold other splits and tasks; the same split is replaced. ``about`` (seed,
    size, …) is kept in the folder's marker. Returns the JSON file's path. Raises InputError
    for a folder that holds anything and was not made by this function.
    """
    marker = _claim(out)
    pictures = out / "images" / f"{side(split)}_images"
    pictures.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    task: TaskName | None = None
    taken: set[str] = set()
    for problem in problems:
        if task not in (None, problem.task):
            raise InputError(f"{task} and {problem.task} do not fit one file. Write them apart.")
        task = problem.task
        if split not in SPLITS[task]:
            raise _no_split(task, split)
        names = _image_names(problem)
        if not taken.isdisjoint(names):
            raise InputError(f"Two problems are called {problem.id}. Give each an id of its own.")
        taken.update(names)
        for name, picture in zip(names, problem.images, strict=True):
            # Level 3 takes half the time of the default for a quarter more bytes.
            open_image(picture).save(pictures / name, compress_level=3)
        records.append(published(problem, [f"images/{pictures.name}/{name}" for name in names]))
    if task is None:
        raise InputError("There is no problem to write. Ask for at least one.")
    file = json_file(out, task, split)
    stale = _written_images(file, task) - taken
    _write_json(file, records)
    facts = {"task": task, "split": split, "problems": len(records), **(about or {})}
    marker["files"][file.relative_to(out).as_posix()] = facts
    _write_json(out / MARKER, marker)
    for name in stale:
        (pictures / name).unlink(missing_ok=True)
    return file


def pick(problems: Sequence[Problem], k: int, seed: int) -> list[Problem]:
    """``k`` of the problems for few-shot training, the kinds in their proportions.

    Deterministic, and nested: a smaller pick of the same seed is part of a larger one. Each
    kind comes once before any comes twice.
    """
    if not 0 < k <= len(problems):
        raise InputError(f"Cannot pick {k} of {len(problems)} problems. Ask for 1 to all of them.")
    rng = random.Random(f"pick/{seed}")
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    ranked: list[tuple[float, float, Problem]] = []
    for kind in sorted(by_kind):
        group = by_kind[kind]
        rng.shuffle(group)
        # A kind's j-th problem of n stands at j/n of the queue, whatever the kind.
        ranked += [(j / len(group), rng.random(), problem) for j, problem in enumerate(group)]
    ranked.sort(key=lambda place: place[:2])
    return [problem for _, _, problem in ranked[:k]]


def command(argv: list[str]) -> int:
    """``python -m rft data``: write procedural problems as a data folder."""
    parser = argparse.ArgumentParser(
        "python -m rft data", description="Write procedural problems as a Reason-RFT data set."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--task", required=True, choices=list(SPLITS))
    parser.add_argument(
        "--split", required=True, help="train, id, ood (spatial: ood-left, ood-right)"
    )
    parser.add_argument("-n", type=int, required=True, metavar="N", help="number of problems")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--size", type=int, default=336, metavar="PX", help="side of the images")
    asked = parser.parse_args(argv)
    started = time.monotonic()
    kinds: Counter[str] = Counter()
    about = {"seed": asked.seed, "size": asked.size}
    try:
        _check(asked)
        file = write(_made(asked, kinds), asked.out, asked.split, about)
    except StudioError as fault:
        print(fault, file=sys.stderr)
        return 1
    except OSError as fault:
        print(
            f"Cannot write to {asked.out}: {fault.strerror}. "
            "Choose a folder that can be written and has room.",
            file=sys.stderr,
        )
        return 1
    told = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    print(f"{kinds.total()} problems ({told}) in {time.monotonic() - started:.1f} s: {file}")
    return 0


def _check(asked: argparse.Namespace) -> None:
    if asked.split not in SPLITS[asked.task]:
        raise _no_split(asked.task, asked.split)
    if not 0 < asked.n <= SEED_STRIDE or asked.seed < 0:
        raise InputError(f"-n must be 1 to {SEED_STRIDE}, and --seed 0 or more.")
    if not 28 <= asked.size <= 1024:
        raise InputError(f"--size {asked.size} is out of range. Choose 28 to 1024 pixels.")


def _no_split(task: TaskName, split: str) -> InputError:
    return InputError(f"{task} has no split {split!r}. Choose one of: {', '.join(SPLITS[task])}.")


def _made(asked: argparse.Namespace, kinds: Counter[str]) -> Iterator[Problem]:
    """The problems asked for, one by one, with progress on standard error."""
    live = sys.stderr.isatty()
    for number in range(asked.n):
        problem = make(asked.task, asked.split, asked.seed * SEED_STRIDE + number, asked.size)
        kinds[problem.kind] += 1
        yield problem
        done = number + 1
        if done == asked.n or done % (20 if live else max(1, asked.n // 10)) == 0:
            line = f"{done} of {asked.n} problems"
            print(f"\r{line}" if live else line, file=sys.stderr, end="" if live else "\n")
    if live:
        print(file=sys.stderr)


def _rows(file: Path) -> Iterator[tuple[str, int, Any]]:
    """(what a row is called, its number from 1, its value or the InputError it is)."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InputError(f"{file.name} is not UTF-8 text. Save it as UTF-8 JSON.") from fault
    if file.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield "line", number, _parsed(line)
        return
    value = _parsed(text)
    if isinstance(value, InputError):
        raise InputError(f"{file.name}: {value}. Repair it, or name it .jsonl if it is lines.")
    if not isinstance(value, list):
        raise InputError(f"{file.name} does not hold a list of records. Wrap them in […].")
    for number, row in enumerate(value, start=1):
        yield "record", number, row


def _parsed(text: str) -> Any:
    """The JSON value, or the InputError that names the place of the fault."""
    try:
        return json.loads(text)
    except RecursionError:
        return InputError("is nested too deeply")
    except ValueError as fault:  # bad syntax, or a number of thousands of digits
        return InputError(f"is not valid JSON ({fault})")


def _claim(out: Path) -> dict[str, Any]:
    """Make the folder ours, if it is empty or is ours already; return its marker."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Name a folder.")
    if out.is_dir() and any(out.iterdir()):
        held = _parsed((out / MARKER).read_text("utf-8")) if (out / MARKER).is_file() else None
        if not isinstance(held, dict) or not isinstance(held.get("files"), dict):
            raise InputError(
                f"{out} holds things that were not written by this command. "
                "Name a new or an empty folder."
            )
        return held
    marker: dict[str, Any] = {"made_by": "python -m rft data", "files": {}}
    _write_json(out / MARKER, marker)
    return marker


def _image_names(problem: Problem) -> list[str]:
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", problem.id)[:100].lstrip(".") or "problem"
    if len(problem.images) == 1:
        return [f"{stem}.png"]
    return [f"{stem}-{number}.png" for number in range(len(problem.images))]


def _written_images(file: Path, task: TaskName) -> set[str]:
    """The image files that an earlier writing of this file left, by their bare names."""
    if not file.exists():
        return set()
    try:
        records = [read(row, task, "") for _, _, row in _rows(file)]
    except InputError:
        return set()  # somebody edited it: then we no longer know what is ours
    return {Path(name).name for record in records for name in record.images}


def _write_json(file: Path, value: Any) -> None:
    """Write at once or not at all: a reader never meets half a file. A list gets a row a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, list):
        text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in value) + "\n]\n"
    else:
        text = json.dumps(value, indent=2) + "\n"
    draft = file.with_name(file.name + ".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)

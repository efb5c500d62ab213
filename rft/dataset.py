"""The data of a run: which problems it learns from and which it is measured on.

Three origins: scenes drawn here, a data folder from elsewhere, examples made by hand. Whatever
the origin, no image of a held-out problem is ever learned from, and what was left out for it is
said. This module knows no page and no run; it writes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast, get_args

from rft.data import SEED_STRIDE, SHOWN_FAULTS, load, pick
from rft.errors import InputError
from rft.example import Example, example_fault, problem_of
from rft.scenes import SPLITS, Split, make
from rft.shelf import files, split_of
from rft.sieve import Sieve
from rft.types import Problem, TaskName

__all__ = ["Chosen", "Example", "again", "bundled", "from_folder", "from_run", "handmade"]

#: Side of drawn scenes in pixels. The bundled checkpoints were taught from pictures of up to
#: this size and see fewer pixels; a 2B checkpoint sees 64 image tokens and reads the labels.
SIZE = 224
#: Scenes drawn to choose from: enough for every kind to come in proportion in a few-shot set.
POOL = 80
#: Scenes drawn into memory at once, for a page and for a command: 0.8 and 3 GB of pictures, and
#: twice that for spatial.
MOST, MANY = 4_000, 16_000
#: Held-out scenes are numbered from here whatever the seed, so that curves of runs compare.
HELDOUT = 200  #: unseen scenes beside them, where nothing else is asked for
_HELD_FROM = SEED_STRIDE // 2


@dataclass(frozen=True)
class Chosen:
    """Problems to learn from and, apart from them, to measure on; ``notes`` are for a person.

    ``source`` says in JSON how they were chosen; :func:`again` understands it.
    """

    task: TaskName
    train: list[Problem]
    heldout: list[Problem]
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """How many problems of which kinds, in a line."""
        kinds = Counter(p.kind for p in self.train if p.kind)
        told = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
        return (
            f"{len(self.train)} to learn from{f' ({told})' if told else ''}, "
            f"{len(self.heldout)} held out"
        )


def bundled(
    task: TaskName,
    split: str,
    k: int,
    heldout: int,
    seed: int,
    held_split: str | None = None,
    most: int = MOST,
) -> Chosen:
    """``k`` drawn problems of a split, kinds in proportion, and ``heldout`` unseen scenes.

    Those are of ``held_split``; without one, of "id", or of ``split`` itself where that is a
    domain shift. Deterministic, and nested for up to 64 problems of a seed. InputError for more
    than ``most`` scenes of both.
    """
    if task not in SPLITS:
        raise InputError(f"No task {task!r}. Choose one of: {', '.join(SPLITS)}.")
    held_split = held_split or ("id" if split == "train" else split)
    for wanted in (split, held_split):
        if wanted not in SPLITS[task]:
            names = ", ".join(SPLITS[task])
            raise InputError(f"{task} has no split {wanted!r}. Choose one of: {names}.")
    if split == "id" or held_split == "train":
        raise InputError('Learn from "train" (or a shifted split), and hold out "id" or a shifted.')
    _check_numbers(k, heldout)
    if k + heldout > most:
        raise InputError(
            f"{k + heldout} scenes are more than the {most} that are drawn at once: draw them into "
            "a folder with `python -m rft data`, and choose that folder."
        )
    if not 0 <= seed < SEED_STRIDE:
        raise InputError(f"The seed of the data must lie between 0 and {SEED_STRIDE - 1}.")
    source = {"from": "bundled", "task": task, "split": split, "k": k, "heldout": heldout,
              "seed": seed, "held_split": held_split}  # fmt: skip
    sieve = Sieve(repeats=False)
    sieve.hold(_ranked(task, held_split, _HELD_FROM, heldout, 0), heldout)
    sieve.learn(_ranked(task, split, seed * SEED_STRIDE, k, seed), k)
    notes: tuple[str, ...] = ()
    if split != "train":
        notes = (f"It learns from {split}: its accuracy there will tell of no domain shift.",)
    return Chosen(task, sieve.train, sieve.held, source, notes)


def from_folder(
    path: Path, k: int | None, heldout: int, seed: int, task: TaskName | None = None
) -> Chosen:
    """``k`` problems (None: all) of a data folder or file in the Reason-RFT format.

    Where a folder has a training and a test split, held-out problems come from the test split
    ("id" before others); else they are taken out of the one there is. InputError names the rows
    that cannot be used.
    """
    _check_numbers(1 if k is None else k, heldout)
    notes: list[str] = []
    by_split = files_of(path, task)
    test = next((split for split in by_split if split != "train"), None)
    held: list[Problem] = []
    if "train" in by_split and test:
        train = _loaded(by_split["train"], task)
        held = _loaded(by_split[test], task) if heldout else []
        notes.append(f"Held-out problems are from its {test} split.")
    else:
        train = load(path, task, next(iter(by_split), None))
        if test:
            notes.append(f"There is no training split: both sides are from its {test} split.")
    tasks = sorted({p.task for p in [*train, *held]})
    if len(tasks) > 1:
        raise InputError(f"{path.name} holds {' and '.join(tasks)}: say which task to train.")
    train, held = (pick(side, len(side), seed) if side else [] for side in (train, held))
    sieve = Sieve()
    sieve.hold(held or train, heldout)
    sieve.learn(_without(train, sieve.held), k)
    if len(sieve.held) < heldout:
        notes.append(f"There are only {len(sieve.held)} different problems to hold out.")
    source = {"from": "folder", "path": str(path), "task": tasks[0], "k": len(sieve.train),
              "heldout": heldout, "seed": seed}  # fmt: skip
    chosen, measured = named_apart(sieve.train), named_apart(sieve.held)
    return Chosen(train[0].task, chosen, measured, source, (*notes, *sieve.notes()))


def handmade(task: TaskName, examples: Sequence[Example], heldout: int, seed: int) -> Chosen:
    """Examples made by hand, ``heldout`` of them picked to measure on.

    InputError names every example that cannot be used, and why.
    """
    if not examples:
        raise InputError("There is no example yet: make one of images, question and answer.")
    _check_numbers(len(examples), heldout)
    faults = [
        f"Example {number} {fault}"
        for number, example in enumerate(examples, start=1)
        if (fault := example_fault(task, example))
    ]
    if faults:
        more = len(faults) - SHOWN_FAULTS
        end = [f"… and {more} more"] if more > 0 else []
        raise InputError("\n".join(faults[:SHOWN_FAULTS] + end))
    if heldout >= len(examples):
        raise InputError(
            f"{heldout} of {len(examples)} examples held out leave none to learn from: make more, "
            "or hold out fewer."
        )
    problems = [problem_of(task, e, f"example-{n}") for n, e in enumerate(examples, start=1)]
    ranked = pick(problems, len(problems), seed)
    sieve = Sieve()
    sieve.hold(ranked, heldout)
    sieve.learn(_without(ranked, sieve.held), None)
    source = {"from": "handmade", "task": task, "k": len(sieve.train), "heldout": heldout,
              "seed": seed}  # fmt: skip
    return Chosen(task, sieve.train, sieve.held, source, sieve.notes())


def from_run(data: Path, source: Mapping[str, Any]) -> Chosen:
    """The very problems of an earlier run, from its ``data`` folder."""
    by_split = files_of(data, None)
    if "train" not in by_split:
        raise InputError(f"{data} holds no training problems: choose the data anew.")
    train = _loaded(by_split["train"], None)
    held = _loaded(by_split["id"], None) if "id" in by_split else []
    return Chosen(train[0].task, train, held, source, ("Taken from the earlier run's folder.",))


def again(source: Mapping[str, Any], data: Path | None = None) -> Chosen:
    """The choice that ``source`` describes, made again.

    Drawn scenes are drawn again, up to MOST; else the problems are those in ``data``, the earlier
    run's data folder, since the files they came from may be gone or changed.
    """
    needed = {"task", "split", "k", "heldout", "seed"}
    drawn = source.get("from") == "bundled" and needed <= set(source)
    if drawn and source["k"] + source["heldout"] <= MOST:
        wanted = needed | {"held_split"}
        return bundled(**{name: value for name, value in source.items() if name in wanted})
    if data is not None and data.is_dir():
        return from_run(data, source)
    raise InputError(
        "The data of that run cannot be drawn here, and its data folder is not there any more: "
        "choose the data anew."
    )


def _ranked(task: TaskName, split: str, first: int, k: int, seed: int) -> Iterator[Problem]:
    """Drawn problems numbered from ``first``, in an order whose every start is in proportion."""
    n = max(POOL, k + k // 4)  # some more than asked for: scenes may repeat
    pool = _pool(task, split, first) if n == POOL else _drawn(task, split, first, n)
    yield from pick(pool, n, seed)


@lru_cache(maxsize=8)
def _pool(task: TaskName, split: str, first: int) -> tuple[Problem, ...]:
    """The usual pool, kept: a page asks for it again at every change of a number."""
    return _drawn(task, split, first, POOL)


def _drawn(task: TaskName, split: str, first: int, n: int) -> tuple[Problem, ...]:
    known = cast(Split, split)  # make refuses others
    return tuple(make(task, known, first + number, SIZE) for number in range(n))


def files_of(path: Path, task: TaskName | None) -> dict[Split, list[Path]]:
    """The files whose split is known, by split: "train" first, then "id", then the others."""
    found: dict[Split, list[Path]] = {}
    for split in get_args(Split):
        try:
            named = [file for file in files(path, task, split) if split_of(file) == split]
        except InputError:
            continue  # none of this split; what else is wrong, loading will tell
        if named:
            found[split] = named
    return found


def _loaded(paths: Sequence[Path], task: TaskName | None) -> list[Problem]:
    return [problem for path in paths for problem in load(path, task)]


def _without(problems: Sequence[Problem], taken: Sequence[Problem]) -> Iterator[Problem]:
    """The problems but those that are themselves among ``taken``; their likes stay."""
    gone = {id(problem) for problem in taken}
    return (problem for problem in problems if id(problem) not in gone)


def named_apart(problems: Sequence[Problem]) -> list[Problem]:
    """The problems, ids made different where they would name the same image file."""
    names: set[str] = set()
    apart = []
    for problem in problems:
        id, number = problem.id, 1
        while (name := re.sub(r"[^A-Za-z0-9._-]", "_", id)[:100].lstrip(".").lower()) in names:
            number += 1
            id = f"{problem.id[:80]}-{number}"
        names.add(name)
        apart.append(replace(problem, id=id))
    return apart


def _check_numbers(k: int, heldout: int) -> None:
    if k < 1:
        raise InputError(f"{k} problems teach nothing: ask for at least one.")
    if heldout < 0:
        raise InputError("The number of held-out problems cannot be negative: 0 holds out none.")

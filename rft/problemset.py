"""Which problems checkpoints are compared on: drawn scenes by their numbers, or a data folder's.

A set is a choice, not the problems themselves: it is written as JSON and makes them again. Knows
no checkpoint and no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

from rft.data import SEED_STRIDE, load, pick
from rft.dataset import files_of, named_apart
from rft.errors import InputError
from rft.example import gold_faults
from rft.scenes import SPLIT_NAMES, SPLITS, Split, make
from rft.types import Problem, TaskName

MOST = 4_000  #: problems of one set; images of more do not fit a laptop's memory


@dataclass(frozen=True)
class ProblemSet:
    """``n`` problems of a task: drawn scenes of ``split`` and ``seed``, or those of a folder.

    ``own`` names a data folder as a person knows it; "" for drawn scenes.
    """

    task: TaskName
    split: str
    n: int
    seed: int = 0
    own: str = ""

    def __post_init__(self) -> None:
        if self.task not in get_args(TaskName):
            raise InputError(f"No task {self.task!r}: choose one of {', '.join(SPLITS)}.")
        if not self.own and self.split not in SPLITS[self.task]:
            names = ", ".join(SPLITS[self.task])
            raise InputError(f"{self.task} has no split {self.split!r}: choose one of {names}.")
        if not 1 <= self.n <= MOST:
            raise InputError(f"{self.n} problems cannot be asked: choose 1 to {MOST:,}.")
        if not 0 <= self.seed < SEED_STRIDE:
            raise InputError(f"The seed must lie between 0 and {SEED_STRIDE - 1}: change it.")

    @property
    def title(self) -> str:
        """What the set is, in a few words."""
        if self.own:
            return f"{self.n:,} of {self.own}"
        return f"{self.n:,} drawn scenes, {SPLIT_NAMES[self.split]}, seed {self.seed}"

    @property
    def shelf(self) -> str:
        """Where answers to these problems are kept: the same for a larger or a smaller ``n``."""
        return f"{self.task}-own" if self.own else f"{self.task}-{self.split}-{self.seed}"

    def record(self) -> dict[str, Any]:
        """As JSON; :func:`read` understands it."""
        return asdict(self)

    def problems(self, folder: Path | None = None) -> Iterator[Problem]:
        """All of them, drawn one by one; ``folder`` holds those that were not drawn."""
        numbers = range(self.n)
        yield from self._own(folder) if self.own else (self._scene(number) for number in numbers)

    def problem(self, number: int, folder: Path | None = None) -> Problem:
        """One of them, counted from 0, without making the others where they are drawn."""
        if not 0 <= number < self.n:
            raise InputError(f"The set has no problem {number}: it has {self.n:,}.")
        return self._own(folder)[number] if self.own else self._scene(number)

    def _own(self, folder: Path | None) -> list[Problem]:
        if folder is None:
            raise InputError("Those problems are not kept any more: upload the set again.")
        return load(folder, self.task)[: self.n]

    def _scene(self, number: int) -> Problem:
        return make(self.task, cast(Split, self.split), self.seed * SEED_STRIDE + number)


def read(record: Any) -> ProblemSet:
    """The set that a record describes; InputError where it describes none."""
    fields = ("task", "split", "n", "seed", "own")
    if not isinstance(record, Mapping) or not {"task", "split", "n"} <= set(record):
        raise InputError("That evaluation does not say which problems it is of: make a new one.")
    try:
        return ProblemSet(**{name: record[name] for name in fields if name in record})
    except TypeError as error:
        raise InputError(f"That evaluation's problems make no sense ({error}).") from error


def from_folder(
    path: Path, task: TaskName, n: int, seed: int, name: str = "", split: str | None = None
) -> tuple[ProblemSet, list[Problem]]:
    """``n`` problems of a task from somebody's data folder, kinds in proportion.

    Without a ``split``, a test split goes before others. InputError names the rows that cannot
    be used (no reply could match their gold answers), or the splits there are.
    """
    by_split = files_of(path, task)
    if split is not None and split not in by_split:
        there = ", ".join(by_split) or "none"
        raise InputError(f"{path.name} has no split {split!r} of {task}. Those there are: {there}.")
    test = next((other for other in by_split if other != "train"), None)
    problems = load(path, task, split or test or next(iter(by_split), None))
    chosen = named_apart(pick(problems, min(n, len(problems)), seed))
    if faults := gold_faults(chosen):
        raise InputError(" ".join(faults))
    return ProblemSet(task, "", len(chosen), seed, name or path.resolve().name), chosen

"""Checkpoints compared over a set of problems: a folder whose files say all there is to know.

It lies among the runs and is held, queued and stopped like one. What was answered is kept
elsewhere (rft.answers) and shared with other comparisons; here are the choice, the progress and a
report for each checkpoint. Knows no process, no model and no page.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft import data
from rft.errors import InputError, StudioError
from rft.exam import EVAL
from rft.journal import replace
from rft.problemset import ProblemSet, read
from rft.prompts import tagged
from rft.runs import sweep
from rft.types import Decoding, Problem, Stage, TaskName
from rft.work import Work
from rft.zoo import Card

FEWEST, MOST = 1, 4  #: checkpoints
GONE = "That evaluation is no longer there: choose one of the list."
_CHOICE = "match.json"


class Match(Work):
    """One comparison. Nothing is kept here: every question is put to the files again."""

    NOUN = "evaluation"

    @property
    def kept(self) -> Path:
        """The folder of evaluations, in which all comparisons keep what was answered.

        What strangers ask for beyond the first scenes goes with their comparison.
        """
        return self.folder if self.by_visitor and self.set.seed else self.root / EVAL

    @property
    def config(self) -> dict[str, Any]:
        """What was chosen, as :func:`create` wrote it. InputError for a broken folder."""
        return _choice(self.folder / _CHOICE)

    @property
    def set(self) -> ProblemSet:
        """Which problems."""
        return read(self.config["set"])

    @property
    def decoding(self) -> Decoding:
        """How the checkpoints answer them."""
        try:
            return Decoding(**self.config["decoding"])
        except TypeError as error:
            raise InputError("Another version made this evaluation: make a new one.") from error

    @property
    def panes(self) -> list[dict[str, Any]]:
        """The checkpoints as they were chosen, each with its card's facts (:func:`_pane`)."""
        return list(self.config["cards"])

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return str(self.config["title"])

    @property
    def created(self) -> float:
        """When it was made (Unix time)."""
        return float(self.config["created"])

    @property
    def by_visitor(self) -> bool:
        """Whether a stranger made it, on a public page."""
        return bool(self.config.get("visitor"))

    def here(self) -> bool:
        """Whether any of the checkpoints answers on this machine."""
        try:
            return not all(pane.get("served") for pane in self.panes)
        except InputError:
            return True

    def begun(self) -> bool:
        """Whether a process had it."""
        # Whoever held the lock may have been stopped before it had anything to tell.
        return bool(self.progress()) or self.lock.path.exists()

    def progress(self) -> dict[str, Any]:
        """{"phase", "pane", "answered" (of each pane), "pace" (problems/s or None)}, or {}."""
        return _object(self.folder / "progress.json")

    def tell(self, phase: str, pane: int, answered: Sequence[int], pace: float | None) -> None:
        """Say how far it is."""
        told = {"phase": phase, "pane": pane, "answered": list(answered), "pace": pace}
        replace(self.folder / "progress.json", json.dumps(told) + "\n")

    def reports(self) -> list[dict[str, Any]]:
        """A report of each pane (rft.evaluate.report), {} for one that has none yet.

        ``fault`` stands in place of one that could not answer, or beside what it did.
        """
        return [_object(self._report(pane)) for pane in range(len(self.panes))]

    def write(self, pane: int, report: dict[str, Any]) -> None:
        """Write a pane's report, in the place of what it had."""
        replace(self._report(pane), json.dumps(report, ensure_ascii=False) + "\n")

    def problem(self, number: int) -> Problem:
        """One of the problems, with its images."""
        return self.set.problem(number, self.folder / "data")

    def stamp(self) -> tuple[Any, ...]:
        """Changes when anything that a page shows of it does; costs little."""
        try:
            with os.scandir(self.folder) as entries:
                files = [(e.name, e.stat()) for e in entries if e.name != "lock"]
        except OSError:
            return (None,)
        holder = self.lock.holder()
        facts = sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files)
        return (holder.get("token"), holder.get("stopping"), self.waits_for(), *facts)

    def _report(self, pane: int) -> Path:
        return self.folder / f"report-{pane}.json"


def create(
    root: Path,
    cards: Sequence[Card],
    chosen: ProblemSet,
    decoding: Decoding,
    own: Sequence[Problem] = (),
    *,
    visitor: bool = False,
) -> Match:
    """Write a new comparison under ``root``, where the runs are. It appears complete or not at all.

    ``own``: the problems of a set that was not drawn; they are copied. StudioError where the
    folder cannot be written.
    """
    if not FEWEST <= len(cards) <= MOST:
        raise InputError(f"{len(cards)} checkpoints cannot be compared: choose up to {MOST}.")
    now = time.time()
    record = {
        "title": chosen.title, "created": now, "set": chosen.record(), "decoding": asdict(decoding),
        "visitor": visitor, "cards": [_pane(card, chosen.task) for card in cards],
    }  # fmt: skip
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-set-{secrets.token_hex(4)}"
    draft = root / f".new-{name}"
    try:
        draft.mkdir(parents=True)
        if own:
            data.write(own, draft / "data", "id")
        replace(draft / _CHOICE, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return Match(draft.rename(root / name))
    except OSError as fault:
        if isinstance(fault, StudioError):
            raise
        raise StudioError(
            f"The evaluation cannot be written to {root} ({fault.strerror or fault}). Free some "
            "space or make that folder writable, then try again."
        ) from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        sweep(root)


def matches(root: Path) -> list[Match]:
    """The comparisons under ``root`` that can be read, newest first."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for folder in root.iterdir():
            match = Match(folder)
            if (folder / _CHOICE).is_file() and not folder.name.startswith("."):
                with contextlib.suppress(InputError):  # of another version, or broken by hand
                    _ = match.set, match.decoding
                    found.append((match.created, match.id, match))
    return [match for *_, match in sorted(found, key=lambda item: item[:2], reverse=True)]


def find(root: Path, id: object) -> Match:
    """The comparison of this id, which may come from a page. InputError where there is none."""
    for match in matches(root):
        if match.id == id:
            return match
    raise InputError(GONE)


def _pane(card: Card, task: TaskName) -> dict[str, Any]:
    return {"id": card.id, "title": card.title, "stage": card.stage, "size": card.size,
            "served": card.endpoint is not None, "reported": dict(card.reported),
            "tagged": tagged(card, task)}  # fmt: skip


def stage_of(pane: dict[str, Any]) -> Stage | None:
    """The stage of a pane's checkpoint."""
    stage: Stage | None = pane.get("stage")
    return stage


def _choice(path: Path) -> dict[str, Any]:
    found = _object(path)
    cards = found.get("cards")
    whole = {"title", "created", "set", "decoding"} <= set(found) and isinstance(cards, list)
    if not whole or not cards or not all(isinstance(c, dict) and "id" in c for c in cards):
        raise InputError("That evaluation does not say what it is of: make a new one.")
    return found


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

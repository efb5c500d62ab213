"""A run: a folder whose files say all there is to know about one training.

The state is derived from them and from the lock that the trainer holds, so no record of it
can lie. It knows no process and no torch: rft.process starts and stops, rft.trainer trains,
rft.runs makes, lists and deletes.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from rft import data
from rft.claim import device
from rft.config import Config
from rft.journal import Journal, Record, cut, replace
from rft.scenes import Split
from rft.shelf import json_file
from rft.types import Problem
from rft.work import Work

#: Where runs are unless a caller names another place.
ROOT = Path(__file__).resolve().parent.parent / "runs"

Phase = Literal["loading", "sft", "grpo", "measuring", "saving"]

#: What the page shows of a run; their times and sizes are its stamp.
_SHOWN = {
    "config.json", "about.json", "metrics.jsonl", "heldout.jsonl", "rollouts.jsonl", "before.json",
    "after.json", "log.txt", "progress.json", "error.txt", "done", "dry_run.json", "probe.json",
}  # fmt: skip
_JOURNALS = ("metrics.jsonl", "heldout.jsonl", "rollouts.jsonl")


class Run(Work):
    """One run folder. Nothing is kept here: every question is put to the files again."""

    NOUN = "run"

    @property
    def final(self) -> Path:
        """Where the finished checkpoint is, once there is one."""
        return self.folder / "final"

    @property
    def config(self) -> Config:
        """What to train. InputError for a folder that a newer version wrote, or a broken one."""
        return Config.read(self.folder / "config.json")

    @property
    def about(self) -> dict[str, Any]:
        """What may change: {"title", "created" (Unix time), "source" (the data's choice)}."""
        about = _object(self.folder / "about.json") or {}
        title, created, source = (about.get(key) for key in ("title", "created", "source"))
        if not isinstance(created, (int, float)):
            created = _mtime(self.folder)
        return about | {
            "title": title if isinstance(title, str) and title else self.id,
            "created": created,
            "source": source if isinstance(source, dict) else {},
        }

    @property
    def title(self) -> str:
        """What a person calls this run."""
        return str(self.about["title"])

    def begun(self) -> bool:
        """Whether a step was logged or a checkpoint saved."""
        # Each stage may keep its checkpoints in a folder of its own.
        saved = (*self.folder.glob("checkpoint-*"), *self.folder.glob("*/checkpoint-*"))
        return bool(self.step or saved)

    def check(self) -> None:
        """InputError where the config cannot be read."""
        _readable_config(self.folder / "config.json", _stamp(self.folder / "config.json"))

    def metrics(self) -> list[Record]:
        """One record per optimizer step."""
        return list(self._journal("metrics.jsonl").records())

    def heldout(self) -> list[Record]:
        """One record per measurement on the held-out problems."""
        return list(self._journal("heldout.jsonl").records())

    def rollouts(self, step: int | None = None) -> Iterator[Record]:
        """One record per GRPO group, of one step or of all; each is read when it is asked for."""
        return self._journal("rollouts.jsonl").records(step)

    def rollout_steps(self) -> list[int]:
        """The steps that have rollouts, ascending."""
        return self._journal("rollouts.jsonl").steps()

    @property
    def step(self) -> int:
        """The last logged optimizer step; 0 before the first."""
        return self._journal("metrics.jsonl").last()

    def progress(self) -> dict[str, Any] | None:
        """{"phase", "step", "steps", "started", "updated", "pid"}, as last reported."""
        return _object(self.folder / "progress.json")

    def report(self, phase: Phase, step: int, steps: int) -> None:
        """Say where the trainer is. ``started`` is the first report of this process."""
        now, before = time.time(), self.progress() or {}
        started = before.get("started", now) if before.get("pid") == os.getpid() else now
        told = {"phase": phase, "step": step, "steps": steps, "started": started,
                "updated": now, "pid": os.getpid()}  # fmt: skip
        replace(self.folder / "progress.json", json.dumps(told) + "\n")

    def before(self) -> dict[str, Any] | None:
        """The report on the held-out problems before training (rft.evaluate.report)."""
        return _object(self.folder / "before.json")

    def after(self) -> dict[str, Any] | None:
        """The same after it."""
        return _object(self.folder / "after.json")

    def stamp(self) -> tuple[Any, ...]:
        """Changes when anything that the page shows of this run does; costs little.

        The state follows from these files and holders, so it need not be derived here.
        """
        try:
            with os.scandir(self.folder) as entries:
                shown = sorted((e.name, *_facts(e.stat())) for e in entries if e.name in _SHOWN)
        except OSError:  # deleted, or a file replaced this very moment: the next look tells
            return (None,)
        holder = self.lock.holder()
        user = device(self.root).holder().get("run") if holder else None
        return (holder.get("token"), holder.get("stopping"), user, *shown)

    def problems(self, split: Split) -> list[Problem]:
        """The training problems ("train") or the held-out ones ("id"); [] where there are none."""
        task, folder = self.config.task, self.folder / "data"
        if not json_file(folder, task, split).exists():
            return []
        return data.load(folder, task, split)

    def cut_after(self, step: int) -> None:
        """Drop what was logged after ``step``: a checkpoint from which the run goes on."""
        for name in _JOURNALS:
            cut(self.folder / name, step)

    def _journal(self, name: str) -> Journal:
        return _journal(self.folder / name)


def _object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        return _facts(path.stat())
    return None


def _facts(stat: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file does; a file that was replaced is another inode."""
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _mtime(path: Path) -> float:
    stamp = _stamp(path)
    return stamp[0] / 1e9 if stamp else 0.0


@lru_cache(maxsize=256)
def _readable_config(path: Path, stamp: tuple[int, int, int] | None) -> None:
    """Raise what reading the config raises; once for each state of the file that is good."""
    Config.read(path)


@lru_cache(maxsize=512)
def _journal(path: Path) -> Journal:
    """The reader of a file: it saves reading the same lines again, and holds no truth."""
    return Journal(path)

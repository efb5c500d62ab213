"""The runs in one place: made, listed, renamed, deleted.

A run appears complete or not at all, and goes the same way. What is in a run is the business
of rft.run; no process is started here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rft import data
from rft.claim import device
from rft.config import Config
from rft.errors import InputError, StudioError
from rft.journal import replace
from rft.run import Run
from rft.types import Problem
from rft.work import Work

_TITLE = 100  # characters
_ABANDONED = 3600.0  # seconds after which nobody writes to a draft any more


def create(
    root: Path,
    config: Config,
    train: Sequence[Problem],
    heldout: Sequence[Problem],
    *,
    title: str = "",
    source: dict[str, Any] | None = None,
) -> Run:
    """Write a new run folder. It appears in the list complete or not at all.

    ``train`` may be empty where the config's data are lessons; ``heldout`` where nothing is
    measured. Raises InputError for problems that do not fit the config, StudioError where the
    folder cannot be written.
    """
    _check(config, train, heldout)
    now = time.time()
    about = {"title": _title(title) or _slug(config), "created": now, "source": source or {}}
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{_slug(config, title)}"
    draft = root / f".new-{name}-{secrets.token_hex(4)}"
    try:
        draft.mkdir(parents=True)
        config.save(draft / "config.json")
        replace(draft / "about.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        if train:
            data.write(train, draft / "data", "train")
        if heldout:
            data.write(heldout, draft / "data", "id")
        return Run(_placed(draft, name))
    except OSError as fault:
        if isinstance(fault, StudioError):
            raise
        raise StudioError(
            f"The run cannot be written to {root} ({fault.strerror or fault}). Free some space "
            "or make that folder writable, then try again."
        ) from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        sweep(root)


def runs(root: Path) -> list[Run]:
    """The runs under ``root``, newest first; broken ones too, with the state "error"."""
    found = [Run(folder) for folder in _folders(root)]
    return sorted(found, key=lambda run: (run.about["created"], run.id), reverse=True)


def find(root: Path, id: str) -> Run:
    """The run of this id, which may come from a page. InputError where there is none."""
    for folder in _folders(root):
        if folder.name == id:
            return Run(folder)
    raise InputError(f"There is no run {id!r}: it may have been deleted. Choose one of the list.")


def training(root: Path) -> str | None:
    """The title of the run that has the device now, or what else has; None where it is free."""
    user = device(root).holder().get("run")
    if not user:
        return None
    if (root / user / "match.json").is_file():
        return "an evaluation"
    return Run(root / user).title if (root / user).is_dir() else "a rehearsal"


def rename(run: Run, title: str) -> None:
    """Give a run another title. Its id stays."""
    if not _title(title):
        raise InputError("A run needs a title: write a few words.")
    if not run.folder.is_dir():
        raise InputError(run.error())
    text = json.dumps(run.about | {"title": _title(title)}, indent=2, ensure_ascii=False)
    replace(run.folder / "about.json", text + "\n")


def duplicate(run: Run) -> tuple[Config, dict[str, Any]]:
    """The config and the choice of data of a run, to start a new one from."""
    return run.config, run.about["source"]


def delete(run: Work) -> None:
    """Remove a run and all that is in it. InputError while it is running or queued."""
    if not run.folder.is_dir():
        return
    try:
        hold = run.lock.take()
        if hold is None:
            raise InputError(f"“{run.title}” is {run.state()}: stop it, then delete it.")
        gone = run.root / f".deleted-{run.id}-{secrets.token_hex(4)}"
        try:
            run.folder.rename(gone)  # with the lock held: nobody starts it any more
        finally:
            hold.close()
        sweep(run.root)
    except FileNotFoundError:
        return  # somebody else was quicker
    except OSError as fault:
        raise StudioError(
            f"The run cannot be deleted ({fault.strerror}). Make {run.root} writable."
        ) from fault


def sweep(root: Path) -> None:
    """Remove what was deleted, and what a killed process left half made or half deleted."""
    for left in root.glob(".deleted-*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in root.glob(".new-*"):
        with contextlib.suppress(FileNotFoundError):  # finished or swept this very moment
            if left.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _check(config: Config, train: Sequence[Problem], heldout: Sequence[Problem]) -> None:
    for problem in (*train, *heldout):
        if problem.task != config.task:
            raise InputError(
                f"The problem {problem.id} is of the task {problem.task}, the run of "
                f"{config.task}: choose problems of one task."
            )
    if config.data == "run" and len(train) < config.samples:
        raise InputError(
            f"The run wants {config.samples} training problems, but there are {len(train)}: "
            "set samples to that or give more problems."
        )


def _placed(draft: Path, name: str) -> Path:
    """The finished folder under its name, or with a number where that is taken."""
    for number in range(1, 1000):
        folder = draft.with_name(name if number == 1 else f"{name}-{number}")
        try:
            return draft.rename(folder)
        except OSError as fault:
            if fault.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
    raise InputError("Too many runs were made in this second: try again.")


def _slug(config: Config, title: str = "") -> str:
    """A few plain letters for the folder's name."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return plain or f"{config.task}-{config.method.replace('+', '-')}"


def _title(title: str) -> str:
    return " ".join(title.split())[:_TITLE]


def _folders(root: Path) -> list[Path]:
    try:
        there = list(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    kept = [folder for folder in there if not folder.name.startswith(".")]
    return [f for f in kept if (f / "config.json").exists() or (f / "about.json").exists()]

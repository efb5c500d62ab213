"""A folder whose work one process at a time does: a run, or a comparison over a set.

Its files say all there is to know; the state is derived from them and from the lock that the
process holds, so no record of it can lie. Knows no process and no torch.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

from rft.claim import Claim, claim, device
from rft.errors import InputError
from rft.lock import LockFile

State = Literal["new", "queued", "running", "stopped", "done", "error"]
_LOG_BYTES = 1 << 16  # the end of the log that is read for its tail


class Work(ABC):
    """One such folder. Nothing is kept here: every question is put to the files again."""

    NOUN: ClassVar[str]
    """What a sentence calls it."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def root(self) -> Path:
        """Where it and its neighbours are."""
        return self.folder.parent

    @property
    @abstractmethod
    def title(self) -> str:
        """What a person calls it."""

    @property
    @abstractmethod
    def config(self) -> Any:
        """What was chosen. InputError for a folder that a newer version wrote, or a broken one."""

    @abstractmethod
    def begun(self) -> bool:
        """Whether a process has left anything to go on from, or to be told."""

    def here(self) -> bool:
        """Whether this machine's device does the work, and not a server."""
        return True

    def check(self) -> None:
        """InputError where the config cannot be read."""
        _ = self.config

    @property
    def lock(self) -> LockFile:
        """The lock that the process holds as long as it lives."""
        return LockFile(self.folder / "lock")

    def state(self) -> State:
        """What it is doing, from its files and locks."""
        if self.lock.held():
            return "queued" if self.waits_for() else "running"
        if self.error():
            return "error"
        if (self.folder / "done").exists():
            return "done"
        return "stopped" if self.begun() else "new"

    def waits_for(self) -> str:
        """The id of what has the device it needs; "" where that is this one, or nothing."""
        user = str(device(self.root).holder().get("run", ""))
        return "" if user in ("", self.id) or not self.here() else user

    def stopping(self) -> float | None:
        """When it was asked to stop, while it still lives."""
        return self.lock.holder().get("stopping")

    def claim(self) -> Claim:
        """Become its one process: take its lock, and wait for the device it needs (rft.claim).

        InputError where the folder is none or another process has it.
        """
        if not self.folder.is_dir():
            raise InputError(self.error())
        held = claim(self.folder, self.here())
        (self.folder / "error.txt").unlink(missing_ok=True)
        return held

    def error(self) -> str:
        """Why it failed or cannot be read: a sentence, then details. "" if all is well."""
        if not self.folder.is_dir():
            return f"The {self.NOUN} {self.id} is no longer there: it was deleted or moved."
        try:
            self.check()
        except InputError as fault:
            return str(fault)
        try:
            text = (self.folder / "error.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return text.strip() or f"The {self.NOUN} failed without a word: read log.txt."

    def log_tail(self, lines: int) -> str:
        """The last lines of the log; of a line that was written over, the last version."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_BYTES))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        kept = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip().split("\n")]
        return "\n".join(kept[-lines:])

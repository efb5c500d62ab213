"""Becoming the one process that trains a run, and waiting for the device that runs share.

A run's own lock makes a second trainer impossible. The device's lock lets one run train at a
time; the others wait, in the order in which they were started, before they load anything.
It knows lock files and nothing else of a run.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rft.errors import InputError, StudioError
from rft.lock import Hold, LockFile

#: How a starter tells its child which descriptor is the run's lock ("FD:TOKEN").
INHERITED = "RFT_RUN_LOCK"
_POLL = 0.3  # seconds between looks at the device


class Claim:
    """A run and the device, held until closed or until the process ends."""

    def __init__(self, *holds: Hold) -> None:
        self._holds = holds

    def close(self) -> None:
        """Give back the device, then the run."""
        for hold in reversed(self._holds):
            hold.close()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def device(root: Path) -> LockFile:
    """The lock of the one device that the runs under ``root`` share: "run" names its user."""
    return LockFile(root / ".device.lock")


def claim(folder: Path, here: bool = True) -> Claim:
    """Hold the run's lock, as inherited from whoever started this process or taken, then wait.

    What is not computed ``here`` needs no device: it waits for none, and none waits for it.

    Of several processes that train one run together, only the first (RANK 0) holds anything;
    the others return when it has the device. While waiting, SIGTERM ends the process with
    status 0. Raises InputError where another process trains the run.
    """
    passed_on = os.environ.pop(INHERITED, "")  # no child of ours is to take it for its own
    if int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0):
        with _ended_by_sigterm():
            while device(folder.parent).holder().get("run") != folder.name:
                time.sleep(_POLL)
        return Claim()
    lock = LockFile(folder / "lock")
    try:
        hold = lock.adopt(passed_on) or lock.take()
        if hold is None:
            pid = lock.holder().get("pid", "?")
            raise InputError(
                f"{folder.name} is under way in another process ({pid}): wait or stop it."
            )
        with _ended_by_sigterm():
            hold.note(pid=os.getpid(), here=here)
            return Claim(hold, _wait(folder)) if here else Claim(hold)
    except OSError as fault:
        if isinstance(fault, StudioError):
            raise
        raise StudioError(
            f"The run {folder.name} cannot be locked ({fault.strerror}). Make its folder "
            "writable, and free some space if the disk is full."
        ) from fault


def since(folder: Path) -> float | None:
    """When the process that holds a run took it; None where none does."""
    return LockFile(folder / "lock").holder().get("since")


def _wait(folder: Path) -> Hold:
    """The device, once it is free and no run that was started earlier waits for it."""
    shared, told = device(folder.parent), False
    while True:
        if not shared.held() and _first(folder):
            facts: dict[str, Any] = {"run": folder.name, "pid": os.getpid()}
            if hold := shared.take(0, **facts):
                return hold
        if not told:
            user = shared.holder().get("run", "a run started earlier")
            print(f"Waiting for the device: {user} goes first.", file=sys.stderr, flush=True)
            told = True
        time.sleep(_POLL)


def _first(folder: Path) -> bool:
    mine = (since(folder) or 0.0, folder.name)
    for lock in folder.parent.glob("*/lock"):
        other = lock.parent
        holder = LockFile(lock).holder()
        theirs = holder.get("since") if holder.get("here", True) else None
        if other != folder and theirs and (theirs, other.name) < mine:
            return False
    return True


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the process as if it were done, whatever it meant before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread choose
        return

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

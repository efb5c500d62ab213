"""A lock file: an exclusive flock that a process holds as long as it lives, and who holds it.

The kernel frees the lock however its holder ends, so what it says cannot be stale; what is
written in the file counts only while the lock is held. It knows neither runs nor devices.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

#: Whoever asks if a lock is held must hold it for an instant; a taker outwaits that.
PATIENCE = 0.5


class Hold:
    """The lock, held. It is passed to a child by passing ``fd``; -1: an ancestor has it."""

    def __init__(self, path: Path, fd: int, token: str) -> None:
        self.path, self.fd, self.token = path, fd, token
        # A forked worker (of a data loader) would keep the lock for a while after a kill.
        os.register_at_fork(after_in_child=self.close)

    def note(self, **facts: Any) -> None:
        """Write facts about the holder for others to read."""
        _write(self.path, {"token": self.token, **facts})

    def close(self) -> None:
        """Give up this process's part: the lock is free once no process has it open."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class LockFile:
    """The lock file at a path. Nothing is created before it is taken."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def held(self) -> bool:
        """Whether some process holds the lock."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            return not _flock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def holder(self) -> dict[str, Any]:
        """What the present holder noted, with "token" and "since"; {} where the lock is free."""
        return self._facts() if self.held() else {}

    def note(self, holder: dict[str, Any], **facts: Any) -> None:
        """Add to what this holder noted; without effect if it no longer holds the lock."""
        _write(self.path, {"token": holder["token"], **facts})

    def take(self, patience: float = PATIENCE, **facts: Any) -> Hold | None:
        """The lock, or None where another process keeps it. OSError where no file can be."""
        deadline = time.monotonic() + patience
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if _flock(fd, fcntl.LOCK_EX) and self._is(fd):
                    hold = Hold(self.path, fd, secrets.token_hex(8))
                    os.ftruncate(fd, 0)
                    hold.note(since=time.time(), **facts)
                    fd = -1
                    return hold
            finally:
                if fd >= 0:
                    os.close(fd)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)

    def adopt(self, pass_on: str) -> Hold | None:
        """The lock as a parent passed it on: "FD:TOKEN"; None if that is not so.

        A launcher between the parent and this process may have kept the descriptor to itself:
        the token then says that the lock is held for us.
        """
        number, _, token = pass_on.partition(":")
        if not token or not number.isdigit() or self.holder().get("token") != token:
            return None
        fd = int(number)
        if not self._is(fd):
            return Hold(self.path, -1, token)
        os.set_inheritable(fd, False)
        return Hold(self.path, fd, token)

    def _is(self, fd: int) -> bool:
        """Whether the descriptor is of this very file, which may have been deleted meanwhile."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except OSError:
            return False

    def _facts(self) -> dict[str, Any]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return {}
        noted = [fact for line in lines if isinstance(fact := _parsed(line), dict)]
        # The holder's own first line says since when. A note for an earlier holder, come late,
        # has another token.
        token = next((fact.get("token") for fact in noted if "since" in fact), None)
        facts: dict[str, Any] = {}
        for fact in noted:
            if fact.get("token") == token:
                facts = fact | facts  # of several that noted the same, the first one counts
        return facts


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, noted: dict[str, Any]) -> None:
    """Append a line by one call: holder and others may write at the same time."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, json.dumps(noted).encode() + b"\n")
    finally:
        os.close(fd)

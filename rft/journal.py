"""Files that one process writes and others read at any moment: JSON lines, and whole texts.

A line is written by one call and may be torn by a kill: whoever reads leaves out what is no
complete JSON object. It knows nothing of what the records mean, but that they have a "step".
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

Record = dict[str, Any]

_STEP = re.compile(rb'\{"step": ?(\d+)[,}]')  # how append writes a record that begins so
_TAIL = 64


def append(path: Path, record: Record) -> None:
    """Add one line. Put "step" first: readers then find it without parsing.

    JSON has no NaN or infinity: such a number becomes null.
    """
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(record), ensure_ascii=False)
    # A half character would be no UTF-8; it can only come out of a broken completion.
    line = text.encode("utf-8", "replace") + b"\n"
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line  # the line before was torn: it must not take this one along
        while line:
            line = line[os.write(fd, line) :]
    finally:
        os.close(fd)


def replace(path: Path, text: str) -> None:
    """Write a whole file at once or not at all: a reader never meets half of it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def cut(path: Path, step: int) -> None:
    """Drop the records after ``step``, and whatever is torn, atomically."""
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        dropped = False
        with source, draft.open("wb") as kept:
            for line in source:
                if line.endswith(b"\n") and -1 < _step(line) <= step:
                    kept.write(line)
                else:
                    dropped = True
        if dropped:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class Journal:
    """A file of JSON lines, read again and again while it grows.

    Each line is looked at once: where it begins and which step it is of; records are parsed
    when asked for. A file that was cut back or replaced is read anew. For threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._places: list[tuple[int, int, int]] = []  # step, first byte, bytes
        self._read = 0  # bytes looked at: up to the end of the last whole line
        self._tail = b""  # the last of those bytes, to know the file again
        self._node = 0

    def steps(self) -> list[int]:
        """The steps that have records, ascending."""
        with self._lock:
            self._refresh()
            return sorted({step for step, _, _ in self._places})

    def last(self) -> int:
        """The step of the last record; 0 where there is none."""
        with self._lock:
            self._refresh()
            return self._places[-1][0] if self._places else 0

    def records(self, step: int | None = None) -> Iterator[Record]:
        """The records in the order of the file, or those of one step, parsed one by one."""
        with self._lock:
            self._refresh()
            places = [place for place in self._places if step in (None, place[0])]
        if not places:
            return
        try:
            with self.path.open("rb") as file:
                for _, begin, size in places:
                    file.seek(begin)
                    record = _parsed(file.read(size))
                    if record is not None:  # else it was cut or replaced a moment ago
                        yield record
        except FileNotFoundError:
            return

    def _refresh(self) -> None:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            self._forget()
            return
        with file:
            stat = os.fstat(file.fileno())
            known = os.pread(file.fileno(), len(self._tail), self._read - len(self._tail))
            if stat.st_ino != self._node or known != self._tail:
                self._forget()
                self._node = stat.st_ino
            if stat.st_size == self._read:
                return
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn, or just being written
                if (step := _step(line)) >= 0:
                    self._places.append((step, self._read, len(line)))
                self._read += len(line)
                self._tail = line[-_TAIL:]


def _step(line: bytes) -> int:
    """The step of a line; -1 for a line that is no record of one."""
    if (found := _STEP.match(line)) and line.endswith(b"}\n"):
        return int(found[1])
    record = _parsed(line)
    step = record.get("step") if record else None
    return step if isinstance(step, int) and not isinstance(step, bool) else -1


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _finite(value: Any) -> Any:
    """The value with null for what JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value

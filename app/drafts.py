"""Data that a visitor brings, before it is a run's: an upload, or examples made in the page.

A folder for each visitor under an unguessable name that the browser keeps, as conversations
have it. Old ones go when there are too many. Knows no component; what is wrong with an example
or an upload is said by rft.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.errors import InputError
from rft.example import Example
from rft.images import open_images
from rft.upload import gather

KEPT = 50  #: visitors' drafts; beyond them the least recently written go
MOST = 500  #: examples of one draft
LONGEST = 8_000  #: characters of a question, an answer or a chain of thought

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class Drafts:
    """The folder of drafts."""

    root: Path

    def new(self) -> str:
        """An id for a visitor who has none yet."""
        return secrets.token_urlsafe(16)

    def known(self, id: object) -> str | None:
        """The id, if it is one; what a browser sends may be anything."""
        return id if isinstance(id, str) and _ID.fullmatch(id) else None

    def receive(self, id: str, files: Sequence[Path]) -> Path:
        """Lay out an upload in the draft, in the place of an earlier one; its data folder."""
        folder = self._made(id)
        into = folder / f"upload-{secrets.token_hex(4)}"
        found = gather(files, into)
        for old in folder.glob("upload-*"):
            if old != into:
                shutil.rmtree(old, ignore_errors=True)
        _write(folder / "upload.json", {"path": found.relative_to(folder).as_posix()})
        return found

    def uploaded(self, id: object) -> Path:
        """The data folder of the draft's upload; InputError where there is none."""
        if (known := self.known(id)) is not None:
            folder = self.root / known
            told = _read(folder / "upload.json")
            if isinstance(told, dict) and (folder / str(told.get("path"))).exists():
                return folder / str(told["path"])
        raise InputError("Upload a zip, or a JSON or JSONL file with its images, first.")

    def examples(self, id: object) -> list[Example]:
        """The examples made so far."""
        known = self.known(id)
        rows = _read(self.root / known / "examples.json") if known else None
        if not isinstance(rows, list) or known is None:
            return []
        folder = self.root / known / "images"
        return [
            Example(tuple(folder / name for name in row["images"]), row["question"],
                    row["answer"], row.get("cot", ""))
            for row in rows
        ]  # fmt: skip

    def add(self, id: str, pictures: Sequence[Path], question: str, answer: str) -> None:
        """Add an example; its images pass the gate here. InputError says what is wrong."""
        there = self.examples(id)
        if len(there) >= MOST:
            raise InputError(f"{MOST} examples are the most that are made by hand: upload a file.")
        if not pictures:
            raise InputError("Add the image first: an example is an image, a question, an answer.")
        folder = self._made(id) / "images"
        folder.mkdir(exist_ok=True)
        kept = []
        for image in open_images(pictures):
            path = folder / f"{secrets.token_hex(8)}.png"
            image.save(path)
            kept.append(path)
        self._save(id, [*there, Example(tuple(kept), _text(question), _text(answer))])

    def amend(self, id: str, index: int, **words: str) -> None:
        """Write an example's question, answer or chain of thought anew."""
        there = self.examples(id)
        if not 0 <= index < len(there):
            raise InputError("That example is gone: it was deleted in another window.")
        old, new = there[index], {name: _text(text) for name, text in words.items()}
        there[index] = Example(
            old.images,
            new.get("question", old.question),
            new.get("answer", old.answer),
            new.get("cot", old.cot),
        )
        self._save(id, there)

    def drop(self, id: str, index: int) -> None:
        """Delete an example and its images."""
        there = self.examples(id)
        if 0 <= index < len(there):
            for path in there.pop(index).images:
                if isinstance(path, Path):
                    path.unlink(missing_ok=True)
            self._save(id, there)

    def _save(self, id: str, examples: Sequence[Example]) -> None:
        rows = [
            {"images": [path.name for path in item.images if isinstance(path, Path)],
             "question": item.question, "answer": item.answer, "cot": item.cot}
            for item in examples
        ]  # fmt: skip
        _write(self._made(id) / "examples.json", rows)

    def _made(self, id: str) -> Path:
        folder = self.root / id
        if not folder.is_dir():
            folder.mkdir(parents=True)
            old = sorted(self.root.iterdir(), key=lambda path: path.stat().st_mtime)
            for gone in old[: max(0, len(old) - KEPT)]:
                shutil.rmtree(gone, ignore_errors=True)
        return folder


def _text(text: str) -> str:
    text = text.strip()
    if len(text) > LONGEST:
        raise InputError(f"{len(text):,} characters are too many: keep to {LONGEST:,}.")
    return text


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, value: Any) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    part.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)

"""Conversations on disk: one folder each, named by an unguessable id.

The browser keeps only the id, so a conversation survives a reload and a restart of the server,
and whoever does not hold the id cannot name the folder. What all of them fill is bounded: where
they are too many or too large, those go that were written to the longest ago. Knows no page and
no model.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from app.conversation import Conversation, from_json
from rft.errors import DiskError, InputError, disk_full

KEPT = 500  #: conversations; beyond them the least recently written go
KEPT_BYTES = 2 * 2**30  #: of all conversations together; likewise
LARGEST_BYTES = 64 * 2**20  #: of one conversation: some forty photographs
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_LOSSLESS_PIXELS = 600_000  # what the models look at stays exact; a photo would be megabytes


class Store:
    """The folder of conversations. One process writes to it, from any of its threads.

    ``records``: where what was said lies, if not beside the images, which anybody may be shown
    who knows their address.
    """

    def __init__(self, root: Path, records: Path | None = None) -> None:
        self.root, self.records = root, records
        self._lock = threading.Lock()

    def new(self) -> Conversation:
        """An empty conversation under a fresh id; nothing is written yet."""
        return Conversation(secrets.token_urlsafe(16))

    def load(self, chat_id: object) -> Conversation:
        """The conversation of that id; an empty, new one where there is none (any more)."""
        if not isinstance(chat_id, str) or not _ID.fullmatch(chat_id):
            return self.new()
        try:
            record = json.loads(self._record(chat_id).read_text(encoding="utf-8"))
            return from_json(record)
        except FileNotFoundError:
            return self.new()
        except (ValueError, TypeError, KeyError):
            # Written by another version of the studio. It is nobody's fault: start afresh.
            return self.new()

    def save(self, conversation: Conversation) -> None:
        """Write it, whole or not at all; images that it no longer shows are deleted.

        An empty conversation is removed. DiskError where it cannot be written.
        """
        if not conversation.exchanges:
            self.remove(conversation.id)
            return
        data = json.dumps(conversation.to_json()).encode()
        shown = {name for exchange in conversation.exchanges for name in exchange.ask.images}
        with self._lock:
            folder = self._made(conversation.id)
            _write(self._record(conversation.id), data)
            for name in _sizes(folder):
                if name != "chat.json" and name not in shown:  # a draft that a crash left, too
                    (folder / name).unlink(missing_ok=True)

    def remove(self, chat_id: str) -> None:
        """Delete the conversation and its images."""
        with self._lock:
            self._delete(self._folder(chat_id))

    def keep(self, chat_id: str, pictures: Sequence[Image.Image]) -> tuple[str, ...]:
        """Write images that passed the gate into the conversation's folder; their names.

        InputError where the conversation would grow too large, DiskError as in :meth:`save`.
        """
        names, added = [], {}
        for picture in pictures:
            data, suffix = _encode(picture)
            names.append(hashlib.sha256(data).hexdigest()[:16] + suffix)
            added[names[-1]] = data
        with self._lock:
            folder = self._made(chat_id)
            held = _sizes(folder)
            total = sum({**held, **{name: len(data) for name, data in added.items()}}.values())
            if total > LARGEST_BYTES:
                raise InputError(
                    f"With these images, the conversation would hold {_mb(total)}; it may hold "
                    f"{_mb(LARGEST_BYTES)}. Clear it, or send fewer or smaller ones."
                )
            for name, data in added.items():
                if name not in held:
                    _write(folder / name, data)
            if added:
                self._make_room(folder)
        return tuple(names)

    def picture(self, chat_id: str, name: str) -> Path:
        """Where an image of a conversation lies."""
        return self._folder(chat_id) / Path(name).name

    def export(self, conversation: Conversation) -> dict[str, Any]:
        """The conversation as one JSON object, its images within as data URLs."""
        record = conversation.to_json()
        record["format"] = "reason-rft-studio/conversation/1"
        del record["id"]  # whoever holds the id can read the conversation; a file gets passed on
        for exchange, item in zip(conversation.exchanges, record["exchanges"], strict=True):
            paths = [self.picture(conversation.id, name) for name in exchange.ask.images]
            item["ask"]["images"] = [data_url(path) for path in paths]
            item["said"]["thinking"] = exchange.said.reply.thinking
            item["said"]["answer"] = exchange.said.reply.final
        return record

    def _folder(self, chat_id: str) -> Path:
        if not _ID.fullmatch(chat_id):
            raise ValueError("a conversation's id is never made by hand")
        return self.root / chat_id

    def _made(self, chat_id: str) -> Path:
        folder = self._folder(chat_id)
        if not folder.exists():
            try:
                folder.mkdir(parents=True)
                self._record(chat_id).parent.mkdir(exist_ok=True)
            except OSError as error:
                raise _told(error) from error
            self._make_room(folder)
        return folder

    def _make_room(self, current: Path) -> None:
        """Delete the oldest conversations until the rest is within its bounds."""
        folders = [path for path in self.root.iterdir() if _ID.fullmatch(path.name)]
        left, free = KEPT, KEPT_BYTES
        for folder in sorted(folders, key=lambda path: (path != current, -_written_at(path))):
            left, free = left - 1, free - sum(_sizes(folder).values())
            if (left < 0 or free < 0) and folder != current:
                self._delete(folder)

    def _record(self, chat_id: str) -> Path:
        if self.records is None:
            return self.root / chat_id / "chat.json"
        return self.records / f"{chat_id}.json"

    def _delete(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if self.records is not None:
            self._record(folder.name).unlink(missing_ok=True)


def _written_at(folder: Path) -> float:
    """When a file in it was last written; 0 where it has been deleted meanwhile."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file in a folder, but for those that are deleted meanwhile."""
    sizes = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                sizes[entry.name] = entry.stat().st_size
    return sizes


def _write(file: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        draft.write_bytes(data)
        os.replace(draft, file)
    except OSError as error:
        raise _told(error) from error
    finally:
        draft.unlink(missing_ok=True)


def _told(error: OSError) -> DiskError:
    if disk_full(error):
        return DiskError(
            "The disk is full, so the conversation cannot be kept. Free some space on it, then "
            "ask again."
        )
    return DiskError(
        f"The conversation cannot be kept ({error.strerror}). See that the folder of the "
        "conversations can be written to, then ask again."
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def lost(conversation: Conversation) -> Conversation:
    """With a reply that nobody is writing any more marked as lost."""
    last = conversation.last
    if last is None or last.said.end != "waiting":
        return conversation
    return conversation.replying(replace(last.said, end="lost", note="", done=None))


def data_url(path: Path) -> str:
    """The file as a data URL."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{data}"


def _encode(picture: Image.Image) -> tuple[bytes, str]:
    """PNG for drawings and small pictures, JPEG for photographs."""
    buffer = io.BytesIO()
    if picture.width * picture.height <= _LOSSLESS_PIXELS:
        picture.save(buffer, "PNG")
        return buffer.getvalue(), ".png"
    picture.save(buffer, "JPEG", quality=95)
    return buffer.getvalue(), ".jpg"

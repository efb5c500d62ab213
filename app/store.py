"""Conversations on disk: one folder each, named by an unguessable id.

The browser keeps only the id, so a conversation survives a reload and a restart of the server,
and whoever does not hold the id cannot name the folder. Old ones go when there are too many.
Knows no page and no model.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from app.conversation import Conversation, from_json

KEPT = 500  #: conversations; beyond them the least recently written go
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_LOSSLESS_PIXELS = 600_000  # what the models look at stays exact; a photo would be megabytes


class Store:
    """The folder of conversations."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def new(self) -> Conversation:
        """An empty conversation under a fresh id; nothing is written yet."""
        return Conversation(secrets.token_urlsafe(16))

    def load(self, chat_id: object) -> Conversation:
        """The conversation of that id; an empty, new one where there is none (any more)."""
        if not isinstance(chat_id, str) or not _ID.fullmatch(chat_id):
            return self.new()
        try:
            record = json.loads((self.root / chat_id / "chat.json").read_text(encoding="utf-8"))
            return from_json(record)
        except FileNotFoundError:
            return self.new()
        except (ValueError, TypeError, KeyError):
            # Written by another version of the studio. It is nobody's fault: start afresh.
            return self.new()

    def save(self, conversation: Conversation) -> None:
        """Write it, whole or not at all. An empty conversation is removed."""
        if not conversation.exchanges:
            self.remove(conversation.id)
            return
        folder = self._made(conversation.id)
        draft = folder / f"chat.json.{secrets.token_hex(4)}"
        draft.write_text(json.dumps(conversation.to_json()), encoding="utf-8")
        os.replace(draft, folder / "chat.json")

    def remove(self, chat_id: str) -> None:
        """Delete the conversation and its images."""
        shutil.rmtree(self._folder(chat_id), ignore_errors=True)

    def keep(self, chat_id: str, pictures: Sequence[Image.Image]) -> tuple[str, ...]:
        """Write images that passed the gate into the conversation's folder; their names."""
        folder = self._made(chat_id)
        names = []
        for picture in pictures:
            data, suffix = _encode(picture)
            name = hashlib.sha256(data).hexdigest()[:16] + suffix
            (folder / name).write_bytes(data)
            names.append(name)
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
            folder.mkdir(parents=True)
            folders = [path for path in self.root.iterdir() if _ID.fullmatch(path.name)]
            for old in sorted(folders, key=lambda path: path.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return folder


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

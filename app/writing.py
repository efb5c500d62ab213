"""A reply being written: from the engine's stream to snapshots that a page can show.

Knows no page: the chat tab and the API both read from here. Stops within one token when told,
and when whoever reads goes away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from app.conversation import Said
from rft.engine import Engine
from rft.errors import StudioError
from rft.parse import Splitter
from rft.types import Chunk, Decoding, Progress, Turn
from rft.zoo import Card

Pieces: TypeAlias = Generator[Progress | Chunk, None, None]

INTERVAL_S = 0.04  #: between two snapshots: 25 a second look continuous and cost little


def beginning(card: Card) -> Said:
    """The reply before anything has come."""
    return Said(card=card.id, title=card.title, stage=card.stage or "")


def written(
    engine: Engine,
    card: Card,
    turns: Sequence[Turn],
    decoding: Decoding,
    stop: threading.Event,
) -> Iterator[Said]:
    """Snapshots of the reply, at most one every INTERVAL_S; the last one is never "waiting".

    What goes wrong through no fault of the code ends the reply with its sentence; the text
    that had come is kept.
    """
    said = beginning(card)
    splitter = Splitter()
    shown = -INTERVAL_S
    try:
        # Closed by hand, so that the model's lock is free the moment nobody reads any more.
        stream = cast(Pieces, engine.stream(card, turns, decoding, stop))
        with closing(stream):
            for piece in stream:
                said = _grown(said, piece, splitter)
                now = time.monotonic()
                if said.end == "waiting" and now - shown >= INTERVAL_S:
                    shown = now
                    yield said
    except StudioError as error:
        said = replace(said, end="error", note=str(error), done=None)
    except GeneratorExit:
        stop.set()
        raise
    if said.end == "waiting":  # the stream ended without saying how: it was stopped in the queue
        said = replace(said, end="stop")
    yield replace(said, note=said.note if said.end == "error" else "", done=None)


def _grown(said: Said, piece: Chunk | Progress, splitter: Splitter) -> Said:
    """The reply with one more piece of the stream."""
    if isinstance(piece, Progress):
        return replace(said, note=piece.message, done=piece.done)
    reply = splitter.feed(piece.text)
    first = said.first_s
    if first is None and piece.tokens:
        first = piece.seconds
    thought = said.thought_s
    if thought is None and reply.thinking and reply.phase != "thinking" and first is not None:
        thought = piece.seconds - first
    return replace(
        said,
        text=reply.text,
        tokens=piece.tokens,
        seconds=piece.seconds,
        first_s=first,
        thought_s=thought,
        end=piece.finish or "waiting",
    )


@dataclass
class Desk:
    """Which conversations are being replied to right now, and how to stop each."""

    _stops: dict[str, threading.Event] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, chat_id: str) -> threading.Event:
        """Note that a reply to this conversation begins, or waits for its turn."""
        with self._lock:
            return self._stops.setdefault(chat_id, threading.Event())

    def leave(self, chat_id: str) -> None:
        """Note that it has ended."""
        with self._lock:
            self._stops.pop(chat_id, None)
            self._gone.discard(chat_id)

    def stop(self, chat_id: str) -> None:
        """Ask the reply to end; nothing happens where there is none."""
        with self._lock:
            if chat_id in self._stops:
                self._stops[chat_id].set()

    def forget(self, chat_id: str) -> None:
        """Ask the reply to end and to leave no trace: its conversation is being deleted."""
        with self._lock:
            if chat_id in self._stops:
                self._stops[chat_id].set()
                self._gone.add(chat_id)

    def unless_gone(self, chat_id: str, save: Callable[[], None]) -> bool:
        """Save, unless the conversation has been forgotten; whether it still is there.

        Under the lock, so that after :meth:`forget` nothing is written any more.
        """
        with self._lock:
            if chat_id in self._gone:
                return False
            save()
            return True

    def busy(self, chat_id: str) -> bool:
        """Whether a reply to this conversation is being written or waits."""
        with self._lock:
            return chat_id in self._stops

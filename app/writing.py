"""A reply being written: from the engine's stream to snapshots that a page can show.

Knows no page: the chat tab and the API both read from here. Stops within one token when told,
and when whoever reads goes away.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from app.conversation import Said
from rft.anatomy import seen_pixels
from rft.engine import Engine
from rft.errors import StudioError
from rft.parse import Splitter
from rft.types import Chunk, Decoding, Progress, Turn
from rft.zoo import Card

Pieces: TypeAlias = Generator[Progress | Chunk, None, None]

INTERVAL_S = 0.04  #: between two snapshots: 25 a second look continuous and cost little
SILENCE_S = 30.0  #: of an idle desk, until a question that waits counts as given up


def beginning(card: Card) -> Said:
    """The reply before anything has come."""
    return Said(card=card.id, title=card.title, stage=card.stage or "", family=card.family)


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
    said = replace(beginning(card), max_pixels=seen_pixels(card, decoding.max_pixels))
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
        counted=piece.counted,
        seconds=piece.seconds,
        first_s=first,
        thought_s=thought,
        end=piece.finish or "waiting",
    )


@dataclass
class _Place:
    """A conversation's place at the desk: asked by ``owner`` and waiting, or being written."""

    owner: str
    stop: threading.Event = field(default_factory=threading.Event)
    writing: bool = False
    gone: bool = False


@dataclass
class Desk:
    """Which conversations wait for a reply, which are being replied to, and how to stop each.

    A question waits in a queue that is not ours and that tells nobody when a tab has died. Its
    place is held for whoever asked, until the desk has stood idle for SILENCE_S: had its turn
    been awaited, it would have been taken by then.
    """

    _places: dict[str, _Place] = field(default_factory=dict)
    _moved: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, chat_id: str, owner: str) -> bool:
        """Hold the place for the reply that ``owner`` awaits; False where it is taken."""
        with self._lock:
            if self._held(chat_id):
                return False
            self._places[chat_id] = _Place(owner)
            self._moved = time.monotonic()
            return True

    def take(self, chat_id: str, owner: str) -> threading.Event | None:
        """Note that ``owner``'s reply begins; None where the place is another's by now."""
        with self._lock:
            place = self._places.get(chat_id)
            if place is None or (place.owner != owner and not self._held(chat_id)):
                place = self._places[chat_id] = _Place(owner)
            if place.writing or place.owner != owner:
                return None
            place.writing = True
            return place.stop

    @contextmanager
    def guest(self) -> Iterator[threading.Event]:
        """A reply that belongs to no conversation here, but keeps those that wait waiting."""
        name = secrets.token_hex(8)
        with self._lock:
            place = self._places[name] = _Place(name, writing=True)
        try:
            yield place.stop
        finally:
            self.leave(name)

    def leave(self, chat_id: str) -> None:
        """Note that the reply has ended."""
        with self._lock:
            self._places.pop(chat_id, None)
            self._moved = time.monotonic()

    def stop(self, chat_id: str) -> bool:
        """Ask the reply to end, or give up its place in the queue.

        Whether it is being written: then its writer sees to the rest.
        """
        with self._lock:
            place = self._places.get(chat_id)
            if place is None or not place.writing:
                self._places.pop(chat_id, None)
                return False
            place.stop.set()
            return True

    def forget(self, chat_id: str) -> None:
        """Ask the reply to end and to leave no trace: its conversation is being deleted."""
        with self._lock:
            place = self._places.get(chat_id)
            if place is None or not place.writing:
                self._places.pop(chat_id, None)
            else:
                place.gone = True
                place.stop.set()

    def unless_gone(self, chat_id: str, save: Callable[[], None]) -> bool:
        """Save, unless the conversation has been forgotten; whether it still is there.

        Under the lock, so that after :meth:`forget` nothing is written any more.
        """
        with self._lock:
            if chat_id in self._places and self._places[chat_id].gone:
                return False
            save()
            return True

    def busy(self, chat_id: str) -> bool:
        """Whether a reply to this conversation is being written or waits."""
        with self._lock:
            return self._held(chat_id)

    def _held(self, chat_id: str) -> bool:
        """With the lock held: whether the conversation's place is taken, and not by a dead tab."""
        place = self._places.get(chat_id)
        if place is None:
            return False
        at_work = any(other.writing for other in self._places.values())
        return at_work or time.monotonic() - self._moved < SILENCE_S

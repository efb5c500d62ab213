"""Which checkpoints are in memory: loading on first use, one lock a model, LRU eviction.

Knows cards and bytes; torch is imported only when the first model is loaded. All of it may
be called from any thread. A model that a conversation uses, or waits for, is never evicted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rft import machine, zoo
from rft.checkpoint import inspect
from rft.errors import CheckpointError, MemoryShort
from rft.types import Chunk, Decoding, Progress, Turn

if TYPE_CHECKING:
    from rft.policy import Policy

#: Without a budget of its own, the engine fills at most this share of what is free.
SHARE = 0.8
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Resident:
    """A checkpoint in memory: what it takes, where, and whether a conversation uses it now."""

    card_id: str
    bytes: int
    device: str
    busy: bool = False


@dataclass
class _Seat:
    """A model's place at the table. ``users`` counts conversations that use or await it."""

    card: zoo.Card
    lock: threading.Lock = field(default_factory=threading.Lock)
    policy: Policy | None = None
    users: int = 0
    used: float = 0.0
    leaving: bool = False


class Engine:
    """Answers conversations with any card, keeping what fits in memory.

    ``budget_bytes`` bounds the weights held; None means a share of what is free when asked.
    """

    def __init__(self, budget_bytes: int | None = None):
        self.budget_bytes = budget_bytes
        self._table: dict[str, _Seat] = {}
        self._guard = threading.Lock()  # the table and its counts; never held while working
        self._door = threading.Lock()  # one load at a time, or two would count on the same room

    def stream(
        self, card: zoo.Card, turns: Sequence[Turn], decoding: Decoding, stop: threading.Event
    ) -> Iterator[Progress | Chunk]:
        """Answer with ``card``: Progress while it is fetched, loaded or awaited, then Chunks.

        ``stop`` ends it at any stage; the last Chunk then has finish "stop". Raises
        CheckpointError, MemoryShort or InputError and leaves the engine as it was.
        """
        start = time.perf_counter()
        seat = self._sit(card)
        try:
            waiting = f"Another conversation is using {card.title} …"
            if not (yield from _acquire(seat.lock, stop, waiting)):
                yield Chunk("", 0, time.perf_counter() - start, "stop")
                return
            try:
                if seat.policy is None:
                    yield from self._load(seat, stop)
                if seat.policy is None:
                    yield Chunk("", 0, time.perf_counter() - start, "stop")
                else:
                    yield from seat.policy.stream(turns, decoding, stop)
            finally:
                seat.lock.release()
        finally:
            self._rise(seat)

    def loaded(self) -> list[Resident]:
        """What is in memory, the most recently used first."""
        with self._guard:
            seats = sorted(self._table.values(), key=lambda seat: -seat.used)
            return [
                Resident(s.card.id, s.policy.bytes, str(s.policy.device), s.users > 0)
                for s in seats
                if s.policy is not None
            ]

    def release(self, card_id: str | None = None) -> None:
        """Free one checkpoint, or all. One that is in use goes when its conversations end."""
        with self._guard:
            for seat in list(self._table.values()):
                if card_id in (None, seat.card.id):
                    seat.leaving = True
                    self._drop_if_done(seat)
        machine.give_back()

    def _sit(self, card: zoo.Card) -> _Seat:
        with self._guard:
            seat = self._table.setdefault(card.id, _Seat(card))
            seat.users += 1
            seat.leaving = False
            return seat

    def _rise(self, seat: _Seat) -> None:
        with self._guard:
            seat.users -= 1
            seat.used = time.monotonic()
            freed = self._drop_if_done(seat)
        if freed:
            machine.give_back()

    def _drop_if_done(self, seat: _Seat) -> bool:
        """With the guard held: forget a seat that nobody uses and that holds no model to keep."""
        if seat.users or (seat.policy is not None and not seat.leaving):
            return False
        freed, seat.policy = seat.policy is not None, None
        self._table.pop(seat.card.id, None)
        return freed

    def _load(self, seat: _Seat, stop: threading.Event) -> Iterator[Progress]:
        """Fill a seat whose lock is held. Leaves it empty if stopped; raises what went wrong."""
        card = seat.card
        if zoo.folder_of(card) is None:
            with contextlib.closing(zoo.fetch(card)) as download:
                for progress in download:
                    yield progress
                    if stop.is_set():
                        return
        folder = zoo.folder_of(card)
        if folder is None:
            raise CheckpointError(f"{card.title} is not complete after its download: try again.")
        inspect(folder)  # what is wrong with the files is said before anything is evicted
        yield Progress(f"Loading {card.title} …")
        if not (yield from _acquire(self._door, stop, "Another checkpoint is being loaded …")):
            return
        try:
            device = self._make_room(card)
            yield from _bring_in(seat, folder, device)
        finally:
            self._door.release()

    def _make_room(self, card: zoo.Card) -> str | None:
        """Evict what must go for ``card``; nothing goes if that would not suffice anyway.

        Returns the device to load on, None for policy's own choice. Raises MemoryShort.
        """
        free = machine.memory()
        with self._guard:
            kept = [seat for seat in self._table.values() if seat.policy is not None]
            idle = sorted((s for s in kept if not s.users), key=lambda seat: seat.used)
            on_cpu = sum(_bytes(s) for s in idle if not _on_gpu(s))
            on_gpu = sum(_bytes(s) for s in idle if _on_gpu(s))
            roomy = machine.Memory(free.main + on_cpu, free.gpu + on_gpu if free.gpu else 0)
            to_gpu, room = roomy.place(card.memory_bytes)
            if card.memory_bytes > room:
                raise MemoryShort(
                    f"{card.title} needs {machine.gb(card.memory_bytes)}, this machine has "
                    f"{machine.gb(room)} free{' on its GPU' if to_gpu else ''}: release other "
                    "checkpoints, close other programs, or choose a smaller one."
                )
            weights = 2 * card.parameters
            if not to_gpu:
                weights = machine.cpu_weight_bytes(card.parameters, room)
            held = sum(map(_bytes, kept))
            needed = weights + held - self.budget_bytes if self.budget_bytes is not None else 0
            if needed > on_cpu + on_gpu:
                busy = machine.gb(held - on_cpu - on_gpu)
                raise MemoryShort(
                    f"{card.title} takes {machine.gb(weights)} of a budget of "
                    f"{machine.gb(self.budget_bytes or 0)}, of which {busy} is in use by other "
                    "conversations: wait for them, or choose a smaller checkpoint."
                )
            # Models on the other device free nothing here, but count in the budget.
            short = card.memory_bytes - int(SHARE * (free.gpu if to_gpu else free.main))
            for seat in idle:
                helps = short > 0 and _on_gpu(seat) == to_gpu
                if needed <= 0 and not helps:
                    continue
                needed -= _bytes(seat)
                short -= _bytes(seat) if _on_gpu(seat) == to_gpu else 0
                seat.leaving = True
                self._drop_if_done(seat)
        machine.give_back()
        return None if to_gpu else "cpu" if free.gpu else None


def _acquire(
    lock: threading.Lock, stop: threading.Event, message: str
) -> Generator[Progress, None, bool]:
    """Take a lock, saying while one waits; False if stopped first.

    Yields at every look, so that a caller who has gone is noticed.
    """
    if lock.acquire(blocking=False):
        return True
    while not stop.is_set():
        yield Progress(message)
        if lock.acquire(timeout=_POLL_SECONDS):
            return True
    return False


def _bring_in(seat: _Seat, folder: Path, device: str | None) -> Iterator[Progress]:
    """Load in a thread of its own, so that the page hears something meanwhile.

    A load cannot be broken off. A caller who leaves waits for it, and the next one profits.
    """
    made: list[Policy] = []
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            from rft import policy  # torch and transformers: seconds, hence not at the top

            made.append(policy.load(folder, device=device))
        except BaseException as error:  # the thread's outermost frame: raised by the reader
            trouble.append(error)

    worker = threading.Thread(target=work, name=f"load {seat.card.id}", daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            yield Progress(f"Loading {seat.card.title} into memory …")
            worker.join(_POLL_SECONDS)
    finally:
        worker.join()
        if made:
            seat.policy = made[0]
    if trouble:
        machine.give_back()
        raise trouble[0]


def _bytes(seat: _Seat) -> int:
    return seat.policy.bytes if seat.policy is not None else 0


def _on_gpu(seat: _Seat) -> bool:
    return seat.policy is not None and seat.policy.device.type == "cuda"

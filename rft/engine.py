"""Which checkpoints are in memory: loading on first use, one lock a model, LRU eviction.

Knows cards and bytes; torch is imported only when the first model is loaded. All of it may
be called from any thread. A model that a conversation uses, or waits for, is never evicted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rft import machine, zoo
from rft.checkpoint import inspect
from rft.errors import CheckpointError
from rft.plan import Plan, Resident, make_plan, make_plan_beside
from rft.types import Chunk, Decoding, Progress, Turn

if TYPE_CHECKING:
    from rft.policy import Policy

_POLL_SECONDS = 0.1


@dataclass
class _Seat:
    """A model's place at the table. ``users`` counts conversations that use or await it.

    ``stamp`` is when the files it was loaded from were written; ``beside`` as in its Plan.
    """

    card: zoo.Card
    lock: threading.Lock = field(default_factory=threading.Lock)
    policy: Policy | None = None
    stamp: float = 0.0
    beside: bool = False
    users: int = 0
    used: float = 0.0
    leaving: bool = False


class Engine:
    """Answers conversations with any card, keeping what fits in memory.

    ``budget_bytes`` bounds the weights held; None means a share of what is free when asked.
    ``training`` names the run that trains on this machine now, if there is one.
    """

    def __init__(
        self,
        budget_bytes: int | None = None,
        training: Callable[[], str | None] = lambda: None,
    ):
        self.budget_bytes = budget_bytes
        self._training = training
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
                run = self._training()
                if seat.policy is not None and _stamp(zoo.folder_of(card)) > seat.stamp:
                    self._forget(seat)  # trained or fetched anew since: files are the truth
                if seat.beside and run is None:
                    self._forget(seat)  # the GPU is free again
                if seat.policy is None:
                    yield from self._load(seat, stop)
                if seat.policy is None:
                    yield Chunk("", 0, time.perf_counter() - start, "stop")
                else:
                    if run is not None:
                        yield Progress(f"“{run}” is training on this machine: it takes longer …")
                    yield from seat.policy.stream(turns, decoding, stop)
            finally:
                seat.lock.release()
        finally:
            self._rise(seat)

    def loaded(self) -> list[Resident]:
        """What is in memory, the most recently used first."""
        with self._guard:
            return self._residents()[::-1]

    def release(self, card_id: str | None = None) -> None:
        """Free one checkpoint, or all. One that is in use goes when its conversations end."""
        with self._guard:
            for seat in list(self._table.values()):
                if card_id in (None, seat.card.id):
                    seat.leaving = True
                    self._drop_if_done(seat)
        machine.give_back()

    def memory(self) -> machine.Memory:
        """What would be free if all checkpoints were released: what a choice has to fit in."""
        with self._guard:
            residents = self._residents()
        free = machine.memory()
        return machine.Memory(
            free.main + sum(r.bytes for r in residents if not r.on_gpu),
            free.gpu + sum(r.bytes for r in residents if r.on_gpu),
        )

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

    def _forget(self, seat: _Seat) -> None:
        with self._guard:
            seat.policy = None
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
        facts = inspect(folder)  # what is wrong with the files is said before anyone is evicted
        yield Progress(f"Loading {card.title} …")
        if not (yield from _acquire(self._door, stop, "Another checkpoint is being loaded …")):
            return
        try:
            parameters = max(card.parameters, facts.parameters)
            need = max(card.memory_bytes, 2 * parameters)
            while (plan := self._make_room(card.title, need, parameters)).wait:
                yield Progress("Waiting for memory: other conversations use what is here …")
                if stop.wait(_POLL_SECONDS):
                    return
            seat.beside = plan.beside
            yield from _bring_in(seat, folder, plan.device)
        finally:
            self._door.release()

    def _make_room(self, title: str, need: int, parameters: int) -> Plan:
        """Plan with what is true now, and evict by it."""
        free = machine.memory()
        run = self._training() if machine.has_gpu() else None
        with self._guard:
            known = title, need, parameters, free, self._residents(), self.budget_bytes
            plan = make_plan(*known) if run is None else make_plan_beside(run, *known)
            for name in plan.evict:
                self._table[name].leaving = True
                self._drop_if_done(self._table[name])
        if plan.evict:
            machine.give_back()
        return plan

    def _residents(self) -> list[Resident]:
        """With the guard held: what is in memory, the least recently used first."""
        return [
            Resident(seat.card.id, seat.policy.bytes, str(seat.policy.device), seat.users > 0)
            for seat in sorted(self._table.values(), key=lambda seat: seat.used)
            if seat.policy is not None
        ]


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

    stamp = _stamp(folder)

    def work() -> None:
        try:
            from rft import policy  # torch and transformers: seconds, hence not at the top

            made.append(policy.load(folder, device=device))
        except BaseException as error:  # the thread's outermost frame: raised by the reader
            trouble.append(error)

    worker = threading.Thread(target=work, name=f"load {seat.card.id}", daemon=True)
    worker.start()
    beside = ", on the CPU beside a run on the GPU" if seat.beside else ""
    try:
        while worker.is_alive():
            yield Progress(f"Loading {seat.card.title} into memory{beside} …")
            worker.join(_POLL_SECONDS)
    finally:
        worker.join()
        if made:
            seat.policy, seat.stamp = made[0], stamp
    if trouble:
        machine.give_back()
        raise trouble[0]


def _stamp(folder: Path | None) -> float:
    """When a folder's weights or configuration were last written; 0 where there are none."""
    if folder is None:
        return 0.0
    files = [*folder.glob("*.safetensors"), *folder.glob("*.json")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

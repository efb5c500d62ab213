"""Which checkpoints are in memory: loading on first use, one lock a model, LRU eviction.

Knows cards and bytes; torch is imported only when the first model is loaded. All of it may
be called from any thread. A model that a conversation uses, or waits for, is never evicted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rft import endpoint, machine, place, zoo
from rft.checkpoint import Facts, inspect, written
from rft.errors import CheckpointError
from rft.plan import Plan, Resident, held, make_plan, make_plan_beside
from rft.seat import POLL_SECONDS, Seat, acquire, bring_in, shared
from rft.types import Chunk, Decoding, Progress, Turn

if TYPE_CHECKING:
    from rft.base import Base


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
        self._table: dict[str, Seat] = {}
        self._guard = threading.Lock()  # the table and its counts; never held while working
        self._door = threading.Lock()  # one load at a time, or two would count on the same room

    def stream(
        self, card: zoo.Card, turns: Sequence[Turn], decoding: Decoding, stop: threading.Event
    ) -> Iterator[Progress | Chunk]:
        """Answer with ``card``: Progress while it is fetched, loaded or awaited, then Chunks.

        A card that a server answers for takes no seat and no memory. ``stop`` ends it at any
        stage; the last Chunk then has finish "stop". Raises CheckpointError, MemoryShort or
        InputError and leaves the engine as it was.
        """
        if (served := endpoint.of(card)) is not None:
            yield Progress(f"Asking {served.address.host} …")
            yield from served.stream(turns, decoding, stop)
            return
        start = time.perf_counter()
        seat = self._sit(card)
        try:
            waiting = f"Another conversation is using {card.title} …"
            if not (yield from acquire(seat.lock, stop, waiting)):
                yield Chunk("", 0, time.perf_counter() - start, "stop")
                return
            try:
                run = self._training()
                if seat.outdated():
                    self._forget(seat)  # files are the truth
                if seat.beside and run is None:
                    self._forget(seat)  # the GPU is free again
                if seat.policy is None:
                    yield from self._load(seat, stop)
                if seat.policy is None:
                    yield Chunk("", 0, time.perf_counter() - start, "stop")
                else:
                    if run is not None:
                        yield Progress(f"“{run}” has this machine: it takes longer …")
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
            free.main + held([r for r in residents if not r.on_gpu]),
            free.gpu + held([r for r in residents if r.on_gpu]),
        )

    def _sit(self, card: zoo.Card) -> Seat:
        with self._guard:
            seat = self._table.setdefault(card.id, Seat(card))
            seat.users += 1
            seat.leaving = False
            return seat

    def _rise(self, seat: Seat) -> None:
        with self._guard:
            seat.users -= 1
            seat.used = time.monotonic()
            freed = self._drop_if_done(seat)
        if freed:
            machine.give_back()

    def _forget(self, seat: Seat) -> None:
        with self._guard:
            seat.policy = None
        machine.give_back()

    def _drop_if_done(self, seat: Seat) -> bool:
        """With the guard held: forget a seat that nobody uses and that holds no model to keep."""
        if seat.users or (seat.policy is not None and not seat.leaving):
            return False
        freed, seat.policy = seat.policy is not None, None
        self._table.pop(seat.card.id, None)
        return freed

    def _load(self, seat: Seat, stop: threading.Event) -> Iterator[Progress]:
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
        if not (yield from acquire(self._door, stop, "Another checkpoint is being loaded …")):
            return
        try:
            while True:
                run = self._training() if machine.has_gpu() else None
                base = self._base_of(folder, facts, run)
                if not (plan := self._make_room(card, facts, run, base)).wait:
                    break
                yield Progress("Waiting for memory: this one answers when another has ended …")
                if stop.wait(POLL_SECONDS):
                    return
            seat.beside = plan.beside
            yield from bring_in(seat, folder, plan.device, base)
        finally:
            self._door.release()

    def _base_of(self, folder: Path, facts: Facts, run: str | None) -> Base | None:
        """The weights in memory that a checkpoint can stand on: its own, or its base's."""
        whole = folder if facts.base is None else place.folder(facts.base, folder)
        if whole is None or not facts.shares:
            return None
        with self._guard:
            for seat in self._table.values():
                base = seat.base
                if base is None or base.folder.resolve() != whole.resolve():
                    continue
                # While a run has the GPU, newcomers go to the CPU; afterwards they come back.
                here = base.device.type == "cpu" if run is not None else not seat.beside
                if here and written(whole) <= base.written:
                    return base
        return None

    def _make_room(self, card: zoo.Card, facts: Facts, run: str | None, base: Base | None) -> Plan:
        """Plan with what is true now, and evict by it. Who holds ``base`` keeps it in memory."""
        parameters = max(card.parameters, facts.parameters)
        need = max(card.memory_bytes, 2 * parameters)
        if base is not None:
            need -= 2 * parameters
            parameters = facts.parameters if facts.base is not None else 0
            need += 2 * parameters
        free = machine.memory()
        with self._guard:
            known = need, parameters, free, self._residents(), self.budget_bytes, shared(base)
            if run is None:
                plan = make_plan(card.title, *known)
            else:
                plan = make_plan_beside(run, card.title, *known)
            for name in plan.evict:
                self._table[name].leaving = True
                self._drop_if_done(self._table[name])
        if plan.evict:
            machine.give_back()
        return plan

    def _residents(self) -> list[Resident]:
        """With the guard held: what is in memory, the least recently used first."""
        return [
            resident
            for seat in sorted(self._table.values(), key=lambda seat: seat.used)
            if (resident := seat.resident()) is not None
        ]

"""Which checkpoints are in memory: loading on first use, one lock a model, LRU eviction.

Knows cards and bytes; torch is imported only when the first model is loaded. All of it may
be called from any thread. A model that a conversation uses, or waits for, is never evicted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
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

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Plan:
    """How a model gets in: who leaves for it, and where it goes (None: policy's own choice).

    ``wait``: it would fit if conversations now under way had ended. ``beside``: it goes to the CPU
    only because a run has the GPU.
    """

    evict: tuple[str, ...] = ()
    device: str | None = None
    wait: bool = False
    beside: bool = False


def make_plan(
    title: str,
    need: int,
    parameters: int,
    free: machine.Memory,
    residents: Sequence[Resident],
    budget: int | None,
) -> Plan:
    """Make room for a model that takes ``need`` bytes at work. Pure.

    ``residents`` come least recently used first. Nobody is evicted in vain. MemoryShort
    where the model would not fit even alone.
    """

    def held(gpu: bool) -> int:
        return sum(r.bytes for r in residents if r.on_gpu == gpu)

    alone = machine.Memory(free.main + held(False), free.gpu + held(True))
    to_gpu, room = alone.place(need)
    if need > room:
        raise MemoryShort(
            f"{title} needs {machine.gb(need)}, this machine has {machine.gb(room)} "
            f"free{' on its GPU' if to_gpu else ''}: close other programs or choose a smaller one."
        )
    weights = 2 * parameters if to_gpu else machine.cpu_weight_bytes(parameters, room)
    over = 0 if budget is None else held(True) + held(False) + weights - budget
    if budget is not None and weights > budget:
        raise MemoryShort(
            f"{title} takes {machine.gb(weights)} and the Studio may fill {machine.gb(budget)}: "
            "choose a smaller checkpoint."
        )
    here = free.gpu if to_gpu else free.main
    evict = []
    for resident in residents:
        helps = resident.on_gpu == to_gpu
        if not resident.busy and (over > 0 or (helps and need > SHARE * here)):
            evict.append(resident.card_id)
            over -= resident.bytes
            here += resident.bytes if helps else 0
    if over > 0 or need > here:
        return Plan(wait=True)
    return Plan(tuple(evict), None if to_gpu or not free.gpu else "cpu")


def make_plan_beside(
    run: str,
    title: str,
    need: int,
    parameters: int,
    free: machine.Memory,
    residents: Sequence[Resident],
    budget: int | None,
) -> Plan:
    """The same while ``run`` trains on the GPU: what comes now goes to the CPU.

    MemoryShort where it does not fit there: a run may take hours, and who waited for it would
    keep everybody else's questions waiting too.
    """
    here = [resident for resident in residents if not resident.on_gpu]
    if budget is not None:
        budget -= sum(resident.bytes for resident in residents if resident.on_gpu)
    try:
        plan = make_plan(title, need, parameters, machine.Memory(free.main), here, budget)
    except MemoryShort as short:
        raise MemoryShort(
            f"“{run}” is training on the GPU: ask again when it has ended, or stop it. {short}"
        ) from short
    return plan if plan.wait else replace(plan, device="cpu", beside=True)


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

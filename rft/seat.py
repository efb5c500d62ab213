"""A model's place in the engine: who uses it, its lock, and how it comes into memory.

Knows one model; which others are in memory, and who has to leave, is rft.engine's to say.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rft import machine, zoo
from rft.checkpoint import written
from rft.plan import Resident, Shared
from rft.types import Progress

if TYPE_CHECKING:
    from rft.base import Base
    from rft.policy import Policy

POLL_SECONDS = 0.1


@dataclass
class Seat:
    """A model's place at the table. ``users`` counts conversations that use or await it.

    ``stamp`` is when the files it was loaded from were written; ``beside`` as in its Plan.
    Models of one base have a seat and a lock each, and their weights in common.
    """

    card: zoo.Card
    lock: threading.Lock = field(default_factory=threading.Lock)
    policy: Policy | None = None
    stamp: float = 0.0
    beside: bool = False
    users: int = 0
    used: float = 0.0
    leaving: bool = False

    @property
    def base(self) -> Base | None:
        """The weights it stands on, if others may stand on them too."""
        return self.policy.base if self.policy is not None else None

    def outdated(self) -> bool:
        """Whether its files, or its base's, were trained or fetched anew since it was loaded."""
        if self.policy is None:
            return False
        base = self.policy.base
        anew = base is not None and written(base.folder) > base.written
        return anew or written(zoo.folder_of(self.card)) > self.stamp

    def resident(self) -> Resident | None:
        """What of it is in memory; None where nothing is."""
        policy = self.policy
        if policy is None:
            return None
        place = str(policy.device)
        return Resident(self.card.id, policy.bytes, place, self.users > 0, shared(policy.base))


def shared(base: Base | None) -> Shared | None:
    """A base as plans know it."""
    return None if base is None else Shared(id(base), base.bytes, str(base.device))


def acquire(
    lock: threading.Lock, stop: threading.Event, message: str
) -> Generator[Progress, None, bool]:
    """Take a lock, saying while one waits; False if stopped first.

    Yields at every look, so that a caller who has gone is noticed.
    """
    if lock.acquire(blocking=False):
        return True
    while not stop.is_set():
        yield Progress(message)
        if lock.acquire(timeout=POLL_SECONDS):
            return True
    return False


def bring_in(seat: Seat, folder: Path, device: str | None, base: Base | None) -> Iterator[Progress]:
    """Load in a thread of its own, so that the page hears something meanwhile.

    A load cannot be broken off. A caller who leaves waits for it, and the next one profits.
    """
    made: list[Policy] = []
    trouble: list[BaseException] = []

    stamp = written(folder)

    def work() -> None:
        try:
            # torch and transformers: seconds, hence not at the top
            from rft.loading import load_shared
            from rft.policy import Policy

            made.append(Policy(load_shared(folder, device=device, base=base)))
        except BaseException as error:  # the thread's outermost frame: raised by the reader
            trouble.append(error)

    worker = threading.Thread(target=work, name=f"load {seat.card.id}", daemon=True)
    worker.start()
    beside = ", on the CPU beside a run on the GPU" if seat.beside else ""
    try:
        while worker.is_alive():
            yield Progress(f"Loading {seat.card.title} into memory{beside} …")
            worker.join(POLL_SECONDS)
    finally:
        worker.join()
        if made:
            seat.policy, seat.stamp = made[0], stamp
    if trouble:
        machine.give_back()
        raise trouble[0]

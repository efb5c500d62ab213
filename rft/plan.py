"""Which models leave memory for another one, and where that one goes. Pure: bytes in, a plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rft import machine
from rft.errors import MemoryShort

#: Without a budget of its own, the engine fills at most this share of what is free.
SHARE = 0.8


@dataclass(frozen=True)
class Shared:
    """Weights that several checkpoints stand on: which ones, how many bytes, and where."""

    key: int
    bytes: int
    device: str

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Resident:
    """A checkpoint in memory: what it takes, where, and whether a conversation uses it now.

    ``bytes`` include those of ``base``, which exist once however many stand on it.
    """

    card_id: str
    bytes: int
    device: str
    busy: bool = False
    base: Shared | None = None

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def own(self) -> int:
        """The bytes that are its alone."""
        return self.bytes - (self.base.bytes if self.base is not None else 0)


def held(residents: Sequence[Resident], *staying: Shared | None) -> int:
    """Bytes of all that are in memory, and of ``staying``; what is shared counts once."""
    bases = {resident.base for resident in residents} | {*staying}
    shared = sum(base.bytes for base in bases if base is not None)
    return sum(resident.own for resident in residents) + shared


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
    base: Shared | None = None,
) -> Plan:
    """Make room for a model that takes ``need`` bytes at work. Pure.

    ``residents`` come least recently used first. Nobody is evicted in vain. MemoryShort
    where the model would not fit even alone. With a ``base`` in memory, which stays and decides
    the device, ``need`` and ``parameters`` are what comes on top of it.
    """

    def taken(gpu: bool, of: Sequence[Resident]) -> int:
        kept = base if base is not None and base.on_gpu == gpu else None
        return held([r for r in of if r.on_gpu == gpu], kept)

    def spare(gpu: bool, left: Sequence[Resident]) -> int:
        """What is free on a device once only those ``left`` are there."""
        here = free.gpu if gpu else free.main
        return here + taken(gpu, residents) - taken(gpu, left)

    alone = machine.Memory(spare(False, ()), spare(True, ()))
    to_gpu, room = alone.place(need)
    if base is not None:
        to_gpu, room = base.on_gpu, alone.gpu if base.on_gpu else alone.main
    if need > room:
        raise MemoryShort(
            f"{title} needs {machine.gb(need)}, this machine has {machine.gb(room)} "
            f"free{' on its GPU' if to_gpu else ''}: close other programs or choose a smaller one."
        )
    weights = 2 * parameters if to_gpu else machine.cpu_weight_bytes(parameters, room)
    least = weights + held((), base)
    if budget is not None and least > budget:
        raise MemoryShort(
            f"{title} takes {machine.gb(least)} and the Studio may fill {machine.gb(budget)}: "
            "choose a smaller checkpoint."
        )

    def fits(left: Sequence[Resident], share: float) -> bool:
        """Whether it would, filling this share of what is free once those ``left`` are there."""
        within = budget is None or held(left, base) + weights <= budget
        return within and need <= share * spare(to_gpu, left)

    left = list(residents)
    gone: list[Resident] = []
    for resident in residents:
        if not resident.busy and not fits(left, SHARE):
            left.remove(resident)
            gone.append(resident)
    if not fits(left, 1):
        return Plan(wait=True)
    for resident in reversed(gone):  # of those who would leave for nothing, the latest first
        more = [*left, resident]
        no_worse = fits(more, 1) and spare(to_gpu, more) == spare(to_gpu, left)
        if fits(more, SHARE) or (no_worse and not fits(left, SHARE)):
            left = more
    evict = tuple(resident.card_id for resident in residents if resident not in left)
    return Plan(evict, None if to_gpu or not free.gpu else "cpu")


def make_plan_beside(
    run: str,
    title: str,
    need: int,
    parameters: int,
    free: machine.Memory,
    residents: Sequence[Resident],
    budget: int | None,
    base: Shared | None = None,
) -> Plan:
    """The same while ``run`` trains on the GPU: what comes now goes to the CPU.

    MemoryShort where it does not fit there: a run may take hours, and who waited for it would
    keep everybody else's questions waiting too. A ``base`` is one on the CPU.
    """
    here = [resident for resident in residents if not resident.on_gpu]
    if budget is not None:
        budget -= held([resident for resident in residents if resident.on_gpu])
    try:
        plan = make_plan(title, need, parameters, machine.Memory(free.main), here, budget, base)
    except MemoryShort as short:
        raise MemoryShort(
            f"“{run}” is training on the GPU: ask again when it has ended, or stop it. {short}"
        ) from short
    return plan if plan.wait else replace(plan, device="cpu", beside=True)

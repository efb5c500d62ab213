"""Which models leave memory for another one, and where that one goes. Pure: bytes in, a plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rft import machine
from rft.errors import MemoryShort

#: Without a budget of its own, the engine fills at most this share of what is free.
SHARE = 0.8


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

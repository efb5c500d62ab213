"""Who leaves memory for another checkpoint, and where that goes: by numbers."""

from __future__ import annotations

import pytest

from rft import machine
from rft.errors import MemoryShort
from rft.plan import Plan, Resident, make_plan, make_plan_beside

GB = 10**9


def held(card_id: str, gigabytes: int, device: str = "cpu", busy: bool = False) -> Resident:
    return Resident(card_id, gigabytes * GB, device, busy)


@pytest.mark.parametrize(
    ("need", "free", "residents", "budget", "plan"),
    [
        # Room for all: nobody goes.
        (5, machine.Memory(100 * GB), [held("a", 20)], None, Plan()),
        # The oldest idle one goes, and only that.
        (5, machine.Memory(4 * GB), [held("a", 4), held("b", 4)], None, Plan(("a",))),
        (5, machine.Memory(4 * GB), [held("a", 4, busy=True), held("b", 4)], None, Plan(("b",))),
        # In use: wait rather than evict, and evict nobody in vain.
        (9, machine.Memory(4 * GB), [held("a", 1), held("b", 9, busy=True)], None, Plan(wait=True)),
        # A GPU with room takes it; what sits on the CPU need not go.
        (5, machine.Memory(6 * GB, 16 * GB), [held("a", 4)], None, Plan()),
        (5, machine.Memory(99 * GB, 3 * GB), [held("g", 9, "cuda:0")], None, Plan(("g",))),
        (5, machine.Memory(99 * GB, 3 * GB), [], None, Plan(device="cpu")),
        # The budget counts weights on all devices.
        (5, machine.Memory(99 * GB, 99 * GB), [held("a", 4), held("b", 4)], 9, Plan(("a",))),
    ],
)
def test_plans(
    need: int, free: machine.Memory, residents: list[Resident], budget: int | None, plan: Plan
) -> None:
    limit = None if budget is None else budget * GB
    assert make_plan("m", need * GB, 2 * GB, free, residents, limit) == plan


def test_a_model_that_would_not_fit_alone() -> None:
    with pytest.raises(MemoryShort, match=r"needs 17\.8 GB, this machine has 6\.1 GB free"):
        make_plan("m", 17_800_000_000, 8 * GB, machine.Memory(6_100_000_000), [], None)
    with pytest.raises(MemoryShort, match="on its GPU"):
        make_plan("m", 90 * GB, 8 * GB, machine.Memory(6 * GB, 24 * GB), [], None)


def test_what_fits_only_the_gpu_is_refused_while_a_run_has_it() -> None:
    free, on_gpu = machine.Memory(1 << 30, 1 << 30), Resident("x", 3 << 30, "cuda:0")
    with pytest.raises(MemoryShort, match="“Walk” is training on the GPU"):
        make_plan_beside("Walk", "Large", 8 << 30, 2 << 30, free, [], None)
    with pytest.raises(MemoryShort, match="may fill"):
        make_plan_beside("Walk", "Small", 1 << 28, 1 << 28, free, [on_gpu], 3 << 30)
    plan = make_plan_beside("Walk", "Small", 1 << 28, 1 << 26, free, [on_gpu], None)
    assert plan == Plan(device="cpu", beside=True), "who is on the GPU stays"

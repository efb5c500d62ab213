"""Who leaves memory for another checkpoint, and where that goes: by numbers."""

from __future__ import annotations

import pytest

from rft import machine
from rft.errors import MemoryShort
from rft.plan import Plan, Resident, Shared, held, make_plan, make_plan_beside

GB = 10**9


def here(card_id: str, gigabytes: int, device: str = "cpu", busy: bool = False) -> Resident:
    return Resident(card_id, gigabytes * GB, device, busy)


BASE = Shared(1, 8 * GB, "cpu")


def on_base(card_id: str, own: int = 0, busy: bool = False) -> Resident:
    return Resident(card_id, BASE.bytes + own * GB, BASE.device, busy, BASE)


@pytest.mark.parametrize(
    ("need", "free", "residents", "budget", "plan"),
    [
        # Room for all: nobody goes.
        (5, machine.Memory(100 * GB), [here("a", 20)], None, Plan()),
        # The oldest idle one goes, and only that.
        (5, machine.Memory(4 * GB), [here("a", 4), here("b", 4)], None, Plan(("a",))),
        (5, machine.Memory(4 * GB), [here("a", 4, busy=True), here("b", 4)], None, Plan(("b",))),
        # In use: wait rather than evict, and evict nobody in vain.
        (9, machine.Memory(4 * GB), [here("a", 1), here("b", 9, busy=True)], None, Plan(wait=True)),
        # A GPU with room takes it; what sits on the CPU need not go.
        (5, machine.Memory(6 * GB, 16 * GB), [here("a", 4)], None, Plan()),
        (5, machine.Memory(99 * GB, 3 * GB), [here("g", 9, "cuda:0")], None, Plan(("g",))),
        (5, machine.Memory(99 * GB, 3 * GB), [], None, Plan(device="cpu")),
        # The budget counts weights on all devices.
        (5, machine.Memory(99 * GB, 99 * GB), [here("a", 4), here("b", 4)], 9, Plan(("a",))),
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


def test_shared_weights_count_once() -> None:
    three = [on_base("base"), on_base("x", 1), on_base("y", 1)]
    assert held(three) == 10 * GB
    assert held(three[1:]) == 10 * GB, "gone, but others stand on its weights"
    assert held([], BASE) == held(three[:1]) == 8 * GB
    assert held([*three, here("other", 8)]) == 18 * GB


@pytest.mark.parametrize(
    ("need", "free", "residents", "budget", "plan"),
    [
        # On weights that are here there is room for what would not fit by itself.
        (1, 2, [on_base("base")], None, Plan()),
        (1, 2, [on_base("base")], 9, Plan()),
        # Its weights stay, so who stands on them frees what is its own, and the base nothing.
        (3, 2, [on_base("base"), on_base("x", 1), on_base("y", 1)], None, Plan(("x", "y"))),
        (3, 2, [on_base("base"), on_base("x", 1), on_base("y", 4)], None, Plan(("y",))),
        (3, 2, [on_base("base"), here("other", 9), on_base("x", 1)], None, Plan(("other",))),
        (1, 2, [on_base("base"), on_base("x", 4, busy=True)], 9, Plan(wait=True)),
    ],
)
def test_on_weights_in_memory(
    need: int, free: int, residents: list[Resident], budget: int | None, plan: Plan
) -> None:
    limit, memory = None if budget is None else budget * GB, machine.Memory(free * GB)
    assert make_plan("m", need * GB, GB // 8, memory, residents, limit, BASE) == plan


def test_a_base_that_others_use_frees_nothing() -> None:
    free = machine.Memory(4 * GB)
    idle, busy = on_base("base"), on_base("x", 1, busy=True)
    assert make_plan("m", 5 * GB, GB, free, [idle, busy], None) == Plan(wait=True)
    residents = [idle, on_base("x", 1), here("other", 3)]
    assert make_plan("m", 5 * GB, GB, free, residents, None) == Plan(("base", "x"))
    residents = [idle, busy, here("other", 3)]
    assert make_plan("m", 5 * GB, GB, free, residents, None) == Plan(("other",))


def test_weights_on_a_gpu_decide_where_what_stands_on_them_goes() -> None:
    there, free = Shared(1, 8 * GB, "cuda:0"), machine.Memory(99 * GB, 2 * GB)
    assert make_plan("m", GB, GB // 8, free, [], None, there) == Plan()
    assert make_plan("m", GB, GB // 8, free, [], None, BASE) == Plan(device="cpu")
    with pytest.raises(MemoryShort, match="on its GPU"):
        make_plan("m", 3 * GB, GB // 8, free, [], None, there)

"""Chat and a run on one machine: who has the device is named, and memory is made where needed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from app import sharing
from rft import machine, zoo
from rft.claim import device
from rft.dataset import bundled
from rft.engine import Engine
from rft.presets import apply, preset
from rft.run import Run
from rft.runs import create, training
from rft.types import Decoding, Turn


@pytest.fixture
def made(tmp_path: Path) -> Run:
    chosen = bundled("counting", "train", 8, 2, 0)
    few = apply(preset("few-shot-cpu"), samples=8)
    return create(tmp_path, few, chosen.train, chosen.heldout, title="Walk")


def test_who_has_the_device_is_named(made: Run) -> None:
    assert training(made.root) is None
    for holder, name in ((made.id, "Walk"), ("the rehearsal of it", "a rehearsal")):
        hold = device(made.root).take(0, run=holder)
        assert hold is not None and training(made.root) == name
        hold.close()
    assert training(made.root) is None


def test_a_run_that_needs_the_memory_gets_it_from_chat(
    made: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, card = Engine(), zoo.card_for(str(tiny))
    assert sharing.spare(engine, made) == "", "there was nothing to release"
    ask, short = [Turn("user", "How many?")], Decoding(max_new_tokens=2)
    list(engine.stream(card, ask, short, threading.Event()))
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(64 << 30))
    assert sharing.spare(engine, made) == "" and engine.loaded()
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(1 << 20))
    assert sharing.spare(engine, made) == "" and engine.loaded(), "not in vain"
    monkeypatch.setattr(engine, "memory", lambda: machine.Memory(64 << 30))
    assert "needs memory" in sharing.spare(engine, made) and not engine.loaded()

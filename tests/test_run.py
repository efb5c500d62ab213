"""Run folders and the processes that train them: real ones, killed in every way."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rft.config import Config
from rft.process import start, stop
from rft.run import Run
from rft.runs import create, duplicate, find, runs
from rft.scenes import make

HOME = Path(__file__).resolve().parent.parent
CONFIG = Config("tiny", "grpo", samples=4, batch=2, generations=2, steps=20)
TRAIN = [make("counting", "train", seed, 64) for seed in range(4)]
HELD = [make("counting", "id", seed, 64) for seed in range(3)]

#: A trainer in small: claims the run, logs steps, checkpoints and leaves on SIGTERM.
TRAINER = """
import signal, sys, time
from rft.journal import append
from rft.run import Run

run, stubborn = Run(sys.argv[1]), "stubborn" in sys.argv
with run.claim():
    assert "torch" not in sys.modules
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    step = run.step
    while not asked or stubborn:
        step += 1
        append(run.folder / "metrics.jsonl", {"step": step, "stage": "grpo"})
        run.report("grpo", step, 20)
        time.sleep(0.02)
    (run.folder / f"checkpoint-{step}").mkdir()
"""


def trainer(run: Run, *words: str) -> list[str]:
    return [sys.executable, "-c", TRAINER, str(run.folder), *words]


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A place for runs, in which nothing runs any more in the end."""
    place = tmp_path / "runs"
    yield place
    for run in runs(place):
        while pid := run.lock.holder().get("pid"):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


@pytest.fixture
def run(root: Path) -> Run:
    return create(root, CONFIG, TRAIN, HELD, title="Four solids", source={"k": 4})


def test_a_new_run_is_its_files(run: Run, root: Path) -> None:
    assert run.id.endswith("-four-solids") and run.title == "Four solids"
    assert run.config == CONFIG and duplicate(run) == (CONFIG, {"k": 4})
    assert [p.id for p in run.problems("train")] == [p.id for p in TRAIN]
    assert [p.answer for p in run.problems("id")] == [p.answer for p in HELD]
    assert run.state() == "new" and run.step == 0 and run.progress() is None
    assert runs(root) == [run] == [find(root, run.id)]


def test_start_stop_resume(run: Run) -> None:
    start(run, trainer(run))
    until(lambda: run.step >= 3)
    assert run.state() == "running"
    stop(run)
    until(lambda: run.state() == "stopped")
    reached = run.step
    assert [path.name for path in run.checkpoints()] == [f"checkpoint-{reached}"]
    start(run, trainer(run))
    until(lambda: run.step > reached)
    assert [line["step"] for line in run.metrics()] == list(range(1, run.step + 1))

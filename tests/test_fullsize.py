"""A checkpoint of the true size, from the zoo to Chat, one GRPO step and Compare.

Random weights in the Hub's own layout (see fullsize.py). Needs 5 GB of disk and, on a CPU, some
15 GB of free memory and, with two cores, ten minutes; a GPU takes few.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fullsize
import psutil
import pytest
import torch
from PIL import Image

from app.abreast import Part, abreast
from rft import machine, zoo
from rft.anatomy import anatomy_of
from rft.config import Config
from rft.engine import Engine
from rft.estimate import estimate
from rft.run import Run
from rft.runs import create
from rft.scenes import make
from rft.types import Chunk, Decoding, Problem, Turn

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PIXELS = (800, 600)
BRIEF = Decoding(temperature=1, seed=0, max_new_tokens=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("fullsize")
    yield fullsize.build(home / "Qwen2-VL-2B-random")
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Two images of 480,000 pixels each."""
    drawn = make("spatial", "id", 0)
    pictures = tuple(
        image.resize(PIXELS) for image in drawn.images if isinstance(image, Image.Image)
    )
    assert len(pictures) == 2
    return replace(drawn, images=pictures)


class Peak:
    """The most memory that this process holds beyond what it held at the start."""

    def __enter__(self) -> Peak:
        machine.give_back()
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        self.start = psutil.Process().memory_info().rss
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: object) -> None:
        lines = Path("/proc/self/status").read_text().splitlines()
        high = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        self.bytes = high * 1024 - self.start
        if torch.cuda.is_available():
            self.bytes = torch.cuda.max_memory_allocated()


def test_it_answers_about_two_large_images_in_the_memory_that_its_card_promises(
    folder: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = zoo.card_for(str(folder))
    assert (card.family, card.size, card.parameters) == ("qwen2_vl", "2.2B", fullsize.PARAMETERS)
    assert zoo.state(card).sentence == "On this machine. Needs 5.7 GB of memory."
    monkeypatch.setattr(machine, "COMFORT", 0.0)  # as where there is no more than that
    engine = Engine()
    list(engine.stream(zoo.card_for("tiny-base"), [Turn("user", "Hi")], BRIEF, threading.Event()))
    engine.release()
    turns = [Turn("user", problem.question, problem.images)]
    with Peak() as peak:
        events = list(engine.stream(card, turns, BRIEF, threading.Event()))
    assert isinstance(last := events[-1], Chunk) and last.finish in ("length", "eos")
    (resident,) = engine.loaded()
    policy = engine._table[card.id].policy
    assert policy is not None and policy.dtype is torch.bfloat16
    seen = policy.encode([turns], BRIEF.max_pixels)["image_grid_thw"].prod(dim=1)
    assert all(0.95 * 480_000 < patches * 14**2 <= 480_000 for patches in seen.tolist())
    assert 0 <= resident.bytes - 2 * card.parameters < 10**6
    print(f"peak {peak.bytes / 1e9:.2f} GB, promised {card.memory_bytes / 1e9:.2f} GB")
    assert peak.bytes <= card.memory_bytes
    engine.release()


def test_one_grpo_step_and_its_run_beside_its_base(
    folder: Path, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(
        str(folder), "grpo", task="spatial", samples=1, batch=1, generations=2, micro_batch=1,
        steps=1, rank=8, max_new_tokens=8, max_pixels=480_000, eval_every=0, save_steps=1,
    )  # fmt: skip
    run = create(tmp_path / "runs", config, [problem], [])
    promised = estimate(config, anatomy_of(str(folder)), machine.memory(), problems=[problem])
    assert promised.fits, promised.sentence
    peak = trained(run)
    assert run.state() == "done", run.log_tail(40)
    if not torch.cuda.is_available():  # else the promise is of the GPU's memory
        print(f"peak {peak / 1e9:.2f} GB, estimated {promised.memory_bytes / 1e9:.2f} GB")
        assert peak <= promised.memory_bytes
    monkeypatch.setattr(machine, "COMFORT", 0.0)
    engine = Engine()
    cards = [zoo.card_for(str(folder)), zoo.card_for(str(run.folder))]
    turns = (Turn("user", problem.question, tuple(i.resize((224, 168)) for i in problem.images)),)
    parts = [Part(card, turns) for card in cards]
    *_, said = abreast(engine, parts, BRIEF, threading.Event())
    assert all(one.end in ("eos", "length") for one in said), said
    base, adapter = sorted(engine.loaded(), key=lambda resident: resident.own)
    assert base.base == adapter.base is not None and base.own == 0
    assert 0 < adapter.own < 0.1 * base.bytes
    engine.release()


def trained(run: Run) -> int:
    """Train in a process of its own; the most main memory that was its own.

    While weights are loaded, the mapped files' pages are resident too, 4 GB of them: the system
    takes them back as soon as it needs them, so the kernel's own record of the peak, in which
    they are, says nothing of what a run needs.
    """
    peak = 0
    with (run.folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rft", "train", str(run.folder)],
            cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=log, stderr=log,
        )  # fmt: skip
    while process.poll() is None:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        own = (int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
        peak = max(peak, *own, 0)  # one that has just ended has no such line
        time.sleep(0.02)
    return peak * 1024

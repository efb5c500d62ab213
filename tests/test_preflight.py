"""Before the start: each thing that cannot work has its sentence, and what works has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from rft.anatomy import PUBLISHED, anatomy_of
from rft.dataset import Chosen, bundled
from rft.machine import Memory
from rft.preflight import check, command_line
from rft.presets import apply, preset
from rft.types import Problem

TINY = anatomy_of("tiny-base")
CPU = Memory(10**10)
FEW = apply(preset("few-shot-cpu"), samples=32)


def problem(id: str, task="counting", **changes) -> Problem:
    images = (Image.new("RGB", (56, 56)),) * (2 if task == "spatial" else 1)
    answer = {"counting": "3", "structure": "B", "spatial": "change_size(1, 'small')"}[task]
    return replace(Problem(id, task, images, "How many?", answer, "One, two, three."), **changes)


def chosen(*problems: Problem, task="counting", fill: int = 32) -> Chosen:
    rest = [problem(f"fine-{n}", task) for n in range(fill - len(problems))]
    return Chosen(task, [*problems, *rest], [problem("held", task)], {})


def one(found: list[str], *words: str) -> None:
    assert len(found) == 1, found
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize("method", ["grpo", "sft+grpo", "cot-sft", "ans-sft"])
@pytest.mark.parametrize("task", ["counting", "structure", "spatial"])
def test_bundled_scenes_and_the_default_preset_can_start(method, task):
    picked = bundled(task, "train", 64, 8, 0)
    config = apply(preset("few-shot-cpu"), method=method, task=task, max_new_tokens=256)
    assert check(config, picked, TINY, CPU) == []


def test_rows_are_named():
    one(check(FEW, chosen(problem("a", images=()), problem("b", images=())), TINY, CPU),
        "a, b have no image")  # fmt: skip
    pair = (Image.new("RGB", (56, 56)),)
    spatial = apply(preset("few-shot-cpu"), task="spatial", samples=32)
    one(check(spatial, chosen(problem("a", "spatial", images=pair), task="spatial"), TINY, CPU),
        "a has not 2 images, as spatial takes")  # fmt: skip
    silent = chosen(*(problem(f"s{n}", cot=" ") for n in range(7)))
    taught = replace(FEW, method="cot-sft")
    one(check(taught, silent, TINY, CPU), "s0, s1, s2, s3, s4 and 2 more have", "ans-sft")
    assert check(FEW, silent, TINY, CPU) == []
    both = replace(FEW, method="sft+grpo")
    one(check(both, silent, TINY, CPU), "no chain of thought", "choose grpo")
    late = chosen(*(problem(f"f{n}") for n in range(20)), problem("s", cot=""))
    assert check(both, late, TINY, CPU) == []
    odd = check(FEW, chosen(*(problem(f"o{n}", answer="five") for n in range(6))), TINY, CPU)
    assert len(odd) == 6 and "o0 has the answer “five”" in odd[0] and "1 more" in odd[5]
    assert "one task" in check(FEW, chosen(task="spatial"), TINY, CPU)[0]


def test_counts():
    found = check(FEW, chosen(fill=6), TINY, CPU)
    assert "samples is 32, but 6" in found[0] and "lower batch to 6" in found[1]
    both = replace(FEW, method="sft+grpo")
    assert any("leaves none for GRPO" in line for line in check(both, chosen(fill=16), TINY, CPU))
    one(check(replace(both, sft_samples=4), chosen(), TINY, CPU), "do not fill a batch of 8")
    one(check(FEW, chosen(), TINY, CPU, processes=3), "3 processes: set batch to 6")
    assert check(FEW, chosen(), TINY, CPU, processes=2) == []
    best = replace(FEW, keep_best=True)
    one(check(best, replace(chosen(), heldout=[]), TINY, CPU), "keep_best")
    assert check(best, chosen(), TINY, CPU) == []


def test_four_bits_need_a_gpu_and_a_package(monkeypatch):
    config = replace(FEW, four_bit=True)
    one(check(config, chosen(), TINY, CPU), "there is none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    one(check(config, chosen(), TINY, Memory(1, 10**10)), "pip install bitsandbytes")


def test_images_and_contexts():
    large = Image.new("RGB", (900, 900))
    two_b = PUBLISHED["qwen2_vl"][0]
    with_large = chosen(problem("large", images=(large,)))
    small = replace(FEW, max_pixels=3_136)
    one(check(small, with_large, two_b, CPU), "max_pixels 3136 leaves of a picture 4", "50176")
    merging = replace(TINY, merge=2)
    assert check(small, chosen(fill=32), merging, CPU)  # four tokens are too few for it as well
    narrow = replace(TINY, context=100)
    one(check(FEW, chosen(), narrow, CPU), "more than the checkpoint's 100", "max_new_tokens")
    long = chosen(problem("long", cot="so " * 200))
    one(check(replace(FEW, method="cot-sft"), long, TINY, CPU), "has 200 words", "to 400")
    assert check(FEW, long, TINY, CPU) == []


def test_the_command_line():
    run = Path("runs/a run")
    assert command_line(FEW, run) == "python -m rft train 'runs/a run'"
    several = "accelerate launch --num_processes 4 -m rft train runs/x"
    assert command_line(FEW, Path("runs/x"), 4) == several
    assert "--cpu --num_processes 2" in command_line(FEW, run, 2, gpu=False)

"""One optimizer step on the problems that cost most: seconds, peak memory, time to finish.

The step is the trainer's own, on the config's own batch; completions are made as long as they
may get. The peak is what the device had to give (torch's allocator on a GPU, resident memory on
a CPU). Nothing that is learned here is kept. Knows the run folder as something to read.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from PIL import Image
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from rft import evaluate, learner, machine
from rft.config import Config
from rft.findings import Report, play
from rft.learner import Learner
from rft.loading import Loaded
from rft.machine import gb
from rft.pace import spoken
from rft.policy import Policy
from rft.stages import CURVE, EVAL_BATCH
from rft.tasks import prompt_for
from rft.types import Decoding, Picture, Problem

#: A first step of at most so many seconds is done again: the second one has no warming up in it.
AGAIN = 20.0
#: Above this share of what is free, a run may meet a step that does not fit.
TIGHT = 0.9

Stage = Literal["sft", "grpo"]


def probe(report: Report, scratch: Path) -> None:
    """Measure each stage of the run and the held-out problems, and tell what it comes to."""
    run, config = report.run, report.run.config
    free = free_bytes()
    made = run.folder / "start" / "config.json"
    start = learner.start_folder(config, run.folder if made.is_file() else scratch)
    problems = run.problems("train") if config.data == "run" else []
    heldout = run.problems("id") if config.data == "run" else []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    split = config.sft_samples if config.method == "sft+grpo" else 0
    seconds: dict[str, float] = {}
    student: Learner | None = None
    if config.supervised:
        student = learner.load(config, start)
        report.tell("working", "Taking one step of SFT.")
        seconds["sft"] = step(config, "sft", student, problems[: split or None], scratch)
    if config.reinforced:
        student = None  # before the next one is loaded: a run holds one at a time
        machine.give_back()
        student = learner.load(config, start)
        student.whole.config._name_or_path = str(start)  # where TRL reads a reference model
        report.tell("working", "Taking one step of GRPO.", stages=seconds)
        seconds["grpo"] = step(config, "grpo", student, problems[split:], scratch)
    once = 0.0
    if heldout and student is not None:
        report.tell("working", "Measuring held-out problems.", stages=seconds)
        once = measure(config, student, worst(heldout, config)[:CURVE])
    report.tell("done", **verdict(config, seconds, once, len(heldout), peak_bytes(), free))


def step(
    config: Config, stage: Stage, student: Learner, problems: Sequence[Problem], scratch: Path
) -> float:
    """Seconds of one optimizer step of a stage, on its costliest problems."""
    from rft import grpo, sft

    clock = Clock()
    chosen = worst(problems, config)[: config.batch]
    # Nothing of the config that memory depends on changes.
    alone = replace(
        config, samples=len(chosen) or config.samples, sft_samples=0,
        method=stage if stage == "grpo" else "ans-sft" if config.method == "ans-sft" else "cot-sft",
        steps=2 * config.reinforced, sft_steps=2 * config.supervised,
    )  # fmt: skip
    out = str(scratch / stage)
    trainer: Any
    if stage == "sft":
        trainer = sft.trainer(alone, student, chosen, out, callbacks=[clock])
    else:
        trainer = grpo.trainer(alone, student, chosen, out, callbacks=[clock])
        # No completion may end before the limit: the longest are what memory must hold.
        trainer.generation_config.min_new_tokens = config.max_new_tokens
    trainer.args.save_strategy = SaveStrategy.NO
    trainer.train()
    return clock.seconds


class Clock(TrainerCallback):
    """Times steps, and lets the trainer take a second one where the first was quick."""

    def __init__(self) -> None:
        self.seconds = self._since = 0.0

    def on_train_begin(self, args, state, control, *, model=None, optimizer=None, **_):
        # AdamW makes its moments at the end of the first step. In a run, all later steps have
        # them while they compute; a step by zero makes them now.
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step()
        optimizer.zero_grad()

    def on_step_begin(self, args, state, control, **_):
        self._since = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._since
        control.should_training_stop |= self.seconds > AGAIN


def measure(config: Config, student: Learner, problems: Sequence[Problem]) -> float:
    """Seconds of one measurement on held-out problems, as the run makes it."""
    began = time.perf_counter()
    policy = Policy(Loaded("the start checkpoint", student.whole.eval(), student.processor))
    decoding = Decoding(
        temperature=0.0, max_new_tokens=config.max_new_tokens, max_pixels=config.max_pixels
    )
    bare = config.method == "ans-sft"
    with student.autocast():
        evaluate.answer(
            policy, problems, decoding, EVAL_BATCH,
            prompt=lambda task, question: question if bare else prompt_for(task, question),
        )  # fmt: skip
    return time.perf_counter() - began


def worst(problems: Sequence[Problem], config: Config) -> list[Problem]:
    """The problems, those with most pixels first, then those with most to read and learn."""

    def cost(problem: Problem) -> tuple[int, int]:
        pixels = sum(min(math.prod(_size(p)), config.max_pixels) for p in problem.images)
        return pixels, len(problem.question) + len(problem.cot) + len(problem.answer)

    return sorted(problems, key=cost, reverse=True)


def _size(picture: Picture) -> tuple[int, int]:
    if isinstance(picture, Path):
        with Image.open(picture) as opened:  # the header alone
            return opened.size
    return picture.size


def free_bytes() -> int:
    """What this process may use of the device that trains, what it already does included."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return machine.memory().main + psutil.Process().memory_info().rss


def peak_bytes() -> int:
    """The most that this process ever used of the device that trains."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        # The kernel's other account (getrusage) starts with the peak of whoever started us.
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def total_seconds(config: Config, seconds: dict[str, float], once: float, heldout: int) -> float:
    """Of all steps; and of the measurements on held-out problems, ``once`` each: on all of them
    before and after, on the curve's every ``eval_every`` steps."""
    taught = config.sft_steps * seconds.get("sft", 0.0)
    rewarded = config.steps * seconds.get("grpo", 0.0)
    times = config.total_steps // config.eval_every if config.eval_every else 0
    whole = 2 * math.ceil(heldout / EVAL_BATCH)
    return taught + rewarded + (times + whole) * once


def verdict(
    config: Config, seconds: dict[str, float], once: float, heldout: int, peak: int, free: int
) -> dict[str, Any]:
    """What probe.json says in the end."""
    total = total_seconds(config, seconds, once, heldout)
    each = seconds.get("grpo") or seconds["sft"]
    where = "of the GPU" if torch.cuda.is_available() else "of memory"
    largest = "the largest problems" if config.data == "run" else "the first lessons"
    longest = " and completions of full length" if config.reinforced else ""
    sentence = (
        f"With {largest}{longest}, a step takes {spoken(each)} and at most {gb(peak)} {where}, "
        f"where {gb(free)} are free; the run takes about {spoken(total)}"
        f"{', held-out measurements included' if once else ''}, or less."
    )
    if peak > free:
        sentence = (
            f"A step took {gb(peak)} {where}, more than the {gb(free)} that were free: lower "
            f"micro_batch ({config.micro_batch}) or max_pixels, or it may fail."
        )
    elif peak > TIGHT * free:
        sentence += f" That is tight: a lower micro_batch ({config.micro_batch}) is safer."
    return {
        "sentence": sentence,
        "seconds_a_step": round(each, 3),
        "stages": {name: round(value, 3) for name, value in seconds.items()},
        "seconds_a_measurement": round(once, 3),
        "total_seconds": round(total, 1),
        "peak_bytes": peak,
        "free_bytes": free,
        "fits": peak <= free,
    }


def _work(report: Report, scratch: Path, more: list[str]) -> None:
    probe(report, scratch)


if __name__ == "__main__":
    sys.exit(play("probe", _work))

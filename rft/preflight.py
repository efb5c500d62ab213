"""What to change before a run starts: config, data and checkpoint looked at together.

Each finding is a sentence that names what to change; none means that the run can start. What a
config alone can judge, it has judged when it was made. No torch: only files and counts.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path

from rft.anatomy import Anatomy
from rft.config import Config
from rft.dataset import Chosen
from rft.example import NAMED, gold_faults
from rft.machine import Memory
from rft.tasks import TASKS
from rft.types import Problem
from rft.workload import largest, prompt_tokens

#: Image tokens of a whole picture below which nothing can be read in it, but by the tiny
#: checkpoints, which have sixteen.
READABLE = 16


def check(
    config: Config, chosen: Chosen, sizes: Anatomy, memory: Memory, processes: int = 1
) -> list[str]:
    """What to change before starting, most fundamental first; empty if nothing is.

    ``memory`` tells whether there is a GPU; whether the run fits it, rft.estimate says.
    """
    if chosen.task != config.task:
        return [f"The data is for {chosen.task}, the config for {config.task}: choose one task."]
    rows = _rows(config, chosen)
    if rows:
        return rows  # counts over rows that cannot be used would mislead
    return [
        *_counts(config, chosen, processes),
        *_machine(config, memory),
        *_tokens(config, [*chosen.train, *chosen.heldout], sizes),
    ]


def command_line(config: Config, run: Path, processes: int = 1, *, gpu: bool = True) -> str:
    """The command that trains a run folder without the page; one process a GPU."""
    folder = shlex.quote(str(run))
    if processes == 1:
        return f"python -m rft train {folder}"
    cpu = "" if gpu else "--cpu "
    return f"accelerate launch {cpu}--num_processes {processes} -m rft train {folder}"


def _rows(config: Config, chosen: Chosen) -> list[str]:
    """Problems that this run cannot use, by their names."""
    every = [*chosen.train, *chosen.heldout]
    wanted = TASKS[config.task].pictures
    found = []
    if bare := [p for p in every if not p.images]:
        found.append(f"{_named(bare)} no image: add it, or leave the row out.")
    if other := [p for p in every if p.images and len(p.images) != wanted]:
        found.append(
            f"{_named(other)} not {wanted} image{'s' * (wanted > 1)}, as {config.task} takes: "
            "correct the row, or leave it out."
        )
    if config.method in ("cot-sft", "sft+grpo"):
        taught = chosen.train[: config.sft_samples] if config.reinforced else chosen.train
        if silent := [p for p in taught if not p.cot.strip()]:
            instead = "ans-sft" if config.method == "cot-sft" else "grpo"
            found.append(
                f"{_named(silent)} no chain of thought to learn from: add a cot to the row, or "
                f"choose {instead}."
            )
    return found + gold_faults(every)


def _counts(config: Config, chosen: Chosen, processes: int) -> list[str]:
    """Whether the problems fill the steps, and the steps the processes."""
    found = []
    there = len(chosen.train)
    if config.samples > there:
        found.append(f"samples is {config.samples}, but {there} problems are chosen: lower it.")
    used = min(there, config.samples)
    if config.method == "sft+grpo" and used <= config.sft_samples:
        found.append(
            f"sft_samples takes {config.sft_samples} of {used} problems and leaves none for GRPO: "
            "lower it, or choose more."
        )
    else:
        left = used - (config.sft_samples if config.method == "sft+grpo" else 0)
        least = left if config.reinforced else used
        if config.method == "sft+grpo" and config.sft_samples < config.batch:
            found.append(
                f"SFT has {config.sft_samples} problems, which do not fill a batch of "
                f"{config.batch}: raise sft_samples, or lower batch."
            )
        if least < config.batch:
            found.append(
                f"{least} problems do not fill one step of {config.batch}: lower batch to "
                f"{least}, or choose more."
            )
    if processes > 1 and config.batch % processes:
        found.append(
            f"{config.batch} in a batch cannot be shared by {processes} processes: set batch to "
            f"{max(1, config.batch // processes) * processes}."
        )
    if config.keep_best and not (chosen.heldout and config.eval_every):
        found.append(
            "keep_best chooses by held-out accuracy, which is not measured: hold some problems "
            "out and set eval_every, or turn keep_best off."
        )
    return found


def _machine(config: Config, memory: Memory) -> list[str]:
    if not config.four_bit:
        return []
    if not memory.gpu:
        return ["four_bit needs an NVIDIA GPU, and there is none: turn four_bit off."]
    if importlib.util.find_spec("bitsandbytes") is None:
        return ["four_bit needs bitsandbytes: `pip install bitsandbytes`, or turn four_bit off."]
    return []


def _tokens(config: Config, problems: Sequence[Problem], sizes: Anatomy) -> list[str]:
    """Whether images stay readable, and the whole fits the checkpoint's context."""
    found = []
    unit = (sizes.patch * sizes.merge) ** 2
    images = largest(problems, sizes, config.max_pixels)
    each = images // TASKS[config.task].pictures
    if each < READABLE and config.max_pixels < READABLE * unit:
        found.append(
            f"max_pixels {config.max_pixels} leaves of a picture {each} of the {READABLE} image "
            f"tokens in which something can be seen: raise it to {64 * unit} or more."
        )
    prompt = images + max(prompt_tokens(p.task, p.question, sizes) for p in problems)
    if prompt + config.max_new_tokens > sizes.context:
        found.append(
            f"The largest prompt has about {prompt} tokens ({images} of images); with a "
            f"completion of {config.max_new_tokens} that is more than the checkpoint's "
            f"{sizes.context}: lower max_pixels or max_new_tokens."
        )
    told = max((len(p.cot.split()) for p in problems), default=0)
    if config.method in ("cot-sft", "sft+grpo") and told > config.max_new_tokens:
        found.append(
            f"The longest chain of thought has {told} words, and completions are cut at "
            f"{config.max_new_tokens} tokens: raise max_new_tokens to {2 * told}."
        )
    return found


def _named(problems: Sequence[Problem]) -> str:
    """ "a, b and 3 more have"."""
    names = [p.id for p in problems[:NAMED]]
    more = len(problems) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more else "")
    return f"{listed} {'has' if len(problems) == 1 else 'have'}"

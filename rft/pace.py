"""How long the steps of a run take, from the work in them and a machine's pace.

Two things take time: operations, of which a training pass is made, and tokens written one after
the other, whose pace is set by how fast a layer can be called and the weights read. The paces are
rough on purpose: what small batches reach, not what data sheets say.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from rft.anatomy import Anatomy
from rft.config import Config
from rft.machine import Memory
from rft.workload import Load

#: From so many parameters on, the trainer recomputes activations rather than keep them, and a GPU
#: computes in bfloat16: a tiny model would gain nothing by either.
CHECKPOINTED = 5e8
#: Problems measured at once, and on the curve at each measurement.
MEASURED = 64
#: Of the longest completion: where the longest of a step ends, and the average one.
_LONGEST, _AVERAGE = 0.8, 0.5
_AROUND = 0.15  # seconds of a step for what is neither: optimizer, images, logs


def halved(config: Config, sizes: Anatomy, on_gpu: bool) -> bool:
    """Whether the weights that are not trained are kept in bfloat16 (see rft.learner.load)."""
    return on_gpu and bool(config.rank) and sizes.parameters > CHECKPOINTED


@dataclass(frozen=True)
class Pace:
    """A class of machines: operations and bytes a second, seconds a layer of one written token."""

    flops: float
    bandwidth: float
    layer: float
    gpu: bool = True


def pace_of(memory: Memory, cores: int | None = None) -> Pace:
    """The pace of a machine, told by its GPU's free memory or by its cores."""
    for least, pace in (
        (60e9, Pace(2.5e14, 2.0e12, 0.9e-3)),
        (20e9, Pace(6.0e13, 6.0e11, 1.0e-3)),
        (1, Pace(2.0e13, 2.5e11, 1.2e-3)),
    ):
        if memory.gpu >= least:
            return pace
    cores = min(cores or os.cpu_count() or 1, 16)
    return Pace(4e10 * cores, 2e10, 2e-3, gpu=False)


def _pass_flops(config: Config, sizes: Anatomy, load: Load, completion: float) -> float:
    """Operations of forward and backward on one completion with its prompt."""
    backward = 2.0 if config.rank else 4.0
    again = 2.0 if sizes.parameters > CHECKPOINTED else 0.0
    tokens = load.prompt + completion
    text = (2.0 + backward + again) * (sizes.blocks * tokens + sizes.embeddings * completion)
    return text + (6.0 if config.train_vision else 2.0) * sizes.vision * load.patches


def _writing_seconds(sizes: Anatomy, load: Load, pace: Pace, number: int, count: int) -> float:
    """Seconds to read ``count`` prompts and write their completions, all at once."""
    words = 2.0 * (sizes.blocks + sizes.embeddings)
    reading = count * (2.0 * sizes.blocks * load.prompt + 2.0 * sizes.vision * load.patches)
    step = max(
        sizes.layers * pace.layer + count * words / pace.flops,
        number * (sizes.blocks + sizes.embeddings) / pace.bandwidth,
    )
    return reading / pace.flops + _LONGEST * load.completion * step


def grpo_seconds(config: Config, sizes: Anatomy, load: Load, pace: Pace) -> float:
    """Seconds of one step of GRPO: sampling, the starting checkpoint's view, learning."""
    number = 2 if halved(config, sizes, pace.gpu) else 4
    passes = load.together * _pass_flops(config, sizes, load, _LONGEST * load.completion)
    if config.beta:  # the starting checkpoint's own view of every completion
        passes += load.together * 2.0 * sizes.blocks * (load.prompt + load.completion)
    slow = 1.3 if config.four_bit else 1.0
    writing = _writing_seconds(sizes, load, pace, number, load.together)
    return _AROUND + slow * (writing + passes / pace.flops)


def sft_seconds(config: Config, sizes: Anatomy, load: Load, pace: Pace) -> float:
    """Seconds of one step of SFT."""
    slow = 1.3 if config.four_bit else 1.0
    one = _pass_flops(config, sizes, load, _AVERAGE * load.completion)
    return _AROUND + slow * load.examples * one / pace.flops


def measuring_seconds(
    config: Config, sizes: Anatomy, load: Load, pace: Pace, heldout: int
) -> float:
    """Seconds of all measurements on the held-out problems, before, during and after."""
    if not heldout:
        return 0.0
    number = 2 if config.rank and pace.gpu else 4
    curve = min(heldout, MEASURED)
    times = config.total_steps // config.eval_every if config.eval_every else 0
    once = _writing_seconds(sizes, load, pace, number, curve)
    return (times + 2 * math.ceil(heldout / MEASURED)) * once


def spoken(seconds: float) -> str:
    """3.4 -> "3 s", 150 -> "3 min", 9000 -> "2.5 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3600:.1f} h"

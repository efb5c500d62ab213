"""What a run will cost, from its config and its checkpoint's sizes alone, before anything runs.

Memory: weights, what training keeps for each weight that learns, and the larger of two passes:
sampling (images, prompt, key-value cache) or training (activations). It is an estimate: a probe
step measures. This module knows no torch and asks the machine nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rft.anatomy import Anatomy
from rft.config import Config
from rft.machine import Memory, gb
from rft.pace import (
    CHECKPOINTED,
    grpo_seconds,
    halved,
    measuring_seconds,
    pace_of,
    sft_seconds,
    spoken,
)
from rft.types import Problem
from rft.workload import Load, load_of

#: Before any model: the interpreter and its libraries, or the CUDA context.
CPU_RUNTIME, GPU_RUNTIME = 700_000_000, 800_000_000
#: What allocators waste, and what was forgotten.
SLACK = 1.15
#: Bytes of a weight in 4 bits, its share of the scales included.
FOUR_BIT = 0.5625
#: Tokens and vocabulary of one tile in which TRL computes log-probabilities, and bytes of each
#: element on the way back: logits and their gradient on a GPU, whose kernel turns one into the
#: other in place; on a CPU eight such numbers, each a tensor of its own, and a mask.
TILE = 4_096, 32_768
GPU_TILE, CPU_TILE = 8, 8 * 4 + 1


@dataclass(frozen=True)
class Estimate:
    """Bytes at the peak, and seconds. ``parts`` add up to ``memory_bytes``."""

    memory_bytes: int
    seconds_a_step: float
    total_seconds: float
    sentence: str
    parts: Mapping[str, int]
    fits: bool


def estimate(
    config: Config,
    sizes: Anatomy,
    memory: Memory,
    *,
    problems: Sequence[Problem] = (),
    heldout: int = 0,
    processes: int = 1,
) -> Estimate:
    """The cost of each process of a run on a machine with so much free memory.

    ``problems`` make the counts those of the real images and questions; without them the
    largest images that the config allows are assumed.
    """
    on_gpu = memory.gpu > 0
    load = load_of(config, sizes, problems, processes)
    parts = {name: round(value) for name, value in _parts(config, sizes, load, on_gpu).items()}
    needed = sum(parts.values())
    pace = pace_of(memory)
    taught = sft_seconds(config, sizes, load, pace) if config.supervised else 0.0
    rewarded = grpo_seconds(config, sizes, load, pace) if config.reinforced else 0.0
    total = config.sft_steps * taught + config.steps * rewarded
    total += measuring_seconds(config, sizes, load, pace, heldout)
    free = memory.gpu if on_gpu else memory.main
    fits = needed <= free
    step = rewarded or taught
    return Estimate(
        needed,
        step,
        total,
        _sentence(needed, free, on_gpu, parts, config, step, total),
        parts,
        fits,
    )


def _parts(config: Config, sizes: Anatomy, load: Load, on_gpu: bool) -> dict[str, float]:
    """Bytes at the peak, by what they are for."""
    # Bytes of a weight, and of what flows through.
    number = 2 if halved(config, sizes, on_gpu) else 4
    weights = float(number * sizes.parameters)
    if config.four_bit:
        weights = FOUR_BIT * (sizes.blocks + sizes.vision) + number * sizes.embeddings
    trained = learned(config, sizes)
    parts = {"weights": weights}
    if not config.rank and config.beta and config.reinforced:
        parts["reference for the KL term"] = 4.0 * sizes.parameters
    # Gradient and AdamW's two moments; an adapter's own weights come on top of the base's.
    parts["what learns"] = (16.0 if config.rank else 12.0) * trained
    sampling = _sampling_bytes(sizes, load, number)
    passing = _training_bytes(config, sizes, load, number, on_gpu)
    if sampling > passing:
        parts["sampling"] = sampling
    else:
        parts["a training pass"] = passing
    parts["spare"] = (SLACK - 1) * sum(parts.values())
    parts["libraries"] = GPU_RUNTIME if on_gpu else CPU_RUNTIME
    return parts


def learned(config: Config, sizes: Anatomy) -> int:
    """Parameters that learn."""
    if config.rank:
        return sizes.adapter(config.rank, config.targets)
    return sizes.blocks + sizes.embeddings + sizes.vision * config.train_vision


def _pixels(sizes: Anatomy, load: Load) -> float:
    """Bytes of one prompt's patches in float32, as the processor gives them (two frames)."""
    return 4.0 * load.patches * 2 * 3 * sizes.patch**2


def _seeing(sizes: Anatomy, load: Load, number: int) -> float:
    """Bytes that the frozen vision tower holds at once for one prompt."""
    return number * load.patches * (6.0 * sizes.vision_hidden + 2.0 * sizes.vision_mlp)


def _sampling_bytes(sizes: Anatomy, load: Load, number: int) -> float:
    tokens = load.prompt + load.completion
    reading = number * load.prompt * (6.0 * sizes.hidden + 3.0 * sizes.intermediate)
    cache = 1.1 * number * tokens * sizes.kv_elements
    choosing = 16.0 * sizes.vocabulary
    each = _pixels(sizes, load) + max(_seeing(sizes, load, number), reading + cache + choosing)
    return load.together * each


def _training_bytes(config: Config, sizes: Anatomy, load: Load, number: int, on_gpu: bool) -> float:
    tokens = load.micro * (load.prompt + load.completion)
    layer = number * (14.0 * sizes.hidden + 4.0 * sizes.intermediate)
    large = sizes.parameters > CHECKPOINTED
    logits = float(min(tokens, TILE[0]) * min(sizes.vocabulary, TILE[1]))
    tile = (GPU_TILE if on_gpu else CPU_TILE) * logits
    if large:
        again = tokens * 2 * layer  # one layer's activations, once they are recomputed
        # By then a CPU has the tile's memory back; a GPU's allocator keeps it.
        last = again + tile if on_gpu else max(again, tile)
        kept = tokens * sizes.layers * 2.0 * number * sizes.hidden + last
    else:
        kept = tokens * sizes.layers * layer + tile
    seeing = _seeing(sizes, load, number) * (sizes.vision_layers if config.train_vision else 1)
    casts = 2.0 * sizes.blocks if on_gpu and large and not config.rank else 0.0  # autocast's copies
    images = (load.together or load.micro) * _pixels(sizes, load)
    return kept + load.micro * seeing + casts + images


def _sentence(
    needed: int,
    free: int,
    on_gpu: bool,
    parts: Mapping[str, int],
    config: Config,
    step: float,
    total: float,
) -> str:
    where = "on the GPU" if on_gpu else "in memory"
    if needed > free:
        return (
            f"By estimate it needs {gb(needed)}, but {gb(free)} are free {where}: "
            f"{_remedy(parts, config, on_gpu)}."
        )
    return (
        f"By estimate it needs {gb(needed)} of {gb(free)} free {where}, {spoken(step)} a step and "
        f"{spoken(total)} in all. A probe step measures it."
    )


def _remedy(parts: Mapping[str, int], config: Config, on_gpu: bool) -> str:
    """What to lower, by what takes most."""
    most = max((p for p in parts if p not in ("spare", "libraries")), key=lambda p: parts[p])
    size = gb(parts[most])
    if most == "a training pass" and config.micro_batch > 1:
        return (
            f"lower micro_batch ({config.micro_batch}; a training pass takes {size}), or max_pixels"
        )
    if most in ("a training pass", "sampling"):
        return f"lower max_pixels, max_new_tokens, batch or generations ({most} takes {size})"
    if not config.rank:
        return f"set rank to 16 and train a LoRA adapter (all weights take {size} for {most})"
    if on_gpu and not config.four_bit:
        return f"keep the base in 4 bits (its weights take {size}), or start from a smaller one"
    return f"start from a smaller checkpoint (its weights take {size})"

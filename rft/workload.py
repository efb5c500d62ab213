"""What one process of a run works on: how many images, tokens and completions at once.

Counted from a config, a checkpoint's sizes and, where there are any, the problems themselves.
Nothing is decoded and no tokenizer is asked: text is counted roughly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from rft.anatomy import Anatomy
from rft.config import Config
from rft.images import open_image
from rft.order import per_pass
from rft.tasks import TASKS, prompt_for
from rft.types import Picture, Problem, TaskName

#: A vocabulary below this is a tiny checkpoint's: one token a word, one a fixed sentence.
_SMALL = 10_000


@dataclass(frozen=True)
class Load:
    """What one process works on. Token counts are of the largest prompt."""

    patches: int
    """Image patches of one prompt, all its images together."""
    prompt: int
    """Tokens of one prompt, image tokens included."""
    completion: int
    together: int
    """Completions sampled at once."""
    micro: int
    """Completions, or examples, in one training pass."""
    examples: int
    """Examples of one step of SFT."""


def load_of(
    config: Config, sizes: Anatomy, problems: Sequence[Problem] = (), processes: int = 1
) -> Load:
    """The work of each process; without problems, of the largest images the config allows."""
    task = TASKS[config.task]
    side = math.isqrt(min(config.max_pixels, sizes.max_pixels))
    seen = largest(problems, sizes, config.max_pixels)
    seen = seen or task.pictures * sizes.image_tokens((side, side), config.max_pixels)
    usual = "some words " * (30 if config.task == "spatial" else 9)
    longest = max((p.question for p in problems), key=len, default=usual)
    examples = max(1, config.batch // processes)
    together = examples * config.generations if config.reinforced else 0
    micro = per_pass(together or examples, config.micro_batch)
    prompt = seen + prompt_tokens(config.task, longest, sizes)
    patches = seen * sizes.merge**2
    return Load(patches, prompt, config.max_new_tokens, together, micro, examples)


def largest(problems: Sequence[Problem], sizes: Anatomy, max_pixels: int) -> int:
    """Image tokens of the problem that has most of them."""
    return max(
        (
            sum(sizes.image_tokens(_size(image), max_pixels) for image in problem.images)
            for problem in problems
        ),
        default=0,
    )


def prompt_tokens(task: TaskName, question: str, sizes: Anatomy) -> int:
    """About how many tokens a prompt has without its images, the chat template's included.

    The tiny checkpoints have one token for each fixed sentence of a prompt, and one a word.
    """
    if sizes.vocabulary < _SMALL:
        return len(question.split()) + 12
    return math.ceil(len(prompt_for(task, question)) / 3.6) + 30


def _size(picture: Picture) -> tuple[int, int]:
    """(width, height). InputError where a file cannot be read (any more)."""
    return picture.size if isinstance(picture, Image.Image) else _size_of_file(picture)


@lru_cache(maxsize=65_536)
def _size_of_file(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as opened:  # the header alone
            return opened.size
    except OSError:  # gone, or a format that only the gate knows how to open
        return open_image(file).size

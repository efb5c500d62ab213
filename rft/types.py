"""The nouns: Problem, Reply, Score, Turn, Decoding, Chunk.

Plain frozen data. This module knows neither grammar, nor prompts, nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

TaskName = Literal["counting", "structure", "spatial"]
Stage = Literal["base", "ans-sft", "cot-sft", "zero", "sft+grpo"]

#: What counts as right: an answer inside its tag, or one with or without it.
Measure = Literal["strict", "lenient"]

#: An image is kept as the path of a file that passed the image gate, or decoded.
Picture = Path | Image.Image


@dataclass(frozen=True)
class Problem:
    """One question about one or two images, with its gold answer.

    ``question`` is what the paper calls {Q}: without any prompt around it.
    ``cot`` is a chain of thought without tags; empty where none is known.
    ``kind`` names the sort of question ("subtract", "angle", …) for reports per kind.
    ``scene`` is what is seen, where problems may share it: a model errs on all of them together.
    It is no part of the problem, and not kept with it.
    """

    id: str
    task: TaskName
    images: tuple[Picture, ...]
    question: str
    answer: str
    cot: str = ""
    kind: str = ""
    scene: str = field(default="", compare=False)


@dataclass(frozen=True)
class Reply:
    """A completion, taken apart by :mod:`rft.parse`. Total: every text is a Reply.

    ``thinking`` and ``answer`` are stripped for display. ``answer`` is None until an
    ``<answer>`` tag was seen; ``lead`` is text that stands outside both (a bare answer,
    a caption). ``phase`` is where the text stops: what a page shows as happening now.
    """

    text: str
    thinking: str = ""
    answer: str | None = None
    lead: str = ""
    phase: Literal["start", "thinking", "between", "answering", "done"] = "start"

    @property
    def final(self) -> str:
        """What a person would call the answer: the tagged one, else the bare text."""
        return self.answer if self.answer is not None else self.lead


@dataclass(frozen=True)
class Score:
    """What one reward function gave and why, in a few words a person can check."""

    name: str
    value: float
    reason: str = ""


@dataclass(frozen=True)
class Turn:
    """One message of a conversation. Images come before the text, as in training."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """How to sample. Defaults: the paper's evaluation decoding (appendix)."""

    temperature: float = 0.1
    top_p: float = 0.9
    top_k: int = 50
    max_new_tokens: int = 768
    max_pixels: int = 480_000
    seed: int | None = None


@dataclass(frozen=True)
class Chunk:
    """A piece of a streamed completion.

    ``text`` is new text only (it may be empty at the last chunk); ``tokens`` counts the
    completion's tokens so far; ``seconds`` is the time since generation was asked for.
    ``finish`` is set on the last chunk: "eos", "length" (token limit) or "stop" (cancelled).
    ``counted``: whether the tokens were; else they are estimated by the pieces that came.
    """

    text: str
    tokens: int
    seconds: float
    finish: Literal["eos", "length", "stop"] | None = None
    counted: bool = True


@dataclass(frozen=True)
class Progress:
    """Something slow is under way: a download, a load. ``done`` is in [0, 1] or None."""

    message: str
    done: float | None = field(default=None)

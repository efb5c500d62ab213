"""What to train: one flat config, checked when made, saved with the run.

Whatever can be judged from the config alone is judged here, in a sentence that says what to
change. It knows neither data nor checkpoints: what needs them is checked by rft.rehearsal.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from rft.errors import InputError
from rft.rewards import Rubric
from rft.types import Measure, TaskName

#: A run folder written by a newer version is left alone.
VERSION = 1

#: How to train. "grpo" from a base is the paper's Zero; "sft+grpo" is Reason-RFT itself.
Method = Literal["ans-sft", "cot-sft", "grpo", "sft+grpo"]
#: The language model's projections; the vision tower has none of these names.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Config:
    """One run: supervised fine-tuning, GRPO, or the two in turn, from one checkpoint."""

    checkpoint: str
    """Where to start: a card's id, a folder, a Hub id; "tiny" builds an untrained one."""
    method: Method
    """What to do (:data:`Method`)."""
    task: TaskName = "counting"
    """Decides the prompt and what is right."""
    data: str = "run"
    """"run": the run's own ``data`` folder; "lessons/NAME": a curriculum of rft.curriculum."""
    samples: int = 32
    """Training problems. With "lessons/…", lessons: each is seen once."""
    first: int = 0
    """With "lessons/…": index of the first lesson."""
    sft_samples: int = 0
    """With "sft+grpo": the first so many problems are for SFT, the rest for GRPO."""
    sft_steps: int = 0
    """Optimizer steps of SFT."""
    steps: int = 0
    """Optimizer steps of GRPO."""
    batch: int = 8
    """Per optimizer step, over all processes: examples of SFT, distinct prompts of GRPO."""
    generations: int = 8
    """Completions a prompt, a GRPO group (paper: 8)."""
    micro_batch: int = 64
    """Examples or completions in one forward pass of one process: what memory allows."""
    sft_learning_rate: float = 1e-4
    """Peak learning rate of SFT (cosine to zero)."""
    optimizer: str = "adamw"
    """Of SFT: "adamw", or "muon" for the language model's matrices (needs rank 0)."""
    muon_rate: float = 1.0
    """Muon's learning rate as a multiple of AdamW's."""
    learning_rate: float = 1e-4
    """Peak learning rate of GRPO (AdamW, cosine to zero)."""
    warmup: float = 0.03
    """Share of a stage's steps spent warming up."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    beta: float = 0.0
    """Weight of the KL divergence from the starting checkpoint (paper: 0.04)."""
    temperature: float = 1.0
    """Of sampled completions (paper: 0.9)."""
    max_new_tokens: int = 256
    """Length at which a completion is cut (paper: 512)."""
    max_pixels: int = 480_000
    """Bound on image size; a checkpoint's own bound holds too."""
    rank: int = 16
    """LoRA rank; 0 trains all weights of the language model."""
    alpha: int = 32
    """LoRA alpha: the adapter's output is scaled by alpha / rank."""
    targets: tuple[str, ...] = TARGETS
    """Names of the linear layers that LoRA adapts."""
    four_bit: bool = False
    """Keep the base in 4 bits (CUDA and bitsandbytes)."""
    train_vision: bool = False
    """Whether the vision tower learns too (needs rank 0)."""
    vision_rate: float = 1.0
    """In SFT: the tower's learning rate as a share of the language model's."""
    rewards: tuple[tuple[str, float], ...] = (("accuracy", 1.0), ("format", 1.0))
    """Names and weights; weight 0 is only shown."""
    eval_every: int = 10
    """Steps between measurements on the held-out problems; 0 never measures."""
    keep_best: bool = False
    """Finish with the checkpoint that was best on the held-out problems, not the last."""
    save_steps: int = 10
    """Steps between checkpoints, from which a killed run resumes."""
    seed: int = 0
    """Of the weights (checkpoint "tiny"), the order of the data and the sampling."""

    def __post_init__(self) -> None:
        # JSON has lists; a frozen config has tuples.
        object.__setattr__(self, "targets", tuple(self.targets))
        object.__setattr__(self, "rewards", tuple((str(n), float(w)) for n, w in self.rewards))
        for fault in self._faults():
            raise InputError(fault)

    def _faults(self) -> list[str]:
        """What cannot work, most fundamental first."""
        found: list[str] = []
        if not self.checkpoint:
            found.append("checkpoint is empty: choose the checkpoint to start from.")
        if self.method not in get_args(Method):
            found.append(f"method must be one of {', '.join(get_args(Method))}.")
        if self.task not in get_args(TaskName):
            found.append(f"task must be one of {', '.join(get_args(TaskName))}.")
        least = {"samples": 1, "batch": 1, "micro_batch": 1, "max_new_tokens": 1, "save_steps": 1,
                 "max_pixels": 784, "first": 0, "rank": 0, "eval_every": 0, "seed": 0}  # fmt: skip
        found += [
            f"{name} must be at least {low}, not {getattr(self, name)}."
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        found += self._schedule_faults()
        for name in ("learning_rate", "sft_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                found.append(f"{name} must lie between 0 and 1: 1e-4 suits LoRA, 1e-6 all weights.")
        if self.optimizer not in ("adamw", "muon"):
            found.append('optimizer is "adamw" or "muon".')
        elif self.optimizer == "muon" and self.rank:
            found.append("Muon is for whole weights: set rank to 0, or optimizer to adamw.")
        if not 0 < self.muon_rate < 100:
            found.append("muon_rate is a multiple of AdamW's learning rate: 1 to 10.")
        if not 0 < self.vision_rate <= 1:
            found.append("vision_rate is a share: above 0, at most 1. train_vision off freezes it.")
        if not 0 <= self.warmup < 1:
            found.append("warmup is a share of the steps: give a number from 0 to below 1.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            found.append("temperature must be above 0: a group needs completions that differ.")
        if self.beta < 0 or self.weight_decay < 0:
            found.append("beta and weight_decay cannot be negative: 0 turns them off.")
        if self.rank and (self.alpha < 1 or not self.targets):
            found.append("LoRA needs an alpha of at least 1 and targets: or set rank to 0.")
        if self.rank and self.train_vision:
            found.append("LoRA leaves the vision tower frozen: set rank to 0 or train_vision off.")
        if self.four_bit and not self.rank:
            found.append("A 4-bit base cannot be trained itself: give rank 16 or so.")
        if self.data != "run" and not self.data.startswith("lessons/"):
            found.append('data is "run" or "lessons/NAME".')
        if self.data != "run" and self.reinforced:
            found.append("GRPO needs problems with gold answers: lessons are for SFT alone.")
        return found or self._reward_faults()

    def _schedule_faults(self) -> list[str]:
        found = []
        if self.supervised and self.sft_steps < 1:
            found.append(f"{self.method} needs sft_steps of at least 1.")
        if self.reinforced and self.steps < 1:
            found.append(f"{self.method} needs steps of at least 1.")
        if self.method == "sft+grpo" and not 0 < self.sft_samples < self.samples:
            found.append(
                "sft_samples must be at least 1 and leave some of the samples for GRPO: "
                f"choose 1 to {self.samples - 1}."
            )
        if self.reinforced:
            if self.generations < 2:
                found.append("generations must be at least 2: an advantage compares a group.")
            left = self.samples - (self.sft_samples if self.method == "sft+grpo" else 0)
            if left < self.batch:
                found.append(
                    f"{left} problems do not fill one step of {self.batch} prompts: "
                    f"set batch to at most {max(left, 1)}, or give more problems."
                )
            whole = self.batch * self.generations
            if self.micro_batch < whole and whole % self.micro_batch:
                found.append(
                    f"{self.batch} prompts of {self.generations} completions are {whole}: "
                    f"micro_batch must divide that, for example {math.gcd(whole, self.micro_batch)}."
                )
        elif self.supervised and self.samples < self.batch:
            found.append(f"{self.samples} samples do not fill one batch: set batch lower.")
        return found

    def _reward_faults(self) -> list[str]:
        if not self.reinforced:
            return []
        if Rubric(self.rewards).full_marks <= 0:  # Rubric itself refuses unknown names
            return ["No reward has a weight above 0: there would be nothing to learn."]
        return []

    @property
    def supervised(self) -> bool:
        """Whether there is an SFT stage."""
        return self.method != "grpo"

    @property
    def reinforced(self) -> bool:
        """Whether there is a GRPO stage."""
        return self.method in ("grpo", "sft+grpo")

    @property
    def measure(self) -> Measure:
        """What counts as right of what it trains: ANS-SFT teaches bare answers, without a tag."""
        return "lenient" if self.method == "ans-sft" else "strict"

    @property
    def chooses(self) -> bool:
        """Whether what is finished was chosen by held-out accuracy, which that then flatters."""
        return self.keep_best and 0 < self.eval_every <= self.total_steps

    @property
    def total_steps(self) -> int:
        """Optimizer steps of all stages; steps are numbered from 1 through all of them."""
        return self.sft_steps * self.supervised + self.steps * self.reinforced

    def save(self, path: Path) -> None:
        """Write the config as JSON, with the version of its form."""
        path.write_text(json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n")

    @staticmethod
    def read(path: Path) -> Config:
        """Read a config; InputError names a file, a version or a field that is wrong."""
        try:
            raw: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no readable config (JSON): {error}.") from error
        return Config.made(raw, str(path))

    @staticmethod
    def made(raw: Any, what: str = "The config") -> Config:
        """The config of a JSON object."""
        if not isinstance(raw, dict):
            raise InputError(f"{what} must be one JSON object of fields.")
        version = raw.get("version", VERSION)
        if not isinstance(version, int) or version > VERSION:
            raise InputError(
                f"{what} was written by a newer version of the Studio (form {version}, this one "
                f"reads {VERSION}): update the Studio."
            )
        known = {f.name: f for f in fields(Config)}
        given = {name: value for name, value in raw.items() if name != "version"}
        if unknown := sorted(set(given) - set(known)):
            raise InputError(f"{what} has an unknown field {unknown[0]!r}: remove it.")
        for name, value in given.items():
            if not _fits(value, str(known[name].type)):
                raise InputError(f"{what}: {name} cannot be {value!r}.")
        try:
            return Config(**given)
        except TypeError as error:
            raise InputError(f"{what}: {error}. checkpoint and method are needed.") from error


def _fits(value: Any, kind: str) -> bool:
    """Whether a JSON value can stand for a field annotated ``kind``."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "tuple[str, ...]":
        return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    if kind.startswith("tuple"):
        return isinstance(value, (list, tuple)) and all(
            isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str)
            and _fits(item[1], "float") for item in value
        )  # fmt: skip
    return isinstance(value, str)

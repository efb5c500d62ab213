"""What to train: one flat recipe, checked when made, saved with the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rft.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """Supervised fine-tuning of one checkpoint on one curriculum."""

    start: str
    """Folder or Hub id of the checkpoint to start from; "tiny" builds an untrained one."""
    curriculum: str
    """Name of the curriculum (:mod:`rft.lessons`)."""
    samples: int
    """Lessons to train on, each seen once."""
    first: int = 0
    """Index of the first lesson: recipes of one curriculum can take different parts of it."""
    batch: int = 64
    """Lessons per optimizer step."""
    learning_rate: float = 1e-3
    """Peak learning rate (AdamW, cosine to zero)."""
    warmup: float = 0.03
    """Share of the steps spent warming up."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay."""
    train_vision: bool = True
    """Whether the vision tower learns too; the paper's SFT freezes it."""
    save_steps: int = 200
    """Steps between checkpoints, from which a killed run resumes."""
    seed: int = 0
    """Seed of the weights (start = "tiny") and of the training."""

    def __post_init__(self) -> None:
        for name in ("samples", "batch", "save_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.samples < self.batch:
            raise InputError(
                f"{self.samples} samples do not fill one batch of {self.batch}: lower batch."
            )
        if not 0 < self.learning_rate < 1:
            raise InputError("learning_rate must lie between 0 and 1; 1e-3 suits a tiny model.")
        if not 0 <= self.warmup < 1:
            raise InputError("warmup is a share of the steps: give a number from 0 to below 1.")

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.samples // self.batch

    def save(self, path: Path) -> None:
        """Write the recipe as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(path: Path) -> Recipe:
        """Read a recipe; InputError names a file or a field that is wrong."""
        try:
            raw: dict[str, Any] = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is no readable recipe (JSON): {error}.") from error
        unknown = set(raw) - {f.name for f in fields(Recipe)}
        if unknown:
            raise InputError(f"{path}: unknown field {sorted(unknown)[0]!r}; remove it.")
        try:
            return Recipe(**raw)
        except TypeError as error:
            raise InputError(
                f"{path}: {error}. start, curriculum and samples are needed."
            ) from error

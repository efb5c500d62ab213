"""Optimizers beyond the Trainer's own: a tower that learns slower, matrices that learn by Muon.

PyTorch's, put together. Knows parameters and their names; no data, no trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import AdamW, Muon, Optimizer

from rft.config import Config

#: A curriculum's batches differ less than its lessons do: Adam's second moment may follow sooner.
BETAS = (0.9, 0.98)


def optimizer(config: Config, model: Any) -> Optimizer | None:
    """What a supervised run asks for beyond the Trainer's AdamW; None where that will do.

    ``model`` is a whole Qwen2-VL. Its tower learns at ``vision_rate``: Adam's steps are as large
    where the gradient is noise, and until the language model can tell what it sees they would
    undo what a primed tower knows. With "muon" the matrices of the language model's blocks learn
    by Muon (Jordan 2024; step sizes as in arXiv 2502.16982), all else by AdamW.
    """
    slow = config.train_vision and config.vision_rate < 1
    if config.optimizer == "adamw" and not slow:
        return None
    tower = {id(p) for p in model.model.visual.parameters()}
    blocks = {id(p) for p in model.model.language_model.layers.parameters() if p.ndim == 2}
    learning = [p for p in model.parameters() if p.requires_grad]
    muon = [p for p in learning if id(p) in blocks and config.optimizer == "muon"]
    taken, rate = {id(p) for p in muon}, config.sft_learning_rate
    groups = [
        {
            "params": [
                p
                for p in learning
                if id(p) not in taken and (id(p) in tower) is seen and (p.ndim > 1) is decayed
            ],
            "lr": rate * (config.vision_rate if seen else 1.0),
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for seen in (False, True)
        for decayed in (False, True)
    ]
    adam = AdamW([group for group in groups if group["params"]], lr=rate, betas=BETAS)
    if not muon:
        return adam
    pace = rate * config.muon_rate
    matrices = Muon(muon, pace, config.weight_decay, adjust_lr_fn="match_rms_adamw")
    return Together(matrices, adam)


class Together(Optimizer):
    """Several optimizers that step as one. A scheduler sees the groups of all of them."""

    def __init__(self, *parts: Optimizer):
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of each, in turn."""
        loss = closure() if closure else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """That of each part, in a form that a trainer can put on another device."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of the same parts over the same parameters."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]

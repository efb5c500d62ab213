"""Optimizers beyond the Trainer's own: a tower that learns slower, matrices that learn by Muon.

Knows parameters and their names; no data, no trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from rft.config import Config

#: A curriculum's batches differ less than its lessons do: Adam's second moment may follow sooner.
BETAS = (0.9, 0.98)


def optimizer(config: Config, model: Any) -> Optimizer | None:
    """What a supervised run asks for beyond the Trainer's AdamW; None where that will do.

    ``model`` is a whole Qwen2-VL. Its tower learns at ``vision_rate``: Adam's steps are as large
    where the gradient is noise, and until the language model can tell what it sees they would
    undo what a primed tower knows. With "muon" the matrices of the language model's blocks learn
    by Muon, all else by AdamW.
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
    return Together(Muon(muon, rate * config.muon_rate, config.weight_decay), adam)


class Muon(Optimizer):
    """Momentum whose every direction is as large: matrices step by the nearest orthogonal one.

    Jordan (2024), by five Newton-Schulz steps; scaled to the size of Adam's steps as in
    arXiv 2502.16982, equation 4. PyTorch's own works in bfloat16, whose products a CPU without
    such instructions makes so slowly that a step of the tiny model took 3.7 s in place of one.
    """

    MOMENTUM = 0.95
    #: Of the quintic that drives singular values towards one.
    QUINTIC = (3.4445, -4.7750, 2.0315)

    def __init__(self, matrices: list[torch.nn.Parameter], lr: float, weight_decay: float):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; matrices of one shape are taken together."""
        loss = closure() if closure else None
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape, []).append(weight)
            for shape, weights in alike.items():
                moves = orthogonal(torch.stack([self._ahead(weight) for weight in weights]))
                size = 0.2 * max(shape) ** 0.5 * group["lr"]
                for weight, move in zip(weights, moves, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(move, alpha=-size)
        return loss

    def _ahead(self, weight: torch.nn.Parameter) -> torch.Tensor:
        """The gradient with Nesterov's momentum."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - self.MOMENTUM)
        return torch.lerp(weight.grad, state["momentum"], self.MOMENTUM)


def orthogonal(matrices: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Near the orthogonal factor of each of them: [n, rows, columns], in their own precision."""
    a, b, c = Muon.QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


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

"""What a trainer tells while it trains: metrics, progress, held-out accuracy, faults.

Adapters from transformers' callbacks to plain functions. They decide nothing about files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from rft.errors import StudioError


class TrainingFault(StudioError, ArithmeticError):
    """Training went where no later step can bring it back from."""


class Metrics(TrainerCallback):
    """Hands every step's log on as one flat record; stops at a loss that is no number."""

    def __init__(self, stage: str, first_step: int, tell: Callable[[dict[str, Any]], None]):
        self.stage, self.first_step, self.tell = stage, first_step, tell
        self._since = time.perf_counter()

    def on_step_begin(self, args, state, control, **_):
        self._since = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **_):
        if not logs or "loss" not in logs:
            return  # the summary at the end
        step = self.first_step + state.global_step
        record = {"step": step, "stage": self.stage, "time": round(time.time(), 2)}
        numbers = {k: v for k, v in logs.items() if isinstance(v, (int, float))}
        numbers.setdefault("step_time", time.perf_counter() - self._since)
        self.tell(record | {k: _finite(v) for k, v in numbers.items()})
        for name in ("loss", "grad_norm"):
            if name in numbers and not math.isfinite(numbers[name]):
                raise TrainingFault(
                    f"The {name.replace('_', ' ')} is no number any more at step {step}: lower "
                    "the learning rate, and resume from the last checkpoint, which stands."
                )


class Steps(TrainerCallback):
    """Calls ``done(step)`` after every optimizer step, before it may be saved."""

    def __init__(self, first_step: int, done: Callable[[int], None]):
        self.first_step, self.done = first_step, done

    def on_step_end(self, args, state, control, **_):
        self.done(self.first_step + state.global_step)


class StopTogether(TrainerCallback):
    """With several processes: all stop after the same step, once any was told to."""

    def __init__(self, told: Callable[[], bool]):
        self.told = told

    def on_step_end(self, args, state, control, **_):
        import torch
        from accelerate import PartialState
        from accelerate.utils import reduce

        flag = torch.tensor(float(self.told()), device=PartialState().device)
        if float(reduce(flag, "sum")) > 0:
            control.should_save = True
            control.should_training_stop = True


def _finite(value: float) -> float | None:
    return round(value, 6) if abs(value) > 1e-3 and math.isfinite(value) else _small(value)


def _small(value: float) -> float | None:
    """JSON has no NaN; small numbers (learning rates) keep their digits."""
    return float(f"{value:.6g}") if math.isfinite(value) else None

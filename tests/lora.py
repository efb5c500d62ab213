"""LoRA adapters with random factors, for tests: each says something else than its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from rft.config import TARGETS
from rft.loading import load_model


def adapter_of(base: Path, folder: Path, seed: int, rank: int = 16, **options: Any) -> Path:
    """Write an adapter of ``base`` on the layers that runs train."""
    torch.manual_seed(seed)
    model = load_model(base, device="cpu", dtype=torch.float32).model
    lora = LoraConfig(
        r=rank,
        lora_alpha=8 * rank,
        target_modules=list(TARGETS),
        init_lora_weights=False,
        task_type="CAUSAL_LM",
        **options,
    )
    get_peft_model(model, lora).save_pretrained(folder)
    return folder

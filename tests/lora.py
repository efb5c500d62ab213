"""LoRA adapters with random factors, for tests: each says something else than its base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from rft.config import TARGETS


def adapter_of(base: Path, folder: Path, seed: int, rank: int = 16, **options: Any) -> Path:
    """Write an adapter of ``base`` on the layers that runs train; loads no weights of the base."""
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig.from_pretrained(base))
        given = {"r": rank, "lora_alpha": 2 * rank, "target_modules": list(TARGETS)}
        lora = LoraConfig(**{**given, **options}, task_type="CAUSAL_LM")
        adapted = get_peft_model(model, lora)
    generator = torch.Generator().manual_seed(seed)
    factors = {
        name: torch.empty(weight.shape).normal_(0, 0.1, generator=generator)
        for name, weight in get_peft_model_state_dict(adapted).items()
    }
    folder.mkdir(parents=True)
    save_file(factors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = lora.to_dict() | {"base_model_name_or_path": str(base), "inference_mode": True}
    (folder / "adapter_config.json").write_text(json.dumps(config, default=list))
    return folder

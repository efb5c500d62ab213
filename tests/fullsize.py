"""A folder with the true Qwen2-VL-2B configuration and random weights, as the Hub has it.

Flat config.json, the weights' published names, bf16 shards and their index. The tokenizer is the
tiny checkpoint's: its tokens keep their ids, the special ones stand where Qwen2's are, and what
lies between are words that no text is cut into. So it reads every prompt and writes nonsense.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from rft import tiny

PARAMETERS = 2_208_985_600
SHARD_BYTES = 600_000_000
STD = 0.02

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "vision_token_id": 151654,
    "image_token_id": 151655,
    "video_token_id": 151656,
    "hidden_act": "silu",
    "hidden_size": 1536,
    "initializer_range": STD,
    "intermediate_size": 8960,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen2_vl",
    "num_attention_heads": 12,
    "num_hidden_layers": 28,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vision_config": {
        "depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3,
        "hidden_size": 1536, "patch_size": 14, "spatial_merge_size": 2,
        "spatial_patch_size": 14, "temporal_patch_size": 2,
    },
    "vocab_size": 151936,
}  # fmt: skip
PICTURES = {
    "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "temporal_patch_size": 2,
    "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor",
}  # fmt: skip
SPECIAL = {
    "<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645,
    "<|vision_start|>": 151652, "<|vision_end|>": 151653, "<|vision_pad|>": 151654,
    "<|image_pad|>": 151655, "<|video_pad|>": 151656,
}  # fmt: skip


def build(folder: Path, seed: int = 0) -> Path:
    """Write it: 4.4 GB on disk, of which one shard at a time is in memory."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES, indent=2))
    tokenizer().save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed)
    shards = _shards()
    where: dict[str, str] = {}
    for number, shapes in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weights = {name: _weight(name, shape, generator) for name, shape in shapes.items()}
        save_file(weights, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(weights, file)
    index = {"metadata": {"total_size": 2 * PARAMETERS}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _shards() -> list[dict[str, torch.Size]]:
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig.from_dict(CONFIG))
    assert sum(weight.numel() for weight in model.parameters()) == PARAMETERS
    shards: list[dict[str, torch.Size]] = [{}]
    filled = 0
    for name, weight in model.named_parameters():  # a tied output layer is not listed
        published = name.removeprefix("model.").replace("language_model.", "model.", 1)
        if filled + 2 * weight.numel() > SHARD_BYTES and shards[-1]:
            shards.append({})
            filled = 0
        shards[-1][published] = weight.shape
        filled += 2 * weight.numel()
    return shards


def _weight(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.bfloat16)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)  # norms
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, STD, generator=generator)


def tokenizer() -> PreTrainedTokenizerFast:
    """The tiny tokenizer in a vocabulary of Qwen2's size."""
    small = tiny.tokenizer()
    backend = json.loads(small.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = backend["model"]["vocab"]
    for token in backend["added_tokens"]:
        token["id"] = SPECIAL.get(token["content"], token["id"])
        vocabulary[token["content"]] = token["id"]
    free = sorted(set(range(max(SPECIAL.values()))) - set(vocabulary.values()))
    vocabulary |= {f"Ġw{number}": number for number in free}
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = tiny.CHAT_TEMPLATE
    return made

"""The Qwen2-VL processor without torchvision: text and still images to model inputs.

transformers' own class needs torchvision for its video half, which nothing here uses.
This module loads processors; it knows no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, ProcessorMixin
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

#: The paper's image bounds in pixels (its training and evaluation settings).
PAPER_MIN_PIXELS, PAPER_MAX_PIXELS = 3136, 480_000


class QwenVLProcessor(ProcessorMixin):
    """Processor of the Qwen2-VL and Qwen2.5-VL families for text and images.

    Gives ``input_ids`` and ``attention_mask`` [B, T], ``pixel_values`` [patches, features] and
    ``image_grid_thw`` [images, 3]; each image placeholder in a text becomes one token per
    merged patch.
    """

    attributes = ("image_processor", "tokenizer")
    return_mm_token_type_ids = True

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: Any = None, **_: Any):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **_: Any) -> str:
        """The placeholder of image ``image_idx``, repeated once per merged patch."""
        patches = int(image_inputs["image_grid_thw"][image_idx].prod())
        return self.image_token * (patches // self.image_processor.merge_size**2)


def load_processor(folder: str | Path, *, max_pixels: int | None = None) -> QwenVLProcessor:
    """The processor of a checkpoint folder or cached Hub id, padding on the left.

    ``max_pixels`` lowers the bound on image size; it never raises the checkpoint's own.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    images = Qwen2VLImageProcessorPil.from_pretrained(folder)
    if max_pixels is not None and max_pixels < images.size["longest_edge"]:
        images.size["longest_edge"] = max_pixels
    # Right padding would silently shift M-RoPE positions in batched generation.
    tokenizer.padding_side = "left"
    return QwenVLProcessor(images, tokenizer, chat_template=tokenizer.chat_template)

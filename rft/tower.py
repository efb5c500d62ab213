"""A tower's attention over images of one size together, rather than image by image.

transformers gives each image a call of its own wherever flash-attention is not installed: four
operations a layer and image, which a GPU waits for when images are small. It passes the images'
boundaries on only to what calls itself flash; so this does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "flash_by_size"


def by_size(tower: Any) -> None:
    """Let the tower of a Qwen2-VL or Qwen2.5-VL attend so from now on; saved, its config is as ever.

    What it attends within (an image, in Qwen2.5-VL also a window of one) goes on deciding.
    """
    AttentionInterface.register(NAME, _attend)
    tower.config._attn_implementation = NAME


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: torch.Tensor,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each image: [1, heads, patches, width] in, [1, patches, heads, width] out.

    ``cu_seq_lens_q``: where images begin and end, from 0 [images + 1].
    """
    images = list(pairwise(cu_seq_lens_q.tolist()))
    places: list[torch.Tensor] = []  # [images of one size * patches], where each patch was
    attended: list[torch.Tensor] = []  # [images of one size * patches, heads, width]
    for size in dict.fromkeys(end - start for start, end in images):
        alike = [start for start, end in images if end - start == size]
        place_I_P = torch.tensor(alike)[:, None] + torch.arange(size)
        places.append(place_I_P.flatten().to(query.device))
        q_I_H_P_D, k_I_H_P_D, v_I_H_P_D = (
            x[0].index_select(1, places[-1]).unflatten(1, (len(alike), size)).transpose(0, 1)
            for x in (query, key, value)
        )
        out_I_H_P_D = scaled_dot_product_attention(
            q_I_H_P_D, k_I_H_P_D, v_I_H_P_D, dropout_p=dropout, scale=scaling
        )
        attended.append(out_I_H_P_D.transpose(1, 2).flatten(0, 1))
    back = torch.cat(places).argsort()
    return torch.cat(attended).index_select(0, back)[None], None

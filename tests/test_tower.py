"""The tower's attention over images of one size at once: what image by image gives, and saved alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
)

from rft import tower
from rft.config import Config
from rft.learner import load, start_folder
from rft.loading import load_model


def test_images_of_all_sizes_attend_as_one_by_one(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny, device="cpu").model
    visual = model.model.visual
    grids = torch.tensor([[1, 8, 8], [1, 4, 6], [1, 8, 8], [1, 6, 4], [1, 2, 2]])
    torch.manual_seed(0)
    pixels = torch.randn(int(grids.prod(-1).sum()), visual.patch_embed.proj.weight[0].numel())

    def gradient() -> torch.Tensor:
        visual.zero_grad()
        visual(pixels, grids).pooler_output.square().sum().backward()
        return torch.cat([p.grad.flatten() for p in visual.parameters()])

    plain, plain_gradient = visual(pixels, grids).pooler_output, gradient()
    model.save_pretrained(tmp_path / "before")
    tower.by_size(visual)
    calls, attend = list[int](), tower.scaled_dot_product_attention

    def noted(query: torch.Tensor, *rest: torch.Tensor, **named: float) -> torch.Tensor:
        calls.append(len(query))
        return attend(query, *rest, **named)

    monkeypatch.setattr(tower, "scaled_dot_product_attention", noted)
    ours, ours_gradient = visual(pixels, grids).pooler_output, gradient()
    # Of each size once a layer: two of 64 patches, two of 24, one of 4.
    assert calls == [2, 2, 1] * len(visual.blocks) * 2
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(ours_gradient, plain_gradient, rtol=1e-4, atol=1e-4)
    model.save_pretrained(tmp_path / "after")
    before, after = ((tmp_path / name / "config.json").read_text() for name in ("before", "after"))
    assert before == after


def test_windows_of_an_image_are_attended_to_alike() -> None:
    torch.manual_seed(0)
    config = Qwen2_5_VLVisionConfig(
        depth=2, hidden_size=32, num_heads=2, intermediate_size=48, out_hidden_size=16,
        patch_size=4, spatial_merge_size=2, window_size=16, fullatt_block_indexes=[1],
        attn_implementation="sdpa",
    )  # fmt: skip
    visual = Qwen2_5_VisionTransformerPretrainedModel(config).eval()
    grids = torch.tensor([[1, 6, 10], [1, 4, 4], [1, 6, 10]])
    pixels = torch.randn(int(grids.prod(-1).sum()), 3 * 2 * 4 * 4)
    with torch.no_grad():
        plain = visual(pixels, grids).pooler_output
        tower.by_size(visual)
        torch.testing.assert_close(visual(pixels, grids).pooler_output, plain)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rank", [0, 8])
def test_a_small_model_learns_in_float32_on_a_gpu(tmp_path: Path, rank: int) -> None:
    config = Config("tiny-base", "cot-sft", sft_steps=1, rank=rank, train_vision=not rank)
    learner = load(config, start_folder(config, tmp_path))
    assert {p.dtype for p in learner.model.parameters()} == {torch.float32}
    with learner.autocast():
        assert not torch.is_autocast_enabled("cuda")
    visual = learner.whole.model.visual
    assert (visual.config._attn_implementation == tower.NAME) == (rank == 0)

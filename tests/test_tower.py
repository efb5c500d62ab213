"""The tower's attention over images of one size at once: what image by image gives, and saved alike."""

from __future__ import annotations

from pathlib import Path

import torch

from rft import tower
from rft.loading import load_model


def test_images_of_all_sizes_attend_as_one_by_one(tmp_path: Path, tiny: Path) -> None:
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
    calls = []
    attend = tower.scaled_dot_product_attention
    try:
        tower.scaled_dot_product_attention = lambda *a, **k: (
            calls.append(len(a[0])) or attend(*a, **k)
        )
        ours, ours_gradient = visual(pixels, grids).pooler_output, gradient()
    finally:
        tower.scaled_dot_product_attention = attend
    # Of each size once a layer: two of 64 patches, two of 24, one of 4.
    assert calls == [2, 2, 1] * len(visual.blocks) * 2
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(ours_gradient, plain_gradient, rtol=1e-4, atol=1e-4)
    model.save_pretrained(tmp_path / "after")
    before, after = ((tmp_path / name / "config.json").read_text() for name in ("before", "after"))
    assert before == after

"""The roomy cache holds what transformers' own holds, and copies less of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Cache, DynamicCache, GenerationConfig

from rft import kvcache
from rft.loading import load_model

GREEDY = GenerationConfig(max_new_tokens=24, min_new_tokens=24, pad_token_id=0)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Any:
    return load_model(tiny, device="cpu", dtype=torch.float32).model


def states(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(3, 2, tokens, 4), torch.randn(3, 2, tokens, 4)


def test_it_holds_what_the_usual_one_holds_and_moves_it_seldom() -> None:
    torch.manual_seed(0)
    usual, ours = DynamicCache(), Cache(layer_class_to_replicate=kvcache.RoomyLayer)
    places = set()
    for tokens in (5, *[1] * (kvcache.ROOM + 40), 3):
        given = states(tokens)
        for got, wanted in zip(ours.update(*given, 0), usual.update(*given, 0), strict=True):
            assert torch.equal(got, wanted)
        places.add(ours.layers[0].keys.data_ptr())
    assert ours.get_seq_length() == usual.get_seq_length() == 5 + kvcache.ROOM + 40 + 3
    assert len(places) == 2


def test_what_was_cropped_and_chosen_is_not_seen_again() -> None:
    torch.manual_seed(0)
    usual, ours = DynamicCache(), Cache(layer_class_to_replicate=kvcache.RoomyLayer)
    for change in (
        lambda cache: None,
        lambda cache: cache.crop(-2),
        lambda cache: cache.batch_select_indices(torch.tensor([2, 0, 1])),
        lambda cache: cache.reset(),
        lambda cache: None,
    ):
        given = states(4)
        change(usual)
        change(ours)
        for got, wanted in zip(ours.update(*given, 0), usual.update(*given, 0), strict=True):
            assert torch.equal(got, wanted)


def test_a_model_says_the_same_with_it(model: Any) -> None:
    ids = torch.arange(12).view(2, 6)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "generation_config": GREEDY}
    usual = model.generate(**given)
    assert torch.equal(model.generate(**given, **kvcache.empty(model)), usual)
    with kvcache.roomy(model):
        assert torch.equal(model.generate(**given), usual)
    assert "generate" not in vars(model)

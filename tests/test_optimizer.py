"""Optimizers beyond the Trainer's own, on the tiny model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.optim import AdamW, Optimizer
from transformers import Qwen2VLForConditionalGeneration

from rft.config import Config
from rft.errors import InputError
from rft.optimizer import Together, optimizer, orthogonal
from rft.tiny import config as sizes
from rft.tiny import tokenizer

WHOLE = Config("tiny", "cot-sft", sft_steps=10, rank=0, train_vision=True, sft_learning_rate=1e-3)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return Qwen2VLForConditionalGeneration(sizes(tokenizer()))


def step(made: Optimizer, model: Any, seed: int) -> None:
    torch.manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    made.step()


def weights(model: Any) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def test_the_trainers_own_is_left_alone_where_it_will_do(model: Any) -> None:
    assert optimizer(WHOLE, model) is None


def test_a_tower_may_learn_slower(model: Any) -> None:
    made = optimizer(replace(WHOLE, vision_rate=0.1, weight_decay=0.05), model)
    assert isinstance(made, AdamW)
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    assert {rates[id(p)] for p in model.model.visual.parameters()} == {1e-4}
    assert {rates[id(p)] for p in model.model.language_model.parameters()} == {1e-3}
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert decays[id(model.model.language_model.norm.weight)] == 0
    assert decays[id(model.lm_head.weight)] == 0.05


def test_muon_takes_the_matrices_of_the_blocks_alone(model: Any) -> None:
    made = optimizer(replace(WHOLE, optimizer="muon", muon_rate=3.0, vision_rate=0.1), model)
    assert isinstance(made, Together)
    muon, adam = made.parts
    blocks = [p for p in model.model.language_model.layers.parameters() if p.ndim == 2]
    assert {id(p) for g in muon.param_groups for p in g["params"]} == {id(p) for p in blocks}
    assert {g["lr"] for g in muon.param_groups} == {3e-3}
    both = [p for part in (muon, adam) for g in part.param_groups for p in g["params"]]
    assert sorted(map(id, both)) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("shape", [(64, 192), (192, 64), (192, 192)])
def test_a_step_of_muon_is_as_long_in_every_direction(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    drawn = torch.randn(2, *shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    lengths = torch.linalg.svdvals(orthogonal(drawn))
    assert lengths.quantile(0.1) > 0.5 and lengths.max() < 1.3  # of near none it makes too little
    left, _, right = torch.linalg.svd(drawn, full_matrices=False)
    alike = torch.nn.functional.cosine_similarity(
        orthogonal(drawn).flatten(1), (left @ right).flatten(1)
    )
    assert (alike > 0.95).all()


def test_a_scheduler_of_both_reaches_both(model: Any) -> None:
    made = optimizer(replace(WHOLE, optimizer="muon"), model)
    assert made is not None
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda _: 0.0)
    before = weights(model)
    step(made, model, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    schedule.step()


def test_it_goes_on_from_its_saved_state_as_if_nothing_had_been(model: Any) -> None:
    config = replace(WHOLE, optimizer="muon", vision_rate=0.1, weight_decay=0.05)
    made = optimizer(config, model)
    assert made is not None
    step(made, model, 1)
    kept, state = weights(model), made.state_dict()
    state = {"parts": [{**part} for part in state["parts"]]}
    copy: dict[str, Any] = torch.load(_saved(state), weights_only=True)
    step(made, model, 2)
    wanted = weights(model)
    with torch.no_grad():
        for weight, was in zip(model.parameters(), kept, strict=True):
            weight.copy_(was)
    again = optimizer(config, model)
    assert again is not None
    again.load_state_dict(copy)
    step(again, model, 2)
    assert not any(torch.equal(a, b) for a, b in zip(kept, wanted, strict=True) if a.numel() > 1)
    assert all(torch.equal(a, b) for a, b in zip(wanted, weights(model), strict=True))


def test_muon_refuses_an_adapter() -> None:
    with pytest.raises(InputError, match="set rank to 0"):
        replace(WHOLE, optimizer="muon", rank=8, train_vision=False)
    with pytest.raises(InputError, match="adamw"):
        replace(WHOLE, optimizer="lion")


def _saved(state: dict[str, Any]) -> Any:
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file

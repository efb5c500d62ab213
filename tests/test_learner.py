"""What learns: factors beside the base's weights, and the tags' own embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rft import grpo, learner, tiny
from rft.config import Config
from rft.dataset import bundled
from rft.loading import load_model


def test_the_tags_learn_with_the_adapter_and_no_other_embedding_does(tmp_path: Path) -> None:
    config = Config(
        "tiny-base", "grpo", samples=4, batch=2, generations=4, steps=2, micro_batch=8,
        learning_rate=5e-2, warmup=0.0, max_new_tokens=16, max_pixels=12_544,
    )  # fmt: skip
    start = learner.start_folder(config, tmp_path)
    student = learner.load(config, start)
    student.whole.config._name_or_path = str(start)
    problems = bundled("counting", "train", 4, 0, 0).train
    grpo.trainer(config, student, problems, str(tmp_path / "out")).train()
    before = load_model("tiny-base", device="cpu").model.get_input_embeddings().weight
    after = load_model(learner.save(student, tmp_path / "final"), device="cpu").model
    moved = (after.get_input_embeddings().weight - before).norm(dim=1)
    tags = student.processor.tokenizer.convert_tokens_to_ids(list(tiny.TAGS))
    assert set(moved.nonzero().flatten().tolist()) <= set(tags)
    assert moved[tags[0]] > 0.05
    assert torch.equal(after.get_output_embeddings().weight, after.get_input_embeddings().weight)
    # The KL term's reference is what this stage began from, the tags' embeddings with it.
    config = replace(config, beta=0.1)
    again = learner.load(config, start, tmp_path / "final")  # as a resumed run does
    learns = [name for name, weight in again.model.named_parameters() if weight.requires_grad]
    whole = dict(again.model.named_parameters())
    grpo.trainer(config, again, problems, str(tmp_path / "more"))
    given = {name for name in dict(again.model.named_parameters()) if ".ref" in name}
    assert len(given) == len(learns)
    for name, weight in again.model.named_parameters():
        if name in given:
            assert torch.equal(weight, whole[name.replace(".ref", ".default")]), name
    kinds = {next(k for k in ("lora_A", "lora_B", "tokens_delta") if k in n) for n in learns}
    assert kinds == {"lora_A", "lora_B", "tokens_delta"}


def test_where_embeddings_are_many_only_the_factors_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner, "COPIED", 100_000)
    config = Config("tiny-base", "grpo", samples=4, batch=2, generations=4, steps=2)
    student = learner.load(config, learner.start_folder(config, tmp_path))
    learns = [name for name, weight in student.model.named_parameters() if weight.requires_grad]
    assert learns and all(".lora_" in name for name in learns)

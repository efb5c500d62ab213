"""What learns: factors beside the base's weights, and the tags' own embeddings."""

from __future__ import annotations

from pathlib import Path

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
    again = learner.load(config, start, tmp_path / "final")  # as a resumed run does
    learns = [name for name, weight in again.model.named_parameters() if weight.requires_grad]
    kinds = {next(k for k in ("lora_A", "lora_B", "tokens_delta") if k in n) for n in learns}
    assert kinds == {"lora_A", "lora_B", "tokens_delta"}

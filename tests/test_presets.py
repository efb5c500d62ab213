"""Presets: data that always makes a config, and words for every field."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from rft import tiny
from rft.cards import Card
from rft.config import Config, Method
from rft.dataset import bundled
from rft.errors import InputError
from rft.machine import Memory
from rft.presets import apply, default_for, describe, preset, presets
from rft.tasks import TASKS, completion_of
from rft.zoo import card_for


@pytest.mark.parametrize("id", [p.id for p in presets()])
@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("task", list(TASKS))
def test_every_preset_makes_a_config_for_every_method_and_task(id, method, task):
    config = apply(preset(id), method=method, task=task)
    assert (config.method, config.task) == (method, task)
    first = "function_full" if task == "spatial" else "accuracy"
    assert config.rewards == ((first, 1.0), ("format", 1.0))
    assert card_for(config.checkpoint).id == config.checkpoint


def test_presets_are_told_apart_and_the_paper_is_the_papers():
    every = presets()
    assert [p.id for p in every] == ["few-shot-cpu", "gpu-8", "gpu-12", "gpu-24", "paper"]
    assert all(p.title and p.line.endswith(".") and p.fits.endswith(".") for p in every)
    assert [p.gpu_bytes for p in every] == sorted(p.gpu_bytes for p in every)
    paper = apply(preset("paper"))
    assert (paper.learning_rate, paper.beta, paper.generations, paper.batch) == (1e-6, 0.04, 8, 14)
    assert (paper.temperature, paper.max_new_tokens, paper.max_pixels) == (0.9, 512, 480_000)
    assert paper.rank == 0 and paper.sft_learning_rate == 1e-5


def test_a_task_has_its_own_fields_and_changes_win_over_them():
    few = preset("few-shot-cpu")
    tokenizer = tiny.tokenizer()
    longest = {task: apply(few, task=task).max_new_tokens for task in TASKS}
    assert longest == {"counting": 192, "structure": 192, "spatial": 352}
    assert apply(few, task="spatial", max_new_tokens=8).max_new_tokens == 8
    for task, tokens in longest.items():  # no chain of thought of a gold answer would be cut
        for problem in bundled(task, "train", 64, 0, 0).train:
            assert len(tokenizer(completion_of(problem))["input_ids"]) < tokens


def test_changes_win_and_are_checked():
    few = preset("few-shot-cpu")
    own = apply(few, method="cot-sft", samples=16, rewards=[["format", 1]])
    assert own.samples == 16 and own.rewards == (("format", 1.0),)
    for wrong in ({"samples": 4}, {"task": "driving"}, {"nonsense": 1}, {"steps": "many"}):
        with pytest.raises(InputError):
            apply(few, **wrong)
    with pytest.raises(InputError, match="few-shot-cpu"):
        preset("other")


def test_a_broken_file_is_named(tmp_path):
    file = tmp_path / "presets.toml"
    whole = (
        "[[preset]]\nid='a'\ntitle='A'\nline='L.'\nfits='F.'\ngpu_gb=0\n[preset.fields]\nsteps=3\n"
    )
    file.write_text(whole + "[preset.of.spatial]\nsteps=4\n")
    (read,) = presets(file)
    assert read.fields == {"steps": 3} and read.of == {"spatial": {"steps": 4}}
    for text in (
        "[[preset]", "[[preset]]\nid = 'a'", "preset = 3",
        whole + "[preset.of.driving]\nsteps=4\n", whole + "[preset.of.spatial]\nstips=4\n",
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InputError, match=r"presets.toml"):
            presets(file)
    with pytest.raises(InputError, match="cannot be read"):
        presets(tmp_path / "none.toml")


def test_the_default_is_what_fits():
    small, large = card_for("tiny-base"), card_for("qwen2-vl-2b")
    assert default_for(Memory(8 << 30), small).id == "few-shot-cpu"
    assert default_for(Memory(8 << 30, 80 << 30), small).id == "few-shot-cpu"
    assert default_for(Memory(8 << 30), None).id == "few-shot-cpu"
    for gpu, id in ((6, "gpu-8"), (8, "gpu-8"), (12, "gpu-12"), (24, "gpu-24"), (80, "gpu-24")):
        assert default_for(Memory(8 << 30, gpu << 30), large).id == id
    assert default_for(Memory(64 << 30), large).id == "gpu-12"
    seven: Card = card_for("qwen2-vl-7b")
    assert default_for(Memory(64 << 30, 24 << 30), seven).id == "gpu-8"


def test_every_field_has_its_words():
    told = describe()
    assert set(told) == {f.name for f in fields(Config)}
    assert all(text.endswith(".") and "`" not in text for text in told.values())
    assert told["generations"] == "Completions a prompt, a GRPO group (paper: 8)."

"""Supervised fine-tuning through TRL: it learns, it resumes, and it says what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rft.errors import InputError
from rft.lessons import curriculum
from rft.recipe import Recipe
from rft.trainer import reading_order

ROOT = Path(__file__).resolve().parent.parent
SMALL = Recipe(start="tiny", curriculum="base", samples=160, batch=4, save_steps=4)


def started(recipe: Recipe, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True, parents=True)
    recipe.save(folder / "asked.json")
    return subprocess.Popen(
        [sys.executable, "-m", "rft", "train", str(folder / "asked.json"), str(folder / "run")],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=(folder / "log.txt").open("a"), stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole = started(SMALL, tmp_path / "whole")
    assert whole.wait(timeout=240) == 0, (tmp_path / "whole" / "log.txt").read_text()
    folder = tmp_path / "killed"
    run = started(SMALL, folder)
    deadline = time.monotonic() + 120
    while not list(folder.glob("run/checkpoint-*/trainer_state.json")):
        assert run.poll() is None and time.monotonic() < deadline, (folder / "log.txt").read_text()
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (folder / "run" / "final").exists()
    again = started(SMALL, folder)
    assert again.wait(timeout=240) == 0, (folder / "log.txt").read_text()
    logged = [line for line in metrics(folder) if "loss" in line]
    steps = [line["step"] for line in logged]
    assert steps == sorted(set(steps)) and steps[-1] == SMALL.steps
    assert logged[-1]["loss"] < logged[0]["loss"]
    one, two = (
        load_file(tmp_path / name / "run" / "final" / "model.safetensors")
        for name in ("whole", "killed")
    )
    assert one.keys() == two.keys()
    for name in one:
        # bfloat16 has eight bits: the same weights up to the order of summation
        assert torch.allclose(one[name].float(), two[name].float(), rtol=0.02, atol=1e-3), name


def test_a_folder_holds_one_recipe(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    replace(SMALL, seed=9).save(tmp_path / "run" / "recipe.json")
    run = started(SMALL, tmp_path)
    assert run.wait(timeout=60) == 2
    log = (tmp_path / "log.txt").read_text()
    assert "another recipe" in log and "Traceback" not in log


def test_lessons_are_read_once_each_with_little_padding() -> None:
    recipe = replace(SMALL, samples=2048, batch=32, first=100)
    teach = curriculum("base")
    order = reading_order(teach, recipe)
    assert sorted(order) == list(range(100, 2148))
    words = [teach(i).words for i in order]
    batches = [words[i : i + 32] for i in range(0, len(words), 32)]
    padded = sum(32 * max(batch) for batch in batches)
    assert padded < 1.15 * sum(words)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"samples": 0}, "at least 1"),
        ({"batch": 500}, "lower batch"),
        ({"learning_rate": 3.0}, "1e-3"),
        ({"warmup": 1.5}, "share"),
    ],
)
def test_a_recipe_that_cannot_work_says_what_to_change(
    change: dict[str, float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(SMALL, **change)


def test_a_recipe_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    for text, sentence in (
        ("{", "no readable recipe"),
        ('{"start": "tiny"}', "are needed"),
        ('{"start": "tiny", "curriculum": "base", "samples": 64, "speed": 1}', "speed"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=sentence):
            Recipe.read(file)


@pytest.mark.parametrize("file", sorted((ROOT / "assets" / "recipes").glob("*.json")))
def test_the_bundled_recipes_read(file: Path) -> None:
    recipe = Recipe.read(file)
    curriculum(recipe.curriculum)
    assert recipe.start == "tiny" or (ROOT / recipe.start).is_dir()

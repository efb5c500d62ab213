"""Accuracy over training problems: recipes made larger and smaller, and what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rft import efficiency
from rft.config import Config
from rft.errors import InputError
from rft.retrain import recipes
from rft.zoo import cards

TASK_RECIPES = [name for name in recipes() if not name.startswith("base")]


@pytest.mark.parametrize("name", TASK_RECIPES)
@pytest.mark.parametrize("samples", [16, 64, 1024])
def test_a_scaled_recipe_sees_every_problem_once(name: str, samples: int) -> None:
    recipe = Config.read(recipes()[name])
    found = efficiency.scaled(recipe, samples)
    assert found.samples == samples
    assert found.batch * (found.sft_steps + found.steps) == samples
    if recipe.method == "sft+grpo":
        assert found.sft_samples == found.batch * found.sft_steps
        if samples >= 256:
            near = recipe.sft_samples / recipe.samples
            assert found.sft_samples / samples == pytest.approx(near, rel=0.05)


@pytest.mark.parametrize("name", TASK_RECIPES)
def test_at_its_own_size_a_recipe_is_itself(name: str) -> None:
    recipe = Config.read(recipes()[name])
    found = efficiency.scaled(recipe, recipe.samples)
    for field in ("sft_steps", "steps", "batch", "sft_samples"):
        assert getattr(found, field) == getattr(recipe, field)


def test_too_few_or_too_many_problems_are_refused() -> None:
    recipe = Config.read(recipes()["counting-rft"])
    with pytest.raises(InputError, match="too few"):
        efficiency.scaled(recipe, 8)
    with pytest.raises(InputError, match="no whole number of steps"):
        efficiency.scaled(recipe, 100)
    with pytest.raises(InputError, match="too many"):
        efficiency.scaled(recipe, 100_000)


def test_at_its_own_size_the_bundled_checkpoint_is_the_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(card.id for card in cards() if card.bundled and card.stage != "base")
    task, stage = name.removeprefix("tiny-").split("-", 1)
    size = Config.read(recipes()[f"{task}-{stage}"]).samples
    monkeypatch.setattr(efficiency, "shipped", lambda name: name == f"{task}-{stage}")
    points = efficiency.measure(task, "id", [size], [stage], 2, tmp_path)  # type: ignore[arg-type]
    assert [(p["samples"], p["n"]) for p in points] == [(0, 2), (size, 2)]
    assert not list(tmp_path.iterdir())


def test_points_are_trained_measured_and_drawn(tmp_path: Path) -> None:
    out, runs = tmp_path / "found.json", tmp_path / "runs"
    argv = ["--samples", "16", "--stages", "ans-sft", "-n", "4", "--split", "id"]
    argv += ["--out", str(out), "--runs", str(runs)]
    assert efficiency.command(argv) == 0
    told = json.loads(out.read_text())
    assert [(p["stage"], p["samples"], p["n"]) for p in told["points"]] == [
        ("base", 0, 4), ("ans-sft", 16, 4),
    ]  # fmt: skip
    assert (runs / "counting-ans-sft-16" / "final").is_dir()
    picture = out.with_suffix(".svg").read_text()
    assert "ANS-SFT" in picture and "Base" in picture and "each seen once" in picture


def test_points_are_added_to_those_that_were_measured_on_the_same_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, runs = tmp_path / "found.json", tmp_path / "runs"
    argv = ["--samples", "16", "--stages", "ans-sft", "--add"]
    argv += ["--out", str(out), "--runs", str(runs)]
    assert efficiency.command([*argv, "-n", "4", "--split", "id"]) == 0
    told = json.loads(out.read_text())
    base, made = told["points"]
    added = {"stage": "zero", "samples": 64, "right": 3, "n": 4}
    out.write_text(json.dumps({**told, "points": [base, added]}))
    assert efficiency.command([*argv, "-n", "4", "--split", "id"]) == 0
    points = json.loads(out.read_text())["points"]
    assert points == [base, added, made]
    assert "Zero" in out.with_suffix(".svg").read_text()
    for other in (["-n", "5", "--split", "id"], ["-n", "4", "--split", "ood"]):
        assert efficiency.command([*argv, *other]) == 2
        assert "measured on other problems" in capsys.readouterr().err
    out.write_text(json.dumps({**told, "points": [{**base, "right": base["right"] + 1}]}))
    assert efficiency.command([*argv, "-n", "4", "--split", "id"]) == 2
    assert "measured with another base" in capsys.readouterr().err
    for damaged in ("{", "{}", '{"task": "counting", "split": "id", "points": [3]}'):
        out.write_text(damaged)
        assert efficiency.command([*argv, "-n", "4", "--split", "id"]) == 2
        assert "is damaged" in capsys.readouterr().err

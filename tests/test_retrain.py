"""Retraining: a recipe becomes a run and the run what the zoo ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import blake2s
from pathlib import Path

import pytest
from safetensors.torch import load_file
from waiting import until

from rft.cards import ROOT
from rft.config import Config
from rft.errors import CheckpointError, InputError
from rft.retrain import (
    ADAPTERS,
    CURVES,
    EARLIER,
    LESSONS_AT,
    NAMES,
    PRIMED,
    RECIPES,
    SHIPPED,
    recipes,
    retrain,
    rewards,
    ship,
    shipped,
    thinned,
)
from rft.run import Run
from rft.zoo import cards


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipes") / "base.json"
    Config("tiny", "cot-sft", data="lessons/base", samples=8, batch=4, sft_steps=2,
           rank=0, eval_every=0).save(file)  # fmt: skip
    return file


@pytest.fixture(scope="module")
def run(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return retrain(recipe, tmp_path_factory.mktemp("runs"))


def test_every_recipe_is_a_config_and_starts_from_nothing_or_from_the_base() -> None:
    starts = {name: Config.read(file).checkpoint for name, file in recipes().items()}
    legs = [Config.read(RECIPES / f"{name}.json") for name in (*EARLIER, "base")]
    for number, leg in enumerate(legs):  # each goes on with the lessons where the last one ended
        assert leg.first == sum(one.samples for one in legs[:number])
        assert leg.samples == leg.sft_steps * leg.batch
    assert [*starts.values()] == [PRIMED, *EARLIER, *["tiny-base"] * 12]
    assert tuple(starts) == NAMES


def test_every_bundled_checkpoint_has_its_recipe() -> None:
    folders = {card.folder for card in cards() if card.bundled}
    assert folders == {SHIPPED / name for name in NAMES if name not in EARLIER}
    assert all(shipped(folder.name) for folder in folders if folder)


def test_a_recipe_becomes_a_run_that_ships_as_checkpoint_and_curve(
    run: Run, recipe: Path, tmp_path: Path
) -> None:
    assert run.state() == "done"
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "stale.txt").touch()
    ship(run, tmp_path, tmp_path / "curves")
    assert (tmp_path / "base" / "model.safetensors").is_file()
    assert not (tmp_path / "base" / "stale.txt").exists()
    told = json.loads((tmp_path / "curves" / "base.json").read_text())
    assert [row["step"] for row in told["curve"]] == [1, 2] and told["steps"] == 2
    assert all(row["stage"] == "sft" and row["loss"] > 0 for row in told["curve"])
    assert [finding["severity"] for finding in told["doctor"]] == ["watch"]
    before = (run.folder / "metrics.jsonl").stat().st_mtime_ns
    assert retrain(recipe, run.folder.parent).folder == run.folder  # done: not trained again
    assert (run.folder / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_leg_taught_by_other_lessons_stays_with_its_run(run: Run, tmp_path: Path) -> None:
    leg = next(iter(LESSONS_AT))
    assert leg in EARLIER and leg not in {file.name for file in SHIPPED.iterdir()}
    shutil.copytree(run.folder, tmp_path / "runs" / leg)
    ship(Run(tmp_path / "runs" / leg), tmp_path / "tiny", tmp_path / "curves")
    assert (tmp_path / "curves" / f"{leg}.json").is_file() and not (tmp_path / "tiny").exists()
    following = tmp_path / "next.json"
    replace(run.config, checkpoint=leg, sft_steps=1).save(following)
    made = retrain(following, tmp_path / "runs")
    assert made.config.checkpoint == str(tmp_path / "runs" / leg / "final")
    assert made.state() == "done"


def test_what_shipped_learned_by_grpo_and_the_doctor_finds_nothing_grave() -> None:
    risen = 0
    for file in sorted(CURVES.glob("*.json")):
        told = json.loads(file.read_text())
        assert all(finding["severity"] != "grave" for finding in told["doctor"]), file.stem
        earned = [row["reward"] for row in told["curve"] if row["stage"] == "grpo"]
        third = len(earned) // 3
        if third:
            assert sum(earned[-third:]) > sum(earned[:third]), file.stem
            risen += 1
    assert risen == 6
    pictured = (CURVES / "rewards.svg").read_text()
    assert pictured == rewards() and pictured.count("<polyline") == risen


def test_the_bundled_base_is_taught_again_as_its_curve_tells(tmp_path: Path) -> None:
    """The first steps; another machine may round otherwise."""
    told = json.loads((CURVES / "base.json").read_text())["curve"][:2]
    config = Config.read(RECIPES / "base.json")
    replace(config, checkpoint=str(SHIPPED / config.checkpoint)).save(tmp_path / "base.json")
    run = Run(tmp_path / "base")
    line = [sys.executable, "-m", "rft", "train", run.folder, "--config", tmp_path / "base.json"]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as trainer:
        until(lambda: trainer.poll() is not None or len(run.metrics()) >= len(told), 300)
        trainer.terminate()
    for row, step in zip(told, run.metrics()[: len(told)], strict=True):
        assert step["step"] == row["step"] and step["loss"] == pytest.approx(row["loss"], rel=0.02)
        assert step["mean_token_accuracy"] == pytest.approx(row["mean_token_accuracy"], rel=0.02)


def test_a_recipe_that_cannot_be_trained_says_that_it_is_not_finished(tmp_path: Path) -> None:
    wrong = tmp_path / "base.json"
    Config("tiny", "cot-sft", data="lessons/none", samples=4, batch=4, sft_steps=1).save(wrong)
    with pytest.raises(CheckpointError, match="goes on where it stands"):
        retrain(wrong, tmp_path / "runs")


def test_a_leg_is_taught_by_the_lessons_of_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a repository whose trainer only writes down that it was asked, another thing each time."""
    root, told = tmp_path / "root", tmp_path / "told"
    (root / "rft").mkdir(parents=True)
    (root / "assets").mkdir()
    (root / "assets" / "zoo.toml").touch()
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    for word in ("then", "now"):
        code = f"import pathlib, sys; pathlib.Path({str(told)!r}).write_text({word!r}); sys.exit(1)"
        (root / "rft" / "__main__.py").write_text(code)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "--no-gpg-sign", "-m", word], check=True)
    then = subprocess.check_output([*git, "rev-parse", "HEAD~"], text=True).strip()
    monkeypatch.setattr("rft.retrain.ROOT", root)
    recipe = tmp_path / "base-first.json"
    Config("tiny", "cot-sft", data="lessons/base", samples=4, batch=4, sft_steps=1).save(recipe)
    for lessons_at, taught in (({recipe.stem: then}, "then"), ({}, "now")):
        monkeypatch.setattr("rft.retrain.LESSONS_AT", lessons_at)
        with pytest.raises(CheckpointError, match="not finished"):
            retrain(recipe, tmp_path / "runs")
        assert told.read_text() == taught
    monkeypatch.setattr("rft.retrain.LESSONS_AT", {recipe.stem: "0" * 12})
    with pytest.raises(InputError, match=r"not a valid object name.*with its history"):
        retrain(recipe, tmp_path / "runs")
    (tmp_path / "runs" / recipe.stem).mkdir()  # begun by the lessons of now
    shutil.copyfile(recipe, tmp_path / "runs" / recipe.stem / "config.json")
    with pytest.raises(InputError, match="by other lessons"):
        retrain(recipe, tmp_path / "runs")


def test_the_lessons_of_every_leg_are_in_the_history() -> None:
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], check=False,
                             capture_output=True, text=True).stdout.strip()  # fmt: skip
    if shallow == "false":  # where the history is at all
        for commit in LESSONS_AT.values():
            found = [*git, "merge-base", "--is-ancestor", commit, "HEAD"]
            assert subprocess.run(found, check=False).returncode == 0, commit


def test_a_run_from_an_earlier_base_is_refused(tmp_path: Path) -> None:
    later = tmp_path / "counting-zero.json"
    Config("tiny-base", "grpo", steps=1, samples=8).save(later)
    made = tmp_path / "runs" / "counting-zero" / "config.json"
    made.parent.mkdir(parents=True)
    made.write_text(later.read_text())
    (tmp_path / "runs" / "counting-zero.base").write_text("the mark of other weights")
    with pytest.raises(InputError, match="earlier base"):
        retrain(later, tmp_path / "runs")


def test_a_run_of_another_recipe_is_refused(run: Run, recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / recipe.name
    replace(Config.read(recipe), sft_learning_rate=2e-3).save(other)
    with pytest.raises(InputError, match="another recipe"):
        retrain(other, run.root)


def test_a_thinned_curve_averages_within_a_stage_and_keeps_the_last_step() -> None:
    lines = [
        {"step": n, "stage": "sft" if n <= 5 else "grpo", "loss": float(n), "time": 1.0}
        for n in range(1, 10)
    ]
    assert thinned(lines, 5) == [
        {"stage": "sft", "step": 2, "loss": 1.5},
        {"stage": "sft", "step": 4, "loss": 3.5},
        {"stage": "sft", "step": 5, "loss": 5.0},
        {"stage": "grpo", "step": 7, "loss": 6.5},
        {"stage": "grpo", "step": 9, "loss": 8.5},
    ]


def test_the_base_begins_where_the_recipe_before_it_ended(
    recipe: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rft.retrain.SHIPPED", tmp_path / "tiny")
    replace(Config.read(recipe), checkpoint=EARLIER[-1], first=8).save(tmp_path / "base.json")
    begun = tmp_path / "tiny" / EARLIER[-1]
    with pytest.raises(InputError, match="not here: retrain that first"):
        retrain(tmp_path / "base.json", tmp_path / "runs")
    shutil.copytree(run.final, begun)
    made = retrain(tmp_path / "base.json", tmp_path / "runs")
    assert made.state() == "done" and made.config.checkpoint == str(begun)
    weights = [load_file(folder / "model.safetensors") for folder in (begun, made.final)]
    assert any(not weights[0][name].equal(weights[1][name]) for name in weights[0])
    shutil.copyfile(SHIPPED / "base" / "model.safetensors", begun / "model.safetensors")
    with pytest.raises(InputError, match="earlier base"):  # taught anew, it is another
        retrain(tmp_path / "base.json", tmp_path / "runs")


def test_what_shipped_is_known_by_its_recipe_its_base_and_how_adapters_learn(
    tmp_path: Path,
) -> None:
    name = "counting-zero"
    run = Run(tmp_path / "runs" / name)
    run.folder.mkdir(parents=True)
    Config.read(RECIPES / f"{name}.json").save(run.folder / "config.json")
    shutil.copytree(SHIPPED / "base", run.final)
    assert not shipped(name, tmp_path)  # nothing is there
    weights = blake2s((SHIPPED / "base" / "model.safetensors").read_bytes()).hexdigest()
    begun = ((f"{weights}-{ADAPTERS}", True), (f"{weights}-1", False), (weights, False))
    for base, known in (*begun, ("another", False)):
        (tmp_path / "runs" / f"{name}.base").write_text(base)
        ship(run, tmp_path / "tiny", tmp_path)
        assert shipped(name, tmp_path) == known

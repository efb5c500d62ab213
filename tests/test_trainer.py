"""Training as it is started: SFT and GRPO learn, resume alike, stop, and say what is wrong."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from rft import machine, rewards, sft, trainer
from rft.config import Config
from rft.curriculum import curriculum
from rft.dataset import bundled
from rft.errors import InputError
from rft.learner import load, start_folder
from rft.lessons import Lesson
from rft.order import passes, per_pass
from rft.run import Run
from rft.runs import create
from rft.sft import Reading
from rft.stages import Session, newest_checkpoint
from rft.trainer import train

ROOT = Path(__file__).resolve().parent.parent
LESSONS = Config(
    "tiny", "cot-sft", data="lessons/base", samples=160, batch=4, sft_steps=40,
    sft_learning_rate=1e-3, rank=0, train_vision=True, vision_rate=0.1, save_steps=4,
    eval_every=0,
)  # fmt: skip
GRPO = Config(
    "tiny-base", "grpo", samples=6, batch=2, generations=4, steps=5, learning_rate=1e-3,
    max_new_tokens=24, save_steps=2, eval_every=2,
)  # fmt: skip


def made(root: Path, config: Config, heldout: int = 4) -> Run:
    if config.data != "run":
        return create(root, config, [], [])
    chosen = bundled("counting", "train", config.samples, heldout, 0)
    return create(root, config, chosen.train, chosen.heldout)


def started(run: Run, *launcher: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(launcher or ("-m", "rft")), "train", str(run.folder)],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=(run.folder / "log.txt").open("a"), stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], run: Run) -> int:
    process.wait(timeout=400)
    return process.returncode


def until(run: Run, process: subprocess.Popen[str], step: int) -> None:
    deadline = time.monotonic() + 240
    while run.step < step:
        assert process.poll() is None and time.monotonic() < deadline, run.log_tail(40)
        time.sleep(0.02)


def checkpoints(run: Run) -> list[Path]:
    found = run.folder.glob("*/checkpoint-*")
    return sorted(found, key=lambda folder: int(folder.name.rsplit("-", 1)[1]))


def steps(run: Run) -> list[int]:
    return [line["step"] for line in run.metrics()]


def same_weights(one: Path, two: Path) -> None:
    first, second = (load_file(next(folder.glob("*.safetensors"))) for folder in (one, two))
    assert first.keys() == second.keys()
    for name in first:
        # Whole weights are kept in bfloat16, which has eight bits.
        assert torch.allclose(first[name].float(), second[name].float(), rtol=0.02, atol=1e-3), name


def test_killed_sft_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole, killed = made(tmp_path / "a", LESSONS), made(tmp_path / "b", LESSONS)
    assert ended(started(whole), whole) == 0, whole.log_tail(40)
    process = started(killed)
    until(killed, process, 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert killed.state() == "stopped" and not killed.final.exists()
    assert ended(started(killed), killed) == 0, killed.log_tail(40)
    assert steps(killed) == list(range(1, LESSONS.sft_steps + 1))
    losses = [line["loss"] for line in killed.metrics()]
    assert losses[-1] < losses[0]
    same_weights(whole.final, killed.final)


def test_grpo_stopped_killed_and_resumed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, broken = made(tmp_path / "a", GRPO), made(tmp_path / "b", GRPO)
    assert ended(started(whole), whole) == 0, whole.log_tail(40)
    assert whole.state() == "done" and steps(whole) == [1, 2, 3, 4, 5]
    assert [line["step"] for line in whole.heldout()] == [0, 2, 4]
    before, after = whole.before(), whole.after()
    assert before and after and before["strict"]["n"] == after["strict"]["n"] == 4
    groups = list(whole.rollouts(1))
    assert len(groups) == GRPO.batch and len(groups[0]["completions"]) == GRPO.generations
    assert all((whole.folder / image).is_file() for group in groups for image in group["images"])
    assert abs(sum(c["advantage"] for c in groups[0]["completions"])) < 0.01
    assert all(c["reasons"]["accuracy"] for c in groups[0]["completions"])
    assert json.loads((whole.folder / "proof.json").read_text())["tokens"] > 0
    assert not (whole.final / "README.md").exists()

    process = started(broken)
    until(broken, process, 1)
    process.terminate()
    assert ended(process, broken) == 0, broken.log_tail(40)
    assert broken.state() == "stopped" and checkpoints(broken)
    process = started(broken)
    until(broken, process, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # A checkpoint torn by the kill, or by the disk, is passed over.
    newest = checkpoints(broken)[-1]
    (newest / "optimizer.pt").write_bytes(b"torn")
    assert ended(started(broken), broken) == 0, broken.log_tail(40)
    assert f"{newest.name} is damaged" in (broken.folder / "log.txt").read_text()
    assert steps(broken) == [1, 2, 3, 4, 5]
    assert {line["step"] for line in broken.rollouts()} == {1, 2, 3, 4, 5}
    same_weights(whole.final, broken.final)


def test_the_two_phases_are_one_run_and_the_best_is_kept(tmp_path: Path) -> None:
    config = replace(GRPO, method="sft+grpo", sft_samples=2, batch=2, sft_steps=2, steps=2,
                     eval_every=1, keep_best=True, beta=0.04)  # fmt: skip
    run = made(tmp_path, config)
    assert ended(started(run), run) == 0, run.log_tail(40)
    assert [(line["step"], line["stage"]) for line in run.metrics()] == [
        (1, "sft"), (2, "sft"), (3, "grpo"), (4, "grpo"),
    ]  # fmt: skip
    assert all("kl" in line for line in run.metrics()[2:])
    adapter = json.loads((run.final / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "assets/tiny/base"


def test_a_stage_lets_go_of_its_model(tmp_path: Path) -> None:
    """Else the next stage, the measurement after it or the proof would have two in memory."""

    def models() -> int:
        return sum(issubclass(type(held), PreTrainedModel) for held in gc.get_objects())

    run = made(tmp_path, replace(GRPO, samples=1, batch=1, generations=2, steps=1, eval_every=0), 1)
    gc.collect()
    before = models()
    gc.disable()  # it might happen to come by
    try:
        Session(run, lambda: False).work()
        assert (run.folder / "after.json").is_file()
        assert models() == before
    finally:
        gc.enable()


def test_of_several_processes_the_first_one_makes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = tmp_path / "run", replace(GRPO, samples=8)
    monkeypatch.setenv("RANK", "1")
    other = threading.Thread(target=trainer._make, args=(folder, config, "train", 0))
    other.start()
    other.join(0.6)
    assert other.is_alive() and not folder.exists()
    monkeypatch.setenv("RANK", "0")
    trainer._make(folder, config, "train", 0)
    other.join(30)
    assert not other.is_alive() and Run(folder).config == config


def test_two_processes_train_one_run(tmp_path: Path) -> None:
    run = made(tmp_path, replace(GRPO, steps=2))
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "rft")
    assert ended(started(run, *launcher), run) == 0, run.log_tail(60)
    assert run.state() == "done" and steps(run) == [1, 2]
    assert len(list(run.rollouts(2))) == GRPO.batch


def test_a_reward_that_raises_stops_the_run_and_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reply: object, problem: object) -> tuple[float, str]:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(rewards._JUDGES, "broken", broken)
    run = made(tmp_path, replace(GRPO, rewards=(("broken", 1.0),), steps=1, eval_every=0), 0)
    assert train(run) == 1
    assert run.state() == "error"
    told = run.error()
    assert "reward broken raised ZeroDivisionError: by nothing" in told.splitlines()[0]
    assert "Completion:" in told and "last checkpoint stands" in told


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    config = replace(LESSONS, sft_learning_rate=0.99, warmup=0.0, weight_decay=1e4, sft_steps=30)
    run = made(tmp_path, config)
    assert train(run) == 1
    assert "lower the learning rate" in run.error().splitlines()[0]


def test_a_disk_that_takes_no_more_is_said(tmp_path: Path) -> None:
    run = made(tmp_path, replace(GRPO, method="cot-sft", sft_steps=2, save_steps=1, rank=0), 0)
    code = (
        "import resource, sys; from rft.trainer import command; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21)); "
        "sys.exit(command(sys.argv[2:]))"
    )
    assert ended(started(run, "-c", code), run) == 1, run.log_tail(40)
    assert run.error().startswith("The disk is full"), run.error()
    assert steps(run) == [1], "what was learned is told, though it could not be saved"


def test_a_deleted_image_is_named(tmp_path: Path) -> None:
    run = made(tmp_path, GRPO)
    gone = sorted((run.folder / "data" / "images" / "train_images").iterdir())[2]
    gone.unlink()
    assert train(run) == 1
    assert gone.name in run.error() and "1 of 6 rows" in run.error()
    assert run.state() == "error"


def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert newest_checkpoint(tmp_path, remove=True) is None
    assert not list(tmp_path.iterdir())


def test_passes_show_every_problem_and_no_batch_holds_one_twice() -> None:
    order = passes(10, 4, 7, seed=3)
    assert len(order) == 28 and order == passes(10, 4, 7, seed=3) != passes(10, 4, 7, seed=4)
    batches = [order[i : i + 4] for i in range(0, 28, 4)]
    assert all(len(set(batch)) == 4 for batch in batches)
    assert order[:8] != order[8:16], "each pass is shuffled anew"
    assert set(passes(10, 5, 2, 0)) == set(range(10))
    assert sorted(passes(3, 4, 3, 0)) == sorted(4 * [0, 1, 2]), "fewer problems than a batch"
    assert (per_pass(12, 5), per_pass(12, 64), per_pass(7, 3)) == (4, 12, 1)


@pytest.mark.parametrize("streams", [1, 3])
def test_lessons_are_read_once_each_with_little_padding(streams: int) -> None:
    config = replace(LESSONS, samples=1632, batch=32, sft_steps=51, first=100)
    asked: list[int] = []

    def teach(index: int) -> Lesson:
        asked.append(index)
        return curriculum("base")(index)

    # Each of so many processes asks for every so-many-th batch, and makes its own windows.
    readings = [Reading(teach, config, streams) for _ in range(streams)]
    words = [readings[place // 32 % streams](place).words for place in range(1632)]
    assert sorted(asked) == list(range(100, 1732)), "each is made once"
    batches = [words[i : i + 32] for i in range(0, len(words), 32)]
    assert sum(32 * max(batch) for batch in batches) < 1.2 * sum(words)
    resumed = Reading(curriculum("base"), config, streams)
    assert [resumed(place).words for place in range(1300, 1400)] == words[1300:1400]


def test_the_tower_learns_at_its_own_pace(tmp_path: Path) -> None:
    config = replace(LESSONS, samples=12, sft_steps=3, warmup=0.0)
    learner = load(config, start_folder(config, tmp_path))
    model = learner.whole.model
    parts = {"tower": model.visual, "words": model.language_model}
    before = {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}
    sft.trainer(config, learner, [], str(tmp_path / "out")).train()
    # Adam's first steps are as large as the learning rate, whatever the gradient.
    moved = {
        name: max(
            float((p.detach() - q).abs().max())
            for p, q in zip(part.parameters(), before[name], strict=True)
        )
        for name, part in parts.items()
    }
    assert 0 < moved["tower"] < 0.2 * moved["words"]


@pytest.mark.parametrize("file", sorted((ROOT / "assets" / "recipes").glob("*.json")))
def test_the_bundled_recipes_read(file: Path) -> None:
    config = Config.read(file)
    if config.data != "run":
        curriculum(config.data.removeprefix("lessons/"))
    assert config.sft_steps * config.batch <= config.samples


def test_a_folder_holds_one_config(tmp_path: Path) -> None:
    run = made(tmp_path, LESSONS)
    other = tmp_path / "other.json"
    replace(LESSONS, seed=9).save(other)
    from rft.trainer import command

    assert command([str(run.folder), "--config", str(other)]) == 2
    with pytest.raises(InputError, match="curriculum"):
        curriculum("nothing")


def test_a_trainer_by_itself_sees_one_gpu_and_a_launched_one_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for visible, left in (("2,3", "2"), ("", ""), ("GPU-5a,GPU-6b", "GPU-5a")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        machine.one_gpu()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == left
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    machine.one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"

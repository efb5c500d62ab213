"""Before the start: a dry run tells what completions earn, a probe what a step costs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rft import rehearsal
from rft.claim import device
from rft.config import Config
from rft.dataset import bundled
from rft.dryrun import judgement, summary
from rft.errors import InputError
from rft.probe import total_seconds, verdict, worst
from rft.run import Run
from rft.runs import create, delete
from rft.types import Problem

ROOT = Path(__file__).resolve().parent.parent
GRPO = Config(
    "tiny-base", "grpo", samples=6, batch=2, generations=4, steps=50, max_new_tokens=12,
    eval_every=10,
)  # fmt: skip
SFT = replace(GRPO, method="ans-sft", sft_steps=10, steps=0)


def made(root: Path, config: Config) -> Run:
    if config.data != "run":
        return create(root, config, [], [])
    chosen = bundled("counting", "train", config.samples, 4, 0)
    return create(root, config, chosen.train, chosen.heldout)


def until(
    run: Run, probe: bool, true: Callable[[dict[str, Any]], object], seconds: float = 300
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while not true(facts := rehearsal.told(run, probe) or {}):
        log = run.folder / rehearsal.LOG
        assert time.monotonic() < deadline, (facts, log.read_text() if log.exists() else "")
        time.sleep(0.02)
    return facts


def by_hand(run: Run, *more: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command, or ``code`` before it in the same process."""
    program = (
        f"import sys; from rft import rehearsal; {code}\nsys.exit(rehearsal.command(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(run.folder), *more],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_dry_run_waits_its_turn_then_tells_what_completions_earn(tmp_path: Path) -> None:
    run = made(tmp_path, GRPO)
    before = files(tmp_path)
    busy = device(tmp_path).take(run="another")
    assert busy is not None
    rehearsal.start(run, probe=False)
    assert rehearsal.rehearsing(run)
    with pytest.raises(InputError, match="rehearsed already"):
        rehearsal.start(run, probe=True)
    until(run, False, lambda facts: "busy (another)" in facts["sentence"])
    assert run.state() == "new", "a rehearsal is no training"
    busy.close()
    some = until(run, False, lambda facts: facts["phase"] == "working")
    assert not some["done"] and 1 <= len(some["groups"]) < some["planned"] == 4
    found = until(run, False, lambda facts: facts["done"])
    assert found["phase"] == "done", (run.folder / rehearsal.LOG).read_text()
    assert len(found["groups"]) == 4
    for group in found["groups"]:
        assert len(group["completions"]) == GRPO.generations
        assert all((run.folder / image).is_file() for image in group["images"])
        assert "<think>" in group["prompt"]
        for said in group["completions"]:
            assert said["total"] == sum(said["rewards"].values())
            assert said["reasons"].keys() == said["rewards"].keys() == {"accuracy", "format"}
            assert said["tokens"] <= GRPO.max_new_tokens
    assert len({group["problem"] for group in found["groups"]}) == 4
    assert found["sentence"] == judgement(found["groups"], GRPO)
    until(run, False, lambda _: not rehearsal.rehearsing(run))
    assert files(tmp_path) - before == {
        f"{run.id}/{name}" for name in ("dry_run.json", "rehearsal.lock", rehearsal.LOG)
    } | {".device.lock"}


def test_a_probe_measures_every_stage_and_leaves_no_trace(tmp_path: Path) -> None:
    config = replace(GRPO, method="sft+grpo", sft_samples=2, sft_steps=20, beta=0.04)
    run = made(tmp_path, config)
    before = files(run.folder)
    done = by_hand(run, "--probe")
    assert done.returncode == 0, done.stderr
    found = json.loads((run.folder / "probe.json").read_text())
    assert found["done"] and found["fits"] is True and found["sentence"] in done.stdout
    assert found["stages"].keys() == {"sft", "grpo"}
    assert found["seconds_a_step"] == found["stages"]["grpo"] > 0
    expected = 20 * found["stages"]["sft"] + 50 * found["stages"]["grpo"]
    expected += (7 + 2) * found["seconds_a_measurement"]
    assert found["total_seconds"] == pytest.approx(expected, rel=0.02)
    # Python with torch and TRL takes some hundred megabytes, which are counted.
    assert 2e8 < found["peak_bytes"] < 4e9 and found["peak_bytes"] < found["free_bytes"]
    assert files(run.folder) - before == {"probe.json", "rehearsal.lock"}
    assert not list(tmp_path.glob(".new-*")) and run.state() == "new"


def test_before_sft_answers_are_greedy(tmp_path: Path) -> None:
    run = made(tmp_path, replace(SFT, checkpoint="tiny"))
    done = by_hand(run, "--problems", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads((run.folder / "dry_run.json").read_text())
    assert found["kind"] == "greedy" and len(found["groups"]) == 2
    (group, _) = found["groups"]
    assert len(group["completions"]) == 1 and group["prompt"] == group["question"]
    assert group["completions"][0]["reasons"].keys() == {"accuracy", "format"}
    assert not (run.folder / "start").exists(), "the checkpoint it builds is its own"


def test_lessons_are_shown_with_what_they_teach(tmp_path: Path) -> None:
    run = made(tmp_path, replace(SFT, data="lessons/base", samples=80, batch=4))
    done = by_hand(run, "--problems", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads((run.folder / "dry_run.json").read_text())
    assert found["groups"][0]["gold"] and not found["rewards"]


def test_stopped_and_killed_rehearsals_leave_nothing_behind(tmp_path: Path) -> None:
    run = made(tmp_path, GRPO)
    rehearsal.start(run, probe=False)
    until(run, False, lambda _: "child" in rehearsal.lock(run).holder())
    rehearsal.stop(run)
    assert not rehearsal.rehearsing(run)
    assert (rehearsal.told(run, False) or {})["phase"] == "stopped"
    assert not list(tmp_path.glob(".new-*"))
    rehearsal.stop(run)  # nothing to stop is no error

    rehearsal.start(run, probe=True)
    until(run, True, lambda _: "child" in rehearsal.lock(run).holder())
    os.kill(rehearsal.lock(run).holder()["pid"], signal.SIGKILL)
    assert rehearsal.rehearsing(run), "its worker still has the device"
    rehearsal.stop(run)
    assert not rehearsal.rehearsing(run)
    told = rehearsal.told(run, True) or {}
    assert told["done"] and told["phase"] == "failed" and "start it again" in told["sentence"]
    rehearsal.start(run, probe=False)
    until(run, False, lambda _: "child" in rehearsal.lock(run).holder())
    delete(run)
    shared = device(tmp_path)
    deadline = time.monotonic() + 60
    while shared.held():
        assert time.monotonic() < deadline, "a rehearsal outlives its run"
        time.sleep(0.02)


def test_memory_that_runs_out_is_a_result(tmp_path: Path) -> None:
    run = made(tmp_path, GRPO)
    done = by_hand(run, "--probe", code="rehearsal.SPARE = 1 << 60")
    assert done.returncode == 0, done.stderr
    found = rehearsal.told(run, True) or {}
    assert found["fits"] is False and "lower micro_batch (64) first" in found["sentence"]

    # As the kernel ends what takes too much.
    rehearsal.start(run, probe=True)
    until(run, True, lambda _: "child" in rehearsal.lock(run).holder())
    os.kill(rehearsal.lock(run).holder()["child"], signal.SIGKILL)
    found = until(run, True, lambda facts: facts["done"])
    assert found["fits"] is False and found["phase"] == "done"


def test_a_step_that_does_not_fit_says_what_to_lower(tmp_path: Path) -> None:
    run = made(tmp_path, replace(SFT, samples=512, batch=512, micro_batch=512))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (1200 << 20,) * 2)"
    done = by_hand(run, "--probe", code=limit)
    found = rehearsal.told(run, True) or {}
    assert found["fits"] is False and found["phase"] == "done", done.stderr
    assert "lower micro_batch (512) first" in found["sentence"]
    assert "generations" not in found["sentence"], "SFT has none"


def test_what_cannot_be_tried_is_said(tmp_path: Path) -> None:
    run = made(tmp_path, replace(GRPO, checkpoint="Qwen/Qwen2-VL-2B-Instruct"))
    done = by_hand(run, "--probe")
    found = rehearsal.told(run, True) or {}
    assert done.returncode == 1 and found["phase"] == "failed" and found["fits"] is None
    assert "not on this machine" in found["sentence"]
    hold = run.lock.take()
    with pytest.raises(InputError, match="running"):
        rehearsal.start(run, probe=False)
    assert hold is not None
    hold.close()
    with pytest.raises(InputError, match="no longer there"):
        rehearsal.start(Run(tmp_path / "gone"), probe=False)


def groups(*totals: tuple[float, ...], cut: bool = False, format: float = 0.0) -> list[Any]:
    """Groups of completions that earn these totals."""
    return [
        {
            "completions": [
                {"total": t, "tokens": 10, "cut": cut,
                 "rewards": {"accuracy": t - format, "format": format}}
                for t in group
            ]
        }
        for group in totals
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (groups((0, 0), (0, 0)), "nothing to reinforce: begin with SFT"),
        (groups((2, 2), (2, 2), format=1.0), "choose harder problems"),
        (groups((1, 1), (0, 1)), "In 1 of 2 groups all completions earned the same"),
        (groups((1, 1), (0, 1)), "raise generations (4)"),
        (groups((1, 1), (0, 1), (0, 1)), "that is no obstacle"),
        (groups((0, 1), (1, 0)), "never in format"),
        (groups((0, 1), (1, 0), cut=True), "100% of the completions were cut at 12 tokens"),
    ],
)
def test_the_judgement_says_what_to_change(found: list[Any], says: str) -> None:
    assert says in judgement(found, GRPO)


def test_a_summary_against_numbers_worked_by_hand() -> None:
    found = summary(groups((0, 1, 1, 2), (1, 1, 1, 1)), GRPO)
    assert [group["mean"] for group in found["groups"]] == [1, 1]
    assert [group["spread"] for group in found["groups"]] == pytest.approx([(2 / 3) ** 0.5, 0])
    assert (found["zero_spread"], found["cut"], found["mean_length"]) == (1, 0, 10)


def test_the_worst_case_and_its_cost(tmp_path: Path) -> None:
    def problem(name: str, side: int, question: str) -> Problem:
        return Problem(name, "counting", (Image.new("RGB", (side, side)),), question, "1")

    config = replace(GRPO, max_pixels=10_000)
    given = [problem("small", 28, "q" * 99), problem("short", 150, "q"), problem("long", 100, "qq")]
    assert [p.id for p in worst(given, config)] == ["long", "short", "small"]
    # 10 steps at 2 s; 64 and 6 held-out problems before and after, and once after step 10.
    config = replace(GRPO, steps=10, eval_every=10)
    assert total_seconds(config, {"grpo": 2.0}, 3.0, 70) == 10 * 2 + (2 * 2 + 1) * 3
    assert verdict(config, {"grpo": 2.0}, 3.0, 70, 900, 800)["fits"] is False
    assert "tight" in verdict(config, {"grpo": 2.0}, 3.0, 70, 790, 800)["sentence"]

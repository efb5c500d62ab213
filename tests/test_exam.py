"""Answers that are kept and not asked again; what a seed decides; the set; the command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from bundled import COUNTING
from PIL import Image

from rft import answers, data, zoo
from rft.address import Address
from rft.errors import InputError
from rft.evaluate import Verdict
from rft.exam import Exam, sit
from rft.problemset import MOST, ProblemSet, from_folder, read
from rft.scenes import make
from rft.types import Decoding

ROOT = Path(__file__).resolve().parent.parent
GREEDY = Decoding(temperature=0, max_new_tokens=6)


def exam(root: Path, n: int = 6, decoding: Decoding = GREEDY) -> Exam:
    chosen = ProblemSet("counting", "id", n)
    return Exam.of(chosen, chosen.problems(), decoding, root, batch=2)


def lines(root: Path) -> dict[str, int]:
    return {f.name: len(f.read_text().splitlines()) for f in (root / "answers").iterdir()}


def test_a_stopped_exam_goes_on_and_a_larger_one_asks_the_rest(tiny: Path, tmp_path: Path) -> None:
    card, stop, told = zoo.card_for(str(tiny)), threading.Event(), []

    def said(verdicts: Sequence[Verdict], now: int) -> None:
        told.append((len(verdicts), now))
        if now == 4:
            stop.set()

    assert len(sit(card, exam(tmp_path), said=said, stop=stop)) == 4
    assert told == [(0, 0), (2, 2), (4, 4)]
    told.clear()
    whole = sit(card, exam(tmp_path), said=lambda v, now: told.append((len(v), now)))
    assert told == [(4, 0), (6, 2)] and len(lines(tmp_path)) == 1
    assert [v.problem.id for v in whole] == [f"counting-id-{n}" for n in range(6)]
    more = sit(card, exam(tmp_path, 8), said=lambda v, now: told.append((len(v), now)))
    assert told[2:] == [(6, 0), (8, 2)] and [v.reply for v in more[:6]] == [v.reply for v in whole]
    assert lines(tmp_path).popitem()[1] == 9, "one line that says of what, and one for each"


def test_nothing_is_loaded_where_all_was_answered(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy", copy_function=shutil.copy2)
    card = zoo.card_for(str(copy))
    first = sit(card, exam(tmp_path))
    kept = exam(tmp_path).kept(card).path
    before = kept.stat()
    weights = copy / "model.safetensors"
    facts = weights.stat()
    weights.write_bytes(b"\0" * facts.st_size)  # would not load
    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert [v.reply for v in sit(card, exam(tmp_path))] == [v.reply for v in first]
    assert kept.stat() == before or kept.stat().st_mtime_ns == before.st_mtime_ns
    os.utime(weights)
    assert exam(tmp_path).kept(card).path != kept, "another checkpoint as soon as its files change"


def test_what_decides_about_the_file_and_what_does_not(tiny: Path, tmp_path: Path) -> None:
    card = zoo.card_for(str(tiny))

    def file(decoding: Decoding, n: int = 6) -> Path:
        return exam(tmp_path, n, decoding).kept(card).path

    assert file(GREEDY) == file(replace(GREEDY, seed=3, top_k=7)) == file(GREEDY, 8)
    warm = replace(GREEDY, temperature=1.0)
    assert len({file(GREEDY), file(warm), file(replace(warm, seed=3))}) == 3
    assert file(GREEDY) != file(replace(GREEDY, max_new_tokens=7))


def test_a_server_is_another_one_under_another_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = zoo.Card("far", "Far", None, None, "", "", "", endpoint=Address("$FAR_URL", "m"))

    def file(url: str, model: str = "m") -> Path:
        monkeypatch.setenv("FAR_URL", url)
        asked = replace(card, endpoint=Address("$FAR_URL", model))
        return exam(tmp_path, 1).kept(asked).path

    one, two = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    assert file(one) == file(one) and len({file(one), file(two), file(one, "other")}) == 3


def test_an_adapter_is_another_one_when_its_base_changes(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder, text in ((base, '{"model_type": "qwen2_vl"}'),
                         (adapter, json.dumps({"base_model_name_or_path": str(base)}))):  # fmt: skip
        folder.mkdir()
        name = "config.json" if folder == base else "adapter_config.json"
        (folder / name).write_text(text)
    before = answers.stamp(adapter)
    (adapter / "README.md").write_text("a card decides nothing")
    assert answers.stamp(adapter) == before
    (base / "model.safetensors").write_bytes(b"weights")
    assert answers.stamp(adapter) != before


def test_a_mark_is_of_words_and_pixels(tmp_path: Path) -> None:
    one, other = Image.new("RGB", (30, 30), "red"), Image.new("RGB", (30, 30), "blue")
    one.save(tmp_path / "a.png")
    one.save(tmp_path / "b.webp", lossless=True)
    shown = answers.seen([one])
    assert shown == answers.seen([tmp_path / "a.png"]) == answers.seen([tmp_path / "b.webp"])
    assert len({shown, answers.seen([other]), answers.seen([one, one]), answers.seen([])}) == 4
    assert answers.mark("How many?", shown) != answers.mark("How many", shown)


def test_what_is_sampled_does_not_depend_on_who_is_asked_beside(tiny: Path, tmp_path: Path) -> None:
    warm = Decoding(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=8, seed=1)
    card = zoo.card_for(str(tiny))
    alone = sit(card, replace(exam(tmp_path / "alone", 5, warm), batch=1))
    beside = sit(card, replace(exam(tmp_path / "beside", 5, warm), batch=4))
    assert [v.reply.text for v in alone] == [v.reply.text for v in beside]
    assert len({v.reply.text for v in alone}) > 1
    other = sit(card, exam(tmp_path / "other", 5, replace(warm, seed=2)))
    assert [v.reply.text for v in other] != [v.reply.text for v in alone]


def test_a_torn_line_is_asked_again(tiny: Path, tmp_path: Path) -> None:
    card = zoo.card_for(str(tiny))
    first = sit(card, exam(tmp_path))
    path = exam(tmp_path).kept(card).path
    path.write_bytes(path.read_bytes()[:-5])
    told: list[int] = []
    again = sit(card, exam(tmp_path), said=lambda v, now: told.append(now))
    assert told == [0, 1] and [v.reply for v in again] == [v.reply for v in first]
    assert len(exam(tmp_path).kept(card).texts()) == 6


@pytest.mark.parametrize(
    ("task", "split", "n", "told"),
    [("counting", "ood-left", 5, "no split"), ("counting", "id", 0, "1 to"),
     ("counting", "id", MOST + 1, "1 to"), ("sums", "id", 5, "No task")],
)  # fmt: skip
def test_sets_that_mean_nothing(task: str, split: str, n: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        ProblemSet(task, split, n)  # type: ignore[arg-type]


def test_a_set_is_written_and_made_again(tmp_path: Path) -> None:
    drawn = ProblemSet("spatial", "ood-left", 3, seed=2)
    assert read(json.loads(json.dumps(drawn.record()))) == drawn
    assert [p.id for p in drawn.problems()] == [drawn.problem(n).id for n in range(3)]
    with pytest.raises(InputError, match="no problem 3"):
        drawn.problem(3)
    for broken in (None, {}, {"task": "counting", "split": "id", "n": "x"}):
        with pytest.raises(InputError):
            read(broken)


def test_an_own_set_takes_the_test_side(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("id", 50)):
        data.write([make("counting", split, first + n, 48) for n in range(6)], tmp_path, split)  # type: ignore[arg-type]
    own, problems = from_folder(tmp_path, "counting", 4, 0, "mine.zip")
    assert (own.n, own.title, len(problems)) == (4, "4 of mine.zip", 4)
    assert all("-id-" in problem.id for problem in problems)
    assert from_folder(tmp_path, "counting", 99, 0)[0].n == 6
    _, trained = from_folder(tmp_path, "counting", 4, 0, split="train")
    assert all("-train-" in problem.id for problem in trained)
    with pytest.raises(InputError, match="no split 'ood' of counting"):
        from_folder(tmp_path, "counting", 4, 0, split="ood")
    with pytest.raises(InputError, match="nothing for spatial"):
        from_folder(tmp_path, "spatial", 4, 0)


def test_the_command_compares_in_pairs_and_reuses(tmp_path: Path) -> None:
    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rft", "eval", "--task", "counting", "-n", "4",
             "--max-new-tokens", "60", "--checkpoint", "tiny-base", *more],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip

    both = ("--checkpoint", COUNTING[-1].id, "--out", str(tmp_path))
    done = run(*both)
    assert done.returncode == 0, done.stderr
    assert "McNemar" in done.stdout or "same problems" in done.stdout
    reports = sorted(file.name for file in tmp_path.glob("*.json"))
    assert [re.sub(r"-[0-9a-f]{6}\.json", "", name) for name in reports] == [
        "tiny-base-counting-id-4-0",  # the mark behind it is of the unusual length
        f"{COUNTING[-1].id}-counting-id-4-0",
    ]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "answers").iterdir()}
    done = run("--out", str(tmp_path))
    assert "kept" in done.stderr and "Loading weights" not in done.stderr
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "answers").iterdir()} == before
    for number, name in enumerate("ab"):  # two folders of one name
        data.write([make("counting", "id", number, 48)], tmp_path / name / "set", "id")
        run("--data", str(tmp_path / name / "set"), "--out", str(tmp_path / "own"))
    own = [json.loads(file.read_text())["data"] for file in (tmp_path / "own").glob("*.json")]
    assert sorted(Path(path).parent.name for path in own) == ["a", "b"]
    all_ = run("--all")
    assert all_.returncode == 2 and "leave out checkpoints, task" in all_.stderr
    wrong = run(*both[:2], "--out", str(tmp_path / "one.json"))
    assert wrong.returncode == 2 and "name a folder" in wrong.stderr

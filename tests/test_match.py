"""A comparison over a set, in a process of its own: killed, stopped, resumed, shared, failing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Endpoint
from waiting import until

from rft import contest, process, zoo
from rft.claim import device
from rft.errors import InputError
from rft.exam import EVAL
from rft.match import Match, create, find, matches
from rft.paired import compare
from rft.problemset import ProblemSet
from rft.runs import delete, runs, training
from rft.scenes import make
from rft.types import Decoding

#: Untrained, it writes until the limit: long enough to be killed in the middle.
LONG = Decoding(temperature=0, max_new_tokens=48)
SHORT = Decoding(temperature=0, max_new_tokens=4)


def ended(match: Match) -> None:
    until(lambda: match.state() not in ("running", "queued", "new"))


def kept(match: Match) -> dict[str, tuple[int, int]]:
    files = (match.kept / "answers").glob("*.jsonl")
    return {f.name: (f.stat().st_mtime_ns, f.stat().st_size) for f in files}


def answered(match: Match) -> int:
    return sum(match.progress().get("answered", [0]))


def test_killed_in_the_middle_it_goes_on_there(tiny: Path, tmp_path: Path) -> None:
    cards = [zoo.card_for(str(tiny)), zoo.card_for("tiny-base")]
    match = create(tmp_path, cards, ProblemSet("counting", "id", 150), LONG)
    assert match.state() == "new" and runs(tmp_path) == []
    contest.start(match)
    with pytest.raises(InputError, match="already"):
        contest.start(match)
    until(lambda: 0 < answered(match) < 150)
    assert match.state() == "running" and training(tmp_path) == "an evaluation"
    with pytest.raises(InputError, match="stop it"):
        delete(match)
    os.kill(match.lock.holder()["pid"], signal.SIGKILL)
    until(lambda: match.state() == "stopped")
    before = answered(match)
    name, (_, size) = kept(match).popitem()
    head = (match.kept / "answers" / name).read_bytes()[:size]
    contest.start(match)
    until(lambda: answered(match) > before)
    process.stop(match)
    until(lambda: match.state() == "stopped")
    assert match.error() == "" and answered(match) >= before
    contest.start(match)
    ended(match)
    assert match.state() == "done", match.error() or match.log_tail(20)
    assert (match.kept / "answers" / name).read_bytes().startswith(head)
    lines = (match.kept / "answers" / name).read_text().splitlines()
    assert len(lines) == 151, "each problem was asked once"
    first, second = match.reports()
    assert first["strict"]["n"] == second["strict"]["n"] == 150
    assert "A" in compare(first, second, names=("A", "B")).sentence
    until(lambda: not device(tmp_path).held())


def test_what_another_comparison_answered_costs_nothing(tiny: Path, tmp_path: Path) -> None:
    base, untrained = zoo.card_for("tiny-base"), zoo.card_for(str(tiny))
    chosen = ProblemSet("counting", "id", 8)
    one = create(tmp_path, [base], chosen, SHORT)
    contest.start(one)
    ended(one)
    before = kept(one)
    assert one.state() == "done" and len(before) == 1
    two = create(tmp_path, [base, untrained], chosen, SHORT)
    contest.start(two)
    ended(two)
    assert two.state() == "done" and len(kept(two)) == 2
    assert before.items() <= kept(two).items(), "untouched: neither written nor touched"
    assert two.log_tail(9).count("Loading weights: 100%") <= 1
    assert two.reports()[0]["answers"] == one.reports()[0]["answers"]
    assert [m.id for m in matches(tmp_path)] == [two.id, one.id]
    delete(two)
    assert [m.id for m in matches(tmp_path)] == [one.id] and len(kept(one)) == 2
    with pytest.raises(InputError, match="no longer there"):
        find(tmp_path, two.id)


def test_what_the_command_line_answered_costs_nothing(tiny: Path, tmp_path: Path) -> None:
    pair = [str(tiny), "tiny-base"]
    names = [word for name in pair for word in ("--checkpoint", name)]
    done = subprocess.run(
        [sys.executable, "-m", "rft", "eval", *names, "--task", "counting", "-n", "6",
         "--max-new-tokens", str(SHORT.max_new_tokens), "--out", str(tmp_path / EVAL)],
        cwd=zoo.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cards = [zoo.card_for(name) for name in pair]
    match = create(tmp_path, cards, ProblemSet("counting", "id", 6), SHORT)
    before = kept(match)
    assert len(before) == 2
    contest.start(match)
    ended(match)
    assert match.state() == "done" and kept(match) == before


def test_a_checkpoint_that_cannot_answer_says_why_and_the_others_go_on(
    tiny: Path, tmp_path: Path
) -> None:
    gone = zoo.Card("gone", "Gone", None, None, "", str(tmp_path / "gone"), "")
    chosen, own = (
        ProblemSet("counting", "", 3, own="mine.zip"),
        [make("counting", "id", n) for n in range(3)],
    )
    match = create(tmp_path, [gone, zoo.card_for(str(tiny))], chosen, SHORT, own)
    contest.start(match)
    ended(match)
    assert match.state() == "error" and match.error().startswith("Gone: There is no folder")
    first, second = match.reports()
    assert "no folder" in first["fault"] and second["strict"]["n"] == 3
    assert match.problem(2).question == own[2].question and match.title == "3 of mine.zip"


def test_it_waits_for_what_has_the_device(tiny: Path, tmp_path: Path) -> None:
    match = create(tmp_path, [zoo.card_for(str(tiny))], ProblemSet("counting", "id", 2), SHORT)
    hold = device(tmp_path).take(run="a-run")
    assert hold is not None
    contest.start(match)
    until(lambda: match.lock.holder().get("pid"))
    assert match.state() == "queued" and match.waits_for() == "a-run"
    hold.close()
    ended(match)
    assert match.state() == "done"


def test_what_servers_answer_waits_for_no_device_and_is_not_waited_for(
    endpoint: Endpoint, tiny: Path, tmp_path: Path
) -> None:
    file, runs_ = tmp_path / "own.toml", tmp_path / "runs"
    runs_.mkdir()
    file.write_text(
        "".join(
            f'[[card]]\nid = "{model}"\ntitle = "Far"\nendpoint = "{endpoint.url}"\n'
            f'served_model = "{model}"\nat_once = 1\n'
            for model in ("script", "slow")
        )
    )
    quick, slow = zoo.card_for("script", file), zoo.card_for("slow", file)
    few = ProblemSet("counting", "id", 2)
    hold = device(runs_).take(run="a-run")
    assert hold is not None
    match = create(runs_, [quick], few, SHORT)
    contest.start(match, file)
    ended(match)
    assert match.state() == "done" and match.reports()[0]["strict"]["n"] == 2
    long = create(runs_, [slow], ProblemSet("counting", "id", 400), SHORT)
    contest.start(long, file)
    until(lambda: answered(long) > 0)
    mixed = create(runs_, [quick, zoo.card_for(str(tiny))], few, SHORT)
    contest.start(mixed, file)
    until(lambda: mixed.lock.holder().get("pid"))
    assert mixed.state() == "queued" and mixed.here() and not long.here()
    hold.close()
    ended(mixed)
    assert mixed.state() == "done" and long.state() == "running"
    process.stop(long)
    ended(long)


def test_a_fault_leaves_what_was_answered(endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    card = '[[card]]\nid = "far"\ntitle = "Far"\nendpoint = "{}"\nserved_model = "picky"\n'
    file.write_text(card.format(endpoint.url))
    own = [make("counting", "id", n) for n in range(4)]
    own[2] = replace(own[2], question="refuse this")
    chosen = ProblemSet("counting", "", 4, own="mine.zip")
    match = create(tmp_path, [zoo.card_for("far", file)], chosen, SHORT, own)

    def asked_again() -> dict[str, object]:
        contest.start(match, file)
        ended(match)
        assert match.state() == "error"
        return match.reports()[0]

    first = asked_again()
    assert "1 of 4 questions were not answered" in str(first["fault"])
    assert first["strict"]["n"] == 3
    file.write_text(card.format("http://127.0.0.1:9/v1"))  # nobody listens there
    assert "cannot be reached" in str((away := asked_again())["fault"])
    file.write_text('[[card]]\nid = "far"\ntitle = "Near"\nwhere = "some/model"\n')
    assert "on no server any more" in str(asked_again()["fault"])
    file.write_text("")  # and now the card itself is gone
    gone = asked_again()
    assert gone["fault"] != away["fault"] and "answers" in gone, "an earlier report still holds"


def test_folders_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "match.json").write_text("{}")
    whole = create(tmp_path, [zoo.card_for("tiny-base")], ProblemSet("counting", "id", 2), SHORT)
    record = json.loads((whole.folder / "match.json").read_text())
    other = tmp_path / "strange"
    other.mkdir()
    (other / "match.json").write_text(json.dumps({**record, "set": {"task": "counting"}}))
    assert matches(tmp_path) == [whole] and matches(tmp_path / "nowhere") == []
    assert "make a new one" in Match(tmp_path / "broken").error()
    assert contest.command([str(tmp_path / "broken")]) == 2
    with pytest.raises(InputError, match="up to 4"):
        create(tmp_path, [], ProblemSet("counting", "id", 2), SHORT)

"""Votes in a file that several write at once, and their tally by hand."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.votes import Vote, Voter, Votes, table, tally
from rft.errors import InputError

A, B, C = Voter("a", "Alpha"), Voter("b", "Beta"), Voter("c", "=1+1")


def test_a_vote_counts_once_and_outlives_the_process(tmp_path: Path) -> None:
    votes = Votes(tmp_path / "data" / "votes.jsonl")
    votes.cast("one", Vote((A, B), "best", "a"))
    with pytest.raises(InputError, match="counted already"):
        votes.cast("one", Vote((A, B), "best", "b"))
    assert Votes(votes.path).of("one") == Vote((A, B), "best", "a")
    assert votes.of("another") is None
    assert "one" not in votes.path.read_text(encoding="utf-8").replace("best", "")


def test_many_at_once_do_not_tear_the_file(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    code = (
        "import sys; from app.votes import *; from pathlib import Path\n"
        "votes = Votes(Path(sys.argv[1]))\n"
        "for n in range(50): votes.cast(sys.argv[2] + str(n), "
        "Vote((Voter('a', 'A' * 500), Voter('b', 'B')), 'tie'))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "xy"]
    votes = Votes(path)

    def cast(n: int) -> bool:
        try:
            votes.cast(f"same {n % 20}", Vote((A, B), "tie"))
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(cast, range(100))) == 20
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(votes.all()) == 120


def test_a_line_that_is_no_vote_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    path.write_text('{"step": 1, "choice": "best"}\n[]\n{"step": 2, "comp', encoding="utf-8")
    votes = Votes(path)
    votes.cast("one", Vote((A, B), "bad"))
    assert votes.all() == [Vote((A, B), "bad")]


def test_the_tally_of_each_pair() -> None:
    votes = [
        *[Vote((A, B), "best", "b")] * 3,
        Vote((B, A), "best", "a"),  # the order in which they were shown does not matter
        Vote((A, B), "tie"),
        Vote((A, B, C), "best", "c"),  # tells nothing of a against b
        Vote((A, B), "bad"),
    ]
    first, *rest = tally(votes)
    assert (first.first, first.second) == (B, A)
    assert (first.wins, first.losses, first.ties, first.bad) == (3, 1, 1, 1)
    assert first.interval == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson, 3 of 4
    assert first.p == pytest.approx(0.625)  # twice (1 + 4) / 16
    assert {(pair.first.id, pair.second.id, pair.wins) for pair in rest} == {
        ("c", "a", 1),
        ("c", "b", 1),
    }
    assert [pair.second.id for pair in tally(votes, known={"a", "b"})] == ["a"]


def test_the_table_runs_nothing_in_a_spreadsheet() -> None:
    head, row, *_ = table(tally([Vote((A, C), "best", "c")])).splitlines()
    assert head.startswith("first,second,first_wins")
    assert row.startswith("'=1+1,Alpha,1,0,0,0,1.0000,")

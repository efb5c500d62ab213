"""JSON lines that are read while they grow, are torn, cut and replaced."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from rft.journal import Journal, append, cut, replace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def steps(journal: Journal) -> list[int]:
    return [record["step"] for record in journal.records()]


def test_a_journal_follows_its_file(path: Path) -> None:
    journal = Journal(path)
    assert steps(journal) == [] and journal.last() == 0
    append(path, {"step": 1, "loss": 0.5})
    append(path, {"loss": 0.25, "step": 2})  # the step need not come first
    assert list(journal.records()) == [{"step": 1, "loss": 0.5}, {"loss": 0.25, "step": 2}]
    append(path, {"step": 2, "more": "line\u2028break\n"})
    assert journal.steps() == [1, 2] and journal.last() == 2
    assert [len(record) for record in journal.records(2)] == [2, 2]
    path.unlink()
    assert steps(journal) == []


def test_what_is_torn_or_no_record_is_left_out(path: Path) -> None:
    journal = Journal(path)
    path.write_bytes(
        b'{"step": 1}\n\n[1]\n{"no": 1}\n{"step": true}\n\xff\n{"step": 2}\n{"step": 3'
    )
    assert steps(journal) == [1, 2]
    with path.open("ab") as file:
        file.write(b"4}\n")
    assert steps(journal) == [1, 2, 34]


def test_a_torn_line_does_not_take_the_next_along(path: Path) -> None:
    path.write_bytes(b'{"step": 1}\n{"step": 2, "lo')
    append(path, {"step": 2})
    assert steps(Journal(path)) == [1, 2]


def test_numbers_that_json_cannot_say_become_null(path: Path) -> None:
    append(
        path, {"step": 1, "loss": float("nan"), "all": [float("inf"), {"x": -0.5}], "s": "\ud800"}
    )
    assert json.loads(path.read_bytes()) == {
        "step": 1,
        "loss": None,
        "all": [None, {"x": -0.5}],
        "s": "?",
    }


def test_cutting_leaves_each_step_once(path: Path) -> None:
    journal = Journal(path)
    for step in range(1, 9):
        append(path, {"step": step, "pad": "x" * 100})
    with path.open("ab") as file:
        file.write(b'{"step": 4, "torn')
    assert journal.last() == 8
    cut(path, 5)
    assert steps(journal) == [1, 2, 3, 4, 5]
    before = path.stat()
    cut(path, 5)  # nothing to do: the file stays as it is
    assert path.stat().st_ino == before.st_ino
    for step in (6, 7, 8, 9):
        append(path, {"step": step, "pad": "y" * 100})
    assert steps(journal) == list(range(1, 10))
    cut(path, 0)
    assert steps(journal) == [] and list(path.parent.iterdir()) == [path]
    cut(path.with_name("none.jsonl"), 3)


def test_replacing_is_seen_whole(path: Path) -> None:
    replace(path, "one")
    assert path.read_text() == "one"
    with pytest.raises(UnicodeEncodeError):
        replace(path, "half \ud800")
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]


def _write(path: Path) -> None:
    for step in range(1, 2000):
        append(path, {"step": step, "text": "é" * (step % 700)})


def test_a_reader_beside_a_writer_sees_whole_lines_in_order(path: Path) -> None:
    journal = Journal(path)
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(path,))
    writer.start()
    while writer.is_alive():
        seen = steps(journal)
        assert seen == list(range(1, len(seen) + 1))
    assert writer.exitcode == 0
    assert steps(journal) == list(range(1, 2000))


def test_steps_are_found_in_a_large_file(path: Path) -> None:
    line = b'{"step": %d, "completions": "' + b"x" * 20_000 + b'"}\n'
    with path.open("wb") as file:
        for step in range(1, 2001):
            file.write(line % step)
    journal = Journal(path)
    assert journal.last() == 2000  # 40 MB
    append(path, {"step": 2001})
    assert [record["step"] for record in journal.records(2001)] == [2001]
    assert next(journal.records(1234))["step"] == 1234
    os.truncate(path, 0)
    assert journal.steps() == []

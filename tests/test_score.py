"""The score command, run as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*argv: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "rft", "score", *map(str, argv)],
        input=stdin,
        capture_output=True,
        cwd=Path(__file__).parent.parent,
        timeout=60,
    )


def lines(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


GOOD = [
    {"id": 7, "completion": "<think>a</think><answer>5</answer>", "solution": "5"},
    {"completion": [{"role": "assistant", "content": "<answer>6</answer>"}], "solution": "5 ≤"},
    {"completion": "It is 5.", "solution": 5, "reward": "old"},
]


def test_each_line_comes_back_in_order_with_its_reward(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in GOOD))
    done = run("--reward", "accuracy", file)
    assert done.returncode == 0
    assert done.stderr == b""
    scored = zip(GOOD, (1.0, 0.0, 1.0), strict=True)
    assert lines(done.stdout) == [{**record, "reward": reward} for record, reward in scored]


BAD = [
    (b"not json", "not JSON"),
    (b'{"completion": "5", "solution": "5"', "not JSON"),
    (b"\xff\xfe broken \xff", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"completion": ' + b"[" * 900 + b"]" * 900 + b', "solution": "5"}', "neither a text nor"),
    (b'["completion"]', "a JSON list"),
    (b"null", "a JSON null"),
    (b'{"solution": "5"}', "no field 'completion'"),
    (b'{"completion": "5", "answer": "5"}', "--solution-field; there are: completion, answer"),
    (b'{"completion": null, "solution": "5"}', "neither a text nor a chat"),
    (b'{"completion": [], "solution": "5"}', "neither a text nor a chat"),
    (b'{"completion": [{"role": "assistant"}], "solution": "5"}', "neither a text nor a chat"),
    (b'{"completion": "5", "solution": null}', "the solution is a JSON null"),
    (b'{"completion": "5", "solution": true}', "the solution is a JSON true or false"),
    (b'{"completion": "5", "solution": ["5"]}', "the solution is a JSON list"),
]


def test_bad_lines_are_named_and_cost_the_others_nothing() -> None:
    good = b'{"completion": "5", "solution": "5"}\n'
    stdin = b"".join(line + b"\n" + good for line, _ in BAD)
    done = run("--reward", "accuracy_robust", "-", stdin=stdin)
    assert done.returncode == 1
    assert [line["reward"] for line in lines(done.stdout)] == [1.0] * len(BAD)
    complaints = done.stderr.decode().splitlines()
    assert len(complaints) == len(BAD)
    for number, ((_, reason), complaint) in enumerate(zip(BAD, complaints, strict=True)):
        assert complaint.startswith(f"line {2 * number + 1}: ")
        assert reason in complaint


def test_odd_but_readable_input() -> None:
    good = '{"completion": "\\ud800 5", "gold": "5"}'
    stdin = b"\xef\xbb\xbf" + good.encode() + b"\r\n\n \n" + good.encode()
    done = run("--reward", "format", "--solution-field", "gold", "-", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["reward"] for line in lines(done.stdout)] == [0.0, 0.0]
    assert run("--reward", "format", "-", stdin=b"").returncode == 0


def test_a_line_is_answered_before_the_next_is_written() -> None:
    argv = [sys.executable, "-m", "rft", "score", "--reward", "format", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, cwd=Path(__file__).parent.parent
    ) as process:
        assert process.stdin and process.stdout
        for _ in range(2):
            process.stdin.write(b'{"completion": "5", "solution": "5"}\n')
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["reward"] == 0.0
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--reward", "beauty", "-"], b"function_full"),
        (["--reward", "format", "no/such/file.jsonl"], b"Name a readable JSONL file"),
        (["--reward", "format", "."], b"Name a readable JSONL file"),
        (["-"], b"--reward"),
    ],
)
def test_what_cannot_start_says_why(argv: list[str], sentence: bytes) -> None:
    done = run(*argv, stdin=b"")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert b"Traceback" not in done.stderr

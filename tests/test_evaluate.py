"""Intervals by hand, strict and lenient, and the command on the bundled checkpoint."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bundled import COUNTING

from rft.evaluate import Share, Verdict, answer, report, table, wilson
from rft.parse import parse
from rft.scenes import make
from rft.truth import statements, supported
from rft.types import Decoding, Problem, TaskName

ROOT = Path(__file__).resolve().parent.parent


def test_wilson_by_hand() -> None:
    # p = 1/2, n = 100: z² = 3.8415; half = 1.96/(1+.0384)·√(.0025+.0000960) = .0961
    low, high = wilson(50, 100)
    assert low == pytest.approx(0.4038, abs=1e-4) and high == pytest.approx(0.5962, abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(10, 10)
    assert low == pytest.approx(10 / 13.8415, abs=1e-4) and high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("said", "strict", "lenient", "formed"),
    [
        ("<think>\n1, 2\n</think>\n<answer>\n2\n</answer>", True, True, True),
        ("<answer>2</answer>", True, True, False),
        ("2", False, True, False),
        ("<think>1 + 1 = 2</think><answer>2", False, True, False),
        ("<answer>3</answer>", False, False, False),
        ("", False, False, False),
    ],
)
def test_strict_is_inside_the_tag_and_lenient_anyhow(
    said: str, strict: bool, lenient: bool, formed: bool
) -> None:
    verdict = Verdict(Problem("1", "counting", (), "How many?", "2"), parse(said))
    assert (verdict.strict, verdict.lenient, verdict.formed) == (strict, lenient, formed)


def test_a_report_counts_per_kind() -> None:
    problems = [make("counting", "id", i, 48) for i in range(30)]
    verdicts = [Verdict(p, parse(f"<answer>{p.answer}</answer>")) for p in problems]
    found = report(verdicts)
    assert found["strict"]["rate"] == 1.0 and found["format"]["rate"] == 0.0
    assert sum(of["strict"]["n"] for of in found["kinds"].values()) == 30
    assert str(Share(30, 30)).strip().startswith("100.0%")


@pytest.mark.parametrize("task", ["counting", "structure", "spatial"])
def test_a_scene_s_own_derivation_is_true_and_another_s_is_not(task: TaskName) -> None:
    one, other = (make(task, "id", seed, 48).cot or "" for seed in (1, 2))
    true, said = supported(one, one)
    assert true == said >= 3
    wrong, all_of_it = supported(other, one)
    assert wrong < all_of_it


def test_statements_are_what_stands_between_the_stops() -> None:
    told = (
        "1 b3 red cube: red yes; cube yes: out 0, 2 c4 ball: no; ball no: in 1. How many left: 1."
    )
    assert statements(f"Find red, then cubes, from left to right: {told}") == [
        "b3 red cube: red yes; cube yes: out", "b3: 0", "c4 ball: no; ball no: in", "c4: 1",
        "how many left: 1",
    ]  # fmt: skip
    assert statements("From left to right: 1 b3 red cube, 2 c4 ball.") == ["b3 red cube", "c4 ball"]
    entry = "('0', 'cube')"
    followed = f"First: b1 cube; c2 ball. {entry}: cube: b1, then c1: cube ball, f(0, 'a'); b1 c1."
    assert statements(followed) == [
        "first: b1 cube", "first: c2 ball", f"{entry}: cube: b1", f"{entry}: then c1",
        f"{entry}: cube ball", f"{entry}: f(0, 'a')", f"{entry}: b1 c1",
    ]  # fmt: skip
    assert statements("127 ÷ 2 = 63.5. ,, ") == ["127 ÷ 2 = 63.5"]
    assert supported("no, no, no.", "no. yes, no") == (2, 3), "not oftener than it is so"


def test_what_is_true_of_another_object_or_image_is_not_true() -> None:
    scene = make("counting", "id", 7).cot or ""
    moved = scene.replace("cube: blue cube yes", "cube: X").replace("cube: yellow no", "cube: Y")
    moved = moved.replace("X", "yellow no").replace("Y", "blue cube yes")
    told, given = supported(moved, scene), supported(scene, scene)
    assert told[0] < given[0] and told[1] == given[1]
    for seed in range(30):
        board = make("spatial", "id", seed, 48).cot or ""
        swapped = (
            board.replace("First:", "X:").replace("Second:", "First:").replace("X:", "Second:")
        )
        true, said = supported(swapped, board)
        assert true < said


def test_one_wrong_verdict_is_one_untrue_statement_however_many_are_sought() -> None:
    several = 0
    for seed in range(60):
        scene = make("counting", "ood", seed, 48).cot or ""
        verdict = re.search(r" (yes|no)[:;]", scene)
        if verdict is None:
            continue
        several += ", then " in scene.partition("from left")[0]
        other = {"yes": "no", "no": "yes"}[verdict[1]]
        wrong = f"{scene[: verdict.start(1)]}{other}{scene[verdict.end(1) :]}"
        true, said = supported(wrong, scene)
        assert said == supported(scene, scene)[0] and true == said - 1
    assert several > 5


def test_the_share_of_true_statements_is_reported() -> None:
    problem = Problem("1", "counting", (), "How many?", "2", "1 red, 2 blue. So 2.")
    replies = ["<think>1 red, 2 green. So 2.</think><answer>2</answer>", "<answer>2</answer>"]
    found = report([Verdict(problem, parse(text)) for text in replies])
    assert found["reasoning"] == {"true": 2, "said": 3}
    assert "66.7%  2 of 3 statements" in table(found)
    assert "statements" not in table(report([Verdict(problem, parse("2"))]))


def test_the_bundled_checkpoint_counts_scenes_it_has_never_seen(tmp_path: Path) -> None:
    """What the README measures on 1,000 scenes, on enough of them to notice a broken checkpoint."""
    out = tmp_path / "eval.json"
    done = subprocess.run(
        [sys.executable, "-m", "rft", "eval", "--checkpoint", COUNTING[-1].id,
         "--task", "counting", "--split", "id", "-n", "64", "--seed", "5", "--out", str(out)],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "strict" in done.stdout and "64" in done.stdout
    found = json.loads(out.read_text())
    assert found["strict"]["rate"] > 0.8 and found["format"]["rate"] > 0.9
    assert len(found["answers"]) == 64


def test_an_unknown_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rft", "eval", "--checkpoint", str(tmp_path), "--task", "counting"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_the_caller_decides_what_is_asked(tiny: Path) -> None:
    from rft.policy import load

    asked: list[str] = []

    def prompt(task: TaskName, question: str) -> str:
        asked.append(f"{task}: {question}")
        return question

    problems = [make("counting", "id", i, 48) for i in range(3)]
    decoding = Decoding(temperature=0, max_new_tokens=4)
    verdicts = answer(load(tiny), problems, decoding, 2, prompt=prompt)
    assert [verdict.problem for verdict in verdicts] == problems
    assert asked == [f"counting: {problem.question}" for problem in problems]


@pytest.mark.parametrize("from_environment", [False, True])
def test_a_card_of_ones_own_is_measured_with_its_own_prompt(
    tmp_path: Path, from_environment: bool
) -> None:
    (tmp_path / "prompt.txt").write_text("Count well. {Q}")
    zoo, out = tmp_path / "zoo.toml", tmp_path / "eval.json"
    where = ROOT / "assets" / "tiny" / "base"
    zoo.write_text(
        f'[[card]]\nid = "mine"\ntask = "counting"\nwhere = "{where}"\nprompt_file = "prompt.txt"\n'
    )
    command = ["eval", "--checkpoint", "mine", "--task", "counting", "-n", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "rft", *command, *([] if from_environment else ["--zoo", str(zoo)])],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "RFT_ZOO": str(zoo) if from_environment else ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["first_prompt"] == f"Count well. {found['answers'][0]['question']}"
    assert found["decoding"]["max_new_tokens"] == 768, "as in the paper"

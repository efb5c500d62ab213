"""Standings: what the verdicts come to, kept, drawn, and shown in the README as measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rft import cards, standings
from rft.evaluate import Verdict
from rft.parse import parse
from rft.problemset import ProblemSet
from rft.standings import PAPER, STAGES, Standing, markdown, standing
from rft.types import Decoding
from rft.zoo import card_for

SEEN = Standing("spatial", "id", "zero", "x", 30, 40, 60, 0.75, 9, 10, None, 0.02)


def test_the_bundled_ones_are_measured_on_every_split(tmp_path: Path) -> None:
    heard: list[Standing] = []
    decoding = Decoding(temperature=0.0, max_new_tokens=8)
    found = standings.measure(2, 7, decoding, tmp_path, heard.append)
    assert found == heard and {(s.task, s.split) for s in found} == set(PAPER)
    assert all(s.n == 2 and 0 <= s.right <= s.anyhow <= 2 for s in found)
    assert {s.card for s in found if s.stage == "base"} == {"tiny-base"}
    assert all((s.credit is not None) == (s.task == "spatial") for s in found)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.jsonl")}
    assert standings.measure(2, 7, decoding, tmp_path, heard.append) == found
    assert files == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.jsonl")}


def test_a_standing_counts_tag_bare_answer_credit_and_true_statements() -> None:
    chosen = ProblemSet("spatial", "id", 3)
    problems = list(chosen.problems())
    said = [
        f"<think>\n{problems[0].cot}\n</think>\n<answer>\n{problems[0].answer}\n</answer>",
        "<answer>change_size(9, 'small')</answer>",
        "nothing",
    ]
    verdicts = [Verdict(p, parse(text)) for p, text in zip(problems, said, strict=True)]
    made = standing(card_for("tiny-base"), "base", chosen, verdicts)
    assert (made.right, made.n) == (1, 3) and made.credit is not None
    assert 1 / 3 <= made.credit < 1 and made.true == made.said > 5
    assert made.spread is None and made.credit_spread is not None and made.credit_spread > 0.1


def test_questions_about_one_figure_count_as_little_more_than_one() -> None:
    chosen = ProblemSet("structure", "id", 24)
    problems = list(chosen.problems())
    apart = [replace(p, scene=str(number)) for number, p in enumerate(problems)]
    halves = [replace(p, scene=str(number < 12)) for number, p in enumerate(problems)]
    assert all(problem.scene for problem in problems)
    said = [p.answer if number < 6 else "-1" for number, p in enumerate(problems)]
    shares = []
    for asked in (apart, halves):
        verdicts = [
            Verdict(p, parse(f"<answer>{text}</answer>"))
            for p, text in zip(asked, said, strict=True)
        ]
        shares.append(standing(card_for("tiny-base"), "base", chosen, verdicts).share)
    assert [share.right for share in shares] == [6, 6]
    narrow, wide = (share.interval[1] - share.interval[0] for share in shares)
    assert wide > narrow > 0.2


def test_what_is_written_is_read_again_and_drawn(tmp_path: Path) -> None:
    file, picture = tmp_path / "results.json", tmp_path / "results.svg"
    standings.write([SEEN], {"n": 60}, file, picture)
    assert standings.read(file) == [SEEN]
    assert "Zero: 50.0% [37.7%, 62.3%]" in picture.read_text()
    assert cards.measured(file) == {"x": {"as trained": "50.0% ± 12.3"}}
    both = [SEEN, replace(SEEN, task="counting")]
    standings.write(both, {"n": 60}, file, picture)
    assert list(cards.measured(file)["x"]) == ["spatial, as trained", "counting, as trained"]
    assert cards.measured(tmp_path / "none.json") == {}


def test_the_readme_shows_what_was_measured() -> None:
    found = standings.read()
    assert {(s.task, s.split, s.stage) for s in found} == {
        (*key, s) for key in PAPER for s in STAGES
    }
    assert markdown(found) in (cards.ROOT / "README.md").read_text()


def test_the_table_has_intervals_and_the_papers_number_of_the_same_stage() -> None:
    assert markdown([SEEN]).splitlines()[2] == (
        "| Spatial transformation | as trained | Zero | 50.0% [37.7, 62.3] | 66.7% | 75.0% [71.1, 78.9] | 90.0% | 42.1 |"
    )
    assert all(len(numbers) == len(STAGES) for numbers in PAPER.values())

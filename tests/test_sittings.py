"""Comparisons over a set behind the page: what is read, drawn and filtered, and who may do what."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from bundled import COUNTING

from app import cases, scoreboard, sets
from app.comparison import Comparisons
from app.drafts import Drafts
from app.host import STRANGERS_PROBLEMS, Host
from app.room import Room
from app.sets import View
from app.sittings import OWN, Sittings
from app.store import Store
from rft import data, zoo
from rft.errors import InputError
from rft.evaluate import Verdict, report
from rft.match import Match, create, matches
from rft.parse import parse
from rft.problemset import ProblemSet
from rft.scenes import make
from rft.types import Decoding, TaskName

GREEDY = Decoding(temperature=0.0)
NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def made(root: Path, said: Sequence[Sequence[str]], task: TaskName = "counting") -> Match:
    """A finished comparison in which each checkpoint said this; "=" stands for the right answer."""
    cards = [zoo.card_for(name) for name in ("tiny-base", COUNTING[-1].id, "counting-2b-rft")]
    chosen = ProblemSet(task, "id", len(said[0]))
    match = create(root, cards[: len(said)], chosen, GREEDY)
    problems = list(chosen.problems())
    for pane, texts in enumerate(said):
        words = [
            f"<think>\n{p.cot}\n</think>\n<answer>\n{p.answer}\n</answer>" if text == "=" else text
            for p, text in zip(problems, texts, strict=True)
        ]
        found = report([Verdict(p, parse(w)) for p, w in zip(problems, words, strict=True)])
        for number, answer in enumerate(found["answers"]):
            answer["number"] = number
        match.write(pane, {"n": len(problems), **found})
    match.tell("answering", 0, [len(texts) for texts in said], None)
    (match.folder / "done").write_text("{}")
    return match


def sittings(tmp_path: Path, host: Host | None = None) -> Sittings:
    room = Room(Store(tmp_path / "chats"), runs=tmp_path / "runs", host=host or Host())
    return Sittings(Comparisons(room, Store(tmp_path / "comparisons")), Drafts(tmp_path / "drafts"))


def numbers(html: str) -> list[int]:
    return [int(n) for n in re.findall(r'data-number="(\d+)" data-shows', html)]


def test_whoever_was_not_asked_for_tags_is_not_judged_by_them(tmp_path: Path) -> None:
    match = made(
        tmp_path,
        [
            ["=", "x"],
            [
                "=",
                "=",
            ],
        ],
    )
    assert sets.sheet(match, None).measure == "strict"
    untagged = made(tmp_path / "untagged", [["=", "x"], [make("counting", "id", 0).answer, "x"]])
    shown = cases.table(sets.sheet(untagged, "strict"), View())
    assert shown.count("right, without its tag") == 1
    decimal = f"<think>\nSo.\n</think>\n<answer>\n{make('counting', 'id', 0).answer}.0\n</answer>"
    worded = made(tmp_path / "worded", [["=", "x"], [decimal, "x"]])
    assert cases.table(sets.sheet(worded, "strict"), View()).count("right, in another form") == 1
    assert "without its tag" not in cases.table(sets.sheet(untagged, "lenient"), View())
    cards = [zoo.card_for(name) for name in ("tiny-base", "qwen2-vl-2b")]
    bare = create(tmp_path, cards, ProblemSet("counting", "id", 2), GREEDY)
    assert sets.sheet(bare, None).measure == "lenient" and View.of({}).measure is None
    assert sets.sheet(bare, "strict").measure == "strict"
    elsewhere = create(tmp_path, cards, ProblemSet("structure", "id", 2), GREEDY)
    assert sets.sheet(elsewhere, None).measure == "strict"


def test_problems_are_filtered_by_who_is_right(tmp_path: Path) -> None:
    match = made(tmp_path, [["=", "=", "9 9", "x"], ["=", "x", "=", "x"]])
    sheet = sets.sheet(match, "strict")
    assert [len(View(wanted=w).rows(sheet)) for w in ("", "A+B-", "B+A-", "A+B+", "A-B-")] == [
        4,
        1,
        1,
        1,
        1,
    ]
    assert numbers(cases.table(sheet, View(wanted="A+B-"))) == [1]
    assert numbers(cases.table(sheet, View(wanted="B+A-"))) == [2]
    assert "A right, B wrong <b>1</b>" in cases.table(sheet, View())
    kind = sheet.rows[0].kind
    assert all(row.kind == kind for row in View(kind=kind).rows(sheet)) and kind in sheet.kinds
    # What a browser keeps may be anything.
    odd = View.of({"match": 3, "o_wanted": "Z+A", "o_page": "x", "o_measure": None})
    assert View.of(None) == View() and len(odd.rows(sheet)) == 4
    assert numbers(cases.table(sheet, View(page=99))) == [0, 1, 2, 3]


def test_the_bars_say_rate_interval_test_and_what_the_paper_reports(tmp_path: Path) -> None:
    right = ["="] * 12
    sheet = sets.sheet(made(tmp_path, [["x"] * 12, right, right]), "strict")
    bars = scoreboard.bars(sheet)
    assert "100.0% inside" not in bars and "100.0<small>%</small>" in bars
    assert "0.0%, 0.0 to 24.2, 0 of 12" in bars, "Wilson's interval of none of twelve"
    assert bars.count("McNemar") == 2 and "Both are right on the same problems." in bars
    assert "The paper reports ID <b>96.8%</b>, DS-D <b>60.0%</b>, DS-M <b>28.4%</b> (DS:" in bars
    assert "these are drawn scenes" in bars and "100% of the reasoning true" in bars
    assert bars.count("of-kind") == 3 * len(sheet.kinds) > 3
    lenient = sets.sheet(
        made(tmp_path / "b", [[str(make("counting", "id", n).answer) for n in range(4)]]), "lenient"
    )
    assert (
        lenient.columns[0].report["lenient"]["rate"]
        == 1
        > lenient.columns[0].report["strict"]["rate"]
    )


def test_an_opened_problem_shows_image_and_reasonings_and_trusts_nobody(tmp_path: Path) -> None:
    room = sittings(tmp_path)
    match = made(room.root, [["=", "="], [f"<think>{NASTY}</think><answer>{NASTY}</answer>", "="]])
    kept = {"match": match.id}
    html = room.case(kept, 0)
    assert "data:image/webp" in html and "statements true" in html and html.count("<section") == 2
    assert "<script" not in html and "<img src=x" not in html
    drawn, _ = room.draw(kept, {})
    assert "<script" not in drawn["o-table"] and "&lt;script" in drawn["o-table"]
    assert 'data-number="1">Next' in html and "disabled>Previous" in html
    assert "disabled>Next" in room.case({**kept, "o_wanted": "A+B-"}, 0)
    assert "not asked yet" in room.case(kept, 7)


def test_an_unfinished_comparison_is_of_what_both_have_answered(tmp_path: Path) -> None:
    match = made(tmp_path, [["=", "x", "=", "="], ["=", "=", "x", "="]])
    (match.folder / "done").unlink()
    second = match.reports()[1]
    second["answers"] = [a for a in second["answers"] if a["number"] in (1, 3)]
    match.write(1, second)
    sheet = sets.sheet(match, "strict")
    assert sheet.pairs[0][2].n == 2 and sheet.state == "stopped"
    assert [row.answers[1] is None for row in sheet.rows] == [True, False, True, False]
    assert (
        "not asked yet" in cases.table(sheet, View()) and len(View(wanted="A+B-").rows(sheet)) == 0
    )
    head = scoreboard.head(sheet)
    assert 'data-do="resume"' in head and "Stop</button>" not in head
    second["answers"] = []
    match.write(1, second | report([]))
    bars = scoreboard.bars(sets.sheet(match, "strict"))
    assert bars.count("Not asked yet") == 1 and "0 of 0" not in bars


def test_a_fault_stands_where_the_bar_would(tmp_path: Path) -> None:
    match = made(tmp_path, [["=", "="], ["=", "="]])
    match.write(0, {"fault": "There is no such folder: <b>check</b> it."})
    bars = scoreboard.bars(sets.sheet(match, "strict"))
    assert "no such folder: &lt;b&gt;check" in bars and bars.count('class="bar-row big"') == 1


def test_only_what_has_changed_is_drawn(tmp_path: Path) -> None:
    room = sittings(tmp_path)
    nothing, seen = room.draw({}, {})
    assert nothing["o-head"] == scoreboard.NOTHING and room.draw({}, seen) == ({}, seen)
    match = made(room.root, [["=", "="]])
    drawn, seen = room.draw({}, seen)
    assert set(drawn) == {"o-head", "o-bars", "o-table"}, "the newest, where none is chosen"
    assert room.draw({}, seen)[0] == {}
    (match.folder / "error.txt").write_text("Out of luck.")
    (match.folder / "done").unlink()
    assert set(room.draw({}, seen)[0]) == {"o-head", "o-bars"}  # which say so as well
    other = made(room.root, [["x", "x"]])
    assert other.id in room.draw({}, seen)[0]["o-list"]


def test_a_scene_that_is_drawn_otherwise_by_now_is_not_shown(tmp_path: Path) -> None:
    room = sittings(tmp_path)
    match = made(room.root, [["=", "x"], ["x", "="]])
    older = match.reports()[0]
    older["answers"][0]["gold"] = "77"
    match.write(0, older)
    assert "drawn otherwise" in room.case({"match": match.id}, 0)
    assert "<img" in room.case({"match": match.id}, 1)
    assert sets.sheet(match, None).pairs == ()


def test_what_is_pressed_acts_on_what_was_shown(tmp_path: Path) -> None:
    room = sittings(tmp_path)
    match = made(room.root, [["=", "x"]])
    made(room.root, [["=", "x"]])  # newer, and begun elsewhere
    head = scoreboard.head(sets.sheet(match, None))
    assert room.mine(re.findall(r'data-do="discard" data-match="([^"]+)"', head)[0]) == match


def test_what_is_asked_for_is_judged_before_anything_starts(tmp_path: Path) -> None:
    room = sittings(tmp_path)
    with pytest.raises(InputError, match="Choose a task"):
        room.begin({}, None, "id", 10, 0, "greedy")
    with pytest.raises(InputError, match="1 to"):
        room.begin({}, "counting", "id", None, 0, "greedy")
    with pytest.raises(InputError, match="no split"):
        room.begin({}, "counting", "ood-left", 10, 0, "greedy")
    with pytest.raises(InputError, match="Upload a zip"):
        room.begin({}, "counting", OWN, 10, 0, "greedy")
    assert not room.root.exists()


def test_an_evaluation_is_saved_as_one_file_that_runs_nothing(tmp_path: Path) -> None:
    room = sittings(tmp_path)
    match = made(room.root, [["=", "=", NASTY], ["=", "x", "="], ["x", "x", "x"]])
    match.write(2, {"fault": f"/home/me/secret {NASTY}"})
    text = room.report({}, match.id)
    assert NASTY not in text and "<script" not in text and "default-src 'none'" in text
    assert "/home/me" not in text and "It could not answer here." in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    numbers_opened = [int(n) for n in re.findall(r"<h2>Problem (\d+)", text)]
    assert sorted(numbers_opened[:2]) == [2, 3] and numbers_opened[2:] == [1], "who differs first"
    assert text.count('<img src="data:image/') == 3 and "McNemar" in text
    for answer in (row.gold for row in sets.sheet(match, None).rows):
        assert f"gold <b>{answer}</b>" in text
    with pytest.raises(InputError, match="no longer there"):
        sittings(tmp_path / "nobody").report({}, match.id)


def test_an_uploaded_set_is_copied_and_answered(tmp_path: Path, tiny: Path) -> None:
    source = tmp_path / "source"
    data.write([make("counting", "id", n, 48) for n in range(5)], source, "id")
    files = [*(source / "test_jsons").iterdir(), *(source / "images" / "test_images").iterdir()]
    room = sittings(tmp_path)
    mine = {"cards": {"counting": [str(tiny), "tiny-base"]}}
    with pytest.raises(InputError, match="image"):
        room.receive(mine, files[:1], "counting")
    new, found = room.receive(mine, files, "counting")
    kept = {**mine, **new}
    assert found == f"5 problems in {files[0].name}"
    assert room.receive(kept, files, None)[1] == files[0].name
    records = json.loads(files[0].read_text())
    records[1]["answer"] = "two"
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(records))
    with pytest.raises(InputError, match="counting-id-1 has the answer “two”, but counting needs"):
        room.receive({}, [wrong, *files[1:]], "counting")
    match, _ = room.begin(kept, "counting", OWN, 3, 0, "paper")
    try:
        assert (
            match.title == "3 of Visual-Counting-id-test.json" and match.decoding.temperature == 0.1
        )
        assert [pane["id"] for pane in match.panes] == [str(tiny), "tiny-base"]
        (tmp_path / "drafts").rename(tmp_path / "gone")
        assert match.problem(2).images[0].exists()  # type: ignore[union-attr]
    finally:
        from rft import process

        process.stop(match)


def test_strangers_start_short_ones_of_their_own_and_touch_no_other(tmp_path: Path) -> None:
    theirs = sittings(tmp_path, Host(True, False, "Off.", evaluating=False))
    match = made(theirs.root, [["=", "="]])
    for n, own, bundled in (
        (STRANGERS_PROBLEMS + 1, False, True),
        (5, True, True),
        (5, False, False),
    ):
        with pytest.raises(InputError, match="RFT_EVALUATION=on"):
            theirs.allowed(n, own, bundled)
    theirs.allowed(STRANGERS_PROBLEMS, False, True)
    with pytest.raises(InputError, match="no longer there"):
        theirs.mine(match.id)
    assert "no longer there" in theirs.case({"match": match.id}, 0)
    with pytest.raises(InputError, match="RFT_EVALUATION=on"):
        theirs.receive({}, [], None)
    assert theirs.draw({}, {})[0]["o-head"] == scoreboard.NOTHING, "the owner's is not theirs"
    by_visitor(match)
    assert theirs.mine(match.id) == match
    assert "Delete" in theirs.draw({}, {})[0]["o-head"]
    stopped = by_visitor(made(theirs.root, [["=", "="]]))
    (stopped.folder / "done").unlink()
    hold = match.lock.take()
    assert hold is not None
    for refused in (lambda: theirs.allowed(5, False, True), lambda: theirs.resume(stopped)):
        with pytest.raises(InputError, match="Another visitor"):
            refused()
    hold.close()


def by_visitor(match: Match) -> Match:
    choice = match.folder / "match.json"
    choice.write_text(json.dumps({**json.loads(choice.read_text()), "visitor": True}))
    return match


def test_of_what_strangers_made_the_newest_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.sittings.STRANGERS_KEPT", 2)
    theirs = sittings(tmp_path, Host(True, False, "Off.", evaluating=False))
    owners = made(theirs.root, [["=", "="]])
    many = [by_visitor(made(theirs.root, [["=", "="]])) for _ in range(4)]
    hold = many[0].lock.take()  # the oldest is under way
    assert hold is not None
    theirs.prune()
    assert {match.id for match in matches(theirs.root)} == {
        owners.id, many[0].id, many[2].id, many[3].id,
    }  # fmt: skip
    hold.close()
    assert many[3].kept == owners.kept, "the first scenes are asked once for all"
    other = create(theirs.root, [zoo.card_for("tiny-base")], ProblemSet("counting", "id", 2, 7),
                   GREEDY, visitor=True)  # fmt: skip
    assert other.kept == other.folder

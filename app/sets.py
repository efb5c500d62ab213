"""What the page reads of comparisons over a set, put in order for drawing.

The only part of it that opens their files. It draws nothing and starts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, cast

from rft.errors import InputError
from rft.match import Match, find, stage_of
from rft.paired import Paired, compare
from rft.parse import parse
from rft.runs import find as find_run
from rft.types import Measure, Stage, TaskName

LETTERS = "ABCD"
LISTED = 60  #: comparisons in the list; the newest


@dataclass(frozen=True)
class Answer:
    """What one checkpoint answered to one problem. ``statements``: (true, all) of its reasoning."""

    text: str
    strict: bool
    lenient: bool
    formed: bool
    statements: tuple[int, int]

    @property
    def final(self) -> str:
        """What a person would call the answer."""
        return parse(self.text).final

    def right(self, measure: Measure) -> bool:
        """Whether it is right, inside its tag or anyhow."""
        return self.strict if measure == "strict" else self.lenient


@dataclass(frozen=True)
class Column:
    """One checkpoint of a comparison: its letter, what it is, and its report ({} for none yet)."""

    letter: str
    title: str
    stage: Stage | None
    size: str
    reported: Mapping[str, float]
    report: Mapping[str, Any]
    answered: int
    fault: str
    tagged: bool  #: whether it was asked for tags


@dataclass(frozen=True)
class Row:
    """A problem and what each checkpoint answered, None where it has not yet."""

    number: int
    kind: str
    question: str
    gold: str
    answers: tuple[Answer | None, ...]


@dataclass(frozen=True)
class Sheet:
    """A comparison as the page looks at it."""

    id: str
    title: str
    task: TaskName
    drawn: bool
    greedy: bool
    n: int
    state: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    pairs: tuple[tuple[str, str, Paired], ...]
    measure: Measure
    phase: str = ""
    pane: int = 0
    pace: float | None = None
    error: str = ""
    stopping: bool = False
    waits: str = ""

    @property
    def how(self) -> str:
        """How answers are decoded, in words."""
        return "greedy" if self.greedy else "sampled as in the paper"

    @property
    def alive(self) -> bool:
        """Whether a process holds it."""
        return self.state in ("running", "queued")

    @property
    def kinds(self) -> list[str]:
        """The kinds of question, in the order of the alphabet."""
        return sorted({row.kind for row in self.rows if row.kind})


@dataclass(frozen=True)
class Listed:
    """A comparison in the list of all."""

    id: str
    title: str
    task: TaskName
    state: str
    made: str  # at what time of the day, for two of the same set
    stages: tuple[Stage | None, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """Where a visitor looks: at which comparison, by which measure, at which of its problems.

    ``wanted`` is a pattern like "A+B-": right and wrong. "" are all problems. Without a measure,
    the one that is fair to all: strict, unless one of them was not asked for tags.
    """

    match: str = ""
    measure: Measure | None = None
    wanted: str = ""
    kind: str = ""
    page: int = 0

    @staticmethod
    def of(kept: Any) -> View:
        """From what the browser kept, which may be anything."""
        kept = kept if isinstance(kept, Mapping) else {}

        def text(key: str) -> str:
            value = kept.get(key)
            return value if isinstance(value, str) else ""

        page = kept.get("o_page")
        measures: dict[str, Measure] = {"strict": "strict", "lenient": "lenient"}
        whole = isinstance(page, int) and not isinstance(page, bool) and page > 0
        return View(
            text("match"), measures.get(text("o_measure")), text("o_wanted"), text("o_kind"),
            cast(int, page) if whole else 0,
        )  # fmt: skip

    def rows(self, sheet: Sheet) -> list[Row]:
        """The problems that are wanted, in the set's order."""
        pattern = _pattern(self.wanted)
        return [
            row
            for row in sheet.rows
            if self.kind in ("", row.kind) and _fits(row, pattern, sheet.measure)
        ]


def chosen(there: Sequence[Match], view: View) -> Match | None:
    """The comparison that is looked at: the one named, else the first, which is the newest."""
    return next((match for match in there if match.id == view.match), there[0] if there else None)


def stamp(there: Sequence[Match], view: View) -> str:
    """Changes when anything does that this view shows of these comparisons."""
    shown = [m for n, m in enumerate(there) if n < LISTED or m.id == view.match]
    return repr([(match.id, match.stamp()) for match in shown])


def listed(there: Sequence[Match]) -> list[Listed]:
    """The comparisons as a list shows them."""
    return [
        Listed(
            match.id, match.title, match.set.task, match.state(),
            time.strftime("%H:%M", time.localtime(match.created)),
            tuple(stage_of(pane) for pane in match.panes),
            tuple(str(pane.get("title", pane["id"])) for pane in match.panes),
        )
        for match in there[:LISTED]
    ]  # fmt: skip


def sheet(match: Match, measure: Measure | None) -> Sheet:
    """All there is to draw of a comparison."""
    if measure is None:
        measure = "strict" if all(map(_tagged, match.panes)) else "lenient"
    state = match.state()
    return _sheet(match.folder, match.stamp(), state, measure)


@lru_cache(maxsize=8)
def _sheet(folder: Path, stamp: Any, state: str, measure: Measure) -> Sheet:
    """Read for each state of the files once: several visitors may look at one comparison."""
    match = Match(folder)
    told, of = match.progress(), match.set
    reports = match.reports()
    done = told.get("answered") or [0] * len(reports)
    columns = tuple(
        Column(
            letter, str(pane.get("title", pane["id"])), stage_of(pane), str(pane.get("size", "")),
            pane.get("reported") or {}, report if "strict" in report else {},
            max(count, report.get("strict", {}).get("n", 0)), str(report.get("fault", "")),
            _tagged(pane),
        )
        for letter, pane, report, count in zip(LETTERS, match.panes, reports, done, strict=False)
    )  # fmt: skip
    return Sheet(
        match.id, match.title, of.task, not of.own, match.decoding.temperature == 0, of.n,
        state, columns, _rows(columns), _pairs(columns, measure), measure,
        str(told.get("phase", "")), int(told.get("pane", 0)), told.get("pace"),
        match.error() if state == "error" else "", match.stopping() is not None, _waits(match),
    )  # fmt: skip


def _tagged(pane: Mapping[str, Any]) -> bool:
    return pane.get("tagged") is not False


def _waits(match: Match) -> str:
    """What has the device that it waits for, as a person knows it."""
    user = match.waits_for()
    if not user:
        return ""
    try:
        other = find(match.root, user)
    except InputError:
        pass
    else:  # a stranger is told of strangers' alone
        return other.title if other.by_visitor or not match.by_visitor else "another evaluation"
    try:
        return find_run(match.root, user).title
    except InputError:
        return "a rehearsal"


def _rows(columns: Sequence[Column]) -> tuple[Row, ...]:
    asked: dict[int, Mapping[str, Any]] = {}
    said: list[dict[int, Answer]] = []
    for column in columns:
        answers = {int(item["number"]): item for item in column.report.get("answers", [])}
        asked = answers | asked
        said.append({number: _answer(item) for number, item in answers.items()})
    return tuple(
        Row(
            number, str(asked[number]["kind"]), str(asked[number]["question"]),
            str(asked[number]["gold"]), tuple(answers.get(number) for answers in said),
        )
        for number in sorted(asked)
    )  # fmt: skip


def _answer(item: Mapping[str, Any]) -> Answer:
    return Answer(
        str(item["completion"]), bool(item["strict"]), bool(item["lenient"]),
        bool(item.get("format")), (int(item.get("true", 0)), int(item.get("said", 0))),
    )  # fmt: skip


def _pairs(columns: Sequence[Column], measure: Measure) -> tuple[tuple[str, str, Paired], ...]:
    """Each two compared on what both have answered, where that is the same problems."""
    found = []
    for one, other in combinations([c for c in columns if c.report], 2):
        both = {a["number"] for a in one.report["answers"]} & {
            a["number"] for a in other.report["answers"]
        }
        if both:
            names = one.letter, other.letter
            reports = (_only(one.report, both), _only(other.report, both))
            with suppress(InputError):  # the scenes of an older report were drawn differently
                found.append((*names, compare(*reports, measure, names)))
    return tuple(found)


def _only(report: Mapping[str, Any], numbers: set[int]) -> dict[str, Any]:
    """The report's answers to these problems, named by their numbers: ids may repeat."""
    answers = [a for a in report["answers"] if a["number"] in numbers]
    return {"answers": [{**a, "id": f"{a['number']:06d}"} for a in answers]}


def _pattern(text: str) -> dict[int, bool]:
    """ "A+B-" -> {0: True, 1: False}; what is no pattern wants all."""
    pairs = zip(text[::2], text[1::2], strict=False)
    return {LETTERS.index(a): sign == "+" for a, sign in pairs if a in LETTERS and sign in "+-"}


def _fits(row: Row, pattern: Mapping[int, bool], measure: Measure) -> bool:
    for place, wanted in pattern.items():
        answer = row.answers[place] if place < len(row.answers) else None
        if answer is None or answer.right(measure) != wanted:
            return False
    return True

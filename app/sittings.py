"""Comparisons over a set as the page has them: made, started, looked at, and who may do it.

What a comparison is, rft.match knows; how it is drawn, the pure modules. Knows no component.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from app import cases, contenders, reportfile, scoreboard, sets, sharing
from app.comparison import Comparisons
from app.drafts import Drafts
from app.host import SHORT_ONLY, STRANGERS_PROBLEMS, Host
from app.panel import LARGEST_SEED, PAPER
from app.sets import Row, View
from app.watch import digest
from rft import contest
from rft.errors import InputError
from rft.images import open_image
from rft.match import GONE, Match, create, matches
from rft.problemset import MOST, ProblemSet, from_folder
from rft.run import ROOT
from rft.runs import delete
from rft.types import Decoding, Problem, TaskName
from rft.upload import RECORDS

STRANGERS_KEPT = 30  #: evaluations that visitors of a public page made
OWN = "own"  #: in place of a split: the visitor's own set
#: What is drawn anew when a comparison's files change.
PARTS = ("o-list", "o-head", "o-bars", "o-table")


@dataclass(frozen=True)
class Sittings:
    """Comparisons over a set: made of what the page says, started, looked at."""

    all: Comparisons
    drafts: Drafts
    #: Held from the look whether another may start to its start.
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def root(self) -> Path:
        """Where they are, among the runs."""
        return self.all.room.runs or ROOT

    @property
    def host(self) -> Host:
        """Who may do what."""
        return self.all.room.host

    def draw(self, kept: Any, seen: Any) -> tuple[dict[str, str], dict[str, str]]:
        """The parts that have changed since ``seen``, and what has then been seen."""
        view = View.of(kept)
        seen = seen if isinstance(seen, dict) else {}
        stamp = digest([repr(view), sets.stamp(there := self.there(), view)])
        if seen.get("stamp") == stamp:
            return {}, seen
        made = self._parts(there, view)
        marks = {name: digest(value) for name, value in made.items()}
        changed = {name: value for name, value in made.items() if seen.get(name) != marks[name]}
        return changed, {**marks, "stamp": stamp}

    def there(self) -> list[Match]:
        """Those that this host's visitors may look at, newest first."""
        return [match for match in matches(self.root) if self.may(match)]

    def _parts(self, there: Sequence[Match], view: View) -> dict[str, str]:
        match = sets.chosen(there, view)
        if match is None:
            return dict.fromkeys(PARTS, "") | {"o-head": scoreboard.NOTHING}
        sheet = sets.sheet(match, view.measure)
        return {
            "o-list": scoreboard.shelf(sets.listed(there), match.id),
            "o-head": scoreboard.head(sheet),
            "o-bars": scoreboard.bars(sheet),
            "o-table": cases.table(sheet, view),
        }

    def case(self, kept: Any, number: int) -> str:
        """One problem, opened."""
        view = View.of(kept)
        match = sets.chosen(self.there(), view)
        if match is None:
            return cases.gone(GONE)
        sheet = sets.sheet(match, view.measure)
        wanted = [row.number for row in view.rows(sheet)]
        row = next((row for row in sheet.rows if row.number == number), None)
        if row is None:
            return cases.gone("That problem was not asked yet: wait a moment.")
        before = [other for other in wanted if other < number][-1:]
        after = [other for other in wanted if other > number][:1]
        around = before[0] if before else None, after[0] if after else None
        try:
            pictures = _pictures(match, row)
        except InputError as error:
            return cases.gone(str(error))
        return cases.case(sheet, row, around, pictures)

    def report(self, kept: Any, id: object) -> str:
        """An evaluation as a file to pass on."""
        match = self.mine(id)
        sheet = sets.sheet(match, View.of(kept).measure)
        opened = []
        for row in reportfile.telling(sheet):
            try:
                opened.append((row, _pictures(match, row)))
            except InputError:
                opened.append((row, []))  # what was said of them can still be passed on
        return reportfile.page(sheet, opened, date.today().isoformat())

    def begin(
        self, kept: dict[str, Any], task: TaskName | None, split: str, n: Any, seed: Any, how: str
    ) -> tuple[Match, str]:
        """Make a comparison of what the page says, and start it; what there is to tell of that.

        InputError says what is wrong.
        """
        if task is None:
            raise InputError("Choose a task: a free question has no gold answer to be judged by.")
        cards = contenders.chosen(self.all.room, kept, task)
        for card in cards:
            self.all.room.ready(card)
        count = int(n) if n and n == n else 0
        number = 0 if seed is None or seed != seed else int(min(max(seed, 0), LARGEST_SEED))
        own: Sequence[Problem] = ()
        if split == OWN:
            folder = self.drafts.uploaded(kept.get("draft"))
            name = str(kept.get("draft_name") or "the uploaded set")
            chosen, own = from_folder(folder, task, count, number, name)
        else:
            chosen = ProblemSet(task, split, count, number)
        greedy = Decoding(temperature=0.0, max_new_tokens=PAPER.max_new_tokens)
        decoding = greedy if how == "greedy" else replace(PAPER, seed=number)
        with self.turn:
            self.allowed(count, split == OWN, all(card.bundled for card in cards))
            match = create(
                self.root, cards, chosen, decoding, own, visitor=not self.host.evaluating
            )
            self.start(match)
        if not self.host.evaluating:
            self.prune()
        return match, sharing.spare_for(self.all.room.engine, cards)

    def start(self, match: Match) -> None:
        """Start or resume it in a process of its own."""
        contest.start(match, self.all.room.zoo_file)

    def resume(self, match: Match) -> None:
        """Go on where it stopped, as far as whoever asks may have it at all."""
        with self.turn:
            self.allowed(match.set.n, bool(match.set.own), bundled=True)
            self.start(match)

    def prune(self) -> None:
        """Of what strangers made, the newest stay: nobody else clears up after them."""
        for old in self.there()[STRANGERS_KEPT:]:
            with suppress(InputError):  # it is under way
                delete(old)

    def receive(
        self, kept: dict[str, Any], files: Sequence[Path], task: TaskName | None
    ) -> tuple[dict[str, str], str]:
        """Take in an upload; what the browser is to keep of it, and what there is of the task.

        InputError names the rows that cannot be used.
        """
        if not self.host.evaluating:
            raise InputError(SHORT_ONLY)
        id = self.drafts.known(kept.get("draft")) or self.drafts.new()
        folder = self.drafts.receive(id, files)
        records = (file.name for file in files if file.suffix.lower() in (".zip", *RECORDS))
        name = next(records, "the uploaded set")[:60]
        count = from_folder(folder, task, MOST, 0, name)[0].n if task else 0
        found = f"{count:,} {'problem' if count == 1 else 'problems'} in {name}" if task else name
        return {"draft": id, "draft_name": name}, found

    def allowed(self, n: int, own: bool, bundled: bool) -> None:
        """InputError where a stranger asks for more than the owner of a public page lets him."""
        if self.host.evaluating:
            return
        if own or not bundled or n > STRANGERS_PROBLEMS:
            raise InputError(SHORT_ONLY)
        if any(m.by_visitor and m.state() in ("running", "queued") for m in matches(self.root)):
            raise InputError("Another visitor's evaluation is under way: wait for its end.")

    def may(self, match: Match) -> bool:
        """Whether this host's visitors may see, stop, resume and delete it."""
        return self.host.evaluating or match.by_visitor

    def mine(self, id: object) -> Match:
        """The comparison of this id, to be changed or kept."""
        match = next((match for match in self.there() if match.id == id), None)
        if match is None:
            raise InputError(GONE)
        return match


def _pictures(match: Match, row: Row) -> list[Image.Image]:
    """A problem's images. InputError where its scene is drawn otherwise than when it was asked."""
    problem = match.problem(row.number)
    if (problem.question, problem.answer) != (row.question, row.gold):
        raise InputError(
            "This problem is drawn otherwise since it was asked: make a new evaluation to see it."
        )
    return [open_image(picture) for picture in problem.images]

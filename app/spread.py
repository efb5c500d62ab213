"""Several samples of one checkpoint: how often each answer came, in words and as bars.

Pure: texts go in. What counts as the same answer is app.agreement's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.agreement import camps
from app.icons import icon
from app.markup import plain
from rft.types import TaskName

_LONGEST = 120  # characters of an answer beside its bar


@dataclass(frozen=True)
class Camp:
    """An answer and which of the samples gave it; "" for those that gave none."""

    answer: str
    members: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """The answers of ``total`` samples, the most frequent first; of as frequent ones, the first
    that came, and an answer before none."""

    total: int
    camps: tuple[Camp, ...]

    @property
    def share(self) -> float:
        """The majority's share of the samples."""
        return len(self.camps[0].members) / self.total if self.camps else 0.0

    @property
    def tied(self) -> int:
        """How many answers came as often as the most frequent one, itself included."""
        sizes = [len(camp.members) for camp in self.camps]
        return sizes.count(sizes[0]) if sizes else 0


def spread(answers: Sequence[str], task: TaskName | None) -> Spread:
    """Which answers came how often."""
    members: dict[int, list[int]] = {}
    for place, camp in enumerate(camps(answers, task)):
        members.setdefault(camp if answers[place].strip() else -1, []).append(place)
    found = [
        Camp("" if camp < 0 else answers[camp].strip(), tuple(places))
        for camp, places in members.items()
    ]
    found.sort(key=lambda camp: (-len(camp.members), not camp.answer, camp.members))
    return Spread(len(answers), tuple(found))


def sentence(found: Spread, right: int | None = None, asked: int | None = None) -> str:
    """How far the samples agree: ``right`` of them, where a gold answer is known; of ``asked``,
    where not all came to an end."""
    if not found.camps:
        return "No sample came to an end."
    most, total = len(found.camps[0].members), found.total
    if not found.camps[0].answer and len(found.camps) == 1:
        said = f"None of {total} samples gives an answer"
    elif most == total:
        said = f"All {total} samples give this answer" if total > 1 else "One sample gives it"
    elif most == 1:
        said = f"No two of {total} samples agree; the first is shown"
    else:
        tie = f", as often as {_others(found.tied - 1)}" if found.tied > 1 else ""
        what = "this answer" if found.camps[0].answer else "no answer"
        said = f"{most} of {total} samples give {what} ({found.share:.0%}){tie}"
    said += "" if right is None else f"; {right} of {total} right"
    missing = (asked or total) - total
    return said + (f"; {missing} did not come to an end." if missing else ".")


def bars(found: Spread, right: Sequence[bool] = ()) -> str:
    """The answers with a bar each, as HTML; ``right``: of each sample, where that is known."""
    rows = "".join(
        _row(camp, found.total, any(right[place] for place in camp.members if right))
        for camp in found.camps
    )
    return f'<ul class="spread" aria-label="Answers of the samples">{rows}</ul>'


def _row(camp: Camp, total: int, right: bool) -> str:
    short = camp.answer if len(camp.answer) <= _LONGEST else f"{camp.answer[: _LONGEST - 1]}…"
    count = len(camp.members)
    mark = icon("right") if right else ""
    name = (
        f"<span>{plain(short)}{mark}</span>"
        if camp.answer
        else '<span class="none">No answer</span>'
    )
    return (
        f'<li>{name}<span class="bar"><i style="width:{round(100 * count / total)}%"></i></span>'
        f"<b>{count}</b></li>"
    )


def _others(count: int) -> str:
    return "another one" if count == 1 else f"{count} others"

"""The votes on blind comparisons: a file that only grows, and what it comes to for each pair.

One line a vote, written at once. It names the comparison by a digest, since whoever holds an id
can read what was asked, and holds neither question nor answer. The first vote on a comparison is
the one that counts, however many are in the file. Knows no page.
"""

from __future__ import annotations

import csv
import hashlib
import io
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from rft import journal
from rft.errors import DiskError, InputError
from rft.evaluate import wilson
from rft.paired import mcnemar

Choice = Literal["best", "tie", "bad"]
Known = Collection[str] | None  #: ids of checkpoints that may be told; None: all

_COLUMNS = (
    "first", "second", "first_wins", "second_wins", "ties", "all_bad",
    "first_share_of_decided", "low_95", "high_95", "p_of_chance",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


@dataclass(frozen=True)
class Voter:
    """A checkpoint that was voted on."""

    id: str
    title: str


@dataclass(frozen=True)
class Vote:
    """What was chosen among the checkpoints ``among``; ``best`` is one's id, or None."""

    among: tuple[Voter, ...]
    choice: Choice
    best: str | None = None


@dataclass(frozen=True)
class Pair:
    """Two checkpoints and the votes that they shared. With more than two panes, the best one
    wins against each other one, and the others did not meet."""

    first: Voter
    second: Voter
    wins: int = 0  #: of the first
    losses: int = 0
    ties: int = 0
    bad: int = 0

    @property
    def decided(self) -> int:
        return self.wins + self.losses

    @property
    def votes(self) -> int:
        return self.decided + self.ties + self.bad

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval (Wilson) of the first's share of the decided votes."""
        return wilson(self.wins, self.decided)

    @property
    def p(self) -> float:
        """How often as lopsided a split of the decided votes comes by chance (sign test)."""
        return mcnemar(self.losses, self.wins)

    def turned(self) -> Pair:
        """The same with the other one first."""
        return replace(
            self, first=self.second, second=self.first, wins=self.losses, losses=self.wins
        )


class Votes:
    """The file of votes. For threads; lines of several processes do not tear each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._counted: dict[str, Vote] = {}

    def of(self, id: str) -> Vote | None:
        """The vote on a comparison that counts."""
        with self._lock:
            return self._read().get(_digest(id))

    def all(self) -> list[Vote]:
        """The votes that count, in the order in which they came."""
        with self._lock:
            return list(self._read().values())

    def cast(self, id: str, vote: Vote) -> None:
        """Count a vote: InputError where the comparison has one, DiskError where it is lost."""
        with self._lock:
            counted = self._read()
            if _digest(id) in counted:
                raise InputError("Your vote on this comparison is counted already: ask again.")
            record = {
                "step": len(counted) + 1,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "comparison": _digest(id),
                "among": [[one.id, one.title] for one in vote.among],
                "choice": vote.choice,
                "best": vote.best,
            }
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                journal.append(self.path, record)
            except OSError as error:
                raise DiskError(
                    f"The vote cannot be kept ({error.strerror}). Free some space on the disk, "
                    "or see that the folder of the votes can be written to, then vote again."
                ) from error

    def _read(self) -> dict[str, Vote]:
        """With the lock held: the votes by comparison, read anew where the file has changed."""
        try:
            stat = self.path.stat()
        except OSError:
            self._seen, self._counted = None, {}
            return self._counted
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if seen != self._seen:
            counted: dict[str, Vote] = {}
            for record in journal.Journal(self.path).records():
                if (vote := _vote(record)) is not None:
                    counted.setdefault(str(record.get("comparison")), vote)
            self._seen, self._counted = seen, counted
        return self._counted


def tally(votes: Iterable[Vote], known: Known = None) -> list[Pair]:
    """Each pair that was voted on, the one with more wins first; the most voted pairs first."""
    pairs: dict[tuple[str, str], Pair] = {}
    for vote in votes:
        for one, other in combinations(sorted(vote.among, key=lambda voter: voter.id), 2):
            if known is not None and not {one.id, other.id} <= set(known):
                continue
            if vote.choice == "best" and vote.best not in (one.id, other.id):
                continue  # neither was chosen: nothing is told of the two
            pair = pairs.get((one.id, other.id), Pair(one, other))
            pairs[one.id, other.id] = replace(_counted(pair, vote), first=one, second=other)
    found = [pair if pair.wins >= pair.losses else pair.turned() for pair in pairs.values()]
    return sorted(found, key=lambda pair: -pair.votes)


def table(pairs: Iterable[Pair]) -> str:
    """The tally as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for pair in pairs:
        low, high = pair.interval
        share = f"{pair.wins / pair.decided:.4f}" if pair.decided else ""
        writer.writerow(
            [_cell(pair.first.title), _cell(pair.second.title), pair.wins, pair.losses, pair.ties,
             pair.bad, share, f"{low:.4f}", f"{high:.4f}", f"{pair.p:.4g}"]
        )  # fmt: skip
    return text.getvalue()


def _counted(pair: Pair, vote: Vote) -> Pair:
    if vote.choice == "tie":
        return replace(pair, ties=pair.ties + 1)
    if vote.choice == "bad":
        return replace(pair, bad=pair.bad + 1)
    if vote.best == pair.first.id:
        return replace(pair, wins=pair.wins + 1)
    return replace(pair, losses=pair.losses + 1)


def _vote(record: dict[str, Any]) -> Vote | None:
    """The vote of a line; None for a line that is none: written by hand, or another version's."""
    try:
        among = tuple(Voter(str(id), str(title)) for id, title in record["among"])
        choice, best = record["choice"], record["best"]
    except (KeyError, TypeError, ValueError):
        return None
    named = best in {voter.id for voter in among}
    if choice not in ("best", "tie", "bad") or named != (choice == "best"):
        return None
    return Vote(among, choice, best)


def _digest(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:24]


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text

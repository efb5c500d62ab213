"""Which words of a reply have no counterpart in any reply beside it.

Pure: replies go in, places of words come out; app.markup knows what a word of a text is, and
draws the marks. Bounded in what it costs, whatever the models wrote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import combinations

from app.agreement import camps
from app.markup import words
from rft.types import Reply, TaskName

Places = frozenset[int]

_MOST_WORDS = 1_000  # of a text; above what a reply here has
_FEW = 8  # words; so short a text is marked even where all of it differs
_MOSTLY = 0.75  # of a longer text's words: beyond, marks on everything would tell nothing
_EXACT = 20_000  # pairs of equal words; where there are more, as in a loop, frequent ones are left
# A call begins where a word does: tried at each letter, a long word would cost its square.
_CALL = re.compile(r"(?<!\w)\w+\(\s*\w+\s*,\s*[^()]*\)")
_BEGUN = re.compile(r"(?<!\w)\w+(?:\([^()]*)?$")


@dataclass(frozen=True)
class Odd:
    """The words of a reply's parts to be marked. Of an answer in calls, the calls."""

    thinking: Places = frozenset()
    lead: Places = frozenset()
    answer: Places = frozenset()

    def __bool__(self) -> bool:
        return bool(self.thinking or self.lead or self.answer)


NONE = Odd()


def calls(text: str) -> list[str]:
    """The calls of an answer that is nothing but calls; else none."""
    found = _CALL.findall(text)
    return found if not _CALL.sub("", text).strip(" ,\n.") else []


def calls_so_far(text: str) -> list[str]:
    """The calls of an answer that is still being written, the last one as far as it has come."""
    last = _BEGUN.search(text)
    if last is None:
        return calls(text)
    before = calls(text[: last.start()])
    alone = "(" in last[0] and not text[: last.start()].strip()
    return [*before, last[0]] if before or alone else []


@lru_cache(maxsize=64)
def odd(replies: tuple[Reply, ...], task: TaskName | None) -> tuple[Odd, ...]:
    """For each reply, the words that none of the others has in the same place.

    Of answers that count as the same, nothing is marked; order plays no part among calls.
    """
    thinking = _odd([reply.thinking for reply in replies])
    lead = _odd([reply.lead if reply.answer is not None else "" for reply in replies])
    answer = _odd_answers([reply.final for reply in replies], task)
    return tuple(
        Odd(one, *((two, three) if reply.answer is not None else (three, three)))
        for reply, one, two, three in zip(replies, thinking, lead, answer, strict=True)
    )


def _odd_answers(texts: Sequence[str], task: TaskName | None) -> list[Places]:
    if all(calls(text) for text in texts if text.strip()):
        said = [[_squeezed(call) for call in calls(text)] for text in texts]
        return [
            frozenset(
                place
                for place, call in enumerate(mine)
                if any(said[:n] + said[n + 1 :])
                and not any(call in others for others in said[:n] + said[n + 1 :])
            )
            for n, mine in enumerate(said)
        ]
    found, sides = _odd(texts), camps(texts, task)
    return [
        frozenset() if sides.count(side) > 1 or calls(text) else places
        for text, places, side in zip(texts, found, sides, strict=True)
    ]


def _odd(texts: Sequence[str]) -> list[Places]:
    split = [words(text) for text in texts]
    split = [[] if len(said) > _MOST_WORDS else said for said in split]
    met: list[set[int]] = [set() for _ in split]
    alone = sum(bool(said) for said in split) < 2
    for one, other in combinations(range(len(split)), 2):
        for a, b, size in _blocks(split[one], split[other]):
            met[one].update(range(a, a + size))
            met[other].update(range(b, b + size))
    return [
        frozenset() if alone or _mostly(said, here) else frozenset(range(len(said))) - here
        for said, here in zip(split, met, strict=True)
    ]


def _blocks(one: list[str], other: list[str]) -> list[tuple[int, int, int]]:
    """Where the two run alike: places in both, and for how many words."""
    first, second = Counter(one), Counter(other)
    pairs = sum(count * second[word] for word, count in first.items())
    matcher = SequenceMatcher(None, one, other, autojunk=pairs > _EXACT)
    return [(block.a, block.b, block.size) for block in matcher.get_matching_blocks()]


def _mostly(said: list[str], met: set[int]) -> bool:
    return len(said) > _FEW and len(said) - len(met) > _MOSTLY * len(said)


def _squeezed(call: str) -> str:
    return re.sub(r"[\s\"'`]", "", call).casefold()

"""How much of what is said while reasoning is true of the picture.

A procedural problem comes with the derivation that its scene gives, and a statement of the
reasoning counts as true if the derivation makes it too, of the same object and the same image.
True ones in other words do not count, so a share is a lower bound. Pure; knows no checkpoint.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_SENTENCE = re.compile(r"\.+(?:\s+|$)")  # not a decimal point, which no space follows
_CLAUSE = re.compile(r"[,;](?:\s+|$)(?![^(]*\))")  # not within a call's parentheses
_PLACE = re.compile(r"(^|: )\d+ (?=[a-d][1-4] )")  # of an object in a list: where it stands says it
_LISTED = "from left to right: "
_TALLY = re.compile(r"([a-d][1-4]) (.*: (?:in|out)) (\d+)")
_ENTRY = re.compile(r"(\('.*?\)): (.*?), (then [^:]*): (.*)")


def statements(reasoning: str) -> list[str]:
    """What a reasoning claims of its pictures, each with the object or the image that it is about.

    Sentences of three kinds are read, as the scenes' derivations have them. What is to be found
    is no claim.
    """
    found: list[str] = []
    for sentence in _SENTENCE.split(reasoning):
        words = " ".join(sentence.split()).lower()
        if words.startswith("find ") and _LISTED in words:
            found += _judged(words.partition(_LISTED)[2])
        elif entry := _ENTRY.fullmatch(words):
            found += _followed(*entry.groups())
        else:
            found += _told(words)
    return found


def _judged(listed: str) -> Iterator[str]:
    """Objects judged one by one: each with its verdicts, and apart from these how many so far.

    One miscount would else belie all that is judged after it.
    """
    for item in filter(None, listed.split(", ")):
        clause = _PLACE.sub(r"\1", item)
        tally = _TALLY.fullmatch(clause)
        yield from (f"{tally[1]} {tally[2]}", f"{tally[1]}: {tally[3]}") if tally else (clause,)


def _followed(entry: str, before: str, after: str, pairs: str) -> Iterator[str]:
    """An object followed from one image to the other: its places, what it keeps and what changes."""
    for clause in filter(None, (before, after, *_CLAUSE.split(pairs))):
        yield f"{entry}: {clause}"


def _told(sentence: str) -> Iterator[str]:
    """Any other sentence by its clauses, each with what the first of them is about: "first: "."""
    about = ""
    for words in _CLAUSE.split(sentence):
        clause = _PLACE.sub(r"\1", words.removeprefix(_LISTED))
        if not any(letter.isalnum() for letter in clause):
            continue
        yield f"{about}{clause}"
        head, colon, _ = clause.partition(": ")
        if colon and not about and not words.startswith(_LISTED):
            about = f"{head}: "


def supported(reasoning: str, derivation: str) -> tuple[int, int]:
    """(Statements of the reasoning that the derivation makes as often, all its statements)."""
    said, given = Counter(statements(reasoning)), Counter(statements(derivation))
    return (said & given).total(), said.total()

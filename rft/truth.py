"""How much of what is said while reasoning is true of the picture.

A procedural problem comes with the derivation that its scene gives, and a statement of the
reasoning counts as true if the derivation makes it too, of the same object and the same image.
True ones in other words do not count, so a share is a lower bound. Pure; knows no checkpoint.
"""

from __future__ import annotations

import re
from collections import Counter

_SENTENCE = re.compile(r"\.+(?:\s+|$)")  # not a decimal point, which no space follows
_CLAUSE = re.compile(r"[,;](?:\s+|$)(?![^(]*\))")  # not within a call's parentheses
_PLACE = re.compile(r"(^|: )\d+ (?=[a-d][1-4] )")  # of an object in a list: where it stands says it
_ANNOUNCED = ("find ", "from left to right")  # what will be looked for needs no picture


def statements(reasoning: str) -> list[str]:
    """The clauses of a reasoning, each with what its sentence is about (up to the first colon).

    A judgement stays with its object, as in "b2 large red rubber cube: red yes", and a call
    with its values.
    """
    found = []
    for sentence in _SENTENCE.split(reasoning):
        about = ""
        for words in _CLAUSE.split(sentence):
            clause = _PLACE.sub(r"\1", " ".join(words.split()).lower())
            if not any(letter.isalnum() for letter in clause):
                continue
            if clause.startswith(_ANNOUNCED) and ":" in clause:
                clause = clause.partition(": ")[2]
            elif not clause.startswith(_ANNOUNCED):
                clause, about = f"{about}{clause}", about or _about(clause)
            else:
                continue
            found.append(clause)
    return found


def _about(clause: str) -> str:
    """What the clauses behind this one in its sentence are about: "first: ", or nothing."""
    head, colon, _ = clause.partition(": ")
    return f"{head}: " if colon and not _object(head) else ""


def _object(head: str) -> bool:
    """Whether it names an object of a list by its place, which the next one is not about."""
    return re.match(r"[a-d][1-4] ", head) is not None


def supported(reasoning: str, derivation: str) -> tuple[int, int]:
    """(Statements of the reasoning that the derivation makes as often, all its statements)."""
    said, given = Counter(statements(reasoning)), Counter(statements(derivation))
    return (said & given).total(), said.total()

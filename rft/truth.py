"""How much of what is said while reasoning is true of the picture.

A procedural problem comes with the derivation that its scene gives, and a statement of the
reasoning counts as true if the derivation makes it too. True ones in other words do not count,
so a share is a lower bound. Pure; knows no checkpoint.
"""

from __future__ import annotations

import re
from collections import Counter

_ENDS = re.compile(r"[.,;:]+(?:\s+|$)")


def statements(reasoning: str) -> list[str]:
    """The clauses of a reasoning: what stands between its commas, semicolons, colons and stops.

    A decimal point and a comma within a call, which no space follows, end nothing.
    """
    clauses = (" ".join(clause.split()).lower() for clause in _ENDS.split(reasoning))
    return [clause for clause in clauses if any(letter.isalnum() for letter in clause)]


def supported(reasoning: str, derivation: str) -> tuple[int, int]:
    """(Statements of the reasoning that the derivation makes as often, all its statements)."""
    said, given = Counter(statements(reasoning)), Counter(statements(derivation))
    return (said & given).total(), said.total()

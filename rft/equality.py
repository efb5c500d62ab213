"""When two answers are the same: as a person reads them, or as mathematics.

Knows no tags, tasks or rewards; texts go in, verdicts come out. sympy and math_verify are
imported only when mathematics is asked for.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata

#: Far above a completion of the paper (512 tokens); longer texts are not parsed as mathematics.
MATH_CHARACTERS = 10_000
#: math_verify's parser needs seconds from about ten nested brackets on.
MATH_NESTING = 8
#: Powers beyond this are not worked out: 9^9^9 would never come back.
MATH_EXPONENT = 1_000
#: The same for a text not parsed yet, where powers beside and within each other look alike.
RAW_EXPONENT = 100_000
#: The seconds that math_verify grants each step by default, and so in the reference.
MATH_SECONDS = 5
#: Layers of emphasis, quotes and the like that are taken off an answer.
WRAPPINGS = 4

_WRAPPED = re.compile(
    r"""\*\*(.+)\*\* | \$\$?(.+?)\$?\$ | \\boxed\{(.+)\} | \\\((.+)\\\) | \\text\{(.+)\}
    | "(.+)" | '(.+)' | “(.+)” | `(.+)`""",
    re.VERBOSE | re.DOTALL,
)
_CHOICE = re.compile(r"\(?([A-Ha-h])(?:[).:](?:\s.*)?)?", re.DOTALL)
_UNIT = re.compile(r"\s*(?:\^?\\circ|\^?\{\\circ\}|°|degrees?|units?|objects?|items?|[cm]?m)$")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_FRACTION = re.compile(r"(-?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")

# What math_verify works out while it still reads, whatever it takes (binomials, determinants,
# permutations), and what is never compared (sums, integrals, limits; see _elementary).
_ENDLESS = re.compile(
    r"""\\[dt]?binom | \\choose | \\i*int(?![a-z]) | \\oint | \\sum | \\prod | \\lim(?![a-z])
    | \\det | rref | \d{301} | \bP\W{0,9}\d{5}
    | \d{4}\s*! | [\d)}]\s*![\s)}]*! # factorials of much, and of factorials
    | (?:\^|\*\*)[\s{(\\]*[\w.]+[\s{(]*(?:\^|\*\*) # towers of powers
    """,
    re.VERBOSE,
)
_EXPONENT = re.compile(r"(?:\^|\*\*)[\s{(+-]*(\d+)")
_POWER_OR_FACTORIAL = re.compile(r"\^|\*\*|[\w)}]\s*!")


def number(text: str) -> float | None:
    """The finite number that Python reads in ``text``, or None ("nan" is not a number)."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def spoken_number(text: str) -> float | None:
    """Like :func:`number`, but also "5.", "1,200", "1/2", "$30^\\circ$", "5 cm"."""
    text = _THOUSANDS.sub("", _UNIT.sub("", plain(text)))
    if fraction := _FRACTION.fullmatch(text):
        above, below = number(fraction[1]), number(fraction[2])
        return above / below if above is not None and below else None
    return number(text)


def plain(text: str) -> str:
    """``text`` without emphasis, quotes, a final full stop, odd spaces; lower case."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    for _ in range(WRAPPINGS):
        text = text.removesuffix(".").strip()
        if wrapped := _WRAPPED.fullmatch(text):
            text = next(group for group in wrapped.groups() if group).strip()
    return text.casefold()


def same_answer(said: str, gold: str) -> bool:
    """Whether a person would take ``said`` for ``gold``: "6.0" for "6", "(b) 30°" for "B"."""
    if re.fullmatch("[A-H]", gold.strip()):
        choice = _CHOICE.fullmatch(plain(said))
        return choice is not None and choice[1].upper() == gold.strip()
    said_number, gold_number = spoken_number(said), spoken_number(gold)
    if said_number is not None and gold_number is not None:
        return math.isclose(said_number, gold_number, rel_tol=1e-6, abs_tol=1e-9)
    return plain(said) == plain(gold) != ""


def same_mathematics(said: str, gold: str) -> bool:
    """Whether math_verify finds in ``said`` an expression equal to one in ``gold``.

    The verdict does not depend on the thread: what could take long is refused by its shape,
    before it is read (length, nesting, binomials, sums, towers of powers) and after (huge
    powers, anything but elementary arithmetic). math_verify's own time
    limit rests on a signal, so it is only a second guard, where signals work: on the main
    thread. math_verify reports what it cannot read as "nothing found"; nothing is caught here.
    """
    if not (_readable(said) and _readable(gold)):
        return False
    import math_verify

    main = threading.current_thread() is threading.main_thread()
    seconds = MATH_SECONDS if main else None
    # The gold answer first: a letter or a list of calls holds no mathematics, and the
    # verdict is known without reading the (long) completion.
    golds = math_verify.parse(gold, parsing_timeout=seconds)
    if not golds:
        return False
    found = math_verify.parse(said, parsing_timeout=seconds)
    if not all(map(_elementary, [*golds, *found])):
        return False
    # In this order, as in the reference: verify is not symmetric for equations.
    return bool(math_verify.verify(found, golds, timeout_seconds=seconds))


def _readable(text: str) -> bool:
    """Whether reading this text as mathematics is certain to be quick, by its shape alone."""
    if len(text) > MATH_CHARACTERS or _nesting(text) > MATH_NESTING:
        return False
    # Prose such as "There are 5!!" holds no mathematics that could take long.
    if not any(sign in text for sign in "\\$^*"):
        return True
    if _ENDLESS.search(text):
        return False
    if ("gcd" in text or "lcm" in text) and _POWER_OR_FACTORIAL.search(text):
        return False
    # Exponents below five cannot nest into anything large: see MATH_NESTING.
    power = 1
    for exponent in _EXPONENT.findall(text):
        power *= max(1, int(exponent)) if int(exponent) >= 5 else 1
        if power > RAW_EXPONENT:
            return False
    return True


def _nesting(text: str) -> int:
    """How deep brackets nest at most; closings without an opening do not count."""
    depth = deepest = 0
    for letter in text:
        if letter in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in ")]}":
            depth = max(0, depth - 1)
    return deepest


def _elementary(found: object) -> bool:
    """Whether comparing this parse is certain to be quick. Texts are."""
    if isinstance(found, str):
        return True
    import sympy
    from sympy.core.numbers import Number, NumberSymbol
    from sympy.core.relational import Relational
    from sympy.functions.elementary.trigonometric import TrigonometricFunction

    numbers = (Number, NumberSymbol, sympy.Symbol, sympy.UnevaluatedExpr)
    combinations = (sympy.Add, sympy.Mul, Relational, sympy.Tuple, sympy.FiniteSet)
    functions = (sympy.log, sympy.Abs, TrigonometricFunction)
    power = 1.0
    for node in sympy.preorder_traversal(found):
        if isinstance(node, sympy.Pow) and isinstance(node.exp, Number):
            # Powers of powers multiply; an over-estimate for powers side by side.
            power *= max(1.0, abs(float(node.exp)))
        elif not isinstance(node, numbers + combinations + functions):
            return False
    return power <= MATH_EXPONENT

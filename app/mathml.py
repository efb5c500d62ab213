"""LaTeX, as models write it, to MathML, which browsers draw by themselves.

A small part of LaTeX: what school geometry and arithmetic need. Total: what it does not
understand it shows as it was typed, so broken or hostile input can never break a page.
Knows no Markdown and no page.
"""

from __future__ import annotations

import re
from html import escape

LONGEST = 600  #: characters; a longer formula is shown as typed
_DEEPEST = 24

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)

_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ϵ",
    "theta": "θ",
    "lambda": "λ",
    "mu": "μ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "phi": "ϕ",
    "varphi": "φ",
    "omega": "ω",
    "Delta": "Δ",
    "Sigma": "Σ",
    "Omega": "Ω",
    "Theta": "Θ",
    "Phi": "Φ",
}
_OPERATORS = {
    "times": "×",
    "cdot": "·",
    "div": "÷",
    "pm": "±",
    "mp": "∓",
    "leq": "≤",
    "le": "≤",
    "geq": "≥",
    "ge": "≥",
    "neq": "≠",
    "ne": "≠",
    "approx": "≈",
    "equiv": "≡",
    "sim": "∼",
    "cong": "≅",
    "parallel": "∥",
    "perp": "⟂",
    "angle": "∠",
    "triangle": "△",
    "circ": "∘",
    "degree": "°",
    "therefore": "∴",
    "because": "∵",
    "Rightarrow": "⇒",
    "implies": "⇒",
    "rightarrow": "→",
    "to": "→",
    "infty": "∞",
    "sum": "∑",
    "ldots": "…",
    "dots": "…",
    "cdots": "⋯",
    "%": "%",
    "{": "{",
    "}": "}",
    "&": "&",
    "#": "#",
    "_": "_",
    "$": "$",
}
_NAMES = {"sin", "cos", "tan", "log", "ln", "max", "min", "lim", "arcsin", "arccos", "arctan"}
_SPACES = {",": "0.17em", ";": "0.28em", ":": "0.22em", "quad": "1em", "qquad": "2em", " ": "0.3em"}
_SILENT = {"left", "right", "displaystyle", "!", "big", "Big", "limits"}
_TEXTS = {"text", "mathrm", "textbf", "mathbf", "operatorname", "mbox", "textit", "boxed"}


class _Broken(ValueError):
    """The formula cannot be read; the caller shows it as typed."""


def formula(source: str, *, block: bool = False) -> str:
    """The formula as a ``<math>`` element; as typed, escaped, where it cannot be read."""
    if len(source) <= LONGEST:
        try:
            body = _Reader(source).whole()
        except _Broken:
            pass
        else:
            display = ' display="block"' if block else ""
            return f"<math{display}><mrow>{body}</mrow></math>"
    return f'<code class="tex">{escape(source)}</code>'


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, source: str) -> None:
        self.tokens = _TOKEN.findall(source)
        self.at = 0
        self.depth = 0

    def whole(self) -> str:
        body = self.row(None)
        if not body:
            raise _Broken
        return body

    def row(self, end: str | None) -> str:
        """Items up to the token ``end``, or to the end of the formula."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Broken
        items: list[str] = []
        while True:
            self.skip()
            if self.at == len(self.tokens):
                if end is not None:
                    raise _Broken
                break
            if self.tokens[self.at] == end:
                self.at += 1
                break
            items.append(self.scripted())
        self.depth -= 1
        return "".join(items)

    def scripted(self) -> str:
        """One item with what hangs above and below it."""
        base = self.item()
        scripts: dict[str, str] = {}
        self.skip()
        while self.at < len(self.tokens) and self.tokens[self.at] in ("^", "_"):
            mark = self.tokens[self.at]
            self.at += 1
            if mark in scripts:
                raise _Broken
            scripts[mark] = self.item()
            self.skip()
        if len(scripts) == 2:
            return f"<msubsup>{base}{scripts['_']}{scripts['^']}</msubsup>"
        if "^" in scripts:
            return f"<msup>{base}{scripts['^']}</msup>"
        if "_" in scripts:
            return f"<msub>{base}{scripts['_']}</msub>"
        return base

    def item(self) -> str:
        """One token, or one group, as one element."""
        self.skip()
        if self.at == len(self.tokens):
            raise _Broken
        token = self.tokens[self.at]
        self.at += 1
        if token.startswith("\\"):
            return self.command(token[1:])
        if token == "{":
            return f"<mrow>{self.row('}')}</mrow>"
        if token in "}^_&":
            raise _Broken
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{escape(token)}</mi>"
        return f"<mo>{escape(token.replace('-', '−'))}</mo>"

    def command(self, name: str) -> str:
        if name in ("frac", "dfrac", "tfrac"):
            return f"<mfrac>{self.item()}{self.item()}</mfrac>"
        if name == "sqrt":
            self.skip()
            if self.at < len(self.tokens) and self.tokens[self.at] == "[":
                self.at += 1
                index = self.row("]")
                return f"<mroot>{self.item()}<mrow>{index}</mrow></mroot>"
            return f"<msqrt>{self.item()}</msqrt>"
        if name in ("overline", "bar", "overrightarrow", "vec", "hat"):
            mark = {"hat": "^", "vec": "→", "overrightarrow": "→"}.get(name, "¯")
            return f"<mover>{self.item()}<mo>{mark}</mo></mover>"
        if name in _TEXTS:
            return f"<mtext>{escape(self.words())}</mtext>"
        if name in _GREEK:
            return f"<mi>{_GREEK[name]}</mi>"
        if name in _OPERATORS:
            return f"<mo>{escape(_OPERATORS[name])}</mo>"
        if name in _NAMES:
            return f"<mi>{name}</mi>"
        if name in _SPACES:
            return f'<mspace width="{_SPACES[name]}"/>'
        if name == "\\":
            return '<mspace linebreak="newline"/>'
        if name in _SILENT:
            return ""
        return f"<mtext>{escape(chr(92) + name)}</mtext>"

    def skip(self) -> None:
        """Step over blanks: they mean nothing in mathematics."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1

    def words(self) -> str:
        """The inside of ``\\text{…}``, flat."""
        self.skip()
        if self.at == len(self.tokens) or self.tokens[self.at] != "{":
            raise _Broken
        depth = 0
        words: list[str] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            depth += (token == "{") - (token == "}")
            if depth == 0:
                return "".join(words)
            if token not in "{}":
                words.append(token)
        raise _Broken

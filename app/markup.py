"""What a model or a person wrote, as HTML that can do nothing but be read.

A list of what is allowed, not of what is forbidden: emphasis, lists, headings, code, line
breaks and formulas. Links, images and HTML are not in the grammar, so they appear as the
characters they are: nothing a model writes can load, run or lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from app.mathml import formula

LONGEST = 24_000  #: characters; above what a model here writes, and a page must stay quick

# Delimiters that models use. A single $ is left out: it is money more often than mathematics.
# Of bounded length, so that a row of opening delimiters costs no more than linear time.
_MATH = re.compile(
    r"\\\((?P<inline>.{1,600}?)\\\)|\\\[(?P<block>.{1,600}?)\\\]|\$\$(?P<dollars>.{1,600}?)\$\$",
    re.S,
)
#: What is compared between texts: words, numbers and signs; not how they are punctuated.
_WORD = re.compile(r"\w+(?:[.'’]\w+)*|[-+−=<>×÷°%/]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


def clean(text: str) -> str:
    """Without control characters and without marks that turn the direction of writing."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def plain(text: str) -> str:
    """Text as text: escaped, nothing interpreted."""
    return escape(clean(text))


def rich(text: str, odd: Set[int] = frozenset()) -> str:
    """Text with light Markdown and formulas, as inert HTML; the words ``odd`` are marked."""
    if len(text) > LONGEST:
        return f"<pre>{plain(text)}</pre>"
    if not odd:
        return _GRAMMAR.render(clean(text))
    tokens, at = _GRAMMAR.parse(clean(text)), 0
    for token in tokens:
        if token.type == "fence":
            _classed(token, at in odd)
            at += 1
        elif token.children is not None:
            children: list[Token] = []
            for child in token.children:
                children += _marked(child, at, odd)
                at += len(_units(child))
            token.children = children
    return str(_GRAMMAR.renderer.render(tokens, _GRAMMAR.options, {}))


def words(text: str) -> list[str]:
    """The words of a text as :func:`rich` counts them, in lower case; a formula is one, and so
    is a piece of code. None of a text that is too long to be interpreted."""
    if len(text) > LONGEST:
        return []
    return [unit.casefold() for unit in _all_units(_GRAMMAR.parse(clean(text)))]


def _all_units(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "fence":
            yield token.content
        for child in token.children or ():
            yield from _units(child)


def _units(token: Token) -> list[str]:
    if token.type == "text":
        return _WORD.findall(token.content)
    return [token.content.strip()] if token.type in ("formula", "code_inline") else []


def _marked(token: Token, first: int, odd: Set[int]) -> list[Token]:
    """The token, whose words count from ``first``, taken apart where marks begin and end."""
    if token.type == "code_inline":
        return [_classed(token, first in odd)]
    if token.type == "formula":
        return [_open(), token, _close()] if first in odd else [token]
    if token.type != "text":
        return [token]
    made: list[Token] = []
    begin, ends, marking = 0, 0, False
    for number, word in enumerate(_WORD.finditer(token.content), first):
        if (number in odd) != marking:
            cut = ends if marking else word.start()
            made += [_piece(token.content[begin:cut]), _close() if marking else _open()]
            begin, marking = cut, not marking
        ends = word.end()
    if marking:
        made += [_piece(token.content[begin:ends]), _close()]
        begin = ends
    return [*made, _piece(token.content[begin:])]


def _piece(text: str) -> Token:
    return Token("text", "", 0, content=text)


def _open() -> Token:
    return Token("odd_open", "mark", 1, attrs={"class": "odd"})


def _close() -> Token:
    return Token("odd_close", "mark", -1)


def _classed(token: Token, odd: bool) -> Token:
    if odd:
        token.attrJoin("class", "odd")
    return token


def _math(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "\\$":
        return False
    found = _MATH.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content = found["inline"] or found["block"] or found["dollars"]
        token.meta = {"block": found["inline"] is None}
    state.pos = found.end()
    return True


def _text(state: StateInline, silent: bool) -> bool:
    # The stock rule does not stop at a $, so a formula in the middle of a line would be missed.
    end = state.pos
    while end < state.posMax and state.src[end] not in "\\$*_`\n[]!<>&{}~#":
        end += 1
    if end == state.pos:
        return False
    if not silent:
        state.pending += state.src[state.pos : end]
    state.pos = end
    return True


def _draw(_: RendererHTML, tokens: list[Token], at: int, *__: object) -> str:
    return formula(tokens[at].content, block=tokens[at].meta["block"])


def _grammar() -> MarkdownIt:
    grammar = MarkdownIt("zero", {"breaks": True, "html": False})
    grammar.enable(["heading", "list", "fence", "emphasis", "backticks", "newline"])
    grammar.inline.ruler.at("text", _text)
    grammar.inline.ruler.push("formula", _math)
    grammar.add_render_rule("formula", _draw)
    return grammar


_GRAMMAR = _grammar()

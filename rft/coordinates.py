"""The coordinates in a text: points, boxes and paths as a model writes them, in its own numbers.

Total: every text gives a tuple of figures, and what is not well formed gives none. Knows the
notations; how large an image is, and what the numbers count, is not its business.

The notations, each under a test of its own:

- RoboBrain 2.0: ``[(x, y), …]`` for points and for a trajectory alike, ``[x1, y1, x2, y2]`` for
  a box. What a bare list of pairs is, only the question tells: see ``meant``.
- Qwen2.5-VL: JSON objects with ``bbox_2d`` or ``point_2d`` and a label, fenced or not, and
  ``<points x1="…" y1="…" alt="…">``. An object that JSON does not read is left to the next rule.
- Qwen2-VL: ``(x1,y1),(x2,y2)`` for a box. Its special tokens around it do not outlive decoding.
- Any of these lists, nested or in a row, inside prose.

A group of numbers right behind a word is a call, "f(2, 3)", unless ``corners`` allows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["point", "box", "path"]
Pair = tuple[float, float]

LONGEST = 16_000  #: characters; above the longest list of boxes that is still worth drawing

# Runs of digits, commas and brackets. A group in it is JSON once its brackets are square.
_RUN = re.compile(r"[\[(][\d\s.,\-\[\]()]*")
_SQUARE = str.maketrans("()", "[]")
_OBJECT = re.compile(r"\{[^{}]*\}")
_POINTS = re.compile(r"<points?\b([^<>]*)>")
_ATTRIBUTE = re.compile(r'\b(x|y|alt)(\d*)\s*=\s*"([^"]*)"')
_KEYS: dict[str, Kind] = {
    "bbox_2d": "box",
    "bbox": "box",
    "point_2d": "point",
    "point": "point",
    "points": "point",
    "trajectory": "path",
}
_PATH = re.compile(r"\b(?:trajector(?:y|ies)|waypoints?|path|route)\b", re.I)
_BOX = re.compile(r"\b(?:bounding|bbox(?:_2d)?)\b", re.I)  # a mere box may be one to point at


@dataclass(frozen=True)
class Figure:
    """What a model drew in words: one pair for a point, two corners for a box, or a path."""

    kind: Kind
    pairs: tuple[Pair, ...]
    label: str = ""


def meant(question: str) -> Kind:
    """What a bare list of pairs is in an answer to this question."""
    if _PATH.search(question):
        return "path"
    return "box" if _BOX.search(question) else "point"


def figures(
    text: str, kind: Kind = "point", *, corners: bool = False, bare: bool = True
) -> list[Figure]:
    """The figures in a text, in its order; none where it is longer than LONGEST.

    ``kind``: what a bare list of pairs is. ``corners``: two bare pairs in a row are a box, also
    right behind a word, as Qwen2-VL writes it. ``bare``: numbers count that nothing names.
    """
    if len(text) > LONGEST:
        return []
    named = [*_objects(text), *_tags(text)]
    for start, end, _ in named:  # what has been read is not read twice
        text = text[:start] + " " * (end - start) + text[end:]
    found = [*named, *(_lists(text, kind, corners) if bare else ())]
    return [figure for *_, some in sorted(found, key=lambda item: item[0]) for figure in some]


def _objects(text: str) -> Iterator[tuple[int, int, list[Figure]]]:
    """JSON objects, each with the figures under its keys; none under keys of another notation."""
    for match in _OBJECT.finditer(text):
        record = _json(match[0])
        if not isinstance(record, dict):
            continue
        label = record.get("label", "")
        label = label if isinstance(label, str) else ""
        some = [
            figure
            for key, value in record.items()
            if key in _KEYS
            for figure in _shaped(value, _KEYS[key], label)
            if figure.kind == _KEYS[key]
        ]
        yield match.start(), match.end(), some


def _tags(text: str) -> Iterator[tuple[int, int, list[Figure]]]:
    """``<points x1="…" y1="…">``, and ``<point x="…" y="…">``."""
    for match in _POINTS.finditer(text):
        values = {name + number: value for name, number, value in _ATTRIBUTE.findall(match[1])}
        pairs = [
            _shaped(
                [_json(x), _json(values.get("y" + name[1:], ""))], "point", values.get("alt", "")
            )
            for name, x in values.items()
            if name.startswith("x")
        ]
        if pairs:
            yield match.start(), match.end(), [figure for one in pairs for figure in one]


def _lists(text: str, kind: Kind, corners: bool) -> Iterator[tuple[int, int, list[Figure]]]:
    """Bracketed numbers. Groups with no more than a comma between them are one list."""
    for start, end, groups in _rows(text):
        values = [_json(group.translate(_SQUARE)) for group in groups]
        pairs = all(map(_is_pair, values))
        if pairs and corners and kind != "path" and len(values) == 2:
            yield start, end, _shaped(values, "box")
        elif not re.match(r"\w", text[max(0, start - 1) : start]):
            yield (
                start,
                end,
                [f for one in ([values] if pairs else values) for f in _shaped(one, kind)],
            )


def _rows(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Where groups stand in a row, and the groups: what is between matching outermost brackets.

    A bracket that is never closed takes what follows it along: half a list is no list.
    """
    for run in _RUN.finditer(text):
        depth, opened, closed, first = 0, 0, 0, 0
        groups: list[str] = []
        for at, letter in enumerate(run[0]):
            if letter in "[(":
                if not depth:
                    opened = at
                    if groups and run[0][closed:at].strip(", \t\n"):
                        yield run.start() + first, run.start() + closed, groups
                        groups = []
                    first = first if groups else at
                depth += 1
            elif letter in "])" and depth:
                depth -= 1
                if not depth:
                    closed = at + 1
                    groups.append(run[0][opened:closed])
        if groups:
            yield run.start() + first, run.start() + closed, groups


def _shaped(value: Any, kind: Kind, label: str = "") -> list[Figure]:
    """The figures in one JSON value: a pair, four numbers, or a list of such."""
    if _is_pair(value):
        return [Figure("point", (_pair(value),), label)]
    if _numbers(value, 4):
        corners = _pair(value[:2]), _pair(value[2:])
        return [Figure("box", corners, label)] if _is_box(corners) else []
    if not isinstance(value, list) or not value:
        return []
    if all(map(_is_pair, value)):
        pairs = tuple(map(_pair, value))
        if kind == "path" and len(pairs) > 1:
            return [Figure("path", pairs, label)]
        if kind == "box" and len(pairs) == 2:
            return [Figure("box", pairs, label)] if _is_box(pairs) else []
        return [Figure("point", (pair,), label) for pair in pairs]
    if all(_numbers(one, 4) for one in value) or all(
        isinstance(one, list) and one and all(map(_is_pair, one)) for one in value
    ):
        return [figure for one in value for figure in _shaped(one, kind, label)]
    return []


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(type(number) in (int, float) and abs(number) < 1e6 for number in value)
    )


def _is_pair(value: Any) -> bool:
    return _numbers(value, 2)


def _is_box(corners: tuple[Pair, ...]) -> bool:
    (left, top), (right, bottom) = corners
    return left < right and top < bottom


def _pair(value: Any) -> Pair:
    return float(value[0]), float(value[1])


def _json(text: str) -> Any:
    """What JSON reads; None for what it does not, however deep or long that is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

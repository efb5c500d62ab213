"""What an answer points at, drawn over its image, with a line that says how it was read.

Pure HTML: the image, an SVG of lines over it, and labels as text over that, which stay legible
at any size. Labels are a model's words and pass app.markup. Knows no component and no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import atan2, degrees

from app.conversation import Conversation
from app.gallery import Gallery
from app.markup import plain
from rft.anatomy import fitted
from rft.coordinates import Kind
from rft.pointing import Canvas, Mark, Pointing, Size, pointing

#: What a visitor chose to ask for; what a hand grasps is written as a model likes.
_ASKED_FOR: dict[str, Kind] = {"points": "point", "box": "box", "trajectory": "path"}
_NAMES: dict[Kind, tuple[str, str]] = {"point": ("a point", "points"), "box": ("a box", "boxes")}


def drawn(chat: Conversation, index: int, gallery: Gallery, *, veil: bool = False) -> str:
    """The image that a reply points at, marked; "" where it does not point, or not yet.

    ``veil``: how the numbers were read, which tells the model's family, is not said.
    """
    ask, said = chat.exchanges[index].ask, chat.exchanges[index].said
    images = chat.in_view(index) if said.end != "waiting" else ()
    sizes = [gallery.size(name) for name in images]
    canvases = [
        Canvas(size, fitted(size, said.max_pixels) if said.max_pixels else size)
        for size in sizes
        if size is not None
    ]
    if len(canvases) < len(sizes):
        return ""
    found = pointing(
        said.reply.final, canvases, question=ask.prompt, family=said.family, task=ask.task,
        kind=_ASKED_FOR.get(ask.kind),
    )  # fmt: skip
    if found is None:
        return ""
    return _figure(found, canvases, gallery.address(images[found.image]), veil)


def _figure(found: Pointing, canvases: Sequence[Canvas], source: str, veil: bool) -> str:
    """The marked image, to enlarge, and how the coordinates were read."""
    how = "." if veil else f": {_reading(found, canvases[found.image])}"
    canvas = canvases[found.image]
    ratio = f"--ratio:{canvas.kept[0] / canvas.kept[1]:.4f}"
    what = _counted(found.marks)
    over = f"{_lines(found.marks, canvas.kept)}{''.join(_labels(found.marks, canvas.kept))}"
    return (
        f'<figure class="pointed" style="{ratio}"><button class="shot" data-do="enlarge" '
        f'aria-label="Enlarge the image with {what}">'
        f'<span class="marked" style="{ratio}">'
        f'<img src="{plain(source)}" alt="The image, with {what} drawn on it" decoding="sync">{over}'
        f"</span></button><figcaption><b>{what[0].upper()}{what[1:]}</b>"
        f"{_where(found, len(canvases))}{how}{_rest(found)}</figcaption></figure>"
    )


def _counted(marks: Sequence[Mark]) -> str:
    """In words: 3 points and a box."""
    kinds = [mark.kind for mark in marks]
    parts = []
    for kind, (one, many) in _NAMES.items():
        if count := kinds.count(kind):
            parts.append(one if count == 1 else f"{count} {many}")
    parts += [f"a trajectory of {len(mark.points)} points" for mark in marks if mark.kind == "path"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _where(found: Pointing, count: int) -> str:
    if count == 1:
        return ""
    return (
        f" on image {found.image + 1} of {count}"
        if found.named
        else f" on the first of {count} images"
    )


def _reading(found: Pointing, canvas: Canvas) -> str:
    if found.unit == "share":
        return "read as shares of its sides, 0 to 1."
    if found.unit == "thousandth":
        return "read as thousandths of its sides."
    if found.unit == "kept" or canvas.seen == canvas.kept:
        return f"read as pixels of the {_size(canvas.kept)} image."
    return f"read as pixels of the image as the model was given it, {_size(canvas.seen)}."


def _rest(found: Pointing) -> str:
    more = f" {found.more} more are not drawn." if found.more else ""
    return f"{more} {found.outside} outside it left out." if found.outside else more


def _size(size: Size) -> str:
    return f"{size[0]} × {size[1]}"


def _lines(marks: Sequence[Mark], size: Size) -> str:
    """All marks in the pixels of the image; strokes keep their width at any scale.

    Each line is drawn twice, the lower one wider and light, so that it shows on any image.
    """
    lines = "".join(_outline(mark, size) for mark in marks if mark.kind != "point")
    dots = "".join(
        _dot(point, size) for mark in marks if mark.kind == "point" for point in mark.points
    )
    stops = "".join(
        _dot(point, size) for mark in marks if mark.kind == "path" for point in mark.points[:-1]
    )
    starts = "".join(_dot(mark.points[0], size) for mark in marks if mark.kind == "path")
    layers = (("line", lines), ("stop", stops), ("dot", dots))
    paths = "".join(
        f'<path class="{name} {layer}" d="{path}"/>'
        for layer in ("halo", "ink")
        for name, path in layers
        if path
    )
    start = f'<path class="start" d="{starts}"/>' if starts else ""
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" preserveAspectRatio="none" aria-hidden="true">'
        f"{paths}{start}</svg>"
    )


def _outline(mark: Mark, size: Size) -> str:
    (left, top), *rest = [_at(point, size) for point in mark.points]
    if mark.kind == "path":
        return f"M{left} {top}" + "".join(f"L{x} {y}" for x, y in rest)
    right, bottom = rest[0]
    return f"M{left} {top}H{right}V{bottom}H{left}Z"


def _dot(point: tuple[float, float], size: Size) -> str:
    x, y = _at(point, size)
    return f"M{x} {y}h.01"  # a round cap at both ends of nearly nothing


def _at(point: tuple[float, float], size: Size) -> tuple[str, str]:
    return f"{point[0] * size[0]:.1f}", f"{point[1] * size[1]:.1f}"


def _labels(marks: Sequence[Mark], size: Size) -> Iterator[str]:
    """The arrow's head of each path, and what a mark is called, beside it and on the image."""
    for mark in marks:
        if mark.kind == "path":
            yield _head([point for point, _ in groupby(mark.points)], size)
    for mark in marks:
        if mark.label:
            x, y = mark.points[0]
            edge = mark.points[-1][0] if mark.kind == "box" else x
            across = f"left:{x:.2%}" if x <= 0.6 else f"right:{1 - edge:.2%}"
            side = "below" if y < 0.1 else "above"
            yield f'<span class="tag {side} {mark.kind}" style="{across};top:{y:.2%}">{plain(mark.label)}</span>'


def _head(points: Sequence[tuple[float, float]], size: Size) -> str:
    if len(points) < 2:
        return ""
    (x0, y0), (x1, y1) = points[-2:]
    turned = degrees(atan2((y1 - y0) * size[1], (x1 - x0) * size[0]))
    return f'<i class="head" style="left:{x1:.2%};top:{y1:.2%};rotate:{turned:.1f}deg"></i>'

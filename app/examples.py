"""Examples to click: a procedural problem of each task and split that is not trained on, and of
each sort of answer.

A problem is drawn when first needed. Its small picture lies in assets, for the page should not wait
for a dozen drawings: ``python -m app.examples`` makes them anew. Knows no component.
"""

from __future__ import annotations

import base64
import functools
import io
from dataclasses import dataclass

from PIL import Image

from app.markup import plain
from app.theme import ASSETS
from rft import scenes
from rft.errors import InputError
from rft.tasks import TASKS
from rft.types import Problem, TaskName

_STRIP = ASSETS / "examples.html"
_THUMB = 128  # pixels; shown at half of it


@dataclass(frozen=True)
class Example:
    """A problem by its address; ``seed`` was chosen for a picture that is good to look at.

    ``answer`` is said where a task has several sorts: "number" or "choice".
    """

    task: TaskName
    split: scenes.Split
    seed: int
    answer: str = ""

    @property
    def key(self) -> str:
        """Its name in the page."""
        return "-".join(filter(None, (self.task, self.split, self.answer)))

    @property
    def problem(self) -> Problem:
        """The problem itself."""
        return _drawn(self.task, self.split, self.seed)

    @property
    def line(self) -> str:
        """The split and the sort of answer, in words."""
        return ", ".join(filter(None, (scenes.SPLIT_NAMES[self.split], self.answer)))

    @property
    def title(self) -> str:
        """The task and all this, in words."""
        return f"{TASKS[self.task].title}, {self.line}"


EXAMPLES = (
    Example("counting", "id", 2),
    Example("counting", "ood", 7),
    Example("structure", "id", 13, "number"),
    Example("structure", "id", 11, "choice"),
    Example("structure", "ood", 19, "number"),
    Example("structure", "ood", 14, "choice"),
    Example("spatial", "id", 6),
    Example("spatial", "ood-left", 2),
    Example("spatial", "ood-right", 2),
)


def example(key: str) -> Example:
    """The example of that name; InputError where the page asks for one that is gone."""
    for item in EXAMPLES:
        if item.key == key:
            return item
    raise InputError("That example is no longer offered. Reload the page.")


@functools.cache
def strip() -> str:
    """All examples as pictures, task by task, as they were drawn once."""
    return _STRIP.read_text(encoding="utf-8")


def drawn() -> str:
    """The same, drawn now."""
    return f'<h3>Examples</h3><div class="examples">{"".join(map(_shelf, TASKS))}</div>\n'


def welcome(task: TaskName | None) -> str:
    """The empty conversation: one example set out, ready to be asked."""
    item = next((item for item in EXAMPLES if item.task == task), EXAMPLES[0])
    return (
        '<section class="welcome"><div class="plate">'
        f"{_pictures(item, 336)}</div>"
        f'<div class="words"><p class="eyebrow">{plain(item.title)}</p>'
        f'<p class="question">{plain(item.problem.question)}</p>'
        f'<button class="primary" data-do="example" data-key="{item.key}">Watch it reason</button>'
        '<div class="ghost"><p>The reasoning streams here, then folds.</p>'
        "<p><b>?</b><span>The answer, checked against the gold one.</span></p></div>"
        '<p class="hint">Or add an image of your own below, and ask.</p></div></section>'
    )


def _shelf(task: TaskName) -> str:
    tiles = "".join(map(_tile, (item for item in EXAMPLES if item.task == task)))
    title = plain(TASKS[task].title)
    return f'<section aria-label="{title}"><h4>{title}</h4><ul>{tiles}</ul></section>'


def _tile(item: Example) -> str:
    return (
        f'<li><button class="example" data-do="example" data-key="{item.key}" '
        f'title="{plain(item.problem.question[:200])}" '
        f'aria-label="Ask the example: {plain(item.title)}">'
        f'<span class="pictures">{_pictures(item, _THUMB)}</span>'
        f"<small>{item.line.replace(', ', '<br>')}</small></button></li>"
    )


def _pictures(item: Example, size: int) -> str:
    pictures = item.problem.images
    names = ["Image"] if len(pictures) == 1 else ["Before", "After"]
    return "".join(
        f'<img src="{_data_url(picture, size)}" alt="{name}" width="{size}" height="{size}">'
        for picture, name in zip(pictures, names, strict=True)
        if isinstance(picture, Image.Image)
    )


@functools.cache
def _drawn(task: TaskName, split: scenes.Split, seed: int) -> Problem:
    return scenes.make(task, split, seed)


def _data_url(picture: Image.Image, size: int) -> str:
    buffer = io.BytesIO()
    picture.resize((size, size), Image.Resampling.LANCZOS).save(buffer, "WEBP", quality=88)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


if __name__ == "__main__":
    _STRIP.write_text(drawn(), encoding="utf-8")

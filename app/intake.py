"""The data step: the controls that say which problems a run learns from, and their preview.

Choosing is the business of rft.dataset; here are the controls and the thumbnails.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gradio as gr
from PIL import Image

from app.markup import plain
from rft.dataset import Chosen, bundled
from rft.errors import InputError
from rft.images import open_image
from rft.scenes import SPLITS, Split
from rft.types import Picture, Problem, TaskName

ORIGINS = [("Drawn scenes", "bundled"), ("Upload", "folder"), ("Made here", "handmade")]
SPLIT_NAMES: dict[Split, str] = {
    "train": "as trained",
    "ood": "domain shift",
    "ood-left": "seen from the left",
    "ood-right": "seen from the right",
}
THUMBS = 48  #: problems shown of each side; the rest is counted
_SIDE = 72  # pixels of a thumbnail, drawn at 40


@dataclass(frozen=True)
class Intake:
    """The step's components."""

    origin: gr.Radio
    task: gr.Radio
    split: gr.Dropdown
    k: gr.Slider
    heldout: gr.Slider
    seed: gr.Number
    preview: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """What :func:`choose` reads, in order."""
        return [self.task, self.split, self.k, self.heldout, self.seed]


def intake() -> Intake:
    """Lay out the step with the default choice."""
    origin = gr.Radio(ORIGINS[:1], value="bundled", label="Examples from", elem_id="origin")
    task = gr.Radio(
        [(name.title(), name) for name in SPLITS], value="counting", label="Task", elem_id="of-task"
    )
    split = gr.Dropdown(splits_of("counting"), value="train", label="Scenes", elem_id="split")
    k = gr.Slider(4, 128, 32, step=1, label="Examples to learn from", elem_id="k")
    heldout = gr.Slider(0, 256, 64, step=1, label="Held out, to measure on", elem_id="heldout")
    seed = gr.Number(0, label="Seed of the choice", precision=0, elem_id="data-seed")
    preview = gr.HTML(elem_id="thumbs", apply_default_css=False)
    return Intake(origin, task, split, k, heldout, seed, preview)


def splits_of(task: TaskName) -> list[tuple[str, str]]:
    """The splits of a task that one may learn from, as a control lists them."""
    return [(SPLIT_NAMES[split], split) for split in SPLITS[task] if split in SPLIT_NAMES]


def choose(task: Any, split: Any, k: Any, heldout: Any, seed: Any) -> Chosen:
    """The problems that the controls say; InputError where they cannot be had."""
    if None in (k, heldout, seed):
        raise InputError("A number of the data is empty: fill in examples, held-out and seed.")
    return _bundled(str(task), str(split), int(k), int(heldout), int(seed))


@functools.lru_cache(maxsize=8)
def _bundled(task: str, split: str, k: int, heldout: int, seed: int) -> Chosen:
    return bundled(cast(TaskName, task), cast(Split, split), k, heldout, seed)


def preview(train: Sequence[Problem], heldout: Sequence[Problem], notes: Sequence[str] = ()) -> str:
    """Both sides as thumbnails with question and gold answer, and what there is to note."""
    told = "".join(f'<p class="hint">{plain(note)}</p>' for note in notes)
    return f"{_side('Train', train)}{_side('Held out', heldout)}{told}"


def _side(title: str, problems: Sequence[Problem]) -> str:
    items = "".join(_item(problem) for problem in problems[:THUMBS])
    more = len(problems) - THUMBS
    rest = f'<li class="more">and {more} more</li>' if more > 0 else ""
    if not problems:
        rest = '<li class="more">none: nothing is measured, memorising goes unseen</li>'
    return (
        f'<section class="side" aria-label="{title}"><h3>{title} <b>{len(problems)}</b></h3>'
        f"<ul>{items}{rest}</ul></section>"
    )


def _item(problem: Problem) -> str:
    pictures = "".join(f'<img src="{_small(picture)}" alt="">' for picture in problem.images)
    words = plain(f"{problem.question}\n→ {problem.answer}")
    return (
        f'<li><button class="thumb" data-do="problem" title="{words}" data-question='
        f'"{plain(problem.question)}" data-gold="{plain(problem.answer)}" '
        f'aria-label="{words}">{pictures}<span>{plain(problem.answer[:8])}</span></button></li>'
    )


def _small(picture: Picture) -> str:
    if isinstance(picture, Path):
        return _small_file(picture)
    return _encoded(picture)


@functools.lru_cache(maxsize=1024)
def _small_file(path: Path) -> str:
    try:
        return _encoded(open_image(path))
    except InputError:  # deleted or damaged since; the page says so by its absence
        return "data:,"


def _encoded(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    small = picture.convert("RGB")
    small.thumbnail((2 * _SIDE, 2 * _SIDE))
    small.save(buffer, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"

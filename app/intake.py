"""The data step: the controls that say which problems a run learns from.

Choosing is the business of rft.dataset, keeping what a visitor brings that of app.drafts; how
problems look is drawn by app.samples.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gradio as gr

from app.drafts import Drafts
from app.recipes import slider
from rft.dataset import Chosen, again, bundled, from_folder, handmade
from rft.errors import InputError
from rft.runs import find
from rft.scenes import SPLIT_NAMES, SPLITS, Split
from rft.types import TaskName

ORIGINS = [("Drawn scenes", "bundled"), ("Upload", "folder"), ("Made here", "handmade")]
EARLIER = ("An earlier run's", "run")
FILES = [".zip", ".json", ".jsonl", "image"]


@dataclass(frozen=True)
class Intake:
    """The step's components."""

    origin: gr.Radio
    task: gr.Radio
    split: gr.Dropdown
    upload: gr.File
    maker: gr.Column
    composer: gr.MultimodalTextbox
    answer: gr.Textbox
    add: gr.Button
    made: gr.HTML
    k: gr.Slider
    heldout: gr.Slider
    seed: gr.Number
    preview: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """What :func:`choose` reads, in order."""
        return [self.origin, self.task, self.split, self.k, self.heldout, self.seed]


def intake() -> Intake:
    """Lay out the step with the default choice."""
    origin = gr.Radio(ORIGINS, value="bundled", label="Examples from", elem_id="origin")
    task = gr.Radio(
        [(name.title(), name) for name in SPLITS], value="counting", label="Task", elem_id="of-task"
    )
    split = gr.Dropdown(splits_of("counting"), value="train", label="Scenes", elem_id="split")
    upload = gr.File(
        label="A zip, or JSON / JSONL with its images", file_count="multiple", file_types=FILES,
        visible=False, height=120, elem_id="upload",
    )  # fmt: skip
    with gr.Column(visible=False, elem_id="maker") as maker:
        composer = gr.MultimodalTextbox(
            placeholder="Question, with its image", file_count="multiple", show_label=False,
            file_types=["image", ".heic", ".heif"], sources=["upload"], container=False, lines=1,
            submit_btn=False, elem_id="made-question",
        )  # fmt: skip
        with gr.Row(elem_id="made-row"):
            answer = gr.Textbox(
                placeholder="The right answer", show_label=False, container=False,
                elem_id="made-answer",
            )  # fmt: skip
            add = gr.Button("Add", elem_id="made-add")
        made = gr.HTML(
            js_on_load="studio.wire(element, trigger, watch, ['amend', 'drop'])",
            apply_default_css=False, elem_id="made",
        )  # fmt: skip
    k = slider(2, 128, 64, label="Examples to learn from", elem_id="k")
    heldout = slider(0, 256, 64, label="Held out, to measure on", elem_id="heldout")
    seed = gr.Number(0, label="Seed of the data", precision=0, elem_id="data-seed")
    preview = gr.HTML(elem_id="thumbs", apply_default_css=False)
    return Intake(
        origin, task, split, upload, maker, composer, answer, add, made, k, heldout, seed, preview
    )


def splits_of(task: TaskName) -> list[tuple[str, str]]:
    """The splits of a task that one may learn from, as a control lists them."""
    return [(SPLIT_NAMES[split], split) for split in SPLITS[task] if split != "id"]


def visible(origin: str) -> list[Any]:
    """Which controls an origin has: task, split, upload, maker, k, seed."""
    return [
        gr.update(visible=origin in ("bundled", "handmade")),
        gr.update(visible=origin == "bundled"),
        gr.update(visible=origin == "folder"),
        gr.update(visible=origin == "handmade"),
        gr.update(visible=origin in ("bundled", "folder")),
        gr.update(visible=origin != "run"),
    ]


def like(source: Mapping[str, Any], task: TaskName, samples: int) -> list[Any]:
    """The controls (``Intake.inputs``) for the data of an earlier run."""
    if source.get("from") != "bundled":
        told = gr.Radio([*ORIGINS, EARLIER], value="run")
        return [told, task, gr.skip(), gr.update(value=samples, maximum=max(128, samples)), 0, 0]
    split, k = str(source.get("split")), int(source.get("k", samples))
    return [
        "bundled", task, gr.Dropdown(splits_of(task), value=split),
        gr.update(value=k, maximum=max(128, k)), source.get("heldout", 0), source.get("seed", 0),
    ]  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """Where data can come from: what visitors bring, and earlier runs."""

    drafts: Drafts
    runs: Path

    def choose(self, kept: Any, *values: Any) -> Chosen:
        """The problems that the controls say; InputError where they cannot be had.

        ``kept``: what the browser keeps: which draft is this visitor's, which run was duplicated.
        """
        origin, task, split, k, heldout, seed = values
        if None in (k, heldout, seed):
            raise InputError("A number of the data is empty: fill in examples, held-out and seed.")
        kept = kept if isinstance(kept, Mapping) else {}
        draft, numbers = kept.get("draft"), (int(k), int(heldout), int(seed))
        if origin == "folder":
            return _folder(self.drafts.uploaded(draft), *numbers, cast(TaskName, task))
        if origin == "handmade":
            examples = self.drafts.examples(draft)
            return handmade(cast(TaskName, task), examples, int(heldout), int(seed))
        if origin == "run":
            run = find(self.runs, str(kept.get("like")))
            return again(run.about["source"], run.folder / "data")
        return _bundled(str(task), str(split), *numbers)


@functools.lru_cache(maxsize=8)
def _bundled(task: str, split: str, k: int, heldout: int, seed: int) -> Chosen:
    return bundled(cast(TaskName, task), cast(Split, split), k, heldout, seed)


@functools.lru_cache(maxsize=4)
def _folder(path: Path, k: int, heldout: int, seed: int, task: TaskName) -> Chosen:
    try:
        return from_folder(path, k, heldout, seed)
    except InputError:
        # Where file names do not tell the task, or tell several, the control does.
        return from_folder(path, k, heldout, seed, task)

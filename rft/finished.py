"""Finished runs as cards: a run that has ended well is a checkpoint like any other.

Reads run folders; knows no page and judges no weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rft.cards import ROOT, Card, read_cards
from rft.config import Config
from rft.errors import InputError
from rft.run import Run
from rft.series import number
from rft.tasks import TASKS
from rft.types import Measure, Stage

#: Runs that started from runs: how far back the first start is looked for.
_GENERATIONS = 16


def run_of(folder: Path) -> Run | None:
    """The run that a folder is, or whose checkpoint it is; None if it is neither."""
    for place in (folder, folder.parent) if folder.name == "final" else (folder,):
        if (place / "about.json").is_file() and (place / "config.json").is_file():
            return Run(place)
    return None


def card(run: Run) -> Card:
    """The card of a finished run. InputError where it has not finished, or cannot be read.

    Family and needs are left open: they are read from its checkpoint, as for any folder.
    """
    config = run.config
    if run.state() != "done" or not run.final.is_dir():
        raise InputError(
            f"The run “{run.title}” has no finished checkpoint (it is {run.state()}): let it "
            "finish in Train first, or name one of its checkpoint folders."
        )
    return Card(
        id=name_of(run.folder),
        title=run.title,
        task=config.task,
        stage=stage(config),
        size="",
        where=str(run.final),
        family="",
        measured=_measured(run.before(), run.after(), config.measure),
        note=_note(config),
        run=True,
    )


def name_of(folder: Path) -> str:
    """What a run is called as a checkpoint: its path, counted from this repository if inside."""
    inside = folder.is_relative_to(ROOT)
    return folder.relative_to(ROOT).as_posix() if inside else str(folder)


def stage(config: Config) -> Stage:
    """What the run made of its start: Zero is GRPO alone, whatever was not taught before it."""
    return _stage(config, _GENERATIONS)


def _stage(config: Config, generations: int) -> Stage:
    if config.method != "grpo":
        return config.method
    _, before = _start(config, generations)
    return "sft+grpo" if before in ("ans-sft", "cot-sft", "sft+grpo") else "zero"


def _start(config: Config, generations: int = 0) -> tuple[str, Stage | None]:
    """Title and stage of the checkpoint that a run began from, as far as files here tell."""
    named = config.checkpoint
    if named == "tiny":
        return "an untrained tiny model", "base"
    path = Path(named)
    for known in read_cards():
        if known.id == named or known.where in (named, str(ROOT / path)):
            return known.title, known.stage
    for place in (ROOT / path, path):
        run = run_of(place)
        if run is not None and not run.error():
            return run.title, _stage(run.config, generations - 1) if generations else None
    # Bare names and Hub ids read well as they are; of a path, the end does.
    return (path.name if path.is_absolute() else named), None


def _note(config: Config) -> str:
    steps = []
    if config.supervised:
        kind = "ANS-SFT" if config.method == "ans-sft" else "CoT-SFT"
        steps.append(f"{config.sft_steps} steps of {kind}")
    if config.reinforced:
        steps.append(f"{config.steps} steps of GRPO")
    what = TASKS[config.task].title.lower()
    source = f"{config.samples} examples of {what}"
    return f"Started from {_start(config)[0]}: {' and '.join(steps)} on {source}."


def _measured(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, measure: Measure
) -> dict[str, str | float]:
    """Accuracy on the held-out problems before and after, with intervals, and how many."""
    told: dict[str, str | float] = {}
    problems = ""
    for name, report in (("Before", before), ("After", after)):
        share = (report or {}).get(measure)
        if not isinstance(share, Mapping):
            continue
        rate, low, high = (number(share.get(key)) for key in ("rate", "low", "high"))
        if rate is not None and low is not None and high is not None:
            told[name] = f"{rate:.0%} [{100 * low:.0f}, {100 * high:.0f}]"
            problems = str(share.get("n", ""))
    return {**told, "Held-out": problems} if told else told


def folders(root: Path) -> list[Path]:
    """Run folders under ``root`` that say they are done, the newest name first."""
    # Names begin with the time they were made; what is half made or half deleted has a dot.
    # An evaluation among them is done as well, and has no config.
    done = [
        p.parent
        for p in root.glob("*/done")
        if re.match(r"[^.]", p.parent.name) and (p.parent / "config.json").is_file()
    ]
    return sorted(done, key=lambda folder: folder.name, reverse=True)

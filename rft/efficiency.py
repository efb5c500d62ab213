"""``python -m rft efficiency``: how far each stage comes with how many training problems.

Every point is a recipe with more or fewer problems, each seen once; runs, answers and bundled
checkpoints that are there already are used again. Knows recipes, exams and charts; no trainer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, get_args

from rft import chart, zoo
from rft.cards import ROOT
from rft.config import Config
from rft.dataset import HELDOUT, MANY
from rft.errors import InputError, StudioError
from rft.evaluate import Share
from rft.exam import EVAL, Exam, sit
from rft.journal import replace
from rft.problemset import ProblemSet
from rft.retrain import SUFFIXES, recipes, retrain, shipped
from rft.run import ROOT as RUNS
from rft.scenes import SPLITS
from rft.standings import standing
from rft.types import Decoding, Stage, TaskName

#: Training problems, as far as a CPU goes in an evening. The paper's figure goes to 12,800.
SAMPLES = (16, 64, 256, 640, 1600, 3200)


def scaled(recipe: Config, samples: int) -> Config:
    """The recipe with so many problems, each once, in its own batches and its own proportions.

    InputError where they are too few for one step of each stage, fill no whole number of steps, or
    are more than are drawn at once.
    """
    if samples > MANY - HELDOUT:
        raise InputError(f"{samples} problems are too many: give {MANY - HELDOUT} at most.")
    batch = min(recipe.batch, samples)
    if samples % batch:
        raise InputError(
            f"{samples} problems fill no whole number of steps: give a multiple of {batch}."
        )
    if recipe.method == "sft+grpo":
        share = recipe.sft_samples / recipe.samples
        first = max(batch, round(samples * share / batch) * batch)
        if samples < first + batch:
            raise InputError(
                f"{samples} problems are too few for {recipe.method}: give {2 * batch}."
            )
        sft_steps, steps = first // batch, (samples - first) // batch
    else:
        first, sft_steps, steps = 0, samples // batch, samples // batch
    return changed(
        recipe,
        samples=samples,
        batch=batch,
        sft_samples=first,
        sft_steps=sft_steps if recipe.supervised else 0,
        steps=steps if recipe.reinforced else 0,
        eval_every=0,
    )


def measure(
    task: TaskName, split: str, samples: Sequence[int], stages: Sequence[str], n: int, runs: Path
) -> Iterator[dict[str, Any]]:
    """Train and measure every point, the base first (0 samples); each is given as it is made.

    At its recipe's own size that recipe's bundled checkpoint is the point.
    """
    chosen = ProblemSet(task, split, n, 0)
    exam = Exam.of(chosen, chosen.problems(), Decoding(temperature=0.0, seed=0), runs.parent / EVAL)
    known = recipes()
    named = [(size, f"{task}-{stage}") for size in samples for stage in stages]
    asked = [
        (size, name, Config.read(known[name]), scaled(Config.read(known[name]), size))
        for size, name in named
    ]  # all of them first: a size that cannot be is told before hours are spent
    yield _point(0, zoo.card_for("tiny-base"), chosen, exam)
    runs.mkdir(parents=True, exist_ok=True)
    for size, name, recipe, config in asked:
        if size == recipe.samples and shipped(name):
            where = f"tiny-{name}"
        else:
            file = runs / f"{name}-{size}.json"
            config.save(file)
            where = str(retrain(file, runs).final)
        yield _point(size, zoo.card_for(where), chosen, exam)


def _before(file: Path, task: TaskName, split: str, n: int) -> list[dict[str, Any]]:
    """The points that a file has; InputError where they were measured on other problems."""
    if not file.is_file():
        return []
    try:
        told = json.loads(file.read_text())
        points: list[dict[str, Any]] = told["points"]
        same = (told["task"], told["split"]) == (task, split) and {p["n"] for p in points} <= {n}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged: name another with --out, or remove it.") from error
    if not same:
        raise InputError(f"{file} was measured on other problems: name another with --out.")
    return points


def _point(samples: int, card: zoo.Card, chosen: ProblemSet, exam: Exam) -> dict[str, Any]:
    stage = card.stage or "base"
    share = standing(card, stage, chosen, sit(card, exam)).share
    print(f"{stage}, {samples} problems: {share}", flush=True)
    return {"stage": stage, "samples": samples, "right": share.right, "n": share.n}


def drawn(found: Sequence[dict[str, Any]]) -> str:
    """A line for each stage; the base, which no problem changes, is level."""
    sizes = sorted({point["samples"] for point in found} - {0}) or [1]
    lines = []
    for stage in get_args(Stage):
        points = [point for point in found if point["stage"] == stage]
        if stage == "base":
            points = [{**point, "samples": size} for point in points for size in sizes]
        line = []
        for point in sorted(points, key=lambda one: one["samples"]):
            share = Share(point["right"], point["n"])
            line.append(chart.Measured(stage, share.rate, *share.interval, x=point["samples"]))
        if line:
            lines.append(line)
    return chart.lines(lines, "training problems, each seen once")


def command(argv: list[str]) -> int:
    """``python -m rft efficiency --task … --split … --samples …``"""
    parser = argparse.ArgumentParser(prog="python -m rft efficiency", description=__doc__)
    parser.add_argument("--task", choices=get_args(TaskName), default="counting")
    parser.add_argument("--split", help="default: the task's domain shift")
    parser.add_argument("--samples", type=int, nargs="+", default=SAMPLES)
    parser.add_argument("--stages", nargs="+", choices=SUFFIXES, default=SUFFIXES)
    parser.add_argument("-n", type=int, default=1000, help="problems measured on")
    parser.add_argument("--runs", type=Path, default=RUNS / "efficiency", help="where the runs lie")
    parser.add_argument("--out", type=Path, help="a JSON file; a picture beside it")
    parser.add_argument("--add", action="store_true", help="to the points that the file has")
    args = parser.parse_args(argv)
    split = args.split or SPLITS[args.task][-1]
    out = args.out or ROOT / "assets" / f"efficiency-{args.task}-{split}.json"
    points = measure(args.task, split, args.samples, args.stages, args.n, args.runs.resolve())
    try:
        there = _before(out, args.task, split, args.n) if args.add else []
        found = {(point["samples"], point["stage"]): point for point in there}
        for point in points:
            place = point["samples"], point["stage"]
            if point["stage"] == "base" and found.get(place, point) != point:
                raise InputError(f"{out} was measured with another base: name another with --out.")
            found[place] = point
            about = {"task": args.task, "split": split, "points": list(found.values())}
            replace(out.with_suffix(".part"), json.dumps(about, indent=1) + "\n")
        out.with_suffix(".part").replace(out)  # what was measured before stands until then
        replace(out.with_suffix(".svg"), drawn(list(found.values())))
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0

"""``python -m rft retrain``: the bundled checkpoints once more, each from its recipe.

A recipe is a config in assets/recipes; training it is an ordinary run, resumed where it was
killed. What ships is the finished checkpoint and its curves. Knows no page and no trainer.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from dataclasses import replace as replaced
from hashlib import blake2s
from pathlib import Path
from typing import Any, get_args

from rft import chart, finished
from rft.cards import ROOT
from rft.config import Config
from rft.doctor import Finding, examine
from rft.errors import CheckpointError, InputError, StudioError
from rft.journal import replace
from rft.rewards import Rubric
from rft.run import ROOT as RUNS
from rft.run import Run
from rft.tasks import TASKS
from rft.types import TaskName

RECIPES = ROOT / "assets" / "recipes"
SHIPPED = ROOT / "assets" / "tiny"
CURVES = ROOT / "assets" / "curves"
ZOO_RUNS = RUNS / "zoo"  #: where the runs lie
#: What recipes of the paper's stages are called, behind their task's name; all start from the base.
SUFFIXES = ("ans-sft", "cot-sft", "zero", "rft")
#: What recipes name as their start beside the cards' checkpoints: a tiny one primed by rft.primer,
#: and the legs in which the base is taught before its last. These have no cards; the last of them is
#: bundled, so that all those hours need not be spent again.
PRIMED = "primed"
#: Chains of thought came to be worded otherwise while the base was taught: the legs that learned from
#: other lessons than today's, with the commits that have those.
LESSONS_AT = {
    "base-first": "e61eda806100",
    "base-second": "656addf0d515",
    "base-third": "549561186b9e",
    "base-fourth": "38d5e536224d",
    "base-fifth": "3038aa4978fe",
}
EARLIER = (*LESSONS_AT, "base-sixth")
NAMES = (
    *EARLIER,
    "base",
    *(f"{task}-{stage}" for task in get_args(TaskName) for stage in SUFFIXES),
)
_UNFINISHED = "{} is not finished: the same command goes on where it stands."
#: What training makes of a config, beside the config: counted up when adapters learn otherwise.
#: 2: the embeddings of the answer's tags as well.
ADAPTERS = 2
#: Rows of a shipped curve, each the mean of as many steps as it takes; steps of a point in its picture.
ROWS, POINT = 150, 4


def recipes(folder: Path = RECIPES) -> dict[str, Path]:
    """The recipes there are, by name, in the order in which they build on each other."""
    return {name: file for name in NAMES if (file := folder / f"{name}.json").is_file()}


def retrain(recipe: Path, runs: Path) -> Run:
    """Train a recipe in a process of its own; a run that is there is resumed, or left if done.

    InputError where the run was begun by another recipe, or from other weights than it would be, and
    where what it goes on from, or the history that its lessons are in, is not here.
    """
    run, config = Run(runs / recipe.stem), Config.read(recipe)
    begins = config.checkpoint
    config = _placed(config, runs)
    if begins in EARLIER and not Path(config.checkpoint).is_dir():
        raise InputError(f"It goes on from {begins}, which is not here: retrain that first.")
    lessons_at = LESSONS_AT.get(recipe.stem, "")
    begun = (_base(config), lessons_at)
    if run.folder.exists() and (run.config != config or _begun_on(run) != begun):
        raise InputError(
            f"{run.folder} was begun by another recipe, from an earlier base, by other lessons or by "
            "an earlier trainer: remove it to train anew."
        )
    if run.state() != "done":
        runs.mkdir(parents=True, exist_ok=True)
        package = _as_of(lessons_at, runs) if lessons_at else ROOT
        if begins == PRIMED:
            _command(package, "prime", runs / PRIMED)
        config.save(runs / recipe.name)
        # A primed base was not there when it was looked for above.
        replace(runs / f"{recipe.stem}.base", f"{_base(config)} {lessons_at}")
        _command(package, "train", run.folder, "--config", runs / recipe.name)
        if run.state() != "done":
            raise CheckpointError(_UNFINISHED.format(recipe.stem))
    return run


def _placed(config: Config, runs: Path) -> Config:
    """With the folder of an earlier base, or of a primed one, in place of its name."""
    begins = config.checkpoint
    if begins in EARLIER and begins not in LESSONS_AT and (SHIPPED / begins).is_dir():
        return replaced(config, checkpoint=str(SHIPPED / begins))
    if begins in (PRIMED, *EARLIER):
        return replaced(config, checkpoint=str(runs / begins / "final"))
    return config


def _as_of(commit: str, runs: Path) -> Path:
    """This package as it was at a commit, in a folder beside the runs."""
    there = runs / f"as-of-{commit}"
    if not there.is_dir():
        line = ["git", "archive", "--format=zip", commit, "rft", "assets/zoo.toml"]
        try:
            packed = subprocess.run(line, cwd=ROOT, check=True, capture_output=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", None) or str(error).encode()
            raise InputError(
                f"Its lessons are those of commit {commit}, which git did not give "
                f"({why.decode(errors='replace').strip()}): use a clone of this repository with its "
                f"history, or retrain what goes on from the bundled {EARLIER[-1]}: base, and the stages."
            ) from error
        draft = runs / f"{there.name}.part"
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(draft)
        draft.rename(there)
    return there


def _base(config: Config) -> str:
    """The mark of the weights that a recipe starts from, and of how adapters learn; "" without."""
    begins = SHIPPED / "base" if config.checkpoint == "tiny-base" else Path(config.checkpoint)
    weights = begins / "model.safetensors"
    if not weights.is_file():
        return ""
    return blake2s(weights.read_bytes()).hexdigest() + (f"-{ADAPTERS}" if config.rank else "")


def _begun_on(run: Run) -> tuple[str, str]:
    """The mark of the base that a run began from, and the commit of its lessons; "" for today's."""
    file = run.root / f"{run.id}.base"
    base, _, lessons_at = (file.read_text() if file.is_file() else "").partition(" ")
    return base, lessons_at


def _command(package: Path, *words: str | Path) -> None:
    line = [sys.executable, "-m", "rft", *map(str, words)]
    if subprocess.run(line, cwd=package, check=False).returncode:
        raise CheckpointError(_UNFINISHED.format(Path(words[1]).name))


def ship(run: Run, checkpoints: Path = SHIPPED, curves: Path = CURVES) -> None:
    """Put the finished checkpoint and its curves where the zoo has them.

    Of a leg in LESSONS_AT only the curves: what it made stays with its run, to be gone on from.
    """
    name = run.folder.name
    if name not in LESSONS_AT:
        draft = checkpoints / f"{name}.part"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(run.final, draft)
        shutil.rmtree(checkpoints / name, ignore_errors=True)
        draft.rename(checkpoints / name)
    curves.mkdir(exist_ok=True)
    told = {
        "of": _mark(run.config, _begun_on(run)[0]),
        "steps": run.config.total_steps,
        "curve": thinned(run.metrics()),
        "heldout": run.heldout(),
        "doctor": [asdict(finding) for finding in _findings(run)],
    }
    replace(curves / f"{name}.json", json.dumps(told, indent=1) + "\n")
    if drawn := rewards(curves):
        replace(curves / "rewards.svg", drawn)


def rewards(folder: Path = CURVES) -> str:
    """The rewards of GRPO that shipped curves tell, as a picture; "" where none tells any."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, recipe in recipes().items():
        file, config = folder / f"{name}.json", Config.read(recipe)
        curve = json.loads(file.read_text())["curve"] if file.is_file() else []
        full = Rubric(config.rewards).full_marks
        earned = [row["reward"] / full for row in curve if row["stage"] == "grpo"]
        if earned:
            found.setdefault(TASKS[config.task].title, {})[finished.stage(config)] = [
                (min(at + POINT, len(earned)), statistics.fmean(earned[at : at + POINT]))
                for at in range(0, len(earned), POINT)
            ]
    label = f"GRPO step; share of the reward that can be earned, means over {POINT} steps"
    return chart.curves(found, label) if found else ""


def shipped(name: str, curves: Path = CURVES) -> bool:
    """Whether the bundled checkpoint of that name is its recipe's, from the bundled base."""
    file, recipe = curves / f"{name}.json", recipes().get(name)
    if recipe is None or name in LESSONS_AT or not file.is_file():
        return False
    config = _placed(Config.read(recipe), ZOO_RUNS)
    return bool(json.loads(file.read_text())["of"] == _mark(config, _base(config)))


def _mark(config: Config, base: str) -> str:
    """A few letters for what decides a checkpoint: its config, and the weights it began from.

    The wording of lessons is not in them. Where the weights lie is no matter; a primed tower is made
    by its seed, and not kept to be compared.
    """
    folder = Path(config.checkpoint)
    begins = folder.parent.name if folder.name == "final" else folder.name
    named, base = replaced(config, checkpoint=begins), "" if begins == PRIMED else base
    decided = json.dumps(asdict(named), sort_keys=True) + base
    return blake2s(decided.encode(), digest_size=12).hexdigest()


def _findings(run: Run) -> list[Finding]:
    latest = [group for step in run.rollout_steps()[-8:] for group in run.rollouts(step)]
    return examine(run.config, run.metrics(), run.heldout(), latest)


def thinned(metrics: Sequence[Mapping[str, Any]], rows: int = ROWS) -> list[dict[str, Any]]:
    """The curve in at most so many rows: means over neighbouring steps of one stage.

    A row's ``step`` is its last; what is a duration or a count of the machine's is left out.
    """
    width = -(-len(metrics) // rows) or 1
    found: list[dict[str, Any]] = []
    for stage in dict.fromkeys(line.get("stage") for line in metrics):
        lines = [line for line in metrics if line.get("stage") == stage]
        for first in range(0, len(lines), width):
            found.append({"stage": stage, **_mean(lines[first : first + width])})
    return found


def _mean(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for line in lines for name in line)
    mean: dict[str, Any] = {"step": lines[-1]["step"]}
    for name in names:
        values = [line[name] for line in lines if isinstance(line.get(name), (int, float))]
        if values and name not in ("step", "stage", "time", "step_time", "num_tokens"):
            mean[name] = round(statistics.fmean(values), 6)
    return mean


def command(argv: list[str]) -> int:
    """``python -m rft retrain NAME … | --all``"""
    parser = argparse.ArgumentParser(prog="python -m rft retrain", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a recipe, as counting-rft")
    parser.add_argument("--all", action="store_true", help="all, from the first")
    parser.add_argument("--runs", type=Path, default=ZOO_RUNS, help="where the runs lie")
    args = parser.parse_args(argv)
    known = recipes()
    names = list(known) if args.all else args.names
    if not names or set(names) - set(known):
        parser.error(f"name checkpoints, or --all; there are {', '.join(known)}")
    try:
        for name in names:
            ship(retrain(known[name], args.runs.resolve()))
            told = "curves bundled" if name in LESSONS_AT else "put among the bundled checkpoints"
            print(f"{name}: trained, {told}.", flush=True)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0

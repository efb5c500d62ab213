"""What the page reads of the runs, and whether anything of it has changed.

The only part of the Train tab that opens a run's files. It draws nothing and starts nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import errands
from app.figures import Curves, sparkline
from app.monitor import Row, Sight
from rft import rehearsal
from rft.run import Run
from rft.runs import find, runs

#: Runs whose curves may be laid over another's: more cannot be told apart.
MOST_OVERLAID = 4
_LOG_LINES = 200
_JUDGED = 64  # groups that the doctor reads


@dataclass(frozen=True)
class View:
    """Where a visitor looks: a run ("" for the form of a new one), others laid over it, a step."""

    run: str = ""
    over: tuple[str, ...] = ()
    step: int | None = None

    @staticmethod
    def of(kept: Any) -> View:
        """From what the browser kept, which may be anything."""
        if not isinstance(kept, Mapping):
            return View()
        run, over, step = (kept.get(key) for key in ("run", "over", "step"))
        names = over if isinstance(over, list) else []
        return View(
            run if isinstance(run, str) else "",
            tuple(name for name in names if isinstance(name, str))[:MOST_OVERLAID],
            step if isinstance(step, int) and not isinstance(step, bool) else None,
        )


def stamp(root: Path, view: View) -> str:
    """Changes when anything does that this view shows."""
    shown: list[Any] = [(run.id, run.stamp()) for run in runs(root)]
    if (run := chosen(root, view)) is not None:
        shown += [rehearsal.rehearsing(run), errands.stamp(run)]
    return digest([repr(view), repr(shown)])


def proof(run: Run) -> Mapping[str, Any] | None:
    """What was found on whether the training is applied."""
    try:
        told = json.loads((run.folder / "proof.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def digest(value: Any) -> str:
    """A few letters that stand for a JSON value."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=9).hexdigest()


def row(run: Run) -> Row:
    """A run in the list; a broken one too."""
    if not _readable(run):
        return Row(run.id, run.title, "error", None)
    config, progress = run.config, run.progress() or {}
    curves = Curves(run.id, run.title, config, run.metrics())
    return Row(
        run.id, run.title, run.state(), config.method, run.step, config.total_steps,
        _worked(curves.metrics, progress), sparkline(curves),
    )  # fmt: skip


def sight(run: Run) -> Sight:
    """A run as the page looks at it closely."""
    if not _readable(run):
        return Sight(run.id, run.title, "error", None, error=run.error())
    return Sight(
        run.id, run.title, run.state(), run.config, run.metrics(), run.progress(), run.error(),
        stopping=run.stopping() is not None,
    )  # fmt: skip


def curves(root: Path, run: Run, over: Sequence[str]) -> tuple[Curves, list[Curves]]:
    """A run's numbers, and those of the runs that are laid over it and still there."""
    there = {other.id: other for other in runs(root)}
    others = [there[name] for name in over if name in there and name != run.id]
    return _curves(run), [_curves(other) for other in others if _readable(other)]


def _curves(run: Run) -> Curves:
    return Curves(run.id, run.title, run.config, run.metrics(), run.heldout())


def groups(run: Run, wanted: int | None) -> tuple[list[int], int, list[Mapping[str, Any]]]:
    """The steps that have rollouts, the one to show (the latest unless told), and its groups."""
    steps = run.rollout_steps()
    if not steps:
        return [], 0, []
    at = min(steps, key=lambda step: abs(step - wanted)) if wanted is not None else steps[-1]
    return steps, at, list(run.rollouts(at))


def latest_groups(run: Run) -> list[Mapping[str, Any]]:
    """The last groups, oldest first: what the doctor judges by."""
    found: list[Mapping[str, Any]] = []
    for step in reversed(run.rollout_steps()):
        found = [*run.rollouts(step), *found]
        if len(found) >= _JUDGED:
            break
    return found


def log(run: Run) -> str:
    """The end of the trainer's log."""
    return run.log_tail(_LOG_LINES)


def chosen(root: Path, view: View) -> Run | None:
    """The run that is looked at; None for the form, and for a run that is gone."""
    return find(root, view.run) if view.run in {run.id for run in runs(root)} else None


def _readable(run: Run) -> bool:
    try:
        _ = run.config
    except ValueError:  # InputError: broken, or of a newer version; Run.error() says so
        return False
    return True


def _worked(metrics: Sequence[Mapping[str, Any]], progress: Mapping[str, Any]) -> float:
    """Seconds of work so far: the steps' own times, else the clock's."""
    own = [row["step_time"] for row in metrics if isinstance(row.get("step_time"), (int, float))]
    clock = float(progress.get("updated", 0)) - float(progress.get("started", 0))
    return max(sum(own), clock, 0.0)

"""A run as HTML: the list of runs, what one is doing, the doctor's cards, its log.

Pure: what goes in decides what comes out. Whatever a model, a trainer or a person wrote passes
app.markup. Knows no component, no file and no process.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.icons import icon
from app.markup import plain
from app.progress import about, line, span
from app.theme import stage_look
from rft.config import Config, Method
from rft.types import Stage

STATES = {
    "new": "not started",
    "queued": "waiting",
    "running": "running",
    "stopped": "stopped",
    "error": "failed",
    "done": "done",
}
STAGES: dict[Method, Stage] = {
    "ans-sft": "ans-sft",
    "cot-sft": "cot-sft",
    "grpo": "zero",
    "sft+grpo": "sft+grpo",
}
_PHASES = {
    "loading": "Loading the checkpoint",
    "sft": "Supervised fine-tuning",
    "grpo": "GRPO",
    "measuring": "Measuring on the held-out problems",
    "saving": "Saving",
}
_ALIVE = ("running", "queued")


class Finding(Protocol):
    """What the doctor says (rft.doctor)."""

    @property
    def severity(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def advice(self) -> str: ...


@dataclass(frozen=True)
class Row:
    """A run in the list. ``seconds`` of work so far; ``spark`` an SVG polyline's points.

    ``method`` is None where the config cannot be read.
    """

    id: str
    title: str
    state: str
    method: Method | None
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    spark: str = ""


@dataclass(frozen=True)
class Sight:
    """One run as the page looks at it; ``config`` is None where it cannot be read."""

    id: str
    title: str
    state: str
    config: Config | None
    metrics: Sequence[Mapping[str, Any]] = ()
    progress: Mapping[str, Any] | None = None
    error: str = ""
    stopping: bool = False

    @property
    def stage(self) -> Stage | None:
        """What the run makes of its checkpoint."""
        return STAGES[self.config.method] if self.config else None

    @property
    def alive(self) -> bool:
        """Whether a trainer holds the run."""
        return self.state in _ALIVE


def run_list(rows: Sequence[Row], chosen: str, overlaid: Sequence[str] = ()) -> str:
    """All runs, newest first; with none chosen, the page shows the form of a new one."""
    view = "run" if any(row.id == chosen for row in rows) else "new"
    items = "".join(_item(row, row.id == chosen, row.id in overlaid, view) for row in rows)
    empty = '<p class="hint">Your runs will stand here. They go on when this page is closed.</p>'
    current = ' aria-current="true"' if view == "new" else ""
    return (
        f'<nav data-view="{view}" aria-label="Runs"><button class="fresh" data-do="fresh"{current}>'
        f"{icon('plus')}New run</button>"
        f"{f'<ul>{items}</ul>' if items else empty}</nav>"
    )


def _item(row: Row, chosen: bool, overlaid: bool, view: str) -> str:
    look = stage_look(STAGES[row.method] if row.method else None)
    spark = (
        '<svg class="spark" viewBox="0 0 72 22" width="72" height="22" aria-hidden="true">'
        f'<polyline points="{row.spark}"/></svg>'
        if row.spark
        else '<span class="spark"></span>'
    )
    told = STATES.get(row.state, row.state)
    if row.state == "running" and row.steps:
        told = f"{row.step} of {row.steps}"
    told_time = span(row.seconds) if row.seconds else ""
    over = ""
    if view == "run" and not chosen and row.spark:
        word = "Take out of the figure" if overlaid else "Lay over the figure"
        over = (
            f'<button class="tool over" data-do="overlay" data-run="{plain(row.id)}" '
            f'title="{word}" aria-label="{word}: {plain(row.title)}" '
            f'aria-pressed="{str(overlaid).lower()}">{icon("layers")}</button>'
        )
    current = ' aria-current="true"' if chosen else ""
    return (
        f'<li class="stage-{look.slug} {row.state}"><button class="run" data-do="pick" '
        f'data-run="{plain(row.id)}"{current}><span class="name">'
        f'<i class="dot"></i><b>{plain(row.title)}</b></span>{spark}'
        f'<span class="told">{plain(told)}</span><span class="time">{told_time}</span>'
        f"</button>{over}</li>"
    )


def head(sight: Sight, *, allowed: bool = True) -> str:
    """Above the figures: what runs, how far it is, and what can be done about it."""
    look = stage_look(sight.stage)
    # Of a folder the last part: the whole path stands in the exact config.
    start = sight.config.checkpoint.rstrip("/").rpartition("/")[2] if sight.config else ""
    return (
        f'<section class="head stage-{look.slug} {sight.state}" aria-label="Run">'
        f'<div class="what"><p class="eyebrow"><span class="badge"><i class="dot"></i>{look.name}'
        f"</span>{f'<span>from {plain(start)}</span>' if start else ''}</p>"
        f'<h1 data-run="{plain(sight.id)}">{plain(sight.title)}</h1></div>'
        f'<div class="acts">{_acts(sight, allowed)}</div>{_progress(sight)}{_error(sight)}</section>'
    )


def _acts(sight: Sight, allowed: bool) -> str:
    name = plain(sight.id)
    parts = []
    if sight.alive and allowed:
        word, off = ("Stopping…", " disabled") if sight.stopping else ("Stop", "")
        parts.append(f'<button class="primary" data-do="stop"{off}>{icon("stop")}{word}</button>')
    elif sight.state == "done" and sight.config is not None:
        parts.append(
            f'<button class="primary" data-do="chat" data-run="{name}">Open in Chat</button>'
        )
    elif sight.config is not None and allowed and not sight.alive:
        word = "Start" if sight.state == "new" else "Resume"
        parts.append(f'<button class="primary" data-do="resume">{icon("play")}{word}</button>')
    if sight.config is not None:
        parts.append(_tool("duplicate", "copy", "Duplicate as a new run", name))
    if allowed:
        parts.append(_tool("rename", "edit", "Rename", name))
    if allowed and not sight.alive:
        parts.append(_tool("remove", "clear", "Delete", name))
    return "".join(parts)


def _tool(do: str, picture: str, words: str, run: str) -> str:
    return (
        f'<button class="tool" data-do="{do}" data-run="{run}" title="{words}" '
        f'aria-label="{words}">{icon(picture)}</button>'
    )


def _progress(sight: Sight) -> str:
    if sight.config is None:
        return ""
    done, steps = step_of(sight), sight.config.total_steps
    facts = [f"Step {done} of {steps}"]
    pace = seconds_a_step(sight.metrics)
    if pace:
        facts.append(f"{pace:.2g} s a step" if pace < 10 else f"{pace:.0f} s a step")
    if sight.stopping and sight.alive:
        facts.insert(0, "Writing a checkpoint, then it stops")
    elif sight.state == "running":
        phase = str((sight.progress or {}).get("phase", "loading"))
        facts.insert(0, _PHASES.get(phase, phase))
        if pace and done < steps:
            facts.append(f"about {about(pace * (steps - done))} left")
    elif sight.state == "queued":
        facts.insert(0, "Waiting for the run before it to free the device")
    elif sight.state == "stopped":
        facts.insert(0, "Stopped. Resume goes on from the last checkpoint")
    elif sight.state == "done":
        facts = [f"Done: {steps} steps", *facts[1:]]
    elif sight.state == "new":
        facts = ["Not started yet"]
    return line(done / max(steps, 1), facts)


def _error(sight: Sight) -> str:
    if not sight.error:
        return ""
    sentence, _, more = sight.error.strip().partition("\n")
    details = (
        f'<details data-fold="error"><summary>Details</summary><pre>{plain(more.strip())}</pre>'
        "</details>"
        if more.strip()
        else ""
    )
    return f'<div class="trouble" role="alert"><p>{plain(sentence)}</p>{details}</div>'


def step_of(sight: Sight) -> int:
    """The last step that is known to be done."""
    logged = [row["step"] for row in sight.metrics[-1:] if isinstance(row.get("step"), int)]
    told = (sight.progress or {}).get("step", 0)
    return max([*logged, told if isinstance(told, int) else 0])


def seconds_a_step(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """The pace of the last steps: the trainer's own clock, else the time between two lines."""
    last = metrics[-12:]
    own = [row["step_time"] for row in last if isinstance(row.get("step_time"), (int, float))]
    times = [row["time"] for row in last if isinstance(row.get("time"), (int, float))]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    # The gaps hold what happens between steps as well; a pause for a measurement is an outlier.
    found = [gap for gap in gaps if gap > 0] or own
    return statistics.median(found) if found else None


def doctor(findings: Sequence[Finding], state: str) -> str:
    """What a practitioner would say, most urgent first."""
    if not findings:
        waiting = {
            "running": "The doctor speaks once there is something to see.",
            "queued": "The doctor speaks once the run has started.",
            "new": "The doctor speaks once the run has started.",
        }.get(state, "Nothing to remark.")
        return f'<h2>Doctor</h2><p class="hint">{waiting}</p>'
    return f"<h2>Doctor</h2><ul>{''.join(map(_finding, findings))}</ul>"


def _finding(item: Finding) -> str:
    advice = f'<p class="advice">{plain(item.advice)}</p>' if item.advice else ""
    return (
        f'<li class="{plain(item.severity)}"><h3>{plain(item.title)}</h3>'
        f"<p>{plain(item.sentence)}</p>{advice}</li>"
    )


def log(text: str, run: str) -> str:
    """The end of the trainer's own output."""
    body = plain(text) if text.strip() else "Nothing written yet."
    return (
        f'<details class="step" data-fold="log-{plain(run)}"><summary>Log</summary>'
        f'<pre class="log" tabindex="0">{body}</pre></details>'
    )

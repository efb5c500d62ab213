"""What of the Train tab changes with the runs: read by app.watch, drawn by the pure modules.

A part is sent to the browser only if it is another than the one last sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from app import errands, figures, monitor, result, rollouts, steps, trials, watch
from app.host import Host
from app.markup import plain
from app.parts import PARTS, Page
from app.watch import View
from rft import rehearsal
from rft.doctor import examine
from rft.errors import InputError
from rft.paired import compare
from rft.run import Run


def draw(page: Page, kept: Any, seen: Any) -> list[Any]:
    """What has changed since ``seen``, for ``page.drawn``, and what has then been seen."""
    return _draw(page, View.of(kept), seen if isinstance(seen, dict) else {})


def _draw(page: Page, view: View, seen: dict[str, Any]) -> list[Any]:
    """Every part of the page that has changed since ``seen``, and what has then been seen."""
    stamp = watch.stamp(page.root, view)
    if seen.get("stamp") == stamp:
        return [gr.skip()] * (len(PARTS) + 1)
    made = _parts(page.root, view, page.host)
    marks = {name: watch.digest(value) for name, value in made.items()}
    changed = [made[name] if seen.get(name) != marks[name] else gr.skip() for name in PARTS]
    return [*changed, {**marks, "stamp": stamp}]


def _parts(root: Path, view: View, host: Host) -> dict[str, Any]:
    rows = [watch.row(run) for run in watch.runs(root)]
    made: dict[str, Any] = dict.fromkeys(PARTS, "")
    made["runs"] = monitor.run_list(rows, view.run, view.over)
    run = watch.chosen(root, view)
    if run is None:
        return made | {"figure": None, "slider": None}
    sight = watch.sight(run)
    made["head"] = monitor.head(sight, allowed=host.training)
    if sight.config is None:
        return made | {"figure": None, "slider": None}
    mine, others = watch.curves(root, run, view.over)
    findings = examine(sight.config, sight.metrics, mine.heldout, watch.latest_groups(run))
    made["figure"] = figures.figures(mine, others)
    made["doctor"] = monitor.doctor(findings if sight.metrics else [], sight.state)
    every, at, groups = watch.groups(run, view.step)
    made["slider"] = {"run": run.id, "steps": every, "at": at, "latest": view.step is None}
    made["rollouts"] = rollouts.browser(groups, _address(run), sight.state)
    made["log"] = monitor.log(watch.log(run), run.id)
    made["after"] = _after(run)
    if sight.state == "done":
        made["keeping"] = _keeping(run, host)
    elif not sight.alive:
        dry, probe = (rehearsal.told(run, probe=which) for which in (False, True))
        made["trials"] = trials.panel(dry, probe, _address(run), allowed=host.training)
    made["strip"] = steps.strip(run, sight.config)
    return made


def _after(run: Run) -> str:
    before, after = run.before(), run.after()
    if before is None or after is None:
        return ""
    try:
        measure = run.config.measure
        found = compare(before, after, measure)
        return result.card(before, after, found, measure, chosen=run.config.chooses)
    except InputError as error:
        return steps.fault(error)


def _keeping(run: Run, host: Host) -> str:
    link = ""
    if (file := errands.packed(run)).exists():
        link = (
            f'<p class="outcome"><a download href="{_address(run)(str(file))}">{file.name}</a></p>'
        )
    return result.keeping(
        errands.standing(run), watch.proof(run), link,
        f'<p class="outcome">{plain(str(errands.merged(run)))}</p>', allowed=host.training,
    )  # fmt: skip


def _address(run: Run) -> Callable[[str], str]:
    return lambda name: f"gradio_api/file={quote(str(run.folder / name))}"

"""What the list of runs and the run that is looked at set off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app import errands, intake, recipes, watch
from app.faults import told
from app.panes import draw
from app.parts import ACTING, Page
from app.watch import View
from rft import process, rehearsal
from rft.run import Run
from rft.runs import delete, duplicate, find, rename


def wire_runs(page: Page) -> None:
    """The list, and what can be done with the run that is looked at."""
    root, seen, view = page.root, page.wires.seen, page.wires.view
    drawn = [view, *page.drawn, seen]

    def moving(change: Callable[[dict[str, Any], gr.EventData], dict[str, Any]]) -> Any:
        @told
        def handler(kept: Any, seen: Any, event: gr.EventData) -> Any:
            if change in touching:
                page.owned()
            kept = change(dict(kept or {}), event)
            return [kept, *draw(page, kept, seen)]

        return handler

    def pick(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        return {**kept, "run": event.run, "step": None}

    def fresh(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        return {**kept, "run": "", "step": None}

    def overlay(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        over = [name for name in View.of(kept).over if name != event.run]
        added = [] if len(over) < len(View.of(kept).over) else [event.run]
        return {**kept, "over": (over + added)[-watch.MOST_OVERLAID :]}

    def to_step(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        return {**kept, "step": None if event.step == "latest" else int(event.step)}

    def resume(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        page.start_run(_run(root, kept))
        return kept

    def stop(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        process.stop(_run(root, kept))
        return kept

    def renamed(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        rename(_run(root, kept), event.text)
        return kept

    def removed(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        delete(find(root, event.run))
        return {**kept, "run": ""}

    def dry(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        rehearsal.start(run := _run(root, kept), probe=False)
        page.spare(run)
        return kept

    def probe(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        rehearsal.start(run := _run(root, kept), probe=True)
        page.spare(run)
        return kept

    def unrehearse(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        rehearsal.stop(_run(root, kept))
        return kept

    def errand(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        errands.start(_run(root, kept), event.name)
        return kept

    def push(kept: dict[str, Any], event: gr.EventData) -> dict[str, Any]:
        errands.start(
            _run(root, kept), "push", repo=event.repo, token=event.token, public=event.public
        )
        return kept

    @told
    def copied(kept: Any, seen: Any, event: gr.EventData) -> Any:
        run = find(root, event.run)
        config, source = duplicate(run)
        kept = {**(kept or {}), "run": "", "step": None, "like": run.id}
        data = intake.like(source, config.task, len(run.problems("train")))
        return [kept, *draw(page, kept, seen), run.title, *data, *recipes.shown(config)]

    touching = (resume, stop, renamed, removed, dry, probe, unrehearse, errand, push)
    for part, name, change in (
        ("runs", "pick", pick), ("runs", "fresh", fresh), ("runs", "overlay", overlay),
        ("slider", "step", to_step), ("head", "resume", resume), ("head", "stop", stop),
        ("head", "renamed", renamed), ("head", "removed", removed),
        ("trials", "dry", dry), ("trials", "probe", probe), ("trials", "unrehearse", unrehearse),
        ("keeping", "errand", errand), ("keeping", "push", push),
    ):  # fmt: skip
        getattr(page.parts[part], name)(moving(change), [view, seen], drawn, **ACTING)
    page.parts["head"].duplicate(copied, [view, seen], [*drawn, page.title, *page.draft], **ACTING)


def _run(root: Path, kept: Any) -> Run:
    return find(root, View.of(kept).run)

"""The Train tab: its components, and which action each of them sets off.

A handler reads, calls rft, and returns what the pure modules draw. What a run is doing stands in
its folder; the browser keeps where its visitor looks, and the server nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from app import figures, intake, monitor, recipes, result, rollouts, samples, steps, watch
from app.faults import told
from app.host import Host
from app.intake import Sources
from app.watch import View
from rft import presets, process
from rft.doctor import examine
from rft.errors import InputError, StudioError
from rft.example import example_fault
from rft.paired import compare
from rft.presets import apply
from rft.run import Run
from rft.runs import create, delete, duplicate, find, rename

STORAGE_KEY = "reason-rft-studio-train"
POLL = 1.0  #: seconds between two looks at the runs

_PRIVATE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "queue": False,
}
_PARTS = ("runs", "head", "after", "strip", "figure", "doctor", "slider", "rollouts", "log")


@dataclass(frozen=True)
class Wires:
    """What must live outside the tab: unselected tabs have no components."""

    view: gr.BrowserState
    seen: gr.JSON
    timer: gr.Timer


def wires() -> Wires:
    """To be made at the top of the page."""
    return Wires(
        gr.BrowserState({}, storage_key=STORAGE_KEY, secret=STORAGE_KEY),
        gr.JSON({}, visible=False),
        gr.Timer(POLL, active=False),
    )


@dataclass(frozen=True)
class Page:
    """The components that handlers write to; ``draw`` says what has changed in ``parts``."""

    wires: Wires
    sources: Sources
    host: Host
    parts: dict[str, gr.HTML]
    data: intake.Intake
    recipe: recipes.Recipe
    summary: gr.HTML
    title: gr.Textbox
    start: gr.Button
    prepare: gr.Button

    def draw(self, kept: Any, seen: Any) -> list[Any]:
        """What has changed since ``seen``, for ``drawn`` and ``seen`` itself."""
        return _draw(self, View.of(kept), seen if isinstance(seen, dict) else {})

    @property
    def root(self) -> Path:
        """Where the runs are."""
        return self.sources.runs

    def owned(self) -> None:
        """InputError where visitors may look at runs and not touch them."""
        if not self.host.training:
            raise InputError(self.host.why)

    @property
    def drawn(self) -> list[Any]:
        return [self.parts[name] for name in _PARTS]

    @property
    def draft(self) -> list[Any]:
        return [*self.data.inputs, *self.recipe.inputs]


def tab(wires: Wires, sources: Sources, host: Host) -> Page:
    """Lay out the tab and wire it to the runs of ``sources``."""
    parts: dict[str, gr.HTML] = {}
    with gr.Row(elem_id="train"):
        parts["runs"] = _html("runs", "['pick', 'fresh', 'overlay']")
        with gr.Column(elem_id="forge"):
            gr.HTML(steps.WELCOME, elem_id="lead", apply_default_css=False, js_on_load=None)
            with gr.Row(elem_id="three"):
                with gr.Column(elem_id="step-data", elem_classes="stepcard"):
                    _title(1, "Data")
                    data = intake.intake()
                with gr.Column(elem_id="step-recipe", elem_classes="stepcard"):
                    _title(2, "Recipe")
                    recipe = recipes.recipe(presets.presets()[0], steps.checkpoints())
                with gr.Column(elem_id="step-run", elem_classes="stepcard"):
                    _title(3, "Run")
                    title = gr.Textbox(label="Name", placeholder="by itself", elem_id="run-title")
                    may: dict[str, Any] = {"interactive": host.training}
                    start = gr.Button("Start", variant="primary", elem_id="start", **may)
                    prepare = gr.Button("Only write the run", elem_id="prepare", **may)
                    if not host.training:
                        gr.HTML(steps.off(host), apply_default_css=False, js_on_load=None)
                    summary = gr.HTML(elem_id="summary", apply_default_css=False)
        with gr.Column(elem_id="instrument"):
            parts["head"] = _html(
                "head", "['stop', 'resume', 'renamed', 'duplicate', 'removed', 'chat']"
            )
            parts["after"] = _html("after", "['chat']")
            parts["strip"] = _html("strip", "[]")
            with gr.Row(elem_id="sight"):
                parts["figure"] = _live(
                    "figure", "studio.figure(element, props, watch)", steps.FIGURE
                )
                parts["doctor"] = _html("doctor", "[]")
            with gr.Column(elem_id="browser"):
                parts["slider"] = _live(
                    "slider", "studio.slider(element, props, watch, trigger, 'step')", steps.SLIDER
                )
                parts["rollouts"] = _html("rollouts", "[]", "; studio.rollouts(element, watch)")
            parts["log"] = _html("log", "[]")
    page = Page(wires, sources, host, parts, data, recipe, summary, title, start, prepare)
    _wire_draft(page)
    _wire_own(page)
    _wire_run(page)
    watched = [*page.drawn, wires.seen]
    wires.timer.tick(page.draw, [wires.view, wires.seen], watched, **_PRIVATE)
    return page


def join(page: Page, talking: gr.Tab, training: gr.Tab) -> None:
    """Look at the runs only while the tab is open, and at once when it is opened."""
    wires = page.wires

    def opened(kept: Any, seen: Any, *draft: Any) -> list[Any]:
        return [gr.Timer(active=True), *page.draw(kept, seen), *_judged(page, kept, draft)]

    training.select(
        opened,
        [wires.view, wires.seen, *page.draft],
        [wires.timer, *page.drawn, wires.seen, page.data.preview, page.summary],
        **_PRIVATE,
    )
    # In the browser alone: the page begins with Chat selected, and an answer to that which came
    # late would stop the timer of a visitor who has moved on.
    talking.select(
        None, None, [wires.timer], js="() => ({__type__: 'update', active: false})",
        api_visibility="private",
    )  # fmt: skip


def _html(elem_id: str, events: str, more: str = "") -> gr.HTML:
    return gr.HTML(
        js_on_load=f"studio.wire(element, trigger, watch, {events}){more}",
        apply_default_css=False,
        elem_id=elem_id,
    )


def _live(elem_id: str, script: str, frame: str) -> gr.HTML:
    """A part whose frame stays, so that it keeps what a visitor set in it; a script fills it."""
    return gr.HTML(
        None, html_template=frame, js_on_load=script, apply_default_css=False, elem_id=elem_id
    )


def _title(number: int, words: str) -> None:
    gr.HTML(f"<h2><b>{number}</b>{words}</h2>", apply_default_css=False, js_on_load=None)


def _judged(page: Page, kept: Any, draft: Sequence[Any]) -> tuple[str, str]:
    """The preview of the data and what would be run, or what is wrong with either."""
    try:
        chosen = page.sources.choose(kept, *draft[: len(page.data.inputs)])
    except StudioError as error:
        return steps.fault(error), ""
    preview = samples.preview(chosen.train, chosen.heldout, chosen.notes)
    return preview, _costed(page, kept, draft)


def _costed(page: Page, kept: Any, draft: Sequence[Any]) -> str:
    amount = len(page.data.inputs)
    try:
        chosen = page.sources.choose(kept, *draft[:amount])
        config = recipes.config_of(draft[amount:], chosen.task, len(chosen.train))
    except StudioError as error:
        return steps.fault(error)
    return steps.summary(config, chosen)


def _wire_draft(page: Page) -> None:
    """The form: what is chosen is shown and judged; Start makes a run of it."""
    data, recipe, wires = page.data, page.recipe, page.wires
    amount = len(data.inputs)

    def judge(kept: Any, *draft: Any) -> tuple[str, str]:
        return _judged(page, kept, draft)

    def cost(kept: Any, *draft: Any) -> str:
        return _costed(page, kept, draft)

    def preset(name: str, task: Any, method: Any) -> list[Any]:
        config = apply(presets.preset(name), task=task, method=method)
        return [gr.Slider(value=config.samples, maximum=max(128, config.samples)),
                *recipes.shown(config)]  # fmt: skip

    def of_task(task: Any) -> list[Any]:
        return [gr.Dropdown(intake.splits_of(task), value="train"), recipes.rewards_of(task)]

    def make(kept: Any, title: str, *draft: Any) -> Run:
        page.owned()
        chosen = page.sources.choose(kept, *draft[:amount])
        config = recipes.config_of(draft[amount:], chosen.task, len(chosen.train))
        source = dict(chosen.source)
        return create(page.root, config, chosen.train, chosen.heldout, title=title, source=source)

    @told
    def begin(kept: Any, seen: Any, title: str, *draft: Any) -> Any:
        run = make(kept, title, *draft)
        process.start(run)
        view = {**kept, "run": run.id, "step": None}
        return [view, "", *page.draw(view, seen)]

    @told
    def prepare(kept: Any, seen: Any, title: str, *draft: Any) -> Any:
        view = {**kept, "run": make(kept, title, *draft).id, "step": None}
        return [view, "", *page.draw(view, seen)]

    asked = [wires.view, wires.seen, page.title, *page.draft]
    answered = [wires.view, page.title, *page.drawn, wires.seen]
    page.start.click(begin, asked, answered, **_PRIVATE)
    page.prepare.click(prepare, asked, answered, **_PRIVATE)
    data.task.input(of_task, [data.task], [data.split, recipe.control("rewards")], **_PRIVATE)
    recipe.preset.input(
        told(preset), [recipe.preset, data.task, recipe.method], [data.k, *recipe.inputs],
        **_PRIVATE,
    )  # fmt: skip
    judged = [wires.view, *page.draft]
    last: dict[str, Any] = {**_PRIVATE, "trigger_mode": "always_last"}
    gr.on(
        [part.change for part in data.inputs], judge, judged, [data.preview, page.summary], **last
    )
    # The preview stays as it is when only the recipe changes: pictures cost more than words.
    gr.on([part.change for part in recipe.inputs], cost, judged,
          [page.summary], **last)  # fmt: skip
    fields = list(zip(recipes.FIELDS, recipe.controls, strict=True))
    recipe.method.change(
        lambda method: [
            recipes.note(method), *(gr.update(visible=recipes.used(f.name, method)) for f, _ in fields)
        ],
        [recipe.method], [recipe.note, *recipe.controls], **_PRIVATE,
    )  # fmt: skip


def _wire_own(page: Page) -> None:
    """Data that a visitor brings: an upload, or examples made in the page."""
    data, view, drafts = page.data, page.wires.view, page.sources.drafts
    judged = [data.preview, page.summary]

    def mine(kept: Any) -> tuple[dict[str, Any], str]:
        page.owned()
        draft = drafts.known((kept or {}).get("draft")) or drafts.new()
        return {**(kept or {}), "draft": draft}, draft

    def shown(kept: dict[str, Any], task: Any) -> str:
        examples = drafts.examples(kept.get("draft"))
        return samples.made(examples, [example_fault(task, item) for item in examples])

    @told
    def receive(kept: Any, files: list[str] | None, *draft: Any) -> Any:
        kept, own = mine(kept)
        if files:
            drafts.receive(own, [Path(file) for file in files])
        return kept, *_judged(page, kept, draft)

    @told
    def add(kept: Any, message: dict[str, Any], answer: str, *draft: Any) -> Any:
        kept, own = mine(kept)
        drafts.add(own, [Path(file) for file in message["files"]], message["text"], answer)
        return kept, None, "", shown(kept, draft[1]), *_judged(page, kept, draft)

    @told
    def amend(kept: Any, event: gr.EventData, *draft: Any) -> Any:
        kept, own = mine(kept)
        if event.field not in ("question", "answer", "cot"):
            raise InputError("An example has a question, an answer and a chain of thought.")
        drafts.amend(own, int(event.index), **{event.field: str(event.text)})
        return kept, shown(kept, draft[1]), *_judged(page, kept, draft)

    @told
    def drop(kept: Any, event: gr.EventData, *draft: Any) -> Any:
        kept, own = mine(kept)
        drafts.drop(own, int(event.index))
        return kept, shown(kept, draft[1]), *_judged(page, kept, draft)

    def turned(kept: Any, origin: str, task: Any) -> list[Any]:
        fewer = (
            [gr.update(value=2), shown(kept or {}, task)]
            if origin == "handmade"
            else [gr.skip()] * 2
        )
        return [*intake.visible(origin), *fewer]

    data.upload.change(
        receive, [view, data.upload, *page.draft], [view, *judged],
        **{**_PRIVATE, "show_progress": "minimal"},
    )  # fmt: skip
    filled = [view, data.composer, data.answer, *page.draft]
    emptied = [view, data.composer, data.answer, data.made, *judged]
    data.add.click(add, filled, emptied, **_PRIVATE)
    data.answer.submit(add, filled, emptied, **_PRIVATE)
    data.made.amend(amend, [view, *page.draft], [view, data.made, *judged], **_PRIVATE)
    data.made.drop(drop, [view, *page.draft], [view, data.made, *judged], **_PRIVATE)
    data.origin.change(
        turned, [view, data.origin, data.task],
        [data.task, data.split, data.upload, data.maker, data.k, data.seed, data.heldout, data.made],
        **_PRIVATE,
    )  # fmt: skip


def _wire_run(page: Page) -> None:
    """The list, and what can be done with the run that is looked at."""
    root, draw, seen, view = page.root, page.draw, page.wires.seen, page.wires.view
    drawn = [view, *page.drawn, seen]

    def moving(change: Callable[[dict[str, Any], gr.EventData], dict[str, Any]]) -> Any:
        @told
        def handler(kept: Any, seen: Any, event: gr.EventData) -> Any:
            if change in touching:
                page.owned()
            kept = change(dict(kept or {}), event)
            return [kept, *draw(kept, seen)]

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
        process.start(_run(root, kept))
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

    @told
    def copied(kept: Any, seen: Any, event: gr.EventData) -> Any:
        run = find(root, event.run)
        config, source = duplicate(run)
        kept = {**(kept or {}), "run": "", "step": None, "like": run.id}
        data = intake.like(source, config.task, len(run.problems("train")))
        return [kept, *draw(kept, seen), run.title, *data, *recipes.shown(config)]

    touching = (resume, stop, renamed, removed)
    for part, name, change in (
        ("runs", "pick", pick), ("runs", "fresh", fresh), ("runs", "overlay", overlay),
        ("slider", "step", to_step), ("head", "resume", resume), ("head", "stop", stop),
        ("head", "renamed", renamed), ("head", "removed", removed),
    ):  # fmt: skip
        getattr(page.parts[part], name)(moving(change), [view, seen], drawn, **_PRIVATE)
    page.parts["head"].duplicate(
        copied, [view, seen], [*drawn, page.title, *page.draft], **_PRIVATE
    )


def _run(root: Path, kept: Any) -> Run:
    return find(root, View.of(kept).run)


def _draw(page: Page, view: View, seen: dict[str, Any]) -> list[Any]:
    """Every part of the page that has changed since ``seen``, and what has then been seen."""
    stamp = watch.stamp(page.root, view)
    if seen.get("stamp") == stamp:
        return [gr.skip()] * (len(_PARTS) + 1)
    made = _parts(page.root, view, page.host)
    marks = {name: watch.digest(value) for name, value in made.items()}
    changed = [made[name] if seen.get(name) != marks[name] else gr.skip() for name in _PARTS]
    return [*changed, {**marks, "stamp": stamp}]


def _parts(root: Path, view: View, host: Host) -> dict[str, Any]:
    rows = [watch.row(run) for run in watch.runs(root)]
    made: dict[str, Any] = dict.fromkeys(_PARTS, "")
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
    made["strip"] = steps.strip(run, sight.config)
    return made


def _after(run: Run) -> str:
    before, after = run.before(), run.after()
    if before is None or after is None:
        return ""
    try:
        return result.card(before, after, compare(before, after))
    except InputError as error:
        return steps.fault(error)


def _address(run: Run) -> Callable[[str], str]:
    return lambda name: f"gradio_api/file={quote(str(run.folder / name))}"


__all__ = ("STORAGE_KEY", "Wires", "join", "tab", "wires")

"""The Train tab's components: what there is, and where it stands. No handler in here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app import intake, recipes, sharing, steps
from app.host import Host
from app.intake import Sources
from app.markup import plain
from rft import presets, process
from rft.engine import Engine
from rft.errors import InputError
from rft.run import Run
from rft.runs import training

STORAGE_KEY = "reason-rft-studio-train"
POLL = 1.0  #: seconds between two looks at the runs

#: How a handler is wired whose StudioErrors are to be seen: Gradio shows those of the queue alone.
ACTING: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
#: How one is wired that only looks: answered at once.
PRIVATE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "queue": False,
}
#: What is drawn anew when a run's files change.
PARTS = (
    "runs",
    "head",
    "after",
    "strip",
    "trials",
    "keeping",
    "figure",
    "doctor",
    "slider",
    "rollouts",
    "log",
)


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
    """The components that handlers write to."""

    wires: Wires
    sources: Sources
    host: Host
    engine: Engine
    parts: dict[str, gr.HTML]
    data: intake.Intake
    recipe: recipes.Recipe
    summary: gr.HTML
    title: gr.Textbox
    start: gr.Button
    prepare: gr.Button

    @property
    def root(self) -> Path:
        """Where the runs are."""
        return self.sources.runs

    def owned(self) -> None:
        """InputError where visitors may look at runs and not touch them."""
        if not self.host.training:
            raise InputError(self.host.why)

    def start_run(self, run: Run) -> None:
        """Start the run's trainer, with room for it; InputError where it cannot be started."""
        waits = training(run.root) is not None
        process.start(run)
        if not waits:
            self.spare(run)

    def spare(self, run: Run) -> None:
        """Release what Chat holds of the memory that the run needs, and say so."""
        if told := sharing.spare(self.engine, run):
            gr.Info(plain(told))

    @property
    def drawn(self) -> list[Any]:
        return [self.parts[name] for name in PARTS]

    @property
    def draft(self) -> list[Any]:
        return [*self.data.inputs, *self.recipe.inputs]


def lay_out(wires: Wires, sources: Sources, host: Host, engine: Engine) -> Page:
    """Lay out the tab."""
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
                    title = gr.Textbox(
                        label="Name", placeholder="given if left empty", elem_id="run-title"
                    )
                    may: dict[str, Any] = {"interactive": host.training}
                    start = gr.Button("Start", variant="primary", elem_id="start", **may)
                    prepare = gr.Button("Try it first: dry run, probe", elem_id="prepare", **may)
                    if not host.training:
                        gr.HTML(steps.off(host), apply_default_css=False, js_on_load=None)
                    summary = gr.HTML(elem_id="summary", apply_default_css=False)
        with gr.Column(elem_id="instrument"):
            parts["head"] = _html(
                "head", "['stop', 'resume', 'renamed', 'duplicate', 'removed', 'chat']"
            )
            parts["after"] = _html("after", "['chat']")
            parts["strip"] = _html("strip", "[]")
            parts["keeping"] = _html("keeping", "['errand', 'push']")
            parts["trials"] = _html(
                "trials", "['dry', 'probe', 'unrehearse']", "; studio.rollouts(element, watch)"
            )
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
    return Page(wires, sources, host, engine, parts, data, recipe, summary, title, start, prepare)


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

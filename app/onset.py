"""The Compare tab's other half: all checkpoints over a set of problems, in the background.

Components, and what they set off of app.sittings. What a comparison is doing stands in its folder; the browser
keeps which one its visitor looks at, and the server nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import gradio as gr

from app import api, reportfile
from app.asking import AT_ONCE, PRIVATE, part
from app.faults import told
from app.host import SHORT_ONLY, STRANGERS_PROBLEMS, Host
from app.markup import plain
from app.panel import task_of
from app.sittings import OWN, PARTS, Sittings
from rft import process
from rft.errors import InputError
from rft.match import Match
from rft.problemset import MOST
from rft.runs import delete
from rft.scenes import SPLIT_NAMES, SPLITS
from rft.types import TaskName

POLL = 1.5  #: seconds between two looks
FILES = [".zip", ".json", ".jsonl", "image"]
_N = 100
_DECODINGS = [("Greedy", "greedy"), ("As the paper: temperature 0.1", "paper")]
_MODES = (
    '<div class="switch" role="tablist" aria-label="What to compare on">'
    '<button role="tab" data-do="mode" data-mode="one">One question</button>'
    '<button role="tab" data-do="mode" data-mode="set">On a set</button></div>'
)
_CASE = '<div id="case" popover="auto" role="dialog" aria-label="Problem" class="case-of">${value}</div>'


@dataclass(frozen=True)
class Wires:
    """What must live outside the tab: unselected tabs have no components."""

    seen: gr.JSON
    timer: gr.Timer


def wires() -> Wires:
    """To be made at the top of the page."""
    return Wires(gr.JSON({}, visible=False), gr.Timer(POLL, active=False))


@dataclass(frozen=True)
class Page:
    """The components that handlers read and write."""

    wires: Wires
    mode: gr.HTML
    line: gr.HTML
    problems: gr.Dropdown
    upload: gr.File
    found: gr.HTML
    n: gr.Number
    how: gr.Dropdown
    start: gr.Button
    parts: dict[str, gr.HTML]
    case: gr.HTML

    @property
    def drawn(self) -> list[Any]:
        return [*(self.parts[name] for name in PARTS), self.wires.seen]


def switch() -> gr.HTML:
    """The control that turns from one question to a set and back; the browser keeps which."""
    return gr.HTML(
        _MODES,
        js_on_load="studio.wire(element, trigger, watch, ['mode']); studio.modes(element)",
        apply_default_css=False,
        elem_id="c-mode",
    )


def lay_out(wires: Wires, mode: gr.HTML, host: Host) -> Page:
    """Lay out what stands below the switch; hidden by the style sheet unless it is on."""
    with gr.Column(elem_id="onset"):
        line = part("o-line", "['browse', 'drop']")
        with gr.Row(elem_id="o-choice"):
            problems = gr.Dropdown(
                splits_of("counting", host), value="id", label="Problems", elem_id="o-problems"
            )
            most = MOST if host.evaluating else STRANGERS_PROBLEMS
            n = gr.Number(min(_N, most), label="How many", precision=0, elem_id="o-n")
            how = gr.Dropdown(_DECODINGS, value="greedy", label="Decoding", elem_id="o-how")
            start = gr.Button("Ask them all", variant="primary", elem_id="o-start")
        upload = gr.File(
            label="A zip, or JSON / JSONL with its images", file_count="multiple",
            file_types=FILES, visible=False, height=120, elem_id="o-upload",
        )  # fmt: skip
        found = part("o-found", "[]")
        if not host.evaluating:
            note = f'<p class="hint">{SHORT_ONLY}</p>'
            gr.HTML(note, apply_default_css=False, js_on_load=None, elem_id="o-host")
        parts = {
            "o-list": part("o-list", "['pick']"),
            "o-head": part("o-head", "['halt', 'resume', 'removed', 'saved']"),
            "o-bars": part("o-bars", "['measure']"),
            "o-table": part("o-table", "['wanted', 'kind', 'leaf', 'case']"),
        }
        case = part("o-case", "['case']", template=_CASE)
    return Page(wires, mode, line, problems, upload, found, n, how, start, parts, case)


def splits_of(task: TaskName, host: Host) -> list[tuple[str, str]]:
    """What can be asked of a task, as a control lists it."""
    drawn: list[tuple[str, str]] = [
        (SPLIT_NAMES[split].capitalize(), split) for split in SPLITS[task] if split != "train"
    ]
    return [*drawn, ("A set of mine…", OWN)] if host.evaluating else drawn


def wire(
    page: Page, sittings: Sittings, session: gr.BrowserState, task: Any, seed: Any,
    parcel: gr.HTML, opened: gr.Tab,
) -> None:  # fmt: skip
    """What the controls set off, and looking at the files while the set is shown."""
    wires, host = page.wires, sittings.host
    looked = [session, *page.drawn]

    def sent(kept: dict[str, Any], seen: Any) -> list[Any]:
        try:
            changed, now = sittings.draw(kept, seen)
        except InputError:  # deleted between two looks: the next one comes in a moment
            changed, now = {}, seen
        shown = (changed.get(name, gr.skip()) for name in PARTS)
        return [*shown, gr.skip() if now is seen else now]

    def drawn(kept: dict[str, Any], seen: Any) -> list[Any]:
        return [kept, *sent(kept, seen)]

    # Both may take a while, in which the visitor goes on: only what is new is handed on, and laid
    # over what the browser keeps by then.
    @told
    def begin(kept: dict[str, Any], task: str, *choice: Any) -> dict[str, Any]:
        made, note = sittings.begin(kept, task_of(task), *choice)
        if note:
            gr.Info(plain(note))
        return {"match": made.id, "o_wanted": "", "o_kind": "", "o_page": 0}

    @told
    def receive(kept: dict[str, Any], files: list[str] | None, task: str) -> Any:
        if not files:
            return {}, gr.skip()
        paths = [api.path(file) for file in files]
        new, found = sittings.receive(kept, paths, task_of(task))
        return new, f'<p class="hint">{plain(found)}</p>'

    def begun(kept: dict[str, Any], seen: Any, new: dict[str, Any]) -> list[Any]:
        return drawn({**kept, **new}, seen)

    def of_task(task: str) -> Any:
        name = task_of(task)
        return gr.skip() if name is None else gr.Dropdown(splits_of(name, host), value="id")

    def looking(**change: Callable[[gr.EventData], Any]) -> Any:
        @told
        def handler(kept: dict[str, Any], seen: Any, event: gr.EventData) -> list[Any]:
            new = {key: of(event) for key, of in change.items()}
            return drawn({**kept, "o_page": 0, **new}, seen)

        return handler

    def acting(act: Callable[[Match], None]) -> Any:
        @told
        def handler(kept: dict[str, Any], seen: Any, event: gr.EventData) -> list[Any]:
            act(sittings.mine(event.match))
            return drawn(kept, seen)

        return handler

    @told
    def save(kept: dict[str, Any], event: gr.EventData) -> dict[str, str]:
        text = sittings.report(kept, event.match)
        return {"name": reportfile.NAME, "type": "text/html", "text": text}

    @told
    def open_case(kept: dict[str, Any], event: gr.EventData) -> str:
        return sittings.case(kept, int(event.number))

    def turned(kept: dict[str, Any], on: bool) -> list[Any]:
        # Drawn anew: what was drawn before went with the tab, or may have gone.
        drawing = sent(kept, {}) if on else [gr.skip()] * len(page.drawn)
        return [gr.Timer(active=on), *drawing]

    def turn(kept: dict[str, Any], event: gr.EventData) -> list[Any]:
        return turned(kept, event.mode == "set")

    def come(kept: dict[str, Any], mode: str) -> list[Any]:
        return turned(kept, mode == "set")

    chosen = [page.problems, page.n, seed, page.how]
    made, new = gr.State(), gr.State()
    page.start.click(begin, [session, task, *chosen], [made], **PRIVATE).success(
        begun, [session, wires.seen, made], looked, **PRIVATE
    )
    page.upload.upload(receive, [session, page.upload, task], [new, page.found], **PRIVATE).success(
        lambda kept, new: {**kept, **new}, [session, new], [session], **PRIVATE
    )
    page.upload.clear(lambda: "", None, [page.found], **AT_ONCE)
    page.problems.change(
        lambda split: (gr.File(visible=split == OWN), gr.HTML(visible=split == OWN)),
        [page.problems],
        [page.upload, page.found],
        **AT_ONCE,
    )
    task.change(of_task, [task], [page.problems], **AT_ONCE)
    for name, event, change in (
        ("o-list", "pick", {"match": lambda e: e.match, "o_wanted": _nothing, "o_kind": _nothing}),
        ("o-bars", "measure", {"o_measure": lambda e: e.measure}),
        ("o-table", "wanted", {"o_wanted": lambda e: e.pattern}),
        ("o-table", "kind", {"o_kind": lambda e: e.kind}),
        ("o-table", "leaf", {"o_page": lambda e: int(e.page)}),
    ):
        handler = looking(**cast(Any, change))
        getattr(page.parts[name], event)(handler, [session, wires.seen], looked, **PRIVATE)
    head = page.parts["o-head"]
    for event, act in (
        ("halt", process.stop),
        ("resume", sittings.resume),
        ("removed", delete),
    ):
        getattr(head, event)(acting(act), [session, wires.seen], looked, **PRIVATE)
    head.saved(save, [session], [parcel], **PRIVATE)
    for place in (page.parts["o-table"], page.case):
        place.case(open_case, [session], [page.case], **PRIVATE)
    page.mode.mode(turn, [session], [wires.timer, *page.drawn], **AT_ONCE)
    opened.select(
        come, [session, page.mode], [wires.timer, *page.drawn],
        js="(kept) => [kept, studio.mode()]", **AT_ONCE,
    )  # fmt: skip
    wires.timer.tick(sent, [session, wires.seen], page.drawn, **AT_ONCE)


def leave(page: Page, others: Sequence[gr.Tab]) -> None:
    """Look no further while another tab is open."""
    for other in others:
        other.select(
            None, None, [page.wires.timer], js="() => ({__type__: 'update', active: false})",
            api_visibility="private",
        )  # fmt: skip


def _nothing(_: Any) -> str:
    return ""

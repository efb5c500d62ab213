"""The Compare tab's other half: all checkpoints over a set of problems, in the background.

Components and what they set off. What a comparison is doing stands in its folder; the browser
keeps which one its visitor looks at, and the server nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import gradio as gr

from app import api, cases, sets, sharing, standings
from app.asking import AT_ONCE, PRIVATE, part
from app.comparison import Comparisons
from app.drafts import Drafts
from app.faults import told
from app.host import SHORT_ONLY, STRANGERS_PROBLEMS, Host
from app.panel import LARGEST_SEED, PAPER, task_of
from app.sets import View
from app.watch import digest
from rft import contest, process
from rft.errors import InputError
from rft.images import open_image
from rft.match import Match, create, find, matches
from rft.problemset import MOST, NAMES, ProblemSet, from_folder
from rft.run import ROOT
from rft.runs import delete
from rft.scenes import SPLITS
from rft.types import Decoding, Problem, TaskName

POLL = 1.5  #: seconds between two looks
OWN = "own"
FILES = [".zip", ".json", ".jsonl", "image"]
_N = 100
_DECODINGS = [("Greedy", "greedy"), ("As the paper: temperature 0.1", "paper")]
_MODES = (
    '<div class="switch" role="tablist" aria-label="What to compare on">'
    '<button role="tab" data-do="mode" data-mode="one">One question</button>'
    '<button role="tab" data-do="mode" data-mode="set">On a set</button></div>'
)
_CASE = '<div id="case" popover="auto" role="dialog" aria-label="Problem" class="case-of">${value}</div>'
#: What is drawn anew when a comparison's files change.
_PARTS = ("o-list", "o-head", "o-bars", "o-table")


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
    n: gr.Number
    how: gr.Dropdown
    start: gr.Button
    parts: dict[str, gr.HTML]
    case: gr.HTML

    @property
    def drawn(self) -> list[Any]:
        return [*(self.parts[name] for name in _PARTS), self.wires.seen]


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
            n = gr.Number(
                min(_N, most), label="How many", precision=0, minimum=1, maximum=most,
                elem_id="o-n",
            )  # fmt: skip
            how = gr.Dropdown(_DECODINGS, value="greedy", label="Decoding", elem_id="o-how")
            start = gr.Button("Ask them all", variant="primary", elem_id="o-start")
        upload = gr.File(
            label="A zip, or JSON / JSONL with its images", file_count="multiple",
            file_types=FILES, visible=False, height=120, elem_id="o-upload",
        )  # fmt: skip
        if not host.evaluating:
            note = f'<p class="hint">{SHORT_ONLY}</p>'
            gr.HTML(note, apply_default_css=False, js_on_load=None, elem_id="o-host")
        parts = {
            "o-list": part("o-list", "['pick']"),
            "o-head": part("o-head", "['halt', 'resume', 'removed']"),
            "o-bars": part("o-bars", "['measure']"),
            "o-table": part("o-table", "['wanted', 'kind', 'leaf', 'case']"),
        }
        case = part("o-case", "['case']", template=_CASE)
    return Page(wires, mode, line, problems, upload, n, how, start, parts, case)


def splits_of(task: TaskName, host: Host) -> list[tuple[str, str]]:
    """What can be asked of a task, as a control lists it."""
    drawn: list[tuple[str, str]] = [
        (NAMES[split].capitalize(), split) for split in SPLITS[task] if split != "train"
    ]
    return [*drawn, ("A set of mine…", OWN)] if host.evaluating else drawn


@dataclass(frozen=True)
class Sittings:
    """Comparisons over a set: made of what the page says, started, looked at."""

    all: Comparisons
    drafts: Drafts

    @property
    def root(self) -> Path:
        """Where they are, among the runs."""
        return self.all.room.runs or ROOT

    @property
    def host(self) -> Host:
        """Who may do what."""
        return self.all.room.host

    def draw(self, kept: Any, seen: Any) -> list[Any]:
        """The parts that have changed since ``seen``, and what has then been seen."""
        view = View.of(kept)
        seen = seen if isinstance(seen, dict) else {}
        stamp = digest([repr(view), sets.stamp(self.root, view)])
        if seen.get("stamp") == stamp:
            return [gr.skip()] * (len(_PARTS) + 1)
        made = self._parts(view)
        marks = {name: digest(value) for name, value in made.items()}
        changed = [made[name] if seen.get(name) != marks[name] else gr.skip() for name in _PARTS]
        return [*changed, {**marks, "stamp": stamp}]

    def _parts(self, view: View) -> dict[str, str]:
        match = sets.chosen(self.root, view)
        if match is None:
            return dict.fromkeys(_PARTS, "") | {"o-head": standings.NOTHING}
        sheet = sets.sheet(match, view.measure)
        may = self.may(match)
        return {
            "o-list": standings.shelf(sets.listed(self.root), match.id),
            "o-head": standings.head(sheet, may_stop=may, may_delete=may),
            "o-bars": standings.bars(sheet),
            "o-table": cases.table(sheet, view),
        }

    def case(self, kept: Any, number: int) -> str:
        """One problem, opened."""
        view = View.of(kept)
        match = sets.chosen(self.root, view)
        if match is None:
            return cases.gone("That evaluation is no longer there: choose one of the list.")
        sheet = sets.sheet(match, view.measure)
        wanted = [row.number for row in view.rows(sheet)]
        row = next((row for row in sheet.rows if row.number == number), None)
        if row is None:
            return cases.gone("That problem was not asked yet: wait a moment.")
        before = [other for other in wanted if other < number][-1:]
        after = [other for other in wanted if other > number][:1]
        around = before[0] if before else None, after[0] if after else None
        try:
            pictures = [open_image(picture) for picture in match.problem(number).images]
        except InputError as error:
            return cases.gone(str(error))
        return cases.case(sheet, row, around, pictures)

    def begin(
        self, kept: dict[str, Any], task: TaskName | None, split: str, n: Any, seed: Any, how: str
    ) -> Match:
        """Make a comparison of what the page says, and start it. InputError says what is wrong."""
        if task is None:
            raise InputError("Choose a task: a free question has no gold answer to be judged by.")
        cards = self.all.lineup(kept.get("cards"), task)
        for card in cards:
            self.all.room.ready(card)
        count = int(n) if n and n == n else 0
        number = 0 if seed is None or seed != seed else int(min(max(seed, 0), LARGEST_SEED))
        self.allowed(count, split == OWN, all(card.bundled for card in cards))
        own: Sequence[Problem] = ()
        if split == OWN:
            folder = self.drafts.uploaded(kept.get("draft"))
            name = str(kept.get("draft_name") or "the uploaded set")
            chosen, own = from_folder(folder, task, count, number, name)
        else:
            chosen = ProblemSet(task, split, count, number)
        greedy = Decoding(temperature=0.0, max_new_tokens=PAPER.max_new_tokens)
        decoding = greedy if how == "greedy" else replace(PAPER, seed=number)
        match = create(self.root, cards, chosen, decoding, own, visitor=not self.host.evaluating)
        contest.start(match, self.all.room.zoo_file)
        if note := sharing.spare_for(self.all.room.engine, cards):
            gr.Info(note)
        return match

    def allowed(self, n: int, own: bool, bundled: bool) -> None:
        """InputError where a stranger asks for more than the owner of a public page lets him."""
        if self.host.evaluating:
            return
        if own or not bundled or n > STRANGERS_PROBLEMS:
            raise InputError(SHORT_ONLY)
        if any(m.by_visitor and m.state() in ("running", "queued") for m in matches(self.root)):
            raise InputError("Another visitor's evaluation is under way: wait for its end.")

    def may(self, match: Match) -> bool:
        """Whether this host's visitors may stop, resume and delete it."""
        return self.host.evaluating or match.by_visitor

    def mine(self, kept: Any) -> Match:
        """The comparison that is looked at, to be changed. InputError for a stranger's hands."""
        match = sets.chosen(self.root, View.of(kept))
        if match is None:
            raise InputError("That evaluation is no longer there: choose one of the list.")
        if not self.may(match):
            raise InputError(SHORT_ONLY)
        return find(self.root, match.id)


def wire(
    page: Page, sittings: Sittings, session: gr.BrowserState, task: Any, seed: Any, opened: gr.Tab
) -> None:
    """What the controls set off, and looking at the files while the set is shown."""
    wires, host = page.wires, sittings.host
    looked = [session, *page.drawn]

    def drawn(kept: dict[str, Any], seen: Any) -> list[Any]:
        return [kept, *sittings.draw(kept, seen)]

    @told
    def begin(kept: dict[str, Any], seen: Any, task: str, *choice: Any) -> list[Any]:
        made = sittings.begin(kept, task_of(task), *choice)
        return drawn({**kept, "match": made.id, "o_wanted": "", "o_kind": "", "o_page": 0}, seen)

    @told
    def receive(kept: dict[str, Any], files: list[str] | None) -> dict[str, Any]:
        if not files:
            return kept
        if not host.evaluating:
            raise InputError(SHORT_ONLY)
        id = sittings.drafts.known(kept.get("draft")) or sittings.drafts.new()
        paths = [api.path(file) for file in files]
        sittings.drafts.receive(id, paths)
        name = next((p.name for p in paths if p.suffix in (".zip", ".json", ".jsonl")), "the set")
        return {**kept, "draft": id, "draft_name": name[:60]}

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
        def handler(kept: dict[str, Any], seen: Any) -> list[Any]:
            act(sittings.mine(kept))
            return drawn(kept, seen)

        return handler

    @told
    def open_case(kept: dict[str, Any], event: gr.EventData) -> str:
        return sittings.case(kept, int(event.number))

    def turned(kept: dict[str, Any], on: bool) -> list[Any]:
        # Drawn anew: what was drawn before went with the tab, or may have gone.
        drawing = sittings.draw(kept, {}) if on else [gr.skip()] * len(page.drawn)
        return [gr.Timer(active=on), *drawing]

    def turn(kept: dict[str, Any], event: gr.EventData) -> list[Any]:
        return turned(kept, event.mode == "set")

    def come(kept: dict[str, Any], mode: str) -> list[Any]:
        return turned(kept, mode == "set")

    def tick(kept: dict[str, Any], seen: Any) -> list[Any]:
        return sittings.draw(kept, seen)

    chosen = [page.problems, page.n, seed, page.how]
    page.start.click(begin, [session, wires.seen, task, *chosen], looked, **PRIVATE)
    page.upload.upload(receive, [session, page.upload], [session], **PRIVATE)
    page.problems.change(
        lambda split: gr.File(visible=split == OWN), [page.problems], [page.upload], **AT_ONCE
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
        ("resume", lambda match: contest.start(match, sittings.all.room.zoo_file)),
        ("removed", delete),
    ):
        getattr(head, event)(acting(act), [session, wires.seen], looked, **PRIVATE)
    for place in (page.parts["o-table"], page.case):
        place.case(open_case, [session], [page.case], **PRIVATE)
    page.mode.mode(turn, [session], [wires.timer, *page.drawn], **AT_ONCE)
    opened.select(
        come, [session, page.mode], [wires.timer, *page.drawn],
        js="(kept) => [kept, studio.mode()]", **AT_ONCE,
    )  # fmt: skip
    wires.timer.tick(tick, [session, wires.seen], page.drawn, **AT_ONCE)


def leave(page: Page, others: Sequence[gr.Tab]) -> None:
    """Look no further while another tab is open."""
    for other in others:
        other.select(
            None, None, [page.wires.timer], js="() => ({__type__: 'update', active: false})",
            api_visibility="private",
        )  # fmt: skip


def _nothing(_: Any) -> str:
    return ""

"""A comparison over a set as HTML: how far it is, how often each is right, and whether it matters.

Pure. Titles and sentences pass app.markup. The bars are drawn here: a share, its interval as a
whisker, in the colour of the stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.icons import icon
from app.markup import plain
from app.picker import badge
from app.progress import about, line
from app.sets import Column, Listed, Sheet
from app.theme import stage_look
from rft.tasks import TASKS
from rft.zoo import Card

_STATES = {
    "new": "not started",
    "queued": "waiting",
    "running": "running",
    "stopped": "stopped",
    "error": "not all answered",
    "done": "done",
}
#: What counts as right, in words.
MEASURES = {"strict": "inside <answer>", "lenient": "with or without the tag"}

NOTHING = (
    '<section class="nothing"><p>All checkpoints answer the same problems, one after the other, in '
    "the background: it goes on when this page is closed. Here will stand how often each is right, "
    "whether a difference is more than chance, and every problem with what each answered.</p>"
    "</section>"
)


def lineup(cards: Sequence[Card], most: int, fewest: int) -> str:
    """Whom a comparison would be of: a row of names, each to change or to remove."""
    tools = [
        f'<li class="stage-{stage_look(card.stage).slug}"><div>{badge(card)}'
        f'<b title="{plain(card.id)}">{plain(card.title)}</b></div><span class="tools">'
        f'<button class="tool" data-do="browse" data-opens="lineup" data-pane="{place}" '
        f'aria-label="Change {plain(card.title)} of the set">{icon("swap")}</button>'
        f"{_drop(card, place) if len(cards) > fewest else ''}</span></li>"
        for place, card in enumerate(cards)
    ]
    add = "" if len(cards) >= most else (
        f'<li class="more"><button data-do="browse" data-opens="lineup" data-pane="{len(cards)}">'
        f"{icon('plus')}Add</button></li>"
    )  # fmt: skip
    return f'<ul class="line" aria-label="Checkpoints to ask">{"".join(tools)}{add}</ul>'


def _drop(card: Card, place: int) -> str:
    return (
        f'<button class="tool" data-do="drop" data-pane="{place}" '
        f'aria-label="Remove {plain(card.title)} from the set">{icon("close")}</button>'
    )


def shelf(items: Sequence[Listed], current: str) -> str:
    """The comparisons that there are, newest first, to look at again."""
    if len(items) < 2:
        return ""
    rows = "".join(
        f'<li><button data-do="pick" data-match="{plain(item.id)}" '
        f'aria-current="{str(item.id == current).lower()}" title="{plain(", ".join(item.names))}">'
        f'<span class="dots">{"".join(_dot(stage) for stage in item.stages)}</span>'
        f"<b>{plain(TASKS[item.task].title)}</b><span>{plain(item.title)}</span>"
        f"<small>{_STATES[item.state]}, {item.made}</small></button></li>"
        for item in items
    )
    return f'<nav aria-label="Evaluations"><ul>{rows}</ul></nav>'


def _dot(stage: Any) -> str:
    return f'<i class="dot stage-{stage_look(stage).slug}"></i>'


def head(sheet: Sheet) -> str:
    """What is compared, how far it is, and what can be done about it."""
    of = f'data-match="{plain(sheet.id)}"'  # what is shown, not what is newest by then
    acts = []
    if sheet.alive:
        word, off = ("Stopping…", " disabled") if sheet.stopping else ("Stop", "")
        acts.append(f'<button class="plain" data-do="halt" {of}{off}>{icon("stop")}{word}</button>')
    elif sheet.state in ("stopped", "new", "error"):
        acts.append(f'<button class="plain" data-do="resume" {of}>{icon("play")}Resume</button>')
    if any(column.report for column in sheet.columns):
        acts.append(
            f'<button class="plain" data-do="saved" {of}>{icon("save")}Save as a page</button>'
        )
    if not sheet.alive:
        acts.append(
            f'<button class="plain" data-do="discard" {of}>{icon("clear")}<span>Delete</span></button>'
        )
    error = f'<p class="trouble" role="alert">{plain(sheet.error)}</p>' if sheet.error else ""
    return (
        f'<section class="sheet-head {sheet.state}" aria-label="Evaluation"><div><h2>'
        f"{plain(TASKS[sheet.task].title)}</h2><p>{plain(sheet.title)}, {sheet.how}</p></div>"
        f'<div class="acts">{"".join(acts)}</div>{_progress(sheet)}{error}</section>'
    )


def _progress(sheet: Sheet) -> str:
    total = sheet.n * len(sheet.columns)
    done = min(sum(column.answered for column in sheet.columns), total)
    if sheet.state in ("done", "error"):
        return ""
    facts = [f"{done:,} of {total:,} answers"]
    if sheet.stopping and sheet.alive:
        facts.insert(0, "It stops; what was answered is kept")
    elif sheet.state == "queued":
        first = f"“{sheet.waits}”" if sheet.waits else "what was started before"
        facts.insert(0, f"Waiting: {first} has the device")
    elif sheet.state == "running":
        facts.insert(0, _doing(sheet))
        if sheet.pace:
            facts.append(f"{sheet.pace:.2g} problems/s")
            facts.append(f"about {about((total - done) / sheet.pace)} left")
    elif sheet.state == "stopped":
        facts.insert(0, "Stopped. Resume asks only what is missing")
    return line(done / max(total, 1), facts)


def _doing(sheet: Sheet) -> str:
    if not sheet.phase:
        return "Starting"
    if sheet.phase == "drawing":
        return "Drawing the problems" if sheet.drawn else "Reading the problems"
    name = sheet.columns[min(sheet.pane, len(sheet.columns) - 1)].title
    return f"Loading {name}" if sheet.phase == "loading" else f"Asking {name}"


def bars(sheet: Sheet) -> str:
    """How often each checkpoint is right, in all and by kind of question, and the paired tests."""
    if not any(column.report or column.fault for column in sheet.columns):
        return ""
    rows = "".join(_column(column, sheet) for column in sheet.columns)
    return (
        f'<section class="standings" aria-label="Accuracy"><header><h3>Right answers</h3>'
        f'{_switch(sheet)}</header><ol class="bars">{rows}</ol>{_tests(sheet)}{_kinds(sheet)}'
        f"{_caveat(sheet)}</section>"
    )


def _switch(sheet: Sheet) -> str:
    return '<div class="switch" role="group" aria-label="What counts as right">' + "".join(
        f'<button data-do="measure" data-measure="{name}" '
        f'aria-pressed="{str(name == sheet.measure).lower()}">{plain(words)}</button>'
        for name, words in MEASURES.items()
    ) + "</div>"  # fmt: skip


def _asked(column: Column) -> bool:
    return bool(column.report) and column.report["strict"]["n"] > 0


def _column(column: Column, sheet: Sheet) -> str:
    look = stage_look(column.stage)
    if column.fault and not column.report:
        told = f'<p class="trouble" role="alert">{plain(column.fault)}</p>'
    elif not _asked(column):
        told = '<p class="facts"><span>Not asked yet</span></p>'
    else:
        told = _bar(column.report[sheet.measure], big=True) + _also(column, sheet)
    size = f" <small>{plain(column.size)}</small>" if column.size else ""
    return (
        f'<li class="stage-{look.slug}"><div class="who"><b class="letter">{column.letter}</b>'
        f"<span><b>{plain(column.title)}</b>{size}</span></div>"
        f"<div>{told}{_reported(column, sheet)}</div></li>"
    )


def _bar(share: Mapping[str, Any], *, big: bool = False) -> str:
    """A share as a bar, its 95% interval as a whisker over the bar's end, and both in figures."""
    rate, low, high = (100 * float(share[key]) for key in ("rate", "low", "high"))
    words = f"{rate:.1f}%, {low:.1f} to {high:.1f}, {share['right']} of {share['n']}"
    return (
        f'<div class="bar-row{" big" if big else ""}" role="img" aria-label="{words}" '
        f'title="{words}"><span class="rail"><i class="fill" style="width:{rate:.2f}%"></i>'
        f'<i class="whisker" style="left:{low:.2f}%;width:{high - low:.2f}%"></i></span>'
        f"<b>{rate:.1f}<small>%</small></b><span>{low:.0f} to {high:.0f}%</span></div>"
    )


def _also(column: Column, sheet: Sheet) -> str:
    report = column.report
    other = "lenient" if sheet.measure == "strict" else "strict"
    parts = [
        f"{100 * report[other]['rate']:.1f}% {plain(MEASURES[other])}",
        f"{100 * report['format']['rate']:.0f}% well formed",
    ]
    if not column.tagged:
        parts.append("asked for the bare answer, without tags")
    if said := report["reasoning"]["said"]:
        true = report["reasoning"]["true"]
        parts.append(
            f'<abbr title="{true:,} of {said:,} statements are those of the scene">'
            f"{100 * true / said:.0f}% of the reasoning true</abbr>"
        )
    parts.append(f"{report['strict']['n']:,} of {sheet.n:,} problems")
    return f'<p class="facts">{"".join(f"<span>{part}</span>" for part in parts)}</p>'


def _reported(column: Column, sheet: Sheet) -> str:
    """What the paper reports of this very checkpoint on this task."""
    word = sheet.task.capitalize()  # how the zoo's columns of a task begin
    numbers = {
        name.removeprefix(word).strip(): value
        for name, value in column.reported.items()
        if name.startswith(word)
    }
    if not numbers:
        return ""
    told = ", ".join(f"{plain(name)} <b>{value:.1f}%</b>" for name, value in numbers.items())
    shifted = any(name.startswith("DS-") for name in numbers)
    what = " (DS: the parts of its domain shift)" if shifted else ""
    return f'<p class="paper">The paper reports {told}{what}</p>'


def _tests(sheet: Sheet) -> str:
    if not sheet.pairs:
        return ""
    items = "".join(
        f'<li><span class="pair"><b class="letter">{one}</b><b class="letter">{other}</b></span>'
        f"<p>{plain(found.sentence)}</p></li>"
        for one, other, found in sheet.pairs
    )
    return f'<ul class="tests" aria-label="Paired tests">{items}</ul>'


def _kinds(sheet: Sheet) -> str:
    measured = [column for column in sheet.columns if _asked(column)]
    if len(sheet.kinds) < 2 or not measured:
        return ""
    blocks = "".join(
        f"<section><h4>{plain(kind)}</h4>{''.join(_of_kind(c, kind, sheet) for c in measured)}</section>"
        for kind in sheet.kinds
    )
    return (
        '<details class="kinds" data-fold="o-kinds" open><summary>By kind of question</summary>'
        f'<div class="grid">{blocks}</div></details>'
    )


def _of_kind(column: Column, kind: str, sheet: Sheet) -> str:
    found = column.report["kinds"].get(kind)
    bar = _bar(found[sheet.measure]) if found else '<div class="bar-row"></div>'
    return (
        f'<div class="of-kind stage-{stage_look(column.stage).slug}"><b class="letter">'
        f"{column.letter}</b>{bar}</div>"
    )


def _caveat(sheet: Sheet) -> str:
    told = ["Bars are shares of problems; whiskers are 95% Wilson intervals."]
    if sheet.state != "done":
        told.append(
            "Not all is answered yet, and what is may be of some kinds of question more than of "
            "others: the numbers are those of the whole set only at its end."
        )
    if any(column.reported for column in sheet.columns):
        on = "these are drawn scenes" if sheet.drawn else "compare on that very set"
        told.append(f"The paper's numbers are of its own test sets: {on}.")
        if sheet.task == "spatial":
            told.append(
                "On this task the paper counts partial credit, and this page exact answers."
            )
    if len(sheet.pairs) > 1:
        told.append(
            "Each pair is tested by itself: of twenty such tests, one finds a difference by chance alone."
        )
    return f'<p class="hint">{plain(" ".join(told))}</p>'

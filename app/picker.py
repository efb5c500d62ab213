"""Checkpoint cards as HTML: the chosen one in the side panel, all of them to choose from.

Pure; judges nothing: where a card stands is told by rft.zoo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.icons import icon
from app.markup import plain
from app.progress import bar
from app.theme import STAGES, stage_look
from rft.plan import Resident
from rft.tasks import TASKS
from rft.types import Progress, TaskName
from rft.zoo import Card, State

STATES = {
    "bundled": "bundled",
    "cached": "on this machine",
    "download": "to download",
    "too-large": "too large",
    "unavailable": "unavailable",
    "served": "on a server",
}


def badge(card: Card) -> str:
    """The stage's dot and name."""
    look = stage_look(card.stage)
    return f'<span class="badge stage-{look.slug}"><i class="dot"></i>{look.name}</span>'


def chosen(card: Card, state: State, progress: Progress | None = None) -> str:
    """The card in use: what it is, how good, and whether it can run here."""
    task = TASKS[card.task].title if card.task else "General"
    facts = " · ".join(part for part in (plain(card.size), plain(task)) if part)
    note = f'<p class="note">{plain(card.note)}</p>' if card.note else ""
    return (
        f'<section class="card stage-{stage_look(card.stage).slug}" aria-label="Checkpoint">'
        f'<p class="row">{badge(card)}{_chip(state)}</p>'
        f'<h2>{plain(card.title)}</h2><p class="facts">{facts}</p>'
        f"{_numbers(card)}{note}{_standing(state, progress)}"
        f'<p class="row"><button class="plain" data-do="browse">{icon("swap")}Change</button>'
        f"{_fetch(state, progress)}</p></section>"
    )


def shelf(
    cards: Sequence[Card],
    states: Mapping[str, State],
    current: str,
    residents: Sequence[Resident] = (),
    *,
    listed_only: bool = False,
    field: str = "typed-card",
    task: TaskName | None = None,
) -> str:
    """All cards: the visitor's runs, then by task and stage; what is in memory; any other.

    What is typed narrows the list. ``listed_only``: no card beyond it may be named here.
    ``field`` names where it is typed. ``task``: whose checkpoints come first.
    """
    groups = [("Your runs", [card for card in cards if card.run])]
    for name in sorted((*TASKS, None), key=lambda name: name != task):
        members = [card for card in cards if card.task == name and not card.run]
        members.sort(key=lambda card: (not card.bundled, card.size, _rank(card)))
        groups.append((TASKS[name].title if name else "General and embodied", members))
    sections = "".join(
        f"<section><h3>{plain(title)}</h3><ul>"
        f"{''.join(_item(card, states[card.id], current) for card in members)}</ul></section>"
        for title, members in groups
        if members
    )
    return (
        '<header><h2>Choose a checkpoint</h2><button class="tool" data-do="shut" '
        f'aria-label="Close">{icon("close")}</button></header>{_typed(field, listed_only)}'
        f'{_loaded(residents)}<div class="groups">{sections}</div>'
    )


def _typed(field: str, listed_only: bool) -> str:
    what = "Find one" if listed_only else "Find one, or name any folder or Hub id"
    use = "" if listed_only else '<button class="plain" type="submit">Use</button>'
    none = "No checkpoint here is called so."
    if not listed_only:
        none += " Use looks for a folder or a Hub id of that name."
    return (
        f'<form class="typed" data-do="typed" data-any="{str(not listed_only).lower()}">'
        f'<label for="{field}">{what}</label>'
        f'<div class="row"><input id="{field}" name="card" autocomplete="off" spellcheck="false" '
        f'placeholder="such as spatial zero{"" if listed_only else ", /path/to/checkpoint, owner/name"}">'
        f'{use}</div><p class="hint" role="status" hidden>{none}</p></form>'
    )


def _loaded(residents: Sequence[Resident]) -> str:
    """What is in memory now, and a button to free it; the amounts add up to what is taken."""
    rows, bases = [], set()
    for item in residents:
        amount = f"<span>{_amount(item.bytes)} on {plain(item.device)}</span>"
        if item.base in bases:
            amount = (
                '<span title="On top of weights of a base that is counted above">'
                f"+ {_amount(item.own)} on {plain(item.device)}</span>"
            )
        if item.base is not None:
            bases.add(item.base)
        rows.append(
            f'<li><span>{plain(item.card_id)}</span>{amount}<button class="plain" '
            f'data-do="release" data-card="{plain(item.card_id)}"'
            f"{' disabled' if item.busy else ''}>{'In use' if item.busy else 'Release'}</button></li>"
        )
    if not rows:
        return ""
    return f'<section class="loaded"><h3>In memory</h3><ul>{"".join(rows)}</ul></section>'


def _amount(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _item(card: Card, state: State, current: str) -> str:
    pressed = "true" if card.id == current else "false"
    # Only where it holds a number or a remedy of this card's own; else a tooltip is enough.
    telling = state.kind in ("too-large", "download", "served") or (
        state.kind == "unavailable" and (card.folder or card.endpoint) is not None
    )
    why = f'<span class="why">{plain(state.sentence)}</span>' if telling else ""
    return (
        f'<li><button class="item {state.kind}" data-do="choose" data-card="{plain(card.id)}" '
        f'title="{plain(state.sentence)}" '
        f'aria-pressed="{pressed}"><span class="name">{badge(card)}<b>{plain(card.title)}</b></span>'
        f'<span class="size">{plain(card.size)}</span>{_chip(state)}{why}</button></li>'
    )


def _rank(card: Card) -> int:
    stages = list(STAGES)
    return stages.index(card.stage) if card.stage in STAGES else len(stages)


def _chip(state: State) -> str:
    return f'<span class="state {state.kind}">{STATES[state.kind]}</span>'


def _numbers(card: Card) -> str:
    """Measured accuracy where this repository measured it, else the paper's."""
    numbers = {name: str(value) for name, value in card.measured.items()}
    source = "Right, as measured here"
    if not numbers:
        numbers = {name: f"{value:g}" for name, value in card.reported.items()}
        source = "Accuracy as reported, %"
    if not numbers:
        return ""
    cells = "".join(
        f"<div><dt>{plain(name)}</dt><dd>{plain(value)}</dd></div>"
        for name, value in numbers.items()
    )
    return f'<p class="source">{source}</p><dl class="numbers" aria-label="Accuracy">{cells}</dl>'


def missing(state: State, place: int) -> str:
    """Of a card in a pane that is not on this machine: what it takes, and the way to it."""
    return f'<div class="missing">{_standing(state, None)}{_fetch(state, None, place)}</div>'


def fetching(progress: Progress) -> str:
    """How far a download is."""
    return (
        f'<p class="standing" role="status">{plain(progress.message)}</p>'
        f"{bar(progress.done, progress.message)}"
    )


def _standing(state: State, progress: Progress | None) -> str:
    if progress is None:
        loud = state.kind in ("too-large", "unavailable")
        return f'<p class="standing{" loud" if loud else ""}">{plain(state.sentence)}</p>'
    return fetching(progress)


def _fetch(state: State, progress: Progress | None, place: int | None = None) -> str:
    if state.kind != "download" or progress is not None:
        return ""
    pane = "" if place is None else f' data-pane="{place}"'
    return f'<button class="plain" data-do="fetch"{pane}>{icon("save")}Download</button>'

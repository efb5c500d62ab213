"""Who is compared: whom a visitor chose, or what is usual for the task. Knows no component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.room import Room
from rft import zoo
from rft.cards import REPO, ROOT
from rft.errors import InputError, StudioError
from rft.types import Stage, TaskName

FEWEST, MOST = 2, 4  #: panes
_USUAL = 3  # of them, where nobody has chosen
#: Beside the base, first what reinforcement learning made.
_STAGES: list[Stage] = ["base", "zero", "sft+grpo", "cot-sft", "ans-sft"]


def chosen(room: Room, kept: Mapping[str, Any], task: TaskName | None) -> list[zoo.Card]:
    """The cards that a visitor chose for the task; else its own.

    The browser keeps them, as "cards": of a task ("" for none) their names. One that is gone
    keeps its pane, which says so: another must not be asked in its place. Strangers cannot name
    what is not listed, and are told nothing of it.
    """
    room.cards()  # what is wrong with the zoo itself is not said of each card
    wanted = kept.get("cards")
    names = wanted.get(task or "") if isinstance(wanted, dict) else None
    found = []
    for name in names if isinstance(names, list) else ():
        try:
            found.append(room.card(name))
        except StudioError:
            if not room.host.public:
                found.append(gone(name))
    return found[:MOST] if len(found) >= FEWEST else _usual(room, task)


def _usual(room: Room, task: TaskName | None) -> list[zoo.Card]:
    """A base beside what was taught the task from it, of what can answer without a download.

    Where there are several bases, the one of which the most was taught the task.
    """
    memory = room.engine.memory()
    here = [card for card in room.cards() if zoo.state(card, memory).kind in ("bundled", "cached")]
    taught = [card for card in here if card.task == task and card.stage != "base"]
    taught.sort(key=lambda card: _STAGES.index(card.stage) if card.stage else len(_STAGES))
    bases = [card for card in here if card.stage == "base"]
    base = max(bases, key=lambda base: len(_kin(base, taught)), default=None)
    found = [base, *_kin(base, taught)][:_USUAL] if base else taught[:_USUAL]
    rest = [card for card in [*taught, *here] if card not in found]
    return [*found, *rest][: max(FEWEST, len(found))]


def gone(name: str) -> zoo.Card:
    """A card that was chosen and is not to be had now; what it is asked, it answers with why."""
    remote = REPO.fullmatch(name) and not name.startswith("runs/")
    return zoo.Card(name, Path(name).name, None, None, "", name if remote else str(ROOT / name), "")


def placed(room: Room, cards: Sequence[zoo.Card], place: int, text: object) -> list[zoo.Card]:
    """With the card of that name in a pane, or in a new one behind the last."""
    card = room.card(text)
    others = [*cards[:place], *cards[place + 1 :]]
    if any(card.id == other.id for other in others):
        raise InputError(f"{card.title} is in another pane already: choose another one.")
    if place >= MOST:
        raise InputError(f"{MOST} panes are the most: remove one first.")
    return [*cards[:place], card, *cards[place + 1 :]]


def _kin(base: zoo.Card, cards: Sequence[zoo.Card]) -> list[zoo.Card]:
    """Those of the cards that are of the base's size."""
    return [card for card in cards if (card.family, card.size) == (base.family, base.size)]

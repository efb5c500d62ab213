"""One checkpoint of a comparison: its samples, and the one that stands for all of them.

Pure. Knows neither names nor HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.conversation import Conversation, Said
from app.spread import Spread, spread

SETTLED = ("eos", "length", "stop")
_WHOLE = ("eos", "length")


@dataclass(frozen=True)
class Side:
    """Where in the comparison its samples are. ``shown``: the place of the one that is being
    written; when all have ended, of the first that gave the majority's answer. ``spread`` is of
    those of ``counted``, which came to an end."""

    card: str
    places: tuple[int, ...]
    shown: int
    counted: tuple[int, ...]
    spread: Spread
    busy: bool

    @property
    def many(self) -> bool:
        """Whether it was asked several times."""
        return len(self.places) > 1


def sides(made: Conversation) -> list[Side]:
    """The checkpoints of a comparison in the order in which they were asked."""
    places: dict[str, list[int]] = {}
    for place, exchange in enumerate(made.exchanges):
        places.setdefault(exchange.said.card, []).append(place)
    return [_side(made, card, tuple(found)) for card, found in places.items()]


def eligible(made: Conversation) -> list[int]:
    """The numbers of the sides that can be voted for: their replies came to an end."""
    return [
        number
        for number, side in enumerate(sides(made))
        if not side.busy and _told(made.exchanges[side.shown].said)
    ]


def _side(made: Conversation, card: str, places: tuple[int, ...]) -> Side:
    waiting = [place for place in places if made.exchanges[place].said.end == "waiting"]
    counted = tuple(place for place in places if made.exchanges[place].said.end in _WHOLE)
    answers = [made.exchanges[place].said.reply.final for place in counted]
    task = None if made.last is None else made.last.ask.task
    found = spread(answers, task)
    shown = waiting[0] if waiting else places[0]
    if counted and not waiting:
        shown = counted[found.camps[0].members[0]]
    return Side(card, places, shown, counted, found, bool(waiting))


def _told(said: Said) -> bool:
    return said.end in _WHOLE and bool(said.text)

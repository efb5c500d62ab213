"""Several replies written at once: a thread for each model, one stream of snapshots for who reads.

Every model has a lock of its own in the engine, so a slow reply does not pace a fast one; what
one model is asked several times, it answers in turn. Knows the engine and replies; no page, no
question and no store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from app.conversation import Said
from app.writing import INTERVAL_S, beginning, written
from rft.engine import Engine
from rft.types import Decoding, Turn
from rft.zoo import Card

ATTENTION_S = 0.5  #: the longest silence between two snapshots: who has gone is noticed by then
BROKEN = (
    "This pane failed for a reason that the studio does not know. "
    "Ask again, or look at the terminal that app.py runs in."
)


@dataclass(frozen=True)
class Part:
    """Who answers, and what it is given. ``sample`` counts up where it is asked several times."""

    card: Card
    turns: tuple[Turn, ...]
    sample: int = 0


def abreast(
    engine: Engine, parts: Sequence[Part], decoding: Decoding, stop: threading.Event
) -> Generator[tuple[Said, ...], None, None]:
    """Snapshots of all replies, in the order of ``parts``; in the last one, none is "waiting".

    A part's seed is the decoding's plus its ``sample``. A model that fails ends with its
    sentence and the others go on. ``stop``, or a reader who goes away, ends them all within a
    token. A bug in one surfaces when all have ended.
    """
    latest = [beginning(part.card) for part in parts]
    troubles: list[Exception] = []
    news = threading.Event()

    def write(places: list[int]) -> None:
        for place in places:
            part, drawn = parts[place], _drawn(decoding, parts[place].sample)
            if stop.is_set():
                latest[place] = replace(latest[place], end="stop")
                continue
            if latest[places[0]].end == "error":  # it would fail again, after as long a wait
                latest[place] = latest[places[0]]
                continue
            for said in written(engine, part.card, part.turns, drawn, stop):
                latest[place] = said
                news.set()

    def attempt(places: list[int]) -> None:
        try:
            write(places)
        except Exception as error:  # the thread's outermost frame: raised by the reader
            for place in places:
                if latest[place].end == "waiting":
                    latest[place] = replace(latest[place], end="error", note=BROKEN, done=None)
            troubles.append(error)
        news.set()

    models: dict[str, list[int]] = {}
    for place, part in enumerate(parts):
        models.setdefault(part.card.id, []).append(place)
    writers = [
        threading.Thread(target=attempt, args=(places,), name=f"pane {name}", daemon=True)
        for name, places in models.items()
    ]
    for writer in writers:
        writer.start()
    try:
        while True:
            seen = tuple(latest)
            yield seen
            if all(said.end != "waiting" for said in seen):
                break
            time.sleep(INTERVAL_S)
            news.wait(ATTENTION_S)
            news.clear()
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    if troubles:
        raise troubles[0]


def _drawn(decoding: Decoding, sample: int) -> Decoding:
    """The decoding of one sample: the same for every model."""
    if decoding.seed is None or not sample:
        return decoding
    return replace(decoding, seed=(decoding.seed + sample) % 2**63)

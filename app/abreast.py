"""Several replies written at once: a thread for each, one stream of snapshots for who reads.

Every model has a lock of its own in the engine, so a slow reply does not pace a fast one. Knows
the engine and replies; no page, no question and no store.
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
BROKEN = "This pane failed for a reason that the studio does not know. Ask again, or see its log."


@dataclass(frozen=True)
class Part:
    """Who answers, and what it is given."""

    card: Card
    turns: tuple[Turn, ...]


def abreast(
    engine: Engine, parts: Sequence[Part], decoding: Decoding, stop: threading.Event
) -> Generator[tuple[Said, ...], None, None]:
    """Snapshots of all replies, in the order of ``parts``; in the last one, none is "waiting".

    A reply that fails ends with its sentence and the others go on. ``stop``, or a reader who
    goes away, ends them all within a token. A bug in one surfaces when all have ended.
    """
    latest = [beginning(part.card) for part in parts]
    troubles: list[Exception] = []
    news = threading.Event()

    def write(index: int, part: Part) -> None:
        try:
            for said in written(engine, part.card, part.turns, decoding, stop):
                latest[index] = said
                news.set()
        except Exception as error:  # the thread's outermost frame: raised by the reader
            latest[index] = replace(latest[index], end="error", note=BROKEN, done=None)
            troubles.append(error)
            news.set()

    writers = [
        threading.Thread(target=write, args=item, name=f"pane {item[0]}", daemon=True)
        for item in enumerate(parts)
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

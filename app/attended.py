"""Generators that end when nobody comes back for them.

A handler that streams is suspended between two snapshots, with a model's lock in its hands. A
server that drops it then without closing it (Gradio does, where one program cancels several
requests at once) would keep everybody else waiting for good.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

Piece = TypeVar("Piece")

GONE_S = 30.0  #: a server comes back for the next snapshot within milliseconds


def attended(pieces: Generator[Piece, None, None]) -> Iterator[Piece]:
    """``pieces``, closed where whoever reads them has stayed away for GONE_S."""
    left = math.inf
    over = threading.Event()

    def watch() -> None:
        while not over.wait(GONE_S / 4):
            if time.monotonic() - left > GONE_S:
                pieces.close()
                return

    threading.Thread(target=watch, name="attended", daemon=True).start()
    try:
        for piece in pieces:
            left = time.monotonic()
            yield piece
            left = math.inf
    finally:
        over.set()
        pieces.close()

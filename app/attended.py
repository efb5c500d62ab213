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
    turn = threading.Lock()  # one of reader and watcher runs the generator
    left, closed, over = math.inf, False, threading.Event()

    def watch() -> None:
        nonlocal closed
        while not over.wait(GONE_S / 4):
            with turn:
                if time.monotonic() - left > GONE_S:
                    closed = True
                    pieces.close()
                    return

    threading.Thread(target=watch, name="attended", daemon=True).start()
    try:
        while True:
            with turn:
                if closed:
                    return
                try:
                    piece = next(pieces)
                except StopIteration:
                    return
                left = time.monotonic()
            yield piece
    finally:
        over.set()
        with turn:
            pieces.close()

"""The page, served for tests: a real server in this process, on a port of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.ui import build, launch_options


@dataclass(frozen=True)
class Served:
    """Where the page is, and the folder that it keeps conversations in."""

    url: str
    home: Path


@contextlib.contextmanager
def serving(home: Path, port: int | None = None) -> Iterator[Served]:
    """Serve the page with its conversations under ``home`` until the block ends."""
    demo = build(home)
    options = {**launch_options(home), "quiet": True, "prevent_thread_lock": True}
    _, url, _ = demo.launch(**options, server_port=port)
    try:
        yield Served(url, home)
    finally:
        demo.close()

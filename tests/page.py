"""The page, served for tests: a real server in this process, on a port of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.host import Host
from app.ui import build, launch_options


@dataclass(frozen=True)
class Served:
    """Where the page is, and the folders that it keeps conversations and runs in."""

    url: str
    home: Path
    runs: Path


@contextlib.contextmanager
def serving(
    home: Path, port: int | None = None, host: Host | None = None, zoo: Path | None = None
) -> Iterator[Served]:
    """Serve the page with its conversations under ``home`` until the block ends."""
    runs = home.with_name(f"{home.name}-runs")
    demo = build(home, zoo, host=host, runs=runs)
    options = {**launch_options(home, runs), "quiet": True, "prevent_thread_lock": True}
    _, url, _ = demo.launch(**options, server_port=port)
    try:
        yield Served(url, home, runs)
    finally:
        demo.close()

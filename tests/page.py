"""The page, served for tests: a real server in this process, on a port of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.host import Host
from app.ui import build, launch_options

ROOT = Path(__file__).resolve().parent.parent


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


@contextlib.contextmanager
def apart(patience: float = 90, **environment: str) -> Iterator[str]:
    """``python app.py`` in a process of its own, with this environment: its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, **environment, "GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=env)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + patience
    try:
        while not answers(url):
            assert time.monotonic() < deadline, "the page does not come up"
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def answers(url: str) -> bool:
    """Whether the page is there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False

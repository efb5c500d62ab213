"""A Hub id in Compare: a page of its own process, which downloads from a server on this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from test_hub import repositories, server
from visiting import SLOW_MS, shoot, visits

__all__ = ("repositories", "server")  # fixtures
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def studio(server: str, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": server, "HF_HUB_OFFLINE": "0"}
    own |= {"HF_HUB_DISABLE_XET": "1", "GRADIO_SERVER_PORT": str(port)}
    page = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env={**os.environ, **own})
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
    try:
        while not _answers(url):
            assert time.monotonic() < deadline, "the page does not come up"
            time.sleep(0.2)
        yield url
    finally:
        page.terminate()
        page.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_a_pane_downloads_what_it_lacks(studio: str, browser: Browser) -> None:
    with visits(browser) as visit:
        page = visit(studio)
        page.get_by_role("tab", name="Compare").click()
        panes = page.locator("#c-panes .pane")
        expect(panes).not_to_have_count(0, timeout=SLOW_MS)
        panes.last.get_by_role("button", name=re.compile("^Change")).click()
        page.locator("#typed-pane").fill("some/slow")
        page.locator("#typed-pane").press("Enter")
        lacking = panes.last.locator(".missing")
        expect(lacking).to_contain_text("Downloads")
        shoot(page, "compare-download")
        lacking.get_by_role("button", name="Download").click()
        expect(page.locator("#c-fetching [role=progressbar]")).to_be_visible()
        expect(lacking).to_have_count(0, timeout=SLOW_MS)
        expect(panes.last).to_contain_text("Not asked yet")
        page.reload()
        expect(panes.last).to_contain_text("slow")
        expect(panes.last).to_contain_text("Not asked yet")

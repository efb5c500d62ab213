"""The page as a visitor meets it: a real browser, and what must not go wrong unseen in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

SHOTS = Path(__file__).parent.parent / "screenshots"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SLOW_MS = 60_000  # the first reply loads torch and the model, on cores that may be shared

expect.set_options(timeout=20_000)  # cores may be shared; a wait ends as soon as it is met

Visit = Callable[..., Page]


def chromium() -> str | None:
    """Where Chromium is, None for playwright's own; installed where it is missing."""
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], check=False)
        subprocess.run(["apt-get", "install", "-qy", "chromium"], check=False)
        if (found := shutil.which("chromium")) is not None:
            return found
    done = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if done.returncode:
        pytest.fail(
            "No Chromium here, and neither apt-get nor “playwright install chromium” could "
            "install one. Install it by hand: the page must not go untested.",
            pytrace=False,
        )
    return None


@contextmanager
def visits(browser: Browser, patience_ms: int = SLOW_MS) -> Iterator[Visit]:
    """Opens an address as a new visitor; afterwards, nothing has gone wrong unseen."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []
    strangers: list[str] = []

    def open_page(url: str, size: dict[str, int] = WIDE, *, dark: bool = False) -> Page:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport=size, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(patience_ms)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _note_stranger(request.url, strangers))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults, "the page's own script failed"
    assert not strangers, "a request left the machine"


def _note_stranger(url: str, strangers: list[str]) -> None:
    parts = urlparse(url)
    if parts.scheme not in ("data", "blob", "about") and parts.hostname not in (
        "127.0.0.1",
        "localhost",
    ):
        strangers.append(url)


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

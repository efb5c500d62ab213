"""A Hub id in Compare: a page of its own process, which downloads from a server on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from page import apart
from playwright.sync_api import Browser, expect
from test_hub import repositories, server
from visiting import SLOW_MS, shoot, visits

__all__ = ("repositories", "server")  # fixtures


@pytest.fixture
def studio(server: str, tmp_path: Path) -> Iterator[str]:
    hub = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": server, "HF_HUB_OFFLINE": "0"}
    with apart(HF_HUB_DISABLE_XET="1", **hub) as url:
        yield url


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
        expect(page.locator("#c-fetching [role=progressbar][aria-valuenow]")).to_be_visible()
        shoot(page, "compare-fetching")
        expect(lacking).to_have_count(0, timeout=SLOW_MS)
        expect(panes.last).to_contain_text("Not asked yet")
        page.reload()
        expect(panes.last).to_contain_text("slow")
        expect(panes.last).to_contain_text("Not asked yet")

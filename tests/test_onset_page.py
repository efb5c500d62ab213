"""On a set, in a real browser: two checkpoints asked in the background, filtered, a row opened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundled import COUNTING
from page import Served, serving
from playwright.sync_api import Browser, Page, expect
from visiting import NARROW, WIDE, Visit, shoot, sideways, visits

from app.host import SHORT_ONLY, STRANGERS_PROBLEMS, Host
from rft import data
from rft.scenes import make

PANES = len(COUNTING)
LONG_MS = 240_000  # a process of its own loads torch and two models


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("set") / "chats") as served:
        yield served


@pytest.fixture
def visit(browser: Browser, studio: Served) -> Iterator[Visit]:
    """Open Compare and turn to a set; afterwards, see that nothing went wrong unseen."""
    with visits(browser) as opened:

        def turn(size: dict[str, int] = WIDE, *, dark: bool = False, url: str = studio.url) -> Page:
            page = opened(url, size, dark=dark)
            page.get_by_role("tab", name="Compare").click()
            page.get_by_role("tab", name="On a set").click()
            expect(page.locator("#o-line li")).to_have_count(PANES + 1)  # and one to add
            expect(page.locator("#c-panes")).to_be_hidden()
            return page

        yield turn


def asked(page: Page, n: int) -> None:
    page.locator("#o-n input").fill(str(n))
    page.locator("#o-n input").blur()
    page.locator("#o-start").click()


def test_checkpoints_on_eight_problems(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#o-head .nothing")).to_be_visible()
    shoot(page, "set-empty-wide-light")
    asked(page, 8)
    expect(page.locator(".sheet-head.running .progress")).to_be_visible(timeout=LONG_MS)
    shoot(page, "set-running-wide-light")
    page.reload()  # it goes on, and the page finds it again, on the set as it was left
    chosen = page.get_by_role("tab", name="Compare")
    expect(chosen).to_have_attribute("aria-selected", "true", timeout=LONG_MS)
    expect(page.locator(".sheet-head.done")).to_be_visible(timeout=LONG_MS)
    expect(page.locator("ol.bars > li")).to_have_count(PANES)
    expect(page.locator("ul.tests")).to_contain_text(re.compile("McNemar|same problems"))
    expect(page.locator("#o-table tbody tr")).to_have_count(8)
    chip = page.get_by_role("button", name=re.compile("^B right, A wrong"))
    count = int(chip.locator("b").inner_text())
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#o-table tbody tr")).to_have_count(count)
    page.get_by_role("button", name=re.compile("^All [0-9]")).click()
    expect(page.locator("#o-table tbody tr")).to_have_count(8)
    page.get_by_role("button", name="with or without the tag").click()
    expect(page.get_by_role("button", name="with or without the tag")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.locator("#o-table tbody button").first.click()
    expect(page.locator("#case .replies section")).to_have_count(PANES)
    expect(page.locator("#case img")).to_have_count(1)
    expect(page.locator("#case .verdict")).to_have_count(PANES)
    expect(page.locator("#case .reasoning")).not_to_have_count(0)
    shoot(page, "set-case-wide-light")
    page.locator("#case").get_by_role("button", name="Next").click()
    expect(page.locator("#case h2")).to_contain_text("Problem 2")
    page.keyboard.press("Escape")
    expect(page.locator("#case")).to_be_hidden()
    with page.expect_download() as saved:
        page.locator("#o-head").get_by_role("button", name="Save as a page").click()
    assert saved.value.suggested_filename == "evaluation.html"
    kept = Path(saved.value.path()).read_text(encoding="utf-8")
    assert kept.count("<tr>") == 9 and kept.count('class="printed"') == 8
    page.get_by_role("tab", name="One question").click()
    expect(page.locator("#c-panes .pane")).to_have_count(PANES)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_it_looks_well_done(visit: Visit, name: str, size: dict[str, int], dark: bool) -> None:
    page = visit(size, dark=dark)
    look = f"{name}-{'dark' if dark else 'light'}"
    expect(page.locator(".sheet-head.done")).to_be_visible()
    page.locator("ol.bars").scroll_into_view_if_needed()
    assert sideways(page) <= 0
    shoot(page, f"set-done-{look}")
    page.locator("#o-table tbody tr").last.scroll_into_view_if_needed()
    shoot(page, f"set-table-{look}")
    page.locator("#o-table tbody button").first.click()
    expect(page.locator("#case .replies section")).to_have_count(PANES)
    assert sideways(page) <= 0


def test_another_task_stopped_gone_on_with_and_deleted(
    visit: Visit, studio: Served, tiny: Path
) -> None:
    page = visit()
    page.locator("#c-task").get_by_text("Structure").click()
    page.get_by_label("of the set").last.click()
    page.locator("#typed-pane").fill(str(tiny))  # untrained: it writes until the limit
    page.locator("#typed-pane").press("Enter")
    expect(page.locator("#o-line")).to_contain_text("tiny")
    asked(page, 12)
    expect(page.locator(".sheet-head.running")).to_contain_text("Structure", timeout=LONG_MS)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".sheet-head.stopped")).to_be_visible(timeout=LONG_MS)
    shoot(page, "set-stopped-wide-light")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".sheet-head.running")).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".sheet-head.stopped")).to_be_visible(timeout=LONG_MS)
    expect(page.locator("#o-list li")).to_have_count(2)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".sheet-head.done")).to_contain_text("counting")
    assert len([f for f in studio.runs.iterdir() if (f / "match.json").exists()]) == 1


def test_a_set_of_ones_own_is_asked_whole(visit: Visit, tmp_path: Path) -> None:
    page, folder = visit(), tmp_path / "set"
    mine = [make("counting", "id", number, 112) for number in (3, 4, 5)]
    data.write(mine, folder, "id")
    (records,) = (folder / "test_jsons").iterdir()
    page.locator("#o-problems input").click()
    page.get_by_role("option", name="A set of mine").click()
    upload = page.locator("#o-upload input[type=file]")
    upload.set_input_files([records])  # its pictures are missing
    expect(page.get_by_test_id("toast-text").last).to_contain_text(".png")
    images = sorted((folder / "images").rglob("*.png"))
    page.locator("#o-upload").get_by_label("Clear").click()
    upload.set_input_files([records, *images])
    expect(page.locator("#o-found")).to_contain_text("3 problems in")
    shoot(page, "set-own-wide-light")
    asked(page, 50)
    expect(page.locator(".sheet-head.done")).to_contain_text(records.name, timeout=LONG_MS)
    expect(page.locator("#o-table tbody tr")).to_have_count(3)
    assert {p.question for p in mine} == set(
        page.locator("#o-table tbody th button").evaluate_all(
            "all => all.map(one => one.lastChild.textContent.trim())"
        )
    )


def test_a_stranger_starts_a_short_one_alone(visit: Visit, tmp_path: Path) -> None:
    host = Host(True, False, "Off.", evaluating=False)
    with serving(tmp_path / "chats", host=host) as served:
        page = visit(url=served.url)
        expect(page.locator("#o-host")).to_contain_text(SHORT_ONLY)
        asked(page, STRANGERS_PROBLEMS + 100)
        expect(page.get_by_test_id("toast-text").first).to_be_visible()
        expect(page.locator("#o-head .nothing")).to_be_visible()

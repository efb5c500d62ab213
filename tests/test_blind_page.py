"""Blind votes and saved comparisons in a real browser, with the bundled checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundled import COUNTING, usual
from page import Served, serving
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visiting import NARROW, SLOW_MS, WIDE, Visit, shoot, sideways, visits

from app.comparison import Comparisons
from app.conversation import Ask, Conversation, Exchange, Said, Terms
from app.outcome import shared
from app.room import Room
from app.store import Store
from app.votes import Votes

EXAMPLE = "Ask the example: Visual counting, as trained"
NAMES = ("Tiny base", "Tiny counting", "tiny-base", "tiny-counting", "stage-", "tok/s")
PANES = len(COUNTING)
FIRST_MS = 3 * SLOW_MS  # torch, two models and their replies
EVIL = (
    "<script>alert(1)</script><img src=http://evil.example/a onerror=alert(2)>"
    "<style>body{display:none}</style></style></textarea></title></script><svg onload=alert(3)>"
    "<a href='javascript:alert(4)'>x</a> [y](http://evil.example/b) ![z](http://evil.example/c) "
    "\\(x<img src=http://evil.example/d>\\) `</code><iframe src=//evil.example>` <b>bold</b> \" ' & "
    "<meta http-equiv=refresh content='0;url=http://evil.example'> \u202egnp.exe"
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("blind") / "chats") as served:
        yield served


@pytest.fixture
def visit(browser: Browser, studio: Served) -> Iterator[Visit]:
    with visits(browser) as opened:

        def open_tab(size: dict[str, int] = WIDE, *, dark: bool = False) -> Page:
            page = opened(studio.url, size, dark=dark)
            page.get_by_role("tab", name="Compare").click()
            expect(page.locator("#c-panes .pane")).to_have_count(PANES, timeout=SLOW_MS)
            return page

        yield open_tab


def asked_blind(page: Page) -> None:
    page.locator("#c-blind input").check()
    page.locator("#c-examples").get_by_label(EXAMPLE).click()
    expect(page.locator(".ballot [data-choice='tie']")).to_be_visible(timeout=FIRST_MS)


def test_a_blind_vote_survives_a_reload(visit: Visit, studio: Served) -> None:
    page = visit()
    asked_blind(page)
    (record,) = (studio.home.parent / "compared").iterdir()
    shot = str(page.locator(".asked .shot img").get_attribute("src"))
    assert page.request.get(f"{studio.url}{shot}").ok and record.stem in shot
    studio.runs.mkdir(exist_ok=True)
    for name in ("shown.txt", ".device.lock"):
        (studio.runs / name).write_text("…")
    assert page.request.get(f"{studio.url}gradio_api/file={studio.runs / 'shown.txt'}").ok
    hidden = (record, studio.home.parent / "votes.jsonl", Path(shot).parent / "chat.json")
    for file in (*hidden, studio.runs / ".device.lock"):
        address = f"gradio_api/file={str(file).removeprefix('gradio_api/file=')}"
        assert not page.request.get(studio.url + address).ok
    for _ in range(2):
        source = page.locator("#c-panes").inner_html() + page.locator("#c-asked").inner_html()
        assert not [name for name in NAMES if name in source]
        expect(page.get_by_role("button", name="Open in Chat")).to_have_count(0)
        expect(page.get_by_role("button", name="Save as a page")).to_have_count(0)
        page.reload()  # the order and the ballot stay
        expect(page.locator(".ballot")).to_be_visible(timeout=SLOW_MS)
    shoot(page, "compare-blind-wide-light")
    said = page.locator(".pane .answer .value").all_inner_texts()
    last = "ABCD"[PANES - 1]
    page.locator(".ballot").get_by_role("button", name=f"Pane {last}").click()
    expect(page.locator(".pane").last.locator(".voted")).to_have_text("Your vote")
    assert page.locator(".pane .answer .value").all_inner_texts() == said
    titles = page.locator(".pane h2").all_inner_texts()
    assert sorted(titles) == sorted(card.title for card in COUNTING)
    page.reload()
    expect(page.locator(".pane").last.locator(".voted")).to_be_visible(timeout=SLOW_MS)
    assert page.locator(".pane h2").all_inner_texts() == titles
    expect(page.locator(".tally > summary")).to_contain_text(f"1 vote, {PANES - 1} pairs")
    page.locator(".tally > summary").click()
    pairs = page.locator(".tally tbody tr")
    expect(pairs).to_have_count(PANES - 1)  # the chosen one over every other
    for title in page.locator(".tally tbody th").all_inner_texts():
        assert title == titles[-1]
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert saved.value.suggested_filename == "votes.csv"
    rows = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == PANES and titles[-1].split(",")[0] in rows[1]
    assert len(Votes(studio.home.parent / "votes.jsonl").all()) == 1


def test_names_without_a_vote(visit: Visit) -> None:
    page = visit()
    asked_blind(page)
    page.get_by_role("button", name="Show the names").click()
    expect(page.locator(".pane h2", has_text="Tiny base")).to_be_visible()
    expect(page.locator(".ballot, .voted")).to_have_count(0)


@pytest.mark.parametrize("dark", [False, True])
def test_several_samples_of_each(visit: Visit, dark: bool) -> None:
    page = visit(NARROW, dark=dark)
    expect(page.locator("#c-temperature")).to_be_hidden()
    page.locator("#c-samples input").fill("3")
    page.locator("#c-samples input").press("Tab")
    expect(page.locator("#c-temperature")).to_be_visible()
    page.locator("#c-temperature input").fill("3")
    page.locator("#c-temperature input").press("Tab")
    page.locator("#c-examples").get_by_label(EXAMPLE).click()
    refused = page.get_by_test_id("toast-text").filter(has_text="temperature must be from 0 to 2")
    expect(refused).to_be_visible()
    page.locator("#c-temperature input").fill("0.7")
    page.locator("#c-temperature input").press("Tab")
    page.locator("#c-examples").get_by_label(EXAMPLE).click()
    expect(page.locator(".pane .samples")).to_have_count(PANES, timeout=FIRST_MS)
    expect(page.locator(".pane").last.locator("details.all > summary")).to_have_text(
        "All 3 samples", timeout=FIRST_MS
    )
    expect(page.locator(".pane").last.locator(".samples > p")).to_have_text(
        re.compile(r"of 3 right|3 samples")
    )
    assert sideways(page) <= 0
    page.locator(".pane").last.scroll_into_view_if_needed()
    shoot(page, f"compare-samples-narrow-{'dark' if dark else 'light'}")


def test_a_comparison_is_saved_as_a_page(visit: Visit, browser: Browser, tmp_path: Path) -> None:
    page = visit()
    page.locator("#c-examples").get_by_label(EXAMPLE).click()
    with page.expect_download(timeout=FIRST_MS) as saved:
        page.get_by_role("button", name="Save as a page").click(timeout=FIRST_MS)
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    kept = opened_alone(browser, file)
    expect(kept.locator("h1")).to_have_text(page.locator(".asked .question").inner_text())
    assert kept.locator(".value").all_inner_texts() == page.locator(".value").all_inner_texts()
    expect(kept.locator(".verdict.right")).not_to_have_count(0)
    kept.screenshot(path=tmp_path / "kept.png")
    kept.context.close()


def hostile(folder: Path) -> str:
    """A saved comparison in which everything that anybody wrote is an attack."""
    them = Comparisons(Room(Store(folder / "chats")), Store(folder / "comparisons"))
    made = them.store.new()
    image = them.store.keep(made.id, [Image.new("RGB", (64, 48), "red")])
    ask = Ask(EVIL, f"{EVIL} prompt", image, "counting", gold=EVIL)
    replies = (
        f"<think>{EVIL} one</think>{EVIL}<answer>{EVIL}</answer>",
        f"<think>{EVIL} two</think><answer>5</answer>",
        EVIL,
    )
    said = [
        Said(text, "eos", f"/home/someone/{n}", EVIL, stage=EVIL, note=EVIL, tokens=3)
        for n, text in enumerate(replies)
    ]
    failed = Said("", "error", "gone", EVIL, note=f"{EVIL} /home/someone is missing")
    exchanges = tuple(Exchange(ask, one) for one in [*said, *said, failed])
    them.store.save(Conversation(made.id, exchanges, Terms(seed=4, samples=2)))
    text = shared(them, {"last": made.id})
    assert made.id not in text and "/home/someone" not in text and str(folder) not in text
    return text


def test_what_is_saved_is_what_is_shown(tmp_path: Path) -> None:
    them = Comparisons(Room(Store(tmp_path / "chats")), Store(tmp_path / "comparisons"))
    cards, ask = usual("counting"), Ask("How many?", "How many?", (), "counting", gold="2")
    said = [Said("<answer>2</answer>", "eos", c.id, c.title, tokens=3) for c in cards]
    made = Conversation(them.store.new().id, tuple(Exchange(ask, one) for one in said), Terms())
    them.store.save(made)
    kept = {"last": made.id, "cards": {"counting": [card.id for card in cards[:2]]}}
    text = shared(them, kept)
    assert cards[0].title in text and cards[1].title in text and cards[2].title not in text
    assert cards[2].title in shared(them, {"last": made.id}), "nobody was taken out"


def test_a_saved_comparison_is_inert(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "hostile.html"
    file.write_text(hostile(tmp_path), encoding="utf-8")
    page = opened_alone(browser, file)
    for tag in ("script", "iframe", "a", "b b", "meta[http-equiv=refresh]", "[onerror], [onload]"):
        expect(page.locator(tag)).to_have_count(0)
    expect(page.locator("body")).to_be_visible()
    expect(page.locator(".pane")).to_have_count(4)
    expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("img")).to_have_count(1)
    assert page.locator("img").evaluate("image => image.naturalWidth") == 64
    assert sideways(page) <= 0
    shoot(page, "compare-saved-hostile")
    page.context.close()


def opened_alone(browser: Browser, file: Path) -> Page:
    """The file in a browser, which asks for nothing else and shows no dialogue."""
    page = browser.new_context(viewport=NARROW, color_scheme="dark").new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    page.on("console", lambda message: asked.append(message.text))
    page.goto(file.as_uri(), wait_until="load")
    page.wait_for_timeout(500)
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    return page

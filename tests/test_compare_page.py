"""The Compare tab in a real browser, with the bundled checkpoints. Screenshots go to screenshots/."""

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

from app.host import LISTED_ONLY, Host
from rft.scenes import make

EXAMPLE = "Ask the example: Visual counting, as trained"
PANES = len(COUNTING)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("compare") / "chats") as served:
        yield served


@pytest.fixture
def visit(browser: Browser, studio: Served) -> Iterator[Visit]:
    """Open the Compare tab as a new visitor; afterwards, see that nothing went wrong unseen."""
    with visits(browser) as opened:

        def open_tab(
            size: dict[str, int] = WIDE, *, dark: bool = False, url: str = studio.url
        ) -> Page:
            page = opened(url, size, dark=dark)
            page.get_by_role("tab", name="Compare").click()
            expect(page.locator("#c-panes .pane")).to_have_count(PANES, timeout=SLOW_MS)
            return page

        yield open_tab


def finished(page: Page, count: int = PANES) -> None:
    done = page.locator("#c-panes article.said:not(.waiting)")
    expect(done).to_have_count(count, timeout=SLOW_MS)
    expect(page.locator("#c-composer .submit-button")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_an_example_in_every_pane(
    visit: Visit, name: str, size: dict[str, int], dark: bool
) -> None:
    page = visit(size, dark=dark)
    look = f"{name}-{'dark' if dark else 'light'}"
    assert sideways(page) <= 0
    shoot(page, f"compare-empty-{look}")
    page.locator("#c-examples").get_by_label(EXAMPLE).click()
    finished(page)
    expect(page.locator(".asked .gold")).to_contain_text("gold")
    expect(page.locator(".pane .verdict.right")).not_to_have_count(0)
    expect(page.locator(".pane").last.locator(".why li")).to_have_count(3)
    expect(page.locator(".pane").last.locator(".why")).to_contain_text("as gold")
    expect(page.locator(".pane").last.locator("footer")).to_contain_text("TTFT")
    expect(page.locator(".agreement")).to_be_visible()
    assert sideways(page) <= 0
    shoot(page, f"compare-done-{look}")
    page.locator(".pane").last.scroll_into_view_if_needed()
    shoot(page, f"compare-panes-{look}")


def test_two_pictures_and_their_gold_answer_fit_a_phone(visit: Visit) -> None:
    page = visit(NARROW)
    page.locator("#c-examples").get_by_label("Spatial transformation, as trained").click()
    finished(page, max(2, len(usual("spatial"))))
    expect(page.locator("#c-composer")).to_be_in_viewport(ratio=1)  # below, wherever one reads
    expect(page.locator(".asked")).to_be_in_viewport()
    expect(page.locator("#c-task")).not_to_be_in_viewport()  # what came was brought into view
    shots, gold = page.locator(".asked .shot img"), page.locator(".asked .gold")
    expect(shots).to_have_count(2)
    expect(page.locator("#o-line")).to_contain_text("Tiny spatial")  # whom a set would be put to
    for box in [*(shot.bounding_box() for shot in shots.all()), gold.bounding_box()]:
        assert box and box["width"] > 60 and box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW["width"], box
    shoot(page, "compare-phone-two-pictures")
    asked = page.locator(".asked .question")
    expect(asked).to_be_visible()
    page.locator("#c-task").get_by_text("Counting", exact=True).click()
    expect(asked).to_have_count(0)  # a question of another task
    expect(page.locator(".pane .unasked")).not_to_have_count(0)
    page.reload()
    expect(page.locator(".pane .unasked")).not_to_have_count(0, timeout=SLOW_MS)
    expect(asked).to_have_count(0)
    page.locator("#c-task").get_by_text("Spatial", exact=True).click()
    expect(asked).to_be_visible()


def test_another_task_chosen_meanwhile_is_shown_in_the_end(visit: Visit) -> None:
    page = visit()
    page.locator("#c-examples").get_by_label("Spatial transformation, as trained").click()
    expect(page.locator("#c-panes .agreement.busy")).to_be_visible(timeout=SLOW_MS)
    page.locator("#c-task").get_by_text("Counting", exact=True).click()
    expect(page.locator("#c-composer .submit-button")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(".pane .unasked")).to_have_count(PANES)
    expect(page.locator(".asked")).to_have_count(0)
    page.get_by_role("tab", name="On a set").click()
    page.locator("#o-n input").fill("24")
    page.locator("#o-n input").blur()
    page.reload()
    expect(page.locator("#o-n input")).to_have_value("24")  # as it was left


def test_it_survives_a_reload_and_goes_on_in_chat(visit: Visit) -> None:
    page = visit()
    page.locator("#c-examples").get_by_label(EXAMPLE).click()
    finished(page)
    said = page.locator(".pane .answer .value").all_inner_texts()
    page.reload()
    expect(page.locator("#c-panes article.said")).to_have_count(PANES, timeout=SLOW_MS)
    assert page.locator(".pane .answer .value").all_inner_texts() == said
    page.locator(".pane").last.get_by_role("button", name="Open in Chat").click()
    expect(page.locator("#transcript article.ask .question")).to_be_visible()
    expect(page.locator("#live .answer .value")).to_have_text(said[-1])
    expect(page.locator("#card h2")).to_have_text(COUNTING[-1].title)
    page.locator("#composer textarea").fill("And how many are red?")
    page.locator("#composer textarea").press("Enter")
    expect(page.locator("#transcript article.ask")).to_have_count(2)
    expect(page.locator("#live article.said:not(.waiting)")).to_be_visible(timeout=SLOW_MS)


def test_a_question_of_ones_own_to_one_more_stopped_and_asked_again(
    visit: Visit, slow: Path, tmp_path: Path
) -> None:
    page = visit()
    image, file = make("counting", "id", 3).images[0], tmp_path / "scene.png"
    assert isinstance(image, Image.Image)
    image.save(file)
    page.get_by_role("button", name="Add a checkpoint").click()
    page.locator("#typed-pane").fill(str(slow))
    page.locator("#typed-pane").press("Enter")
    expect(page.locator("#c-panes .pane")).to_have_count(PANES + 1)
    page.locator("#c-composer textarea").fill("How many?")
    page.locator("#c-composer textarea").press("Enter")
    expect(page.get_by_test_id("toast-text").filter(has_text="Add the image")).to_be_visible()
    page.locator("#c-composer input[type=file]").set_input_files([file])
    expect(page.locator("#c-composer .thumbnail-item img")).to_have_count(1)
    gold = page.locator("#c-gold").locator("input, textarea")
    gold.fill("<b>two</b>")
    page.locator("#c-composer textarea").fill("How many objects are there?")
    refused = page.get_by_test_id("toast-text").filter(has_text="“<b>two</b>”")
    for times in (1, 2):
        page.locator("#c-composer textarea").press("Enter")
        expect(refused).to_have_count(times)
    expect(refused.filter(visible=True)).to_have_count(1)  # who asks twice is told once
    page.wait_for_timeout(3000)  # a sentence stays until its reader goes on
    expect(refused.last).to_be_visible()
    gold.click()
    expect(refused).to_have_count(0)
    gold.fill("2")
    gold.press("Enter")
    expect(page.locator(".asked .question")).to_have_text("How many objects are there?")
    untrained = page.locator(".pane").last
    expect(untrained.locator(".facts")).to_contain_text("tokens", timeout=SLOW_MS)
    shoot(page, "compare-streaming-wide-light")
    page.locator("#c-composer .stop-button").click()
    finished(page, PANES + 1)
    expect(untrained.locator(".end, .verdict").first).to_be_visible()
    page.locator("#c-panes").get_by_label(re.compile("^Remove slow")).click()
    expect(page.locator("#c-panes .pane")).to_have_count(PANES)
    page.locator("#c-composer textarea").fill("A draft")
    go_on = page.get_by_role("button", name="Open in Chat").first
    before = go_on.get_attribute("data-comparison") or ""
    page.get_by_role("button", name="Ask again").click()
    expect(go_on).not_to_have_attribute("data-comparison", before, timeout=SLOW_MS)
    finished(page)
    expect(page.locator("#c-composer textarea")).to_have_value("A draft")
    expect(page.locator(".asked .drawing")).to_have_text("temperature 0.1, seed 0")
    expect(page.locator(".pane .verdict")).to_have_count(PANES)
    page.reload()
    expect(page.locator("#c-panes article.said")).to_have_count(PANES, timeout=SLOW_MS)


def test_what_is_typed_narrows_the_list_and_enter_takes_the_one_that_is_left(visit: Visit) -> None:
    page = visit()
    page.locator("#c-panes").get_by_label("Change Tiny base").click()
    items = page.locator("#lineup .item:visible")
    expect(items.first).to_be_visible()
    page.locator("#typed-pane").fill("qwen2-vl")
    expect(items).to_have_count(2)
    shoot(page, "compare-narrowed-wide-light")
    page.locator("#typed-pane").fill("spatial zero 7b")
    expect(items).to_have_text([re.compile("Reason-RFT-Zero spatial 7B")])
    expect(
        page.locator("#lineup section:visible h3").filter(has_text="Visual counting")
    ).to_have_count(0)
    page.locator("#typed-pane").press("Enter")
    expect(page.locator("#lineup")).to_be_hidden()
    expect(page.locator("#c-panes .pane").first).to_contain_text("Reason-RFT-Zero spatial 7B")


def test_a_stranger_chooses_from_the_list_alone(visit: Visit, tmp_path: Path) -> None:
    with serving(tmp_path / "chats", host=Host(True, False, "Off.")) as served:
        page = visit(url=served.url)
        page.locator("#c-panes").get_by_label("Change Tiny base").click()
        expect(page.locator("#lineup .item").first).to_be_visible()
        expect(page.get_by_role("button", name="Use", exact=True)).to_have_count(0)
        page.locator("#typed-pane").fill("/etc")
        expect(page.locator("#lineup .typed .hint")).to_have_text(
            "No checkpoint here is called so."
        )
        page.locator("#typed-pane").press("Enter")
        expect(page.locator("#lineup")).to_be_visible()  # nothing is chosen
        page.locator("#typed-pane").fill("")
        expect(page.locator("#lineup .typed .hint")).to_be_hidden()
        shoot(page, "compare-choose-wide-light")
        page.evaluate(
            """() => document.querySelector("#lineup").dispatchEvent(new CustomEvent(
                "studio", { bubbles: true, detail: { do: "choose", card: "/etc" } }))"""
        )
        expect(page.get_by_test_id("toast-text").filter(has_text=LISTED_ONLY[:40])).to_be_visible()

"""The page in a real browser, as a visitor meets it. Screenshots go to screenshots/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from gradio_client import Client
from gradio_client.client import Job
from gradio_client.utils import Status
from page import Served, serving
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visiting import NARROW, SLOW_MS, WIDE, Visit, shoot, sideways, visits
from waiting import until

from rft.scenes import make


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("chats")) as served:
        yield served


@pytest.fixture
def visit(browser: Browser, studio: Served, slow: Path) -> Iterator[Visit]:
    """Open the page as a new visitor; afterwards, see that nothing went wrong unseen."""
    with visits(browser, 30_000) as opened:

        def open_page(
            size: dict[str, int] = WIDE, *, dark: bool = False, model: Path | None = slow
        ) -> Page:
            page = opened(studio.url, size, dark=dark)
            expect(page.locator("section.card")).to_be_visible(timeout=SLOW_MS)
            if model is not None:
                choose(page, str(model))
            return page

        yield open_page


def choose(page: Page, checkpoint: str) -> None:
    """Type a checkpoint into the picker."""
    page.locator("#card").get_by_role("button", name="Change").click()
    page.locator("#typed-card").fill(checkpoint)
    page.locator("#typed-card").press("Enter")
    expect(page.locator("section.card h2")).to_have_text(Path(checkpoint).name)


def ask(page: Page, question: str, files: list[Path] | None = None) -> None:
    """Write a question, with images, and send it with Enter."""
    if files:
        page.locator("#composer input[type=file]").set_input_files(files)
        expect(page.locator("#composer .thumbnail-item img")).to_have_count(len(files))
    page.locator("#composer textarea").fill(question)
    page.locator("#composer textarea").press("Enter")
    expect(page.locator("article.ask .question").last).to_have_text(question)


def streaming(page: Page) -> None:
    """Wait until words of a reply are coming."""
    expect(page.locator("#live .facts")).to_contain_text("tokens", timeout=SLOW_MS)


def stop(page: Page) -> None:
    """Press Stop and see the reply end."""
    # Sent at once: a click waits until the page is still, and the reply could end meanwhile.
    page.locator("#composer .stop-button").dispatch_event("click")
    expect(page.locator("#live article")).to_have_class(re.compile(r"\bstop\b"))


def held(studio: Served, checkpoint: Path) -> list[Job]:
    """Programs' questions in the queue, enough of them to outlast a test on any machine.

    Each program asks one: Gradio cancels whatever else of a program runs along with it. The first
    is being answered (of several at once, any may come first), and the others have been heard: what
    a server has not heard of yet cannot be cancelled.
    """
    question = {"question": "How many?", "checkpoint": str(checkpoint), "max_tokens": 2048}
    programs = [Client(studio.url, verbose=False) for _ in range(8)]
    first, *others = programs
    queue = [first.submit(**question, api_name="/chat")]
    next(said for said in queue[0] if said["stats"]["tokens"])
    queue += [program.submit(**question, api_name="/chat") for program in others]
    until(lambda: all(job.status().code is Status.IN_QUEUE for job in queue[1:]))
    return queue


def let_go(queue: list[Job]) -> None:
    """Cancel the programs' questions, the one that is being answered last."""
    for job in reversed(queue):
        job.cancel()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_the_first_view_holds_everything(
    visit: Visit, name: str, size: dict[str, int], dark: bool
) -> None:
    page = visit(size, dark=dark, model=None)
    page.locator(".welcome .plate img").first.evaluate("image => image.decode()")
    for selector in (
        "header.top .name",
        "header.top .line",
        ".welcome img",
        ".welcome .question",
        ".welcome .ghost",
        "#composer textarea",
    ):
        part = page.locator(selector).first
        expect(part).to_be_in_viewport(ratio=1)
    assert sideways(page) <= 0
    assert page.evaluate("document.body.classList.contains('dark')") is dark
    shoot(page, f"first-{name}-{'dark' if dark else 'light'}")


def test_an_example_is_asked_with_one_click_and_stopped(visit: Visit) -> None:
    page = visit()
    question = page.locator(".welcome .question").inner_text()
    page.get_by_role("button", name="Watch it reason").click()
    expect(page.locator("article.ask .question")).to_have_text(question)
    expect(page.locator("#live article")).to_have_attribute("aria-busy", "true")
    streaming(page)
    stop(page)
    expect(page.locator("#live .end")).to_contain_text("Stopped")
    expect(page.locator("#live .facts")).to_contain_text("tok/s")
    expect(page.locator("#live .facts")).to_contain_text("TTFT")
    expect(page.locator("#composer .submit-button")).to_be_visible()
    shoot(page, "stopped-wide-light")


@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_the_bundled_checkpoint_thinks_aloud_and_answers(
    visit: Visit, name: str, size: dict[str, int]
) -> None:
    page = visit(size, model=None)
    expect(page.locator("section.card")).to_have_class(re.compile("stage-sft-grpo"))
    page.get_by_role("button", name="Watch it reason").click()
    streaming(page)
    shoot(page, f"replying-{name}-light")
    expect(page.locator("#live article")).to_have_class(re.compile(r"\beos\b"), timeout=SLOW_MS)
    thoughts = page.locator("#live details.think")
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    expect(thoughts).not_to_have_attribute("open", "")
    expect(page.locator("#live .answer .value")).to_have_text(re.compile(r"^\s*\d+\s*$"))
    expect(page.locator("#live .verdict")).to_contain_text("gold")
    expect(page.locator("#live .rewards")).to_contain_text("format 1")
    shoot(page, f"answered-{name}-light")
    thoughts.locator("summary").click()
    expect(thoughts.locator(".reasoning")).to_be_visible()


def test_images_stay_over_several_turns_and_a_reload(visit: Visit, tmp_path: Path) -> None:
    page = visit(dark=True)
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, file in enumerate(files):
        image = make("counting", "id", seed).images[0]
        assert isinstance(image, Image.Image)
        image.save(file)
    ask(page, "What differs between these two?", files)
    streaming(page)
    stop(page)
    ask(page, "And the left one?")
    expect(page.locator("article.said")).to_have_count(2)
    stop(page)
    expect(page.locator("article.ask").first.locator("img")).to_have_count(2)
    page.locator("article.ask").first.get_by_role("button", name="Enlarge image 2").click()
    expect(page.locator("dialog.large img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.large")).to_have_count(0)
    words = page.locator("#live article").inner_text()
    page.reload()
    expect(page.locator("article.ask")).to_have_count(2)
    expect(page.locator("#live article")).to_have_text(
        re.compile(re.escape(words.split("\n")[0])), use_inner_text=True
    )
    image = page.locator("article.ask img").first
    image.evaluate("image => image.decode()")
    shoot(page, "two-turns-wide-dark")


def test_asking_again_editing_copying_exporting_clearing(visit: Visit) -> None:
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Watch it reason").click()
    streaming(page)
    stop(page)
    page.locator("#live").get_by_role("button", name="Copy reply").click()
    expect(page.locator("#live").get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    page.locator("#live").get_by_role("button", name="Regenerate").click()
    expect(page.locator("#live article")).to_have_attribute("aria-busy", "true")
    stop(page)
    expect(page.locator("article.ask")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export the conversation").click()
    record = json.loads(Path(download.value.path()).read_text())
    assert record["exchanges"][0]["ask"]["images"][0].startswith("data:image/png;base64,")
    assert record["exchanges"][0]["said"]["end"] == "stop"
    assert isinstance(copied, str)
    page.locator("article.ask").hover()
    page.get_by_role("button", name="Edit and ask again").click()
    page.get_by_role("textbox", name="Edit the question").fill("How many cylinders are there?")
    shoot(page, "editing-wide-light")
    page.get_by_role("textbox", name="Edit the question").press("Enter")
    expect(page.locator("article.ask .question")).to_have_text("How many cylinders are there?")
    expect(page.locator("#live article")).to_have_attribute("aria-busy", "true")
    stop(page)
    page.get_by_role("button", name="Clear the conversation").click()
    expect(page.locator(".welcome")).to_be_visible()
    page.reload()
    expect(page.locator(".welcome")).to_be_visible()


def test_what_cannot_be_asked_is_refused_with_a_sentence(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    sentence = page.get_by_test_id("toast-text")
    box = page.locator("#composer textarea")
    box.press("Enter")
    expect(sentence.filter(has_text="Type a question")).to_be_visible()
    box.fill("x" * 100_000)
    box.press("Enter")
    expect(sentence.filter(has_text="100,000 characters")).to_be_visible()
    expect(box).to_have_value("x" * 100_000)
    box.fill("What is it?")
    fake = tmp_path / "fake.png"
    fake.write_text("only words")
    page.locator("#composer input[type=file]").set_input_files([fake])
    expect(page.locator("#composer").get_by_role("button", name="Remove")).to_have_count(1)
    box.press("Enter")
    expect(sentence.filter(has_text="holds text")).to_be_visible()
    page.locator("#card").get_by_role("button", name="Change").click()
    page.locator("#typed-card").fill("no/such/place/here")
    page.locator("#typed-card").press("Enter")
    expect(sentence.filter(has_text="no Hub id")).to_be_visible()
    shoot(page, "refused-wide-light")
    expect(page.locator(".welcome")).to_be_visible()


def test_hostile_output_neither_loads_nor_acts(visit: Visit, studio: Served) -> None:
    page = visit()
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.get_by_role("button", name="Watch it reason").click()
    streaming(page)
    stop(page)
    hostile = (
        "<think><script>alert(1)</script><img src=x onerror=alert(2)>"
        "![a](http://evil.test/a.png) [b](javascript:alert(3)) "
        r"\(\frac{1\) $$\href{javascript:alert(4)}{x}$$</think>"
        "<answer><iframe src='http://evil.test'></iframe>5</answer>"
    )
    file = max(studio.home.glob("*/chat.json"), key=lambda path: path.stat().st_mtime)
    record = json.loads(file.read_text())
    record["exchanges"][0]["said"] |= {"text": hostile, "end": "eos"}
    file.write_text(json.dumps(record))
    page.reload()
    page.locator("#live .think summary").click()
    expect(page.locator("#live .reasoning")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("#live .answer")).to_contain_text("<iframe")
    inside = page.locator("#live article").locator("script, img, iframe, a, [onerror]")
    expect(inside).to_have_count(0)
    shoot(page, "hostile-wide-light")


def test_visitors_share_the_queue_and_nothing_else(visit: Visit) -> None:
    first, second = visit(), visit(NARROW)
    first.get_by_role("button", name="Watch it reason").click()
    streaming(first)
    expect(second.locator(".welcome")).to_be_visible()
    second.get_by_role("button", name="Watch it reason").click()
    expect(second.locator("#live .note")).to_contain_text(re.compile(r"Place 1 of 1 in the queue"))
    shoot(second, "queued-narrow-light")
    second.locator("#composer .stop-button").click()
    expect(second.locator("#live .end")).to_contain_text("Stopped")
    stop(first)
    expect(first.locator("article.said")).to_have_count(1)


def test_a_second_tab_cannot_ask_while_a_question_waits(
    visit: Visit, studio: Served, slow: Path
) -> None:
    page = visit()
    queue = held(studio, slow)
    page.get_by_role("button", name="Watch it reason").click()
    expect(page.locator("#live .note")).to_contain_text("in the queue")
    beside = page.context.new_page()  # the same visitor, so the same conversation
    beside.goto(studio.url)
    expect(beside.locator("#composer .stop-button")).to_be_visible(timeout=SLOW_MS)
    beside.locator("#composer textarea").fill("And how many are red?")
    beside.locator("#composer textarea").press("Enter")
    refused = beside.get_by_test_id("toast-text").filter(has_text="still being written")
    expect(refused).to_be_visible()
    stop(beside)
    expect(beside.locator("#composer .submit-button")).to_be_visible()
    expect(beside.locator("article.said")).to_have_count(1)
    let_go(queue)
    expect(page.locator("#live .end")).to_contain_text("Stopped", timeout=SLOW_MS)


def test_closing_the_tab_stops_the_model(visit: Visit, studio: Served) -> None:
    page = visit()
    page.get_by_role("button", name="Watch it reason").click()
    streaming(page)
    other = visit()
    page.close()
    # The other visitor is served at once: the slot and the model are free again.
    other.get_by_role("button", name="Watch it reason").click()
    expect(other.locator("#live article")).not_to_contain_text("queue", timeout=10_000)


def test_a_reload_in_the_middle_keeps_what_was_written(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Watch it reason").click()
    streaming(page)
    page.reload()
    expect(page.locator("#live .end")).to_contain_text("Stopped", timeout=15_000)
    expect(page.locator("#live article")).to_have_attribute("aria-busy", "false")
    page.locator("#live").get_by_role("button", name="Regenerate").click()
    streaming(page)
    stop(page)


def test_what_is_in_memory_is_released_when_nobody_uses_it(
    visit: Visit, studio: Served, slow: Path
) -> None:
    page = visit()
    queue = held(studio, slow)
    page.locator("#card").get_by_role("button", name="Change").click()
    resident = page.locator("#zoo .loaded li", has_text=str(slow))
    expect(resident).to_contain_text("In use")
    page.keyboard.press("Escape")
    let_go(queue)
    last = {"question": "How many?", "checkpoint": str(slow), "max_tokens": 8}
    Client(studio.url, verbose=False).predict(**last, api_name="/chat")  # after all before it
    page.locator("#card").get_by_role("button", name="Change").click()
    resident.get_by_role("button", name="Release").click()
    expect(resident).to_have_count(0)


def test_the_task_decides_the_prompt_and_the_choice_is_remembered(visit: Visit) -> None:
    page = visit()
    page.locator("#prompt").get_by_role("button", name="Show prompt").click()
    preview = page.locator("#preview")
    expect(preview).to_contain_text("‹your question› Output the thinking process")
    page.locator("#task").get_by_text("Structure", exact=True).click()
    page.locator("#kind").get_by_text("Letter", exact=True).click()
    expect(preview).to_contain_text("letter (A, B, C or D)")
    page.locator("#task").get_by_text("Free", exact=True).click()
    expect(preview).to_have_text("‹your question›")
    page.locator("#kind").get_by_text("Points", exact=True).click()
    expect(preview).to_contain_text("a list of points")
    page.locator("#decoding").get_by_role("button", name="Decoding").click()
    kept = page.evaluate("JSON.stringify(localStorage)")
    page.locator("#temperature input[type=number]").fill("0.7")
    page.locator("#temperature input[type=number]").press("Enter")
    page.wait_for_function("kept => JSON.stringify(localStorage) !== kept", arg=kept)
    page.locator("#theme").click()
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    shoot(page, "settings-wide-dark")
    page.reload()
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    expect(page.locator("#task label.selected")).to_have_text("Free")
    expect(page.locator("#kind label.selected")).to_have_text("Points")
    page.locator("#decoding").get_by_role("button", name="Decoding").click()
    expect(page.locator("#temperature input[type=number]")).to_have_value("0.7")
    page.get_by_role("button", name="The paper's settings").click()
    expect(page.locator("#temperature input[type=number]")).to_have_value("0.1")


def test_the_picker_shows_every_card_and_where_it_stands(visit: Visit) -> None:
    for size, name in ((WIDE, "wide"), (NARROW, "narrow")):
        page = visit(size, model=None)
        page.locator("#card").get_by_role("button", name="Change").click()
        shelf = page.locator("#zoo")
        expect(shelf).to_be_visible()
        expect(shelf.locator(".item").first).to_be_visible()
        titles = shelf.locator(".groups h3").all_inner_texts()
        assert titles[:3] == ["Visual counting", "Structure perception", "Spatial transformation"]
        expect(shelf.locator(".item", has_text="7B").first.locator(".state")).not_to_be_empty()
        shoot(page, f"picker-{name}-light")
        assert sideways(page) <= 0
        page.keyboard.press("Escape")
        expect(shelf).to_be_hidden()


def test_the_narrow_page_keeps_its_settings_in_a_drawer(visit: Visit) -> None:
    page = visit(NARROW, dark=True)
    expect(page.locator("#settings")).to_be_hidden()
    page.get_by_role("button", name="Settings and examples").click()
    expect(page.locator("#settings")).to_be_visible()
    shoot(page, "settings-narrow-dark")
    page.locator("#examples").get_by_role("button").nth(1).click()
    expect(page.locator("#settings")).to_be_hidden()
    streaming(page)
    stop(page)
    expect(page.locator("#composer textarea")).to_be_in_viewport(ratio=1)
    expect(page.locator("#live article")).to_be_in_viewport()
    assert sideways(page) <= 0
    shoot(page, "stopped-narrow-dark")


def test_a_conversation_outlives_the_server(browser: Browser, slow: Path, tmp_path: Path) -> None:
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    with serving(tmp_path / "chats") as first:
        page.goto(first.url)
        expect(page.locator("section.card")).to_be_visible(timeout=SLOW_MS)
        choose(page, str(slow))
        page.get_by_role("button", name="Watch it reason").click()
        streaming(page)
        stop(page)
        port = urlparse(first.url).port
    with serving(tmp_path / "chats", port):
        page.reload()
        expect(page.locator("article.said .end")).to_contain_text("Stopped", timeout=SLOW_MS)
        expect(page.locator("section.card h2")).to_have_text(slow.name)
    context.close()

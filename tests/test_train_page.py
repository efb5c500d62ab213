"""The Train tab in a real browser, with real runs. Screenshots go to screenshots/."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from page import Served, serving
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visiting import NARROW, SLOW_MS, WIDE, Visit, shoot, sideways, visits

from app.host import Host
from rft.config import Config
from rft.dataset import bundled
from rft.journal import append
from rft.run import Run
from rft.runs import create, runs

TRAINING_MS = 300_000  # loading torch, two measurements and a few steps, on cores that are shared
CONFIG = Config("tiny", "grpo", samples=4, batch=2, generations=2, steps=30, max_new_tokens=16)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("train") / "chats") as served:
        yield served


@pytest.fixture
def visit(browser: Browser, studio: Served) -> Iterator[Visit]:
    """Open the Train tab as a new visitor; afterwards, see that nothing went wrong unseen."""
    with visits(browser) as opened:

        def open_tab(
            size: dict[str, int] = WIDE, *, dark: bool = False, url: str = studio.url
        ) -> Page:
            page = opened(url, size, dark=dark)
            page.get_by_role("tab", name="Train").click()
            expect(page.locator("#runs nav")).to_be_visible(timeout=SLOW_MS)
            return page

        yield open_tab


@pytest.fixture
def made(studio: Served) -> Run:
    """A run that was written and stands still after three steps."""
    chosen = bundled("counting", "train", 4, 2, 0)
    run = create(studio.runs, CONFIG, chosen.train, chosen.heldout, title="Standing still")
    append(
        run.folder / "heldout.jsonl", {"step": 0, "n": 2, "strict": 1, "lenient": 1, "format": 2}
    )
    for step in (1, 2, 3):
        append(run.folder / "metrics.jsonl", measured(step))
    problem = chosen.train[0]
    completions = [
        {"text": f"<think>I see {n}.</think><answer>{n}</answer>", "tokens": 9, "cut": False,
         "rewards": {"accuracy": float(n), "format": 1.0}, "total": 1.0 + n, "advantage": n - 0.5,
         "reasons": {"accuracy": "<script>alert(1)</script>", "format": "well formed"}}
        for n in (0, 1)
    ]  # fmt: skip
    for step in (1, 2):
        append(run.folder / "rollouts.jsonl", {
            "step": step, "problem": problem.id, "question": problem.question, "gold": "1",
            "prompt": "…", "images": [f"data/images/train_images/{problem.id}.png"],
            "completions": completions})  # fmt: skip
    return run


def measured(step: int) -> dict[str, object]:
    return {
        "step": step, "stage": "grpo", "time": time.time(), "loss": 0.1, "reward": 1.0 + step / 10,
        "reward_std": 0.3, "rewards/accuracy/mean": 0.4, "rewards/accuracy/std": 0.5,
        "rewards/format/mean": 0.6 + step / 10, "rewards/format/std": 0.2, "step_time": 1.5,
    }  # fmt: skip


def pick(page: Page, title: str) -> None:
    page.locator("#runs button.run", has_text=title).first.click()
    expect(page.locator("section.head h1")).to_have_text(title)


def number(page: Page, field: str, value: float) -> None:
    box = page.locator(f"#{field} input[type=number]")
    box.fill(str(value))
    box.press("Enter")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_three_steps_from_left_to_right(
    visit: Visit, name: str, size: dict[str, int], dark: bool
) -> None:
    page = visit(size, dark=dark)
    expect(page.locator("#thumbs .side").first.locator(".thumb")).to_have_count(48)
    expect(page.locator("#summary .estimate")).to_contain_text("estimate")
    for step in ("data", "recipe", "run"):
        expect(page.locator(f"#step-{step} h2")).to_be_visible()
    assert sideways(page) <= 0
    shoot(page, f"train-form-{name}-{'dark' if dark else 'light'}")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_the_instrument(
    visit: Visit, made: Run, name: str, size: dict[str, int], dark: bool
) -> None:
    page = visit(size, dark=dark)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    pick(page, made.title)
    expect(page.locator(".wide .legendtext").filter(has_text="total")).to_be_visible(
        timeout=SLOW_MS  # Plotly is large, and loaded with the first figure
    )
    expect(page.locator(".small figure")).to_have_count(2)  # loss and time a step are logged
    expect(page.locator("#doctor li").first).to_be_visible()
    expect(page.locator("#slider output")).to_have_text("step 2")
    assert sideways(page) <= 0
    shoot(page, f"train-run-{name}-{'dark' if dark else 'light'}")


def test_zoom_and_hidden_curves_survive_an_update(visit: Visit, made: Run) -> None:
    page = visit()
    pick(page, made.title)
    legend = page.locator(".wide .legend .traces", has_text="format")
    expect(legend).to_be_visible(timeout=SLOW_MS)
    seen = """() => { const plot = document.querySelector('.wide');
        const named = (name) => plot.data.find((trace) => trace.name === name);
        const [low, high] = plot.layout.xaxis.range;
        return [named('total').x.length, named('format').visible, high - low < 15]; }"""
    legend.locator(".legendtoggle").click()
    page.wait_for_function(f"({seen})()[1] === 'legendonly'")  # after the wait for a second click
    plot = page.locator(".wide .nsewdrag").first.bounding_box()
    assert plot is not None
    x, y = plot["x"] + plot["width"] / 20, plot["y"] + plot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + plot["width"] / 3, y, steps=5)
    page.mouse.up()
    page.wait_for_function(f"({seen})()[0] === 3 && ({seen})()[2]")
    append(made.folder / "metrics.jsonl", measured(4))
    page.wait_for_function(f"({seen})()[0] === 4")
    assert page.evaluate(seen) == [4, "legendonly", True]


def test_rollouts_are_browsed_sorted_and_searched(visit: Visit, made: Run) -> None:
    page = visit()
    pick(page, made.title)
    shown = page.locator("#rollouts .rollout:visible .completion:visible")
    expect(shown).to_have_count(2)
    expect(shown.first.locator(".value")).to_have_text("1")  # the better one
    page.locator("#slider select").select_option("worst")
    expect(shown.first.locator(".value")).to_have_text("0")
    page.locator("#slider .steps").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#slider output")).to_have_text("step 1")
    expect(page.locator("#slider .follow")).to_have_attribute("aria-pressed", "false")
    page.locator("#slider input[type=search]").fill("I see 1")
    expect(shown).to_have_count(1)
    shown.locator("summary").click()
    expect(shown.locator(".reasoning")).to_be_visible()
    shoot(page, "train-rollouts-wide-light")


def test_a_run_is_renamed_laid_over_duplicated_and_deleted(visit: Visit, made: Run) -> None:
    page = visit()
    pick(page, made.title)
    page.get_by_role("button", name="Rename").click()
    page.keyboard.type("Another name")
    page.keyboard.press("Enter")
    expect(page.locator("#runs [aria-current] b")).to_have_text("Another name")
    page.get_by_role("button", name="Duplicate as a new run").click()
    expect(page.locator("#forge")).to_be_visible()
    expect(page.locator("#r-generations input[type=number]")).to_have_value("2")
    pick(page, "Another name")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#forge")).to_be_hidden()  # asked once
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator("#forge")).to_be_visible()
    assert not made.folder.exists()


def test_what_cannot_work_is_said_before_the_start(visit: Visit, studio: Served) -> None:
    page = visit()
    number(page, "r-generations", 1)
    sentence = "an advantage compares a group"
    expect(page.locator("#summary .trouble")).to_contain_text(sentence)
    before = len(runs(studio.runs))
    page.locator("#start").click()
    expect(page.get_by_test_id("toast-text").filter(has_text=sentence)).to_be_visible()
    assert len(runs(studio.runs)) == before
    number(page, "r-generations", 8)
    expect(page.locator("#summary .estimate")).to_be_visible()
    page.locator("#preset input").click()
    page.get_by_role("option", name="The paper").click()
    expect(page.locator("#summary .trouble")).to_be_visible()  # it does not fit this machine


def test_another_task_brings_its_own_rewards_and_lengths(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Everything else").click()
    longest, rewards = (page.locator(f"#r-{name}") for name in ("max_new_tokens", "rewards"))
    expect(longest.locator("input")).to_have_value("192")
    page.locator("#of-task").get_by_label("Spatial").click()
    expect(longest.locator("input")).to_have_value("352")
    expect(rewards.locator("input, textarea")).to_have_value("function_full 1, format 1")
    page.locator("#of-task").get_by_label("Counting").click()
    expect(longest.locator("input")).to_have_value("192")


def test_what_is_tried_first_tells_what_completions_earn(visit: Visit) -> None:
    page = visit()
    page.locator("#run-title").locator("input, textarea").fill("Tried first")
    page.locator("#prepare").click()
    expect(page.locator("section.head h1")).to_have_text("Tried first")
    trials = page.locator("section", has=page.get_by_role("heading", name="Dry run", exact=True))
    expect(trials.last.locator(".chip")).to_have_count(2, timeout=TRAINING_MS)
    expect(page.get_by_role("button", name="Dry run again")).to_be_enabled(timeout=TRAINING_MS)


def test_the_exact_config_can_be_taken_away(visit: Visit) -> None:
    page = visit()
    page.locator("#summary .exact summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    config = Config.read(Path(download.value.path()))
    assert (config.method, config.samples, config.checkpoint) == ("grpo", 64, "tiny-base")


def test_examples_are_made_edited_and_deleted_in_the_page(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    page.locator("#origin").get_by_text("Made here").click()
    for index, answer in enumerate(("1", "two", "3")):
        file = tmp_path / f"{index}.png"
        Image.new("RGB", (40, 40), (60 * index, 90, 160)).save(file)
        page.locator("#made-question input[type=file]").set_input_files([file])
        expect(page.locator("#made-question .thumbnail-item img")).to_have_count(1)
        page.locator("#made-question textarea").fill(f"How many are there, {index}?")
        page.locator("#made-answer").locator("input, textarea").fill(answer)
        page.locator("#made-add").click()
        expect(page.locator("#made li")).to_have_count(index + 1)
    expect(page.locator("#made .fault")).to_contain_text("counting needs an integer")
    field = page.get_by_label("Answer of example 2")
    field.fill("2")
    field.press("Tab")
    expect(page.locator("#made .fault")).to_have_count(0)
    expect(page.locator("#thumbs .side").first.locator(".thumb")).to_have_count(1)
    page.reload()  # what was made is still there
    page.locator("#origin").get_by_text("Made here").click()
    expect(page.locator("#made li")).to_have_count(3)
    page.get_by_label("Delete example 3").click()
    expect(page.locator("#made h3")).to_have_text("2 examples")
    shoot(page, "train-made-wide-light")


def test_an_upload_is_checked_row_by_row(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    page.locator("#origin").get_by_text("Upload").click()
    rows = []
    for index in range(4):
        Image.new("RGB", (40, 40), (50 * index, 20, 90)).save(tmp_path / f"i{index}.png")
        rows.append(
            {"problem": f"How many, {index}?", "solution": str(index), "image": f"i{index}.png"}
        )
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps([*rows[:3], {**rows[3], "image": "gone.png"}]))
    images = sorted(tmp_path.glob("*.png"))
    page.locator("#upload input[type=file]").set_input_files([broken, *images])
    expect(page.locator("#thumbs .trouble")).to_contain_text("gone.png")


def test_a_stranger_looks_and_starts_nothing(visit: Visit, tmp_path: Path) -> None:
    why = "Training is off here."
    with serving(tmp_path / "chats", host=Host(True, False, why)) as served:
        page = visit(url=served.url)
        expect(page.locator("#step-run")).to_contain_text(why)
        expect(page.locator("#start")).to_be_disabled()


def test_a_run_outlives_reload_and_server_and_ends_in_chat(
    browser: Browser, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other on shared cores
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    with serving(tmp_path / "chats") as first:
        port = urlparse(first.url).port
        page.goto(first.url)
        page.get_by_role("tab", name="Train").click()
        expect(page.locator("#thumbs .thumb").first).to_be_visible()
        page.locator("#start-from input").fill(str(tiny))
        page.locator("#start-from input").press("Enter")
        for field, value in (("k", 4), ("heldout", 2), ("r-steps", 4), ("r-batch", 2), ("r-generations", 2)):  # fmt: skip
            number(page, field, value)
        page.locator("#folded > button").click()
        number(page, "r-max_new_tokens", 12)  # the untrained one never ends by itself
        expect(page.locator("#summary")).to_contain_text("16 completions")
        page.locator("#folded > button").click()
        page.locator("#run-title").locator("input, textarea").fill("Through the page")
        page.locator("#start").click()
        expect(page.locator("section.head")).to_have_class(re.compile(r"\brunning\b"))
        page.reload()
        expect(page.locator("section.head h1")).to_have_text("Through the page")
    with serving(tmp_path / "chats", port):
        # The page notices by itself that the server is back.
        expect(page.locator("section.head h1")).to_have_text("Through the page", timeout=SLOW_MS)
        expect(page.locator("section.head")).to_have_class(
            re.compile(r"\bdone\b"), timeout=TRAINING_MS
        )
        expect(page.locator(".result .big")).to_have_count(2)
        expect(page.locator("#runs .told").first).to_have_text("done")
        shoot(page, "train-done-wide-light")
        page.get_by_role("button", name="Open in Chat").click()
        expect(page.locator("article.ask .question")).to_be_visible()
        expect(page.locator("section.card h2")).to_contain_text("Through the page")
    context.close()

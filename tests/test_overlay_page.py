"""What answers point at, in a real browser: recorded answers, put where real ones were kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page import Served, serving
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect
from visiting import NARROW, SLOW_MS, WIDE, Visit, shoot, sideways, visits

SIZE = 640, 480
BOXES = """```json
[
  {"bbox_2d": [64, 48, 256, 240], "label": "red <b>cup</b>"},
  {"bbox_2d": [352, 216, 576, 432], "label": "blue cup"},
  {"point_2d": [288, 384], "label": "spoon"}
]
```"""
SPOTS = "<think>Both cups leave room.</think><answer>[(160, 120), (320, 240), (480, 360)]</answer>"
REACH = "The trajectory is [(32, 432), (160, 360), (300, 300), (460, 320)]."
BROKEN = "[(160, 120), (320,"

Record = Callable[..., None]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("pointing") / "chats") as served:
        yield served


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    with visits(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with two cups where the recorded answers say, half of it dark, half light."""
    image = Image.new("RGB", SIZE, "#F4F1EA")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 300, *SIZE), fill="#14171C")
    pen.rectangle((64, 48, 256, 240), fill="#C23B22")
    pen.rectangle((352, 216, 576, 432), fill="#2F5DA8")
    image.save(file := tmp_path_factory.mktemp("table") / "table.png")
    return file


def record(studio: Served, *answers: str) -> None:
    """Put recorded answers of a Qwen2.5-VL in place of those that were just kept."""
    kept = [
        file for file in studio.home.parent.rglob("*.json") if '"exchanges"' in file.read_text()
    ]
    file = max(kept, key=lambda file: file.stat().st_mtime_ns)
    chat = json.loads(file.read_text())
    for exchange, text in zip(chat["exchanges"], answers, strict=True):
        # As if the image had been within the bound of pixels as it is: 640 and 480 are no
        # multiples of 28, and the numbers above are easier to check by eye.
        exchange["ask"]["task"] = None
        exchange["said"] |= {"text": text, "end": "eos", "family": "qwen2_5_vl", "max_pixels": 0}
    file.write_text(json.dumps(chat))


def ask(page: Page, name: str, table: Path) -> None:
    page.locator(f"#{name} input[type=file]").set_input_files([table])
    expect(page.locator(f"#{name} .thumbnail-item img")).to_have_count(1)
    page.locator(f"#{name} textarea").fill("Where are the cups?")
    page.locator(f"#{name} textarea").press("Enter")


def corners(element: Locator) -> tuple[float, float, float, float]:
    box = element.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def shares(mark: Locator, image: Locator) -> list[float]:
    """Where the mark's geometry lies, in the image's pixels."""
    left, top, right, bottom = corners(image)
    x0, y0, x1, y1 = corners(mark)
    across, down = SIZE[0] / (right - left), SIZE[1] / (bottom - top)
    return [(x0 - left) * across, (y0 - top) * down, (x1 - left) * across, (y1 - top) * down]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("narrow", NARROW)])
def test_marks_lie_where_the_answer_says(
    visit: Visit, studio: Served, table: Path, name: str, size: dict[str, int], dark: bool
) -> None:
    page = visit(studio.url, size, dark=dark)
    expect(page.locator("section.card")).to_be_visible(timeout=SLOW_MS)
    ask(page, "composer", table)
    expect(page.locator("#live article.said:not(.waiting)")).to_be_visible(timeout=SLOW_MS)
    for text, what, picture in (
        (BOXES, "A point and 2 boxes", "boxes"),
        (SPOTS, "3 points", "points"),
        (REACH, "A trajectory of 4 points", "path"),
    ):
        record(studio, text)
        page.reload()
        figure = page.locator("#live figure.pointed")
        expect(figure.locator("figcaption")).to_contain_text(what, timeout=SLOW_MS)
        expect(figure.locator("figcaption")).to_contain_text("pixels of the 640 × 480 image")
        image = figure.locator("img")
        assert shares(figure.locator("svg"), image) == pytest.approx([0, 0, 640, 480], abs=2)
        figure.scroll_into_view_if_needed()
        shoot(page, f"pointing-{picture}-{name}-{'dark' if dark else 'light'}")
        assert sideways(page) <= 0
        if text is BOXES:
            line = figure.locator("path.line.ink")
            assert shares(line, image) == pytest.approx([64, 48, 576, 432], abs=6)
            tag = figure.locator(".tag").first
            expect(tag).to_have_text("red <b>cup</b>")
            assert corners(tag)[0] == pytest.approx(
                corners(image)[0] + 0.1 * image.bounding_box()["width"], abs=2
            )  # type: ignore[index]
        if text is REACH:
            head = figure.locator(".head")
            assert shares(head, image)[:2] == pytest.approx([460, 320], abs=3)
    figure.locator("button").click()
    large = page.locator("dialog.large")
    expect(large.locator("svg path.line.ink")).to_be_visible()
    assert shares(large.locator("svg"), large.locator("img")) == pytest.approx(
        [0, 0, 640, 480], abs=2
    )
    shoot(page, f"pointing-large-{name}-{'dark' if dark else 'light'}")


def test_every_pane_of_a_comparison_draws_its_own(
    visit: Visit, studio: Served, table: Path
) -> None:
    for name, size in (("wide", WIDE), ("narrow", NARROW)):
        page = visit(studio.url, size)
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("#c-panes .pane")).not_to_have_count(0, timeout=SLOW_MS)
        page.locator("#c-task").get_by_text("Free").click()
        ask(page, "c-composer", table)
        expect(page.locator("#c-panes article.said:not(.waiting)")).to_have_count(
            2, timeout=SLOW_MS
        )
        expect(page.locator("#c-composer .submit-button")).to_be_visible()
        record(studio, BOXES, BROKEN)
        page.reload()
        panes = page.locator("#c-panes .pane")
        expect(panes.first.locator("figure.pointed svg")).to_be_visible(timeout=SLOW_MS)
        expect(panes.last.locator("figure")).to_have_count(0)
        expect(panes.last.locator(".value, .lead")).to_have_text(BROKEN)
        figure = panes.first.locator("figure.pointed")
        assert shares(figure.locator("svg"), figure.locator("img")) == pytest.approx(
            [0, 0, 640, 480], abs=2
        )
        assert sideways(page) <= 0
        panes.first.scroll_into_view_if_needed()
        shoot(page, f"pointing-panes-{name}-light")

"""What is drawn over an image that an answer points at, as HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from test_render import HOSTILE, Inspector

from app import overlay
from app.conversation import Ask, Conversation, Said
from app.gallery import Gallery, served
from app.store import Store

PHOTO = (640, 480)
SPOTS = "Name several free spots."
GALLERY = Gallery(lambda name: f"/{name}", lambda _: PHOTO)


def chat(answer: str, *, images: tuple[str, ...] = ("a.png",), **more: object) -> Conversation:
    fields: dict[str, object] = {"end": "eos", "family": "qwen2_5_vl", **more}
    ask = Ask(str(fields.pop("question", SPOTS)), SPOTS, images, fields.pop("task", None))  # type: ignore[arg-type]
    return Conversation("x").asking(ask, Said(answer, **fields))  # type: ignore[arg-type]


def drawn(answer: str, **more: object) -> str:
    return overlay.drawn(chat(answer, **more), 0, GALLERY)  # type: ignore[arg-type]


def test_points_lie_in_the_pixels_of_the_image():
    html = drawn("<think>Between (1, 2).</think><answer>[(160, 120), (320, 240)]</answer>")
    assert 'viewBox="0 0 640 480"' in html and "--ratio:1.3333" in html
    assert re.findall(r'class="dot ink" d="([^"]*)"', html) == ["M160.0 120.0h.01M320.0 240.0h.01"]
    assert "<b>2 points</b>: read as pixels of the 640 × 480 image." in html
    assert '<img src="/a.png"' in html


def test_pixels_of_what_the_model_was_given():
    html = drawn("[308, 224, 616, 448]", max_pixels=300_000)
    assert 'd="M320.0 240.0H640.0V480.0H320.0Z"' in html
    assert "as the model was given it, 616 × 448." in html


def test_a_trajectory_has_a_start_and_a_head_that_looks_ahead():
    question = {"question": "", "answer": "The trajectory: [(100, 100), (100, 300), (100, 300)]"}
    html = drawn(question["answer"])
    assert 'class="line ink" d="M100.0 100.0L100.0 300.0L100.0 300.0"' in html
    assert html.count('class="head"') == 1 and "rotate:90.0deg" in html
    assert "A trajectory of 3 points" in html


def test_what_was_asked_for_says_what_bare_numbers_are():
    corners = "(250,500),(750,1000)"
    for kind, told in (("box", "A box"), ("points", "2 points"), ("trajectory", "A trajectory")):
        ask = Ask("The bike path and its bounding box?", SPOTS, ("a.png",), kind=kind)
        said = Said(f"<answer>{corners}</answer>", "eos", family="qwen2_vl")
        assert f"<b>{told}" in overlay.drawn(Conversation("x").asking(ask, said), 0, GALLERY)


def test_labels_stand_on_the_image_and_are_only_text():
    box = '[{"bbox_2d": [%d, %d, 600, 470], "label": "%s"}]'
    assert 'class="tag above box" style="left:15.62%;top:25.00%">cup</span>' in drawn(
        box % (100, 120, "cup")
    )
    assert 'class="tag below box" style="right:6.25%;top:2.08%"' in drawn(box % (500, 10, "cup"))
    for text in HOSTILE:
        inspector = Inspector()
        inspector.feed(drawn(box % (100, 120, text.replace("\\", "\\\\").replace('"', '\\"'))))
        inspector.close()
        assert inspector.tags <= set("figure button span img svg path figcaption b i".split())
        assert not [name for name in inspector.attributes if name.startswith("on")]


def test_several_images_and_those_of_an_earlier_question():
    both = ("a.png", "b.png")
    assert '<img src="/a.png"' in drawn("(160, 120)", images=both)
    assert "on the first of 2 images" in drawn("(160, 120)", images=both)
    html = drawn("In the second image: (160, 120)", images=both)
    assert '<img src="/b.png"' in html and "on image 2 of 2" in html
    later = chat("(160, 120)", images=both)
    later = later.asking(Ask("And?", "And?"), Said("(320, 240)", end="eos", family="qwen2_5_vl"))
    assert '<img src="/a.png"' in overlay.drawn(later, 1, GALLERY)


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ("(160, 120)", {"end": "waiting"}),
        ("(160, 120)", {"images": ()}),
        ("(160, 120)", {"task": "structure"}),
        ("[(160, 120), (320,", {}),
        ("<think>(160, 120)</think><answer>7</answer>", {}),
        ("<b>no</b>", {}),
    ],
)
def test_nothing_is_drawn(answer: str, more: dict[str, object]):
    assert drawn(answer, **more) == ""


def test_what_is_left_out_is_said():
    html = drawn("[(160, 120), (320, 240), (700, 10)]")
    assert "1 outside it left out." in html
    assert "150 more are not drawn." in drawn(str([(n + 10, 50) for n in range(250)]))


def test_an_image_that_is_gone_is_not_drawn_on(tmp_path: Path):
    store = Store(tmp_path)
    made = store.new()
    (name,) = store.keep(made.id, [Image.new("RGB", (64, 48))])
    gallery = served(store, made.id)
    assert gallery.size(name) == (64, 48) and gallery.address(name).endswith(name)
    assert gallery.size("0.png") is None
    assert overlay.drawn(chat("(16, 12)", images=("0.png",)), 0, gallery) == ""

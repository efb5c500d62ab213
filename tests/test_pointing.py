"""Where answers point: recorded answers of each notation, what merely looks like one, and any text.

The recordings are ours, in the notations that the models' public documentation shows.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from rft.anatomy import fitted
from rft.coordinates import LONGEST, Figure, figures
from rft.pointing import LONGEST_LABEL, MOST, Canvas, Pointing, pointing
from rft.scenes import SPLITS, make

PHOTO = Canvas((640, 480), (644, 476))  # as Qwen2.5-VL is given it
LARGE = Canvas((1920, 1080), (896, 504))
SPOTS = "Identify several free spots on the shelf, as a list of tuples."
REACH = "You are a robot. Predict the key trajectory points to reach for the banana."
REGION = "Give the bounding box of the region: the person with the red hat."


def read(answer: str, *, canvas: Canvas = PHOTO, family: str = "qwen2_5_vl", **more) -> Pointing:
    found = pointing(answer, [canvas], family=family, **more)
    assert found is not None, answer
    return found


def kinds(found: Pointing) -> list[str]:
    return [mark.kind for mark in found.marks]


# --- RoboBrain 2.0 ---------------------------------------------------------------------------


def test_robobrain_points():
    found = read("[(161, 119), (322, 238), (483, 357)]", question=SPOTS)
    assert kinds(found) == ["point"] * 3 and found.unit == "seen"
    assert [mark.points[0] for mark in found.marks] == [(0.25, 0.25), (0.5, 0.5), (0.75, 0.75)]


def test_robobrain_trajectory_with_round_or_square_brackets():
    for answer in ("[(64, 47), (322, 238), (644, 476)]", "[[64, 47], [322, 238], [644, 476]]"):
        found = read(answer, question=REACH)
        assert kinds(found) == ["path"]
        assert found.marks[0].points[1:] == ((0.5, 0.5), (1.0, 1.0))


def test_robobrain_affordance_and_grounding():
    for question in ("You are a robot. Predict an affordance area: hold the cup.", REGION):
        found = read("[161, 119, 322, 357]", question=question)
        assert kinds(found) == ["box"]
        assert found.marks[0].points == ((0.25, 0.25), (0.5, 0.75))
    assert kinds(read("[(161, 119), (322, 357)]", question=REGION)) == ["box"]


def test_normalised_coordinates_are_shares_in_any_family():
    for family in ("qwen2_vl", "qwen2_5_vl", ""):
        found = read("[[0.781, 0.305], [0.5, 1.0]]", question=REACH, family=family)
        assert (kinds(found), found.unit) == (["path"], "share")
        assert found.marks[0].points == ((0.781, 0.305), (0.5, 1.0))


def test_prose_around_coordinates():
    text = "The free spots are (161, 119), (322, 238), and (483, 357).\n\nNothing stands there."
    assert len(read(text, question=SPOTS).marks) == 3
    listed = "1. the mug (161, 119)\n2. (322, 238)\n3) (483, 357) - (600, 400)"
    assert len(read(listed, question=SPOTS).marks) == 4
    assert kinds(read("The trajectory is [(64, 47), (322, 238)], as planned.")) == ["path"]


# --- Qwen2.5-VL and Qwen2-VL -------------------------------------------------------------------

CUPS = """```json
[
\t{"bbox_2d": [161, 119, 322, 357], "label": "blue cup"},
\t{"bbox_2d": [330, 130, 420, 300], "label": "green   cup", "sub_label": "full"},
\t{"point_2d": [483, 357], "label": "handle"}
]
```"""


def test_qwen25_json():
    found = read(CUPS)
    assert kinds(found) == ["box", "box", "point"]
    assert [mark.label for mark in found.marks] == ["blue cup", "green cup", "handle"]


def test_json_that_was_cut_off_keeps_what_is_whole():
    assert len(read(CUPS[: CUPS.index("420")]).marks) == 1
    assert kinds(read('[{"bbox_2d": [161, 119, 322, 357], "lab')) == ["box"]
    assert pointing('[{"bbox_2d": [161, 119, 32', [PHOTO], family="qwen2_5_vl") is None


def test_qwen25_points_as_tags():
    found = read('<points x1="161" y1="119" x2="322" y2="238" alt="eggs">eggs</points>')
    assert [(mark.points[0], mark.label) for mark in found.marks] == [
        ((0.25, 0.25), "eggs"),
        ((0.5, 0.5), "eggs"),
    ]


def test_qwen2_box_in_thousandths():
    for text in ("the cat(250,500),(750,1000)", "<|box_start|>(250,500),(750,1000)<|box_end|>"):
        found = read(text, family="qwen2_vl")
        assert (kinds(found), found.unit) == (["box"], "thousandth")
        assert found.marks[0].points == ((0.25, 0.5), (0.75, 1.0))
    assert kinds(read("(250,500),(750,900)", family="qwen2_vl", question="Two points")) == [
        "point",
        "point",
    ]


# --- what the numbers count ---------------------------------------------------------------------


def test_pixels_are_those_that_the_model_was_given():
    found = read("[448, 252, 896, 504]", canvas=LARGE)
    assert found.unit == "seen" and found.marks[0].points == ((0.5, 0.5), (1.0, 1.0))


def test_what_lies_outside_is_read_in_another_way_or_left_out():
    assert read("(900, 600)").unit == "thousandth"
    assert read("(1500, 900)", canvas=LARGE).unit == "kept"
    assert pointing("(5000, 900)", [LARGE], family="qwen2_5_vl") is None
    assert pointing("(-90, 40)", [PHOTO], family="qwen2_5_vl") is None
    found = read("[(161, 119), (322, 238), (700, 100)]")
    assert (found.unit, len(found.marks), found.outside) == ("seen", 2, 1)
    edge = read("[0, 0, 650, 480]")  # rounded past the edge
    assert edge.unit == "seen" and edge.marks[0].points[1] == (1.0, 1.0)


def test_an_unknown_family_counts_in_pixels_first():
    assert read("(600, 400)", family="").unit == "seen"
    assert read("(900, 400)", family="").unit == "thousandth"


def test_which_of_several_images():
    def image(answer: str, question: str = "") -> tuple[int, bool]:
        found = pointing(answer, [PHOTO, LARGE], question=question, family="qwen2_5_vl")
        assert found is not None
        return found.image, found.named

    assert image("(161, 119)") == (0, False)
    assert image("In image 2: (161, 119)") == (1, True)
    assert image("(161, 119)", "Point to the cup in the second image") == (1, True)
    assert image("(161, 119) in the first image, not in image 2") == (0, False)
    assert image("(161, 119) in image 7") == (0, False)
    assert pointing("(161, 119)", []) is None


# --- what merely looks like it -------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "30",
        "(B) 30",
        "(B) (30)",
        "B",
        "change_position(0, 'left'), change_size(1, 'small')",
        "change_size(10, 20)",
        "max(120, 340) = 340",
        "(2, 3)",
        "[1, 2, 3, 4]",
        "0, 1",
        "(0, 1)",
        "[(161, 119), (322, 238",
        "[161, 119, 322]",
        "(161, 119, 322)",
        "[322, 357, 161, 119]",
        "[(161, 119), 322]",
        "[161, 119, 322, 357, 400, 420]",
        "(1,000, 500)",
        "[true, 100]",
        "[1e3, 200]",
        '{"box_2d": [161, 119, 322, 357]}',
        '{"bbox_2d": "161, 119, 322, 357"}',
        '{"bbox_2d": [NaN, 119, 322, Infinity]}',
        "see [12] and [13]",
        "on 2023-08-25 (page 12)",
        "161, 119",
        "[" * 5000,
        "[" * 5000 + "]" * 5000,
        "(" + "9" * 5000 + ", 5)",
    ],
)
def test_it_is_no_coordinate(answer: str):
    for family in ("qwen2_vl", "qwen2_5_vl", ""):
        assert pointing(answer, [PHOTO], family=family) is None


def test_answers_of_the_tasks_never_point():
    for task, splits in SPLITS.items():
        for split in splits:
            for seed in range(20):
                answer = make(task, split, seed).answer
                assert pointing(answer, [PHOTO], family="qwen2_5_vl") is None, answer
                assert pointing(answer, [PHOTO], family="qwen2_5_vl", task=task) is None, answer
        assert pointing("[(161, 119), (322, 238)]", [PHOTO], task=task) is None
        assert pointing(CUPS, [PHOTO], task=task) is not None, "what is named is no result"


# --- any text -------------------------------------------------------------------------------------

ALPHABET = st.sampled_from([*list('0123456789.,-()[]{}<>" \n:xyab'), "bbox_2d", "points", '"x1="'])


@given(st.lists(ALPHABET, max_size=200).map("".join), st.sampled_from(["qwen2_vl", "qwen2_5_vl"]))
def test_any_text_gives_marks_inside_the_image_or_nothing(text: str, family: str):
    found = pointing(text, [PHOTO], family=family, question=text)
    if found is not None:
        assert found.marks and len(found.marks) <= MOST
        for mark in found.marks:
            assert all(0 <= number <= 1 for point in mark.points for number in point)
            assert (len(mark.points) == 1) == (mark.kind == "point")


def test_many_and_long_are_bounded():
    found = read(str([(n + 10, 50) for n in range(250)]))
    assert (len(found.marks), found.more) == (MOST, 150)
    assert (
        len(read(str([(n + 10, 50) for n in range(250)]), question=REACH).marks[0].points) == MOST
    )
    label = read('{"bbox_2d": [10, 10, 50, 50], "label": "%s"}' % ("long " * 90)).marks[0].label
    assert len(label) == LONGEST_LABEL and label.endswith("…")
    assert figures("(10, 20) " + " " * LONGEST) == []


@pytest.mark.parametrize(
    "part", ["(", "[", "{", '{"a":', "(1,", "<points ", '<points x1="', "()", "image ", "(9,9)"]
)
def test_hostile_lengths_stay_quick(part: str):
    text = (part * LONGEST)[:LONGEST]
    start = time.process_time()
    pointing(text, [PHOTO], question=text)
    assert time.process_time() - start < 2


def test_figures_keep_the_order_of_the_text():
    text = 'first (10, 20), then {"point_2d": [30, 40]}, at last [5, 6, 70, 80]'
    assert figures(text) == [
        Figure("point", ((10, 20),)),
        Figure("point", ((30, 40),)),
        Figure("box", ((5, 6), (70, 80))),
    ]


# --- what a model is given ---------------------------------------------------------------------------


@given(st.integers(8, 3000), st.integers(8, 3000), st.integers(3_136, 1_000_000))
def test_an_image_is_fitted_as_the_processor_does(width: int, height: int, most: int):
    if max(width, height) <= 200 * min(width, height):
        expected = smart_resize(height, width, 28, 3_136, most)
        assert fitted((width, height), most) == expected[::-1]

"""Rewards against values worked by hand from the reference's description, odd cases included."""

from __future__ import annotations

import math
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft.errors import InputError
from rft.parse import parse
from rft.rewards import REWARDS, Rubric, explain, tolerance, well_formed
from rft.types import Problem


def give(name: str, text: str, gold: str) -> float:
    return REWARDS[name](parse(text), Problem("0", "counting", (), "", gold))


def why(name: str, text: str, gold: str) -> str:
    return explain(name, parse(text), Problem("0", "counting", (), "", gold)).reason


def tagged(answer: str) -> str:
    return f"<think>so</think><answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>a</think><answer>5</answer>", 1),
        ("<think>a</think> \n\t<answer>5</answer>", 1),
        ("<think>\na\n</think>\n<answer>\n5\n</answer>", 1),
        ("<think></think><answer></answer>", 1),
        # A second pair, or anything else that ends in </answer>, still matches.
        ("<think>a</think><answer>5</answer> or <answer>6</answer>", 1),
        ("<think>a</think>b</think><answer>5</answer>", 1),
        # White space around the whole counts against it.
        (" <think>a</think><answer>5</answer>", 0),
        ("<think>a</think><answer>5</answer>\n", 0),
        ("<think>a</think>so<answer>5</answer>", 0),
        ("a</think><answer>5</answer>", 0),
        ("<think>a<answer>5</answer>", 0),
        ("<answer>5</answer><think>a</think>", 0),
        ("<think>a</think><answer>5", 0),
        ("<Think>a</Think><Answer>5</Answer>", 0),
        ("<think></think><answer>5</answer", 0),
        ("<think></think><answer></answer", 0),
        ("5", 0),
        ("", 0),
    ],
)
def test_format(text: str, value: float) -> None:
    assert give("format", text, "5") == value


PIECES = ["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "a", "<", "5"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_format_is_the_reference_pattern(text: str) -> None:
    pattern = r"<think>.*?</think>\s*<answer>.*?</answer>"
    assert well_formed(text) == (re.fullmatch(pattern, text, re.DOTALL) is not None)


@pytest.mark.parametrize(
    ("text", "gold", "value"),
    [
        (tagged("5"), "5", 1),
        (tagged(" 5 "), " 5\n", 1),
        (tagged("\nB\n"), "B", 1),
        (tagged("5"), "<answer> 5 </answer>", 1),
        (tagged("4"), "5", 0),
        # Compared as texts, where an answer tag exists.
        (tagged("6.0"), "6", 0),
        (tagged("B."), "B", 0),
        (tagged("b"), "B", 0),
        (tagged("The answer is 5"), "5", 0),
        # The first answer pair counts.
        (tagged("5") + "<answer>6</answer>", "5", 1),
        (tagged("6") + "<answer>5</answer>", "5", 0),
        # Form is not accuracy's business.
        ("<answer>5</answer>", "5", 1),
        (" 5\n", "5", 1),
        ("B", "B", 1),
        # Without an answer pair, math_verify reads the whole completion.
        ("6.0", "6", 1),
        ("There are 3 and 2, so the answer is 5.", "5", 1),
        ("<think>so it is</think> 5 objects", "5", 1),
        ("<think>a</think><answer> 5", "5", 1),  # cut off before </answer>
        ("<think>a</think><answer>5", "5", 0),  # math_verify wants a space before a number
        ("1/2", "0.5", 1),
        ("$x = 5$", "5", 1),
        ("So the answer is 4.", "5", 0),
        ("The answer is B.", "B", 0),
        ("many", "5", 0),
        ("", "5", 0),
        # It reads the gold as it stands, tags and all, and finds nothing in it.
        ("The answer is 5.", "<answer>5</answer>", 0),
    ],
)
def test_accuracy(text: str, gold: str, value: float) -> None:
    assert give("accuracy", text, gold) == value


@pytest.mark.parametrize(
    "text",
    ["9^9^9^9", "$100000000!$", "$" + "(" * 500 + "5", "$((9^{900})^{900})^9$", "7 " * 9_000],
)
def test_what_would_take_for_ever_to_work_out_is_wrong_at_once(text: str) -> None:
    assert give("accuracy", text, "5") == 0


def test_mathematics_is_compared_on_any_thread() -> None:
    values: list[float] = []
    thread = threading.Thread(target=lambda: values.append(give("accuracy", "It is 5.0", "5")))
    thread.start()
    thread.join()
    assert values == [1.0]


@pytest.mark.parametrize(
    ("said", "gold", "value"),
    [
        ("100", "100", 1),
        ("104.9", "100", 1),
        ("95.1", "100", 1),
        # off by 10%: a third of the way from 5% to 20%: (cos(pi/3) + 1) / 2
        ("110", "100", 0.75),
        ("90", "100", 0.75),
        # off by 12.5%: half way
        ("112.5", "100", 0.5),
        ("-112.5", "-100", 0.5),
        # The edges belong to the cosine: its ends.
        ("105", "100", 1),
        ("120", "100", 0),
        ("121", "100", 0),
        ("-100", "100", 0),
        # Python's numbers are numbers, and nothing else is.
        ("1e2", "100", 1),
        ("100 cm", "100", 0),
        ("B", "B", 1),
        ("A", "B", 0),
        ("nan", "100", 0),
        ("inf", "100", 0),
        # 0/0 in the formula, 0 in the reference.
        ("0", "0", 0),
    ],
)
def test_math_tolerance(said: str, gold: str, value: float) -> None:
    assert give("math_tolerance", tagged(said), gold) == pytest.approx(value, abs=1e-9)


def test_math_tolerance_falls_back_like_accuracy() -> None:
    assert give("math_tolerance", "110", "100") == pytest.approx(0.75)
    assert give("math_tolerance", "The angle is 100.", "100") == 1
    assert give("math_tolerance", "0", "0") == 1


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_tolerance_stays_within_0_and_1(said: float, gold: float) -> None:
    assert 0 <= tolerance(said, gold) <= 1
    assert not math.isnan(tolerance(said, gold))


ONE = "change_color(1, 'red')"
TWO = "change_size(2, 'large')"


@pytest.mark.parametrize(
    ("said", "gold", "function", "full", "penalty"),
    [
        (ONE, ONE, 1, 1, 1),
        (f"{TWO}, {ONE}", f"{ONE}, {TWO}", 1, 1, 1),  # order is ignored
        (f"{ONE}\n{TWO}", f"{ONE}, {TWO}", 1, 1, 1),
        # No quotes match, one quote too; double quotes, spaces, "front left" do not.
        ("change_color(1,red)", ONE, 1, 1, 1),
        ("change_color(1, 'red)", ONE, 1, 1, 1),
        ('change_color(1, "red")', ONE, 0, 0, 0),
        ("change_color( 1, 'red')", ONE, 0, 0, 0),
        ("change_color(1 , 'red')", ONE, 0, 0, 0),
        ("change_color (1, 'red')", ONE, 0, 0, 0),
        ("change_position(1, 'front left')", "change_position(1, 'front_left')", 0, 0, 0),
        ("Change_Color(1, 'red')", ONE, 0, 0, 0),
        # No call at all.
        ("", ONE, 0, 0, 0),
        ("red", ONE, 0, 0, 0),
        (ONE, "none", 0, 0, 0),
        # One of two: item = 1/2.
        (ONE, f"{ONE}, {TWO}", 0.5, 0.5, 0.5),
        (f"{ONE}, {TWO}", ONE, 0.5, 0.5, 0.5),
        # The same call twice: (1/2) / 1.
        (f"{ONE}, {ONE}", ONE, 0.5, 0.5, 0.5),
        # Three calls, two unique, against two: (2/3) / 2 for each full match.
        (f"{ONE}, {TWO}, {ONE}", f"{ONE}, {TWO}", 2 / 3, 2 / 3, 2 / 3),
        # Repeats in the gold answer cost nothing.
        (ONE, f"{ONE}, {ONE}", 1, 1, 1),
        # Wrong value; wrong object; wrong in both; wrong function.
        ("change_color(1, 'blue')", ONE, 0.5, 0, -0.25),
        ("change_color(3, 'red')", ONE, 0.5, 0, -0.25),
        ("change_color(3, 'blue')", ONE, 0.25, 0, -0.5),
        ("change_shape(1, 'red')", ONE, 0, 0, 0),
        # Full, function and object, function alone: item = 1/3: (1 + .5 + .25) / 3.
        (
            f"{ONE}, change_size(2, 'small'), change_shape(4, 'cube')",
            f"{ONE}, {TWO}, change_shape(5, 'sphere')",
            1.75 / 3,
            1 / 3,
            (1 - 0.25 - 0.5) / 3,
        ),
        # A full match is taken before a partial one, whatever the order of writing.
        (f"change_color(1, 'blue'), {ONE}", ONE, 0.5, 0.5, 0.5),
        # Function and object goes before function and value: item = 1/2, first .5, then .25.
        (
            "change_color(1, 'blue'), change_color(2, 'red')",
            "change_color(1, 'red'), change_color(3, 'gray')",
            (0.5 + 0.25) / 2,
            0,
            (-0.25 - 0.5) / 2,
        ),
        # Where partners compete, the order of writing decides (the reference: the hash seed).
        (
            "change_color(1, 'blue'), change_color(1, 'gray')",
            "change_color(1, 'red'), change_color(2, 'gray')",
            (0.5 + 0.5) / 2,
            0,
            (-0.25 - 0.25) / 2,
        ),
    ],
)
def test_function_family(
    said: str, gold: str, function: float, full: float, penalty: float
) -> None:
    for text in (tagged(said), said):
        if text:
            assert give("function", text, gold) == pytest.approx(function)
            assert give("function_full", text, gold) == pytest.approx(full)
            assert give("function_penalty", text, gold) == pytest.approx(penalty)


def test_function_reads_the_answer_only_or_else_everything() -> None:
    assert give("function_full", f"<think>{TWO}</think><answer>{ONE}</answer>", ONE) == 1
    assert give("function_full", f"<think>{TWO}</think><answer>\n{ONE}\n</answer>", ONE) == 1
    assert give("function_full", f"<think>{TWO}</think>{ONE}", ONE) == 0.5
    assert give("function_full", tagged(ONE), f"<answer>{ONE}</answer>") == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("First, a. Next, b.", 2 / 3),
        ("First, a. Second, b. Next, c. Finally, d.", 1),
        ("Step 1: a\nStep 2: b", 2 / 3),
        ("1. a\n2. b", 1 / 3),  # a numbered line counts at the very beginning alone
        ("list:\n- a\n* b", 2 / 3),
    ],
)
def test_reasoning_steps(text: str, value: float) -> None:
    assert give("reasoning_steps", text, "5") == pytest.approx(value)


@pytest.mark.parametrize(
    ("gold", "answers"),
    [
        ("6", ["6.0", " 6 ", "6.", "**6**", "$6$", '"6"', "６", "\\boxed{6}", "6 cm", "6 objects"]),
        ("A", ["A.", "(A)", "a", "A) 30", "A: 30", "**A**", "\\boxed{A}", "A. acute"]),
        ("30", ["30°", "30 degrees", "$30^\\circ$", "30.0"]),
        ("1200", ["1,200", "1200.00"]),
        ("0.5", ["1/2", ".5", "0.50"]),
        ("0", ["0", "0.0"]),
    ],
)
def test_robust_accuracy_reads_as_a_person_does(gold: str, answers: list[str]) -> None:
    for answer in answers:
        assert give("accuracy_robust", tagged(answer), gold) == 1, answer
        assert give("math_tolerance_robust", tagged(answer), gold) == 1, answer


@pytest.mark.parametrize(
    ("gold", "answers"),
    [
        ("6", ["5", "6 or 7", "66", "-6", "6%", "1/0", "6,0", "six apples", ""]),
        ("A", ["B", "A or B", "a cube", "AB", ""]),
        ("", [""]),
    ],
)
def test_robust_accuracy_is_not_lax(gold: str, answers: list[str]) -> None:
    for answer in answers:
        assert give("accuracy_robust", tagged(answer), gold) == 0, answer


def test_the_other_robust_rewards() -> None:
    assert give("format_robust", "\n" + tagged("5") + " ", "5") == 1
    assert give("format_robust", tagged("5") + "<answer>6</answer>", "5") == 0
    assert give("math_tolerance_robust", tagged("110 cm"), "100") == pytest.approx(0.75)
    spoken = "Change_Color( 1 , \"red\" ), change_position(‘2’, 'front left')"
    gold = f"{ONE}, change_position(2, 'front_left')"
    assert give("function_robust", tagged(spoken), gold) == 1
    assert give("function_full_robust", tagged(spoken), gold) == 1
    assert give("function_exact", tagged(spoken), gold) == 1
    assert give("function_exact", tagged(ONE), gold) == 0
    assert give("function_exact", tagged(f"{ONE}, {ONE}"), ONE) == 0
    assert give("function_exact", "", gold) == 0


@pytest.mark.parametrize(
    ("name", "text", "gold", "reason"),
    [
        ("accuracy", tagged("5"), "4", "said 5, gold is 4"),
        ("accuracy", tagged("5"), "5", "said 5, as gold"),
        ("accuracy", tagged(""), "5", "said nothing, gold is 5"),
        ("accuracy", "many", "5", "no <answer> tag; said many, gold is 5"),
        ("accuracy", "It is 5.", "5", "no <answer> tag, but the text holds 5"),
        ("accuracy_robust", "many", "5", "no <answer> tag; said many, gold is 5"),
        ("math_tolerance", tagged("110"), "100", "said 110, gold is 100 (10% off)"),
        ("format", "5", "5", "no <think> tag"),
        ("format", "<think>a", "5", "no </think> tag"),
        ("format", tagged("5") + " ", "5", "text or space after </answer>"),
        ("format", " " + tagged("5"), "5", "text or space before <think>"),
        ("function", "I see nothing", ONE, "no function call found in the answer"),
        ("function", f"{ONE}, {ONE}", ONE, "1 of 1 functions right, 1 repeated"),
        (
            "function",
            "change_color(1, 'blue')",
            f"{ONE}, {TWO}",
            "0 of 2 functions right, 1 partly right",
        ),
    ],
)
def test_reasons(name: str, text: str, gold: str, reason: str) -> None:
    assert why(name, text, gold) == reason


def test_a_long_answer_makes_a_short_reason() -> None:
    assert len(why("accuracy", "word " * 1_000, "5")) < 150


@given(st.text(max_size=60), st.sampled_from(["5", "B", "0.5", f"{ONE}, {TWO}"]))
def test_every_reward_is_total(text: str, gold: str) -> None:
    reply, problem = parse(text), Problem("0", "counting", (), "", gold)
    for name, reward in REWARDS.items():
        assert -0.5 <= reward(reply, problem) <= 1
        assert explain(name, reply, problem).value == reward(reply, problem)


@pytest.mark.parametrize("piece", ["<answer>", "<think></think>", "a", "((", "**", "a(", "1,", " "])
def test_every_reward_is_quick_on_endless_babble(piece: str) -> None:
    # Quadratic scanning would need minutes for 100,000 characters; the test would not return.
    text = piece * (100_000 // len(piece))
    for name in REWARDS:
        assert give(name, text, "5") <= 1
        assert give(name, tagged(text), ONE) <= 1


def test_a_rubric_sums_by_weight_and_shows_metrics() -> None:
    rubric = Rubric((("accuracy", 1.0), ("format", 0.5), ("accuracy_robust", 0.0)))
    problem = Problem("0", "counting", (), "", "6")
    reply = parse(tagged("6.0"))
    assert [(score.name, score.value) for score in rubric.scores(reply, problem)] == [
        ("accuracy", 0.0),
        ("format", 1.0),
        ("accuracy_robust", 1.0),
    ]
    assert rubric.total(reply, problem) == 0.5
    assert rubric.full_marks == 1.5


@pytest.mark.parametrize(
    "weights",
    [(("acuracy", 1.0),), (("format", math.nan),), (("format", 1.0), ("format", 2.0))],
)
def test_a_rubric_that_makes_no_sense_is_refused(weights: tuple[tuple[str, float], ...]) -> None:
    with pytest.raises(InputError):
        Rubric(weights)


def test_an_unknown_reward_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match="accuracy, format"):
        explain("beauty", parse(""), Problem("0", "counting", (), "", ""))

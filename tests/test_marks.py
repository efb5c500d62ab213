"""What differs between replies, word by word: by hand, as HTML, and at its worst."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.marks import odd
from app.markup import rich, words
from rft.parse import parse
from rft.types import TaskName


def marked(*texts: str, task: TaskName | None = None) -> list[tuple[list[str], list[str]]]:
    replies = tuple(map(parse, texts))
    return [
        (
            [words(reply.thinking)[n] for n in sorted(one.thinking)],
            [words(reply.final)[n] for n in sorted(one.answer)],
        )
        for reply, one in zip(replies, odd(replies, task), strict=True)
    ]


def test_words_without_a_counterpart() -> None:
    assert marked(
        "<think>I see 2 red cubes, and 3 spheres.</think><answer>5</answer>",
        "<think>I see 2 red cubes and 4 **spheres**.</think><answer>6</answer>",
        "<think>I see 2 red cubes and 3 spheres!</think><answer>5.0</answer>",
    ) == [([], []), (["4"], ["6"]), ([], [])]


def test_nothing_is_marked_where_nothing_is_beside_it_or_all_of_it_differs() -> None:
    assert marked("<think>One two.</think><answer>5</answer>", "5") == [([], []), ([], [])]
    long = " ".join(f"w{n}" for n in range(20))
    other = " ".join(f"v{n}" for n in range(20))
    assert marked(f"<think>{long}</think>", f"<think>{other}</think>") == [([], []), ([], [])]


def test_the_order_of_calls_plays_no_part() -> None:
    one = "<answer>change_color(1, 'red'), change_size(2, 'big')</answer>"
    two = "<answer>change_size(2,\"big\"), change_color(1, 'blue')</answer>"
    found = odd((parse(one), parse(two)), "spatial")
    assert [set(of.answer) for of in found] == [{0}, {1}]
    mixed = odd((parse(one), parse("<answer>none of them</answer>")), "spatial")
    assert not mixed[0].answer


def test_marks_are_drawn_in_markdown_and_formulas() -> None:
    text = "So **two red** cubes: \\(x^2\\) `a b`, or"
    assert words(text) == ["so", "two", "red", "cubes", "x^2", "a b", "or"]
    drawn = rich(text, {2, 3, 4, 5})
    assert '<strong>two <mark class="odd">red</mark></strong>' in drawn
    assert '<mark class="odd">cubes</mark>: <mark class="odd"><math' in drawn
    assert '<code class="odd">a b</code>, or' in drawn


@given(st.text(alphabet="ab <>&*_`$\\()\n#-1\"'", max_size=80), st.sets(st.integers(0, 60)))
def test_marks_change_nothing_but_themselves(text: str, places: set[int]) -> None:
    drawn = rich(text, places | {1_000})
    bare = re.sub(r'</?mark(?: class="odd")?>| class="odd"', "", drawn)
    assert bare == rich(text)
    assert drawn.count("<mark") == drawn.count("</mark>")


@pytest.mark.parametrize("loop", ["x y ", "x z ", "red cube, blue cube, "])
def test_loops_cost_little(loop: str) -> None:
    texts = [loop * 250 + tail for tail in ("", "x w " * 200, "and so on", "y")]
    began = time.process_time()
    odd(tuple(parse(f"<think>{text}</think>") for text in texts), None)
    assert time.process_time() - began < 3

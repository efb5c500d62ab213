"""Which answers are the same, by hand."""

from __future__ import annotations

import pytest

from app.agreement import camps, sentence, standing
from rft.types import TaskName


@pytest.mark.parametrize(
    ("answers", "task", "found", "words"),
    [
        (["5", "5.0"], "counting", [0, 0], ["same", "same"]),
        (["5", "4"], "counting", [0, 1], ["odd", "odd"]),
        (["4", "5", "4 objects"], "counting", [0, 1, 0], ["shared", "odd", "shared"]),
        (["(B) 30°", "B"], "structure", [0, 0], ["same", "same"]),
        (["B", "30"], "structure", [0, 1], ["odd", "odd"]),
        (["", ""], "counting", [0, 1], ["odd", "odd"]),
        (
            ["change_color(1, 'red'), change_size(2, 'big')"] * 2,
            "spatial",
            [0, 0],
            ["same", "same"],
        ),
        (
            [
                "change_color(1,'red'),change_size(2,'big')",
                'change_size(2, "big"), change_color(1, "red")',
            ],
            "spatial",
            [0, 0],
            ["same", "same"],
        ),
        (["A cat.", "a cat"], None, [0, 0], ["same", "same"]),
    ],
)
def test_camps(
    answers: list[str], task: TaskName | None, found: list[int], words: list[str]
) -> None:
    assert camps(answers, task) == found
    assert standing(answers, task) == words


def test_it_is_said_in_a_sentence() -> None:
    assert sentence(["5", "5"], "counting") == "Both give the same answer."
    assert sentence(["5", "5", "5"], "counting") == "All three give the same answer."
    assert sentence(["5", "4"], "counting") == "Their answers differ."
    assert sentence(["5", "4", "5"], "counting") == "2 different answers."
    assert sentence(["5", ""], "counting") == "Only one of them answers."
    assert sentence(["", ""], "counting") == "None of them answers."
    assert sentence(["5", "", "5"], "counting") == "2 of 3 give the same answer."
    assert sentence(["5", "", "4"], "counting") == "Their answers differ; 1 of 3 give none."

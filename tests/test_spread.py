"""How often each answer came, by hand."""

from __future__ import annotations

import pytest

from app.conversation import Ask, Conversation, End, Exchange, Said
from app.side import eligible, sides
from app.spread import bars, sentence, spread


@pytest.mark.parametrize(
    ("answers", "right", "members", "words"),
    [
        (["4", "5", "4.0"], 2, [(0, 2), (1,)], "2 of 3 samples give this answer (67%); 2 of 3 right."),
        (["4", "4"], None, [(0, 1)], "All 2 samples give this answer."),
        (["4", "5"], 0, [(0,), (1,)], "No two of 2 samples agree; the first is shown; 0 of 2 right."),
        (
            ["5", "4", "4", "5"], None, [(0, 3), (1, 2)],
            "2 of 4 samples give this answer (50%), as often as another one.",
        ),
        (["", "", "4", "4"], None, [(2, 3), (0, 1)], "2 of 4 samples give this answer (50%), as often as another one."),
        (["", "", "4"], None, [(0, 1), (2,)], "2 of 3 samples give no answer (67%)."),
        (["", ""], None, [(0, 1)], "None of 2 samples gives an answer."),
        ([], None, [], "No sample came to an end."),
    ],
)  # fmt: skip
def test_it_is_counted_and_said(
    answers: list[str], right: int | None, members: list[tuple[int, ...]], words: str
) -> None:
    found = spread(answers, "counting")
    assert [camp.members for camp in found.camps] == members
    assert sentence(found, right) == words
    more = sentence(found, right, len(answers) + 2)
    assert more == words if not answers else more.endswith("; 2 did not come to an end.")


def test_bars_are_inert() -> None:
    drawn = bars(spread(["<b>", "<b>", ""], None))
    assert "&lt;b&gt;" in drawn and "<b>2</b>" in drawn and "width:67%" in drawn
    assert "No answer" in drawn and "<svg" not in drawn
    known = bars(spread(["2", "3", "2"], "counting"), [False, True, False])
    assert known.count("<svg") == 1 and known.index("<svg") > known.index("3")


def test_samples_count_that_came_to_an_end() -> None:
    ask = Ask("How many?", "How many?", (), "counting")
    told: list[tuple[str, End]] = [("", "eos"), ("2", "eos"), ("I see", "stop"), ("", "error")]
    said = [Said(text, end, "card", tokens=1) for text, end in told]
    made = Conversation("x" * 22, tuple(Exchange(ask, one) for one in said))
    (side,) = sides(made)
    assert side.counted == (0, 1) and side.shown == 1 and eligible(made) == [0]
    assert sentence(side.spread, None, 4).endswith("; 2 did not come to an end.")
    stopped = Conversation("x" * 22, made.exchanges[2:3] * 2)
    assert sentence(sides(stopped)[0].spread, None, 2) == "No sample came to an end."
    assert eligible(stopped) == []

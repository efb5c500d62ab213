"""Paired comparison: p and interval by hand, flips, and reports that must not be compared."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rft.errors import InputError
from rft.paired import Paired, compare, interval, mcnemar


def report(strict: dict[str, bool], lenient: dict[str, bool] | None = None) -> dict[str, Any]:
    return {
        "answers": [
            {"id": name, "question": f"Q{name}", "gold": "2", "completion": f"{name} {right}",
             "strict": right, "lenient": (lenient or strict)[name]}
            for name, right in strict.items()
        ]
    }  # fmt: skip


def table(both: int, only_before: int, only_after: int, neither: int) -> Paired:
    kinds = [(True, True)] * both + [(True, False)] * only_before
    kinds += [(False, True)] * only_after + [(False, False)] * neither
    before = {str(i): was for i, (was, _) in enumerate(kinds)}
    after = {str(i): now for i, (_, now) in enumerate(kinds)}
    return compare(report(before), report(after))


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == 2 / 32
    assert mcnemar(5, 0) == mcnemar(0, 5)
    # 2 of 14 one way: 2 · (1 + 14 + 91) / 16384
    assert mcnemar(2, 12) == pytest.approx(212 / 16384)
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(400, 600) < 1e-9  # and no overflow


def test_the_interval_by_hand() -> None:
    # Newcombe's own example (1998, table II): 36 both, 12 and 2 alone, of 50.
    low, high = interval(36, 2, 12, 0)
    assert (low, high) == (pytest.approx(0.0569, abs=5e-5), pytest.approx(0.3404, abs=5e-5))
    assert interval(36, 12, 2, 0) == (pytest.approx(-high), pytest.approx(-low))
    # Nobody right, of 5: Wilson gives [0, z²/(5+z²)] twice, and no correlation is known.
    reach = 1.959964**2 / (5 + 1.959964**2)
    assert interval(0, 0, 0, 5) == (pytest.approx(-reach), pytest.approx(reach))
    assert interval(0, 0, 0, 0) == (-1.0, 1.0)


def test_the_interval_covers_what_it_should() -> None:
    """All tables of 20 problems, whose flips gain with 0.3 and lose with 0.1: about 95%."""
    gain, lose, both, n, covered = 0.3, 0.1, 0.4, 20, 0.0
    for g in range(n + 1):
        for lost in range(n + 1 - g):
            for b in range(n + 1 - g - lost):
                rest = n - g - lost - b
                ways = math.comb(n, g) * math.comb(n - g, lost) * math.comb(n - g - lost, b)
                chance = ways * gain**g * lose**lost * both**b * 0.2**rest
                low, high = interval(b, lost, g, rest)
                covered += chance * (low <= gain - lose <= high)
    assert 0.93 < covered < 0.98


def test_a_comparison_counts_and_names_the_flips() -> None:
    before = {"a": True, "b": True, "c": False, "d": False, "e": False}
    after = {"e": True, "d": False, "c": True, "b": False, "a": True}  # in another order
    found = compare(report(before), report(after))
    assert (found.both, found.only_before, found.only_after, found.neither) == (1, 1, 2, 1)
    assert (found.n, found.before, found.after) == (5, 2, 3)
    assert found.difference == pytest.approx(0.2) and found.low < 0.2 < found.high
    assert [(f.id, f.gained, f.before, f.after) for f in found.flips] == [
        ("b", False, "b True", "b False"),
        ("c", True, "c False", "c True"),
        ("e", True, "e False", "e True"),
    ]
    assert found.flips[0].question == "Qb" and found.flips[0].gold == "2"


def test_the_measure_is_a_choice() -> None:
    before, after = report({"a": False}, {"a": True}), report({"a": True})
    assert compare(before, after).only_after == 1
    assert compare(before, after, "lenient").both == 1


def test_the_sentence() -> None:
    assert table(36, 2, 12, 0).sentence == (
        "76.0% (38 of 50) before, 96.0% (48 of 50) after: +20.0 points (95% interval +5.7 to "
        "+34.0). 12 turned right, 2 turned wrong: more than chance explains (McNemar's exact "
        "p = 0.013)."
    )
    assert "chance alone may explain it (McNemar's exact p = 1)" in table(3, 1, 1, 3).sentence
    assert "p < 0.0001" in table(0, 0, 64, 0).sentence
    assert table(3, 0, 0, 3).sentence.endswith("No problem changed.")
    one, two = report({"a": True, "b": False}), report({"a": False, "b": True})
    assert (
        "Only Zero is right on 1, only Base on 1"
        in compare(one, two, names=("Base", "Zero")).sentence
    )


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, report({"a": True}), "“before” lists no answers"),
        (report({"a": True}), {"answers": []}, "“after” lists no answers"),
        (report({"a": True}), {"answers": [{"id": "a"}]}, "“after” lists no answers"),
        (report({"a": True}), report({"b": True}), "different problems: 2 are in one alone"),
        (report({"a": True}), report({"a": True, "b": True}), r"first: b, in “after”"),
        (
            {"answers": report({"a": True})["answers"] * 2},
            report({"a": True}),
            "lists a problem twice",
        ),
    ],
)
def test_what_cannot_be_compared(before: Any, after: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        compare(before, after)


def test_another_question_under_the_same_id() -> None:
    other = report({"a": True})
    other["answers"][0]["gold"] = "3"
    with pytest.raises(InputError, match="Problem a is another one"):
        compare(report({"a": True}), other)

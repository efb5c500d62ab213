"""Numbers, spoken answers, and the bounds that keep mathematics quick on any thread."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft.equality import number, plain, same_answer, same_mathematics, spoken_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        (" 5.0\n", 5),
        ("-1e3", -1000),
        ("", None),
        ("5°", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_number(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5.", 5), ("1,234,567.5", 1234567.5), ("12,34", None), ("$ 5 $", 5), ("5 m", 5)),
        *(("3 / 4", 0.75), ("-1/2", -0.5), ("1/0", None), ("9" * 400 + "/2", None)),
        ("5 or 6", None),
    ],
)
def test_spoken_number(text: str, value: float | None) -> None:
    assert spoken_number(text) == value


def test_plain_takes_off_what_does_not_speak() -> None:
    assert plain(" **The  “Big”\nCube**. ") == "the “big” cube"


@given(st.floats(-1e9, 1e9))
def test_a_number_is_itself_in_any_notation(value: float) -> None:
    for said in (repr(value), f"{value:.12e}", f" {value!r}. ", f"**{value!r}**"):
        assert same_answer(said, repr(value))


@given(st.text())
def test_same_answer_takes_any_text(text: str) -> None:
    assert same_answer(text, text) or not plain(text) or text.strip() in "ABCDEFGH"


@pytest.mark.parametrize(
    ("said", "gold", "same"),
    [
        ("$\\frac{1}{2}$", "0.5", True),
        ("$\\sqrt{25}$", "5", True),
        ("$\\log_2 32$", "5", True),
        ("50%", "0.5", True),
        ("$x = 5$", "5", True),
        ("5, then 6", "6", True),  # the last number counts
        ("5, then 6", "5", False),
        ("five", "5", False),
        ("$2^{10}$", "1024", True),
        # Sums and integrals may take for ever, so they are not worked out.
        ("$\\int_0^5 1 dx$", "5", False),
        ("$2^{1001}$", str(2**1001), False),
        ("$((((((((5))))))))$", "5", True),
        ("$(((((((((5)))))))))$", "5", False),
    ],
)
def test_same_mathematics(said: str, gold: str, same: bool) -> None:
    assert same_mathematics(said, gold) is same


@pytest.mark.parametrize(
    "said",
    [
        r"It is $\binom{1000000000}{500000000}$",
        r"$\dbinom {1000000000} {500000000}$",
        r"$\gcd(9^{99999999},3)$",
        r"$\operatorname{lcm}(99999999!,7)$",
        r"$[9^{99999999},9^{99999999}]$",
        r"$x \in (1, 9^{9^{9^9}})$",
        r"$[(9^{9999})^{9999}, 3]$",
        r"$[9!!!!!!, 3]$",
        r"$P(99999999,5000000)$",
        r"9**9**9**9",
        "$" + "9" * 9_000 + "$",
    ],
)
def test_hostile_mathematics_ends_on_any_thread(said: str) -> None:
    same_mathematics("$1$", "5")  # the libraries are imported by now
    verdicts: list[bool] = []
    thread = threading.Thread(
        target=lambda: verdicts.append(same_mathematics(said, "5")), daemon=True
    )
    thread.start()
    thread.join(3)
    assert verdicts == [False]


@pytest.mark.parametrize(
    "said", ["There are 5!!", "$5$!", "**Great!!** It is $5$", r"$\sqrt{3^{2}+4^{2}}$"]
)
def test_ordinary_answers_are_still_read(said: str) -> None:
    assert same_mathematics(said, "5")

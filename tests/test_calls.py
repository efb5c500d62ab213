"""Calls are found where the reference finds them, and its credit is bounded."""

from __future__ import annotations

import re
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from rft.calls import Agreement, Call, Credit, agree, exact_calls, spoken_calls

PIECES = ["change_color", "(", ")", ",", "'", " ", "1", "red", '"', "\n", "é_2"]
CALLS = st.lists(
    st.builds(Call, st.sampled_from("fg"), st.sampled_from("12"), st.sampled_from("ab"))
)


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_exact_calls_are_those_of_the_reference_pattern(text: str) -> None:
    assert exact_calls(text) == re.findall(r"(\w+)\((\w+),\s*'?(\w+)'?\)", text)


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_what_the_reference_finds_a_person_finds_too(text: str) -> None:
    assert {call.function for call in exact_calls(text)} <= {c.function for c in spoken_calls(text)}


def test_whole_matches_come_first_then_ever_less() -> None:
    said = [Call("f", "1", "a"), Call("f", "1", "b"), Call("f", "2", "c"), Call("g", "1", "a")]
    gold = [Call("f", "1", "b"), Call("f", "1", "c"), Call("f", "3", "c"), Call("g", "2", "b")]
    agreement = agree([*said, said[0]], gold)
    assert agreement == Agreement(5, 4, 4, 1, 1, 1, 1)
    # item = (4/5) / 4 = 0.2
    assert agreement.value(Credit(1, 0.5, 0.5, 0.25)) == 0.2 * (1 + 0.5 + 0.5 + 0.25)


@given(CALLS, CALLS)
def test_every_call_is_matched_once(said: list[Call], gold: list[Call]) -> None:
    agreement = agree(said, gold)
    met = agreement.full + agreement.function_object
    met += agreement.function_value + agreement.function_only
    assert met <= min(agreement.unique, agreement.gold)
    assert agreement.full == len(set(said) & set(gold))
    assert -0.5 <= agreement.value(Credit(1, -0.25, -0.25, -0.5)) <= 1


@given(CALLS.filter(bool), st.randoms())
def test_the_order_of_writing_does_not_matter_to_full_matches(
    calls: list[Call], order: Random
) -> None:
    shuffled = list(dict.fromkeys(calls))
    order.shuffle(shuffled)
    assert agree(shuffled, calls).value(Credit()) == 1

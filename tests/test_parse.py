"""The grammar: worked cases, and laws that hold on any text and any cut of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft.parse import Splitter, first_answer, parse

TAGS = [
    f"<{slash}{name}>" for name in ("think", "answer", "summary", "caption") for slash in ("", "/")
]
SOUP = st.lists(
    st.sampled_from([*TAGS, "<", ">", "</", "<thi", "answer>", "<b>", " ", "\n", "5", "left ≤ 3"])
    | st.text(max_size=4),
    max_size=24,
).map("".join)


def fields(text: str) -> tuple[str, str | None, str, str]:
    reply = parse(text)
    return reply.thinking, reply.answer, reply.lead, reply.phase


@pytest.mark.parametrize(
    ("text", "thinking", "answer", "lead", "phase"),
    [
        ("", "", None, "", "start"),
        (" \n", "", None, "", "start"),
        ("There are 5.", "", None, "There are 5.", "start"),
        ("<think>3 + 2", "3 + 2", None, "", "thinking"),
        ("<think>3 + 2</think>", "3 + 2", None, "", "between"),
        ("<think>3 + 2</think>\n<answer> 5", "3 + 2", "5", "", "answering"),
        ("<think>3 + 2</think>\n<answer>\n5\n</answer>", "3 + 2", "5", "", "done"),
        # An opened answer without text yet is an answer, an empty one.
        ("<think>a</think><answer>", "a", "", "", "answering"),
        ("<answer></answer>", "", "", "", "done"),
        # The template opened <think>, so the completion only closes it.
        ("3 + 2</think><answer>5</answer>", "3 + 2", "5", "", "done"),
        # A forgotten </think>.
        ("<think>3 + 2 <answer>5</answer>", "3 + 2", "5", "", "done"),
        # The caption variant: its text is lead, in and out of order.
        (
            "<summary>s</summary><caption>c</caption><think>t</think><answer>5</answer>",
            "t",
            "5",
            "s\n\nc",
            "done",
        ),
        ("<caption>c</caption>t</think>5", "t", None, "c\n\n5", "between"),
        ("<think>a<caption>c</caption>b", "a\n\nc\n\nb", None, "", "thinking"),
        # Nested and repeated tags.
        ("<think>a<think>b</think>c</think>d", "a\n\nb\n\nc", None, "d", "between"),
        ("<think>a</think>x<think>b</think>", "a\n\nb", None, "x", "between"),
        ("<answer><answer>5</answer></answer>", "", "<answer>5", "", "done"),
        ("<answer>5<think>no</think></answer>", "", "5<think>no</think>", "", "done"),
        ("<answer>5</answer> or <answer>6</answer>!", "", "5", "or\n\n6\n\n!", "done"),
        ("<answer>5</answer><think>but", "but", "5", "", "done"),
        # Stray closings are no text.
        ("a</answer>b", "", None, "a\n\nb", "start"),
        # Half a tag at the end is held back; what cannot become a tag is shown.
        ("5 <ans", "", None, "5", "start"),
        ("5 < 6", "", None, "5 < 6", "start"),
        ("<answer>5</ans", "", "5", "", "answering"),
        ("<answer>5 <think", "", "5 <think", "", "answering"),
        # Only the exact tags count, as in the rewards.
        ("<Answer>5</Answer>", "", None, "<Answer>5</Answer>", "start"),
        ("< answer>5", "", None, "< answer>5", "start"),
    ],
)
def test_worked_cases(text: str, thinking: str, answer: str | None, lead: str, phase: str) -> None:
    assert fields(text) == (thinking, answer, lead, phase)
    assert parse(text).text == text


def test_the_final_word_is_the_tagged_answer_or_else_the_bare_text() -> None:
    assert parse("<think>a</think><answer>5</answer>").final == "5"
    assert parse("There are 5.").final == "There are 5."


@given(SOUP, st.data())
def test_any_cut_gives_the_reply_of_the_whole(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    splitter = Splitter()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        reply = splitter.feed(text[start:end])
        assert reply == parse(text[:end])
    assert reply == parse(text)


@given(SOUP)
def test_letter_by_letter_gives_the_reply_of_the_whole(text: str) -> None:
    splitter = Splitter()
    for letter in text:
        splitter.feed(letter)
    assert splitter.feed("") == parse(text)


@given(SOUP)
def test_the_answer_is_the_one_that_the_rewards_read(text: str) -> None:
    read = first_answer(text)
    if read is not None:
        assert parse(text).answer == read
        assert parse(text).phase == "done"
    else:
        assert parse(text).phase != "done"


@given(SOUP)
def test_reasoning_and_lead_never_show_a_tag(text: str) -> None:
    reply = parse(text)
    assert not any(tag in shown for tag in TAGS for shown in (reply.thinking, reply.lead))


@given(SOUP, st.sampled_from(TAGS), st.data())
def test_half_a_tag_does_not_flash(text: str, tag: str, data: st.DataObject) -> None:
    text += "x"  # so that the half tag stands alone
    if parse(text).phase == "answering":
        tag = "</answer>"  # the only one that counts there
    half = tag[: data.draw(st.integers(1, len(tag) - 1))]
    assert fields(text + half) == fields(text)


@given(st.text())
def test_no_letter_outside_tags_is_lost(text: str) -> None:
    # st.text() all but never writes a tag; a held-back end is the one thing not shown.
    reply = parse(text)
    shown = reply.lead
    assert text.strip().startswith(shown)
    assert len(text.strip()) - len(shown) < len("</summary>")


@pytest.mark.parametrize("piece", ["word ", "<think>a</think>", "<", "</", "<answer>"])
def test_a_long_stream_is_cheap(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    splitter = Splitter()
    started = time.perf_counter()
    for letter in text:
        splitter.feed(letter)
    assert time.perf_counter() - started < 20
    assert splitter.feed("") == parse(text)

"""What the page draws from a reply: every state of it, and nothing that could act."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import picker, render, theme
from app.conversation import Ask, Conversation, Exchange, Said, from_json
from app.markup import LONGEST, clean, plain, rich
from app.mathml import formula
from app.room import judged, verdict
from rft import zoo
from rft.parse import parse
from rft.plan import Resident, Shared
from rft.types import Problem, Progress

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=http://evil.test/a.png onerror=alert(1)>",
    "![a](http://evil.test/a.png)",
    "[click](javascript:alert(1)) and <http://evil.test>",
    "<iframe src=//evil.test></iframe><svg onload=alert(1)>",
    "<a href='http://evil.test'>x</a><style>*{background:url(http://evil.test)}</style>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "`<b>` and ```\n<script>\n```",
    "\\(\\text{<img src=x onerror=alert(1)>}\\) $$<script>$$ \\[\\href{http://evil.test}{x}\\]",
    '" onmouseover="alert(1)',
)
INERT = {"article", "p", "div", "span", "details", "summary", "i", "b", "footer", "time", "abbr"}
INERT |= {"strong", "em", "ul", "ol", "li", "code", "pre", "br", "h1", "h2", "h3", "h4", "h5", "h6"}
INERT |= {"button", "svg", "path", "math", "mrow", "mi", "mo", "mn", "mtext", "mspace", "mfrac"}
INERT |= {"msqrt", "mroot", "msup", "msub", "msubsup", "mover"}
ALLOWED = {"class", "data-index", "data-fold", "data-do", "data-text", "data-elapsed", "open"}
ALLOWED |= {"aria-label", "aria-busy", "aria-hidden", "role", "title", "style", "start", "display"}
ALLOWED |= {"viewbox", "width", "height", "fill", "stroke", "stroke-width", "stroke-linecap"}
ALLOWED |= {"stroke-linejoin", "d", "linebreak"}


class Inspector(HTMLParser):
    """Collects the elements and attributes that a browser would make of a text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words += data


def inspected(html: str) -> Inspector:
    """The elements of ``html``, all of them checked against what may be there."""
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    assert inspector.tags <= INERT, inspector.tags - INERT
    assert inspector.attributes <= ALLOWED, inspector.attributes - ALLOWED
    return inspector


def said(text: str, **more: object) -> Said:
    fields: dict[str, object] = {"end": "eos", "title": "A", "stage": "cot-sft", "tokens": 12}
    fields |= {"seconds": 1.5, "first_s": 0.5, "thought_s": 0.8, **more}
    return Said(text=text, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", ["{}", "<think>{}</think><answer>{}</answer>", "<answer>{}"])
def test_hostile_output_is_inert_wherever_it_stands(text: str, form: str) -> None:
    html = render.answer(said(form.replace("{}", text)), 0)
    inspected(html)
    shown = inspected(rich(text)).words
    assert "evil.test" not in text or "evil.test" in shown, "stripped text must stay readable"


@given(st.text(alphabet=st.sampled_from("<>&\"'`*_#[]()!\\${}^-\n aé\x00\u202escript1")))
def test_any_text_is_inert(text: str) -> None:
    inspected(rich(text))
    inspected(render.answer(said(text), 0))


@given(st.text(alphabet=st.sampled_from("\\{}[]^_&frac sqrttext12ab+-=<>"), max_size=80))
def test_any_formula_is_inert_and_never_fails(source: str) -> None:
    inspected(formula(source))


def test_formulas_are_drawn_and_broken_ones_shown_as_typed() -> None:
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in formula(
        r"\frac{1}{2}"
    )
    assert "<msup><mn>90</mn><mo>∘</mo></msup>" in rich(r"so \(90^\circ\) it is")
    assert "<mtext>the area</mtext>" in rich(r"\[\text{the area} = \sqrt{2}\]")
    assert '<code class="tex">\\frac{1</code>' in rich(r"a \(\frac{1\) b")
    assert "<math" not in rich("it costs $5 or $6")


def test_hostile_lengths_stay_quick() -> None:
    for text in ("*", "\\(", "$$", "`", "_a*", "- ", "[", "\\(a\\)"):
        for size in (LONGEST, 10 * LONGEST):
            start = time.process_time()
            rich((text * size)[:size])
            assert time.process_time() - start < 5, "time must grow no faster than the text"


def test_control_characters_and_turned_writing_are_taken_out() -> None:
    assert clean("a\x00b\x1b[31mc\u202ed\r\ne\tf") == "ab[31mcd\ne\tf"
    assert plain("<b>\x07") == "&lt;b&gt;"


def test_thinking_is_open_while_it_lasts_and_folded_when_done() -> None:
    running = render.answer(said("<think>one two", end="waiting", thought_s=None), 0)
    assert '<details class="think" data-fold="t0" open>' in running
    assert 'data-elapsed="1.00"' in running and 'aria-busy="true"' in running
    done = render.answer(said("<think>one</think><answer>5</answer>"), 0)
    assert " open>" not in done and "Thought for 0.8 s" in done and 'aria-busy="false"' in done


def test_an_answer_is_set_big_and_a_long_one_is_not() -> None:
    assert '<div class="answer"><div class="value"><p>5</p>' in render.answer(
        said("<think>a</think><answer>5</answer>"), 0
    )
    assert '<div class="answer"><div class="value"><p>5</p>' in render.answer(said("5"), 0)
    assert "answer long" in render.answer(said(f"<answer>{'word ' * 20}</answer>"), 0)
    calls = render.answer(
        said("<answer>change_size(1, 'large'), change_color(2,'red')</answer>"), 0
    )
    assert calls.count("<li>") == 2
    bare = "change_size(1, 'large'), change_color(2,'red'), change_shape(0, 'cube')"
    assert render.answer(said(bare), 0).count("<li>") == 3, "without a tag they look alike"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("cha", 0),
        ("change_size(1, 'la", 1),
        ("change_size(1, 'large')", 1),
        ("change_size(1, 'large'), change", 2),
        ("change_size(1, 'large'), change_color(2,", 2),
        ("The cube grows: change_size(1, 'la", 0),
    ],
)
def test_calls_are_listed_while_they_are_written(text: str, rows: int) -> None:
    for whole in (text, f"<think>a</think><answer>{text}"):
        assert render.answer(said(whole, end="waiting"), 0).count("<li>") == rows


def test_a_reply_of_nothing_is_told() -> None:
    assert "without a word" in render.body(Said("", "eos", tokens=1), "a", None, {})
    assert "without a word" not in render.body(Said("7", "eos", tokens=2), "a", None, {})
    assert "without a word" not in render.body(Said("", "waiting"), "a", None, {})


def test_numbers_stand_under_a_reply_with_their_units() -> None:
    html = render.answer(said("<answer>5</answer>"), 0)
    assert "12 tokens" in html and "11 tok/s" in html and "TTFT</abbr> 0.50 s" in html


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("stop", "Stopped"),
        ("length", "token limit"),
        ("lost", "interrupted"),
        ("error", "No memory left"),
    ],
)
def test_every_ending_has_its_sentence(end: str, words: str) -> None:
    assert words in render.answer(said("<think>a", end=end, note="No memory left"), 0)


def test_a_wait_shows_what_is_waited_for() -> None:
    html = render.answer(Said(note="Loading X", done=0.4, stage="zero"), 0)
    assert "Loading X" in html and 'aria-valuenow="40"' in html and "stage-zero" in html


def test_a_known_gold_gives_a_verdict_and_the_rewards() -> None:
    ask = Ask("How many?", "How many? …", task="counting", gold="5")
    right = verdict(Exchange(ask, said("<think>a</think>\n<answer>5</answer>")))
    assert right is not None and right.right and right.total == 2
    html = render.answer(said("<think>a</think>\n<answer>5</answer>"), 0, right)
    assert "Right" in html and "gold 5" in html and "accuracy <b>1</b>" in html
    wrong = verdict(Exchange(ask, said("<answer>6</answer>")))
    assert wrong is not None and not wrong.right
    assert verdict(Exchange(ask, Said())) is None
    assert verdict(Exchange(ask, said("<think>a", end="stop"))) is None
    silent = verdict(Exchange(ask, said("<think>a</think>", end="length")))
    assert silent is not None and "No answer" in render.answer(said("<think>a</think>"), 0, silent)
    assert verdict(Exchange(Ask("How many?", "How many?"), said("5"))) is None


def test_a_verdict_forgives_what_a_person_would() -> None:
    problem = Problem("", "counting", (), "How many?", "6")
    loose = judged(parse("<think>a</think>\n<answer>6.0</answer>"), problem, "counting")
    assert loose.right and loose.scores[0].value == 0
    problem = Problem("", "spatial", (), "", "change_size(1, 'large')")
    partly = judged(parse("<answer>change_size(1, 'small')</answer>"), problem, "spatial")
    assert not partly.right


def test_the_question_shows_its_prompt_only_where_there_is_one() -> None:
    html = render.question(Ask("Q <b>?", "Q <b>? Output …", ("a.png",)), 2, lambda name: "/" + name)
    assert "Q &lt;b&gt;? Output …" in html and 'src="/a.png"' in html
    assert "<details" not in render.question(Ask("Q", "Q"), 0, str)


def test_turns_keep_earlier_images_and_drop_earlier_thoughts() -> None:
    from pathlib import Path

    chat = Conversation("x").asking(
        Ask("Q1", "P1", ("a.png",)), said("<think>t</think><answer>1</answer>")
    )
    chat = chat.asking(Ask("Q2", "P2"), Said("", end="error"))
    chat = chat.asking(Ask("Q3", "P3", ("b.png",)), Said())
    turns = chat.turns(Path)
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "P1"),
        ("assistant", "1"),
        ("user", "P3"),
    ]
    assert turns[0].images == (Path("a.png"),)
    assert from_json(chat.to_json()) == chat


def test_images_of_a_dropped_exchange_go_on_to_the_next_question() -> None:
    from pathlib import Path

    chat = Conversation("x").asking(Ask("Q1", "P1", ("a.png",)), Said("<think>t", "stop"))
    chat = chat.asking(Ask("Q2", "P2", ("a.png", "b.png")), Said("<think>t", "length"))
    chat = chat.asking(Ask("Q3", "P3"), said("<answer>3</answer>"))
    chat = chat.asking(Ask("Q4", "P4"), Said())
    first, _, last = chat.turns(Path)
    assert (first.text, first.images) == ("P3", (Path("a.png"), Path("b.png")))
    assert (last.text, last.images) == ("P4", ())


def test_what_begins_anew_is_given_nothing_of_before_and_says_so() -> None:
    from pathlib import Path

    chat = Conversation("x").asking(Ask("Q1", "P1", ("a.png",)), said("<answer>1</answer>"))
    chat = chat.asking(Ask("Q2", "P2", ("b.png",), anew=True), said("<answer>2</answer>"))
    chat = chat.asking(Ask("Q3", "P3"), Said())
    assert [turn.text for turn in chat.turns(Path)] == ["P2", "2", "P3"]
    assert chat.before(2).turns(Path)[0].images == (Path("b.png"),)
    assert [
        "sees none of the above" in render.question(exchange.ask, n, str)
        for n, exchange in enumerate(chat.exchanges)
    ] == [False, True, False]
    assert from_json(chat.to_json()) == chat


def test_stage_colours_come_from_one_place() -> None:
    sheet = (theme.ASSETS / "style.css").read_text(encoding="utf-8")
    for look in theme.STAGES.values():
        assert f"--stage-{look.slug}: {look.colour}" in theme.variables()
        assert look.colour not in sheet, "a colour is written once, then used by its name"
    assert not re.search(r"url\(|@import|http", sheet), "the sheet loads nothing"


def test_runs_have_a_group_of_their_own_on_top() -> None:
    cards = zoo.cards()
    made = replace(cards[0], id="runs/mine", title="Mine <b>", task="spatial", run=True)
    states = {card.id: zoo.State("cached", "Here.") for card in [*cards, made]}
    assert "Your runs" not in picker.shelf(cards, states, "")
    groups = picker.shelf([*cards, made], states, "").split("<h3>")
    assert "Mine &lt;b&gt;" in groups[1] and groups[1].startswith("Your runs")
    assert not any("Mine" in group for group in groups[2:])


def test_cards_are_grouped_and_say_where_they_stand() -> None:
    cards = zoo.cards()
    large = zoo.State("too-large", "Needs 17 GB, this machine has 4 GB free.")
    html = picker.shelf(cards, {card.id: large for card in cards}, cards[0].id)
    for words in ("Visual counting", "Structure perception", "Spatial transformation", "General"):
        assert words in html
    assert html.count('aria-pressed="true"') == 1
    assert html.count("Needs 17 GB, this machine has 4 GB free.</span>") == len(cards)
    assert 'data-any="true"' in html and ">Use</button>" in html
    states = {card.id: large for card in cards}
    titles = re.findall("<h3>(.*?)</h3>", picker.shelf(cards, states, "", task="spatial"))
    assert titles[:2] == ["Spatial transformation", "Visual counting"]
    listed = picker.shelf(cards, states, "", listed_only=True)
    assert 'data-any="false"' in listed and ">Use</button>" not in listed
    fetched = picker.chosen(cards[0], zoo.State("download", "4 GB"), Progress("1 of 4 GB", 0.25))
    assert "1 of 4 GB" in fetched and "width:25%" in fetched
    assert 'data-do="fetch"' in picker.chosen(cards[0], zoo.State("download", "4 GB"))


def test_the_amounts_in_memory_add_up() -> None:
    base = Shared(1, 4_400_000_000, "cpu")
    residents = [
        Resident("runs/mine", 4_474_000_000, "cpu", True, base),
        Resident("base", 4_400_000_000, "cpu", False, base),
        Resident("other", 12_000_000, "cpu"),
        Resident("runs/yours", 4_474_000_000, "cpu", False, base),
    ]
    html = picker.shelf([], {}, "", residents)
    assert re.findall(r">([^<>]*B on cpu)<", html) == [
        "4.5 GB on cpu", "+ 0 MB on cpu", "12 MB on cpu", "+ 74 MB on cpu",
    ]  # fmt: skip
    assert html.count("disabled") == 1

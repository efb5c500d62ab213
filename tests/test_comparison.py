"""Several checkpoints asked at once: the bundled ones and a tiny untrained one, truly run."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from bundled import COUNTING
from PIL import Image

from app import beside, facing
from app.abreast import Part, abreast
from app.comparison import Comparisons
from app.contenders import FEWEST, MOST, chosen, placed
from app.conversation import Ask, Conversation, Exchange, Said, Terms
from app.examples import EXAMPLES, example
from app.gallery import Gallery
from app.host import Host
from app.room import Room, verdict
from app.side import eligible, sides
from app.store import Store
from rft import zoo
from rft.engine import Engine
from rft.errors import DiskError, InputError
from rft.types import Decoding, TaskName, Turn

SHORT = Decoding(seed=0, max_new_tokens=24)
LONG = Decoding(seed=0, max_new_tokens=2000)
PROBLEM = example("counting-id").problem
TURNS = (Turn("user", PROBLEM.question, PROBLEM.images),)
NO_IMAGES = Gallery(str, lambda _: None)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def them(engine: Engine, tmp_path: Path) -> Comparisons:
    room = Room(Store(tmp_path / "chats"), engine=engine, runs=tmp_path / "runs")
    return Comparisons(room, Store(tmp_path / "comparisons"))


@pytest.fixture(scope="module")
def endless(slow: Path) -> zoo.Card:
    """An untrained one, which never ends by itself."""
    return zoo.card_for(str(slow))


def usual(them: Comparisons, task: TaskName | None = "counting") -> list[zoo.Card]:
    return chosen(them.room, {}, task)


def pair(them: Comparisons) -> list[zoo.Card]:
    """The base, and one that was taught to count."""
    return usual(them)[:2]


def ends(made: Conversation) -> list[str]:
    return [exchange.said.end for exchange in made.exchanges]


def texts(made: Conversation) -> list[str]:
    return [exchange.said.text for exchange in made.exchanges]


def whole(them: Comparisons, made: Conversation, decoding: Decoding = SHORT) -> Conversation:
    *_, last = them.write(made.id, decoding)
    return last


def test_both_answer_and_are_judged(them: Comparisons) -> None:
    cards = pair(them)
    assert cards == COUNTING[:2]
    problem = example("counting-id").problem
    made = them.ask_problem(cards, problem)
    assert "think" in made.exchanges[0].ask.prompt
    made = whole(them, made, Decoding(seed=0))
    assert ends(made) == ["eos", "eos"]
    judged = verdict(made.exchanges[1])
    assert judged is not None and judged.right and judged.gold == problem.answer
    assert them.open(made.id) == made  # kept as a file
    again = whole(them, them.again(cards, made), Decoding(seed=0))
    assert texts(again) == texts(made)  # the same seed


def test_a_slow_one_does_not_pace_a_fast_one(them: Comparisons, endless: zoo.Card) -> None:
    fast, stop = pair(them)[0], threading.Event()
    for part in (Part(endless, TURNS), Part(fast, TURNS)):  # once, so that both are in memory
        *_, _ = abreast(them.room.engine, [part], SHORT, threading.Event())
    before = None
    for seen in abreast(them.room.engine, [Part(endless, TURNS), Part(fast, TURNS)], LONG, stop):
        if seen[1].end == "eos" and before is None:
            before = seen[0]
            stop.set()
    assert before is not None and before.end == "waiting" and seen[0].end == "stop"


def test_where_memory_holds_one_they_answer_in_turn_and_say_so(
    endless: zoo.Card, tmp_path: Path
) -> None:
    engine = Engine()
    *_, _ = abreast(engine, [Part(endless, TURNS)], SHORT, threading.Event())
    engine.budget_bytes = engine.loaded()[0].bytes + 1
    twin = zoo.card_for(str(shutil.copytree(endless.where, tmp_path / "twin")))
    parts, notes = [Part(endless, TURNS), Part(twin, TURNS)], set()
    shown: list[tuple[str, ...]] = []
    for seen in abreast(engine, parts, replace(SHORT, max_new_tokens=200), threading.Event()):
        notes |= {said.note for said in seen}
        shown.append(tuple(said.text for said in seen))
    assert any("Waiting for memory: this one answers when another" in note for note in notes)
    assert all(said.text and said.end == "length" for said in seen)
    # Whichever has its turn first has said all when the other begins.
    first = next(texts for texts in shown if any(texts)).index("") ^ 1
    both = next(texts for texts in shown if all(texts))
    assert both[first] == seen[first].text
    engine.release()


def test_one_that_fails_lets_the_other_finish(them: Comparisons, tmp_path: Path) -> None:
    good = pair(them)[0]
    gone = replace(good, id="gone", title="Gone", where=str(tmp_path / "gone"))
    parts = [Part(gone, TURNS), Part(good, TURNS)]
    *_, last = abreast(them.room.engine, parts, SHORT, threading.Event())
    assert last[0].end == "error" and "gone is missing" in last[0].note
    assert last[1].end in ("eos", "length") and last[1].text


def test_one_that_cannot_be_asked_says_why_in_its_pane(them: Comparisons) -> None:
    good, far = pair(them)[0], them.room.card("qwen2-vl-2b")
    made = them.ask([far, good], "How many?", [], "counting")
    assert made.exchanges[0].said.end == "error" and made.exchanges[0].said.note
    assert ends(whole(them, made))[1] in ("eos", "length")


def test_one_that_goes_before_its_turn_says_so_and_the_other_answers(
    them: Comparisons, tiny: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    cards = [zoo.card_for(str(copy)), them.room.card("tiny-base")]
    made = them.ask_problem(cards, PROBLEM)
    shutil.rmtree(copy)
    first, second = whole(them, made).exchanges
    assert first.said.end == "error" and "copy" in first.said.note
    assert second.said.end in ("eos", "length") and second.said.text


def test_a_bug_in_one_surfaces_when_the_others_have_ended(
    them: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = pair(them)[0]
    parts = [Part(good, (Turn("user", 7),)), Part(COUNTING[-1], TURNS)]  # type: ignore[arg-type]
    last: tuple[Said, ...] = ()
    with pytest.raises((TypeError, AttributeError)):
        for seen in abreast(them.room.engine, parts, SHORT, threading.Event()):
            last = seen
    assert last[0].end == "error" and last[1].end in ("eos", "length")


def test_stop_ends_all_within_a_token(them: Comparisons, endless: zoo.Card) -> None:
    card = pair(them)[0]
    stop = threading.Event()
    stopped_at: tuple[Said, ...] = ()
    last: tuple[Said, ...] = ()
    # One card twice: the second waits for the first one's model, and is stopped there.
    parts = [Part(endless, TURNS), Part(endless, TURNS), Part(card, TURNS)]
    for last in abreast(them.room.engine, parts, LONG, stop):
        if not stop.is_set() and max(said.tokens for said in last[:2]) > 4:
            stopped_at = last
            stop.set()
            began = time.monotonic()
    assert time.monotonic() - began < 5
    assert [said.end for said in last[:2]] == ["stop", "stop"]
    more = [now.tokens - then.tokens for now, then in zip(last, stopped_at, strict=True)]
    assert max(more[:2]) < 60


def test_who_goes_away_stops_it_and_what_came_is_kept(them: Comparisons, endless: zoo.Card) -> None:
    made = them.ask([endless, pair(them)[0]], "How many?", [], None)
    with closing(them.write(made.id, LONG)) as stream:  # type: ignore[type-var]
        for grown in stream:
            if grown.exchanges[0].said.tokens > 4:
                break
    kept = them.open(made.id)
    assert kept.exchanges[0].said.end == "lost" and kept.exchanges[0].said.text
    assert "waiting" not in ends(kept) and not them.room.desk.busy(made.id)


def test_who_alone_answers_differs_from_nobody(them: Comparisons) -> None:
    cards = pair(them)
    ask = Ask("How many?", "How many?", (), "counting")
    told = [Said("", "eos", card.id, card.title, card.stage) for card in cards]

    def drawn(texts: list[str]) -> str:
        said = [replace(one, text=text) for one, text in zip(told, texts, strict=True)]
        made = Conversation("a" * 32, tuple(Exchange(ask, one) for one in said))
        return beside.panes(cards, made, [None] * 2, MOST, FEWEST, Gallery(str, lambda _: None))

    assert drawn(["5", "6"]).count("Different answer") == 2
    alone = drawn(["5", ""])
    assert "Only one of them answers." in alone and "Different answer" not in alone


def test_a_full_disk_ends_no_reply(them: Comparisons, monkeypatch: pytest.MonkeyPatch) -> None:
    made = them.ask_problem(pair(them), PROBLEM)

    def full(*_: object) -> None:
        raise DiskError("The disk is full.")

    monkeypatch.setattr(Store, "save", full)
    shown = []
    with pytest.raises(DiskError):
        for now in them.write(made.id, SHORT):
            shown.append(now)
    assert set(ends(shown[-1])) <= {"eos", "length"} and all(texts(shown[-1]))
    assert not them.room.desk.busy(made.id)


def test_a_comparison_that_is_gone_holds_no_place(them: Comparisons) -> None:
    assert [made.exchanges for made in them.write("", SHORT)] == [()]
    assert not them.room.desk._places


def test_stopped_in_the_queue(them: Comparisons) -> None:
    made = them.ask(pair(them), "How many?", [], None)
    with pytest.raises(InputError):
        them.free(made.id)
    assert ends(them.stop(made.id)) == ["stop", "stop"]
    last = whole(them, made)
    assert ends(last) == ["stop", "stop"] and not any(texts(last))


def test_a_pane_goes_on_in_chat(them: Comparisons) -> None:
    cards = pair(them)
    made = them.ask_problem(cards, example("counting-id").problem)
    with pytest.raises(InputError):
        them.to_chat(them.room.store.new(), made.id, 0)  # nobody has written it yet
    made = whole(them, made)
    chat = them.to_chat(them.room.store.new(), made.id, 1)
    assert chat.last is not None
    assert chat.last.said == made.exchanges[1].said and chat.last.ask.gold
    assert not chat.last.ask.anew and them.to_chat(chat, made.id, 0).exchanges[1].ask.anew
    assert len(them.room.open(chat.id).exchanges) == 2
    assert [them.room.store.picture(chat.id, n).is_file() for n in chat.last.ask.images] == [True]
    with pytest.raises(InputError):
        them.to_chat(chat, made.id, 7)
    with pytest.raises(InputError):
        them.to_chat(chat, "../../etc", 0)


def test_panes_are_chosen_within_bounds(them: Comparisons, endless: zoo.Card) -> None:
    cards = pair(them)
    more = placed(them.room, cards, len(cards), endless.id)
    kept = {"cards": {"counting": [card.id for card in more], "structure": ["gone", "tiny-base"]}}
    assert chosen(them.room, kept, "counting") == more
    missing, base = chosen(them.room, kept, "structure")  # none is asked in its place
    assert (missing.id, base.id) == ("gone", "tiny-base")
    made = them.ask([missing, base], "How many?", [], "structure")
    assert made.exchanges[0].said.note.endswith("restore it or choose another.")
    (kept_pane,) = facing._absent(them, [missing, base]).values()
    assert "is missing" in kept_pane and "Download" not in kept_pane
    with pytest.raises(InputError, match="another pane"):
        placed(them.room, cards, 1, "tiny-base")
    with pytest.raises(InputError, match="most"):
        placed(them.room, [*more, them.room.card("qwen2-vl-2b")], MOST, "qwen2-vl-7b")
    theirs = replace(them, room=replace(them.room, host=Host(public=True)))
    assert chosen(theirs.room, kept, "structure") == usual(them, "structure")
    with pytest.raises(InputError, match="public"):
        placed(theirs.room, cards, 1, endless.id)


def test_what_differs_is_marked_in_the_panes_veiled_or_not(them: Comparisons) -> None:
    cards, ask = pair(them), Ask("How many?", "How many?", (), "counting")
    told = "<think>There are {0} red cubes.</think><answer>{0}</answer>"
    said = [Said(told.format(n + 2), "eos", card.id, tokens=9) for n, card in enumerate(cards)]
    made = Conversation("x" * 22, tuple(Exchange(ask, one) for one in said))
    for drawn in (
        beside.panes(cards, made, [None] * 2, MOST, FEWEST, NO_IMAGES),
        beside.veiled(made, NO_IMAGES),
    ):
        for pane, number in zip(drawn.split('<section class="pane')[1:], ("2", "3"), strict=True):
            assert f'<mark class="odd">{number}</mark>' in pane
    alike = replace(made, exchanges=made.exchanges[:1] * 2)
    assert 'class="odd"' not in beside.panes(cards, alike, [None] * 2, MOST, FEWEST, NO_IMAGES)


def test_a_pane_says_which_task_it_was_not_taught(them: Comparisons) -> None:
    cards = pair(them)
    for task, strange in (("counting", 0), ("spatial", 1), (None, 0)):
        said = [Said("2", "eos", card.id, tokens=2) for card in cards]
        ask = Ask("How many?", "How many?", (), task)  # type: ignore[arg-type]
        made = Conversation("x" * 22, tuple(Exchange(ask, one) for one in said))
        drawn = beside.panes(cards, made, [None] * 2, MOST, FEWEST, NO_IMAGES)
        assert drawn.count("Taught visual counting, and not this task.") == strange


def test_the_usual_are_a_base_and_what_was_made_of_it(
    them: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, *_ = cards = [replace(card, task=None, stage="base") for card in pair(them)[:1]]
    small = [
        replace(base, id=f"small-{stage}", task="spatial", stage=stage)
        for stage in ("ans-sft", "cot-sft", "sft+grpo", "zero")
    ]
    large = [replace(card, id=f"large-{card.id}", size="2B") for card in (base, small[3])]
    monkeypatch.setattr(Room, "cards", lambda _: [*cards, *large, *small])
    them.room.zoo_file = None
    names = [card.id for card in usual(them, "spatial")]
    assert names == [base.id, "small-zero", "small-sft+grpo"]
    monkeypatch.setattr(Room, "cards", lambda _: [*cards, *large])
    assert [card.id for card in usual(them, "spatial")] == [card.id for card in large]


def test_gold_answers_are_checked(them: Comparisons) -> None:
    cards = pair(them)
    with pytest.raises(InputError, match="integer"):
        them.ask(cards, "How many?", [], "counting", "two")
    with pytest.raises(InputError, match="choose one of these tasks"):
        them.ask(cards, "How many?", [], None, "2")
    for item in EXAMPLES:  # those of the examples are faultless
        made = them.ask_problem(cards, item.problem)
        assert made.exchanges[0].ask.gold == item.problem.answer
        them.stop(made.id)


def test_what_a_model_wrote_is_inert(them: Comparisons) -> None:
    bad = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    cards = pair(them)
    said = [
        Said(f"<think>{bad}</think><answer>{bad}{n}</answer>", "eos", card.id, bad, tokens=3)
        for n, card in enumerate(cards)
    ]
    ask = Ask(bad, f"{bad} prompt", (), "counting", gold=bad)
    made = Conversation("x" * 22, tuple(Exchange(ask, one) for one in said))
    verdicts = [verdict(exchange) for exchange in made.exchanges]
    drawn = beside.panes(cards, made, verdicts, MOST, FEWEST, NO_IMAGES) + beside.asked(made, str)
    assert "<script" not in drawn and "<img" not in drawn
    assert "Their answers differ." in drawn and drawn.count("Different answer") == 2


def test_what_an_answer_points_at_is_drawn_in_its_pane_veiled_or_not(them: Comparisons) -> None:
    cards = usual(them, None)[:2]
    ask = Ask("Where is the cup?", "Where is the cup?", ("a.png",))
    told = ("[(161, 119)]", "On the table.")
    said = [
        Said(text, "eos", card.id, tokens=3, family="qwen2_5_vl")
        for text, card in zip(told, cards, strict=False)
    ]
    made = Conversation("x" * 22, tuple(Exchange(ask, one) for one in said))
    gallery = Gallery(str, lambda _: (640, 480))
    for drawn in (
        beside.panes(cards, made, [None] * 2, MOST, FEWEST, gallery),
        beside.veiled(made, gallery),
    ):
        first, second = drawn.split('<section class="pane')[1:]
        assert first.count('<figure class="pointed"') == 1 and "M161.0 119.0" in first
        assert "<figure" not in second
    assert "read as pixels" not in beside.veiled(made, gallery)  # the family would be told


def test_several_samples_by_the_same_seeds(them: Comparisons) -> None:
    cards = pair(them)
    problem = example("counting-id").problem
    terms = Terms(seed=7, temperature=1.0, samples=3)
    *_, made = them.write(them.ask_problem(cards, problem, terms=terms).id)
    assert [side.places for side in sides(made)] == [(0, 1, 2), (3, 4, 5)]
    for number, sample in ((0, 0), (1, 2)):
        seeded = replace(terms, seed=7 + sample, samples=1)
        *_, alone = them.write(them.ask_problem([cards[number]] * 1, problem, terms=seeded).id)
        assert texts(alone)[0] == texts(made)[3 * number + sample]
    assert len(set(texts(made)[:3])) > 1  # the seeds are others indeed
    drawn = beside.panes(
        cards, made, [verdict(one) for one in made.exchanges], MOST, FEWEST, NO_IMAGES
    )
    assert drawn.count('class="pane ') == 2 and drawn.count("All 3 samples</summary>") == 2
    assert drawn.count('class="spread"') == 2 and "of 3 right." in drawn
    chat = them.to_chat(them.room.store.new(), made.id, sides(made)[1].shown)
    assert chat.last is not None and chat.terms is None and "terms" not in chat.to_json()
    most = them.ask(cards, "How many?", [], None, terms=Terms(samples=10_000))
    assert len(most.exchanges) == 2 * 8


def test_samples_stop_together(them: Comparisons, endless: zoo.Card) -> None:
    stop = threading.Event()
    parts = [Part(endless, TURNS, sample) for sample in range(4)]
    for seen in abreast(them.room.engine, parts, LONG, stop):
        if seen[0].tokens > 4:
            stop.set()
    assert [said.end for said in seen] == ["stop"] * 4 and not seen[1].text


def test_a_missing_checkpoint_is_not_looked_for_at_every_sample(
    them: Comparisons, tmp_path: Path
) -> None:
    gone = replace(them.room.card("tiny-base"), id="gone", where=str(tmp_path / "gone"))
    parts = [Part(gone, TURNS, sample) for sample in range(3)]
    *_, last = abreast(them.room.engine, parts, SHORT, threading.Event())
    assert [said.end for said in last] == ["error"] * 3 and last[2].note == last[0].note


def test_blind_hides_who_is_who_until_the_vote(them: Comparisons, tmp_path: Path) -> None:
    cards = pair(them)
    far = them.room.card("qwen2-vl-2b")
    asked = them.ask([*cards, far], "How many?", [], "counting", "3", terms=Terms(blind=True))
    made = whole(them, asked)
    names = [
        word for one in made.exchanges for word in (one.said.card, one.said.title, one.said.note)
    ]
    drawn = (
        beside.veiled(asked, NO_IMAGES)
        + beside.veiled(made, NO_IMAGES)
        + beside.asked(made, str, veil=True)
    )
    assert "gold" in beside.asked(made, str) and "gold" not in drawn
    assert not [name for name in names if name and name in drawn]
    assert not [
        word for word in ("tok/s", "TTFT", "stage-", "Prompt", "Chat", " tokens") if word in drawn
    ]
    assert them.veiled(made) and 'data-do="vote"' in drawn and "Both bad" in drawn
    with pytest.raises(InputError, match="Vote first"):
        them.to_chat(them.room.store.new(), made.id, 0)
    numbers = eligible(made)
    assert len(numbers) == 2  # the one that could not be asked is not judged
    for wrong in ("9", "best", "-1", str(next(n for n in range(3) if n not in numbers))):
        with pytest.raises(InputError):
            them.vote(made.id, wrong)
    voted = them.vote(made.id, str(numbers[0]))
    assert not them.veiled(them.open(voted.id))
    with pytest.raises(InputError, match="counted already"):
        them.vote(made.id, "tie")
    again = Comparisons(them.room, them.store)  # after a restart
    vote = again.votes.of(made.id)
    assert vote is not None and vote.best == made.exchanges[numbers[0]].said.card
    shown = beside.panes([*cards, far], made, [None] * 3, MOST, FEWEST, NO_IMAGES, vote)
    titles = [one.said.title for one in made.exchanges]
    assert sorted(titles, key=lambda title: shown.index(f'">{title}</h2>')) == titles
    assert shown.count("Your vote") == 1
    tie = replace(vote, choice="tie", best=None)
    shown = beside.panes([*cards, far], made, [None] * 3, MOST, FEWEST, NO_IMAGES, tie)
    assert "Your vote: a tie" in shown


def test_the_order_is_shuffled(them: Comparisons) -> None:
    cards = pair(them)
    orders = set()
    for _ in range(40):
        made = them.ask(cards, "How many?", [], None, terms=Terms(blind=True))
        orders.add(tuple(one.said.card for one in made.exchanges))
        them.stop(made.id)
    assert len(orders) == 2


def test_names_that_were_asked_for_end_the_voting(them: Comparisons) -> None:
    cards = pair(them)
    made = whole(them, them.ask(cards, "How many?", [], None, terms=Terms(blind=True)))
    them.reveal(made.id)
    assert not them.veiled(them.open(made.id))
    with pytest.raises(InputError, match="shows its names"):
        them.vote(made.id, "tie")
    seen = whole(them, them.ask(cards, "How many?", [], None))
    with pytest.raises(InputError):
        them.vote(seen.id, "tie")
    assert them.votes.all() == []


def test_what_was_said_can_lie_apart_from_the_images(tmp_path: Path) -> None:
    store = Store(tmp_path / "images", tmp_path / "said")
    made = store.new()
    names = store.keep(made.id, [Image.new("RGB", (8, 8))])
    made = replace(made, exchanges=(Exchange(Ask("q", "q", names), Said("a", "eos")),))
    store.save(made)
    assert store.load(made.id) == made and store.picture(made.id, names[0]).is_file()
    assert [path.name for path in (tmp_path / "images" / made.id).iterdir()] == list(names)
    store.remove(made.id)
    assert not [*(tmp_path / "said").iterdir(), *(tmp_path / "images").iterdir()]

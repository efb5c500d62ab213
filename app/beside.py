"""A comparison as HTML: the question above, the panes side by side, and how far they agree.

Pure. What a model wrote passes app.render and app.markup, as in Chat. Knows no component, no
file and no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.agreement import sentence, standing
from app.conversation import Conversation, Exchange
from app.icons import icon
from app.markup import plain
from app.picker import badge
from app.render import Address, Verdict, body, facts, prompt_fold, shots
from app.theme import reward_look, stage_look
from rft.rewards import explain
from rft.types import Problem, Score, TaskName
from rft.zoo import Card

_ENDS = {
    "stop": "Stopped. What was written so far is kept.",
    "length": "Cut off at the token limit.",
    "lost": "Interrupted. Ask again to compare.",
}
_MARKS = {"same": "Same answer", "shared": "Same answer as another", "odd": "Different answer"}
_SETTLED = ("eos", "length", "stop")


def asked(made: Conversation, address: Address) -> str:
    """The question that all panes were asked, and how far their answers agree."""
    if made.last is None:
        return ""
    ask = made.last.ask
    gold = f'<p class="gold">gold <b>{plain(ask.gold)}</b></p>' if ask.gold else ""
    question = plain(ask.question).replace("\n", "<br>")
    again = "" if _busy(made) else (
        f'<button class="plain" data-do="again">{icon("again")}Ask again</button>'
    )  # fmt: skip
    return (
        f'<section class="asked" aria-label="The question">{shots(ask.images, address)}'
        f'<div class="words"><p class="question">{question}</p>'
        f'<div class="row">{gold}{again}</div></div></section>'
    )


def panes(
    cards: Sequence[Card], made: Conversation, verdicts: Sequence[Verdict | None], most: int,
    fewest: int,
) -> str:  # fmt: skip
    """A pane for each card, with what it said where it was asked; and one more to add."""
    places = {exchange.said.card: place for place, exchange in enumerate(made.exchanges)}
    answers = _answers(made, [places[card.id] for card in cards if card.id in places])
    marks, busy, drawn = _marks(made, answers), _busy(made), []
    for index, card in enumerate(cards):
        place = places.get(card.id)
        head = _head(card, "" if busy else _tools(card, index, len(cards) > fewest))
        inside = '<p class="unasked">Not asked yet.</p>'
        if place is not None:
            inside = _reply(made, place, verdicts[place], marks.get(place, ""))
        drawn.append(
            f'<section class="pane stage-{stage_look(card.stage).slug}" '
            f'aria-label="{plain(card.title)}">{head}{inside}</section>'
        )
    add = "" if busy or len(cards) >= most else (
        f'<button class="add" data-do="browse" data-opens="lineup" data-pane="{len(cards)}">'
        f"{icon('plus')}Add a checkpoint</button>"
    )  # fmt: skip
    return (
        f'{_agreement(made, answers)}<div class="panes n{len(cards)}">{"".join(drawn)}</div>{add}'
    )


def _head(card: Card, tools: str) -> str:
    return (
        f'<header><div>{badge(card)}<h2 title="{plain(card.id)}">{plain(card.title)}</h2></div>'
        f'<span class="tools">{tools}</span></header>'
    )


def _tools(card: Card, index: int, removable: bool) -> str:
    drop = "" if not removable else (
        f'<button class="tool" data-do="drop" data-pane="{index}" '
        f'aria-label="Remove {plain(card.title)}">{icon("close")}</button>'
    )  # fmt: skip
    return (
        f'<button class="tool" data-do="browse" data-opens="lineup" data-pane="{index}" '
        f'aria-label="Change {plain(card.title)}">{icon("swap")}</button>{drop}'
    )


def _reply(made: Conversation, place: int, verdict: Verdict | None, mark: str) -> str:
    exchange = made.exchanges[place]
    said, busy = exchange.said, exchange.said.end == "waiting"
    go_on = "" if busy or not said.text else (
        f'<button class="plain" data-do="take" data-comparison="{plain(made.id)}" '
        f'data-pane="{place}">Open in Chat</button>'
    )  # fmt: skip
    return (
        f'<article class="said {said.end}" aria-label="Reply" aria-busy="{str(busy).lower()}">'
        f"{body(said, f'c{place}', verdict, _ENDS)}{mark}"
        f"{_scores(exchange, verdict)}{prompt_fold(exchange.ask, f'cp{place}')}"
        f"<footer>{facts(said)}{go_on}</footer></article>"
    )


def _scores(exchange: Exchange, verdict: Verdict | None) -> str:
    """Each reward with its reason; without a gold answer, whether the form is right."""
    ask, said = exchange.ask, exchange.said
    if ask.task is None or said.end not in _SETTLED or not said.text:
        return ""
    if verdict is None or not verdict.scores:
        problem = Problem("", ask.task, (), ask.question, "")
        return f'<ul class="why">{_score(explain("format", said.reply, problem))}</ul>'
    total = f'<li><span class="chip total">total <b>{verdict.total:g}</b></span></li>'
    return f'<ul class="why">{"".join(map(_score, verdict.scores))}{total}</ul>'


def _score(score: Score) -> str:
    return (
        f'<li><span class="chip" style="--c:{reward_look(score.name).colour}">'
        f"{plain(score.name)} <b>{score.value:g}</b></span><span>{plain(score.reason)}</span></li>"
    )


def _answers(made: Conversation, places: Sequence[int]) -> dict[int, str]:
    """What the panes answered; nothing while one writes, or where there are no two to compare."""
    said = {place: made.exchanges[place].said for place in places}
    found = {place: one.reply.final for place, one in said.items() if one.end in _SETTLED}
    writing = any(one.end == "waiting" for one in said.values())
    return {} if writing or len(found) < 2 else found


def _marks(made: Conversation, answers: dict[int, str]) -> dict[int, str]:
    words = standing(list(answers.values()), _task(made))
    return {
        place: f'<p class="camp {word}">{_MARKS[word]}</p>'
        for (place, answer), word in zip(answers.items(), words, strict=True)
        if answer.strip()
    }


def _agreement(made: Conversation, answers: dict[int, str]) -> str:
    if _busy(made):
        return '<p class="agreement busy" role="status">They are answering.</p>'
    texts, task = list(answers.values()), _task(made)
    if not texts:
        return ""
    kind = "agree" if set(standing(texts, task)) == {"same"} else "differ"
    return f'<p class="agreement {kind}" role="status">{sentence(texts, task)}</p>'


def _task(made: Conversation) -> TaskName | None:
    return None if made.last is None else made.last.ask.task


def _busy(made: Conversation) -> bool:
    return any(exchange.said.end == "waiting" for exchange in made.exchanges)

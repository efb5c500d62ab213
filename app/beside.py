"""A comparison as HTML: the question above, the panes side by side, and how far they agree.

Pure. What a model wrote passes app.render and app.markup, as in Chat. Knows no component, no
file and no model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from app import blind, overlay, spread
from app.agreement import sentence, standing
from app.conversation import Conversation, Exchange, Terms
from app.gallery import Gallery
from app.icons import icon
from app.marks import NONE, Odd, odd
from app.markup import plain
from app.picker import badge
from app.render import Address, Verdict, body, facts, prompt_fold, shots
from app.side import SETTLED, Side, eligible, sides
from app.theme import STAGES, UNKNOWN_STAGE, Look, reward_look, stage_look
from app.votes import Vote
from rft.rewards import explain
from rft.tasks import TASKS
from rft.types import Problem, Score, TaskName
from rft.zoo import Card

_ENDS = {
    "stop": "Stopped. What was written so far is kept.",
    "length": "Cut off at the token limit.",
    "lost": "Interrupted: the page was closed or loaded anew. Ask again to compare.",
}
_VOTED = '<p class="voted">Your vote</p>'
#: What a vote for none of them is called.
CALLED = {"tie": "a tie", "bad": "none of them good"}
_WORDS = '<mark class="odd">Marked</mark> is what no other pane says there'
_LEGEND = f'<button class="legend" data-do="marks" aria-pressed="true">{_WORDS}</button>'
_KEY = f'<span class="legend">{_WORDS}</span>'
_MARKS = {"same": "Same answer", "shared": "Same answer as another", "odd": "Different answer"}


def asked(made: Conversation, address: Address, *, veil: bool = False) -> str:
    """The question that all panes were asked, and what can be done with what came of it."""
    if made.last is None:
        return ""
    ask = made.last.ask
    right = None if veil else ask.gold  # who votes judges by the image
    gold = f'<p class="gold">gold <b>{plain(right)}</b></p>' if right else ""
    question = plain(ask.question).replace("\n", "<br>")
    again = "" if made.busy else (
        f'<button class="plain" data-do="again">{icon("again")}Ask again</button>'
    )  # fmt: skip
    share = "" if veil or made.busy else (
        f'<button class="plain" data-do="keep">{icon("save")}Save as a page</button>'
    )  # fmt: skip
    return (
        f'<section class="asked" aria-label="The question">{shots(ask.images, address)}'
        f'<div class="words"><p class="question">{question}</p>'
        f'<div class="row">{gold}{again}{share}'
        f'<span class="drawing">{", ".join(drawing(made.terms or Terms()))}</span></div></div></section>'
    )


def drawing(terms: Terms) -> list[str]:
    """How all replies were drawn, in words."""
    warmth = f"temperature {terms.temperature:g}"
    if terms.samples == 1:
        return [warmth, f"seed {terms.seed}"]
    last = terms.seed + terms.samples - 1
    return [f"{terms.samples} samples each", warmth, f"seeds {terms.seed} to {last}"]


def panes(
    cards: Sequence[Card], made: Conversation, verdicts: Sequence[Verdict | None], most: int,
    fewest: int, gallery: Gallery, vote: Vote | None = None, absent: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """A pane for each card, with what it said where it was asked; and one more to add.

    ``vote``: the visitor's on this comparison. ``absent``: by their ids, how those cards can be
    fetched that are not on this machine.
    """
    them = {side.card: side for side in sides(made)}
    places = {card.id: place for place, card in enumerate(cards)}  # in the line-up, to change it
    if made.terms is not None and made.terms.blind:  # in the order in which they were shown
        order = list(them)
        cards = sorted(cards, key=lambda card: order.index(card.id) if card.id in them else most)
    among = _among(made, [them[card.id] for card in cards if card.id in them], gallery, verdicts)
    busy, drawn = made.busy, []
    for card in cards:
        side = them.get(card.id)
        head = _head(card, "" if busy else _tools(card, places[card.id], len(cards) > fewest))
        way = (absent or {}).get(card.id, "")
        inside = way or '<p class="unasked">Not asked yet.</p>'
        if side is not None:
            chosen = _VOTED if vote is not None and vote.best == card.id else ""
            said = _reply(among, side, _go_on(made, side))
            inside = chosen + _strange(card, _task(made)) + said + way
        drawn.append(
            f'<section class="pane stage-{stage_look(card.stage).slug}" '
            f'aria-label="{plain(card.title)}">{head}{inside}</section>'
        )
    called, shown = "", {card.id for card in cards}
    if vote is not None and not vote.best and shown >= {voter.id for voter in vote.among}:
        called = f'<p class="voted">Your vote: {CALLED[vote.choice]}</p>'
    add = "" if busy or len(cards) >= most else (
        f'<button class="add" data-do="browse" data-opens="lineup" data-pane="{len(cards)}">'
        f"{icon('plus')}Add a checkpoint</button>"
    )  # fmt: skip
    return f"{_agreement(among)}{called}{_grid(drawn)}{add}"


def veiled(made: Conversation, gallery: Gallery) -> str:
    """The panes without anything that tells whose they are, and the ballot."""
    them = sides(made)
    among, drawn = _among(made, them, gallery), []
    for number, side in enumerate(them):
        said = blind.veiled(made.exchanges[side.shown].said)
        pointed = overlay.drawn(made, side.shown, gallery, veil=True)
        told = body(said, f"v{number}", None, _ENDS, pointed, among.odd.get(side.card, NONE))
        drawn.append(
            f'<section class="pane veiled" aria-label="{blind.pane_name(number)}"><header><div>'
            f"<h2>{blind.pane_name(number)}</h2></div></header>"
            f'<article class="said {said.end}" aria-label="Reply" '
            f'aria-busy="{str(side.busy).lower()}">{told}{among.camp(side)}'
            f"{_samples(among, side, veil=True)}</article></section>"
        )
    ballot = "" if made.busy else blind.ballot(eligible(made))
    return f"{_agreement(among)}{_grid(drawn)}{ballot}"


def printed(
    made: Conversation, verdicts: Sequence[Verdict | None], gallery: Gallery,
    shown: Collection[str] = (),
) -> str:  # fmt: skip
    """The panes as they were asked, with nothing to press: to be kept.

    Of several, those of the cards ``shown``, if any: others were taken out of the comparison.
    """
    every = sides(made)
    them = [side for side in every if side.card in shown] or every
    among, drawn = _among(made, them, gallery, verdicts), []
    for side in them:
        said = made.exchanges[side.shown].said
        look = said_look(said.stage)
        drawn.append(
            f'<section class="pane stage-{look.slug}"><header><div><span class="badge">'
            f'<i class="dot"></i>{look.name}</span><h2>{plain(said.title)}</h2></div></header>'
            f"{_reply(among, side)}</section>"
        )
    return f"{_agreement(among, _KEY)}{_grid(drawn)}"


@dataclass(frozen=True)
class _Among:
    """What is drawn of the replies beside each other: which answers are the same, what differs."""

    made: Conversation
    gallery: Gallery
    verdicts: Sequence[Verdict | None]
    answers: dict[str, str]
    standing: dict[str, str]
    odd: dict[str, Odd]

    def verdict(self, place: int) -> Verdict | None:
        return self.verdicts[place] if self.verdicts else None

    def camp(self, side: Side) -> str:
        """Whether its answer is the others'."""
        word = self.standing.get(side.card, "")
        return f'<p class="camp {word}">{_MARKS[word]}</p>' if word else ""


def _among(
    made: Conversation, them: Sequence[Side], gallery: Gallery,
    verdicts: Sequence[Verdict | None] = (),
) -> _Among:  # fmt: skip
    """Nothing is compared while one writes, or where there are no two that have settled."""
    shown = {side.card: made.exchanges[side.shown].said for side in them}
    settled = {card: said.reply for card, said in shown.items() if said.end in SETTLED}
    if any(side.busy for side in them) or len(settled) < 2:
        settled = {}
    answers, task = {card: reply.final for card, reply in settled.items()}, _task(made)
    words = dict(zip(answers, standing(list(answers.values()), task), strict=True))
    told = {card: word for card, word in words.items() if answers[card].strip()}
    told = told if len(told) > 1 else {}  # with nobody to differ from
    marked = dict(zip(answers, odd(tuple(settled.values()), task), strict=True))
    return _Among(made, gallery, verdicts, answers, told, marked)


def _grid(drawn: Sequence[str]) -> str:
    return f'<div class="panes n{len(drawn)}">{"".join(drawn)}</div>'


def _head(card: Card, tools: str) -> str:
    return (
        f'<header><div>{badge(card)}<h2 title="{plain(card.id)}">{plain(card.title)}</h2></div>'
        f'<span class="tools">{tools}</span></header>'
    )


def _strange(card: Card, task: TaskName | None) -> str:
    if task is None or card.task in (None, task):
        return ""
    return f'<p class="hint">Taught {TASKS[card.task].title.lower()}, and not this task.</p>'


def _tools(card: Card, index: int, removable: bool) -> str:
    drop = "" if not removable else (
        f'<button class="tool" data-do="drop" data-pane="{index}" '
        f'aria-label="Remove {plain(card.title)}">{icon("close")}</button>'
    )  # fmt: skip
    return (
        f'<button class="tool" data-do="browse" data-opens="lineup" data-pane="{index}" '
        f'aria-label="Change {plain(card.title)}">{icon("swap")}</button>{drop}'
    )


def _go_on(made: Conversation, side: Side) -> str:
    if side.busy or not made.exchanges[side.shown].said.text:
        return ""
    return (
        f'<button class="plain" data-do="take" data-comparison="{plain(made.id)}" '
        f'data-pane="{side.shown}">Open in Chat</button>'
    )


def _reply(among: _Among, side: Side, go_on: str = "") -> str:
    exchange, verdict = among.made.exchanges[side.shown], among.verdict(side.shown)
    said, pointed = exchange.said, overlay.drawn(among.made, side.shown, among.gallery)
    fold, marked = f"c{side.places[0]}", among.odd.get(side.card, NONE)
    return (
        f'<article class="said {said.end}" aria-label="Reply" aria-busy="{str(side.busy).lower()}">'
        f"{body(said, fold, verdict, _ENDS, pointed, marked)}{among.camp(side)}"
        f"{_samples(among, side)}{_scores(exchange, verdict)}"
        f"{prompt_fold(exchange.ask, f'cp{side.places[0]}')}"
        f"<footer>{facts(said)}{go_on}</footer></article>"
    )


def _samples(among: _Among, side: Side, *, veil: bool = False) -> str:
    """Of several samples: how far they agree, how often each answer came, and all to unfold."""
    if not side.many:
        return ""
    name, total = f"all{side.places[0]}", len(side.places)
    judged = [among.verdict(place) for place in side.counted]
    rights = [one.right for one in judged if one]
    known = rights if len(rights) == len(judged) else []
    found = spread.bars(side.spread, known) if side.counted else ""
    if side.busy:
        at = side.places.index(side.shown) + 1
        return f'<div class="samples"><p>Sample {at} of {total}</p>{found}</div>'
    right = sum(known) if known else None
    rows = []
    for place in side.places:
        said = among.made.exchanges[place].said
        shown = blind.veiled(said) if veil else said
        rows.append(f"<li>{body(shown, f's{place}', among.verdict(place), _ENDS)}</li>")
    return (
        f'<div class="samples"><p>{spread.sentence(side.spread, right, total)}</p>{found}'
        f'<details class="all" data-fold="{name}"><summary>All {total} samples</summary>'
        f"<ol>{''.join(rows)}</ol></details></div>"
    )


def _scores(exchange: Exchange, verdict: Verdict | None) -> str:
    """Each reward with its reason; without a gold answer, whether the form is right."""
    ask, said = exchange.ask, exchange.said
    if ask.task is None or not said.judged or not said.text:
        return ""
    if verdict is None or not verdict.scores:
        problem = Problem("", ask.task, (), ask.question, "")
        return f'<ul class="why">{_score(explain("format", said.reply, problem))}</ul>'
    total = f'<li><span class="chip total">total <b>{verdict.total:.3g}</b></span></li>'
    return f'<ul class="why">{"".join(map(_score, verdict.scores))}{total}</ul>'


def _score(score: Score) -> str:
    return (
        f'<li><span class="chip" style="--c:{reward_look(score.name).colour}">'
        f"{plain(score.name)} <b>{score.value:.3g}</b></span><span>{plain(score.reason)}</span></li>"
    )


def _agreement(among: _Among, legend: str = _LEGEND) -> str:
    if among.made.busy:
        return '<p class="agreement busy" role="status">They are answering.</p>'
    if not among.answers:
        return ""
    texts, task = list(among.answers.values()), _task(among.made)
    kind = "agree" if set(standing(texts, task)) == {"same"} else "differ"
    return (
        f'<div class="verdicts"><p class="agreement {kind}" role="status">{sentence(texts, task)}'
        f"</p>{legend if any(among.odd.values()) else ''}</div>"
    )


def _task(made: Conversation) -> TaskName | None:
    return None if made.last is None else made.last.ask.task


def said_look(stage: str) -> Look:
    """The look of the stage that a reply notes of its checkpoint."""
    return next((look for name, look in STAGES.items() if name == stage), UNKNOWN_STAGE)

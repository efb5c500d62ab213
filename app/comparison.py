"""What happens in a comparison: asking all at once, writing, voting, moving on.

A comparison is kept as a conversation whose exchanges stand side by side and not one after the
other: one question, in each exchange another checkpoint's prompt and reply, or another sample
of it. So it lies in a store like Chat's, and a pane of it can go on there. Knows no component.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.abreast import Part, abreast
from app.contenders import gone
from app.conversation import Ask, Conversation, End, Exchange, Said, Terms
from app.room import Room, checked
from app.side import eligible, sides
from app.store import Store
from app.votes import Vote, Voter, Votes
from app.writing import beginning
from rft import zoo
from rft.errors import DiskError, InputError, StudioError
from rft.example import answer_fault
from rft.images import open_images
from rft.prompts import prompt
from rft.records import unwrap
from rft.tasks import AnswerKind
from rft.types import Decoding, Picture, Problem, TaskName

MOST_SAMPLES = 8  #: of each pane
STRANGERS_SAMPLES = 4  #: the same on a public page, where one visitor's samples delay the others


@dataclass
class Comparisons:
    """The comparisons in ``store``, asked of the checkpoints of Chat's ``room``.

    The votes on them are kept beside the store, where nothing is served from.
    """

    room: Room
    store: Store
    votes: Votes = field(init=False)

    def __post_init__(self) -> None:
        self.votes = Votes(self.store.root.parent / "votes.jsonl")

    @property
    def most_samples(self) -> int:
        """How many replies of each pane a visitor of this host may have."""
        return STRANGERS_SAMPLES if self.room.host.public else MOST_SAMPLES

    def open(self, id: object) -> Conversation:
        """The comparison as it stands; what nobody writes any more is marked lost."""
        found = self.store.load(id)
        return found if self.room.desk.busy(found.id) else _ended(found, "lost")

    def busy(self, id: object) -> bool:
        """Whether the comparison is being written, or waits to be."""
        return isinstance(id, str) and self.room.desk.busy(id)

    def free(self, id: object) -> None:
        """InputError while the comparison is being written."""
        if self.busy(id):
            raise InputError("A comparison is still under way. Stop it, or wait for its end.")

    def ask(
        self,
        cards: Sequence[zoo.Card],
        question: str,
        pictures: Sequence[Picture],
        task: TaskName | None,
        gold: str = "",
        kind: AnswerKind = "auto",
        *,
        terms: Terms | None = None,
        owner: str = "",
    ) -> Conversation:
        """One question to all. InputError says what is wrong with it.

        A card that cannot be asked fails in its own pane.
        """
        text = checked(question)
        right = _gold(task, text, gold)
        made, terms = self.store.new(), terms or Terms()
        terms = replace(terms, samples=min(max(terms.samples, 1), self.most_samples))
        names = self.store.keep(made.id, open_images(pictures))
        ask = Ask(text, text, names, task, kind, right)
        order = _shuffled(cards) if terms.blind else cards
        posed = [
            exchange for card in order for exchange in [self._posed(card, ask)] * terms.samples
        ]
        made = replace(made, exchanges=tuple(posed), terms=terms)
        self.store.save(made)
        self.room.desk.reserve(made.id, owner)
        return made

    def ask_problem(
        self,
        cards: Sequence[zoo.Card],
        problem: Problem,
        *,
        terms: Terms | None = None,
        owner: str = "",
    ) -> Conversation:
        """A question whose gold answer is known."""
        words = problem.question, problem.images, problem.task, problem.answer
        return self.ask(cards, *words, terms=terms, owner=owner)

    def again(
        self,
        cards: Sequence[zoo.Card],
        last: Conversation,
        *,
        terms: Terms | None = None,
        owner: str = "",
    ) -> Conversation:
        """The last question once more, to the checkpoints chosen now."""
        if last.last is None:
            raise InputError("There is no question to ask again yet.")
        ask = last.last.ask
        pictures = [self.store.picture(last.id, name) for name in ask.images]
        words = ask.question, pictures, ask.task, ask.gold or "", ask.kind
        return self.ask(cards, *words, terms=terms, owner=owner)

    def write(
        self, id: object, decoding: Decoding | None = None, *, owner: str = ""
    ) -> Iterator[Conversation]:
        """The comparison while its replies are being written, until all are; kept throughout.

        Without ``decoding``: the paper's, at the comparison's own seed and temperature.
        """
        made = self.store.load(id)
        place, unkept = made.id, None
        end: End = "stop"
        stop = self.room.desk.take(place, owner)
        if stop is None:  # another tab's by now
            yield self.open(id)
            return
        try:
            made = self.store.load(place)  # as it stands, now that nobody else changes it
            waiting, parts = self._parts(made)
            terms, kept = made.terms or Terms(), 0
            decoding = decoding or Decoding(terms.temperature, seed=terms.seed)
            with closing(abreast(self.room.engine, parts, decoding, stop)) as stream:
                for said in stream:
                    made = _saying(made, dict(zip(waiting, said, strict=True)))
                    if (ended := sum(one.end != "waiting" for one in said)) > kept:
                        kept, unkept = ended, self._unkept(made)
                    try:
                        yield made
                    except GeneratorExit:  # its tab was closed, or loaded anew
                        end = "stop" if stop.is_set() else "lost"
                        raise
            if unkept is not None:  # what came could be read, though it could not be kept
                raise unkept
        finally:
            try:
                if made != (whole := _ended(made, end)):
                    self.store.save(whole)
            finally:
                self.room.desk.leave(place)

    def _unkept(self, made: Conversation) -> DiskError | None:
        """Save it; what went wrong, for one full disk must not end the replies still coming."""
        try:
            self.store.save(made)
        except DiskError as error:
            return error
        return None

    def stop(self, id: object) -> Conversation:
        """End all replies: those being written within a token, those in the queue at once."""
        made = self.store.load(id)
        if not self.room.desk.stop(made.id) and made != (whole := _ended(made, "stop")):
            made = whole
            self.store.save(made)
        return made

    def to_chat(self, chat: Conversation, id: object, place: int) -> Conversation:
        """The conversation with a pane's exchange added, its images copied; it begins anew there."""
        found = self.open(id)
        if not 0 <= place < len(found.exchanges):
            raise InputError("That comparison is no longer kept: ask again.")
        if self.veiled(found):
            raise InputError("Vote first, or show the names: the pane's checkpoint is named there.")
        ask, said = found.exchanges[place].ask, found.exchanges[place].said
        if said.end == "waiting" or self.room.desk.busy(chat.id):
            raise InputError("A reply is still being written. Stop it, or wait for its end.")
        pictures: list[Path] = [self.store.picture(found.id, name) for name in ask.images]
        names = self.room.store.keep(chat.id, open_images(pictures))
        chat = chat.asking(replace(ask, images=names, anew=bool(chat.exchanges)), said)
        self.room.store.save(chat)
        return chat

    def veiled(self, made: Conversation) -> bool:
        """Whether it is not to be told yet who answered what."""
        terms = made.terms
        if terms is None or not terms.blind or terms.shown:
            return False
        return self.votes.of(made.id) is None

    def vote(self, id: object, choice: str) -> Conversation:
        """Count the choice: the number of a pane as it was shown, "tie" or "bad"."""
        made = self._ended_blind(id)
        them, among = sides(made), eligible(made)
        if len(among) < 2 or choice not in ("tie", "bad", *map(str, among)):
            raise InputError("That cannot be voted for: choose one of the panes that answered.")
        best = them[int(choice)].card if choice.isdigit() else None
        voters = [
            Voter(them[number].card, made.exchanges[them[number].shown].said.title)
            for number in among
        ]
        kind = "best" if best else "tie" if choice == "tie" else "bad"
        self.votes.cast(made.id, Vote(tuple(voters), kind, best))  # type: ignore[arg-type]
        return made

    def reveal(self, id: object) -> Conversation:
        """The names without a vote: none can be cast any more."""
        made = self._ended_blind(id)
        if self.veiled(made):
            made = replace(made, terms=replace(made.terms or Terms(), shown=True))
            self.store.save(made)
        return made

    def _ended_blind(self, id: object) -> Conversation:
        made = self.open(id)
        self.free(made.id)
        if made.terms is None or not made.terms.blind or made.terms.shown:
            raise InputError("This comparison shows its names: switch “Blind” on and ask again.")
        return made

    def _posed(self, card: zoo.Card, ask: Ask) -> Exchange:
        try:
            self.room.ready(card)
            words = prompt(card, ask.task, ask.question, ask.kind)
        except StudioError as error:
            return Exchange(ask, replace(beginning(card), end="error", note=str(error)))
        waiting = replace(beginning(card), note="Waiting for its turn")
        return Exchange(replace(ask, prompt=words), waiting)

    def _parts(self, made: Conversation) -> tuple[list[int], list[Part]]:
        """The panes that wait for a reply, and what is asked of whom in each."""
        waiting, parts = [], []
        asked: dict[str, int] = {}
        for place, exchange in enumerate(made.exchanges):
            sample = asked[exchange.said.card] = asked.get(exchange.said.card, -1) + 1
            if exchange.said.end == "waiting":
                alone = replace(made, exchanges=(exchange,))
                turns = alone.turns(lambda name: self.store.picture(made.id, name))
                waiting.append(place)
                parts.append(Part(self._still(exchange.said), tuple(turns), sample))
        return waiting, parts

    def _still(self, said: Said) -> zoo.Card:
        """The card that was chosen. One that is gone since says so when it is asked."""
        try:
            return self.room.card(said.card)
        except StudioError:
            return replace(gone(said.card), title=said.title)


def _shuffled(cards: Sequence[zoo.Card]) -> list[zoo.Card]:
    order = list(cards)
    secrets.SystemRandom().shuffle(order)
    return order


def _saying(made: Conversation, said: dict[int, Said]) -> Conversation:
    exchanges = enumerate(made.exchanges)
    return replace(
        made, exchanges=tuple(replace(one, said=said.get(n, one.said)) for n, one in exchanges)
    )


def _ended(made: Conversation, end: End) -> Conversation:
    """With the replies that are still waited for ended."""
    said = {
        place: replace(exchange.said, end=end, note="", done=None)
        for place, exchange in enumerate(made.exchanges)
        if exchange.said.end == "waiting"
    }
    return _saying(made, said) if said else made


def _gold(task: TaskName | None, question: str, typed: str) -> str | None:
    """The gold answer as typed; None where none was, InputError where no reply could match it."""
    answer = unwrap(typed).strip()
    if not answer:
        return None
    if task is None:
        raise InputError(
            "Only answers to Counting, Structure and Spatial can be checked: choose one of these "
            "tasks, or leave the right answer empty."
        )
    if fault := answer_fault(task, question, answer):
        raise InputError(f"The question {fault}")
    return answer

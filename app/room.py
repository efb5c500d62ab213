"""What happens in the chat: asking, replying, stopping, asking again. No component in here.

Conversations live in the store and are read anew for each action; the browser holds only the
conversation's id. Two visitors share models and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.conversation import Ask, Conversation, Exchange, Said
from app.host import LISTED_ONLY, Host
from app.markup import clean
from app.render import Verdict
from app.store import Store, lost
from app.writing import Desk, beginning, written
from rft import hub, zoo
from rft.cards import REPO
from rft.engine import Engine
from rft.errors import CheckpointError, DiskError, InputError, StudioError
from rft.images import open_images
from rft.prompts import instruction, prompt
from rft.run import ROOT
from rft.runs import find
from rft.tasks import TASKS, AnswerKind
from rft.types import Decoding, Problem, Reply, TaskName

_JUDGES = ("accuracy_robust", "function_exact")
BROKEN = (
    "The reply failed for a reason that the studio does not know. "
    "Ask again, or look at the terminal that app.py runs in."
)
LONGEST_QUESTION = 8_000  #: characters; a page of text, far above any question of the tasks


@dataclass
class Room:
    """The chat's working parts: where conversations lie, who answers them, from which zoo.

    ``zoo_file`` is a user's own file of cards; finished runs under ``runs`` are cards too.
    """

    store: Store
    zoo_file: Path | None = None
    engine: Engine = field(default_factory=Engine)
    desk: Desk = field(default_factory=Desk)
    runs: Path | None = None
    host: Host = field(default_factory=Host)

    def open(self, chat_id: object) -> Conversation:
        """The conversation as it stands; a reply that nobody writes any more is marked lost."""
        chat = self.store.load(chat_id)
        return chat if self.desk.busy(chat.id) else lost(chat)

    def ask(
        self,
        chat: Conversation,
        card: zoo.Card,
        question: str,
        pictures: Sequence[Path],
        task: TaskName | None,
        kind: AnswerKind = "auto",
        *,
        owner: str = "",
    ) -> Conversation:
        """A question of the visitor's own. InputError says what is wrong with it.

        ``owner`` here and below is the tab that asks: the one that the reply will be given to.
        """
        text = checked(question)
        with self._asking(chat, card, owner):
            names = self.store.keep(chat.id, open_images(pictures))
            ask = Ask(text, prompt(card, task, text, kind), names, task, kind)
            return self._add(chat, card, ask)

    def ask_problem(
        self, chat: Conversation, card: zoo.Card, problem: Problem, *, owner: str = ""
    ) -> Conversation:
        """A question whose gold answer is known, and which is about nothing said before."""
        with self._asking(chat, card, owner):
            names = self.store.keep(chat.id, open_images(problem.images))
            text = prompt(card, problem.task, problem.question)
            words = problem.question, text, names, problem.task
            ask = Ask(*words, gold=problem.answer, anew=bool(chat.exchanges))
            return self._add(chat, card, ask)

    def again(self, chat: Conversation, card: zoo.Card, *, owner: str = "") -> Conversation:
        """The last question once more, to the checkpoint chosen now."""
        with self._asking(chat, card, owner):
            if chat.last is None:
                raise InputError("There is no question to ask again yet.")
            ask = chat.last.ask
            text = prompt(card, ask.task, ask.question, ask.kind)
            return self._add(chat.before(len(chat.exchanges) - 1), card, replace(ask, prompt=text))

    def edit(
        self, chat: Conversation, card: zoo.Card, index: int, question: str, *, owner: str = ""
    ) -> Conversation:
        """An earlier question in other words; what came after it is dropped.

        Its gold answer was that of the other words, so it goes unless they are the same.
        """
        with self._asking(chat, card, owner):
            text, kept = checked(question), chat.before(index)
            old = chat.exchanges[index].ask
            gold = old.gold if text == old.question else None
            words = prompt(card, old.task, text, old.kind)
            return self._add(kept, card, replace(old, question=text, prompt=words, gold=gold))

    def state(self, card: zoo.Card) -> zoo.State:
        """Where a card stands, a loaded checkpoint's memory counted as free: it would go."""
        return zoo.state(card, self.engine.memory())

    def ready(self, card: zoo.Card) -> None:
        """CheckpointError where the card cannot answer here and now."""
        state = self.state(card)
        if state.kind == "download":
            raise CheckpointError(f"{card.title} is not on this machine yet: download it first.")
        if state.kind == "unavailable":
            raise CheckpointError(state.sentence)

    def trial(self, run_id: str) -> tuple[zoo.Card, Problem]:
        """A finished run's checkpoint, and a problem to try it on: held out, where some were."""
        run = find(self.runs or ROOT, run_id)
        problems = run.problems("id") or run.problems("train")
        if not problems:
            raise InputError(f"The run “{run.title}” has no problem of its own: ask it another.")
        return zoo.card_for(str(run.final), self.zoo_file), problems[0]

    def cards(self) -> list[zoo.Card]:
        """All the cards there are."""
        return zoo.cards(self.zoo_file, self.runs)

    def card(self, wanted: object, *, or_first: bool = False) -> zoo.Card:
        """The card a visitor last chose, or the one to begin with where none was.

        ``or_first``: also where the chosen one is no longer there, which else is an InputError.
        """
        if isinstance(wanted, str) and wanted:
            try:
                return self._named(wanted)
            except StudioError:
                if not or_first:
                    raise
        known = self.cards()
        taught = [card for card in known if card.bundled and card.task] or known
        return next((card for card in taught if card.stage == "sft+grpo"), taught[0])

    def fitting(self, card: zoo.Card, task: TaskName | None) -> zoo.Card:
        """The card, or in place of a bundled one that was taught another task, its like of this."""
        if not card.bundled or task is None or card.task in (None, task):
            return card
        alike = (c for c in self.cards() if c.bundled and (c.task, c.stage) == (task, card.stage))
        return next(alike, card)

    def _named(self, text: str) -> zoo.Card:
        """The card that a visitor names; InputError where strangers may not name it.

        Nothing of what a stranger types reaches the disk or the network: the sentence is the
        same whether there is such a folder or repository, or not.
        """
        if not self.host.public:
            return zoo.card_for(text, self.zoo_file)
        wanted = text.strip()
        for card in self.cards():
            if wanted and wanted in (card.id, card.where):
                return card
        if REPO.fullmatch(wanted) and hub.snapshot(wanted) is not None:
            return zoo.card_for(wanted, self.zoo_file)
        raise InputError(LISTED_ONLY)

    def reply(
        self, chat: Conversation, decoding: Decoding, *, owner: str = ""
    ) -> Iterator[Conversation]:
        """The conversation while its last reply is being written, until it is written.

        By the card that it was asked of, whatever has been chosen since. Whatever ends it, the
        tab that closes included, what was written is kept. Where another tab has asked since,
        the reply is that tab's, and the conversation is given as it stands.
        """
        stop = self.desk.take(chat.id, owner)
        if stop is None:
            yield self.open(chat.id)
            return
        place = chat.id
        try:
            chat = self.store.load(chat.id)  # as it stands, now that nobody else changes it
            if chat.last is None:
                return
            if chat.last.said.end != "waiting":  # stopped in the queue, perhaps by another tab
                yield chat
                return
            for said in self._writing(chat, chat.last.said, decoding, stop):
                chat = chat.replying(said)
                if not self._noted(chat):
                    return
                yield chat
        except DiskError:
            yield chat  # what came can be read, though it could not be kept
            raise
        except Exception:
            # A bug, which surfaces as one; but the page must not wait for ever meanwhile.
            chat = chat.replying(_failed(chat.exchanges[-1].said, BROKEN))
            if self._noted(chat):
                yield chat
            raise
        finally:
            stop.set()
            try:
                if chat.last is not None and chat.last.said.end == "waiting":
                    self._noted(chat.replying(_stopped(chat.last.said)))
            finally:
                self.desk.leave(place)

    def _writing(
        self, chat: Conversation, said: Said, decoding: Decoding, stop: threading.Event
    ) -> Iterator[Said]:
        try:
            card = self.card(said.card)
        except StudioError as error:  # moved or deleted since the question was taken
            yield _failed(said, str(error))
            return
        turns = chat.turns(lambda name: self.store.picture(chat.id, name))
        yield from written(self.engine, card, turns, decoding, stop)

    def stop(self, chat: Conversation) -> Conversation:
        """End the reply: one being written within a token, one still in the queue at once."""
        written = self.desk.stop(chat.id)
        if not written and chat.last is not None and chat.last.said.end in ("waiting", "lost"):
            chat = chat.replying(_stopped(chat.last.said))
            self.store.save(chat)
        return chat

    def clear(self, chat: Conversation) -> None:
        """Forget the conversation, images and all."""
        self.desk.forget(chat.id)
        self.store.remove(chat.id)

    def _noted(self, chat: Conversation) -> bool:
        """Save the reply if it has ended; False where its conversation was cleared meanwhile."""

        def save() -> None:
            if chat.last is not None and chat.last.said.end != "waiting":
                self.store.save(chat)

        return self.desk.unless_gone(chat.id, save)

    @contextmanager
    def _asking(self, chat: Conversation, card: zoo.Card, owner: str) -> Iterator[None]:
        """Hold the conversation's place for one question; given back where none comes of it."""
        if not self.desk.reserve(chat.id, owner):
            raise InputError("A reply is still being written. Stop it, or wait for its end.")
        try:
            self.ready(card)
            yield
        except BaseException:  # whatever it was, the place must not stay taken
            self.desk.stop(chat.id)
            raise

    def _add(self, chat: Conversation, card: zoo.Card, ask: Ask) -> Conversation:
        waiting = replace(beginning(card), note="Waiting for its turn")
        # Taught no conversation, tiny ones go on with the words of the question before.
        chat = chat.asking(chat.by_itself(ask) if card.tiny else ask, waiting)
        self.store.save(chat)
        return chat


def _stopped(said: Said) -> Said:
    return replace(said, end="stop", note="", done=None)


def _failed(said: Said, note: str) -> Said:
    return replace(said, end="error", note=note, done=None)


def checked(question: str) -> str:
    """The question without control characters; InputError if it is empty or far too long."""
    if len(question) > LONGEST_QUESTION:
        raise InputError(
            f"The question has {len(question):,} characters; up to {LONGEST_QUESTION:,} are "
            "taken. Keep the part that is about the image."
        )
    text = clean(question).strip()
    if not text:
        raise InputError("Type a question about the image first.")
    return text


def prompt_note(card: zoo.Card, task: TaskName | None) -> str:
    """Whether the card's own prompt file is the one of the training; "" where it plays no part."""
    own = instruction(card, task)
    if own is None:
        return ""
    if own.trained:
        return "From the card's prompt file: letter by letter what the released ones learned with."
    return "From the card's prompt file, which is not the text that the released ones learned with."


def verdict(exchange: Exchange) -> Verdict | None:
    """How the reply fares against the gold answer; None where none is known or it is not done."""
    ask, said = exchange.ask, exchange.said
    if ask.task is None or ask.gold is None or not said.judged:
        return None
    problem = Problem("", ask.task, (), ask.question, ask.gold)
    return judged(said.reply, problem, ask.task)


def judged(reply: Reply, problem: Problem, task: TaskName) -> Verdict:
    """What the task's rubric gives a reply, and whether a person would call it right.

    The verdict forgives what the strict rewards do not ("6.0" for 6, a missing tag), since a
    visitor asks whether the answer is right; the rewards beside it are the strict ones.
    """
    rubric = TASKS[task].rubric
    weights = dict(rubric.weights)
    scores = rubric.scores(reply, problem)
    right = any(score.name in _JUDGES and score.value >= 1 for score in scores)
    paid = tuple(score for score in scores if weights[score.name])
    return Verdict(right, problem.answer, paid, rubric.total(reply, problem))

"""A conversation: questions asked and what came back, and its forms as JSON and as turns.

Plain frozen data. Knows no page, no model and no folder: images are named, not opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rft.errors import InputError
from rft.parse import parse
from rft.tasks import AnswerKind
from rft.types import Decoding, Reply, TaskName, Turn

End = Literal["waiting", "eos", "length", "stop", "error", "lost"]


SHORTEST_S = 0.05  #: below it, the speed of a reply is that of its last few snapshots


@dataclass(frozen=True)
class Ask:
    """What a person asked. ``prompt`` is the text as the model was given it.

    ``kind`` is what sort of answer the prompt asks for, ``gold`` the right one where known.
    ``anew``: a model is given nothing of what came before it.
    """

    question: str
    prompt: str
    images: tuple[str, ...] = ()
    task: TaskName | None = None
    kind: AnswerKind = "auto"
    gold: str | None = None
    anew: bool = False


@dataclass(frozen=True)
class Said:
    """What a checkpoint replied: the raw text and how it came.

    ``end`` is "waiting" while the reply is being written, "lost" when the server went away
    in the middle; ``note`` is the sentence shown for a wait or an error, ``done`` its share.
    ``thought_s`` is the time from the first token to the end of the reasoning. ``family`` and
    ``max_pixels`` (of an image, as the model was given it) tell what its coordinates count.
    ``counted``: whether the tokens were; else they are estimated.
    """

    text: str = ""
    end: End = "waiting"
    card: str = ""
    title: str = ""
    stage: str = ""
    tokens: int = 0
    counted: bool = True
    seconds: float = 0.0
    first_s: float | None = None
    thought_s: float | None = None
    note: str = ""
    done: float | None = None
    family: str = ""
    max_pixels: int = 0

    @property
    def reply(self) -> Reply:
        """The text, taken apart."""
        return parse(self.text)

    @property
    def judged(self) -> bool:
        """Whether it is the model's own: not cut off by its visitor before the answer was there."""
        if self.end == "stop":
            return self.reply.phase == "done"
        return self.end in ("eos", "length")

    @property
    def tokens_per_s(self) -> float | None:
        """Decoding speed after the first token, None where there is too little to tell it by."""
        if self.first_s is None or self.tokens < 2 or self.seconds - self.first_s < SHORTEST_S:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_s)


@dataclass(frozen=True)
class Exchange:
    """A question and its reply."""

    ask: Ask
    said: Said


@dataclass(frozen=True)
class Terms:
    """How all of a comparison were asked: each ``samples`` times, by seeds from ``seed`` on.

    ``blind``: the order is shuffled and nobody is named until a vote; ``shown``: the names were
    asked for without one.
    """

    seed: int = 0
    temperature: float = Decoding().temperature
    samples: int = 1
    blind: bool = False
    shown: bool = False


@dataclass(frozen=True)
class Conversation:
    """An unguessable id and the exchanges in order; a comparison also has its ``terms``."""

    id: str
    exchanges: tuple[Exchange, ...] = ()
    terms: Terms | None = None

    @property
    def last(self) -> Exchange | None:
        """The latest exchange."""
        return self.exchanges[-1] if self.exchanges else None

    @property
    def busy(self) -> bool:
        """Whether a reply is still to come."""
        return any(exchange.said.end == "waiting" for exchange in self.exchanges)

    def asking(self, ask: Ask, said: Said) -> Conversation:
        """With a question added, its reply still to come."""
        return replace(self, exchanges=(*self.exchanges, Exchange(ask, said)))

    def in_view(self, index: int) -> tuple[str, ...]:
        """The images that the question ``index`` is about: its own, else the latest before it."""
        asks = (exchange.ask for exchange in reversed(self.exchanges[: index + 1]))
        return next((ask.images for ask in asks if ask.images), ())

    def before(self, index: int) -> Conversation:
        """Cut off before the exchange ``index``, to ask it again."""
        if not 0 <= index < len(self.exchanges):
            raise InputError("That question is no longer in the conversation. Reload the page.")
        return replace(self, exchanges=self.exchanges[:index])

    def replying(self, said: Said) -> Conversation:
        """With the last reply replaced."""
        last = self.exchanges[-1]
        return replace(self, exchanges=(*self.exchanges[:-1], replace(last, said=said)))

    def by_itself(self, ask: Ask) -> Ask:
        """A question to come as one that begins anew, about the last images where it brings none."""
        if self.last is None:
            return ask
        before = (item.ask.images for item in reversed(self.exchanges) if item.ask.images)
        return replace(ask, images=ask.images or next(before, ()), anew=True)

    def turns(self, picture: Callable[[str], Path]) -> list[Turn]:
        """What the model is given for the reply to come.

        Nothing from before the last question that begins anew. Earlier reasoning is left out, as the checkpoints were never trained to read it; a
        question whose reply was stopped, cut or failed before an answer is left out with it,
        but its images go on to the next question, which may well be about them.
        """
        turns: list[Turn] = []
        carried: tuple[str, ...] = ()
        begins = [n for n, exchange in enumerate(self.exchanges) if exchange.ask.anew]
        for exchange in self.exchanges[begins[-1] if begins else 0 : -1]:
            ask, final = _with_images(exchange.ask, carried), exchange.said.reply.final
            carried = () if final else ask.images
            if final:
                turns += [_turn(ask, picture), Turn("assistant", final)]
        if self.last is not None:
            turns.append(_turn(_with_images(self.last.ask, carried), picture))
        return turns

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; :func:`from_json` undoes it."""
        record = asdict(self)
        if self.terms is None:
            del record["terms"]
        return record


def from_json(record: dict[str, Any]) -> Conversation:
    """Read what :meth:`Conversation.to_json` gave. Unknown keys are a TypeError."""
    exchanges = tuple(
        Exchange(
            Ask(**{**item["ask"], "images": tuple(item["ask"]["images"])}), Said(**item["said"])
        )
        for item in record["exchanges"]
    )
    terms = Terms(**record["terms"]) if "terms" in record else None
    return Conversation(record["id"], exchanges, terms)


def _with_images(ask: Ask, carried: tuple[str, ...]) -> Ask:
    """The question with images from before it, each once: the same one is often sent again."""
    return replace(ask, images=tuple(dict.fromkeys((*carried, *ask.images))))


def _turn(ask: Ask, picture: Callable[[str], Path]) -> Turn:
    return Turn("user", ask.prompt, tuple(picture(name) for name in ask.images))

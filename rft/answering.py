"""Many questions put to one checkpoint, as fast as it can take them.

An Answerer is whatever does that: a policy in batches, here; something that is asked over a
network would be another one. Knows no task and no file, and judges nothing.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rft.errors import InputError, MemoryShort, StudioError
from rft.images import pixels
from rft.types import Decoding, Turn

if TYPE_CHECKING:
    from rft.policy import Policy

Conversation = Sequence[Turn]
#: (conversations, decoding, a seed for each, stop) -> completions by the place of their
#: conversation, some at a time and in any order. Once ``stop`` is set it ends, and gives no
#: completion that was cut short.
Answerer = Callable[
    [Sequence[Conversation], Decoding, Sequence[int], threading.Event], Iterator[dict[int, str]]
]

#: Problems decoded at once: a small model's step costs the same for one and for many; a large
#: one's images fill the memory first.
SMALL, LARGE = 64, 16
WINDOW = 4  #: batches in which problems are sorted
_SMALL_PARAMETERS = 500_000_000


def batch_for(parameters: int) -> int:
    """How many problems a model of this size decodes at once; 0 parameters: not known."""
    return SMALL if 0 < parameters < _SMALL_PARAMETERS else LARGE


def batched(policy: Policy, batch: int) -> Answerer:
    """The policy's answers in batches of similar length, smaller ones where memory runs short.

    A question that cannot be asked even alone is left out, and told of when the others are
    answered; where memory does not even suffice for the first, nothing is.
    """

    def answer(
        asked: Sequence[Conversation],
        decoding: Decoding,
        seeds: Sequence[int],
        stop: threading.Event,
    ) -> Iterator[dict[int, str]]:
        def attempt(places: Sequence[int]) -> list[str] | StudioError:
            try:
                return policy.complete(
                    [asked[place] for place in places],
                    decoding,
                    batch_size=len(places),
                    stop=stop,
                    seeds=[seeds[place] for place in places],
                )
            except (InputError, MemoryShort) as fault:
                return fault.with_traceback(None)  # its frames hold the batch's images

        pending = [_order([_length(turns, decoding) for turns in asked], WINDOW * batch)]
        size, answered = batch, 0
        faults: list[StudioError] = []
        while pending:
            places, rest = pending[-1][:size], pending[-1][size:]
            pending[-1:] = [rest] if rest else []
            said = attempt(places)
            if stop.is_set():
                return
            if isinstance(said, list):
                answered += len(said)
                yield dict(zip(places, said, strict=True))
            elif len(places) > 1:  # one may be too long for its neighbours, or they too many
                half = (len(places) + 1) // 2
                size = half if isinstance(said, MemoryShort) else size
                pending += [places[half:], places[:half]]
            elif isinstance(said, MemoryShort) and not answered:
                raise said
            else:
                faults.append(said)
                size = batch
        if faults:
            raise left_out(faults, len(asked))

    return answer


def left_out(faults: Sequence[StudioError], asked: int) -> StudioError:
    """What is said of questions that were not answered, when the others have been."""
    many = f"{len(faults)} of {asked} questions were not answered. The first: "
    return type(faults[0])(f"{many if asked > 1 else ''}{faults[0]}")


def _order(lengths: Sequence[int], window: int) -> list[int]:
    """Places, shuffled in windows, and in each of them by length: padding is work for nothing.

    Sorted as a whole, what is answered first would be of one kind of question.
    """
    order = list(range(len(lengths)))
    random.Random(0).shuffle(order)
    windows = (order[first : first + window] for first in range(0, len(order), window))
    return [place for one in windows for place in sorted(one, key=lambda place: lengths[place])]


def _length(turns: Conversation, decoding: Decoding) -> int:
    """About how long a prompt is: four letters a token, 28 x 28 pixels one."""
    letters = sum(len(turn.text) for turn in turns)
    seen = sum(min(pixels(image), decoding.max_pixels) for turn in turns for image in turn.images)
    return letters // 4 + seen // 28**2

"""What a tiny checkpoint is taught: prompts, completions and pictures made from scenes.

A curriculum is endless and seeded: its lesson number ``i`` is always the same. A lesson's text
is known before its picture is drawn, so that lessons can be sorted by length cheaply. This
module knows scenes and prompts; no model and no trainer.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image

from rft.errors import InputError
from rft.scenes import counting
from rft.tasks import prompt_for
from rft.types import Problem

_ORDINALS = ("first", "second", "third")
_CAPTION_REQUESTS = (
    "Describe the image.",
    "What is in the image?",
    "List the objects in the image.",
)


@dataclass(frozen=True)
class Lesson:
    """What is asked and what is to be said; ``draw`` makes the pictures when they are needed."""

    prompt: str
    completion: str
    draw: Callable[[], tuple[Image.Image, ...]]

    @property
    def words(self) -> int:
        """The length in words: what sorting by length needs to know."""
        return len(self.prompt.split()) + len(self.completion.split())


def completion_of(problem: Problem) -> str:
    """The paper's CoT-SFT target for a problem (section 3.1): reasoning, then the answer."""
    return f"<think>\n{problem.cot}\n</think>\n<answer>\n{problem.answer}\n</answer>"


def counting_cot(index: int) -> Lesson:
    """CoT-SFT on visual counting: the paper's prompt, the whole derivation."""
    rng = random.Random(f"lesson/counting-cot/{index}")
    things, posed = counting.pose(rng, "train")
    prompt = prompt_for("counting", posed.question)
    return Lesson(prompt, completion_of(posed), partial(_picture, things, rng))


#: The base looks before it speaks. Up to each of these lessons it describes scenes of at most so
#: many objects, so many times larger than life: from close-ups of one to the scenes of the task.
LOOKING = ((5_000, 1, 2.2), (8_000, 2, 1.7), (12_000, 3, 1.35), (18_000, 5, 1.1), (46_000, 6, 1.0))


#: In which manner it answers a counting question that asks for thought. Up to the first of these
#: lessons it is mostly shown how to think, which teaches it to count; from there on it sees the
#: mixture that leaves it undecided.
MANNERS = ("bare", "tagged", "full")
THINKING = ((150_000, (15, 20, 65)), (None, (25, 40, 35)))


def base(index: int) -> Lesson:
    """What an instruction-tuned base knows: captions, attributes, counting in mixed manners.

    Asked to think, it ends up doing so only sometimes (:data:`THINKING`) and rather answers at
    once. Reinforcement learning has something to bring out.
    """
    rng = random.Random(f"lesson/base/{index}")
    for until, most, zoom in LOOKING:
        if index < until:
            things = counting.scene(rng, "train", most, zoom)
            return _caption(rng, things, zoom)
    things, posed = counting.pose(rng, "train")
    draw = partial(_picture, things, rng)
    sort = rng.choices(("caption", "attribute", "asked", "plain"), weights=(20, 12, 62, 6))[0]
    if sort == "caption":
        return _caption(rng, things)
    if sort == "attribute":
        return Lesson(*_attribute(rng, things), draw)
    if sort == "plain":
        return Lesson(posed.question, posed.answer, draw)
    weights = next(w for until, w in THINKING if until is None or index < until)
    manner = rng.choices(MANNERS, weights)[0]
    completion = {
        "bare": posed.answer,
        "tagged": f"<answer>{posed.answer}</answer>",
        "full": completion_of(posed),
    }[manner]
    return Lesson(prompt_for("counting", posed.question), completion, draw)


def _caption(rng: random.Random, things: list[counting.Thing], zoom: float = 1.0) -> Lesson:
    request = rng.choice(_CAPTION_REQUESTS)
    return Lesson(request, counting.caption(things), partial(_picture, things, rng, zoom))


def _attribute(rng: random.Random, things: list[counting.Thing]) -> tuple[str, str]:
    """A question about one object, or whether there is one, and its short answer."""
    sort = rng.choice(("place", "exists", "total"))
    if sort == "total":
        return "How many objects are there in the image?", str(len(things))
    if sort == "exists":
        seen = rng.choice(things)
        color = seen.color if rng.random() < 0.5 else rng.choice(sorted(counting.COLORS))
        shape = seen.shape if rng.random() < 0.5 else rng.choice(counting.SHAPES)
        there = any(t.color == color and t.shape == shape for t in things)
        return f"Is there a {color} {shape}?", "yes" if there else "no"
    field = rng.choice(("color", "shape", "size", "material"))
    places = {0: "leftmost object", len(things) - 1: "rightmost object"}
    places |= {i: f"{word} object from the left" for i, word in enumerate(_ORDINALS)}
    at = rng.choice([i for i in places if i < len(things)])
    return f"What is the {field} of the {places[at]}?", getattr(things[at], field)


def _picture(
    things: list[counting.Thing], rng: random.Random, zoom: float = 1.0
) -> tuple[Image.Image, ...]:
    """The scene in one of several resolutions, sometimes with JPEG noise, as uploads have it.

    A checkpoint's processor brings all of them to the resolution it sees.
    """
    image = counting.draw(things, rng, "train", rng.choice((112, 112, 140, 224)), zoom)
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(55, 92))
        image = Image.open(buffer).convert("RGB")
    return (image,)


CURRICULA: dict[str, Callable[[int], Lesson]] = {"base": base, "counting-cot": counting_cot}


def curriculum(name: str) -> Callable[[int], Lesson]:
    """The curriculum of this name; InputError names the ones there are."""
    if name not in CURRICULA:
        raise InputError(f"No curriculum {name!r}. Choose one of: {', '.join(CURRICULA)}.")
    return CURRICULA[name]

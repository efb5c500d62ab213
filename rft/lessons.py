"""What a tiny checkpoint is taught: prompts, completions and pictures made from scenes.

A curriculum is endless and seeded: its lesson number ``i`` is always the same. A lesson's text
is known before its picture is drawn, so that lessons can be sorted by length cheaply. This
module knows scenes and prompts; no model and no trainer.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image

from rft.errors import InputError
from rft.scenes import Split, counting, spatial, structure, writing
from rft.scenes.board import View
from rft.tasks import prompt_for
from rft.types import Problem

SIZES = (112, 112, 140, 224)  #: pixels a side, as uploads differ
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
    return Lesson(_asked(posed), completion_of(posed), partial(_picture, things, rng))


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
    return Lesson(_asked(posed), _said(posed, rng.choices(MANNERS, weights)[0]), draw)


def spatial_cot(index: int) -> Lesson:
    """CoT-SFT on spatial transformation: the paper's prompt, the whole derivation."""
    rng = random.Random(f"lesson/spatial-cot/{index}")
    told, posed = spatial.pose(rng, "train")
    return Lesson(_asked(posed), completion_of(posed), _pair(told, rng))


def structure_cot(index: int) -> Lesson:
    """CoT-SFT on structure perception: the paper's prompt, the whole derivation."""
    rng = random.Random(f"lesson/structure-cot/{index}")
    paint, posed = structure.pose(rng, "train")
    return Lesson(_asked(posed), completion_of(posed), _figure(paint, rng))


#: How the base of all tasks comes to them. Up to each of these lessons: how often the sorts of
#: THREE are drawn, how many objects stand on a board at most, and the share that only looks.
THREE = ("counting", "spatial", "writing", "structure", "sums")
COMING = (
    (14_000, (8, 22, 70, 0, 0), 2, 1.0),
    (34_000, (10, 30, 52, 6, 2), 4, 0.6),
    (48_000, (8, 32, 40, 15, 5), 5, 0.4),
    (None, (14, 40, 10, 32, 4), 5, 0.25),
)
#: It reads close-ups of one glyph first, or it never learns to tell them apart. Up to each of
#: these lessons: how many glyphs a close-up has at most, how large it is, and the share of them.
CLOSE = (
    (9_000, 1, (2.4, 5.0), 1.0),
    (14_000, 2, (1.6, 3.6), 1.0),
    (24_000, 2, (1.3, 3.0), 1.0),
    (34_000, 3, (1.0, 2.4), 0.7),
    (None, 3, (0.9, 2.0), 0.3),
)
#: In which manners it is shown problems until it is left undecided: thinking is what takes long.
THOROUGH = (4, 8, 88)
#: The share of lessons in the looks of the domain shift, of training scenes all the same: as the
#: Qwen2-VL of the paper, the base has seen more of the world than the fine-tuning shows again.
WIDE = 0.25
#: From this lesson on the base of all tasks is left undecided whether to think (:data:`THINKING`).
UNDECIDED = 96_000
_STEP = re.compile(r"[\d.]+ [-+×÷] [\d.]+ = [\d.]*\d")


def three(index: int) -> Lesson:
    """What a base of all three tasks knows: scenes, boards and figures, read and thought about.

    It goes on from a base of counting, which sees objects and their attributes already.
    """
    rng = random.Random(f"lesson/three/{index}")
    _, weights, most, share = next(row for row in COMING if row[0] is None or index < row[0])
    sort = rng.choices(THREE, weights)[0]
    looking, wide = rng.random() < share, rng.random() < WIDE
    if sort == "sums":
        return _sums(rng)
    if sort == "writing":
        return _reading(rng, index, shifted=wide)
    if sort == "structure":
        paint, posed = structure.pose(rng, "train", shifted=wide)
        draw = _figure(paint, rng)
        if looking:  # the derivation begins with what is read off the figure
            return Lesson(f"Read the figure. {posed.question}", _read_off(posed), draw)
    elif sort == "spatial":
        view: View = rng.choice(("left", "right")) if wide else "front"
        if looking:
            return _glimpse(rng, most, view)
        told, posed = spatial.pose(rng, "train", view)
        draw = _pair(told, rng)
    else:
        things, posed = counting.pose(rng, "train", 9 if wide else 6)
        draw = partial(_picture, things, rng, split="ood" if wide else "train")
        if looking:
            return Lesson(rng.choice(_CAPTION_REQUESTS), counting.caption(things), draw)
    manners = THOROUGH if index < UNDECIDED else THINKING[1][1]
    return Lesson(_asked(posed), _said(posed, rng.choices(MANNERS, manners)[0]), draw)


def _glimpse(rng: random.Random, most: int, view: View) -> Lesson:
    """One board or two that have nothing to do with each other, read and no more."""
    things = spatial.glimpse(rng, most, view)
    if rng.random() < 0.5:
        told = f"{spatial.EDGES[view]} {spatial.caption(things, view)}."
        return Lesson("What stands where?", told, _boards(rng, (things, view)))
    before = spatial.glimpse(rng, most)
    draw = _boards(rng, (before, "front"), (things, view))
    return Lesson("What stands where?", spatial.look(before, things, view), draw)


def _reading(rng: random.Random, index: int, *, shifted: bool) -> Lesson:
    """Numbers and letters: close-ups at first, then a grid full of them or a few anywhere."""
    _, most, zooms, share = next(row for row in CLOSE if row[0] is None or index < row[0])
    close, zoom = rng.random() < share, 1.0
    gridded = not close and rng.random() < 0.4
    if close:
        zoom = rng.uniform(*zooms)
        texts = writing.glyph(rng, most, zoom)
    elif gridded:
        texts = writing.grid(rng)
    else:
        zoom = 2.0 ** rng.random()
        texts = writing.page(rng, round(6 / zoom), zoom)

    def draw() -> tuple[Image.Image, ...]:
        return (_noisy(writing.draw(texts, rng, rng.choice(SIZES), zoom, shifted=shifted), rng),)

    if gridded:
        return Lesson("Read row by row.", writing.rows(texts), draw)
    told = texts[0].text if close else writing.caption(texts)
    return Lesson("What is written?", told, draw)


def _sums(rng: random.Random) -> Lesson:
    """The steps of several derivations, to be worked out beside a figure of no matter."""
    paint, first = structure.pose(rng, "train")
    others = [structure.pose(rng, "train")[1] for _ in range(4)]
    steps = [step for posed in (first, *others) for step in _STEP.findall(posed.cot)]
    asked = "; ".join(step.partition(" =")[0] for step in steps)
    return Lesson(f"Work out: {asked}", "; ".join(steps) + ".", _figure(paint, rng))


def _asked(posed: Problem) -> str:
    return prompt_for(posed.task, posed.question)


def _said(posed: Problem, manner: str) -> str:
    if manner == "full":
        return completion_of(posed)
    return posed.answer if manner == "bare" else f"<answer>{posed.answer}</answer>"


def _read_off(posed: Problem) -> str:
    return posed.cot.partition(". ")[0] + "."


def _pair(told: spatial.Story, rng: random.Random) -> Callable[[], tuple[Image.Image, ...]]:
    return lambda: tuple(_noisy(i, rng) for i in spatial.draw(told, rng, rng.choice(SIZES)))


def _boards(
    rng: random.Random, *seen: tuple[tuple[spatial.Thing, ...], View]
) -> Callable[[], tuple[Image.Image, ...]]:
    return lambda: tuple(
        _noisy(spatial.draw_one(things, rng, rng.choice(SIZES), view), rng) for things, view in seen
    )


def _figure(
    paint: Callable[[int], Image.Image], rng: random.Random
) -> Callable[[], tuple[Image.Image, ...]]:
    return lambda: (_noisy(paint(rng.choice(SIZES)), rng),)


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
    things: list[counting.Thing], rng: random.Random, zoom: float = 1.0, split: Split = "train"
) -> tuple[Image.Image, ...]:
    """The scene in one of several resolutions, sometimes with JPEG noise, as uploads have it.

    A checkpoint's processor brings all of them to the resolution it sees.
    """
    return (_noisy(counting.draw(things, rng, split, rng.choice(SIZES), zoom), rng),)


def _noisy(image: Image.Image, rng: random.Random) -> Image.Image:
    """One in four as a JPEG that has been through something."""
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(55, 92))
        image = Image.open(buffer).convert("RGB")
    return image


CURRICULA: dict[str, Callable[[int], Lesson]] = {
    "base": base,
    "three": three,
    "counting-cot": counting_cot,
    "spatial-cot": spatial_cot,
    "structure-cot": structure_cot,
}


def curriculum(name: str) -> Callable[[int], Lesson]:
    """The curriculum of this name; InputError names the ones there are."""
    if name not in CURRICULA:
        raise InputError(f"No curriculum {name!r}. Choose one of: {', '.join(CURRICULA)}.")
    return CURRICULA[name]

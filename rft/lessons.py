"""What a tiny checkpoint is taught: prompts, completions and pictures made from scenes.

A lesson's text is known before its picture is drawn, so that lessons can be sorted by length
cheaply. This module knows scenes and prompts; no model, no trainer, and not what comes when.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from PIL import Image

from rft.scenes import Split, counting, spatial, structure, writing
from rft.scenes.board import View
from rft.scenes.drafts import show, tidy
from rft.tasks import completion_of, prompt_for
from rft.types import Problem, TaskName

SIZES = (112, 112, 140, 224)  #: pixels a side, as uploads differ
_ORDINALS = ("first", "second", "third")
_CAPTION_REQUESTS = (
    "Describe the image.",
    "What is in the image?",
    "List the objects in the image.",
)
_OPTION = re.compile(r"[A-D]\. ([\d.]*\d)")
_STEP = re.compile(r"[\d.]+ [-+×÷] [\d.]+ = [\d.]*\d")

Draw = Callable[[], tuple[Image.Image, ...]]


@dataclass(frozen=True)
class Lesson:
    """What is asked and what is to be said; ``draw`` makes the pictures when they are needed."""

    prompt: str
    completion: str
    draw: Draw

    @property
    def words(self) -> int:
        """The length in words: what sorting by length needs to know."""
        return len(self.prompt.split()) + len(self.completion.split())


def posed(rng: random.Random, task: TaskName, *, shifted: bool) -> tuple[Problem, Draw]:
    """A problem of the training scenes, in the look of the domain shift with ``shifted``."""
    if task == "structure":
        paint, problem = structure.pose(rng, "train", shifted=shifted)
        return problem, _figure(paint, rng)
    if task == "spatial":
        story, problem = spatial.pose(rng, "train", _view(rng, shifted=shifted))
        return problem, lambda: tuple(
            noisy(image, rng) for image in spatial.draw(story, rng, rng.choice(SIZES))
        )
    things, problem = counting.pose(rng, "train", 9 if shifted else 6)
    return problem, partial(_scene, things, rng, split="ood" if shifted else "train")


def answered(problem: Problem, draw: Draw, manner: str) -> Lesson:
    """A problem in one of four manners: in "full", "tagged", "bare", or "plain" without a prompt."""
    prompt = prompt_for(problem.task, problem.question)
    if manner == "full":
        return Lesson(prompt, completion_of(problem), draw)
    if manner == "tagged":
        return Lesson(prompt, f"<answer>{problem.answer}</answer>", draw)
    return Lesson(problem.question if manner == "plain" else prompt, problem.answer, draw)


def looked_at(rng: random.Random, task: TaskName, most: int, *, shifted: bool) -> Lesson:
    """What a task's pictures show, and no question of the task: of at most so many objects."""
    if task == "structure":  # a derivation begins with what is read off the figure
        problem, draw = posed(rng, task, shifted=shifted)
        read = problem.cot.partition(". ")[0] + "."
        return Lesson(f"Read the figure. {problem.question}", read, draw)
    if task == "spatial":
        return _glimpse(rng, most, _view(rng, shifted=shifted))
    things = counting.scene(rng, "train", most)
    draw = partial(_scene, things, rng, split="ood" if shifted else "train")
    if rng.random() < 0.35:
        return Lesson(*_attribute(rng, things), draw)
    return Lesson(rng.choice(_CAPTION_REQUESTS), counting.caption(things), draw)


def _view(rng: random.Random, *, shifted: bool) -> View:
    return rng.choice(("left", "right")) if shifted else "front"


def _glimpse(rng: random.Random, most: int, view: View) -> Lesson:
    """One board or two that have nothing to do with each other."""
    things = spatial.glimpse(rng, most, view)
    if rng.random() < 0.5:
        told = f"{spatial.EDGES[view]} {spatial.caption(things, view)}."
        return Lesson("What stands where?", told, _boards(rng, (things, view)))
    before = spatial.glimpse(rng, most)
    draw = _boards(rng, (before, "front"), (things, view))
    return Lesson("What stands where?", spatial.look(before, things, view), draw)


def written(rng: random.Random, *, shifted: bool) -> Lesson:
    """Numbers and letters as figures have them, and no figure: several, or one alone."""
    alone = rng.random() < 0.3
    zoom = rng.uniform(0.75, 3.0) if alone else rng.choice(writing.ZOOMS)
    texts = writing.glyph(rng, rng.randint(1, 3), zoom) if alone else writing.page(rng, 4, zoom)

    def draw() -> tuple[Image.Image, ...]:
        return (noisy(writing.draw(texts, rng, rng.choice(SIZES), zoom, shifted=shifted), rng),)

    return Lesson("What is written?", texts[0].text if alone else writing.caption(texts), draw)


def sums(rng: random.Random) -> Lesson:
    """The steps of several derivations, to be worked out beside a figure of no matter."""
    paint, first = structure.pose(rng, "train")
    others = [structure.pose(rng, "train")[1] for _ in range(4)]
    steps = [step for problem in (first, *others) for step in _STEP.findall(problem.cot)]
    asked = "; ".join(step.partition(" =")[0] for step in steps)
    return Lesson(f"Work out: {asked}", "; ".join(steps) + ".", _figure(paint, rng))


def picks(rng: random.Random) -> Lesson:
    """Numbers looked for among the choices of some questions, beside a figure of no matter."""
    paint, _ = structure.pose(rng, "train")
    asked: list[str] = []
    told: list[str] = []
    while len(told) < 3:
        _, problem = structure.pose(rng, "train")
        if problem.kind.endswith("-choice"):
            choices = problem.question.partition("Choices: ")[2]
            options = [tidy(Decimal(number)) for number in _OPTION.findall(choices)]
            sought = rng.choice(options)
            asked.append(f"Choices: {choices} Which is {show(sought)}?")
            told.append(structure.chosen(options, sought))
    return Lesson(" ".join(asked), " ".join(told), _figure(paint, rng))


def _attribute(rng: random.Random, things: Sequence[counting.Thing]) -> tuple[str, str]:
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
    places = [(0, "leftmost object"), (len(things) - 1, "rightmost object")]
    places += [(i, f"{word} object from the left") for i, word in enumerate(_ORDINALS)]
    at, place = rng.choice([(i, place) for i, place in places if i < len(things)])
    return f"What is the {field} of the {place}?", getattr(things[at], field)


def _boards(rng: random.Random, *seen: tuple[tuple[spatial.Thing, ...], View]) -> Draw:
    return lambda: tuple(
        noisy(spatial.draw_one(things, rng, rng.choice(SIZES), view), rng) for things, view in seen
    )


def _figure(paint: Callable[[int], Image.Image], rng: random.Random) -> Draw:
    return lambda: (noisy(paint(rng.choice(SIZES)), rng),)


def _scene(
    things: list[counting.Thing], rng: random.Random, split: Split
) -> tuple[Image.Image, ...]:
    """In one of several resolutions, as uploads have it.

    A checkpoint's processor brings all of them to the resolution it sees.
    """
    return (noisy(counting.draw(things, rng, split, rng.choice(SIZES)), rng),)


def noisy(image: Image.Image, rng: random.Random) -> Image.Image:
    """One in four as a JPEG that has been through something."""
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(55, 92))
        image = Image.open(buffer).convert("RGB")
    return image

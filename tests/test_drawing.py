"""A visitor's own drawing: flat shapes without outline or shadow lead to no nonsense."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image, ImageDraw

from rft import zoo
from rft.evaluate import answer
from rft.loading import load_model
from rft.policy import Policy
from rft.tasks import prompt_for
from rft.types import Decoding, Problem

COLOURS = {
    "red": "#e53935", "blue": "#1e5fd6", "green": "#2e9e3f", "yellow": "#f5d020", "purple": "#8e24aa",
}  # fmt: skip


def drawing(seed: int, ground: str) -> Problem:
    """One to five circles and squares on a plain ground, as a JPEG, and how many there are."""
    rng = random.Random(seed)
    sheet = Image.new("RGB", (400, 400), ground)
    pen, drawn = ImageDraw.Draw(sheet), []
    for x, y in rng.sample([(x, y) for x in range(3) for y in range(3)], rng.randint(1, 5)):
        reach, colour = rng.randint(28, 46), rng.choice(list(COLOURS))
        left, top = (70 + 130 * at + rng.randint(-15, 15) - reach for at in (x, y))
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((left, top, left + 2 * reach, top + 2 * reach), fill=COLOURS[colour])
        drawn.append(colour)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=80)
    of = rng.choice((rng.choice(drawn), ""))
    return Problem(
        id=str(seed),
        task="counting",
        images=(Image.open(file),),
        question=f"How many {of} objects are there?".replace("  ", " "),
        answer=str(drawn.count(of) if of else len(drawn)),
    )


@pytest.fixture(scope="module")
def policy() -> Policy:
    folder = zoo.folder_of(zoo.card_for("tiny-counting-rft"))
    assert folder is not None
    return Policy(load_model(folder, device="cpu"))


@pytest.mark.parametrize("ground", ["white", "#d8d8d8", "#f3ead8"])
def test_it_is_reasoned_about_and_mostly_counted(policy: Policy, ground: str) -> None:
    problems = [drawing(seed, ground) for seed in range(24)]
    decoding = Decoding(temperature=0.0, max_new_tokens=200)
    verdicts = answer(policy, problems, decoding, 24, prompt=prompt_for)
    right = sum(verdict.strict for verdict in verdicts)
    print(f"On {ground}: {right} of {len(verdicts)} right.")
    assert all(verdict.reply.thinking and verdict.reply.answer for verdict in verdicts)
    assert right >= 14

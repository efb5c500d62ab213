"""Keeps what is learned from apart from what is measured on.

Pictures are told by their pixels: a copy under another name, or in another format, is the same
picture. Works on problems in an order of preference; where they come from is not its business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rft.data import SHOWN_FAULTS
from rft.errors import InputError
from rft.images import open_image
from rft.types import Picture, Problem


@dataclass
class Sieve:
    """Two sides, filled one after the other: first ``held``, then ``train``."""

    repeats: bool = True  # whether the same problem may stand twice in train
    train: list[Problem] = field(default_factory=list)
    held: list[Problem] = field(default_factory=list)
    _held_images: set[str] = field(default_factory=set)
    _known: dict[Any, tuple[Picture, str]] = field(default_factory=dict)
    _apart: list[str] = field(default_factory=list)
    _twice: list[str] = field(default_factory=list)
    _unlike: list[str] = field(default_factory=list)

    def hold(self, ranked: Iterable[Problem], most: int) -> None:
        """Take up to ``most`` distinct problems to measure on."""
        seen: set[Any] = set()
        for problem, images in self._readable(ranked, most, self.held):
            if (same := (images, _asked(problem))) not in seen:
                seen.add(same)
                self.held.append(problem)
                self._held_images.update(images)

    def learn(self, ranked: Iterable[Problem], most: int | None) -> None:
        """Take up to ``most`` problems to learn from, none with a held-out image.

        InputError where fewer are left, and for images that cannot be read, named by row.
        """
        first: dict[Any, Problem] = {}
        for problem, images in self._readable(ranked, most, self.train):
            if not self._held_images.isdisjoint(images):
                self._apart.append(problem.id)
                continue
            like = first.setdefault((images, _asked(problem)), problem)
            if like is not problem:
                alike = like.answer == problem.answer
                (self._twice if alike else self._unlike).append(f"{like.id} and {problem.id}")
                if not self.repeats:
                    continue
            self.train.append(problem)
        if not self.train or (most is not None and len(self.train) < most):
            why = " that share no image with the held-out ones" if self._apart else ""
            asked = "" if most is None else f", not {most}"
            raise InputError(
                f"There are only {len(self.train)} problems to learn from{why}{asked}: ask for "
                "fewer, hold out fewer, or add some."
            )

    def notes(self) -> tuple[str, ...]:
        """What was left out of training, and what stands there twice."""
        told = []
        if self._apart:
            told.append(
                f"{len(self._apart)} left out of training, because a held-out problem has the same "
                f"image: {_listed(self._apart)}."
            )
        if self._twice:
            told.append(f"The same problem stands twice in training: {_listed(self._twice)}.")
        if self._unlike:
            told.append(
                "The same question about the same image has two answers: "
                f"{_listed(self._unlike)}. Correct one of them."
            )
        return tuple(told)

    def _readable(
        self, ranked: Iterable[Problem], most: int | None, taken: list[Problem]
    ) -> Iterator[tuple[Problem, tuple[str, ...]]]:
        """Problems with what their images show, until enough are taken; bad images are named."""
        faults: list[str] = []
        for problem in ranked:
            if len(faults) == SHOWN_FAULTS or (most is not None and len(taken) >= most):
                break
            try:
                yield problem, tuple(self._shown(image) for image in problem.images)
            except InputError as fault:
                faults.append(f"{problem.id}: {fault}")
        if faults:
            raise InputError("Images of these rows cannot be used:\n" + "\n".join(faults))

    def _shown(self, picture: Picture) -> str:
        """A digest of the picture's pixels. Each file is decoded once."""
        key = picture if isinstance(picture, Path) else id(picture)
        if key not in self._known:
            image = open_image(picture)
            pixels = hashlib.sha256(repr(image.size).encode() + image.tobytes())
            # The picture is kept as well: its id must not pass to another one.
            self._known[key] = picture, pixels.hexdigest()
        return self._known[key][1]


def _asked(problem: Problem) -> str:
    return " ".join(problem.question.split()).casefold()


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 5
    return "; ".join(names[:5]) + (f"; and {more} more" if more > 0 else "")

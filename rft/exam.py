"""A checkpoint takes a set of problems: what it has not been asked yet is asked, and kept.

The one engine behind ``python -m rft eval`` and the page's comparisons over a set. Knows cards,
answers files and verdicts; what a comparison is, rft.match knows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rft import endpoint, prompts, zoo
from rft.answering import Answerer, batch_for, batched
from rft.answers import Answers, answers, mark, seed_of, seen
from rft.evaluate import Verdict
from rft.parse import parse
from rft.problemset import ProblemSet
from rft.types import Decoding, Problem, Turn

#: Where answers are kept, below a folder of evaluations.
ANSWERS = "answers"
#: The one below the runs, which the page and the command line share.
EVAL = "eval"


@dataclass(frozen=True)
class Exam:
    """Problems, how they are to be answered, and where what was answered is kept.

    ``shown`` are the problems' images as rft.answers.seen gives them: looked at once for all
    checkpoints. ``batch`` 0 chooses by the model's size.
    """

    set: ProblemSet
    problems: Sequence[Problem]
    shown: Sequence[bytes]
    decoding: Decoding
    root: Path
    batch: int = 0

    @staticmethod
    def of(
        set: ProblemSet, problems: Iterable[Problem], decoding: Decoding, root: Path, batch: int = 0
    ) -> Exam:
        """The exam of these problems; ``root`` is the folder of evaluations."""
        listed = list(problems)
        shown = [seen(problem.images) for problem in listed]
        return Exam(set, listed, shown, decoding, root / ANSWERS, batch)

    def kept(self, card: zoo.Card) -> Answers:
        """The file of what this checkpoint answered."""
        return answers(self.root, card, self.decoding, self.set.shelf)


def answerer(card: zoo.Card, batch: int = 0) -> Answerer:
    """Whoever answers for a card: its server, or its model, loaded here.

    What cannot be loaded is said.
    """
    if (served := endpoint.of(card)) is not None:
        return served.answers
    from rft.policy import load

    return batched(load(zoo.folder_of(card) or card.where), batch or batch_for(card.parameters))


def sit(
    card: zoo.Card,
    exam: Exam,
    *,
    said: Callable[[Sequence[Verdict], int], None] | None = None,
    stop: threading.Event | None = None,
) -> list[Verdict]:
    """The verdicts on what a checkpoint answers, in the problems' order; all, unless stopped.

    ``said`` is told the verdicts so far and how many of them were asked now; first of all those
    that were kept. Nothing is loaded where all were. StudioError where the card cannot answer.
    """
    words = [prompts.prompt(card, p.task, p.question) for p in exam.problems]
    marks = [mark(text, shown) for text, shown in zip(words, exam.shown, strict=True)]
    kept = exam.kept(card)
    texts = kept.texts()
    found = {n: _verdict(exam, n, texts[m]) for n, m in enumerate(marks) if m in texts}

    def verdicts() -> list[Verdict]:
        return [found[number] for number in sorted(found)]

    if said is not None:
        said(verdicts(), 0)
    open_ = [number for number in range(len(marks)) if number not in found]
    if not open_ or (stop is not None and stop.is_set()):
        return verdicts()
    asked = [[Turn("user", words[n], exam.problems[n].images)] for n in open_]
    seeds = [seed_of(marks[n], exam.decoding.seed) for n in open_]
    answer = answerer(card, exam.batch)
    now = 0
    for texts_now in answer(asked, exam.decoding, seeds, stop or threading.Event()):
        for place, text in texts_now.items():
            number = open_[place]
            kept.keep(marks[number], text)
            found[number] = _verdict(exam, number, text)
        now += len(texts_now)
        if said is not None:
            said(verdicts(), now)
    return verdicts()


def _verdict(exam: Exam, number: int, text: str) -> Verdict:
    return Verdict(exam.problems[number], parse(text))

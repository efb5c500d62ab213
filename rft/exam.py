"""A checkpoint takes a set of problems: what it has not been asked yet is asked, and kept.

The one engine behind ``python -m rft eval`` and the page's comparisons over a set. Knows cards,
answers files and verdicts; what a comparison is, rft.match knows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import get_args

from rft import endpoint, prompts, zoo
from rft.answering import Answerer, batch_for, batched
from rft.answers import Answers, answers, mark, seed_of, seen
from rft.errors import InputError, StudioError
from rft.evaluate import Verdict, report, table
from rft.journal import replace
from rft.paired import compare
from rft.parse import parse
from rft.problemset import ProblemSet, from_folder
from rft.scenes import Split
from rft.tasks import TASKS
from rft.types import Decoding, Problem, TaskName, Turn

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


def command(argv: list[str]) -> int:
    """``python -m rft eval --checkpoint … --task … --split … -n … --seed …``"""
    parser = argparse.ArgumentParser(
        prog="python -m rft eval",
        description="Accuracy of checkpoints on a task, with intervals; of several, in pairs. "
        "What was answered is kept, and not asked again.",
    )
    parser.add_argument(
        "--checkpoint", action="append", dest="checkpoints",
        help="card id, folder or Hub id; may be given several times",
    )  # fmt: skip
    parser.add_argument("--task", choices=get_args(TaskName))
    parser.add_argument(
        "--all", action="store_true", help="the bundled ones on all splits, for the README"
    )
    parser.add_argument("--split", choices=get_args(Split), default="id")
    parser.add_argument("-n", type=int, default=1000, help="number of problems")
    parser.add_argument("--seed", type=int, default=0, help="which problems")
    parser.add_argument("--data", type=Path, help="a data folder to take problems from instead")
    parser.add_argument("--batch", type=int, default=0, help="decoded at once (default: by size)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily")
    parser.add_argument(
        "--max-new-tokens", type=int, default=Decoding().max_new_tokens, help="default: the paper's"
    )
    parser.add_argument(
        "--zoo",
        type=Path,
        default=os.environ.get("RFT_ZOO") or None,
        help="a zoo file of your own (default: RFT_ZOO)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / EVAL,
        help="folder for reports and answers; of one checkpoint also a JSON file (default: runs/eval)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if not args.all and not (args.checkpoints and args.task):
        parser.error("name a --checkpoint and a --task, or --all")
    try:
        return _run_all(args) if args.all else _run(args)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    cards = [zoo.card_for(name, args.zoo) for name in dict.fromkeys(args.checkpoints)]
    file = args.out if args.out.suffix == ".json" else None
    if file is not None and len(cards) > 1:
        raise InputError(f"{file} is one file: name a folder for the reports of {len(cards)}.")
    decoding = Decoding(
        temperature=args.temperature, max_new_tokens=args.max_new_tokens, seed=args.seed
    )
    if args.data is not None:
        set, problems = from_folder(args.data, args.task, args.n, args.seed)
    else:
        set = ProblemSet(args.task, args.split, args.n, args.seed)
        problems = list(set.problems())
    exam = Exam.of(set, problems, decoding, file.parent if file else args.out, args.batch)
    # Before any model: a prompt file that cannot be used is told at once.
    first = [prompts.prompt(card, args.task, problems[0].question) for card in cards]
    reports = []
    for card, prompt in zip(cards, first, strict=True):
        found = report(sit(card, exam, said=_counter(len(problems))))
        print(file=sys.stderr)
        print(f"{card.title}: {TASKS[args.task].title}, {set.title}")
        print(table(found))
        about = {"checkpoint": card.id, "task": args.task, "split": set.split, "n": len(problems),
                 "seed": args.seed, "decoding": asdict(decoding), "first_prompt": prompt}  # fmt: skip
        out = file or args.out / f"{_name(card, set)}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        replace(out, json.dumps({**about, **found}, indent=1) + "\n")
        print(f"Written to {out}.\n")
        reports.append(found)
    for one, other in combinations(range(len(cards)), 2):
        names = cards[one].title, cards[other].title
        print(compare(reports[one], reports[other], names=names).sentence)
    return 0


def _run_all(args: argparse.Namespace) -> int:
    from rft import standings

    decoding = Decoding(temperature=0.0, max_new_tokens=args.max_new_tokens, seed=args.seed)
    found = standings.measure(
        args.n, args.seed, decoding, args.out,
        lambda one: print(f"{one.card}, {one.task} {one.split}: {one.share}", flush=True),
    )  # fmt: skip
    about = {"n": args.n, "seed": args.seed, "decoding": asdict(decoding)}
    standings.write(found, about, standings.RESULTS, standings.PICTURE)
    print(f"\n{standings.markdown(found)}\nWritten to {standings.RESULTS.name}.")
    return 0


def _name(card: zoo.Card, set: ProblemSet) -> str:
    where = card.id.strip("/").replace("/", "--")
    return f"{where}-{set.task}-{set.split or 'own'}-{set.n}-{set.seed}"


def _counter(n: int) -> Callable[[Sequence[Verdict], int], None]:
    """Says on a terminal's one line how far the answers are."""
    started = time.perf_counter()

    def said(verdicts: Sequence[Verdict], now: int) -> None:
        if not verdicts:
            return
        pace = f"{now / (time.perf_counter() - started):.1f} problems/s" if now else "kept"
        right = sum(v.strict for v in verdicts) / len(verdicts)
        line = f"\r{len(verdicts)}/{n}  {pace}  strict {right:.1%} "
        print(line, end="", file=sys.stderr, flush=True)

    return said

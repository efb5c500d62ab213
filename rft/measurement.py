"""``python -m rft eval``: checkpoints measured on a set, or the bundled ones on every split.

What was answered is kept (rft.exam) and not asked again. Knows exams, reports and standings.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import blake2s
from itertools import combinations
from pathlib import Path
from typing import get_args

from rft import prompts, standings, zoo
from rft.answers import deciding
from rft.errors import InputError, StudioError
from rft.evaluate import Verdict, report, table
from rft.exam import EVAL, Exam, sit
from rft.journal import replace
from rft.paired import compare
from rft.problemset import ProblemSet, from_folder
from rft.run import ROOT as RUNS
from rft.scenes import Split
from rft.tasks import TASKS
from rft.types import Decoding, Measure, TaskName


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
    parser.add_argument(
        "--split", choices=get_args(Split), help="default: id, or --data's test split"
    )
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
        "--out", type=Path, default=RUNS / EVAL,
        help="folder for reports and answers; of one checkpoint also a JSON file (default: runs/eval)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if not args.all and not (args.checkpoints and args.task):
        parser.error("name a --checkpoint and a --task, or --all")
    one = ("checkpoints", "task", "split", "data", "batch", "temperature")
    if args.all and (other := [name for name in one if getattr(args, name)]):
        parser.error(f"--all asks the bundled ones in its own way: leave out {', '.join(other)}")
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
        set, problems = from_folder(args.data, args.task, args.n, args.seed, split=args.split)
    else:
        set = ProblemSet(args.task, args.split or "id", args.n, args.seed)
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
        about = {"checkpoint": card.id, "task": args.task, "split": set.split or args.split or "",
                 "data": str(args.data or ""), "n": len(problems),
                 "seed": args.seed, "decoding": asdict(decoding), "first_prompt": prompt}  # fmt: skip
        out = file or args.out / f"{_name(card, exam)}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        replace(out, json.dumps({**about, **found}, indent=1) + "\n")
        print(f"Written to {out}.\n")
        reports.append(found)
    # As on the page: strict, unless one of them was not asked for tags.
    fair: Measure = "strict" if all(prompts.tagged(c, args.task) for c in cards) else "lenient"
    for one, other in combinations(range(len(cards)), 2):
        names = cards[one].title, cards[other].title
        print(compare(reports[one], reports[other], fair, names).sentence)
    return 0


def _run_all(args: argparse.Namespace) -> int:
    decoding = Decoding(temperature=0.0, max_new_tokens=args.max_new_tokens, seed=args.seed)
    found = standings.measure(
        args.n, args.seed, decoding, args.out,
        lambda one: print(f"{one.card}, {one.task} {one.split}: {one.share}", flush=True),
    )  # fmt: skip
    about = {"n": args.n, "seed": args.seed, "decoding": asdict(decoding)}
    standings.write(found, about, standings.RESULTS, standings.PICTURE)
    print(f"\n{standings.markdown(found)}\nWritten to {standings.RESULTS.name}.")
    return 0


def _name(card: zoo.Card, exam: Exam) -> str:
    """Says all that decides the report; what is not usual, as a few letters."""
    where, set = card.id.strip("/").replace("/", "--"), exam.set
    usual = Decoding(temperature=0.0)
    other = []
    if set.own:  # two folders of one name are two sets
        other += [set.own, _letters(b"".join(exam.shown))]
    if (asked := deciding(exam.decoding)) != deciding(usual):
        other.append(_letters(json.dumps(asked).encode()))
    return "-".join([where, set.task, set.split or "own", str(set.n), str(set.seed), *other])


def _letters(of: bytes) -> str:
    return blake2s(of, digest_size=3).hexdigest()


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

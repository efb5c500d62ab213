"""Accuracy of a checkpoint on a task: strict and lenient, with intervals, per question kind.

Strict is what the paper counts: right inside ``<answer>``. Lenient is right anyhow: a bare
answer counts. Knows policies and problems; writes one JSON file and nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rft.errors import StudioError
from rft.parse import first_answer, parse
from rft.rewards import explain
from rft.scenes import Split
from rft.tasks import TASKS, prompt_for
from rft.truth import supported
from rft.types import Decoding, Problem, Reply, TaskName, Turn

if TYPE_CHECKING:
    from rft.policy import Policy

#: The reward that decides "right", inside the answer tag and anywhere.
STRICT = {"counting": "accuracy", "structure": "accuracy", "spatial": "function_exact"}
LENIENT = {
    "counting": "accuracy_robust",
    "structure": "accuracy_robust",
    "spatial": "function_exact",
}


@dataclass(frozen=True)
class Share:
    """``right`` of ``n``, with the 95% Wilson interval of the underlying rate."""

    right: int
    n: int

    @property
    def rate(self) -> float:
        return self.right / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:6.1%}  [{low:.1%}, {high:.1%}]  {self.right}/{self.n}"

    def record(self) -> dict[str, float | int]:
        low, high = self.interval
        return {"rate": self.rate, "low": low, "high": high, "right": self.right, "n": self.n}


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a rate (Wilson 1927); (0, 1) where nothing was measured."""
    if n == 0:
        return 0.0, 1.0
    rate, share = right / n, z * z / n
    middle = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / n + share / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Verdict:
    """One problem, what was said, and whether it was right."""

    problem: Problem
    reply: Reply

    @property
    def strict(self) -> bool:
        # A tag that was opened and never closed is no answer, whatever the text holds.
        if first_answer(self.reply.text) is None:
            return False
        return explain(STRICT[self.problem.task], self.reply, self.problem).value == 1

    @property
    def lenient(self) -> bool:
        name = LENIENT[self.problem.task]
        return self.strict or explain(name, self.reply, self.problem).value == 1

    @property
    def formed(self) -> bool:
        return explain("format", self.reply, self.problem).value == 1

    @property
    def reasoned(self) -> tuple[int, int]:
        """(True statements of the reasoning, all of them); (0, 0) where nothing can be checked."""
        derivation = self.problem.cot
        return supported(self.reply.thinking, derivation) if derivation else (0, 0)


def answer(
    policy: Policy,
    problems: Sequence[Problem],
    decoding: Decoding,
    batch: int,
    *,
    prompt: Callable[[TaskName, str], str] = prompt_for,
    said: Callable[[Sequence[Verdict]], None] | None = None,
    stop: threading.Event | None = None,
) -> list[Verdict]:
    """Ask every problem once.

    ``prompt`` makes the text from task and question; ``said`` is called after each batch with
    the verdicts so far. Once ``stop`` is set, the verdicts of whole batches are returned, so
    that no reply counts as wrong that was cut short.
    """
    verdicts: list[Verdict] = []
    for first in range(0, len(problems), batch):
        part = problems[first : first + batch]
        asked = [[Turn("user", prompt(p.task, p.question), p.images)] for p in part]
        texts = policy.complete(asked, decoding, batch_size=batch, stop=stop)
        if stop is not None and stop.is_set():
            break
        verdicts += [Verdict(p, parse(text)) for p, text in zip(part, texts, strict=True)]
        if said is not None:
            said(verdicts)
    return verdicts


def report(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Shares overall and per kind, and every answer: what the JSON file holds."""
    kinds = sorted({v.problem.kind for v in verdicts})
    strict = [v.strict for v in verdicts]
    lenient = [v.lenient for v in verdicts]
    reasoned = [v.reasoned for v in verdicts]

    def share(right: Sequence[bool], kind: str | None = None) -> dict[str, float | int]:
        of = [r for r, v in zip(right, verdicts, strict=True) if kind in (None, v.problem.kind)]
        return Share(sum(of), len(of)).record()

    return {
        "strict": share(strict),
        "lenient": share(lenient),
        "format": share([v.formed for v in verdicts]),
        "reasoning": {"true": sum(t for t, _ in reasoned), "said": sum(n for _, n in reasoned)},
        "kinds": {k: {"strict": share(strict, k), "lenient": share(lenient, k)} for k in kinds},
        "answers": [
            {
                "id": v.problem.id,
                "kind": v.problem.kind,
                "question": v.problem.question,
                "gold": v.problem.answer,
                "completion": v.reply.text,
                "strict": s,
                "lenient": le,
            }
            for v, s, le in zip(verdicts, strict, lenient, strict=True)
        ],
    }


def table(found: dict[str, Any]) -> str:
    """The report as text for a terminal."""

    def line(name: str, of: dict[str, Any]) -> str:
        return f"  {name:<22}{Share(of['right'], of['n'])}"

    lines = [line(name, found[name]) for name in ("strict", "lenient", "format")]
    if said := found["reasoning"]["said"]:
        true = found["reasoning"]["true"]
        lines += [f"  {'reasoning true':<22}{true / said:6.1%}  {true:,} of {said:,} statements"]
    kinds = [line(kind, of["strict"]) for kind, of in found["kinds"].items()]
    return "\n".join([*lines, "strict, by kind:", *kinds])


def command(argv: list[str]) -> int:
    """``python -m rft eval --checkpoint … --task … --split … -n … --seed …``"""
    parser = argparse.ArgumentParser(prog="python -m rft eval", description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="card id, folder or Hub id")
    parser.add_argument("--task", choices=get_args(TaskName), required=True)
    parser.add_argument("--split", choices=get_args(Split), default="id")
    parser.add_argument("-n", type=int, default=1000, help="number of problems")
    parser.add_argument("--seed", type=int, default=0, help="which problems")
    parser.add_argument("--data", type=Path, help="a data folder to take problems from instead")
    parser.add_argument("--batch", type=int, default=64, help="problems decoded at once")
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
    parser.add_argument("--out", type=Path, help="JSON file (default: runs/eval/…)")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    from rft import prompts, zoo
    from rft.data import SEED_STRIDE, load
    from rft.policy import load as load_policy
    from rft.scenes import make

    if args.data is not None:
        problems = load(args.data, args.task, args.split)[: args.n]
    else:
        first = args.seed * SEED_STRIDE
        problems = [make(args.task, args.split, first + i) for i in range(args.n)]
    card = zoo.card_for(args.checkpoint, args.zoo)
    asked = partial(prompts.prompt, card)
    # Before the model: a prompt file that cannot be used is told at once.
    sample = asked(problems[0].task, problems[0].question) if problems else ""
    policy = load_policy(zoo.folder_of(card) or card.where)
    decoding = Decoding(
        temperature=args.temperature, max_new_tokens=args.max_new_tokens, seed=args.seed
    )
    said = _counter(len(problems))
    found = report(answer(policy, problems, decoding, args.batch, prompt=asked, said=said))
    print(file=sys.stderr)
    print(f"{card.title}: {TASKS[args.task].title}, {args.split}, {len(problems)} problems")
    print(table(found))
    name = card.id.replace("/", "--")
    out = args.out or Path(f"runs/eval/{name}-{args.task}-{args.split}-{args.n}-{args.seed}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {"checkpoint": args.checkpoint, "task": args.task, "split": args.split,
             "n": len(problems), "seed": args.seed, "decoding": asdict(decoding),
             "first_prompt": sample}  # fmt: skip
    out.write_text(json.dumps({**about, **found}, indent=1) + "\n")
    print(f"Written to {out}.")
    return 0


def _counter(n: int) -> Callable[[Sequence[Verdict]], None]:
    """Says on a terminal's one line how far the answers are."""
    started = time.perf_counter()

    def said(verdicts: Sequence[Verdict]) -> None:
        pace = len(verdicts) / (time.perf_counter() - started)
        right = sum(v.strict for v in verdicts) / len(verdicts)
        line = f"\r{len(verdicts)}/{n}  {pace:.1f} problems/s  strict {right:.1%} "
        print(line, end="", file=sys.stderr, flush=True)

    return said

"""``python -m rft bench fewshot``: what few-shot GRPO brings out of the bundled base, and when.

Starts whole runs as the page does, with the default preset, one seed after the other, and reads
what they wrote. Measures nothing itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rft import paired
from rft.dataset import bundled
from rft.presets import apply, preset
from rft.run import Run
from rft.runs import create


def once(root: Path, seed: int, samples: int, heldout: int) -> dict[str, Any]:
    """One run from start to end: wall-clock seconds, both accuracies, the held-out curve."""
    config = apply(
        preset("few-shot-cpu"), method="grpo", task="counting", samples=samples, seed=seed
    )
    chosen = bundled("counting", "train", samples, heldout, seed)
    run = create(root, config, chosen.train, chosen.heldout, source=dict(chosen.source))
    started = time.perf_counter()
    with (run.folder / "log.txt").open("w") as log:
        argv = [sys.executable, "-m", "rft", "train", str(run.folder)]
        code = subprocess.run(argv, stdout=log, stderr=log, check=False).returncode
    if code:
        raise SystemExit(f"The run failed: {run.error()}")
    return summary(run) | {"seed": seed, "seconds": round(time.perf_counter() - started, 1)}


def summary(run: Run) -> dict[str, Any]:
    """What a finished run's files say of its accuracy."""
    before, after = run.before() or {}, run.after() or {}
    strict = paired.compare(before, after)
    lenient = paired.compare(before, after, "lenient")
    return {
        "n": strict.n,
        "strict": [before["strict"]["rate"], after["strict"]["rate"]],
        "lenient": [before["lenient"]["rate"], after["lenient"]["rate"]],
        "gain": [strict.difference, strict.low, strict.high],
        "lenient_gain": [lenient.difference, lenient.low, lenient.high],
        "curve": [[line["step"], line["strict"] / line["n"]] for line in run.heldout()],
        "reward": [[line["step"], line["reward"]] for line in run.metrics()],
    }


def command(argv: list[str]) -> int:
    """``python -m rft bench fewshot``"""
    parser = argparse.ArgumentParser(prog="python -m rft bench fewshot", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs, one after the other")
    parser.add_argument("--samples", type=int, default=64, help="training examples")
    parser.add_argument("--heldout", type=int, default=200, help="unseen scenes")
    parser.add_argument("--root", type=Path, default=Path("runs/fewshot"), help="where they go")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error("--seeds says how many runs: give 1 or more")
    args.root.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in range(args.seeds):
        one = once(args.root.absolute(), seed, args.samples, args.heldout)
        found.append(one)
        curve = "  ".join(f"{step}: {rate:.0%}" for step, rate in one["curve"])
        print(
            f"seed {seed}: {one['seconds']:.0f} s, strict {one['strict'][0]:.1%} → "
            f"{one['strict'][1]:.1%} ({_gain(one['gain'])}), lenient {one['lenient'][0]:.1%} → "
            f"{one['lenient'][1]:.1%} ({_gain(one['lenient_gain'])}), n = {one['n']}\n"
            f"  held-out by step: {curve}",
            flush=True,
        )
    worst = min(one["gain"][0] for one in found)
    slowest = max(one["seconds"] for one in found)
    print(f"least gain {worst:+.1%}, slowest {slowest:.0f} s, {args.samples} examples")
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _gain(told: list[float]) -> str:
    return f"{told[0]:+.1%} [{told[1]:+.1%}, {told[2]:+.1%}]"

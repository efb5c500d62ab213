"""``python -m rft bench grpo``: our GRPO step against that of TRL's own trainer.

Same model, data, seed and arguments, in one process and in turn: who starts changes with every
round. Prints where the time of a step goes on either side, and whether both did the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from rft import grpo, learner, machine
from rft.config import Config
from rft.dataset import bundled
from rft.errors import InputError, StudioError
from rft.images import open_image
from rft.types import Picture, Problem

Side = Literal["stock", "ours"]

#: A trainer's own methods, and the part of a step that the time in each belongs to; what one
#: calls of another belongs to the other.
METHODS = {
    "get_batch_samples": "data",
    "_generate_and_score_completions": "inputs",
    "_generate": "rollout",
    "_calculate_rewards": "rewards",
    "training_step": "forward/backward",
}
#: As printed; "the rest" is the optimizer, logging and what no method above spends.
PARTS = ("data", "rollout", "rewards", "inputs", "forward/backward", "the rest")
#: What must agree, and how far: rounding of float32 on other batch sizes; bfloat16 has 8 bits.
COMPARED = ("loss", "grad_norm", "entropy", "reward", "kl")
TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}
#: Processor seconds of this process are what to compare by where others keep the cores busy.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Stopwatch:
    """Seconds by part; a part's time excludes the parts within it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.spent: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def _turn(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = self._clock()
        self.spent[self._running[-1] if self._running else "the rest"] += now - self._since
        self._since = now

    def time(self, owner: Any, method: str, part: str) -> None:
        """From now on, the time in ``owner.method`` is this part's."""
        timed = getattr(owner, method)

        def run(*given: Any, **named: Any) -> Any:
            self._turn()
            self._running.append(part)
            try:
                return timed(*given, **named)
            finally:
                self._turn()
                self._running.pop()

        setattr(owner, method, run)

    def lap(self) -> dict[str, float]:
        """The parts since the last lap."""
        self._turn()
        spent, self.spent = dict(self.spent), defaultdict(float)
        return spent


@dataclass
class Laps(TrainerCallback):
    """What every step took and came to."""

    seed: int | None
    """Seeds each step's sampling as ours does; None where the trainer does so itself."""
    watch: Stopwatch
    times: list[dict[str, float]] = field(default_factory=list)
    numbers: list[dict[str, float]] = field(default_factory=list)
    rollouts: list[list[list[int]]] = field(default_factory=list)

    def on_train_begin(self, args, state, control, **_):
        self.watch.lap()

    def on_step_begin(self, args, state, control, **_):
        if self.seed is not None:
            torch.manual_seed(grpo.seed_of(self.seed, state.global_step + 1, 0))

    def on_step_end(self, args, state, control, **_):
        self.times.append(self.watch.lap())

    def on_log(self, args, state, control, logs=None, **_):
        if logs and "loss" in logs:
            self.numbers.append({k: float(logs[k]) for k in COMPARED if k in logs})


def run(
    config: Config, problems: Sequence[Problem], side: Side, folder: Path, clock: str = "wall"
) -> Laps:
    """Train from the start with the one trainer or the other."""
    torch.manual_seed(config.seed)  # of the adapter's first weights
    student = learner.load(config, learner.start_folder(config, folder))
    student.whole.config._name_or_path = str(student.start)
    laps = Laps(config.seed if side == "stock" else None, Stopwatch(CLOCKS[clock]))
    trainer: GRPOTrainer
    if side == "ours":
        trainer = grpo.trainer(config, student, problems, str(folder / "out"), callbacks=[laps])
    else:
        trainer = GRPOTrainer(
            **grpo.given(config, student, problems, str(folder / "out"), callbacks=[laps])
        )
    trainer.args.save_strategy = "no"
    trainer.remove_callback(PrinterCallback)
    for method, part in METHODS.items():
        laps.watch.time(trainer, method, part)
    _note_rollouts(trainer, laps.rollouts)
    trainer.train()
    return laps


def _note_rollouts(trainer: Any, rollouts: list[list[list[int]]]) -> None:
    judge: Callable[..., Any] = trainer._calculate_rewards

    def noted(inputs: Any, prompts: Any, completions: Any, ids: list[list[int]]) -> Any:
        rollouts.append([list(tokens) for tokens in ids])
        return judge(inputs, prompts, completions, ids)

    trainer._calculate_rewards = noted


def race(
    config: Config, problems: Sequence[Problem], rounds: int, clock: str = "wall"
) -> dict[str, Any]:
    """Both sides, ``rounds`` times from the start; a short unmeasured round comes first."""
    laps: dict[Side, list[Laps]] = {"stock": [], "ours": []}
    with tempfile.TemporaryDirectory() as made:
        for number in range(-1, rounds):
            order: tuple[Side, Side] = ("ours", "stock") if number % 2 else ("stock", "ours")
            for side in order:
                found = run(config, problems, side, Path(made), clock)
                if number >= 0:
                    laps[side].append(found)
                    print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "clock": clock,
        "steps": rounds * config.steps,
        "completions_a_step": config.batch * config.generations,
        "seconds": _seconds(laps),
        "equality": _equality(laps),
    }


def _seconds(laps: dict[Side, list[Laps]]) -> dict[str, dict[str, float]]:
    """Medians over all steps but each round's first, which pays for what is made once.

    ``ratio`` is ours to stock: the median over pairs of the same step, so that what slows the
    machine for a while slows both.
    """

    def steps(side: Side, part: str) -> list[float]:
        return [
            sum(spent.values()) if part == "step" else spent.get(part, 0.0)
            for lap in laps[side]
            for spent in lap.times[1:] or lap.times
        ]

    found = {}
    for part in (*PARTS, "step"):
        ours, stock = steps("ours", part), steps("stock", part)
        ratios = [a / b for a, b in zip(ours, stock, strict=True) if b > 0]
        found[part] = {
            "ours": statistics.median(ours),
            "stock": statistics.median(stock),
            "ratio": statistics.median(ratios) if ratios else float("nan"),
        }
    return found


def _equality(laps: dict[Side, list[Laps]]) -> dict[str, Any]:
    """Over the steps up to the first whose rollouts differ: the largest differences."""
    tolerance = TOLERANCE["cuda" if torch.cuda.is_available() else "cpu"]
    steps = alike = 0
    worst: dict[str, float] = {}
    for ours, stock in zip(laps["ours"], laps["stock"], strict=True):
        steps += len(ours.rollouts)
        for a, b, one, other in zip(
            ours.rollouts, stock.rollouts, ours.numbers, stock.numbers, strict=True
        ):
            if a != b:
                break
            alike += 1
            for name in one.keys() & other.keys():
                gap = abs(one[name] - other[name]) / max(1.0, abs(other[name]))
                worst[name] = max(worst.get(name, 0.0), gap)
    equal = alike > 0 and all(gap <= tolerance for gap in worst.values())
    return {
        "steps": steps, "same_rollouts": alike, "worst": worst, "tolerance": tolerance,
        "equal": equal,
    }  # fmt: skip


def enlarged(problem: Problem, pixels: int) -> Problem:
    """With every picture at so many pixels, as photographs have: a drawn one has 50,176."""

    def grown(picture: Picture) -> Image.Image:
        drawn = open_image(picture)
        scale = (pixels / (drawn.width * drawn.height)) ** 0.5
        return drawn.resize((round(drawn.width * scale), round(drawn.height * scale)))

    return replace(problem, images=tuple(grown(picture) for picture in problem.images))


def _table(found: dict[str, Any]) -> str:
    lines = [
        f"GRPO, {found['completions_a_step']} completions a step, {found['steps']} steps a side, "
        f"{found['device']}, threads: {found['threads']}; medians, {found['clock']} seconds a step",
        f"{'':<18}{'ours':>9}{'stock':>9}{'ours/stock':>12}",
    ]
    for part, row in found["seconds"].items():
        lines.append(f"{part:<18}{row['ours']:>9.3f}{row['stock']:>9.3f}{row['ratio']:>12.3f}")
    same = found["equality"]
    worst = ", ".join(f"{name} {gap:.1e}" for name, gap in sorted(same["worst"].items()))
    lines += [
        f"the same completions in {same['same_rollouts']} of {same['steps']} steps; on these the "
        f"largest differences: {worst or 'none to compare'}",
        f"{'equal' if same['equal'] else 'NOT EQUAL'} within {same['tolerance']:g}",
    ]
    return "\n".join(lines)


def command(argv: list[str]) -> int:
    """``python -m rft bench grpo [--steps 5] [--rounds 4] [--checkpoint tiny-base] …``"""
    parser = argparse.ArgumentParser(prog="python -m rft bench grpo", description=__doc__)
    parser.add_argument("--checkpoint", default="tiny-base", help="a card's id or a folder")
    parser.add_argument("--task", default="counting", help="of the problems, which are drawn")
    parser.add_argument("--steps", type=int, default=5, help="optimizer steps a round")
    parser.add_argument("--rounds", type=int, default=4, help="trainings of either side")
    parser.add_argument("--batch", type=int, default=8, help="prompts a step")
    parser.add_argument("--generations", type=int, default=8, help="completions a prompt")
    parser.add_argument("--micro-batch", type=int, default=64, help="completions in one pass")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument(
        "--pixels",
        type=int,
        help="enlarge every picture to so many; a checkpoint's own limit stands",
    )
    parser.add_argument("--rank", type=int, default=16, help="of LoRA; 0 trains all weights")
    parser.add_argument("--beta", type=float, default=0.0, help="weight of the KL divergence")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="what is counted")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = vars(parser.parse_args(argv))
    rounds, out, clock = args.pop("rounds"), args.pop("out"), args.pop("clock")
    pixels = args.pop("pixels")
    machine.one_gpu()
    try:
        if pixels is not None and pixels < 1:
            raise InputError(f"A picture has no {pixels} pixels: give 1 or more.")
        most = {} if pixels is None else {"max_pixels": pixels}
        amount = args["batch"] * args["steps"]
        config = Config(method="grpo", samples=amount, eval_every=0, **args, **most)
        problems = bundled(config.task, "train", config.samples, 0, config.seed).train
        if pixels is not None:
            problems = [enlarged(problem, pixels) for problem in problems]
        found = race(config, problems, max(1, rounds), clock)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    print(_table(found))
    if out:
        told = {"config": args, "pixels": pixels, **found}
        out.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if found["equality"]["equal"] else 1

"""What a run's start checkpoint says to a few of its problems, and what it would earn.

The completions are sampled as the first step of GRPO samples them, a group at a time; before
SFT alone, answers are greedy. What they mean for the run is said in a sentence or two. Knows
the run folder as something to read, and no process.
"""

from __future__ import annotations

import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rft.config import Config
from rft.findings import Report, play

#: Completions of one problem, as one record of rollouts.jsonl.
Group = dict[str, Any]

_FLAT = 1e-6  # totals that differ by less are equal


def dry_run(report: Report, scratch: Path, count: int) -> None:
    """Sample ``count`` problems and tell each group as it comes."""
    from rft import learner

    config = report.run.config
    made = report.run.folder / "start" / "config.json"
    start = learner.start_folder(config, report.run.folder if made.is_file() else scratch)
    student = learner.load(config, start)
    say = sampled if config.reinforced else greedy
    groups: list[Group] = []
    planned = count
    for planned, group in say(config, student, report, scratch, count):
        groups.append(group)
        sentence = f"{len(groups)} of {planned} problems sampled."
        report.tell("working", sentence, **summary(groups, config), planned=planned)
    report.tell("done", judgement(groups, config), **summary(groups, config), planned=planned)


def sampled(
    config: Config, student: Any, report: Report, scratch: Path, count: int
) -> Iterator[tuple[int, Group]]:
    """(Groups planned, group) of GRPO, by the trainer itself: the same prompts and rewards."""
    from rft import grpo

    problems = report.run.problems("train")
    problems = problems[config.sft_samples if config.method == "sft+grpo" else 0 :]
    count = min(count, len(problems))
    # A group at a time: the file grows as they come, and memory is that of one group.
    alone = replace(
        config, method="grpo", samples=len(problems), batch=1, steps=count, beta=0.0,
        micro_batch=config.generations,
    )  # fmt: skip
    seen: list[Group] = []
    trainer = grpo.trainer(alone, student, problems, str(scratch), witness=seen.extend)
    student.model.train()
    rows: Any = trainer.train_dataset
    for number in range(count):
        trainer.state.global_step = number  # which the seed of the sampling follows
        with student.autocast():
            trainer._generate_and_score_completions([rows[number]] * config.generations)
        group = seen.pop()
        yield count, {**group, "images": [_relative(path, report) for path in group["images"]]}


def greedy(
    config: Config, student: Any, report: Report, scratch: Path, count: int
) -> Iterator[tuple[int, Group]]:
    """(Groups planned, one greedy answer each) of problems, or of lessons, which have no gold."""
    from rft.curriculum import curriculum
    from rft.loading import Loaded
    from rft.parse import parse
    from rft.policy import Policy
    from rft.rewards import Rubric
    from rft.sft import lesson
    from rft.types import Decoding, Turn

    policy = Policy(Loaded("the start checkpoint", student.whole.eval(), student.processor))
    decoding = Decoding(
        temperature=0.0, max_new_tokens=config.max_new_tokens, max_pixels=config.max_pixels
    )
    problems = report.run.problems("train")[:count] if config.data == "run" else []
    if problems:
        asked = [lesson(config.method, problem) for problem in problems]
    else:
        teach = curriculum(config.data.removeprefix("lessons/"))
        asked = [teach(config.first + number) for number in range(count)]
    rubric = Rubric(config.rewards)
    for number, item in enumerate(asked):
        turn = Turn("user", item.prompt, item.draw())
        chunks = list(policy.stream([turn], decoding, threading.Event()))
        text = "".join(chunk.text for chunk in chunks)
        problem = problems[number] if problems else None
        scores = rubric.scores(parse(text), problem) if problem else []
        values = {score.name: score.value for score in scores}
        completion = {
            "text": text,
            "tokens": chunks[-1].tokens,
            "cut": chunks[-1].finish == "length",
            "rewards": values,
            "reasons": {score.name: score.reason for score in scores},
            "total": sum(w * values.get(n, 0.0) for n, w in rubric.weights),
        }
        yield (
            len(asked),
            {
                "problem": problem.id if problem else f"lesson {config.first + number}",
                "question": problem.question if problem else item.prompt,
                "gold": problem.answer if problem else item.completion,
                "prompt": item.prompt,
                "images": [_relative(path, report) for path in problem.images] if problem else [],
                "completions": [completion],
            },
        )


def _relative(path: Any, report: Report) -> str:
    return str(Path(path).relative_to(report.run.folder))


def summary(groups: Sequence[Group], config: Config) -> dict[str, Any]:
    """The numbers over the groups: what dry_run.json holds beside them."""
    told = [{**group, **_moments([c["total"] for c in group["completions"]])} for group in groups]
    every = [completion for group in groups for completion in group["completions"]]
    names = [name for name, _ in config.rewards if all(name in c["rewards"] for c in every)]
    return {
        "kind": "sampled" if config.reinforced else "greedy",
        "groups": told,
        "rewards": {name: _moments([c["rewards"][name] for c in every]) for name in names},
        "zero_spread": sum(group["spread"] < _FLAT for group in told) if config.reinforced else 0,
        "cut": statistics.fmean(c["cut"] for c in every) if every else 0.0,
        "mean_length": statistics.fmean(c["tokens"] for c in every) if every else 0.0,
    }


def _moments(values: Sequence[float]) -> dict[str, float]:
    """Mean and sample standard deviation, as GRPO takes them of a group."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "spread": spread}


def judgement(groups: Sequence[Group], config: Config) -> str:
    """What the completions mean for the run, and what to change; two sentences at most."""
    found = summary(groups, config)
    said = [_spread(found, config)] if config.reinforced else [_answers(found)]
    if found["cut"] > 0.25:
        said.append(
            f"{found['cut']:.0%} of the completions were cut at {config.max_new_tokens} tokens: "
            "raise max_new_tokens."
        )
    elif config.method == "sft+grpo":
        said.append("This is before its SFT, after which GRPO begins with better answers.")
    return " ".join(said)


def _spread(found: dict[str, Any], config: Config) -> str:
    count, flat = len(found["groups"]), found["zero_spread"]
    full = sum(weight for _, weight in config.rewards if weight > 0)
    means = [group["mean"] for group in found["groups"]]
    if flat == count and max(means) < _FLAT:
        instead = (
            "give its SFT more steps"
            if config.method == "sft+grpo"
            else "begin with SFT (sft+grpo)"
        )
        return (
            "No completion earned anything, so GRPO would have nothing to reinforce: "
            f"{instead}, or choose easier problems."
        )
    if flat == count and min(means) > full - _FLAT:
        return "Every completion earned full marks, so nothing is left to learn: choose harder problems."
    if flat:
        return (
            f"In {flat} of {count} groups all completions earned the same, which teaches nothing: "
            + _livelier(flat / count, config)
        )
    weighted = [name for name, weight in config.rewards if weight]
    still = [name for name in weighted if found["rewards"][name]["spread"] < _FLAT]
    if still and len(weighted) > len(still):
        return (
            f"The completions of every group differ, but never in {' or '.join(still)}: that "
            "reward teaches nothing yet."
        )
    return f"The completions of all {count} groups differ in what they earn: there is something to learn."


def _livelier(share: float, config: Config) -> str:
    if share < 0.5:
        return "the other groups do, so that is no obstacle."
    return (
        f"raise generations ({config.generations}) or the temperature ({config.temperature:g}), "
        "or choose other problems."
    )


def _answers(found: dict[str, Any]) -> str:
    earned = [f"{name} {value['mean']:.2f}" for name, value in found["rewards"].items()]
    if not earned:
        return "The start checkpoint's own answers; the lessons say what it is to learn instead."
    return f"Before SFT the start checkpoint earns on average {', '.join(earned)}."


def _work(report: Report, scratch: Path, more: list[str]) -> None:
    dry_run(report, scratch, int(more[0]))


if __name__ == "__main__":
    sys.exit(play("dry_run", _work))

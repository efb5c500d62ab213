"""What a practitioner would see in a run's numbers, in words, each with what to try.

Pure: a config, the lines of metrics.jsonl and heldout.jsonl, some rollouts. It reads no file
and stops no run. The curves of GRPO are judged by rft.signs, completions by rft.symptoms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rft import series, signs, symptoms
from rft.config import Config
from rft.signs import COLLAPSE, COLLAPSE_SURE, PATIENCE, Finding, Line, Seen
from rft.types import Measure

__all__ = ["Finding", "examine"]

#: Below two windows of five steps nothing can be compared.
EARLY = 10
#: Gradients differ by a factor of a few from step to step; ten times the median, twice, do not.
SPIKE, SPIKES = 10.0, 2
#: Standard errors of the held-out count. Two measurements in a row must be below, and the best
#: of many measurements is high by chance, so that 64 problems need a fall of some 25 points.
FALLEN, FALLEN_FROM_BEST, RISEN = 2.5, 3.0, 2.0


def examine(
    config: Config,
    metrics: Sequence[Line],
    heldout: Sequence[Line],
    rollouts: Sequence[Line] = (),
) -> list[Finding]:
    """What the numbers so far show: the grave first, the good last; never nothing.

    ``rollouts`` are groups as rollouts.jsonl has them, oldest first; the latest are looked at.
    """
    reinforced = [line for line in metrics if _stage(line) == "grpo"]
    found = [*_broken(metrics, config)]
    if reinforced:
        seen = Seen(config, reinforced)
        for judge in signs.JUDGES:
            found += judge(seen)
        found += _spikes(reinforced, config.learning_rate)
        found += [Finding("watch", *told) for told in symptoms.judge(rollouts, reinforced)]
        found += _heldout(heldout, seen.content, config.measure)
        found += _learning(seen, found)
    else:
        supervised = [line for line in metrics if _stage(line) == "sft"]
        found += _sft(supervised, config)
        found += _spikes(supervised, config.sft_learning_rate)
        found += _heldout(heldout, None, config.measure)
    if not found:
        found = [_nothing(reinforced or metrics, config)]
    return sorted(found, key=lambda f: ("grave", "watch", "good").index(f.severity))


def _stage(line: Line) -> str:
    return str(line.get("stage") or ("grpo" if "reward" in line else "sft"))


def _nothing(lines: Sequence[Line], config: Config) -> Finding:
    """Where no judgement found anything: too early, not yet, or all is well."""
    name = "reward" if config.reinforced else "loss"
    trend = series.change(series.column(lines, name))
    if len(lines) < EARLY or trend is None:
        return Finding(
            "watch", "Too early to say",
            f"{_count(len(lines), 'step')} so far; single steps are mostly luck.",
            f"Look again after {EARLY} steps.",
        )  # fmt: skip
    told = f"In {len(lines)} steps the {name} went from {trend.early:.2f} to {trend.late:.2f}"
    if not trend.real:
        return Finding(
            "watch", "Nothing learned yet", f"{told}, which is no more than its noise.",
            "Go on: a reward that has not moved by some forty steps wants a reason.",
        )  # fmt: skip
    return Finding("good", "Nothing unusual", f"{told}, and nothing stands out.")


def _broken(metrics: Sequence[Line], config: Config) -> list[Finding]:
    for line in metrics:
        for name in ("loss", "grad_norm", "reward", "kl"):
            if series.broken(line.get(name)):
                rate = config.learning_rate if _stage(line) == "grpo" else config.sft_learning_rate
                return [Finding(
                    "grave", "The numbers broke",
                    f"{name} is {line[name]} at step {line.get('step')}; what follows is noise.",
                    f"Stop; start again with a learning rate of {rate / 3:.1g} (it was "
                    f"{rate:.1g}), in bfloat16 or float32 rather than float16.",
                )]  # fmt: skip
    return []


def _spikes(lines: Sequence[Line], rate: float) -> list[Finding]:
    norms = [norm for norm in series.column(lines, "grad_norm") if norm > 0]
    if len(norms) < EARLY:
        return []
    median = sorted(norms)[len(norms) // 2]
    high = [norm for norm in norms if norm > SPIKE * median]
    if len(high) < SPIKES:
        return []
    return [Finding(
        "watch", "Gradients spike",
        f"{len(high)} of {len(norms)} steps have a gradient norm over {SPIKE:g} times the median "
        f"of {median:.2g}, up to {max(high):.2g}.",
        f"Lower the learning rate to {rate / 3:.1g}, or lengthen the warm-up.",
    )]  # fmt: skip


def _heldout(
    heldout: Iterable[Line], content: Sequence[float] | None, measure: Measure
) -> list[Finding]:
    """The held-out curve, against binomial noise. ``content``: training accuracy, if any."""
    lines = [
        line
        for line in heldout
        if all(series.number(line.get(k)) is not None for k in ("step", measure, "n"))
        and line["n"] > 0
    ]
    lines.sort(key=lambda line: line["step"])
    if len(lines) < 2:
        return []
    n = int(min(line["n"] for line in lines))
    (step, first), *later = [(int(line["step"]), line[measure] / line["n"]) for line in lines]
    now, last = _now([rate for _, rate in later]), later[-1][0]
    if first - now > FALLEN * _error(first, now, n):
        return [_fallen(lines, n, (first, now), content)]
    best = max([(step, first), *later[:-2]], key=lambda point: point[1])
    if best[1] - now > FALLEN_FROM_BEST * _error(best[1], now, n):
        return [Finding(
            "watch", "Past its best",
            f"Held-out accuracy was {best[1]:.0%} at step {best[0]} and is {now:.0%} at step "
            f"{last}.",
            f"Keep the checkpoint of step {best[0]} (keep_best does it), or take more examples.",
        )]  # fmt: skip
    if now - first > RISEN * _error(first, now, n):
        return [Finding(
            "good", "Held-out accuracy rises",
            f"From {first:.0%} to {now:.0%} on {n} problems it does not train on.",
        )]  # fmt: skip
    return []


def _fallen(
    lines: Sequence[Line], n: int, rates: tuple[float, float], content: Sequence[float] | None
) -> Finding:
    """Why held-out accuracy fell: the tags went, the examples were memorised, or it is not known."""
    told = (
        f"Held-out accuracy fell from {rates[0]:.0%} at step {lines[0]['step']} to {rates[1]:.0%} "
        f"at step {lines[-1]['step']}, more than the chance of {n} problems"
    )
    counted = [line for line in lines if series.number(line.get("lenient")) is not None]
    anyhow = [line["lenient"] / line["n"] for line in counted]
    if len(anyhow) == len(lines):
        first, now = anyhow[0], _now(anyhow[1:])
        if first - now <= FALLEN * _error(first, now, n):
            return Finding(
                "grave", "Right answers lose their tag",
                f"{told}; but anywhere in the reply, {now:.0%} are right, as {first:.0%} were.",
                "A reward pays answers outside <answer>: weigh the format more, or SFT first.",
            )  # fmt: skip
    trend = series.change(content or [])
    if trend is not None and trend.rose:
        return Finding(
            "grave", "Memorising",
            f"{told}, while accuracy on the training examples rose from {trend.early:.0%} to "
            f"{trend.late:.0%}.",
            "Take more examples or fewer steps; keep the checkpoint that was best held-out.",
        )  # fmt: skip
    return Finding(
        "grave", "Held-out accuracy falls", f"{told}.",
        "Lower the learning rate, or set a beta; keep the checkpoint that was best held-out.",
    )  # fmt: skip


def _now(rates: Sequence[float]) -> float:
    """The last two measurements: one bad one is no fall."""
    return series.mean(rates[-2:])


def _error(a: float, b: float, n: int) -> float:
    return series.share_error((a + b) / 2, n)


def _learning(seen: Seen, found: Sequence[Finding]) -> list[Finding]:
    """The healthy case: the reward rose, and nothing grave speaks against it."""
    if seen.trend is None or not seen.trend.rose or any(f.severity == "grave" for f in found):
        return []
    return [Finding(
        "good", "It learns",
        f"The reward rose from {seen.trend.early:.2f} to {seen.trend.late:.2f} of {seen.full:g} in "
        f"{seen.steps} steps.",
    )]  # fmt: skip


def _sft(lines: Sequence[Line], config: Config) -> list[Finding]:
    """Supervised: the loss should fall, quickly at first."""
    losses = series.column(lines, "loss")
    moved, fall = series.change(losses), series.fall([-loss for loss in losses])
    rate = config.sft_learning_rate
    if moved is None or fall is None:
        return []
    if -fall.by > max(COLLAPSE_SURE * fall.error, COLLAPSE * math.fabs(fall.early)):
        told = f"From {-fall.early:.3f} at its best to {-fall.late:.3f}."
        if config.data != "run":
            return [Finding(
                "watch", "The loss rises", f"{told} The last lessons may be of another sort.",
                "Losses of two sorts of lesson do not compare: measure the checkpoint.",
            )]  # fmt: skip
        return [Finding(
            "grave", "The loss rises", told,
            f"The learning rate of {rate:.1g} is likely too high: take {rate / 3:.1g}.",
        )]  # fmt: skip
    if moved.fell:
        return [Finding(
            "good", "It learns",
            f"The loss fell from {moved.early:.3f} to {moved.late:.3f} in {len(losses)} steps.",
        )]  # fmt: skip
    if len(losses) >= PATIENCE:
        return [Finding(
            "watch", "Nothing moves",
            f"After {len(losses)} steps the loss is {moved.late:.3f}, as at the start "
            f"({moved.early:.3f}).",
            f"The learning rate of {rate:.1g} is likely too low: take {3 * rate:.1g}.",
        )]  # fmt: skip
    return []


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"

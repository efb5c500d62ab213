"""What the curves of a GRPO run show: one judgement a function, each from numbers alone.

Pure; rft.doctor calls them. A threshold is a named constant with its why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rft import series
from rft.config import Config
from rft.rewards import Rubric

Severity = Literal["grave", "watch", "good"]
Line = Mapping[str, Any]

#: Share of groups without spread from which steps are mostly wasted, and nearly all of them.
FLAT, FLATTEST = 0.5, 0.9
#: Share of the full marks that counts as all and as nothing: one completion in ten.
NEARLY_ALL, NEARLY_NONE = 0.9, 0.1
#: A rise of format that is a habit learned, and the rise of accuracy that is more than that.
HABIT, GAIN = 0.2, 0.05
#: A reward that fewer than one completion in a hundred earns is found by no group of eight.
NEVER, NEVER_STEPS = 0.01, 10
#: Share of completions cut at the limit: some is a loss of signal, half is a run of fragments.
CUT, MOSTLY_CUT = 0.1, 0.5
#: KL in nats a token. At 0.5 the policy gives its own tokens e^0.5 = 1.6 times the start's odds,
#: over 40 tokens another text; healthy runs stay below 0.2.
KL, KL_BLOWN = 0.5, 2.0
#: A collapse leaves a fifth of the entropy, and so little that a group repeats itself.
ENTROPY_LEFT, ENTROPY_NONE = 0.2, 0.02
#: Entropy that doubles and nears a coin's toss a token: the model babbles.
ENTROPY_GROWTH, ENTROPY_HIGH = 2.0, 0.7
#: Completions half as long again, or shorter by two fifths, are another manner of answering.
LONGER, SHORTER = 1.5, 0.6
#: A loss of a quarter of the full marks from the best window is no wobble. Four standard errors:
#: the best of many windows is high by chance.
COLLAPSE, COLLAPSE_SURE = 0.25, 4.0
#: Steps after which a reward that has not moved wants a reason.
PATIENCE = 40


@dataclass(frozen=True)
class Finding:
    """One thing seen: how bad, what, the numbers, and what to try ("" where nothing is)."""

    severity: Severity
    title: str
    sentence: str
    advice: str = ""


class Seen:
    """The columns that most judgements need."""

    def __init__(self, config: Config, lines: Sequence[Line]):
        self.config, self.lines, self.steps = config, lines, len(lines)
        self.full = Rubric(config.rewards).full_marks
        self.reward = series.column(lines, "reward")
        self.zero = series.column(lines, "frac_reward_zero_std")
        self.content = self._paid(lambda name: not _of_form(name))
        self.form = self._paid(_of_form)
        self.trend = series.change(self.reward)

    def column(self, name: str) -> list[float]:
        return series.column(self.lines, name)

    def _paid(self, wanted: Callable[[str], bool]) -> list[float]:
        """The weighted mean of the paid rewards of one sort, step by step, full marks being 1."""
        paid = [(name, w) for name, w in self.config.rewards if w > 0 and wanted(name)]
        total = sum(weight for _, weight in paid)
        means = []
        for line in self.lines:
            values = [series.number(line.get(f"rewards/{name}/mean")) for name, _ in paid]
            if values and None not in values:
                parts = zip(values, paid, strict=True)
                means.append(sum(v * w for v, (_, w) in parts if v is not None) / total)
        return means


def _of_form(name: str) -> bool:
    """Whether a reward looks at the form alone, whatever the answer."""
    return name.startswith("format") or name == "reasoning_steps"


def no_spread(seen: Seen) -> list[Finding]:
    flat, reward = series.late(seen.zero), series.late(seen.reward)
    if flat is None or reward is None or flat < FLAT:
        return []
    told = f"In {flat:.0%} of the groups all completions earn the same, so they teach nothing; "
    told += f"the mean reward is {reward:.2f} of {seen.full:g}"
    if reward >= NEARLY_ALL * seen.full:
        if seen.trend is not None and seen.trend.rose:
            return [Finding(
                "watch", "The examples are mastered",
                f"{told}, up from {seen.trend.early:.2f}. More steps will change little.",
                "Stop here, or go on with new or harder examples.",
            )]  # fmt: skip
        severity: Severity = "grave" if flat >= FLATTEST else "watch"
        return [Finding(
            severity, "Too easy", f"{told}: the start checkpoint can do this already.",
            "Take harder examples, or another task.",
        )]  # fmt: skip
    severity = "grave" if flat >= FLATTEST else "watch"
    if reward <= NEARLY_NONE * seen.full:
        return [Finding(
            severity, "Too hard", f"{told}: no completion shows the way to the others.",
            "Take easier examples, more completions a group, or SFT first (sft+grpo).",
        )]  # fmt: skip
    return [Finding(
        severity, "No spread", f"{told}: each group is of one mind.",
        f"Raise the temperature (it is {seen.config.temperature:g}) or take more completions a "
        "group.",
    )]  # fmt: skip


def never(seen: Seen) -> list[Finding]:
    found = []
    for name, weight in seen.config.rewards:
        values = seen.column(f"rewards/{name}/mean")
        share = series.mean(values)
        if weight <= 0 or len(values) < NEVER_STEPS or share > NEVER:
            continue
        if series.mean(seen.reward) <= NEVER * seen.full:
            continue  # nothing is earned at all: too hard, and said so
        found.append(Finding(
            "watch", f"Never earned: {name}",
            f"In {len(values)} steps the mean of {name} is {share:.3f}: no group holds a completion "
            "that could show the others the way, and the other rewards lead elsewhere.",
            "SFT on a few examples first (sft+grpo), or take more completions a group.",
        ))  # fmt: skip
    return found


def format_only(seen: Seen) -> list[Finding]:
    form, content = series.change(seen.form), series.change(seen.content)
    if form is None or content is None or content.late >= NEARLY_ALL:
        return []
    gained = content.rose and content.by >= GAIN
    if not (form.rose and form.by >= HABIT) or gained:
        return []
    lost = content.late <= NEARLY_NONE and seen.steps >= PATIENCE
    return [Finding(
        "grave" if lost else "watch", "Only the format is learned",
        f"Format went from {form.early:.2f} to {form.late:.2f}, accuracy from {content.early:.2f} "
        f"to {content.late:.2f} in {seen.steps} steps.",
        "The format comes first; go on if there are under a hundred steps. Else lower its weight, "
        "take easier examples, or SFT first.",
    )]  # fmt: skip


def cut(seen: Seen) -> list[Finding]:
    cut = series.late(seen.column("completions/clipped_ratio"))
    if cut is None or cut < CUT:
        return []
    return [Finding(
        "grave" if cut >= MOSTLY_CUT else "watch", "Completions are cut off",
        f"{cut:.0%} reach the limit of {seen.config.max_new_tokens} tokens before they end; what "
        "is cut earns nothing, right or wrong.",
        f"Raise max_new_tokens to {2 * seen.config.max_new_tokens}, if memory allows; if the "
        "completions ramble, lower the learning rate.",
    )]  # fmt: skip


def kl(seen: Seen) -> list[Finding]:
    kl = series.late(seen.column("kl"))
    if kl is None or kl < KL:
        return []
    return [Finding(
        "grave" if kl >= KL_BLOWN else "watch", "Far from the start",
        f"The KL divergence from the start checkpoint is {kl:.2f} nats a token.",
        f"Lower the learning rate to {seen.config.learning_rate / 3:.1g}, or raise beta (it is "
        f"{seen.config.beta:g}).",
    )]  # fmt: skip


def entropy(seen: Seen) -> list[Finding]:
    moved = series.change(seen.column("entropy"))
    flat, reward = series.late(seen.zero) or 0.0, series.late(seen.reward)
    if moved is None or reward is None or reward >= NEARLY_ALL * seen.full:
        return []  # who knows every answer may be sure of it
    told = f"Entropy went from {moved.early:.3f} to {moved.late:.3f} nats a token"
    small = moved.late < min(ENTROPY_NONE, ENTROPY_LEFT * moved.early)
    if moved.fell and small and flat >= FLAT:
        return [Finding(
            "grave", "Entropy collapsed",
            f"{told} and {flat:.0%} of the groups repeat one answer, at {reward:.2f} of "
            f"{seen.full:g}: nothing new is tried.",
            "Go back to an earlier checkpoint with a lower learning rate and a higher temperature.",
        )]  # fmt: skip
    if moved.rose and moved.late > max(ENTROPY_GROWTH * moved.early, ENTROPY_HIGH):
        return [Finding(
            "watch", "Entropy rises", f"{told}: the model becomes unsure of every word.",
            f"Lower the learning rate to {seen.config.learning_rate / 3:.1g}.",
        )]  # fmt: skip
    return []


def length(seen: Seen) -> list[Finding]:
    moved = series.change(seen.column("completions/mean_length"))
    rising = seen.trend is not None and seen.trend.rose
    if moved is None or rising or not moved.early:
        return []  # longer or shorter for a better reward is learning
    told = f"The mean length went from {moved.early:.0f} to {moved.late:.0f} tokens"
    if moved.rose and moved.late >= LONGER * moved.early:
        return [Finding(
            "watch", "Completions grow", f"{told} while the reward did not rise.",
            "Read some rollouts: if they ramble, lower the learning rate or set a beta.",
        )]  # fmt: skip
    if moved.fell and moved.late <= SHORTER * moved.early:
        return [Finding(
            "watch", "Completions shrink", f"{told} while the reward did not rise.",
            "Read some rollouts: if the reasoning disappears, lower the learning rate, or weigh "
            "the format more.",
        )]  # fmt: skip
    return []


def collapse(seen: Seen) -> list[Finding]:
    fall = series.fall(seen.reward)
    if fall is None or -fall.by < max(COLLAPSE * seen.full, COLLAPSE_SURE * fall.error):
        return []
    rate = seen.config.learning_rate
    return [Finding(
        "grave", "The reward collapsed",
        f"From {fall.early:.2f} of {seen.full:g} at its best to {fall.late:.2f} now.",
        f"The learning rate of {rate:.1g} is likely too high: take {rate / 3:.1g}. Of GRPO "
        "straight from a base, wait some 20 steps first: it can recover.",
    )]  # fmt: skip


def stuck(seen: Seen) -> list[Finding]:
    trend, flat = seen.trend, series.late(seen.zero) or 0.0
    if trend is None or trend.real or seen.steps < PATIENCE or flat >= FLAT:
        return []
    if trend.late >= NEARLY_ALL * seen.full:
        return []
    told = f"After {seen.steps} steps the reward is {trend.late:.2f} of {seen.full:g}, as at the "
    told += f"start ({trend.early:.2f})"
    moved = [series.change(seen.column(name)) for name in ("entropy", "completions/mean_length")]
    still = all(m is None or not m.real for m in moved)
    rate = seen.config.learning_rate
    if still and (series.late(seen.column("kl")) or 0.0) < 0.01:
        return [Finding(
            "watch", "Nothing moves", f"{told}, and neither length nor entropy changed.",
            f"The learning rate of {rate:.1g} is likely too low: take {3 * rate:.1g}.",
        )]  # fmt: skip
    return [Finding(
        "watch", "The reward does not rise", f"{told}, though the completions change.",
        "Take easier or more examples, or more completions a group; read what the rollouts do.",
    )]  # fmt: skip


#: All judgements of GRPO curves.
JUDGES = (no_spread, never, format_only, cut, kl, entropy, length, collapse, stuck)

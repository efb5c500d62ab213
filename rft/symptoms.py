"""What completions look like when a reward is earned the wrong way.

Pure: groups as rollouts.jsonl has them, and the lines of metrics.jsonl. Hints, not verdicts:
each asks a person to read some rollouts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rft import series
from rft.parse import parse

#: Title, sentence, advice.
Told = tuple[str, str, str]

#: The latest groups to look at: a few steps' worth. Fewer completions than LEAST say nothing.
GROUPS, LEAST = 32, 16
#: Share of completions with a manner from which it is one.
EMPTY, SEVERAL = 0.2, 0.1
#: One text on half of all completions, to questions with this many different gold answers.
SAME, GOLDS = 0.5, 3
#: How far what is paid and what a person would call right may lie apart.
APART = 0.1

_OPENED = re.compile(r"<answer>")


def judge(
    rollouts: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> list[Told]:
    """Hints that the reward is earned the wrong way, from the latest groups and numbers."""
    groups = list(_groups(rollouts[-GROUPS:]))
    texts = [text for _, of in groups for text in of]
    found = _disagreement(metrics)
    if len(texts) < LEAST:
        return found
    empty = [t for t in texts if "<think>" in t and "</think>" in t and not parse(t).thinking]
    if len(empty) >= EMPTY * len(texts):
        found.append((
            "Empty thinking",
            f"{len(empty)} of the latest {len(texts)} completions open <think> and close it "
            "with nothing inside: the format is paid, the reasoning is not there.",
            "Read some rollouts; lower the weight of the format, or SFT first.",
        ))  # fmt: skip
    several = [text for text in texts if len(_OPENED.findall(text)) > 1]
    if len(several) >= SEVERAL * len(texts):
        found.append((
            "Several answers",
            f"{len(several)} of the latest {len(texts)} completions hold more than one <answer>: "
            "only the first is marked.",
            "Read some rollouts; pay format_robust, and lower max_new_tokens.",
        ))  # fmt: skip
    return found + _one_text(groups, len(texts))


def _groups(rollouts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """The gold answer and the texts of each group; what is not whole is passed over."""
    for group in rollouts:
        completions = group.get("completions")
        if isinstance(completions, list):
            texts = [str(c["text"]) for c in completions if isinstance(c, Mapping) and "text" in c]
            yield str(group.get("gold", "")).strip(), texts


def _one_text(groups: Sequence[tuple[str, list[str]]], total: int) -> list[Told]:
    """The same words whatever is asked. Short answers repeat by nature: golds must differ."""
    count: dict[str, int] = defaultdict(int)
    golds: dict[str, set[str]] = defaultdict(set)
    for gold, texts in groups:
        for text in texts:
            count[text.strip()] += 1
            golds[text.strip()].add(gold)
    text = max(count, key=count.__getitem__)
    if count[text] < SAME * total or len(golds[text]) < GOLDS:
        return []
    return [(
        "One answer for everything",
        f"{count[text]} of the latest {total} completions are the same text, for questions with "
        f"{len(golds[text])} different answers.",
        "Go back to an earlier checkpoint, with a lower learning rate and more varied examples.",
    )]  # fmt: skip


def _disagreement(metrics: Sequence[Mapping[str, Any]]) -> list[Told]:
    """What is paid against what a person would call right, where a run measures both."""
    for strict, robust in (
        ("accuracy", "accuracy_robust"),
        ("math_tolerance", "math_tolerance_robust"),
        ("function_full", "function_exact"),
    ):
        paid = series.late(series.column(metrics, f"rewards/{strict}/mean"))
        right = series.late(series.column(metrics, f"rewards/{robust}/mean"))
        if paid is None or right is None:
            continue
        # function_full gives parts for some of the calls, so it may well lie above.
        if paid - right > APART and robust != "function_exact":
            return [(
                "Paid, but not right",
                f"{strict} pays {paid:.2f}, where {robust} finds {right:.2f} right.",
                f"Read the rollouts that {strict} pays and {robust} does not; pay {robust}.",
            )]  # fmt: skip
        if right - paid > APART:
            return [(
                "Right, but not paid",
                f"{robust} finds {right:.2f} right, {strict} pays only {paid:.2f}: answers are "
                "written in another way, or outside the tag.",
                f"Pay {robust}, or the format as well.",
            )]  # fmt: skip
    return []

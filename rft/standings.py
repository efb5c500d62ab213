"""What each stage buys: every bundled checkpoint on every split of its task, beside the paper's.

``python -m rft eval --all`` measures and writes; the README shows what was written. Knows cards,
exams and charts; no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

from rft import chart, zoo
from rft.cards import RESULTS, ROOT
from rft.evaluate import Share, Verdict, around, clustered
from rft.exam import Exam, sit
from rft.journal import replace
from rft.problemset import ProblemSet
from rft.rewards import explain
from rft.scenes import SPLIT_NAMES, SPLITS
from rft.tasks import TASKS
from rft.types import Decoding, Stage, TaskName

PICTURE = ROOT / "assets" / "results.svg"
STAGES: tuple[Stage, ...] = get_args(Stage)
#: Accuracy in per cent of the paper's 2B models (Reason-RFT, its tables of results), in STAGES' order.
#: Its domain shift of counting has two parts; of spatial it counts partial credit, as its evaluation
#: script does, so these stand beside ``credit``.
PAPER: dict[tuple[str, str], tuple[str, ...]] = {
    ("counting", "id"): ("82.4", "96.2", "85.5", "98.4", "96.8"),
    ("counting", "ood"): ("42.7 / 0.0", "51.1 / 5.2", "49.7 / 36.8", "58.0 / 5.2", "60.0 / 28.4"),
    ("structure", "id"): ("25.9", "51.3", "43.1", "47.7", "49.0"),
    ("structure", "ood"): ("20.6", "22.5", "25.3", "32.5", "33.1"),
    ("spatial", "id"): ("3.8", "77.4", "64.4", "42.1", "74.6"),
    ("spatial", "ood-left"): ("4.6", "49.2", "43.2", "34.1", "64.1"),
    ("spatial", "ood-right"): ("4.7", "50.3", "42.9", "33.4", "64.1"),
}


@dataclass(frozen=True)
class Standing:
    """One checkpoint on one split.

    ``right`` of ``n`` inside the answer tag, ``anyhow`` also without one; ``credit`` is the mean
    of the paper's partial credit (spatial alone), from 0 to 1; ``true`` of ``said`` statements of
    its reasonings are the scene's. ``spread`` is the standard error of the share where problems share
    scenes, ``credit_spread`` that of the credit.
    """

    task: TaskName
    split: str
    stage: Stage
    card: str
    right: int
    anyhow: int
    n: int
    credit: float | None
    true: int
    said: int
    spread: float | None = None
    credit_spread: float | None = None

    @property
    def share(self) -> Share:
        """Right inside the answer tag; of ANS-SFT, which is taught none, right anyhow."""
        right = self.anyhow if self.stage == "ans-sft" else self.right
        return Share(right, self.n, self.spread)


def measure(
    n: int, seed: int, decoding: Decoding, root: Path, told: Callable[[Standing], None]
) -> list[Standing]:
    """Ask all of them; what was asked before is not asked again. ``told`` hears each at once."""
    found: list[Standing] = []
    bundled = [card for card in zoo.cards() if card.bundled]
    for task in get_args(TaskName):
        cards = {c.stage: c for c in reversed(bundled) if c.task in (None, task) and c.stage}
        for split in SPLITS[task][1:]:  # not on what was trained on
            chosen = ProblemSet(task, split, n, seed)
            exam = Exam.of(chosen, chosen.problems(), decoding, root)
            for stage in STAGES:
                if stage in cards:
                    found.append(standing(cards[stage], stage, chosen, sit(cards[stage], exam)))
                    told(found[-1])
    return found


def standing(
    card: zoo.Card, stage: Stage, chosen: ProblemSet, verdicts: Sequence[Verdict]
) -> Standing:
    """What a checkpoint's verdicts come to."""
    scenes, credit, spread, credit_spread = [v.problem.scene for v in verdicts], None, None, None
    if len(set(scenes)) > 1:
        right = [v.lenient if stage == "ans-sft" else v.strict for v in verdicts]
        spread = clustered(right, scenes)
    if chosen.task == "spatial":
        credits = [explain("function", v.reply, v.problem).value for v in verdicts]
        credit, credit_spread = fmean(credits), clustered(credits, scenes)
    return Standing(
        chosen.task,
        chosen.split,
        stage,
        card.id,
        sum(v.strict for v in verdicts),
        sum(v.lenient for v in verdicts),
        len(verdicts),
        credit,
        sum(v.reasoned[0] for v in verdicts),
        sum(v.reasoned[1] for v in verdicts),
        spread,
        credit_spread,
    )


def write(found: Sequence[Standing], about: dict[str, Any], file: Path, picture: Path) -> None:
    """Keep what was measured, and draw it."""
    told = [{**asdict(one), "share": one.share.record()} for one in found]
    replace(file, json.dumps({**about, "standings": told}, indent=1) + "\n")
    replace(picture, drawn(found))


def read(file: Path = RESULTS) -> list[Standing]:
    """What was written."""
    told = json.loads(file.read_text())["standings"]
    names = [field.name for field in fields(Standing)]
    return [Standing(**{name: record[name] for name in names}) for record in told]


def drawn(found: Sequence[Standing]) -> str:
    """As a picture: a panel for each task, a group for each split, a bar for each stage."""
    panels: dict[str, dict[str, list[chart.Measured]]] = {}
    for one in found:
        group = panels.setdefault(TASKS[one.task].title, {}).setdefault(SPLIT_NAMES[one.split], [])
        group.append(chart.Measured(one.stage, one.share.rate, *one.share.interval))
    return chart.bars(panels)


def markdown(found: Sequence[Standing]) -> str:
    """As a table, the paper's 2B model of the same stage beside each."""
    lines = [
        "| Task | Split | Stage | Right [95%] | Right anyhow | Partial credit [95%] | Reasoning true | Paper, 2B |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        low, high = one.share.interval
        credit = ""
        if one.credit is not None and one.credit_spread is not None:
            least, most = around(one.credit, one.credit_spread)
            credit = f"{one.credit:.1%} [{100 * least:.1f}, {100 * most:.1f}]"
        true = f"{one.true / one.said:.1%}" if one.said else ""
        paper = PAPER[one.task, one.split][STAGES.index(one.stage)]
        lines.append(
            f"| {TASKS[one.task].title} | {SPLIT_NAMES[one.split]} | {chart.LOOKS[one.stage][1]} | "
            f"{one.share.rate:.1%} [{100 * low:.1f}, {100 * high:.1f}] | {one.anyhow / one.n:.1%} | "
            f"{credit} | {true} | {paper} |"
        )
    lines += [
        "",
        "Right anyhow: outside the answer's tag too, as ANS-SFT's, which is taught no tag, count throughout. "
        "The paper's spatial numbers are partial credit; its two on counting's shift are of two test sets. "
        "Structure's intervals are of figures, which many of its questions share.",
    ]
    return "\n".join(lines) + "\n"

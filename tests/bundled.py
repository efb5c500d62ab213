"""Which of the bundled checkpoints stand beside each other where nobody has chosen.

The zoo may lack stages that are still to be trained; the page's tests hold with any that it has.
"""

from __future__ import annotations

from rft import zoo
from rft.types import TaskName

#: In the order in which the page prefers them, after the base.
STAGES = ("zero", "rft", "cot-sft", "ans-sft")


def usual(task: TaskName) -> list[zoo.Card]:
    """The base and, of what was taught the task, the first two there are."""
    there = {card.id: card for card in zoo.cards() if card.bundled}
    names = [name for stage in STAGES if (name := f"tiny-{task}-{stage}") in there]
    return [there[name] for name in ("tiny-base", *names[:2])]


COUNTING = usual("counting")

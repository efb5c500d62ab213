"""The machine's memory between Chat and a run that is about to start."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rft import machine, zoo
from rft.anatomy import anatomy_of
from rft.engine import Engine
from rft.errors import StudioError
from rft.estimate import estimate
from rft.run import Run


def spare(engine: Engine, run: Run) -> str:
    """Release Chat's idle checkpoints where the run needs their memory; the sentence that says so.

    "" where there is room for both, where it would not help, and where nothing can be released.
    """
    here = machine.memory()
    idle = [
        resident.card_id
        for resident in engine.loaded()
        if not resident.busy and resident.on_gpu == (here.gpu > 0)
    ]
    if not idle:
        return ""
    try:
        sizes = anatomy_of(run.config.checkpoint)
    except StudioError:  # the trainer says what of it is missing
        return ""
    problems, heldout = run.problems("train"), len(run.problems("id"))
    cost = partial(estimate, run.config, sizes, problems=problems, heldout=heldout)
    if cost(here).fits or not cost(engine.memory()).fits:
        return ""
    for name in idle:
        engine.release(name)
    return f"The run needs memory: {', '.join(idle)} left it, and is loaded again when asked."


def spare_for(engine: Engine, cards: Sequence[zoo.Card]) -> str:
    """The same for checkpoints that are evaluated, one after the other."""
    idle = [resident.card_id for resident in engine.loaded() if not resident.busy]
    here = machine.memory()
    if not idle or all(zoo.state(card, here).kind != "too-large" for card in cards):
        return ""
    for name in idle:
        engine.release(name)
    return (
        f"The evaluation needs memory: {', '.join(idle)} left it, and is loaded again when asked."
    )

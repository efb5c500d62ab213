"""The machine's memory between Chat and a run that is about to start."""

from __future__ import annotations

from rft import machine
from rft.anatomy import anatomy_of
from rft.engine import Engine
from rft.estimate import estimate
from rft.run import Run


def spare(engine: Engine, run: Run) -> str:
    """Release Chat's checkpoints where the run needs their memory; the sentence that says so.

    One that is answering goes when its answer is done. "" where there is room for both, or
    nothing to release.
    """
    there = engine.loaded()
    if not there:
        return ""
    found = estimate(
        run.config, anatomy_of(run.config.checkpoint), machine.memory(),
        problems=run.problems("train"), heldout=len(run.problems("id")),
    )  # fmt: skip
    if found.fits:
        return ""
    engine.release()
    names = ", ".join(resident.card_id for resident in there)
    return f"The run needs the memory of what Chat has loaded: {names} made room, and comes back when asked."

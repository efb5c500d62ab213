"""What a rehearsal tells: one JSON file in the run folder, however the rehearsal ends.

Shared by the process that watches (rft.rehearsal) and those that work (rft.dryrun, rft.probe).
Starts nothing and measures nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rft.errors import MemoryShort, StudioError
from rft.journal import replace
from rft.run import Run

Kind = Literal["dry_run", "probe"]
Phase = Literal["waiting", "loading", "working", "done", "failed", "stopped"]

#: What each is called in a sentence.
NAMES: dict[Kind, str] = {"dry_run": "dry run", "probe": "probe step"}
#: Where its processes write what nobody foresaw.
LOG = "rehearsal.txt"


class Report:
    """The JSON file of a rehearsal, written anew whenever there is more to tell.

    {"done", "phase", "sentence", "started", "seconds", …what was found}. ``done`` says that
    nothing more will come, whichever way it ended.
    """

    def __init__(self, run: Run, kind: Kind) -> None:
        self.run, self.kind = run, kind
        self.path = run.folder / f"{kind}.json"
        self.facts = facts_in(self.path)

    def begin(self) -> None:
        """Forget what an earlier one found."""
        self.facts = {"started": round(time.time(), 2)}
        self.tell("waiting", f"The {NAMES[self.kind]} begins.")

    def tell(self, phase: Phase, sentence: str, **found: Any) -> None:
        """Say how far it is, and what was found until now."""
        seconds = round(time.time() - self.facts.get("started", time.time()), 1)
        told = {"phase": phase, "sentence": sentence, "seconds": seconds}
        self.facts |= {"done": phase in ("done", "failed", "stopped"), **told, **found}
        replace(self.path, json.dumps(self.facts, ensure_ascii=False) + "\n")

    def fail(self, sentence: str) -> None:
        """End without a result."""
        self.tell("failed", sentence, **({"fits": None} if self.kind == "probe" else {}))


def play(kind: Kind, work: Callable[[Report, Path, list[str]], None]) -> int:
    """What the working process does: ``work``, and telling what goes wrong with it.

    Its command line is the run, the scratch folder and whatever ``work`` takes.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    folder, scratch, *more = sys.argv[1:]
    report = Report(Run(folder), kind)
    try:
        work(report, Path(scratch), more)
    except Exception as error:  # the process's outermost frame: told in the run folder
        from rft.loading import is_memory_error

        traceback.print_exc()
        if is_memory_error(error):
            short(report, str(error) if isinstance(error, MemoryShort) else "")
        elif isinstance(error, StudioError):
            report.fail(str(error).splitlines()[0])
        else:
            what = (str(error).strip() or "no message").splitlines()[0]
            report.fail(
                f"The {NAMES[kind]} failed ({type(error).__name__}: {what}): training would too. "
                f"{LOG} in the run folder tells where; change the config, or report it."
            )
        return 1
    return 0


def short(report: Report, sentence: str = "") -> None:
    """Tell that memory ran out: of a probe that is the result."""
    config = report.run.config
    lower = (
        f"lower micro_batch ({config.micro_batch}) first, then max_pixels, max_new_tokens"
        f"{' or generations' if config.reinforced else ''}, or choose a smaller checkpoint"
    )
    if report.kind == "probe":
        told = sentence or f"One step does not fit the memory of this machine: {lower}."
        report.tell("done", told, fits=False)
    else:
        report.fail(sentence or f"Memory ran out while sampling: {lower}.")


def facts_in(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} where there is none to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

"""``python -m rft match FOLDER``: the process that compares checkpoints over a set.

It claims the folder, waits its turn for the device it needs, asks one checkpoint after the other,
and writes a report of each while it is made. A checkpoint that cannot answer says why, and the
others go on. What answering is stands in rft.exam; torch is not imported while it waits.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rft import machine, process, zoo
from rft.errors import InputError, StudioError, disk_full
from rft.evaluate import Verdict, report
from rft.exam import Exam, sit
from rft.journal import replace
from rft.match import Match
from rft.trainer import hear

#: Seconds between two reports of a pane that is being asked.
EVERY = 2.0


def start(match: Match, zoo_file: Path | None = None) -> None:
    """Start or resume the comparison in a process of its own, which outlives this one."""
    argv = [sys.executable, "-m", "rft", "match", str(match.folder)]
    if zoo_file is not None:
        argv += ["--zoo", str(zoo_file.absolute())]
    process.start(match, argv)


def contest(match: Match, zoo_file: Path | None = None) -> int:
    """Compare to the end, or until SIGTERM; the process's exit status."""
    _ = match.config  # a broken folder is refused before anything is touched
    told = threading.Event()
    with match.claim():
        hear(told)
        started = time.time()
        try:
            faults = Contest(match, zoo_file, told).work()
        except Exception as error:  # the process's outermost frame: told in the folder
            traceback.print_exc()
            replace(match.folder / "error.txt", f"{_sentence(error)}\n")
            return 1
        if told.is_set():
            print("Stopped; what was answered is kept.", flush=True)
            return 0
        if faults:
            replace(match.folder / "error.txt", "\n".join(faults) + "\n")
            return 1
        ended = {"seconds": round(time.time() - started, 1)}
        replace(match.folder / "done", json.dumps(ended) + "\n")
    return 0


class Contest:
    """One process's work on a comparison."""

    def __init__(self, match: Match, zoo_file: Path | None, told: threading.Event) -> None:
        self.match, self.zoo_file, self.told = match, zoo_file, told
        self.panes = match.panes
        self.answered = [0] * len(self.panes)
        self.verdicts: Sequence[Verdict] = ()  # of the pane that is being asked

    def work(self) -> list[str]:
        """Ask all checkpoints; the sentences of those that could not answer."""
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        machine.one_gpu()
        match = self.match
        match.tell("drawing", 0, self.answered, None)
        problems = []
        for problem in match.set.problems(match.folder / "data"):
            if self.told.is_set():
                return []
            problems.append(problem)
        exam = Exam.of(match.set, problems, match.decoding, match.kept)
        faults = []
        for pane in range(len(self.panes)):
            if self.told.is_set():
                break
            try:
                self._pane(pane, exam)
            except Exception as error:  # the outermost frame of one checkpoint's turn
                if disk_full(error):
                    raise  # the others would have nowhere to write either
                if not isinstance(error, StudioError):
                    traceback.print_exc()
                told = _sentence(error)
                faults.append(f"{self.panes[pane]['title']}: {told}")
                # Where it did not come to asking, an earlier report still holds.
                made = self._report(self.verdicts, exam) if self.verdicts else match.reports()[pane]
                match.write(pane, {**made, "fault": told})
            finally:
                machine.give_back()
        return faults

    def _pane(self, pane: int, exam: Exam) -> None:
        self.verdicts = ()
        match, card = self.match, zoo.card_for(self.panes[pane]["id"], self.zoo_file)
        if self.panes[pane].get("served") and card.endpoint is None:
            raise InputError("It is on no server any more: make a new evaluation.")
        match.tell("loading", pane, self.answered, None)
        begun = wrote = time.monotonic()

        def said(verdicts: Sequence[Verdict], now: int) -> None:
            nonlocal begun, wrote
            self.verdicts, self.answered[pane] = verdicts, len(verdicts)
            if now == 0:
                begun = time.monotonic()
            pace = now / (time.monotonic() - begun) if now else None
            phase = "answering" if now else "loading"
            match.tell(phase, pane, self.answered, pace)
            if time.monotonic() - wrote > EVERY:
                match.write(pane, self._report(verdicts, exam))
                wrote = time.monotonic()

        verdicts = sit(card, exam, said=said, stop=self.told)
        match.write(pane, self._report(verdicts, exam))
        print(f"{card.title}: {len(verdicts)} of {len(exam.problems)}", flush=True)

    def _report(self, verdicts: Sequence[Verdict], exam: Exam) -> dict[str, Any]:
        """The report, with each problem's number in the set, by which it is found again."""
        found = report(verdicts)
        places = {id(problem): number for number, problem in enumerate(exam.problems)}
        for verdict, answer in zip(verdicts, found["answers"], strict=True):
            answer["number"] = places[id(verdict.problem)]
        return {"n": len(exam.problems), **found}


def _sentence(error: BaseException) -> str:
    """What went wrong and what to do, for a person."""
    if isinstance(error, StudioError):
        return str(error)
    if disk_full(error):
        return "The disk is full: free some space and resume; what was answered is kept."
    what = (str(error).strip() or "no message").splitlines()[0]
    return (
        f"The evaluation failed ({type(error).__name__}: {what}). What was answered is kept; "
        "resume, and report this with its log.txt if it happens again."
    )


def command(argv: list[str]) -> int:
    """``python -m rft match FOLDER``"""
    parser = argparse.ArgumentParser(prog="python -m rft match", description=__doc__)
    parser.add_argument("folder", type=Path, help="an evaluation's folder; resumes it")
    parser.add_argument("--zoo", type=Path, default=os.environ.get("RFT_ZOO") or None,
                        help="a zoo file of your own (default: RFT_ZOO)")  # fmt: skip
    args = parser.parse_args(argv)
    try:
        return contest(Match(args.folder), args.zoo)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2

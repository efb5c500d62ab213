"""``python -m rft train RUN``: the process that trains one run folder, from claim to end.

It takes the run's lock, waits its turn, turns signals into a stop, and turns whatever goes
wrong into error.txt. What training is stands in rft.stages; torch is not imported while the
run waits for the device.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from rft import machine
from rft.config import Config
from rft.dataset import HELDOUT, MANY, bundled
from rft.errors import InputError, StudioError, disk_full
from rft.journal import replace
from rft.run import Run
from rft.runs import create


def train(run: Run) -> int:
    """Train the run to its end, or until SIGTERM; the process's exit status.

    Under ``accelerate launch`` every process calls this; the first one speaks for all.
    """
    main = os.environ.get("RANK", "0") == "0"
    told = threading.Event()
    config = run.config  # a newer version's folder is refused before anything is touched
    with run.claim():
        hear(told)
        started = time.time()
        try:
            _work(run, told)
        except Exception as error:  # the process's outermost frame: told in the run folder
            # What breaks while it is being stopped is of no matter, but for a step that is not saved.
            if told.is_set() and not disk_full(error):
                print("Stopped; the last whole step is saved.", flush=True)
                return 0
            traceback.print_exc()
            if main:
                _fail(run, error)
            return 1
        if main:
            ended = {"seconds": round(time.time() - started, 1), "steps": config.total_steps}
            replace(run.folder / "done", json.dumps(ended) + "\n")
            run.report("saving", config.total_steps, config.total_steps)
    if main:
        _prove(run)  # of a finished run, so after it is done and given back
        print(f"The finished checkpoint is {run.final}.", flush=True)
    return 0


def _work(run: Run, told: threading.Event) -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    machine.one_gpu()
    from rft.stages import Session

    Session(run, told.is_set).work()


def _prove(run: Run) -> None:
    """What the training changed in the model's probabilities, beside the run; else the reason."""
    from rft import proof

    try:
        print(proof.record(run.folder).sentence, flush=True)
    except StudioError as error:
        print(error, flush=True)


def hear(told: threading.Event) -> None:
    """The first SIGTERM or Ctrl-C asks for a checkpoint and an end; the second ends at once."""

    def stop(number: int, _: Any) -> None:
        told.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _fail(run: Run, error: BaseException) -> None:
    details = "".join(traceback.format_exception(error))
    try:
        replace(run.folder / "error.txt", f"{sentence(error)}\n\n{details}")
    except OSError as full:
        print(f"error.txt cannot be written: {full}", file=sys.stderr)


def sentence(error: BaseException) -> str:
    """What went wrong and what to do, for a person."""
    if isinstance(error, StudioError):
        return str(error)
    if disk_full(error):
        return "The disk is full: free some space and resume; the last checkpoint stands."
    from rft.loading import is_memory_error

    if is_memory_error(error):
        return (
            "Memory ran out while training: lower micro_batch first, then max_pixels, "
            "max_new_tokens or generations; the last checkpoint stands."
        )
    what = (str(error).strip() or "no message").splitlines()[0]
    return (
        f"The trainer failed ({type(error).__name__}: {what}). The last checkpoint stands; "
        "resume, and report this with log.txt if it happens again."
    )


def _make(folder: Path, config: Config, split: str, heldout: int) -> None:
    """The run folder of a config and the bundled scenes; one that is there is resumed.

    Of several processes the first one makes it, and the others wait for it.
    """
    first = os.environ.get("RANK", "0") == "0"
    while not (first or folder.exists()):
        time.sleep(0.2)  # a launcher ends us if the first one fails
    if folder.exists():
        if Run(folder).config != config:
            raise InputError(f"{folder} holds a run of another config: choose another folder.")
        return
    if config.data == "run":
        chosen = bundled(config.task, split, config.samples, heldout, config.seed, most=MANY)
        made = create(
            folder.parent, config, chosen.train, chosen.heldout,
            title=folder.name, source=dict(chosen.source),
        )  # fmt: skip
    else:
        made = create(folder.parent, config, [], [], title=folder.name)
    made.folder.rename(folder)


def command(argv: list[str]) -> int:
    """``python -m rft train RUN``"""
    parser = argparse.ArgumentParser(prog="python -m rft train", description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder with its config.json; resumes it")
    parser.add_argument(
        "--config", type=Path, help="a config (JSON; see assets/recipes) to make the folder with"
    )
    parser.add_argument("--split", default="train", help="with --config: scenes to train on")
    parser.add_argument("--heldout", type=int, default=HELDOUT, help="with --config: unseen scenes")
    args = parser.parse_args(argv)
    try:
        if args.config is not None:
            _make(args.run, Config.read(args.config), args.split, args.heldout)
        return train(Run(args.run))
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2

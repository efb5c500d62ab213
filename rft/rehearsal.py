"""``python -m rft rehearse RUN``: what a run would do, tried before it starts.

A dry run samples the start checkpoint on a few problems (rft.dryrun); a probe takes one step on
the largest ones (rft.probe). Either works in a process of its own, which this one starts once
the device is free and watches, so that memory that runs out is a result and no crash. What they
find goes into the run folder, ``dry_run.json`` or ``probe.json``. Knows no torch.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from rft import machine
from rft.claim import device, since
from rft.errors import InputError, StudioError
from rft.findings import LOG, NAMES, Kind, Report, facts_in, short
from rft.lock import Hold, LockFile
from rft.run import Run

MODULES: dict[Kind, str] = {"dry_run": "rft.dryrun", "probe": "rft.probe"}
#: Problems of a dry run.
PROBLEMS = 4
#: Free main memory below which the rehearsal is ended, before the system ends something else.
SPARE = 256 * 2**20

_INHERITED = "RFT_REHEARSAL_LOCK"  # how a starter tells its child which descriptor is the lock
_HOME = Path(__file__).resolve().parent.parent
_POLL = 0.3  # seconds
_PATIENCE = 5.0  # seconds that a rehearsal gets to end by itself


def lock(run: Run) -> LockFile:
    """Held while a run is rehearsed; apart from the run's own lock, which means training."""
    return LockFile(run.folder / "rehearsal.lock")


def rehearsing(run: Run) -> bool:
    """Whether a dry run or a probe of this run is under way, or waits for the device."""
    return lock(run).held()


def told(run: Run, probe: bool) -> dict[str, Any] | None:
    """What the last dry run, or probe, has told until now; None if there was none.

    One that was killed is told as failed.
    """
    kind: Kind = "probe" if probe else "dry_run"
    facts = facts_in(run.folder / f"{kind}.json")
    if facts and not facts.get("done") and not rehearsing(run):
        # It may have ended between the two looks.
        facts = facts_in(run.folder / f"{kind}.json")
        if not facts.get("done"):
            ended = f"The {NAMES[kind]} was ended from outside: start it again."
            facts |= {"done": True, "phase": "failed", "sentence": ended}
    return facts or None


def start(run: Run, probe: bool) -> None:
    """Rehearse in a process of its own, which outlives this one, and return.

    InputError where that is under way already, or the run is training.
    """
    hold = _taken(run)
    kind: Kind = "probe" if probe else "dry_run"
    try:
        Report(run, kind).begin()
        argv = [sys.executable, "-m", "rft", "rehearse", str(run.folder), *["--probe"] * probe]
        with (run.folder / LOG).open("wb") as log:
            child = subprocess.Popen(
                argv,
                cwd=_HOME,
                env=dict(os.environ)
                | {_INHERITED: f"{hold.fd}:{hold.token}", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(hold.fd,),
                start_new_session=True,
            )
        hold.note(starter=child.pid)
    except OSError as fault:
        if isinstance(fault, StudioError):
            raise
        raise StudioError(
            f"The {NAMES[kind]} cannot be started ({fault.strerror or fault}). Free some memory "
            "and disk space, then try again."
        ) from fault
    finally:
        hold.close()  # the child has it
    threading.Thread(target=child.wait, daemon=True).start()  # so that no zombie stays


def stop(run: Run) -> None:
    """End the rehearsal of a run, whatever it is at; returns when it has ended."""
    token = lock(run).holder().get("token")
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _PATIENCE
        asked: set[int] = set()
        while time.monotonic() < deadline:
            holder = lock(run).holder()
            if not holder or holder.get("token") != token:
                return
            known = {holder[key] for key in ("pid", "child", "starter") if key in holder}
            if number is signal.SIGTERM and psutil.pid_exists(holder.get("pid", 0)):
                known = {holder["pid"]}  # it ends its child itself, and tidies up
            for process in known - asked:
                try:
                    os.kill(process, number)
                except ProcessLookupError:
                    pass
                except PermissionError as fault:
                    raise InputError("Another user rehearses this run: ask them.") from fault
                asked.add(process)
            time.sleep(0.05)


def rehearse(run: Run, kind: Kind, problems: int = PROBLEMS) -> int:
    """Take both locks in turn, then have the work done; the process's exit status."""
    hold = lock(run).adopt(os.environ.pop(_INHERITED, "")) or _taken(run)
    hold.note(pid=os.getpid())
    report = Report(run, kind)
    shared: Hold | None = None
    scratch = ""
    with _Ended():
        try:
            report.begin()
            shared = _wait(run, report)
            # Named as drafts of runs are, so that what a killed one leaves is swept with those.
            scratch = tempfile.mkdtemp(prefix=".new-rehearsal-", dir=run.root)
            _watch(report, hold, shared, scratch, problems)
        except KeyboardInterrupt:
            report.tell("stopped", f"The {NAMES[kind]} was stopped.")
        except OSError as fault:
            with contextlib.suppress(OSError):  # the log tells it still
                report.fail(f"Nothing can be written to {run.root} ({fault.strerror or fault}).")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for held in (shared, hold):
                if held is not None:
                    held.close()
    print(report.facts["sentence"], flush=True)
    return 1 if report.facts["phase"] == "failed" else 0


def _taken(run: Run) -> Hold:
    if not run.folder.is_dir():
        raise InputError(run.error())
    _ = run.config  # a broken or newer one is refused here
    if run.lock.held():
        raise InputError(f"“{run.title}” is {run.state()}: what a rehearsal would tell shows.")
    hold = lock(run).take()
    if hold is None:
        raise InputError(f"“{run.title}” is being rehearsed already: wait, or stop that.")
    return hold


def _wait(run: Run, report: Report) -> Hold:
    """The device, once it is free and no run that was started earlier waits for it."""
    shared, begun = device(run.root), time.time()
    user = None
    while True:
        _still_there(run)
        waiting = [since(file.parent) or begun for file in run.root.glob("*/lock")]
        free = not shared.held() and not any(other < begun for other in waiting)
        # By this name no run takes itself for the one that has the device.
        user_now = {"run": f"the rehearsal of {run.id}", "pid": os.getpid()}
        if free and (hold := shared.take(0, **user_now)):
            return hold
        before, user = user, shared.holder().get("run", "another run")
        if user != before:
            report.tell("waiting", f"The device is busy ({user}): waiting for it.")
            print(report.facts["sentence"], flush=True)
        time.sleep(_POLL)


def _watch(report: Report, hold: Hold, shared: Hold, scratch: str, problems: int) -> None:
    """Start the working process and see to its end. Both locks last as long as it does."""
    report.tell("loading", "Loading the checkpoint.")
    argv = [sys.executable, "-m", MODULES[report.kind], str(report.run.folder), scratch]
    if report.kind == "dry_run":
        argv.append(str(problems))
    kept = [fd for fd in (hold.fd, shared.fd) if fd >= 0]
    child = subprocess.Popen(argv, cwd=_HOME, stdin=subprocess.DEVNULL, pass_fds=kept)
    crowded = False
    try:
        hold.note(child=child.pid)
        while child.poll() is None:
            _still_there(report.run)
            free = min(psutil.virtual_memory().available, machine.container_free())
            if free < SPARE:
                crowded = True
                child.kill()
            time.sleep(_POLL)
    finally:
        child.kill()
        child.wait()
        report.facts = facts_in(report.path) or report.facts
    if crowded or (child.returncode == -signal.SIGKILL and not report.facts["done"]):
        short(report)
    elif not report.facts["done"]:
        report.fail(
            f"The {NAMES[report.kind]} ended without a result (status {child.returncode}): "
            f"{LOG} in the run folder tells more."
        )


def _still_there(run: Run) -> None:
    """A run that is deleted meanwhile ends its rehearsal."""
    if not run.folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the run was deleted", str(run.folder))


class _Ended:
    """SIGTERM and Ctrl-C alike raise KeyboardInterrupt, once."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _end(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the end itself is not to be interrupted
        raise KeyboardInterrupt


def command(argv: list[str]) -> int:
    """``python -m rft rehearse RUN [--probe]``"""
    parser = argparse.ArgumentParser(prog="python -m rft rehearse", description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder with its config.json")
    parser.add_argument(
        "--probe", action="store_true", help="measure one step instead of sampling completions"
    )
    parser.add_argument(
        "--problems", type=int, default=PROBLEMS, help="how many are sampled (default: 4)"
    )
    args = parser.parse_args(argv)
    machine.one_gpu()
    try:
        kind: Kind = "probe" if args.probe else "dry_run"
        return rehearse(Run(args.run), kind, max(1, args.problems))
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2

"""The process that trains a run: started, stopped, queued.

It is a child in name only: it has a session of its own, writes to files and holds the run's
lock, so it outlives the server that started it, and any server can stop it. Nothing is kept
in memory here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rft.claim import INHERITED, since
from rft.errors import InputError, StudioError
from rft.journal import replace
from rft.run import Run
from rft.runs import runs
from rft.work import Work

_HOME = Path(__file__).resolve().parent.parent
_POLL = 0.2  # seconds
_SETTLING = 2.0  # seconds in which a starter says whom it started


def start(run: Work, command: Sequence[str] | None = None) -> None:
    """Start the trainer of a run, or the ``command`` that claims it, and return.

    It resumes where there are checkpoints. The lock is taken here and passed on: of two
    starters one wins, and the other gets an InputError. StudioError where nothing can start.
    """
    if not run.folder.is_dir():
        raise InputError(run.error())
    _ = run.config  # a broken or newer one is refused here
    if (run.folder / "done").exists():
        raise InputError(f"“{run.title}” is done: duplicate it, or make a new one.")
    argv = list(command or [sys.executable, "-m", "rft", "train", str(run.folder)])
    try:
        hold = run.lock.take()
        if hold is None:
            raise InputError(f"“{run.title}” is already {run.state()}.")
        try:
            (run.folder / "error.txt").unlink(missing_ok=True)
            with (run.folder / "log.txt").open("ab") as log:
                child = subprocess.Popen(
                    argv,
                    cwd=_HOME,
                    env=_environment() | {INHERITED: f"{hold.fd}:{hold.token}"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(hold.fd,),
                    start_new_session=True,
                )
            hold.note(leader=child.pid)
        finally:
            hold.close()  # the child has it
    except OSError as fault:
        if isinstance(fault, StudioError):
            raise
        raise StudioError(
            f"The {run.NOUN} cannot be started ({fault.strerror or fault}). Free some memory and "
            "disk space, then try again."
        ) from fault
    threading.Thread(target=_await, args=(run, child), daemon=True).start()


def stop(run: Work, patience: float = 30.0) -> None:
    """Ask the trainer to write a checkpoint and end; return at once.

    A helper process, which outlives this one, asks again after ``patience`` seconds (then the
    trainer ends without a checkpoint) and kills it after as many more. Asking twice is the
    same as once; a run that does not run is left alone.
    """
    holder = _settled(run)
    if not holder or "stopping" in holder:
        return
    nonce = secrets.token_hex(4)
    with contextlib.suppress(OSError):  # a full disk must not keep anybody from stopping
        run.lock.note(holder, stopping=time.time(), stopper=nonce)
        if run.lock.holder().get("stopper") != nonce:
            return  # two asked at once: a second signal would forgo the checkpoint
    try:
        _signal(holder, signal.SIGTERM)
        helper = subprocess.Popen(
            [sys.executable, "-m", "rft.process", str(run.folder), holder["token"], str(patience)],
            cwd=_HOME,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except PermissionError as fault:
        raise InputError(f"“{run.title}” was started by another user: ask them.") from fault
    except OSError as fault:
        raise StudioError(
            f"“{run.title}” was asked to stop, but nothing can see to it ({fault.strerror}): "
            f"if it does not end, kill process {holder.get('pid', holder.get('leader'))}."
        ) from fault
    threading.Thread(target=helper.wait, daemon=True).start()


def queue(root: Path) -> list[Run]:
    """The runs that wait for the device, the next one first."""
    waiting = [(since(r.folder) or 0.0, r.id, r) for r in runs(root) if r.state() == "queued"]
    return [run for _, _, run in sorted(waiting, key=lambda place: place[:2])]


def escalate(run: Work, token: str, patience: float) -> None:
    """Signal the trainer that holds the lock under this token until it ends."""
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if run.lock.holder().get("token") != token:
                return
            time.sleep(_POLL)
        holder = run.lock.holder()
        if holder.get("token") != token:
            return
        _signal(holder, number)


def _signal(holder: dict[str, Any], number: signal.Signals) -> None:
    """Signal the trainer; SIGKILL goes to its whole group, where it has one of its own."""
    pid, leader = holder.get("pid"), holder.get("leader")
    if number is not signal.SIGKILL:
        with contextlib.suppress(ProcessLookupError):
            if target := pid or leader:
                os.kill(target, number)
        return
    for process in {known for known in (pid, leader) if known}:
        with contextlib.suppress(ProcessLookupError):
            # A trainer started by hand may share the group of the shell that started it.
            if process == leader or os.getpgid(process) == process:
                os.killpg(process, number)
            else:
                os.kill(process, number)


def _environment() -> dict[str, str]:
    """Ours, and this repository to import from wherever the command stands."""
    path = os.pathsep.join([str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
    return dict(os.environ) | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _settled(run: Work) -> dict[str, Any]:
    """The holder of the run's lock; one that is just being started gets a moment to say who."""
    deadline = time.monotonic() + _SETTLING
    while (holder := run.lock.holder()) and not {"pid", "leader"} & holder.keys():
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return holder


def _await(run: Work, child: subprocess.Popen[bytes]) -> None:
    """Wait for the child, so that no zombie stays, and speak for one that failed speechless.

    This is a courtesy of the process that started it: without it, only log.txt tells.
    """
    status = child.wait()
    error = run.folder / "error.txt"
    if status <= 0 or error.exists():
        return
    with contextlib.suppress(OSError):  # the folder is gone, or the disk is full
        if hold := run.lock.take(0):  # else it was started again
            try:
                if not error.exists():
                    last = run.log_tail(1)
                    replace(
                        error, f"The {run.NOUN} ended (status {status}): {last}\nRead log.txt.\n"
                    )
            finally:
                hold.close()


if __name__ == "__main__":
    escalate(Run(sys.argv[1]), sys.argv[2], float(sys.argv[3]))

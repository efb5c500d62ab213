"""What can be done with a finished run, each in a process of its own: prove, pack, merge, push.

The process holds a lock as long as it lives, and writes into a file: whether it works, how it
ended and what it said stand in the run folder, for any page and after any restart. Knows no
component, and what each errand does is its command's business.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rft.errors import InputError
from rft.lock import LockFile
from rft.run import Run

_HOME = Path(__file__).resolve().parent.parent
#: Held by what does it; told on the page.
TITLES = {
    "prove": "Prove that it is applied",
    "zip": "Pack for download",
    "merge": "Write the merged checkpoint",
    "push": "Push to the Hub",
}


@dataclass(frozen=True)
class Errand:
    """How an errand stands: "new", "busy", "done" or "failed"; ``said`` are its last words."""

    name: str
    state: str
    said: str = ""


def start(run: Run, name: str, *, repo: str = "", token: str = "", public: bool = False) -> None:
    """Begin an errand. A token goes to the process alone: it is neither kept nor written."""
    if run.state() != "done":
        raise InputError(f"“{run.title}” is {run.state()}: let it finish first.")
    folder = _folder(run)
    folder.mkdir(exist_ok=True)
    hold = LockFile(folder / f"{name}.lock").take()
    if hold is None:
        raise InputError(f"“{TITLES[name]}” is already under way.")
    argv = [sys.executable, "-m", "rft", *_command(run, name, repo, public)]
    env = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
    if token:
        env["HF_TOKEN"] = token
    try:
        with (folder / f"{name}.txt").open("wb") as log:
            child = subprocess.Popen(
                argv, cwd=_HOME, env=env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, pass_fds=(hold.fd,), start_new_session=True,
            )  # fmt: skip
    finally:
        hold.close()  # the child has it
    threading.Thread(target=child.wait, daemon=True).start()  # so that no zombie stays


def standing(run: Run) -> Mapping[str, Errand]:
    """How every errand of a run stands."""
    return {name: _standing(run, name) for name in TITLES}


def stamp(run: Run) -> tuple[object, ...]:
    """Changes when how an errand stands does."""
    return tuple((item.name, item.state, item.said) for item in standing(run).values())


def merged(run: Run) -> Path:
    """Where the merged checkpoint is written."""
    return run.folder / "merged"


def packed(run: Run) -> Path:
    """Where the packed one is."""
    return run.folder / "export" / f"{run.id}.zip"


def _command(run: Run, name: str, repo: str, public: bool) -> list[str]:
    folder = str(run.folder)
    if name == "prove":
        return ["prove", folder]
    if name == "push":
        return ["export", folder, "--push", repo, "--whole", *["--public"] * public]
    if name == "merge":
        return ["export", folder, "--merged", str(merged(run))]
    if name == "zip":
        return ["export", folder, "--zip"]
    raise InputError(f"There is no errand {name!r}: reload the page.")


def _standing(run: Run, name: str) -> Errand:
    folder = _folder(run)
    if LockFile(folder / f"{name}.lock").held():
        return Errand(name, "busy")
    try:
        lines = (folder / f"{name}.txt").read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return Errand(name, "new")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return Errand(name, "done" if _made(run, name, said) else "failed", said)


def _made(run: Run, name: str, said: str) -> bool:
    if name == "prove":
        return (run.folder / "proof.json").exists()
    if name == "push":
        return said.startswith("Pushed to ")
    return (packed(run) if name == "zip" else merged(run)).exists()


def _folder(run: Run) -> Path:
    return run.folder / "errands"

"""Run folders and the processes that train them: real ones, killed in every way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rft.config import Config
from rft.errors import InputError, StudioError
from rft.journal import append
from rft.process import queue, start, stop
from rft.run import Run
from rft.runs import create, delete, duplicate, find, rename, runs
from rft.scenes import make

HOME = Path(__file__).resolve().parent.parent
CONFIG = Config("tiny", "grpo", samples=4, batch=2, generations=2, steps=20)
LESSONS = Config("tiny", "cot-sft", data="lessons/base", samples=8, sft_steps=1)
TRAIN = [make("counting", "train", seed, 64) for seed in range(4)]
HELD = [make("counting", "id", seed, 64) for seed in range(3)]

#: A trainer in small: claims the run, logs steps, checkpoints and leaves on SIGTERM.
TRAINER = """
import signal, sys, time
from rft.journal import append
from rft.run import Run

run, stubborn = Run(sys.argv[1]), "stubborn" in sys.argv
with run.claim():
    assert "torch" not in sys.modules
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    step = run.step
    while len(asked) < (2 if stubborn else 1) or "deaf" in sys.argv:
        step += 1
        append(run.folder / "metrics.jsonl", {"step": step, "stage": "grpo"})
        run.report("grpo", step, 20)
        time.sleep(0.02)
    (run.folder / f"checkpoint-{step}").mkdir()
"""


def trainer(run: Run, *words: str) -> list[str]:
    return [sys.executable, "-c", TRAINER, str(run.folder), *words]


def pid_of(run: Run) -> int:
    until(lambda: "pid" in run.lock.holder())
    return int(run.lock.holder()["pid"])


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def python(code: str, *words: str, **options: Any) -> subprocess.Popen[str]:
    """Another process that works on runs: a second server, a trainer started by hand."""
    argv = [sys.executable, "-c", code, *words]
    return subprocess.Popen(argv, cwd=HOME, stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A place for runs, in which nothing runs any more in the end."""
    place = tmp_path / "runs"
    yield place
    for run in runs(place):
        while holder := run.lock.holder():
            with suppress(ProcessLookupError):
                os.kill(holder.get("pid", holder.get("leader")), signal.SIGKILL)
            time.sleep(0.02)


@pytest.fixture
def run(root: Path) -> Run:
    return create(root, CONFIG, TRAIN, HELD, title="Four solids", source={"k": 4})


def test_a_new_run_is_its_files(run: Run, root: Path) -> None:
    assert run.id.endswith("-four-solids") and run.title == "Four solids"
    assert run.config == CONFIG and duplicate(run) == (CONFIG, {"k": 4})
    assert [p.id for p in run.problems("train")] == [p.id for p in TRAIN]
    assert [p.answer for p in run.problems("id")] == [p.answer for p in HELD]
    assert run.state() == "new" and run.step == 0 and run.progress() is None
    assert runs(root) == [run] and find(root, run.id) == run


def test_lessons_need_no_problems_and_problems_need_to_fit(root: Path) -> None:
    lessons = create(root, LESSONS, [], [])
    assert lessons.problems("train") == lessons.problems("id") == []
    with pytest.raises(InputError, match="wants 4 training problems, but there are 3"):
        create(root, CONFIG, TRAIN[:3], HELD)
    with pytest.raises(InputError, match="one task"):
        create(root, CONFIG, [make("spatial", "train", 0, 64)] * 4, HELD)
    assert [path.name for path in root.iterdir()] == [lessons.id]


def test_runs_are_listed_newest_first_under_names_of_their_own(root: Path) -> None:
    made = [create(root, LESSONS, [], [], title="../Übung /1/") for _ in range(3)]
    assert len({run.id for run in made}) == 3
    assert all(run.folder.parent == root and run.title == "../Übung /1/" for run in made)
    assert runs(root) == made[::-1]
    rename(made[0], "  First\nof all ")
    assert find(root, made[0].id).title == "First of all"
    for title in ("", " \n"):
        with pytest.raises(InputError, match="needs a title"):
            rename(made[0], title)
    for id in ("", ".", "..", "../runs", "nothing"):
        with pytest.raises(InputError, match="no run"):
            find(root, id)


def test_what_is_no_run_is_skipped_and_a_broken_one_is_listed(run: Run, root: Path) -> None:
    (root / "exports").mkdir()
    (root / "notes.txt").write_text("hello")
    (root / ".new-half").mkdir()
    (root / ".new-half" / "config.json").write_text("{")
    newer = create(root, LESSONS, [], [])
    (newer.folder / "config.json").write_text('{"version": 99, "checkpoint": "tiny"}')
    lost = create(root, LESSONS, [], [])
    (lost.folder / "config.json").unlink()
    (lost.folder / "about.json").write_text('{"title": 3}')
    assert set(runs(root)) == {run, newer, lost}
    assert newer.state() == lost.state() == "error"
    assert "newer version" in newer.error() and "update the Studio" in newer.error()
    assert "config.json" in lost.error() and lost.title == lost.id
    for broken in (newer, lost):
        with pytest.raises(InputError):
            start(broken)
        broken.stamp()


def test_the_state_is_what_the_files_say(run: Run) -> None:
    append(run.folder / "metrics.jsonl", {"step": 1})
    assert run.state() == "stopped"
    (run.folder / "error.txt").write_text("The disk is full.\n\nTraceback …")
    assert run.state() == "error" and run.error().startswith("The disk is full.")
    (run.folder / "error.txt").unlink()
    (run.folder / "done").write_text("{}")
    assert run.state() == "done"
    with pytest.raises(InputError, match="duplicate it"):
        start(run, trainer(run))
    shutil.rmtree(run.folder)
    assert run.state() == "error" and "no longer there" in run.error()
    assert run.metrics() == [] and run.log_tail(5) == "" and run.about["created"] == 0
    for act in (start, Run.claim, lambda run: rename(run, "x")):
        with pytest.raises(InputError, match="no longer there"):
            act(run)
    delete(run)
    stop(run)


def test_the_stamp_changes_with_what_is_shown(run: Run) -> None:
    seen = {run.stamp(), run.stamp()}
    assert len(seen) == 1
    append(run.folder / "rollouts.jsonl", {"step": 1})
    seen.add(run.stamp())
    run.report("grpo", 1, 20)
    seen.add(run.stamp())
    (run.folder / "log.txt").write_text("x")
    seen.add(run.stamp())
    rename(run, "Other")
    assert len(seen | {run.stamp()}) == 5


def test_progress_and_log_are_what_was_last_said(run: Run) -> None:
    run.report("loading", 0, 20)
    run.report("grpo", 7, 20)
    said = run.progress()
    assert said and (said["phase"], said["step"], said["steps"]) == ("grpo", 7, 20)
    assert said["pid"] == os.getpid() and said["started"] <= said["updated"]
    (run.folder / "log.txt").write_bytes(b"a\n" * 99_999 + b"10%\r 20%\r\n\xff end\n")
    assert run.log_tail(3) == "a\n 20%\n\ufffd end"


def test_no_space_leaves_nothing_behind(root: Path) -> None:
    code = """
import sys, resource
from pathlib import Path
from rft.errors import StudioError
from tests.test_run import CONFIG, HELD, TRAIN, create

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    create(Path(sys.argv[1]), CONFIG, TRAIN, HELD)
except StudioError as fault:
    print(fault)
"""
    for room in ("100", "1500", "2500"):  # config, about and records, images
        with python(code, str(root), room) as other:
            said = other.communicate()[0]
        assert "cannot be written" in said and "Free some space" in said
        assert list(root.iterdir()) == []


def test_start_stop_resume(run: Run) -> None:
    start(run, trainer(run))
    until(lambda: run.step >= 3)
    assert run.state() == "running"
    stop(run)
    assert run.stopping() or run.state() == "stopped"
    until(lambda: run.state() == "stopped")
    assert run.stopping() is None
    reached = run.step
    assert (run.folder / f"checkpoint-{reached}").is_dir()
    (run.folder / "error.txt").write_text("an earlier failure")
    start(run, trainer(run))
    until(lambda: run.step > reached)
    assert run.error() == ""
    assert [line["step"] for line in run.metrics()] == list(range(1, run.step + 1))


def test_a_killed_trainer_holds_nothing(run: Run) -> None:
    start(run, trainer(run))
    until(lambda: run.step >= 1)
    os.kill(pid_of(run), signal.SIGKILL)
    until(lambda: run.state() == "stopped")
    start(run, trainer(run))
    until(lambda: run.state() == "running")


SERVER = """
import sys, time
from rft.process import start
from rft.run import Run

start(Run(sys.argv[1]), sys.argv[2:])
assert "torch" not in sys.modules
print("started", flush=True)
time.sleep(600)
"""


def test_a_run_outlives_its_server_and_obeys_another(run: Run) -> None:
    with python(SERVER, str(run.folder), *trainer(run), start_new_session=True) as server:
        assert server.stdout and server.stdout.readline() == "started\n"
        until(lambda: run.step >= 1)
        os.killpg(server.pid, signal.SIGKILL)
    reached = run.step
    until(lambda: run.step > reached)
    assert run.state() == "running"
    stop(run)
    until(lambda: run.state() == "stopped")


def test_server_and_trainer_killed_together_leave_a_run_to_resume(run: Run) -> None:
    with python(SERVER, str(run.folder), *trainer(run)) as server:
        until(lambda: run.step >= 1)
        os.kill(pid_of(run), signal.SIGKILL)
        server.kill()
    until(lambda: run.state() == "stopped")
    start(run, trainer(run))
    until(lambda: run.state() == "running")


def told(act: Callable[[], object]) -> str:
    try:
        act()
    except InputError as fault:
        return str(fault)
    return "won"


def test_of_two_starters_one_wins(run: Run) -> None:
    with ThreadPoolExecutor(8) as pages:
        said = list(pages.map(lambda _: told(lambda: start(run, trainer(run))), range(8)))
    assert said.count("won") == 1
    assert all("is already " in other for other in said if other != "won")
    until(lambda: run.step >= 2)
    assert [line["step"] for line in run.metrics()][:2] == [1, 2]


def test_of_two_servers_one_wins(run: Run) -> None:
    code = """
import sys
from rft.process import start
from rft.run import Run
from tests.test_run import told

sys.stdin.readline()
print(told(lambda: start(Run(sys.argv[1]), sys.argv[2:])))
"""
    words = (str(run.folder), *trainer(run))
    servers = [python(code, *words, stdin=subprocess.PIPE) for _ in range(3)]
    for server in servers:
        assert server.stdin
        server.stdin.write("go\n")
        server.stdin.flush()
    said = [server.communicate()[0].strip() for server in servers]
    assert said.count("won") == 1 and sum("is already" in other for other in said) == 2


def test_looking_does_not_keep_from_starting(run: Run) -> None:
    with ThreadPoolExecutor(4) as pages:
        looks = [pages.submit(lambda: [run.state() for _ in range(2000)]) for _ in range(3)]
        start(run, trainer(run))
        for look in looks:
            look.result()
    until(lambda: run.state() == "running")


def test_a_trainer_started_by_hand_claims_the_run_too(run: Run) -> None:
    with python(TRAINER, str(run.folder)) as first:
        until(lambda: run.step >= 1)
        assert run.state() == "running"
        with pytest.raises(InputError, match=f"another process .{first.pid}."):
            run.claim()
        with pytest.raises(InputError, match="is already running"):
            start(run, trainer(run))
        stop(run)
        assert first.wait(30) == 0
    with run.claim():
        assert run.state() == "running"
    assert run.state() == "stopped"


def test_a_launcher_between_keeps_the_lock_for_its_first_process(run: Run) -> None:
    launcher = """
import os, subprocess, sys
ranks = [subprocess.Popen(sys.argv[1:], env=os.environ | {"RANK": r}) for r in "01"]
sys.exit(max(rank.wait() for rank in ranks))
"""
    rank = "import os\nif os.environ['RANK'] == '1': import rft.run, sys; \\\n  "
    rank += "rft.run.Run(sys.argv[1]).claim(); print('with it', flush=True); sys.exit()\n"
    argv = [sys.executable, "-c", launcher, sys.executable, "-c", rank + TRAINER, str(run.folder)]
    start(run, argv)
    until(lambda: run.step >= 1)
    until(lambda: "with it" in run.log_tail(9))
    assert run.state() == "running"
    holder = run.lock.holder()
    assert holder["pid"] != holder["leader"]
    stop(run)
    until(lambda: run.state() == "stopped")


def test_stopping_twice_is_stopping_once_and_the_deaf_are_killed(run: Run) -> None:
    start(run, trainer(run, "stubborn"))  # leaves at the second signal
    until(lambda: run.step >= 1)
    with ThreadPoolExecutor(4) as pages:
        list(pages.map(stop, [run] * 4))
    reached = run.step
    until(lambda: run.step > reached + 5)
    assert run.state() == "running" and run.stopping()
    os.kill(pid_of(run), signal.SIGTERM)
    until(lambda: run.state() == "stopped")

    start(run, trainer(run, "stubborn"))
    until(lambda: run.state() == "running" and "pid" in run.lock.holder())
    reached = run.step
    until(lambda: run.step > reached)
    stop(run, patience=0.5)
    until(lambda: run.state() == "stopped")  # by the second signal

    start(run, trainer(run, "deaf"))
    reached = run.step
    until(lambda: run.step > reached)
    before = len(list(run.folder.glob("checkpoint-*")))
    stop(run, patience=0.3)
    until(lambda: run.state() == "stopped")
    assert len(list(run.folder.glob("checkpoint-*"))) == before


def test_a_stop_is_seen_through_when_its_server_dies(run: Run) -> None:
    start(run, trainer(run, "deaf"))
    until(lambda: run.step >= 1)
    code = "import sys; from rft.process import stop; from rft.run import Run; "
    code += "stop(Run(sys.argv[1]), 0.3); print('asked', flush=True); sys.stdin.read()"
    with python(code, str(run.folder), stdin=subprocess.PIPE, start_new_session=True) as server:
        assert server.stdout and server.stdout.readline() == "asked\n"
        os.killpg(server.pid, signal.SIGKILL)
    until(lambda: run.state() == "stopped")


def test_runs_wait_for_the_device_in_the_order_of_their_starts(root: Path) -> None:
    first, second, third = (create(root, LESSONS, [], [], title=t) for t in "abc")
    for run in (first, third, second):
        start(run, trainer(run))
        until(lambda run=run: "pid" in run.lock.holder())
    until(lambda: first.step >= 1)
    assert [run.state() for run in (first, second, third)] == ["running", "queued", "queued"]
    assert queue(root) == [third, second]
    with pytest.raises(InputError, match="is already queued"):
        start(second, trainer(second))
    with pytest.raises(InputError, match="is queued: stop it"):
        delete(second)
    stop(first)
    until(lambda: third.step >= 1)
    assert second.step == 0 and queue(root) == [second]
    os.kill(pid_of(third), signal.SIGKILL)
    until(lambda: second.step >= 1)
    assert second.state() == "running" and queue(root) == []


def test_a_queued_run_leaves_the_queue_when_stopped(root: Path) -> None:
    first, second = (create(root, LESSONS, [], []) for _ in range(2))
    with first.claim():
        with python(TRAINER, str(second.folder), stderr=subprocess.PIPE) as waiting:
            assert waiting.stderr and first.id in waiting.stderr.readline()
            assert queue(root) == [second]
            stop(second)
            assert waiting.wait(30) == 0
        assert queue(root) == [] and second.state() == "new"
        start(second, trainer(second))
        stop(second)  # before it could claim anything
        until(lambda: second.state() == "new")


def test_a_trainer_that_cannot_even_start_is_an_error(run: Run) -> None:
    start(run, [sys.executable, "-c", "raise SystemExit('no such module')"])
    until(lambda: run.state() == "error")
    assert "status 1" in run.error() and "no such module" in run.error()
    with pytest.raises(StudioError, match="cannot be started"):
        start(run, ["/no/such/program"])
    assert not run.lock.held()


def test_a_running_run_is_not_deleted_and_a_deleted_one_is_gone(run: Run, root: Path) -> None:
    start(run, trainer(run))
    with pytest.raises(InputError, match="stop it, then delete it"):
        delete(run)
    until(lambda: run.step >= 1)
    stop(run)
    until(lambda: run.state() == "stopped")
    (root / ".deleted-earlier").mkdir()
    delete(run)
    assert runs(root) == [] and {path.name for path in root.iterdir()} <= {".device.lock"}


def test_a_run_deleted_under_its_trainer_is_over(run: Run) -> None:
    start(run, trainer(run))
    until(lambda: run.step >= 1)
    pid = pid_of(run)
    run.folder.rename(run.root / ".elsewhere")
    assert run.state() == "error" and runs(run.root) == []
    with pytest.raises(ProcessLookupError):  # it could not write on, and ended
        until(lambda: os.kill(pid, 0))

"""The engine: loading on first use, locks, eviction, release. Real models, real threads."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rft import machine, zoo
from rft.engine import Engine
from rft.errors import CheckpointError, InputError, MemoryShort
from rft.types import Chunk, Decoding, Progress, Turn

ASK = [Turn("user", "How many cubes are there?")]
SHORT = Decoding(temperature=1, seed=1, max_new_tokens=6)
LONG = replace(SHORT, max_new_tokens=3000)


@pytest.fixture(scope="module")
def trio(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[zoo.Card]:
    """Three checkpoints of the same weights."""
    root = tmp_path_factory.mktemp("trio")
    return [zoo.card_for(str(shutil.copytree(tiny, root / name))) for name in "abc"]


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.release()


def run(
    engine: Engine, card: zoo.Card, decoding: Decoding = SHORT, stop: threading.Event | None = None
) -> list[Progress | Chunk]:
    return list(engine.stream(card, ASK, decoding, stop or threading.Event()))


def text(events: list[Progress | Chunk]) -> str:
    return "".join(event.text for event in events if isinstance(event, Chunk))


def said(events: list[Progress | Chunk]) -> str:
    return " ".join(event.message for event in events if isinstance(event, Progress))


def names(engine: Engine) -> list[str]:
    return [Path(resident.card_id).name for resident in engine.loaded()]


def begin(engine: Engine, card: zoo.Card, stop: threading.Event) -> Iterator[Progress | Chunk]:
    """A conversation that is under way: its model in memory, its lock held."""
    stream = engine.stream(card, ASK, LONG, stop)
    while not isinstance(next(stream), Chunk):
        pass
    return stream


def background(
    events: list[Progress | Chunk], stream: Iterator[Progress | Chunk]
) -> threading.Thread:
    thread = threading.Thread(target=lambda: events.extend(stream))
    thread.start()
    return thread


def until(events: list[Progress | Chunk], words: str) -> None:
    deadline = time.monotonic() + 20
    while words not in said(events):
        assert time.monotonic() < deadline, said(events)
        time.sleep(0.01)


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, rft.engine; e = rft.engine.Engine(); e.loaded(); e.release()\n"
    code += "print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_loads_on_first_use_only(engine: Engine, trio: list[zoo.Card]) -> None:
    first, second = run(engine, trio[0]), run(engine, trio[0])
    assert "Loading a" in said(first)
    assert not said(second)
    assert text(first) == text(second) != ""
    (resident,) = engine.loaded()
    assert (resident.card_id, resident.busy) == (trio[0].id, False)
    assert resident.bytes > 2 * trio[0].parameters


def test_the_least_recently_used_goes(engine: Engine, trio: list[zoo.Card]) -> None:
    a, b, c = trio
    run(engine, a)
    engine.budget_bytes = int(2.5 * engine.loaded()[0].bytes)
    run(engine, b)
    run(engine, a)
    run(engine, c)
    assert names(engine) == ["c", "a"]


def test_a_model_in_use_is_waited_for_and_not_evicted(engine: Engine, trio: list[zoo.Card]) -> None:
    a, b, _ = trio
    stop = threading.Event()
    talking = begin(engine, a, stop)
    engine.budget_bytes = int(1.5 * engine.loaded()[0].bytes)
    events: list[Progress | Chunk] = []
    other = background(events, engine.stream(b, ASK, SHORT, threading.Event()))
    until(events, "Waiting for memory")
    assert isinstance(next(talking), Chunk)
    stop.set()
    *_, last = talking
    assert isinstance(last, Chunk)
    assert last.finish == "stop"
    other.join()
    assert text(events)
    assert names(engine) == ["b"]


def test_one_conversation_a_model(engine: Engine, trio: list[zoo.Card]) -> None:
    stop = threading.Event()
    talking = begin(engine, trio[0], stop)
    events: list[Progress | Chunk] = []
    other = background(events, engine.stream(trio[0], ASK, SHORT, threading.Event()))
    until(events, "Another conversation is using a")
    assert not text(events)
    assert engine.loaded()[0].busy
    talking.close()
    other.join()
    assert text(events) == text(run(engine, trio[0]))


def test_stop_ends_every_stage(engine: Engine, trio: list[zoo.Card]) -> None:
    stop = threading.Event()
    stop.set()
    events = run(engine, trio[0], SHORT, stop)  # before and while it is loaded
    assert [e.finish for e in events if isinstance(e, Chunk)] == ["stop"]
    talking = begin(engine, trio[0], threading.Event())
    assert [e.finish for e in run(engine, trio[0], SHORT, stop) if isinstance(e, Chunk)] == ["stop"]
    waiting = threading.Event()
    heard: list[Progress | Chunk] = []
    other = background(heard, engine.stream(trio[0], ASK, SHORT, waiting))
    until(heard, "Another conversation")
    waiting.set()
    other.join(2)
    assert not other.is_alive()
    talking.close()
    assert text(run(engine, trio[0]))


def test_leaving_while_it_loads(engine: Engine, trio: list[zoo.Card]) -> None:
    stream = engine.stream(trio[0], ASK, SHORT, threading.Event())
    assert isinstance(next(stream), Progress)
    stream.close()
    stream = engine.stream(trio[0], ASK, SHORT, threading.Event())
    while "into memory" not in said([next(stream)]):
        pass
    stream.close()
    assert text(run(engine, trio[0]))


def test_a_failed_load_leaves_the_engine_as_it_was(
    engine: Engine, trio: list[zoo.Card], tmp_path: Path
) -> None:
    run(engine, trio[0])
    engine.budget_bytes = int(1.5 * engine.loaded()[0].bytes)
    before = engine.loaded()
    broken = Path(shutil.copytree(trio[1].where, tmp_path / "broken"))
    weights = (broken / "model.safetensors").read_bytes()
    card = zoo.card_for(str(broken))
    for damage, told in (
        (lambda: (broken / "model.safetensors").write_bytes(weights[:-9]), "damaged"),
        (lambda: (broken / "config.json").write_text('{"model_type": "llama"}'), "llama"),
        (lambda: shutil.rmtree(broken), "missing"),
    ):
        damage()
        with pytest.raises(CheckpointError, match=told):
            run(engine, card)
        assert engine.loaded() == before
    offline = replace(trio[1], id="x", where="nobody/nothing")
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        run(engine, offline)
    with pytest.raises(MemoryShort, match=r"needs 9000.0 GB, this machine has .* GB free"):
        run(engine, replace(trio[1], memory_bytes=9 * 10**12))
    with pytest.raises(MemoryShort, match="may fill"):
        run(engine, replace(trio[1], parameters=10**8))
    with pytest.raises(InputError):
        list(engine.stream(trio[0], [], SHORT, threading.Event()))
    assert engine.loaded() == before
    assert text(run(engine, trio[1]))


def test_a_tokenizer_that_fails_late(engine: Engine, trio: list[zoo.Card], tmp_path: Path) -> None:
    broken = Path(shutil.copytree(trio[1].where, tmp_path / "broken"))
    (broken / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer"):
        run(engine, zoo.card_for(str(broken)))
    assert engine.loaded() == []
    (broken / "tokenizer.json").write_bytes((Path(trio[1].where) / "tokenizer.json").read_bytes())
    assert text(run(engine, zoo.card_for(str(broken))))


def test_files_written_anew_are_loaded_anew(
    engine: Engine, trio: list[zoo.Card], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trio[0].where, tmp_path / "trained"))
    card = zoo.card_for(str(folder))
    run(engine, card)
    later = time.time() + 5
    os.utime(folder / "model.safetensors", (later, later))
    assert "Loading trained" in said(run(engine, card))
    assert not said(run(engine, card))
    shutil.rmtree(folder)
    assert text(run(engine, card))  # what is in memory needs its folder no more


def test_memory_counts_what_a_release_would_free(engine: Engine, trio: list[zoo.Card]) -> None:
    run(engine, trio[0])
    resident = engine.loaded()[0]
    full = machine.Memory(main=0, gpu=0)
    assert zoo.state(trio[0], full).kind == "too-large"
    memory = engine.memory()
    assert zoo.state(trio[0], memory).kind == "cached"
    assert resident.bytes <= memory.gpu if resident.on_gpu else memory.main


def test_release_frees(engine: Engine, trio: list[zoo.Card]) -> None:
    run(engine, trio[0])
    run(engine, trio[1])
    held = weakref.ref(engine._table[trio[0].id].policy.model)
    engine.release(trio[0].id)
    gc.collect()
    assert held() is None
    assert names(engine) == ["b"]
    engine.release()
    engine.release("never loaded")
    assert engine.loaded() == []


def test_release_of_a_model_in_use_waits_for_it(engine: Engine, trio: list[zoo.Card]) -> None:
    talking = begin(engine, trio[0], threading.Event())
    engine.release()
    assert isinstance(next(talking), Chunk)
    talking.close()
    assert engine.loaded() == []


def test_many_threads(engine: Engine, trio: list[zoo.Card]) -> None:
    expected = text(run(engine, trio[0]))
    engine.budget_bytes = int(2.5 * engine.loaded()[0].bytes)
    answers: list[str] = []

    def visitor(start: int) -> None:
        for i in range(3):
            answers.append(text(run(engine, trio[(start + i) % 3])))
            if start == 0:
                engine.release()

    threads = [threading.Thread(target=visitor, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [expected] * 15
    assert not any(resident.busy for resident in engine.loaded())


# --- beside a run that trains ----------------------------------------------------------------


def test_beside_a_run_on_the_gpu_a_checkpoint_answers_on_the_cpu(
    trio: list[zoo.Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(8 << 30, 8 << 30))
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    training = ["Walk"]
    engine = Engine(training=lambda: training[0] if training else None)
    events = run(engine, trio[0])
    assert "on the CPU" in said(events) and "“Walk” has this machine" in said(events)
    assert [resident.device for resident in engine.loaded()] == ["cpu"] and text(events)
    assert "Loading" not in said(run(engine, trio[0]))
    training.clear()
    assert "Loading" in said(run(engine, trio[0])), "the GPU is free again"


def test_what_never_fitted_the_gpu_is_not_loaded_anew(
    engine: Engine, trio: list[zoo.Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(8 << 30, 1 << 20))
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    assert "Loading" in said(run(engine, trio[0]))
    assert [resident.device for resident in engine.loaded()] == ["cpu"]
    assert "Loading" not in said(run(engine, trio[0]))

"""A Hub cache as huggingface_hub lays it out, found without the network: blobs, refs, snapshots."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, scan_cache_dir
from lora import adapter_of

from rft import checkpoint, hub, zoo
from rft.engine import Engine
from rft.errors import CheckpointError, InputError
from rft.types import Chunk, Decoding, Turn

ASK = [Turn("user", "How many cubes are there?")]
BRIEF = Decoding(temperature=1, seed=0, max_new_tokens=6)
OLD, NEW = "0" * 40, "1" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.release()


def stored(cache: Path, repo: str, files: Path, revision: str = NEW, main: bool = True) -> Path:
    """``files`` as a snapshot: links into blobs named by their content, and what main points at."""
    home = cache / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / revision
    for folder in (home / "blobs", home / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    for file in files.iterdir():
        blob = home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    if main:
        (home / "refs" / "main").write_text(revision)
    return snapshot


def said(engine: Engine, card: zoo.Card) -> str:
    events = engine.stream(card, ASK, BRIEF, threading.Event())
    return "".join(event.text for event in events if isinstance(event, Chunk))


def test_a_whole_model(cache: Path, tiny: Path, engine: Engine) -> None:
    snapshot = stored(cache, "some/model", tiny)
    assert not scan_cache_dir(cache).warnings  # the library takes it for its own
    card = zoo.card_for("https://huggingface.co/some/model")
    assert (card.family, card.folder, zoo.folder_of(card)) == ("qwen2_vl", None, snapshot)
    assert zoo.state(card).kind == "cached"
    assert said(engine, card) == said(engine, zoo.card_for(str(tiny)))


def test_a_listed_card_whose_weights_are_in_shards(cache: Path, tiny: Path, tmp_path: Path) -> None:
    files = sharded(tiny, tmp_path / "shards")
    stored(cache, "Qwen/Qwen2-VL-2B-Instruct", files)
    listed = next(card for card in zoo.cards() if card.id == "qwen2-vl-2b")
    assert zoo.state(listed).kind == "cached"
    (files / "model-00002-of-00002.safetensors").unlink()
    shutil.rmtree(cache / "models--Qwen--Qwen2-VL-2B-Instruct")
    snapshot = stored(cache, "Qwen/Qwen2-VL-2B-Instruct", files)
    blobs = snapshot.parent.parent / "blobs"
    (blobs / f"{'a' * 64}.incomplete").write_bytes(b"half")
    assert zoo.folder_of(listed) is None, "a download that did not finish"
    assert "HF_HUB_OFFLINE is set" in zoo.state(listed).sentence


def test_main_decides_which_snapshot(cache: Path, tiny: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(tiny, tmp_path / "older"))
    (older / "model.safetensors").unlink()
    stored(cache, "some/model", older, OLD)
    snapshot = stored(cache, "some/model", tiny, NEW)
    assert hub.snapshot("some/model") == snapshot


def test_a_snapshot_that_was_fetched_by_its_revision(cache: Path, tiny: Path) -> None:
    """No branch points at it; where there is nothing else, it is the one that is meant."""
    snapshot = stored(cache, "some/model", tiny, OLD, main=False)
    assert hub.snapshot("some/model") == snapshot
    assert zoo.state(zoo.card_for("some/model")).kind == "cached"


def test_an_adapter_whose_base_is_in_the_cache_too(
    cache: Path, tiny: Path, tmp_path: Path, engine: Engine
) -> None:
    base = stored(cache, "some/base", tiny)
    made = adapter_of(tiny, tmp_path / "made", 1)
    named(made, "some/base")
    stored(cache, "some/adapter", made)
    adapter, whole = zoo.card_for("some/adapter"), zoo.card_for("some/base")
    assert zoo.state(adapter).kind == "cached" and adapter.family == "qwen2_vl"
    assert said(engine, whole) != said(engine, adapter)
    one, other = engine.loaded()
    assert one.base == other.base is not None, "its weights once"
    shutil.rmtree(base.parent.parent)
    assert "An adapter of some/base, which is not on this machine" in zoo.state(adapter).sentence
    with pytest.raises(InputError, match=r"some/base is not on this machine"):
        zoo.card_for("some/adapter")


def test_an_adapter_on_the_hub_of_a_local_base(
    cache: Path, tiny: Path, tmp_path: Path, engine: Engine
) -> None:
    stored(cache, "some/adapter", adapter_of(tiny, tmp_path / "made", 1))
    assert said(engine, zoo.card_for("some/adapter"))


def test_what_is_not_there(cache: Path) -> None:
    assert hub.snapshot("some/model") is None
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set: unset it"):
        zoo.card_for("some/model")
    (cache / "models--some--model" / "snapshots" / NEW).mkdir(parents=True)
    assert hub.snapshot("some/model") is None
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        hub.config_file("some/model")


def named(adapter: Path, base: str) -> None:
    file = adapter / checkpoint.ADAPTER_CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": base}))


def sharded(whole: Path, folder: Path) -> Path:
    """The same checkpoint with its weights in two files and an index."""
    from transformers import Qwen2VLForConditionalGeneration

    shutil.copytree(whole, folder)
    (folder / "model.safetensors").unlink()
    model = Qwen2VLForConditionalGeneration.from_pretrained(whole)
    model.save_pretrained(folder, max_shard_size="8MB")
    assert (folder / "model-00002-of-00002.safetensors").is_file()
    return folder

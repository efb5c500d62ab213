"""What a folder holds, and every way in which it can be broken. Real folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rft import checkpoint
from rft.errors import CheckpointError


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def split(folder: Path) -> Path:
    """The folder with its weights under an index, as large checkpoints have them."""
    shard = folder / "model-00001-of-00001.safetensors"
    names = checkpoint.header((folder / checkpoint.SINGLE).rename(shard))
    (folder / checkpoint.INDEX).write_text(
        json.dumps({"weight_map": dict.fromkeys(names, shard.name)})
    )
    return folder


def test_facts_of_a_whole_folder(tiny: Path, copy: Path) -> None:
    facts = checkpoint.inspect(tiny)
    assert (facts.family, facts.base) == ("qwen2_vl", None)
    assert 2_000_000 < facts.parameters < 5_000_000
    sharded = checkpoint.inspect(split(copy))
    assert (sharded.parameters, sharded.tensors) == (facts.parameters, facts.tensors)


def cut(folder: Path) -> None:
    file = folder / checkpoint.SINGLE
    file.write_bytes(file.read_bytes()[:-1000])


def index(names: dict[str, str]) -> str:
    return json.dumps({"weight_map": names})


BREAK = {
    "is a llama checkpoint; the Studio runs the Qwen2-VL and Qwen2.5-VL families": lambda f: edit(
        f / "config.json", model_type="llama"
    ),
    "without a model_type": lambda f: edit(f / "config.json", model_type=None),
    "has no config.json": lambda f: (f / "config.json").unlink(),
    "cannot be read as JSON": lambda f: (f / "config.json").write_text("{"),
    "not a JSON object": lambda f: (f / "config.json").write_text("[]"),
    "has no model.safetensors": lambda f: (f / checkpoint.SINGLE).unlink(),
    "pickled": lambda f: (f / checkpoint.SINGLE).rename(f / "pytorch_model.bin"),
    "is damaged .it has": cut,
    "header is cut off": lambda f: (f / checkpoint.SINGLE).write_bytes(b"\xff" * 100),
    "header makes no sense": lambda f: (f / checkpoint.SINGLE).write_bytes(
        (4).to_bytes(8, "little") + b"nope"
    ),
    "is damaged .its header": lambda f: (f / checkpoint.SINGLE).write_bytes(b""),
    "git lfs pull": lambda f: (f / checkpoint.SINGLE).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    ),
    "lacks model-00001": lambda f: next(split(f).glob("model-*")).unlink(),
    "lists no weights": lambda f: (split(f) / checkpoint.INDEX).write_text("{}"),
    "outside its folder": lambda f: (split(f) / checkpoint.INDEX).write_text(
        index({"a": "../../elsewhere.safetensors"})
    ),
}


@pytest.mark.parametrize("told", BREAK)
def test_a_broken_folder_is_named_with_its_remedy(copy: Path, told: str) -> None:
    BREAK[told](copy)
    with pytest.raises(CheckpointError, match=told):
        checkpoint.inspect(copy)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder"):
        checkpoint.inspect(tmp_path / "nowhere")


def test_an_adapter_must_name_its_base(tmp_path: Path) -> None:
    (tmp_path / checkpoint.ADAPTER_CONFIG).write_text("{}")
    with pytest.raises(CheckpointError, match="does not name its base"):
        checkpoint.inspect(tmp_path)

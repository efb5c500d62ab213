"""Who is asking, and what a stranger may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.host import LISTED_ONLY, SHORT_ONLY, Host, here
from app.room import Room
from app.store import Store
from rft.errors import InputError

SPACE = {"SPACE_ID": "owner/studio", "GRADIO_SERVER_NAME": "0.0.0.0"}


@pytest.mark.parametrize("name", ["", "127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_on_loopback_everything_is_allowed(name: str) -> None:
    assert here({"GRADIO_SERVER_NAME": name} if name else {}) == Host()


@pytest.mark.parametrize("environ", [SPACE, {"SPACE_ID": "a/b"}, {"GRADIO_SERVER_NAME": "0.0.0.0"}])
def test_visitors_from_elsewhere_are_strangers(environ: dict[str, str]) -> None:
    host = here(environ)
    assert host.public and not host.training and "RFT_TRAINING=on" in host.why
    assert not host.evaluating and "RFT_EVALUATION=on" in SHORT_ONLY
    assert here({**environ, "RFT_TRAINING": "on"}) == Host(public=True)
    measuring = here({**environ, "RFT_EVALUATION": "on"})
    assert measuring.evaluating and not measuring.training
    assert here({**environ, "RFT_VISITORS": "trusted"}) == Host()


def test_zero_gpu_never_trains() -> None:
    host = here({**SPACE, "SPACES_ZERO_GPU": "1", "RFT_TRAINING": "1", "RFT_VISITORS": "trusted"})
    assert not host.public and not host.training and "ZeroGPU" in host.why


def test_a_stranger_names_listed_and_cached_checkpoints_alone(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "chats")
    mine, theirs = Room(store), Room(store, host=here(SPACE))
    assert mine.card(str(tiny)).where == str(tiny)
    assert theirs.card("tiny-base").bundled
    assert theirs.card("Qwen/Qwen2-VL-2B-Instruct").id == "qwen2-vl-2b"
    monkeypatch.chdir(tiny.parent.parent)
    relative = f"{tiny.parent.name}/{tiny.name}"  # looks like a Hub id, and is a folder from here
    for typed in (str(tiny), relative, "/etc", "/no/such/folder", "~/x", "~nobody/x", "some/model"):
        with pytest.raises(InputError) as refused:
            theirs.card(typed)
        assert str(refused.value) == LISTED_ONLY, "it must not tell what is there"
    assert theirs.card(str(tiny), or_first=True).bundled


def test_a_cached_checkpoint_can_be_named_by_strangers(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models--some--model" / "snapshots" / "0"
    folder.mkdir(parents=True)
    for file in tiny.iterdir():
        (folder / file.name).symlink_to(file)
    refs = tmp_path / "models--some--model" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    theirs = Room(Store(tmp_path / "chats"), host=Host(public=True))
    assert theirs.card("some/model").where == "some/model"
    with pytest.raises(InputError, match="RFT_VISITORS=trusted"):
        theirs.card("some/other")

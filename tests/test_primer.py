"""Priming a tiny vision tower: what its patches are told, and that it learns it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import Qwen2VLForConditionalGeneration

from rft.claim import claim
from rft.errors import InputError
from rft.primer import CHARACTERS, LOOKS, picture, prime
from rft.processor import load_processor
from rft.scenes.grid import GRID
from rft.scenes.lettering import characters


def test_characters_stand_side_by_side_about_the_middle_of_their_text() -> None:
    told = characters("1°45", 0.5, 0.3, 0.2)
    assert [what for _, _, what in told] == list("1°45")
    assert {y for _, y, _ in told} == {0.3}
    xs = [x for x, _, _ in told]
    assert xs == sorted(xs) and 0.05 < xs[-1] - xs[0] < 0.4
    assert characters("8", 0.2, 0.7, 0.2) == [(0.2, 0.7, "8")]


def test_a_picture_is_always_the_same_and_says_what_is_where() -> None:
    kinds = set()
    for index in range(40):
        image, labels = picture(index)
        again, same = picture(index)
        assert image.tobytes() == again.tobytes() and torch.equal(labels, same)
        assert labels.shape == (1 + len(LOOKS), GRID * GRID)
        assert 0 <= labels[0].max() <= len(CHARACTERS)
        written, things = bool((labels[0] > 0).any()), bool((labels[1:] >= 0).any())
        assert written != things, "a picture has characters or objects"
        kinds.add(written)
    assert kinds == {True, False}


def test_labels_are_in_the_order_of_the_image_processors_patches(tiny: Path) -> None:
    """Where a character's label is, the patch holds more ink than most."""
    processor = load_processor(tiny).image_processor
    inked = total = 0
    for index in range(60):
        image, labels = picture(index)
        marked = (labels[0] > 0).nonzero().flatten()
        if not len(marked):
            continue
        patches = processor([image], return_tensors="pt")["pixel_values"]
        ranks = patches.std(1).argsort().argsort() / (GRID * GRID - 1)
        inked += int((ranks[marked] > 0.6).sum())
        total += len(marked)
    assert total > 50 and inked > 0.9 * total


def test_priming_learns_goes_on_and_leaves_the_words_alone(tmp_path: Path) -> None:
    folder = prime(tmp_path / "one", steps=40, batch=8)
    state = json.loads(next((tmp_path / "one").glob("checkpoint-*/trainer_state.json")).read_text())
    assert state["global_step"] == 40
    before = Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "one" / "start")
    after = Qwen2VLForConditionalGeneration.from_pretrained(folder)
    moved = {
        name
        for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert moved and all(".visual." in name for name in moved)
    weights = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(folder)  # killed before it was written
    assert prime(tmp_path / "one", steps=40, batch=8) == folder
    assert (folder / "model.safetensors").read_bytes() == weights
    with pytest.raises(InputError, match="begun with"):
        prime(tmp_path / "one", steps=50, batch=8)
    with claim(tmp_path / "one"), pytest.raises(InputError, match="in another process"):
        prime(tmp_path / "one", steps=40, batch=8)


@pytest.mark.parametrize("index", range(3))
def test_other_pictures_are_other_pictures(index: int) -> None:
    assert picture(index)[0].tobytes() != picture(index + 1)[0].tobytes()

"""Sizes of checkpoints: read, known, and true to the libraries that use them."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from rft import checkpoint
from rft.address import Address
from rft.anatomy import PUBLISHED, anatomy_of, read_anatomy, seen_pixels
from rft.cards import ROOT
from rft.config import TARGETS
from rft.errors import CheckpointError
from rft.zoo import card_for

TWO_B = PUBLISHED["qwen2_vl"][0]


def test_the_bundled_base_has_the_parameters_of_its_file():
    sizes = anatomy_of("tiny-base")
    whole = checkpoint.inspect(ROOT / "assets" / "tiny" / "base").parameters
    assert 0.97 < sizes.parameters / whole <= 1
    assert sizes.max_pixels == 112 * 112 and sizes.context == 4096
    assert anatomy_of("tiny") == sizes


@pytest.mark.parametrize(
    ("id", "parameters"),
    [("qwen2-vl-2b", 2.209e9), ("qwen2-vl-7b", 8.291e9), ("robobrain-3b", 3.755e9)],
)
def test_what_is_not_downloaded_is_known(id, parameters):
    assert anatomy_of(card_for(id)).parameters == pytest.approx(parameters, rel=0.002)


def test_an_adapter_has_the_sizes_of_its_base(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    for base, sizes in (("tiny-base", anatomy_of("tiny-base")), ("qwen2-vl-2b", TWO_B)):
        named = {"base_model_name_or_path": base}
        (tmp_path / "adapter_config.json").write_text(json.dumps(named))
        assert anatomy_of(str(tmp_path)) == sizes


def test_published_parts():
    assert TWO_B.vision == pytest.approx(0.665e9, rel=0.005)
    assert TWO_B.blocks + TWO_B.embeddings == pytest.approx(1.544e9, rel=0.001)
    assert TWO_B.adapter(16, TARGETS) == 18_464_768  # as peft counts it
    assert TWO_B.adapter(16, ("q_proj", "nothing")) == 28 * 16 * 2 * 1536
    assert TWO_B.kv_elements * 2 == 28_672  # bytes a token in bfloat16


@pytest.mark.parametrize("newer", [False, True])
def test_a_folder_states_its_sizes_flat_or_nested(newer, tmp_path):
    text = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 50,
            "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}  # fmt: skip
    vision = {"depth": 3, "embed_dim": 12, "mlp_ratio": 2, "hidden_size": 8}
    kind = {"model_type": "qwen2_5_vl" if newer else "qwen2_vl"}
    config = {**kind, "vision_config": vision, **({"text_config": text} if newer else text)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text('{"min_pixels": 784, "max_pixels": 7840}')
    sizes = read_anatomy(tmp_path)
    assert (sizes.hidden, sizes.layers, sizes.tied, sizes.max_pixels) == (8, 2, True, 7840)
    assert sizes.vision_hidden == (8 if newer else 12) and sizes.gated is newer
    del config["text_config" if newer else "hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="lacks a size"):
        read_anatomy(tmp_path)


def test_a_picture_is_seen_within_the_bounds_of_the_checkpoint() -> None:
    tiny_base, two_b = card_for("tiny-base"), card_for("qwen2-vl-2b")
    assert seen_pixels(tiny_base, 480_000) == 112 * 112 and seen_pixels(tiny_base, 3_136) == 3_136
    assert seen_pixels(two_b, 480_000) == 480_000
    far = replace(tiny_base, endpoint=Address("http://127.0.0.1:1/v1", "m"))
    assert seen_pixels(far, 480_000) == 480_000


def test_image_tokens_are_the_processors():
    resize = pytest.importorskip(
        "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl"
    ).smart_resize
    sizes, rng = replace(TWO_B, min_pixels=3136, max_pixels=480_000), random.Random(0)
    for _ in range(500):
        width, height = rng.randint(12, 2000), rng.randint(12, 2000)
        down, across = resize(height, width, 28, 3136, 480_000)
        assert sizes.image_tokens((width, height), 10**7) == down * across // 784
    assert TWO_B.image_tokens((448, 448), 480_000) == 256
    config = json.loads((ROOT / "assets" / "tiny" / "base" / "config.json").read_text())
    merged = config["vision_config"]["spatial_merge_size"] ** 2  # patches of 14 pixels to a token
    assert anatomy_of("tiny-base").image_tokens((224, 224), 480_000) == 8 * 8 // merged

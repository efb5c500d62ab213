"""Each image is encoded once, and nothing else changes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image

from rft import sight
from rft.loading import load_model
from rft.scenes import make


@pytest.fixture(scope="module")
def seer(tiny: Path) -> Any:
    loaded = load_model(tiny, device="cpu", dtype=torch.float32)
    loaded.model.requires_grad_(False)
    return loaded


def pixels(seer: Any, *pictures: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    made = seer.processor.image_processor(list(pictures), return_tensors="pt")
    return made["pixel_values"], made["image_grid_thw"]


def scene(number: int, size: int = 112) -> Image.Image:
    picture = make("counting", "train", number).images[0]
    assert isinstance(picture, Image.Image)
    return picture.resize((size, size))


def ran(tower: Any) -> list[int]:
    """The images of each run of the tower from now on, counted at its first block."""
    runs: list[int] = []
    tower.blocks[0].register_forward_pre_hook(
        lambda _, __, given: runs.append(len(given["cu_seqlens"]) - 1), with_kwargs=True
    )
    return runs


def test_an_image_is_encoded_once_and_its_embeddings_are_the_towers(seer: Any) -> None:
    tower = seer.model.model.visual
    one, two, small = scene(1), scene(2), scene(3, 56)
    groups = pixels(seer, one, one, small, two, one, small)
    with torch.no_grad():
        plain = seer.model.model.get_image_features(*groups).pooler_output
        alone = seer.model.model.get_image_features(*pixels(seer, two)).pooler_output[0]
    runs = ran(tower)
    with sight.once(seer.model) as (seen,):
        with torch.no_grad():
            ours = seer.model.model.get_image_features(*groups).pooler_output
        assert runs == [3]
        again = seer.model.model.get_image_features(*pixels(seer, two)).pooler_output[0]
        assert runs == [3] and not again.requires_grad
        assert [len(part) for part in ours] == [len(part) for part in plain]
        for got, wanted in zip([*ours, again], [*plain, alone], strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)
        changed = pixels(seer, two)
        changed[0][0, 0] += 1e-6
        seer.model.model.get_image_features(*changed)
        assert runs == [3, 1], "the least difference makes another image"
        seen.forget()
        assert seen.held == 0
        seer.model.model.get_image_features(*pixels(seer, one))
        assert runs == [3, 1, 1] and seen.held > 0
    assert "forward" not in vars(tower) and seen.held == 0
    seer.model.model.get_image_features(*pixels(seer, one, one))
    assert runs[3:] == [2]


def test_what_was_kept_under_inference_can_be_trained_on(seer: Any) -> None:
    model = seer.model
    shown = pixels(seer, scene(1))
    model.model.language_model.requires_grad_(True)
    try:
        with sight.once(model):
            with torch.inference_mode():
                model.model.get_image_features(*shown)
            text = seer.processor(
                images=[scene(1)], text=["<|vision_start|><|image_pad|><|vision_end|>"],
                return_tensors="pt",
            )  # fmt: skip
            model(**text, labels=text["input_ids"]).loss.backward()
        assert model.model.language_model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0
    finally:
        model.requires_grad_(False)
        model.zero_grad()


def test_generation_from_images_seen_is_the_same(seer: Any) -> None:
    given = seer.processor(
        images=[scene(4)] * 3, text=["<|vision_start|><|image_pad|><|vision_end|>"] * 3,
        return_tensors="pt",
    )  # fmt: skip
    asked = {**given, "do_sample": False, "max_new_tokens": 5, "min_new_tokens": 5}
    plain = seer.model.generate(**asked)
    runs = ran(seer.model.model.visual)
    with sight.once(seer.model):
        assert torch.equal(seer.model.generate(**asked), plain)
        assert torch.equal(seer.model.generate(**asked), plain)
    assert runs == [1]


def test_autocast_sees_for_itself(seer: Any) -> None:
    runs = ran(seer.model.model.visual)
    with sight.once(seer.model), torch.no_grad():
        for dtype in (None, torch.bfloat16, None, torch.bfloat16):
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                seer.model.model.get_image_features(*pixels(seer, scene(5)))
    assert runs == [1, 1], "once either way: the numbers differ"


def test_memory_is_bounded(seer: Any) -> None:
    tower = seer.model.model.visual
    first, rest = pixels(seer, scene(0)), [pixels(seer, scene(n)) for n in range(1, 5)]
    one = first[0].nbytes + 16 * 192 * 4
    seen = sight.Sight(tower, most=2 * one)
    for shown in (first, *rest):
        seen(*shown)
        assert 0 < seen.held <= 2 * one
    seen = sight.Sight(tower, most=one - 1)
    seen(*first)
    assert seen.held == 0, "an image too large is not kept"


def test_what_stops_the_tower_leaves_nothing_behind(seer: Any) -> None:
    tower = seer.model.model.visual

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with sight.once(seer.model) as (seen,):
        hook = tower.blocks[1].register_forward_pre_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            seer.model.model.get_image_features(*pixels(seer, scene(6)))
        hook.remove()
        assert seen.held == 0
        got = seer.model.model.get_image_features(*pixels(seer, scene(6))).pooler_output[0]
        assert got.abs().sum() > 0


def test_more_than_embeddings_is_asked_of_the_tower(seer: Any) -> None:
    with sight.once(seer.model), torch.no_grad():
        for _ in range(2):
            made = seer.model.model.get_image_features(
                *pixels(seer, scene(7)), output_hidden_states=True
            )
            assert made.last_hidden_state is not None and made.hidden_states


def test_a_tower_that_learns_is_left_alone(tiny: Path) -> None:
    model = load_model(tiny, device="cpu", dtype=torch.float32).model
    model.requires_grad_(True)
    with sight.once(model) as sights:
        assert not sights and "forward" not in vars(model.model.visual)
    model.requires_grad_(False)
    assert sight.frozen(model.model.visual)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    assert sight.tower_of(adapted) is model.model.visual and sight.frozen(model.model.visual)
    adapted = get_peft_model(adapted.unload(), LoraConfig(r=2, target_modules=["qkv"]))
    adapted.requires_grad_(False)
    assert not sight.frozen(model.model.visual), "an adapter in it can be switched"


def test_fingerprints_are_of_each_image_alone() -> None:
    one, two = torch.randn(4, 6), torch.randn(3, 6)
    marks = sight.fingerprints(torch.cat([one, two, one]), torch.tensor([4, 3, 4]))
    assert marks[0] == marks[2] != marks[1]
    assert sight.fingerprints(two, torch.tensor([3]))[0] == marks[1]
    assert sight.fingerprints(two.flip(0), torch.tensor([3]))[0] != marks[1]
    halves = sight.fingerprints(torch.cat([two, two]).bfloat16(), torch.tensor([3, 3]))
    assert halves[0] == halves[1] != marks[1]


@pytest.mark.parametrize("tensors", [None, "pt"])
def test_equal_images_are_prepared_once(seer: Any, tensors: str | None) -> None:
    images = seer.processor.image_processor
    pictures = [[scene(1)], [scene(1)], [scene(2, 56), scene(1)], [scene(2, 56)]]
    plain = images(pictures, return_tensors=tensors)
    with sight.prepared_once(images):
        ours = images(pictures, return_tensors=tensors)
    assert "preprocess" not in vars(images)
    for name in ("pixel_values", "image_grid_thw"):
        assert type(ours[name]) is type(plain[name]) and (ours[name] == plain[name]).all()
        assert ours[name].dtype == plain[name].dtype

"""Seeing each image once: what a frozen vision tower made of an image is not made again.

GRPO shows every image to the model once per completion and again in every pass over them, as
TRL does it. A tower that does not learn gives the same embeddings each time, and the image
processor the same patches. Here images are recognised by their exact content; this module knows
neither trainers nor problems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from PIL.Image import Image
from transformers.image_utils import make_flat_list_of_images
from transformers.modeling_outputs import BaseModelOutputWithPooling

#: Bytes that the images remembered at a time may take: some 40 of 480,000 pixels in float32.
MOST = 512 * 2**20

#: Integers as wide as the pixels, to add them up without rounding.
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(eq=False)
class _Seen:
    pixels: torch.Tensor  # [patches, features]
    grid: torch.Tensor  # [3]: frames, rows, columns of patches
    embedding: torch.Tensor | None = None  # [tokens, width], once encoded


class Sight:
    """Stands in for a frozen tower's ``forward``: runs it on images not seen since ``forget``.

    What comes back is what the tower gives for each image alone: its attention never crosses
    images. Rounding may differ in the last bit, as between any two batch sizes.
    """

    def __init__(self, tower: Any, most: int = MOST):
        self._tower, self._encode, self._most = tower, tower.forward, most
        self._seen: dict[tuple[Any, ...], list[_Seen]] = {}
        self.held = 0
        """Bytes remembered."""

    def forget(self) -> None:
        """Let go of all images: those of the next batch are others."""
        self._seen.clear()
        self.held = 0

    def __call__(self, hidden_states: torch.Tensor, grid_thw: torch.Tensor, **asked: Any) -> Any:
        """As the tower's ``forward``: pixels [patches, features], grids [images, 3]."""
        plain = all(v is None or v is False or v is (k == "return_dict") for k, v in asked.items())
        if not plain or asked.get("return_dict") is False or hidden_states.requires_grad:
            # Attentions, hidden states or gradients are wanted, or positions are given.
            return self._encode(hidden_states, grid_thw, **asked)
        fresh: dict[tuple[Any, ...], list[_Seen]] = {}
        shown = [
            self._known(key, fresh, pixels, grid)
            for key, pixels, grid in self._pictures(hidden_states, grid_thw)
        ]
        if fresh:
            self._look(fresh)
        merged = torch.cat([seen.embedding for seen in shown if seen.embedding is not None])
        return BaseModelOutputWithPooling(pooler_output=merged)

    def _pictures(
        self, pixels_P_F: torch.Tensor, grids_I_3: torch.Tensor
    ) -> Iterator[tuple[tuple[Any, ...], torch.Tensor, torch.Tensor]]:
        """Each image: what it is looked up by, its pixels, its grid."""
        kind = pixels_P_F.device.type
        # The tower's numbers depend on these, and generation may differ in them from training.
        manner = (pixels_P_F.dtype, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        sizes = grids_I_3.prod(-1)
        marks = fingerprints(pixels_P_F, sizes).tolist()
        grids = grids_I_3.tolist()
        for mark, shape, pixels, grid in zip(
            marks, grids, pixels_P_F.split(sizes.tolist()), grids_I_3, strict=True
        ):
            yield (mark, *shape, *manner), pixels, grid

    def _known(
        self,
        key: tuple[Any, ...],
        fresh: dict[tuple[Any, ...], list[_Seen]],
        pixels: torch.Tensor,
        grid: torch.Tensor,
    ) -> _Seen:
        """The image as it was seen before; else it is noted as fresh. A fingerprint may err."""
        for seen in chain(self._seen.get(key, ()), fresh.get(key, ())):
            if torch.equal(seen.pixels, pixels):
                return seen
        new = _Seen(pixels, grid)
        fresh.setdefault(key, []).append(new)
        return new

    def _look(self, fresh: dict[tuple[Any, ...], list[_Seen]]) -> None:
        """Run the tower once over the fresh images, and remember them where there is room."""
        new = list(chain(*fresh.values()))
        sizes = [len(seen.pixels) for seen in new]
        # Neither a graph nor inference tensors: a later pass may train on what is kept.
        with torch.inference_mode(False), torch.no_grad():
            pixels = torch.cat([seen.pixels for seen in new])
            grids = torch.stack([seen.grid for seen in new])
            made = self._encode(pixels, grids).pooler_output
        merge = self._tower.spatial_merge_size**2
        for seen, own, embedding in zip(
            new, pixels.split(sizes), made.split([size // merge for size in sizes]), strict=True
        ):
            # The copy, lest a slice keep the whole batch's pixels alive.
            seen.pixels, seen.embedding = own, embedding
        size = pixels.nbytes + made.nbytes
        if self.held + size > self._most:
            self.forget()
        if size <= self._most:
            self.held += size
            for key, images in fresh.items():
                self._seen.setdefault(key, []).extend(images)


def fingerprints(pixels_P_F: torch.Tensor, sizes_I: torch.Tensor) -> torch.Tensor:
    """A number for each image [I], equal for equal pixels: integer sums, which no order rounds.

    ``sizes_I``: patches of each image. All images in a handful of operations on the device.
    """
    bits = pixels_P_F.detach().contiguous().view(_BITS[pixels_P_F.element_size()])
    ends = sizes_I.cumsum(0)
    place = torch.arange(len(bits), device=bits.device)
    place = place - (ends - sizes_I).repeat_interleave(sizes_I, output_size=len(bits))
    running = ((2 * place + 1) * bits.sum(1, dtype=torch.int64)).cumsum(0)[ends - 1]
    return running.diff(prepend=running.new_zeros(1))


def frozen(tower: Any) -> bool:
    """Whether nothing in the tower learns, and no adapter that may be switched lies in it."""
    return not any(p.requires_grad for p in tower.parameters()) and not any(
        isinstance(module, BaseTunerLayer) for module in tower.modules()
    )


def tower_of(model: Any) -> Any | None:
    """The vision tower of a Qwen2-VL or its kin, through whatever wraps it."""
    return next((m for name, m in model.named_modules() if name.endswith("visual")), None)


@contextmanager
def once(*models: Any) -> Iterator[list[Sight]]:
    """Within: the models' towers, where frozen, encode each distinct image once.

    Gives the towers' memories; whoever knows when a batch is done makes them forget.
    """
    towers = [tower for model in models if (tower := tower_of(model)) and frozen(tower)]
    sights = [Sight(tower) for tower in towers]
    with ExitStack() as stack:
        for tower, sight in zip(towers, sights, strict=True):
            # On the module itself: hooks, wrappers and state dicts see no difference.
            stack.enter_context(_instead(tower, "forward", sight))
            stack.callback(sight.forget)
        yield sights


@contextmanager
def prepared_once(processor: Any) -> Iterator[None]:
    """Within: the image processor turns equal images of one call into patches once."""
    prepare = processor.preprocess

    def preprocess(images: Any, *args: Any, **named: Any) -> Any:
        flat: list[Any] = list(make_flat_list_of_images(images))  # type: ignore[arg-type]
        first: dict[Any, int] = {}
        order = [first.setdefault(_content(image), len(first)) for image in flat]
        if len(first) == len(flat):
            return prepare(images, *args, **named)
        made = prepare([flat[order.index(i)] for i in range(len(first))], *args, **named)
        sizes = [int(grid.prod()) for grid in made["image_grid_thw"]]
        made["pixel_values"] = _repeated(made["pixel_values"], sizes, order)
        made["image_grid_thw"] = made["image_grid_thw"][order]
        return made

    # Not for longer than needed: the processor writes its attributes into checkpoints.
    with _instead(processor, "preprocess", preprocess):
        yield


@contextmanager
def _instead(owner: Any, name: str, function: Any) -> Iterator[None]:
    """Within: ``owner`` has this function; after, what it had of its own or by its class."""
    own = vars(owner).get(name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        delattr(owner, name)
        if own is not None:
            setattr(owner, name, own)


def _content(image: Any) -> Any:
    """What makes a PIL image what it is; another kind of image is only itself."""
    if isinstance(image, Image):
        return image.mode, image.size, image.tobytes()
    return id(image)


def _repeated(pixels: Any, sizes: Sequence[int], order: Sequence[int]) -> Any:
    """The images' patches in ``order``, as the array or tensor that they came as."""
    if isinstance(pixels, torch.Tensor):
        pieces = pixels.split(list(sizes))
        return torch.cat([pieces[i] for i in order])
    parts = np.split(pixels, np.cumsum(sizes)[:-1])
    return np.concatenate([parts[i] for i in order])

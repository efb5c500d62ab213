"""The sizes of a checkpoint that decide what it costs: layers, widths, vocabulary, pictures.

Read from its config files, or known by the card of one that is not downloaded yet. Counts and
plain arithmetic alone: no weights are opened, no torch is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft import checkpoint, place, zoo
from rft.cards import ROOT, Card
from rft.errors import CheckpointError, InputError

#: What "tiny" builds untrained has about the sizes of the bundled base, which merges its patches.
_TINY = ROOT / "assets" / "tiny" / "base"


@dataclass(frozen=True)
class Anatomy:
    """Sizes of one whole checkpoint of the Qwen2-VL or Qwen2.5-VL family."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    """Whether the output layer shares the embeddings' weights."""
    context: int
    """Tokens that a conversation may have."""
    vision_hidden: int
    vision_mlp: int
    vision_layers: int
    gated: bool = False
    """Whether the vision tower's MLP has three matrices, as in Qwen2.5-VL."""
    patch: int = 14
    merge: int = 2
    min_pixels: int = 3_136
    max_pixels: int = 12_845_056

    @property
    def layer_shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each linear layer of one block of the language model."""
        keys = self.hidden // self.heads * self.kv_heads
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def blocks(self) -> int:
        """Parameters of the language model's linear layers, embeddings left out."""
        return self.layers * sum(a * b for a, b in self.layer_shapes.values())

    @property
    def embeddings(self) -> int:
        """Parameters of the embeddings and, where it is one of its own, of the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def vision(self) -> int:
        """Parameters of the vision tower, its patch embedding (of two frames) and its merger."""
        width, merged = self.vision_hidden, self.vision_hidden * self.merge**2
        block = 4 * width**2 + (3 if self.gated else 2) * width * self.vision_mlp
        patches = 2 * 3 * self.patch**2 * width
        return patches + self.vision_layers * block + merged * (merged + self.hidden)

    @property
    def parameters(self) -> int:
        """All of them; biases and norms are too few to count."""
        return self.blocks + self.embeddings + self.vision

    @property
    def kv_elements(self) -> int:
        """Numbers that the key-value cache keeps for one token."""
        return 2 * self.layers * (self.hidden // self.heads) * self.kv_heads

    def adapter(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of a LoRA adapter of this rank on the layers of these names."""
        shapes = self.layer_shapes
        return self.layers * sum(rank * sum(shapes[name]) for name in targets if name in shapes)

    def image_tokens(self, size: tuple[int, int], max_pixels: int) -> int:
        """Tokens of a picture of this (width, height), once it is fitted into the bounds."""
        unit = self.patch * self.merge
        most = min(max_pixels, self.max_pixels)
        width, height = fitted(size, most, min_pixels=self.min_pixels, unit=unit)
        return width * height // unit**2


# What the two families share, and the published sizes (their config.json).
_V2: dict[str, Any] = {
    "context": 32_768, "vision_hidden": 1_280, "vision_mlp": 5_120, "vision_layers": 32,
}  # fmt: skip
_V25: dict[str, Any] = {**_V2, "context": 128_000, "vision_mlp": 3_420, "gated": True}
_2B = Anatomy(1_536, 8_960, 28, 12, 2, 151_936, True, **_V2)
_7B = Anatomy(3_584, 18_944, 28, 28, 4, 152_064, False, **_V2)
_3B = Anatomy(2_048, 11_008, 36, 16, 2, 151_936, True, **_V25)
_7B5 = Anatomy(3_584, 18_944, 28, 28, 4, 152_064, False, **_V25)
PUBLISHED = {"qwen2_vl": (_2B, _7B), "qwen2_5_vl": (_3B, _7B5)}


def anatomy_of(named: str | Card) -> Anatomy:
    """The sizes of what a config's ``checkpoint`` names, or of a card; an adapter has its base's.

    Of a checkpoint that is not here, those of the published one nearest to it in size.
    """
    if named == "tiny":
        return read_anatomy(_TINY)
    folder = zoo.folder_of(named) if isinstance(named, Card) else place.folder(named)
    if folder is not None and checkpoint.is_adapter(folder):
        named = checkpoint.inspect(folder).base or ""
        folder = place.folder(named, folder)
    if folder is not None:
        return read_anatomy(folder)
    card = named if isinstance(named, Card) else zoo.card_for(named)
    known = PUBLISHED.get(card.family, (_2B, _7B))
    return min(known, key=lambda sizes: abs(sizes.parameters - card.parameters))


def seen_pixels(card: Card, most: int) -> int:
    """The bound on a picture as a card's checkpoint is given it, where ``most`` is asked for.

    A server keeps its own bounds to itself: what it is sent is all that is known.
    """
    if card.endpoint is not None:
        return most
    try:
        return min(most, anatomy_of(card).max_pixels)
    except (CheckpointError, InputError):
        return most  # it will say itself why it cannot answer


def read_anatomy(folder: Path) -> Anatomy:
    """The sizes that a checkpoint folder states. CheckpointError where it does not."""
    whole = checkpoint.read_json(folder / "config.json")
    family = checkpoint.family_of(whole, folder.name)
    text = {**whole, **(whole.get("text_config") or {})}
    seen, file = whole.get("vision_config") or {}, folder / "preprocessor_config.json"
    pictures = checkpoint.read_json(file) if file.is_file() else {}
    size = pictures.get("size") or {}
    newer = family == "qwen2_5_vl"
    try:
        width = int(seen.get("hidden_size" if newer else "embed_dim", 1_280))
        return Anatomy(
            hidden=int(text["hidden_size"]),
            intermediate=int(text["intermediate_size"]),
            layers=int(text["num_hidden_layers"]),
            heads=int(text["num_attention_heads"]),
            kv_heads=int(text["num_key_value_heads"]),
            vocabulary=int(text["vocab_size"]),
            tied=bool(text.get("tie_word_embeddings", False)),
            context=int(text.get("max_position_embeddings", 32_768)),
            vision_hidden=width,
            vision_mlp=int(
                seen.get("intermediate_size", 3_420) if newer else width * seen.get("mlp_ratio", 4)
            ),
            vision_layers=int(seen.get("depth", 32)),
            gated=newer,
            patch=int(pictures.get("patch_size", 14)),
            merge=int(pictures.get("merge_size", 2)),
            min_pixels=_bound(pictures, size, "min_pixels", "shortest_edge", 3_136),
            max_pixels=_bound(pictures, size, "max_pixels", "longest_edge", 12_845_056),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / 'config.json'} lacks a size ({error}): fetch or save the checkpoint again."
        ) from error


def _bound(
    pictures: Mapping[str, Any], size: Mapping[str, Any], old: str, new: str, default: int
) -> int:
    """A bound on pixels, under the name of an older or a newer processor file."""
    return int(size.get(new) or pictures.get(old) or default)


def fitted(
    size: tuple[int, int], max_pixels: int, *, min_pixels: int = 3_136, unit: int = 28
) -> tuple[int, int]:
    """The (width, height) in pixels at which a model looks at a picture of this ``size``.

    Both sides become multiples of a merged patch, as the Qwen2-VL processor makes them.
    """
    width, height = size
    most = max(max_pixels, unit**2)
    across, down = round(width / unit), round(height / unit)
    if across * down * unit**2 > most:
        shrink = math.sqrt(width * height / most)
        across = max(1, math.floor(width / shrink / unit))
        down = max(1, math.floor(height / shrink / unit))
    elif across * down * unit**2 < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        across = math.ceil(width * grow / unit)
        down = math.ceil(height * grow / unit)
    return across * unit, down * unit

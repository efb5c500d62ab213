"""A key-value cache with room to grow: a token costs what it adds, and no copy of all before it.

transformers' own cache is copied whole at every token, which in a batch of long replies of a tiny
model takes a quarter of the time. Knows no checkpoint and no trainer.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

ROOM = 128  #: tokens that room is made for at a time


class RoomyLayer(DynamicLayer):
    """A layer's keys and values, [B, heads, T, width] each, as views of tensors that are longer."""

    _roomy: tuple[torch.Tensor, ...] = ()
    _shown: tuple[torch.Tensor | None, ...] = ()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values with [B, heads, T_new, width] more: what the class above gives."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        fresh, held = (key_states, value_states), (self.keys, self.values)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        # Whoever has cropped what is shown, or chosen rows of it, has put other tensors there.
        own = all(shown is tensor for shown, tensor in zip(self._shown, held, strict=False))
        if not (self._roomy and own and after <= self._roomy[0].shape[-2]):
            self._roomy = tuple(_longer(new, after + ROOM) for new in fresh)
            for room, old in zip(self._roomy, held, strict=True):
                if before and old is not None:
                    room[..., :before, :] = old
        for room, new in zip(self._roomy, fresh, strict=True):
            room[..., before:after, :] = new
        keys, values = (room[..., :after, :] for room in self._roomy)
        self.keys, self.values = self._shown = keys, values
        return keys, values


def _longer(like: torch.Tensor, length: int) -> torch.Tensor:
    return like.new_empty(*like.shape[:-2], length, like.shape[-1])


def empty(model: Any) -> dict[str, Cache]:
    """An empty cache for one call of the model's ``generate``, under the name that it goes by."""
    named = inspect.signature(model.get_decoder().forward).parameters
    name = "cache" if "cache" in named else "past_key_values"
    return {name: Cache(layer_class_to_replicate=RoomyLayer)}


@contextmanager
def roomy(model: Any) -> Iterator[None]:
    """Within: the model, or an adapter around one, generates with such a cache."""
    generate = model.generate
    model.generate = lambda **given: generate(**{**empty(model), **given})
    try:
        yield
    finally:
        del model.generate  # what its class has shows again

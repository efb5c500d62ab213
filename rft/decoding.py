"""From logits to tokens to text: seeded sampling, stopping, and incremental decoding.

Small pieces around transformers' ``generate``, each with one job. Knows no model and no
conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rft.types import Decoding


class GumbelNoise(LogitsProcessor):
    """Makes the arg max of the logits a sample of their softmax (the Gumbel-max identity).

    arg max_i (z_i - log E_i), with E_i independent and exponential(1), has the distribution
    softmax(z). ``generate`` can then decode greedily and never touch torch's global random
    state, which every other conversation in the process shares.

    Several seeds are those of the rows: what a row draws then depends on no other row.
    """

    def __init__(self, seed: int | Sequence[int] | None, device: torch.device):
        seeds = seed if isinstance(seed, Sequence) else [seed]
        self.generators = [_generator(one, device) for one in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        noise_B_V = torch.empty_like(scores)  # [B, V]
        # One generator fills all rows; else each has its own.
        parts = noise_B_V.split(1) if len(self.generators) > 1 else [noise_B_V]
        for part, generator in zip(parts, self.generators, strict=True):
            part.exponential_(generator=generator)
        # An exponential of exactly 0 would lift a forbidden token's -inf to nan.
        return scores - noise_B_V.clamp_min_(torch.finfo(scores.dtype).tiny).log_()  # type: ignore[return-value]


def _generator(seed: int | None, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


class OnToken(StoppingCriteria):
    """Calls ``hear(newest token id)`` once a token; stops when it says so. Batch size 1."""

    def __init__(self, hear: Callable[[int], bool]):
        self.hear = hear

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        stop = self.hear(int(input_ids[0, -1]))
        return torch.full((input_ids.shape[0],), stop, dtype=torch.bool, device=input_ids.device)


class Filled(StoppingCriteria):
    """Ends each row of a left-padded batch where it fills the context.

    ``lengths_B`` are the prompts' own: a longer neighbour must not shorten a reply.
    """

    def __init__(self, lengths_B: torch.Tensor, context: int):
        self.padded = int(lengths_B.max())
        self.room_B = context - lengths_B

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return self.room_B <= input_ids.shape[1] - self.padded


class Unfolding:
    """Token ids in, text out, piece by piece: the pieces add up to the decoding of all ids.

    A character of several bytes may be spread over tokens, and a tokenizer may write a token
    differently at the start of a text. So the newest ids are decoded behind those of the last
    piece, and a piece that ends within a character is held back until it is whole.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        self.decode = decode
        self.ids: list[int] = []
        self.start = self.shown = 0  # ids[start:shown] is the piece given last

    def feed(self, token: int, *, last: bool = False) -> str:
        """The text that ``token`` completes; empty while a character is not whole."""
        self.ids.append(token)
        return self._piece(last)

    def rest(self) -> str:
        """What was still held back, incomplete as it may be. For the end of a completion."""
        return self._piece(True)

    def _piece(self, last: bool) -> str:
        before = self.decode(self.ids[self.start : self.shown])
        now = self.decode(self.ids[self.start :])
        if not last and now.endswith("\ufffd"):
            return ""
        self.start, self.shown = self.shown, len(self.ids)
        return now[len(before) :]


def processors(
    decoding: Decoding, device: torch.device, seeds: Sequence[int] | None = None
) -> LogitsProcessorList:
    """The logits processors of these settings, in transformers' own order; none for greedy.

    ``seeds``: one for each row, in place of the one of ``decoding``.
    """
    chain = LogitsProcessorList()
    if decoding.temperature == 0:
        return chain
    chain.append(TemperatureLogitsWarper(float(decoding.temperature)))
    if decoding.top_k > 0:
        chain.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1:
        chain.append(TopPLogitsWarper(decoding.top_p))
    chain.append(GumbelNoise(decoding.seed if seeds is None else seeds, device))
    return chain


def settings(decoding: Decoding, room: int, eos: list[int], pad: int) -> GenerationConfig:
    """What ``generate`` is told; ``room`` is how many tokens the context has left."""
    return GenerationConfig(
        do_sample=False,  # sampling is in the processors
        max_new_tokens=min(decoding.max_new_tokens, room),
        eos_token_id=eos,
        pad_token_id=pad,
        use_cache=True,
    )

"""A checkpoint in memory that answers conversations about images, streaming or in batches.

The only module that runs a model for inference. It knows turns and pixels; it knows neither
tasks nor prompts, nor which checkpoints exist. One policy serves one caller at a time: a
model keeps state between prefill and decoding, and rft.engine holds the lock.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList
from transformers.modeling_layers import GradientCheckpointingLayer

from rft import decoding as steps
from rft import kvcache, machine
from rft.asked import as_text, check, check_turns
from rft.base import Base
from rft.errors import InputError, MemoryShort
from rft.images import open_image
from rft.loading import Loaded, is_memory_error, load_model
from rft.processor import QwenVLProcessor
from rft.types import Chunk, Decoding, Turn


def structure(tokenizer: Any) -> tuple[str, ...]:
    """What structures a prompt: special tokens, and the <|…|> that some files forgot to mark."""
    added = tokenizer.added_tokens_decoder.values()
    marked = [t.content for t in added if t.special or re.fullmatch(r"<\|.*\|>", t.content)]
    return tuple({*marked, *tokenizer.all_special_tokens})


def load(folder: Path | str, *, device: str | None = None) -> Policy:
    """Load a checkpoint folder (or a cached Hub id); see rft.loading for what can go wrong."""
    return Policy(load_model(folder, device=device))


class Policy:
    """A loaded checkpoint. ``bytes`` is what its weights take of ``device``'s memory.

    ``base``: those of them that other policies may stand on as well.
    """

    def __init__(self, loaded: Loaded):
        self.model: PreTrainedModel = loaded.model
        self.processor: QwenVLProcessor = loaded.processor
        self.name = loaded.name
        self.base: Base | None = loaded.base
        self.device: torch.device = next(self.model.parameters()).device
        self.dtype: torch.dtype = next(self.model.parameters()).dtype
        tensors = [*self.model.parameters(), *self.model.buffers()]
        self.bytes: int = sum(tensor.nbytes for tensor in tensors)
        tokenizer = self.processor.tokenizer
        self._structure = structure(tokenizer)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = [e for e in {*ends, tokenizer.eos_token_id} if e is not None]
        pad = tokenizer.pad_token_id
        self._pad = pad if pad is not None else (self._ends or [0])[0]
        # The file's own sampling settings (and whatever else it asks for) would fill the gaps
        # of ours; how to decode is the user's to say.
        self.model.generation_config = GenerationConfig(eos_token_id=self._ends)
        self._context = int(self.model.config.get_text_config().max_position_embeddings)
        self._layers = [
            m for m in self.model.modules() if isinstance(m, GradientCheckpointingLayer)
        ]

    def stream(
        self, turns: Sequence[Turn], decoding: Decoding, stop: threading.Event
    ) -> Iterator[Chunk]:
        """Answer the last turn, piece by piece; the last Chunk says why it ended.

        Setting ``stop`` ends it within one token, and within one layer while the prompt is
        read. Closing the iterator does the same, and returns once the model is free again.
        Raises InputError (conversation, settings, length) and MemoryShort.
        """
        start = time.perf_counter()
        check(decoding)
        said: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        halt = threading.Event()

        def stopped() -> bool:
            return stop.is_set() or halt.is_set()

        def hear(token: int) -> bool:
            said.put(token)
            return stopped()

        def work() -> None:
            try:
                self._generate([turns], decoding, stopped, [steps.OnToken(hear)])
                said.put(None)
            except BaseException as error:  # the thread's outermost frame: raised by the reader
                said.put(error)

        unfolding = steps.Unfolding(self._decode)
        ended: int | BaseException | None = None
        token = -1
        worker = threading.Thread(target=work, name=f"answer {self.name}", daemon=True)
        worker.start()
        try:
            while isinstance(ended := said.get(), int):
                token = ended
                piece = unfolding.feed(token)
                if piece:
                    yield Chunk(piece, len(unfolding.ids), time.perf_counter() - start)
        finally:
            halt.set()
            worker.join()
        if isinstance(ended, BaseException) and not isinstance(ended, _Stopped):
            self._raise(ended)
        finish = "eos" if token in self._ends else "stop" if stop.is_set() else "length"
        seconds = time.perf_counter() - start
        yield Chunk(unfolding.rest(), len(unfolding.ids), seconds, finish)  # type: ignore[arg-type]

    def complete(
        self,
        conversations: Sequence[Sequence[Turn]],
        decoding: Decoding,
        *,
        batch_size: int = 16,
        stop: threading.Event | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """The completions of many conversations, left-padded in batches. For evaluation.

        Once ``stop`` is set, the batch under way and those after it are left empty. ``seeds``,
        one for each conversation, make what is sampled independent of the batches.
        """
        check(decoding)
        stop = stop or threading.Event()
        texts: list[str] = []
        for first in range(0, len(conversations), batch_size):
            batch = conversations[first : first + batch_size]
            # A seed of its own for each batch, or all of them would draw the same noise.
            seed = None if decoding.seed is None else decoding.seed + first
            try:
                out_B_T = self._generate(
                    batch,
                    replace(decoding, seed=seed),
                    stop.is_set,
                    seeds=None if seeds is None else seeds[first : first + len(batch)],
                )
            except _Stopped:
                return texts + [""] * (len(conversations) - len(texts))
            except (MemoryError, RuntimeError) as error:
                self._raise(error)
            texts += [self._decode(ids) for ids in out_B_T.tolist()]
        return texts

    def encode(self, conversations: Sequence[Sequence[Turn]], max_pixels: int) -> dict[str, Any]:
        """Model inputs: input_ids [B, T] left-padded, pixel_values [patches, features], …

        Images come before the text of their turn. Text that looks like the structure of a
        prompt is broken by :func:`as_text`. InputError where the prompt exceeds the context.
        """
        texts: list[Any] = []
        images: list[Image.Image] = []
        for turns in conversations:
            check_turns(turns)
            messages: list[Any] = [
                {
                    "role": turn.role,
                    "content": [{"type": "image"} for _ in turn.images]
                    + [{"type": "text", "text": as_text(turn.text, self._structure)}],
                }
                for turn in turns
            ]
            texts.append(
                self.processor.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            )
            images += [open_image(picture) for turn in turns for picture in turn.images]
        own = self.processor.image_processor.size
        longest = min(max_pixels, own["longest_edge"])
        size = {"shortest_edge": min(own["shortest_edge"], longest), "longest_edge": longest}
        inputs = self.processor(
            text=texts,
            images=images or None,
            images_kwargs={"size": size},
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        length = inputs["input_ids"].shape[1]
        if length >= self._context:
            raise InputError(
                f"The conversation is {length:,} tokens long and {self.name} reads at most "
                f"{self._context:,}: clear it, shorten the text, or send fewer or smaller images."
            )
        return dict(inputs)

    def _generate(
        self,
        conversations: Sequence[Sequence[Turn]],
        decoding: Decoding,
        stopped: Callable[[], bool],
        criteria: Sequence[StoppingCriteria] = (),
        seeds: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Completion ids [B, T_new]; raises _Stopped within one layer once ``stopped()``."""
        inputs = self.encode(conversations, decoding.max_pixels)
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        length = inputs["input_ids"].shape[1]
        lengths_B = inputs["attention_mask"].sum(1)
        if len(conversations) > 1:  # alone, max_new_tokens is the same limit
            criteria = [*criteria, steps.Filled(lengths_B, self._context)]

        def guard(*_: Any) -> None:
            if stopped():
                raise _Stopped

        # Reading a prompt with images can take a large model on a CPU half a minute: waiting
        # for the next token, where generate itself would stop, is too long.
        hooks = [layer.register_forward_pre_hook(guard) for layer in self._layers]
        try:
            guard()
            out_B_T = self.model.generate(  # type: ignore[operator]
                **inputs,
                **kvcache.empty(self.model),
                generation_config=steps.settings(
                    decoding, self._context - int(lengths_B.min()), self._ends, self._pad
                ),
                logits_processor=steps.processors(decoding, self.device, seeds),
                stopping_criteria=StoppingCriteriaList(criteria),
            )
        finally:
            for hook in hooks:
                hook.remove()
        return out_B_T[:, length:]

    def _decode(self, ids: list[int]) -> str:
        text = self.processor.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def _raise(self, error: BaseException) -> None:
        """Re-raise, with memory errors freed and told as a sentence."""
        if not is_memory_error(error):
            raise error
        # The frames of the failed call hold its tensors.
        error.__traceback__ = None
        machine.give_back()
        raise MemoryShort(
            f"{self.name} ran out of memory on {self.device} while answering: lower the pixels "
            "or the token limit, send fewer images, or choose a smaller checkpoint."
        )


class _Stopped(Exception):
    """Raised inside a forward pass that nobody waits for any more."""

"""The weights of one base in memory, and the models that stand on them.

Each model is a tree of modules of its own over the same tensors. No adapter is ever switched on
or off, so the models of one base answer at the same time and need not know of one another. What
changes while a model runs (positions, hooks, settings) lies in its tree. Knows no conversation
and no free memory.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from rft import checkpoint
from rft.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class Base:
    """Whole weights in memory, as long as a model stands on them.

    ``model`` only holds them: it is never run, or what it keeps between two tokens would be in
    every copy. ``written`` is when the files of ``folder`` were, see checkpoint.written.
    """

    folder: Path
    written: float
    model: PreTrainedModel

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def bytes(self) -> int:
        """What the weights take of the device's memory."""
        return sum(tensor.nbytes for tensor in (*self.model.parameters(), *self.model.buffers()))

    def whole(self) -> PreTrainedModel:
        """The base itself, to run: new modules, the same tensors."""
        # Parameters of its own over the same storage: freezing or replacing one stays its affair.
        same: dict[int, torch.Tensor] = {
            id(weight): torch.nn.Parameter(weight.detach(), requires_grad=False)
            for weight in self.model.parameters()
        }
        same |= {id(buffer): buffer.detach() for buffer in self.model.buffers()}
        return copy.deepcopy(self.model, same)

    def adapted(self, adapter: checkpoint.Facts) -> PreTrainedModel:
        """The base with a LoRA adapter whose factors stay factors: they alone take memory.

        CheckpointError where the adapter was made for another base.
        """
        dtype = next(self.model.parameters()).dtype
        # In the base's dtype, as autocast would have it in training; shared weights are in it.
        return _with_adapter(self.whole(), adapter).get_base_model().to(dtype)


def merged(model: PreTrainedModel, adapter: checkpoint.Facts) -> PreTrainedModel:
    """``model`` itself, changed as the adapter says: faster, and alone with its weights."""
    return _with_adapter(model, adapter).merge_and_unload()


def _with_adapter(model: PreTrainedModel, adapter: checkpoint.Facts) -> Any:
    from peft import PeftModel, get_peft_model_state_dict

    adapted = PeftModel.from_pretrained(model, str(adapter.folder), local_files_only=True)
    # "Trained, but nothing changed": peft only warns of weights whose names match nothing.
    files = checkpoint.weight_files(adapter.folder)
    given = {name for file in files for name in checkpoint.header(file)}
    # Left to itself, peft asks the Hub whether the base's vocabulary has grown since.
    embedded = any(".lora_" not in name for name in given)
    strange = given - set(get_peft_model_state_dict(adapted, save_embedding_layers=embedded))
    if strange:
        raise CheckpointError(
            f"{adapter.folder} does not fit its base: {len(strange)} of its {len(given)} weights "
            "have no place there. Point base_model_name_or_path at the model it was trained on."
        )
    return adapted

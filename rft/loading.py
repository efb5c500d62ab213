"""From a checkpoint folder to a model in memory: device, dtype, and every way it can fail.

The same code for all checkpoints: whole models and PEFT adapters of the supported families,
safetensors only, never remote code. Whatever is wrong ends in one sentence with its remedy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    BitsAndBytesConfig,
    PreTrainedModel,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLForConditionalGeneration,
)

from rft import checkpoint, hub, machine, place
from rft.base import Base, merged
from rft.errors import CheckpointError, MemoryShort
from rft.processor import QwenVLProcessor, load_processor

CLASSES: dict[str, type[PreTrainedModel]] = {
    "qwen2_vl": Qwen2VLForConditionalGeneration,
    "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
}


@dataclass(frozen=True)
class Loaded:
    """A model on its device, in eval mode, and its processor.

    ``base`` holds the weights that it stands on where others may stand on them too.
    """

    name: str
    model: PreTrainedModel
    processor: QwenVLProcessor
    base: Base | None = None


def find(where: Path | str, beside: Path | None = None) -> Path:
    """The folder of a checkpoint, by any name it has here (see rft.place)."""
    found = place.folder(str(where), beside)
    if found is None:
        raise CheckpointError(
            f"{where} is neither a folder nor a downloaded checkpoint: check the path, or "
            "choose it in the app, which downloads it."
        )
    return found


def load_model(
    where: Path | str,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    four_bit: bool = False,
    processor: QwenVLProcessor | None = None,
) -> Loaded:
    """Load a checkpoint whose weights are its own: an adapter is merged into its base.

    CheckpointError or MemoryShort says what is wrong and what to do. Everything that can be
    judged from files is judged before memory is touched. Training gives the ``dtype`` it needs,
    its own ``processor``, and may want the weights in 4 bits.
    """
    named = _named(where)
    processor = processor or _processor(named.folder, named.whole)
    target = torch.device(device) if device else best_device(named.whole.parameters)
    dtype = dtype or fitting_dtype(target, named.whole.parameters, named.name)
    with _told(named, target):
        model = _weights(named.whole, target, dtype, four_bit)
        if named.adapter is not None:
            model = merged(model, named.adapter)
    return Loaded(named.name, model.eval(), processor)


def load_shared(
    where: Path | str, *, device: str | None = None, base: Base | None = None
) -> Loaded:
    """Load a checkpoint to answer: its weights, or an adapter's base, serve others as well.

    ``base``: these weights are in memory already, and stay on the device where they are. What
    cannot share is loaded by itself. Errors as in :func:`load_model`.
    """
    named = _named(where)
    if not named.shares:
        return load_model(where, device=device)
    processor = _processor(named.folder, named.whole)
    if base is None:
        base = _base(named, device)
    with _told(named, base.device):
        model = base.whole() if named.adapter is None else base.adapted(named.adapter)
    return Loaded(named.name, model.eval(), processor, base)


def _base(named: _Named, device: str | None) -> Base:
    whole = named.whole
    target = torch.device(device) if device else best_device(whole.parameters)
    dtype = fitting_dtype(target, whole.parameters, named.name)
    written = checkpoint.written(whole.folder)
    with _told(named, target):
        return Base(whole.folder, written, _weights(whole, target, dtype))


@dataclass(frozen=True)
class _Named:
    """A checkpoint as its files describe it: ``whole`` is an adapter's base, or itself."""

    name: str
    folder: Path
    whole: checkpoint.Facts
    adapter: checkpoint.Facts | None

    @property
    def shares(self) -> bool:
        return self.whole.shares and (self.adapter is None or self.adapter.shares)


def _named(where: Path | str) -> _Named:
    folder = find(where)
    facts = checkpoint.inspect(folder)
    adapter = facts if facts.base is not None else None
    whole = checkpoint.inspect(find(facts.base, folder)) if facts.base is not None else facts
    if whole.family is None:
        raise CheckpointError(f"{folder} is an adapter of an adapter: merge the first into a base.")
    name = folder.name if isinstance(where, Path) else str(where).rstrip("/").split("/")[-1]
    return _Named(name, folder, whole, adapter)


@contextlib.contextmanager
def _told(named: _Named, target: torch.device) -> Iterator[None]:
    """Turns what goes wrong while weights are loaded into sentences."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{named.folder} cannot be loaded ({_first_line(error)}): fetch or save it again."
        ) from error
    except (RuntimeError, MemoryError) as error:
        if is_memory_error(error):
            error.__traceback__ = None  # its frames hold what was loaded so far
            machine.give_back()
            raise MemoryShort(
                f"{named.name} ran out of memory while it was loaded on {target}: release another "
                "checkpoint, close other programs, or choose a smaller one."
            ) from None
        if "size mismatch" in str(error) or "mismatched" in str(error):
            raise CheckpointError(
                f"The weights of {named.folder} do not fit its config.json: fetch or save it again."
            ) from error
        raise


def _processor(folder: Path, whole: checkpoint.Facts) -> QwenVLProcessor:
    """The checkpoint's own processor, else its base's, else a cached Qwen base's."""
    assert whole.family is not None
    source = folder if hub.has_processor(folder) else None
    source = source or hub.processor_folder(whole.folder, whole.family)
    try:
        processor = load_processor(source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The tokenizer or image processor in {source} cannot be read "
            f"({_first_line(error)}): fetch or save it again."
        ) from error
    if processor.chat_template is None:
        file = source / "chat_template.json"  # where older repositories keep it
        template = checkpoint.read_json(file).get("chat_template") if file.is_file() else None
        if not isinstance(template, str):
            raise CheckpointError(
                f"{source} has no chat template: copy chat_template.jinja from its base model."
            )
        processor.chat_template = template
    return processor


def _weights(
    facts: checkpoint.Facts, device: torch.device, dtype: torch.dtype, four_bit: bool = False
) -> PreTrainedModel:
    assert facts.family is not None
    options: dict[str, Any] = {"device_map": {"": device}} if device.type == "cuda" else {}
    if four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    # The annotation in transformers forgets the pair that output_loading_info returns.
    loaded: Any = CLASSES[facts.family].from_pretrained(
        facts.folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        attn_implementation="sdpa",
        output_loading_info=True,
        **options,
    )
    model, info = loaded
    # transformers fills what is missing with random numbers and only warns.
    if info["missing_keys"] or info["mismatched_keys"]:
        gaps = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
        raise CheckpointError(
            f"{facts.folder} lacks {len(gaps)} of its weights (first: {gaps[0]}): "
            "fetch or save it again."
        )
    placed: PreTrainedModel = model if device.type == "cuda" else model.to(device)
    if device.type == "cpu":
        # Where nothing was converted, the weights are still the mapped file: they would count as
        # free memory, and a file that is written over would end the process.
        for weight in placed.parameters():
            weight.data = weight.data.clone()
    return placed


def best_device(parameters: int) -> torch.device:
    """A GPU that has room for the model in two bytes a parameter, else the CPU."""
    if torch.cuda.is_available():
        room = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
        best = max(range(len(room)), key=room.__getitem__)
        if room[best] > 2 * parameters:
            return torch.device("cuda", best)
    elif torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def fitting_dtype(device: torch.device, parameters: int, name: str) -> torch.dtype:
    """bf16 on a GPU (fp16 where it has none), on a CPU float32 where that fits comfortably.

    MemoryShort where even two bytes a parameter exceed what a CPU has free: the system would
    not refuse such a load, it would end the process.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        return torch.bfloat16
    free = machine.memory().main
    if machine.cpu_weight_bytes(parameters, free) == 4 * parameters:
        return torch.float32
    if 2 * parameters > free:
        raise MemoryShort(
            f"{name} needs {machine.gb(2 * parameters)}, this machine has {machine.gb(free)} "
            "free: close other programs or choose a smaller checkpoint."
        )
    return torch.bfloat16


def is_memory_error(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device and from whichever layer."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    told = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(t in str(error).lower() for t in told)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]

"""What a checkpoint folder holds: family, weights, size. Read from its headers alone.

Knows neither the Hub, nor torch, nor transformers: a folder is judged in milliseconds,
before anything is loaded, and everything that can be wrong with it has its sentence here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.errors import CheckpointError

#: ``model_type`` of config.json -> what people call it. Nothing else can run here.
FAMILIES = {"qwen2_vl": "Qwen2-VL", "qwen2_5_vl": "Qwen2.5-VL"}

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HEADER_LIMIT = 100_000_000  # bytes; a longer header is damage, not a model


@dataclass(frozen=True)
class Facts:
    """A checkpoint folder that passed inspection.

    ``family`` is a key of FAMILIES; an adapter has none, but names its ``base``: a folder or
    a Hub id. ``parameters`` and ``tensors`` count what the safetensors headers list. ``shares``:
    others may stand on the same weights: a whole model that is not quantised, an adapter that adds
    LoRA factors and leaves its base as it is.
    """

    folder: Path
    family: str | None
    base: str | None
    parameters: int
    tensors: int
    shares: bool = True


def family_of(config: dict[str, Any], name: str) -> str:
    """The supported family a config.json describes; others are refused by their name."""
    kind = config.get("model_type")
    if kind in FAMILIES:
        return str(kind)
    families = " and ".join(FAMILIES.values())
    if not isinstance(kind, str) or not kind:
        raise CheckpointError(
            f"{name} has a config.json without a model_type; the Studio runs the {families} "
            "families: choose a checkpoint of one of them."
        )
    raise CheckpointError(
        f"{name} is a {kind} checkpoint; the Studio runs the {families} families: "
        "choose a checkpoint of one of them."
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's file, or the sentence that says what is wrong with it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent} has no {path.name}: point at the folder that save_pretrained wrote."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}): fetch or save the checkpoint again."
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is not a JSON object: fetch or save the checkpoint again.")
    return found


def is_adapter(folder: Path) -> bool:
    """Whether the folder is a PEFT adapter and not a whole model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the weights; CheckpointError where any is missing."""
    if is_adapter(folder):
        names = [ADAPTER_WEIGHTS]
    elif (folder / SINGLE).is_file():
        names = [SINGLE]
    elif (folder / INDEX).is_file():
        names = _shards(folder / INDEX)
    else:
        if any(True for pattern in PICKLES for _ in folder.glob(pattern)):
            raise CheckpointError(
                f"{folder} holds pickled weights only, which can run code when they are opened: "
                "convert them with save_pretrained, which writes safetensors."
            )
        raise CheckpointError(
            f"{folder} has no {SINGLE}: its download or its training did not finish; "
            "fetch it again or choose another folder."
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"{folder} lacks {missing[0]}{more} of {len(names)} weight files: fetch it again."
        )
    return [folder / name for name in names]


def _shards(index: Path) -> list[str]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise CheckpointError(f"{index} lists no weights: fetch the checkpoint again.")
    shards = sorted({str(name) for name in names.values()})
    # A shard is a neighbour of its index; a path that leads elsewhere is not one of ours to open.
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in shards):
        raise CheckpointError(f"{index} names weights outside its folder: do not use it.")
    return shards


def header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name -> {dtype, shape, data_offsets}.

    Checked against the file's size, so that a cut-off download is found before it is loaded.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            if start.startswith(b"version "):
                raise CheckpointError(
                    f"{file} is a Git LFS pointer, not the weights: run `git lfs pull`."
                )
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 0 < length <= min(size - 8, _HEADER_LIMIT):
                raise _damaged(file, "its header is cut off")
            raw = stream.read(length)
        entries = json.loads(raw)
        entries.pop("__metadata__", None)
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{file} cannot be opened ({error.strerror}).") from error
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise _damaged(file, "its header makes no sense") from error
    if size != 8 + length + end:
        raise _damaged(file, f"it has {size:,} bytes where {8 + length + end:,} are announced")
    return entries


def _damaged(file: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{file} is damaged ({why}): delete it and fetch or save the checkpoint again."
    )


def inspect(folder: Path) -> Facts:
    """Judge a folder by its configuration and headers; CheckpointError says what is wrong."""
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}: check the path.")
    family = base = None
    config = read_json(folder / (ADAPTER_CONFIG if is_adapter(folder) else "config.json"))
    if is_adapter(folder):
        base = config.get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise CheckpointError(
                f"{folder} is an adapter that does not name its base: set "
                f"base_model_name_or_path in its {ADAPTER_CONFIG}."
            )
    else:
        family = family_of(config, str(folder))
    listed = [item for file in weight_files(folder) for item in header(file).items()]
    entries = [entry for _, entry in listed]
    quantised = config.get("quantization_config") is not None
    return Facts(
        folder=folder,
        family=family,
        base=base,
        parameters=sum(math.prod(entry["shape"]) for entry in entries),
        tensors=len(entries),
        shares=not quantised if base is None else _adds(config, [name for name, _ in listed]),
    )


#: In the names of what an adapter lays beside its base.
_ADDED = (".lora_A.", ".lora_B.", ".trainable_tokens_delta")


def _adds(config: dict[str, Any], names: list[str]) -> bool:
    """Whether an adapter is LoRA in its plain form: new factors beside weights left as they are,
    and new embeddings of some tokens in their place.

    Trained biases, whole modules, magnitudes (DoRA) and starts like PiSSA's, which change the
    base when they are loaded, are not.
    """
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    start = config.get("init_lora_weights", True)
    odd = (
        "layer_replication", "modules_to_save", "target_parameters", "use_dora", "use_qalora",
        "alora_invocation_tokens",
    )  # fmt: skip
    return (
        plain
        and (isinstance(start, bool) or start == "gaussian")
        and not any(config.get(name) for name in odd)
        and all(any(part in name for part in _ADDED) for name in names)
    )


def written(folder: Path | None) -> float:
    """When a folder's weights or configuration were last written; 0 where there are none."""
    if folder is None:
        return 0.0
    files = [*folder.glob("*.safetensors"), *folder.glob("*.json")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

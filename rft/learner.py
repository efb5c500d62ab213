"""The model that a run trains: its start, its adapter, its way to and from disk.

Loads through rft.loading as everything does; knows nothing of TRL and of the run's files.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import TrainableTokensWrapper

from rft import checkpoint, machine, tiny, tower, zoo
from rft.cards import ROOT
from rft.config import Config
from rft.errors import CheckpointError
from rft.loading import load_model
from rft.pace import CHECKPOINTED
from rft.processor import QwenVLProcessor, load_processor

#: Numbers in the embeddings up to which some tokens' own may learn: peft copies all at every token.
COPIED = 10_000_000
#: What a checkpoint folder holds beside weights and config.
DESCRIPTION = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "chat_template.jinja", "chat_template.json",
    "preprocessor_config.json", "processor_config.json", "generation_config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Learner:
    """A model in training: its language model or a LoRA adapter on it learns."""

    model: Any
    """A Qwen2VLForConditionalGeneration, or the PeftModel around it."""
    processor: QwenVLProcessor
    start: Path
    """The folder of the whole checkpoint underneath."""

    @property
    def adapted(self) -> bool:
        return isinstance(self.model, PeftModel)

    @property
    def large(self) -> bool:
        """Whether activations are recomputed, and a GPU computes in bfloat16."""
        return sum(p.numel() for p in self.whole.parameters()) > CHECKPOINTED

    def autocast(self) -> torch.autocast:
        """In which it is run beside training, as training itself runs it."""
        half = torch.cuda.is_available() and self.large
        return torch.autocast("cuda", torch.bfloat16, enabled=half)

    @property
    def whole(self) -> Any:
        """The model without the adapter's wrapping (its layers stay in)."""
        return self.model.get_base_model() if self.adapted else self.model


def start_folder(config: Config, folder: Path) -> Path:
    """The whole checkpoint that a run starts from, made in the run's folder where need be.

    An untrained tiny one is built; an adapter is merged into its base, so that the run's own
    adapter has a base that can be loaded. CheckpointError where it must be downloaded first.
    """
    made = folder / "start"
    if (made / "config.json").is_file():
        return made
    draft = folder / "start.part"
    shutil.rmtree(draft, ignore_errors=True)
    if config.checkpoint == "tiny":
        return tiny.build(draft, config.seed).rename(made)
    card = zoo.card_for(config.checkpoint)
    found = zoo.folder_of(card)
    if found is None:
        raise CheckpointError(
            f"{card.title} is not on this machine yet: choose it in Chat, which downloads it."
        )
    if not checkpoint.is_adapter(found):
        return found
    print(f"{card.title} is an adapter: merging it into its base.", flush=True)
    loaded = load_model(found, device="cpu")
    loaded.model.save_pretrained(draft)
    loaded.processor.tokenizer.save_pretrained(draft)
    loaded.processor.image_processor.save_pretrained(draft)
    draft.rename(made)
    return made


def load(config: Config, start: Path, weights: Path | None = None) -> Learner:
    """The model to train, from ``start``; ``weights`` continues what an earlier step saved.

    float32 on a CPU, and where the model is small. On CUDA the base of a large one's adapter is
    bfloat16 (or 4 bits), the adapter float32; weights that learn themselves are float32 under
    bf16 autocast.
    """
    cuda = torch.cuda.is_available()
    large = checkpoint.inspect(start).parameters > CHECKPOINTED
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu"
    source = weights if weights is not None and not config.rank else start
    if large and not cuda:
        machine.keep_no_holes()
    loaded = load_model(
        source,
        device=device,
        dtype=torch.bfloat16 if cuda and large and config.rank else torch.float32,
        four_bit=config.four_bit,
        processor=load_processor(start, max_pixels=config.max_pixels),
    )
    model: Any = loaded.model
    model.config.use_cache = True
    if config.rank:
        if weights is not None:
            # The Trainer would load them too, but only where it finds a checkpoint of its own.
            model = PeftModel.from_pretrained(model, str(weights), is_trainable=True)
        else:
            torch.manual_seed(config.seed)  # of the adapter's first weights
            small = model.get_input_embeddings().weight.numel() <= COPIED
            tags = _tags(loaded.processor.tokenizer) if small else []
            model = get_peft_model(model, _lora(config, tags))
        head: Any = model.get_output_embeddings()
        if isinstance(head, TrainableTokensWrapper):
            # TRL asks it for one; it hands on its layer's weights and no bias.
            head.bias = None  # type: ignore[assignment]
        # TRL asks for it under gradient checkpointing; on Qwen2-VL it would send gradients
        # through the frozen vision tower and leave a hook behind at every step.
        model.enable_input_require_grads = lambda: None
    else:
        model.requires_grad_(True)
        model.model.visual.requires_grad_(config.train_vision)
        # A frozen tower sees each image once (rft.sight), and a CPU waits for no call.
        if cuda and config.train_vision:
            tower.by_size(model.model.visual)
    return Learner(model, loaded.processor, start)


def _tags(tokenizer: Any) -> list[int]:
    """Those of the answer's tags that are one token: what learns with an adapter.

    With tied weights a token's embedding bounds its probability, whatever the hidden state: a tag
    that the base was never sure of stays close to what was said in its stead. The bundled base's
    <think> cannot come above 0.82; GRPO stopped there, and a sample of five still did not reason.
    """
    return [tokens[0] for tag in tiny.TAGS if len(tokens := tokenizer(tag)["input_ids"]) == 1]


def _lora(config: Config, tags: list[int]) -> LoraConfig:
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.targets),
        trainable_token_indices=tags or None,
        task_type="CAUSAL_LM",
    )


def save(learner: Learner, folder: Path) -> Path:
    """Write a checkpoint that loads by itself: an adapter, or whole weights in bfloat16.

    A folder of that name is replaced once the new one is whole.
    """
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    if learner.adapted:
        learner.model.save_pretrained(draft, selected_adapters=["default"])
        _name_base(draft / checkpoint.ADAPTER_CONFIG, learner.start, folder)
    else:
        # Weights that are tied must stay one tensor, or they would be written twice.
        one: dict[int, torch.Tensor] = {}
        halved = {
            name: one.setdefault(value.data_ptr(), _half(value))
            for name, value in learner.model.state_dict().items()
        }
        learner.model.save_pretrained(draft, state_dict=halved)
        _say_dtype(draft / "config.json")
    (draft / "README.md").unlink(missing_ok=True)  # peft's template, which names local paths
    describe(learner.start, draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return folder


def describe(start: Path, folder: Path) -> None:
    """Put beside a checkpoint's weights what the one it came from has beside its own."""
    for name in DESCRIPTION:
        if (start / name).is_file() and not (folder / name).exists():
            shutil.copyfile(start / name, folder / name)


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.bfloat16) if value.is_floating_point() else value


def _name_base(file: Path, start: Path, folder: Path) -> None:
    """Name the adapter's base so that it is found again: in a repository that was moved too."""
    config = json.loads(file.read_text())
    whole = start.resolve()
    if "snapshots" in whole.parts:  # a Hub cache: …/models--owner--name/snapshots/REVISION
        repo = whole.parts[whole.parts.index("snapshots") - 1]
        named = repo.removeprefix("models--").replace("--", "/", 1)
    elif whole == (folder.parent / "start").resolve():
        named = "../start"
    elif whole.is_relative_to(ROOT):
        named = whole.relative_to(ROOT).as_posix()
    else:
        named = str(whole)
    config["base_model_name_or_path"] = named
    file.write_text(json.dumps(config, indent=2) + "\n")


def _say_dtype(file: Path) -> None:
    config = json.loads(file.read_text())
    for part in (config, *(config.get(name) or {} for name in ("text_config", "vision_config"))):
        if "dtype" in part:
            part["dtype"] = "bfloat16"
    file.write_text(json.dumps(config, indent=2) + "\n")

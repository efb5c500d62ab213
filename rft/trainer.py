"""Training through TRL. This module turns a recipe into a checkpoint folder.

It knows recipes and lessons; no page. The output folder holds ``recipe.json``,
``metrics.jsonl`` (one line per logged step), ``checkpoint-*`` while it runs and the finished
checkpoint in ``final``. A killed run goes on where its last checkpoint stands.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rft.errors import InputError, StudioError
from rft.lessons import Lesson, curriculum
from rft.recipe import Recipe


def train_sft(recipe: Recipe, out: Path) -> Path:
    """Run supervised fine-tuning; return the folder of the finished checkpoint.

    Loss on the completion only (the paper's CoT-SFT, section 3.1). float32 weights; bf16
    autocast on CUDA. Resumes from the newest checkpoint in ``out``.
    """
    import torch
    from datasets import Dataset
    from transformers import Qwen2VLForConditionalGeneration
    from transformers.trainer_utils import get_last_checkpoint
    from trl import SFTConfig, SFTTrainer

    from rft import tiny
    from rft.processor import load_processor

    out.mkdir(parents=True, exist_ok=True)
    _claim(recipe, out)
    start = recipe.start
    if start == "tiny":
        start = str(tiny.build(out / "start", recipe.seed))
    last = get_last_checkpoint(str(out))
    # The Trainer restores the optimizer, but not these weights: checkpoints name them as Qwen2-VL
    # repositories do, the model names them otherwise, and what does not match is only warned of.
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        last or start, dtype=torch.float32, attn_implementation="sdpa", use_safetensors=True
    )
    model.model.visual.requires_grad_(recipe.train_vision)
    teach = curriculum(recipe.curriculum)

    def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        """TRL's conversational prompt-completion form, pictures drawn on the way."""
        lessons = [teach(i) for i in batch["index"]]
        return {
            "images": [list(lesson.draw()) for lesson in lessons],
            "prompt": [[{"role": "user", "content": lesson.prompt}] for lesson in lessons],
            "completion": [
                [{"role": "assistant", "content": lesson.completion}] for lesson in lessons
            ],
        }

    dataset = Dataset.from_dict({"index": reading_order(teach, recipe)}).with_transform(rows)
    cuda = torch.cuda.is_available()
    config = SFTConfig(
        output_dir=str(out),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(recipe.warmup * recipe.steps),
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        seed=recipe.seed,
        train_sampling_strategy="sequential",  # reading_order has shuffled already
        max_length=None,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=cuda,
        use_cpu=not cuda,
        logging_steps=20,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_steps,
        save_total_limit=2,
        report_to="none",
        remove_unused_columns=False,
        dataloader_num_workers=1 if (os.cpu_count() or 1) <= 2 else 8,
        dataloader_prefetch_factor=4,
        dataloader_persistent_workers=True,
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=dataset,
        processing_class=load_processor(start),
        callbacks=[_metrics_to(out / "metrics.jsonl")],
    )
    if last:
        _cut_metrics(out / "metrics.jsonl", int(last.rsplit("-", 1)[1]))
    trainer.train(resume_from_checkpoint=last)
    return _finish(trainer.model, start, out)


def reading_order(teach: Callable[[int], Lesson], recipe: Recipe) -> list[int]:
    """The lessons' indices in the order of training.

    Within a window of 32 batches lessons are sorted by length, so that a batch holds little
    padding, and the batches are shuffled. Lessons are independent draws: more order is not needed.
    """
    rng, order = random.Random(recipe.seed), []
    end = recipe.first + recipe.steps * recipe.batch
    for start in range(recipe.first, end, 32 * recipe.batch):
        window = range(start, min(start + 32 * recipe.batch, end))
        by_length = sorted(window, key=lambda i: teach(i).words)
        batches = [by_length[i : i + recipe.batch] for i in range(0, len(window), recipe.batch)]
        rng.shuffle(batches)
        order += [index for batch in batches for index in batch]
    return order


def _claim(recipe: Recipe, out: Path) -> None:
    """Write the recipe, or refuse a folder that holds another one."""
    path = out / "recipe.json"
    if path.exists() and Recipe.read(path) != recipe:
        raise InputError(f"{out} holds a run of another recipe: choose another folder.")
    recipe.save(path)


def _metrics_to(path: Path) -> Any:
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):
        """Appends every log of the trainer as one JSON line."""

        def on_log(self, args, state, control, logs=None, **_):
            with path.open("a") as file:
                file.write(
                    json.dumps(
                        {"step": state.global_step, "time": round(time.time(), 1), **(logs or {})}
                    )
                    + "\n"
                )

    return Metrics()


def _cut_metrics(path: Path, step: int) -> None:
    """Drop lines after a checkpoint's step, so that a resumed run logs every step once."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in kept))


def _finish(model: Any, start: str, out: Path) -> Path:
    """Save the trained weights in bfloat16 beside the files that describe the checkpoint."""
    import torch

    final = out / "final"
    model.to(torch.bfloat16).save_pretrained(final)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                 "preprocessor_config.json"):  # fmt: skip
        if (Path(start) / name).exists():
            shutil.copy(Path(start) / name, final / name)
    return final


def command(argv: list[str]) -> int:
    """``python -m rft train RECIPE.json OUT/``"""
    parser = argparse.ArgumentParser(prog="python -m rft train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a recipe (JSON; see assets/recipes)")
    parser.add_argument("out", type=Path, help="folder of the run; an unfinished one is resumed")
    args = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        final = train_sft(Recipe.read(args.recipe), args.out)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"The finished checkpoint is {final}.")
    return 0

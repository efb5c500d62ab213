"""Supervised fine-tuning through TRL, on problems or on a curriculum.

Loss on the completion only (Reason-RFT, section 3.1). Knows no run folder.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from rft.asked import as_text
from rft.config import Config
from rft.curriculum import curriculum
from rft.errors import InputError
from rft.images import open_image
from rft.learner import Learner
from rft.lessons import Lesson
from rft.optimizer import optimizer
from rft.order import passes, per_pass
from rft.pace import CHECKPOINTED
from rft.policy import structure
from rft.tasks import completion_of, prompt_for
from rft.types import Problem

#: Batches within which lessons are sorted by length, so that a batch holds little padding.
WINDOW = 32


def trainer(
    config: Config,
    learner: Learner,
    problems: Sequence[Problem],
    out: str,
    *,
    world: int = 1,
    callbacks: Sequence[Any] = (),
) -> SFTTrainer:
    """An SFT trainer: answers alone for "ans-sft", else reasoning and answer.

    With ``config.data`` = "lessons/NAME" it takes a curriculum's lessons, each once, and
    ``problems`` may be empty.
    """
    cuda = torch.cuda.is_available()
    micro = per_pass(config.batch // world, config.micro_batch)
    large = sum(p.numel() for p in learner.whole.parameters()) > CHECKPOINTED
    if config.data == "run":
        lessons = [lesson(config.method, problem) for problem in problems]
        lesson_at: Callable[[int], Lesson] = lessons.__getitem__
        order = passes(len(problems), config.batch, config.sft_steps, config.seed)
    else:
        lesson_at = Reading(curriculum(config.data.removeprefix("lessons/")), config)
        order = list(range(config.sft_steps * config.batch))
    broken = structure(learner.processor.tokenizer)

    def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        """TRL's conversational prompt-completion form, pictures drawn on the way."""
        taken = [lesson_at(i) for i in batch["index"]]
        return {
            "images": [list(item.draw()) for item in taken],
            "prompt": [[{"role": "user", "content": as_text(i.prompt, broken)}] for i in taken],
            "completion": [[{"role": "assistant", "content": i.completion}] for i in taken],
        }

    args = SFTConfig(
        output_dir=out,
        max_steps=config.sft_steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=config.batch // world // micro,
        learning_rate=config.sft_learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(config.warmup * config.sft_steps),
        weight_decay=config.weight_decay,
        adam_beta2=0.98 if config.data != "run" else 0.999,
        max_grad_norm=1.0,
        seed=config.seed,
        train_sampling_strategy="sequential",  # the order is made already
        max_length=None,  # or image tokens could be cut
        completion_only_loss=True,
        gradient_checkpointing=large,
        bf16=cuda,
        use_cpu=not cuda,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=config.save_steps,
        save_total_limit=2,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        **_workers(config),
    )
    return SFTTrainer(
        model=learner.model,
        args=args,
        train_dataset=Dataset.from_dict({"index": order}).with_transform(rows),
        processing_class=learner.processor,
        callbacks=list(callbacks),
        optimizers=(optimizer(config, learner.whole), None),
    )


def lesson(method: str, problem: Problem) -> Lesson:
    """What SFT shows of a problem. The paper's ANS-SFT sees the bare question and answer."""

    def draw() -> tuple[Any, ...]:
        return tuple(open_image(picture) for picture in problem.images)

    if method == "ans-sft":
        return Lesson(problem.question, problem.answer, draw)
    if not problem.cot:
        raise InputError(
            f"Problem {problem.id} has no chain of thought: give one, or train on answers alone."
        )
    return Lesson(prompt_for(problem.task, problem.question), completion_of(problem), draw)


class Reading:
    """A curriculum's lessons in the order of training: every lesson once, little padding.

    Within a window of batches lessons are sorted by length, and the batches are shuffled.
    Lessons are independent draws: more order is not needed. A window is made when the first of
    it is asked for, by the process that draws its pictures.
    """

    def __init__(self, teach: Callable[[int], Lesson], config: Config) -> None:
        self._teach, self._config = teach, config
        self._number, self._window = -1, list[Lesson]()

    def __call__(self, place: int) -> Lesson:
        number, within = divmod(place, WINDOW * self._config.batch)
        if number != self._number:
            self._number, self._window = number, self._made(number)
        return self._window[within]

    def _made(self, number: int) -> list[Lesson]:
        config, size = self._config, self._config.batch
        start = number * WINDOW * size
        end = min(start + WINDOW * size, config.sft_steps * size)
        window = sorted(
            (self._teach(config.first + place) for place in range(start, end)),
            key=lambda lesson: lesson.words,
        )
        batches = [window[i : i + size] for i in range(0, len(window), size)]
        random.Random(f"{config.seed}/{number}").shuffle(batches)
        return [lesson for batch in batches for lesson in batch]


def _workers(config: Config) -> dict[str, Any]:
    """Processes that draw lessons ahead of time; problems are read from files, fast enough."""
    if config.data == "run":
        return {}
    return {
        "dataloader_num_workers": 1 if (os.cpu_count() or 1) <= 2 else 8,
        "dataloader_prefetch_factor": 8,  # a new window takes a while
        "dataloader_persistent_workers": True,
    }

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
from transformers.utils import is_torch_tf32_available
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
from rft.policy import structure
from rft.tasks import completion_of, prompt_for
from rft.types import Problem

#: Lessons that are sorted by length together, so that a batch holds little padding.
WINDOW = 512
#: Into how many streams batches are dealt, each with windows of its own. Of the drawing processes,
#: as many as share them evenly, each makes the windows of its streams alone.
STREAMS = 12
#: Batches that the drawing processes keep ready: a new window takes a while, and each batch holds
#: open files.
READY = 84


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
    if config.data == "run":
        lessons = [lesson(config.method, problem) for problem in problems]
        lesson_at: Callable[[int], Lesson] = lessons.__getitem__
        order = passes(len(problems), config.batch, config.sft_steps, config.seed)
    else:
        teach = curriculum(config.data.removeprefix("lessons/"))
        # A process is asked for every so-many-th batch only where a batch is one pass.
        lesson_at = Reading(teach, config, STREAMS if micro == config.batch else 1)
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
        gradient_checkpointing=learner.large,
        bf16=cuda and learner.large,
        tf32=is_torch_tf32_available() or None,
        use_cpu=not cuda,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=config.save_steps,
        save_total_limit=2,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        **_drawing(config),
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

    Batches are dealt into ``streams``. Within a window of a stream lessons are sorted by length,
    and the batches are shuffled. Lessons are independent draws: more order is not needed. A window
    is made when the first of it is asked for, by the process that draws its pictures.
    """

    def __init__(self, teach: Callable[[int], Lesson], config: Config, streams: int = 1) -> None:
        self._teach, self._config, self._streams = teach, config, streams
        self._turns = max(1, WINDOW // config.batch)
        self._windows: dict[int, tuple[int, list[Lesson]]] = {}  # the newest of each stream

    def __call__(self, place: int) -> Lesson:
        batch, within = divmod(place, self._config.batch)
        turn, stream = divmod(batch, self._streams)
        window, turn = divmod(turn, self._turns)
        number = window * self._streams + stream
        if stream not in self._windows or self._windows[stream][0] != number:
            self._windows[stream] = number, self._made(number)
        return self._windows[stream][1][turn * self._config.batch + within]

    def _made(self, number: int) -> list[Lesson]:
        config, size = self._config, self._config.batch
        window, stream = divmod(number, self._streams)
        start = window * self._turns * self._streams + stream
        end = min(start + self._turns * self._streams, config.sft_steps)
        taken = [
            self._teach(config.first + batch * size + within)
            for batch in range(start, end, self._streams)
            for within in range(size)
        ]
        taken.sort(key=lambda lesson: lesson.words)
        batches = [taken[i : i + size] for i in range(0, len(taken), size)]
        random.Random(f"{config.seed}/{number}").shuffle(batches)
        return [lesson for batch in batches for lesson in batch]


def _workers() -> int:
    """Processes that draw lessons ahead of time; the training one keeps two cores where it can."""
    spare = (os.cpu_count() or 1) - 2
    return max(n for n in range(1, STREAMS + 1) if STREAMS % n == 0 and n <= max(1, spare))


def _drawing(config: Config) -> dict[str, Any]:
    """Lessons are drawn by processes of their own; problems are read from files, fast enough."""
    if config.data == "run":
        return {}
    return {
        "dataloader_num_workers": _workers(),
        "dataloader_prefetch_factor": min(12, READY // _workers()),
        "dataloader_persistent_workers": True,
    }

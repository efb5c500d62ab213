"""Group relative policy optimisation through TRL, on problems with images.

TRL's GRPOTrainer does the mathematics (GRPO: arXiv 2402.03300, section 4.1). Here it is given
problems, prompts and the rubric, made reproducible step by step, and each group that it samples
is written down. Knows no run folder: what is seen goes to the functions it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from datasets import Dataset
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from transformers.utils import is_torch_tf32_available
from trl import GRPOConfig, GRPOTrainer

from rft import kvcache, sight
from rft.asked import as_text
from rft.config import Config
from rft.errors import StudioError
from rft.images import open_image
from rft.learner import Learner
from rft.order import passes, per_pass
from rft.parse import parse
from rft.policy import structure
from rft.rewards import Rubric, explain
from rft.tasks import prompt_for
from rft.types import Problem

#: Takes one record per group, after each rollout (see ``Trainer._record``).
Witness = Callable[[list[dict[str, Any]]], None]


class RewardError(StudioError, ValueError):
    """A reward function failed, or gave what is no number, on a completion that is shown."""


def trainer(
    config: Config,
    learner: Learner,
    problems: Sequence[Problem],
    out: str,
    *,
    world: int = 1,
    first_step: int = 0,
    callbacks: Sequence[Any] = (),
    witness: Witness | None = None,
    look_once: bool = True,
) -> Trainer:
    """A GRPO trainer over ``problems``. ``first_step``: optimizer steps that came before.

    One optimizer step samples ``config.batch`` prompts, ``config.generations`` times each.
    ``look_once``: encode each image of a step once (rft.sight), where the tower is frozen.
    """
    return Trainer(
        **given(config, learner, problems, out, world=world, callbacks=callbacks),
        problems=problems,
        rubric=Rubric(config.rewards),
        first_step=first_step,
        witness=witness,
        look_once=look_once,
    )


def given(
    config: Config,
    learner: Learner,
    problems: Sequence[Problem],
    out: str,
    *,
    world: int = 1,
    callbacks: Sequence[Any] = (),
) -> dict[str, Any]:
    """What TRL's own GRPOTrainer is given, for this config: model, arguments, data, rewards."""
    cuda = torch.cuda.is_available()
    share = config.batch * config.generations // world
    micro = per_pass(share, config.micro_batch)
    args = GRPOConfig(
        output_dir=out,
        max_steps=config.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share // micro,
        num_generations=config.generations,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(config.warmup * config.steps),
        weight_decay=config.weight_decay,
        max_grad_norm=1.0,
        beta=config.beta,
        temperature=config.temperature,
        max_completion_length=config.max_new_tokens,
        reward_weights=[weight for _, weight in config.rewards],
        # The rows are all passes in order: one epoch, in which a resumed run finds its place.
        # (TRL replays the first epoch's order in every later one.)
        shuffle_dataset=False,
        seed=config.seed,
        bf16=cuda and learner.large,
        tf32=is_torch_tf32_available() or None,
        use_cpu=not cuda,
        gradient_checkpointing=learner.large,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=config.save_steps,
        save_total_limit=2,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    broken = structure(learner.processor.tokenizer)

    def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        """TRL's conversational form; the row's number goes along for the rewards."""
        asked = [problems[i] for i in batch["row"]]
        # A group's rows share their images: opened once, and copied once by TRL.
        opened = {i: [open_image(p) for p in problems[i].images] for i in set(batch["row"])}
        return {
            "prompt": [
                [{"role": "user", "content": as_text(prompt_for(p.task, p.question), broken)}]
                for p in asked
            ],
            "images": [opened[i] for i in batch["row"]],
            "row": batch["row"],
        }

    order = passes(len(problems), config.batch, config.steps, config.seed)
    return {
        "model": learner.model,
        "args": args,
        "processing_class": learner.processor,
        "train_dataset": Dataset.from_dict({"row": order}).with_transform(rows),
        "reward_funcs": [_reward(name, problems) for name, _ in config.rewards],
        "callbacks": list(callbacks),
    }


def seed_of(seed: int, step: int, rank: int) -> int:
    """Of the sampling of a step (from 1, of this stage) in one process."""
    return seed * 1_000_003 + step * 1_009 + rank


class Trainer(GRPOTrainer):
    """TRL's trainer, whose every step can be done again alike, and which shows its rollouts."""

    def __init__(
        self,
        *,
        problems: Sequence[Problem],
        rubric: Rubric,
        first_step: int,
        witness: Witness | None,
        look_once: bool,
        **given: Any,
    ):
        super().__init__(**given)
        model: Any = self.model
        for layer in model.modules():
            if isinstance(layer, TrainableTokensLayer) and "ref" in layer.trainable_tokens_delta:
                # TRL's reference for the KL term copies what is named ".default.": not these.
                learned = layer.trainable_tokens_delta
                learned["ref"].data.copy_(learned["default"].data)
        self.problems, self.rubric = problems, rubric
        self.first_step, self.witness = first_step, witness
        self.look_once = look_once
        self._sights: list[sight.Sight] = []

    def train(self, *given: Any, **named: Any) -> Any:
        models = [m for m in (self.model, self.ref_model) if m is not None and self.look_once]
        with sight.once(*models) as self._sights, kvcache.roomy(self.model):
            return super().train(*given, **named)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        for seen in self._sights:  # so that a step does not depend on the one before it
            seen.forget()
        # Sampling depends on seed and step alone: what a stop threw away is sampled again alike.
        step = self.state.global_step + 1
        rank = self.accelerator.process_index
        torch.manual_seed(seed_of(self.args.seed, step, rank))
        processor: Any = self.processing_class
        with sight.prepared_once(processor.image_processor) if self.look_once else nullcontext():
            scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.witness is not None and self.accelerator.is_main_process:
            self.witness(self._record(self.first_step + step))
        return scored

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        self._log_completion_extra("row", [item["row"] for item in inputs])
        self._log_completion_extra("tokens", [len(ids) for ids in completion_ids_list])
        self._log_completion_extra("cut", [ids[-1] not in ends for ids in completion_ids_list])
        rewards_B_F: torch.Tensor = super()._calculate_rewards(
            inputs, prompts, completions, completion_ids_list
        )
        return rewards_B_F

    def _record(self, step: int) -> list[dict[str, Any]]:
        """The last rollout, a record a group (all processes' completions)."""
        logs: Any = self._logs  # of all processes, in the order of the completions
        extra, group = logs["extra"], int(self.num_generations or 1)
        records: list[dict[str, Any]] = []
        for first in range(0, len(logs["advantages"]), group):
            problem = self.problems[extra["row"][first]]
            told = []
            for i in range(first, first + group):
                values = {name: logs["rewards"][name][i] for name in self.reward_func_names}
                told.append(
                    {
                        "text": logs["completion"][i][0]["content"],
                        "tokens": extra["tokens"][i],
                        "cut": extra["cut"][i],
                        "rewards": values,
                        "reasons": {name: extra[f"why {name}"][i] for name in values},
                        "total": sum(w * values[n] for n, w in self.rubric.weights),
                        "advantage": round(logs["advantages"][i], 4),
                    }
                )
            records.append(
                {
                    "step": step,
                    "problem": problem.id,
                    "question": problem.question,
                    "gold": problem.answer,
                    "prompt": prompt_for(problem.task, problem.question),
                    "images": [str(picture) for picture in problem.images],
                    "completions": told,
                }
            )
        return records


def _reward(name: str, problems: Sequence[Problem]) -> Callable[..., list[float]]:
    """The named reward as TRL calls it. A failure names the completion and ends the run."""

    def reward(
        completions: Sequence[Any], row: Sequence[int], log_extra: Any, **_: Any
    ) -> list[float]:
        scores = []
        for completion, number in zip(completions, row, strict=True):
            problem, text = problems[number], completion[0]["content"]
            try:
                score = explain(name, parse(text), problem)
            except Exception as error:  # the outermost frame of a reward: reported with its example
                raise _failed(name, f"raised {type(error).__name__}: {error}", problem, text) from (
                    error
                )
            if not math.isfinite(score.value):
                raise _failed(name, f"gave {score.value}", problem, text)
            scores.append(score)
        log_extra(f"why {name}", [score.reason for score in scores])
        return [score.value for score in scores]

    reward.__name__ = name  # TRL names the metric after it
    return reward


def _failed(name: str, what: str, problem: Problem, text: str) -> RewardError:
    return RewardError(
        f"The reward {name} {what} on problem {problem.id}: correct the reward, or the problem, "
        f"and resume; the last checkpoint stands.\nQuestion: {problem.question}\n"
        f"Gold: {problem.answer}\nCompletion: {text}"
    )

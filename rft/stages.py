"""The stages of a run in turn: measure, SFT, GRPO, finish, measure again.

Everything it does it writes into the run folder, so that a killed run goes on from its last
checkpoint and ends as if it had not been killed. Knows no page and no process management.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from transformers.modeling_layers import GradientCheckpointingLayer

from rft import checkpoint, evaluate, learner, machine
from rft.callbacks import Metrics, Steps, StopTogether
from rft.config import Config
from rft.errors import CheckpointError
from rft.journal import append, replace
from rft.learner import Learner
from rft.loading import Loaded
from rft.policy import Policy
from rft.run import Phase, Run
from rft.tasks import prompt_for
from rft.types import Decoding, Problem, TaskName

#: Held-out problems of the curve; before and after are measured on all of them.
CURVE = 64
#: Held-out problems decoded at once.
EVAL_BATCH = 64

Stage = Literal["sft", "grpo"]


class Stopped(Exception):
    """The run was told to stop; its last whole step is saved."""


class Session:
    """One process's work on a run. ``told`` says whether the run was told to stop."""

    def __init__(self, run: Run, told: Callable[[], bool]):
        self.run, self.told = run, told
        self.config: Config = run.config
        self.state = PartialState(cpu=not torch.cuda.is_available())
        self.main: bool = self.state.is_main_process
        self.world: int = self.state.num_processes
        lessons = self.config.data != "run"
        self.train: list[Problem] = [] if lessons else run.problems("train")
        self.heldout: list[Problem] = [] if lessons else run.problems("id")

    def work(self) -> None:
        """All that is left to do. Raises Stopped, or what went wrong."""
        folder, config = self.run.folder, self.config
        self._phase("loading", self.run.step)
        with self.state.main_process_first():
            start = learner.start_folder(config, folder)
        stages: list[tuple[Stage, int]] = [("sft", config.sft_steps)] * config.supervised
        stages += [("grpo", config.steps)] * config.reinforced
        weights: Path | None = None
        done = 0
        final = folder / "final"
        for name, steps in stages:
            ended = final if (name, steps) == stages[-1] else folder / name / "final"
            if not ended.is_dir():
                self._stage(name, start, weights, ended, done)
                # A trainer and its callbacks hold each other, and so the model: the collector,
                # unasked, would come when the next one is in memory too.
                machine.give_back()
            weights, done = ended, done + steps
        if self.main and self.heldout and not (folder / "after.json").is_file():
            found = self._measure(learner.load(config, start, final), self.heldout, done)
            replace(folder / "after.json", json.dumps(evaluate.report(found), indent=1))

    def _stage(
        self, name: Stage, start: Path, weights: Path | None, ended: Path, first_step: int
    ) -> None:
        """One stage, from its last checkpoint, to the checkpoint folder ``ended``."""
        config, out = self.config, self.run.folder / name
        last = newest_checkpoint(out, remove=self.main)
        self.state.wait_for_everyone()
        student = learner.load(config, start, last or weights)
        # Where TRL needs a reference model for the KL term, it reads it from this path.
        student.whole.config._name_or_path = str(weights or start)
        behind = first_step + (_step(last) if last else 0)
        if self.main:
            self.run.cut_after(behind)
        if not (self.run.folder / "before.json").is_file() and self.main and self.heldout:
            found = self._measure(student, self.heldout, 0)
            replace(self.run.folder / "before.json", json.dumps(evaluate.report(found), indent=1))
            self._note(found[:CURVE], 0)
        trainer = self._trainer(name, student, out, first_step)
        self._phase(name, behind)
        hooks = self._guard(student) if self.world == 1 else []
        try:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        except Stopped:
            if trainer.state.global_step > 0 and not _complete(out, trainer.state.global_step):
                self.run.report(
                    "saving", first_step + trainer.state.global_step, config.total_steps
                )
                trainer._save_checkpoint(trainer.model, None)
            raise
        finally:
            for hook in hooks:
                hook.remove()
        if trainer.state.global_step < trainer.args.max_steps:  # stopped together
            raise Stopped
        self._phase("saving", first_step + trainer.state.global_step)
        if self.main:
            best = self.run.folder / "best"
            if config.keep_best and ended.name == "final" and ended.parent == self.run.folder \
                    and best.is_dir():  # fmt: skip
                shutil.copytree(best, ended.with_name("final.part"), dirs_exist_ok=True)
                ended.with_name("final.part").rename(ended)
            else:
                learner.save(student, ended)
        self.state.wait_for_everyone()

    def _trainer(self, name: Stage, student: Learner, out: Path, first_step: int) -> Any:
        """TRL's trainer for this stage, telling the run folder what happens."""
        config, told = self.config, self.told
        callbacks: list[Any] = [
            Steps(first_step, lambda step: self._after_step(name, student, step))
        ]
        if self.main:
            metrics = self.run.folder / "metrics.jsonl"
            callbacks.append(Metrics(name, first_step, lambda record: append(metrics, record)))
        if self.world > 1:
            callbacks.append(StopTogether(told))
        split = config.sft_samples if config.method == "sft+grpo" else 0
        if name == "sft":
            from rft import sft

            problems = self.train[:split] if split else self.train
            return sft.trainer(
                config, student, problems, str(out), world=self.world, callbacks=callbacks
            )
        from rft import grpo

        return grpo.trainer(
            config,
            student,
            self.train[split:],
            str(out),
            world=self.world,
            first_step=first_step,
            callbacks=callbacks,
            witness=self._witness,
        )

    def _witness(self, groups: Sequence[dict[str, Any]]) -> None:
        for group in groups:
            images = [str(Path(p).relative_to(self.run.folder)) for p in group["images"]]
            append(self.run.folder / "rollouts.jsonl", {**group, "images": images})

    def _after_step(self, stage: Stage, student: Learner, step: int) -> None:
        every = self.config.eval_every
        if self.main and self.heldout and every and step % every == 0:
            found = self._measure(student, self.heldout[:CURVE], step)
            self._note(found, step)
            if self.config.keep_best and self._is_best(step):
                learner.save(student, self.run.folder / "best")
        self._phase(stage, step)

    def _is_best(self, step: int) -> bool:
        lines, measure = self.run.heldout(), self.config.measure
        noted = {line["step"]: line[measure] for line in lines if line["step"]}
        return all(noted[step] > right for other, right in noted.items() if other != step)

    def _note(self, found: Sequence[evaluate.Verdict], step: int) -> None:
        append(
            self.run.folder / "heldout.jsonl",
            {
                "step": step,
                "n": len(found),
                "strict": sum(v.strict for v in found),
                "lenient": sum(v.lenient for v in found),
                "format": sum(v.formed for v in found),
            },
        )

    def _measure(
        self, student: Learner, problems: Sequence[Problem], step: int
    ) -> list[evaluate.Verdict]:
        """Greedy answers of the model as it is now. Leaves it as it was."""
        self._phase("measuring", step)
        model = student.whole
        training, kept = model.training, model.generation_config
        config = self.config
        decoding = Decoding(
            temperature=0.0, max_new_tokens=config.max_new_tokens, max_pixels=config.max_pixels
        )
        model.eval()
        hooks = self._guard(student) if self.world == 1 else []
        try:
            policy = Policy(Loaded("the checkpoint in training", model, student.processor))
            with student.autocast():
                return evaluate.answer(policy, problems, decoding, EVAL_BATCH, prompt=self._prompt)
        finally:
            for hook in hooks:
                hook.remove()
            model.train(training)
            model.generation_config = kept

    def _prompt(self, task: TaskName, question: str) -> str:
        """As training asks. The paper's ANS-SFT gets the bare question."""
        return question if self.config.method == "ans-sft" else prompt_for(task, question)

    def _guard(self, student: Learner) -> list[Any]:
        """Raise Stopped within one layer, wherever the model is run, once told to stop.

        The step under way is lost and made again alike after resuming: its order and its
        sampling depend on its number alone.
        """

        def check(*_: Any) -> None:
            if self.told():
                raise Stopped

        layers = [m for m in student.whole.modules() if isinstance(m, GradientCheckpointingLayer)]
        return [layer.register_forward_pre_hook(check) for layer in layers]

    def _phase(self, phase: Phase, step: int) -> None:
        if self.main:
            self.run.report(phase, step, self.config.total_steps)
        if self.world == 1 and self.told():
            raise Stopped


def newest_checkpoint(out: Path, *, remove: bool = False) -> Path | None:
    """The last checkpoint that is whole; says which damaged ones it passes over.

    ``remove`` takes the damaged ones away, so that they are not met again.
    """
    found = sorted(out.glob("checkpoint-*"), key=_step, reverse=True)
    for folder in found:
        trouble = damage(folder)
        if trouble is None:
            return folder
        print(f"{folder.name} is damaged ({trouble}): going on from the one before.", flush=True)
        if remove:
            shutil.rmtree(folder, ignore_errors=True)
    return None


def damage(folder: Path) -> str | None:
    """What is wrong with a trainer's checkpoint; None if it can be resumed from."""
    try:
        state = json.loads((folder / "trainer_state.json").read_text())
        if state.get("global_step") != _step(folder):
            return "its trainer_state.json is of another step"
        for file in checkpoint.weight_files(folder):
            checkpoint.header(file)
        for name in ("optimizer.pt", "scheduler.pt"):
            with zipfile.ZipFile(folder / name) as archive:
                if broken := archive.testzip():
                    return f"{name}: {broken}"
    except (OSError, ValueError, CheckpointError, zipfile.BadZipFile) as error:
        return str(error).splitlines()[0][:200]
    return None


def _complete(out: Path, step: int) -> bool:
    return damage(out / f"checkpoint-{step}") is None


def _step(folder: Path) -> int:
    number = folder.name.rsplit("-", 1)[-1]
    return int(number) if number.isdigit() else -1

"""Proof that a fine-tune is applied: what it changes in the model's own probabilities.

The tuned model answers one problem; it and its start then read that answer, and their logits
are compared. "Trained, but nothing changed" shows as zeros. torch is imported when asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft import checkpoint, finished, place, zoo
from rft.errors import CheckpointError, InputError, StudioError
from rft.journal import replace
from rft.types import Decoding, Problem, Turn

if TYPE_CHECKING:
    import torch

    from rft.policy import Policy

#: Tokens of the answer that are compared: enough for a manner of answering to show.
TOKENS = 64


@dataclass(frozen=True)
class Effect:
    """How far a tuned model is from its start on the answer to one problem.

    ``max_abs``: the largest change of a logit. ``mean_kl``: nats a token that the tuned model's
    choice diverges from the start's. ``changed``: share of ``tokens`` where the likeliest token
    is another one.
    """

    problem: str
    tokens: int
    max_abs: float
    mean_kl: float
    changed: float

    @property
    def applied(self) -> bool:
        """Whether the training has any effect at all."""
        return self.max_abs > 0

    @property
    def sentence(self) -> str:
        if not self.applied:
            return (
                "Nothing changed: the trained checkpoint gives the very logits of its start. Its "
                "weights are not applied, or were never moved."
            )
        return (
            f"The training is applied: over {self.tokens} tokens of an answer its logits differ "
            f"by up to {self.max_abs:.3g}, its choices by {self.mean_kl:.3g} nats a token, and "
            f"{self.changed:.0%} of the likeliest tokens are other ones."
        )


def effect(
    folder: Path | str, problem: Problem, start: Path | str | None = None, device: str = "cpu"
) -> Effect:
    """Compare a checkpoint with its start on one problem. Holds one model at a time.

    ``start`` is an adapter's base, or what the run of a full fine-tune began from, if not given.
    float32 on a CPU. CheckpointError where either cannot be loaded, or the start is not known.
    """
    from rft.policy import load
    from rft.prompts import prompt

    tuned_folder = place.folder(str(folder)) or Path(folder)
    start_folder = Path(start) if start is not None else start_of(tuned_folder)
    card = zoo.card_for(str(tuned_folder))
    turns = [Turn("user", prompt(card, problem.task, problem.question), problem.images)]
    tuned = load(tuned_folder, device=device)
    text = tuned.complete([turns], Decoding(temperature=0.0, max_new_tokens=TOKENS))[0]
    inputs, ids = _encoded(tuned, turns, text)
    tuned_T_V = _logits(tuned, inputs, len(ids))
    del tuned
    start_T_V = _logits(load(start_folder, device=device), inputs, len(ids))
    if start_T_V.shape != tuned_T_V.shape:
        raise CheckpointError(f"{start_folder} is no start of {folder}: their vocabularies differ.")
    return Effect(problem.id, len(ids), *compare(tuned_T_V, start_T_V))


def start_of(folder: Path) -> Path:
    """The folder of what a checkpoint was trained from: its base, or its run's start."""
    base = checkpoint.inspect(folder).base
    run = finished.run_of(folder)
    if base is not None:
        found = place.folder(base, folder)
    elif run is not None:
        made = run.folder / "start"
        found = made if made.is_dir() else place.folder(run.config.checkpoint)
    else:
        raise InputError(f"{folder} does not say what it was trained from: name its start.")
    if found is None:
        raise CheckpointError(f"What {folder} was trained from is not on this machine any more.")
    return found


def compare(tuned_T_V: torch.Tensor, start_T_V: torch.Tensor) -> tuple[float, float, float]:
    """Largest difference of logits, mean KL(tuned ‖ start) in nats, share of other top tokens."""
    tuned, start = tuned_T_V.double(), start_T_V.double()
    logp, logq = tuned.log_softmax(-1), start.log_softmax(-1)
    kl_T = (logp.exp() * (logp - logq)).sum(-1)  # [T]
    other_T = tuned.argmax(-1) != start.argmax(-1)
    largest = float((tuned - start).abs().max())
    return largest, max(0.0, float(kl_T.mean())), float(other_T.double().mean())


def _encoded(policy: Policy, turns: Any, text: str) -> tuple[dict[str, Any], list[int]]:
    """Model inputs of the prompt with the answer behind it, and the answer's tokens.

    The token that ends an answer is one of them: an empty answer has it too.
    """
    import torch

    inputs = policy.encode([turns], Decoding().max_pixels)
    ids = policy.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    # What was written in few tokens may be read in more of them.
    ids = [*ids[:TOKENS], policy.processor.tokenizer.eos_token_id]
    tail = torch.tensor([ids])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    for name in ("attention_mask", "mm_token_type_ids"):
        if name in inputs:
            fill = torch.ones_like(tail) if name == "attention_mask" else torch.zeros_like(tail)
            inputs[name] = torch.cat([inputs[name], fill.to(inputs[name].dtype)], 1)
    return inputs, ids


def _logits(policy: Policy, inputs: dict[str, Any], count: int) -> torch.Tensor:
    """Logits [T, V] from which the last ``count`` tokens are chosen."""
    import torch

    placed = {name: value.to(policy.device) for name, value in inputs.items()}
    with torch.no_grad():
        logits_1_T_V = policy.model(**placed, logits_to_keep=count + 1).logits
    return logits_1_T_V[0, :-1].float().cpu()


def record(run_folder: Path | str) -> Effect:
    """The effect on a run's first held-out (or training) problem, kept in its ``proof.json``."""
    run = finished.run_of(Path(run_folder).absolute())
    if run is None:
        raise InputError(f"{run_folder} is no run: give the folder of a finished run.")
    finished.card(run)
    problems = run.problems("id") or run.problems("train")
    if not problems:
        raise InputError(f"The run “{run.title}” has no problem of its own to try it on.")
    found = effect(run.final, problems[0])
    written = {**asdict(found), "applied": found.applied, "sentence": found.sentence}
    replace(run.folder / "proof.json", json.dumps(written) + "\n")
    return found


def command(argv: list[str]) -> int:
    """``python -m rft prove RUN``"""
    parser = argparse.ArgumentParser(prog="python -m rft prove", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run; writes its proof.json")
    args = parser.parse_args(argv)
    try:
        found = record(args.run)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    print(found.sentence)
    return 0 if found.applied else 1

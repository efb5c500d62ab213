"""The recipe step: the controls of a config, and the config that they say.

Nothing is judged here but whether a field can be read as what it must be: what is wrong with a
config is said by the config itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import gradio as gr

from rft.config import Config, Method
from rft.errors import InputError
from rft.presets import Preset, apply, describe, presets
from rft.types import TaskName

METHODS: dict[Method, str] = {
    "grpo": "Zero",
    "sft+grpo": "SFT, then GRPO",
    "cot-sft": "CoT-SFT",
    "ans-sft": "ANS-SFT",
}
TOLD: dict[Method, str] = {
    "grpo": "GRPO alone: sample answers, reward the right ones.",
    "sft+grpo": "The paper's recipe: first shown how to reason, then rewarded.",
    "cot-sft": "Shown chains of thought; needs examples that have one.",
    "ans-sft": "Shown answers only.",
}
#: What the data step decides.
_OF_DATA = ("task", "data", "samples", "first")


def slider(low: int, high: int, value: int, **named: Any) -> gr.Slider:
    """A slider beyond whose end a number can be typed: the config says what is too much."""
    made = gr.Slider(low, high, value, step=1, **named)
    made.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return made


@dataclass(frozen=True)
class Field:
    """A control for one field of the config. ``kind``: int, float, bool, names or weights."""

    name: str
    label: str
    kind: str = "float"
    most: int = 0  # a slider up to here, instead of a number

    def control(self, value: Any) -> Any:
        """The component, showing ``value``."""
        named: dict[str, Any] = {"label": self.label, "elem_id": f"r-{self.name}"}
        shown = self.shown(value)
        if self.most:
            return slider(1, max(self.most, shown), shown, **named)
        named["info"] = describe().get(self.name)
        if self.kind == "bool":
            return gr.Checkbox(shown, **named)
        if self.kind in ("names", "weights"):
            return gr.Textbox(shown, max_lines=2, **named)
        return gr.Number(shown, precision=0 if self.kind == "int" else None, **named)

    def update(self, value: Any) -> Any:
        """What the component is told to show another value."""
        shown = self.shown(value)
        return gr.update(value=shown, maximum=max(self.most, shown)) if self.most else shown

    def shown(self, value: Any) -> Any:
        """A config's value as the control has it."""
        if self.kind == "names":
            return ", ".join(value)
        if self.kind == "weights":
            return ", ".join(f"{name} {weight:g}" for name, weight in value)
        return value

    def read(self, value: Any) -> Any:
        """The control's value as the config has it."""
        if self.kind == "names":
            return tuple(name.strip() for name in str(value or "").split(",") if name.strip())
        if self.kind == "weights":
            return tuple(_weight(part) for part in str(value or "").split(",") if part.strip())
        if self.kind == "bool":
            return bool(value)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise InputError(f"“{self.label}” is empty: give a number.")
        return int(value) if self.kind == "int" else float(value)


SLIDERS = (
    Field("sft_steps", "Steps of SFT", "int", 200),
    Field("steps", "Steps of GRPO", "int", 200),
    Field("batch", "Examples a step", "int", 32),
    Field("generations", "Completions of each", "int", 16),
)
FOLDED = (
    Field("sft_samples", "Examples for SFT (of all)", "int"),
    Field("sft_learning_rate", "Learning rate, SFT"),
    Field("learning_rate", "Learning rate, GRPO"),
    Field("warmup", "Warm-up, share of steps"),
    Field("weight_decay", "Weight decay"),
    Field("beta", "KL weight β"),
    Field("temperature", "Sampling temperature"),
    Field("max_new_tokens", "Longest completion, tokens", "int"),
    Field("max_pixels", "Largest image, pixels", "int"),
    Field("micro_batch", "In one forward pass", "int"),
    Field("rank", "LoRA rank (0: all weights)", "int"),
    Field("alpha", "LoRA alpha", "int"),
    Field("eval_every", "Measure held-out every … steps", "int"),
    Field("save_steps", "Checkpoint every … steps", "int"),
    Field("seed", "Seed", "int"),
    Field("keep_best", "Keep the checkpoint best on held-out", "bool"),
    Field("four_bit", "Base in 4 bits (CUDA)", "bool"),
    Field("train_vision", "Train the vision tower too", "bool"),
    Field("vision_rate", "Its learning rate, share of the rest's"),
    Field("rewards", "Rewards and weights", "weights"),
    Field("targets", "Layers that LoRA adapts", "names"),
)
FIELDS = (*SLIDERS, *FOLDED)
_OF_SFT = ("sft_steps", "sft_samples", "sft_learning_rate", "vision_rate")
_OF_GRPO = ("steps", "generations", "learning_rate", "beta", "temperature", "rewards")


@dataclass(frozen=True)
class Recipe:
    """The step's components. ``controls`` are in the order of FIELDS."""

    preset: gr.Dropdown
    checkpoint: gr.Dropdown
    method: gr.Radio
    note: gr.HTML
    controls: tuple[Any, ...]

    def control(self, name: str) -> Any:
        """The component of a field."""
        return self.controls[[field.name for field in FIELDS].index(name)]

    @property
    def inputs(self) -> list[Any]:
        """What :func:`config_of` reads, in order."""
        return [self.checkpoint, self.method, *self.controls]


def recipe(first: Preset, checkpoints: Sequence[tuple[str, str]]) -> Recipe:
    """Lay out the step, showing the preset ``first``."""
    begin = apply(first)
    values = asdict(begin)
    preset = gr.Dropdown(
        [(one.title, one.id) for one in presets()], value=first.id, label="Preset",
        elem_id="preset",
    )  # fmt: skip
    checkpoint = gr.Dropdown(
        list(checkpoints), value=begin.checkpoint, label="Start from", allow_custom_value=True,
        elem_id="start-from",
    )  # fmt: skip
    method = gr.Radio(
        [(title, name) for name, title in METHODS.items()], value=begin.method, label="Method",
        elem_id="method",
    )  # fmt: skip
    told = gr.HTML(note(begin.method), elem_id="method-note", apply_default_css=False)
    with gr.Column(elem_id="sliders"):
        main = [item.control(values[item.name]) for item in SLIDERS]
    for item, control in zip(SLIDERS, main, strict=True):
        control.visible = used(item.name, begin.method)
    with gr.Accordion("Everything else", open=False, elem_id="folded"):
        rest = [item.control(values[item.name]) for item in FOLDED]
    return Recipe(preset, checkpoint, method, told, (*main, *rest))


@cache
def tasks_own() -> tuple[Field, ...]:
    """What of a preset is a task's own: its rewards, and what some preset has otherwise for one."""
    own = {name for preset in presets() for fields in preset.of.values() for name in fields}
    return tuple(field for field in FIELDS if field.name in {"rewards", *own})


def of_task(preset: Preset, task: TaskName) -> list[Any]:
    """What the controls of tasks_own() are told when another task is chosen."""
    values = asdict(apply(preset, task=task))
    return [field.update(values[field.name]) for field in tasks_own()]


def note(method: Method) -> str:
    """A method in a sentence."""
    return f"<p>{TOLD[method]}</p>"


def used(name: str, method: Method) -> bool:
    """Whether a field plays a part in a method."""
    if name == "sft_samples":
        return method == "sft+grpo"
    if name in _OF_SFT:
        return method != "grpo"
    return name not in _OF_GRPO or method in ("grpo", "sft+grpo")


def config_of(values: Sequence[Any], task: str, samples: int) -> Config:
    """The config that the controls say, of so many training problems of a task.

    InputError in the config's own words where it cannot work.
    """
    checkpoint, method, *rest = values
    given = {field.name: field.read(value) for field, value in zip(FIELDS, rest, strict=True)}
    return Config.made(
        {"checkpoint": str(checkpoint or "").strip(), "method": method, "task": task,
         "samples": samples, **given},
        "The recipe",
    )  # fmt: skip


def shown(config: Config) -> list[Any]:
    """A config as the controls show it, in the order of ``Recipe.inputs``."""
    values = asdict(config)
    fields = [field.update(values[field.name]) for field in FIELDS]
    return [config.checkpoint, config.method, *fields]


def _weight(part: str) -> tuple[str, float]:
    name, _, number = part.strip().partition(" ")
    try:
        return name, float(number or 1)
    except ValueError:
        raise InputError(
            f"“{part.strip()}” is no reward with a weight: write for example “accuracy 1”."
        ) from None


__all__ = ("FIELDS", "Recipe", "config_of", "recipe", "shown", "slider", "used")

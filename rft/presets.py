"""Presets: whole configs to begin with, as data in assets/presets.toml.

Also what each field of a config means, read from where it is defined, so that it is written
once. Knows neither the page nor what a checkpoint costs.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from rft import config as config_module
from rft.cards import ROOT, Card
from rft.config import Config
from rft.errors import InputError
from rft.machine import Memory
from rft.tasks import TASKS

PRESETS = ROOT / "assets" / "presets.toml"
#: Parameters of a checkpoint for which presets name the GPU memory they need: Qwen2-VL 2B.
_WEIGHED_FOR = 2.21e9
_FIELDS = frozenset(field.name for field in fields(Config))
#: Below so many parameters the CPU is fast enough whatever the machine has.
_TINY = 1e8


@dataclass(frozen=True)
class Preset:
    """Fields of a config that go together. ``fits`` says what they need.

    ``gpu_bytes``: GPU memory that a 2B checkpoint takes with it; 0 for one that needs no GPU.
    ``of``: the fields that are others for a task.
    """

    id: str
    title: str
    line: str
    fits: str
    gpu_bytes: int
    fields: Mapping[str, Any]
    of: Mapping[str, Mapping[str, Any]]


def presets(file: Path = PRESETS) -> list[Preset]:
    """All presets, from the least demanding to the most."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return [_preset(entry) for entry in table["preset"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The presets in {file} cannot be read ({error}): correct them."
        ) from error


def preset(id: str) -> Preset:
    """The preset of this id; InputError names those there are."""
    every = presets()
    for one in every:
        if one.id == id:
            return one
    raise InputError(f"No preset {id!r}. Choose one of: {', '.join(p.id for p in every)}.")


def apply(preset: Preset, **changes: Any) -> Config:
    """The preset's config with changes: "grpo" on counting, if they say nothing else.

    Rewards are those that the task's released checkpoints were trained with.
    """
    task = changes.get("task", "counting")
    given = {"method": "grpo", "task": task, **preset.fields, **preset.of.get(task, {}), **changes}
    if "rewards" not in given and given["task"] in TASKS:
        released = TASKS[given["task"]].rubric.weights
        given["rewards"] = [[name, weight] for name, weight in released if weight]
    return Config.made(given, f"The preset “{preset.title}”")


def default_for(memory: Memory, card: Card | None) -> Preset:
    """The preset to show first for a checkpoint on this machine.

    For a tiny one the CPU's; else the most demanding for which the GPU has room (all weights
    are left alone unless asked for); else the least demanding one that needs no CUDA extras.
    """
    every = presets()
    parameters = card.parameters if card is not None else 0
    if parameters < _TINY:
        return next(p for p in every if not p.gpu_bytes)
    scale = parameters / _WEIGHED_FOR
    adapting = [p for p in every if p.gpu_bytes and p.fields.get("rank") != 0]
    fitting = [p for p in adapting if p.gpu_bytes * scale <= memory.gpu]
    if fitting:
        return max(fitting, key=lambda p: p.gpu_bytes)
    if memory.gpu:
        return min(adapting, key=lambda p: p.gpu_bytes)
    return min((p for p in adapting if not p.fields.get("four_bit")), key=lambda p: p.gpu_bytes)


@lru_cache(maxsize=1)
def describe() -> dict[str, str]:
    """What each field of a config means, in its own words from rft/config.py."""
    source = Path(str(config_module.__file__)).read_text(encoding="utf-8")
    body = next(
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == Config.__name__
    )
    told: dict[str, str] = {}
    for node, after in pairwise(body):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            text = re.sub(r"\s*\(:\w+:`[^`]*`\)", "", str(after.value.value))
            told[node.target.id] = " ".join(text.replace("``", "").split())
    return told


def _preset(entry: dict[str, Any]) -> Preset:
    held, of = dict(entry["fields"]), dict(entry.get("of", {}))
    if unknown := {*held, *(name for own in of.values() for name in own)} - _FIELDS:
        raise KeyError(f"{entry['id']} has an unknown field {min(unknown)}")
    if strange := of.keys() - TASKS.keys():
        raise KeyError(f"{entry['id']} names an unknown task {min(strange)}")
    id, title, line, fits = (str(entry[name]) for name in ("id", "title", "line", "fits"))
    return Preset(id, title, line, fits, int(entry["gpu_gb"] * 1e9), held, of)

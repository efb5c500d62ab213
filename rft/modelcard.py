"""The model card of a finished run: what was learned, from what, how well, and how to load it.

Pure: facts in, Markdown with the Hub's front matter out. Titles, names and completions come
from elsewhere; they are shown as text and can structure nothing. No path of this machine gets in.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from rft import paired
from rft.cards import REPO
from rft.config import Config
from rft.errors import InputError
from rft.evaluate import Share
from rft.series import mean, number, window
from rft.tasks import TASKS, prompt_for

Line = Mapping[str, Any]

STUDIO = "Reason-RFT Studio"
#: Licenses of bases that say theirs; for others the card leaves the field to its owner.
LICENSES = {"Qwen/Qwen2-VL-2B-Instruct": "apache-2.0", "Qwen/Qwen2-VL-7B-Instruct": "apache-2.0"}
CLASSES = {
    "qwen2_vl": ("Qwen2VLForConditionalGeneration", "Qwen2VLProcessor"),
    "qwen2_5_vl": ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor"),
}
_FLIPS = 3  # flips of each kind that are shown
_POINTS = 9  # points of the curve that are shown
_LONG = 600  # characters of a completion


@dataclass(frozen=True)
class Facts:
    """What a card tells of a run, as its files have it.

    ``base`` is a Hub id, a card's id or a path; ``adapter`` says whether the folder holds an
    adapter of it, ``license`` what its files are under ("" where that is not known). ``trained`` and ``held``
    count problems, ``source`` says where they are from, ``datasets`` are Hub ids of it.
    """

    title: str
    config: Config
    family: str
    base: str
    adapter: bool
    metrics: Sequence[Line] = ()
    heldout: Sequence[Line] = ()
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    trained: int = 0
    held: int = 0
    seconds: float | None = None
    license: str = ""
    source: str = ""
    datasets: Sequence[str] = ()


def model_card(facts: Facts, where: str = "PATH") -> str:
    """The README.md of the checkpoint. ``where``: what to load it by, a Hub id or a folder."""
    parts = [
        _front(facts),
        f"# {inline(facts.title)}",
        _summary(facts),
        "## Accuracy\n\n" + _accuracy(facts),
        "## Training\n\n" + _training(facts),
        "## Loading\n\n" + _loading(facts, where),
        "## Limits\n\n" + _limits(facts),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def inline(text: str) -> str:
    """Text from elsewhere on one line, with nothing in it that Markdown or HTML would read."""
    flat = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()
    safe = re.sub(r"([\\`*_{}\[\]()#+\-.!|~^$])", r"\\\1", html.escape(flat, quote=False))
    # Bare addresses and mentions become links without any mark of Markdown.
    return re.sub(r"(?i)(https?|ftp|mailto)(:)|(www)(\\\.)|@", _unlinked, safe)


def _unlinked(found: re.Match[str]) -> str:
    if found[1]:
        return f"{found[1]}&#58;"
    return f"{found[3]}&#46;" if found[3] else "&#64;"


def block(text: str) -> str:
    """Text from elsewhere as a block of code, whose fence is longer than any in the text."""
    clean = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", text.replace("\r", ""))
    longest = max((len(run) for run in re.findall(r"`+", clean)), default=0)
    fence = "`" * max(3, longest + 1)
    short = clean if len(clean) <= _LONG else f"{clean[:_LONG]} …"
    return f"{fence}text\n{short}\n{fence}"


def public(named: str) -> str:
    """A checkpoint's name without the folders of this machine that lead to it."""
    absolute = Path(named).is_absolute() or PureWindowsPath(named).is_absolute()
    return PureWindowsPath(named).name if absolute or named[:1] in ("~", ".") else named


def _front(facts: Facts) -> str:
    """The Hub's metadata. JSON strings are YAML strings, whatever they hold."""
    config = facts.config
    tags = ["reason-rft", "visual-reasoning", config.task]
    tags += ["sft"] * config.supervised + ["grpo", "trl"] * config.reinforced
    tags += ["lora"] * bool(config.rank)
    lines: list[tuple[str, Any]] = []
    if REPO.fullmatch(facts.base):
        lines += [("base_model", facts.base)]
        lines += [("base_model_relation", "adapter" if facts.adapter else "finetune")]
    license = facts.license or LICENSES.get(facts.base, "")
    lines += [("license", license)] if license else []
    lines += [("library_name", "peft" if facts.adapter else "transformers")]
    lines += [("pipeline_tag", "image-text-to-text"), ("tags", tags)]
    datasets = [name for name in facts.datasets if REPO.fullmatch(name)]
    lines += [("datasets", datasets)] if datasets else []
    told = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in lines]
    return "\n".join(["---", *told, "---"])


def _summary(facts: Facts) -> str:
    config, task = facts.config, TASKS[facts.config.task]
    how = {
        "ans-sft": "supervised fine-tuning on answers",
        "cot-sft": "supervised fine-tuning on chains of thought",
        "grpo": "GRPO, reinforcement learning from rule-based rewards",
        "sft+grpo": "supervised fine-tuning on chains of thought, then GRPO",
    }[config.method]
    what = f"A LoRA adapter of rank {config.rank} for" if facts.adapter else "A fine-tuned"
    name = inline(public(facts.base))
    return (
        f"{what} {name}{'' if facts.adapter else ' checkpoint'}, trained with {STUDIO} by {how}, "
        f"for {task.title.lower()}: {task.line[:1].lower()}{task.line[1:]} It was made after "
        "[Reason-RFT](https://arxiv.org/abs/2503.20752)."
    )


def _accuracy(facts: Facts) -> str:
    if not facts.after:
        return "Not measured: the run had no held-out problems."
    rows = ["| | right inside `<answer>` | right anyhow | well formed |", "|---|---|---|---|"]
    for name, report in (("Before", facts.before), ("After", facts.after)):
        if report:
            cells = (_share(report.get(key)) for key in ("strict", "lenient", "format"))
            rows.append(f"| {name} | {' | '.join(cells)} |")
    text = (
        f"On {facts.held or 'the'} held-out problems, greedy decoding, with 95% Wilson intervals:"
        "\n\n" + "\n".join(rows)
    )
    try:
        found = paired.compare(facts.before or {}, facts.after)
    except InputError:
        return text
    text += f"\n\nThe same problems before and after: {inline(found.sentence)}"
    if facts.config.chooses:
        text += " The checkpoint was chosen as the best on some of them, which flatters it."
    for title, gained in (("Turned right", True), ("Turned wrong", False)):
        for flip in [f for f in found.flips if f.gained == gained][:_FLIPS]:
            text += (
                f"\n\n**{title}:** {inline(flip.question)} (gold: {inline(flip.gold)})\n\n"
                f"{block(flip.before)}\n\nbecame\n\n{block(flip.after)}"
            )
    return text


def _share(share: Any) -> str:
    share = share if isinstance(share, Mapping) else {}
    right, n = number(share.get("right")), number(share.get("n"))
    return "unknown" if right is None or not n else str(Share(int(right), int(n))).strip()


def _training(facts: Facts) -> str:
    config = facts.config
    source = f" ({inline(facts.source)})" if facts.source else ""
    text = f"{facts.trained or config.samples} training problems{source}, "
    text += f"{facts.held or 'no'} held out."
    if facts.seconds:
        text += f" {config.total_steps} steps in {facts.seconds / 60:.1f} minutes."
    rows = ["| Setting | Value |", "|---|---|"]
    for name, value in asdict(config).items():
        plain = isinstance(value, (bool, int, float))
        shown = public(value) if name == "checkpoint" else json.dumps(value)
        rows.append(f"| `{name}` | {f'`{shown}`' if plain else inline(shown)} |")
    return "\n\n".join([text, _curve(facts), "Every setting of the run:", "\n".join(rows)])


def _curve(facts: Facts) -> str:
    """The curve as numbers: means over a few spans of steps, and what was measured held-out."""
    name = "reward" if facts.config.reinforced else "loss"
    lines = [line for line in facts.metrics if number(line.get(name)) is not None]
    if not lines:
        return "No curve was recorded."
    columns = [name]
    if name == "reward":
        columns += [f"rewards/{reward}/mean" for reward, _ in facts.config.rewards]
        columns += ["completions/mean_length", "entropy", "kl"]
    columns = [c for c in columns if any(number(line.get(c)) is not None for line in lines)]
    heads = [c.removeprefix("rewards/").removesuffix("/mean").split("/")[-1] for c in columns]
    rows = [f"| Steps | {' | '.join(map(inline, heads))} |", "|---" * (len(columns) + 1) + "|"]
    size = max(window(len(lines)), -(-len(lines) // _POINTS))
    for first in range(0, len(lines), size):
        part = lines[first : first + size]
        cells = [[x for line in part if (x := number(line.get(c))) is not None] for c in columns]
        shown = [f"{mean(values):.3g}" if values else "" for values in cells]
        rows.append(f"| {part[0].get('step')} to {part[-1].get('step')} | {' | '.join(shown)} |")
    text = "\n".join(rows)
    held = [line for line in facts.heldout if number(line.get("n"))]
    if held:
        told = [
            f"{line.get('strict')} of {line.get('n')} at step {line.get('step')}" for line in held
        ]
        text += f"\n\nHeld-out problems right: {inline(', '.join(told))}."
    return text


def loading_code(family: str, base: str, where: str, adapter: bool) -> str:
    """Python that loads the model, with nothing of this Studio."""
    model, processor = CLASSES.get(family, ("AutoModelForImageTextToText", "AutoProcessor"))
    if not adapter:
        made = f"model = {model}.from_pretrained({where!r}, dtype='auto')"
        imported = f"from transformers import {model}, {processor}"
    else:
        made = f"base = {model}.from_pretrained({base!r}, dtype='auto')\n"
        made += f"model = PeftModel.from_pretrained(base, {where!r})"
        imported = f"from peft import PeftModel\nfrom transformers import {model}, {processor}"
    return f"{imported}\n\n{made}\nprocessor = {processor}.from_pretrained({where!r})"


def _loading(facts: Facts, where: str) -> str:
    config, base = facts.config, public(facts.base)
    code = loading_code(facts.family, base, where, facts.adapter)
    text = f"```python\n{code}\n```\n\nThe processor needs torchvision."
    if facts.adapter and not REPO.fullmatch(facts.base):
        text += f" The base is part of {STUDIO}."
    if config.method == "ans-sft":
        return f"{text} Ask with the images and the bare question, as in training."
    asked = prompt_for(config.task, "QUESTION")
    return (
        f"{text} Ask as in training, with the images and then this text, QUESTION being yours; "
        f"`<answer>` will hold {TASKS[config.task].answer}.\n\n```text\n{asked}\n```"
    )


def _limits(facts: Facts) -> str:
    held = facts.held
    told = [
        "- It was trained on few problems of one kind: other tasks, other kinds of images and "
        "other wordings of the question were not measured, and may have become worse.",
        "- The reasoning is what earned reward, which does not make it the way the answer came "
        "about. Check what matters.",
        "- The base model's limits and license hold here too.",
    ]
    if held:
        told.insert(
            0, f"- Measured on {held} problems: the intervals above say how little that is."
        )
    return "\n".join(told)

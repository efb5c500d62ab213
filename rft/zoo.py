"""Checkpoint cards: what can be run, what it needs, and where it stands on this machine.

The cards come from assets/zoo.toml, a user's own zoo file, and what a user types. This
module knows neither torch nor the page; listing and judging cards never touches the network.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import tomllib

from rft import checkpoint, hub, machine
from rft.errors import CheckpointError, InputError
from rft.tasks import trained_instruction
from rft.types import Progress, Stage, TaskName

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "assets" / "zoo.toml"
_DEFAULT_MARGIN = 1.3  # GB beside the weights, where no model table says otherwise
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HUB_ADDRESS = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/")


@dataclass(frozen=True)
class Card:
    """One checkpoint as a person sees it before anything is loaded.

    ``where`` is a Hub id or the absolute path of a folder; ``family`` a key of
    checkpoint.FAMILIES ("" where only fetching can tell); ``reported`` maps a column's name
    to published accuracy in per cent. Bytes are those of bf16 weights; ``memory_bytes``
    adds what answering takes. ``prompt_file`` is a user's own instruction for this card.
    """

    id: str
    title: str
    task: TaskName | None
    stage: Stage | None
    size: str
    where: str
    family: str
    reported: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, str | float] = field(default_factory=dict)
    download_bytes: int = 0
    memory_bytes: int = 0
    note: str = ""
    prompt_file: str | None = None
    parameters: int = 0
    bundled: bool = False

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder if ``where`` is one, whether it exists or not."""
        return Path(self.where) if Path(self.where).is_absolute() else None


@dataclass(frozen=True)
class State:
    """Where a card stands on this machine, as a word and as a sentence with its numbers."""

    kind: Literal["bundled", "cached", "download", "too-large", "unavailable"]
    sentence: str


@dataclass(frozen=True)
class Instruction:
    """A user's own prompt text, and whether it is the one the checkpoints were trained with."""

    text: str
    trained: bool


def cards(extra: Path | None = None) -> list[Card]:
    """The cards of assets/zoo.toml, overlaid and extended by the user's file ``extra``."""
    table = _read_toml(ZOO)
    entries: dict[str, dict[str, Any]] = {entry["id"]: entry for entry in table["card"]}
    if extra is not None:
        own = _read_toml(extra)
        table["model"] = {**table["model"], **own.get("model", {})}
        for entry in own.get("card", []):
            name = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name:
                raise InputError(f"{extra}: every [[card]] needs an id; give it one.")
            placed = {**entry, **_placed(entry, extra.resolve().parent)}
            entries[name] = {**entries.get(name, {}), **placed}
    source = extra or ZOO
    return [_card(entry, table, source) for entry in entries.values()]


def _placed(entry: Mapping[str, Any], home: Path) -> dict[str, str]:
    """Paths of a user's file are relative to that file, unless they are Hub ids."""
    placed = {}
    if "prompt_file" in entry:
        placed["prompt_file"] = str(home / Path(str(entry["prompt_file"])).expanduser())
    where = str(entry.get("where", ""))
    folder = home / Path(where).expanduser()
    if where and (folder.is_dir() or not _REPO.fullmatch(where)):
        placed["where"] = str(folder)
    return placed


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The zoo file {file} cannot be read ({error}): correct it.") from error


_FIELDS = {"id", "title", "task", "stage", "model", "where", "note", "prompt_file"}
_FIELDS |= {"reported", "measured"}


def _card(entry: Mapping[str, Any], table: Mapping[str, Any], source: Path) -> Card:
    """One [[card]] with the defaults of its [model.*]; InputError names what is wrong in it."""

    def refuse(why: str) -> InputError:
        return InputError(f"{source}: card {entry['id']!r} {why}.")

    if unknown := set(entry) - _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise refuse(f"has an unknown field {min(unknown)!r}; known are {known}")
    if "where" not in entry:
        raise refuse("needs `where`: a Hub id or a folder")
    model = table["model"].get(entry.get("model"))
    if model is None and "model" in entry:
        raise refuse(f"names no known model; known are {', '.join(table['model'])}")
    task, stage = entry.get("task"), entry.get("stage")
    if task is not None and task not in get_args(TaskName):
        raise refuse(f"has task {task!r}; use one of {', '.join(get_args(TaskName))}, or none")
    if stage is not None and stage not in get_args(Stage):
        raise refuse(f"has stage {stage!r}; use one of {', '.join(get_args(Stage))}, or none")
    columns = [c for name, cs in table["columns"].items() if task in (None, name) for c in cs]
    reported = entry.get("reported", [])
    if isinstance(reported, list) and reported:
        if len(reported) != len(columns):
            raise refuse(f"reports {len(reported)} numbers for {len(columns)} columns")
        reported = dict(zip(columns, reported, strict=True))
    bundled = not Path(entry["where"]).is_absolute() and (
        entry["where"].count("/") > 1 or not _REPO.fullmatch(entry["where"])
    )
    where = str(ROOT / entry["where"]) if bundled else entry["where"]
    card = Card(
        id=entry["id"],
        title=entry.get("title", entry["id"]),
        task=task,
        stage=stage,
        size="",
        where=where,
        family="",
        reported=dict(reported),
        measured=entry.get("measured", {}),
        note=entry.get("note", ""),
        prompt_file=entry.get("prompt_file"),
        bundled=bundled,
    )
    if model is None:
        folder = card.folder or hub.snapshot(card.where)
        return card if folder is None or not folder.is_dir() else _sized(card, folder)
    sized = _weighed(card, model["parameters"], model["margin"])
    return replace(sized, family=model["family"], size=model["size"])


def _weighed(card: Card, parameters: int, margin: float = _DEFAULT_MARGIN) -> Card:
    """The card with its needs: two bytes a parameter, and a margin in GB for answering."""
    weights = 2 * parameters
    return replace(
        card,
        parameters=parameters,
        download_bytes=0 if card.folder else weights,
        memory_bytes=weights + int(margin * 1e9),
    )


def card_for(text: str, extra: Path | None = None) -> Card:
    """The card of what a user typed: a card's id, a local folder, a Hub id or its address.

    InputError says what is wrong: no such folder, wrong family, damaged, not on this machine.
    """
    wanted = text.strip().strip("\"'")
    if not wanted:
        raise InputError("Type the path of a checkpoint folder, or a Hub id like owner/name.")
    for card in cards(extra):
        if wanted in (card.id, card.where):
            return card
    folder = Path(wanted).expanduser()
    try:
        if folder.is_dir():
            return _local_card(folder.resolve())
        repo = _HUB_ADDRESS.sub("", wanted).rstrip("/")
        if _REPO.fullmatch(repo) and "--" not in repo and ".." not in repo:
            return _hub_card(repo)
    except CheckpointError as error:
        raise InputError(str(error)) from error
    except OSError as error:  # a path too long or with characters that no file can have
        raise InputError(f"{wanted[:80]!r} is no path and no Hub id: check it.") from error
    if folder.is_file():
        raise InputError(f"{wanted} is a file: give the folder that it lies in.")
    raise InputError(
        f"There is no folder {wanted[:200]!r}, and it is no Hub id like owner/name: check it."
    )


def _local_card(folder: Path) -> Card:
    card = Card(str(folder), folder.name, None, None, "", str(folder), "")
    return _sized(card, folder)


def _sized(card: Card, folder: Path) -> Card:
    """The card with family and needs read from the folder itself."""
    facts = checkpoint.inspect(folder)
    family, parameters = facts.family, facts.parameters
    if facts.base is not None:
        if checkpoint.is_adapter(Path(facts.base)):
            raise CheckpointError(f"{folder} adapts another adapter: merge that one first.")
        base = card_for(facts.base)
        family, parameters = base.family, parameters + base.parameters
        card = replace(card, task=card.task or base.task)
    sized = replace(_weighed(card, parameters), family=family or "", size=_size(parameters))
    return replace(sized, download_bytes=0)


def _hub_card(repo: str) -> Card:
    card = Card(repo, repo.split("/")[1], None, None, "", repo, "")
    folder = hub.snapshot(repo)
    if folder is not None:
        return _sized(card, folder)
    config = hub.config_file(repo)
    if config.name == checkpoint.ADAPTER_CONFIG:
        base = card_for(str(checkpoint.read_json(config).get("base_model_name_or_path")))
        return replace(_weighed(card, base.parameters), family=base.family, size=base.size)
    family = checkpoint.family_of(checkpoint.read_json(config), repo)
    parameters = hub.parameters(repo)
    return replace(_weighed(card, parameters), family=family, size=_size(parameters))


def _size(parameters: int) -> str:
    """2.21e9 -> "2.2B", 3.0e6 -> "3.0M"; empty where unknown."""
    if not parameters:
        return ""
    return f"{parameters / 1e9:.1f}B" if parameters >= 5e8 else f"{parameters / 1e6:.1f}M"


def folder_of(card: Card) -> Path | None:
    """Where the card's files are on this machine; None if they must be downloaded."""
    if card.folder is not None:
        return card.folder if card.folder.is_dir() else None
    return hub.snapshot(card.where)


def state(card: Card, memory: machine.Memory | None = None) -> State:
    """Where a card stands here. ``memory`` saves asking the machine again for every card."""
    folder = folder_of(card)
    if folder is None and card.folder is not None:
        return State("unavailable", f"The folder {card.where} is missing: restore it.")
    memory = memory or machine.memory()
    on_gpu, free = memory.place(card.memory_bytes)
    if card.memory_bytes > free:
        need, where = machine.gb(card.memory_bytes), " on its GPU" if on_gpu else ""
        return State("too-large", f"Needs {need}, this machine has {machine.gb(free)} free{where}.")
    needs = f"Needs {machine.gb(card.memory_bytes)} of memory." if card.memory_bytes else ""
    if card.bundled:
        return State("bundled", f"Bundled: runs without a download. {needs}".strip())
    if folder is not None:
        return State("cached", f"On this machine. {needs}".strip())
    if hub.offline():
        return State("unavailable", str(hub.offline_error(card.where)))
    try:
        hub.check_space(card.where, card.download_bytes)
    except CheckpointError as error:
        return State("unavailable", str(error))
    size = machine.gb(card.download_bytes) if card.download_bytes else "its weights"
    return State("download", f"Downloads {size} from the Hub once. {needs}".strip())


def fetch(card: Card) -> Generator[Progress, None, None]:
    """Download a card's files if they are not here; see hub.fetch for what can go wrong."""
    if card.folder is not None:
        if not card.folder.is_dir():
            raise CheckpointError(f"The folder {card.where} is missing: restore it.")
        return
    yield from hub.fetch(card.where, card.family or None)


def instruction(card: Card) -> Instruction | None:
    """The card's own prompt text, None where it has none; InputError if its file is unusable.

    A text file is taken as it is. Of a Python file (the reference repository keeps its prompt
    in one) the string constant is read, without running anything.
    """
    if card.prompt_file is None:
        return None
    file = Path(card.prompt_file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The prompt file {file} of {card.id} cannot be read ({error})."
        ) from error
    if file.suffix == ".py":
        text = _constant(text, file)
    # Editors end a file with a line break that the trained text does not have.
    if not trained_instruction(text) and trained_instruction(text.rstrip("\r\n")):
        text = text.rstrip("\r\n")
    if not text.strip():
        raise InputError(f"The prompt file {file} of {card.id} is empty: write the prompt into it.")
    return Instruction(text, trained_instruction(text))


def _constant(source: str, file: Path) -> str:
    """The longest string constant assigned at the top of a Python file."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise InputError(f"The prompt file {file} is not valid Python ({error}).") from error
    texts = [
        node.value.value
        for node in body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    if trained := [text for text in texts if trained_instruction(text)]:
        return trained[0]
    return max(texts, key=len, default="")

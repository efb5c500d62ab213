"""Cards of checkpoints, as zoo files describe them: assets/zoo.toml and a user's own.

Knows the files' form and what may be wrong in them; looks at no checkpoint and no Hub.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from rft import address
from rft.checkpoint import FAMILIES
from rft.errors import InputError
from rft.scenes import SPLIT_NAMES
from rft.types import Stage, TaskName

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "assets" / "zoo.toml"
#: What `python -m rft eval --all` found of the bundled checkpoints.
RESULTS = ROOT / "assets" / "results.json"
#: owner/name as the Hub allows it; two dots or dashes in a row are not.
REPO = re.compile(r"(?!.*(?:\.\.|--))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")

_TEXTS = ("id", "title", "task", "stage", "model", "where", "note", "prompt_file",
          "endpoint", "served_model", "key_env")  # fmt: skip
_FIELDS = (*_TEXTS, "at_once", "reported", "measured")
_MODEL: dict[str, Any] = {"family": str, "size": str, "parameters": int, "margin": (int, float)}


#: Parameters. A checkpoint below it is one of this repository's: the families begin far above.
_TINY = 500_000_000


@dataclass(frozen=True)
class Card:
    """One checkpoint as a person sees it before anything is loaded.

    ``where`` is a Hub id or the absolute path of a folder, "" for what a server alone has;
    ``family`` a key of checkpoint.FAMILIES ("" where only its files can tell); ``reported``
    maps a column's name to published accuracy in per cent. Bytes are those of bf16 weights;
    ``memory_bytes`` adds what answering takes. ``prompt_file`` is a user's own instruction for
    this card. ``run``: made by a run of this Studio. ``endpoint``: the server that answers in
    its place, which takes no memory here.
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
    run: bool = False
    endpoint: address.Address | None = None

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder if ``where`` is one, whether it exists or not."""
        return Path(self.where) if Path(self.where).is_absolute() else None

    @property
    def tiny(self) -> bool:
        """Whether it is of this repository's own size, taught its prompts and single questions."""
        return 0 < self.parameters < _TINY


def read_cards(extra: Path | None = None) -> list[Card]:
    """The cards of assets/zoo.toml, overlaid and extended by the user's file ``extra``.

    A bundled checkpoint that is not in its folder has no card.
    """
    table = _read(ZOO)
    entries = {entry["id"]: _placed(entry, ZOO) for entry in table["card"]}
    bundled = {name for name, entry in entries.items() if Path(entry["where"]).is_absolute()}
    for name in [name for name in bundled if not Path(entries[name]["where"]).is_dir()]:
        del entries[name]
        bundled.remove(name)
    for name, numbers in measured().items():
        if name in bundled:
            entries[name]["measured"] = numbers
    if extra is not None:
        own = _read(extra)
        table["model"] = {**table["model"], **own["model"]}
        for entry in own["card"]:
            added = _placed(entry, extra)
            if "where" in added or "endpoint" in added:
                bundled.discard(added["id"])
            entries[added["id"]] = {**entries.get(added["id"], {}), **added}
    return [
        replace(_card(entry, table, extra or ZOO), bundled=name in bundled)
        for name, entry in entries.items()
    ]


def measured(file: Path = RESULTS) -> dict[str, dict[str, str]]:
    """Accuracy by card and split, with half the width of its 95% interval.

    Of a card that was measured on several tasks, each split is told with its task.
    """
    if not file.is_file():
        return {}
    found: dict[str, dict[str, str]] = {}
    standings = json.loads(file.read_text())["standings"]
    tasks: dict[str, set[str]] = {}
    for one in standings:
        tasks.setdefault(one["card"], set()).add(one["task"])
    for one in standings:
        share = one["share"]
        of = f"{one['task']}, " if len(tasks[one["card"]]) > 1 else ""
        told = f"{share['rate']:.1%} ± {50 * (share['high'] - share['low']):.1f}"
        found.setdefault(one["card"], {})[of + SPLIT_NAMES[one["split"]]] = told
    return found


def weighed(card: Card, parameters: int, margin: float | None = None) -> Card:
    """The card with its needs: two bytes a parameter, and a margin in GB for answering."""
    if margin is None:  # no model table says it: a small model's images are small as well
        margin = 1.3 if parameters > 5e8 else 0.4
    return replace(
        card,
        parameters=parameters,
        download_bytes=0 if card.folder or card.endpoint else 2 * parameters,
        memory_bytes=0 if card.endpoint else 2 * parameters + int(margin * 1e9),
    )


def _read(file: Path) -> dict[str, Any]:
    """A zoo file whose tables have the right types; InputError says what has not."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The zoo file {file} cannot be read ({error}): correct it.") from error
    table = {"card": [], "model": {}, **table}
    if not isinstance(table["card"], list) or not isinstance(table["model"], dict):
        raise InputError(f"{file}: write cards as [[card]] and models as [model.NAME].")
    for entry in table["card"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not entry["id"]:
            raise InputError(f"{file}: every [[card]] needs an id; give it one.")
        if unknown := set(entry) - set(_FIELDS):
            raise _wrong(file, entry, f"has an unknown field {min(unknown)!r}; use {_FIELDS}")
        for name in _TEXTS:
            if not isinstance(entry.get(name, ""), str):
                raise _wrong(file, entry, f"has a {name} that is not text; put it in quotes")
        if not isinstance(entry.get("measured", {}), dict):
            raise _wrong(file, entry, "has a `measured` that is not a table")
    for name, model in table["model"].items():
        for key, kind in _MODEL.items():
            if not isinstance(model, dict) or not isinstance(model.get(key), kind):
                raise InputError(f"{file}: model {name!r} needs {', '.join(_MODEL)}; check {key}.")
        if model["family"] not in FAMILIES:
            raise InputError(f"{file}: model {name!r} needs one of the families {list(FAMILIES)}.")
    return table


def _wrong(file: Path, entry: Mapping[str, Any], why: str) -> InputError:
    return InputError(f"{file}: card {entry['id']!r} {why}.")


def _placed(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    """Paths in a zoo file are relative to its folder, those of the bundled one to the repository.

    What is no folder and looks like a Hub id is one.
    """
    placed = dict(entry)
    if "prompt_file" in entry:
        placed["prompt_file"] = str(_path("prompt_file", entry, file))
    if where := entry.get("where"):
        folder = _path("where", entry, file)
        try:
            hub_id = REPO.fullmatch(where) and not folder.is_dir()
        except OSError as error:
            raise _wrong(file, entry, f"has a `where` that is closed ({error.strerror})") from error
        placed["where"] = where if hub_id else str(folder)
    return placed


def _path(name: str, entry: Mapping[str, Any], file: Path) -> Path:
    home = ROOT if file == ZOO else file.resolve().parent
    try:
        return home / Path(entry[name]).expanduser()
    except RuntimeError as error:
        raise _wrong(
            file,
            entry,
            f"has a `{name}` in the home of a user that this machine does not know: give the "
            "whole path",
        ) from error


def _card(entry: Mapping[str, Any], table: Mapping[str, Any], file: Path) -> Card:
    """One [[card]] with the defaults of its [model.*]."""
    try:
        endpoint = address.read(entry)
    except InputError as error:
        raise _wrong(file, entry, str(error)) from error
    if not entry.get("where") and endpoint is None:
        raise _wrong(file, entry, "needs `where`: a Hub id or a folder (or an `endpoint`)")
    if "model" in entry and entry["model"] not in table["model"]:
        raise _wrong(file, entry, f"names no known model; use one of {list(table['model'])}")
    for name, kind in (("task", TaskName), ("stage", Stage)):
        if name in entry and entry[name] not in get_args(kind):
            raise _wrong(file, entry, f"has {name} {entry[name]!r}; use one of {get_args(kind)}")
    card = Card(
        id=entry["id"],
        title=entry.get("title", entry["id"]),
        task=entry.get("task"),
        stage=entry.get("stage"),
        size="",
        where=entry.get("where", ""),
        family="",
        reported=_reported(entry, table["columns"], file),
        measured=entry.get("measured", {}),
        note=entry.get("note", ""),
        prompt_file=entry.get("prompt_file"),
        endpoint=endpoint,
    )
    if "model" not in entry:
        return card
    model = table["model"][entry["model"]]
    sized = weighed(card, model["parameters"], model["margin"])
    return replace(sized, family=model["family"], size=model["size"])


def _reported(
    entry: Mapping[str, Any], columns: Mapping[str, list[str]], file: Path
) -> dict[str, float]:
    """Published numbers under their columns: those of the card's task, all without a task."""
    numbers = entry.get("reported", [])
    names = [
        name for task, cs in columns.items() if entry.get("task") in (None, task) for name in cs
    ]
    if not isinstance(numbers, list) or not all(isinstance(n, (int, float)) for n in numbers):
        raise _wrong(file, entry, "reports something else than a list of numbers")
    if numbers and len(numbers) != len(names):
        raise _wrong(file, entry, f"reports {len(numbers)} numbers for {len(names)} columns")
    return {name: float(number) for name, number in zip(names, numbers, strict=False)}

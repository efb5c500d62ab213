"""The zoo: which checkpoints can be run, what they need, and where they stand on this machine.

Cards come from zoo files, from finished runs and from what a user types. This module knows neither torch nor the
page; listing and judging cards never touches the network.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from rft import checkpoint, finished, hub, machine, place
from rft.cards import REPO, ROOT, Card, read_cards, weighed
from rft.errors import CheckpointError, InputError
from rft.promptfile import Instruction, read_instruction
from rft.run import Run
from rft.types import Progress

__all__ = [
    "ROOT",
    "Card",
    "State",
    "card_for",
    "cards",
    "fetch",
    "folder_of",
    "instruction",
    "state",
]

_HUB_ADDRESS = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/")


@dataclass(frozen=True)
class State:
    """Where a card stands on this machine, as a word and as a sentence with its numbers."""

    kind: Literal["bundled", "cached", "download", "too-large", "unavailable", "served"]
    sentence: str


def cards(extra: Path | None = None, runs: Path | None = None) -> list[Card]:
    """The cards of assets/zoo.toml, overlaid and extended by the user's file ``extra``.

    What a user's card leaves open is read from its folder, where it has one. The finished runs
    under ``runs`` come last, the newest first.
    """
    listed = []
    for card in read_cards(extra):
        folder = folder_of(card) if not card.family else None
        try:
            listed.append(_sized(card, folder) if folder is not None else card)
        except (CheckpointError, InputError):
            listed.append(card)  # state() says what is wrong with it
    for made in finished.folders(runs) if runs is not None else ():
        try:
            listed.append(_run_card(Run(made)))
        except InputError:
            continue  # written by a newer version, or broken: Train says so
    return listed


def _run_card(run: Run) -> Card:
    try:
        return _sized_run(run.folder, run.stamp())
    except CheckpointError:
        return finished.card(run)  # state() says what is wrong with it


@lru_cache(maxsize=512)
def _sized_run(folder: Path, stamp: Any) -> Card:
    """The sized card of a run whose files are as ``stamp`` says; what fails is tried again."""
    run = Run(folder)
    try:
        return _sized(finished.card(run), run.final)
    except InputError as error:
        raise CheckpointError(str(error)) from error


def card_for(text: str, extra: Path | None = None) -> Card:
    """The card of what a user typed: a card's id, a local folder, a Hub id or its address.

    A finished run's folder is one too, and so is the path of either counted from here.
    InputError says what is wrong: no such folder, wrong family, damaged, not on this machine.
    """
    return _card_for(text, extra, whole=False)


def _card_for(text: str, extra: Path | None, whole: bool) -> Card:
    """``whole``: what an adapter names as its base, which must not be an adapter again."""
    wanted = text.strip().strip("\"'")
    if not wanted:
        raise InputError("Type the path of a checkpoint folder, or a Hub id like owner/name.")
    repo = _HUB_ADDRESS.sub("", wanted).rstrip("/")
    known = cards(extra)
    for card in known:
        if card.id == wanted or card.where in (wanted, repo):
            return card
    try:
        folder = Path(wanted).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{wanted[:80]!r} lies in the home of a user that this machine does not know: "
            "give the whole path."
        ) from error
    try:
        if not folder.is_dir() and (ROOT / folder).is_dir():
            folder = ROOT / folder
        if folder.is_dir():
            return _local_card(folder.resolve(), whole, known)
        if folder.is_file():
            raise InputError(f"{wanted} is a file: give the folder that it lies in.")
        if REPO.fullmatch(repo):
            return _hub_card(repo, whole)
    except CheckpointError as error:
        raise InputError(str(error)) from error
    except OSError as error:  # a path too long or with characters that no file can have
        raise InputError(f"{wanted[:80]!r} is no path and no Hub id: check it.") from error
    raise InputError(
        f"There is no folder {wanted[:200]!r}, and it is no Hub id like owner/name: check it."
    )


def _local_card(folder: Path, whole: bool, known: Sequence[Card]) -> Card:
    for card in known:
        if card.folder is not None and card.folder.resolve() == folder:
            return card
    run = finished.run_of(folder)
    if run is not None and not whole:
        return _run_card(run)
    folder = place.checkpoint_of(folder)
    return _sized(Card(str(folder), folder.name, None, None, "", str(folder), ""), folder, whole)


def _sized(card: Card, folder: Path, whole: bool = False) -> Card:
    """The card with family and needs read from the folder itself."""
    facts = checkpoint.inspect(folder)
    family, parameters = facts.family or "", facts.parameters
    if facts.base is not None:
        base = _base(facts.base, str(folder), whole)
        family, parameters = base.family, parameters + base.parameters
    sized = replace(weighed(card, parameters), family=family, size=card.size or _size(parameters))
    return replace(sized, download_bytes=0)


def _base(named: str, adapter: str, whole: bool) -> Card:
    """The card of an adapter's base. Looked up one step deep: adapters may name each other."""
    if whole:
        raise CheckpointError(
            f"{adapter} is an adapter, and so is what names it as its base: merge it first."
        )
    local = Path(adapter) if Path(adapter).is_absolute() else None
    found = place.folder(named, local)
    if found is not None:
        return _local_card(found.resolve(), True, cards())
    return _card_for(named, None, whole=True)


def _hub_card(repo: str, whole: bool = False) -> Card:
    card = Card(repo, repo.split("/")[1], None, None, "", repo, "")
    folder = hub.snapshot(repo)
    if folder is not None:
        return _sized(card, folder, whole)
    config = hub.config_file(repo)
    if config.name == checkpoint.ADAPTER_CONFIG:
        named = checkpoint.read_json(config).get("base_model_name_or_path")
        base = _base(str(named), repo, whole)
        return replace(weighed(card, base.parameters), family=base.family, size=base.size)
    family = checkpoint.family_of(checkpoint.read_json(config), repo)
    parameters = hub.parameters(repo)
    return replace(weighed(card, parameters), family=family, size=_size(parameters))


def _size(parameters: int) -> str:
    """2.21e9 -> "2.2B", 3.0e6 -> "3.0M"."""
    return f"{parameters / 1e9:.1f}B" if parameters >= 5e8 else f"{parameters / 1e6:.1f}M"


def folder_of(card: Card) -> Path | None:
    """Where the card's files are on this machine; None if they must be downloaded."""
    if card.folder is not None:
        return card.folder if card.folder.is_dir() else None
    return hub.snapshot(card.where) if card.where else None


def state(card: Card, memory: machine.Memory | None = None) -> State:
    """Where a card stands here. ``memory`` saves asking the machine again for every card.

    A server is not asked: whether it runs shows when somebody asks it something.
    """
    if card.endpoint is not None:
        try:
            return State("served", card.endpoint.sentence())
        except InputError as error:
            return State("unavailable", str(error))
    folder = folder_of(card)
    trouble = _trouble(card, folder)
    on_gpu, free = (memory or machine.memory()).place(card.memory_bytes)
    # A folder that is broken is so whatever the memory; what cannot be fetched now but would
    # not fit either is better called too large.
    if card.memory_bytes > free and not (trouble and card.folder):
        need, where = machine.gb(card.memory_bytes), " on its GPU" if on_gpu else ""
        return State("too-large", f"Needs {need}, this machine has {machine.gb(free)} free{where}.")
    if trouble is not None:
        return State("unavailable", str(trouble))
    needs = f"Needs {machine.gb(card.memory_bytes)} of memory." if card.memory_bytes else ""
    if card.bundled:
        return State("bundled", f"Bundled: runs without a download. {needs}".strip())
    if folder is not None:
        return State("cached", f"On this machine. {needs}".strip())
    size = machine.gb(card.download_bytes) if card.download_bytes else "its weights"
    return State("download", f"Downloads {size} from the Hub once. {needs}".strip())


def _trouble(card: Card, folder: Path | None) -> CheckpointError | None:
    """Why a card cannot be run or fetched now, apart from memory; None if it can."""
    try:
        if folder is not None:
            base = checkpoint.inspect(folder).base
            if base is not None and place.folder(base, folder) is None:
                raise CheckpointError(
                    f"An adapter of {base}, which is not on this machine: choose and download "
                    "that first."
                )
        elif card.folder is not None:
            raise _missing(card)
        elif hub.offline():
            raise hub.offline_error(card.where)
        else:
            hub.check_space(card.where, card.download_bytes)
    except CheckpointError as error:
        return error
    return None


def fetch(card: Card) -> Generator[Progress, None, None]:
    """Download a card's files if they are not here; see hub.fetch for what can go wrong."""
    if card.endpoint is not None:
        return
    if card.folder is None:
        yield from hub.fetch(card.where, card.family or None)
    elif not card.folder.is_dir():
        raise _missing(card)


def _missing(card: Card) -> CheckpointError:
    return CheckpointError(f"The folder {card.where} is missing: restore it or choose another.")


def instruction(card: Card) -> Instruction | None:
    """The card's own prompt text; None where it has none, InputError if its file is unusable."""
    return None if card.prompt_file is None else read_instruction(Path(card.prompt_file))

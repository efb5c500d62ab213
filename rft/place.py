"""Where a checkpoint's files are on this machine, by whatever name it is called.

A folder, a card's id, a Hub id, or what an adapter names as its base. Opens no weights, and
never touches the network.
"""

from __future__ import annotations

from pathlib import Path

from rft import hub
from rft.cards import REPO, ROOT, read_cards


def folder(named: str, beside: Path | None = None) -> Path | None:
    """The folder that a name stands for; None if it is not on this machine.

    ``beside``: the adapter that names it as its base. "../start" then counts from there. Any
    other relative path counts from this repository first, wherever it was moved, and from the
    working directory after that. A finished run's folder stands for its checkpoint.
    """
    try:
        path = Path(named).expanduser()
        relative = beside is not None and path.parts[:1] in ((".",), ("..",))
        places = [beside / path] if beside is not None and relative else [ROOT / path, path]
        for place in places:
            if place.is_dir():
                return checkpoint_of(place)
    except (OSError, RuntimeError):
        return None  # a name that no path can have, a home that nobody has
    where = next((card.where for card in read_cards() if card.id == named), named)
    if Path(where).is_absolute():
        return Path(where) if Path(where).is_dir() else None
    return hub.snapshot(where) if REPO.fullmatch(where) else None


def checkpoint_of(place: Path) -> Path:
    """A finished run's checkpoint; any other folder itself."""
    finished = (place / "done").is_file() and (place / "final").is_dir()
    return place / "final" if finished else place

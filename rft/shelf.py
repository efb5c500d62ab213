"""Where things are in a data folder: which file holds which task and split, and the images.

File names follow the published Reason-RFT set. Nothing outside the folder is ever named:
a data set is a thing from elsewhere, and its records must not reach into this machine.
This module opens no file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import get_args

from rft.errors import InputError
from rft.scenes import Split
from rft.types import TaskName

MARKER = "made-by-rft.json"  #: says that a folder is ours, and how each of its files was made

TITLES: dict[TaskName, str] = {
    "counting": "Visual-Counting",
    "structure": "Structure-Perception",
    "spatial": "Spatial-Transformation",
}
_SIDES = ("train", "test")
_SPLIT = re.compile(r"(?:^|[-.])(train|id|ood-left|ood-right|ood)(?=[-.]|$)")


def side(split: Split) -> str:
    """The half of the folder a split lies in: "train" or "test"."""
    return "train" if split == "train" else "test"


def json_file(folder: Path, task: TaskName, split: Split) -> Path:
    """Where a split of a task is written."""
    name = f"{TITLES[task]}-{'train-cot' if split == 'train' else f'{split}-test'}.json"
    return folder / f"{side(split)}_jsons" / name


def task_of(file: Path) -> TaskName | None:
    """The task that a data file's name tells, or None."""
    name = file.name.lower().replace("_", "-")
    for task, title in TITLES.items():
        if title.lower() in name or re.match(rf"{task}\b", name):
            return task
    return None


def split_of(file: Path) -> Split | None:
    """The split that a data file's name tells, or its folder; None where neither does."""
    found = _SPLIT.search(file.name.lower().replace("_", "-"))
    for split in get_args(Split):
        if found and split == found[1]:
            return split
    return "train" if file.parent.name == "train_jsons" else None


def root_of(file: Path) -> Path:
    """The data folder that a JSON file belongs to."""
    nested = file.parent.name in [f"{half}_jsons" for half in _SIDES]
    return file.parent.parent if nested else file.parent


def files(path: Path, task: TaskName | None, split: Split | None) -> list[Path]:
    """The data files at ``path`` (a file or a folder) that may hold this task and split.

    None leaves the task or split open; but InputError where that would mix splits.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist. Name a data folder, or a JSON or JSONL file.")
    there = [path.absolute()] if path.is_file() else _listed(path.absolute())
    if not there:
        raise InputError(f"{path} holds no JSON or JSONL file. Name a data folder.")
    fitting = [
        file
        for file in there
        if (task is None or task_of(file) in (task, None))
        and (split is None or split_of(file) in (split, None))
        and not (split == "train" and file.parent.name == "test_jsons")
    ]
    if not fitting:
        wanted = " ".join(word for word in (task, split) if word)
        held = ", ".join(file.name for file in there)
        raise InputError(f"{path} holds nothing for {wanted}. It holds: {held}.")
    splits = {name for file in fitting if (name := split_of(file))}
    if split is None and len(splits) > 1:
        raise InputError(f"{path} holds {', '.join(sorted(splits))}. Say which split to load.")
    return fitting


def _listed(folder: Path) -> list[Path]:
    nested = [file for half in _SIDES for file in sorted((folder / f"{half}_jsons").glob("*"))]
    every = nested or sorted(folder.glob("*"))
    return [f for f in every if f.suffix in (".json", ".jsonl") and f.name != MARKER]


class Shelf:
    """The images of a data folder, found by the names that records give them.

    A name may count from the folder, from ``images/`` or from the half's own image folder.
    Folders are listed once: 60,000 records would otherwise ask the disk 300,000 times.
    """

    def __init__(self, json: Path) -> None:
        """The shelf for the records of this JSON file."""
        self.root = root_of(json)
        split = split_of(json)
        own = [half for half in _SIDES if json.parent.name == f"{half}_jsons"]
        own = [side(split)] if split else own
        self._places = [f"images/{half}_images" for half in own or _SIDES] + ["images", ""]
        self._fence = _fence(self.root.resolve())
        self._found: dict[str, list[tuple[Path, set[str]]]] = {}

    def find(self, name: str) -> Path:
        """The image's path. InputError if it is missing or would lie outside the folder."""
        name = name.replace("\\", "/")
        last = name.rpartition("/")[2]
        above = name.removesuffix(last)
        if above not in self._found or last == "..":
            wanted, drive = PurePosixPath(name), PureWindowsPath(name).drive
            if wanted.is_absolute() or ".." in wanted.parts or drive:
                raise InputError(f"names the image “{name}”, which lies outside the data folder")
            folders = [self.root / place / above for place in self._places]
            self._found[above] = [(folder, self._listed(folder)) for folder in folders]
        for folder, files in self._found[above]:
            if last in files:
                return folder / last
        raise InputError(
            f"names the image “{name}”, which is not there: add it, or unpack the set's archive "
            "of images beside the records."
        )

    def _listed(self, folder: Path) -> set[str]:
        """Names of the files in a folder; of links only those that stay inside the fence."""
        try:
            if folder.resolve().is_relative_to(self._fence):
                with os.scandir(folder) as entries:
                    return {entry.name for entry in entries if self._holds(entry)}
        except (OSError, ValueError):
            pass  # no such folder, or a name no folder can have: it holds no image
        return set()

    def _holds(self, entry: os.DirEntry[str]) -> bool:
        inside = not entry.is_symlink() or Path(entry).resolve().is_relative_to(self._fence)
        return inside and entry.is_file()


def _fence(root: Path) -> Path:
    """What links in a data folder may point into: the folder itself.

    The Hub's cache is the exception: ``snapshots/<revision>`` links into ``blobs`` beside it.
    """
    for parent in root.parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return root

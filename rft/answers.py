"""What checkpoints answered, kept: a file of JSON lines for each checkpoint, set and decoding.

A line is found again by what was asked, words and pixels; so a killed evaluation goes on in the
middle, and a question that nothing of has changed is never asked twice. Verdicts are not kept:
they are made anew from what was said. Knows no model and no page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import blake2s
from pathlib import Path
from typing import Any

from rft import place, zoo
from rft.checkpoint import ADAPTER_CONFIG, is_adapter, read_json
from rft.images import open_image
from rft.journal import Journal, append
from rft.types import Decoding, Picture

#: What of a checkpoint's folder decides what it says: weights, configuration, words, template.
_DECIDING = (".safetensors", ".json", ".txt", ".jinja", ".model")


class Answers:
    """The answers file at a path. ``about`` says what it is of, in its first line."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about

    def texts(self) -> dict[str, str]:
        """Completions by the mark of what was asked; of two alike, the first counts."""
        found: dict[str, str] = {}
        for line in Journal(self.path).records():
            mark, text = line.get("asked"), line.get("text")
            if isinstance(mark, str) and isinstance(text, str):
                found.setdefault(mark, text)
        return found

    def keep(self, mark: str, text: str) -> None:
        """Add a completion. What is in the file already stays as it is."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append(self.path, {"step": 0, "about": self.about})
        append(self.path, {"step": 1, "asked": mark, "text": text})


def answers(root: Path, card: zoo.Card, decoding: Decoding, shelf: str) -> Answers:
    """The file under ``root`` for these; another one as soon as the checkpoint's files change."""
    files = [] if card.endpoint else stamp(zoo.folder_of(card))
    about = {"where": card.where, "files": files,
             "decoding": deciding(decoding), "set": shelf}  # fmt: skip
    if card.endpoint is not None:
        about["served"] = [card.endpoint.base, card.endpoint.model]
    key = blake2s(json.dumps(about, sort_keys=True).encode(), digest_size=6).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", card.id.rstrip("/"))[-60:].strip("-.")
    return Answers(root / f"{name}-{shelf}-{key}.jsonl", {"card": card.id, **about})


def stamp(folder: Path | None) -> list[Any]:
    """Names, sizes and times of the files that decide; of an adapter also its base's."""
    if folder is None or not folder.is_dir():
        return []
    files = sorted(file for file in folder.iterdir() if file.suffix in _DECIDING)
    facts = [(file, file.stat()) for file in files if file.is_file()]
    found: list[Any] = [[file.name, stat.st_size, stat.st_mtime_ns] for file, stat in facts]
    if is_adapter(folder):
        named = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        base = place.folder(str(named), folder)
        if base is not None and base != folder:
            found.append(stamp(base))
    return found


def deciding(decoding: Decoding) -> dict[str, Any]:
    """The settings that matter: of greedy decoding, neither the seed nor how to sample."""
    settings = {**asdict(decoding), "temperature": float(decoding.temperature)}  # 0 is 0.0
    if decoding.temperature == 0:
        return {name: settings[name] for name in ("temperature", "max_new_tokens", "max_pixels")}
    return settings


def seen(images: Sequence[Picture]) -> bytes:
    """What a problem's images show: the same for the same pixels, in whatever file they lie."""
    digest = blake2s()
    for part in _parts(images):
        digest.update(part)
    return digest.digest()


def mark(prompt: str, shown: bytes) -> str:
    """A few letters for a question as it is put: its words, and its images as :func:`seen`."""
    return blake2s(shown + prompt.encode("utf-8", "replace"), digest_size=12).hexdigest()


def seed_of(mark: str, seed: int | None) -> int:
    """The seed with which a question is answered: its own, whoever else is asked beside it."""
    return (int(mark[:12], 16) + 1_000_003 * (seed or 0)) % 2**63


def _parts(images: Sequence[Picture]) -> Iterator[bytes]:
    for picture in images:
        image = open_image(picture)
        yield f"{image.size}".encode()
        yield image.tobytes()

"""The images of a conversation as a page sees them: where each is shown from, and its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from app.store import Store
from rft.pointing import Size


@dataclass(frozen=True)
class Gallery:
    """By an image's name: its address, and its size in pixels, None where it is gone."""

    address: Callable[[str], str]
    size: Callable[[str], Size | None]


def served(store: Store, id: str) -> Gallery:
    """The images of a conversation in ``store``, as the server gives them out."""
    return Gallery(partial(_address, store, id), partial(_size, store, id))


def _address(store: Store, id: str, name: str) -> str:
    return f"gradio_api/file={quote(str(store.picture(id, name)))}"


def _size(store: Store, id: str, name: str) -> Size | None:
    try:
        return _read(store.picture(id, name))
    except OSError:  # deleted with its conversation, or damaged
        return None


@lru_cache(maxsize=512)
def _read(file: Path) -> Size:
    """From the header. An image is never changed: its name is the hash of what it holds."""
    with Image.open(file) as picture:
        return picture.size

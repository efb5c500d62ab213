"""Gradio started sooner: without type stubs for editors, without servers that serve nobody.

For each of its components Gradio reads the source, parses it and compares it with a .pyi file
beside it, at every import. Nobody edits code against a page that is being served. And for a page it
makes a server when it is begun, when it ends, when its queue is set, and when it is launched: only
the last is ever asked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MODULE, _WRITER = "gradio.component_meta", "create_or_modify_pyi"


class _Finder(MetaPathFinder):
    """Finds the one module that writes stubs, and takes the writing out of it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = spec.loader if spec else None
        if loader is None:
            return spec
        execute = loader.exec_module

        def without(module: ModuleType) -> None:
            execute(module)
            if hasattr(module, _WRITER):
                setattr(module, _WRITER, lambda *_: None)

        loader.exec_module = without
        return spec


def skip() -> None:
    """Write no stubs when Gradio is imported; too late, and without effect, once it has been."""
    if _MODULE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


@contextmanager
def unserved() -> Iterator[None]:
    """Make no server for the pages built inside; launching or mounting them makes theirs."""
    from gradio import blocks

    made = getattr(blocks, "App", None)
    if made is None:  # another Gradio: it starts as slowly as it likes
        yield
        return
    blocks.App = _NoServer  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        blocks.App = made  # type: ignore[misc]


class _NoServer:
    @staticmethod
    def create_app(*_: Any, **__: Any) -> None:
        return None

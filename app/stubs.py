"""Gradio imported in about two thirds of the time: without writing type stubs for editors.

For each of its components Gradio reads the source, parses it and compares it with a .pyi file
beside it, at every import. Nobody edits code against a page that is being served.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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

"""A user's own prompt file: its text, and whether it is the one the checkpoints were trained with.

A text file is taken as it is. Of a Python file (the reference repository keeps its prompt in
one) a string constant is read, without running anything. Knows no card and no model.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from rft.errors import InputError
from rft.tasks import trained_instruction


@dataclass(frozen=True)
class Instruction:
    """An instruction's text; ``trained`` if its hash is that of the released training."""

    text: str
    trained: bool


def read_instruction(file: Path) -> Instruction:
    """The instruction in a file. InputError where there is none to read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The prompt file {file} cannot be read ({error}): check it.") from error
    if file.suffix == ".py":
        text = _constant(text, file)
    # Editors end a file with a line break that the trained text does not have.
    if trained_instruction(text.removesuffix("\n")):
        text = text.removesuffix("\n")
    if not text.strip():
        raise InputError(f"The prompt file {file} holds no text: write the prompt into it.")
    return Instruction(text, trained_instruction(text))


def _constant(source: str, file: Path) -> str:
    """The trained text among a Python file's top-level string constants, else the longest."""
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
    return next(filter(trained_instruction, texts), max(texts, key=len, default=""))

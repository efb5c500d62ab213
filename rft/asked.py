"""What may be asked of a model, wherever it runs: settings that mean something, harmless text.

Pure, and without torch: what is served elsewhere is asked by the same rules as what is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rft.errors import InputError
from rft.types import Decoding, Turn

_SPLIT = "\u200b"  # zero-width space: seen by the tokenizer, not by a reader


def check(decoding: Decoding) -> None:
    """InputError for a setting that means nothing."""
    wrong = {
        "temperature": not 0 <= decoding.temperature <= 100,
        "top_p": not 0 < decoding.top_p <= 1,
        "top_k": decoding.top_k < 0,
        "max_new_tokens": decoding.max_new_tokens < 1,
        "max_pixels": decoding.max_pixels < 1,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise InputError(f"{name} = {getattr(decoding, name)} is out of range: change it.")


def check_turns(turns: Sequence[Turn]) -> None:
    """InputError where nobody has asked anything."""
    if not turns or turns[-1].role != "user":
        raise InputError("There is no question to answer: the last turn must be the user's.")


def as_text(text: str, tokens: Sequence[str]) -> str:
    """``text`` with each of ``tokens`` broken, so that it reads the same but structures nothing.

    A zero-width space goes behind the first character of every occurrence, overlapping ones
    included; characters of other text stay as they are.
    """
    longer = sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True)
    if not longer:
        return text
    found = re.compile(f"(?=(?:{'|'.join(map(re.escape, longer))}))(.)", re.DOTALL)
    return found.sub(rf"\1{_SPLIT}", text)


def defused(text: str) -> str:
    """``text`` as :func:`as_text` makes it, for a tokenizer that is not here to be asked.

    What structures a prompt of these families is written <|like_this|>.
    """
    return re.sub(r"<(?=\|[\w-]+\|>)", f"<{_SPLIT}", text)

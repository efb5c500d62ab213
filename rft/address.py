"""Where a served checkpoint answers, as a zoo file says it, and with which key.

The key itself stays in the environment: a card names the variable, and nothing here keeps what
is in it. Asks no server; rft.endpoint does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from rft.errors import InputError

#: The fields of a card that make an address.
FIELDS = ("endpoint", "served_model", "key_env", "at_once")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_AT_ONCE = 256


@dataclass(frozen=True)
class Address:
    """An OpenAI-compatible server and the model asked of it.

    ``url`` is the base address, up to and with /v1, or ``$NAME`` of the variable that holds it;
    ``key_env`` names the variable with the key, "" where none is asked for. ``at_once`` bounds
    the requests under way while a set is measured.
    """

    url: str
    model: str
    key_env: str = ""
    at_once: int = 16

    @property
    def base(self) -> str:
        """The address as it is now. InputError where it is none."""
        name = self.url[1:].strip("{}")
        url = os.environ.get(name, "").strip() if self.url.startswith("$") else self.url
        if not url:
            raise InputError(
                f"The address of its server is read from {name}, which is not set: set it and "
                "start the app again."
            )
        return _checked(url, f"{name} holds" if self.url.startswith("$") else "`endpoint` is")

    @property
    def host(self) -> str:
        """Host and port, for a person. InputError as :attr:`base`."""
        return urlsplit(self.base).netloc

    @property
    def key(self) -> str:
        """What the key's variable holds now; "" where none is asked for, else InputError."""
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise InputError(
                f"Its server {self.host} asks for a key, which is read from {self.key_env}; that "
                "is not set: set it and start the app again."
            )
        if not (key.isascii() and key.isprintable()):
            raise InputError(
                f"{self.key_env} holds characters that no key has: set it to the key alone."
            )
        return key

    def sentence(self) -> str:
        """Where it answers. InputError where it cannot be asked."""
        _ = self.key
        return f"Answers at {self.host}."


def read(entry: Mapping[str, Any]) -> Address | None:
    """The address that a zoo card's fields make; None where it names none, InputError if wrong."""
    url = entry.get("endpoint", "")
    if not url:
        if odd := [name for name in FIELDS[1:] if name in entry]:
            raise InputError(f"has `{odd[0]}`, which goes with an `endpoint`; add one")
        return None
    if url.startswith("$"):
        if not _VARIABLE.fullmatch(url[1:].strip("{}")):
            raise InputError(f"has the endpoint {url!r}, which names no variable; write $NAME")
    else:
        url = _checked(url, "has an `endpoint` that is")
    model = entry.get("served_model") or entry.get("where", "")
    if not model:
        raise InputError("needs `served_model`: the name that its server knows the model by")
    if (key := entry.get("key_env", "")) and not _VARIABLE.fullmatch(key):
        # What stands there may well be the key itself, so it is not repeated.
        raise InputError("has a `key_env` that names no variable; the key stays out of this file")
    at_once = entry.get("at_once", Address.at_once)
    if type(at_once) is not int or not 1 <= at_once <= _MOST_AT_ONCE:
        raise InputError(f"has an `at_once` that is no number of 1 to {_MOST_AT_ONCE}")
    return Address(url, model, key, at_once)


def _checked(url: str, where: str) -> str:
    """The base address without a slash at its end. InputError, which shows no part of it."""
    try:
        parts: SplitResult = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        sound = False
    if not sound or not url.isprintable() or " " in url:
        raise InputError(f"{where} no address; write it like http://host:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"{where} an address with more in it than a place; keep the key in a variable that "
            "`key_env` names"
        )
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise InputError(f"{where} too long; end it before /chat/completions")
    return url.rstrip("/")

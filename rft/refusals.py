"""What went wrong with a server, as a sentence for a person that names the remedy.

Pure. What a server says is shortened, and repeats no key.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from rft.address import Address
from rft.dialect import Garbage, Refused
from rft.errors import CheckpointError, InputError, StudioError

_TOO_LONG = (
    "context length", "context window", "max_model_len", "maximum length", "too long",
    "too many tokens",
)  # fmt: skip


def refused(address: Address, no: Refused, names: Sequence[str] = ()) -> StudioError:
    """A server's no. ``names``: the models that it knows, where it says so."""
    host, model, key, said = address.host, address.model, address.key_env, _safe(address, no.said)
    why = f" ({said})" if said else ""
    if no.status in (401, 403):
        return CheckpointError(
            f"{host} refuses the key in {key}: set the right one and start the app again."
            if key
            else f"{host} asks for a key: write the name of the environment variable that holds "
            "it into the card, as key_env."
        )
    if no.status == 404 and no.said.lower() in ("", "not found"):  # of a path, not of a model
        return CheckpointError(
            f"{host} has no such interface there: the card's endpoint is the address up to and "
            "with /v1."
        )
    if no.status == 404:
        known = _safe(address, f" It has {', '.join(names)}.") if names else ""
        return CheckpointError(
            f"{host} serves no model {model!r}: correct the card's served_model, or start the "
            f"server with --served-model-name.{known}"
        )
    if 300 <= no.status < 400:
        return CheckpointError(
            f"{host} sends questions on to {said or 'elsewhere'}, where key and images do not "
            "go: write that address into the card, as endpoint, if you trust it."
        )
    if no.status == 429:
        return CheckpointError(f"{host} has too much to do now{why}: ask again in a while.")
    if any(words in no.said.lower() for words in _TOO_LONG):
        return InputError(
            f"The conversation is too long for {host}{why}: clear it, lower the tokens or "
            "pixels, or start the server with a larger --max-model-len."
        )
    if no.status == 413:
        return InputError(f"The images are too heavy for {host}: lower the pixels.")
    if no.status < 500:
        return InputError(f"{host} refuses the question{why}: change what it names.")
    return CheckpointError(f"{host} failed{why}: look at its log, and ask again.")


def failed(address: Address, trouble: Exception, *, begun: bool) -> StudioError:
    """A conversation that broke down. ``begun``: after the first of its words."""
    host, why = address.host, _safe(address, str(trouble).strip())[:200]
    if isinstance(trouble, Garbage):
        return CheckpointError(
            f"{host} does not speak as an OpenAI-compatible server does (it sent {why}): correct "
            "the card's endpoint, or look at the server's log."
        )
    if isinstance(trouble, httpx.ReadTimeout):
        return CheckpointError(f"{host} has said nothing for minutes: look at its log.")
    if begun or isinstance(trouble, (httpx.ReadError, httpx.RemoteProtocolError)):
        return CheckpointError(
            f"{host} broke off in the middle: see whether the server still runs, and ask again."
        )
    return CheckpointError(
        f"{host} cannot be reached ({why or type(trouble).__name__}): start the server there, or "
        "correct the card's endpoint."
    )


def _safe(address: Address, said: str) -> str:
    key = address.key
    return said.replace(key, "…") if key else said

"""The OpenAI chat interface as vLLM, SGLang and others speak it: requests and events.

Pure: turns in, JSON out; bytes in, pieces of text out. Opens no connection and knows no address.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from rft.anatomy import fitted
from rft.asked import check, check_turns, defused
from rft.images import open_image
from rft.types import Decoding, Picture, Turn

#: Fields beyond the interface's core, which a server may refuse by name and do without.
OPTIONAL = ("top_k", "repetition_penalty", "seed", "stream_options")
_STRANGE = ("unknown", "unrecognized", "unsupported", "not supported", "not permitted",
            "unexpected", "extra")  # fmt: skip
_HEAVY = 3_000_000  # bytes of a PNG, from which on a JPEG is sent: no picture of the default size
_LONGEST_LINE = 4_000_000  # characters of one event
_LEAST_PIXELS = 28 * 28  # one token's worth
_FINISHES: dict[str, Literal["eos", "length"]] = {"length": "length"}
_BROKEN_OFF = ("content_filter", "abort", "error")


class Garbage(ValueError):
    """What came is not of this interface; the message says what it is instead."""


class Refused(ValueError):
    """The server says no. ``status`` is HTTP's or, within a stream, what it means by it.

    ``wait``: seconds after which it wants to be asked again, where it says so.
    """

    def __init__(self, status: int, said: str, wait: float | None = None):
        super().__init__(said)
        self.status, self.said, self.wait = status, said, wait


def request(
    turns: Sequence[Turn], decoding: Decoding, model: str, seed: int | None = None
) -> dict[str, Any]:
    """The body that asks ``model`` for the answer to the last turn, as a stream.

    Images come before the text of their turn, as in training; no system prompt, since the
    checkpoint's own template adds the one it learned with. Whatever decodes by default at the
    server is said explicitly. InputError as :mod:`rft.asked` has it.
    """
    check(decoding)
    check_turns(turns)
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(turn, decoding.max_pixels) for turn in turns],
        "stream": True,
        # Without the second one, tokens are counted at the end alone.
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "max_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "top_k": decoding.top_k or -1,
        "repetition_penalty": 1.0,  # a checkpoint's own file may ask for another
    }
    # Some servers hand it to what takes 32 bits.
    return body if seed is None else {**body, "seed": seed % 2**32}


def _message(turn: Turn, max_pixels: int) -> dict[str, Any]:
    text = defused(turn.text)
    if not turn.images:
        return {"role": turn.role, "content": text}
    shown = [
        {"type": "image_url", "image_url": {"url": data_url(picture, max_pixels)}}
        for picture in turn.images
    ]
    return {"role": turn.role, "content": [*shown, {"type": "text", "text": text}]}


def data_url(picture: Picture, max_pixels: int) -> str:
    """A picture within the bound as a data URL: PNG, which loses nothing, or JPEG if too heavy."""
    image, out, kind = open_image(picture), io.BytesIO(), "png"
    if image.width * image.height > max(max_pixels, _LEAST_PIXELS):
        # To the very size at which the model would look at it here, so that coordinates of
        # its pixels mean the same.
        image = image.resize(fitted(image.size, max_pixels), Image.Resampling.BICUBIC)
    image.save(out, "PNG")
    if out.tell() > _HEAVY:
        out, kind = io.BytesIO(), "jpeg"
        image.save(out, "JPEG", quality=92)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


class Events:
    """Server-sent events out of bytes, however these are cut.

    Lines end where bytes say so: a decoder of text would also end them at characters that JSON
    may hold as they are (U+2028, U+0085).
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[str]:
        """The data of the events that are complete now. Garbage where these are no events."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise Garbage("a line without an end")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            name, _, value = text.partition(":")
            if not text:
                if self._data:
                    yield "\n".join(self._data)
                self._data = []
            elif name == "data":
                self._data.append(value.removeprefix(" "))
            elif name not in ("", "event", "id", "retry"):
                raise Garbage(f"“{text[:60]}”")


@dataclass
class Hearing:
    """A reply as it comes in: what has been said, how many tokens, and how it ended.

    A server that takes the reasoning out of the text gets it put back between its tags, so that
    a reply reads as the checkpoint wrote it. ``counted``: the server told the tokens; else they
    are counted by the pieces, which is one a token with most servers.
    """

    most: int
    text: str = ""
    tokens: int = 0
    counted: bool = False
    finish: Literal["eos", "length"] | None = None
    done: bool = False
    _reasoning: bool = field(default=False, repr=False)

    def hear(self, data: str) -> str:
        """The new text of one event. Garbage or Refused where it is none."""
        if data.strip() == "[DONE]":
            self.done = True
            return ""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise Garbage(f"“{data[:60]}”") from None
        if not isinstance(event, dict):
            raise Garbage(f"“{data[:60]}”")
        if event.get("error") or event.get("object") == "error":
            raise refusal(event, 500)
        try:
            piece = self._choice(event.get("choices") or [])
            self._count((event.get("usage") or {}).get("completion_tokens"), piece)
        except (AttributeError, TypeError, KeyError, IndexError):
            raise Garbage(f"“{data[:60]}”") from None
        self.text += piece
        if len(self.text) > 64 * self.most + 10_000:
            raise Garbage(f"far more text than the {self.most} tokens that were asked for")
        return piece

    def _choice(self, choices: list[Any]) -> str:
        if not choices:
            return ""
        said = choices[0].get("delta") or choices[0].get("message") or {}
        thought = said.get("reasoning_content") or said.get("reasoning") or ""
        words = said.get("content") or ""
        piece = self._tagged(thought, words)
        if ended := choices[0].get("finish_reason"):
            if ended in _BROKEN_OFF:
                raise Refused(500, f"it ended the reply with “{ended}”")
            self.finish = _FINISHES.get(ended, "eos")
        # Half a character may come as half of a pair, which no page can show.
        return piece.encode("utf-8", "replace").decode()

    def _tagged(self, thought: str, words: str) -> str:
        piece = ""
        if thought:
            piece = thought if self._reasoning else f"<think>{thought}"
            self._reasoning = True
        if words:
            piece += f"</think>{words}" if self._reasoning else words
            self._reasoning = False
        return piece

    def _count(self, told: Any, piece: str) -> None:
        if told is not None:
            self.tokens, self.counted = told + 0, True  # a TypeError if it is no number
        elif piece and not self.counted:
            self.tokens += 1


def refusal(body: Any, status: int) -> Refused:
    """What a server says no with, in whichever of its forms."""
    said: Any = body
    if isinstance(body, dict):
        said = body.get("error") or body.get("message") or body.get("detail") or body
    if isinstance(said, dict):
        code = said.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else status
        said = said.get("message") or said
    text = said if isinstance(said, str) else json.dumps(said)
    return Refused(status, " ".join(text.split())[:200])


def unknown_field(no: Refused, body: dict[str, Any]) -> str | None:
    """The optional field that a server does not know, and can be asked without."""
    said = no.said.lower()
    if no.status not in (400, 422) or not any(word in said for word in _STRANGE):
        return None
    return next((name for name in OPTIONAL if name in body and name in said), None)

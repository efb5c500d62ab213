"""Take a completion apart: reasoning, answer, and what stands outside both.

Total and incremental: every text is a Reply, and a text fed in any chunks gives the Reply of
the whole. Knows only the tags; whether they are in good order is a matter of the rewards.

The grammar, in the order in which a reader meets its cases:

- Tags are exact and lower-case, as the rewards read them: what could not be scored is not
  shown as if it were in order.
- ``answer`` is the text between the first ``<answer>`` and the first ``</answer>`` after it,
  whatever stands around or between (other tags there are plain text). It opens even inside
  ``<think>``, since a forgotten ``</think>`` is common. Later pairs do not replace it; their
  text is kept in ``lead``.
- ``thinking`` is what stands inside ``<think>``. A ``</think>`` that nothing opened makes the
  text before it, back to the previous tag, thinking: a template may have opened it already.
  Tags do not nest: the first ``</think>`` closes.
- ``lead`` is everything else. ``<summary>`` and ``<caption>`` (the reference's caption variant)
  are look-before-you-think prose: the tags vanish, their text stays where it stands.
- Passages that tags separate are stripped and joined by an empty line.
- The end of a text that may yet become a tag (``<ans``) is held back, so that a page that
  streams never flashes half a tag. ``Reply.text`` alone keeps every character.
"""

from __future__ import annotations

import re
from typing import Literal

from rft.types import Reply

_NAMES = ("think", "answer", "summary", "caption")
_TAGS = tuple(f"<{slash}{name}>" for name in _NAMES for slash in ("", "/"))
_TAG = re.compile("|".join(map(re.escape, _TAGS)))
_CLOSE = "</answer>"
_END_OF_ANSWER = re.compile(_CLOSE)

_Room = Literal["lead", "thinking", "answer"]
_Phase = Literal["start", "thinking", "between", "answering", "done"]


def parse(text: str) -> Reply:
    """The Reply of a whole text. Never fails; an empty text is an empty Reply."""
    return Splitter().feed(text)


def first_answer(text: str) -> str | None:
    """What the rewards call the answer: the first closed pair's text, stripped; None without.

    ``parse(text).answer`` says the same wherever this is not None.
    """
    start = text.find("<answer>")
    end = text.find(_CLOSE, start + len("<answer>")) if start >= 0 else -1
    return text[start + len("<answer>") : end].strip() if end >= 0 else None


class Splitter:
    """Takes a completion chunk by chunk; ``feed`` returns the Reply of all text so far.

    Each character is scanned for tags once. What grows with the text is only the copying of
    the strings that the Reply carries.
    """

    def __init__(self) -> None:
        self._text = ""
        self._held = ""  # may yet become a tag
        self._passage = ""  # what came since the last tag
        self._closed: dict[_Room, list[str]] = {"lead": [], "thinking": [], "answer": []}
        self._room: _Room = "lead"
        self._phase: _Phase = "start"

    def feed(self, chunk: str) -> Reply:
        """The Reply of everything fed so far, ``chunk`` included."""
        self._text += chunk
        pending = self._held + chunk
        at = 0
        while tag := self._next_tag(pending, at):
            self._passage += pending[at : tag.start()]
            self._pass(tag.group())
            at = tag.end()
        self._held = self._could_be_tag(pending[at:])
        self._passage += pending[at : len(pending) - len(self._held)]
        return Reply(
            text=self._text,
            thinking=self._shown("thinking"),
            answer=self._shown("answer") if self._answer_seen else None,
            lead=self._shown("lead"),
            phase=self._phase,
        )

    @property
    def _answer_seen(self) -> bool:
        return self._room == "answer" or bool(self._closed["answer"])

    def _next_tag(self, pending: str, at: int) -> re.Match[str] | None:
        return (_END_OF_ANSWER if self._room == "answer" else _TAG).search(pending, at)

    def _could_be_tag(self, pending: str) -> str:
        """The end of ``pending`` that may be the beginning of a tag that counts here."""
        tail = pending[at:] if (at := pending.rfind("<")) >= 0 else ""
        tags = (_CLOSE,) if self._room == "answer" else _TAGS
        return tail if tail and any(tag.startswith(tail) for tag in tags) else ""

    def _pass(self, tag: str) -> None:
        """Close the open passage and enter the room behind ``tag``."""
        # The passage before </think> is thinking, whether or not a <think> opened it.
        self._closed["thinking" if tag == "</think>" else self._room].append(self._passage.strip())
        self._passage = ""
        if tag == "<think>":
            self._enter("thinking", "thinking")
        elif tag == "</think>":
            self._enter("lead", "between")
        elif tag == "<answer>":
            self._enter("lead" if self._answer_seen else "answer", "answering")
        elif self._room == "answer":
            self._enter("lead", "done")

    def _enter(self, room: _Room, phase: _Phase) -> None:
        # A completed answer stays completed: what follows it changes nothing that counts.
        self._phase = "done" if self._closed["answer"] else phase
        self._room = room

    def _shown(self, room: _Room) -> str:
        open_passage = self._passage.strip() if room == self._room else ""
        return "\n\n".join(filter(None, (*self._closed[room], open_passage)))

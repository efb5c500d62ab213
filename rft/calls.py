"""The five functions of spatial transformation, and how well two lists of calls agree.

Knows the notation ``func(object_id, 'value')`` and the arithmetic of partial credit; whether an
answer tag stands around the calls is not its business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: function -> the values it takes. Positions are relative to the object's initial place.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "change_size": ("small", "medium", "large"),
    "change_color": ("yellow", "gray", "cyan", "blue", "brown", "green", "red", "purple"),
    "change_material": ("glass", "metal", "rubber"),
    "change_shape": ("cube", "sphere", "cylinder"),
    "change_position": (
        *("front", "behind", "left", "right"),
        *("front_left", "front_right", "behind_left", "behind_right"),
    ),
}

# The reference's pattern finds the same calls, but tries every letter of a long word as a
# beginning: the look-behind makes that linear.
_EXACT = re.compile(r"(?<!\w)(\w+)\((\w+),\s*'?(\w+)'?\)")
_QUOTE = "[\"'`‘’“”]?"
_SPOKEN = re.compile(
    rf"(?<!\w)(\w+)\s*\(\s*{_QUOTE}(\w+){_QUOTE}\s*,\s*{_QUOTE}(\w+(?:[ -]\w+)*){_QUOTE}\s*\)"
)


class Call(NamedTuple):
    """One call as it was written. ``object`` is the object's id."""

    function: str
    object: str
    value: str


@dataclass(frozen=True)
class Credit:
    """What one call of the gold answer earns by how much of it was met."""

    full: float = 1.0
    function_object: float = 0.0
    function_value: float = 0.0
    function_only: float = 0.0


@dataclass(frozen=True)
class Agreement:
    """How a list of calls meets the gold list. Repeats count once; order is ignored."""

    said: int  # calls said, repeats included
    unique: int  # calls said, without repeats
    gold: int  # calls of the gold answer, without repeats
    full: int
    function_object: int
    function_value: int
    function_only: int

    def value(self, credit: Credit) -> float:
        """The reward in [-0.5, 1]: (unique/said) / max(unique, gold) for each unit of credit."""
        if not self.said or not self.gold:
            return 0.0
        item = (self.unique / self.said) / max(self.unique, self.gold)
        return (
            self.full * item * credit.full
            + self.function_object * item * credit.function_object
            + self.function_value * item * credit.function_value
            + self.function_only * item * credit.function_only
        )


def exact_calls(text: str) -> list[Call]:
    """The calls that the reference finds: single quotes or none, no space but after the comma."""
    return [Call(*found) for found in _EXACT.findall(text)]


def spoken_calls(text: str) -> list[Call]:
    """The calls that a person finds: any quotes and spaces, any case, "front left"."""
    return [
        Call(function.lower(), thing.lower(), re.sub("[ -]", "_", value.lower()))
        for function, thing, value in _SPOKEN.findall(text)
    ]


def agree(said: Sequence[Call], gold: Sequence[Call]) -> Agreement:
    """Match calls greedily: whole ones first, then what is left by ever less of it.

    The reference walks sets, so where several calls could take the same partner its result
    depends on the process's hash seed; here the order of writing decides.
    """
    left_said, left_gold = list(dict.fromkeys(said)), list(dict.fromkeys(gold))
    unique, unique_gold = len(left_said), len(left_gold)
    views: tuple[Callable[[Call], Hashable], ...] = (
        lambda call: call,
        lambda call: (call.function, call.object),
        lambda call: (call.function, call.value),
        lambda call: call.function,
    )
    met = []
    for view in views:
        unmet = []
        for call in left_said:
            partner = next((other for other in left_gold if view(other) == view(call)), None)
            if partner is None:
                unmet.append(call)
            else:
                left_gold.remove(partner)
        met.append(len(left_said) - len(unmet))
        left_said = unmet
    return Agreement(len(said), unique, unique_gold, *met)

"""Dry run and probe of a run that has not started, as HTML. Pure: what their files say, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.markup import plain
from app.rollouts import Address, browser
from app.theme import reward_look

Told = Mapping[str, Any]


def panel(dry: Told | None, probe: Told | None, address: Address, *, allowed: bool) -> str:
    """Both rehearsals side by side: what each is for, what it found, and its button."""
    busy = any(told is not None and not told.get("done") for told in (dry, probe))
    return (
        '<div class="trials"><section><h3>Dry run</h3>'
        '<p class="hint">What the checkpoint answers to a few problems, and what it would be '
        f"paid.</p>{_said(dry)}{_numbers(dry)}{_act('dry', 'Dry run', dry, busy, allowed)}</section>"
        '<section><h3>Probe step</h3><p class="hint">One step on the largest images and longest '
        f"completions: seconds, memory, time to finish.</p>{_said(probe)}{_measured(probe)}"
        f"{_act('probe', 'Probe step', probe, busy, allowed)}</section>{_groups(dry, address)}</div>"
    )


def _act(do: str, words: str, told: Told | None, busy: bool, allowed: bool) -> str:
    if told is not None and not told.get("done"):
        return '<button class="plain" data-do="unrehearse">Cancel</button>'
    off = " disabled" if busy or not allowed else ""
    again = " again" if told is not None else ""
    return f'<button class="plain" data-do="{do}"{off}>{words}{again}</button>'


def _said(told: Told | None) -> str:
    if told is None:
        return ""
    kind = "outcome"
    if not told.get("done"):
        kind = "outcome working"
    elif told.get("phase") == "failed" or told.get("fits") is False:
        kind = "outcome trouble"
    mark = '<span class="pulse"></span>' if kind == "outcome working" else ""
    return f'<p class="{kind}" role="status">{mark}{plain(str(told.get("sentence", "")))}</p>'


def _numbers(told: Told | None) -> str:
    if not told or not told.get("groups"):
        return ""
    chips = "".join(
        f'<span class="chip" style="--c:{reward_look(name).colour}">{plain(name)} '
        f"<b>{value['mean']:.2f}</b></span>"
        for name, value in (told.get("rewards") or {}).items()
    )
    groups = len(told["groups"])
    facts = [
        f"{told.get('zero_spread', 0)} of {groups} groups whose answers all earned the same",
        f"{told.get('cut', 0):.0%} cut at the limit",
        f"{told.get('mean_length', 0):.0f} tokens on average",
    ]
    spans = "".join(f"<span>{fact}</span>" for fact in facts)
    return f'<p class="rewards">{chips}</p><p class="facts">{spans}</p>'


def _measured(told: Told | None) -> str:
    if not told or not told.get("done") or told.get("phase") != "done":
        return ""
    rows = []
    for key, words in (("peak_bytes", "Peak memory"), ("free_bytes", "Free")):
        if isinstance(told.get(key), (int, float)):
            rows.append((words, f"{told[key] / 1e9:.1f} GB"))
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="cost">{cells}</dl>' if cells else ""


def _groups(told: Told | None, address: Address) -> str:
    if not told or not told.get("groups"):
        return ""
    return (
        '<details class="sampled" data-fold="sampled"><summary>What it said</summary>'
        f'<div class="inside">{browser(told["groups"], address, "done")}</div></details>'
    )

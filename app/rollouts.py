"""The rollout browser as HTML: a step's groups, and each completion with what it was paid.

Pure. Completions are a model's words: they pass app.markup, and their images are the run's own.
Which group is looked at, in which order and through which search is the browser's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.markup import plain, rich
from app.theme import reward_look
from rft.parse import parse

Address = Callable[[str], str]
Group = Mapping[str, Any]


def browser(groups: Sequence[Group], address: Address, state: str) -> str:
    """The groups of one step: a strip to choose from, and every group's completions."""
    if not groups:
        told = {
            "running": "Completions appear here with the first step of GRPO.",
            "queued": "Completions appear here once the run has started.",
            "new": "Completions appear here once the run has started.",
        }.get(state, "This run kept no completions.")
        return f'<p class="hint">{told}</p>'
    strip = "".join(_thumb(i, group, address) for i, group in enumerate(groups))
    bodies = "".join(_group(i, group, address) for i, group in enumerate(groups))
    return f'<div class="groups" role="tablist" aria-label="Groups">{strip}</div>{bodies}'


def _thumb(index: int, group: Group, address: Address) -> str:
    totals = [float(item.get("total") or 0) for item in group["completions"]]
    mean = sum(totals) / len(totals) if totals else 0.0
    flat = " flat" if len(set(totals)) < 2 else ""
    images = group.get("images") or []
    picture = f'<img src="{plain(address(images[0]))}" alt="" loading="lazy">' if images else ""
    note = "all the same" if flat else "mean reward"
    return (
        f'<button class="group{flat}" role="tab" data-do="group" data-index="{index}" '
        f'title="{plain(str(group.get("question", ""))[:160])}" '
        f'aria-label="Group {index + 1}: {note} {mean:.2f}">{picture}<span>{mean:.2f}</span></button>'
    )


def _group(index: int, group: Group, address: Address) -> str:
    images = group.get("images") or []
    shots = "".join(
        f'<button class="shot" data-do="enlarge" aria-label="Enlarge image {n}">'
        f'<img src="{plain(address(name))}" alt="Image {n}" loading="lazy"></button>'
        for n, name in enumerate(images, 1)
    )
    most = max((abs(float(c.get("advantage") or 0)) for c in group["completions"]), default=0.0)
    cards = "".join(
        _completion(item, n, index, most) for n, item in enumerate(group["completions"])
    )
    prompt = plain(str(group.get("prompt", "")))
    return (
        f'<section class="rollout" data-group="{index}" hidden><aside>'
        f'<div class="shots">{shots}</div><p class="question">{plain(str(group.get("question", "")))}'
        f'</p><p class="gold">gold <b>{plain(str(group.get("gold", "")))}</b></p>'
        f'<details class="prompt" data-fold="rp{index}"><summary>Prompt as sent</summary>'
        f'<pre>{prompt}</pre></details></aside><ol class="completions">{cards}</ol></section>'
    )


def _completion(item: Mapping[str, Any], number: int, group: int, most: float) -> str:
    reply = parse(str(item.get("text", "")))
    advantage = float(item.get("advantage") or 0.0)
    total = float(item.get("total") or 0.0)
    tokens = int(item.get("tokens") or 0)
    cut = '<span class="cut">cut at the limit</span>' if item.get("cut") else ""
    thinking = ""
    if reply.thinking:
        thinking = (
            f'<details class="think" data-fold="rt{group}-{number}"><summary>Reasoning</summary>'
            f'<div class="reasoning">{rich(reply.thinking)}</div></details>'
        )
    said = reply.final
    spoken = (
        f'<div class="value">{rich(said)}</div>' if said else '<p class="value none">No answer</p>'
    )
    return (
        f'<li class="completion" data-advantage="{advantage:.4f}" data-total="{total:.4f}" '
        f'data-tokens="{tokens}" data-number="{number}">{_advantage(advantage, most)}'
        f'<div class="said">{spoken}{thinking}</div>{_rewards(item)}'
        f'<p class="facts"><span>total <b>{total:.2f}</b></span><span>{tokens} tokens</span>{cut}</p>'
        "</li>"
    )


def _advantage(value: float, most: float) -> str:
    """A bar to the right of the middle, green, or to its left, red."""
    share = 50 * abs(value) / most if most else 0.0
    side = "up" if value >= 0 else "down"
    place = f"left:50%;width:{share:.1f}%" if value >= 0 else f"right:50%;width:{share:.1f}%"
    return (
        f'<p class="advantage {side}" title="advantage: how much better than its group">'
        f'<span class="rail"><i style="{place}"></i></span><b>{value:+.2f}</b></p>'
    )


def _rewards(item: Mapping[str, Any]) -> str:
    reasons = item.get("reasons") or {}
    rows = "".join(
        f'<li style="--c:{reward_look(name).colour}"><span class="chip">{plain(name)} '
        f"<b>{float(value or 0):.4g}</b></span><span>{plain(str(reasons.get(name, '')))}</span></li>"
        for name, value in (item.get("rewards") or {}).items()
    )
    return f'<ul class="why">{rows}</ul>'

"""What a finished run amounts to, as HTML: before and after on the same held-out problems.

Pure. Completions pass app.markup; the test behind the sentence is rft.paired's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.markup import plain
from rft.paired import Flip, Paired
from rft.parse import parse

_FLIPS = 40  # shown; the rest is counted


def card(before: Mapping[str, Any], after: Mapping[str, Any], found: Paired) -> str:
    """Two big numbers with their intervals, the sentence, and which problems flipped."""
    lenient = _also("anywhere in the reply", before.get("lenient"), after.get("lenient"))
    form = _also("well formed", before.get("format"), after.get("format"))
    gained = [flip for flip in found.flips if flip.gained]
    lost = [flip for flip in found.flips if not flip.gained]
    return (
        '<section class="result" aria-label="Before and after"><div class="pair">'
        f'{_number("Before", before["strict"])}<span class="arrow" aria-hidden="true">→</span>'
        f'{_number("After", after["strict"])}</div><div class="told"><p class="sentence">'
        f'{plain(found.sentence)}</p><p class="facts"><span>right inside the answer tag, greedy, '
        f"{found.n} held-out problems</span>{lenient}{form}</p></div>"
        f"{_flips('Now right', 'gained', gained)}{_flips('Now wrong', 'lost', lost)}</section>"
    )


def _number(title: str, share: Mapping[str, Any]) -> str:
    return (
        f'<div><h3>{title}</h3><p class="big">{100 * share["rate"]:.0f}<small>%</small></p>'
        f'<p class="interval">{100 * share["low"]:.0f} to {100 * share["high"]:.0f}%</p></div>'
    )


def _also(what: str, before: Any, after: Any) -> str:
    if not before or not after:
        return ""
    return f"<span>{what} {before['rate']:.0%} → {after['rate']:.0%}</span>"


def _flips(title: str, kind: str, flips: list[Flip]) -> str:
    if not flips:
        return ""
    rows = "".join(
        f'<li><p class="question">{plain(flip.question)}</p><p><span>gold</span><b>'
        f"{plain(flip.gold)}</b></p><p><span>before</span>{_said(flip.before)}</p>"
        f"<p><span>after</span>{_said(flip.after)}</p></li>"
        for flip in flips[:_FLIPS]
    )
    more = f"<li>and {len(flips) - _FLIPS} more</li>" if len(flips) > _FLIPS else ""
    return (
        f'<details class="flips {kind}" data-fold="flips-{kind}"><summary>{title} '
        f"<b>{len(flips)}</b></summary><ul>{rows}{more}</ul></details>"
    )


def _said(text: str) -> str:
    reply = parse(text)
    return f'<b title="{plain(text[:600])}">{plain(reply.final[:60]) or "no answer"}</b>'

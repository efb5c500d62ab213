"""What a finished run amounts to, as HTML: before and after on the same held-out problems.

Pure. Completions pass app.markup; the test behind the sentence is rft.paired's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.errands import TITLES, Errand
from app.markup import plain
from rft.paired import Flip, Paired
from rft.parse import parse
from rft.types import Measure

_FLIPS = 40  # shown; the rest is counted


def card(
    before: Mapping[str, Any], after: Mapping[str, Any], found: Paired, measure: Measure = "strict",
    *, chosen: bool = False,
) -> str:  # fmt: skip
    """Two big numbers with their intervals, the sentence, and which problems flipped.

    ``chosen``: the checkpoint was, by some of these very problems, which is said.
    """
    words = {"strict": "inside the answer tag", "lenient": "with or without the tag"}
    other: Measure = "lenient" if measure == "strict" else "strict"
    also = _also(f"right {words[other]}", before.get(other), after.get(other))
    form = _also("well formed", before.get("format"), after.get("format"))
    gained = [flip for flip in found.flips if flip.gained]
    lost = [flip for flip in found.flips if not flip.gained]
    flattered = (
        "<span>chosen as the best on some of them, which flatters it</span>" if chosen else ""
    )
    return (
        '<section class="result" aria-label="Before and after"><div class="pair">'
        f'{_number("Before", before[measure])}<span class="arrow" aria-hidden="true">→</span>'
        f'{_number("After", after[measure])}</div><div class="words"><p class="sentence">'
        f'{plain(found.sentence)}</p><p class="facts"><span>right {words[measure]}, greedy, '
        f"{found.n} held-out problems</span>{flattered}{also}{form}</p></div>"
        f"{_flips('Now right', 'gained', gained)}{_flips('Now wrong', 'lost', lost)}</section>"
    )


def keeping(
    standing: Mapping[str, Errand], proof: Mapping[str, Any] | None, packed: str, merged: str,
    *, allowed: bool,
) -> str:  # fmt: skip
    """What can be done with the finished checkpoint, and how each of it stands."""
    sentence = str((proof or {}).get("sentence", ""))
    proved = "" if not sentence else (
        f'<p class="outcome {"good" if (proof or {}).get("applied") else "trouble"}">'
        f"{plain(sentence)}</p>"
    )  # fmt: skip
    parts = [_errand(standing["prove"], proved, allowed), _errand(standing["zip"], packed, allowed)]
    parts.append(_errand(standing["merge"], merged, allowed))
    parts.append(_push(standing["push"], allowed))
    return (
        '<details class="step keeping" data-fold="keeping"><summary>Keep and share</summary>'
        f'<div class="inside">{"".join(parts)}</div></details>'
    )


def _errand(errand: Errand, result: str, allowed: bool) -> str:
    words = TITLES[errand.name]
    off = "" if allowed and errand.state != "busy" else " disabled"
    said = ""
    if errand.state == "busy":
        said = '<p class="outcome working"><span class="pulse"></span>Under way</p>'
    elif errand.state == "failed":
        said = f'<p class="outcome trouble" role="alert">{plain(errand.said)}</p>'
    elif errand.state == "done":
        said = result
    return (
        f'<div class="errand"><button class="plain" data-do="errand" data-name="{errand.name}"{off}>'
        f"{words}</button>{said}</div>"
    )


def _push(errand: Errand, allowed: bool) -> str:
    off = "" if allowed and errand.state != "busy" else " disabled"
    said = ""
    if errand.state == "busy":
        said = '<p class="outcome working"><span class="pulse"></span>Under way</p>'
    elif errand.state in ("done", "failed"):
        kind = "good" if errand.state == "done" else "trouble"
        said = f'<p class="outcome {kind}">{plain(errand.said)}</p>'
    return (
        '<form class="errand" data-push><input name="repo" placeholder="owner/name" '
        'aria-label="Hub repository" autocomplete="off" spellcheck="false"><input name="token" '
        'type="password" placeholder="Token (else HF_TOKEN)" aria-label="Hub token" '
        'autocomplete="off"><label><input type="checkbox" name="public"> public</label>'
        f'<button class="plain" type="submit"{off}>{TITLES["push"]}</button>{said}</form>'
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

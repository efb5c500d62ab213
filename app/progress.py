"""How far something is, as HTML: a bar with its facts, and lengths of time in few characters."""

from __future__ import annotations

from collections.abc import Sequence

from app.markup import plain


def bar(share: float | None, label: str) -> str:
    """A bar filled to ``share`` (0 to 1) of its width; empty and without a number where None."""
    if share is None:
        return f'<span class="bar" role="progressbar" aria-label="{plain(label)}"><i></i></span>'
    percent = round(100 * min(max(share, 0.0), 1.0), 1)
    return (
        f'<span class="bar" role="progressbar" aria-valuenow="{percent:g}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-label="{plain(label)}"><i style="width:{percent:g}%"></i></span>'
    )


def line(share: float, facts: Sequence[str]) -> str:
    """A bar over what there is to say of it."""
    told = "".join(f"<span>{plain(fact)}</span>" for fact in facts)
    return (
        f'<div class="progress">{bar(share, "Progress")}'
        f'<p class="facts" role="status">{told}</p></div>'
    )


def about(seconds: float) -> str:
    """A length of time that is only an estimate: to 5 seconds, above two minutes to one."""
    if seconds < 120:
        return span(max(5 * round(seconds / 5), 5))
    return span(60 * round(seconds / 60))


def span(seconds: float) -> str:
    """A length of time in few characters: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

"""Blind mode: a reply without what tells whose it is, the ballot, and the tally as HTML.

Pure. What stays hidden is not in what it draws, rather than drawn and covered.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.conversation import Said
from app.icons import icon
from app.markup import plain
from app.votes import Pair

LETTERS = "ABCD"
_FAILED = "This one failed. You will see why when the names are shown."


def veiled(said: Said) -> Said:
    """The reply without name, figures, and notes that would name a checkpoint or its pace."""
    return Said(said.text, said.end, note=_FAILED if said.end == "error" else "Under way")


def pane_name(number: int) -> str:
    """What a pane without a name is called."""
    return f"Pane {LETTERS[number]}"


def ballot(eligible: Sequence[int]) -> str:
    """What can be chosen among the panes of those numbers."""
    if len(eligible) < 2:
        lead, choices = "No vote here: fewer than two of them came to an end.", ""
    else:
        lead = "Which is best?"
        named = [(str(number), pane_name(number)) for number in eligible]
        bad = "Both bad" if len(eligible) == 2 else "All bad"
        choices = "".join(
            f'<button class="plain choice" data-do="vote" data-choice="{choice}">{words}</button>'
            for choice, words in [*named, ("tie", "Tie"), ("bad", bad)]
        )
    return (
        f'<section class="ballot" aria-label="Your vote"><p>{lead}</p>'
        f'<div class="row">{choices}<button class="plain quiet" data-do="reveal">'
        "Show the names without a vote</button></div></section>"
    )


def tally(pairs: Sequence[Pair], votes: int) -> str:
    """The votes of all visitors, a row for each pair; "" where there are none yet."""
    if not pairs:
        return ""
    rows = "".join(map(_row, pairs))
    return (
        '<details class="tally" data-fold="tally"><summary>Blind votes'
        f"<span>{_count(votes, 'vote')}, {_count(len(pairs), 'pair')}</span></summary>"
        '<div class="sheet"><table><thead><tr><th scope="col">Checkpoint</th>'
        '<th scope="col">against</th><th scope="col">Wins</th><th scope="col">Losses</th>'
        '<th scope="col">Ties</th><th scope="col">All bad</th>'
        '<th scope="col">Wins, ties left out</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<div class="row"><p class="hint">With three or four panes, the best one wins against '
        "each other one. Interval: 95%, Wilson.</p>"
        f'<button class="plain" data-do="csv">{icon("save")}Save as CSV</button></div></details>'
    )


def _row(pair: Pair) -> str:
    cells = "".join(
        f"<td>{number}</td>" for number in (pair.wins, pair.losses, pair.ties, pair.bad)
    )
    return (
        f'<tr><th scope="row">{plain(pair.first.title)}</th><td>{plain(pair.second.title)}</td>'
        f"{cells}<td>{_share(pair)}</td></tr>"
    )


def _share(pair: Pair) -> str:
    if not pair.decided:
        return '<span class="words">not decided yet</span>'
    low, high = pair.interval
    words = "more than chance" if pair.p < 0.05 else "may be chance"
    return (
        f'<span class="span" role="img" aria-label="95% interval {low:.0%} to {high:.0%}">'
        f'<i style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
        f'<b style="left:{100 * pair.wins / pair.decided:.1f}%"></b></span>'
        f"{pair.wins / pair.decided:.0%} <small>({low:.0%} to {high:.0%}), {words}</small>"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


__all__: Sequence[str] = ("LETTERS", "ballot", "pane_name", "tally", "veiled")

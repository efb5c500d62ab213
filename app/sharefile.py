"""A comparison as one HTML file to pass on: it runs nothing and asks nobody for anything.

Pure: images come as data URLs, through the gallery. What models and visitors wrote is drawn by
app.beside, as on the page; a content policy in the file forbids scripts and requests besides.
What is only this machine's, as the folder of a checkpoint or a comparison's id, stays out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache

from app import beside, theme
from app.conversation import Conversation, Terms
from app.gallery import Gallery
from app.markup import plain
from app.render import Verdict
from app.votes import Vote
from rft.tasks import TASKS

NAME = "comparison.html"
FAILED = "It could not answer here."
_STYLES = ("share.css", "overlay.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(
    made: Conversation,
    verdicts: Sequence[Verdict | None],
    gallery: Gallery,
    day: str,
    vote: Vote | None = None,
    shown: Collection[str] = (),
) -> str:
    """The file. ``day`` is when it was made, ``vote`` the visitor's, where it was asked blind.

    ``shown``: as for :func:`app.beside.printed`.
    """
    if made.last is None:
        return ""
    ask, pictures = made.last.ask, []
    for number, name in enumerate(ask.images, 1):
        source = plain(gallery.address(name))
        pictures.append(f'<img src="{source}" alt="Image {number} of {len(ask.images)}">')
    gold = f'<p class="gold">gold <b>{plain(ask.gold)}</b></p>' if ask.gold else ""
    body = beside.printed(_reticent(made), verdicts, gallery, shown)
    return frame(ask.question, _facts(made, day, vote), body, _STYLES, "".join(pictures), gold)


def frame(
    title: str, facts: Sequence[str], body: str, styles: Sequence[str], pictures: str = "",
    gold: str = "",
) -> str:  # fmt: skip
    """A whole file around ``body``, with these style sheets of assets/ and nothing that runs."""
    heading = plain(title).replace("\n", "<br>")
    listed = "".join(f"<li>{plain(fact)}</li>" for fact in facts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{plain(title[:80])}</title><style>{_style(tuple(styles))}</style></head>"
        f'<body><header class="asked"><div class="pictures">{pictures}</div><div>'
        f'<h1>{heading}</h1>{gold}<ul class="terms">{listed}</ul></div></header>'
        f"<main>{body}</main><footer>Made with Reason-RFT Studio.</footer></body></html>\n"
    )


def _reticent(made: Conversation) -> Conversation:
    """Without the reasons of failures, which name folders and servers."""
    return replace(
        made,
        exchanges=tuple(
            replace(one, said=replace(one.said, note=FAILED if one.said.end == "error" else ""))
            for one in made.exchanges
        ),
    )


def _facts(made: Conversation, day: str, vote: Vote | None) -> list[str]:
    terms, task = made.terms or Terms(), made.last.ask.task if made.last else None
    found = [TASKS[task].title if task else "Free question"]
    found += beside.drawing(terms)
    if vote is not None:
        titles = {voter.id: voter.title for voter in vote.among}
        found.append(f"blind vote: {titles.get(vote.best or '') or beside.CALLED[vote.choice]}")
    return [*found, day]


@cache
def _style(names: tuple[str, ...]) -> str:
    sheets = [(theme.ASSETS / name).read_text(encoding="utf-8") for name in names]
    dark = "; ".join(f"--{name}: {value}" for name, value in theme.DARK.items())
    night = f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return f"{theme.variables()}{night}{''.join(sheets)}"

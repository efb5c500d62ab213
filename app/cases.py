"""The problems of a comparison over a set as HTML: a table to filter, and one problem opened.

Pure, but that it encodes the pictures it is given. What a model or a person wrote passes
app.markup.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import permutations

from PIL import Image

from app.icons import icon
from app.markup import plain, rich
from app.sets import Answer, Column, Row, Sheet, View
from app.theme import stage_look
from rft.parse import parse
from rft.types import Measure

PAGE = 50  #: rows shown at once
_SHORT = 120  # characters of a question, or of an answer, in the table
_LARGE = 720  # pixels: the longest side of an opened picture


def table(sheet: Sheet, view: View) -> str:
    """What is wanted of the problems, a page of them, each with all answers."""
    if not sheet.rows:
        return ""
    wanted = view.rows(sheet)
    last = max(0, (len(wanted) - 1) // PAGE)
    page = min(view.page, last)
    shown = wanted[page * PAGE : (page + 1) * PAGE]
    body = rows(sheet, shown) if shown else '<p class="hint">No problem is like that.</p>'
    return (
        f'<section class="cases" aria-label="Problems"><header><h3>Problems</h3></header>'
        f'{_filters(sheet, view)}<div class="scroller">{body}</div>'
        f"{_pager(page, last, len(wanted))}</section>"
    )


def rows(sheet: Sheet, shown: Sequence[Row]) -> str:
    """These problems, each with all answers in a row of a table."""
    heads = "".join(
        f'<th class="stage-{stage_look(c.stage).slug}" scope="col" title="{plain(c.title)}">'
        f'<b class="letter">{c.letter}</b></th>'
        for c in sheet.columns
    )
    body = "".join(_row(row, sheet.measure) for row in shown)
    return (
        f'<table><thead><tr><th scope="col">Problem</th><th scope="col">Gold</th>{heads}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def case(
    sheet: Sheet, row: Row, around: tuple[int | None, int | None], pictures: Sequence[Image.Image]
) -> str:
    """One problem: its images, its gold answer, and what each said with its reasoning.

    ``around``: the numbers of the problems before and after it, of those that are wanted.
    """
    before, after = (
        f'<button class="plain" data-do="case" data-number="{number}">{word}</button>'
        if number is not None
        else f'<button class="plain" disabled>{word}</button>'
        for number, word in zip(around, ("Previous", "Next"), strict=True)
    )
    return (
        f"<header>{_title(row)}<span>{before}{after}"
        f'<button class="tool" data-do="shut" aria-label="Close">{icon("close")}</button></span>'
        f"</header>{_inside(sheet, row, pictures)}"
    )


def printed(sheet: Sheet, row: Row, pictures: Sequence[Image.Image]) -> str:
    """The same with nothing to press: to be kept."""
    inside = _inside(sheet, row, pictures)
    return f'<section class="printed"><header>{_title(row)}</header>{inside}</section>'


def _title(row: Row) -> str:
    kind = f'<span class="kind">{plain(row.kind)}</span>' if row.kind else ""
    return f"<h2>Problem {row.number + 1}{kind}</h2>"


def _inside(sheet: Sheet, row: Row, pictures: Sequence[Image.Image]) -> str:
    shots = "".join(
        f'<img src="{_encoded(picture)}" alt="Image {n} of {len(pictures)}">'
        for n, picture in enumerate(pictures, 1)
    )
    columns = zip(sheet.columns, row.answers, strict=True)
    said = "".join(_said(column, answer, sheet.measure) for column, answer in columns)
    return (
        f'<div class="case"><aside><div class="shots">{shots}</div>'
        f'<p class="question">{_lines(row.question)}</p><p class="gold">gold <b>{plain(row.gold)}</b>'
        f'</p></aside><div class="replies n{len(sheet.columns)}">{said}</div></div>'
    )


def gone(why: str) -> str:
    """An opened problem that cannot be shown."""
    return (
        f'<header><h2>Problem</h2><button class="tool" data-do="shut" aria-label="Close">'
        f'{icon("close")}</button></header><p class="trouble" role="alert">{plain(why)}</p>'
    )


def _filters(sheet: Sheet, view: View) -> str:
    places = [n for n, column in enumerate(sheet.columns) if column.report]
    letters = [sheet.columns[n].letter for n in places]
    patterns = [("", "All")]
    if len(letters) == 1:
        patterns += [(f"{letters[0]}+", "Right"), (f"{letters[0]}-", "Wrong")]
    else:
        patterns += [(f"{a}+{b}-", f"{a} right, {b} wrong") for a, b in permutations(letters, 2)]
        patterns.append(("".join(f"{a}+" for a in letters), "All right"))
        patterns.append(("".join(f"{a}-" for a in letters), "All wrong"))
    chips = []
    for pattern, words in patterns:
        count = len(View(wanted=pattern, kind=view.kind).rows(sheet))
        chips.append(
            f'<button data-do="wanted" data-pattern="{pattern}" '
            f'aria-pressed="{str(pattern == view.wanted).lower()}">{words} <b>{count}</b></button>'
        )
    kinds = ""
    if len(sheet.kinds) > 1:
        kinds = '<span class="of">of kind</span>' + "".join(
            f'<button data-do="kind" data-kind="{plain(kind)}" '
            f'aria-pressed="{str(kind == view.kind).lower()}">{plain(kind) or "any"}</button>'
            for kind in ("", *sheet.kinds)
        )
    return (
        f'<div class="filters" role="group" aria-label="Which problems">{"".join(chips)}</div>'
        f'<div class="filters kinds" role="group" aria-label="Which kind">{kinds}</div>'
    )


def _row(row: Row, measure: Measure) -> str:
    cells = "".join(f"<td>{_mark(answer, measure)}</td>" for answer in row.answers)
    return (
        f'<tr><th scope="row"><button data-do="case" data-number="{row.number}" data-shows="case">'
        f"<i>{row.number + 1}</i>{plain(_cut(row.question))}</button></th>"
        f"<td>{plain(_cut(row.gold))}</td>{cells}</tr>"
    )


def _mark(answer: Answer | None, measure: Measure) -> str:
    if answer is None:
        return '<span class="none">not asked yet</span>'
    kind = "right" if answer.right(measure) else "wrong"
    said = plain(_cut(answer.final)) or "no answer"
    loose = f" <small>{_loosely(answer)}</small>" if _loose(answer, measure) else ""
    return (
        f'<span class="{kind}" title="{kind}">{icon(kind)}<span class="word">{kind}: </span>'
        f"{said}</span>{loose}"
    )


def _loose(answer: Answer, measure: Measure) -> bool:
    """Whether it is right, but not by the measure."""
    return answer.lenient and not answer.right(measure)


def _loosely(answer: Answer) -> str:
    bare = parse(answer.text).answer is None
    return "right, without its tag" if bare else "right, in another form"


def _said(column: Column, answer: Answer | None, measure: Measure) -> str:
    head = f'<header><b class="letter">{column.letter}</b><h3>{plain(column.title)}</h3></header>'
    if answer is None:
        inside = '<p class="hint">Not asked yet.</p>'
    else:
        reply, kind = parse(answer.text), "right" if answer.right(measure) else "wrong"
        thought = ""
        if reply.thinking:
            true, said = answer.statements
            checked = (
                f'<p class="facts"><span>{true} of {said} statements true</span></p>'
                if said
                else ""
            )
            thought = f'<div class="reasoning">{rich(reply.thinking)}</div>{checked}'
        final = rich(reply.final) if reply.final else "No answer"
        form = "well formed" if answer.formed else "not in the form think, answer"
        if _loose(answer, measure):
            form = f"{_loosely(answer)}; {form}"
        inside = (
            f'{thought}<div class="answer"><div class="value">{final}</div>'
            f'<p class="verdict {kind}">{icon(kind)}<b>{kind.capitalize()}</b></p></div>'
            f'<p class="facts"><span>{form}</span></p>'
        )
    return (
        f'<section class="stage-{stage_look(column.stage).slug}" aria-label="{plain(column.title)}">'
        f"{head}{inside}</section>"
    )


def _pager(page: int, last: int, count: int) -> str:
    told = f"{count:,} problem{'s' * (count != 1)}"
    if last == 0:
        return f'<p class="pager"><span>{told}</span></p>'
    first, end = page * PAGE + 1, min((page + 1) * PAGE, count)
    buttons = "".join(
        f'<button class="plain" data-do="leaf" data-page="{to}"{"" if may else " disabled"}>{word}'
        "</button>"
        for to, may, word in ((page - 1, page > 0, "Previous"), (page + 1, page < last, "Next"))
    )
    return f'<p class="pager"><span>{first:,} to {end:,} of {told}</span>{buttons}</p>'


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"


def _lines(text: str) -> str:
    return plain(text).replace("\n", "<br>")


def _encoded(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    shown = picture.convert("RGB")
    shown.thumbnail((_LARGE, _LARGE))
    shown.save(buffer, "WEBP", quality=88)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"

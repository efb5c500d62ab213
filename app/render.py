"""Conversations as HTML. Pure: what goes in decides what comes out, and nothing is kept.

Everything that a person or a model wrote passes app.markup; nothing else may put text into
the page. Knows no component, no file and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.conversation import Ask, Exchange, Said
from app.icons import icon
from app.marks import NONE, Odd, calls, calls_so_far
from app.markup import plain, rich
from app.progress import bar
from app.theme import STAGES, UNKNOWN_STAGE, reward_look
from rft.types import Reply, Score

Address = Callable[[str], str]

_SHORT = 40  # characters; an answer up to this length is set big
_ENDS = {
    "stop": "Stopped. What was written so far is kept.",
    "length": "Cut off at the token limit. Raise “Max tokens” to let it finish.",
    "lost": "This reply was interrupted. Regenerate to ask again.",
}


@dataclass(frozen=True)
class Verdict:
    """Whether the answer is right, and what each reward gave."""

    right: bool
    gold: str
    scores: tuple[Score, ...] = ()
    total: float = 0.0


def question(ask: Ask, index: int, address: Address) -> str:
    """What the person asked: images, words, and the prompt on demand."""
    strip, prompt = shots(ask.images, address), prompt_fold(ask, f"p{index}")
    edit = _action("edit", "edit", "Edit and ask again", index=index)
    anew = '<p class="anew">A new conversation: the model sees none of the above</p>'
    lead = anew if ask.anew else ""
    return (
        f'{lead}<article class="ask" data-index="{index}" aria-label="You asked">{strip}'
        f'<div class="words"><p class="question">{_lines(ask.question)}</p>'
        f'<div class="under">{prompt}<span class="tools">{edit}</span></div></div></article>'
    )


def answer(
    said: Said, index: int, verdict: Verdict | None = None, *, last: bool = False, drawn: str = ""
) -> str:
    """A reply in whatever state it is: waiting, thinking, answering, done, stopped, failed.

    ``drawn``: the image that it points at, by app.overlay.
    """
    busy = said.end == "waiting"
    parts = [_byline(said), body(said, f"t{index}", verdict, _ENDS, drawn)]
    parts.append(_footer(said, index, verdict, last=last))
    return (
        f'<article class="said {said.end} stage-{_slug(said.stage)}" '
        f'data-index="{index}" aria-label="Reply" aria-busy="{str(busy).lower()}">'
        f"{''.join(parts)}</article>"
    )


def body(
    said: Said,
    fold: str,
    verdict: Verdict | None,
    ends: Mapping[str, str],
    drawn: str = "",
    odd: Odd = NONE,
) -> str:
    """What was said: the wait, the reasoning in a fold of that name, the answer, how it ended.

    ``ends`` has the sentences for ends that need one; the words ``odd`` are marked.
    """
    reply, busy = said.reply, said.end == "waiting"
    parts = [_wait(said) if busy and not said.text else ""]
    if reply.thinking:
        parts.append(_thinking(said, reply, fold, odd))
    parts += [_spoken(reply, verdict if not busy else None, busy, odd), drawn]
    if said.end == "error":
        parts.append(f'<p class="trouble" role="alert">{plain(said.note)}</p>')
    elif said.end in ends:
        parts.append(f'<p class="end">{ends[said.end]}</p>')
    elif not busy and not said.text.strip():
        parts.append('<p class="end">It ended its reply without a word.</p>')
    return "".join(parts)


def facts(said: Said) -> str:
    """How it came: tokens, their speed, the time to the first."""
    parts = []
    if said.tokens:
        plural = "" if said.tokens == 1 else "s"
        parts.append(f"{'' if said.counted else '≈ '}{said.tokens} token{plural}")
    if (speed := said.tokens_per_s) is not None:
        parts.append(f"{speed:.0f} tok/s" if speed >= 10 else f"{speed:.1f} tok/s")
    if said.first_s is not None:
        parts.append(f'<abbr title="time to first token">TTFT</abbr> {said.first_s:.2f} s')
    spans = "".join(f"<span>{part}</span>" for part in parts)
    return f'<span class="facts">{spans}</span>'


def shots(images: Sequence[str], address: Address) -> str:
    """A question's images, each to enlarge; "" where there are none."""
    pictures = "".join(
        f'<button class="shot" data-do="enlarge" aria-label="Enlarge image {n}">'
        f'<img src="{plain(address(name))}" alt="{_picture_name(n, len(images))}"></button>'
        for n, name in enumerate(images, 1)
    )
    return f'<div class="shots n{min(len(images), 3)}">{pictures}</div>' if pictures else ""


def prompt_fold(ask: Ask, fold: str) -> str:
    """The prompt as the model was given it; "" where it is the bare question."""
    if ask.prompt == ask.question:
        return ""
    return (
        f'<details class="prompt" data-fold="{fold}"><summary>Prompt as sent</summary>'
        f"<pre>{plain(ask.prompt)}</pre></details>"
    )


def settled(
    exchanges: Sequence[Exchange],
    verdicts: Sequence[Verdict | None],
    address: Address,
    drawn: Sequence[str],
) -> str:
    """Everything but the last reply, which is written into a part of the page of its own."""
    parts = []
    for index, (exchange, verdict) in enumerate(zip(exchanges, verdicts, strict=True)):
        parts.append(question(exchange.ask, index, address))
        if index < len(exchanges) - 1:
            parts.append(answer(exchange.said, index, verdict, drawn=drawn[index]))
    return "".join(parts)


def foot() -> str:
    """What stands under the composer: how to send, and what can be done with it all."""
    tools = "".join(
        f'<button data-do="{do}" aria-label="{words} the conversation">{icon(picture)}{words}</button>'
        for do, picture, words in (("export", "save", "Export"), ("wipe", "clear", "Clear"))
    )
    return f"<p>Enter sends, Shift+Enter breaks the line</p><span>{tools}</span>"


def prompt_preview(text: str, note: str = "") -> str:
    """The prompt around a question, for the fold in the side panel."""
    foot = f'<p class="hint">{plain(note)}</p>' if note else ""
    return f'<pre class="preview">{plain(text)}</pre>{foot}'


def seconds(value: float) -> str:
    """1.42 -> "1.4 s", 75 -> "1 min 15 s"."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60} s"


def _slug(stage: str) -> str:
    return next((look.slug for name, look in STAGES.items() if name == stage), UNKNOWN_STAGE.slug)


def _lines(text: str) -> str:
    return plain(text).replace("\n", "<br>")


def _picture_name(number: int, count: int) -> str:
    return "Image" if count == 1 else f"Image {number} of {count}"


def _byline(said: Said) -> str:
    return f'<p class="byline"><i class="dot"></i>{plain(said.title)}</p>'


def _wait(said: Said) -> str:
    note = said.note or "Looking at the image"
    share = "" if said.done is None else bar(said.done, note)
    return (
        '<div class="wait"><span class="pulse"></span>'
        f'<span class="note">{plain(note)}</span>{share}</div>'
    )


def _thinking(said: Said, reply: Reply, fold: str, odd: Odd) -> str:
    open_now = said.end == "waiting" and reply.phase == "thinking"
    spent = said.thought_s
    if spent is None and said.first_s is not None:
        spent = said.seconds - said.first_s
    if spent is None:  # a reply whose pace is not to be told
        title = "Thinking" if open_now else "Reasoning"
    elif open_now:
        title = f'Thinking <time data-elapsed="{spent:.2f}">{seconds(spent)}</time>'
    elif reply.phase == "thinking":
        title = f"Thought for {seconds(spent)}, unfinished"
    else:
        title = f"Thought for {seconds(spent)}"
    return (
        f'<details class="think" data-fold="{fold}"{" open" if open_now else ""}>'
        f'<summary>{title}</summary><div class="reasoning">'
        f"{rich(reply.thinking, odd.thinking)}</div></details>"
    )


def _spoken(reply: Reply, verdict: Verdict | None, busy: bool, odd: Odd) -> str:
    """The answer set apart; where no tag marks one, the text itself takes its place."""
    parts = []
    if reply.answer is not None:
        if reply.lead:
            parts.append(f'<div class="lead">{rich(reply.lead, odd.lead)}</div>')
        told = reply.answer or busy
        parts.append(_set_big(reply.answer, verdict, odd, busy) if told else _none(verdict))
    elif reply.lead and (_short(reply.lead) or _steps(reply.lead, busy)):
        parts.append(_set_big(reply.lead, verdict, odd, busy))
    elif reply.lead:
        parts.append(f'<div class="lead">{rich(reply.lead, odd.answer)}</div>{_mark(verdict)}')
    elif verdict is not None:
        parts.append(_none(verdict))
    return "".join(parts)


def _short(text: str) -> bool:
    return len(text) <= _SHORT and "\n" not in text


def _steps(text: str, busy: bool) -> list[str]:
    return calls_so_far(text) if busy else calls(text)


def _set_big(text: str, verdict: Verdict | None, odd: Odd, busy: bool) -> str:
    if steps := _steps(text, busy):
        rows = "".join(
            f'<li><mark class="odd">{plain(call)}</mark></li>'
            if number in odd.answer
            else f"<li>{plain(call)}</li>"
            for number, call in enumerate(steps)
        )
        return f'<div class="answer calls"><ol>{rows}</ol>{_mark(verdict)}</div>'
    size, value = "" if len(text) <= _SHORT else " long", rich(text, odd.answer)
    return f'<div class="answer{size}"><div class="value">{value}</div>{_mark(verdict)}</div>'


def _none(verdict: Verdict | None) -> str:
    return f'<div class="answer none"><div class="value">No answer</div>{_mark(verdict)}</div>'


def _mark(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    word, kind = ("Right", "right") if verdict.right else ("Wrong", "wrong")
    gold = f"<span>gold {plain(verdict.gold)}</span>"
    return f'<p class="verdict {kind}">{icon(kind)}<b>{word}</b>{gold}</p>'


def _footer(said: Said, index: int, verdict: Verdict | None, *, last: bool) -> str:
    if said.end == "waiting":
        return f"<footer>{facts(said)}</footer>"
    tools = _action("again", "again", "Regenerate", index=index) if last else ""
    if said.text:
        tools = _action("copy", "copy", "Copy reply", text=said.text) + tools
    return f'<footer>{facts(said)}{_rewards(verdict)}<span class="tools">{tools}</span></footer>'


def _rewards(verdict: Verdict | None) -> str:
    if verdict is None or not verdict.scores:
        return ""
    chips = "".join(
        f'<span class="chip" style="--c:{reward_look(score.name).colour}" '
        f'title="{plain(score.reason)}">{plain(score.name)} <b>{score.value:.3g}</b></span>'
        for score in verdict.scores
    )
    return (
        f'<span class="rewards" aria-label="Rewards">{chips}'
        f'<span class="chip total">total <b>{verdict.total:.3g}</b></span></span>'
    )


def _action(do: str, picture: str, words: str, **data: object) -> str:
    extra = "".join(f' data-{name}="{plain(str(value))}"' for name, value in data.items())
    return (
        f'<button class="tool" data-do="{do}" title="{words}" aria-label="{words}"{extra}>'
        f"{icon(picture)}</button>"
    )

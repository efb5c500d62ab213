"""The Chat tab: its components, and which action each of them sets off.

Handlers read, call the room, and return what app.render draws; all that is decided is decided
elsewhere. Every endpoint in here is private to the page; the public one is in app.api.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import api, asking, examples, overlay, picker, render
from app.asking import AT_ONCE, PRIVATE, emptied, idle, owner, part, waiting
from app.comparison import Comparisons
from app.conversation import Conversation
from app.faults import told
from app.gallery import served
from app.panel import FREE, Panel, decoding_of, panel, task_of
from app.room import Room, prompt_note, verdict
from rft import zoo
from rft.errors import StudioError
from rft.prompts import prompt

STORAGE_KEY = "reason-rft-studio"
#: Gradio wants one to store state across restarts. It hides nothing: what must not be guessed
#: is the conversation's id, and that is made by the server.
STORAGE_SECRET = "reason-rft-studio"

_SHELF = '<div id="zoo" popover="auto" role="dialog" aria-label="Checkpoints">${value}</div>'


@dataclass(frozen=True)
class _Page:
    """The components that handlers write to."""

    session: gr.BrowserState
    transcript: gr.HTML
    live: gr.HTML
    composer: gr.MultimodalTextbox
    foot: gr.HTML
    parcel: gr.HTML
    panel: Panel


def tab(demo: gr.Blocks, room: Room, comparisons: Comparisons) -> None:
    """Lay out the chat and wire it to ``room``."""
    session = gr.BrowserState({}, storage_key=STORAGE_KEY, secret=STORAGE_SECRET)
    with gr.Row(elem_id="chat"):
        side = panel()
        with gr.Column(elem_id="talk"):
            with gr.Column(elem_id="scroll"):
                transcript = part(
                    "transcript", "['example', 'resend', 'trial', 'take']", examples.welcome(None)
                )
                live = part("live", "['again']")
            composer = asking.composer("Ask about the image…", "Question", "composer")
            foot = part("foot", "['export', 'wipe']", render.foot())
        shelf = part("shelf", "['choose', 'release']", template=_SHELF)
        parcel = gr.HTML(
            "",
            html_template="",
            js_on_load="watch('value', () => studio.save(props.value))",
            visible="hidden",
            elem_id="parcel",
        )
    page = _Page(session, transcript, live, composer, foot, parcel, side)
    _wire_asking(page, room)
    _wire_rest(page, shelf, demo, room)
    _wire_taking(page, room, comparisons)
    api.endpoint(room)


def _wire_asking(page: _Page, room: Room) -> None:
    """Everything that ends in a reply: the question is taken, then answered; and stopping it."""
    side, session = page.panel, page.session
    drawn = [session, page.transcript, page.live, page.composer]

    @told
    def ask(
        message: dict[str, Any], kept: dict[str, Any], task: str, kind: Any, tab: gr.Request
    ) -> Any:
        chat, card = room.open(kept.get("chat")), room.card(kept.get("card"))
        files = [api.path(file) for file in message["files"]]
        text = message["text"]
        chat = room.ask(chat, card, text, files, task_of(task), kind, owner=owner(tab))
        return asked(kept, chat, emptied())

    @told
    def ask_example(kept: dict[str, Any], event: gr.EventData, tab: gr.Request) -> Any:
        problem = examples.example(event.key).problem
        card = room.fitting(room.card(kept.get("card")), problem.task)
        chat = room.ask_problem(room.open(kept.get("chat")), card, problem, owner=owner(tab))
        shown = picker.chosen(card, room.state(card))
        return *asked({**kept, "card": card.id}, chat), problem.task, shown

    @told
    def ask_trial(kept: dict[str, Any], event: gr.EventData, tab: gr.Request) -> Any:
        # A finished run, from the Train tab: its checkpoint, and a problem it was measured on.
        card, problem = room.trial(event.run)
        chat = room.ask_problem(room.open(kept.get("chat")), card, problem, owner=owner(tab))
        shown = picker.chosen(card, room.state(card))
        return *asked({**kept, "card": card.id}, chat), problem.task, shown

    @told
    def ask_again(kept: dict[str, Any], tab: gr.Request) -> Any:
        chat, card = room.open(kept.get("chat")), room.card(kept.get("card"))
        return asked(kept, room.again(chat, card, owner=owner(tab)))

    @told
    def ask_edited(kept: dict[str, Any], event: gr.EventData, tab: gr.Request) -> Any:
        chat, card = room.open(kept.get("chat")), room.card(kept.get("card"))
        return asked(kept, room.edit(chat, card, int(event.index), event.text, owner=owner(tab)))

    def asked(kept: dict[str, Any], chat: Conversation, composer: Any = None) -> Any:
        return {**kept, "chat": chat.id}, *_drawn(room, chat), composer or waiting()

    @told
    def reply(kept: dict[str, Any], tab: gr.Request, *controls: Any) -> Iterator[str]:
        chat, decoding = room.store.load(kept.get("chat")), decoding_of(*controls)
        for grown in room.reply(chat, decoding, owner=owner(tab)):
            yield _live(room, grown)

    @told
    def stop(kept: dict[str, Any]) -> Any:
        chat = room.stop(room.store.load(kept.get("chat")))
        waiting = chat.last is not None and chat.last.said.end == "waiting"
        return (gr.skip(), gr.skip()) if waiting else (_live(room, chat), idle())

    starts = [
        page.composer.submit(ask, [page.composer, session, side.task, side.kind], drawn, **PRIVATE),
        page.transcript.example(ask_example, [session], [*drawn, side.task, side.card], **PRIVATE),
        side.examples.example(ask_example, [session], [*drawn, side.task, side.card], **PRIVATE),
        page.transcript.trial(ask_trial, [session], [*drawn, side.task, side.card], **PRIVATE),
        page.live.again(ask_again, [session], drawn, **PRIVATE),
        page.transcript.resend(ask_edited, [session], drawn, **PRIVATE),
    ]
    for start in starts:
        replied = start.success(
            reply,
            [session, *side.controls],
            [page.live],
            concurrency_limit=api.SLOTS,
            concurrency_id=api.QUEUE,
            api_visibility="private",
            show_progress="minimal",
        )
        # Where the queue was full, nobody comes for the place that was held.
        replied.failure(stop, [session], [page.live, page.composer], **AT_ONCE)
        replied.success(idle, None, [page.composer], **AT_ONCE)
    page.composer.stop(stop, [session], [page.live, page.composer], **AT_ONCE)


def _wire_rest(page: _Page, shelf: gr.HTML, demo: gr.Blocks, room: Room) -> None:
    """Clearing, exporting, choosing a checkpoint, and the page's own state."""
    side, session = page.panel, page.session

    @told
    def clear(kept: dict[str, Any]) -> Any:
        room.clear(room.store.load(kept.get("chat")))
        card = room.card(kept.get("card"), or_first=True)
        return {**kept, "chat": None}, examples.welcome(card.task), "", idle()

    @told
    def export(kept: dict[str, Any]) -> dict[str, Any]:
        return room.store.export(room.open(kept.get("chat")))

    @told
    def choose(kept: dict[str, Any], event: gr.EventData) -> Any:
        card = room.card(event.card)
        chat = room.open(kept.get("chat"))
        empty = gr.skip() if chat.exchanges else examples.welcome(card.task)
        # A Qwen2-VL base can be asked any task's question; what was taught none of them, freely.
        task = card.task or (gr.skip() if card.family == "qwen2_vl" else FREE)
        return {**kept, "card": card.id}, picker.chosen(card, room.state(card)), task, empty

    @told
    def browse(kept: dict[str, Any]) -> str:
        # Opens whatever has become of the chosen one: here another can be chosen.
        return _shelf(room, room.card(kept.get("card"), or_first=True))

    @told
    def release(kept: dict[str, Any], event: gr.EventData) -> str:
        room.engine.release(event.card)
        return _shelf(room, room.card(kept.get("card"), or_first=True))

    @told
    def fetch(kept: dict[str, Any]) -> Iterator[str]:
        card = room.card(kept.get("card"))
        try:
            for progress in zoo.fetch(card):
                yield picker.chosen(card, room.state(card), progress)
        except StudioError:
            yield picker.chosen(card, room.state(card))  # to be tried again
            raise
        yield picker.chosen(card, room.state(card))

    @told
    def follow(kept: dict[str, Any]) -> Iterator[Any]:
        # A reload in the middle of a reply: the old tab's generator ends it in a moment. Or a
        # second tab beside the one that waits.
        chat_id = kept.get("chat") or ""
        if not room.desk.busy(chat_id):
            # Nothing to follow; what the visitor has begun meanwhile must stay on the page.
            yield gr.skip(), gr.skip()
            return
        while room.desk.busy(chat_id):
            time.sleep(0.2)
            yield gr.skip(), gr.skip()  # which frees the thread, and ends where the tab has gone
        yield _live(room, room.open(chat_id)), idle()

    @told
    def restore(kept: dict[str, Any]) -> Any:
        chat, wanted = room.open(kept.get("chat")), kept.get("card")
        # Moved or deleted since: nothing to trouble a visitor with who arrives.
        card = room.card(wanted, or_first=True)
        session = {**kept, "card": card.id} if wanted and wanted != card.id else gr.skip()
        state = room.state(card)
        values = side.restored(kept.get("controls"), card.task)
        composer = waiting() if room.desk.busy(chat.id) else idle()
        return session, *_drawn(room, chat), picker.chosen(card, state), composer, *values

    @told
    def preview(kept: dict[str, Any], message: dict[str, Any], task: str, kind: Any) -> str:
        text = message["text"].strip() or "‹your question›"
        return _preview(room, kept.get("card"), text, task, kind)

    page.foot.wipe(
        clear, [session], [session, page.transcript, page.live, page.composer], **AT_ONCE
    )
    page.foot.export(export, [session], [page.parcel], **AT_ONCE)
    chosen = [session, side.card, side.task, page.transcript]
    shelf.choose(choose, [session], chosen, **PRIVATE)
    shelf.release(release, [session], [shelf], **AT_ONCE)
    side.card.browse(browse, [session], [shelf], **AT_ONCE)
    side.card.fetch(fetch, [session], [side.card], concurrency_limit=4, **PRIVATE)
    asked = [session, page.composer, side.task, side.kind]
    gr.on(
        [side.prompt.expand, side.task.change, side.kind.change, side.card.change],
        preview,
        asked,
        [side.preview],
        **AT_ONCE,
    )
    side.wire(session)
    first = [session, page.transcript, page.live, side.card, page.composer, *side.remembered]
    demo.load(restore, [session], first, **PRIVATE).then(
        follow, [session], [page.live, page.composer], concurrency_limit=None, **PRIVATE
    )


def _wire_taking(page: _Page, room: Room, comparisons: Comparisons) -> None:
    """What comes over from the Compare tab: a pane's question and reply, to go on with."""
    side, session = page.panel, page.session

    @told
    def take(kept: dict[str, Any], event: gr.EventData) -> Any:
        chat = room.open(kept.get("chat"))
        chat = comparisons.to_chat(chat, event.comparison, int(event.pane))
        ask, said = chat.exchanges[-1].ask, chat.exchanges[-1].said
        card = room.card(said.card)
        kept = {**kept, "chat": chat.id, "card": card.id}
        return kept, *_drawn(room, chat), ask.task or FREE, picker.chosen(card, room.state(card))

    taken = [session, page.transcript, page.live, side.task, side.card]
    page.transcript.take(take, [session], taken, **PRIVATE)


def _drawn(room: Room, chat: Conversation) -> tuple[str, str]:
    """The settled part of the conversation and the last reply."""
    if not chat.exchanges:
        return examples.welcome(None), ""
    verdicts = [verdict(exchange) for exchange in chat.exchanges]
    gallery = served(room.store, chat.id)
    drawn = [overlay.drawn(chat, index, gallery) for index in range(len(chat.exchanges))]
    return render.settled(chat.exchanges, verdicts, gallery.address, drawn), _live(room, chat)


def _live(room: Room, chat: Conversation) -> str:
    last, index = chat.last, len(chat.exchanges) - 1
    if last is None:
        return ""
    drawn = overlay.drawn(chat, index, served(room.store, chat.id))
    return render.answer(last.said, index, verdict(last), last=True, drawn=drawn)


def _shelf(room: Room, card: zoo.Card) -> str:
    known = room.cards()
    if all(card.id != other.id for other in known):
        known = [card, *known]
    free = room.engine.memory()
    states = {item.id: zoo.state(item, free) for item in known}
    loaded, public = room.engine.loaded(), room.host.public
    return picker.shelf(known, states, card.id, loaded, listed_only=public, task=card.task)


def _preview(room: Room, wanted: object, question: str, task: str, kind: Any) -> str:
    try:
        card, name = room.card(wanted), task_of(task)
        return render.prompt_preview(prompt(card, name, question, kind), prompt_note(card, name))
    except StudioError as error:
        return render.prompt_preview("", str(error))

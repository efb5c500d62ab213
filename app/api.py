"""``/chat``: the one public endpoint, to ask a checkpoint from a program and stream its reply."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from app.conversation import Said
from app.faults import told
from app.panel import FREE, PAPER, decoding_of, task_of
from app.room import Room, checked
from app.writing import written
from rft.images import open_images
from rft.prompts import prompt
from rft.tasks import TASKS, AnswerKind
from rft.types import Turn

SLOTS = 1  #: replies at a time: more would share the same processor and slow each other
QUEUE = "reply"  #: the queue that the page and the endpoint share

ABOUT = (
    "Ask a checkpoint about images and stream its reply: each value is an object with "
    "thinking, answer, text, status (thinking, answering, done, stopped, cut, failed) and stats."
)
_STATUS = {"eos": "done", "stop": "stopped", "length": "cut", "error": "failed"}


def endpoint(room: Room) -> None:
    """Register ``/chat`` in the page under construction."""

    @partial(told, page=False)
    def chat(
        question: str,
        images: list[str] | None = None,
        checkpoint: str = "",
        task: str = FREE,
        answer_kind: Any = "auto",
        temperature: float = PAPER.temperature,
        top_p: float = PAPER.top_p,
        top_k: int = PAPER.top_k,
        max_tokens: int = PAPER.max_new_tokens,
        kilopixels: int = PAPER.max_pixels // 1000,
        seed: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        text = checked(question)
        card = room.card(checkpoint.strip())
        room.ready(card)
        pictures = open_images([path(file) for file in images or []])
        turn = Turn("user", prompt(card, task_of(task), text, answer_kind), tuple(pictures))
        decoding = decoding_of(temperature, top_p, top_k, max_tokens, kilopixels, seed)
        with room.desk.guest() as stop:
            for said in written(room.engine, card, [turn], decoding, stop):
                yield reported(said)

    tasks = [*TASKS, FREE]
    inputs: list[Any] = [
        gr.Textbox(label="question"),
        gr.File(label="images", file_count="multiple"),
        gr.Textbox("", label="checkpoint"),
        gr.Dropdown(tasks, value=FREE, label="task"),
        gr.Dropdown(list(get_args(AnswerKind)), value="auto", label="answer_kind"),
        gr.Number(PAPER.temperature, label="temperature"),
        gr.Number(PAPER.top_p, label="top_p"),
        gr.Number(PAPER.top_k, label="top_k"),
        gr.Number(PAPER.max_new_tokens, label="max_tokens"),
        gr.Number(PAPER.max_pixels // 1000, label="kilopixels"),
        gr.Number(None, label="seed", precision=0),
    ]
    outputs = gr.JSON(label="reply")
    trigger = gr.Button("chat")
    for component in [*inputs, outputs, trigger]:
        component.visible = False
    trigger.click(
        chat,
        inputs,
        [outputs],
        api_name="chat",
        api_description=ABOUT,
        concurrency_limit=SLOTS,
        concurrency_id=QUEUE,
    )


def reported(said: Said) -> dict[str, Any]:
    """A snapshot of a reply, as the endpoint gives it."""
    reply = said.reply
    running = "thinking" if reply.phase in ("start", "thinking") else "answering"
    return {
        "thinking": reply.thinking,
        "answer": reply.final,
        "text": said.text,
        "status": _STATUS.get(said.end, running),
        "note": said.note,
        "stats": {
            "tokens": said.tokens,
            "tokens_counted": said.counted,
            "seconds": round(said.seconds, 3),
            "first_token_seconds": said.first_s,
            "tokens_per_second": said.tokens_per_s,
            "thinking_seconds": said.thought_s,
        },
    }


def path(file: Any) -> Path:
    """The file that Gradio accepted as an upload; it has checked that it is one."""
    return Path(str(file))

"""What goes wrong in a handler is a sentence, and a stream that nobody reads ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import gradio as gr
import pytest

from app import attended
from app.faults import told
from rft.errors import InputError, StudioError


def test_studio_errors_become_sentences_and_bugs_surface() -> None:
    def fail(error: Exception) -> None:
        raise error

    def fail_midway(error: Exception) -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(gr.Error, match="Crop it"):
        told(fail)(InputError("Crop it."))
    with pytest.raises(gr.Error, match="Too large"):
        list(told(fail_midway)(StudioError("Too large.")))
    with pytest.raises(ZeroDivisionError):
        told(fail)(ZeroDivisionError())


def test_what_a_sentence_quotes_is_text_where_gradio_shows_html() -> None:
    @told
    def fail() -> None:
        raise InputError("It has “<img src=//x.example/a.png>” & more: leave it.")

    with pytest.raises(gr.Error) as raised:
        fail()
    assert (
        raised.value.message == "It has “&lt;img src=//x.example/a.png&gt;” &amp; more: leave it."
    )


def test_a_program_is_told_the_words_themselves() -> None:
    def fail() -> None:
        raise InputError("No card <a&b>.")

    with pytest.raises(gr.Error) as raised:
        told(fail, page=False)()
    assert raised.value.message == "No card <a&b>."


def test_a_stream_that_nobody_comes_back_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attended, "GONE_S", 0.2)
    lock = threading.Lock()

    @told
    def answer() -> Iterator[int]:
        with lock:
            yield from range(3)

    left = answer()
    assert next(left) == 0 and lock.locked()
    assert lock.acquire(timeout=20), "its reader has gone, so it has let go"
    assert list(left) == []
    lock.release()
    assert list(answer()) == [0, 1, 2] and not lock.locked()


def test_a_reader_who_comes_back_too_late_finds_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attended, "GONE_S", 0.2)
    closing = threading.Event()

    def slow() -> Iterator[int]:
        try:
            yield 0
            yield 1
        finally:
            closing.set()
            time.sleep(1)  # as a model that is being loaded

    late = attended.attended(slow())
    assert next(late) == 0 and closing.wait(timeout=20)
    assert list(late) == [], "it waits for the close, and ends"

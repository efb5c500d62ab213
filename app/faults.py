"""The one place where a StudioError becomes something a person sees.

Anything else is a bug and passes through, to surface as one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from html import escape
from typing import Any, TypeVar

import gradio as gr

from app.attended import attended
from app.markup import clean
from rft.errors import StudioError

Handler = TypeVar("Handler", bound=Callable[..., Any])


def told(handler: Handler, *, page: bool = True) -> Handler:
    """The handler, whose StudioErrors end as one sentence on the page, or as it is at a client."""
    sentence = _shown if page else _given
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **named: Any) -> Any:
            try:
                yield from attended(handler(*args, **named))
            except StudioError as error:
                raise sentence(error) from error

        return stream  # type: ignore[return-value]

    @functools.wraps(handler)
    def call(*args: Any, **named: Any) -> Any:
        try:
            return handler(*args, **named)
        except StudioError as error:
            raise sentence(error) from error

    return call  # type: ignore[return-value]


def _given(error: StudioError) -> gr.Error:
    return gr.Error(str(error), print_exception=False)


def _shown(error: StudioError) -> gr.Error:
    # Gradio shows it as HTML, and it may quote what a stranger wrote.
    # It stays until its reader goes on: see page.js.
    return gr.Error(escape(clean(str(error)), quote=False), duration=None, print_exception=False)

"""Gradio started sooner: what it leaves out is not missed."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

import gradio as gr

from app import stubs
from rft.cards import ROOT


def test_gradio_writes_no_stubs_for_the_page() -> None:
    program = (
        "from app import stubs; stubs.skip(); import gradio.component_meta as m; "
        "m.create_or_modify_pyi(int, '', [])"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=ROOT)


def test_a_page_has_one_server_and_it_is_made_by_launching_it() -> None:
    @stubs.unserved()
    def built() -> gr.Blocks:
        with gr.Blocks() as page:
            gr.Markdown("here")
        return page.queue(max_size=3)

    page = built()
    assert page.app is None
    page.launch(prevent_thread_lock=True, quiet=True)
    try:
        with urllib.request.urlopen(str(page.local_url), timeout=60) as answer:
            assert answer.status == 200
    finally:
        page.close()
    with gr.Blocks() as other:
        pass
    assert other.app is not None

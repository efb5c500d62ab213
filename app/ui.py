"""The page: header, tabs, and how it is served. No handler and no model in here."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from app import chat, compare, stubs, theme, train
from app.comparison import Comparisons
from app.drafts import Drafts
from app.host import Host
from app.icons import icon
from app.intake import Sources
from app.room import Room
from app.store import Store
from rft.claim import device
from rft.engine import Engine
from rft.exam import EVAL
from rft.run import ROOT
from rft.runs import training

NAME = "Reason-RFT Studio"
LINE = "Watch a vision-language model reason. Then teach it."
HOME = Path(__file__).resolve().parent.parent / "data" / "chats"
#: Served from here, as the plotly package ships it: nothing is fetched from elsewhere.
_PLOTLY = find_spec("plotly")
PLOTLY = Path((_PLOTLY and _PLOTLY.origin) or "plotly").parent / "package_data" / "plotly.min.js"
SCRIPTS = ("page.js", "train.js", "onset.js")
QUEUE_SIZE = 64  #: visitors waiting; more are told to come back


@stubs.unserved()
def build(
    home: Path = HOME,
    zoo_file: Path | None = None,
    runs: Path | None = None,
    host: Host | None = None,
) -> gr.Blocks:
    """The whole page.

    ``home`` keeps the conversations, ``runs`` the runs; ``zoo_file`` has cards of the user's own.
    ``host`` says what its visitors may do; without it, all.
    """
    host, runs = host or Host(), (runs or ROOT).resolve()
    engine = Engine(training=lambda: training(runs))
    room = Room(Store(home.resolve()), zoo_file, engine, runs=runs, host=host)
    # What was said lies where nothing is served from: blind comparisons keep their secret.
    comparisons = Comparisons(room, Store(beside(home), home.resolve().parent / "compared"))
    with gr.Blocks(
        title=NAME, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)
    ) as demo:
        gr.HTML(_header(), elem_id="top", apply_default_css=False, js_on_load=None)
        wires, compared, measured = train.wires(), compare.session(), compare.wires()
        drafts = Drafts(home.resolve().parent / "drafts")
        with gr.Tabs(selected="chat", overflow_behavior="wrap", elem_id="tabs"):
            with gr.Tab("Chat", id="chat", elem_id="tab-chat") as talking:
                chat.tab(demo, room, comparisons)
            with gr.Tab("Compare", id="compare", elem_id="tab-compare") as comparing:
                facing = compare.tab(compared, measured, comparisons, drafts, comparing)
            with gr.Tab("Train", id="train", elem_id="tab-train") as teaching:
                page = train.tab(wires, Sources(drafts, runs), host, engine)
        compare.join(facing, [talking, teaching])
        train.join(page, [talking, comparing], teaching)
    demo.queue(max_size=QUEUE_SIZE, default_concurrency_limit=8)
    return demo


def beside(home: Path) -> Path:
    """Where comparisons are kept: a sibling of the conversations' folder."""
    return home.resolve().parent / "comparisons"


def launch_options(home: Path = HOME, runs: Path = ROOT) -> dict[str, Any]:
    """What ``launch`` is given, on a laptop, on a Space and in the tests alike."""
    return {
        "theme": theme.gradio_theme(),
        "head": _head(),
        "favicon_path": theme.ASSETS / "favicon.svg",
        "footer_links": [],
        "allowed_paths": [
            str(path) for path in (home.resolve(), beside(home), runs.resolve(), PLOTLY)
        ],
        # Who has the device, and what was answered to whom: no page links these.
        "blocked_paths": [
            str(path) for path in (device(runs.resolve()).path, runs.resolve() / EVAL)
        ],
        "max_file_size": "64mb",
        "run_history": False,
        "ssr_mode": False,
        "share": False,
        "show_error": True,
    }


def _head() -> str:
    # Not through ``css``: Gradio would confine that to its own container, and what lies on top
    # of the page or depends on the body's state would stay undressed.
    scripts = [(theme.ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS]
    address = json.dumps(f"gradio_api/file={quote(str(PLOTLY))}")
    parts = [scripts[0], f"studio.plotly = {address};", *scripts[1:]]
    inline = "".join(f"<script>{part}</script>" for part in parts)
    return f"<style>{theme.css()}</style>{inline}"


def _header() -> str:
    return (
        f'<header class="top"><p class="name"><i class="mark"></i>{NAME}</p><p class="line">{LINE}</p>'
        '<span class="tools"><button class="tool" data-do="settings" id="open-settings" '
        f'aria-label="Settings and examples" aria-expanded="false">{icon("tune")}</button>'
        '<button class="tool" data-do="theme" id="theme" aria-label="Light or dark">'
        f"{icon('theme')}</button></span></header>"
    )

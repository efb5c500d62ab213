"""Served checkpoints in Chat, Compare, ``/chat`` and ``python -m rft eval``, by a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundled import COUNTING
from conftest import Endpoint
from endpointserver import KEY, SCRIPT
from gradio_client import Client, handle_file
from page import Served, serving
from playwright.sync_api import Browser, expect
from visiting import NARROW, SLOW_MS, WIDE, Visit, shoot, sideways, visits

from app import picker
from app.comparison import Comparisons
from app.host import LISTED_ONLY, Host
from app.room import Room
from app.store import Store
from rft import contest, zoo
from rft.errors import CheckpointError, InputError
from rft.match import create
from rft.problemset import ProblemSet
from rft.scenes import make
from rft.types import Decoding

ROOT = Path(__file__).resolve().parent.parent
GREEDY = Decoding(temperature=0, max_new_tokens=256)
CARDS = {
    "far": ("Tiny counting, served", "tiny"),
    "script": ("Reads a script", "script"),
    "dies": ("Dies in the middle", "dies"),
    "endless": ("Never ends", "endless"),
    "slow": ("Slow but sure", "slow"),
    "locked": ("Behind a key", "locked"),
}


@pytest.fixture(scope="module")
def own(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A zoo file of served cards, and the key of those that ask for one."""
    entries = [
        f'[[card]]\nid = "{name}"\ntitle = "{title}"\ntask = "counting"\nstage = "cot-sft"\n'
        f'endpoint = "{endpoint.url}"\nserved_model = "{model}"\nkey_env = "FAR_KEY"\n'
        for name, (title, model) in CARDS.items()
    ]
    file = tmp_path_factory.mktemp("zoo") / "own.toml"
    file.write_text("\n".join(entries))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAR_KEY", KEY)
        yield file


@pytest.fixture(scope="module")
def studio(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("chats"), zoo=own) as served:
        yield served


@pytest.fixture
def room(own: Path, tmp_path: Path) -> Room:
    return Room(Store(tmp_path / "chats"), own, runs=tmp_path / "runs")


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    with visits(browser) as visit:
        yield visit


def test_a_conversation_with_a_server(room: Room) -> None:
    problem = make("counting", "id", 3)
    chat = room.ask_problem(room.store.new(), room.card("far"), problem)
    (*_, chat) = room.reply(chat, GREEDY)
    first = chat.exchanges[0].said
    assert (first.end, first.counted) == ("eos", True) and first.tokens > 10
    assert first.reply.thinking and first.reply.answer and first.first_s and first.thought_s
    chat = room.ask(chat, room.card("far"), "And the cubes?", [], "counting")
    (*_, chat) = room.reply(chat, GREEDY)
    assert chat.exchanges[1].said.end == "eos" and room.engine.loaded() == []


def test_what_was_written_is_kept_when_the_server_dies(room: Room, tmp_path: Path) -> None:
    chat = room.ask(room.store.new(), room.card("dies"), "How many?", [], "counting")
    (*_, chat) = room.reply(chat, GREEDY)
    said = room.open(chat.id).exchanges[0].said
    assert said.end == "error" and "broke off" in said.note
    assert said.text.startswith("<think>Two cubes")
    kept = "".join(p.read_text() for p in (tmp_path / "chats").rglob("*.json"))
    assert "Two cubes" in kept and KEY not in kept


def test_servers_beside_each_other(room: Room, tmp_path: Path) -> None:
    them = Comparisons(room, Store(tmp_path / "comparisons"))
    cards = [room.card(name) for name in ("script", "dies", "endless")]
    made = them.ask(cards, "How many?", [], "counting")
    for grown in them.write(made.id, GREEDY):
        said = [exchange.said for exchange in grown.exchanges]
        if said[2].tokens > 40:  # the others have long ended
            them.stop(made.id)
    assert [one.end for one in said] == ["eos", "error", "stop"]
    assert said[0].text == SCRIPT and not said[2].counted


def test_a_server_sees_the_images_that_a_pane_here_sees(room: Room, tmp_path: Path) -> None:
    them = Comparisons(room, Store(tmp_path / "comparisons"))
    cards = [room.card(name) for name in ("far", COUNTING[-1].id)]
    asked = them.ask_problem(cards, make("counting", "id", 3))
    (*_, made) = them.write(asked.id, GREEDY)
    far, here = (exchange.said for exchange in made.exchanges)
    assert far.text == here.text and far.end == "eos" and far.reply.thinking


def test_without_its_key_a_card_says_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    card = room.card("locked")
    shelf = picker.shelf([card], {card.id: room.state(card)}, "")
    assert "on a server" in shelf and "Answers at 127.0.0.1:" in shelf and KEY not in shelf
    monkeypatch.delenv("FAR_KEY")
    with pytest.raises(CheckpointError, match="read from FAR_KEY; that is not set"):
        room.ask(room.store.new(), card, "How many?", [], None)


def test_strangers_choose_a_server_and_name_none(own: Path, endpoint: Endpoint) -> None:
    public = Room(Store(own.parent / "public"), own, host=Host(public=True))
    assert public.card("far").endpoint is not None
    before = len(endpoint.log()["asked"])
    for typed in (endpoint.url, f"{endpoint.url}/chat/completions", "  ", "$FAR_URL"):
        with pytest.raises(InputError, match=LISTED_ONLY[:30]):
            public.card(typed)
    with pytest.raises(InputError):
        Room(Store(own.parent / "own"), own).card(endpoint.url)
    assert len(endpoint.log()["asked"]) == before


def test_programs_reach_it_through_the_page(studio: Served, tmp_path: Path) -> None:
    scene = tmp_path / "scene.png"
    make("counting", "id", 3).images[0].save(scene)  # type: ignore[union-attr]
    job = Client(studio.url, verbose=False).submit(
        question="How many objects are there?", images=[handle_file(scene)], checkpoint="far",
        task="counting", temperature=0, max_tokens=200, api_name="/chat",
    )  # fmt: skip
    last = job.result(timeout=240)
    assert last["status"] == "done" and last["stats"]["tokens_counted"] and last["answer"]
    assert len(job.outputs()) >= 2 and last["thinking"]


def test_a_set_is_measured_by_the_command(own: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rft", "eval", "--checkpoint", "slow", "--task", "counting",
             "-n", "6", "--zoo", str(own), "--out", str(tmp_path / "out")],
            cwd=ROOT, env=os.environ | {"FAR_KEY": KEY}, capture_output=True, text=True,
        )  # fmt: skip

    done = run()
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "out").glob("*.json")
    assert json.loads(report.read_text())["strict"]["n"] == 6
    assert endpoint.log()["most"]["slow"] > 1, "several at once"
    before = len(endpoint.log()["asked"])
    assert run().returncode == 0 and len(endpoint.log()["asked"]) == before, "kept"
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert files and not any(KEY in file.read_text() for file in files)


def test_a_set_in_the_background_outlives_a_server_that_dies(own: Path, tmp_path: Path) -> None:
    cards = [zoo.card_for(name, own) for name in ("dies", "slow")]
    match = create(tmp_path, cards, ProblemSet("counting", "id", 8), GREEDY)
    contest.start(match, own)
    deadline = time.monotonic() + 240
    while match.state() in ("running", "queued", "new") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert match.state() == "error" and "broke off in the middle" in match.error()
    died, answered = match.reports()
    assert "broke off" in died["fault"] and answered["strict"]["n"] == 8
    files = [file for file in match.folder.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in file.read_bytes() for file in files)


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_a_visitor_chooses_and_asks_a_server(studio: Served, visit: Visit, look: str) -> None:
    page = visit(studio.url, NARROW if look == "narrow" else WIDE, dark=look == "dark")
    page.locator("#card").get_by_role("button", name="Change").click()
    item = page.locator("#zoo .item.served", has_text="Slow but sure")
    expect(item).to_contain_text("on a server")
    expect(item).to_contain_text("Answers at 127.0.0.1")
    expect(item).not_to_contain_text("FAR_KEY")
    item.scroll_into_view_if_needed()
    assert sideways(page) <= 0
    shoot(page, f"served-shelf-{look}")
    item.click()
    expect(page.locator("#card .standing")).to_contain_text("Answers at 127.0.0.1:")
    page.locator("#composer textarea").fill("How many objects are there?")
    page.locator("#composer textarea").press("Enter")
    expect(page.locator("#live .facts")).to_contain_text("tok/s", timeout=SLOW_MS)
    expect(page.locator("#live article")).to_have_class(re.compile(r"\beos\b"), timeout=SLOW_MS)
    assert sideways(page) <= 0
    shoot(page, f"served-reply-{look}")

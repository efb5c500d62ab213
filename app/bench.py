"""``python -m rft bench chat``: what the page costs, against the model alone.

Starts the real app in a process of its own for start-up, memory and the page; streams a real
checkpoint in this process for the ratio of speeds. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from rft.scenes import make
from rft.tasks import prompt_for
from rft.types import Decoding, Turn

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = "tiny-counting-cot-sft"
GREEDY = Decoding(temperature=0.0, max_new_tokens=256)


def conversation(number: int) -> list[Turn]:
    """One counting question about a scene of its own."""
    problem = make("counting", "id", number)
    return [Turn("user", prompt_for("counting", problem.question), problem.images)]


@contextlib.contextmanager
def serving(home: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """The app in its own process: its address, its process, seconds to the first HTTP 200."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    env = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py")],
        cwd=home,
        env={**env, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as page:
                if page.status == 200:
                    break
            if server.poll() is not None:
                raise RuntimeError(f"app.py ended with status {server.returncode}.")
            time.sleep(0.01)
        yield url, psutil.Process(server.pid), time.perf_counter() - start
    finally:
        server.terminate()
        server.wait(timeout=20)


def start_up(runs: int, home: Path) -> dict[str, float | None]:
    """Median seconds from the process's start to the first 200, and to a page one can type in."""
    firsts, pages = [], []
    for _ in range(runs):
        with serving(home) as (url, _, seconds):
            firsts.append(seconds)
            pages.append(_interactive(url))
    shown = [page for page in pages if page is not None]
    return {
        "first_200_s": statistics.median(firsts),
        "page_interactive_s": statistics.median(shown) if shown else None,
    }


def _interactive(url: str) -> float | None:
    """Seconds from opening the page to an editable question; None without a browser."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return None
    with sync_playwright() as driver:
        chromium = next(
            (p for p in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(p).exists()), None
        )
        try:
            browser = driver.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
        except Error:
            return None
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(url)
        page.locator("textarea:visible").first.wait_for(state="visible")
        seconds = time.perf_counter() - start
        browser.close()
        return seconds


def memory(chats: int, home: Path) -> dict[str, float]:
    """Resident megabytes at rest, after ten chats through the endpoint, and after ``chats``."""
    from gradio_client import Client, handle_file

    picture = home / "scene.png"
    problem = make("counting", "id", 0)
    problem.images[0].save(picture)  # type: ignore[union-attr]
    with serving(home) as (url, process, _):
        found = {"rest_mb": process.memory_info().rss / 1e6}
        client = Client(url, verbose=False)
        for number in range(1, chats + 1):
            client.predict(
                question=problem.question,
                images=[handle_file(picture)],
                checkpoint=CHECKPOINT,
                task="counting",
                temperature=0,
                api_name="/chat",
            )
            if number == 10:
                found["after_10_mb"] = process.memory_info().rss / 1e6
        found[f"after_{chats}_mb"] = process.memory_info().rss / 1e6
    return found


def streaming(rounds: int) -> dict[str, float]:
    """The page's stream against ``model.generate`` with a streamer, in turn, same conversations.

    tokens/s are counted from the first token; the time to it is given apart. ``stop_s`` is the
    time from the wish to stop to the model's being free.
    """
    from app.writing import written
    from rft import zoo
    from rft.engine import Engine

    card = zoo.card_for(CHECKPOINT)
    engine = Engine()
    go = threading.Event()
    list(written(engine, card, conversation(0), GREEDY, go))  # load and warm up
    ours, plain, firsts, plain_firsts, stops = [], [], [], [], []
    policy = _plain_policy(card)
    _plain(policy, conversation(0))
    for number in range(1, rounds + 1):
        said = list(written(engine, card, conversation(number), GREEDY, go))[-1]
        first, tokens, seconds = said.first_s or 0.0, said.tokens, said.seconds
        ours.append((tokens - 1) / (seconds - first))
        firsts.append(first)
        first, tokens, seconds = _plain(policy, conversation(number))
        plain.append((tokens - 1) / (seconds - first))
        plain_firsts.append(first)
        stops.append(_stop(engine, card, number))
    return {
        "tokens_per_s": statistics.median(ours),
        "plain_tokens_per_s": statistics.median(plain),
        "ratio": statistics.median(a / b for a, b in zip(ours, plain, strict=True)),
        "first_token_s": statistics.median(firsts),
        "plain_first_token_s": statistics.median(plain_firsts),
        "stop_s": statistics.median(stops),
        "stop_worst_s": max(stops),
    }


def _plain_policy(card: Any) -> Any:
    from rft import policy, zoo

    return policy.load(zoo.folder_of(card) or card.where)


def _plain(policy: Any, turns: list[Turn]) -> tuple[float, int, float]:
    """(seconds to the first text, tokens, seconds) of transformers alone."""
    from transformers import TextIteratorStreamer

    start = time.perf_counter()
    inputs = policy.encode([turns], GREEDY.max_pixels)
    streamer = TextIteratorStreamer(policy.processor.tokenizer, skip_prompt=True)
    made: list[Any] = []

    def work() -> None:
        made.append(
            policy.model.generate(
                **inputs, do_sample=False, max_new_tokens=GREEDY.max_new_tokens, streamer=streamer
            )
        )

    worker = threading.Thread(target=work)
    worker.start()
    first = None
    for piece in streamer:
        if piece and first is None:
            first = time.perf_counter() - start
    worker.join()
    tokens = made[0].shape[1] - inputs["input_ids"].shape[1]
    return first or 0.0, tokens, time.perf_counter() - start


def _stop(engine: Any, card: Any, number: int) -> float:
    """Seconds from setting the stop to the end of the stream, at some token of the reply."""
    from app.writing import written

    stop = threading.Event()
    wished = 0.0
    for said in written(engine, card, conversation(number), GREEDY, stop):
        if said.tokens >= 10 and not stop.is_set():
            wished = time.perf_counter()
            stop.set()
    return time.perf_counter() - wished


def command(argv: list[str]) -> int:
    """``python -m rft bench chat [--runs 3] [--rounds 20] [--chats 200] [--out FILE]``"""
    parser = argparse.ArgumentParser(prog="python -m rft bench chat", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="starts of the app")
    parser.add_argument("--rounds", type=int, default=20, help="replies streamed either way")
    parser.add_argument("--chats", type=int, default=200, help="chats for the memory figure")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, dict[str, Any]] = {
            "start": start_up(args.runs, Path(folder)),
            "stream": streaming(args.rounds),
            "memory": memory(args.chats, Path(folder)),
        }
    for name, values in found.items():
        print(name)
        for key, value in values.items():
            print(f"  {key:<22}{'-' if value is None else f'{value:.3f}'}")
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0

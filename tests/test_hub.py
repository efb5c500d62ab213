"""The Hub: a small real server on this machine plays it, a real client downloads from it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from rft import hub, policy
from rft.errors import CheckpointError
from rft.types import Decoding, Turn

SHA = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """The handful of addresses that a download asks. ``folder`` holds owner/name/files."""

    folder: Path
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repo = self.folder / "/".join(parts[2:4] if api else parts[:2])
        if repo.parent.name == "gated" and not api:
            self.reply(403, b"", {"X-Error-Code": "GatedRepo"})
        elif len(parts) < 2 or not repo.is_dir():
            self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif api:
            files = [f for f in sorted(repo.rglob("*")) if f.is_file()]
            self.reply(200, json.dumps(self.told(repo, files, "tree" in parts)).encode())
        elif (file := repo.joinpath(*parts[4:])).is_file():
            body = file.read_bytes()
            tag = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": SHA}
            self.reply(200, body, tag)
        else:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})

    def told(self, repo: Path, files: list[Path], tree: bool) -> object:
        names = [(file.relative_to(repo).as_posix(), file.stat().st_size) for file in files]
        if tree:
            return [{"type": "file", "path": n, "size": s, "oid": SHA} for n, s in names]
        siblings = [{"rfilename": n, "size": s} for n, s in names]
        return {"id": "/".join(repo.parts[-2:]), "sha": SHA, "siblings": siblings}

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body) if self.command == "GET" else 0, 2**16):
            if "/slow/" in self.path:
                time.sleep(0.05)
            self.wfile.write(body[start : start + 2**16])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def repositories(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server publishes: owner/name folders made of the tiny checkpoint."""
    root = tmp_path_factory.mktemp("published")

    def publish(repo: str, *names: str, **texts: str) -> None:
        (root / repo).mkdir(parents=True)
        for name in names:
            (root / repo / name).write_bytes((tiny / name).read_bytes())
        for name, text in texts.items():
            (root / repo / name.replace("__", ".")).write_text(text)

    weights, lent = (
        ("config.json", "model.safetensors"),
        ("tokenizer.json", "tokenizer_config.json"),
    )
    lent += ("preprocessor_config.json", "chat_template.jinja")
    publish("some/whole", *weights, *lent, run__py="print()", pytorch_model__bin="pickle")
    (root / "some/whole/old").mkdir()
    (root / "some/whole/old/model.safetensors").write_text("an optimizer's")
    publish("some/bare", *weights)
    publish("some/pickled", "config.json", pytorch_model__bin="pickle")
    publish("some/llama", config__json='{"model_type": "llama"}')
    publish("some/slow", *weights, *lent)
    publish("gated/model", *weights, *lent)
    publish("Qwen/Qwen2-VL-2B-Instruct", *weights, *lent)
    return root


@pytest.fixture(scope="module")
def server(repositories: Path) -> Iterator[str]:
    Handler.folder = repositories
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


SCRIPT = """
import sys, threading
from huggingface_hub import constants
from rft import hub, zoo
from rft.errors import StudioError
constants.DOWNLOAD_CHUNK_SIZE = 2**16  # the client looks up once a piece

def abandon(repo):
    download = hub.fetch(repo)
    while not next(download).done:
        pass
    thread, = (t for t in threading.enumerate() if t.name.startswith("download"))
    download.close()
    thread.join(3)
    print("running" if thread.is_alive() else "ended", hub.snapshot(repo))

ROUNDS = {
    "fetch": lambda repo: print(*(f"{p.message} | {p.done}" for p in hub.fetch(repo, "qwen2_vl")), sep="\\n"),
    "abandon": abandon,
    "card": lambda repo: print(zoo.card_for(repo)),
    "state": lambda repo: print(zoo.state(zoo.card_for(repo)).kind),
    "files": lambda repo: print(*sorted(f.name for f in hub.snapshot(repo).rglob("*"))),
}
for word, repo in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        ROUNDS[word](repo)
    except StudioError as error:
        print(f"{type(error).__name__}: {error}")
"""


def client(home: Path, endpoint: str, *words: str, **environment: str) -> list[str]:
    """Lines printed by a process of its own: the client reads its environment once."""
    own = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", **environment}
    own |= {"HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        env={**os.environ, **own}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()


def test_a_download_with_progress_and_nothing_but_safetensors_and_text(
    server: str, tmp_path: Path
) -> None:
    lines = client(tmp_path, server, "state", "some/whole", "fetch", "some/whole")
    state, *progress = lines
    assert state == "download"
    assert any("some/whole: " in line and "of 10.6 MB" in line for line in progress), progress
    again = ("files", "some/whole", "state", "some/whole")
    lines = client(tmp_path, server, *again, HF_HUB_OFFLINE="1")
    assert lines[0].split() == [
        "chat_template.jinja", "config.json", "model.safetensors", "preprocessor_config.json",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert lines[1:] == ["cached"]


def test_processor_files_come_from_the_base(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(tmp_path, server, "fetch", "some/bare")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert policy.load("some/bare").complete([[Turn("user", "?")]], Decoding(max_new_tokens=3))
    base = tmp_path / "hub" / "models--Qwen--Qwen2-VL-2B-Instruct"
    assert not list(base.rglob("*.safetensors"))  # its weights are nobody's business here


@pytest.mark.parametrize(
    ("repo", "told"),
    [
        ("some/nothing", "The Hub knows no some/nothing"),
        ("some/pickled", "publishes no safetensors"),
        ("gated/model", "is gated: accept its terms"),
    ],
)
def test_what_the_hub_refuses(server: str, tmp_path: Path, repo: str, told: str) -> None:
    assert told in client(tmp_path, server, "fetch", repo)[-1]


def test_cards_of_typed_hub_ids(server: str, tmp_path: Path) -> None:
    whole, llama, missing, gated = client(
        tmp_path, server, "card", "some/whole", "card", f"{server}/some/llama",
        "card", "some/nothing", "card", "gated/model",
    )  # fmt: skip
    assert "family='qwen2_vl'" in whole
    assert "There is no folder" in llama  # an address that is not the Hub's
    assert "knows no some/nothing" in missing
    assert "is gated" in gated
    (llama,) = client(tmp_path, server, "card", "https://huggingface.co/some/llama/")
    assert "some/llama is a llama checkpoint" in llama


def test_no_network_and_no_space(server: str, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9"
    (line,) = client(tmp_path, closed, "card", "some/whole")
    assert "not reachable: check the network" in line
    assert "not reachable" in client(tmp_path, closed, "fetch", "some/whole")[-1]
    (line,) = client(tmp_path, closed, "card", "some/whole", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set: unset it" in line


def test_an_abandoned_download_ends(server: str, tmp_path: Path) -> None:
    assert client(tmp_path, server, "abandon", "some/slow") == ["ended None"]
    (line,) = client(tmp_path, server, "state", "some/slow")
    assert line == "download"


def test_a_full_disk_is_said_before_the_download() -> None:
    with pytest.raises(CheckpointError, match=r"needs 1000000.0 GB more on disk .* GB free"):
        hub.check_space("some/whole", 10**15)

"""A stand-in for the Hub's HTTP interface on 127.0.0.1: as much of it as an upload needs.

Who owns what decides how it answers: see ``Hub``. It keeps what was uploaded and every request's
token, so that a test can look at both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "hf_stand_in_secret"


class Hub:
    """``files``: repository -> path -> bytes. The owner "others" is nobody's to write to."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {
            "me/taken": {".gitattributes": b"", "model.safetensors": b"x"},
            "me/empty": {".gitattributes": b""},
        }
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of one request; status 0 breaks the connection off."""
        parts = path.strip("/").split("/")
        if method == "HEAD":
            return 200, {}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            text = json.loads(body)["content"]
            front = yaml.safe_load(text.split("---")[1])
            good = isinstance(front, dict) and isinstance(front["tags"], list)
            return (200, {"errors": [], "warnings": []}) if good else (400, {"errors": ["yaml"]})
        if parts[:2] == ["api", "models"] and len(parts) >= 6:
            return self._model("/".join(parts[2:4]), parts[4], body)
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {
                "transfer": "basic",
                "objects": list(map(self._slot, json.loads(body)["objects"])),
            }
        if parts[0] == "lfs" and method == "PUT":
            self.large[parts[1]] = body
            return 200, {}
        if path == "/verify":
            told = json.loads(body)
            return (200 if len(self.large[told["oid"]]) == told["size"] else 400), {}
        return 404, {"error": f"the stand-in knows no {method} {path}"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        repo = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "others":
            return 403, {"error": "Forbidden"}
        if asked["organization"] == "busy":
            return 429, {"error": "Too many requests"}
        if repo in self.files:
            return 409, {"error": "You already created this model repo"}
        self.files[repo] = {".gitattributes": b""}
        self.private[repo] = asked.get("private", asked.get("visibility") == "private")
        return 200, {"url": f"{self.address}/{repo}"}

    def _model(self, repo: str, what: str, body: bytes) -> tuple[int, Any]:
        if what == "tree":
            found = self.files[repo].items()
            return 200, [
                {"type": "file", "path": p, "size": len(b), "oid": "0" * 40} for p, b in found
            ]
        if what == "preupload":
            asked = json.loads(body)["files"]
            return 200, {"files": [
                {"path": f["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                for f in asked
            ]}  # fmt: skip
        if what == "commit":
            if repo == "me/breaks":
                return 0, {}
            for line in body.splitlines():
                item = json.loads(line)
                value = item["value"]
                if item["key"] == "file":
                    self.files[repo][value["path"]] = base64.b64decode(value["content"])
                elif item["key"] == "lfsFile":
                    self.files[repo][value["path"]] = self.large[value["oid"]]
            return 200, {"commitUrl": f"{self.address}/{repo}/commit/1", "commitOid": "1" * 40}
        return 404, {"error": what}

    def _slot(self, item: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.address}/lfs/{item['oid']}"}
        return {**item, "actions": {"upload": upload, "verify": {"href": f"{self.address}/verify"}}}


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.split("?")[0]
            hub.asked.append(f"{self.command} {path}")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            known = token == TOKEN or self.command in ("HEAD", "PUT")
            refused = 401, {"error": "Invalid username or password."}
            status, told = hub.answer(self.command, path, body) if known else refused
            if status == 0:
                self.close_connection = True
                return
            text = b"" if self.command == "HEAD" else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("ETag", hashlib.sha256(text).hexdigest())
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_HEAD = _serve

    return Handler

"""A server of the OpenAI chat interface, in a process of its own: ``python endpointserver.py``.

It prints its address and serves until its standard input closes. Which model is asked for
decides how it answers: "tiny" is the bundled counting checkpoint through rft.policy, "script"
says a fixed reply word by word, and the others fail, each in its own way. ``/log`` tells what was
asked, by whom, and how many at once.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = "<think>Two cubes ,  one ball.</think><answer>3</answer>"
KEY = "sk-loopback-secret"
#: What some models answer before anything is said: status, JSON (or text), headers.
NO: dict[str, tuple[int, Any, dict[str, str]]] = {
    "404": (404, {"error": {"message": "The model `404` does not exist.", "code": 404}}, {}),
    "path": (404, {"detail": "Not Found"}, {}),
    "429": (429, {"error": {"message": "Rate limit reached."}}, {"Retry-After": "7"}),
    "long": (400, {"object": "error", "message": "This model's maximum context length is 2048 "
             "tokens. However, you requested 9000 tokens.", "code": 400}, {}),
    "two": (400, {"error": {"message": "At most 1 image(s) may be provided in one prompt."}}, {}),
    "500": (500, {"error": {"message": f"CUDA error, says {KEY}", "code": 500}}, {}),
    "html": (200, "<html>a login page</html>", {"Content-Type": "text/html"}),
}  # fmt: skip


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()  # of what is counted
        self.desk = threading.Lock()  # of the checkpoint
        self.asked: list[dict[str, Any]] = []
        self.left: list[str] = []  # models whose listener went away before the end
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.policy: Any = None

    def answer(self, body: dict[str, Any]) -> Any:
        """The tiny checkpoint's chunks."""
        from bundled import COUNTING
        from PIL import Image

        from rft import policy
        from rft.types import Decoding, Turn

        def turn(message: dict[str, Any]) -> Turn:
            content = message["content"]
            if isinstance(content, str):
                return Turn(message["role"], content)
            urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
            data = [base64.b64decode(url.partition("base64,")[2]) for url in urls]
            pictures = tuple(Image.open(io.BytesIO(one)).convert("RGB") for one in data)
            return Turn(message["role"], content[-1]["text"], pictures)

        decoding = Decoding(
            temperature=body["temperature"], top_p=body["top_p"], top_k=max(body["top_k"], 0),
            max_new_tokens=body["max_tokens"], seed=body.get("seed"),
        )  # fmt: skip
        with self.desk:
            if self.policy is None:
                self.policy = policy.load(COUNTING[-1].where)
            turns = [turn(message) for message in body["messages"]]
            yield from self.policy.stream(turns, decoding, threading.Event())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/log":
            told = {"asked": self.server.asked, "left": self.server.left, "most": self.server.most}
            self._reply(200, told)
        elif self.path == "/v1/models":
            self._reply(200, {"data": [{"id": "tiny"}, {"id": "script"}]})
        else:
            self._reply(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model, server = body["model"], self.server
        bearer = self.headers.get("Authorization", "")
        server.asked.append({"path": self.path, "authorization": bearer, "body": body})
        if model == "locked" and bearer != f"Bearer {KEY}":
            return self._reply(401, {"error": {"message": f"Incorrect key: {bearer}"}})
        if model == "elsewhere":
            where = f"http://localhost:{server.server_port}/v1/chat/completions"
            return self._reply(307, {}, {"Location": where})
        if model == "plain":
            message = {"role": "assistant", "content": SCRIPT}
            whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
            return self._reply(200, {**whole, "usage": {"completion_tokens": 9}})
        if model == "strict" and (odd := [n for n in ("top_k", "stream_options") if n in body]):
            return self._reply(
                400, {"error": {"message": f"Unrecognized request argument: {odd[0]}"}}
            )
        times = sum(a["body"]["model"] == model for a in server.asked)
        if model in ("busy", "gateway") and times < 3:
            status = 503 if model == "busy" else 502
            return self._reply(status, {"error": "starting"}, {"Retry-After": "0"})
        if model == "flaky" and times > 1 and times % 2 == 0:
            self.close_connection = True
            return self.connection.close()
        if model == "picky" and "refuse" in json.dumps(body["messages"]):
            return self._reply(*NO["long"])
        if model in NO:
            return self._reply(*NO[model])
        self._stream(model, body)

    def _stream(self, model: str, body: dict[str, Any]) -> None:
        server = self.server
        with server.lock:
            server.now[model] += 1
            server.most[model] = max(server.most[model], server.now[model])
        try:
            if model == "silent":
                time.sleep(60)
            self._begin(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
            self._say({"role": "assistant", "content": ""})
            if self._speak(model, body):
                self._data("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            server.left.append(model)
            self.close_connection = True
        finally:
            with server.lock:
                server.now[model] -= 1

    def _speak(self, model: str, body: dict[str, Any]) -> bool:
        """The chunks of a reply; whether it says that it has ended."""
        counting = bool(body.get("stream_options"))
        if model == "tiny":
            for chunk in self.server.answer(body):
                end = {"eos": "stop", "length": "length", None: None}[chunk.finish]
                self._say({"content": chunk.text}, end, chunk.tokens if counting else None)
        elif model == "endless":
            while True:
                self._say({"content": "word "})
                time.sleep(0.05)
        elif model == "reasoner":
            for word in ("Two cubes", ", one ball."):
                self._say({"reasoning_content": word})
            self._say({"content": "<answer>3</answer>"}, "stop")
        elif model == "cut":
            self._say({"content": "<think>One"}, "length", 1)
        elif model == "filter":
            self._say({"content": "<think>One"}, "content_filter")
        elif model == "unicode":  # as bytes that are cut anywhere, with line ends of text in them
            text = json.dumps({"choices": [{"delta": {"content": "½\u2028é\x85日本"}}]},
                              ensure_ascii=False)  # fmt: skip
            for byte in f": ping\r\n\r\ndata: {text}\r\n\r\n".encode():
                self._chunk(bytes([byte]))
            self._say({}, "stop")
        else:
            for place, word in enumerate(SCRIPT.split(" ")):
                self._say({"content": word if not place else f" {word}"})
                if model == "slow":
                    time.sleep(0.05)
                if model == "dies" and place == 1:
                    self.wfile.flush()
                    self.connection.close()
                    raise BrokenPipeError
                if model == "ends" and place == 1:
                    return False
                if model == "garbage" and place == 1:
                    self._data("{oops")
                if model == "trouble" and place == 1:
                    self._data(json.dumps({"error": {"message": "Engine died", "code": 500}}))
            self._say({}, "stop")
            if counting and model != "uncounted":
                self._data(json.dumps({"choices": [], "usage": {"completion_tokens": 21}}))
        return True

    def _say(
        self, delta: dict[str, str], end: str | None = None, tokens: int | None = None
    ) -> None:
        event: dict[str, Any] = {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        if tokens is not None:
            event["usage"] = {"completion_tokens": tokens}
        self._data(json.dumps(event))

    def _data(self, text: str) -> None:
        self._chunk(f"data: {text}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _reply(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        text = told.encode() if isinstance(told, str) else json.dumps(told).encode()
        kind = {"Content-Type": "application/json", "Content-Length": str(len(text))}
        self._begin(status, {**kind, **(headers or {})})
        self.wfile.write(text)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def main() -> None:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()

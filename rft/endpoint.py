"""A checkpoint that a server answers for: the faces of rft.policy.Policy without any weights.

It asks and listens. Which card has a server is told by the zoo, the server's language by
rft.dialect, what went wrong by rft.refusals. The key goes to the card's own address and nowhere
else: no redirect is followed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from rft.address import Address
from rft.answering import left_out
from rft.cards import Card
from rft.dialect import Events, Garbage, Hearing, Refused, refusal, request, unknown_field
from rft.errors import InputError, StudioError
from rft.refusals import failed, refused
from rft.types import Chunk, Decoding, Turn

_LOOK_S = 0.02  # between two looks at whether anybody still listens
_CLOSING_S = 2.0  # for a connection to close
#: A server that is busy may let one wait long before its first token.
_PATIENCE = httpx.Timeout(10.0, read=300.0, write=60.0, pool=None)
_TRIES = 6  # of a question of a set while the server has trouble that passes
_PARDONED = 5  # failures one after the other, beside those under way
_LONGEST_PAUSE_S = 30.0
_ERROR_BYTES = 65_536  # read of what a server says no with
_PASSING = (429, 502, 503, 504)  # busy, starting, or behind a gateway that thinks it gone
_TROUBLE = (Refused, Garbage, httpx.HTTPError, httpx.InvalidURL)


def of(card: Card) -> Served | None:
    """The server that answers for a card; None where its files do."""
    return None if card.endpoint is None else Served(card.title, card.endpoint)


class Served:
    """A served checkpoint. Holds no weights, no connection and no key."""

    def __init__(self, name: str, address: Address):
        self.name, self.address = name, address
        self._left_out: set[str] = set()  # optional fields that this server does not know

    def stream(
        self, turns: Sequence[Turn], decoding: Decoding, stop: threading.Event
    ) -> Iterator[Chunk]:
        """Answer the last turn, piece by piece; the last Chunk says why it ended.

        Setting ``stop``, or closing the iterator, closes the connection at once, also before
        the first token: the server then leaves off by itself. Raises InputError and
        CheckpointError; the pieces that came before stand.
        """
        start = time.perf_counter()
        body = request(turns, decoding, self.address.model, decoding.seed)
        hearing = Hearing(decoding.max_new_tokens)
        said: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def chunk(piece: str, finish: Any = None) -> Chunk:
            seconds = time.perf_counter() - start
            return Chunk(piece, hearing.tokens, seconds, finish, hearing.counted)

        async def work() -> None:
            async with self._client(1) as client:
                await self._ask(client, body, hearing, lambda piece: said.put(chunk(piece)))

        yield from _heard(work, said, stop, f"answer {self.name}")
        yield chunk("", hearing.finish or "stop")

    def answers(
        self,
        asked: Sequence[Sequence[Turn]],
        decoding: Decoding,
        seeds: Sequence[int],
        stop: threading.Event,
    ) -> Iterator[dict[int, str]]:
        """The completions of many conversations by their places, each as it is whole.

        At most ``address.at_once`` are under way. A server that is busy, or drops a connection
        though it has answered before, is asked again after a while. A question that is refused or
        fails all the same is left out, and a StudioError tells of it when the others are answered.
        It ends all at once where the server cannot be asked at all, or fails time after time.
        Once ``stop`` is set, what is under way is broken off and not given.
        """
        said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        door = asyncio.Semaphore(self.address.at_once)
        faults: list[StudioError] = []
        answered = row = 0  # questions; and failures of the server since the last of them

        async def one(client: httpx.AsyncClient, place: int) -> None:
            nonlocal answered, row
            async with door:
                # In a thread: pictures are encoded while others are answered.
                model, seed = self.address.model, seeds[place]
                try:
                    body = await asyncio.to_thread(request, asked[place], decoding, model, seed)
                    text = await self._insist(client, body, decoding, lambda: answered > 0)
                except _TROUBLE as trouble:
                    faults.append(fault := await self._fault(client, trouble, begun=False))
                    if isinstance(fault, InputError):
                        return  # it is this question's: others may pass
                    row += 1
                    passing = isinstance(trouble, Refused) and trouble.status >= 500
                    if row > _PARDONED + self.address.at_once or not (passing or answered):
                        raise fault from None
                except InputError as fault:  # a picture that is gone, or damaged
                    faults.append(fault)
                else:
                    answered, row = answered + 1, 0
                    said.put({place: text})

        async def work() -> None:
            async with self._client(self.address.at_once) as client:
                tasks = [asyncio.create_task(one(client, place)) for place in range(len(asked))]
                try:
                    await asyncio.gather(*tasks)
                finally:
                    for task in tasks:
                        task.cancel()

        yield from _heard(work, said, stop, f"answers {self.name}")
        if faults and not stop.is_set():
            raise left_out(faults, len(asked))

    def _client(self, connections: int) -> httpx.AsyncClient:
        key = self.address.key
        return httpx.AsyncClient(
            headers={
                "Accept-Encoding": "identity",  # what packs a stream also holds it back
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
            timeout=_PATIENCE,
            limits=httpx.Limits(max_connections=connections),
            follow_redirects=False,
            trust_env=not _loopback(self.address.base),  # no proxy is between us and ourselves
        )

    async def _ask(
        self,
        client: httpx.AsyncClient,
        body: dict[str, Any],
        hearing: Hearing,
        hear: Callable[[str], None],
    ) -> None:
        """One question to its end. StudioError says what went wrong."""
        try:
            await self._converse(client, body, hearing, hear)
        except _TROUBLE as trouble:
            raise await self._fault(client, trouble, begun=bool(hearing.text)) from None

    async def _insist(
        self,
        client: httpx.AsyncClient,
        body: dict[str, Any],
        decoding: Decoding,
        alive: Callable[[], bool],
    ) -> str:
        """A question's whole reply, asked for again while that may help; else what _TROUBLE names.

        ``alive``: whether the server is known to answer, so that a lost connection may come back.
        """
        for attempt in range(1, _TRIES + 1):
            hearing = Hearing(decoding.max_new_tokens)
            try:
                await self._converse(client, body, hearing, lambda _: None)
                break
            except _TROUBLE as trouble:
                if attempt == _TRIES or not _passes(trouble, alive()):
                    raise
                wait = trouble.wait if isinstance(trouble, Refused) else None
            await asyncio.sleep(min(wait or 2.0 ** (attempt - 1), _LONGEST_PAUSE_S))
        return hearing.text

    async def _fault(
        self, client: httpx.AsyncClient, trouble: Exception, *, begun: bool
    ) -> StudioError:
        if isinstance(trouble, Refused):
            names = await self._names(client) if trouble.status == 404 else []
            return refused(self.address, trouble, names)
        return failed(self.address, trouble, begun=begun)

    async def _converse(
        self,
        client: httpx.AsyncClient,
        body: dict[str, Any],
        hearing: Hearing,
        hear: Callable[[str], None],
    ) -> None:
        while True:
            asked = {name: body[name] for name in body if name not in self._left_out}
            url = f"{self.address.base}/chat/completions"
            async with client.stream("POST", url, json=asked) as response:
                if response.status_code == 200:
                    return await _listen(response, hearing, hear)
                no = await _no(response)
            strange = unknown_field(no, asked)
            if strange is None:
                raise no
            self._left_out.add(strange)

    async def _names(self, client: httpx.AsyncClient) -> list[str]:
        """The models that the server knows, for a sentence; none where it does not say."""
        try:
            answer = await client.get(f"{self.address.base}/models", timeout=5.0)
            return [str(model["id"])[:60] for model in answer.json()["data"][:5]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, IndexError):
            return []


def _passes(trouble: Exception, alive: bool) -> bool:
    """Whether to ask again. Whoever has said nothing for minutes is not waited for once more."""
    if isinstance(trouble, Refused):
        return trouble.status in _PASSING
    lost = isinstance(trouble, httpx.TransportError)
    return alive and lost and not isinstance(trouble, httpx.ReadTimeout)


async def _listen(response: httpx.Response, hearing: Hearing, hear: Callable[[str], None]) -> None:
    kind = response.headers.get("content-type", "")
    if "json" in kind:  # a server that does not stream
        hear(hearing.hear((await response.aread()).decode("utf-8", "replace")))
        hearing.done = True
    elif "event-stream" not in kind:
        raise Garbage(f"a reply of the type {kind[:40] or 'unknown'}")
    else:
        events = Events()
        async for received in response.aiter_bytes():
            for data in events.feed(received):
                if piece := hearing.hear(data):
                    hear(piece)
            if hearing.done:
                break
    if hearing.finish is None and not hearing.done:
        raise httpx.RemoteProtocolError("The stream ended before the reply did.")
    hearing.finish = hearing.finish or "eos"


async def _no(response: httpx.Response) -> Refused:
    """What a response that is no reply says."""
    status = response.status_code
    if 300 <= status < 400:
        return Refused(status, urlsplit(response.headers.get("location", "")).netloc)
    read = b""
    async for part in response.aiter_bytes():
        read += part
        if len(read) > _ERROR_BYTES:
            break
    text = read[:_ERROR_BYTES].decode("utf-8", "replace")
    try:
        no = refusal(httpx.Response(status, text=text).json(), status)
    except (ValueError, RecursionError):
        no = Refused(status, "" if "<" in text else " ".join(text.split())[:200])
    wait = response.headers.get("retry-after", "")
    no.status, no.wait = status, float(wait) if wait.isdigit() else None
    return no


def _heard(
    work: Callable[[], Coroutine[Any, Any, None]],
    said: queue.SimpleQueue[Any],
    stop: threading.Event,
    name: str,
) -> Iterator[Any]:
    """What ``work`` puts into ``said`` from a thread of its own, until it ends or is stopped.

    The connection is closed by then, or within a moment where whoever reads has gone.
    """
    gone = threading.Event()

    async def main() -> None:
        try:
            await _until(lambda: stop.is_set() or gone.is_set(), work())
            said.put(None)
        except BaseException as error:  # the thread's outermost frame: raised by the reader
            said.put(error)

    threading.Thread(target=lambda: asyncio.run(main()), name=name, daemon=True).start()
    try:
        while (got := said.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got
    finally:
        gone.set()


async def _until(stopped: Callable[[], bool], work: Awaitable[None]) -> None:
    """Do it, or break it off as soon as ``stopped``."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            if stopped():
                return
            await asyncio.wait({task}, timeout=_LOOK_S)
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSING_S)


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

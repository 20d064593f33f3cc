"""HTTP on loopback for the stand-ins: one handler, a function from Request to Answer, served over a real socket.

Owns the socket, the thread and the bytes; knows nothing of Nexus or Vault.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: `path` percent-decoded, `raw_path` as sent, header names in lower case."""

    method: str
    path: str
    raw_path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in order, empty values kept."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    @property
    def form(self) -> list[tuple[str, str]]:
        """A urlencoded body's pairs in order, empty values kept; of any other body, none."""
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/x-www-form-urlencoded":
            return []
        return parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True)

    def cookie(self, name: str) -> str:
        """The first cookie of this name, empty where there is none."""
        for crumb in self.headers.get("cookie", "").split(";"):
            found, _, value = crumb.strip().partition("=")
            if found == name:
                return value
        return ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; a content type is sent only where a header names one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Server:
    """A handler being served, until `close`, which waits for it; `end` asks for that alone."""

    url: str
    port: int
    end: Callable[[], None]
    close: Callable[[], None]


class _Uvicorn(uvicorn.Server):
    """One that is told when to end, where uvicorn would look ten times a second."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._ending, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if not self.should_exit:
            await self._ending.wait()

    def end(self) -> None:
        """Of any thread, and more than once."""
        self.should_exit = True
        if self._loop:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._ending.set)


def serve(handler: Handler, port: int = 0, *, latency_s: float = 0.0) -> Server:
    """Serve `handler` on 127.0.0.1 in a thread of its own and return once it accepts connections.

    Port 0 means any free one; a port in use raises OSError. Handlers run one after the other, so each is atomic
    within this process. A request goes on when its client has left, as it does in the real servers.
    """
    # asyncio turns Nagle's algorithm off only where the protocol is named; on, it costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise

    async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        due = time.monotonic() + latency_s
        answer = handler(await _read(scope, receive))
        if latency_s:
            await asyncio.sleep(due - time.monotonic())
        with contextlib.suppress(OSError):  # the client may have gone; what it asked for is done all the same
            # uvicorn's own Date is up to a second older than the answer, and deletion times are held against it
            headers = {"date": formatdate(usegmt=True), "content-length": str(len(answer.body)), **answer.headers}
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    # h11, not httptools: the latter refuses Vault's LIST.
    config = uvicorn.Config(
        application,
        http="h11",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # its access log has whole URLs, and the exchange's has the client secret
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Uvicorn(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    bound = int(listener.getsockname()[1])

    def close() -> None:
        server.end()
        thread.join()
        listener.close()

    return Server(f"http://127.0.0.1:{bound}", bound, server.end, close)


@contextlib.contextmanager
def serving(handler: Handler, port: int = 0, *, latency_s: float = 0.0) -> Iterator[Server]:
    """`serve` for a with statement."""
    server = serve(handler, port, latency_s=latency_s)
    try:
        yield server
    finally:
        server.close()


async def _read(scope: Mapping[str, Any], receive: Receive) -> Request:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    raw_path = scope.get("raw_path") or scope["path"].encode()
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        method=scope["method"],
        path=scope["path"],
        raw_path=raw_path.decode("latin-1").partition("?")[0],
        query_string=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=bytes(body),
    )

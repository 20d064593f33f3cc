"""A proxy that stands between registrar and one service and can lose, delay or answer any request by itself."""

from __future__ import annotations

import http.client
import os
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What came back, or what the proxy says itself; `cut`: the connection ends in the middle of it."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    cut: bool = False


RESET: Final = Answer(0)
"""In place of an answer the connection is reset."""

_PATIENCE_S: Final = 60.0  # more than any client has


Action = Callable[["Proxy", Exchange], Answer | None]
"""What to do with a request; None closes the connection without a word."""


def lose(proxy: Proxy, exchange: Exchange) -> None:
    """The request never arrives, and the client hears nothing."""


def lose_answer(proxy: Proxy, exchange: Exchange) -> None:
    """The request does its work, and the client hears nothing."""
    proxy.forward(exchange)


def keep_for_later(proxy: Proxy, exchange: Exchange) -> None:
    """The client hears nothing; the request arrives when the test says so."""
    proxy.kept.append(exchange)


def reset(proxy: Proxy, exchange: Exchange) -> Answer:  # noqa: ARG001 (an Action's signature)
    """The request never arrives, and the connection is reset."""
    return RESET


def reset_answer(proxy: Proxy, exchange: Exchange) -> Answer:
    """The request does its work, and the connection is reset."""
    proxy.forward(exchange)
    return RESET


def stall(proxy: Proxy, exchange: Exchange) -> None:  # noqa: ARG001 (an Action's signature)
    """The request never arrives, and the client hears nothing for as long as it waits."""
    proxy.lifted.wait(_PATIENCE_S)


def stall_answer(proxy: Proxy, exchange: Exchange) -> None:
    """The request does its work, and the client hears nothing for as long as it waits."""
    proxy.forward(exchange)
    proxy.lifted.wait(_PATIENCE_S)


def stall_for_later(proxy: Proxy, exchange: Exchange) -> None:
    """The client hears nothing for as long as it waits; the request arrives when the test says so."""
    proxy.kept.append(exchange)
    proxy.lifted.wait(_PATIENCE_S)


def cut(proxy: Proxy, exchange: Exchange) -> Answer:
    """The request does its work, and the answer breaks off in the middle."""
    return replace(proxy.forward(exchange), cut=True)


def say(status: int, body: bytes = b"{}", **headers: str) -> Action:
    """The proxy answers by itself; the request never arrives."""

    def action(proxy: Proxy, exchange: Exchange) -> Answer:  # noqa: ARG001 (an Action's signature)
        return Answer(status, body, {"Content-Type": "application/json", **headers})

    return action


@dataclass
class Rule:
    method: str
    path: re.Pattern[str]
    action: Action
    times: int
    skip: int


class Proxy:
    """Forwards to `upstream` unless a rule says otherwise; `seen` is every request in order.

    `connections` is how many were accepted.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self.seen: list[Exchange] = []
        self.kept: list[Exchange] = []
        self.before: Callable[[Exchange], None] | None = None
        self.after: Callable[[Exchange, Answer], None] | None = None
        self.connections = 0
        self.keeps_alive = True
        self.lifted = threading.Event()
        self._port = socket.socket()  # never listens: the port stays ours while nobody does
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        self._server: ThreadingHTTPServer | None = None
        self.listen()
        self.url = f"http://127.0.0.1:{self._port.getsockname()[1]}"

    def listen(self) -> None:
        """Accept connections again after `refuse`."""
        if self._server:
            return
        self._server = ThreadingHTTPServer(self._port.getsockname(), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Refuse connections; those that are open stay so, unless `keeps_alive` is off."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def on(self, method: str, path: str, action: Action, *, times: int = 1, skip: int = 0) -> None:
        """Apply the action to the next `times` requests that match, after letting `skip` of them pass."""
        self._rules.append(Rule(method, re.compile(path), action, times, skip))

    def clear(self) -> None:
        """Forget rules, hooks and whatever came by, and serve as before."""
        self._rules.clear()
        self.seen, self.kept, self.before, self.after = [], [], None, None
        self.keeps_alive = True
        self.lifted.set()
        self.lifted = threading.Event()
        self.listen()

    def effects(self) -> list[str]:
        """The requests that change something, as METHOD path."""
        return [f"{e.method} {e.path.partition('?')[0]}" for e in self.seen if e.method not in ("GET", "HEAD", "LIST")]

    def forward(self, exchange: Exchange) -> Answer:
        """Send it on and bring the answer back."""
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        try:
            connection.request(exchange.method, exchange.path, exchange.body or None, exchange.headers)
            response = connection.getresponse()
            body = response.read()
            passed = {
                k: v
                for k, v in response.getheaders()
                if k.lower() not in ("connection", "content-length", "transfer-encoding")
            }
            return Answer(response.status, body, passed)
        finally:
            connection.close()

    def land(self) -> list[Answer]:
        """Let everything that was kept arrive now."""
        kept, self.kept = self.kept, []
        return [self.forward(exchange) for exchange in kept]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.lifted.set()
        self.refuse()
        self._port.close()

    def _decide(self, exchange: Exchange) -> Answer | None:
        if self.before:
            self.before(exchange)
        with self._lock:
            self.seen.append(exchange)
            action = self._action(exchange)
        answer = action(self, exchange) if action else self.forward(exchange)
        if self.after and answer and answer is not RESET:
            self.after(exchange, answer)
        return answer

    def _action(self, exchange: Exchange) -> Action | None:
        for rule in self._rules:
            if rule.method == exchange.method and rule.path.search(exchange.path):
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times:
                    rule.times -= 1
                    return rule.action
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one segment: apart, each answer waits 40 ms for a delayed ACK

            def setup(self) -> None:
                with proxy._lock:
                    proxy.connections += 1
                super().setup()

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return self._exchange
                raise AttributeError(name)

            def _exchange(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                hop = ("host", "connection", "content-length")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
                answer = proxy._decide(Exchange(self.command, self.path, headers, self.rfile.read(length)))
                self.close_connection = self.close_connection or not proxy.keeps_alive
                if answer is None or answer is RESET:
                    self.close_connection = True
                    if answer:
                        # without the shutdown that http.server begins with, whose FIN would come first
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        os.close(self.connection.detach())
                    return
                if answer.cut and not answer.body:
                    self.close_connection = True
                    self.wfile.write(f"HTTP/1.1 {answer.status} ".encode())
                    return
                # by hand, since send_response would add a second Date and Server
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                if not proxy.keeps_alive:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
                self.close_connection = self.close_connection or answer.cut

            def log_message(self, *args: object) -> None:
                pass

        return Handler

"""A socket that answers as it is told, for what no Vault does on demand: resets, pages of proxies, half an answer."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO

RESET = b"reset"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case; its repr is fit for a search for secrets."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


Script = Callable[[Seen], bytes]
"""The bytes to send for a request; RESET cuts the connection without an answer."""


@dataclass
class Wire:
    """A listening socket, what arrived at it, and how often somebody connected."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def hang(self, _: Seen) -> bytes:
        """A script that never answers, until the test is over."""
        self.released.wait(30)
        return RESET


def answer(status: int, body: object = None, *, keep: bool = False, **headers: str) -> bytes:
    """A whole answer; a body that is no str is sent as JSON."""
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    known = {"Content-Type": "application/json", "Date": formatdate(usegmt=True)}
    known |= {"Content-Length": str(len(text.encode())), "Connection": "keep-alive" if keep else "close"}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in (known | headers).items() if value]
    head = "\r\n".join([f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *lines])
    return f"{head}\r\n\r\n{text}".encode()


@contextlib.contextmanager
def listening(script: Script | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """Serve `script` (none: never answer) on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "https" if tls else "http"
        wire = Wire(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                wire.connections += 1
                thread = threading.Thread(target=_converse, args=(connection, wire, script or wire.hang, tls))
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield wire
        finally:
            wire.released.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def _converse(connection: socket.socket, wire: Wire, script: Script, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), connection:
        connection.settimeout(10)
        encrypted = tls.wrap_socket(connection, server_side=True) if tls else connection
        with encrypted, encrypted.makefile("rb") as stream:
            while (seen := _request(stream)) is not None:
                wire.seen.append(seen)
                said = script(seen)
                if said == RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                encrypted.sendall(said)
                if b"keep-alive" not in said:
                    return


def _request(stream: BinaryIO) -> Seen | None:
    line = stream.readline().decode().split()
    if len(line) != 3:
        return None
    headers = {}
    while text := stream.readline().decode().strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    return Seen(line[0], line[1], headers, stream.read(int(headers.get("content-length", 0))))

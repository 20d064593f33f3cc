"""Servers on loopback that answer byte for byte as told, for the failures that no stand-in has."""

from __future__ import annotations

import contextlib
import http
import json
import socket
import ssl
import struct
import subprocess
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path

Reply = bytes | Callable[[socket.socket], None]
"""What follows a request: bytes, then the end of the connection; or whatever a function does with the socket."""


def reply(status: int, content: object = "", content_type: str = "", **headers: str) -> bytes:
    """An HTTP answer; content that is not text is sent as JSON."""
    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    kind = content_type or ("text/plain; charset=utf-8" if isinstance(content, str) else "application/json")
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        *(f"{name}: {text}" for name, text in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reset(connection: socket.socket) -> None:
    """End the connection with a reset, as a crash of a server looks."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silence(connection: socket.socket) -> None:
    """Say nothing until the client has left."""
    connection.settimeout(10)
    with contextlib.suppress(OSError):
        connection.recv(1)


def drip(connection: socket.socket) -> None:
    """Send an answer that never ends, a byte at a time."""
    with contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.05)


class Wire:
    """Answers the requests in their order with these replies, then with the last one; keeps what was asked."""

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self._replies = list(replies)
        self._tls = tls
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def lines(self) -> list[str]:
        """The request lines so far, without the version of HTTP."""
        return [request.split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1") for request in self.requests]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                stack.callback(connection.close)
            request = _request(connection)
            if not request:
                return
            with self._lock:
                self.requests.append(request)
                answer = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection)


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and not received.startswith(b"\x16"):  # a handshake of TLS
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    """A port that refuses connections for as long as the block runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def certified(
    folder: Path, host: str = "IP:127.0.0.1", years: tuple[int, int] = (2020, 2049)
) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate of its own making for this host and these years, and its file."""
    config = folder / "ca.cnf"
    config.write_text(
        "[ca]\ndefault_ca=self\n[self]\npolicy=any\ndefault_md=sha256\nrand_serial=yes\nx509_extensions=names\n"
        f"database={folder}/index\nnew_certs_dir={folder}\n[any]\ncommonName=supplied\n"
        f"[names]\nsubjectAltName={host}\nbasicConstraints=CA:TRUE\n[req]\ndistinguished_name=dn\n[dn]\n"
    )
    (folder / "index").write_text("")
    key, request, made = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    _openssl("req", "-new", "-config", str(config), *new_key, "-subj", "/CN=test", "-out", str(request))
    dates = ["-startdate", f"{years[0]}0101000000Z", "-enddate", f"{years[1]}0101000000Z"]
    sign = ["-selfsign", "-batch", "-notext", "-keyfile", str(key), "-in", str(request), "-out", str(made)]
    _openssl("ca", "-config", str(config), *sign, *dates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context, made


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def everything_in(error: BaseException) -> str:
    """All that a log, a debugger or a rich traceback could show of an error: its chain, and what its frames hold."""
    shown, queue = [], [error]
    while queue:
        current = queue.pop()
        shown += [str(current), repr(current), repr(vars(current)), *traceback.format_exception(current)]
        shown += [repr(frame.f_locals) for frame, _ in traceback.walk_tb(current.__traceback__) if _ours(frame)]
        queue += [linked for linked in (current.__cause__, current.__context__) if linked is not None]
        assert not type(current).__module__.startswith(("urllib3", "http.client")), "another library's error is kept"
    return "\n".join(shown)


def _ours(frame: types.FrameType) -> bool:
    return "/registrar/" in frame.f_code.co_filename

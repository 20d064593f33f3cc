"""Callback: a server on the registered redirect URI, for the one request in which a browser brings the code.

Owns what is listened on, and what the browser is shown. Listens on loopback alone, knows one path, and never shows a
code; whether a callback is the right one is judged by whoever asked for it.
"""

from __future__ import annotations

import contextlib
import errno
import html
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

from registrar.errors import RegistrarError, StepFailed, UsageError
from registrar.flow import ForeignCallback
from registrar.uri import Uri

Judge = Callable[[str], object]
_PASTE: Final = "--paste, and copy the address that the browser ends at"


def listenable(redirect_uri: str) -> str:
    """Why nothing on this machine can listen on that redirect URI; nothing where it can."""
    uri = Uri.parse(redirect_uri)
    if not uri.loopback:
        return f"the redirect URI is at {uri.host}, and not on this machine"
    return "" if uri.scheme == "http" else "the redirect URI is https, which takes a certificate"


class Listener:
    """The open port of a redirect URI, until `close`."""

    def __init__(self, redirect_uri: str) -> None:
        if reason := listenable(redirect_uri):
            raise UsageError(reason, hint=_PASTE)
        uri = Uri.parse(redirect_uri)
        self._redirect_uri, self._path, self._port = redirect_uri, uri.path or "/", int(uri.port or 80)
        self._found: queue.Queue[str | RegistrarError] = queue.Queue()
        self._judge: Judge | None = None
        self._stray: Callable[[str], None] = lambda _: None
        self._servers: list[ThreadingHTTPServer] = []
        # a browser may take either address for localhost
        for host in ("127.0.0.1", "::1") if uri.host == "localhost" else (uri.host.strip("[]"),):
            self._open(host, optional=bool(self._servers))
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def _open(self, host: str, *, optional: bool) -> None:
        try:
            self._servers.append(self._server(host))
            return
        except OSError as error:
            if optional and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # a machine without IPv6
                return
            reason = error.strerror or str(error)
        for server in self._servers:
            server.server_close()
        raise UsageError(
            f"nothing can listen on {host} port {self._port}: {reason}",
            hint=f"end what listens there (the application itself?), or {_PASTE}",
        )

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def expect(self, judge: Judge, stray: Callable[[str], None]) -> None:
        """Let callbacks be judged from now on; `stray` is told of those that are not the answer to this flow."""
        self._judge, self._stray = judge, stray

    def wait(self, timeout_s: float) -> str:
        """The callback that passed, or the error of one that did not."""
        try:
            found = self._found.get(timeout=timeout_s)
        except queue.Empty:
            found = StepFailed(
                f"nobody came back to {self._redirect_uri} within {timeout_s:g} s: the sign-in was left or refused, or"
                " Nexus has refused the link, which its page in the browser then tells",
                hint="start again; --wait SECONDS gives more time",
            )
        if isinstance(found, RegistrarError):
            raise found
        return found

    def _server(self, host: str) -> ThreadingHTTPServer:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "registrar", ""
            timeout = 10  # a browser opens connections that it may never use

            def do_GET(self) -> None:
                status, title, text = listener._came(self.path)
                page = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
                self.send_response(status)
                for name, value in (
                    ("Content-Type", "text/html; charset=utf-8"),
                    ("Content-Length", str(len(page))),
                    ("Cache-Control", "no-store"),
                    ("Referrer-Policy", "no-referrer"),  # the address of this page has the code
                    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
                    ("Connection", "close"),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                """Nothing: a request line has the code."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                """Nothing: a browser that leaves is no news."""

        return Server((host, self._port), Handler)

    def _came(self, target: str) -> tuple[int, str, str]:
        """What to answer to a request: status, title and text."""
        if target.partition("?")[0] != self._path or self._judge is None:
            return 404, "Nothing is here", "A sign-in is awaited at another path."
        parts = urlsplit(self._redirect_uri)
        callback = f"{parts.scheme}://{parts.netloc}{target}"
        try:
            self._judge(callback)
        except ForeignCallback as error:
            self._stray(error.message)
            return 400, "This is another sign-in than the one awaited", error.message
        except StepFailed as error:
            self._found.put(error)
            return 400, "The sign-in did not work", error.message
        self._found.put(callback)
        return 200, "Signed in", "The rest is in the terminal. You can close this tab."


@contextlib.contextmanager
def listening(redirect_uri: str) -> Iterator[Listener]:
    """A Listener for a with statement."""
    listener = Listener(redirect_uri)
    try:
        yield listener
    finally:
        listener.close()


_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} - registrar</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0 1rem }}
main {{ max-width: 34rem }}
</style>
<main><h1>{title}</h1><p>{text}</p></main></html>
"""

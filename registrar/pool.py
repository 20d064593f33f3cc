"""Connections to a service by urllib3: kept, bounded, to its address directly or by a proxy.

Owns the pool, which certificates count, which proxy is used, and how long and how large an answer may be. Must never
follow a redirect or send anything twice, take anything from the surroundings, or log an address; knows nothing of what
is sent. The errors are urllib3's and hold the request, so that whoever catches one keeps its words at most.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from time import monotonic
from typing import Any, Final, NamedTuple, TypedDict
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ClosedPoolError,
    EmptyPoolError,
    HTTPError,
    InsecureRequestWarning,
    LocationValueError,
    ProxySchemeUnknown,
)
from urllib3.util import Retry, make_headers

from registrar.proxies import proxy_for

_CHUNK_BYTES: Final = 64 << 10
_ONCE: Final = Retry(False, redirect=False)

# urllib3 logs the address of each request, and with a warning that of an answer whose headers are odd: Nexus takes the
# client secret of an exchange in the query alone. A filter holds where whoever turns on logging would lift a level.
for _name in ("urllib3.connectionpool", "urllib3.connection"):
    logging.getLogger(_name).addFilter(lambda _: False)
# Whoever lets a certificate go unchecked has said so, and `doctor` tells it; a line of Python's would tell nobody more.
urllib3.disable_warnings(InsecureRequestWarning)


Trace = Callable[[str, str, int | None, float], None]
"""Told of every request: method, path with its Secrets masked, status or None without an answer, milliseconds."""


class Options(TypedDict, total=False):
    """How a client goes about it; what is left out is as its `Wire` has it.

    Without `tls` the system's certificates count; `proxies` are by scheme, and under `no` what is reached without one.
    """

    timeout_s: float
    tls: ssl.SSLContext | None
    trace: Trace | None
    proxies: Mapping[str, str] | None
    connections: int


class NotConnected(HTTPError):
    """No connection came about, so nothing was sent; `by_proxy` where it is the proxy that refuses or is away."""

    def __init__(self, cause: Exception, *, by_proxy: bool = False) -> None:
        super().__init__(cause)
        self.by_proxy = by_proxy


class Unfinished(HTTPError):
    """An answer that was given up before its end; the text says why."""


class Pool:
    """Connections to any number of servers, at most so many to each; safe to share between threads."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        server_name: str | None = None,
        proxies: Mapping[str, str] | None = None,
        connections: int = 1,
    ) -> None:
        self._proxies = dict(proxies or {})
        self._options: dict[str, Any] = {
            "maxsize": connections,
            "block": True,
            # by this context alone: the system's certificates and not certifi's, an agency's own are installed there
            "ssl_context": tls,
            "cert_reqs": tls.verify_mode,
        }
        if server_name:
            self._options["server_hostname"] = server_name
        self._managers: dict[str, PoolManager] = {}
        self._routes: dict[str, _Route] = {}
        self._choosing = threading.Lock()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, timeout_s: float
    ) -> BaseHTTPResponse:
        """The answer, whose content is yet to be read; OSError or urllib3's HTTPError where there is none."""
        scheme, _, rest = url.partition("://")
        host, _, target = rest.partition("/")
        route = self._route(f"{scheme}://{host}")
        return route.connections.urlopen(
            method,
            url if route.whole else f"/{target}",
            headers=headers,
            body=body,
            timeout=timeout_s,
            pool_timeout=timeout_s,  # type: ignore[arg-type]  # a queue takes parts of a second as well
            redirect=False,
            retries=_ONCE,
            assert_same_host=False,
            preload_content=False,
        )

    def close(self) -> None:
        """End the connections that nobody uses."""
        for route in self._routes.values():
            route.connections.close()

    def _route(self, origin: str) -> _Route:
        """The way to this server: chosen once, since every request of a run takes it."""
        with self._choosing:
            if origin not in self._routes:
                proxy = proxy_for(origin, self._proxies)
                if proxy not in self._managers:
                    self._managers[proxy] = self._manager(proxy)
                whole = bool(proxy) and origin.startswith("http:")  # a proxy is told where to, unless by a tunnel
                self._routes[origin] = _Route(self._managers[proxy].connection_from_url(origin), whole)
            return self._routes[origin]

    def _manager(self, proxy: str) -> PoolManager:
        if not proxy:
            manager = PoolManager(**self._options)
        else:
            try:
                manager = ProxyManager(proxy, proxy_headers=_identity(proxy), **self._options)
            except ProxySchemeUnknown as error:  # socks, which takes another library
                raise NotConnected(error, by_proxy=True) from None
        manager.pool_classes_by_scheme = {"http": _Plain, "https": _Encrypted}
        return manager


class _Route(NamedTuple):
    """Connections to one server, and whether requests name it as a whole address."""

    connections: HTTPConnectionPool
    whole: bool


@contextmanager
def _connecting(*, proxied: bool) -> Iterator[None]:
    """Tells what fails here from what fails later: urllib3 has the same errors for both."""
    try:
        yield
    except (OSError, HTTPException, HTTPError) as error:
        by_proxy = proxied and not isinstance(bottom(error), ssl.SSLError)
        raise NotConnected(error, by_proxy=by_proxy) from error


class _Ours:
    """What both kinds of connections do alike.

    A request leaves as a whole: where the body comes by itself, a server wakes up twice for each.
    """

    proxy: Any
    _head = b""
    _waits = False

    def connect(self) -> None:
        with _connecting(proxied=self.proxy is not None):
            super().connect()  # type: ignore[misc]

    def request(self, method: str, url: str, body: Any = None, *others: Any, **options: Any) -> None:
        self._head, self._waits = b"", bool(body)
        super().request(method, url, body, *others, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self._waits:
            self._head, self._waits = data, False
        else:
            head, self._head = self._head, b""
            super().send(head + data if head else data)  # type: ignore[misc]


class _PlainConnection(_Ours, HTTPConnection):
    pass


class _EncryptedConnection(_Ours, HTTPSConnection):
    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except ssl.SSLEOFError as error:
            # the server has left already; urllib3 then goes on to read why, as it does without TLS
            raise BrokenPipeError from error


class _Plain(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _Encrypted(HTTPSConnectionPool):
    ConnectionCls = _EncryptedConnection


def content(response: BaseHTTPResponse, limit_bytes: int, ends: float) -> bytes:
    """The whole body; Unfinished where it is longer, or goes on after this time on the monotonic clock.

    What has come to its end by then is taken, since it may be all there ever is of a secret. The connection goes back,
    or ends with what is left.
    """
    found, late = bytearray(), False
    try:
        # what has come, not a whole chunk: single reads are timed, so a server that drips would never run out of time
        while chunk := response.read1(_CHUNK_BYTES):
            if late:
                raise Unfinished("the answer did not end in time")
            found += chunk
            if len(found) > limit_bytes:
                raise Unfinished(f"the answer is longer than {limit_bytes >> 20} MiB")
            late = monotonic() > ends
    finally:
        response.close()
        response.release_conn()
    return bytes(found)


def unsent(error: BaseException) -> bool:
    """Whether it is certain that nothing left this machine."""
    return isinstance(error, (NotConnected, EmptyPoolError, ClosedPoolError, LocationValueError))


def bottom(error: BaseException) -> BaseException:
    """What lies beneath an error of urllib3, which keeps its cause as an argument, as `reason` or as Python does."""
    while True:
        known = (getattr(error, "reason", None), *error.args, error.__cause__)
        deeper = next((cause for cause in known if isinstance(cause, BaseException)), None)
        if deeper is None:
            return error
        error = deeper


def words(error: BaseException) -> str:
    """Why there is no answer, in words that hold nothing of the request."""
    cause = bottom(error)
    if isinstance(cause, Unfinished):
        return str(cause)
    if isinstance(cause, EmptyPoolError):
        return "all connections were busy"
    if isinstance(cause, TimeoutError):
        return "no connection in time" if unsent(error) else "no answer in time"
    if isinstance(cause, ssl.SSLError) and not unsent(error):
        return "the encrypted connection broke off"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror[:1].lower() + cause.strerror[1:]
    return "no connection" if unsent(error) else "the connection broke off"


def _identity(proxy: str) -> dict[str, str]:
    """Who we are to a proxy whose address says so."""
    there = urlsplit(proxy)
    if there.username is None:
        return {}
    return make_headers(proxy_basic_auth=f"{unquote(there.username)}:{unquote(there.password or '')}")

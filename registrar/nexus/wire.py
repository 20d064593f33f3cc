"""One HTTP exchange at a time with Nexus, bounded in time and size, whose failures are values.

Owns the connection pool, the opening of Secrets, repeats, and the trace. Must never follow a redirect (the token would
go along), never know what an answer means, and never let an exception of httpx out: those hold the request, and so the
token, the API secret or the client secret.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, LifoQueue
from time import monotonic, sleep
from typing import Final, TypedDict
from urllib.parse import quote, urlencode

import httpx

from registrar import __version__
from registrar.proxies import proxy_for
from registrar.secret import Secret, hide

Trace = Callable[[str, str, int | None, float], None]
"""Told of every request: method, path with its Secrets masked, status or None without an answer, milliseconds."""

Decode = Callable[[int, bytes], object]
"""Turns status and body into content, so that no raw body outlives the exchange."""

LIMIT_BYTES: Final = 64 * 2**20
PAUSES_S: Final = (0.2, 0.6)
"""The pauses between three tries."""

BUSY: Final = frozenset({429, 502, 503, 504})
"""The statuses by which a server or a gateway asks to come again."""

# httpcore logs headers and the URL of every request, and Nexus takes the client secret of an exchange in the query
# alone. A filter holds where a level would be lifted by whoever turns on logging.
for _name in ("httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno > logging.INFO)


_HEADERS: Final = {
    "Accept": "application/json",  # v2 answers a problem as an empty 500 to whoever does not accept JSON
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"registrar/{__version__}",
}


class Repeat(enum.Enum):
    """When a request may be sent again."""

    NEVER = enum.auto()
    UNSENT = enum.auto()  # only if no connection was made
    ALWAYS = enum.auto()  # it changes nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, decoded."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: object = field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer; `sent` unless it is certain that nothing left this machine."""

    reason: str
    sent: bool
    hint: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request before its Secrets are opened."""

    method: str
    path: str
    query: Mapping[str, str | Secret]
    body: Mapping[str, str | int | Secret] | None
    form: bool
    token: Secret | None
    last: Secret | None

    @property
    def secrets(self) -> list[Secret]:
        values = (self.token, self.last, *self.query.values(), *(self.body or {}).values())
        return [value for value in values if isinstance(value, Secret)]

    @property
    def shown(self) -> str:
        """The path and query with every Secret masked."""
        path = self.path if self.last is None else f"{self.path}{self.last}"
        return f"{path}?{urlencode(self.query, safe='*')}" if self.query else path


class Options(TypedDict, total=False):
    """How a client of Nexus goes about it; what is left out is as `Wire` has it.

    `verify` True trusts whom the system trusts; `proxies` are by scheme, and under `no` what is reached without one.
    """

    timeout_s: float
    verify: ssl.SSLContext | bool
    trace: Trace | None
    proxies: Mapping[str, str] | None
    connections: int


class Wire:
    """A pool of connections to one origin, for any number of threads."""

    def __init__(
        self,
        root: str,
        decode: Decode,
        *,
        timeout_s: float = 30.0,
        verify: ssl.SSLContext | bool = True,
        trace: Trace | None = None,
        proxies: Mapping[str, str] | None = None,
        connections: int = 64,
    ) -> None:
        self._root = root
        self._origin = "/".join(root.split("/")[:3])
        self._decode = decode
        self._timeout_s = timeout_s
        self._trace = trace
        # The system's certificates and not those of certifi: an agency's own CA is installed there.
        context = ssl.create_default_context() if verify is True else verify
        proxy = proxy_for(root, proxies or {})
        self._connections = _Connections(lambda: _connection(context, proxy), connections)

    def close(self) -> None:
        self._connections.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat,
        query: Mapping[str, str | Secret] | None = None,
        body: Mapping[str, str | int | Secret] | None = None,
        form: bool = False,
        token: Secret | None = None,
        last: Secret | None = None,
    ) -> Answer | Failure:
        """The last of at most three tries, all of them within the timeout.

        The body goes as JSON, or as a `form`; `last` is a final segment of the path that is not shown.
        """
        deadline = monotonic() + self._timeout_s
        pauses = iter(PAUSES_S)
        sent = _Sent(method, path, query or {}, body, form, token, last)
        while True:
            outcome = self._try(sent, deadline)
            pause = next(pauses, None)
            if pause is None or not _worth_repeating(outcome, repeat):
                return outcome
            pause = max(pause, _retry_after_s(outcome))
            if monotonic() + pause >= deadline:
                return outcome
            sleep(pause)

    def _try(self, sent: _Sent, deadline: float) -> Answer | Failure:
        began = monotonic()
        outcome: Answer | Failure
        try:
            with self._connections.one(deadline - began) as connection:
                request = self._request(sent, deadline - monotonic())
                outcome = self._exchange(connection, request, deadline, sent.secrets)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome = _failure(error)
        if isinstance(outcome, Failure):
            outcome = replace(outcome, origin=self._origin)
        if self._trace is not None:
            status = outcome.status if isinstance(outcome, Answer) else None
            with contextlib.suppress(OSError):  # a stderr that is gone must not cost the one answer to a create
                self._trace(sent.method, sent.shown, status, (monotonic() - began) * 1000)
        return outcome

    def _request(self, sent: _Sent, timeout_s: float) -> httpx.Request:
        headers = dict(_HEADERS)
        if sent.token is not None:
            headers["Authorization"] = f"Bearer {sent.token.reveal()}"
        content = None
        if sent.body is not None and sent.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode({name: _opened(value) for name, value in sent.body.items()}).encode()
        elif sent.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(sent.body, default=_opened).encode()
        return httpx.Request(
            sent.method,
            self._root + sent.path + ("" if sent.last is None else quote(sent.last.reveal(), safe="")),
            params={name: _opened(value) for name, value in sent.query.items()} or None,
            content=content,
            headers=headers,
            extensions={"timeout": httpx.Timeout(max(timeout_s, 0.001)).as_dict()},
        )

    def _exchange(
        self, connection: httpx.HTTPTransport, request: httpx.Request, deadline: float, sent: Sequence[Secret]
    ) -> Answer | Failure:
        response = connection.handle_request(request)
        try:
            body = bytearray()
            late = False
            for chunk in response.iter_bytes():
                # httpx times single reads, so a server that drips would never run out of time
                if late:
                    return Failure("the answer did not end in time", sent=True)
                body += chunk
                if len(body) > LIMIT_BYTES:
                    return Failure(f"the answer is longer than {LIMIT_BYTES >> 20} MiB", sent=True)
                late = monotonic() > deadline
        finally:
            response.close()
        content = bytes(body) if response.is_success else hide(bytes(body), sent)
        return Answer(response.status_code, response.headers, self._decode(response.status_code, content))


class _Connections:
    """The connections, at most so many and the last one used first, each a transport of httpx of its own.

    httpx's Client parses each address again, looks for cookies and lets the threads wait while it looks at every idle
    connection: as much work as the request is. It would follow redirects and read ~/.netrc, too.
    """

    def __init__(self, make: Callable[[], httpx.HTTPTransport], connections: int) -> None:
        self._make = make
        self._idle: LifoQueue[httpx.HTTPTransport | None] = LifoQueue()
        for _ in range(connections):
            self._idle.put(None)

    @contextlib.contextmanager
    def one(self, timeout_s: float) -> Iterator[httpx.HTTPTransport]:
        """A connection that nobody else uses meanwhile; PoolTimeout where none becomes free in time."""
        try:
            connection = self._idle.get(timeout=max(timeout_s, 0))
        except Empty:
            raise httpx.PoolTimeout("") from None
        try:
            connection = connection or self._make()
            yield connection
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """End the connections that nobody uses."""
        with contextlib.suppress(Empty):
            while True:
                if connection := self._idle.get_nowait():
                    connection.close()


def _connection(verify: ssl.SSLContext | bool, proxy: str) -> httpx.HTTPTransport:
    return httpx.HTTPTransport(
        verify=verify,
        trust_env=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        proxy=httpx.Proxy(proxy) if proxy else None,
    )


def _opened(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, str | int):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not sent")


def _worth_repeating(outcome: Answer | Failure, repeat: Repeat) -> bool:
    if isinstance(outcome, Answer):
        return repeat is Repeat.ALWAYS and outcome.status in BUSY
    return repeat is Repeat.ALWAYS or (repeat is Repeat.UNSENT and not outcome.sent)


def _retry_after_s(outcome: Answer | Failure) -> int:
    wanted = outcome.headers.get("retry-after", "") if isinstance(outcome, Answer) else ""
    return int(wanted) if wanted.isdecimal() and len(wanted) < 6 else 0


_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,  # raised while the proxy is asked for a tunnel
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

_ASK_OPERATOR: Final = "have the server's certificate put right; nothing was sent"
_CERTIFICATES: Final = {
    9: ("its certificate is not valid yet", "check the clock of this machine"),
    10: ("its certificate has expired", _ASK_OPERATOR),
    62: ("its certificate is for another host", "use the host name of the certificate in nexus_url"),
    64: ("its certificate is for another address", "use the host name of the certificate in nexus_url"),
}
"""By OpenSSL's X509_V_ERR number; every other one is a matter of trust."""


def _failure(error: httpx.HTTPError | httpx.InvalidURL) -> Failure:
    """What httpx says, in words that hold nothing of the request."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    sent = not isinstance(error, _UNSENT)
    if isinstance(cause, ssl.SSLCertVerificationError):
        untrusted = (
            f"its certificate is not trusted ({cause.verify_message})",
            "set NEXUS_CACERT to the file with the certificate of its CA",
        )
        reason, hint = _CERTIFICATES.get(cause.verify_code, untrusted)
        return Failure(f"TLS: {reason}", sent, hint)
    if isinstance(cause, ssl.SSLError):
        return Failure(
            f"TLS: {(cause.reason or 'no agreement').replace('_', ' ').lower()}",
            sent,
            "check https and the port in nexus_url; NEXUS_CACERT names the CA's certificate",
        )
    if isinstance(error, httpx.PoolTimeout):
        return Failure("all connections were busy", sent, "use fewer threads or a longer --timeout")
    if isinstance(error, httpx.TimeoutException):
        return Failure("no answer in time" if sent else "no connection in time", sent)
    if isinstance(error, httpx.ProxyError):
        return Failure("the proxy refuses", sent, "check HTTPS_PROXY and NO_PROXY")
    if isinstance(cause, OSError) and cause.strerror:
        return Failure(cause.strerror[:1].lower() + cause.strerror[1:], sent)
    return Failure("the connection broke off" if sent else "no connection", sent)

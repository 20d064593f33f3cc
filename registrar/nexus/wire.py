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
from typing import Final
from urllib.parse import quote, urlencode

import httpx

from registrar import __version__
from registrar.secret import Secret, hide
from registrar.uri import Uri

Trace = Callable[[str, str, int | None, float], None]
"""Told of every request: method, path with its Secrets masked, status or None without an answer, milliseconds."""

Decode = Callable[[int, bytes], object]
"""Turns status and body into content, so that no raw body outlives the exchange."""

LIMIT_BYTES: Final = 64 * 2**20
PAUSES_S: Final = (0.2, 0.6)
"""The pauses between three tries."""

BUSY: Final = frozenset({429, 502, 503, 504})
"""The statuses by which a server or a gateway asks to come again."""

# httpx logs the URL of every request, 0.23 at DEBUG and later ones at INFO, and Nexus takes the client secret of an
# exchange in the query alone; httpcore logs headers. A filter holds where a level would be lifted by whoever turns on
# logging.
for _name in ("httpx", "httpx._client", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(lambda record: record.levelno > logging.INFO)


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


class Wire:
    """A pool of connections to one origin, for any number of threads."""

    def __init__(
        self,
        root: str,
        decode: Decode,
        *,
        timeout_s: float,
        verify: ssl.SSLContext | bool,
        trace: Trace | None,
        connections: int,
    ) -> None:
        self._root = root
        self._origin = "/".join(root.split("/")[:3])
        self._decode = decode
        self._timeout_s = timeout_s
        self._trace = trace
        # The system's certificates and not those of certifi: an agency's own CA is installed there.
        context = ssl.create_default_context() if verify is True else verify
        self._clients = _Clients(lambda: _client(root, context), connections)

    def close(self) -> None:
        self._clients.close()

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
            with self._clients.one(deadline - began) as client:
                request = self._request(client, sent, deadline - monotonic())
                outcome = self._exchange(client, request, deadline, sent.secrets)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome = _failure(error)
        if isinstance(outcome, Failure):
            outcome = replace(outcome, origin=self._origin)
        if self._trace is not None:
            status = outcome.status if isinstance(outcome, Answer) else None
            with contextlib.suppress(OSError):  # a stderr that is gone must not cost the one answer to a create
                self._trace(sent.method, sent.shown, status, (monotonic() - began) * 1000)
        return outcome

    def _request(self, client: httpx.Client, sent: _Sent, timeout_s: float) -> httpx.Request:
        headers = {} if sent.token is None else {"Authorization": f"Bearer {sent.token.reveal()}"}
        content = None
        if sent.body is not None and sent.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode({name: _opened(value) for name, value in sent.body.items()}).encode()
        elif sent.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(sent.body, default=_opened).encode()
        return client.build_request(
            sent.method,
            self._root + sent.path + ("" if sent.last is None else quote(sent.last.reveal(), safe="")),
            params={name: _opened(value) for name, value in sent.query.items()} or None,
            content=content,
            headers=headers,
            timeout=max(timeout_s, 0.001),
        )

    def _exchange(
        self, client: httpx.Client, request: httpx.Request, deadline: float, sent: Sequence[Secret]
    ) -> Answer | Failure:
        response = client.send(request, stream=True)
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


class _Clients:
    """The connections, at most so many and the last one used first, each with a client of its own.

    One client for all of them looks at every idle connection before each request, and lets the threads wait for that.
    """

    def __init__(self, make: Callable[[], httpx.Client], connections: int) -> None:
        self._make = make
        self._idle: LifoQueue[httpx.Client | None] = LifoQueue()
        for _ in range(connections):
            self._idle.put(None)

    @contextlib.contextmanager
    def one(self, timeout_s: float) -> Iterator[httpx.Client]:
        """A client that nobody else uses meanwhile; PoolTimeout where none becomes free in time."""
        try:
            client = self._idle.get(timeout=max(timeout_s, 0))
        except Empty:
            raise httpx.PoolTimeout("") from None
        try:
            client = client or self._make()
            yield client
        finally:
            self._idle.put(client)

    def close(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                if client := self._idle.get_nowait():
                    client.close()


def _client(root: str, verify: ssl.SSLContext | bool) -> httpx.Client:
    return httpx.Client(
        verify=verify,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        # The environment's proxies count, but nobody's own machine is reached by one. httpx before 0.24 takes an
        # Authorization header from ~/.netrc too, where a request has none; so an Auth that does nothing is first.
        trust_env=not Uri.parse(root).loopback,
        auth=httpx.Auth(),
        follow_redirects=False,
        # v2 answers a problem as an empty 500 to whoever does not accept JSON.
        headers={"Accept": "application/json", "User-Agent": f"registrar/{__version__}"},
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

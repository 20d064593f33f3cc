"""One HTTP exchange at a time with Nexus, bounded in time and size, whose failures are values.

Owns the opening of Secrets, repeats, and the trace. Must never know what an answer means, and never let an exception of
urllib3 out: those hold the request, and so the token, the API secret or the client secret.
"""

from __future__ import annotations

import contextlib
import enum
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import Final
from urllib.parse import quote, urlencode

from urllib3.exceptions import EmptyPoolError, HTTPError

from registrar import __version__
from registrar.pool import NotConnected, Pool, Trace, bottom, content, unsent, words
from registrar.secret import Secret, hide
from registrar.tls import Tls, refusal

Decode = Callable[[int, bytes], object]
"""Turns status and body into content, so that no raw body outlives the exchange."""

LIMIT_BYTES: Final = 64 * 2**20
PAUSES_S: Final = (0.2, 0.6)
"""The pauses between three tries."""

BUSY: Final = frozenset({429, 502, 503, 504})
"""The statuses by which a server or a gateway asks to come again."""

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


class Wire:
    """A pool of connections to one origin, for any number of threads."""

    def __init__(
        self,
        root: str,
        decode: Decode,
        *,
        timeout_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        trace: Trace | None = None,
        proxies: Mapping[str, str] | None = None,
        connections: int = 64,
    ) -> None:
        self._root = root
        self._origin = "/".join(root.split("/")[:3])
        self._decode = decode
        self._timeout_s = timeout_s
        self._trace = trace
        self._pool = Pool(tls or Tls("NEXUS").context(), proxies=proxies, connections=connections)

    def close(self) -> None:
        self._pool.close()

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
            outcome = self._exchange(sent, deadline)
        except (OSError, HTTPError) as error:
            outcome = replace(_failure(error), origin=self._origin)
        if self._trace is not None:
            status = outcome.status if isinstance(outcome, Answer) else None
            with contextlib.suppress(OSError):  # a stderr that is gone must not cost the one answer to a create
                self._trace(sent.method, sent.shown, status, (monotonic() - began) * 1000)
        return outcome

    def _exchange(self, sent: _Sent, deadline: float) -> Answer:
        headers, body = dict(_HEADERS), None
        if sent.token is not None:
            headers["Authorization"] = f"Bearer {sent.token.reveal()}"
        if sent.body is not None and sent.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = _form(sent.body).encode()
        elif sent.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(sent.body, default=_opened).encode()
        last = "" if sent.last is None else quote(sent.last.reveal(), safe="")
        query = f"?{_form(sent.query)}" if sent.query else ""
        url = f"{self._root}{sent.path}{last}{query}"
        timeout_s = max(deadline - monotonic(), 0.001)
        response = self._pool.request(sent.method, url, headers=headers, body=body, timeout_s=timeout_s)
        found = content(response, LIMIT_BYTES, deadline)
        if not 200 <= response.status < 300:  # it may quote the request
            found = hide(found, sent.secrets)
        return Answer(response.status, response.headers, self._decode(response.status, found))


def _form(values: Mapping[str, str | int | Secret]) -> str:
    return urlencode({name: _opened(value) for name, value in values.items()})


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


def _failure(error: Exception) -> Failure:
    """What urllib3 says, in words that hold nothing of the request."""
    cause, sent = bottom(error), not unsent(error)
    if isinstance(cause, ssl.SSLError):
        reason, hint = refusal(cause, "NEXUS", "nexus_url")
        told = "its certificate is not accepted: " if isinstance(cause, ssl.SSLCertVerificationError) else "TLS: "
        return Failure(told + reason, sent, hint)
    if isinstance(cause, EmptyPoolError):
        return Failure(words(error), sent, "use fewer threads or a longer --timeout")
    if isinstance(error, NotConnected) and error.by_proxy:
        return Failure("the proxy refuses", sent, "check HTTPS_PROXY and NO_PROXY")
    return Failure(words(error), sent)

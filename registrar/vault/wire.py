"""The conversation with Vault: connections, redirects and what may be asked again.

Owns what is sent, by whom, and the reading of what comes back: a secrets engine is spoken to directly, since each step
of a run does so, Vault itself by hvac. Must never keep an exception or a response of a library, which hold the token
and the secret, and knows nothing of records.
"""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

import registrar
from registrar import pool
from registrar.errors import ServiceError, UsageError
from registrar.pool import Pool, Trace, content
from registrar.secret import Secret
from registrar.tls import Tls
from registrar.vault.answers import HEADER_WORD, Answer, Call, NotTrusted, decoded, encoded, failure, secrets_in

if TYPE_CHECKING:
    from hvac.adapters import RawAdapter

_LIMIT_BYTES: Final = 64 << 20
_PAUSES_S: Final = (0.1, 0.4)  # between the tries of a question
_PASSING: Final = frozenset({500, 502, 503, 504})
_NOTHING_DONE: Final = frozenset({412, 429})  # a standby that lags behind, a quota
_INDEX: Final = "X-Vault-Index"


class _There(NamedTuple):
    """Where a request goes."""

    origin: str
    namespace: str


class Options(pool.Options, total=False):
    """What a client of Vault may be told besides."""

    namespace: str
    server_name: str | None


class Wire:
    """The requests to one Vault over a pool of connections, safe to share between threads."""

    def __init__(
        self,
        addr: str,
        *,
        namespace: str = "",
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        proxies: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        trace: Trace | None = None,
        connections: int = 64,
    ) -> None:
        _check(addr, namespace)
        self.addr = addr.rstrip("/")
        self._timeout_s = timeout_s
        self._trace = trace
        self._newest = _Newest()
        self._pool = Pool(
            tls or Tls("VAULT").context(), server_name=server_name, proxies=proxies, connections=connections
        )
        self._here = _There(self.addr, namespace)
        self._root = _There(self.addr, "")
        self._adapters: dict[_There, RawAdapter] = {}

    def send(
        self, call: Call, token: Secret | None, *, timeout_s: float | None = None, tries: int = 3
    ) -> Answer | ServiceError:
        """The last of so many tries, all within the timeout; a write is repeated only where nothing was done."""
        ends = time.monotonic() + min(timeout_s or self._timeout_s, self._timeout_s)
        for pause_s in _PAUSES_S[: tries - 1]:
            outcome = self._exchange(call, token, ends)
            if isinstance(outcome, Answer):
                pause_s = max(pause_s, outcome.retry_after_s)
            if not _worth_repeating(call, outcome) or time.monotonic() + pause_s > ends:
                return outcome
            time.sleep(pause_s)
        return self._exchange(call, token, ends)

    def close(self) -> None:
        self._pool.close()

    def _exchange(self, call: Call, token: Secret | None, ends: float) -> Answer | ServiceError:
        """One request, and once more where a standby names the active node: it has done nothing with the first."""
        outcome = self._send(self._root if call.rooted else self._here, call, token, ends)
        if isinstance(outcome, Answer) and outcome.status == 307:
            active = self._active_node(outcome.location, call.path)
            if active is not None:
                return self._send(active, call, token, ends)
        return outcome

    def _send(self, there: _There, call: Call, token: Secret | None, ends: float) -> Answer | ServiceError:
        started = time.monotonic()
        outcome: Answer | ServiceError
        ask = self._directly if call.of_engine else self._by_hvac
        try:
            response = ask(there, call, self._headers(token), max(ends - started, 0.001))
            outcome = Answer(
                response.status,
                decoded(content(response, _LIMIT_BYTES, ends), sealed=call.sealed),
                response.headers.get("Date", ""),
                response.headers.get("Location", ""),
                _seconds(response.headers.get("Retry-After", "")),
                hidden=(*([token] if token else []), *secrets_in(call.body)),
            )
            self._newest.see(response.headers.get(_INDEX, ""))
        except (OSError, HTTPError) as error:
            outcome = failure(call, self.addr, error)
        if self._trace:
            status = outcome.status if isinstance(outcome, Answer) else None
            with suppress(OSError):  # nobody reads the trace any more; the answer may be the only one there will be
                self._trace(call.method, f"/v1/{call.path}", status, (time.monotonic() - started) * 1000)
        return outcome

    def _directly(self, there: _There, call: Call, headers: dict[str, str], timeout_s: float) -> BaseHTTPResponse:
        headers["X-Vault-Request"] = "true"
        if there.namespace:
            headers["X-Vault-Namespace"] = there.namespace
        query = f"?{urlencode(call.query)}" if call.query else ""
        url = f"{there.origin}/v1/{quote(call.path)}{query}"
        return self._pool.request(call.method, url, headers=headers, body=encoded(call.body), timeout_s=timeout_s)

    def _by_hvac(self, there: _There, call: Call, headers: dict[str, str], timeout_s: float) -> BaseHTTPResponse:
        from registrar.vault.hvac_adapter import adapter

        if there not in self._adapters:
            self._adapters[there] = adapter(*there, self._pool)
        response = self._adapters[there].request(
            call.method,
            f"/v1/{quote(call.path)}",
            headers=headers,
            params=call.query,
            data=encoded(call.body),
            timeout=timeout_s,
            stream=True,
            raise_exception=False,
        )
        answer: BaseHTTPResponse = response.raw
        return answer

    def _headers(self, token: Secret | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": f"registrar/{registrar.__version__}"}
        if token:
            headers["X-Vault-Token"] = token.reveal()
        if self._newest.state:
            headers[_INDEX] = self._newest.state
        return headers

    def _active_node(self, location: str, path: str) -> _There | None:
        """Where a standby sends us, or None where it is no place to carry a token to.

        A standby changes the host alone, so another path is somebody else's redirect.
        """
        there = urlsplit(location)
        encrypted = there.scheme == "https" or (there.scheme == "http" and self.addr.startswith("http:"))
        if not encrypted or not there.hostname or unquote(there.path) != f"/v1/{path}":
            return None
        return self._here._replace(origin=f"{there.scheme}://{there.netloc.rpartition('@')[2]}")


class _Newest:
    """The newest state of the store that an answer told of, which every later request asks for.

    Enterprise's performance standbys answer reads themselves, a moment behind the active node; one that has not come
    as far yet answers 412. OpenBao's standbys read themselves from 2.5 on, and know no such header up to 2.6: what
    rests on a read there rests on check-and-set as well.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.state = ""

    def see(self, state: str) -> None:
        """Keep the later one: answers to several threads come in any order."""
        with self._lock:
            if state and HEADER_WORD.fullmatch(state) and _position(state) >= _position(self.state):
                self.state = state


def _position(state: str) -> tuple[int, int]:
    """How far a state is: v1:CLUSTER:LOCAL:REPLICATED:HMAC in base64; before all others where it is anything else."""
    try:
        version, _, local, replicated, _ = base64.b64decode(state, validate=True).decode().split(":")
        return (int(local), int(replicated)) if version == "v1" else (0, 0)
    except ValueError:
        return (0, 0)


def _worth_repeating(call: Call, outcome: Answer | ServiceError) -> bool:
    if not isinstance(outcome, Answer):
        return not call.writes and not isinstance(outcome, NotTrusted)
    return _nothing_done(outcome) or (not call.writes and outcome.status in _PASSING and not outcome.sealed)


def _nothing_done(answer: Answer) -> bool:
    """Whether the request was turned away as it came; a new mount of KV v2 does so for a moment."""
    new = answer.status == 400 and answer.says("Upgrading from non-versioned to versioned data")
    return new or answer.status in _NOTHING_DONE


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _check(addr: str, namespace: str) -> None:
    """Refuse what a library would refuse in words of its own."""
    there = urlsplit(addr)
    if there.scheme not in {"http", "https"} or not there.hostname or there.username:
        raise UsageError("the address of Vault has to look like https://vault.example.org:8200", hint="set VAULT_ADDR")
    if namespace and not HEADER_WORD.fullmatch(namespace):
        raise UsageError("the Vault namespace holds a character that no header can carry", hint="set VAULT_NAMESPACE")


def checked(token: Secret) -> Secret:
    """A token that a header can carry; requests would show any other one in its refusal."""
    if not HEADER_WORD.fullmatch(token.reveal()):
        raise UsageError(
            "the Vault token is empty, or holds a space, a line break or a letter that no header can carry",
            hint="set VAULT_TOKEN to the token alone",
        )
    return token

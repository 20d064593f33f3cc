"""The conversation with Vault: connections, redirects and what may be asked again.

Owns the connection pool and whatever hvac and requests do behind one's back. Must never keep one of their exceptions or
responses, which hold the token and the secret, and knows nothing of records.
"""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

import registrar
from registrar.errors import ServiceError, UsageError
from registrar.secret import Secret
from registrar.tls import Tls
from registrar.uri import Uri
from registrar.vault.answers import HEADER_WORD, Answer, Call, NotTrusted, decoded, encoded, failure, secrets_in

Trace = Callable[[str, str, int | None, float], None]
"""Method, path, status (None: no answer) and milliseconds of one exchange; never a body."""

_LIMIT_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 64 << 10
_PAUSES_S: Final = (0.1, 0.4)  # between the tries of a question
_PASSING: Final = frozenset({500, 502, 503, 504})
_NOTHING_DONE: Final = frozenset({412, 429})  # a standby that lags behind, a quota
_INDEX: Final = "X-Vault-Index"


class Wire:
    """A pool of connections to one Vault, safe to share between threads."""

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
        connections: int = 32,
    ) -> None:
        _check(addr, namespace)
        self.addr = addr.rstrip("/")
        self._namespace = namespace
        self._proxies = dict(proxies or {})
        self._timeout_s = timeout_s
        self._trace = trace
        self._newest = _Newest()
        self._session = requests.Session()
        self._session.trust_env = False  # else ~/.netrc adds an Authorization header
        self._session.headers.update(
            {"User-Agent": f"registrar/{registrar.__version__}", "Accept-Encoding": "identity"}
        )
        context = tls or Tls("VAULT").context()
        # hvac takes `verify` from a session that has one, whatever its own argument says
        self._session.verify = context.verify_mode is not ssl.CERT_NONE
        # requests keeps ten connections and throws the others away after use
        self._session.mount("https://", SystemTls(context, server_name, pool_maxsize=connections, pool_block=True))
        self._session.mount("http://", HTTPAdapter(pool_maxsize=connections, pool_block=True))
        self._here = self._adapter(self.addr, namespace)
        self._root = self._adapter(self.addr, "")

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
        self._session.close()

    def _exchange(self, call: Call, token: Secret | None, ends: float) -> Answer | ServiceError:
        """One request, and once more where a standby names the active node: it has done nothing with the first."""
        outcome = self._send(self._root if call.rooted else self._here, call, token, ends)
        if isinstance(outcome, Answer) and outcome.status == 307:
            active = self._active_node(outcome.location, call.path)
            if active is not None:
                return self._send(active, call, token, ends)
        return outcome

    def _send(self, adapter: RawAdapter, call: Call, token: Secret | None, ends: float) -> Answer | ServiceError:
        started = time.monotonic()
        outcome: Answer | ServiceError
        try:
            response = adapter.request(
                call.method,
                f"/v1/{quote(call.path)}",
                headers=self._headers(token),
                params=call.query,
                data=encoded(call.body),
                timeout=max(ends - started, 0.001),
                stream=True,
                raise_exception=False,
            )
            with closing(response):
                outcome = Answer(
                    response.status_code,
                    decoded(_content(response), sealed=call.sealed),
                    response.headers.get("Date", ""),
                    response.headers.get("Location", ""),
                    _seconds(response.headers.get("Retry-After", "")),
                    hidden=(*([token] if token else []), *secrets_in(call.body)),
                )
                self._newest.see(response.headers.get(_INDEX, ""))
        # OSError: every exception of requests is one, and of older ones those of urllib3 and ssl come through
        except (OSError, HTTPError) as error:
            outcome = failure(call, self.addr, error)
        if self._trace:
            status = outcome.status if isinstance(outcome, Answer) else None
            with suppress(OSError):  # nobody reads the trace any more; the answer may be the only one there will be
                self._trace(call.method, f"/v1/{call.path}", status, (time.monotonic() - started) * 1000)
        return outcome

    def _headers(self, token: Secret | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if token:
            headers["X-Vault-Token"] = token.reveal()
        if self._newest.state:
            headers[_INDEX] = self._newest.state
        return headers

    def _adapter(self, origin: str, namespace: str) -> RawAdapter:
        """hvac's adapter, not its Client: that one reads VAULT_* and ~/.vault-token and, in 1.0, replaces `cert`."""
        session = self._session
        return RawAdapter(
            origin,
            verify=session.verify,
            proxies=proxies_for(origin, self._proxies),
            allow_redirects=False,  # requests turns a redirected POST into a GET, whose 200 would read as written
            session=session,
            namespace=namespace or None,
        )

    def _active_node(self, location: str, path: str) -> RawAdapter | None:
        """Where a standby sends us, or None where it is no place to carry a token to.

        A standby changes the host alone, so another path is somebody else's redirect.
        """
        there = urlsplit(location)
        encrypted = there.scheme == "https" or (there.scheme == "http" and self.addr.startswith("http:"))
        if not encrypted or not there.hostname or unquote(there.path) != f"/v1/{path}":
            return None
        return self._adapter(f"{there.scheme}://{there.netloc.rpartition('@')[2]}", self._namespace)


class SystemTls(HTTPAdapter):
    """Connections by this context alone: requests would add certifi's authorities and leave out the system's."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None, **options: Any) -> None:
        self._ours: dict[str, Any] = {"ssl_context": context}
        if server_name:
            self._ours["server_hostname"] = server_name
        super().__init__(**options)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **options, **self._ours)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, **self._ours)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 (requests' signature)
        conn.cert_reqs = "CERT_REQUIRED" if verify else "CERT_NONE"


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


def proxies_for(origin: str, proxies: Mapping[str, str]) -> dict[str, str]:
    """The proxies for this address; `no` names those that are reached without, and nobody's own machine is by one."""
    direct = Uri.parse(origin).loopback or requests.utils.should_bypass_proxies(origin, proxies.get("no", ""))
    return {} if direct else {scheme: proxy for scheme, proxy in proxies.items() if scheme != "no"}


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _content(response: requests.Response) -> bytes:
    """The body, or nothing where it has more than 64 MiB: requests itself would hold whatever comes."""
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > _LIMIT_BYTES:
            return b""
    return bytes(content)


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

"""The conversation with Vault: connections, redirects and what may be asked again.

Owns the connection pool and whatever hvac and requests do behind one's back. Must never keep one of their exceptions or
responses, which hold the token and the secret, and knows nothing of records.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

import registrar
from registrar.errors import ServiceError, UsageError
from registrar.secret import Secret, hide
from registrar.vault.answers import Answer, Call, decoded, encoded, failure, refusal, secrets_in

Trace = Callable[[str, str, int | None, float], None]
"""Method, path, status (None: no answer) and milliseconds of one exchange; never a body."""

_LIMIT_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 64 << 10
_PAUSES_S: Final = (0.1, 0.4)  # between the tries of a question
_HEADER: Final = re.compile(r"[!-~]+")
_PASSING: Final = frozenset({429, 500, 502, 503, 504})


class Wire:
    """A pool of connections to one Vault, safe to share between threads."""

    def __init__(
        self,
        addr: str,
        *,
        token: Secret,
        namespace: str | None = None,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        trace: Trace | None = None,
        connections: int = 32,
    ) -> None:
        _check(addr, token, namespace, [*([verify] if isinstance(verify, str) else []), *(cert or ())])
        self.addr = addr.rstrip("/")
        self._token = token
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._trace = trace
        self._session = requests.Session()
        self._session.trust_env = False  # else ~/.netrc adds an Authorization header
        self._session.headers.update(
            {"User-Agent": f"registrar/{registrar.__version__}", "Accept-Encoding": "identity"}
        )
        # hvac takes `verify` and `cert` from a session that has them, whatever its own arguments say
        self._session.verify, self._session.cert, self._session.proxies = verify, cert, dict(proxies or {})
        # requests keeps ten connections and throws the others away after use
        pool = HTTPAdapter(pool_maxsize=connections, pool_block=True)
        self._session.mount("https://", pool)
        self._session.mount("http://", pool)
        self._here = self._adapter(self.addr, namespace)
        self._root = self._adapter(self.addr, None)

    def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        sealed: bool = False,
        rooted: bool = False,
    ) -> Answer:
        """Read or list; a 404 that gives no reason is an answer, other failures raise."""
        return self._ask(Call("GET", path, query or {}, sealed=sealed, rooted=rooted))

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Ask what takes a POST and changes nothing."""
        return self._ask(Call("POST", path, body=body))

    def post(self, path: str, body: Mapping[str, Any], *, timeout_s: float | None = None) -> Answer:
        """Write, once: one whose outcome nobody knows might undo, sent again, what somebody wrote since.

        A 429 has done nothing, so that one is sent again.
        """
        call = Call("POST", path, body=body, writes=True)
        ends = time.monotonic() + min(timeout_s or self._timeout_s, self._timeout_s)
        for pause in _PAUSES_S:
            outcome = self._exchange(call, ends)
            if not isinstance(outcome, Answer) or outcome.status != 429 or time.monotonic() + pause > ends:
                return _result(call, outcome)
            time.sleep(pause)
        return _result(call, self._exchange(call, ends))

    def close(self) -> None:
        self._session.close()

    def _ask(self, call: Call) -> Answer:
        ends = time.monotonic() + self._timeout_s
        for pause in _PAUSES_S:
            outcome = self._exchange(call, ends)
            passing = not isinstance(outcome, Answer) or (outcome.status in _PASSING and not outcome.sealed)
            if not passing or time.monotonic() + pause > ends:
                return _result(call, outcome)
            time.sleep(pause)
        return _result(call, self._exchange(call, ends))

    def _exchange(self, call: Call, ends: float) -> Answer | ServiceError:
        """One request, and once more where a standby names the active node: it has done nothing with the first."""
        outcome = self._send(self._root if call.rooted else self._here, call, ends)
        if isinstance(outcome, Answer) and outcome.status == 307:
            active = self._active_node(outcome.location, call.path)
            if active is not None:
                return self._send(active, call, ends)
        return outcome

    def _send(self, adapter: RawAdapter, call: Call, ends: float) -> Answer | ServiceError:
        started = time.monotonic()
        outcome: Answer | ServiceError
        try:
            response = adapter.request(
                call.method,
                f"/v1/{quote(call.path)}",
                headers={"X-Vault-Token": self._token.reveal(), "Content-Type": "application/json"},
                params=call.query,
                data=encoded(call.body),
                timeout=max(ends - started, 0.001),
                stream=True,
                raise_exception=False,
            )
            with closing(response):
                content = _content(response)
                if response.status_code >= 300:
                    content = hide(content, [self._token, *secrets_in(call.body)])
                outcome = Answer(
                    response.status_code,
                    decoded(content, sealed=call.sealed),
                    response.headers.get("Date", ""),
                    response.headers.get("Location", ""),
                )
        # OSError: every exception of requests is one, and of older ones those of urllib3 and ssl come through
        except (OSError, HTTPError) as error:
            outcome = failure(call, self.addr, error)
        if self._trace:
            status = outcome.status if isinstance(outcome, Answer) else None
            with suppress(OSError):  # nobody reads the trace any more; the answer may be the only one there will be
                self._trace(call.method, f"/v1/{call.path}", status, (time.monotonic() - started) * 1000)
        return outcome

    def _adapter(self, origin: str, namespace: str | None) -> RawAdapter:
        """hvac's adapter, not its Client: that one reads VAULT_* and ~/.vault-token and, in 1.0, replaces `cert`."""
        session = self._session
        return RawAdapter(
            origin,
            cert=session.cert,
            verify=session.verify,
            proxies=session.proxies,
            allow_redirects=False,  # requests turns a redirected POST into a GET, whose 200 would read as written
            session=session,
            namespace=namespace,
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


def _result(call: Call, outcome: Answer | ServiceError) -> Answer:
    if isinstance(outcome, ServiceError):
        raise outcome
    error = refusal(call, outcome)
    if error is not None:
        raise error
    return outcome


def _content(response: requests.Response) -> bytes:
    """The body, or nothing where it has more than 64 MiB: requests itself would hold whatever comes."""
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > _LIMIT_BYTES:
            return b""
    return bytes(content)


def _check(addr: str, token: Secret, namespace: str | None, files: Sequence[str]) -> None:
    """Refuse what a library would refuse in words of its own, some of which show the token."""
    there = urlsplit(addr)
    if there.scheme not in {"http", "https"} or not there.hostname or there.username:
        raise UsageError("the address of Vault has to look like https://vault.example.org:8200", hint="set VAULT_ADDR")
    if not _HEADER.fullmatch(token.reveal()):
        raise UsageError(
            "the Vault token is empty, or holds a space, a line break or a letter that no header can carry",
            hint="set VAULT_TOKEN to the token alone",
        )
    if namespace and not _HEADER.fullmatch(namespace):
        raise UsageError("the Vault namespace holds a character that no header can carry", hint="set VAULT_NAMESPACE")
    for file in files:
        if not Path(file).exists():
            raise UsageError(f"{file}, a certificate for Vault, does not exist", hint="set VAULT_CACERT to a file")

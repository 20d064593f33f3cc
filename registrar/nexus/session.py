"""A session with Nexus: which version of its API, with which token, renewed before it ends.

Owns the table of generations, the login and the choice of the version, each made once whatever the number of threads.
Must never resend a request except after a 401, which did nothing.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal, Self, Unpack
from urllib.parse import urlsplit

from registrar.errors import AccessDenied, UsageError
from registrar.nexus.answers import CHECK_KEY, claims, decode, elsewhere, error, said
from registrar.nexus.wire import Answer, Failure, Repeat, Wire
from registrar.pool import Options
from registrar.secret import Secret

Version = Literal["v1", "v2"]

RENEW_S: Final = 60.0
"""How long before its end a token is renewed: Nexus allows no skew of the clocks."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One version of the API: its place, and how it says what matters."""

    version: Version
    absent: tuple[int, str]
    """Status and words of "no application with this id in the state that the call needs"."""
    login_refused: frozenset[int]
    """Statuses of a login with a wrong key or secret; v2 has a bare 500 for the wrong secret."""
    pages: bool
    """Whether a list may come in pages; they are of 25 unless asked otherwise, and one stage refuses -1."""

    def path(self, rest: str) -> str:
        return f"/api/{self.version}{rest}"

    def is_absent(self, outcome: Answer | Failure) -> bool:
        """Whether Nexus itself says so; the 404 of an ingress says nothing about applications."""
        if isinstance(outcome, Failure) or elsewhere(outcome):
            return False
        status, words = self.absent
        return outcome.status == status and words in str(outcome.content)


V1: Final = Generation(
    version="v1",
    absent=(500, "KeyNotFoundException: Oauth application with id"),
    login_refused=frozenset({400, 401, 404}),
    pages=False,
)
V2: Final = Generation(
    version="v2",
    absent=(404, "Not Found"),
    login_refused=frozenset({400, 401, 404, 500}),
    pages=True,
)


def api_root(url: str) -> str:
    """Origin and base path of a Nexus whose address may end in /api, /api/v1 or /api/v2; raises UsageError."""
    root = re.sub(r"(?<=[^/:])/+(api(/+v\d+)?/*)?$", "", url.strip())
    try:
        parts = urlsplit(root)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character in root for character in "@?#") or not root.isprintable():
        raise UsageError("nexus_url is not the address of a server", hint="nexus_url: https://HOST or https://HOST/api")
    return root


@dataclass(frozen=True, slots=True)
class _Login:
    token: Secret | None
    renew_at: float  # on time.monotonic()


class Session:
    """The requests of one identity to one Nexus; logs in at the first of them."""

    def __init__(
        self,
        url: str,
        *,
        api_key: Secret | None,
        api_secret: Secret | None,
        token: Secret | None,
        origin: str,
        **options: Unpack[Options],
    ) -> None:
        if (api_key is None) != (api_secret is None):
            raise UsageError("NEXUS_API_KEY and NEXUS_API_SECRET belong together", hint=CHECK_KEY)
        # http.client shows a header that it refuses, so a token with a line break must not get that far.
        if token is not None and not re.fullmatch(r"[!-~]+", token.reveal()):
            raise UsageError("NEXUS_TOKEN has characters that no token has", hint=CHECK_KEY)
        self._key = None if api_key is None or api_secret is None else (api_key, api_secret)
        self._login = _Login(token, -math.inf if token is None else _renew_at(token, issued_now=False))
        self.origin = origin or ("API key" if self._key else "token")
        self._login_lock = threading.Lock()
        self._generation: Generation | None = None
        self._generation_lock = threading.Lock()
        self.deprecated_since: datetime | None = None
        self.url = api_root(url)
        self._wire = Wire(self.url, decode, **options)

    def close(self) -> None:
        self._wire.close()

    @property
    def has_key(self) -> bool:
        """Whether a new token can be had."""
        return self._key is not None

    def token_life_s(self) -> float | None:
        """How long the token in use still lives by this machine's clock; None where it does not tell."""
        ends = claims(self._login.token).get("exp") if self._login.token else None
        return ends - time.time() if isinstance(ends, (int, float)) else None

    def anonymous(self, method: str, path: str) -> Answer | Failure:
        """The answer to nobody, which tells whether anybody is there."""
        return self._wire.send(method, path, repeat=Repeat.ALWAYS)

    @property
    def generation(self) -> Generation:
        """The newest version that Nexus has, asked once."""
        with self._generation_lock:
            if self._generation is None:
                self._generation = self._choose()
            return self._generation

    def ask(
        self,
        method: str,
        rest: str,
        *,
        repeat: Repeat,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Answer | Failure:
        """The answer at this path below the version's prefix."""
        answer = self._authorized(method, self.generation.path(rest), repeat=repeat, query=query, body=body)
        if isinstance(answer, Answer) and "deprecation" in answer.headers:
            self.deprecated_since = deprecation(answer)
        return answer

    def of(self, generation: Generation, rest: str) -> Answer | Failure:
        """The answer of that version, whichever is in use, to a question."""
        return self._authorized("GET", generation.path(rest), repeat=Repeat.ALWAYS)

    def _authorized(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Answer | Failure:
        """The answer to our token; after a 401 that to a new one, where there is a key to get it."""
        send = partial(self._wire.send, method, path, repeat=repeat, query=query, body=body)
        token = self._token()
        answer = send(token=token)
        if isinstance(answer, Answer) and answer.status == 401 and self._key is not None:
            answer = send(token=self._token(refused=token))
        return answer

    def _choose(self) -> Generation:
        answer = self._authorized("GET", V2.path("/users/current"), repeat=Repeat.ALWAYS)
        if isinstance(answer, Answer):
            if answer.ok and isinstance(answer.content, dict):
                return V2
            # Before v2 this path is an empty 404, behind an ingress the user interface's page or its login.
            if elsewhere(answer) or answer.status in (400, 404):
                return V1
        raise error(answer, "asking Nexus for its version", effect=False)

    def _token(self, refused: Secret | None = None) -> Secret | None:
        """The token to send; whoever comes first with a refused or ending one gets a new one for all."""
        with self._login_lock:
            ended = time.monotonic() >= self._login.renew_at or (
                refused is not None and self._login.token is refused  # else somebody has renewed it since
            )
            if ended and self._key is not None:
                token = token_by_key(self._wire, *self._key)
                self._login = _Login(token, _renew_at(token, issued_now=True))
            return self._login.token


def token_by_key(wire: Wire, api_key: Secret, api_secret: Secret, minutes: int | None = None) -> Secret:
    """A token for an API key: of v1 while it is there, since only v1 says clearly what is wrong with a key.

    It lives for so many minutes, or for the hour that Nexus gives by itself.
    """
    doing = "logging in to Nexus"
    body: dict[str, int | str | Secret] = {"apiKey": api_key, "apiSecret": api_secret}
    if minutes is not None:
        body["expirationMinutes"] = minutes
    for generation in (V1, V2):
        answer = wire.send("POST", generation.path("/oauth/tokens"), body=body, repeat=Repeat.UNSENT)
        if isinstance(answer, Answer):
            if answer.ok and isinstance(answer.content, Secret):
                return answer.content
            if generation is V1 and elsewhere(answer):
                continue
            if answer.status in generation.login_refused and not elsewhere(answer):
                why = f": {text}" if (text := said(answer)) else ""
                raise AccessDenied(f"{doing}: it refuses the API key{why}", hint=CHECK_KEY)
        break
    raise error(answer, doing, effect=False)


class Anonymous:
    """Connections to one Nexus for requests of nobody, or of whom each of them names."""

    def __init__(self, url: str, **options: Unpack[Options]) -> None:
        self._wire = Wire(api_root(url), decode, **options)

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class KeyLogin(Anonymous):
    """A login by an API key that a person has typed, for a token to keep."""

    def token(self, api_key: Secret, api_secret: Secret, minutes: int) -> Secret:
        """A token that lives for so many minutes; AccessDenied where Nexus refuses the key."""
        return token_by_key(self._wire, api_key, api_secret, minutes)


def _renew_at(token: Secret, *, issued_now: bool) -> float:
    """When to renew, on the monotonic clock; never for a token that does not tell its end.

    The life of a fresh token is counted between Nexus's own two times, so that a wrong clock here does no harm.
    """
    said = claims(token)
    try:
        begins, ends = float(said["iat"]) if issued_now else time.time(), float(said["exp"])
    except (LookupError, TypeError, ValueError, OverflowError):
        return math.inf
    life_s = ends - begins
    # Nexus gives as short a life as its operator likes; half of it is better than a login for every request.
    return time.monotonic() + max(life_s - RENEW_S, life_s / 2)


def deprecation(answer: Answer) -> datetime | None:
    """The time in a Deprecation header, RFC 9745: an @ and the seconds."""
    text = answer.headers.get("deprecation", "")
    return datetime.fromtimestamp(int(text[1:]), UTC) if re.fullmatch(r"@\d{1,10}", text, re.ASCII) else None

"""Nexus as an application meets it: the settings, the exchange of a code for a token, and the API with that token."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx

TIMEOUT_S = 10

for quiet in ("httpx", "httpcore"):  # they log the URLs of requests, and that of the exchange has the client secret
    logging.getLogger(quiet).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Settings:
    """The environment variables NEXUS_CLIENT_ID, NEXUS_CLIENT_SECRET and so on, as `registrar exec` sets them."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    authorize_url: str  # of Nexus's frontend: a browser is sent there
    exchange_url: str  # of its backend: this server calls it

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Settings:
        names = {each.name: f"NEXUS_{each.name.upper()}" for each in fields(cls)}
        if missing := [name for name in names.values() if not environ.get(name)]:
            raise SystemExit(f"Not set: {', '.join(missing)}.\nThis sets them: registrar exec NAME -- python app.py")
        settings = cls(**{key: environ[name] for key, name in names.items()})
        if not settings.exchange_url.endswith("/oauth/exchange"):
            raise SystemExit(f"NEXUS_EXCHANGE_URL has to end in /oauth/exchange: {settings.exchange_url}")
        return settings

    @property
    def api(self) -> str:
        """Where the API is that a token is for: beside the exchange."""
        return self.exchange_url.removesuffix("/oauth/exchange")


@dataclass(frozen=True)
class Token:
    """A token and what it says of itself.

    Nobody checks its signature here, which is Nexus's own: it came from there, and never through a browser.
    """

    text: str = field(repr=False)
    name: str
    ends: float  # seconds since 1970
    api_key: str = field(repr=False)

    @classmethod
    def read(cls, text: str) -> Token:
        """A token by its text; ValueError where that is none."""
        try:
            payload = text.split(".")[1]
            claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return cls(text, str(claims["name"]), float(claims["exp"]), str(claims["apiKey"]))
        except (IndexError, KeyError, TypeError, ValueError):
            raise ValueError("not a token of Nexus") from None


class Problem(Exception):
    """What went wrong and what to do about it. Both are shown to people, so neither ever has a secret."""

    def __init__(self, what: str, advice: str = "", status: int = 502) -> None:
        super().__init__(what)
        self.what, self.advice, self.status = what, advice, status


REASONS = (
    (
        "Invalid authorization code",
        "The code is unknown by now: it lives for ten minutes, and until Nexus restarts. Sign in again.",
    ),
    (
        "Authorization code has already been used",
        "A code works once: do not reload the callback or repeat the exchange. Sign in again.",
    ),
    ("Authorization code has expired", "A code lives for ten minutes. Sign in again."),
    (
        "Authorization attempt with invalid client_id",
        "The application was archived, or replaced by a rotation: start this one again with registrar exec.",
    ),
    ("Token exchange attempt with mismatched client_id", "Authorize and exchange have to name the same client id."),
    (
        "Token exchange attempt with unknown redirect_uri",
        "NEXUS_REDIRECT_URI has to be what is registered: scheme, host, port, path and the slash at the end.",
    ),
    (
        "Token exchange attempt with invalid client_secret",
        "Was it rotated? Start this one again with registrar exec; registrar verify NAME proves what is stored.",
    ),
    ("State validation failed", "Authorize and exchange have to be sent the same state."),
    ("State parameter mismatch", "Authorize and exchange have to be sent the same state."),
    (
        "Token exchange attempt with missing userId",
        "Nexus made this code for nobody. Sign out there, and sign in again.",
    ),
)
"""How Nexus begins the reason of a refusal, and what it means."""


class Nexus:
    """The calls of this application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # It follows no redirect: no other server is handed the client secret or a token.
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)

    def authorize_url(self, state: str) -> str:
        """Where the browser is sent to sign in."""
        settings = self._settings
        query = {"client_id": settings.client_id, "redirect_uri": settings.redirect_uri, "state": state}
        return f"{settings.authorize_url}?{urlencode(query)}"

    def exchange(self, code: str, state: str) -> Token:
        """The token for a code; a Problem says why there is none."""
        settings = self._settings
        parameters = {
            "code": code,
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "redirect_uri": settings.redirect_uri,
            "state": state,
        }
        # In the query: Nexus reads them nowhere else. So this URL has the client secret.
        answer = self._send("POST", settings.exchange_url, params=parameters)
        body = parsed(answer)
        if answer.status_code != 200:
            raise refusal(answer.status_code, body)
        if isinstance(body, dict):  # version 1 answers with an OAuth object, version 2 with the token alone
            body = body.get("access_token")
        try:
            return Token.read(body if isinstance(body, str) else answer.text.strip())
        except ValueError:
            raise Problem("What came back is no token.", f"Is this the exchange? {settings.exchange_url}") from None

    def get(self, path: str, token: Token) -> tuple[int, Any]:
        """The status of the API's answer, and its JSON."""
        answer = self._send("GET", self._settings.api + path, token)
        return answer.status_code, parsed(answer)

    def end(self, token: Token) -> bool:
        """Delete the API key that Nexus made for this token: the token ends with it, and else when it expires."""
        try:
            url = f"{self._settings.api}/oauth/keys/{quote(token.api_key, safe='')}"
            return self._send("DELETE", url, token).status_code == 200
        except Problem:
            return False

    def _send(self, method: str, url: str, token: Token | None = None, **more: Any) -> httpx.Response:
        # In a header, although Nexus takes a token in the query as well: URLs get logged.
        headers = {"Authorization": f"Bearer {token.text}"} if token else {}
        try:
            return self._http.request(method, url, headers=headers, **more)
        except httpx.HTTPError as error:  # its kind alone: its text may have the URL
            raise Problem("Nexus does not answer.", f"{type(error).__name__} at {urlsplit(url).netloc}") from None


def parsed(answer: httpx.Response) -> Any:
    """The JSON of an answer, None where it is something else."""
    try:
        return answer.json()
    except ValueError:
        return None


def refusal(status: int, body: Any) -> Problem:
    """Why the exchange gave no token. Of what Nexus says only what is known is shown: some answers are stack traces."""
    said = str(body.get("error_description") or body.get("detail")) if isinstance(body, dict) else ""
    for beginning, advice in REASONS:
        if said.startswith(beginning):
            return Problem(f"Nexus refuses the exchange: {beginning}.", advice, 400)
    advice = "It does not say why. `registrar verify NAME` proves client id, client secret and redirect URI."
    return Problem(f"Nexus answers the exchange with status {status}.", advice)

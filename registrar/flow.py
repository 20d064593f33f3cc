"""Flow: the authorization code flow as an application goes through it, each step told as it is made.

    check      the stored credential is proven, so that what cannot work is said before anybody signs in
    authorize  a browser is sent to the frontend's authorize URL, with a state that nobody can guess
    callback   it comes back to the redirect URI with a code and that state
    exchange   code and client secret become a token
    call       one request to the API with it
    clean up   the API key that the exchange left in Nexus is deleted, and the token with it

Owns the order, the state, and what is wrong with a callback or a token. Must never put a code, a token or a secret into
a message, nor send any to another server than the record's own.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from registrar.client import Client
from registrar.errors import StepFailed
from registrar.ports import Examiner, Verdict
from registrar.secret import MASK, Secret
from registrar.uri import Uri

CALL: Final = "/users/current"
DEFAULT_MINUTES: Final = 480


class ForeignCallback(StepFailed):
    """A callback with another state than ours: not the answer to this flow, which may still come."""


@dataclass(frozen=True, slots=True)
class Told:
    """One step as it was made: its request with secrets masked, where it made one, and what came of it."""

    step: str
    request: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and what it and the answer that brought it say."""

    access: Secret
    claims: Mapping[str, Any]
    expires_at: datetime | None = None  # by `exp`, to which Nexus holds it without any allowance for clocks
    expires_in_s: float | None = None  # as the answer says; v2 answers with the token alone
    state: str | None = None

    @property
    def user(self) -> str:
        return str(self.claims.get("sub") or self.claims.get("name") or "somebody")

    @property
    def scope(self) -> str:
        return str(self.claims.get("scope") or "")


@dataclass(frozen=True, slots=True)
class Called:
    """What one endpoint answered to the token."""

    path: str
    status: int
    content: object
    absent: bool = False  # not Nexus's own answer: there is no such endpoint, or something before it answered

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and not self.absent


@dataclass(frozen=True, slots=True)
class Outcome:
    """A flow that came to its end; the token lives only where it was to be kept."""

    token: Token
    called: Called | None
    cleaned_up: bool


class Handshake(Protocol):
    """The two requests that an application makes itself, and one to the API; each raises a RegistrarError."""

    def exchange(self, client: Client, code: Secret, state: str, minutes: int | None) -> Token:
        """The token for a code."""

    def call(self, path: str, token: Secret) -> Called:
        """GET an endpoint below the API's prefix."""

    def forget(self, api_key: Secret, token: Secret) -> bool:
        """Delete the API key that an exchange has left; whether Nexus did so."""


Visit = Callable[[str, Callable[[str], object]], str]
"""Have a person visit this URL and return the one that the browser comes back to.

The function given judges it first: it raises ForeignCallback for one that is not ours, or StepFailed.
"""


@dataclass(frozen=True)
class Flow:
    """One application's flow, with whom it asks and whom it tells."""

    client: Client
    proof: Examiner
    handshake: Handshake
    visit: Visit
    tell: Callable[[Told], None]
    minutes: int | None = None
    call: str = CALL
    keep: bool = False  # the token, for whoever wants to go on with it

    def run(self) -> Outcome:
        """From the browser to the API; StepFailed says what to change."""
        self._check()
        state = secrets.token_urlsafe(32)
        code = self._authorize(state)
        token = self._exchange(code, state)
        called = self._call(token) if self.call else None
        return Outcome(token, called, False if self.keep else self._clean_up(token))

    def _check(self) -> None:
        if not self.client.redirect_uri:
            raise self._failed("no facts of ours tell its redirect URI", f"registrar status {self.client.path}")
        finding = self.proof.examine(self.client.credential, self.client.redirect_uri)
        if finding.verdict is Verdict.WRONG:
            raise self._failed(f"Nexus refuses what is stored: {finding.reason}", f"registrar show {self.client.path}")
        self.tell(Told("check", outcome=finding.reason))

    def _authorize(self, state: str) -> Secret:
        url = authorization(self.client, state)
        self.tell(Told("authorize", f"GET {url}"))
        returned = self.visit(url, lambda callback: self._code(callback, state))
        code = self._code(returned, state)
        shown = f"{self.client.redirect_uri}?code={MASK}&state={MASK}"
        self.tell(Told("callback", f"GET {shown}", "a code, and the state is the one that was sent"))
        return code

    def _exchange(self, code: Secret, state: str) -> Token:
        client = self.client
        parts = {"client_id": client.credential.client_id, "client_secret": MASK, "redirect_uri": client.redirect_uri}
        query = urlencode({"code": MASK, **parts, "state": MASK}, safe="*")
        token = self.handshake.exchange(client, code, state, self.minutes)
        if token.state is not None and not hmac.compare_digest(token.state.encode(), state.encode()):
            raise self._failed("the exchange answered with another state", "an application has to refuse such a token")
        self.tell(Told("exchange", f"POST {client.exchange_url}?{query}", f"a token for {token.user}{_life(token)}"))
        return token

    def _call(self, token: Token) -> Called:
        called = self.handshake.call(self.call, token.access)
        told = "the API accepts the token" if called.ok else _refused(called)
        self.tell(Told("call", f"GET {called.path}", f"{called.status}: {told}"))
        return called

    def _clean_up(self, token: Token) -> bool:
        key = token.claims.get("apiKey")
        if not isinstance(key, Secret):
            return False
        done = self.handshake.forget(key, token.access)
        told = "the API key of this exchange is deleted, and the token with it" if done else "the token ends by itself"
        self.tell(Told("clean up", f"DELETE …/oauth/keys/{MASK}", told))
        return done

    def _code(self, callback: str, state: str) -> Secret:
        """The code in a callback that is the answer to this flow."""
        client = self.client
        if (came := _place(callback)) != (registered := _place(client.redirect_uri)):
            raise self._failed(
                f"the browser came back to {came}, and the registered redirect URI is {registered}",
                "the redirect URI has to be the application's own, byte for byte: change the manifest, then apply",
            )
        query = parse_qs(urlsplit(callback).query, keep_blank_values=True)
        states, codes = query.get("state", []), query.get("code", [])
        if error := next(iter(query.get("error", [])), ""):
            told = "the user, or Nexus for them, said no" if error == "access_denied" else f"Nexus says {_plain(error)}"
            raise self._failed(told, "sign in again and agree; an application shows this and offers to sign in")
        if len(states) != 1 or not hmac.compare_digest(states[0].encode(), state.encode()):
            told = "another state than was sent" if states else "no state"
            raise ForeignCallback(
                f"a callback came with {told}: it is not the answer to this sign-in",
                hint="an application refuses it; start again, and use the newest link",
                application=client.name,
            )
        if len(codes) != 1 or not codes[0]:
            raise self._failed("the callback has no code", "start again; an application offers to sign in")
        return Secret(codes[0])

    def _failed(self, message: str, hint: str) -> StepFailed:
        return StepFailed(message, hint=hint, application=self.client.name)


def authorization(client: Client, state: str) -> str:
    """Where a browser is sent; each value percent-encoded, as the guide's own example is not."""
    query = {"client_id": client.credential.client_id, "redirect_uri": client.redirect_uri, "state": state}
    return f"{client.authorize_url}?{urlencode(query)}"


def _place(url: str) -> str:
    """Scheme, host, port and path: Nexus adds a default port where there was none."""
    uri = Uri.parse(url)
    usual = {"https": "443", "http": "80"}.get(uri.scheme)
    port = f":{uri.port}" if uri.port and uri.port != usual else ""
    return _plain(f"{uri.scheme}://{uri.host}{port}{uri.path or '/'}")


def _plain(text: str) -> str:
    return "".join(character for character in text[:200] if character.isprintable())


def _life(token: Token) -> str:
    if not token.expires_at:
        return ""
    minutes = round((token.expires_at.timestamp() - time.time()) / 60)
    told = f", for {minutes} minutes, until {token.expires_at:%Y-%m-%d %H:%M} UTC"
    said_s = token.expires_in_s
    if said_s is not None and abs(said_s - minutes * 60) > 120:
        told += f" (the answer says expires_in {said_s:g}; go by exp)"
    return told


def _refused(called: Called) -> str:
    if called.absent:
        return "there is no such endpoint: the API's own documentation has them, and --call names one"
    reasons = {
        401: "the token is not accepted: an application has its user sign in again",
        403: "this user may not do that in Nexus",
    }
    return reasons.get(called.status, "the API refuses it")

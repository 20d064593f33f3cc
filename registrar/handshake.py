"""Handshake: the requests of the authorization code flow that an application makes itself, and what refusals tell it.

Owns the exchange and its answers in every generation of Nexus. Must never send a code twice, nor follow a redirect.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from registrar.client import Client
from registrar.errors import ServiceError, StepFailed
from registrar.flow import Called, Token
from registrar.model import Credential
from registrar.nexus import Nexus
from registrar.nexus.answers import claims, elsewhere, error, expires_at, said
from registrar.nexus.session import V1, V2, Anonymous, Generation
from registrar.nexus.wire import Answer, Failure, Repeat
from registrar.ports import Examiner, Finding, Verdict
from registrar.secret import Secret

_FULL_MINUTES: Final = 1
_STATE: Final = ("the state is not the one of the authorization", "send the state that came back with the code")
_REFUSALS: Final = {
    "Invalid authorization code": (
        "Nexus does not know this code",
        "start again: a code works once, for ten minutes, and is lost when Nexus restarts",
    ),
    "Authorization code has already been used": (
        "this code was used before",
        "exchange a code in one place only, and not again when a page is reloaded: it works once",
    ),
    "Authorization code has expired": ("this code has expired", "exchange it at once: it lives for ten minutes"),
    "Authorization attempt with invalid client_id": (
        "Nexus knows no living application with this client id",
        "registrar show {path}",
    ),
    "Token exchange attempt with mismatched client_id": (
        "the code was made for another application",
        "use one client id in both steps",
    ),
    "Token exchange attempt with unknown redirect_uri": (
        "the redirect URI is not the registered one",
        "send the one that `registrar show {path}` tells, in both steps",
    ),
    "Token exchange attempt with invalid client_secret": (
        "the client secret is wrong",
        "registrar creds get {path}: it may have been rotated",
    ),
    "State validation failed": _STATE,
    "State parameter mismatch": _STATE,
    "Token exchange attempt with missing userId": (
        "nobody was signed in when the code was made",
        "send the browser to the frontend's authorize URL, not to the backend's",
    ),
}
"""How a refusal of the exchange begins, what it means, and what to change; the order of Nexus's own checks."""


class Handshake(Anonymous):
    """One Nexus as an application meets it; see `flow.Handshake`."""

    _generation = V1

    def exchange(self, client: Client, code: Secret, state: str, minutes: int | None) -> Token:
        """The token, of v1 while it is there: only its refusals tell the reason; StepFailed with what to change."""
        for generation in (V1, V2):
            outcome = self._sent(generation, client, code, state, minutes)
            if not (isinstance(outcome, Answer) and generation is V1 and elsewhere(outcome)):
                break
        self._generation = generation
        doing = f"exchanging the code for {client.name}"
        if isinstance(outcome, Failure):
            raise error(outcome, doing, effect=False)
        if outcome.ok and (token := _token(outcome.content)):
            return token
        raise _refusal(outcome, client) or error(outcome, doing, effect=False)

    def _sent(
        self, generation: Generation, client: Client, code: Secret, state: str, minutes: int | None
    ) -> Answer | Failure:
        query: dict[str, str | Secret] = {
            "code": code,
            "client_id": client.credential.client_id,
            "client_secret": client.credential.client_secret,
            "redirect_uri": client.redirect_uri,
            "state": state,
        }
        if minutes is not None:
            query["expiration"] = str(minutes)
        return self._wire.send("POST", generation.path("/oauth/exchange"), query=query, repeat=Repeat.UNSENT)

    def call(self, path: str, token: Secret) -> Called:
        """GET an endpoint: below the prefix of the version in use, or by its whole path below /api."""
        whole = path if path.startswith("/api/") else self._generation.path(f"/{path.lstrip('/')}")
        outcome = self._wire.send("GET", whole, token=token, repeat=Repeat.ALWAYS)
        if isinstance(outcome, Failure):
            raise error(outcome, f"calling {whole}", effect=False)
        return Called(whole, outcome.status, outcome.content, absent=bool(elsewhere(outcome)))

    def forget(self, api_key: Secret, token: Secret) -> bool:
        """Delete the API key; a Nexus that does not is left with one that its end makes useless."""
        path = self._generation.path("/oauth/keys/")
        outcome = self._wire.send("DELETE", path, last=api_key, token=token, repeat=Repeat.UNSENT)
        return isinstance(outcome, Answer) and outcome.ok


class FullProof:
    """Proves by a whole exchange as the signed-in user what the quiet proof cannot tell.

    The API key that it leaves is deleted; one token row stays, so that Nexus never deletes the application again.
    """

    def __init__(self, quiet: Examiner, nexus: Nexus, handshake: Handshake) -> None:
        self._quiet = quiet
        self._nexus = nexus
        self._handshake = handshake

    def examine(self, credential: Credential, redirect_uri: str) -> Finding:
        """The quiet verdict, or where it tells nothing that of the exchange; ServiceErrors where that tells nothing."""
        finding = self._quiet.examine(credential, redirect_uri)
        if finding.verdict is not Verdict.UNTOLD:
            return finding
        client = Client(credential.client_id, "", "", 0, credential, redirect_uri)
        state = secrets.token_urlsafe(32)
        try:
            code = self._nexus.authorize(credential.client_id, redirect_uri, state)
            token = self._handshake.exchange(client, code, state, _FULL_MINUTES)
        except StepFailed as refused:
            return Finding(Verdict.WRONG, refused.message)
        key = token.claims.get("apiKey")
        ended = isinstance(key, Secret) and self._handshake.forget(key, token.access)
        told = "its API key is deleted" if ended else f"it ends in {_FULL_MINUTES} minute"
        return Finding(Verdict.RIGHT, f"a code became a token; {told}")


def _token(content: object) -> Token | None:
    """The token of an OAuth object, or of the bare JWT that v2 answers with."""
    if isinstance(content, Secret):
        return Token(content, claims(content), expires_at(content))
    if not isinstance(content, Mapping) or not isinstance(access := content.get("access_token"), Secret):
        return None
    expires, state = content.get("expires_in"), content.get("state")
    return Token(
        access,
        claims(access),
        expires_at(access),
        float(expires) if isinstance(expires, (int, float)) else None,
        state if isinstance(state, str) else None,
    )


def _refusal(answer: Answer, client: Client) -> ServiceError | StepFailed | None:
    """What Nexus says no to, where it is one of the reasons that it is known to give."""
    text = said(answer)
    for words, (meaning, change) in _REFUSALS.items():
        if text.startswith(words):
            return StepFailed(meaning, hint=change.format(path=client.path), application=client.name)
    if V2.is_absent(answer):
        told = "Nexus knows no living application with this client id"
        return StepFailed(told, hint=f"registrar show {client.path}", application=client.name)
    return None

"""Nexus's authorization-code handshake: codes, the order of the checks, and the URL a browser is sent back to."""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote_plus, urlsplit

from registrar.sandbox.dotnet_errors import InvalidOperationError, KeyNotFoundError, SecurityError, UriFormatError
from registrar.sandbox.nexus_store import Clock, is_secret
from registrar.sandbox.nexus_tokens import Tokens
from registrar.sandbox.state import State

_LIFE_S = 600.0
_KEPT_AFTER_USE_S = 60.0
_DEFAULT_MINUTES = 480.0
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"[a-z0-9._~-]+|[0-9a-f:.]*:[0-9a-f:.]*")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client presents for a token."""

    code: str
    client_id: str
    client_secret: str
    redirect_uri: str
    state: str
    minutes: float | None

    @property
    def minutes_or_default(self) -> float:
        return _DEFAULT_MINUTES if self.minutes is None else self.minutes


class Handshake:
    """The codes handed out and not yet forgotten."""

    def __init__(self, state: State, tokens: Tokens, clock: Clock = time.time) -> None:
        self._state = state
        self._tokens = tokens
        self._clock = clock

    def authorize(self, client_id: str, redirect_uri: str, state: str, user_id: int) -> str:
        """The URL to send the browser to; user 0 is nobody, and gets a code all the same."""
        now, code = self._clock(), secrets.token_urlsafe(32)
        with self._state.transaction() as db:
            application = _active(db, client_id)
            _check_redirect(redirect_uri, application)
            db.execute("DELETE FROM nexus_code WHERE kept_until < ?", (now,))
            db.execute(
                "INSERT INTO nexus_code (code, application_id, user_id, state, kept_until) VALUES (?, ?, ?, ?, ?)",
                (code, application["id"], user_id, state, now + _LIFE_S),
            )
        return callback_url(redirect_uri, code, state)

    def exchange(self, offer: Exchange) -> str:
        """The token; a check that fails leaves the code usable."""
        with self._state.transaction() as db:
            user_id = _consume(db, offer, self._clock())
        key = self._tokens.create_key(user_id, offer.client_id)
        return self._tokens.create_token(key, offer.minutes_or_default)


def _consume(db: sqlite3.Connection, offer: Exchange, now: float) -> int:
    row = db.execute("SELECT * FROM nexus_code WHERE code = ?", (offer.code,)).fetchone()
    # the cache forgets a code the moment it expires, so nobody is ever told that it has
    if row is None or row["kept_until"] < now:
        raise InvalidOperationError("Invalid authorization code")
    if row["used"]:
        raise InvalidOperationError("Authorization code has already been used")
    application = _active(db, offer.client_id)
    if application["id"] != row["application_id"]:
        raise InvalidOperationError(
            f"Token exchange attempt with mismatched client_id. "
            f"Expected application ID: {row['application_id']}, Got: {application['id']}"
        )
    _check_redirect(offer.redirect_uri, application)
    if not is_secret(offer.client_secret, application["secret_hash"]):
        raise InvalidOperationError(
            f"Token exchange attempt with invalid client_secret for client_id: {offer.client_id}"
        )
    if offer.state != row["state"]:
        raise SecurityError("State parameter mismatch - possible CSRF attack")
    user_id = int(row["user_id"])
    if db.execute("SELECT 1 FROM nexus_user WHERE id = ?", (user_id,)).fetchone() is None:
        raise InvalidOperationError(f"Token exchange attempt with missing userId: {user_id}")
    kept_until = now + _KEPT_AFTER_USE_S
    db.execute("UPDATE nexus_code SET used = 1, kept_until = ? WHERE code = ?", (kept_until, offer.code))
    return user_id


def _active(db: sqlite3.Connection, client_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT id, secret_hash, callback_url FROM nexus_application WHERE client_id = ? AND NOT is_archived",
        (client_id,),
    ).fetchone()
    if row is None:
        raise KeyNotFoundError(f"Authorization attempt with invalid client_id: {client_id}")
    return row


def _check_redirect(redirect_uri: str, application: sqlite3.Row) -> None:
    if redirect_uri.lower() != application["callback_url"].lower():
        raise InvalidOperationError(f"Token exchange attempt with unknown redirect_uri: {redirect_uri}")


def callback_url(redirect_uri: str, code: str, state: str) -> str:
    """`redirect_uri` with code and state, as .NET's UriBuilder prints it: lower-case host, default port spelled out."""
    absolute = redirect_uri if _SCHEME.match(redirect_uri) else f"http://{redirect_uri}"
    try:
        parts = urlsplit(absolute)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise UriFormatError("Invalid URI: Invalid port specified.") from None
    path = quote(parts.path, safe="%/:@!$&'()*+,;=~")
    if parts.netloc or parts.scheme in _PORTS:
        host = parts.hostname or ""
        if not _HOST.fullmatch(host):
            raise UriFormatError("Invalid URI: The hostname could not be parsed.")
        user, at, _ = parts.netloc.rpartition("@")
        shown = f"[{host}]" if ":" in host else host
        authority = f"//{quote(user, safe='%:!$&()*+,;=~')}{at}{shown}" + (f":{port}" if port else "")
        path = path or "/"
    else:
        authority = ""
    fragment = f"#{quote(parts.fragment, safe='%/?:@!$&()*+,;=~')}" if parts.fragment else ""
    return f"{parts.scheme}:{authority}{path}?{_with_answer(parts.query, code, state)}{fragment}"


def _with_answer(query: str, code: str, state: str) -> str:
    answer = {"code": code, "state": state}
    kept: list[str] = []
    for item in query.split("&") if query else ():
        name, equals, value = item.partition("=")
        if unquote_plus(name).lower() not in answer:
            kept.append(f"{_url_encoded(unquote_plus(name))}{equals}{_url_encoded(unquote_plus(value))}")
    return "&".join([*kept, *(f"{name}={_url_encoded(value)}" for name, value in answer.items())])


def _url_encoded(text: str) -> str:
    # HttpUtility writes its escapes in lower case and, unlike RFC 3986, escapes the tilde
    escaped = quote_plus(text, safe="!*()").replace("~", "%7e")
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), escaped)

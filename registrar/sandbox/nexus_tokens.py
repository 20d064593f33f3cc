"""Nexus's API keys and JWTs: who has which, and whose request this is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import secrets
import sqlite3
import time
import uuid
from typing import Any

from registrar.sandbox.aspnet import encoded
from registrar.sandbox.dotnet_errors import (
    ArgumentOutOfRangeError,
    InvalidOperationError,
    KeyNotFoundError,
    UnauthorizedAccessError,
    UnreadableTokenError,
)
from registrar.sandbox.http import Request
from registrar.sandbox.nexus_store import ApiKey, Clock, User, add_key, as_user, is_secret, new_key
from registrar.sandbox.state import State

_DEFAULT_MINUTES = 60.0
_YEAR_10000 = 253_402_300_800
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Tokens:
    """The api_keys and oauth_tokens tables."""

    def __init__(self, state: State, clock: Clock = time.time) -> None:
        self._state = state
        self._clock = clock
        self._signing_key = state.setting("nexus jwt key", secrets.token_urlsafe(32)).encode()

    def create_key(self, user_id: int, client_id: str | None) -> ApiKey:
        key = ApiKey(new_key(), new_key())
        with self._state.transaction() as db:
            if db.execute("SELECT 1 FROM nexus_user WHERE id = ?", (user_id,)).fetchone() is None:
                raise KeyNotFoundError(f"User with id {user_id} not found")
            application_id = None
            if client_id:
                query = "SELECT id FROM nexus_application WHERE client_id = ? AND NOT is_archived"
                row = db.execute(query, (client_id,)).fetchone()
                if row is None:
                    raise KeyNotFoundError(
                        f"OAuth application with ClientId '{client_id}' not found or has been archived."
                    )
                application_id = row["id"]
            add_key(db, key, user_id, application_id)
        return key

    def delete_key(self, user_id: int, key: str) -> None:
        with self._state.transaction() as db:
            if not db.execute("DELETE FROM nexus_api_key WHERE key = ? AND user_id = ?", (key, user_id)).rowcount:
                raise KeyNotFoundError(f"Key {key} not found.")

    def keys(self, user_id: int) -> list[str]:
        with self._state.transaction() as db:
            rows = db.execute("SELECT key FROM nexus_api_key WHERE user_id = ? ORDER BY id", (user_id,)).fetchall()
        return [row["key"] for row in rows]

    def create_token(self, key: ApiKey, minutes: float | None) -> str:
        """A JWT for the key's user; null, zero and negative minutes mean an hour."""
        now = self._clock()
        life = minutes if minutes is not None and minutes > 0 else _DEFAULT_MINUTES
        with self._state.transaction() as db:
            row = self._checked(db, key)
            if not math.isfinite(life) or now + life * 60 >= _YEAR_10000:
                raise ArgumentOutOfRangeError(
                    "The added or subtracted value results in an un-representable DateTime. (Parameter 'value')"
                )
            email, jti, issued = row["email"].lower(), str(uuid.uuid4()), int(now)
            db.execute(
                "INSERT INTO nexus_token (hash, user_id, application_id) VALUES (?, ?, ?)",
                (_hash(jti), row["user_id"], row["application_id"]),
            )
        claims = {"sub": email, "name": email, "jti": jti, "iat": issued, "apiKey": key.api_key, "nbf": issued}
        return self._signed({**claims, "exp": int(now + life * 60)})

    def revoke_all(self, user_id: int) -> int:
        with self._state.transaction() as db:
            done = db.execute("UPDATE nexus_token SET revoked = 1 WHERE user_id = ? AND NOT revoked", (user_id,))
        return done.rowcount

    def user_of(self, token: str) -> User | None:
        """Whose token this is, None when it is nobody's; one that looks like a JWT and is none is not even caught."""
        if not _JWT.fullmatch(token):
            return None
        header, payload, signature = token.split(".")
        algorithm, claims = _decoded(header).get("alg"), _decoded(payload)
        if not isinstance(algorithm, str):
            raise UnreadableTokenError("Object reference not set to an instance of an object.")
        signed = self._signature(f"{header}.{payload}")
        if not algorithm.upper().startswith("HS") or not hmac.compare_digest(signed, signature):
            return None
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT u.* FROM nexus_token t JOIN nexus_user u ON u.id = t.user_id"
                " JOIN nexus_api_key k ON k.key = ? AND k.user_id = u.id WHERE t.hash = ? AND NOT t.revoked",
                (claims["apiKey"], _hash(claims["jti"])),
            ).fetchone()
        if row is None or claims["exp"] < self._clock():
            return None
        return as_user(row)

    def _checked(self, db: sqlite3.Connection, key: ApiKey) -> sqlite3.Row:
        row: sqlite3.Row | None = db.execute(
            "SELECT k.secret_hash, k.user_id, k.application_id, u.email, a.is_archived FROM nexus_api_key k"
            " JOIN nexus_user u ON u.id = k.user_id LEFT JOIN nexus_application a ON a.id = k.application_id"
            " WHERE k.key = ?",
            (key.api_key,),
        ).fetchone()
        if row is None:
            raise KeyNotFoundError("API key not found")
        if not is_secret(key.api_secret, row["secret_hash"]):
            raise UnauthorizedAccessError("Invalid API credentials")
        if row["is_archived"]:
            raise InvalidOperationError(
                f"OAuth application with ID '{row['application_id']}' not found or has been archived."
                " Cannot create token."
            )
        return row

    def _signed(self, claims: dict[str, Any]) -> str:
        head, body = (_base64url(encoded(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{head}.{body}.{self._signature(f'{head}.{body}')}"

    def _signature(self, signed: str) -> str:
        return _base64url(hmac.digest(self._signing_key, signed.encode(), "sha256"))


def bearer(request: Request) -> str:
    """The token a request carries, as Nexus looks for it: header, query, cookie; empty where there is none."""
    header = request.headers.get("authorization", "")
    if header[:7].lower() == "bearer ":
        return header[7:]
    for name, value in request.query if "token" in request.query_string.lower() else ():
        if name.lower() == "token" and value:
            return value
    return request.cookie("access_token")


def _hash(jti: str) -> str:
    return base64.b64encode(hashlib.sha256(jti.encode()).digest()).decode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(part: str) -> dict[str, Any]:
    try:
        decoded = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise UnreadableTokenError(
            "IDX12729: Unable to decode the header '[PII of type 'System.String' is hidden.]'"
            " as Base64Url encoded string."
        )
    return decoded

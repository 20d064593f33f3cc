"""Nexus's device authorization: codes for a program without a browser, a user's decision, and refresh tokens.

From Nexus's source; no recording covers it. Owns the order of the checks and what is kept, which is never a code in
clear; wording of HTTP belongs to the layers above.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
import time
from typing import Any
from urllib.parse import quote

from registrar.sandbox.dotnet_errors import OauthError
from registrar.sandbox.nexus_store import Clock, printed
from registrar.sandbox.nexus_tokens import Tokens
from registrar.sandbox.state import State

_LIFE_S = 900
_INTERVAL_S = 5
_SLOWER_S = 5
_TOKEN_MINUTES = 480
_REFRESH_LIFE_S = 30 * 24 * 60 * 60
_ALPHABET = "23456789BCDFGHJKLMNPQRSTVWXZ"
_DEVICE = (
    "SELECT d.*, a.client_id, a.name FROM nexus_device d"
    " JOIN nexus_application a ON a.id = d.application_id AND NOT a.is_archived WHERE d.user_hash = ?"
)


class Devices:
    """The requests of devices that wait for a user, and the refresh tokens of those that were approved."""

    def __init__(self, state: State, tokens: Tokens, clock: Clock = time.time) -> None:
        self._state = state
        self._tokens = tokens
        self._clock = clock

    def begin(self, client_id: str, scope: str, verification_uri: str) -> dict[str, Any]:
        """The answer to a device: its code, and the one that its user has to type or follow."""
        _require(client_id=client_id)
        device_code = secrets.token_urlsafe(32)
        user_code = _formatted("".join(secrets.choice(_ALPHABET) for _ in range(8)))
        with self._state.transaction() as db:
            row = {
                "device": _hash(device_code),
                "user": _hash(_normal(user_code)),
                "application": _application(db, client_id),
                "scope": scope.strip() or None,
                "interval": _INTERVAL_S,
                "expires_at": self._clock() + _LIFE_S,
            }
            db.execute(
                "INSERT INTO nexus_device (device_hash, user_hash, application_id, scope, interval_s, expires_at)"
                " VALUES (:device, :user, :application, :scope, :interval, :expires_at)",
                row,
            )
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": f"{verification_uri}?user_code={quote(user_code, safe='')}",
            "expires_in": _LIFE_S,
            "interval": _INTERVAL_S,
        }

    def grant(self, device_code: str, client_id: str) -> dict[str, Any]:
        """The tokens of a device whose user approved; raises what a device that polls is told otherwise."""
        _require(device_code=device_code, client_id=client_id)
        now = self._clock()
        refresh_token = secrets.token_urlsafe(64)
        with self._state.transaction() as db:
            application_id = _application(db, client_id)
            refusal, user_id = _polled(db, _hash(device_code), application_id, now)
            if not refusal:
                db.execute(
                    "INSERT INTO nexus_refresh_token (hash, user_id, application_id, expires_at) VALUES (?, ?, ?, ?)",
                    (_hash(refresh_token), user_id, application_id, now + _REFRESH_LIFE_S),
                )
        if refusal:
            raise OauthError(refusal, refusal)
        return self._issued(user_id, client_id, refresh_token)

    def refresh(self, refresh_token: str, client_id: str) -> dict[str, Any]:
        """One more access token; the refresh token stays as it is, and lives no longer."""
        _require(refresh_token=refresh_token, client_id=client_id)
        with self._state.transaction() as db:
            application_id = _application(db, client_id)
            _sweep(db, self._clock())
            query = "SELECT user_id FROM nexus_refresh_token WHERE hash = ? AND application_id = ?"
            row = db.execute(query, (_hash(refresh_token), application_id)).fetchone()
        if row is None:
            raise OauthError("invalid_grant", "invalid_grant")
        return self._issued(row["user_id"], client_id, refresh_token)

    def look_up(self, user_code: str) -> dict[str, Any]:
        """What a user is shown before deciding; a request that has expired is shown once, and forgotten."""
        with self._state.transaction() as db:
            return _shown(self._asked(db, user_code), user_code)

    def decide(self, user_code: str, user_id: int, *, approve: bool) -> dict[str, Any]:
        """The user's word, which is given once."""
        with self._state.transaction() as db:
            found = self._asked(db, user_code)
            status = str(found["status"])
            if status == "pending":
                found["status"] = "approved" if approve else "denied"
                db.execute(
                    "UPDATE nexus_device SET status = ?, user_id = ? WHERE user_hash = ?",
                    (found["status"], user_id, _hash(_normal(user_code))),
                )
        if status != "pending":
            passed = "has expired" if status == "expired" else f"is {status}"
            raise OauthError("invalid_request", f"Device authorization request {passed}")
        return _shown(found, user_code)

    def _asked(self, db: sqlite3.Connection, user_code: str) -> dict[str, Any]:
        _require(user_code=user_code)
        row = db.execute(_DEVICE, (_hash(_normal(user_code)),)).fetchone()
        if row is None:
            raise OauthError("invalid_request", "Device authorization request not found", 404)
        if row["expires_at"] > self._clock():
            return dict(row)
        _sweep(db, self._clock())
        return {**row, "status": "expired"}

    def _issued(self, user_id: int, client_id: str, refresh_token: str) -> dict[str, Any]:
        token = self._tokens.create_token(self._tokens.create_key(user_id, client_id), _TOKEN_MINUTES)
        return {
            "access_token": token,
            "refresh_token": refresh_token,
            "token_type": "Bearer",
            "expires_in": _TOKEN_MINUTES * 60,
        }


def _polled(db: sqlite3.Connection, device_hash: str, application_id: int, now: float) -> tuple[str, int]:
    """RFC 8628's word for a poll and user 0, or no word and the user whose tokens are due, once."""
    query = "SELECT * FROM nexus_device WHERE device_hash = ? AND application_id = ?"
    row = db.execute(query, (device_hash, application_id)).fetchone()
    if row is None:
        return "invalid_grant", 0
    if row["expires_at"] <= now:
        _sweep(db, now)
        return "expired_token", 0
    if row["status"] == "approved":
        db.execute("DELETE FROM nexus_device WHERE device_hash = ?", (device_hash,))
        _sweep(db, now)
        return "", int(row["user_id"])
    # only who has to wait is told to slow down
    is_pending = row["status"] == "pending"
    is_too_soon = is_pending and row["last_polled_at"] is not None and row["last_polled_at"] + row["interval_s"] > now
    db.execute(
        "UPDATE nexus_device SET last_polled_at = ?, interval_s = ? WHERE device_hash = ?",
        (now, row["interval_s"] + (_SLOWER_S if is_too_soon else 0), device_hash),
    )
    if is_too_soon:
        return "slow_down", 0
    return "authorization_pending" if is_pending else "access_denied", 0


def _sweep(db: sqlite3.Connection, now: float) -> None:
    # so the second poll after an expiry is told invalid_grant
    db.execute("DELETE FROM nexus_device WHERE expires_at <= ?", (now,))
    db.execute("DELETE FROM nexus_refresh_token WHERE expires_at <= ?", (now,))


def _application(db: sqlite3.Connection, client_id: str) -> int:
    query = "SELECT id FROM nexus_application WHERE client_id = ? AND NOT is_archived"
    row = db.execute(query, (client_id,)).fetchone()
    if row is None:
        words = f"OAuth application with ClientId '{client_id}' not found or has been archived."
        raise OauthError("invalid_client", words, 404)
    return int(row["id"])


def _shown(found: dict[str, Any], user_code: str) -> dict[str, Any]:
    return {
        "user_code": _formatted(_normal(user_code)),
        "client_id": found["client_id"],
        "application_name": found["name"],
        "scope": found["scope"],
        "expires_at": f"{printed(int(found['expires_at'] * 10**6) * 10, 6)}Z",
        "status": found["status"],
    }


def _require(**given: str) -> None:
    for name, value in given.items():
        if not value.strip():
            raise OauthError("invalid_request", f"{name} is required")


def _normal(user_code: str) -> str:
    return user_code.replace("-", "").replace(" ", "").strip().upper()


def _formatted(user_code: str) -> str:
    return f"{user_code[:4]}-{user_code[4:]}" if len(user_code) == 8 else user_code


def _hash(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()

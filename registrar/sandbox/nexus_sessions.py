"""Who is signed in to the frontend in which browser: the cookie, and the sessions that it opens.

The cookie is the frontend's alone; Nexus's API never looks at it.
"""

from __future__ import annotations

import hashlib
import secrets
import time

from registrar.sandbox.http import Request
from registrar.sandbox.nexus_store import Clock, User, as_user
from registrar.sandbox.state import State

_COOKIE = "nexus_sandbox_session"
_LIFE_S = 8 * 60 * 60
_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"


class Sessions:
    """The sessions that were begun, and neither ended nor expired."""

    def __init__(self, state: State, clock: Clock = time.time) -> None:
        self._state = state
        self._clock = clock

    def begin(self, request: Request, user_id: int) -> str | None:
        """The Set-Cookie of a new session in the browser that asks, in place of its old one; None for no such user."""
        session, now = secrets.token_urlsafe(32), self._clock()
        with self._state.transaction() as db:
            if db.execute("SELECT 1 FROM nexus_user WHERE id = ?", (user_id,)).fetchone() is None:
                return None
            old = _hash(request.cookie(_COOKIE))
            db.execute("DELETE FROM nexus_session WHERE hash = ? OR expires_at <= ?", (old, now))
            db.execute("INSERT INTO nexus_session VALUES (?, ?, ?)", (_hash(session), user_id, now + _LIFE_S))
        return f"{_COOKIE}={session}; Max-Age={_LIFE_S}; {_ATTRIBUTES}"

    def user_of(self, request: Request) -> User | None:
        query = (
            "SELECT u.* FROM nexus_session s JOIN nexus_user u ON u.id = s.user_id"
            " WHERE s.hash = ? AND s.expires_at > ?"
        )
        with self._state.transaction() as db:
            row = db.execute(query, (_hash(request.cookie(_COOKIE)), self._clock())).fetchone()
        return as_user(row) if row else None

    def end(self, request: Request) -> str:
        """The Set-Cookie that takes the cookie away."""
        with self._state.transaction() as db:
            db.execute("DELETE FROM nexus_session WHERE hash = ?", (_hash(request.cookie(_COOKIE)),))
        return f"{_COOKIE}=; Max-Age=0; {_ATTRIBUTES}"


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()

"""What Nexus keeps: its tables in the shared state, its users, and the rules of an application's life.

Raises what Nexus's business layer throws; wording and HTTP belong to the layers above.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from registrar.sandbox.dotnet_errors import KeyNotFoundError, SavingError
from registrar.sandbox.state import State

_TABLES = (
    """CREATE TABLE IF NOT EXISTS nexus_user (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, username TEXT NOT NULL,
        is_sys_admin INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS nexus_application (
        id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL UNIQUE, secret_hash BLOB NOT NULL,
        name TEXT NOT NULL, description TEXT, callback_url TEXT NOT NULL, base_url TEXT, app_owner_email TEXT,
        is_archived INTEGER NOT NULL DEFAULT 0, last_updated_at TEXT NOT NULL,
        last_updated_by INTEGER REFERENCES nexus_user (id), place INTEGER NOT NULL
    ) STRICT""",
    """CREATE VIEW IF NOT EXISTS nexus_application_shown AS
        SELECT id, client_id AS clientId, name, description, callback_url AS callbackUrl, base_url AS baseUrl,
            app_owner_email AS appOwnerEmail, is_archived AS isArchived, last_updated_at AS lastUpdatedAt,
            last_updated_by AS lastUpdatedBy, place
        FROM nexus_application""",
    "CREATE INDEX IF NOT EXISTS nexus_application_place ON nexus_application (place)",
    "CREATE INDEX IF NOT EXISTS nexus_application_archived ON nexus_application (is_archived, id)",
    """CREATE TABLE IF NOT EXISTS nexus_api_key (
        id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, secret_hash BLOB NOT NULL,
        user_id INTEGER NOT NULL REFERENCES nexus_user (id),
        application_id INTEGER REFERENCES nexus_application (id) ON DELETE CASCADE
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS nexus_api_key_user ON nexus_api_key (user_id)",
    "CREATE INDEX IF NOT EXISTS nexus_api_key_application ON nexus_api_key (application_id)",
    # no cascade here: an application that issued a token cannot be deleted
    """CREATE TABLE IF NOT EXISTS nexus_token (
        hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES nexus_user (id),
        application_id INTEGER REFERENCES nexus_application (id), revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS nexus_token_user ON nexus_token (user_id, revoked)",
    "CREATE INDEX IF NOT EXISTS nexus_token_application ON nexus_token (application_id)",
    """CREATE TABLE IF NOT EXISTS nexus_code (
        code TEXT PRIMARY KEY, application_id INTEGER NOT NULL, user_id INTEGER NOT NULL, state TEXT NOT NULL,
        used INTEGER NOT NULL DEFAULT 0, kept_until REAL NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS nexus_code_kept_until ON nexus_code (kept_until)",
    """CREATE TABLE IF NOT EXISTS nexus_device (
        device_hash TEXT PRIMARY KEY, user_hash TEXT NOT NULL UNIQUE,
        application_id INTEGER NOT NULL REFERENCES nexus_application (id) ON DELETE CASCADE,
        user_id INTEGER REFERENCES nexus_user (id), scope TEXT, status TEXT NOT NULL DEFAULT 'pending',
        interval_s INTEGER NOT NULL, expires_at REAL NOT NULL, last_polled_at REAL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS nexus_refresh_token (
        hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES nexus_user (id),
        application_id INTEGER NOT NULL REFERENCES nexus_application (id) ON DELETE CASCADE, expires_at REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS nexus_session (
        hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES nexus_user (id), expires_at REAL NOT NULL
    ) STRICT""",
)
_COLUMNS = {
    "Name": "name",
    "Description": "description",
    "CallbackUrl": "callback_url",
    "BaseUrl": "base_url",
    "AppOwnerEmail": "app_owner_email",
}

Fields = Mapping[str, str | None]
"""An application's fields under their C# names."""

Clock = Callable[[], float]
"""What time it is for all that expires, in seconds since 1970."""


class ApiKey(NamedTuple):
    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True)
class User:
    id: int
    name: str
    email: str
    username: str
    is_sys_admin: bool


USERS = (
    User(1, "developer@localhost", "developer@localhost", "developer@localhost", is_sys_admin=True),
    User(2, "plain", "plain@example.test", "plain", is_sys_admin=False),
    User(3, "reviewer", "reviewer@example.test", "reviewer", is_sys_admin=False),
)

NOBODY = User(0, "", "", "", is_sys_admin=False)


def as_user(row: sqlite3.Row) -> User:
    """A row of nexus_user."""
    return User(row["id"], row["name"], row["email"], row["username"], is_sys_admin=bool(row["is_sys_admin"]))


def new_key() -> str:
    """86 characters of base64url: client secrets, API keys and API secrets alike."""
    return secrets.token_urlsafe(64)


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret."""
    # Nexus keeps bcrypt, which looks at 72 bytes and costs 0.12 s; a fast hash protects 512 random bits as well
    return hashlib.sha256(secret.encode()[:72]).digest()


def is_secret(secret: str, kept: bytes) -> bool:
    return hmac.compare_digest(secret_hash(secret), kept)


def ticks_now() -> int:
    """Now in .NET's unit: tenths of a microsecond."""
    return time.time_ns() // 100


def printed(ticks: int, digits: int = 7) -> str:
    """A time as .NET prints it, without a zone: at most `digits` of a fraction, no trailing zeros."""
    seconds, rest = divmod(ticks, 10_000_000)
    fraction = f"{rest:07}"[:digits].rstrip("0")
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{fraction}" if fraction else whole


def open_tables(state: State) -> list[ApiKey]:
    """Make the tables and users where they are missing; the key that each of USERS was given first."""
    first_keys = []
    for user in USERS:
        kept = state.setting(f"nexus api key of user {user.id}", f"{new_key()} {new_key()}")
        first_keys.append(ApiKey(*kept.split(" ")))
    with state.transaction() as db:
        for statement in _TABLES:
            db.execute(statement)
        for user, key in zip(USERS, first_keys, strict=True):
            row = (user.id, user.name, user.email, user.username, int(user.is_sys_admin))
            # a key that was deleted does not come back with the next process
            if db.execute("INSERT OR IGNORE INTO nexus_user VALUES (?, ?, ?, ?, ?)", row).rowcount:
                add_key(db, key, user.id, None)
    return first_keys


def add_key(db: sqlite3.Connection, key: ApiKey, user_id: int, application_id: int | None) -> None:
    row = (key.api_key, secret_hash(key.api_secret), user_id, application_id)
    db.execute("INSERT INTO nexus_api_key (key, secret_hash, user_id, application_id) VALUES (?, ?, ?, ?)", row)


class Applications:
    """The oauth_applications table and what may be done to a row in which state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def everything(self, *, hide_archived: bool) -> list[dict[str, Any]]:
        """Unpaged, as the rows lie: PostgreSQL writes an updated row anew, behind the others."""
        query = "SELECT * FROM nexus_application_shown WHERE isArchived <= ? ORDER BY place"
        with self._state.transaction() as db:
            rows = db.execute(query, (int(not hide_archived),)).fetchall()
        return [_shown(row) for row in rows]

    def page(self, number: int, size: int, *, hide_archived: bool) -> tuple[list[dict[str, Any]], int]:
        """One page by id, and how many there are in all; size -1 is everything."""
        counting = "SELECT count(*) FROM nexus_application WHERE is_archived <= ?"
        query = "SELECT * FROM nexus_application_shown WHERE isArchived <= ? ORDER BY id LIMIT ? OFFSET ?"
        highest = int(not hide_archived)
        with self._state.transaction() as db:
            total = int(db.execute(counting, (highest,)).fetchone()[0])
            skipped = (number - 1) * (total if size < 0 else size)
            rows = db.execute(query, (highest, size, skipped)).fetchall()
        return [_shown(row) for row in rows], total

    def get(self, application_id: int, *, hide_archived: bool) -> dict[str, Any]:
        with self._state.transaction() as db:
            row = _found(db, application_id)
        if hide_archived and row["isArchived"]:
            raise KeyNotFoundError(f"Oauth application with id {application_id} is archived")
        return _shown(row)

    def of_client(self, client_id: str) -> dict[str, Any] | None:
        """The application with this client id, None where there is none or it is archived."""
        query = "SELECT * FROM nexus_application_shown WHERE clientId = ? AND NOT isArchived"
        with self._state.transaction() as db:
            row = db.execute(query, (client_id,)).fetchone()
        return _shown(row) if row else None

    def create(self, fields: Fields, user_id: int) -> dict[str, str]:
        """The answer to a create: the only time the secret is shown, and without the id."""
        _refuse_nul(fields)
        client_id, secret = secrets.token_urlsafe(32), new_key()
        row: dict[str, Any] = {column: fields.get(name) for name, column in _COLUMNS.items()}
        row |= {"client_id": client_id, "secret_hash": secret_hash(secret), "user_id": user_id}
        row["now"] = printed(ticks_now(), 6)
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO nexus_application (client_id, secret_hash, name, description, callback_url, base_url,"
                " app_owner_email, last_updated_at, last_updated_by, place) VALUES (:client_id, :secret_hash, :name,"
                " :description, :callback_url, :base_url, :app_owner_email, :now, :user_id,"
                " (SELECT ifnull(max(place), 0) + 1 FROM nexus_application))",
                row,
            )
        return {"name": row["name"], "clientId": client_id, "clientSecretRaw": secret}

    def update(self, application_id: int, fields: Fields, user_id: int) -> dict[str, Any]:
        """A null keeps what is stored, an empty string does not."""
        now = ticks_now()
        row: dict[str, Any] = {column: fields.get(name) for name, column in _COLUMNS.items()}
        row |= {"id": application_id, "user_id": user_id, "now": printed(now, 6)}
        with self._state.transaction() as db:
            _expect(db, application_id, archived=False)
            _refuse_nul(fields)
            db.execute(
                "UPDATE nexus_application SET name = ifnull(:name, name),"
                " description = ifnull(:description, description), callback_url = ifnull(:callback_url, callback_url),"
                " base_url = ifnull(:base_url, base_url), app_owner_email = ifnull(:app_owner_email, app_owner_email),"
                " last_updated_at = :now, last_updated_by = :user_id,"
                " place = (SELECT max(place) + 1 FROM nexus_application) WHERE id = :id",
                row,
            )
            shown = _shown(_found(db, application_id))
        # the answer is the object in memory, whose time PostgreSQL has not yet cut to microseconds
        return {**shown, "lastUpdatedAt": printed(now)}

    def set_archived(self, application_id: int, user_id: int, *, archived: bool) -> None:
        with self._state.transaction() as db:
            _expect(db, application_id, archived=not archived)
            db.execute(
                "UPDATE nexus_application SET is_archived = ?, last_updated_at = ?, last_updated_by = ?,"
                " place = (SELECT max(place) + 1 FROM nexus_application) WHERE id = ?",
                (int(archived), printed(ticks_now(), 6), user_id, application_id),
            )

    def delete(self, application_id: int) -> None:
        try:
            with self._state.transaction() as db:
                _expect(db, application_id, archived=False)
                db.execute("DELETE FROM nexus_application WHERE id = ?", (application_id,))
        except sqlite3.IntegrityError:
            raise SavingError(
                "23503",
                'update or delete on table "oauth_applications" violates foreign key constraint '
                '"oauth_tokens_application_id_fkey" on table "oauth_tokens"',
            ) from None


def _found(db: sqlite3.Connection, application_id: int) -> sqlite3.Row:
    query = "SELECT * FROM nexus_application_shown WHERE id = ?"
    row: sqlite3.Row | None = db.execute(query, (application_id,)).fetchone()
    if row is None:
        raise KeyNotFoundError(f"Oauth application with id {application_id} not found")
    return row


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    shown = dict(row)
    del shown["place"]
    shown["isArchived"] = bool(shown["isArchived"])
    return shown


def _expect(db: sqlite3.Connection, application_id: int, *, archived: bool) -> None:
    row = db.execute("SELECT is_archived FROM nexus_application WHERE id = ?", (application_id,)).fetchone()
    if row is None or bool(row["is_archived"]) is not archived:
        otherwise = " or is not archived" if archived else ""
        raise KeyNotFoundError(f"Oauth application with id {application_id} not found{otherwise}")


def _refuse_nul(fields: Fields) -> None:
    # PostgreSQL's text holds every character but this one
    if any("\0" in value for value in fields.values() if value):
        raise SavingError("22021", 'invalid byte sequence for encoding "UTF8": 0x00')

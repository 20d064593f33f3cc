"""Tokens, the policies they carry and what these grant, in tables of the sandbox's state."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
from collections.abc import Mapping
from dataclasses import dataclass

from registrar.sandbox.vault import policy
from registrar.sandbox.vault.golang import SECOND
from registrar.sandbox.vault.policy import Acl

TABLES = (
    """CREATE TABLE IF NOT EXISTS vault_token (
        id TEXT PRIMARY KEY,
        accessor TEXT NOT NULL,
        parent TEXT REFERENCES vault_token ON DELETE CASCADE,
        kind TEXT NOT NULL,
        policies TEXT NOT NULL,
        issued INTEGER NOT NULL,
        ttl INTEGER NOT NULL,
        explicit_max_ttl INTEGER NOT NULL,
        expires INTEGER,
        lease INTEGER NOT NULL,
        renewed INTEGER,
        renewable INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        display_name TEXT NOT NULL,
        meta TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS vault_token_parent ON vault_token (parent)",
    """CREATE TABLE IF NOT EXISTS vault_policy (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL,
        version INTEGER NOT NULL,
        modified INTEGER NOT NULL
    ) STRICT""",
)

MAX_TTL = 768 * 3600  # seconds; Vault's system default, and the life of a token that asks for none
_ALPHABET = string.ascii_letters + string.digits


def random_id(length: int = 24) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


@dataclass(frozen=True, slots=True)
class Token:
    """A living token; `uses` is what is left, -1 for the last one, 0 for no limit."""

    id: str
    accessor: str
    parent: str | None
    kind: str
    policies: tuple[str, ...]
    issued: int
    ttl: int
    explicit_max_ttl: int
    expires: int | None
    lease: int  # seconds; what it was granted last, and what a renewal without a wish grants again
    renewed: int | None
    renewable: bool
    uses: int
    display_name: str
    meta: Mapping[str, str] | None

    def remaining(self, now: int) -> int:
        return 0 if self.expires is None else (self.expires - now) // SECOND


class Tokens:
    """All tokens and policies, seen at one moment."""

    def __init__(self, db: sqlite3.Connection, now: int) -> None:
        self._db = db
        self._now = now

    def find(self, id_: str) -> Token | None:
        row = self._db.execute("SELECT * FROM vault_token WHERE id = ?", (id_,)).fetchone()
        if row is None or (row["expires"] is not None and row["expires"] <= self._now):
            return None
        members = {**dict(row), "policies": tuple(json.loads(row["policies"])), "meta": json.loads(row["meta"])}
        return Token(**{**members, "renewable": bool(row["renewable"])})

    def use(self, id_: str) -> Token | None:
        """The token of a request, one use less; the last use leaves -1, and `finish` ends it."""
        self._db.execute("UPDATE vault_token SET uses = iif(uses = 1, -1, uses - 1) WHERE id = ? AND uses > 0", (id_,))
        return self.find(id_)

    def finish(self, token: Token) -> None:
        if token.uses < 0:
            self.revoke(token.id)

    def revoke(self, id_: str) -> None:
        """End a token and all that were made with it."""
        self._db.execute("DELETE FROM vault_token WHERE id = ?", (id_,))

    def renew(self, token: Token, increment: int) -> int:
        """Prolong a token within its longest life and return the seconds it was granted."""
        end = token.issued + (token.explicit_max_ttl or MAX_TTL) * SECOND
        lease = min(increment or token.lease, round((end - self._now) / SECOND))
        self._db.execute(
            "UPDATE vault_token SET expires = ?, lease = ?, renewed = ? WHERE id = ?",
            (self._now + lease * SECOND, lease, self._now, token.id),
        )
        return lease

    def add(self, token: Token) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO vault_token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                token.id,
                token.accessor,
                token.parent,
                token.kind,
                json.dumps(token.policies),
                token.issued,
                token.ttl,
                token.explicit_max_ttl,
                token.expires,
                token.lease,
                token.renewed,
                token.renewable,
                token.uses,
                token.display_name,
                json.dumps(token.meta),
            ),
        )

    def add_root(self, id_: str) -> None:
        """The token that may do everything and never ends."""
        self.add(
            Token(
                id=id_,
                accessor=random_id(),
                parent=None,
                kind="service",
                policies=("root",),
                issued=self._now,
                ttl=0,
                explicit_max_ttl=0,
                expires=None,
                lease=0,
                renewed=None,
                renewable=False,
                uses=0,
                display_name="token",
                meta=None,
            )
        )

    def policy(self, name: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM vault_policy WHERE name = ?", (name,)).fetchone()
        return row

    def policy_names(self) -> list[str]:
        return [row["name"] for row in self._db.execute("SELECT name FROM vault_policy ORDER BY name")]

    def write_policy(self, name: str, text: str) -> None:
        self._db.execute(
            "INSERT INTO vault_policy VALUES (?, ?, 1, ?) ON CONFLICT (name) DO UPDATE"
            " SET text = excluded.text, version = version + 1, modified = excluded.modified",
            (name, text, self._now),
        )

    def delete_policy(self, name: str) -> None:
        self._db.execute("DELETE FROM vault_policy WHERE name = ?", (name,))

    def acl(self, token: Token) -> Acl:
        """What the policies of a token grant; those that do not exist grant nothing."""
        rows = (self.policy(name) for name in token.policies)
        return policy.granted(tuple(row["text"] for row in rows if row))

"""What is mounted where: the secrets engines and the token method, and how Vault describes them."""

from __future__ import annotations

import json
import secrets
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registrar.sandbox.vault.logical import Refused

TABLES = (
    """CREATE TABLE IF NOT EXISTS vault_mount (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        description TEXT NOT NULL,
        options TEXT NOT NULL,
        accessor TEXT NOT NULL,
        uuid TEXT NOT NULL
    ) STRICT""",
)

PLUGIN_VERSION = "v2.6.2+builtin.bao"

_CATALOG = {"database", "kubernetes", "kv", "ldap", "pki", "rabbitmq", "ssh", "totp", "transit"}
_PROTECTED = ("auth/", "cubbyhole/", "identity/", "sys/")
_HEADERS = {"identity": ["Authorization"], "system": ["Accept"]}


@dataclass(frozen=True, slots=True)
class Mount:
    """An engine at a path that ends in a slash; built-in ones have no options at all."""

    id: int
    path: str
    kind: str
    description: str
    options: Mapping[str, str] | None
    accessor: str
    uuid: str

    def facts(self) -> dict[str, Any]:
        """A mount as sys/mounts describes it."""
        config: dict[str, Any] = {"default_lease_ttl": 0, "force_no_cache": False, "max_lease_ttl": 0}
        if self.kind in _HEADERS:
            config["passthrough_request_headers"] = _HEADERS[self.kind]
        if self.kind == "token":
            config["token_type"] = "default-service"  # noqa: S105 - a kind of token
        facts: dict[str, Any] = {
            "accessor": self.accessor,
            "config": config,
            "description": self.description,
            "external_entropy_access": False,
            "local": self.kind == "cubbyhole",
            "options": self.options,
            "plugin_version": "",
            "running_plugin_version": PLUGIN_VERSION,
            "running_sha256": "",
            "seal_wrap": self.kind == "system",
            "type": self.kind,
            "uuid": self.uuid,
        }
        return {**facts, "deprecation_status": "supported"} if self.kind in _CATALOG else facts


class Mounts:
    """The mount table."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def is_empty(self) -> bool:
        return self._db.execute("SELECT 1 FROM vault_mount").fetchone() is None

    def all(self) -> list[Mount]:
        return [_mount(row) for row in self._db.execute("SELECT * FROM vault_mount ORDER BY path")]

    def at(self, path: str) -> Mount | None:
        row = self._db.execute("SELECT * FROM vault_mount WHERE path = ?", (path,)).fetchone()
        return _mount(row) if row else None

    def serving(self, path: str) -> Mount | None:
        """The mount a path belongs to, the innermost one; a mount's own path may come without its slash."""
        for name in (path, path + "/"):
            row = self._db.execute(
                "SELECT * FROM vault_mount WHERE substr(?, 1, length(path)) = path ORDER BY length(path) DESC", (name,)
            ).fetchone()
            if row:
                return _mount(row)
        return None

    def enable(self, path: str, kind: str, description: str, options: Mapping[str, str]) -> None:
        """Mount an engine; a path within another mount's, or around it, is refused."""
        if path.startswith(_PROTECTED):
            raise Refused(f'cannot mount "{path}"')
        for mount in self.all():
            if path.startswith(mount.path) or mount.path.startswith(path):
                raise Refused(f"path is already in use at {mount.path}")
        if kind == "kv-v2":
            kind, options = "kv", {**options, "version": "2"}
        if kind not in _CATALOG:
            raise Refused(f"plugin not found in the catalog: {kind}")
        if kind == "kv" and options.get("version", "1") not in ("1", "2"):
            raise Refused('nil backend of type "kv" returned from factory')
        self.add(path, kind, description, options)

    def add(self, path: str, kind: str, description: str, options: Mapping[str, str] | None) -> None:
        self._db.execute(
            "INSERT INTO vault_mount (path, kind, description, options, accessor, uuid) VALUES (?, ?, ?, ?, ?, ?)",
            (path, kind, description, json.dumps(options), f"{kind}_{secrets.token_hex(4)}", str(uuid.uuid4())),
        )

    def disable(self, path: str) -> None:
        """Unmount an engine and forget all it holds."""
        if path.startswith(_PROTECTED):
            raise Refused(f'cannot unmount "{path}"')
        self._db.execute("DELETE FROM vault_mount WHERE path = ?", (path,))

    def add_first(self) -> None:
        """What a development server has from its start."""
        self.add("auth/token/", "token", "token based credentials", None)
        self.add("cubbyhole/", "cubbyhole", "per-token private secret storage", None)
        self.add("identity/", "identity", "identity store", None)
        self.add("secret/", "kv", "key/value secret storage", {"version": "2"})
        self.add("sys/", "system", "system endpoints used for control, policy and debugging", None)


def _mount(row: sqlite3.Row) -> Mount:
    return Mount(**{**dict(row), "options": json.loads(row["options"])})

"""KV version 1 as Vault mounts it: a path holds what was written last, and `cas` is data like any other."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from registrar.sandbox.vault import fields, golang
from registrar.sandbox.vault.folders import children, descendants
from registrar.sandbox.vault.golang import Malformed
from registrar.sandbox.vault.logical import Call, Handler, Operation, Refused, Reply, Route, absent

TABLES = (
    """CREATE TABLE IF NOT EXISTS vault_kv1 (
        mount INTEGER NOT NULL REFERENCES vault_mount ON DELETE CASCADE,
        path TEXT NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (mount, path)
    ) STRICT, WITHOUT ROWID""",
)

_LEASE = 2_764_800  # seconds; Vault's system default


class KV1:
    """The keys of one mount."""

    def __init__(self, db: sqlite3.Connection, mount: int) -> None:
        self._db = db
        self._mount = mount

    def routes(self) -> Sequence[Route]:
        handlers: dict[Operation, Handler] = {
            "read": self._read,
            "write": self._write,
            "delete": self._delete,
            "list": self._list,
            "scan": self._scan,
        }
        return (Route("(.*)", handlers, has_existence_check=True),)

    def exists(self, path: str) -> bool:
        return self._data(path) is not None

    def _data(self, path: str) -> dict[str, Any] | None:
        row = self._db.execute(
            "SELECT data FROM vault_kv1 WHERE mount = ? AND path = ?", (self._mount, path)
        ).fetchone()
        return json.loads(row["data"]) if row else None

    def _read(self, call: Call) -> Reply:
        data = self._data(call.path)
        if data is None:
            raise absent()
        return Reply(data, lease_duration=_lease(data))

    def _write(self, call: Call) -> None:
        if not call.path:
            raise Refused("missing path")
        if not call.given:
            raise Refused("missing data fields")
        self._db.execute(
            "INSERT OR REPLACE INTO vault_kv1 VALUES (?, ?, ?)", (self._mount, call.path, json.dumps(call.given))
        )

    def _delete(self, call: Call) -> None:
        self._db.execute("DELETE FROM vault_kv1 WHERE mount = ? AND path = ?", (self._mount, call.path))

    def _list(self, call: Call) -> Reply:
        names = list(children(self._paths, call.path))
        if not names:
            raise absent()
        return Reply({"keys": names})

    def _scan(self, call: Call) -> Reply:
        names = list(descendants(self._paths, call.path))
        return Reply({"keys": names} if names else {})

    def _paths(self, start: str, end: str) -> Iterator[str]:
        rows = self._db.execute(
            "SELECT path FROM vault_kv1 WHERE mount = ? AND path >= ? AND path < ? ORDER BY path",
            (self._mount, start, end),
        )
        return (row["path"] for row in rows)


def _lease(data: Mapping[str, Any]) -> int:
    """How long a version 1 secret says it may be kept: its own `ttl` or `lease`, else 32 days."""
    try:
        value = data.get("ttl", data.get("lease", ""))
        return (golang.seconds(value) if isinstance(value, str) else fields.integer(value)) or _LEASE
    except Malformed:
        return _LEASE

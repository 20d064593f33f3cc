"""KV version 2: versions, check-and-set, custom metadata, deletion and eviction, in tables of the sandbox's state.

Owns the keys of every mount; knows neither HTTP nor tokens. A Store lives inside one transaction, so what it checks
still holds when it writes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registrar.sandbox.vault.golang import LAST, SECOND, duration, timestamp
from registrar.sandbox.vault.logical import Refused

TABLES = (
    """CREATE TABLE IF NOT EXISTS vault_kv_config (
        mount INTEGER PRIMARY KEY REFERENCES vault_mount ON DELETE CASCADE,
        max_versions INTEGER NOT NULL DEFAULT 0,
        cas_required INTEGER NOT NULL DEFAULT 0,
        metadata_cas_required INTEGER NOT NULL DEFAULT 0,
        delete_version_after INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS vault_kv_key (
        id INTEGER PRIMARY KEY,
        mount INTEGER NOT NULL REFERENCES vault_mount ON DELETE CASCADE,
        path TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        current_version INTEGER NOT NULL DEFAULT 0,
        oldest_version INTEGER NOT NULL DEFAULT 0,
        metadata_version INTEGER NOT NULL DEFAULT 0,
        max_versions INTEGER NOT NULL DEFAULT 0,
        cas_required INTEGER NOT NULL DEFAULT 0,
        metadata_cas_required INTEGER NOT NULL DEFAULT 0,
        delete_version_after INTEGER NOT NULL DEFAULT 0,
        custom_metadata TEXT NOT NULL DEFAULT 'null',
        UNIQUE (mount, path)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS vault_kv_version (
        key INTEGER NOT NULL REFERENCES vault_kv_key ON DELETE CASCADE,
        number INTEGER NOT NULL,
        created INTEGER NOT NULL,
        deletion INTEGER,
        destroyed INTEGER NOT NULL DEFAULT 0,
        data TEXT,
        PRIMARY KEY (key, number)
    ) STRICT, WITHOUT ROWID""",
)

_DEFAULT_MAX_VERSIONS = 10
_SETTINGS = ("max_versions", "cas_required", "metadata_cas_required", "delete_version_after")


@dataclass(frozen=True, slots=True)
class Config:
    """A mount's settings; a key's own have the same names."""

    max_versions: int
    cas_required: bool
    metadata_cas_required: bool
    delete_version_after: int  # seconds; on a mount a negative one means never, whatever the key says


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its metadata; versions are counted from 1, 0 is none."""

    id: int
    path: str
    created: int
    updated: int
    current_version: int
    oldest_version: int
    metadata_version: int
    settings: Config
    custom_metadata: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a key's data; `deletion` may lie in the future."""

    number: int
    created: int
    deletion: int | None
    destroyed: bool
    data: Any = None

    def is_gone(self, now: int) -> bool:
        return self.destroyed or (self.deletion is not None and self.deletion <= now)

    def facts(self) -> dict[str, Any]:
        """What metadata tells of a version."""
        return {
            "created_time": timestamp(self.created),
            "deletion_time": "" if self.deletion is None else timestamp(self.deletion),
            "destroyed": self.destroyed,
        }


class Store:
    """The keys of one mount, seen at one moment."""

    def __init__(self, db: sqlite3.Connection, mount: int, now: int) -> None:
        self._db = db
        self._mount = mount
        self.now = now

    def config(self) -> Config:
        row = self._db.execute("SELECT * FROM vault_kv_config WHERE mount = ?", (self._mount,)).fetchone()
        return _settings(row) if row else Config(0, False, False, 0)

    def configure(self, changes: Mapping[str, Any]) -> None:
        self._db.execute("INSERT OR IGNORE INTO vault_kv_config (mount) VALUES (?)", (self._mount,))
        for name in _SETTINGS:
            if name in changes:
                self._db.execute(
                    f"UPDATE vault_kv_config SET {name} = ? WHERE mount = ?",  # noqa: S608 - names are _SETTINGS'
                    (_stored(name, changes[name]), self._mount),
                )

    def key(self, path: str) -> Key | None:
        row = self._db.execute(
            "SELECT * FROM vault_kv_key WHERE mount = ? AND path = ?", (self._mount, path)
        ).fetchone()
        if row is None:
            return None
        return Key(
            row["id"],
            path,
            row["created"],
            row["updated"],
            row["current_version"],
            row["oldest_version"],
            row["metadata_version"],
            _settings(row),
            json.loads(row["custom_metadata"]),
        )

    def version(self, key: Key, number: int) -> Version | None:
        row = self._db.execute(
            "SELECT * FROM vault_kv_version WHERE key = ? AND number = ?", (key.id, number)
        ).fetchone()
        return _version(row, json.loads(row["data"]) if row["data"] else None) if row else None

    def versions(self, key: Key) -> list[Version]:
        """The versions that are kept, oldest first, without their data."""
        rows = self._db.execute(
            "SELECT number, created, deletion, destroyed FROM vault_kv_version WHERE key = ? ORDER BY number", (key.id,)
        )
        return [_version(row) for row in rows]

    def check(self, path: str, cas: int | None) -> None:
        """Refuse a write of data whose `cas` is missing where it must be given, or is not the current version."""
        key = self.key(path)
        if cas is not None:
            if cas != (key.current_version if key else 0):
                raise Refused("check-and-set parameter did not match the current version")
        elif self.config().cas_required or (key and key.settings.cas_required):
            raise Refused("check-and-set parameter required for this call")

    def add(self, path: str, data: Any) -> tuple[Key, Version]:
        """Store data as the key's next version, evicting what exceeds its number of versions."""
        key = self.key(path) or self._create(path)
        number, deletion = key.current_version + 1, self._deletion(key)
        self._db.execute(
            "INSERT INTO vault_kv_version (key, number, created, deletion, data) VALUES (?, ?, ?, ?, ?)",
            (key.id, number, self.now, deletion, json.dumps(data)),
        )
        self._db.execute(
            "UPDATE vault_kv_key SET current_version = ?, updated = ?, oldest_version = ? WHERE id = ?",
            (number, self.now, self._evict(key, number), key.id),
        )
        return key, Version(number, self.now, deletion, destroyed=False, data=data)

    def _create(self, path: str) -> Key:
        self._db.execute(
            "INSERT INTO vault_kv_key (mount, path, created, updated) VALUES (?, ?, ?, ?)",
            (self._mount, path, self.now, self.now),
        )
        key = self.key(path)
        assert key is not None  # noqa: S101 - the row above
        return key

    def _evict(self, key: Key, number: int) -> int:
        """Drop the versions beyond the larger of the mount's and the key's limit, and return the oldest that stays."""
        limit = max(self.config().max_versions, key.settings.max_versions) or _DEFAULT_MAX_VERSIONS
        kept = self._db.execute("SELECT count(*) FROM vault_kv_version WHERE key = ?", (key.id,)).fetchone()[0]
        if kept <= limit:
            return key.oldest_version
        self._db.execute("DELETE FROM vault_kv_version WHERE key = ? AND number <= ?", (key.id, number - limit))
        return number - limit + 1

    def _deletion(self, key: Key) -> int | None:
        """When a version that begins to live now ends: a key can shorten its mount's time, never lengthen it."""
        mount, own = self.config().delete_version_after, key.settings.delete_version_after
        if mount < 0:
            return None
        spans = [span for span in (mount, own) if span > 0]
        return min(self.now + min(spans) * SECOND, LAST) if spans else None

    def delete(self, path: str, numbers: Sequence[int] | None = None) -> None:
        """Delete versions, or the current one; what is gone already keeps its time."""
        for key, version in self._chosen(path, numbers):
            if not version.is_gone(self.now):
                self._set(key, version, deletion=self.now)

    def undelete(self, path: str, numbers: Sequence[int]) -> None:
        """Let versions live anew, for the time a version has that is written now."""
        for key, version in self._chosen(path, numbers):
            if not version.destroyed:
                self._set(key, version, deletion=self._deletion(key))

    def destroy(self, path: str, numbers: Sequence[int]) -> None:
        """Forget the data of versions for good."""
        for key, version in self._chosen(path, numbers):
            self._set(key, version, deletion=version.deletion, destroyed=True)
            self._db.execute(
                "UPDATE vault_kv_version SET data = NULL WHERE key = ? AND number = ?", (key.id, version.number)
            )

    def _chosen(self, path: str, numbers: Sequence[int] | None) -> Iterator[tuple[Key, Version]]:
        key = self.key(path)
        if key:
            for number in [key.current_version] if numbers is None else numbers:
                version = self.version(key, number)
                if version:
                    yield key, version

    def _set(self, key: Key, version: Version, *, deletion: int | None, destroyed: bool = False) -> None:
        self._db.execute(
            "UPDATE vault_kv_version SET deletion = ?, destroyed = ? WHERE key = ? AND number = ?",
            (deletion, destroyed, key.id, version.number),
        )

    def check_metadata(self, path: str, cas: int | None) -> None:
        """As `check`, for a write of metadata, whose versions are counted on their own."""
        key = self.key(path)
        if cas is not None:
            if cas != (key.metadata_version if key else 0):
                raise Refused("metadata check-and-set parameter does not match the current version")
        elif self.config().metadata_cas_required or (key and key.settings.metadata_cas_required):
            raise Refused("metadata check-and-set parameter required for this call")

    def write_metadata(self, path: str, changes: Mapping[str, Any]) -> None:
        """Set what is named of a key's settings and custom metadata; a key without versions may come of it."""
        key = self.key(path) or self._create(path)
        for name in (*_SETTINGS, "custom_metadata"):
            if name in changes:
                self._db.execute(
                    f"UPDATE vault_kv_key SET {name} = ? WHERE id = ?",  # noqa: S608 - names are the columns above
                    (_stored(name, changes[name]), key.id),
                )
        self._db.execute(
            "UPDATE vault_kv_key SET metadata_version = metadata_version + 1, updated = ? WHERE id = ?",
            (self.now, key.id),
        )

    def delete_key(self, path: str) -> None:
        """Forget a key: its versions are counted from 1 again."""
        self._db.execute("DELETE FROM vault_kv_key WHERE mount = ? AND path = ?", (self._mount, path))

    def paths(self, start: str, end: str) -> Iterator[str]:
        """The keys from `start` up to `end`, in order."""
        rows = self._db.execute(
            "SELECT path FROM vault_kv_key WHERE mount = ? AND path >= ? AND path < ? ORDER BY path",
            (self._mount, start, end),
        )
        return (row["path"] for row in rows)

    def facts(self, key: Key) -> dict[str, Any]:
        """A key's metadata as Vault answers them."""
        return {
            **config_facts(key.settings),
            "created_time": timestamp(key.created),
            "current_metadata_version": key.metadata_version,
            "current_version": key.current_version,
            "custom_metadata": key.custom_metadata,
            "oldest_version": key.oldest_version,
            "updated_time": timestamp(key.updated),
            "versions": {str(version.number): version.facts() for version in self.versions(key)},
        }


def config_facts(config: Config) -> dict[str, Any]:
    """Settings as Vault answers them."""
    return {
        "cas_required": config.cas_required,
        "delete_version_after": duration(config.delete_version_after),
        "max_versions": config.max_versions,
        "metadata_cas_required": config.metadata_cas_required,
    }


def _settings(row: sqlite3.Row) -> Config:
    return Config(
        row["max_versions"],
        bool(row["cas_required"]),
        bool(row["metadata_cas_required"]),
        row["delete_version_after"],
    )


def _version(row: sqlite3.Row, data: Any = None) -> Version:
    return Version(row["number"], row["created"], row["deletion"], bool(row["destroyed"]), data)


def _stored(name: str, value: Any) -> Any:
    if name == "custom_metadata":
        return json.dumps(value or None)
    # max_versions is an unsigned number of 32 bits there: -1 is taken, and is the largest
    return value % 2**32 if name == "max_versions" else value

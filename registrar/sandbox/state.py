"""What the stand-ins remember: one SQLite file, shared by every process that opens it.

Owns the file and its transactions; each stand-in owns its own tables. The file holds what the real servers would hold,
secrets included, so it is readable by its owner alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path


class State:
    """A SQLite database opened for the stand-ins; `:memory:` lives and dies with this object."""

    def __init__(self, path: str | Path) -> None:
        if str(path) != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # sqlite3 would create the file with the umask's rights; it holds credentials
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        with self.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside a write transaction: all of it happens or, when the block raises, none."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def setting(self, name: str, default: str) -> str:
        """The value stored under `name`; the first caller's default is kept for good."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO setting VALUES (?, ?)", (name, default))
            row = db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return str(row["value"])

    def close(self) -> None:
        self._connection.close()

"""What the server remembers of a browser: texts under random ids, encrypted, in a file for its owner's eyes alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def secret_key(folder: Path) -> str:
    """What signs the cookie and encrypts what is kept: APP_SECRET_KEY, or one that is made once and kept here.

    On a developer's machine the file will do. A server has APP_SECRET_KEY from Vault, or else whoever gets a copy of
    the folder has the key beside what it locks.
    """
    key = os.environ.get("APP_SECRET_KEY", "")
    if not key:
        file = folder / "secret_key"
        with contextlib.suppress(FileExistsError):  # kept, so that a restart signs nobody out
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as made:
                made.write(secrets.token_urlsafe(32))
        key = file.read_text(encoding="ascii")
    if len(key) < 32:
        raise SystemExit("The secret key is too short: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'")
    return key


class Store:
    """Texts by id, each until its time is over; times are in seconds since 1970."""

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        file.touch(mode=0o600)  # SQLite would make it with whatever rights the umask leaves
        # The same key signs cookies; from one secret each purpose gets a key of its own.
        derived = HKDF(SHA256(), length=32, salt=None, info=b"what the server remembers").derive(key.encode())
        self._fernet = Fernet(urlsafe_b64encode(derived))
        with self._open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS kept (id TEXT PRIMARY KEY, value BLOB NOT NULL, ends REAL NOT NULL)")

    def keep(self, text: str, ends: float) -> str:
        """The new id of this text."""
        name = secrets.token_urlsafe(32)
        with self._open() as db:
            db.execute("DELETE FROM kept WHERE ends < ?", (time.time(),))
            db.execute("INSERT INTO kept VALUES (?, ?, ?)", (name, self._fernet.encrypt(text.encode()), ends))
        return name

    def look(self, name: str) -> str | None:
        """The text, if there is one."""
        with self._open() as db:
            return self._text(db.execute("SELECT value, ends FROM kept WHERE id = ?", (name,)).fetchone())

    def take(self, name: str) -> str | None:
        """The text, which is gone then: where two requests ask at once, one of them gets it."""
        with self._open() as db:
            return self._text(db.execute("DELETE FROM kept WHERE id = ? RETURNING value, ends", (name,)).fetchone())

    def _text(self, row: tuple[bytes, float] | None) -> str | None:
        if row is None or row[1] < time.time():
            return None
        try:
            return self._fernet.decrypt(row[0]).decode()
        except InvalidToken:  # kept under another key: as if it were not there
            return None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as db, db:
            yield db

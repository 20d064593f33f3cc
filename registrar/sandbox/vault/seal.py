"""The seal, and what Vault tells of itself to anybody: health, seal status, leader."""

from __future__ import annotations

import base64
import binascii
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from registrar.sandbox.vault.golang import SECOND
from registrar.sandbox.vault.logical import Refused

TABLES = ("CREATE TABLE IF NOT EXISTS vault_seal (sealed INTEGER NOT NULL) STRICT",)

VERSION = "2.6.2"
CLUSTER = "registrar-sandbox"


class Seal:
    """A seal of one key share."""

    def __init__(self, db: sqlite3.Connection, unseal_key: str, cluster_id: str) -> None:
        self._db = db
        self._unseal_key = unseal_key
        self._cluster = {"cluster_name": CLUSTER, "cluster_id": cluster_id}

    @property
    def is_closed(self) -> bool:
        return bool(self._db.execute("SELECT sealed FROM vault_seal").fetchone()["sealed"])

    def close(self) -> None:
        self._db.execute("UPDATE vault_seal SET sealed = TRUE")

    def open(self, given: Mapping[str, Any]) -> None:
        """Take the key of sys/unseal, in hex or base64."""
        if given.get("reset"):
            return
        if not given.get("key"):
            raise Refused("'key' must be specified in request body as JSON, or 'reset' set to true")
        key = _bytes(str(given["key"]))
        if not self.is_closed:
            return
        if len(key) < 16:
            raise Refused("invalid key: key is shorter than minimum 16 bytes")
        if key != base64.b64decode(self._unseal_key):
            text = "failed to decrypt keys from storage: cipher: message authentication failed"
            raise Refused(f"unable to retrieve stored keys: invalid key: {text}")
        self._db.execute("UPDATE vault_seal SET sealed = FALSE")

    def health(self) -> dict[str, Any]:
        """The body of sys/health."""
        closed = self.is_closed
        replication = "unknown" if closed else "disabled"
        return {
            "initialized": True,
            "sealed": closed,
            "standby": closed,
            "replication_performance_mode": replication,
            "replication_dr_mode": replication,
            "server_time_utc": time.time_ns() // SECOND,
            "version": VERSION,
            **({} if closed else self._cluster),
        }

    def status(self) -> dict[str, Any]:
        """The body of sys/seal-status."""
        closed = self.is_closed
        return {
            "type": "shamir",
            "initialized": True,
            "sealed": closed,
            "t": 1,
            "n": 1,
            "progress": 0,
            "nonce": "",
            "recovery_seal": False,
            "version": VERSION,
            "commit_date": "",
            "migration": False,
            **({} if closed else self._cluster),
            "storage_type": "inmem",
        }


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refused("'key' must be a valid hex or base64 string") from None

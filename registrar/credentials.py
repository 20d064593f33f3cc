"""Records of credentials in words and as documents: which there are, and the versions of one; never a secret.

Owns wording and layout, as `render` does of what is planned and done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from registrar.history import Past, State
from registrar.model import Record, Target
from registrar.status import in_vault
from registrar.wording import machine, table, visible

_WHEN: Final = {State.RETIRING: " until", State.LEAVING: " until", State.DELETED: ""}


def list_text(records: Sequence[Record]) -> str:
    """One line a record, by path."""
    rows = [
        (visible(record.path), visible(record.base.name) or "-", f"{in_vault(record)} v{record.current}")
        for record in records
    ]
    return "\n".join(table([("PATH", "NAME", "VAULT"), *rows])) if rows else "No credentials that this login may see."


def list_json(records: Sequence[Record], target: Target) -> str:
    rows = [
        {
            "path": record.path,
            "name": record.base.name,
            "set": record.base.set,
            "client_id": record.base.client_id,
            "version": record.current,
            "state": in_vault(record),
            "location": target.location(record.path),
        }
        for record in records
    ]
    return machine("credentials", {"target": asdict(target), "credentials": rows})


def history_text(record: Record, versions: Sequence[Past], target: Target) -> str:
    """The newest version first; a time is when it was made, and with its state when that ends or came."""
    title = f"{visible(record.base.name or record.path)}  {visible(target.location(record.path))}"
    rows = [
        (
            f"v{past.number}",
            f"{past.created_at:%Y-%m-%d %H:%M:%S} UTC",
            _state(past),
            visible(past.client_id) or "-",
            past.note,
        )
        for past in versions
    ]
    return "\n".join([title, "", *(table(rows, "  ") if rows else ["  No version: nothing is stored yet."])])


def _state(past: Past) -> str:
    if past.until is None:
        return str(past.state)
    # a mount or key with delete_version_after ends its versions by itself
    return f"{past.state}{_WHEN.get(past.state, ', deleted by itself')} {past.until:%Y-%m-%d %H:%M} UTC"


def history_json(record: Record, versions: Sequence[Past], target: Target) -> str:
    live = next((past.number for past in versions if past.state is State.LIVE), None)
    content = {"path": record.path, "name": record.base.name, "location": target.location(record.path), "live": live}
    return machine("history", {**content, "versions": [asdict(past) for past in versions]})

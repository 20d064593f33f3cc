"""The versions of a record, newest first: which is live, which ones go, and whose credential each one holds.

Pure, from metadata alone; what a version holds is known of those that the facts name.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from registrar.model import Record, Version


class State(enum.StrEnum):
    """What has become of a version."""

    LIVE = "live"
    RETIRING = "retiring"
    LEAVING = "leaving"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class Past:
    """One version; `until` is when it was deleted, will be, or may go; no client id where the facts name none."""

    number: int
    created_at: datetime
    state: State
    until: datetime | None = None
    client_id: str = ""
    note: str = ""


def history(record: Record) -> tuple[Past, ...]:
    """Every version that Vault still knows, newest first."""
    return tuple(_past(record, version) for version in reversed(record.versions))


def _past(record: Record, version: Version) -> Past:
    state, until = _state(record, version)
    client_id = next((client_id for number, client_id in _named(record) if number == version.number), "")
    return Past(version.number, version.created_at, state, until, client_id, _note(record, version, state))


def _state(record: Record, version: Version) -> tuple[State, datetime | None]:
    if version.destroyed:
        return State.DESTROYED, None
    if record.deleted(version.number):
        return State.DELETED, version.deletes_at
    if version.number == record.current:
        return State.LIVE, version.deletes_at
    for state, former in ((State.RETIRING, record.base.retiring), (State.LEAVING, record.base.leaving)):
        if former and former.version == version.number:
            return state, former.until
    return State.SUPERSEDED, version.deletes_at


def _named(record: Record) -> Iterator[tuple[int, str]]:
    """Versions and the client ids that the facts say they hold."""
    facts = record.base
    yield facts.version, facts.client_id
    yield from ((former.version, former.client_id) for former in (facts.retiring, facts.leaving) if former)


def _note(record: Record, version: Version, state: State) -> str:
    if state is not State.LIVE:
        return ""
    if record.facts is None:
        return "not registrar's: nothing is known of it"
    return "" if record.base.version == version.number else "newer than the facts: a run stopped, or somebody wrote it"

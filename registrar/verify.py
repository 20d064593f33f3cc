"""Verify: the stored credentials proven against Nexus, several at once; changes nothing on either side.

Owns which credentials are proven and what that comes to. Must never import a client, and never send a secret to another
server than the one that its record names.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from registrar.errors import AccessDenied, Sealed, ServiceError, Unreachable
from registrar.model import PATH, Credential, Former, Kind, Record, Target
from registrar.model import State as Stored
from registrar.ports import Credentials, Examiner, Verdict
from registrar.world import World


class State(enum.StrEnum):
    """How one credential stands."""

    RIGHT = "right"
    WRONG = "wrong"
    UNTOLD = "cannot tell"
    MISSING = "missing"
    UNPROVEN = "not proven"


_OF_VERDICT: Final = {Verdict.RIGHT: State.RIGHT, Verdict.WRONG: State.WRONG, Verdict.UNTOLD: State.UNTOLD}
_WELL: Final = frozenset({State.RIGHT, State.UNTOLD})


@dataclass(frozen=True, slots=True)
class Row:
    """One credential; `until` is the end of the grace of one that a rotation left behind, None of the current one."""

    path: str
    name: str
    state: State = State.UNPROVEN
    reason: str = ""
    hint: str = ""
    version: int = 0
    client_id: str = ""
    until: datetime | None = None

    def told(self, state: State, reason: str, hint: str = "") -> Row:
        return replace(self, state=state, reason=reason, hint=hint)


@dataclass(frozen=True, slots=True)
class Verification:
    """A row for each credential, by path; `left_out` counts the records that are retired or not ours."""

    rows: tuple[Row, ...]
    left_out: int = 0

    @property
    def exit_code(self) -> int:
        """0 where Nexus calls nothing wrong, which it does not always tell; else 1."""
        return int(any(row.state not in _WELL for row in self.rows))


_Taken = tuple[Credential | None, Record]
"""What one read of a path gave."""


def verify(
    target: Target, names: Sequence[str], credentials: Credentials, proof: Examiner, *, parallelism: int = 8
) -> Verification:
    """Prove these paths or names, or without any each record of ours that is not retired.

    Raises a ServiceError where a service gave out before anything was told, a UsageError for a name that nothing has.
    """
    work = _Work(target, credentials, proof)
    with ThreadPoolExecutor(parallelism) as pool:
        taken, left_out = (_named(target, names, credentials, pool), 0) if names else _ours(credentials)
        found = pool.map(lambda path: work.rows(path, taken[path]), sorted(taken))
        rows = tuple(row for group in found for row in group)
    if work.cause and all(row.state is State.UNPROVEN for row in rows):
        raise work.cause
    return Verification(rows, left_out)


def _ours(credentials: Credentials) -> tuple[dict[str, _Taken | None], int]:
    """Every path with something of ours that should be there, and how many others there are."""
    records = [record for record in credentials.all().records if record.kind not in (Kind.NONE, Kind.EMPTY)]
    ours = [record.path for record in records if record.facts and record.facts.state is not Stored.RETIRED]
    return dict.fromkeys(ours), len(records) - len(ours)


def _named(
    target: Target, names: Sequence[str], credentials: Credentials, pool: ThreadPoolExecutor
) -> dict[str, _Taken | None]:
    """The paths that these names mean: a path is read at once, which needs no permission to list; then by name."""

    def take(path: str) -> _Taken | None:
        try:
            return credentials.credential_with_record(path)
        except AccessDenied:
            return None

    paths = [name for name in dict.fromkeys(names) if PATH.fullmatch(name)]
    read = dict(zip(paths, pool.map(take, paths), strict=True))
    there = {path: taken for path, taken in read.items() if taken and _there(taken)}
    others = [name for name in names if name not in there]
    if not others:
        return dict(there)
    try:
        folder = credentials.all()
    except AccessDenied:
        if not read.keys() >= set(others):
            raise
        return read  # a path may be read by whoever may not list
    return dict.fromkeys(World(target, (), None, folder.records).select(others)) | there


def _there(taken: _Taken) -> bool:
    credential, record = taken
    return credential is not None or record.kind is not Kind.NONE


class _Work:
    """Proves one path after another, each from whatever thread is free, until a service is lost."""

    def __init__(self, target: Target, credentials: Credentials, proof: Examiner) -> None:
        self._target = target
        self._credentials = credentials
        self._proof = proof
        self._lost = False
        self.cause: ServiceError | None = None

    def rows(self, path: str, taken: _Taken | None) -> list[Row]:
        """The current credential of this path and, during a grace, the one that it replaces."""
        row = Row(path, path)
        if self._lost:
            return [self._not_asked(row)]
        try:
            credential, record = taken or self._credentials.credential_with_record(path)
        except ServiceError as error:
            return [self._gave_out(row, error)]
        return list(self._of_record(credential, record))

    def _of_record(self, credential: Credential | None, record: Record) -> Iterator[Row]:
        facts = record.base
        client_id = credential.client_id if credential else ""
        row = Row(record.path, facts.name or record.path, version=record.current, client_id=client_id)
        if facts.nexus not in ("", self._target.nexus_url):
            reason = f"its record was made for {facts.nexus}, this target is {self._target.nexus_url}"
            yield row.told(State.UNPROVEN, reason, "check --target")
            return
        if credential is None:
            yield row.told(State.MISSING, _absence(record), f"registrar creds history {record.path}")
        elif not facts.redirect_uri:
            yield row.told(State.UNPROVEN, "no facts of ours tell its redirect URI", f"registrar status {record.path}")
        else:
            yield self._examined(row, credential, facts.redirect_uri)
        former = facts.retiring
        if former and facts.redirect_uri and record.seen_at < former.until:
            row = replace(row, version=former.version, client_id=former.client_id, until=former.until)
            yield self._retiring(row, former, facts.redirect_uri)

    def _retiring(self, row: Row, former: Former, redirect_uri: str) -> Row:
        """The credential that the clients still have which have not fetched the new one."""
        if self._lost:
            return self._not_asked(row)
        try:
            credential = self._credentials.read(row.path, former.version)
        except ServiceError as error:
            return self._gave_out(row, error)
        hint = f"registrar creds history {row.path}"
        if credential is None:
            return row.told(State.MISSING, f"version {former.version} cannot be read any more", hint)
        if credential.client_id != former.client_id:
            return row.told(State.MISSING, f"version {former.version} holds another client id", hint)
        return self._examined(row, credential, redirect_uri)

    def _examined(self, row: Row, credential: Credential, redirect_uri: str) -> Row:
        if self._lost:
            return self._not_asked(row)
        try:
            finding = self._proof.examine(credential, redirect_uri)
        except ServiceError as error:
            return self._gave_out(row, error)
        state = _OF_VERDICT[finding.verdict]
        return row.told(state, finding.reason, f"registrar show {row.path}" if state is State.WRONG else "")

    def _gave_out(self, row: Row, error: ServiceError) -> Row:
        """Nothing is told about this one, and once nobody answers nothing about any other."""
        self.cause = self.cause or error
        if isinstance(error, Unreachable | Sealed):
            self._lost = True
        return row.told(State.UNPROVEN, error.message, error.hint)

    def _not_asked(self, row: Row) -> Row:
        return row.told(State.UNPROVEN, "not asked, since a service was lost")


def _absence(record: Record) -> str:
    """Why there is no credential that could be read."""
    if record.base.state is Stored.RETIRED:
        return "it is retired"
    if record.kind is Kind.WITHDRAWN:
        return f"version {record.current} is deleted or destroyed"
    return "client_id and client_secret are not both there" if record.living else "nothing is stored there"

"""The three sides of every application at a glance: what the manifest says, what Nexus has, what Vault holds.

Pure, from a World and its Plan; decides nothing that `plan` has not decided.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from registrar.doctor import life, spelt
from registrar.model import Kind, Record, Registered, State
from registrar.plan import Plan
from registrar.steps import Blocked, Keep, Step
from registrar.world import World

_STATES: Final = {
    "blocked": "blocked",
    "recover": "interrupted",
    "update": "drift",
    "restore": "withdrawn",
    "retire": "to retire",
    "create": "new",
    "expire": "old one due",
    "keep": "in sync",
}
STATES: Final = (*(word for word in _STATES.values() if word != "in sync"), "in progress", "in sync", "undeclared")
"""Every state of a row, in the order in which they want attention."""

_WELL: Final = ("in sync", "undeclared")
_SETTLED_WORDS: Final = {
    Kind.NONE: "nothing",
    Kind.FOREIGN: "somebody's",
    Kind.EMPTY: "nothing",
    Kind.WITHDRAWN: "withdrawn",
    Kind.UNSETTLED: "unsettled",
    Kind.SETTLED: "stored",
}
IN_MANIFEST: Final = ("declared", "-")
IN_NEXUS: Final = ("living", "archived", "half-made", "-", "not asked")
IN_VAULT: Final = ("-", *_SETTLED_WORDS.values(), *filter(None, State))
"""The words of each column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One application: a word for its state and one for each side, and the step that the plan has for it.

    A credential in use has an age, in seconds by Vault's clock, and is `old` from the age on that was asked about;
    `managed` is a record of our set that is not retired, `proven_at` when its credential of now was proven.
    """

    path: str
    name: str
    state: str
    manifest: str
    nexus: str
    vault: str
    client_id: str = ""
    version: int = 0
    registered_at: datetime | None = None
    reason: str = ""
    hint: str = ""
    managed: bool = False
    protected: bool = False
    in_use: bool = False
    made_at: datetime | None = None
    proven_at: datetime | None = None
    age_s: int | None = None
    old: bool = False

    @property
    def well(self) -> bool:
        """Whether the three sides agree, or nobody asked that they do."""
        return self.state in _WELL

    @property
    def unproven(self) -> bool:
        """Whether nothing tells that the credential in use works; that it did once, verify alone can tell anew."""
        return self.in_use and self.proven_at is None

    @property
    def age(self) -> str:
        """How old the credential in use is, for people; empty where there is none."""
        if not self.in_use:
            return ""
        return "of unknown age" if self.age_s is None else f"{life(self.age_s)} old"

    @property
    def way_on(self) -> str:
        """The command to type next, for a row that wants attention."""
        if self.well:
            return self.rotation if self.old else ""
        return self.hint or _WAYS_ON.get(self.state, "registrar plan --only {}").format(shlex.quote(self.path))

    @property
    def rotation(self) -> str:
        """The command that gives it another credential."""
        return f"registrar rotate {shlex.quote(self.path)}"


_WAYS_ON: Final = {"interrupted": "registrar recover", "in progress": "registrar status {}, once that run has ended"}


@dataclass(frozen=True, slots=True)
class Status:
    """All rows, and counts of what is nobody's or somebody else's.

    `seen_at` is the Date of Vault's last answer, `changed_at` when a run last registered, rotated or proved anything,
    as the facts tell; both are None where there is no record to tell.
    """

    rows: tuple[Row, ...]
    other_records: int = 0
    unexplained: int = 0
    unexplained_archived: int = 0
    seen_at: datetime | None = None
    changed_at: datetime | None = None
    older_than_s: int | None = None

    @property
    def in_sync(self) -> bool:
        return all(row.well for row in self.rows)

    @property
    def older_than(self) -> str:
        """The age that was asked about, as people write it."""
        return spelt(timedelta(seconds=self.older_than_s or 0))

    @property
    def old(self) -> tuple[Row, ...]:
        """The rows whose credential is as old as was asked about, the oldest first."""
        known = sorted((row for row in self.rows if row.old), key=lambda row: -(row.age_s or 0))
        return tuple(sorted(known, key=lambda row: row.age_s is not None))

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are in each state, those that want attention first."""
        tally = Counter(row.state for row in self.rows)
        return {state: tally[state] for state in STATES if tally[state]}

    @property
    def urgent(self) -> tuple[Row, ...]:
        """All rows, those that want attention first, and old credentials before what is well."""
        return tuple(
            sorted(self.rows, key=lambda row: (row.well, row.well and not row.old, STATES.index(row.state), row.path))
        )


def survey(world: World, plan: Plan, names: Sequence[str] = (), *, older_than: timedelta | None = None) -> Status:
    """One row for each declared path, each record of our set, and each step; with names, for those alone.

    Credentials that `rotate --older-than` would take for old are told, those that it leaves to be named included.
    """
    steps: dict[str, Step] = {}
    for step in plan.steps:
        if step.path not in steps or isinstance(steps[step.path], Keep):
            steps[step.path] = step
    ours = {r.path for r in world.records if r.facts and r.facts.set == world.target.set}
    paths = sorted(world.select(names) if names else world.wanted.keys() | ours | steps.keys())
    explained = {r.facts.client_id for r in world.records if r.facts}
    archived = [r for r in world.registered or () if r.archived and r.client_id not in explained]
    return Status(
        rows=tuple(_row(world, path, steps.get(path), older_than) for path in paths),
        other_records=sum(1 for r in world.records if r.path not in ours | world.marked.keys()),
        unexplained=sum(len(group) for group in world.strangers.values()),
        unexplained_archived=len(archived),
        seen_at=max((record.seen_at for record in world.records), default=None),
        changed_at=max((moment for r in world.records if r.path in ours for moment in _moments(r)), default=None),
        older_than_s=None if older_than is None else int(older_than.total_seconds()),
    )


def _moments(record: Record) -> Iterator[datetime]:
    facts = record.base
    yield from (moment for moment in (facts.registered_at, facts.rotated_at, facts.proven_at) if moment)


def _row(world: World, path: str, step: Step | None, older_than: timedelta | None) -> Row:
    record, application, used = world.by_path.get(path), world.wanted.get(path), world.in_use.get(path)
    facts = record.facts if record else None
    client_id = facts.client_id if facts else ""
    name = application.name if application else (facts.name if facts and facts.name else path)
    return Row(
        path=path,
        name=name,
        state=_state(world, path, step),
        manifest="declared" if application else "-",
        nexus=_in_nexus(world, path, world.by_client.get(client_id)),
        vault=in_vault(record, marked=path in world.marked),
        client_id=client_id,
        version=record.current if record else 0,
        registered_at=facts.registered_at if facts else None,
        reason=(step.note if isinstance(step, Keep) else step.reason)
        if step
        else "left alone: no manifest declares it",
        hint=step.hint if isinstance(step, Blocked) else "",
        managed=_managed(world, record),
        protected=application.protected if application else facts is not None and facts.protected,
        in_use=used is not None,
        made_at=used.made_at if used else None,
        proven_at=used.base.proven_at if used else None,
        age_s=int(used.age.total_seconds()) if used and used.made_at else None,
        old=used is not None and older_than is not None and world.older(path, older_than),
    )


def _managed(world: World, record: Record | None) -> bool:
    facts = record.facts if record and record.kind is not Kind.EMPTY else None
    return facts is not None and facts.set == world.target.set and facts.state is not State.RETIRED


def _state(world: World, path: str, step: Step | None) -> str:
    if step is None:
        return "undeclared"
    # kept since the run that holds the lock is at work on it, which is not the same as in sync
    return "in progress" if isinstance(step, Keep) and path in world.marked else _STATES[step.operation]


def _in_nexus(world: World, path: str, registered: Registered | None) -> str:
    if world.registered is None:
        return "not asked"
    if path in world.marked:
        return "half-made"
    if registered is None:
        return "-"
    return "archived" if registered.archived else "living"


def in_vault(record: Record | None, *, marked: bool = False) -> str:
    """What a record is, in a word or two."""
    if record is None:
        return "-"
    if marked and record.kind is Kind.FOREIGN:  # stored by the run that registered what is marked
        return _SETTLED_WORDS[Kind.UNSETTLED]
    return str(record.facts.state) or _SETTLED_WORDS[record.kind] if record.facts else _SETTLED_WORDS[record.kind]

"""The three sides of every application at a glance: what the manifest says, what Nexus has, what Vault holds.

Pure, from a World and its Plan; decides nothing that `plan` has not decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from registrar.model import Kind, Record, Registered, State
from registrar.plan import Plan
from registrar.steps import Blocked, Keep, Step
from registrar.world import World

_STATES: Final = {
    "keep": "in sync",
    "create": "new",
    "update": "drift",
    "recover": "interrupted",
    "retire": "to retire",
    "restore": "withdrawn",
    "expire": "old one due",
    "blocked": "blocked",
}
_SETTLED_WORDS: Final = {
    Kind.NONE: "nothing",
    Kind.FOREIGN: "somebody's",
    Kind.EMPTY: "nothing",
    Kind.WITHDRAWN: "withdrawn",
    Kind.UNSETTLED: "unsettled",
    Kind.SETTLED: "stored",
}
STATES: Final = (*_STATES.values(), "in progress", "undeclared")
IN_MANIFEST: Final = ("declared", "-")
IN_NEXUS: Final = ("living", "archived", "half-made", "-", "not asked")
IN_VAULT: Final = ("-", *_SETTLED_WORDS.values(), *filter(None, State))
"""The words of each column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One application: a word for its state and one for each side, and the step that the plan has for it."""

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


@dataclass(frozen=True, slots=True)
class Status:
    """All rows, and counts of what is nobody's or somebody else's."""

    rows: tuple[Row, ...]
    other_records: int = 0
    unexplained: int = 0
    unexplained_archived: int = 0

    @property
    def in_sync(self) -> bool:
        return all(row.state in ("in sync", "undeclared") for row in self.rows)


def survey(world: World, plan: Plan, names: Sequence[str] = ()) -> Status:
    """One row for each declared path, each record of our set, and each step; with names, for those alone."""
    steps: dict[str, Step] = {}
    for step in plan.steps:
        if step.path not in steps or isinstance(steps[step.path], Keep):
            steps[step.path] = step
    ours = {r.path for r in world.records if r.facts and r.facts.set == world.target.set}
    paths = sorted(world.select(names) if names else world.wanted.keys() | ours | steps.keys())
    explained = {r.facts.client_id for r in world.records if r.facts}
    archived = [r for r in world.registered or () if r.archived and r.client_id not in explained]
    return Status(
        rows=tuple(_row(world, path, steps.get(path)) for path in paths),
        other_records=sum(1 for r in world.records if r.path not in ours | world.marked.keys()),
        unexplained=sum(len(group) for group in world.strangers.values()),
        unexplained_archived=len(archived),
    )


def _row(world: World, path: str, step: Step | None) -> Row:
    record, application = world.by_path.get(path), world.wanted.get(path)
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
    )


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

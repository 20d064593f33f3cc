"""What several documents have in common, each part defined once: targets, applications, records, steps, findings.

The members and their types are those of the dataclasses that are printed, so that a field without a meaning is an
error, and no list of words is written twice.
"""

from __future__ import annotations

from typing import Final, get_args

from registrar import status, verify
from registrar.model import Kind, Record
from registrar.report import Status as Ended
from registrar.schemas.meanings import HINT, MEANINGS, NAME, OF_STEPS, PATH, STEP
from registrar.schemas.shapes import COUNT, FLAG, TEXT, Schema, array, counts, members, nullable, part, told, words
from registrar.steps import Step

STEPS: Final[tuple[type, ...]] = get_args(Step)
OPERATIONS: Final = tuple(step.operation for step in get_args(Step))

NAMES: Final = {kind: name for kind, (name, _, _) in MEANINGS.items()}


def members_of(kind: type) -> dict[str, tuple[Schema, str]]:
    """The members that a document has of this dataclass."""
    return told(kind, MEANINGS[kind][2], NAMES)


def definition(name: str) -> Schema:
    """The part of this name; LookupError for another."""
    if name in _OWN:
        return _OWN[name]()
    kind = next(kind for kind, known in NAMES.items() if known == name)
    found = _MEMBERS[kind]() if kind in _MEMBERS else members_of(kind)
    return {**members(found), "description": MEANINGS[kind][1]}


def _row() -> dict[str, tuple[Schema, str]]:
    known = {"state": status.STATES, "manifest": status.IN_MANIFEST, "nexus": status.IN_NEXUS, "vault": status.IN_VAULT}
    found = members_of(status.Row)
    return found | {name: (words(there), found[name][1]) for name, there in known.items()}


def _record() -> dict[str, tuple[Schema, str]]:
    return members_of(Record) | {"kind": (words(Kind), "What the record is, read from its metadata alone.")}


def _proof() -> dict[str, tuple[Schema, str]]:
    return members_of(verify.Row) | {
        "which": (words(("current", "retiring")), "Whether it is the current one or one that a rotation left behind."),
        "location": (TEXT, "Where it is kept, as `vault kv get` wants it."),
    }


_MEMBERS: Final = {status.Row: _row, Record: _record, verify.Row: _proof}


def _step() -> Schema:
    found = {"oneOf": [_one_step(step) for step in STEPS], "description": "What is done about one path."}
    return {"type": "object", **found}


def _one_step(step: type) -> Schema:
    operation: str = step.operation  # type: ignore[attr-defined]  # what all of the union have
    what, meanings = OF_STEPS[operation]
    first: dict[str, tuple[Schema, str]] = {
        "operation": ({"const": operation}, "What is done."),
        "breaks_clients": (FLAG, "Whether a client that works now may stop working."),
    }
    return {"title": operation, **members(first | told(step, STEP | meanings, NAMES)), "description": what}


def _plan() -> Schema:
    return members(PLAN) | {"description": "An ordered list of steps, and what they rest on."}


PLAN: Final[dict[str, tuple[Schema, str]]] = {
    "target": (part("target"), "The target that it is for."),
    "with_nexus": (FLAG, "Whether Nexus was asked; else manifests were compared with the facts in Vault alone."),
    "digest": (
        nullable({**TEXT, "pattern": "^[0-9a-f]{32}$"}),
        "What `apply --expect` takes; null where Nexus was not asked, since nobody could apply that.",
    ),
    "counts": (counts(OPERATIONS, always=False), "How many steps of each operation."),
    "managed": (COUNT, "How many applications are managed."),
    "left_alone": (COUNT, "How many records of this set no manifest declares, and are left as they are."),
    "steps": (array(part("step")), "The steps, by path."),
}


def _outcome() -> Schema:
    found = {
        "path": (TEXT, PATH),
        "name": (TEXT, NAME),
        "operation": (words(OPERATIONS), "What was to be done."),
        "status": (words(Ended), "How it ended."),
        "detail": (TEXT, "What became of it; empty where there is nothing to add."),
        "location": (TEXT, "Where the credential is kept, as `vault kv get` wants it."),
        "hint": (TEXT, HINT),
        "custody": (FLAG, "Whether an application may exist whose secret is not stored."),
    }
    return members(found) | {"description": "How one step ended."}


_OWN: Final = {"step": _step, "plan": _plan, "outcome": _outcome}

"""A plan as a file that somebody reviews and `apply` takes for its approval: written, read, compared with a new one.

The file holds no secret and needs no trust: `apply` makes a plan of its own and carries that out, if it is the one in
the file in all that the digest covers. Its checksum finds what was damaged or edited; it is no signature, since whoever
writes the file can compute it. Pure: must never open a file, nor carry out what is read from one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from registrar.digest import StepDocument, covered, digest, where
from registrar.errors import Stale, UsageError
from registrar.model import Target
from registrar.plan import Options, Plan
from registrar.render import plan_document
from registrar.steps import document
from registrar.wording import SCHEMA_VERSION, machine

_AGAIN: Final = "registrar plan --out FILE, to review what it is now"
_NAMED: Final = 20  # differences that a message names


@dataclass(frozen=True)
class Reviewed:
    """A plan as it was reviewed, and what was asked for: the manifests' paths, the options; `steps` as covered."""

    target: Target
    paths: tuple[str, ...]
    options: Options
    digest: str
    steps: tuple[StepDocument, ...]


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def written(plan: Plan, paths: Sequence[str], options: Options) -> bytes:
    """The file: the plan as `-o json` prints it, what was asked for, and a checksum over all of it."""
    content = {**plan_document(plan), "options": {"paths": list(paths), **asdict(options)}}
    whole = machine("plan", {**content, "checksum": _checksum(json.loads(machine("plan", content)))})
    return f"{whole}\n".encode(errors="backslashreplace")  # half a surrogate pair is spelt so in JSON too


def read(data: bytes, shown: str) -> Reviewed:
    """The plan in a file, which messages call `shown`; a UsageError where it is none that can be applied."""
    found = _document(data)
    if found is None or found.get("kind") != "plan" or "checksum" not in found:
        raise UsageError(f"{shown} is no plan that registrar plan --out has written", hint="registrar plan --out FILE")
    if found.get("schema_version") != SCHEMA_VERSION:
        told = f"{shown} has the schema version {found.get('schema_version')}, this registrar reads {SCHEMA_VERSION}"
        raise UsageError(told, hint="plan and apply with the same registrar")
    if found.pop("checksum") != _checksum(found):
        raise UsageError(f"{shown} is not as registrar plan has written it: its checksum differs", hint=_AGAIN)
    if not found.get("with_nexus"):
        told = f"{shown} was planned --without-nexus: Nexus was not asked, so that nobody knows what apply would do"
        raise UsageError(told, hint="registrar plan --out FILE, without --without-nexus")
    reviewed = _reviewed(found)
    if reviewed is None:
        raise UsageError(f"{shown} has steps that are not those of its digest", hint=_AGAIN)
    return reviewed


def _document(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _checksum(content: dict[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _reviewed(found: dict[str, Any]) -> Reviewed | None:
    """The plan of a document, or None where its parts do not belong together."""
    try:
        target, asked = found["target"], found["options"]
        only, paths = tuple(asked["only"]), tuple(asked["paths"])
        options = Options(only, asked["prune"], asked["unarchive"], asked["accept_nexus"])
        reviewed = Reviewed(
            Target(**{**target, "allowed_hosts": tuple(target["allowed_hosts"])}),
            paths,
            options,
            found["digest"],
            tuple(covered(found["steps"])),
        )
        return reviewed if digest(reviewed.target, reviewed.steps) == reviewed.digest else None
    except (KeyError, TypeError, AttributeError):
        return None


# ── the comparison ────────────────────────────────────────────────────────────────────────────────────────────────────


def moved(reviewed: Reviewed, target: Target) -> list[str]:
    """The settings by which this target is another one than was reviewed."""
    now = where(target)
    return [name for name, value in where(reviewed.target).items() if value != now[name]]


def same_place(reviewed: Reviewed, target: Target) -> None:
    """Raise Stale where the target has moved since, before anything is sent to where it is now."""
    if names := moved(reviewed, target):
        before, now = where(reviewed.target), where(target)
        lines = [f"{name}: reviewed was {before[name] or 'none'}, now {now[name] or 'none'}" for name in names]
        told = f"the target {target.name} is no longer the one that was reviewed"
        raise Stale("\n".join([told, *lines]), hint=_AGAIN)


def same_plan(reviewed: Reviewed, plan: Plan) -> None:
    """Raise Stale, naming what differs, unless this plan is what was reviewed."""
    if plan.digest == reviewed.digest:
        return
    lines = differences(reviewed, plan)
    more = [f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
    raise Stale("\n".join(["the plan is no longer what was reviewed", *lines[:_NAMED], *more]), hint=_AGAIN)


def differences(reviewed: Reviewed, plan: Plan) -> list[str]:
    """What differs, one line a field or step: which application, what was reviewed and what it is now."""
    there = {step.path: step for step in reversed(plan.steps)}
    # of the steps of a path, one is covered
    before = {step["path"]: step for step in reviewed.steps}
    after = {step["path"]: step for step in covered(map(document, plan.steps))}
    lines: list[str] = []
    for path in sorted(before | after):
        was, now = before.get(path), after.get(path)
        if was and now and was["operation"] == now["operation"]:
            lines += _fields(was, now)
            continue
        reason = there[path].reason if path in there else "no manifest declares it"
        lines.append(f"{_who(now or was or {})}: reviewed was {_told(was)}, now {_told(now)}: {reason}")
    return lines


def _who(step: StepDocument) -> str:
    return f"{step['name']} ({step['path']})"


def _told(step: StepDocument | None) -> str:
    if step is None:
        return "nothing to do"
    return "blocked" if step["operation"] == "blocked" else f"to {step['operation']}"


def _fields(was: StepDocument, now: StepDocument) -> Iterator[str]:
    """The fields in which a step differs; what follows from a field that was named is not named once more."""
    before, after = _flat(was), _flat(now)
    named: set[str] = set()
    for label in [*after, *(label for label in before if label not in after)]:
        field = label.split(" ")[0].replace("-", "_")
        if before.get(label) == after.get(label) or field in named or (named and field == "fingerprint"):
            continue
        named.add("owner" if field == "owner_email" else field)
        was_so, is_so = before.get(label, "not there"), after.get(label, "not there")
        if label == "version":
            yield f"{_who(now)}: its record has version {is_so}, reviewed at {was_so}: somebody wrote there since"
        else:
            yield f"{_who(now)}, {label}: reviewed was {was_so}, now {is_so}"


def _flat(step: StepDocument) -> dict[str, str]:
    """Every value of a step under a label of its own; of a field that changes in Nexus, how it changes."""
    found: dict[str, str] = {}
    for label, value in _values(step):
        found.setdefault(label, value)
    return found


def _values(step: StepDocument) -> Iterator[tuple[str, str]]:
    """What changes in Nexus first, then what is declared, then what changes in Vault, and the rest."""
    for number, edit in enumerate(step.get("edits", ())):
        which = f" of {edit['client_id']}" if number else ""
        yield from _changes(edit["changes"], which)
        yield f"client_id{which}", edit["client_id"]
        yield f"id{which}", str(edit["id"])
    application = step.get("application") or {}
    yield from ((field, _quoted(value)) for field, value in application.items() if value is not None)
    yield from _changes(step.get("facts", ()), " (fact)")
    for number, marked in enumerate(step.get("marked", ()), 1):
        yield f"half-made application {number}", f"id {marked['id']} (client id {marked['client_id']})"
    plain = ((key, value) for key, value in step.items() if not isinstance(value, dict | list))
    yield from ((key, _quoted(value)) for key, value in plain if key not in ("path", "operation"))


def _changes(changes: Iterable[dict[str, str]], which: str) -> Iterator[tuple[str, str]]:
    for change in changes:
        yield f"{change['field']}{which}", f"{_quoted(change['before'])} → {_quoted(change['after'])}"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()

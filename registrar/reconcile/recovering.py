"""Recovering: what an interrupted run left is finished where its credential is stored, and undone where it is not.

Must never delete before the record is fenced, nor write over what somebody stored by hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import timedelta

from registrar.errors import VersionMismatch
from registrar.model import Application, Kind, Record, Registered, State
from registrar.ports import Verdict
from registrar.reconcile.hands import GRACE, RECOVER, TRIES, Hands, Seen, failure
from registrar.report import Outcome, Status
from registrar.steps import Blocked, Recover
from registrar.world import formers


def recover(hands: Hands, step: Recover) -> Outcome:
    """Finish what is stored, undo what is not; where a write is refused something landed meanwhile: look again."""
    for _ in range(TRIES):
        with contextlib.suppress(VersionMismatch):
            return _recovered(hands, step, hands.see(step.path))
    raise failure(step, "somebody keeps writing to its record", RECOVER)


def _recovered(hands: Hands, step: Recover, seen: Seen) -> Outcome:
    """The marks are older than the record: one whose credential is stored is finished, whatever its kind."""
    done: list[str] = []
    stored = seen.stored
    own = next((marked for marked in step.marked if stored and marked.client_id == stored.client_id), None)
    if own:
        _finish_own(hands, step, seen.record, own)
        done.append(f"finished {own.client_id}, whose credential was stored")
        seen = hands.see(step.path)
    if strays := [marked for marked in step.marked if marked is not own and marked.client_id not in _named(seen)]:
        facts = hands.fence(step, seen)
        for stray in strays:
            hands.remove(stray)
            hands.tell(step, "removed", f"client id {stray.client_id}, whose secret was lost")
            done.append(f"removed {stray.client_id}, whose secret was lost")
        if facts and seen.record.kind is Kind.SETTLED:
            hands.settle(step, facts, seen.record)
        seen = hands.see(step.path)
    if seen.record.kind is Kind.UNSETTLED:
        return _settle_unmarked(hands, step, seen)
    if seen.record.late_fence:
        return _close(hands, step, seen.record)
    if seen.record.kind is Kind.SETTLED:
        for left in (marked for marked in step.marked if marked is not own and marked.client_id in _named(seen)):
            _unmark(hands, step, left, hands.world.wanted.get(step.path))
            done.append(f"finished {left.client_id}, which was stored and described")
    return Outcome(step, Status.DONE, "; ".join(done))


def _named(seen: Seen) -> set[str]:
    """The registrations that the record's facts name as its own."""
    facts = seen.record.base
    return {facts.client_id, *(former.client_id for former in formers(facts))}


def _finish_own(hands: Hands, step: Recover, record: Record, own: Registered) -> None:
    """The stored credential belongs to the marked application: settle and finish it."""
    application = hands.world.wanted.get(step.path) or _as_registered(step.path, own)
    if record.kind is not Kind.SETTLED:
        promised = own.mark.grace_s if own.mark else None
        facts = hands.succeeded(record, own.client_id, GRACE if promised is None else timedelta(seconds=promised))
        version = record.version(record.current)
        since = version.created_at if version else record.seen_at
        facts = dataclasses.replace(
            facts,
            version=_stored_again(hands, step, record),
            registered_at=since,
            rotated_at=since if formers(facts) else None,
        )
        hands.settle(step, hands.described(facts, application), record)
    _unmark(hands, step, own, application)


def _stored_again(hands: Hands, step: Recover, record: Record) -> int:
    """The version of what is stored, written once more: facts and deletions that still land then name an old one.

    A record without facts has none that could be stale.
    """
    return hands.claim(step, record) if record.facts else record.current


def _unmark(hands: Hands, step: Recover, marked: Registered, application: Application | None) -> None:
    """The last effect of a registration: its declared description takes the place of its mark."""
    if marked.archived:
        return  # somebody's decision; Nexus refuses to change an archived one
    hands.lease.check()
    hands.applications.update(marked.id, {"description": _description(hands, step.path, application)})
    hands.tell(step, "finished", f"client id {marked.client_id}")


def _description(hands: Hands, path: str, application: Application | None) -> str:
    """The declared one; where none is managed, that of the registration which this one replaces."""
    if application and application.description is not None:
        return application.description
    record = hands.world.by_path.get(path)
    names = [former.client_id for former in formers(record.base)] + [record.base.client_id] if record else []
    found = (hands.world.by_client.get(client_id) for client_id in names)
    return next((before.description for before in found if before and not before.mark), "")


def _settle_unmarked(hands: Hands, step: Recover, seen: Seen) -> Outcome:
    """A newer version and no mark: a claim or fence that stopped, a return to the old one, or somebody's hand."""
    record, stored, facts = seen.record, seen.stored, seen.record.base
    if seen.blank:
        hands.lease.check()
        hands.records.delete_version(step.path, record.current)
        return Outcome(step, Status.DONE, "closed the empty version that a fence had left open")
    if stored is None and not record.current and facts.state is State.ADOPTING:
        return _unadopted(hands, step, record)
    if stored is None:
        return _left(hands, step, "it is no credential")
    if facts.version and hands.records.read(step.path, facts.version) == stored:
        _settle(hands, step, record, stored.client_id)
        return Outcome(step, Status.DONE, "settled: the same credential was stored again")
    living = hands.world.by_client.get(stored.client_id)
    if living is None or living.archived:
        return _left(hands, step, "no living application has it")
    if any(path != step.path for path in hands.world.explained.get(stored.client_id, ())):
        return _left(hands, step, "it is the credential of another path")
    if hands.proof.prove(stored, living.redirect_uri) is not Verdict.RIGHT:
        return _left(hands, step, "it could not be proved")
    _settle(hands, step, record, stored.client_id)
    return Outcome(step, Status.DONE, f"settled: {stored.client_id} is stored, lives and proves right")


def _settle(hands: Hands, step: Recover, record: Record, client_id: str) -> None:
    facts = hands.succeeded(record, client_id)
    hands.settle(step, dataclasses.replace(facts, version=_stored_again(hands, step, record)), record)


def _close(hands: Hands, step: Recover, record: Record) -> Outcome:
    """Nothing was stored where the newest version is empty; it is seen by bringing it back for a moment."""
    version = record.version(record.current)
    blank = version is None or version.destroyed
    if not blank:
        hands.lease.check()
        hands.records.undelete(step.path, record.current)
        blank = hands.records.blank(step.path, record.current)
        hands.lease.check()
        hands.records.delete_version(step.path, record.current)
    if not blank:
        where = hands.world.target.location(step.path)
        back = (
            f"to have it back: unarchive it in Nexus, vault kv undelete -versions={record.current} {where}, then apply"
        )
        reason = "the facts of a fence came late over a credential that was withdrawn"
        return _blocked(step, reason, f"registrar restore {step.path} --rotate; {back}")
    record = hands.records.one(step.path)
    hands.settle(step, dataclasses.replace(record.base, version=record.current), record)
    return Outcome(step, Status.DONE, "described an empty fence, over which older facts had come")


def _unadopted(hands: Hands, step: Recover, record: Record) -> Outcome:
    """An adoption that stopped before its store: its facts name an application that nobody's record holds."""
    facts = dataclasses.replace(record.base, state=State.EMPTY, client_id="", version=0)
    hands.settle(step, facts, record)
    return Outcome(step, Status.DONE, "undid an adoption that had stored nothing: registrar adopt, again")


def _left(hands: Hands, step: Recover, why: str) -> Outcome:
    """What somebody stored stays as it is until a person decides."""
    reason = f"{hands.world.target.location(step.path)} holds something registrar did not store, and {why}"
    return _blocked(step, reason, f"registrar show {step.path}")


def _blocked(step: Recover, reason: str, hint: str) -> Outcome:
    blocked = Blocked(path=step.path, name=step.name, version=step.version, reason=reason, hint=hint)
    return Outcome(blocked, Status.BLOCKED, reason)


def _as_registered(path: str, registered: Registered) -> Application:
    """An undeclared application as Nexus has it, so that its record can be described."""
    base_url, owner = registered.base_url or None, registered.owner_email or None
    return Application(path, registered.name, registered.redirect_uri, base_url, owner)

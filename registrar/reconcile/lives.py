"""The later life of a credential: update, expire, back, retire, restore, adopt.

Each looks at its record anew: what it does rests on what is there, and is refused where that is not what was planned.
Must never archive before the record is claimed, nor delete what is not its own version.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from registrar.model import Credential, Facts, Former, Kind, Record, State
from registrar.ports import Verdict
from registrar.reconcile.hands import Hands, Seen, failure
from registrar.report import Outcome, Status
from registrar.steps import Adopt, Back, Expire, Restore, Retire, Step, Update
from registrar.world import formers

_PLAN = "registrar plan"


def update(hands: Hands, step: Update) -> Outcome:
    """1 change in Nexus   2 settle."""
    record = hands.settled(step)
    for edit in step.edits:
        hands.lease.check()
        hands.applications.update(edit.id, {change.field: change.after for change in edit.changes})
        hands.tell(step, "changed", ", ".join(change.field for change in edit.changes))
    if step.facts:
        hands.settle(step, hands.described(record.base, step.application), record)
    return Outcome(step, Status.DONE, "; ".join(step.notes))


def expire(hands: Hands, step: Expire) -> Outcome:
    """1 claim   2 archive   3 settle without it; no claim where an earlier one stands, or where it is archived.

    Before a Rotate or a Retire of what somebody has withdrawn there is nothing to claim: an empty version fences it.
    """
    planned = hands.world.by_path.get(step.path)
    withdrawn = planned is not None and planned.kind is Kind.WITHDRAWN
    record = hands.records.one(step.path) if withdrawn else hands.settled(step)
    facts, old = record.base, step.former.client_id
    if _moved_on(record):
        raise failure(step, "its record has changed since it was planned", _PLAN)
    if old == facts.client_id or old not in {former.client_id for former in formers(facts)}:
        raise failure(step, f"its record does not name {old} as replaced any more", _PLAN)
    returnable = facts.retiring is not None and facts.retiring.client_id == old
    if returnable and hands.lives(old):
        if record.living:
            facts = dataclasses.replace(facts, version=hands.claim(step, record))
        else:
            hands.fence(step, Seen(record))
    hands.archive(step, old)
    hands.settle(step, _without(facts, old), record)
    return Outcome(step, Status.DONE, f"{old} is archived")


def back(hands: Hands, step: Back) -> Outcome:
    """1 store the old credential as the newest version   2 settle: the other one retires."""
    record = hands.settled(step)
    facts, old = record.base, step.former
    if facts.retiring is None or facts.retiring.client_id != old.client_id or not hands.lives(old.client_id):
        raise failure(step, f"there is no way back to {old.client_id} any more", f"registrar show {step.path}")
    credential = _held(hands, step, old.version, old.client_id)
    if hands.proof.prove(credential, facts.redirect_uri) is Verdict.WRONG:
        raise failure(step, f"Nexus does not take the credential of {old.client_id}", f"registrar verify {step.path}")
    hands.lease.check()
    stored = hands.records.store(step.path, credential, cas=record.current)
    hands.tell(step, "stored", f"version {stored.version}")
    until = stored.at + timedelta(seconds=step.grace_s)
    version = record.version(old.version)
    facts = dataclasses.replace(
        facts,
        client_id=old.client_id,
        version=stored.version,
        retiring=Former(facts.client_id, facts.version, until),
        registered_at=version.created_at if version else None,
        rotated_at=stored.at,
        proven_at=None,
    )
    hands.settle(step, facts, record)
    return Outcome(step, Status.DONE, f"{old.client_id} again; {step.client_id} works until {until:%Y-%m-%d %H:%M} UTC")


def retire(hands: Hands, step: Retire) -> Outcome:
    """1 claim, facts say so   2 delete the version by its number   3 archive; goes on from where one stopped.

    A withdrawn one is fenced by an empty version instead: a restore that stopped may still undelete, and would bring
    back what is about to be archived.
    """
    seen = hands.see(step.path)
    record, facts = seen.record, seen.record.base
    if facts.client_id != step.client_id or _moved_on(record):
        raise failure(step, "its record has changed since it was planned", _PLAN)
    if formers(facts):
        raise failure(step, "what it replaced is still to be archived", "registrar apply")
    if record.living:
        facts = dataclasses.replace(facts, version=hands.claim(step, record), state=State.RETIRED)
        hands.settle(step, facts, record)
    elif hands.lives(step.client_id):
        hands.fence(step, seen)
        if facts.state is not State.RETIRED:
            facts = dataclasses.replace(facts, state=State.RETIRED)
            hands.settle(step, facts, hands.records.one(step.path))
    record = hands.records.one(step.path)
    if record.kind is Kind.SETTLED:
        hands.lease.check()
        hands.records.delete_version(step.path, facts.version)
        hands.tell(step, "withdrawn", f"version {facts.version}")
    hands.archive(step, step.client_id)
    return Outcome(step, Status.DONE, f"{step.client_id} is archived; registrar restore {step.path} brings both back")


def restore(hands: Hands, step: Restore) -> Outcome:
    """1 unarchive   2 undelete by number, read   3 claim, so that a late delete hits an old version   4 settle."""
    record = hands.records.one(step.path)
    facts = record.base
    if facts.client_id != step.client_id or _moved_on(record):
        raise failure(step, "its record has changed since it was planned", _PLAN)
    registered = hands.world.by_client.get(step.client_id)
    if registered and registered.archived:
        hands.lease.check()
        hands.applications.unarchive(registered.id)
        hands.tell(step, "unarchived", f"client id {step.client_id}")
    if record.deleted(facts.version):
        hands.lease.check()
        hands.records.undelete(step.path, facts.version)
        hands.tell(step, "undeleted", f"version {facts.version}")
    credential = _held(hands, step, facts.version, step.client_id)
    hands.lease.check()
    stored = hands.records.store(step.path, credential, cas=record.current)
    hands.tell(step, "claimed", f"version {stored.version}")
    facts = dataclasses.replace(facts, version=stored.version, state=State.REGISTERED)
    hands.settle(step, facts, record)
    return Outcome(step, Status.DONE, f"client id {step.client_id}, at {hands.world.target.location(step.path)}")


def adopt(hands: Hands, step: Adopt, credential: Credential | None) -> Outcome:
    """1 prove   2 facts: adopting   3 store   4 settle   5 change in Nexus; no store where it is stored already."""
    seen = hands.see(step.path)
    record, held = seen.record, seen.stored
    credential = credential or held
    if credential is None or credential.client_id != step.client_id:
        raise failure(step, f"there is no secret of {step.client_id} to store", _anew(step))
    if record.living and not seen.blank and held != credential:
        location = hands.world.target.location(step.path)
        raise failure(step, f"{location} holds something else", "set another path in the manifest")
    registered = hands.world.by_client[step.client_id]
    verdict = hands.proof.prove(credential, registered.redirect_uri)
    if verdict is not Verdict.RIGHT:
        why = "Nexus does not take that secret" if verdict is Verdict.WRONG else "Nexus does not tell if it is right"
        raise failure(step, f"{why}, so nothing was stored", _anew(step))
    hands.tell(step, "proven")
    version = _taken(hands, step, record, credential, stored=held is not None)
    facts = dataclasses.replace(
        record.base if record.base.client_id == step.client_id else _fresh(record.base),
        client_id=step.client_id,
        version=version,
        proven_at=record.seen_at,
        state=State.REGISTERED,
    )
    hands.settle(step, hands.described(facts, step.application), hands.records.one(step.path))
    if step.changes:
        hands.lease.check()
        hands.applications.update(registered.id, {change.field: change.after for change in step.changes})
        hands.tell(step, "changed", ", ".join(change.field for change in step.changes))
    return Outcome(step, Status.DONE, f"client id {step.client_id}, at {hands.world.target.location(step.path)}")


def _taken(hands: Hands, step: Adopt, record: Record, credential: Credential, *, stored: bool) -> int:
    """The version that holds the credential: the one that is there, or a new one below facts that say whose it is."""
    if stored:
        return record.current
    facts = dataclasses.replace(_fresh(record.base), client_id=step.client_id, version=0, state=State.ADOPTING)
    hands.settle(step, hands.described(facts, step.application), record)
    hands.lease.check()
    made = hands.records.store(step.path, credential, cas=record.current)
    hands.tell(step, "stored", f"version {made.version}")
    return made.version


def _anew(step: Adopt) -> str:
    """The way on where the secret cannot be had."""
    return f"registrar adopt {step.path} --client-id {step.client_id} --rotate"


def _fresh(facts: Facts) -> Facts:
    """These facts without a history that belongs to another registration."""
    return dataclasses.replace(facts, registered_at=None, rotated_at=None, retiring=None, leaving=None)


def _held(hands: Hands, step: Step, version: int, client_id: str) -> Credential:
    """The credential that this version holds; StepFailed where it is gone or somebody else's."""
    credential = hands.records.read(step.path, version) if version else None
    if credential is None or credential.client_id != client_id:
        hint = f"registrar rotate {step.path}"
        raise failure(step, f"version {version} does not hold the credential of {client_id} any more", hint)
    return credential


def _moved_on(record: Record) -> bool:
    """Whether it is neither settled nor withdrawn by now, or withdrawn with facts that do not say of what."""
    return record.kind not in (Kind.SETTLED, Kind.WITHDRAWN) or record.overtaken


def _without(facts: Facts, client_id: str) -> Facts:
    """The facts once that registration is archived."""
    retiring, leaving = (
        None if former is None or former.client_id == client_id else former
        for former in (facts.retiring, facts.leaving)
    )
    return dataclasses.replace(facts, retiring=retiring, leaving=leaving)

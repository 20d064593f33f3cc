"""What the steps of a run share: the services, the lease to look at before every effect, and the moves on a record.

Owns settle, fence, claim and remove. Must never decide what a step needs, nor send an effect under a lost lease.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from registrar.errors import (
    AccessDenied,
    Kept,
    LeaseLost,
    Missing,
    OutcomeUnknown,
    RegistrarError,
    Sealed,
    ServiceError,
    StepFailed,
    Unreachable,
    VersionMismatch,
)
from registrar.lock import Lease
from registrar.model import Application, Credential, Facts, Former, Kind, Record, Registered, State, same_name
from registrar.ports import Services
from registrar.reconcile.concurrency import Concurrency
from registrar.report import Event, Outcome, Status, Stop
from registrar.steps import Step
from registrar.world import World, described, formers

GRACE: Final = timedelta(hours=24)
TRIES: Final = 5
RECOVER: Final = "registrar recover"


@dataclass(frozen=True, slots=True)
class Pace:
    """How many steps at once (None: as many as help), and for how long a create of unknown outcome is looked for."""

    parallelism: int | None = None
    doubt_s: float = 10.0
    poll_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A record at one moment with the credential in its newest version, if that holds one."""

    record: Record
    stored: Credential | None = None
    blank: bool = False  # the newest version can be read and is empty: a fence that was left open


class Hands:
    """The hands of one run under its lease."""

    def __init__(
        self,
        world: World,
        services: Services,
        lease: Lease,
        *,
        stop: Stop | None = None,
        on_event: Callable[[Event], None] | None = None,
        pace: Pace | None = None,
        prove_creates: bool = False,
    ) -> None:
        self.world = world
        self.stop = stop or Stop()
        self.applications = services.applications
        self.records = services.records
        self.proof = services.proof
        self.lease = lease
        self.pace = pace or Pace()
        self.concurrency = Concurrency(self.pace.parallelism)
        self.prove_creates = prove_creates
        self._on_event = on_event
        self._telling = threading.Lock()

    def failed(self, step: Step, error: RegistrarError) -> Outcome:
        self.heed(error)
        self.tell(step, "failed", error.message)
        return Outcome(step, Status.FAILED, error.message, error)

    def heed(self, error: RegistrarError) -> None:
        """A refused credential, a lost lease or a lost service concerns every application: no new step is begun."""
        if isinstance(error, AccessDenied | Unreachable | Sealed | LeaseLost):
            self.stop.because(error)

    def tell(self, step: Step, stage: str, detail: str = "") -> None:
        with self._telling:
            if self._on_event is None:
                return
            try:
                self._on_event(Event(step.path, step.name, stage, detail))
            except Exception:  # noqa: BLE001 (a listener that is gone must not cost the secret about to be stored)
                self._on_event = None

    # -- Nexus ---------------------------------------------------------------------------------------------------------

    def remove(self, registered: Registered) -> None:
        """Delete a marked application; one that Nexus keeps, since it issued a token, is named and archived."""
        mark = registered.mark
        try:
            self.lease.check()
            if registered.archived:
                self.applications.unarchive(registered.id)
            self.lease.check()
            self.applications.delete(registered.id)
        except Missing:
            return
        except Kept:
            self.lease.check()
            if mark and not mark.abandoned:
                self.applications.update(registered.id, {"description": str(dataclasses.replace(mark, abandoned=True))})
                self.lease.check()
            self.applications.archive(registered.id)

    # -- the record ----------------------------------------------------------------------------------------------------

    def see(self, path: str) -> Seen:
        record = self.records.one(path)
        stored = self.records.read(path, record.current) if record.living else None
        blank = record.living and stored is None and self.records.blank(path, record.current)
        return Seen(record, stored, blank)

    def described(self, base: Facts, application: Application) -> Facts:
        return described(base, application, self.world.target, self.lease.domain)

    def settle(self, step: Step, facts: Facts, record: Record | None) -> None:
        """Write the facts; they name the version they describe, so late or stale ones are seen as such."""
        number = record.metadata_version if record else None
        for _ in range(2):
            self.lease.check()
            try:
                self.records.settle(step.path, facts, number)
            except (OutcomeUnknown, VersionMismatch) as error:
                reason: ServiceError = error
            except ServiceError as error:
                self.heed(error)
                reason = error
                break
            else:
                self.tell(step, "settled")
                return
            found = self.records.one(step.path)
            if found.facts == facts:
                return
            if found.current > facts.version:
                break
            # somebody, or a fence of ours, wrote metadata since it was read
            facts = dataclasses.replace(facts, others=found.base.others)
            number = found.metadata_version
        raise failure(step, f"the facts of its record could not be written: {reason.message}", "registrar apply")

    def fence(self, step: Step, seen: Seen) -> Facts | None:
        """Raise the record's version, so that a store of a dead run is refused; the facts of that version, if any.

        Where nothing is stored the fence is an empty version, deleted by its number at once: deleting the key would
        start its versions again at 0 and undo the fence. Somebody else's data is a fence already, and never written.
        """
        record = seen.record
        if record.current and record.facts is None:
            return None
        self.lease.check()
        if record.living and not seen.blank:
            facts = self.succeeded(record, record.base.client_id) if record.kind is Kind.SETTLED else None
            stored = self.records.again(step.path, record.current, self.lease.check)
            self.tell(step, "fenced", f"version {stored.version}")
            return dataclasses.replace(facts, version=stored.version) if facts else None
        if record.kind in (Kind.NONE, Kind.EMPTY) or (seen.blank and record.base.state is State.EMPTY):
            target = self.world.target
            facts = Facts(
                version=record.current + 1,
                set=target.set,
                name=step.name,
                nexus=target.nexus_url,
                domain=self.lease.domain,
                state=State.EMPTY,
                others=record.base.others,
            )
            self.records.settle(step.path, facts, record.metadata_version)
            self.lease.check()
        stored = self.records.store(step.path, None, cas=record.current)
        self.lease.check()
        self.records.delete_version(step.path, stored.version)
        self.tell(step, "fenced", f"version {stored.version}, empty")
        return None

    def succeeded(self, record: Record, client_id: str, grace: timedelta = GRACE) -> Facts:
        """The facts of the newest version with this client id: the only way in which facts follow what is stored.

        Facts can be an older run's that landed late over newer ones, so whoever lives and was stored since is an old
        one too. Only where one version was added, with another client, can nobody have claimed: the one before retires,
        if its version can still be read. Otherwise a claim may stand, and a return to the old ones is refused from now
        on: they leave.
        """
        before = record.base
        olds = [former for former in self._olds(record, grace) if former.client_id != client_id]
        held = record.version(before.version) is not None and not record.deleted(before.version)
        added = client_id != before.client_id and record.current == before.version + 1 and held
        retiring = next((old for old in olds if added and old.client_id == before.client_id), None)
        leaving = sorted((old for old in olds if old is not retiring), key=lambda old: old.version)
        if len(leaving) > 1 and retiring is None:
            retiring = dataclasses.replace(leaving.pop(0), version=0)  # no way back to that one either
        if len(leaving) > 1:
            told = ", ".join(old.client_id for old in olds)
            message = f"{record.path}: more registrations live that it replaced than its record can name: {told}"
            raise StepFailed(message, hint="archive one of them in Nexus, then registrar apply")
        kept = client_id == before.client_id and record.kind is Kind.SETTLED and before.state is State.RETIRED
        facts = dataclasses.replace(
            before,
            version=record.current,
            retiring=retiring,
            leaving=leaving[0] if leaving else None,
            state=State.RETIRED if kept else State.REGISTERED,
        )
        if client_id == before.client_id:
            return facts
        return dataclasses.replace(facts, client_id=client_id, rotated_at=None, proven_at=None)

    def _olds(self, record: Record, grace: timedelta) -> Iterator[Former]:
        """Living registrations that this record held or names: those of its facts, and of the versions since."""
        before, until = record.base, record.seen_at + grace
        found = {former.client_id: former for former in formers(before)}
        if before.version and before.client_id:  # facts of no version name one that was never ours
            found[before.client_id] = Former(before.client_id, before.version, until)
        declared = self.world.wanted.get(record.path)
        names = {same_name(before.name), same_name(declared.name if declared else before.name)}
        for number in range((before.version if before.client_id else 0) + 1, record.current):
            held = self.records.read(record.path, number) if record.version(number) else None
            registered = self.world.by_client.get(held.client_id) if held else None
            if registered is None or same_name(registered.name) not in names:
                continue  # what somebody stored by hand is not ours to archive
            if set(self.world.explained.get(registered.client_id, ())) <= {record.path}:
                found[registered.client_id] = Former(registered.client_id, number, until)
        return (former for former in found.values() if self.lives(former.client_id))

    def settled(self, step: Step) -> Record:
        """The record as it is now; StepFailed where it is not settled any more, so that the plan rests on nothing."""
        record = self.records.one(step.path)
        if record.kind is not Kind.SETTLED:
            raise failure(step, f"its record is {record.kind} by now", "registrar plan")
        return record

    def claim(self, step: Step, record: Record) -> int:
        """Write the settled version again as it is: a late return to an older one is refused from now on."""
        self.lease.check()
        stored = self.records.again(step.path, record.current, self.lease.check)
        self.tell(step, "claimed", f"version {stored.version}")
        return stored.version

    def archive(self, step: Step, client_id: str) -> None:
        """Archive the application with this client id, if Nexus has it living."""
        registered = self.world.by_client.get(client_id)
        if registered is None or registered.archived:
            return
        self.lease.check()
        self.applications.archive(registered.id)
        self.tell(step, "archived", f"client id {client_id}")

    def lives(self, client_id: str) -> bool:
        registered = self.world.by_client.get(client_id)
        return registered is not None and not registered.archived


def failure(step: Step, told: str, hint: str) -> StepFailed:
    return StepFailed(f"{step.name}: {told}", hint=hint, application=step.path)

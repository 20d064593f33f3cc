"""Registering: a new application, or a second one beside the current, whose credential lands in Vault.

Owns what happens to a secret that Nexus shows once. Must never resend a create as it was, and never drop an application
whose store may still land.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from registrar.errors import (
    CustodyError,
    LeaseLost,
    OutcomeUnknown,
    RegistrarError,
    ServiceError,
    StepFailed,
    Unreachable,
    Unsuitable,
    VersionMismatch,
)
from registrar.model import Application, Credential, Facts, Former, Kind, Mark, Record, Registered, State, new_id
from registrar.ports import Stored, Verdict
from registrar.reconcile.hands import RECOVER, TRIES, Hands, failure
from registrar.report import Outcome, Status
from registrar.steps import Create, Expire, Rotate
from registrar.world import formers


@dataclass(frozen=True, slots=True)
class _New:
    """What is to be registered for a step, and the record that its credential goes into as version `cas` + 1."""

    step: Create | Rotate
    application: Application
    record: Record | None
    cas: int


@dataclass(frozen=True, slots=True)
class _Settled:
    """A new credential that is stored and described; its application still wears its mark."""

    step: Create | Rotate
    application: Application
    client_id: str
    former: Former | None = None  # whom it replaces


class Registering:
    """Create and Rotate."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._keeping = threading.Lock()
        self._doubted: set[Mark] = set()
        self._unfinished: list[_Settled] = []
        self.due: list[Expire] = []  # what rotations without a grace leave

    def create(self, step: Create) -> None:
        """1 register, marked   2 store   3 settle; the outcome comes from `finish`."""
        record = self._hands.world.by_path.get(step.path)
        self._carry_out(_New(step, step.application, record, step.version), prove=self._hands.prove_creates)

    def rotate(self, step: Rotate) -> None:
        """The same beside the current registration, proven before it is stored; the old one retires with its facts."""
        record = self._hands.records.one(step.path)
        facts = record.base
        if facts.client_id != step.client_id and not step.adopts:
            raise failure(step, "its record names another registration by now", "registrar plan")
        if formers(facts) or record.kind in (Kind.UNSETTLED, Kind.FOREIGN):
            raise failure(step, "its record has changed since it was planned", "registrar plan")
        self._carry_out(_New(step, step.application, record, record.current), prove=True)

    def _carry_out(self, new: _New, *, prove: bool) -> None:
        hands, step = self._hands, new.step
        credential = self._register(new)
        hands.tell(step, "registered", f"client id {credential.client_id}")
        proven = prove and self._proven(new, credential)
        stored = self._store(new, credential)
        hands.tell(step, "stored", f"version {stored.version}")
        if hands.stop.urgent:
            raise failure(step, "stopped after its credential was stored", RECOVER)
        facts = dataclasses.replace(
            new.record.base if new.record else Facts(),
            client_id=credential.client_id,
            version=stored.version,
            registered_at=stored.at,
            rotated_at=None,
            proven_at=stored.at if proven else None,
            state=State.REGISTERED,
        )
        if isinstance(step, Rotate):
            facts = self._succeeding(step, new.record, facts, stored)
        declared = hands.world.wanted.get(step.path)  # an undeclared one keeps what its facts say of it
        hands.settle(step, hands.described(facts, declared) if declared else facts, new.record)
        with self._keeping:
            former = next(iter(formers(facts)), None)
            self._unfinished.append(_Settled(step, new.application, credential.client_id, former))

    def _succeeding(self, step: Rotate, record: Record | None, facts: Facts, stored: Stored) -> Facts:
        """The registration before retires; without a version to go back to it leaves."""
        facts = dataclasses.replace(facts, rotated_at=stored.at)
        if not self._hands.lives(step.client_id):
            return facts
        held = record.base.version if record and record.kind is Kind.SETTLED else 0
        former = Former(step.client_id, held, stored.at + timedelta(seconds=step.grace_s))
        return dataclasses.replace(facts, retiring=former if held else None, leaving=None if held else former)

    def _proven(self, new: _New, credential: Credential) -> bool:
        """Whether Nexus takes the credential it has just given; one that it does not take is dropped, never stored."""
        verdict = Verdict.UNTOLD
        with contextlib.suppress(ServiceError):  # it cannot tell now; that is no reason to lose the secret
            verdict = self._hands.proof.prove(credential, new.application.redirect_uri)
        if verdict is Verdict.WRONG:
            self._hands.lease.check()  # else another run has removed it meanwhile
            wrong = StepFailed("Nexus does not take the credential that it gave", hint="registrar doctor")
            raise self._dropped(new.step, credential, wrong, "was not stored")
        self._hands.tell(new.step, "proven" if verdict is Verdict.RIGHT else "not proven")
        return verdict is Verdict.RIGHT

    def _register(self, new: _New) -> Credential:
        """Send the create, marked; after an unknown outcome look for it, and try once more as another run."""
        step = new.step
        self._hands.lease.check()
        in_doubt = False
        for run in self._runs():
            grace_s = step.grace_s if isinstance(step, Rotate) else None
            mark = Mark(self._hands.lease.domain, run, step.path, grace_s=grace_s, set=self._hands.world.target.set)
            try:
                return self._hands.applications.create({**new.application.declared(), "description": str(mark)})
            except OutcomeUnknown as error:
                reason = error.message
            except ServiceError as error:  # a definite no to this one says nothing about the first
                if not in_doubt:
                    raise
                self._hands.heed(error)
                break
            self._hands.tell(step, "in doubt", reason)
            in_doubt |= not self._removed_late(step, mark)
            if self._hands.stop.no_new_step or not self._hands.lease.good:
                break
        if in_doubt:
            message = f"{step.name}: it is not known whether Nexus registered it: {reason}"
            raise CustodyError(message, hint=RECOVER, application=step.path)
        raise failure(step, f"its registration was lost, and removed again: {reason}", "registrar apply")

    def _runs(self) -> Iterator[str]:
        """This run, and another one for what is tried once more."""
        yield self._hands.lease.run
        yield new_id()

    def _removed_late(self, step: Create | Rotate, mark: Mark) -> bool:
        """Look for what a create of unknown outcome made, and remove it: its secret is lost, so no store can follow."""
        with self._keeping:
            self._doubted.add(mark)
        deadline = time.monotonic() + self._hands.pace.doubt_s
        while True:
            try:
                found = [registered for registered in self._hands.applications.all() if registered.mark == mark]
                for registered in found:
                    self._hands.remove(registered)
                    self._hands.tell(step, "removed", f"client id {registered.client_id}, whose secret was lost")
                self._hands.lease.check()
                if found:
                    return True
            except (Unreachable, OutcomeUnknown, Unsuitable):
                pass  # away as it was when the create got lost; the deadline bounds the wait
            except RegistrarError as error:
                self._hands.heed(error)
                return False
            if time.monotonic() >= deadline:
                return False
            time.sleep(self._hands.pace.poll_s)

    def _store(self, new: _New, credential: Credential) -> Stored:
        """Store the new credential, or drop its application where it is certain that the store never lands."""
        step = new.step
        try:
            self._hands.lease.check()
            return self._hands.records.store(step.path, credential, cas=new.cas)
        except (OutcomeUnknown, VersionMismatch, LeaseLost) as error:
            reason: RegistrarError = error
        except ServiceError as error:  # refused, or never sent
            self._hands.heed(error)
            raise self._dropped(step, credential, error) from None
        self._hands.tell(step, "in doubt", reason.message)
        try:
            self._hands.lease.check()
            # a proxy may have sent it twice, so that the refused one is our own second: look before dropping
            stored = self._stored_or_fenced(new, credential, fence=isinstance(reason, OutcomeUnknown))
        except RegistrarError as error:
            self._hands.heed(error)
            raise self._in_custody(step, credential, error) from None
        if stored:
            return stored
        raise self._dropped(step, credential, reason)

    def _stored_or_fenced(self, new: _New, credential: Credential, *, fence: bool) -> Stored | None:
        """What the store made after all, or None where it never lands: it was refused, or is fenced out from now on."""
        step = new.step
        for _ in range(TRIES):
            seen = self._hands.see(step.path)
            record = seen.record
            if seen.stored == credential:
                version = record.version(record.current)
                return Stored(record.current, version.created_at if version else record.seen_at)
            if not fence:
                if record.current != new.cas:
                    return None
                # a standby that lags: the store was refused since there is another version than this
                time.sleep(self._hands.pace.poll_s)
                continue
            try:
                facts = self._hands.fence(step, seen)
            except VersionMismatch:
                continue  # it landed in between, or somebody wrote: look again
            if facts and record.kind is Kind.SETTLED:
                self._hands.settle(step, facts, record)
            return None
        raise failure(step, "its record cannot be seen as it is: somebody keeps writing, or Vault lags", RECOVER)

    def _in_custody(self, step: Create | Rotate, credential: Credential, error: RegistrarError) -> CustodyError:
        told = f"registered as {credential.client_id}, and its secret may not be stored: {error.message}"
        return CustodyError(f"{step.name}: {told}", hint=RECOVER, application=step.path)

    def _dropped(
        self, step: Create | Rotate, credential: Credential, reason: RegistrarError, why: str = "could not be stored"
    ) -> RegistrarError:
        """Remove the application just made, whose store never lands; the first error is the one to report."""
        try:
            for registered in self._hands.applications.all():
                if registered.client_id == credential.client_id:
                    self._hands.remove(registered)
        except RegistrarError:
            return self._in_custody(step, credential, reason)  # its mark tells the next run the rest
        self._hands.tell(step, "removed", f"client id {credential.client_id}")
        told = f"{why}, so its application was removed again: {reason.message}"
        return failure(step, told, reason.hint or "registrar apply")

    def finish(self) -> list[Outcome]:
        """Give each new application its declared description; one list has all ids, which a create does not answer."""
        if not self._unfinished and not self._doubted:
            return []
        try:
            registered = () if self._hands.stop.urgent else self._hands.applications.all()
        except RegistrarError as error:
            return [self._hands.failed(settled.step, error) for settled in self._unfinished]
        by_client = {application.client_id: application for application in registered}
        with ThreadPoolExecutor(self._hands.concurrency.limit, thread_name_prefix="finish") as pool:
            finished = pool.map(lambda s: self._finish(s, by_client.get(s.client_id)), self._unfinished)
            outcomes = list(finished)
        for late in registered:  # what a create made after it had been given up; nobody ever had its secret
            if late.mark in self._doubted:
                with contextlib.suppress(RegistrarError):  # still marked, so the next run knows it
                    self._hands.remove(late)
        return outcomes

    def _finish(self, settled: _Settled, registered: Registered | None) -> Outcome:
        step = settled.step
        try:
            if self._hands.stop.urgent:
                raise failure(step, "stopped before it was finished: it is stored, and still marked", RECOVER)
            if registered is None:
                raise failure(step, f"{settled.client_id} is stored, but no longer in Nexus", "registrar plan")
            self._hands.lease.check()
            self._hands.applications.update(registered.id, {"description": settled.application.description or ""})
        except RegistrarError as error:
            return self._hands.failed(step, error)
        detail = f"client id {settled.client_id}, at {self._hands.world.target.location(step.path)}"
        if (former := settled.former) and isinstance(step, Rotate) and not step.grace_s:
            reason = "rotated without a grace"
            self.due.append(Expire(path=step.path, name=step.name, reason=reason, former=former))
        elif former:
            detail += f"; {former.client_id} works until {former.until:%Y-%m-%d %H:%M} UTC"
        self._hands.tell(step, str(Status.DONE), detail)
        return Outcome(step, Status.DONE, detail)

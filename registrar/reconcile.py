"""Makes Nexus and Vault agree with the manifests: `observe()` and `apply()`, the only place where effects are ordered.

Owns the protocol of custody. Must never import a client, print, or decide what a row of the table means: `plan` does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Final, assert_never

from registrar.errors import (
    AccessDenied,
    CustodyError,
    Kept,
    LeaseLost,
    Missing,
    OutcomeUnknown,
    RegistrarError,
    Sealed,
    ServiceError,
    StepFailed,
    Unreachable,
    Unsuitable,
    UsageError,
    VersionMismatch,
)
from registrar.lock import Lease
from registrar.model import (
    Application,
    Credential,
    Facts,
    Former,
    Kind,
    Mark,
    Record,
    Registered,
    State,
    Target,
    new_id,
)
from registrar.plan import Options, Plan, World, described, formers, plan
from registrar.ports import Applications, Records, Services, Stored, Verdict
from registrar.report import Event, Outcome, Report, Status, Stop
from registrar.steps import (
    Adopt,
    Back,
    Blocked,
    Create,
    Expire,
    Keep,
    Recover,
    Restore,
    Retire,
    Rotate,
    Step,
    Update,
)

GRACE: Final = timedelta(hours=24)
_TRIES: Final = 5
_KEPT_VERSIONS: Final = 5  # each fence or claim uses one; fewer would evict what a rotation may go back to
_RECOVER: Final = "registrar recover"


@dataclass(frozen=True, slots=True)
class Pace:
    """How many steps at once, and for how long a create of unknown outcome is looked for."""

    parallelism: int = 8
    doubt_s: float = 10.0
    poll_s: float = 1.0


# ── before the first effect ───────────────────────────────────────────────────────────────────────────────────────────


def observe(
    target: Target, desired: tuple[Application, ...], applications: Applications | None, records: Records
) -> World:
    """What there is: Nexus's list first, then the lock and the records, since a record may name what was just made."""
    registered = applications.all() if applications else None
    lock = records.lock()
    folder = records.all()
    world = World(target, desired, registered, folder.records, lock, folder.nested)
    if applications and not world.explained.keys() <= world.by_client.keys():
        # made between the list and the records, or deleted behind us: only a later list tells
        world = dataclasses.replace(world, registered=applications.all())
    domains = {record.facts.domain for record in folder.records if record.facts} | {lock.domain if lock else ""}
    if len(domains - {""}) > 1:
        told = ", ".join(sorted(domains - {""}))
        message = f"the records below {target.location('')} are of different domains: {told}"
        raise Unsuitable(message, hint="two prefixes were copied into one: give each target a prefix of its own")
    return world


def preflight(todo: Plan, world: World, services: Services) -> None:
    """Raise before the first effect where a service, a permission, a record or a value would stop the run midway."""
    services.applications.check()
    paths = sorted({step.path for step in todo.pending})
    services.records.check(paths)
    for path in paths:
        if record := world.by_path.get(path):
            _check_key(record, world.target.location(path))
        if application := world.wanted.get(path):
            unfit = described(Facts(), application, world.target, world.domain).unfit()
            if unfit:
                message = f"{path}: {', '.join(unfit)} cannot be kept in Vault (512 printable bytes at most)"
                raise UsageError(message, hint="registrar validate", application=path)


def _check_key(record: Record, location: str) -> None:
    if 0 < record.max_versions < _KEPT_VERSIONS:
        message = f"{location} keeps {record.max_versions} versions, {_KEPT_VERSIONS} are needed"
        raise Unsuitable(message, hint=f"vault kv metadata put -max-versions=10 {location}", application=record.path)
    if record.delete_after_s:
        message = f"{location} deletes its versions after {record.delete_after_s} s by itself"
        hint = f"vault kv metadata put -delete-version-after=0s {location}"
        raise Unsuitable(message, hint=hint, application=record.path)


# ── apply ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def apply(run: Run, todo: Plan, options: Options) -> Report:
    """Carry out a plan made under the run's lease; what a recovered path turns out to need is part of it."""
    steps: list[Step] = [step for step in todo.steps if not isinstance(step, Recover)]
    recovers: list[Step] = [step for step in todo.steps if isinstance(step, Recover)]
    outcomes: list[Outcome] = []
    for _ in range(_TRIES):  # a late create may land while another one is recovered
        ended = run.carry_out(recovers)
        outcomes += ended
        recovered = {outcome.step.path for outcome in ended if outcome.status is Status.DONE}
        if not recovered or run.stop.no_new_step:
            break
        try:
            again = plan(run.observe(), options).at(recovered).steps
        except ServiceError as error:
            run.stop.because(error)
            break
        recovers = [step for step in again if isinstance(step, Recover)]
        # what was approved is a Recover, not that a client breaks
        unapproved = "recovered; what it needs now breaks clients, so it wants a plan of its own"
        outcomes += [Outcome(step, Status.SKIPPED, unapproved) for step in again if step.breaks_clients]
        steps += [step for step in again if not step.breaks_clients and not isinstance(step, Keep | Recover)]
    outcomes += run.carry_out(steps)
    outcomes += run.finish()
    return run.report(outcomes)


def recover(run: Run, todo: Plan) -> Report:
    """Carry out only what interrupted runs left of a plan made under the run's lease."""
    return run.report(run.carry_out(todo.recovery().steps))


@dataclass(frozen=True, slots=True)
class _Settled:
    """A new credential that is stored and described; its application still wears its mark."""

    step: Create
    client_id: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record at one moment with the credential in its newest version, if that holds one."""

    record: Record
    stored: Credential | None
    blank: bool  # the newest version can be read and is empty: a fence that was left open


class Run:
    """One run under its lease: the steps, and the order of effects of each.

        Create   1 register (marked)   2 store   3 settle   4 finish (declared description)
        Update   1 change              2 settle
        Recover  read: this client id → settle, finish;   else 1 fence   2 delete   3 settle at the fence's version

    An application of ours is at any instant explained by Vault or marked, and the newest stored credential belongs to a
    living application: that is why the mark goes last and the fence first.
    """

    def __init__(
        self,
        world: World,
        services: Services,
        lease: Lease,
        *,
        stop: Stop | None = None,
        on_event: Callable[[Event], None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.world = world
        self.stop = stop or Stop()
        self._services = services
        self._applications = services.applications
        self._records = services.records
        self._lease = lease
        self._on_event = on_event
        self._pace = pace or Pace()
        self._telling = threading.Lock()
        self._doubted: set[Mark] = set()
        self._unfinished: list[_Settled] = []

    # -- the frame -----------------------------------------------------------------------------------------------------

    def observe(self) -> World:
        """Look again, and go on from there."""
        world = self.world
        self.world = observe(world.target, world.desired, self._applications, self._records)
        return self.world

    def report(self, outcomes: Iterable[Outcome]) -> Report:
        """These outcomes by path, and whether and why the run was stopped."""
        ordered = sorted(outcomes, key=lambda outcome: outcome.step.path)
        return Report(tuple(ordered), self.stop.asked, self.stop.cause)

    def carry_out(self, steps: Iterable[Step]) -> list[Outcome]:
        """The paths in a bounded pool, the steps of each in order; a Create has its outcome from `finish`."""
        by_path = [list(group) for _, group in groupby(sorted(steps, key=_path), key=_path)]
        with ThreadPoolExecutor(self._pace.parallelism, thread_name_prefix="step") as pool:
            groups = pool.map(lambda group: [self._one(step) for step in group], by_path)
            return [outcome for group in groups for outcome in group if outcome]

    def _one(self, step: Step) -> Outcome | None:
        if isinstance(step, Keep):
            return Outcome(step, Status.KEPT)
        if isinstance(step, Blocked):
            return Outcome(step, Status.BLOCKED, step.reason)
        if self.stop.no_new_step:
            return Outcome(step, Status.SKIPPED, "the run was stopped before this step began", self.stop.cause)
        try:
            outcome = self._dispatch(step)
        except RegistrarError as error:
            return self._failed(step, error)
        except Exception as error:  # noqa: BLE001 (a defect in one step must not hide the outcomes of the others)
            return self._failed(step, _defect(step, error))
        if outcome:
            self._tell(step, str(outcome.status), outcome.detail)
        return outcome

    def _dispatch(self, step: Step) -> Outcome | None:
        match step:
            case Create():
                self._create(step)
                return None
            case Update():
                return self._update(step)
            case Recover():
                return self._recover(step)
            case Rotate() | Back() | Adopt() | Retire() | Restore() | Expire():
                return Outcome(step, Status.NOT_CARRIED_OUT, "planned, but not carried out by this version")
            case Keep() | Blocked():
                return None
            case _:
                assert_never(step)

    def _failed(self, step: Step, error: RegistrarError) -> Outcome:
        self._heed(error)
        self._tell(step, "failed", error.message)
        return Outcome(step, Status.FAILED, error.message, error)

    def _heed(self, error: RegistrarError) -> None:
        """A refused credential, a lost lease or a lost service concerns every application: no new step is begun."""
        if isinstance(error, AccessDenied | Unreachable | Sealed | LeaseLost):
            self.stop.because(error)

    def _tell(self, step: Step, stage: str, detail: str = "") -> None:
        with self._telling:
            if self._on_event is None:
                return
            try:
                self._on_event(Event(step.path, step.name, stage, detail))
            except Exception:  # noqa: BLE001 (a listener that is gone must not cost the secret about to be stored)
                self._on_event = None

    # -- create --------------------------------------------------------------------------------------------------------

    def _create(self, step: Create) -> None:
        credential = self._register(step)
        self._tell(step, "registered", f"client id {credential.client_id}")
        stored = self._store(step, credential)
        self._tell(step, "stored", f"version {stored.version}")
        if self.stop.urgent:
            raise _failure(step, "stopped after its credential was stored", _RECOVER)
        record = self.world.by_path.get(step.path)
        facts = dataclasses.replace(
            record.base if record else Facts(),
            client_id=credential.client_id,
            version=stored.version,
            registered_at=stored.at,
            rotated_at=None,
            proven_at=None,
            state=State.REGISTERED,
        )
        self._settle(step, self._described(facts, step.application), record)
        with self._telling:
            self._unfinished.append(_Settled(step, credential.client_id))

    def _register(self, step: Create) -> Credential:
        """Send the create, marked; after an unknown outcome look for it, and try once more as another run."""
        self._lease.check()
        in_doubt = False
        for run in (self._lease.run, new_id()):
            mark = Mark(self._lease.domain, run, step.path)
            try:
                return self._applications.create({**step.application.declared(), "description": str(mark)})
            except OutcomeUnknown as error:
                reason = error.message
            except ServiceError as error:  # a definite no to this one says nothing about the first
                if not in_doubt:
                    raise
                self._heed(error)
                break
            self._tell(step, "in doubt", reason)
            in_doubt |= not self._removed_late(step, mark)
            if self.stop.no_new_step or not self._lease.good:
                break
        if in_doubt:
            message = f"{step.name}: it is not known whether Nexus registered it: {reason}"
            raise CustodyError(message, hint=_RECOVER, application=step.path)
        raise _failure(step, f"its registration was lost, and removed again: {reason}", "registrar apply")

    def _removed_late(self, step: Create, mark: Mark) -> bool:
        """Look for what a create of unknown outcome made, and remove it: its secret is lost, so no store can follow."""
        with self._telling:
            self._doubted.add(mark)
        deadline = time.monotonic() + self._pace.doubt_s
        while True:
            try:
                found = [registered for registered in self._applications.all() if registered.mark == mark]
                for registered in found:
                    self._remove(registered)
                    self._tell(step, "removed", f"client id {registered.client_id}, whose secret was lost")
                self._lease.check()
                if found:
                    return True
            except (Unreachable, OutcomeUnknown, Unsuitable):
                pass  # away as it was when the create got lost; the deadline bounds the wait
            except RegistrarError as error:
                self._heed(error)
                return False
            if time.monotonic() >= deadline:
                return False
            time.sleep(self._pace.poll_s)

    def _store(self, step: Create, credential: Credential) -> Stored:
        """Store the new credential, or drop its application where it is certain that the store never lands."""
        try:
            self._lease.check()
            return self._records.store(step.path, credential, cas=step.version)
        except (OutcomeUnknown, VersionMismatch, LeaseLost) as error:
            reason: RegistrarError = error
        except ServiceError as error:  # refused, or never sent
            self._heed(error)
            raise self._dropped(step, credential, error) from None
        self._tell(step, "in doubt", reason.message)
        try:
            self._lease.check()
            # a proxy may have sent it twice, so that the refused one is our own second: look before dropping
            stored = self._stored_or_fenced(step, credential, fence=isinstance(reason, OutcomeUnknown))
        except RegistrarError as error:
            self._heed(error)
            raise self._in_custody(step, credential, error) from None
        if stored:
            return stored
        raise self._dropped(step, credential, reason)

    def _stored_or_fenced(self, step: Create, credential: Credential, *, fence: bool) -> Stored | None:
        """What the store made after all, or None where it never lands: it was refused, or is fenced out from now on."""
        for _ in range(_TRIES):
            seen = self._see(step.path)
            record = seen.record
            if seen.stored == credential:
                version = record.version(record.current)
                return Stored(record.current, version.created_at if version else record.seen_at)
            if not fence:
                if record.current != step.version:
                    return None
                # a standby that lags: the store was refused since there is another version than this
                time.sleep(self._pace.poll_s)
                continue
            try:
                facts = self._fence(step, seen)
            except VersionMismatch:
                continue  # it landed in between, or somebody wrote: look again
            if facts and record.kind is Kind.SETTLED:
                self._settle(step, facts, record)
            return None
        raise _failure(step, "its record cannot be seen as it is: somebody keeps writing, or Vault lags", _RECOVER)

    def _in_custody(self, step: Create, credential: Credential, error: RegistrarError) -> CustodyError:
        told = f"registered as {credential.client_id}, and its secret may not be stored: {error.message}"
        return CustodyError(f"{step.name}: {told}", hint=_RECOVER, application=step.path)

    def _dropped(self, step: Create, credential: Credential, reason: RegistrarError) -> RegistrarError:
        """Remove the application just made, whose store never lands; the first error is the one to report."""
        try:
            for registered in self._applications.all():
                if registered.client_id == credential.client_id:
                    self._remove(registered)
        except RegistrarError:
            return self._in_custody(step, credential, reason)  # its mark tells the next run the rest
        self._tell(step, "removed", f"client id {credential.client_id}")
        told = f"could not be stored, so its application was removed again: {reason.message}"
        return _failure(step, told, reason.hint or "registrar apply")

    def _remove(self, registered: Registered) -> None:
        """Delete a marked application; one that Nexus keeps, since it issued a token, is named and archived."""
        mark = registered.mark
        try:
            self._lease.check()
            if registered.archived:
                self._applications.unarchive(registered.id)
            self._lease.check()
            self._applications.delete(registered.id)
        except Missing:
            return
        except Kept:
            self._lease.check()
            if mark and not mark.abandoned:
                self._applications.update(
                    registered.id, {"description": str(dataclasses.replace(mark, abandoned=True))}
                )
                self._lease.check()
            self._applications.archive(registered.id)

    # -- finish --------------------------------------------------------------------------------------------------------

    def finish(self) -> list[Outcome]:
        """Give each new application its declared description; one list has all ids, which a create does not answer."""
        if not self._unfinished and not self._doubted:
            return []
        try:
            registered = () if self.stop.urgent else self._applications.all()
        except RegistrarError as error:
            return [self._failed(settled.step, error) for settled in self._unfinished]
        by_client = {application.client_id: application for application in registered}
        with ThreadPoolExecutor(self._pace.parallelism, thread_name_prefix="finish") as pool:
            finished = pool.map(lambda s: self._finish(s, by_client.get(s.client_id)), self._unfinished)
            outcomes = list(finished)
        for late in registered:  # what a create made after it had been given up; nobody ever had its secret
            if late.mark in self._doubted:
                with contextlib.suppress(RegistrarError):  # still marked, so the next run knows it
                    self._remove(late)
        return outcomes

    def _finish(self, settled: _Settled, registered: Registered | None) -> Outcome:
        step = settled.step
        try:
            if self.stop.urgent:
                raise _failure(step, "stopped before it was finished: it is stored, and still marked", _RECOVER)
            if registered is None:
                raise _failure(step, f"{settled.client_id} is stored, but no longer in Nexus", "registrar plan")
            self._lease.check()
            self._applications.update(registered.id, {"description": step.application.description or ""})
        except RegistrarError as error:
            return self._failed(step, error)
        detail = f"client id {settled.client_id}, at {self.world.target.location(step.path)}"
        self._tell(step, str(Status.DONE), detail)
        return Outcome(step, Status.DONE, detail)

    # -- the record ----------------------------------------------------------------------------------------------------

    def _see(self, path: str) -> _Seen:
        record = self._records.one(path)
        stored = self._records.read(path, record.current) if record.living else None
        blank = record.living and stored is None and self._records.blank(path, record.current)
        return _Seen(record, stored, blank)

    def _described(self, base: Facts, application: Application) -> Facts:
        return described(base, application, self.world.target, self._lease.domain)

    def _settle(self, step: Step, facts: Facts, record: Record | None) -> None:
        """Write the facts; they name the version they describe, so late or stale ones are seen as such."""
        number = record.metadata_version if record else None
        for _ in range(2):
            self._lease.check()
            try:
                self._records.settle(step.path, facts, number)
            except (OutcomeUnknown, VersionMismatch) as error:
                reason: ServiceError = error
            except ServiceError as error:
                self._heed(error)
                reason = error
                break
            else:
                self._tell(step, "settled")
                return
            found = self._records.one(step.path)
            if found.facts == facts:
                return
            if found.current > facts.version:
                break
            # somebody, or a fence of ours, wrote metadata since it was read
            facts = dataclasses.replace(facts, others=found.base.others)
            number = found.metadata_version
        raise _failure(step, f"the facts of its record could not be written: {reason.message}", "registrar apply")

    def _fence(self, step: Step, seen: _Seen) -> Facts | None:
        """Raise the record's version, so that a store of a dead run is refused; the facts of that version, if any.

        Where nothing is stored the fence is an empty version, deleted by its number at once: deleting the key would
        start its versions again at 0 and undo the fence. Somebody else's data is a fence already, and never written.
        """
        record = seen.record
        theirs = record.living and not seen.blank and (record.base.state is State.EMPTY or record.facts is None)
        if theirs:
            return None
        self._lease.check()
        if record.facts and record.living and not seen.blank:
            facts = self._succeeded(record, record.facts.client_id)
            stored = self._records.again(step.path, record.current)
            self._tell(step, "fenced", f"version {stored.version}")
            return dataclasses.replace(facts, version=stored.version)
        if record.kind in (Kind.NONE, Kind.EMPTY):
            target = self.world.target
            facts = dataclasses.replace(
                record.base, state=State.EMPTY, set=target.set, nexus=target.nexus_url, domain=self._lease.domain
            )
            self._records.settle(step.path, dataclasses.replace(facts, name=step.name), record.metadata_version)
            self._lease.check()
        stored = self._records.store(step.path, None, cas=record.current)
        self._lease.check()
        self._records.delete_version(step.path, stored.version)
        self._tell(step, "fenced", f"version {stored.version}, empty")
        return None

    # -- update --------------------------------------------------------------------------------------------------------

    def _update(self, step: Update) -> Outcome:
        for edit in step.edits:
            self._lease.check()
            self._applications.update(edit.id, {change.field: change.after for change in edit.changes})
            self._tell(step, "changed", ", ".join(change.field for change in edit.changes))
        record = self.world.by_path.get(step.path)
        if step.facts and record and record.facts:
            self._settle(step, self._described(record.facts, step.application), record)
        return Outcome(step, Status.DONE, "; ".join(step.notes))

    # -- recover -------------------------------------------------------------------------------------------------------

    def _recover(self, step: Recover) -> Outcome:
        """Finish what is stored, undo what is not; where a write is refused something landed meanwhile: look again."""
        for _ in range(_TRIES):
            with contextlib.suppress(VersionMismatch):
                return self._recovered(step, self._see(step.path))
        raise _failure(step, "somebody keeps writing to its record", _RECOVER)

    def _recovered(self, step: Recover, seen: _Seen) -> Outcome:
        """The marks are older than the record: one whose credential is stored is finished, whatever its kind."""
        done: list[str] = []
        stored = seen.stored
        own = next((marked for marked in step.marked if stored and marked.client_id == stored.client_id), None)
        if own:
            self._finish_own(step, seen.record, own)
            done.append(f"finished {own.client_id}, whose credential was stored")
            seen = self._see(step.path)
        if strays := [marked for marked in step.marked if marked is not own]:
            facts = self._fence(step, seen)
            for stray in strays:
                self._remove(stray)
                self._tell(step, "removed", f"client id {stray.client_id}, whose secret was lost")
                done.append(f"removed {stray.client_id}, whose secret was lost")
            if facts and seen.record.kind is Kind.SETTLED:
                self._settle(step, facts, seen.record)
            seen = self._see(step.path)
        if seen.record.kind is Kind.UNSETTLED:
            return self._settle_unmarked(step, seen)
        return Outcome(step, Status.DONE, "; ".join(done))

    def _finish_own(self, step: Recover, record: Record, own: Registered) -> None:
        """The stored credential belongs to the marked application: settle and finish it."""
        application = self.world.wanted.get(step.path) or _as_registered(step.path, own)
        if record.kind is not Kind.SETTLED:
            facts = self._succeeded(record, own.client_id)
            version = record.version(record.current)
            facts = dataclasses.replace(facts, registered_at=version.created_at if version else record.seen_at)
            self._settle(step, self._described(facts, application), record)
        if own.archived:
            return  # somebody's decision; Nexus refuses to change an archived one
        self._lease.check()
        self._applications.update(own.id, {"description": application.description or ""})
        self._tell(step, "finished", f"client id {own.client_id}")

    def _settle_unmarked(self, step: Recover, seen: _Seen) -> Outcome:
        """A newer version and no mark: a claim or fence that stopped, a return to the old one, or somebody's hand."""
        record, stored, facts = seen.record, seen.stored, seen.record.base
        if seen.blank:
            self._lease.check()
            self._records.delete_version(step.path, record.current)
            return Outcome(step, Status.DONE, "closed the empty version that a fence had left open")
        if stored is None:
            return self._left(step, "it is no credential")
        if facts.version and self._records.read(step.path, facts.version) == stored:
            self._settle(step, self._succeeded(record, facts.client_id), record)
            return Outcome(step, Status.DONE, "settled: the same credential was stored again")
        living = self.world.by_client.get(stored.client_id)
        if living is None or living.archived:
            return self._left(step, "no living application has it")
        if any(path != step.path for path in self.world.explained.get(stored.client_id, ())):
            return self._left(step, "it is the credential of another path")
        if self._services.proof.prove(stored, living.redirect_uri) is not Verdict.RIGHT:
            return self._left(step, "it could not be proved")
        self._settle(step, self._succeeded(record, stored.client_id), record)
        return Outcome(step, Status.DONE, f"settled: {stored.client_id} is stored, lives and proves right")

    def _left(self, step: Recover, why: str) -> Outcome:
        """What somebody stored stays as it is until a person decides."""
        reason = f"{self.world.target.location(step.path)} holds something registrar did not store, and {why}"
        hint = f"registrar show {step.path}"
        blocked = Blocked(path=step.path, name=step.name, version=step.version, reason=reason, hint=hint)
        return Outcome(blocked, Status.BLOCKED, reason)

    def _succeeded(self, record: Record, client_id: str) -> Facts:
        """The facts of the newest version with this client id: the only way in which facts follow what is stored.

        The same client again is a claim or a fence: a late return to the old one is refused from now on, so it leaves.
        Another client: the one before retires, if it lives.
        """
        facts = record.base
        leaving = [former for former in formers(facts) if former.client_id != client_id]
        if len(leaving) > 1:
            leaving = [former for former in leaving if self._lives(former.client_id)]
        if len(leaving) > 1:
            told = f"{' and '.join(former.client_id for former in leaving)} are both still to be archived"
            raise StepFailed(told, hint="archive one of them in Nexus, then registrar apply")
        facts = dataclasses.replace(
            facts, version=record.current, leaving=leaving[0] if leaving else None, retiring=None
        )
        if client_id == facts.client_id:
            return facts
        before = record.base
        retiring = (
            Former(before.client_id, before.version, record.seen_at + GRACE) if self._lives(before.client_id) else None
        )
        return dataclasses.replace(
            facts, client_id=client_id, retiring=retiring, state=State.REGISTERED, rotated_at=None, proven_at=None
        )

    def _lives(self, client_id: str) -> bool:
        registered = self.world.by_client.get(client_id)
        return registered is not None and not registered.archived


def _path(step: Step) -> str:
    return step.path


def _failure(step: Step, told: str, hint: str) -> StepFailed:
    return StepFailed(f"{step.name}: {told}", hint=hint, application=step.path)


def _defect(step: Step, error: Exception) -> RegistrarError:
    """What to say of an exception that is none of ours: its text may hold anything, so only its kind and place."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_name}, line {frame.tb_lineno}" if frame else "an unknown place"
    told = f"{step.name}: a defect of registrar stopped it: {type(error).__name__} in {place}"
    kind = CustodyError if isinstance(step, Create | Recover) else StepFailed
    return kind(told, hint=_RECOVER, application=step.path)


def _as_registered(path: str, registered: Registered) -> Application:
    """An undeclared application as Nexus has it, so that its record can be described."""
    base_url, owner = registered.base_url or None, registered.owner_email or None
    return Application(path, registered.name, registered.redirect_uri, base_url, owner)

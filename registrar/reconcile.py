"""Makes Nexus and Vault agree with the manifests: `observe()` and `apply()`, the only place where effects are ordered.

Owns the protocol of custody and the three Protocols it needs of the outside. Must never import a client, print, or
decide what a row of the table means: that is `plan`.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

from registrar.errors import (
    AccessDenied,
    CustodyError,
    Interrupted,
    LeaseLost,
    Missing,
    OutcomeUnknown,
    RegistrarError,
    Rejected,
    ServiceError,
    StepFailed,
    Unreachable,
    Unsuitable,
    UsageError,
    VersionMismatch,
)
from registrar.lock import Lease, LockRecord
from registrar.model import (
    ABANDONED,
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
from registrar.plan import (
    Adopt,
    Back,
    Blocked,
    Create,
    Expire,
    Keep,
    Options,
    Plan,
    Recover,
    Restore,
    Retire,
    Rotate,
    Step,
    Update,
    World,
    described,
    plan,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer of a data write: the version it made, and when by Vault's clock."""

    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Folder:
    """All records under the prefix; `nested` are folders with a lock of their own, which are not entered."""

    records: tuple[Record, ...]
    nested: tuple[str, ...] = ()


class Verdict(enum.StrEnum):
    """What a proof of a credential found."""

    RIGHT = "right"
    WRONG = "wrong"
    UNTOLD = "untold"


class Applications(Protocol):
    """Nexus. Every call raises ServiceErrors: OutcomeUnknown means that the effect may be there or still land."""

    def check(self) -> None:
        """Raise unless Nexus answers and the caller is a sysadmin there."""

    def all(self) -> tuple[Registered, ...]:
        """Every application, archived ones included, by id."""

    def create(self, values: Mapping[str, str]) -> Credential:
        """Register an application with these FIELDS; sent exactly once."""

    def update(self, number: int, values: Mapping[str, str]) -> None:
        """Set these FIELDS of the application with this id; the others stay."""

    def archive(self, number: int) -> None: ...

    def unarchive(self, number: int) -> None: ...

    def delete(self, number: int) -> None:
        """Delete for good; Rejected where Nexus keeps it since it issued a token."""


class Records(LockRecord, Protocol):
    """The credential records below a target's prefix. Every write of data is guarded by its check-and-set number."""

    def check(self, paths: Sequence[str]) -> None:
        """Raise unless these paths can be written, and the mount keeps enough versions for as long as is needed."""

    def all(self) -> Folder:
        """Every record from metadata alone."""

    def one(self, path: str) -> Record:
        """One record from metadata alone; of the kind NONE where nothing is."""

    def read(self, path: str, version: int = 0) -> Credential | None:
        """The credential in that version (0: the current one), or None where there is none that can be read."""

    def store(self, path: str, credential: Credential | None, cas: int) -> Stored:
        """Write a credential, or a version without content, if `cas` is the current version: else VersionMismatch."""

    def again(self, path: str, cas: int) -> Stored:
        """Write version `cas` again as it is, as the next one: a fence or a claim."""

    def settle(self, path: str, facts: Facts, metadata_version: int | None) -> None:
        """Write the facts; `metadata_version` guards that where the server can (OpenBao)."""

    def delete_version(self, path: str, version: int) -> None:
        """Delete that version by its number, and see that it is deleted."""


class Proof(Protocol):
    """A way to tell whether a credential is right that leaves nothing behind."""

    def prove(self, credential: Credential, redirect_uri: str) -> Verdict: ...


# ── observe ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def observe(
    target: Target, desired: tuple[Application, ...], applications: Applications | None, records: Records
) -> World:
    """What there is: Nexus's list first, then the lock and the records, since a record may name what was just made."""
    registered = applications.all() if applications else None
    lock = records.lock()
    folder = records.all()
    world = World(target, desired, registered, folder.records, lock, folder.nested)
    named = {record.facts.client_id for record in folder.records if record.facts and record.kind is not Kind.EMPTY}
    if applications and not named <= world.by_client.keys():
        # made between the list and the records, or deleted behind us: only a later list tells
        world = dataclasses.replace(world, registered=applications.all())
    domains = {r.facts.domain for r in folder.records if r.facts and r.facts.domain} | (
        {lock.domain} if lock else set()
    )
    if len(domains - {""}) > 1:
        raise Unsuitable(
            f"the records below {target.location('')} are of different domains: {', '.join(sorted(domains - {''}))}",
            hint="two prefixes were copied into one: give each target a prefix of its own",
        )
    return world


# ── what is told while it happens ─────────────────────────────────────────────────────────────────────────────────────


class Status(enum.StrEnum):
    """How a step ended."""

    DONE = "done"
    KEPT = "kept"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    NOT_CARRIED_OUT = "not carried out"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to one application: `stage` is a word of the order of effects."""

    path: str
    name: str
    stage: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step ended, with the error that ended it."""

    step: Step
    status: Status
    detail: str = ""
    error: RegistrarError | None = None

    @property
    def custody(self) -> bool:
        """Whether an application may exist whose secret is not stored."""
        left = self.status is not Status.DONE and isinstance(self.step, Recover) and bool(self.step.marked)
        return left or isinstance(self.error, CustodyError)


@dataclass(frozen=True, slots=True)
class Report:
    """Every step of a run with its outcome, whether it was asked to stop, and what made it stop by itself."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool = False
    cause: RegistrarError | None = None

    def of(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status is status)

    @property
    def exit_code(self) -> int:
        """130 when interrupted, 7 when custody is in doubt, 1 when anything was not carried out, else 0."""
        if self.interrupted:
            return Interrupted.exit_code
        if any(outcome.custody for outcome in self.outcomes):
            return CustodyError.exit_code
        undone = any(outcome.status not in (Status.DONE, Status.KEPT) for outcome in self.outcomes)
        return int(undone or self.cause is not None)


class Stop:
    """A request to stop: the first starts no new step, the second ends each as soon as its credential is stored."""

    def __init__(self) -> None:
        self._requests = 0
        self.cause: RegistrarError | None = None

    def request(self) -> None:
        self._requests += 1

    def because(self, error: RegistrarError) -> None:
        """Stop since a service is lost: what is begun still tries to finish."""
        self.cause = self.cause or error

    @property
    def asked(self) -> bool:
        return self._requests > 0

    @property
    def no_new_step(self) -> bool:
        return self.asked or self.cause is not None

    @property
    def urgent(self) -> bool:
        return self._requests > 1


# ── apply ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Services:
    """Both services as a run needs them."""

    applications: Applications
    records: Records
    proof: Proof


@dataclass(frozen=True, slots=True)
class Pace:
    """How many steps at once, and how long a create of unknown outcome is looked for."""

    parallelism: int = 8
    doubt_s: float = 10.0
    poll_s: float = 1.0


GRACE: Final = timedelta(hours=24)
_TRIES: Final = 5
_KEPT_VERSIONS: Final = 5  # each fence or claim uses one; fewer would evict what a rotation may go back to


def preflight(todo: Plan, world: World, services: Services) -> None:
    """Raise before the first effect where a service, a permission, a record or a value would stop the run midway."""
    services.applications.check()
    paths = sorted({step.path for step in todo.pending})
    services.records.check(paths)
    for path in paths:
        record = world.by_path.get(path)
        if record and 0 < record.max_versions < _KEPT_VERSIONS:
            message = f"{world.target.location(path)} keeps {record.max_versions} versions, {_KEPT_VERSIONS} are needed"
            raise Unsuitable(
                message, hint=f"vault kv metadata put -max-versions=10 {world.target.location(path)}", application=path
            )
        if record and record.delete_after_s:
            message = f"{world.target.location(path)} deletes its versions after {record.delete_after_s} s by itself"
            raise Unsuitable(
                message,
                hint=f"vault kv metadata put -delete-version-after=0s {world.target.location(path)}",
                application=path,
            )
    for step in todo.pending:
        if isinstance(step, Create | Update):
            facts = described(Facts(), step.application, world.target, world.domain)
            if unfit := facts.unfit():
                message = f"{step.path}: {', '.join(unfit)} cannot be kept in Vault (512 printable bytes at most)"
                raise UsageError(message, hint="registrar validate", application=step.path)


def apply(run: Run, todo: Plan, options: Options) -> Report:
    """Carry out a plan made under the run's lease; what a recovered path turns out to need is part of it."""
    rest: list[Step] = [step for step in todo.steps if not isinstance(step, Recover)]
    report = recover(run, todo)
    recovered = tuple(outcome.step.path for outcome in report.of(Status.DONE))
    if recovered and not run.stop.no_new_step:
        try:
            again = plan(run.observe(), dataclasses.replace(options, only=recovered))
        except ServiceError as error:
            run.stop.because(error)
        else:
            rest += [step for step in again.steps if not isinstance(step, Keep)]
    approved = {step.path for step in todo.pending if step.breaks_clients}
    breaking = [step for step in rest if step.breaks_clients and step.path not in approved]
    outcomes = [
        Outcome(step, Status.SKIPPED, "recovered, and what it needs now breaks clients: plan again")
        for step in breaking
    ]
    outcomes += run.carry_out(sorted((step for step in rest if step not in breaking), key=lambda step: step.path))
    outcomes += run.finish()
    return run.report([*report.outcomes, *outcomes])


def recover(run: Run, todo: Plan) -> Report:
    """Carry out only the Recover steps of a plan made under the run's lease."""
    return run.report(run.carry_out(step for step in todo.steps if isinstance(step, Recover)))


@dataclass(frozen=True, slots=True)
class _Settled:
    """A new credential that is stored and described; its application still wears its mark."""

    step: Create
    client_id: str


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
        self._proof = services.proof
        self._lease = lease
        self._on_event = on_event
        self._pace = pace or Pace()
        self._telling = threading.Lock()
        self._doubted: set[Mark] = set()
        self._unfinished: list[_Settled] = []

    # -- the frame ---------------------------------------------------------------------------------------------------

    def observe(self) -> World:
        """Look again, and go on from there."""
        world = self.world
        self.world = observe(world.target, world.desired, self._services.applications, self._services.records)
        return self.world

    def report(self, outcomes: Iterable[Outcome]) -> Report:
        """These outcomes by path, and whether and why the run was stopped."""
        ordered = sorted(outcomes, key=lambda outcome: outcome.step.path)
        return Report(tuple(ordered), self.stop.asked, self.stop.cause)

    def carry_out(self, steps: Iterable[Step]) -> list[Outcome]:
        """The steps in a bounded pool; a Create that still has to be finished has no outcome yet."""
        with ThreadPoolExecutor(self._pace.parallelism, thread_name_prefix="step") as pool:
            return [outcome for outcome in pool.map(self._one, steps) if outcome]

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
        if outcome:
            self._tell(step, str(outcome.status), outcome.detail)
        return outcome

    def _dispatch(self, step: Step) -> Outcome | None:
        match step:
            case Create():
                return self._create(step)
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
        if isinstance(error, AccessDenied | Unreachable | LeaseLost):
            self.stop.because(error)

    def _tell(self, step: Step, stage: str, detail: str = "") -> None:
        if self._on_event:
            with self._telling:
                self._on_event(Event(step.path, step.name, stage, detail))

    # -- create ------------------------------------------------------------------------------------------------------

    def _create(self, step: Create) -> Outcome | None:
        credential = self._register(step)
        self._tell(step, "registered", f"client id {credential.client_id}")
        stored = self._store(step, credential)
        self._tell(step, "stored", f"version {stored.version}")
        if self.stop.urgent:
            raise StepFailed(
                f"{step.name}: stopped after its credential was stored", hint="registrar recover", application=step.path
            )
        record = self.world.by_path.get(step.path)
        base = Facts(
            client_id=credential.client_id, version=stored.version, registered_at=stored.at, others=_others(record)
        )
        self._settle(step, self._described(base, step.application), record)
        with self._telling:
            self._unfinished.append(_Settled(step, credential.client_id))
        return None

    def _register(self, step: Create) -> Credential:
        """Send the create, marked; after an unknown outcome look for it, and try once more as another run."""
        for run in (self._lease.run, new_id()):
            mark = Mark(self._lease.domain, run, step.path)
            self._lease.check()
            try:
                return self._applications.create({**step.application.declared(), "description": str(mark)})
            except OutcomeUnknown as error:
                reason = error.message
            with self._telling:
                self._doubted.add(mark)
            self._tell(step, "in doubt", reason)
            self._remove_late(step, mark)
        raise CustodyError(
            f"{step.name}: it is not known whether Nexus registered it ({reason})",
            hint="registrar recover",
            application=step.path,
        )

    def _remove_late(self, step: Create, mark: Mark) -> None:
        """Look for what a create of unknown outcome made, and remove it: its secret is lost, so no store can follow."""
        deadline = time.monotonic() + self._pace.doubt_s
        while True:
            try:
                found = [registered for registered in self._applications.all() if registered.mark == mark]
                for registered in found:
                    self._remove(registered)
                    self._tell(step, "removed", f"client id {registered.client_id}, whose secret was lost")
                if found:
                    return
            except (Unreachable, OutcomeUnknown):
                pass  # away as it was when the create got lost; the deadline bounds the wait
            if time.monotonic() >= deadline:
                return
            time.sleep(self._pace.poll_s)

    def _store(self, step: Create, credential: Credential) -> Stored:
        """Store the new credential, or drop its application where it is certain that the store never lands."""
        try:
            self._lease.check()
            return self._records.store(step.path, credential, cas=step.version)
        except LeaseLost as error:
            raise self._in_custody(step, credential, error) from None
        except OutcomeUnknown as error:
            doubt: ServiceError = error
        except ServiceError as error:  # refused, or never sent
            self._heed(error)
            self._drop(step, credential, error)
            raise StepFailed(
                f"{step.name}: could not be stored, so its application was removed again: {error.message}",
                hint=error.hint,
                application=step.path,
            ) from None
        self._tell(step, "in doubt", doubt.message)
        try:
            stored = self._stored_or_fenced(step, credential)
        except RegistrarError as error:
            raise self._in_custody(step, credential, error) from None
        if stored:
            return stored
        self._drop(step, credential, doubt)
        raise StepFailed(
            f"{step.name}: was not stored, so its application was removed again: {doubt.message}",
            hint="registrar apply",
            application=step.path,
        )

    def _stored_or_fenced(self, step: Create, credential: Credential) -> Stored | None:
        """After a store of unknown outcome: what it made, or None once a fence keeps it from ever landing."""
        for _ in range(_TRIES):
            record = self._records.one(step.path)
            if record.living and self._records.read(step.path) == credential:
                version = record.version(record.current)
                return Stored(record.current, version.created_at if version else record.seen_at)
            try:
                facts = self._fence(step, record)
            except VersionMismatch:
                continue  # it landed in between, or somebody wrote: look again
            if facts:
                self._settle(step, facts, record)
            return None
        raise StepFailed(f"{step.path}: somebody keeps writing there", application=step.path)

    def _in_custody(self, step: Create, credential: Credential, error: RegistrarError) -> CustodyError:
        message = (
            f"{step.name}: registered as {credential.client_id}, and its secret may not be stored: {error.message}"
        )
        return CustodyError(message, hint="registrar recover", application=step.path)

    def _drop(self, step: Create, credential: Credential, reason: RegistrarError) -> None:
        """Remove the application just made: its store was refused, never sent, or is fenced out."""
        try:
            made = [
                registered for registered in self._applications.all() if registered.client_id == credential.client_id
            ]
            for registered in made:
                self._remove(registered)
        except RegistrarError:
            # the first error is the one reported; the mark tells the next run the rest
            raise self._in_custody(step, credential, reason) from None
        self._tell(step, "removed", f"client id {credential.client_id}")

    def _remove(self, registered: Registered) -> None:
        """Delete a marked application; one that Nexus keeps, since it issued a token, is named and archived."""
        self._lease.check()
        if registered.archived:
            self._applications.unarchive(registered.id)
        try:
            self._lease.check()
            self._applications.delete(registered.id)
        except Missing:
            return
        except Rejected:
            self._lease.check()
            self._applications.update(registered.id, {"description": ABANDONED})
            self._lease.check()
            self._applications.archive(registered.id)

    def finish(self) -> list[Outcome]:
        """Give each new application its declared description; one list has all ids, which a create does not answer."""
        if not self._unfinished and not self._doubted:
            return []
        try:
            if self.stop.urgent:
                raise StepFailed(
                    "stopped before it was finished: it is stored, and still marked", hint="registrar recover"
                )
            registered = self._applications.all()
        except RegistrarError as error:
            return [self._failed(settled.step, error) for settled in self._unfinished]
        ids = {application.client_id: application.id for application in registered}
        with ThreadPoolExecutor(self._pace.parallelism, thread_name_prefix="finish") as pool:
            outcomes = list(
                pool.map(lambda settled: self._finish(settled, ids.get(settled.client_id)), self._unfinished)
            )
        self._sweep(registered)
        return outcomes

    def _finish(self, settled: _Settled, number: int | None) -> Outcome:
        step = settled.step
        try:
            if number is None:
                raise StepFailed(
                    f"{step.name}: {settled.client_id} is stored, but no longer in Nexus",
                    hint="registrar plan",
                    application=step.path,
                )
            self._lease.check()
            self._applications.update(number, {"description": step.application.description or ""})
        except RegistrarError as error:
            return self._failed(step, error)
        detail = f"client id {settled.client_id}, at {self.world.target.location(step.path)}"
        self._tell(step, "done", detail)
        return Outcome(step, Status.DONE, detail)

    def _sweep(self, registered: Iterable[Registered]) -> None:
        """Remove what a create of unknown outcome made after it had been given up; nobody ever had its secret."""
        for late in registered:
            if late.mark in self._doubted:
                try:
                    self._remove(late)
                except RegistrarError:
                    return  # still marked, so the next run knows it

    # -- vault ---------------------------------------------------------------------------------------------------------

    def _described(self, base: Facts, application: Application) -> Facts:
        return described(base, application, self.world.target, self._lease.domain)

    def _settle(self, step: Step, facts: Facts, record: Record | None) -> None:
        """Write the facts; they name the version they describe, so late or stale ones are seen as such."""
        self._lease.check()
        try:
            self._records.settle(step.path, facts, record.metadata_version if record else None)
        except ServiceError as error:
            if isinstance(error, OutcomeUnknown) and self._settled(step.path, facts):
                return
            self._heed(error)
            message = f"{step.name}: its credential is stored, but the facts about it are not: {error.message}"
            raise StepFailed(message, hint="registrar recover", application=step.path) from None
        self._tell(step, "settled")

    def _settled(self, path: str, facts: Facts) -> bool:
        try:
            return self._records.one(path).facts == facts
        except ServiceError:
            return False

    def _fence(self, step: Step, record: Record) -> Facts | None:
        """Raise the record's version, so that a store of a dead run is refused; the facts to settle afterwards, if any.

        Where nothing is stored the fence is an empty version, deleted by its number at once: deleting the key would
        start its versions again at 0 and undo the fence. Somebody else's data is a fence already, and never written.
        """
        if record.kind is Kind.FOREIGN:
            return None
        self._lease.check()
        if record.facts and record.living and record.facts.state is not State.EMPTY:
            stored = self._records.again(step.path, record.current)
            self._tell(step, "fenced", f"version {stored.version}")
            return _claimed(record.facts, stored.version)
        if record.kind is not Kind.WITHDRAWN:
            target = self.world.target
            facts = Facts(
                state=State.EMPTY,
                set=target.set,
                nexus=target.nexus_url,
                domain=self._lease.domain,
                name=step.name,
                others=_others(record),
            )
            self._records.settle(step.path, facts, record.metadata_version)
            self._lease.check()
        stored = self._records.store(step.path, None, cas=record.current)
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
        """Finish what is stored, undo what is not; refused writes mean that something landed in between: look again."""
        for _ in range(_TRIES):
            record = self._records.one(step.path)
            stored = self._records.read(step.path) if record.living else None
            try:
                return self._recovered(step, record, stored)
            except VersionMismatch:
                continue
        raise StepFailed(f"{step.path}: somebody keeps writing there", hint="registrar recover", application=step.path)

    def _recovered(self, step: Recover, record: Record, stored: Credential | None) -> Outcome:
        done: list[str] = []
        strays = list(step.marked)
        unsettled = record.kind in (Kind.FOREIGN, Kind.UNSETTLED)
        if own := next((r for r in strays if unsettled and stored and r.client_id == stored.client_id), None):
            strays.remove(own)
            record = self._finish_own(step, record, own)
            done.append(f"finished {own.client_id}, whose credential was stored")
        if strays:
            facts = self._fence(step, record)
            for stray in strays:
                self._remove(stray)
                self._tell(step, "removed", f"client id {stray.client_id}, whose secret was lost")
                done.append(f"removed {stray.client_id}, whose secret was lost")
            if facts and record.kind is Kind.SETTLED:
                self._settle(step, facts, record)
            record = self._records.one(step.path)
        if record.kind is Kind.UNSETTLED:
            return self._settle_unmarked(step, record, stored)
        return Outcome(step, Status.DONE, "; ".join(done))

    def _finish_own(self, step: Recover, record: Record, own: Registered) -> Record:
        """The stored credential belongs to the marked application: settle and finish it."""
        base = record.facts or Facts(others=_others(record))
        version = record.version(record.current)
        base = dataclasses.replace(base, registered_at=version.created_at if version else record.seen_at)
        facts = self._current(record, dataclasses.replace(base, version=record.current), own)
        application = self.world.wanted.get(step.path) or _as_registered(step.path, own)
        self._settle(step, self._described(facts, application), record)
        self._lease.check()
        self._applications.update(own.id, {"description": application.description or ""})
        self._tell(step, "finished", f"client id {own.client_id}")
        return self._records.one(step.path)

    def _settle_unmarked(self, step: Recover, record: Record, stored: Credential | None) -> Outcome:
        """A newer version and no mark: a claim or fence that stopped, a return to the old one, or somebody's hand."""
        facts = record.facts or Facts()
        if stored is None and facts.state is State.EMPTY and record.living:
            self._lease.check()
            self._records.delete_version(step.path, record.current)
            return Outcome(step, Status.DONE, "closed the empty version that a fence had left open")
        if stored and facts.version and self._records.read(step.path, facts.version) == stored:
            self._settle(step, _claimed(facts, record.current), record)
            return Outcome(step, Status.DONE, "settled: the same credential was stored again")
        living = self.world.by_client.get(stored.client_id) if stored else None
        if stored and living and not living.archived:
            if self._proof.prove(stored, living.redirect_uri) is Verdict.RIGHT:
                facts = self._current(record, dataclasses.replace(facts, version=record.current), stored)
                self._settle(step, facts, record)
                return Outcome(step, Status.DONE, f"settled: {stored.client_id} is stored, lives and proves right")
            why = "it could not be proved"
        else:
            why = "no living application has it"
        detail = f"{self.world.target.location(step.path)} holds something registrar did not store, and {why}"
        hint = f"registrar show {step.path}"
        blocked = Blocked(path=step.path, name=step.name, version=step.version, reason=detail, hint=hint)
        return Outcome(blocked, Status.BLOCKED, detail)

    def _current(self, record: Record, facts: Facts, stored: Credential | Registered) -> Facts:
        """The facts with the stored credential as the current one; another living one that they named retires."""
        if stored.client_id == facts.client_id:
            return facts
        before = self.world.by_client.get(facts.client_id)
        described_version = record.facts.version if record.facts else 0
        former = Former(facts.client_id, described_version, record.seen_at + GRACE)
        retiring = former if before and not before.archived else None
        return dataclasses.replace(facts, client_id=stored.client_id, retiring=retiring, state=State.REGISTERED)


def _claimed(facts: Facts, version: int) -> Facts:
    """The same credential stored again: a late return is refused from now on, so the old registration leaves."""
    return dataclasses.replace(facts, version=version, retiring=None, leaving=facts.retiring or facts.leaving)


def _others(record: Record | None) -> tuple[tuple[str, str], ...]:
    """Somebody's own keys beside the facts."""
    if record is None:
        return ()
    return record.facts.others if record.facts else record.others


def _as_registered(path: str, registered: Registered) -> Application:
    """An undeclared application as Nexus has it, so that its record can be described."""
    return Application(
        path, registered.name, registered.redirect_uri, registered.base_url or None, registered.owner_email or None
    )

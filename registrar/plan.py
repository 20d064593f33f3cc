"""The decision: a pure function from what is wanted and what is there to ordered steps, with their brake and digest.

Every row of the table of states is decided here and nowhere else; what a step then does, in which order, is
`reconcile`'s. Must never do I/O or ask for the time: deletions and graces are judged by the Date of Vault's answer.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from registrar.digest import OUTSIDE, digest
from registrar.errors import BrakeEngaged, Stale
from registrar.model import (
    FIELDS,
    Application,
    Facts,
    Former,
    Kind,
    Mark,
    Registered,
    State,
    Target,
    fingerprint,
    same_name,
)
from registrar.steps import (
    Blocked,
    Change,
    Create,
    Edit,
    Expire,
    Keep,
    Recover,
    Restore,
    Retire,
    Step,
    Update,
    document,
)
from registrar.world import World, described, formers

# ── the plan ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Plan:
    """An ordered tuple of steps, one or more a path, and what they rest on."""

    target: Target
    steps: tuple[Step, ...]
    managed: int = 0
    left_alone: int = 0  # undeclared records of our set
    with_nexus: bool = True
    empty: bool = False  # no application is declared at all

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that would change something."""
        return tuple(step for step in self.steps if not isinstance(step, Keep | Blocked))

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        return tuple(step for step in self.steps if isinstance(step, Blocked))

    @property
    def counts(self) -> dict[str, int]:
        """How many steps of each operation."""
        return dict(Counter(step.operation for step in self.steps))

    @property
    def replacing(self) -> int:
        """How many applications that were deleted behind us would be registered anew."""
        return sum(1 for step in self.steps if isinstance(step, Create) and step.replaces)

    @property
    def breaking(self) -> int:
        """How many other steps break clients."""
        return sum(1 for step in self.pending if step.breaks_clients and not isinstance(step, Create))

    @property
    def breaks_many(self) -> bool:
        """Whether that is more than happens by itself in a good week."""
        return self.managed >= _BREAKING_FROM and self.breaking > self.managed * _BREAKING_SHARE

    def at(self, paths: Collection[str]) -> Plan:
        """The same plan for these paths alone."""
        return dataclasses.replace(self, steps=tuple(step for step in self.steps if step.path in paths))

    def recovery(self) -> Plan:
        """Only what interrupted runs left: Recover, and the clearing of marks whose credential is stored."""
        return dataclasses.replace(self, steps=tuple(_recovering(self.steps)))

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over the target and every step but Keep and Expire: values, versions, no times."""
        return digest(self.target, (document(step) for step in self.steps if step.operation not in OUTSIDE))


def _recovering(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, Recover):
            yield step
        elif isinstance(step, Update):
            marks = (
                (edit, tuple(change for change in edit.changes if Mark.parse(change.before))) for edit in step.edits
            )
            edits = tuple(dataclasses.replace(edit, changes=changes) for edit, changes in marks if changes)
            if edits:
                yield dataclasses.replace(step, reason="stored, and not finished", edits=edits, facts=(), notes=())


# ── the decision ──────────────────────────────────────────────────────────────────────────────────────────────────────

S = TypeVar("S", bound=Step)


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller allows or restricts; `only` holds names or paths."""

    only: tuple[str, ...] = ()
    prune: bool = False
    unarchive: bool = False
    accept_nexus: str = ""


class Case:
    """One path with everything that a decision asks about it; what every decision asks is there from the start."""

    def __init__(self, world: World, options: Options, path: str) -> None:
        self.world = world
        self.options = options
        self.path = path
        self.record = world.by_path.get(path)
        self.facts = self.record.facts if self.record else None
        self.kind = self.record.kind if self.record else Kind.NONE

    @property
    def name(self) -> str:
        if application := self.world.wanted.get(self.path):
            return application.name
        return self.facts.name if self.facts and self.facts.name else self.path

    @property
    def registered(self) -> Registered | None:
        """The application that the record's client id explains, if Nexus has it."""
        return self.world.by_client.get(self.facts.client_id) if self.facts else None

    @property
    def marked(self) -> tuple[Registered, ...]:
        """Marked applications of this path, but for those that a record names: their secret is stored."""
        explained = self.world.explained
        return tuple(marked for marked in self.world.marked.get(self.path, ()) if marked.client_id not in explained)

    @property
    def strangers(self) -> tuple[Registered, ...]:
        return self.world.strangers.get(same_name(self.name), ())

    def lives(self, client_id: str) -> bool:
        """Whether Nexus has that application, and not archived."""
        registered = self.world.by_client.get(client_id)
        return registered is not None and not registered.archived

    @property
    def elsewhere(self) -> bool:
        """Whether the record was made for another server than the target's."""
        facts = self.facts
        return (
            facts is not None and facts.nexus not in ("", self.world.target.nexus_url) and self.kind is not Kind.EMPTY
        )

    @property
    def prefix(self) -> str | None:
        """The folder with a lock of its own that this path is in."""
        return next((folder for folder in self.world.nested if self.path.startswith(f"{folder}/")), None)

    def step(self, kind: type[S], reason: str, **rest: Any) -> S:
        """A step of this path that rests on its record as it is now."""
        version = self.record.current if self.record else 0
        return kind(path=self.path, name=self.name, version=version, reason=reason, **rest)

    def blocked(self, reason: str, hint: str) -> Blocked:
        return self.step(Blocked, reason, hint=hint)


def plan(world: World, options: Options = Options()) -> Plan:
    """The steps that make Nexus and Vault agree with the manifests, by path; raises UsageError for an unknown name."""
    paths = world.wanted.keys() | world.by_path.keys() | world.marked.keys()
    if options.only:
        paths &= world.select(options.only)
    steps: list[Step] = []
    left_alone = 0
    for path in sorted(paths):
        case = Case(world, options, path)
        decided = list(_decide(case))
        steps += decided
        known = case.facts is not None and case.facts.set == world.target.set and case.kind is not Kind.EMPTY
        left_alone += known and not decided
    return Plan(world.target, tuple(steps), world.managed, left_alone, world.registered is not None, not world.desired)


def _decide(case: Case) -> Iterator[Step]:
    """The path's own row, then what comes in addition to it."""
    application = case.world.wanted.get(case.path)
    if case.world.registered is None:
        if application:
            yield _from_facts(case, application)
        return
    own = _declared(case, application) if application else _undeclared(case)
    if isinstance(own, Retire):
        yield from outgoing(case)
    if own:
        yield own
    if case.kind is Kind.SETTLED and not isinstance(own, Recover | Retire):
        yield from _due(case)


def standing(case: Case) -> Step | None:
    """What stands in the way of anything that is asked of a path by name: whose it is, and what was interrupted."""
    declared = case.world.wanted.get(case.path)
    stopped = interrupted(case, declared) or unfinished(case)
    return not_ours(case) or stopped or shared(case) or overtaken(case) or unadopted(case)


def _declared(case: Case, application: Application) -> Step:
    """The first row of the table that fits a declared path."""
    return not_ours(case) or interrupted(case, application) or _late_fence(case) or _remaining(case, application)


def not_ours(case: Case) -> Step | None:
    """The rows of records that belong to another server, set, prefix or hand."""
    facts, target = case.facts, case.world.target
    if case.prefix:
        reason = f"{target.location(case.prefix)} is a prefix of its own, with its own lock"
        return case.blocked(
            reason, f"set another path, or use the target whose prefix is {target.vault_prefix}/{case.prefix}"
        )
    if facts and facts.set != target.set and case.kind is not Kind.EMPTY:
        reason = f"the record belongs to the set {facts.set or '(none)'}, this is the set {target.set or '(none)'}"
        return case.blocked(reason, f"registrar adopt {case.path} --take-over, or set another path")
    if facts and case.elsewhere and not (case.registered and case.options.accept_nexus == facts.nexus):
        reason = f"its record was made for {facts.nexus}, this target is {target.nexus_url}"
        return case.blocked(
            reason, f"check --target; if the server moved: registrar apply --accept-nexus {facts.nexus}"
        )
    if case.kind is Kind.FOREIGN and not case.marked:
        reason = f"{target.location(case.path)} holds data that registrar did not write"
        return case.blocked(reason, f"registrar adopt {case.path} --client-id ID, or set another path")
    return None


def interrupted(case: Case, application: Application | None) -> Step | None:
    """The rows of runs that stopped half-way, or have not."""
    lock = case.world.lock
    mine = case.world.marked.get(case.path, ())
    if lock and lock.run and any(registered.mark and registered.mark.run == lock.run for registered in mine):
        return case.step(Keep, "being registered right now", note=f"by {lock.holder}")
    if case.marked:
        reasons = {
            Kind.FOREIGN: "a run stopped after storing its credential, or somebody wrote there",
            Kind.WITHDRAWN: "a run stopped while registering at a retired path",
            Kind.UNSETTLED: "a run stopped between storing and finishing, or while recovering",
        }
        known = application if case.kind not in (Kind.FOREIGN, Kind.UNSETTLED) else None
        then = _remaining(case, known).operation if known else ""
        reason = reasons.get(case.kind, "a run stopped before storing: that secret is lost")
        return case.step(Recover, reason, marked=case.marked, then=then)
    if case.kind is Kind.UNSETTLED:
        return case.step(
            Recover, "the facts do not describe the newest version: a run stopped, or somebody wrote there"
        )
    return None


def unfinished(case: Case) -> Recover | None:
    """A mark left over on what a settled record names: nothing moves on from that before it is cleared."""
    facts = case.facts
    if facts is None or case.kind is not Kind.SETTLED:
        return None
    named = (facts.client_id, *(former.client_id for former in formers(facts)))
    marks = case.world.marked.get(case.path, ())
    left = tuple(one for one in marks if one.client_id in named and not one.archived)
    return case.step(Recover, "a run stopped before finishing", marked=left) if left else None


def _late_fence(case: Case) -> Recover | None:
    """Whether nothing is stored, or something that was withdrawn, only the newest version itself tells."""
    if case.record is None or not case.record.late_fence:
        return None
    return case.step(Recover, "the facts of a fence came late: whether its newest version is empty has to be seen")


def _remaining(case: Case, application: Application) -> Step:
    """The rows where nothing is interrupted but perhaps a Retire."""
    facts = case.facts
    if facts is None or case.kind is Kind.EMPTY:
        return _new(case, application)
    if retiring := _retiring(case, facts):
        return retiring
    if case.registered is None:
        return _gone(case, application, facts)
    return _explained(case, application, facts, case.registered)


def _retiring(case: Case, facts: Facts) -> Retire | Blocked | None:
    if facts.state is State.RETIRED and case.registered and not case.registered.archived:
        return shared(case) or case.step(Retire, "retiring it was interrupted", client_id=facts.client_id)
    return None


def _new(case: Case, application: Application) -> Step:
    """No record: new, unless somebody registered that name by hand, or a record of ours has only moved."""
    if case.strangers:
        found = ", ".join(f"id {stranger.id} (client id {stranger.client_id})" for stranger in case.strangers)
        meant = case.strangers[0].client_id if len(case.strangers) == 1 else "ID"
        how = "was registered by hand" if len(case.strangers) == 1 else "was registered more than once"
        hint = f"registrar adopt {case.path} --client-id {meant}, or rename one of them"
        return case.blocked(f"an application of that name {how}: {found}", hint)
    undeclared = case.world.undeclared
    if moved := undeclared.get(application.redirect_uri) or undeclared.get(same_name(application.name)):
        path, what = moved
        hint = f"set path: {path} in the manifest, or registrar retire {path}"
        return case.blocked(f"its {what} belongs to {path}, which no manifest declares", hint)
    return case.step(Create, "new", application=application)


def _gone(case: Case, application: Application, facts: Facts) -> Step:
    """Nexus no longer has the application that the record names."""
    if case.kind is Kind.WITHDRAWN:
        hint = f"registrar restore {case.path} --rotate, or remove it from the manifest"
        return case.blocked("retired, and its application is gone", hint)
    reason = f"its application {facts.client_id} was deleted behind us: every client needs the new credential"
    return case.step(Create, reason, application=application, replaces=facts.client_id)


def _explained(case: Case, application: Application, facts: Facts, registered: Registered) -> Step:
    """Nexus has the application that the record names."""
    if blocked := shared(case):
        return blocked
    if case.kind is Kind.WITHDRAWN:
        return _withdrawn(case, facts, registered)
    others = ", ".join(f"id {stranger.id}" for stranger in case.strangers)
    if registered.archived and case.options.unarchive:
        return case.step(Restore, "archived in Nexus", client_id=facts.client_id)
    if registered.archived:
        older = f"; {others} lives under that name, so Vault may be older than Nexus" if others else ""
        hint = f"registrar restore {case.path}, or registrar retire {case.path}"
        return case.blocked(f"somebody archived it in Nexus, perhaps for a reason{older}", hint)
    note = f"somebody registered another application of that name: {others}" if others else ""
    during_grace = (case.world.by_client.get(former.client_id) for former in _left_behind(case))
    both = [registered, *(former for former in during_grace if former and not former.archived)]
    edits = tuple(Edit(one.id, one.client_id, changes) for one in both if (changes := changes_of(application, one)))
    return _update(case, application, facts, edits, note) or case.step(Keep, "in sync", note=note)


def shared(case: Case) -> Blocked | None:
    """Two records that name one application as theirs."""
    names = case.world.explained.get(case.facts.client_id, ()) if case.facts and case.facts.client_id else ()
    others = [path for path in names if path != case.path]
    if not others or case.kind is Kind.EMPTY:
        return None
    reason = f"its application is also that of {', '.join(others)}: somebody stored the same credential twice"
    return case.blocked(reason, f"registrar show {others[0]}")


def overtaken(case: Case) -> Blocked | None:
    """A newer version than the described one was deleted: by a person, or by a Retire whose facts were overwritten."""
    if case.record is None or case.facts is None or not case.record.overtaken:
        return None
    newest, described = case.record.current, case.facts.version
    where = case.world.target.location(case.path)
    return case.blocked(
        f"its newest version {newest} was deleted, and its facts describe version {described}, which is not",
        f"vault kv undelete -versions={newest} {where}, then registrar apply; or retire it: vault kv delete "
        f"-versions={described} {where}, then registrar retire {case.path}",
    )


def unadopted(case: Case) -> Blocked | None:
    """An adoption stopped before its store, at a path that was fenced: the application is nobody's yet."""
    facts = case.facts
    if facts is None or facts.state is not State.ADOPTING or facts.version or case.kind is not Kind.WITHDRAWN:
        return None
    hint = f"registrar adopt {case.path} --client-id {facts.client_id}"
    return case.blocked("adopting it stopped before its secret was stored", hint)


def _withdrawn(case: Case, facts: Facts, registered: Registered) -> Step:
    """Nexus has the application, and its credential in Vault was deleted or destroyed."""
    if blocked := overtaken(case):
        return blocked
    if blocked := unadopted(case):
        return blocked
    if registered.archived:
        hint = f"registrar restore {case.path} (--rotate for a new registration), or remove it from the manifest"
        return case.blocked("retired, and still declared", hint)
    described = case.record.version(facts.version) if case.record else None  # the newest may be an empty fence
    if described is None or described.destroyed:
        return case.blocked("its credential was destroyed: the secret is gone", f"registrar rotate {case.path}")
    return case.step(Restore, "somebody deleted the stored version", client_id=facts.client_id)


def changes_of(application: Application, registered: Registered) -> tuple[Change, ...]:
    """What differs in Nexus; a mark that was left over is always cleared."""
    wanted = application.declared()
    if registered.mark:
        wanted.setdefault("description", "")
    pairs = ((name, getattr(registered, name), wanted[name]) for name in FIELDS if name in wanted)
    return tuple(Change(name, before, after) for name, before, after in pairs if before != after)


def _update(
    case: Case, application: Application, facts: Facts, edits: tuple[Edit, ...], note: str = ""
) -> Update | None:
    """The Update with these edits and whatever differs in the facts, if there is anything."""
    wanted = described(facts, application, case.world.target, case.world.domain or facts.domain)
    in_vault = () if wanted == facts else _facts_changes(facts.metadata(), wanted.metadata())
    if not edits and not in_vault:
        return None
    released = {part.partition(":")[0] for part in facts.fingerprint.split()} - application.declared().keys()
    notes = [f"{name} is no longer managed and stays as it is" for name in FIELDS if name in released]
    reason = "differs from the manifest" if edits else "only the facts in Vault differ"
    notes += [note] if note else []
    return case.step(Update, reason, application=application, edits=edits, facts=in_vault, notes=tuple(notes))


def _facts_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    differing = (key for key in sorted({*before, *after}) if before.get(key) != after.get(key))
    return tuple(Change(key, before.get(key, ""), after.get(key, "")) for key in differing)


def _undeclared(case: Case) -> Step | None:
    """The few rows that hold for what no manifest declares; everything else is left alone."""
    facts = case.facts
    ours = facts is not None and facts.set == case.world.target.set and not case.elsewhere
    if case.prefix or (not ours and (facts is not None or not case.marked)):
        return None
    if step := interrupted(case, None):
        return step
    if facts is None:
        return None
    if step := unfinished(case) or _late_fence(case):
        return step
    if retiring := _retiring(case, facts):
        return retiring
    if not case.options.prune or case.kind is not Kind.SETTLED or case.registered is None:
        return None
    if facts.protected:
        return case.blocked("no longer declared, and protected", f"registrar retire {case.path}")
    return shared(case) or case.step(Retire, "no longer declared", client_id=facts.client_id)


def _due(case: Case) -> Iterator[Expire]:
    """Registrations left behind by a rotation whose grace is over, or that Nexus shows archived or gone."""
    if not case.record or not case.facts or case.facts.set != case.world.target.set or case.elsewhere:
        return
    for former in _left_behind(case):
        if not case.lives(former.client_id):
            yield case.step(Expire, "the registration it replaced is archived", former=former)
        elif former.until <= case.record.seen_at:
            yield case.step(Expire, "the grace of the registration it replaced is over", former=former)


def outgoing(case: Case) -> Iterator[Expire]:
    """Whatever a rotation left behind, due or not: it goes before the path is rotated once more, or retired."""
    for former in _left_behind(case):
        yield case.step(Expire, "the registration it replaced goes first", former=former)


def _left_behind(case: Case) -> Iterator[Former]:
    for former in formers(case.facts) if case.facts else ():
        # another record may name it too, perhaps as its current one
        if case.world.explained.get(former.client_id) == (case.path,):
            yield former


def _from_facts(case: Case, application: Application) -> Step:
    """The comparison of a manifest with facts alone, for a pipeline that holds no Nexus key."""
    facts = case.facts
    if step := not_ours(case) or interrupted(case, application):
        return step
    if facts is None or case.kind is Kind.EMPTY:
        return _new(case, application)
    if case.kind is Kind.WITHDRAWN or facts.state is State.RETIRED:
        hint = f"registrar plan --only {case.path}, with Nexus, tells what is possible"
        return case.blocked("its credential is withdrawn, or about to be", hint)
    known = {"name": facts.name, "redirect_uri": facts.redirect_uri, "base_url": facts.base_url}
    known |= {"owner_email": facts.owner, "description": "(in Nexus)"}
    managed, wanted = set(facts.fingerprint.split()), set(fingerprint(application).split())
    changed = {part.partition(":")[0] for part in wanted - managed}
    values = application.declared()
    changes = tuple(Change(name, known[name], values[name]) for name in FIELDS if name in changed)
    edits = (Edit(0, facts.client_id, changes),) if changes else ()
    return _update(case, application, facts, edits) or case.step(Keep, "as the facts have it")


# ── the brake ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_BREAKING_SHARE: Final = 0.3
_BREAKING_FROM: Final = 10


_NAMED: Final = 10  # steps that a message names


def expect(plan: Plan, approved: str | None) -> None:
    """Raise Stale unless the plan is the one that was approved; no digest approves any."""
    if approved is None or plan.digest == approved:
        return
    now = [f"now to {step.operation}: {step.name} ({step.path})" for step in plan.pending[:_NAMED]]
    now += [f"and {left} more" for left in [len(plan.pending) - _NAMED] if left > 0]
    message = f"the plan has the digest {plan.digest}, approved was {approved}"
    told = "\n".join([message, *(now or ["nothing is to be done now: it may have been carried out already"])])
    raise Stale(told, hint="registrar plan, to review what it is now; apply --plan FILE would tell what differs")


def brake(*plans: Plan, allow_replace: int = 0, allow_breaking: int = 0, prune: bool = False) -> None:
    """Raise BrakeEngaged where these plans do more than was allowed, naming the flag and the exact number in all."""
    if prune and any(plan.empty for plan in plans):
        raise BrakeEngaged("--prune with no application declared would retire all of them", hint="registrar validate")
    replaced = sum(plan.replacing for plan in plans)
    if replaced != allow_replace:
        message = f"applications deleted behind us that would be registered anew: {replaced}; allowed: {allow_replace}"
        flag = f" --allow-replace {replaced}" if replaced else ", without --allow-replace"
        raise BrakeEngaged(message, hint=f"if that is meant: registrar apply{flag}")
    breaking, many = sum(plan.breaking for plan in plans), any(plan.breaks_many for plan in plans)
    if breaking == allow_breaking:
        return
    if allow_breaking or many:
        managed = sum(plan.managed for plan in plans)
        message = f"steps that break clients: {breaking} of {managed} applications; allowed: {allow_breaking}"
        flag = f" --allow-breaking {breaking}" if many else ", without --allow-breaking"
        raise BrakeEngaged(message, hint=f"if that is meant: registrar apply{flag}")

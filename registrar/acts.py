"""What a person asks for by name: rotate, back, retire, restore, adopt. Pure, like `plan`, and in the same steps.

Each is decided path by path: first what stands in the way of anything, then whether what is there allows it. Must
never do I/O, nor plan what the table of states blocks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import timedelta

from registrar.doctor import life
from registrar.errors import UsageError
from registrar.model import Application, Facts, Kind, Registered, State
from registrar.plan import Case, Options, Plan, changes_of, interrupted, not_ours, outgoing, standing, unadopted
from registrar.steps import Adopt, Back, Keep, Restore, Retire, Rotate, Step
from registrar.world import World


def rotate(
    world: World,
    names: Sequence[str],
    *,
    grace: timedelta,
    older_than: timedelta | None = None,
    every: bool = False,
) -> Plan:
    """A new registration for each of these, or of all that are older; protected ones only by name."""
    paths = world.select(names) if names else _unprotected(world) if every or older_than is not None else frozenset()
    due = {path for path in paths if older_than is None or world.older(path, older_than)}
    return _planned(world, due, lambda case: _rotate(case, grace))


def back(world: World, names: Sequence[str], *, grace: timedelta) -> Plan:
    """The credentials that a rotation left behind, current again."""
    return _planned(world, world.select(names), lambda case: _back(case, grace))


def retire(world: World, names: Sequence[str]) -> Plan:
    """Withdrawn in Vault and archived in Nexus; both can be brought back."""
    return _planned(world, world.select(names), _retire)


def restore(world: World, names: Sequence[str], *, anew: bool = False) -> Plan:
    """Both sides brought back, or with `anew` a new registration at the same path."""
    return _planned(world, world.select(names), _anew if anew else _restore)


def adopt(
    world: World, name: str, *, client_id: str = "", anew: bool = False, take_over: bool = False, grace: timedelta
) -> Plan:
    """An application that somebody registered by hand, or with `take_over` one of another set.

    With `anew` nobody knows its secret: a second one is registered, and it leaves after the grace.
    """
    paths = world.select([name])
    if not paths & world.wanted.keys():
        hint = "registrar export prints what Nexus has, to be put into a manifest"
        raise UsageError(f"{name!r} is declared in no manifest", hint=hint)
    by_hand = functools.partial(_adopt, client_id=client_id, grace=grace, anew=anew)
    return _planned(world, paths & world.wanted.keys(), _take_over if take_over else by_hand)


# ── path by path ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _rotate(case: Case, grace: timedelta) -> Iterator[Step]:
    facts, registered = case.facts, case.registered
    if step := standing(case):
        yield step
    elif facts is None or case.kind is Kind.EMPTY:
        yield case.blocked("it has no credential yet", "registrar apply")
    elif facts.state is State.RETIRED:
        yield case.blocked("it is retired", f"registrar restore {case.path} --rotate")
    elif registered is None:
        yield case.blocked(
            f"its application {facts.client_id} is gone from Nexus", f"registrar plan --only {case.path}"
        )
    elif registered.archived:
        yield case.blocked("its application is archived in Nexus", f"registrar restore {case.path}")
    elif case.kind is Kind.WITHDRAWN and not _destroyed(case, facts):
        yield case.blocked("its stored version was deleted", "registrar apply, which brings it back")
    else:
        yield from outgoing(case)
        reason = f"a new client id and secret, since Nexus cannot change one; the old one {_lasts(grace)}"
        yield _second(case, reason, facts.client_id, registered, grace)


def _back(case: Case, grace: timedelta) -> Iterator[Step]:
    facts = case.facts
    if step := standing(case):
        yield step
    elif facts is None or facts.retiring is None or case.kind is not Kind.SETTLED:
        left = facts is not None and facts.leaving is not None
        reason = "the registration it replaced is claimed for archiving" if left else "no rotation is in its grace"
        yield case.blocked(f"there is nothing to go back to: {reason}", f"registrar creds history {case.path}")
    elif not case.lives(facts.retiring.client_id):
        yield case.blocked(f"{facts.retiring.client_id} is archived or gone", f"registrar rotate {case.path}")
    elif case.record is None or not _readable(case, facts.retiring.version):
        reason = f"version {facts.retiring.version}, which held {facts.retiring.client_id}, is gone"
        yield case.blocked(reason, f"registrar rotate {case.path}")
    else:
        seconds = int(grace.total_seconds())
        reason = f"back to {facts.retiring.client_id}; the one of now {_lasts(grace)}"
        yield case.step(Back, reason, client_id=facts.client_id, former=facts.retiring, grace_s=seconds)


def _retire(case: Case) -> Iterator[Step]:
    facts = case.facts
    if step := standing(case):
        yield step
    elif facts is None or case.kind is Kind.EMPTY:
        yield case.blocked("there is nothing to retire", f"registrar show {case.path}")
    elif case.kind is Kind.WITHDRAWN and not case.lives(facts.client_id):
        yield case.step(Keep, "retired already")
    else:
        yield from outgoing(case)
        yield case.step(
            Retire, "its credential is withdrawn in Vault, its application archived in Nexus", client_id=facts.client_id
        )


def _restore(case: Case) -> Iterator[Step]:
    facts = case.facts
    anew = f"registrar restore {case.path} --rotate"
    if step := standing(case):
        yield step
    elif facts is None or case.kind is Kind.EMPTY:
        yield case.blocked("there is nothing to restore", f"registrar show {case.path}")
    elif case.registered is None:
        yield case.blocked(f"its application {facts.client_id} is gone from Nexus", anew)
    elif case.kind is Kind.SETTLED and not case.registered.archived and facts.state is not State.RETIRED:
        yield case.step(Keep, "neither retired nor archived")
    elif _destroyed(case, facts):
        yield case.blocked("its stored version was destroyed: the secret is gone", anew)
    else:
        yield case.step(Restore, "its application and its credential come back", client_id=facts.client_id)


def _anew(case: Case) -> Iterator[Step]:
    facts = case.facts
    if step := standing(case):
        yield step
    elif facts is None or case.kind is Kind.EMPTY:
        yield case.blocked("there is nothing to restore", f"registrar show {case.path}")
    elif case.lives(facts.client_id):
        retired = facts.state is State.RETIRED
        hint = "registrar apply, which finishes that" if retired else f"registrar rotate {case.path}"
        yield case.blocked("retiring it stopped half-way" if retired else "it is not retired", hint)
    else:
        yield from outgoing(case)
        yield _second(case, "registered anew at the path of a retired one", facts.client_id, case.registered, None)


def _adopt(case: Case, *, client_id: str, grace: timedelta, anew: bool) -> Iterator[Step]:
    registered = case.world.by_client.get(client_id)
    facts, application = case.facts, case.world.wanted[case.path]
    blocked = interrupted(case, application) or (None if case.kind is Kind.FOREIGN else not_ours(case))
    owners = [path for path in case.world.explained.get(client_id, ()) if path != case.path]
    if blocked:
        yield blocked
    elif registered is None:
        yield case.blocked(f"Nexus has no application with the client id {client_id}", "registrar export")
    elif facts and facts.client_id == client_id and case.kind is Kind.SETTLED:
        yield case.step(Keep, "adopted already")
    elif facts and case.kind is not Kind.EMPTY and not (unadopted(case) and facts.client_id == client_id):
        yield case.blocked("its path holds another credential", "set another path in the manifest")
    elif owners:
        yield case.blocked(f"{client_id} is the application of {owners[0]}", f"registrar show {owners[0]}")
    elif registered.mark:
        yield case.blocked(f"{client_id} is a registration in progress", "registrar recover")
    elif registered.archived:
        yield case.blocked(f"{client_id} is archived", "unarchive it in Nexus first")
    elif anew and case.kind is Kind.FOREIGN:
        yield case.blocked("its path holds data that registrar did not write", "set another path in the manifest")
    elif anew:
        reason = f"a new client id and secret, since nobody knows the old one, which {_lasts(grace)}"
        yield _second(case, reason, client_id, registered, grace, adopts=True)
    else:
        changes = changes_of(application, registered)
        yield case.step(Adopt, "registered by hand", application=application, client_id=client_id, changes=changes)


def _take_over(case: Case) -> Iterator[Step]:
    facts, application = case.facts, case.world.wanted[case.path]
    if step := interrupted(case, application):
        yield step
    elif facts is None or case.kind is not Kind.SETTLED or case.registered is None or case.registered.archived:
        yield case.blocked("there is no living application to take over", f"registrar show {case.path}")
    elif facts.set == case.world.target.set:
        yield case.step(Keep, "it is ours already")
    else:
        changes = changes_of(application, case.registered)
        reason = f"taken over from the set {facts.set or '(none)'}"
        yield case.step(Adopt, reason, application=application, client_id=facts.client_id, changes=changes)


# ── what these rest on ────────────────────────────────────────────────────────────────────────────────────────────────


def _planned(world: World, paths: Collection[str], decide: Callable[[Case], Iterable[Step]]) -> Plan:
    steps = tuple(step for path in sorted(paths) for step in decide(Case(world, Options(), path)))
    return Plan(world.target, steps, world.managed, empty=not world.desired)


def _second(
    case: Case,
    reason: str,
    client_id: str,
    registered: Registered | None,
    grace: timedelta | None,
    *,
    adopts: bool = False,
) -> Rotate:
    seconds = int(grace.total_seconds()) if grace else 0
    application = _complete(case, registered)
    return case.step(Rotate, reason, application=application, client_id=client_id, grace_s=seconds, adopts=adopts)


def _lasts(grace: timedelta) -> str:
    return f"works for {life(grace.total_seconds())} more" if grace else "ends in this run"


def _complete(case: Case, registered: Registered | None) -> Application:
    """The whole of what a second registration is to be: the manifest's, and where that leaves out, as the first is."""
    facts = case.facts or Facts()
    description = registered.description if registered and not registered.mark else ""
    now = Application(
        case.path,
        registered.name if registered else facts.name,
        registered.redirect_uri if registered else facts.redirect_uri,
        registered.base_url if registered else facts.base_url,
        registered.owner_email if registered else facts.owner,
        description,
        protected=facts.protected,
    )
    wanted = case.world.wanted.get(case.path)
    if wanted is None:
        return now
    return dataclasses.replace(now, **wanted.declared(), protected=wanted.protected, source=wanted.source)


def _destroyed(case: Case, facts: Facts) -> bool:
    version = case.record.version(facts.version) if case.record else None
    return version is None or version.destroyed


def _readable(case: Case, version: int) -> bool:
    return case.record is not None and case.record.version(version) is not None and not case.record.deleted(version)


def _unprotected(world: World) -> frozenset[str]:
    """The paths of our set that can be rotated without being named."""
    return frozenset(path for path, record in world.in_use.items() if not record.base.protected)

"""Random worlds: what is decided is the same however it is listed, is approved as it is, and touches nobody else's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, assert_never

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from registrar import acts
from registrar.model import Application, Facts, Former, Kind, Lock, Mark, Record, Registered, State, Version
from registrar.plan import Options, Plan, plan
from registrar.report import Outcome, Status
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
from registrar.world import World, described
from tests.custody import worlds
from tests.custody.lab import DOMAIN, Lab
from tests.custody.worlds import NESTED, NOW, OLD_NEXUS, OTHER_DOMAIN, RUN, TARGET, Site

DAY: Final = timedelta(days=1)
OPTIONS: Final = (
    Options(),
    Options(prune=True),
    Options(unarchive=True),
    Options(accept_nexus=OLD_NEXUS),
    Options(prune=True, unarchive=True, accept_nexus=OLD_NEXUS),
)
PURE: Final = settings(deadline=None, derandomize=False, print_blob=True, max_examples=100, database=None)

options = st.sampled_from(OPTIONS)


def paths_of(world: World) -> list[str]:
    return sorted({*world.by_path, *world.wanted, *world.marked})


ASKED: Final[dict[str, Callable[[World], Plan]]] = {
    "rotate": lambda world: acts.rotate(world, paths_of(world), grace=DAY),
    "rotate all": lambda world: acts.rotate(world, (), every=True, grace=timedelta()),
    "back": lambda world: acts.back(world, paths_of(world), grace=DAY),
    "retire": lambda world: acts.retire(world, paths_of(world)),
    "restore": lambda world: acts.restore(world, paths_of(world)),
    "restore anew": lambda world: acts.restore(world, paths_of(world), anew=True),
}
decisions = st.one_of(options.map(lambda chosen: lambda world: plan(world, chosen)), st.sampled_from([*ASKED.values()]))


# -- the same, however it is listed ------------------------------------------------------------------------------------


@PURE
@given(world=worlds.worlds(), decide=decisions, data=st.data())
def test_a_plan_is_the_same_however_what_it_rests_on_is_listed(
    world: World, decide: Callable[[World], Plan], data: st.DataObject
) -> None:
    shuffled = dataclasses.replace(
        world,
        desired=tuple(data.draw(st.permutations(world.desired))),
        registered=tuple(data.draw(st.permutations(world.registered or ()))),
        records=tuple(data.draw(st.permutations(world.records))),
    )
    one, other = decide(world), decide(shuffled)
    assert sorted_marks(one) == sorted_marks(other)
    by_id = dataclasses.replace(shuffled, registered=world.registered)
    assert one.digest == decide(by_id).digest == decide(world).digest


def sorted_marks(todo: Plan) -> list[object]:
    """The steps without their words, and marked applications by id, as Nexus is listed."""
    marks = (
        dataclasses.replace(step, marked=tuple(sorted(step.marked, key=lambda one: one.id)))
        if isinstance(step, Recover)
        else step
        for step in todo.steps
    )
    return [_values(step) for step in marks]


# -- the digest --------------------------------------------------------------------------------------------------------


def covered(todo: Plan) -> list[object]:
    """What an approval covers, spelt out: where, and of every step but Keep and Expire its values and what it rests on.

    Not: reasons, hints and notes; from where in a file an entry comes; what is due by the clock.
    """
    target = todo.target
    where = (
        target.nexus_url,
        target.frontend_url,
        target.vault_addr,
        target.vault_namespace,
        target.vault_mount,
        target.vault_prefix,
        target.set,
    )
    return [where, *(_values(step) for step in todo.steps if not isinstance(step, Keep | Expire))]


def _values(step: Step) -> tuple[object, ...]:
    head = (type(step), step.path, step.name, step.version)
    match step:
        case Keep() | Blocked():
            return head
        case Create():
            return (*head, unplaced(step.application), step.replaces)
        case Update():
            return (*head, unplaced(step.application), step.edits, step.facts)
        case Rotate():
            return (*head, unplaced(step.application), step.client_id, step.grace_s, step.adopts)
        case Back():
            return (*head, step.client_id, step.former, step.grace_s)
        case Adopt():
            return (*head, unplaced(step.application), step.client_id, step.changes)
        case Retire() | Restore():
            return (*head, step.client_id)
        case Expire():
            return (*head, step.former)
        case Recover():
            return (*head, step.marked)
        case _:
            assert_never(step)


def unplaced(application: Application) -> Application:
    return dataclasses.replace(application, source="")


@settings(PURE, max_examples=150)
@given(pair=worlds.neighbours(), decide=decisions)
def test_a_digest_differs_exactly_where_what_it_approves_does(
    pair: tuple[World, World], decide: Callable[[World], Plan]
) -> None:
    one, other = (decide(world) for world in pair)
    same = covered(one) == covered(other)
    event("the same" if same else "different")
    assert (one.digest == other.digest) is same


@PURE
@example(world=worlds.GRACE, decide=plan, hours=2)
@given(world=worlds.worlds(), decide=decisions, hours=st.integers(1, 100))
def test_time_that_passes_changes_only_what_is_due(world: World, decide: Callable[[World], Plan], hours: int) -> None:
    later = tuple(
        dataclasses.replace(record, seen_at=record.seen_at + timedelta(hours=hours)) for record in world.records
    )
    before, after = decide(world), decide(dataclasses.replace(world, records=later))
    undated = [step for step in before.steps if not isinstance(step, Expire)]
    assert undated == [step for step in after.steps if not isinstance(step, Expire)]
    assert {*before.steps} - {*undated} <= {*after.steps}
    assert before.digest == after.digest


def unrelated_application() -> st.SearchStrategy[Registered]:
    """An application that somebody registered, perhaps with a mark that is not ours."""
    mark = Mark(OTHER_DOMAIN, RUN, "viewer")
    return st.builds(
        Registered,
        st.just(900),
        st.just("unrelated"),
        st.just("Unrelated"),
        st.just("https://unrelated.example.org/callback"),
        description=st.sampled_from(("", "theirs", str(mark))),
        archived=st.booleans(),
    )


def unrelated_record(domain: str) -> st.SearchStrategy[Record]:
    """A record of another set, or of nobody's, at a path that nothing declares."""
    theirs = Facts(client_id="unrelated", set="others of it", nexus=TARGET.nexus_url, domain=domain, version=1)
    return st.builds(
        Record,
        st.just("unrelated"),
        st.just(NOW),
        st.one_of(st.none(), st.builds(dataclasses.replace, st.just(theirs), version=st.integers(0, 2))),
        st.integers(0, 2),
        st.just((Version(1, NOW),)),
    )


@PURE
@given(world=worlds.worlds(), decide=decisions, data=st.data())
def test_what_is_unrelated_changes_nothing(world: World, decide: Callable[[World], Plan], data: st.DataObject) -> None:
    registered = (*(world.registered or ()), data.draw(unrelated_application()))
    records = (*world.records, data.draw(unrelated_record(world.domain)))
    before = decide(world)
    after = decide(dataclasses.replace(world, registered=registered, records=records)).at(paths_of(world))
    assert (before.steps, before.digest) == (after.steps, after.digest)


# -- nobody else's -----------------------------------------------------------------------------------------------------


def touched(step: Step) -> set[str]:
    """The client ids of the applications that a step changes in Nexus, or stores the credential of."""
    match step:
        case Update():
            return {edit.client_id for edit in step.edits}
        case Rotate() | Retire() | Restore() | Adopt():
            return {step.client_id}
        case Back():
            return {step.client_id, step.former.client_id}
        case Expire():
            return {step.former.client_id}
        case Recover():
            return {marked.client_id for marked in step.marked}
        case Keep() | Blocked() | Create():
            return set()
        case _:
            assert_never(step)


def names(facts: Facts | None) -> set[str]:
    """The client ids that a record explains."""
    formers = (facts.retiring, facts.leaving) if facts else ()
    return {facts.client_id, *(former.client_id for former in formers if former)} - {""} if facts else set()


def marked_for(world: World, path: str) -> set[str]:
    """The applications with a mark of our domain for this path, and not of another set."""
    marks = ((one.client_id, one.mark) for one in world.registered or ())
    sets = ("", world.target.set)
    return {
        client_id
        for client_id, mark in marks
        if mark and world.domain and (mark.domain, mark.path) == (world.domain, path) and mark.set in sets
    }


def somebodys(world: World, path: str) -> set[str]:
    """The applications that are not for this path: of nobody's record, or of another's alone, and without our mark."""
    ours = marked_for(world, path) | names(world.by_path[path].facts if path in world.by_path else None)
    return {one.client_id for one in world.registered or ()} - ours


def why_not(world: World, step: Step, chosen: Options) -> Iterator[str]:
    """Why a step may not be there at all, whatever else the table says."""
    path = step.path
    record = world.by_path.get(path)
    facts = record.facts if record else None
    declared = path in world.wanted
    marked = marked_for(world, path)
    over_data = isinstance(step, Recover) and bool(step.marked)
    if NESTED in world.nested and path.startswith(f"{NESTED}/"):
        yield "it is in a prefix of its own"
    if taken := touched(step) & somebodys(world, path):
        yield f"{taken} are somebody's"
    known = [other for other in world.records if other.kind is not Kind.EMPTY]
    cleared = names(facts) if isinstance(step, Recover) else set()  # of a mark that is left over, and of nothing else
    reached = touched(step) - cleared
    others = {other.path for other in known if other.path != path and reached & names(other.facts)}
    if others:
        yield f"what it touches is also that of {others}"
    if record and facts is None and record.current and not over_data:
        yield "its record is foreign"
    if record and facts and record.kind is not Kind.EMPTY:
        if facts.set != world.target.set:
            yield "its record is of another set"
        accepted = chosen.accept_nexus == facts.nexus and facts.client_id in world.by_client
        if facts.nexus not in ("", world.target.nexus_url) and not (declared and accepted):
            yield "its record is of another server"
    fenced_late = record and record.kind is Kind.WITHDRAWN and record.base.state is State.EMPTY
    if isinstance(step, Recover) and not marked and not (record and record.kind is Kind.UNSETTLED) and not fenced_late:
        yield "nothing was interrupted"
    if isinstance(step, Create) and step.replaces in world.by_client:
        yield "its application is there"
    if isinstance(step, Create) and not declared:
        yield "nobody declares it"
    if isinstance(step, Rotate | Back | Adopt):
        yield "nobody asked for it"
    if not declared and isinstance(step, Update | Restore):
        yield "nobody declares it"
    if isinstance(step, Retire) and not (facts and facts.state is State.RETIRED):
        if declared or not chosen.prune:
            yield "it is not to be pruned"
        if facts and facts.protected:
            yield "it is protected"


VIEWER: Final = worlds.declared("viewer")
COPY: Final = worlds.declared("docs")
HELD: Final = worlds.registered_as(COPY, 1, "shared")
ITS_FACTS: Final = described(Facts(client_id="shared", version=1), COPY, TARGET, DOMAIN)


def shared_world(*desired: Application, facts: Facts | None = None, **about: Any) -> World:
    """The record `docs` with its application, and perhaps `viewer` with these facts, which name that too."""
    said = {"docs": ITS_FACTS} | ({"viewer": facts} if facts else {})
    records = (Record(path, NOW, it, 1, (Version(1, NOW),), metadata_version=1) for path, it in said.items())
    own = worlds.registered_as(VIEWER, 2, "viewer-now")
    return World(TARGET, desired, (dataclasses.replace(HELD, **about), own), tuple(records), Lock(1, DOMAIN))


RETIRING: Final = Former("shared", 1, NOW + timedelta(hours=1))
OVER: Final = dataclasses.replace(RETIRING, until=NOW)
OF_ITS_OWN: Final = described(Facts(client_id="viewer-now", version=1, retiring=RETIRING), VIEWER, TARGET, DOMAIN)
GUARDED: Final = dataclasses.replace(OF_ITS_OWN, retiring=None, protected=True)


@settings(PURE, max_examples=150)
@example(world=shared_world(COPY, facts=GUARDED), chosen=Options(prune=True))
@given(world=worlds.worlds(), chosen=options)
def test_no_step_is_about_what_is_not_ours(world: World, chosen: Options) -> None:
    steps = plan(world, chosen).pending
    for step in steps:
        event(step.operation)
        assert not list(why_not(world, step, chosen)), step


@pytest.mark.parametrize(
    ("world", "chosen"),
    [
        pytest.param(shared_world(COPY, VIEWER, facts=OF_ITS_OWN), Options(), id="update"),
        pytest.param(
            shared_world(COPY, VIEWER, facts=dataclasses.replace(OF_ITS_OWN, retiring=OVER)), Options(), id="expire"
        ),
        pytest.param(shared_world(COPY, facts=ITS_FACTS), Options(prune=True), id="prune"),
        pytest.param(
            shared_world(COPY, facts=dataclasses.replace(ITS_FACTS, state=State.RETIRED)), Options(), id="retire"
        ),
        pytest.param(shared_world(COPY, description=str(Mark(DOMAIN, RUN, "viewer"))), Options(), id="recover"),
    ],
)
def test_an_application_of_two_records_is_left_to_a_person(world: World, chosen: Options) -> None:
    """Two records name it, of which one is in use: whatever the other's row wants of it breaks the clients of that."""
    assert "shared" not in {
        client_id for step in plan(world, chosen).at({"viewer"}).pending for client_id in touched(step)
    }


def test_an_approval_is_for_one_namespace_of_vault() -> None:
    world = World(TARGET, (VIEWER,), (), ())
    elsewhere = dataclasses.replace(world, target=dataclasses.replace(TARGET, vault_namespace="team-b"))
    assert plan(world).digest != plan(elsewhere).digest


# -- carried out -------------------------------------------------------------------------------------------------------

SOCKETS: Final = settings(PURE, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


AMONG_OTHERS: Final = (
    Site("api", "as it is", "foreign", ("half made",)),
    Site("docs", "as it is", "of another set", ("half made",)),
    Site("viewer", "as it is", "by hand", ("half made elsewhere", "half made by another set")),
    Site("team/app", "as it is", "foreign credential", ("half made",)),
)
HALF_DONE: Final = (
    Site("api", "as it is", "half made and stored", ("half made",)),
    Site("docs", "as it is", "rotated long ago", ("half made", "namesake")),
    Site("viewer", "none", "retired", ("half made",)),
    Site("team/app", "moved", "settled", ("half rotated",)),
)


@dataclass(frozen=True)
class Look:
    """What is there, past registrar's clients: applications by client id, and each record with all of its versions."""

    applications: Mapping[str, Registered]
    records: Mapping[str, Record]
    contents: Mapping[str, tuple[object, ...]]

    @classmethod
    def at(cls, lab: Lab) -> Look:
        records = {record.path: record for record in lab.vault.all().records}
        return cls(
            {one.client_id: one for one in lab.registered()},
            records,
            {
                path: tuple(lab.read_version(version.number, path) for version in record.versions)
                for path, record in records.items()
            },
        )

    def held(self, path: str) -> set[str]:
        """The client ids in all versions that are there."""
        return {str(content.get("client_id")) for content in self.contents.get(path, ()) if isinstance(content, dict)}

    def ours(self, lab: Lab, domain: str) -> set[str]:
        """The applications that are explained by a record of our set, stored in one, or marked by our domain."""
        marks = ((one.client_id, one.mark) for one in self.applications.values())
        sets = ("", lab.target.set)
        known = {client_id for client_id, mark in marks if mark and mark.domain == domain and mark.set in sets}
        for path, record in self.records.items():
            if record.base.set == lab.target.set and record.base.nexus == lab.target.nexus_url:
                known |= self.held(path)
                known |= set() if unadopted(record.base) else names(record.facts)
        return known


def unadopted(facts: Facts) -> bool:
    """Whether an adoption has stored nothing: its application is still whoever's registered it."""
    return facts.state is State.ADOPTING and not facts.version


def left(outcomes: Sequence[Outcome], step: Step) -> bool:
    """Whether a step that is still planned is one that the run has told about, for a reason that the table grants."""
    at_path = [outcome for outcome in outcomes if outcome.step.path == step.path]
    a_persons = ("holds something registrar did not store", "came late over a credential that was withdrawn")
    untouched = any(
        outcome.status is Status.BLOCKED and any(told in outcome.detail for told in a_persons) for outcome in at_path
    )
    too_many = any(outcome.error and "archive one of them in Nexus" in outcome.error.hint for outcome in at_path)
    asks_again = any(outcome.status is Status.SKIPPED and "a plan of its own" in outcome.detail for outcome in at_path)
    restored = any(outcome.status is Status.DONE and isinstance(outcome.step, Restore) for outcome in at_path)
    expired = {
        outcome.step.former.client_id
        for outcome in at_path
        if outcome.status is Status.DONE and isinstance(outcome.step, Expire)
    }
    if isinstance(step, Recover):
        still_marked = bool(step.marked) and {marked.client_id for marked in step.marked} <= expired
        return untouched or too_many or still_marked
    return (asks_again and step.breaks_clients) or (restored and isinstance(step, Update | Expire))


def carried_out(lab: Lab, desired: Sequence[Application]) -> Plan:
    """What is planned after a run, which is nothing but what the run has told about."""
    report = lab.apply(*desired)
    again = lab.plan(*desired)
    told = [(outcome.step.operation, outcome.status, outcome.detail) for outcome in report.outcomes]
    assert not [detail for _, _, detail in told if "defect of registrar" in detail]
    for step in again.pending:
        assert left(report.outcomes, step), (step, told)
    return again


@SOCKETS
@example(made=AMONG_OTHERS)
@example(made=HALF_DONE)
@given(made=worlds.sites())
def test_what_is_carried_out_is_done_and_nobody_else_is_touched(lab: Lab, made: tuple[Site, ...]) -> None:
    lab.fresh()
    domain = lab.domain()
    for site in made:
        site.make(lab, domain)
    desired = [site.application for site in made if site.application]
    planned, before = lab.plan(*desired), Look.at(lab)
    again = carried_out(lab, desired)
    if {type(step) for step in again.pending} - {Recover}:  # what the table has for later: it ends with the next run
        again = carried_out(lab, desired)
        assert {type(step) for step in again.pending} <= {Recover}, again.pending
    after = Look.at(lab)
    changing = {step.path for step in planned.pending if isinstance(step, Recover | Retire)}
    assert {step.path for step in again.blocked} <= {step.path for step in planned.blocked} | changing

    others = before.applications.keys() - before.ours(lab, domain)
    assert {one: after.applications.get(one) for one in others} == {one: before.applications[one] for one in others}
    for path, record in before.records.items():
        half_made = {one.client_id for one in before.applications.values() if one.mark and one.mark.path == path}
        foreign = record.facts is None and record.living and not half_made & before.held(path)
        theirs = record.facts is not None and record.kind is not Kind.EMPTY and record.facts.set != lab.target.set
        if foreign or theirs:
            assert (after.records[path].facts, after.contents[path]) == (record.facts, before.contents[path]), path

    # facts of no version name one that was perhaps never ours
    undescribed = {record.base.client_id for record in before.records.values() if not record.base.version}
    stray = {one.client_id for one in after.applications.values() if not one.archived} - after.ours(lab, domain)
    assert stray <= others | undescribed, "registered, and of nobody's record"
    for step in again.steps:
        application = next((one for one in desired if one.path == step.path), None)
        in_use = step.path in after.records and after.records[step.path].kind is Kind.SETTLED
        if isinstance(step, Keep) and application and in_use:
            assert lab.proves(application), step


def test_a_deleted_version_of_somebody_else_stays_the_newest(lab: Lab) -> None:
    hand = worlds.Hand(lab, "viewer", lab.domain())
    hand.write({"password": "of somebody"})
    hand.call("delete")
    hand.half_make()
    lab.apply(VIEWER)
    assert hand.record.current == 1

"""Every row of the table of states, over sockets: what is planned, and what is carried out where apply can."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registrar import plan, reconcile
from registrar.errors import BrakeEngaged
from registrar.model import Application, Former, Kind, Mark, State
from registrar.plan import Plan, brake
from registrar.report import Status
from registrar.status import survey
from registrar.steps import Blocked, Create, Expire, Keep, Recover, Restore, Retire, Step, Update
from tests.custody.lab import DEAD_RUN, VIEWER, Lab, renamed

OTHER = renamed(VIEWER, "other")


def blocked(step: object, *words: str) -> None:
    """It is Blocked, and these words are in its reason or its way out."""
    assert isinstance(step, Blocked), step
    for word in words:
        assert word in step.reason + " " + step.hint


def unchanged(lab: Lab, *desired: Application) -> None:
    """apply reports it blocked and changes nothing."""
    registered, record = lab.registered(), lab.record()
    report = lab.apply(*desired)
    assert [outcome.status for outcome in report.outcomes] == [Status.BLOCKED]
    assert report.exit_code == 1
    after = lab.record()
    assert (lab.registered(), after.facts, after.current) == (registered, record.facts, record.current)


def test_record_of_another_server(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(nexus="https://old.example.org")
    blocked(lab.step(VIEWER), "https://old.example.org", "--accept-nexus https://old.example.org")
    unchanged(lab, VIEWER)
    step = lab.step(VIEWER, accept_nexus="https://old.example.org")
    assert isinstance(step, Update)
    assert not step.edits


def test_accept_nexus_needs_the_client_id_to_be_there(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(nexus="https://old.example.org", client_id="not-there")
    blocked(lab.step(VIEWER, accept_nexus="https://old.example.org"), "--accept-nexus")


def test_record_of_another_set(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(set="somebody")
    blocked(lab.step(VIEWER), "somebody", "--take-over")
    unchanged(lab, VIEWER)


def test_foreign_record(lab: Lab) -> None:
    lab.write({"password": "x"})
    blocked(lab.step(VIEWER), "did not write", "registrar adopt viewer")
    unchanged(lab, VIEWER)
    assert lab.read_version(1) == {"password": "x"}


def test_new(lab: Lab) -> None:
    step = lab.step(VIEWER)
    assert isinstance(step, Create)
    assert not step.breaks_clients
    report = lab.apply(VIEWER)
    assert [outcome.status for outcome in report.outcomes] == [Status.DONE]
    assert report.exit_code == 0
    lab.assert_whole(VIEWER)
    (registered,) = lab.registered()
    assert {name: getattr(registered, name) for name in VIEWER.declared()} == VIEWER.declared()


def test_new_where_an_empty_record_is(lab: Lab) -> None:
    lab.half_make()
    lab.apply(VIEWER)  # the fence leaves an empty record behind
    facts = lab.record().facts
    assert facts
    assert facts.state is State.REGISTERED
    assert facts.version == lab.record().current == 2
    lab.assert_whole(VIEWER)


def test_being_registered_right_now(lab: Lab) -> None:
    with lab.take_lock() as lease:
        lab.half_make(run=lease.run, domain=lease.domain)
        step = lab.step(VIEWER)
        assert isinstance(step, Keep)
        assert "the test" in step.note
        world = lab.observe(VIEWER)
        (row,) = survey(world, plan.plan(world)).rows
        assert (row.state, row.nexus) == ("in progress", "half-made")


def test_marked_with_data_and_no_facts_of_this_client(lab: Lab) -> None:
    credential = lab.half_make()
    lab.write_credential(credential)
    assert isinstance(lab.step(VIEWER), Recover)
    report = lab.apply(VIEWER)
    assert report.exit_code == 0
    lab.assert_whole(VIEWER)
    assert lab.living() == [credential.client_id], "what was stored is kept, not registered anew"


def test_marked_with_data_of_somebody_else(lab: Lab) -> None:
    lab.half_make()
    lab.write({"client_id": "theirs", "client_secret": "theirs"})
    assert isinstance(lab.step(VIEWER), Recover)
    report = lab.apply(VIEWER)
    assert lab.registered() == (), "the marked one is deleted"
    assert lab.record().current == 1, "without a fence: the data are somebody's"
    assert lab.record().facts is None
    assert report.exit_code == 1
    blocked(lab.step(VIEWER), "adopt")


@pytest.mark.parametrize("before", ["none", "empty"])
def test_marked_and_nothing_stored(lab: Lab, before: str) -> None:
    if before == "empty":
        lab.half_make()
        lab.apply()  # undeclared: recovered, and an empty record stays
        assert lab.record().kind is Kind.EMPTY
    lost = lab.half_make(run="s" * 16)
    step = lab.step(VIEWER)
    assert isinstance(step, Recover)
    assert step.then == "create"
    report = lab.apply(VIEWER)
    assert report.exit_code == 0
    assert lost.client_id not in [registered.client_id for registered in lab.registered()]
    lab.assert_whole(VIEWER)


def test_marked_and_settled_for_another(lab: Lab) -> None:
    lab.apply(VIEWER)
    (current,) = lab.living()
    lab.half_make()
    step = lab.step(VIEWER)
    assert isinstance(step, Recover)
    assert step.then == "keep"
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.living() == [current]
    assert lab.record().current == 2, "fenced: a late store would be refused"
    lab.assert_whole(VIEWER)


def test_marked_and_withdrawn(lab: Lab) -> None:
    lab.apply(VIEWER)
    (retired,) = lab.registered()
    lab.version_call("delete", 1)
    lab.by_hand.archive(retired.id)
    lost = lab.half_make()
    assert isinstance(lab.step(VIEWER), Recover)
    facts = lab.record().facts
    lab.apply(VIEWER)
    assert lost.client_id not in lab.living()
    record = lab.record()
    assert (record.kind, record.current, record.facts) == (Kind.WITHDRAWN, 2, facts), "an empty fence, facts kept"
    blocked(lab.step(VIEWER), "restore")


def test_marked_and_unsettled_with_facts_for_this_client(lab: Lab) -> None:
    lab.apply(VIEWER)
    (old,) = lab.living()
    credential = lab.half_make()
    lab.write_credential(credential)
    assert isinstance(lab.step(VIEWER), Recover)
    assert lab.apply(VIEWER).exit_code == 0
    facts = lab.record().facts
    assert facts
    assert facts.client_id == credential.client_id
    assert facts.retiring
    assert facts.retiring.client_id == old
    assert facts.retiring.version == 1
    assert sorted(lab.living()) == sorted([old, credential.client_id])
    assert lab.proves()
    assert isinstance(lab.step(VIEWER), Keep)


def test_marked_and_unsettled_with_facts_for_another(lab: Lab) -> None:
    lab.apply(VIEWER)
    (current,) = lab.living()
    lost = lab.half_make()
    lab.vault.again("viewer", 1)  # a fence whose run died before deleting
    assert lab.record().kind is Kind.UNSETTLED
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.living() == [current]
    assert lost.client_id not in lab.living()
    lab.assert_whole(VIEWER)


def test_unsettled_by_a_claim_that_stopped(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register(dataclasses.replace(VIEWER, name="Viewer before"))
    former = Former(old.client_id, 1, datetime.now(UTC) + timedelta(hours=1))
    lab.set_facts(retiring=former)
    lab.vault.again("viewer", 1)
    assert isinstance(lab.step(VIEWER), Recover)
    assert lab.apply(VIEWER).exit_code == 0
    facts = lab.record().facts
    assert facts
    assert (facts.version, facts.retiring, facts.leaving) == (3, None, former), "claimed: no way back to the old one"


def test_unsettled_by_hand_with_a_living_credential_that_proves(lab: Lab) -> None:
    lab.apply(VIEWER)
    other = lab.register(dataclasses.replace(VIEWER, name="Viewer, by hand"))
    lab.write_credential(other)
    assert isinstance(lab.step(VIEWER), Recover)
    report = lab.apply(VIEWER)
    facts = lab.record().facts
    assert facts
    assert facts.client_id == other.client_id
    assert facts.version == 3, "stored once more: what is still to land names an old version"
    assert report.of(Status.DONE)


def test_unsettled_by_hand_with_garbage(lab: Lab) -> None:
    lab.apply(VIEWER)
    before = lab.record().facts
    lab.write({"client_id": "nobody", "client_secret": "knows"})
    assert isinstance(lab.step(VIEWER), Recover)
    report = lab.apply(VIEWER)
    assert report.exit_code == 1
    (outcome,) = report.outcomes
    blocked(outcome.step, "no living application", "registrar show viewer")
    record = lab.record()
    assert (record.current, record.facts) == (2, before), "nothing of it is touched"


def test_a_retire_that_stopped(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(state=State.RETIRED)
    step = lab.step(VIEWER)
    assert isinstance(step, Retire)
    assert isinstance(lab.step(), Retire), "for an undeclared record as well"
    assert lab.apply(VIEWER).outcomes[0].status is Status.DONE
    assert (lab.living(), lab.record().kind) == ([], Kind.WITHDRAWN)
    blocked(lab.step(VIEWER), "retired, and still declared", "registrar restore viewer")


def test_withdrawn_and_its_application_is_gone(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.version_call("delete", 1)
    lab.by_hand.delete(lab.registered()[0].id)
    blocked(lab.step(VIEWER), "restore viewer --rotate")
    unchanged(lab, VIEWER)


def test_in_sync(lab: Lab) -> None:
    lab.apply(VIEWER)
    assert isinstance(lab.step(VIEWER), Keep)
    before = (lab.registered(), lab.record().facts)
    assert lab.apply(VIEWER).exit_code == 0
    assert (lab.registered(), lab.record().facts) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Viewer 2"),
        ("redirect_uri", "https://viewer.example.org/cb2"),
        ("base_url", "https://viewer.example.org/x"),
        ("owner_email", "new@example.org"),
        ("description", "new"),
        ("description", ""),
    ],
)
def test_drift_from_the_manifest(lab: Lab, name: str, value: str) -> None:
    lab.apply(VIEWER)
    changed: dict[str, Any] = {name: value}
    wanted = dataclasses.replace(VIEWER, **changed)
    step = lab.step(wanted)
    assert isinstance(step, Update)
    (edit,) = step.edits
    assert [(c.field, c.before, c.after) for c in edit.changes] == [(name, getattr(VIEWER, name), value)]
    assert step.breaks_clients is (name == "redirect_uri")
    assert lab.apply(wanted).exit_code == 0
    lab.assert_whole(wanted)


def test_drift_in_nexus(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.by_hand.update(lab.registered()[0].id, {"base_url": "https://evil.example"})
    assert isinstance(lab.step(VIEWER), Update)
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_only_the_facts_differ(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(owner="")
    step = lab.step(VIEWER)
    assert isinstance(step, Update)
    assert not step.edits
    lab.nexus_proxy.seen.clear()
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.nexus_proxy.effects() == [], "without a PUT"
    lab.assert_whole(VIEWER)


def test_a_key_that_is_removed_stops_being_managed_and_is_said_once(lab: Lab) -> None:
    lab.apply(VIEWER)
    wanted = dataclasses.replace(VIEWER, description=None)
    step = lab.step(wanted)
    assert isinstance(step, Update)
    assert step.notes == ("description is no longer managed and stays as it is",)
    lab.apply(wanted)
    assert isinstance(lab.step(wanted), Keep)
    assert lab.registered()[0].description == VIEWER.description


def test_a_left_over_mark_is_cleared(lab: Lab) -> None:
    undescribed = dataclasses.replace(VIEWER, description=None)
    lab.apply(undescribed)
    (registered,) = lab.registered()
    lab.by_hand.update(registered.id, {"description": str(Mark(lab.domain(), DEAD_RUN, "viewer"))})
    step = lab.step(undescribed)
    assert isinstance(step, Update)
    assert lab.apply(undescribed).exit_code == 0
    assert lab.registered()[0].description == ""
    lab.assert_whole(undescribed)


def test_drift_during_a_grace_is_mended_on_both(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    lab.set_facts(retiring=Former(old.client_id, 1, datetime.now(UTC) + timedelta(hours=1)))
    wanted = dataclasses.replace(VIEWER, owner_email="new@example.org")
    step = lab.step(wanted)
    assert isinstance(step, Update)
    assert len(step.edits) == 2
    lab.apply(wanted)
    assert {registered.owner_email for registered in lab.registered()} == {"new@example.org"}


def test_somebody_archived_it(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.by_hand.archive(lab.registered()[0].id)
    blocked(lab.step(VIEWER), "archived", "registrar restore viewer")
    assert isinstance(lab.step(VIEWER, unarchive=True), Restore)
    unchanged(lab, VIEWER)
    lab.register()
    blocked(lab.step(VIEWER), "Vault may be older than Nexus")


def test_somebody_deleted_the_version(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.version_call("delete", 1)
    assert isinstance(lab.step(VIEWER), Restore)
    assert lab.apply(VIEWER).outcomes[0].status is Status.DONE
    lab.assert_whole(VIEWER)


def test_somebody_destroyed_the_version(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.version_call("destroy", 1)
    blocked(lab.step(VIEWER), "destroyed", "registrar rotate viewer")
    unchanged(lab, VIEWER)


def test_retired_and_still_declared(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.version_call("delete", 1)
    lab.by_hand.archive(lab.registered()[0].id)
    blocked(lab.step(VIEWER), "retired", "registrar restore viewer")
    unchanged(lab, VIEWER)


def test_deleted_behind_us(lab: Lab) -> None:
    lab.apply(VIEWER)
    (lost,) = lab.living()
    lab.by_hand.delete(lab.registered()[0].id)
    todo = lab.plan(VIEWER)
    (step,) = todo.steps
    assert isinstance(step, Create)
    assert step.replaces == lost
    assert step.breaks_clients
    with pytest.raises(BrakeEngaged, match="1") as stopped:
        brake(todo)
    assert "--allow-replace 1" in stopped.value.hint
    with pytest.raises(BrakeEngaged):
        brake(todo, allow_replace=2)
    brake(todo, allow_replace=1)
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)
    assert lab.record().current == 2


def test_registered_by_hand(lab: Lab) -> None:
    credential = lab.register(name="  VIEWER ")
    blocked(lab.step(VIEWER), credential.client_id, f"adopt viewer --client-id {credential.client_id}")
    unchanged(lab, VIEWER)


def test_registered_by_hand_twice(lab: Lab) -> None:
    ids = [lab.register().client_id for _ in range(2)]
    blocked(lab.step(VIEWER), *ids)
    unchanged(lab, VIEWER)


def test_an_unexplained_archived_one_matches_nothing(lab: Lab) -> None:
    lab.register()
    lab.by_hand.archive(lab.registered()[0].id)
    assert isinstance(lab.step(VIEWER), Create)


def test_another_one_of_that_name(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.register()
    step = lab.step(VIEWER)
    assert isinstance(step, Keep)
    assert "another application of that name" in step.note


def test_no_longer_declared(lab: Lab) -> None:
    lab.apply(VIEWER, OTHER)
    assert [type(step) for step in lab.plan(OTHER).steps] == [Keep]
    assert lab.plan(OTHER).left_alone == 1
    steps = lab.plan(OTHER, prune=True).steps
    assert [(step.operation, step.path) for step in steps] == [("keep", "other"), ("retire", "viewer")]
    lab.set_facts(protected=True)
    blocked(lab.plan(OTHER, prune=True).steps[1], "protected", "registrar retire viewer")


@pytest.mark.parametrize("why", ["over", "archived", "deleted", "not yet"])
@pytest.mark.parametrize("which", ["retiring", "leaving"])
def test_the_old_one_of_a_rotation(lab: Lab, why: str, which: str) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    hours = -1 if why == "over" else 1
    former = Former(old.client_id, 1, datetime.now(UTC) + timedelta(hours=hours))
    facts: dict[str, Any] = {which: former}
    lab.set_facts(**facts)
    if why == "archived":
        lab.by_hand.archive(lab.id_of(old.client_id))
    if why == "deleted":
        lab.by_hand.delete(lab.id_of(old.client_id))
    steps = lab.plan(VIEWER).steps
    expected = [Keep] if why == "not yet" else [Keep, Expire]
    assert [type(step) for step in steps] == expected
    assert lab.plan(VIEWER).digest == Plan(lab.target, steps[:1]).digest, "due by the clock, so outside the digest"


def test_a_mark_of_another_domain_is_somebodys(lab: Lab) -> None:
    lab.apply(OTHER)
    lab.half_make(domain="x" * 16)
    blocked(lab.plan(VIEWER, OTHER).steps[1], "registered by hand")


def test_a_moved_path_or_name_is_blocked(lab: Lab) -> None:
    lab.apply(VIEWER)
    moved = dataclasses.replace(VIEWER, path="viewer-2")
    blocked(lab.plan(moved).steps[0], "redirect URI", "path: viewer")
    moved = dataclasses.replace(moved, redirect_uri="https://viewer.example.org/new")
    blocked(lab.plan(moved).steps[0], "name", "path: viewer")


def test_a_folder_with_a_lock_of_its_own_is_not_entered(lab: Lab) -> None:
    lab.write({"domain": "y" * 16}, path="team/.registrar/lock")
    lab.write({"password": "x"}, path="team/app")
    nested = dataclasses.replace(VIEWER, path="team/viewer")
    world = lab.observe(nested)
    assert world.nested == ("team",)
    assert not world.records
    blocked(lab.step(nested), "prefix of its own")


def test_without_nexus_facts_alone_decide(lab: Lab) -> None:
    def step(*desired: Application) -> Step:
        world = reconcile.observe(lab.target, desired, None, lab.vault)
        return plan.plan(world).steps[0]

    assert isinstance(step(VIEWER), Create)
    lab.apply(VIEWER)
    lab.nexus_proxy.seen.clear()
    assert isinstance(step(VIEWER), Keep)
    changed = step(dataclasses.replace(VIEWER, owner_email="new@example.org", description="new"))
    assert isinstance(changed, Update)
    assert [(c.field, c.before, c.after) for c in changed.edits[0].changes] == [
        ("owner_email", "team@example.org", "new@example.org"),
        ("description", "(in Nexus)", "new"),
    ]
    lab.version_call("delete", 1)
    blocked(step(VIEWER), "withdrawn")
    assert lab.nexus_proxy.seen == []

"""Records and registrations that other hands have touched: what is planned, and what the facts remember afterwards."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from registrar import acts, plan, reconcile
from registrar.model import Application, Credential, Facts, Former, Kind, Mark, State
from registrar.report import Status
from registrar.steps import Blocked, Create, Expire, Keep, Recover, Step, Update
from registrar.world import formers
from tests.custody.lab import DEAD_RUN, DOMAIN, VIEWER, Lab, renamed

OTHER = renamed(VIEWER, "other")
OLD_NEXUS = "https://old.example.org"
# one that is named as the path of the other: the two must never be taken for each other
TWIN = dataclasses.replace(VIEWER, name="Twin")
NAMESAKE = dataclasses.replace(renamed(VIEWER, "viewer-2"), name="Viewer")


def facts_of(lab: Lab, path: str = "viewer") -> Facts:
    facts = lab.record(path).facts
    assert facts
    return facts


def former(credential: Credential, hours: float = 1) -> Former:
    return Former(credential.client_id, 1, datetime.now(UTC) + timedelta(hours=hours))


def remembered(lab: Lab) -> set[str]:
    """The client ids that the record still has to see archived."""
    return {old.client_id for old in formers(facts_of(lab))}


def from_facts(lab: Lab, application: Application) -> Step:
    """The only step of a plan that does not ask Nexus."""
    (step,) = plan.plan(reconcile.observe(lab.target, (application,), None, lab.vault)).steps
    return step


def lose_key(lab: Lab) -> None:
    """`vault kv metadata delete`, and then facts that were on their way."""
    facts = facts_of(lab)
    lab._http.delete(f"/metadata/{lab.target.vault_prefix}/viewer").raise_for_status()
    lab.vault.settle("viewer", facts, None)


def mark(lab: Lab, credential: Credential) -> None:
    """The mark that a lost finish leaves on one whose credential is stored."""
    lab.by_hand.update(lab.id_of(credential.client_id), {"description": str(Mark(lab.domain(), DEAD_RUN, "viewer"))})


# -- another server, set or prefix -------------------------------------------------------------------------------------


def test_accept_nexus_does_not_take_over_another_set(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(nexus=OLD_NEXUS, set="somebody")
    step = lab.step(VIEWER, accept_nexus=OLD_NEXUS)
    assert isinstance(step, Blocked)
    assert "--take-over" in step.hint
    lab.apply(VIEWER, options=plan.Options(accept_nexus=OLD_NEXUS))
    assert (facts_of(lab).set, facts_of(lab).nexus) == ("somebody", OLD_NEXUS)


def test_accept_nexus_shows_and_mends_every_other_difference_too(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(nexus=OLD_NEXUS)
    wanted = dataclasses.replace(VIEWER, redirect_uri="https://viewer.example.org/new")
    step = lab.step(wanted, accept_nexus=OLD_NEXUS)
    assert isinstance(step, Update)
    assert [change.field for edit in step.edits for change in edit.changes] == ["redirect_uri"]
    assert {"nexus", "redirect-uri"} <= {change.field for change in step.facts}
    assert step.breaks_clients
    assert lab.apply(wanted, options=plan.Options(accept_nexus=OLD_NEXUS)).exit_code == 0
    assert facts_of(lab).redirect_uri == lab.registered()[0].redirect_uri == wanted.redirect_uri
    lab.assert_whole(wanted)


def test_an_empty_record_is_no_obstacle_whatever_server_it_was_for(lab: Lab) -> None:
    lab.half_make()
    lab.apply()  # undeclared: recovered, and an empty record stays
    lab.set_facts(nexus=OLD_NEXUS)
    assert lab.record().kind is Kind.EMPTY
    assert isinstance(lab.step(VIEWER), Create)


def test_nothing_is_due_at_a_record_that_was_made_for_another_server(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(nexus=OLD_NEXUS, retiring=Former("x" * 43, 1, datetime.now(UTC) + timedelta(hours=1)))
    assert lab.plan().steps == ()


def test_a_record_beside_a_folder_of_its_name_is_not_in_it(lab: Lab) -> None:
    team = renamed(VIEWER, "team")
    lab.apply(team)
    lab.write({"domain": "y" * 16}, path="team/.registrar/lock")
    assert isinstance(lab.step(team), Keep)


def test_a_mark_for_a_path_in_another_prefix_is_left_to_that_one(lab: Lab) -> None:
    lost = lab.half_make(path="team/app")
    lab.write({"domain": "y" * 16}, path="team/.registrar/lock")
    lab.write({"client_id": "a", "client_secret": "b"}, path="team/app")
    lab.vault.settle("team/app", Facts(client_id="a", version=1, domain="y" * 16, set="theirs"), None)
    assert lab.plan().steps == ()
    assert lab.apply().exit_code == 0
    assert lab.record("team/app").current == 1
    assert lab.living() == [lost.client_id]


# -- names and paths ---------------------------------------------------------------------------------------------------


def test_only_means_a_path_before_a_name(lab: Lab) -> None:
    assert [step.path for step in lab.plan(TWIN, NAMESAKE, only=("viewer",)).steps] == ["viewer"]
    assert [step.path for step in lab.plan(TWIN, NAMESAKE, only=("Viewer",)).steps] == ["viewer-2"]


def test_only_finds_a_half_made_one_that_no_manifest_and_no_record_knows(lab: Lab) -> None:
    lab.half_make()
    assert isinstance(lab.step(only=("viewer",)), Recover)


def test_what_a_recovered_path_needs_is_not_done_to_its_namesake_again(lab: Lab) -> None:
    lab.half_make()
    lab.nexus_proxy.seen.clear()
    assert lab.apply(TWIN, NAMESAKE).exit_code == 0
    assert lab.nexus_proxy.effects().count("POST /api/v2/oauth/applications") == 2
    lab.assert_whole(TWIN, NAMESAKE)


@pytest.mark.parametrize("how", ["claimed", "deleted"])
def test_a_moved_path_is_blocked_even_while_its_old_record_is_in_disorder(lab: Lab, how: str) -> None:
    lab.apply(VIEWER)
    if how == "claimed":
        lab.vault.again("viewer", 1)
    else:
        lab.version_call("delete", 1)
    moved = dataclasses.replace(VIEWER, path="viewer-2")
    step = next(step for step in lab.plan(moved).steps if step.path == "viewer-2")
    assert isinstance(step, Blocked)
    assert "path: viewer" in step.hint


# -- beside the path's own row -----------------------------------------------------------------------------------------


def test_a_finished_mark_of_the_run_at_work_is_left_to_it(lab: Lab) -> None:
    lab.apply(VIEWER)
    (registered,) = lab.registered()
    with lab.take_lock() as lease:
        lab.by_hand.update(registered.id, {"description": str(Mark(lease.domain, lease.run, "viewer"))})
        assert isinstance(lab.step(VIEWER), Keep)


def test_an_update_tells_of_a_namesake_too(lab: Lab) -> None:
    lab.apply(VIEWER)
    stranger = lab.register()
    step = lab.step(dataclasses.replace(VIEWER, owner_email="new@example.org"))
    assert isinstance(step, Update)
    assert f"id {lab.id_of(stranger.client_id)}" in " ".join(step.notes)


def test_a_grace_ends_even_where_the_path_itself_is_blocked(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    lab.set_facts(retiring=former(old, hours=-1))
    lab.by_hand.archive(lab.id_of(facts_of(lab).client_id))
    steps = lab.plan(VIEWER).steps
    assert [type(step) for step in steps] == [Blocked, Expire]


def test_the_digest_covers_where_users_sign_in(lab: Lab) -> None:
    before = lab.plan(VIEWER).digest
    lab.target = dataclasses.replace(lab.target, frontend_url="https://elsewhere.example.org")
    assert lab.plan(VIEWER).digest != before


@pytest.mark.parametrize("how", ["in disorder", "settled"])
def test_two_records_with_one_credential_are_a_persons_to_untangle(lab: Lab, how: str) -> None:
    lab.apply(VIEWER, OTHER)
    other = lab.stored("other")
    assert other
    lab.write_credential(other)  # pasted into the wrong path
    if how == "settled":
        lab.set_facts(client_id=other.client_id, version=2)
    before = lab.registered()
    for _ in range(2):
        report = lab.apply(VIEWER, OTHER)
        viewer = next(outcome for outcome in report.outcomes if outcome.step.path == "viewer")
        assert viewer.status is Status.BLOCKED
        assert "other" in viewer.detail or "another path" in viewer.detail
        assert lab.registered() == before


def test_what_two_paths_were_given_at_once_is_told_at_both(lab: Lab) -> None:
    lab.apply(VIEWER, OTHER)
    pasted = lab.register(name="by hand")
    lab.write_credential(pasted)
    lab.write_credential(pasted, "other")
    lab.apply(VIEWER, OTHER)
    steps = lab.plan(VIEWER, OTHER).steps
    assert [type(step) for step in steps] == [Blocked, Blocked]


# -- facts alone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", [dataclasses.replace(VIEWER, protected=True), dataclasses.replace(VIEWER, description=None)]
)
def test_facts_alone_tell_a_new_protection_and_a_released_field(lab: Lab, wanted: Application) -> None:
    lab.apply(VIEWER)
    assert isinstance(from_facts(lab, wanted), Update)
    assert isinstance(lab.step(wanted), Update)


def test_facts_alone_tell_a_retire_that_stopped(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(state=State.RETIRED)
    assert not isinstance(from_facts(lab, VIEWER), Keep)


# -- what the facts remember -------------------------------------------------------------------------------------------


def test_one_that_retires_is_remembered_when_the_current_one_is_replaced(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    lab.set_facts(retiring=former(old))
    lab.by_hand.delete(lab.id_of(facts_of(lab).client_id))
    lab.apply(VIEWER)
    assert lab.proves()
    assert remembered(lab) == {old.client_id}


def test_one_that_retires_is_remembered_beside_the_one_that_a_persons_write_left_behind(lab: Lab) -> None:
    lab.apply(VIEWER)
    before = facts_of(lab).client_id
    old, by_hand = lab.register(), lab.register(name="by hand")
    lab.set_facts(retiring=former(old))
    lab.write_credential(by_hand)
    lab.apply(VIEWER)
    assert facts_of(lab).client_id == by_hand.client_id
    assert remembered(lab) == {before, old.client_id}


def test_a_claim_forgets_neither_of_two_that_are_still_to_be_archived(lab: Lab) -> None:
    lab.apply(VIEWER)
    old, older = lab.register(), lab.register()
    lab.set_facts(retiring=former(old), leaving=former(older))
    lab.vault.again("viewer", 1)
    lab.apply(VIEWER)
    assert remembered(lab) == {old.client_id, older.client_id}


def test_there_is_no_way_back_to_either_of_two_that_a_claim_left(lab: Lab) -> None:
    lab.apply(VIEWER)
    old, older = lab.register(), lab.register()
    lab.set_facts(retiring=former(old), leaving=former(older))
    lab.vault.again("viewer", 1)
    assert lab.apply(VIEWER).exit_code == 0
    facts = facts_of(lab)
    assert facts.leaving
    assert facts.retiring
    assert facts.retiring.version == 0
    (step,) = acts.back(lab.observe(VIEWER), ["viewer"], grace=timedelta(hours=1)).steps
    assert isinstance(step, Blocked)


def test_more_than_two_are_left_to_a_person(lab: Lab) -> None:
    lab.apply(VIEWER)
    old, older = lab.register(), lab.register()
    lab.set_facts(retiring=former(old), leaving=former(older))
    lab.write_credential(lab.register())
    (outcome,) = lab.apply(VIEWER).outcomes
    assert outcome.error
    assert "archive one of them in Nexus" in outcome.error.hint
    assert lab.record().current == 2, "nothing was written again"
    lab.by_hand.archive(lab.id_of(older.client_id))
    lab.apply(VIEWER)
    assert lab.record().kind is Kind.SETTLED
    assert old.client_id in remembered(lab)


def test_a_half_made_one_uses_up_no_versions_until_one_of_two_is_archived(lab: Lab) -> None:
    lab.apply(VIEWER)
    old, older = lab.register(), lab.register()
    lab.set_facts(retiring=former(old), leaving=former(older))
    lost = lab.half_make()
    for _ in range(2):
        lab.apply(VIEWER)
    assert lab.record().current <= 2
    assert remembered(lab) == {old.client_id, older.client_id}
    lab.by_hand.archive(lab.id_of(older.client_id))
    lab.apply(VIEWER)
    assert lost.client_id not in lab.living()
    assert old.client_id in remembered(lab)


def test_a_return_by_hand_is_not_archived_as_the_old_one(lab: Lab) -> None:
    lab.apply(VIEWER)
    first = lab.stored()
    assert first
    lab.write_credential(lab.register())
    lab.apply(VIEWER)
    assert facts_of(lab).client_id != first.client_id
    lab.set_facts(retiring=None, leaving=former(first, hours=-1))
    lab.write_credential(first)  # as `vault kv rollback` does
    lab.apply(VIEWER)
    assert facts_of(lab).client_id == first.client_id
    assert first.client_id not in remembered(lab)
    assert not [step for step in lab.plan(VIEWER).steps if isinstance(step, Expire)]


def test_a_claim_is_recognised_though_the_version_it_copied_cannot_be_read(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    lab.set_facts(retiring=former(old))
    lab.vault.again("viewer", 1)
    lab.version_call("delete", 1)
    lab.apply(VIEWER)
    facts = facts_of(lab)
    assert facts.retiring is None
    assert facts.leaving
    assert facts.leaving.client_id == old.client_id


def test_a_time_without_its_offset_makes_the_facts_stale_not_the_plan_fail(lab: Lab) -> None:
    lab.apply(VIEWER)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 (the point)
    lab.set_facts(retiring=Former(lab.register().client_id, 1, naive))
    assert isinstance(lab.step(VIEWER), Recover)
    lab.apply(VIEWER)
    assert lab.record().kind is Kind.SETTLED
    assert isinstance(lab.step(VIEWER), Keep)


def test_one_garbled_fact_does_not_forget_the_one_that_retires(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    lab.set_facts(retiring=former(old))
    garbled = facts_of(lab).metadata() | {"proven-at": "yesterday"}
    at = f"/metadata/{lab.target.vault_prefix}/viewer"
    lab._http.post(at, json={"custom_metadata": garbled}).raise_for_status()
    lab.apply(VIEWER)
    assert remembered(lab) == {old.client_id}


def test_the_times_of_a_credential_are_not_those_of_the_one_before(lab: Lab) -> None:
    lab.apply(VIEWER)
    earlier = datetime.now(UTC) - timedelta(hours=1)
    lab.set_facts(proven_at=earlier, rotated_at=earlier)
    new = lab.half_make()
    lab.write_credential(new)
    lab.apply(VIEWER)
    facts = facts_of(lab)
    assert facts.client_id == new.client_id
    assert earlier not in (facts.proven_at, facts.rotated_at)


def test_metadata_that_an_operator_wrote_first_neither_confuse_nor_get_lost(lab: Lab) -> None:
    theirs = {"owner": "team-x", "state": "x", "team": "x"}
    at = f"/metadata/{lab.target.vault_prefix}/viewer"
    lab._http.post(at, json={"custom_metadata": theirs}).raise_for_status()
    wanted = dataclasses.replace(VIEWER, owner_email=None)
    assert lab.apply(wanted).exit_code == 0
    assert facts_of(lab).others == (("team", "x"),)
    lab.assert_whole(wanted)


def test_a_living_application_is_not_forgotten_when_its_key_was_deleted(lab: Lab) -> None:
    lab.apply(VIEWER)
    (current,) = lab.living()
    lose_key(lab)
    lost = lab.half_make()
    for _ in range(2):
        lab.apply(VIEWER)
    assert facts_of(lab).client_id == current
    assert lab.living() == [current]
    assert lost.client_id not in lab.living()
    assert not isinstance(lab.step(VIEWER), Create)


def test_a_destroyed_secret_stays_gone_after_a_fence(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.version_call("destroy", 1)
    lab.half_make()
    lab.apply(VIEWER)
    assert lab.record().current == 2
    step = lab.step(VIEWER)
    assert isinstance(step, Blocked)
    assert "registrar rotate viewer" in step.hint


# -- a mark that is only left over -------------------------------------------------------------------------------------


def test_a_left_over_mark_does_not_cost_the_one_that_retires_its_grace(lab: Lab) -> None:
    lab.apply(VIEWER)
    old = lab.register()
    lab.set_facts(retiring=former(old))
    mark(lab, old)
    assert not isinstance(lab.plan(VIEWER).steps[0], Recover)
    lab.apply(VIEWER)
    assert old.client_id in lab.living()


@pytest.mark.parametrize("newer", ["garbage", "by hand", "half made"])
def test_a_left_over_mark_does_not_cost_the_one_that_the_facts_describe(lab: Lab, newer: str) -> None:
    lab.apply(VIEWER)
    settled = lab.stored()
    assert settled
    mark(lab, settled)  # as a finish leaves it that was lost
    if newer == "garbage":
        lab.write({"client_id": "nobody", "client_secret": "knows"})
    else:
        lab.write_credential(lab.half_make() if newer == "half made" else lab.register(name="by hand"))
    lab.apply(VIEWER)
    assert settled.client_id in lab.living(), "its secret was stored and its clients work"


def test_an_undeclared_one_that_was_archived_before_it_was_finished_is_left_in_peace(lab: Lab) -> None:
    stored = lab.half_make()
    lab.write_credential(stored)
    lab.by_hand.archive(lab.id_of(stored.client_id))
    lab.apply()
    assert lab.apply().exit_code == 0, "the credential is stored, so custody is in no doubt"


def of_set(lab: Lab, name: str) -> None:
    lab.target = dataclasses.replace(lab.target, set=name)


@pytest.mark.parametrize("stored", [True, False])
def test_a_half_made_one_stays_with_the_set_that_made_it(lab: Lab, stored: bool) -> None:
    of_set(lab, "one of two")
    mark = Mark(lab.domain(), DEAD_RUN, "viewer", set="one of two")
    lost = lab.by_hand.create({**VIEWER.declared(), "description": str(mark)})
    if stored:
        lab.write_credential(lost)
    of_set(lab, "two")
    assert lab.plan().steps == ()
    assert lab.plan(OTHER).pending != ()
    lab.apply()
    assert [one.mark for one in lab.registered()] == [mark]
    of_set(lab, "one of two")
    assert lab.apply(VIEWER).exit_code == 0
    assert facts_of(lab).set == "one of two"
    lab.assert_whole(VIEWER)


@pytest.mark.parametrize(
    "mark",
    [
        Mark(DOMAIN, DEAD_RUN, "viewer"),
        Mark(DOMAIN, DEAD_RUN, "a/b", set="of a team, 50 %", grace_s=3600),
        Mark(DOMAIN, DEAD_RUN, "viewer", abandoned=True, set="x"),
    ],
)
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    assert Mark.parse(str(mark)) == mark

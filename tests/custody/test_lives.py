"""The later life of a credential, as a person asks for it by name: rotate, back, expire, retire, restore, adopt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from registrar import acts, ports
from registrar import plan as planning
from registrar.errors import UsageError, VersionMismatch
from registrar.model import Application, Credential, Kind, State
from registrar.plan import Plan
from registrar.report import Report, Status
from registrar.secret import Secret
from registrar.steps import Adopt, Back, Blocked, Expire, Keep, Restore, Retire, Rotate, Update
from registrar.world import World
from tests.custody import proxy
from tests.custody.lab import VIEWER, Lab, renamed

DAY = timedelta(days=1)
NONE = timedelta(0)
GUARDED = dataclasses.replace(VIEWER, protected=True)

Decide = Callable[[World], Plan]


def rotate(*names: str, grace: timedelta = DAY, **options: Any) -> Decide:
    return functools.partial(acts.rotate, names=names or ("viewer",), grace=grace, **options)


def back(grace: timedelta = DAY) -> Decide:
    return functools.partial(acts.back, names=("viewer",), grace=grace)


RETIRE: Decide = functools.partial(acts.retire, names=("viewer",))
RESTORE: Decide = functools.partial(acts.restore, names=("viewer",))
ANEW: Decide = functools.partial(acts.restore, names=("viewer",), anew=True)


def adopt(client_id: str = "", **options: Any) -> Decide:
    return functools.partial(acts.adopt, name="viewer", client_id=client_id, grace=DAY, **options)


def done(report: Report, *operations: str) -> None:
    told = [(outcome.step.operation, str(outcome.status), outcome.detail) for outcome in report.outcomes]
    assert [operation for operation, _, _ in told] == list(operations), told
    assert {status for _, status, _ in told} == {"done"}, told
    assert report.exit_code == 0


def blocked(lab: Lab, decide: Decide, reason: str, hint: str, *desired: Application) -> None:
    """It is blocked for this reason, and carrying it out changes nothing."""
    (step,) = decide(lab.observe(*desired)).steps
    assert isinstance(step, Blocked), step
    assert reason in step.reason
    assert hint in step.hint
    before = (lab.registered(), lab.record().current, lab.record().facts)
    assert lab.carry_out(decide, *desired).exit_code == 1
    assert (lab.registered(), lab.record().current, lab.record().facts) == before


def credential(lab: Lab) -> Credential:
    found = lab.stored()
    assert found
    return found


def proves(lab: Lab, held: Credential) -> ports.Verdict:
    return lab.proof.prove(held, VIEWER.redirect_uri)


class TestRotate:
    def test_both_work_until_the_grace_is_over(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        report = lab.carry_out(rotate(), VIEWER)
        done(report, "rotate")
        assert old.client_id in report.outcomes[0].detail
        new = credential(lab)
        assert new.client_id != old.client_id
        assert {proves(lab, old), proves(lab, new)} == {ports.Verdict.RIGHT}
        facts = lab.record().facts
        assert facts
        assert facts.retiring
        assert facts.rotated_at
        assert (facts.client_id, facts.version, facts.retiring.client_id, facts.retiring.version) == (
            new.client_id,
            2,
            old.client_id,
            1,
        )
        assert facts.rotated_at == facts.proven_at == facts.registered_at
        assert facts.retiring.until - facts.rotated_at == DAY
        assert isinstance(lab.step(VIEWER), Keep), "nothing to do while it lasts"
        assert {r.description for r in lab.registered()} == {VIEWER.description}

    def test_the_next_apply_ends_what_is_due(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        lab.carry_out(rotate(grace=timedelta(seconds=-5)), VIEWER)
        assert [type(step) for step in lab.plan(VIEWER).pending] == [Expire]
        assert lab.apply(VIEWER).exit_code == 0
        assert lab.living() == [credential(lab).client_id]
        assert proves(lab, old) is ports.Verdict.WRONG
        facts = lab.record().facts
        assert facts
        assert (facts.retiring, facts.leaving, facts.version) == (None, None, 3)
        lab.assert_whole(VIEWER)

    def test_without_a_grace_it_ends_in_the_same_run(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        done(lab.carry_out(rotate(grace=NONE), VIEWER), "rotate", "expire")
        assert proves(lab, old) is ports.Verdict.WRONG
        assert lab.living() == [credential(lab).client_id]
        lab.assert_whole(VIEWER)

    def test_one_that_is_finished_by_the_next_run_keeps_its_promise(self, lab: Lab) -> None:
        """A leaked secret must not live for a day because the run that replaces it has died."""
        lab.apply(VIEWER)
        old = credential(lab)
        lab.vault_proxy.on("POST", "/metadata/.*/viewer$", proxy.say(403), times=9)
        assert lab.carry_out(rotate(grace=NONE), VIEWER, preflight=False).exit_code != 0
        lab.vault_proxy.clear()
        assert proves(lab, old) is ports.Verdict.RIGHT
        assert lab.apply(VIEWER).exit_code == 0
        assert proves(lab, old) is ports.Verdict.WRONG
        lab.assert_whole(VIEWER)

    def test_a_second_one_within_the_grace_ends_the_oldest_first(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        first = credential(lab)
        lab.carry_out(rotate(), VIEWER)
        second = credential(lab)
        done(lab.carry_out(rotate(), VIEWER), "expire", "rotate")
        assert proves(lab, first) is ports.Verdict.WRONG
        assert proves(lab, second) is proves(lab, credential(lab)) is ports.Verdict.RIGHT
        assert len(lab.living()) == 2

    def test_where_the_first_cannot_end_there_is_no_second(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        lab.nexus_proxy.on("PATCH", "archive=true", proxy.say(409), times=9)
        report = lab.carry_out(rotate(), VIEWER)
        assert [outcome.status for outcome in report.outcomes] == [Status.FAILED, Status.SKIPPED]
        assert len(lab.living()) == 2
        lab.nexus_proxy.on("PATCH", "archive=true", proxy.say(409), times=0)

    def test_what_is_not_managed_is_as_it_was(self, lab: Lab) -> None:
        bare = Application("viewer", "Viewer", VIEWER.redirect_uri)
        lab.apply(bare)
        (registered,) = lab.registered()
        lab.by_hand.update(registered.id, {"description": "by hand", "base_url": "https://by.hand.example.org"})
        done(lab.carry_out(rotate(), bare), "rotate")
        assert {(r.description, r.base_url) for r in lab.registered()} == {("by hand", "https://by.hand.example.org")}
        assert isinstance(lab.step(bare), Keep), "and is managed no more than before"

    def test_an_undeclared_one(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        before = lab.record().facts
        assert before
        done(lab.carry_out(rotate()), "rotate")
        facts = lab.record().facts
        assert facts
        assert (facts.name, facts.fingerprint) == (before.name, before.fingerprint)
        assert isinstance(lab.step(VIEWER), Keep)

    def test_drift_is_mended_on_both(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        wanted = dataclasses.replace(VIEWER, owner_email="new@example.org")
        step = lab.step(wanted)
        assert isinstance(step, Update)
        assert len(step.edits) == 2
        done(lab.apply(wanted), "update")
        assert {r.owner_email for r in lab.registered()} == {"new@example.org"}

    def test_protected_ones_only_by_name(self, lab: Lab) -> None:
        other = renamed(VIEWER, "other")
        lab.apply(GUARDED, other)
        world = lab.observe(GUARDED, other)
        every = acts.rotate(world, (), grace=DAY, every=True)
        assert [step.path for step in every.steps] == ["other"]
        named = acts.rotate(world, ("viewer",), grace=DAY)
        assert [step.path for step in named.steps] == ["viewer"]

    def test_only_what_is_older(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        world = lab.observe(VIEWER)
        assert not acts.rotate(world, (), grace=DAY, older_than=timedelta(hours=1)).steps
        assert acts.rotate(world, (), grace=DAY, older_than=timedelta(seconds=-5)).steps
        assert not acts.rotate(world, ("viewer",), grace=DAY, older_than=timedelta(hours=1)).steps

    def test_a_credential_that_nexus_does_not_take_is_never_stored(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        before = (lab.registered(), lab.record().facts, lab.record().current)
        wrong = b'{"error":"invalid_grant","error_description":"Token exchange attempt with invalid client_secret for"}'
        lab.nexus_proxy.on("POST", "/oauth/exchange", proxy.say(400, wrong))
        report = lab.carry_out(rotate(), VIEWER)
        assert report.exit_code == 1
        assert "does not take" in report.outcomes[0].detail
        assert (lab.registered(), lab.record().facts, lab.record().current) == before

    def test_a_proof_that_cannot_be_had_is_said(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.nexus_proxy.on("GET", "/oauth/authorize", proxy.say(503), times=99)
        stages: list[str] = []
        report = lab.carry_out(rotate(), VIEWER, on_event=lambda event: stages.append(event.stage))
        done(report, "rotate")
        assert "not proven" in stages
        facts = lab.record().facts
        assert facts
        assert facts.proven_at is None

    def test_a_destroyed_secret_is_replaced_and_its_registration_leaves(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        lab.version_call("destroy", 1)
        done(lab.carry_out(rotate(), VIEWER), "rotate")
        facts = lab.record().facts
        assert facts
        assert facts.leaving
        assert (facts.retiring, facts.leaving.client_id) == (None, old.client_id)
        blocked(lab, back(), "claimed for archiving", "creds history", VIEWER)

    def test_what_cannot_be_rotated(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        (registered,) = lab.registered()
        lab.by_hand.archive(registered.id)
        blocked(lab, rotate(), "archived", "registrar restore viewer", VIEWER)
        lab.by_hand.unarchive(registered.id)
        lab.version_call("delete", 1)
        blocked(lab, rotate(), "deleted", "registrar apply", VIEWER)
        lab.version_call("undelete", 1)
        lab.by_hand.delete(registered.id)
        blocked(lab, rotate(), "gone", "registrar plan --only viewer", VIEWER)

    def test_a_record_that_changed_meanwhile(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        before = lab.registered()

        def decide(world: World) -> Plan:
            todo = rotate()(world)
            lab.write_credential(Credential("somebody", Secret("x" * 86)))
            return todo

        report = lab.carry_out(decide, VIEWER)
        assert report.exit_code == 1
        assert lab.registered() == before


class TestBack:
    def test_the_old_one_is_current_again(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        lab.carry_out(rotate(), VIEWER)
        new = credential(lab)
        (step,) = back()(lab.observe(VIEWER)).steps
        assert isinstance(step, Back)
        done(lab.carry_out(back(), VIEWER), "back")
        assert credential(lab) == old
        facts = lab.record().facts
        assert facts
        assert facts.retiring
        assert (facts.version, facts.retiring.client_id, facts.retiring.version) == (3, new.client_id, 2)
        assert proves(lab, new) is ports.Verdict.RIGHT
        assert isinstance(lab.step(VIEWER), Keep)
        done(lab.carry_out(back(), VIEWER), "back")
        assert credential(lab) == new, "and once more"

    def test_without_a_rotation(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        blocked(lab, back(), "no rotation is in its grace", "registrar creds history viewer", VIEWER)

    def test_its_registration_was_archived(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        lab.carry_out(rotate(), VIEWER)
        lab.by_hand.archive(lab.id_of(old.client_id))
        blocked(lab, back(), "archived", "registrar rotate viewer", VIEWER)

    def test_its_version_is_gone(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        lab.version_call("destroy", 1)
        blocked(lab, back(), "version 1", "registrar rotate viewer", VIEWER)


class TestExpire:
    def test_one_that_was_archived_by_hand_is_settled_without_a_claim(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        lab.carry_out(rotate(), VIEWER)
        lab.by_hand.archive(lab.id_of(old.client_id))
        _, step = lab.plan(VIEWER).steps
        assert isinstance(step, Expire)
        lab.apply(VIEWER)
        assert lab.record().current == 2
        lab.assert_whole(VIEWER)

    def test_a_claim_that_stopped_leaves_no_way_back(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = credential(lab)
        lab.carry_out(rotate(), VIEWER)
        lab.nexus_proxy.on("PATCH", "archive=true", proxy.say(409), times=9)
        assert lab.carry_out(rotate(), VIEWER).exit_code == 1
        lab.apply(VIEWER)
        facts = lab.record().facts
        assert facts
        assert facts.leaving
        assert (facts.retiring, facts.leaving.client_id) == (None, old.client_id)
        blocked(lab, back(), "claimed", "creds history", VIEWER)

    @pytest.mark.parametrize("verb", ["delete", "destroy"])
    def test_before_a_retire_of_what_somebody_withdrew_in_its_grace(self, lab: Lab, verb: str) -> None:
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        lab.version_call(verb, 2)
        done(lab.carry_out(RETIRE, VIEWER), "expire", "retire")
        assert (lab.living(), lab.record().kind, lab.record().base.retiring) == ([], Kind.WITHDRAWN, None)
        assert not lab.plan().steps

    @pytest.mark.parametrize("verb", ["delete", "destroy"])
    def test_before_a_retire_that_somebody_began_by_hand_in_its_grace(self, lab: Lab, verb: str) -> None:
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        lab.set_facts("viewer", state=State.RETIRED)
        lab.version_call(verb, 2)
        done(lab.apply(VIEWER), "expire", "retire")
        assert (lab.living(), lab.record().kind, lab.record().base.retiring) == ([], Kind.WITHDRAWN, None)

    def test_before_a_rotate_of_what_somebody_destroyed_in_its_grace(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        first = credential(lab)
        lab.carry_out(rotate(), VIEWER)
        second = credential(lab)
        lab.version_call("destroy", 2)
        blocked(lab, planning.plan, "destroyed", "registrar rotate viewer", VIEWER)
        assert proves(lab, first) is ports.Verdict.RIGHT, "the last one that works stays until somebody asks"
        done(lab.carry_out(rotate(), VIEWER), "expire", "rotate")
        assert lab.living() == [second.client_id, credential(lab).client_id]
        assert proves(lab, credential(lab)) is ports.Verdict.RIGHT
        blocked(lab, back(), "claimed for archiving", "creds history", VIEWER)

    def test_a_late_return_to_the_one_that_was_archived_is_refused(self, lab: Lab) -> None:
        """The empty version is what refuses it, as a claim does where there is something to claim."""
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        lab.version_call("delete", 2)
        seen = lab.record()
        lab.nexus_proxy.on("PATCH", "archive=true", proxy.say(409), times=9)
        assert lab.carry_out(RETIRE, VIEWER).exit_code == 1, "it stops before the fence of the Retire"
        with pytest.raises(VersionMismatch):
            lab.vault.store("viewer", Credential("late", Secret("x" * 86)), cas=seen.current)


class TestRetireAndRestore:
    def test_both_sides_go_and_come_back(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        held = credential(lab)
        done(lab.carry_out(RETIRE, VIEWER), "retire")
        assert (lab.living(), lab.stored(), lab.record().kind) == ([], None, Kind.WITHDRAWN)
        step = lab.step(VIEWER)
        assert isinstance(step, Blocked)
        assert "registrar restore viewer" in step.hint
        assert not lab.plan().steps, "undeclared, it is left alone"
        (again,) = RETIRE(lab.observe(VIEWER)).steps
        assert isinstance(again, Keep)
        done(lab.carry_out(RESTORE, VIEWER), "restore")
        assert credential(lab) == held
        lab.assert_whole(VIEWER)
        (again,) = RESTORE(lab.observe(VIEWER)).steps
        assert isinstance(again, Keep)

    def test_what_a_rotation_left_behind_goes_first(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.carry_out(rotate(), VIEWER)
        done(lab.carry_out(RETIRE, VIEWER), "expire", "retire")
        assert lab.living() == []
        facts = lab.record().facts
        assert facts
        assert (facts.retiring, facts.leaving, facts.state) == (None, None, State.RETIRED)

    def test_anew_at_the_same_path(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        held = credential(lab)
        blocked(lab, ANEW, "not retired", "registrar rotate viewer", VIEWER)
        lab.carry_out(RETIRE, VIEWER)
        done(lab.carry_out(ANEW, VIEWER), "rotate")
        assert credential(lab).client_id != held.client_id
        assert len(lab.registered()) == 2
        lab.assert_whole(VIEWER)

    def test_its_application_is_gone(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.carry_out(RETIRE, VIEWER)
        (registered,) = lab.registered()
        lab.by_hand.unarchive(registered.id)
        lab.by_hand.delete(registered.id)
        blocked(lab, RESTORE, "gone", "registrar restore viewer --rotate", VIEWER)
        done(lab.carry_out(ANEW, VIEWER), "rotate")
        lab.assert_whole(VIEWER)

    def test_its_secret_is_destroyed(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.carry_out(RETIRE, VIEWER)
        lab.version_call("destroy", lab.record().current)
        blocked(lab, RESTORE, "destroyed", "--rotate", VIEWER)

    def test_somebody_archived_it(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.by_hand.archive(lab.registered()[0].id)
        (step,) = RESTORE(lab.observe(VIEWER)).steps
        assert isinstance(step, Restore)
        done(lab.carry_out(RESTORE, VIEWER), "restore")
        lab.assert_whole(VIEWER)

    def test_prune_retires_what_is_no_longer_declared(self, lab: Lab) -> None:
        other = renamed(VIEWER, "other")
        lab.apply(VIEWER, other)
        lab.carry_out(rotate(), VIEWER, other)
        steps = lab.plan(other, prune=True).pending
        assert [type(step) for step in steps] == [Expire, Retire]
        done_steps = lab.apply(other, options=planning.Options(prune=True))
        assert [o.step.operation for o in done_steps.outcomes if o.status is Status.DONE] == ["expire", "retire"]
        assert len(lab.living()) == 1
        lab.assert_whole(other)

    def test_prune_leaves_what_is_protected(self, lab: Lab) -> None:
        lab.apply(GUARDED)
        step = lab.step(prune=True)
        assert isinstance(step, Blocked)
        assert step.hint == "registrar retire viewer"
        done(lab.carry_out(RETIRE), "retire")


class TestAdopt:
    def test_with_its_secret(self, lab: Lab) -> None:
        held = lab.register(owner_email="old@example.org")
        (step,) = adopt(held.client_id)(lab.observe(VIEWER)).steps
        assert isinstance(step, Adopt)
        done(lab.carry_out(adopt(held.client_id), VIEWER, credentials={"viewer": held}), "adopt")
        assert credential(lab) == held
        lab.assert_whole(VIEWER)

    def test_a_wrong_secret_is_never_stored(self, lab: Lab) -> None:
        held = lab.register()
        wrong = Credential(held.client_id, Secret("x" * 86))
        report = lab.carry_out(adopt(held.client_id), VIEWER, credentials={"viewer": wrong})
        assert report.exit_code == 1
        assert "does not take that secret" in report.outcomes[0].detail
        assert lab.record().kind is Kind.NONE

    def test_what_somebody_put_there_by_hand(self, lab: Lab) -> None:
        held = lab.register()
        lab.write_credential(held)
        step = lab.step(VIEWER)
        assert isinstance(step, Blocked)
        done(lab.carry_out(adopt(held.client_id), VIEWER), "adopt")
        assert lab.record().current == 1, "it is stored already"
        lab.assert_whole(VIEWER)

    def test_somebodys_data_is_never_written_over(self, lab: Lab) -> None:
        held = lab.register()
        lab.write({"api": "of somebody"})
        report = lab.carry_out(adopt(held.client_id), VIEWER, credentials={"viewer": held})
        assert report.exit_code == 1
        assert lab.read_version(1) == {"api": "of somebody"}
        assert lab.record().current == 1

    def test_without_its_secret(self, lab: Lab) -> None:
        held = lab.register()
        done(lab.carry_out(adopt(held.client_id, anew=True), VIEWER), "rotate")
        facts = lab.record().facts
        assert facts
        assert facts.leaving
        assert facts.leaving.client_id == held.client_id
        assert credential(lab).client_id != held.client_id
        assert isinstance(lab.step(VIEWER), Keep)
        assert proves(lab, held) is ports.Verdict.RIGHT, "until the grace is over"

    def test_from_another_set(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        lab.set_facts(set="others")
        step = lab.step(VIEWER)
        assert isinstance(step, Blocked)
        assert "--take-over" in step.hint
        before = lab.record().facts
        done(lab.carry_out(adopt(take_over=True), VIEWER), "adopt")
        facts = lab.record().facts
        assert facts
        assert before
        assert (facts.set, facts.registered_at) == ("tests", before.registered_at)
        lab.assert_whole(VIEWER)

    def test_one_that_stopped_before_its_store_is_undone(self, lab: Lab) -> None:
        held = lab.register()
        lab.vault_proxy.on("POST", "/data/.*viewer", proxy.say(503, b'{"errors":["Vault is sealed"]}'))
        lab.carry_out(adopt(held.client_id), VIEWER, credentials={"viewer": held})
        facts = lab.record().facts
        assert facts
        assert facts.state is State.ADOPTING
        lab.apply(VIEWER)
        step = lab.step(VIEWER)
        assert isinstance(step, Blocked)
        assert "registered by hand" in step.reason
        done(lab.carry_out(adopt(held.client_id), VIEWER, credentials={"viewer": held}), "adopt")
        lab.assert_whole(VIEWER)

    def test_one_whose_store_lands_late_is_finished(self, lab: Lab) -> None:
        held = lab.register()
        lab.vault_proxy.on("POST", "/data/.*viewer", proxy.keep_for_later)
        lab.carry_out(adopt(held.client_id), VIEWER, credentials={"viewer": held})
        lab.apply(VIEWER)
        lab.vault_proxy.land()
        lab.apply(VIEWER)
        assert credential(lab) == held
        lab.assert_whole(VIEWER)

    def test_one_that_stored_nothing_archives_nothing(self, lab: Lab) -> None:
        stranger = lab.register(renamed(VIEWER, "stranger"))
        lab.apply(VIEWER)
        lab.set_facts(client_id=stranger.client_id, version=0, state=State.ADOPTING)
        lab.apply(VIEWER)
        facts = lab.record().facts
        assert facts
        assert (facts.client_id, facts.retiring, facts.leaving) == (credential(lab).client_id, None, None)
        assert stranger.client_id in lab.living()

    def test_what_cannot_be_adopted(self, lab: Lab) -> None:
        other = renamed(VIEWER, "other")
        lab.apply(other)
        blocked(lab, adopt("nobody"), "no application with the client id", "registrar export", VIEWER, other)
        taken = lab.record("other").base.client_id
        blocked(lab, adopt(taken), "the application of other", "registrar show other", VIEWER, other)
        held = lab.register()
        lab.by_hand.archive(lab.id_of(held.client_id))
        blocked(lab, adopt(held.client_id), "archived", "unarchive", VIEWER, other)
        half = lab.half_make()
        (step,) = adopt(half.client_id)(lab.observe(VIEWER)).steps
        assert step.operation == "recover"
        with pytest.raises(UsageError, match="declared in no manifest"):
            adopt(held.client_id)(lab.observe())


class TestAsked:
    @pytest.mark.parametrize("decide", [rotate(), back(), RETIRE, RESTORE, ANEW])
    def test_what_was_interrupted_is_recovered_first(self, lab: Lab, decide: Decide) -> None:
        lab.apply(VIEWER)
        lab.half_make()
        (step,) = decide(lab.observe(VIEWER)).steps
        assert step.operation == "recover"
        report = lab.carry_out(decide, VIEWER)
        assert not lab.observe(VIEWER).marked
        assert report.outcomes[0].status is Status.DONE

    @pytest.mark.parametrize("decide", [rotate(), back(), RETIRE, RESTORE, ANEW])
    def test_nothing_of_another_set_is_touched(self, lab: Lab, decide: Decide) -> None:
        lab.apply(VIEWER)
        lab.set_facts(set="others")
        blocked(lab, decide, "belongs to the set others", "--take-over", VIEWER)

    @pytest.mark.parametrize("decide", [rotate(), RETIRE, RESTORE, ANEW])
    def test_what_has_no_credential(self, lab: Lab, decide: Decide) -> None:
        lab.domain()
        (step,) = decide(lab.observe(VIEWER)).steps
        assert isinstance(step, Blocked)
        assert lab.carry_out(decide, VIEWER).exit_code == 1
        assert not lab.registered()

    def test_a_rotation_is_approved_by_its_digest(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        first = rotate()(lab.observe(VIEWER))
        (step,) = first.steps
        assert isinstance(step, Rotate)
        assert step.breaks_clients
        assert rotate()(lab.observe(VIEWER)).digest == first.digest
        lab.write_credential(credential(lab))
        assert rotate()(lab.observe(VIEWER)).digest != first.digest

"""Facts of a dead run that land over newer ones, since metadata has no check-and-set: what is stored decides."""

from __future__ import annotations

import dataclasses
import functools
from datetime import timedelta

import pytest

from registrar import acts
from registrar.model import Facts, Kind, Mark, Registered, State
from registrar.steps import Blocked, Keep, Recover
from registrar.world import formers
from tests.custody.lab import DEAD_RUN, VIEWER, Lab

DAY = timedelta(days=1)
ROTATE = functools.partial(acts.rotate, names=("viewer",), grace=DAY)
RETIRE = functools.partial(acts.retire, names=("viewer",))
RESTORE = functools.partial(acts.restore, names=("viewer",))


def facts(lab: Lab) -> Facts:
    found = lab.record().facts
    assert found
    return found


def land(lab: Lab, late: Facts) -> None:
    """These facts arrive now, whatever there is."""
    lab.vault.settle("viewer", late, None)


def current(lab: Lab) -> Registered:
    return next(one for one in lab.registered() if one.client_id == facts(lab).client_id)


def leave_mark(lab: Lab, client_id: str) -> None:
    """As a run does that stops before it finishes."""
    lab.by_hand.update(lab.id_of(client_id), {"description": str(Mark(lab.domain(), DEAD_RUN, "viewer"))})


@pytest.mark.parametrize("rotations", [0, 1])
def test_the_client_of_a_version_since_the_one_described_is_an_old_one_too(lab: Lab, rotations: int) -> None:
    late = []
    lab.apply(VIEWER)
    for _ in range(2):
        late.append(facts(lab))
        lab.carry_out(ROTATE, VIEWER)
    before = facts(lab).retiring
    assert before
    newest = facts(lab).client_id
    land(lab, late[rotations])
    assert isinstance(lab.step(VIEWER), Recover)
    assert lab.apply(VIEWER).exit_code == 0
    assert facts(lab).client_id == newest
    assert [old.client_id for old in formers(facts(lab))] == [before.client_id]
    assert facts(lab).retiring is None, "it may have been claimed for archiving, so there is no way back"


def test_there_is_no_way_back_to_a_version_that_is_gone(lab: Lab) -> None:
    lab.apply(VIEWER)
    before = facts(lab).client_id
    lab.version_call("destroy", 1)
    lab.write_credential(lab.half_make())  # a rotation that died before it settled
    assert lab.apply(VIEWER).exit_code == 0
    left = facts(lab).leaving
    assert left
    assert (facts(lab).retiring, left.client_id) == (None, before)


def test_only_what_is_called_like_the_record_was_ours(lab: Lab) -> None:
    lab.apply(VIEWER)
    theirs = lab.register(name="Somebody's")
    ours = lab.stored()
    assert ours
    lab.write_credential(theirs)
    lab.write_credential(ours)
    assert lab.apply(VIEWER).exit_code == 0
    assert formers(facts(lab)) == ()
    assert theirs.client_id in lab.living()


def test_facts_that_land_after_a_recovery_describe_an_old_version(lab: Lab) -> None:
    lab.apply(VIEWER)
    retired = dataclasses.replace(facts(lab), version=2, state=State.RETIRED)  # a Retire dies between claim and facts
    lab.vault.again("viewer", 1)
    assert lab.apply(VIEWER).exit_code == 0
    land(lab, retired)
    assert lab.apply(VIEWER).exit_code == 0
    assert facts(lab).state is State.REGISTERED
    lab.assert_whole(VIEWER)


def test_a_retire_that_stopped_goes_on_after_a_fence(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.set_facts(state=State.RETIRED)
    lost = lab.half_make()
    assert lab.apply(VIEWER).exit_code == 1, "what was approved is a Recover"
    assert lab.apply(VIEWER).exit_code == 0
    assert lost.client_id not in {one.client_id for one in lab.registered()}
    assert facts(lab).state is State.RETIRED
    assert lab.record().kind is Kind.WITHDRAWN
    assert current(lab).archived


class TestOvertaken:
    """The newest version is deleted, and the facts describe an older one that is not."""

    @pytest.fixture(autouse=True)
    def _overtaken(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        before = facts(lab)
        assert lab.carry_out(RETIRE, VIEWER).exit_code == 0
        land(lab, before)
        lab.by_hand.unarchive(current(lab).id)

    @pytest.mark.parametrize("decide", [ROTATE, RETIRE, RESTORE])
    def test_a_person_says_what_is_meant(self, lab: Lab, decide: functools.partial[object]) -> None:
        (step,) = decide(lab.observe(VIEWER)).steps  # type: ignore[attr-defined]
        assert isinstance(step, Blocked)
        assert isinstance(lab.step(VIEWER), Blocked)
        assert lab.apply(VIEWER).exit_code == 1
        assert lab.stored() is None
        assert "undelete -versions=2" in step.hint

    def test_the_first_way_on(self, lab: Lab) -> None:
        lab.version_call("undelete", 2)
        assert lab.apply(VIEWER).exit_code == 0
        lab.assert_whole(VIEWER)

    def test_the_other_way_on(self, lab: Lab) -> None:
        lab.version_call("delete", 1)
        assert lab.carry_out(RETIRE, VIEWER).exit_code == 0
        assert current(lab).archived
        assert lab.carry_out(RESTORE, VIEWER).exit_code == 0
        lab.assert_whole(VIEWER)


class TestEmpty:
    """Facts that say empty name the version of their fence; whatever is newer, they do not speak of."""

    @pytest.fixture
    def late(self, lab: Lab) -> Facts:
        lab.half_make()
        assert lab.apply(VIEWER).exit_code == 0
        lab.assert_whole(VIEWER)
        return Facts(version=1, set="tests", nexus=lab.target.nexus_url, domain=lab.domain(), state=State.EMPTY)

    def test_over_what_is_in_use(self, lab: Lab, late: Facts) -> None:
        held = lab.stored()
        land(lab, late)
        assert isinstance(lab.step(VIEWER), Recover)
        assert lab.apply(VIEWER).exit_code == 0
        assert lab.stored() == held
        lab.assert_whole(VIEWER)

    def test_over_what_is_retired(self, lab: Lab, late: Facts) -> None:
        assert lab.carry_out(RETIRE, VIEWER).exit_code == 0
        land(lab, late)
        assert isinstance(lab.step(VIEWER), Recover)
        report = lab.apply(VIEWER)
        assert report.exit_code == 1
        assert "undelete -versions=" in report.outcomes[0].step.hint  # type: ignore[union-attr]
        assert lab.record().deleted(lab.record().current), "it was looked at, and is withdrawn again"
        assert lab.living() == []

    def test_over_those_of_a_newer_fence(self, lab: Lab) -> None:
        """Two runs fence an empty path, one after the other, and the facts of the first come last."""
        first = lab.half_make()
        assert lab.apply().exit_code == 0
        lab.half_make()
        assert lab.apply().exit_code == 0
        newer = facts(lab)
        assert (newer.state, newer.version) == (State.EMPTY, lab.record().current)
        land(lab, dataclasses.replace(newer, version=newer.version - 1))
        assert lab.record().late_fence
        assert isinstance(lab.step(VIEWER), Recover)
        assert lab.apply(VIEWER).exit_code == 0
        assert first.client_id not in lab.living()
        lab.assert_whole(VIEWER)

    def test_while_the_older_version_was_never_closed(self, lab: Lab) -> None:
        """As before, but the run before died between its empty version and the deletion of that."""
        lab.half_make()
        assert lab.apply().exit_code == 0
        lab.half_make()
        assert lab.apply().exit_code == 0
        lab.version_call("undelete", 1)
        land(lab, dataclasses.replace(facts(lab), version=1))
        assert lab.record().overtaken
        assert lab.apply(VIEWER).exit_code == 0
        lab.assert_whole(VIEWER)


class TestLeftOverMarks:
    def test_are_cleared_before_a_rotation(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        leave_mark(lab, facts(lab).client_id)
        report = lab.carry_out(ROTATE, VIEWER)
        assert [outcome.step.operation for outcome in report.outcomes] == ["recover", "rotate"]
        assert {one.description for one in lab.registered()} == {VIEWER.description}

    def test_of_an_old_one_are_cleared_too(self, lab: Lab) -> None:
        lab.apply(VIEWER)
        old = facts(lab).client_id
        lab.carry_out(ROTATE, VIEWER)
        leave_mark(lab, old)
        (step,) = acts.back(lab.observe(VIEWER), ["viewer"], grace=DAY).steps
        assert isinstance(step, Recover)
        report = lab.carry_out(functools.partial(acts.back, names=("viewer",), grace=DAY), VIEWER)
        assert [outcome.step.operation for outcome in report.outcomes] == ["recover", "back"]
        assert old in lab.living()
        assert isinstance(lab.step(VIEWER), Keep)


class TestAdoptionOverAFence:
    """An adoption died before its store, its facts landed after a fence: the application is nobody's yet."""

    def test_goes_on_and_is_never_taken_for_ours(self, lab: Lab) -> None:
        lab.half_make()
        lab.apply()
        by_hand = lab.register()
        lab.set_facts(state=State.ADOPTING, client_id=by_hand.client_id, version=0)
        assert lab.record().kind is Kind.WITHDRAWN
        for decide in (ROTATE, RETIRE, RESTORE):
            (step,) = decide(lab.observe(VIEWER)).steps
            assert isinstance(step, Blocked)
            assert "adopt" in step.hint
        assert lab.apply(VIEWER).exit_code == 1
        adopt = functools.partial(acts.adopt, name="viewer", client_id=by_hand.client_id, grace=DAY)
        assert lab.carry_out(adopt, VIEWER, credentials={"viewer": by_hand}).exit_code == 0
        lab.assert_whole(VIEWER)


def test_what_a_fence_leaves_is_no_application(lab: Lab) -> None:
    lab.half_make()
    assert lab.apply().exit_code == 0
    todo = lab.plan()
    assert lab.record().kind is Kind.EMPTY
    assert (todo.steps, todo.left_alone, todo.managed) == ((), 0, 0)

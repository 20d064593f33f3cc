"""Requests whose answer never comes, or that arrive late: nothing is lost, doubled, or somebody else's."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from registrar.errors import CustodyError, LeaseLost
from registrar.model import Kind, State
from registrar.report import Status
from registrar.steps import Create, Keep, Recover
from tests.custody import proxy
from tests.custody.lab import VIEWER, Lab, renamed

CREATE = "/oauth/applications$"
DATA = "/data/.*/viewer$"
FACTS = "/metadata/.*/viewer$"
OTHER = renamed(VIEWER, "other")
NOW = formatdate(usegmt=True)


# -- create ------------------------------------------------------------------------------------------------------------


def test_the_order_of_effects(lab: Lab) -> None:
    lab.domain()
    effects: list[str] = []
    lab.nexus_proxy.before = lambda e: effects.append(f"nexus {e.method}") if e.method != "GET" else None
    lab.vault_proxy.before = lambda e: (
        effects.append(f"vault {e.path.split('/')[3]}") if e.method != "GET" and e.path.endswith("viewer") else None
    )
    lab.apply(VIEWER)
    assert effects[-4:] == ["nexus POST", "vault data", "vault metadata", "nexus PUT"]


def test_an_application_is_marked_from_the_first_moment(lab: Lab) -> None:
    seen: list[str] = []
    lab.nexus_proxy.after = lambda exchange, _answer: (
        seen.extend(r.description for r in lab.registered()) if exchange.method == "POST" else None
    )
    lab.apply(VIEWER)
    domain = lab.record().facts
    assert domain
    assert len(seen) == 1
    assert seen[0].startswith(f"registrar/1 {domain.domain} ")
    assert seen[0].endswith(" viewer of tests being registered; if this stays: registrar recover")


def test_a_create_that_never_arrived_is_tried_once_more_as_another_run(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.lose)
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_create_whose_answer_is_lost_is_found_and_removed(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.lose_answer)
    stages: list[str] = []
    assert lab.apply(VIEWER, on_event=lambda event: stages.append(event.stage)).exit_code == 0
    assert stages[:3] == ["in doubt", "removed", "registered"]
    assert len(lab.registered()) == 1
    lab.assert_whole(VIEWER)


def test_a_create_that_is_unknown_twice_is_a_question_of_custody(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.keep_for_later, times=2)
    report = lab.apply(VIEWER)
    assert report.exit_code == CustodyError.exit_code
    (outcome,) = report.outcomes
    assert isinstance(outcome.error, CustodyError)
    assert "Viewer" in outcome.error.message
    assert outcome.error.hint == "registrar recover"
    # both arrive after the run is over, as Nexus finishes a create whose client has left
    assert [answer.status for answer in lab.nexus_proxy.land()] == [200, 200]
    assert isinstance(lab.step(VIEWER), Recover)
    assert lab.apply(VIEWER).exit_code == 0
    assert len(lab.registered()) == 1
    lab.assert_whole(VIEWER)


def test_a_late_create_of_this_run_is_swept_at_its_end(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.keep_for_later)

    def arrive(exchange: proxy.Exchange, _answer: proxy.Answer) -> None:
        if exchange.path.endswith("/viewer"):
            lab.nexus_proxy.land()

    lab.vault_proxy.after = arrive
    assert lab.apply(VIEWER).exit_code == 0
    assert len(lab.registered()) == 1
    lab.assert_whole(VIEWER)


def test_a_500_may_have_made_an_application(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.say(500, b"boom"), times=2)
    assert lab.apply(VIEWER).exit_code == CustodyError.exit_code
    assert lab.registered() == ()


def test_a_refused_create_made_nothing_and_is_not_sent_again(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.say(400, b'{"title":"no"}'))
    report = lab.apply(VIEWER, OTHER)
    assert [outcome.status for outcome in report.outcomes] == [Status.DONE, Status.FAILED] or [
        outcome.status for outcome in report.outcomes
    ] == [Status.FAILED, Status.DONE]
    assert report.exit_code == 1
    assert lab.nexus_proxy.effects().count("POST /api/v2/oauth/applications") == 2
    lab.apply(VIEWER, OTHER)
    lab.assert_whole(OTHER, VIEWER)


# -- store -------------------------------------------------------------------------------------------------------------


def sent_twice(forwarding: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
    """As some proxies do with a POST: the second one is refused, since the first one landed."""
    forwarding.forward(exchange)
    return forwarding.forward(exchange)


@pytest.mark.parametrize("stale_answers", [1, 2])
def test_a_standby_that_lags_does_not_make_a_stored_credential_look_lost(lab: Lab, stale_answers: int) -> None:
    """OpenBao's standbys answer reads a moment behind, so the look after a refused store may show what was before."""
    lab.domain()
    lab.vault_proxy.on("POST", DATA, sent_twice)
    lab.vault_proxy.on("GET", FACTS, proxy.say(404, b'{"errors":[]}', Date=NOW), times=stale_answers)
    assert lab.apply(VIEWER, preflight=False).exit_code == 0
    assert lab.record().current == 1
    lab.assert_whole(VIEWER)


def test_a_standby_that_lags_for_long_costs_no_credential(lab: Lab) -> None:
    lab.domain()
    lab.vault_proxy.on("POST", DATA, sent_twice)
    lab.vault_proxy.on("GET", FACTS, proxy.say(404, b'{"errors":[]}', Date=NOW), times=99)
    report = lab.apply(VIEWER)
    assert report.exit_code == CustodyError.exit_code
    assert "Vault lags" in report.outcomes[0].detail
    (registered,) = lab.registered()
    assert registered.mark, "the application whose credential is stored was not touched"
    lab.vault_proxy._rules.clear()
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.living() == [registered.client_id]
    lab.assert_whole(VIEWER)


def test_a_person_writes_between_plan_and_store(lab: Lab) -> None:
    def write(exchange: proxy.Exchange, _answer: proxy.Answer) -> None:
        if exchange.method == "POST" and exchange.path.endswith("/applications"):
            lab.write({"password": "x"})

    lab.nexus_proxy.after = write
    report = lab.apply(VIEWER)
    assert report.exit_code == 1
    assert lab.registered() == ()
    assert lab.read_version(1) == {"password": "x"}
    assert lab.record().current == 1


def test_a_store_that_never_arrived_is_fenced_and_a_late_one_is_refused(lab: Lab) -> None:
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    report = lab.apply(VIEWER)
    assert report.exit_code == 1
    assert lab.registered() == (), "the application is dropped, after the fence"
    (late,) = lab.vault_proxy.land()
    assert late.status == 400
    assert b"check-and-set" in late.body
    record = lab.record()
    assert record.kind is Kind.EMPTY
    assert record.facts
    assert record.facts.state is State.EMPTY
    assert isinstance(lab.step(VIEWER), Create)
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_late_store_after_recover_is_refused(lab: Lab) -> None:
    credential = lab.half_make()
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    with pytest.raises(Exception):  # noqa: B017 (the dead run's own store, whose answer nobody waits for)
        lab.vault.store("viewer", credential, cas=0)
    assert lab.apply(VIEWER).exit_code == 0
    (late,) = lab.vault_proxy.land()
    assert late.status == 400
    lab.assert_whole(VIEWER)
    assert credential.client_id not in lab.living()


def test_a_store_whose_answer_is_lost_is_read_again(lab: Lab) -> None:
    lab.vault_proxy.on("POST", DATA, proxy.lose_answer)
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.record().current == 1, "no fence, no second registration"
    lab.assert_whole(VIEWER)


def test_a_store_in_doubt_with_vault_away_touches_nothing(lab: Lab) -> None:
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    lab.vault_proxy.on("GET", FACTS, proxy.say(503, b'{"errors":["Vault is sealed"]}'), times=99)
    report = lab.apply(VIEWER)
    assert report.exit_code == CustodyError.exit_code
    (registered,) = lab.registered()
    assert registered.client_id in report.outcomes[0].detail
    assert registered.mark, "its mark stays"
    # the store lands late, while nobody runs: the application was not touched, so its credential is good
    assert [answer.status for answer in lab.vault_proxy.land()] == [200]
    lab.vault_proxy._rules.clear()
    assert isinstance(lab.step(VIEWER), Recover)
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.living() == [registered.client_id]
    lab.assert_whole(VIEWER)


def test_a_store_over_a_deleted_application_in_doubt_is_fenced_with_the_old_data(lab: Lab) -> None:
    lab.apply(VIEWER)
    before = lab.stored()
    lab.by_hand.delete(lab.registered()[0].id)
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    report = lab.apply(VIEWER)
    assert report.exit_code == 1
    assert lab.registered() == ()
    assert lab.record().kind is Kind.SETTLED
    assert lab.stored() == before
    assert [answer.status for answer in lab.vault_proxy.land()] == [400]
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_the_first_error_is_reported_when_the_drop_fails_too(lab: Lab) -> None:
    lab.vault_proxy.on("POST", DATA, proxy.say(403, b'{"errors":["permission denied"]}'))
    lab.nexus_proxy.on("DELETE", ".*", proxy.say(500, b"boom"), times=9)
    lab.nexus_proxy.on("PUT", ".*", proxy.say(500, b"boom"), times=9)
    report = lab.apply(VIEWER, preflight=False)
    assert report.exit_code == CustodyError.exit_code
    (outcome,) = report.outcomes
    (registered,) = lab.registered()
    assert registered.client_id in outcome.detail
    assert "may not" in outcome.detail or "denied" in outcome.detail
    lab.nexus_proxy._rules.clear()
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


# -- settle and finish -------------------------------------------------------------------------------------------------


def test_a_settle_whose_answer_is_lost_is_read_again(lab: Lab) -> None:
    lab.vault_proxy.on("POST", FACTS, proxy.lose_answer)
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_settle_that_never_arrived_is_sent_again(lab: Lab) -> None:
    lab.vault_proxy.on("POST", FACTS, proxy.lose)
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_settle_that_never_arrives_is_finished_by_the_next_run(lab: Lab) -> None:
    lab.vault_proxy.on("POST", FACTS, proxy.lose, times=2)
    report = lab.apply(VIEWER)
    assert report.exit_code == 1
    (made,) = lab.registered()
    assert isinstance(lab.step(VIEWER), Recover)
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.living() == [made.client_id]
    lab.assert_whole(VIEWER)


def test_a_finish_that_never_arrived_is_a_left_over_mark(lab: Lab) -> None:
    lab.nexus_proxy.on("PUT", ".*", proxy.lose)
    report = lab.apply(VIEWER)
    assert report.exit_code == 1
    assert lab.registered()[0].mark
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_facts_that_arrive_late_are_seen_as_stale(lab: Lab) -> None:
    lab.vault_proxy.on("POST", FACTS, proxy.keep_for_later)
    lab.apply(VIEWER)
    lab.apply(VIEWER)
    lab.vault.again("viewer", 1)  # a claim of a later run
    lab.apply(VIEWER)
    lab.vault_proxy.land()
    assert lab.record().kind in (Kind.UNSETTLED, Kind.SETTLED)
    lab.apply(VIEWER)
    lab.assert_whole(VIEWER)


# -- recover -----------------------------------------------------------------------------------------------------------


KEPT = proxy.say(500, b'{"status":500,"title":"Internal Server Error"}')


def test_recover_keeps_one_that_issued_a_token_archived_and_named(lab: Lab) -> None:
    lost = lab.half_make()
    lab.nexus_proxy.on("DELETE", ".*", KEPT, times=2)
    assert lab.apply(VIEWER).exit_code == 0
    left = next(r for r in lab.registered() if r.client_id == lost.client_id)
    assert left.archived
    assert left.description.endswith(" viewer abandoned: its secret was never stored")
    lab.assert_whole(VIEWER)


def test_one_500_to_a_delete_is_no_proof_that_nexus_keeps_it(lab: Lab) -> None:
    lost = lab.half_make()
    lab.nexus_proxy.on("DELETE", ".*", KEPT)
    assert lab.apply(VIEWER).exit_code == 0
    assert lost.client_id not in [r.client_id for r in lab.registered()]
    lab.assert_whole(VIEWER)


def test_an_abandoned_one_that_was_not_archived_yet_still_says_whose_it_is(lab: Lab) -> None:
    lost = lab.half_make()
    lab.nexus_proxy.on("DELETE", ".*", KEPT, times=2)
    lab.nexus_proxy.on("PATCH", ".*", proxy.lose)
    assert lab.apply(VIEWER).exit_code == CustodyError.exit_code
    left = next(r for r in lab.registered() if r.client_id == lost.client_id)
    assert not left.archived
    assert isinstance(lab.step(VIEWER), Recover)
    lab.nexus_proxy.on("DELETE", ".*", KEPT, times=2)
    assert lab.apply(VIEWER).exit_code == 0
    assert lost.client_id not in lab.living()
    lab.assert_whole(VIEWER)


def test_recover_deletes_an_archived_one(lab: Lab) -> None:
    lost = lab.half_make()
    lab.by_hand.archive(lab.id_of(lost.client_id))
    assert lab.apply(VIEWER).exit_code == 0
    assert lost.client_id not in [r.client_id for r in lab.registered()]
    lab.assert_whole(VIEWER)


def test_recover_that_cannot_delete_is_a_question_of_custody(lab: Lab) -> None:
    lab.half_make()
    lab.nexus_proxy.on("DELETE", ".*", proxy.lose, times=9)
    report = lab.apply(VIEWER)
    assert report.exit_code == CustodyError.exit_code
    lab.nexus_proxy._rules.clear()
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_many_half_made_at_one_path(lab: Lab) -> None:
    lost = [lab.half_make(run=letter * 16) for letter in "abc"]
    lab.write_credential(lost[1])
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.living() == [lost[1].client_id]
    lab.assert_whole(VIEWER)


def test_an_undeclared_half_made_one_is_recovered_too(lab: Lab) -> None:
    stored, lost = lab.half_make("stored"), lab.half_make("lost")
    lab.write_credential(stored, "stored")
    assert lab.apply(VIEWER).exit_code == 0
    assert lost.client_id not in lab.living()
    facts = lab.record("stored").facts
    assert facts
    assert facts.client_id == stored.client_id
    assert next(r for r in lab.registered() if r.client_id == stored.client_id).description == ""
    assert [type(step) for step in lab.plan(VIEWER).steps] == [Keep]


def test_a_fence_that_stopped_between_its_empty_version_and_its_deletion(lab: Lab) -> None:
    lab.half_make()
    lab.vault_proxy.on("POST", "/delete/", proxy.lose)
    report = lab.apply(VIEWER)
    assert report.exit_code == CustodyError.exit_code
    assert lab.record().living
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


# -- the lease ---------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_after_the_lease_is_over(lab: Lab) -> None:
    from registrar import plan, reconcile

    with lab.take_lock() as lease:
        world = lab.observe(VIEWER)
        lease._until = 0.0
        lab.nexus_proxy.seen.clear()
        lab.vault_proxy.seen.clear()
        run = reconcile.Run(world, lab.services, lease)
        report = reconcile.apply(run, plan.plan(world), plan.plan)
        assert isinstance(report.outcomes[0].error, LeaseLost)
        assert lab.nexus_proxy.effects() == []
        assert lab.vault_proxy.effects() == []


def test_a_lease_lost_after_the_create_leaves_the_mark(lab: Lab) -> None:
    from registrar import plan, reconcile

    with lab.take_lock() as lease:
        world = lab.observe(VIEWER)
        lab.nexus_proxy.after = lambda exchange, _answer: (
            setattr(lease, "_until", 0.0) if exchange.method == "POST" else None
        )
        report = reconcile.apply(reconcile.Run(world, lab.services, lease), plan.plan(world), plan.plan)
    assert report.exit_code == CustodyError.exit_code
    assert lab.registered()[0].mark
    assert lab.record().kind is Kind.NONE
    lab.nexus_proxy.after = None


# -- one does not stop the others --------------------------------------------------------------------------------------


def test_one_failure_does_not_stop_the_others(lab: Lab) -> None:
    wanted = [renamed(VIEWER, f"app-{letter}") for letter in "abcdef"]
    lab.vault_proxy.on("POST", "/data/.*/app-c$", proxy.say(400, b'{"errors":["no"]}'))
    report = lab.apply(*wanted)
    statuses = {outcome.step.path: outcome.status for outcome in report.outcomes}
    assert statuses.pop("app-c") is Status.FAILED
    assert set(statuses.values()) == {Status.DONE}
    assert report.exit_code == 1


def test_a_403_midway_stops_the_run_and_is_never_read_as_absence(lab: Lab) -> None:
    wanted = [renamed(VIEWER, f"app-{number:02}") for number in range(12)]
    refuse = proxy.say(403, b'{"errors":["permission denied"]}')
    lab.vault_proxy.on("POST", "/data/.*/app-", refuse, times=99)
    report = lab.apply(*wanted)
    assert report.of(Status.SKIPPED), "no new step is begun"
    assert report.exit_code == 1
    assert lab.registered() == (), "what had been registered was removed again"


def test_nexus_lost_after_recovering_is_not_a_success(lab: Lab) -> None:
    lab.half_make()
    lab.nexus_proxy.on(
        "GET", "/oauth/applications", proxy.say(502, b"<html>", **{"Content-Type": "text/html"}), skip=1, times=99
    )
    report = lab.apply(VIEWER)
    assert [outcome.status for outcome in report.outcomes] == [Status.DONE]
    assert report.cause is not None
    assert report.exit_code == 1
    lab.nexus_proxy._rules.clear()
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_marked_one_that_somebody_deletes_first_is_no_failure(lab: Lab) -> None:
    lost = lab.half_make()

    def delete(exchange: proxy.Exchange) -> None:
        if exchange.method == "DELETE":
            lab.by_hand.delete(lab.id_of(lost.client_id))

    lab.nexus_proxy.before = delete
    assert lab.apply(VIEWER).exit_code == 0
    lab.nexus_proxy.before = None
    lab.assert_whole(VIEWER)

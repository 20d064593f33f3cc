"""Requests and hands that come between two steps of a run: at each such moment nothing is lost, doubled or taken."""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from registrar import acts, plan, reconcile
from registrar.errors import CustodyError, Interrupted, LeaseLost, OutcomeUnknown, UsageError
from registrar.model import Application, Kind, Mark
from registrar.report import Event, Report, Status, Stop
from registrar.steps import Blocked, Create, Keep, Recover
from tests.custody import proxy
from tests.custody.lab import PACE, VIEWER, Lab, renamed

APPLICATIONS = "/oauth/applications"
CREATE = f"{APPLICATIONS}$"
DATA = "/data/.*/viewer$"
FACTS = "/metadata/.*/viewer$"
LOCK = r"/\.registrar/lock$"
OTHER = renamed(VIEWER, "other")
REFUSED = proxy.say(400, b'{"errors":["check-and-set parameter did not match the current version"]}')
SEALED = proxy.say(503, b'{"errors":["Vault is sealed"]}')


def creates(lab: Lab) -> int:
    """How many creates were sent."""
    return lab.nexus_proxy.effects().count("POST /api/v2/oauth/applications")


def once(method: str, path: str, act: Callable[[], object]) -> Callable[[proxy.Exchange], None]:
    """Do it right before the first request like this one."""
    waiting = [act]

    def before(exchange: proxy.Exchange) -> None:
        if waiting and exchange.method == method and re.search(path, exchange.path.partition("?")[0]):
            waiting.pop()()

    return before


def apply_until_in_doubt(lab: Lab, *desired: Application) -> Report:
    """A run whose lease ends at its first doubt."""
    with lab.take_lock() as lease:

        def forget(event: Event) -> None:
            if event.stage == "in doubt":
                lease._until = 0.0

        world = lab.observe(*desired)
        run = reconcile.Run(world, lab.services, lease, on_event=forget, pace=PACE)
        return reconcile.apply(run, plan.plan(world), plan.plan)


# -- create ------------------------------------------------------------------------------------------------------------


def test_nexus_that_goes_away_with_a_create_leaves_a_question_of_custody(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.lose_answer, times=9)
    lab.nexus_proxy.before = once(
        "POST", CREATE, lambda: lab.nexus_proxy.on("GET", APPLICATIONS, proxy.say(503), times=99)
    )
    assert lab.apply(VIEWER).exit_code == CustodyError.exit_code
    assert [registered.mark is not None for registered in lab.registered()] == [True, True]
    lab.nexus_proxy._rules.clear()
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_lease_that_ends_while_a_create_is_looked_for_leaves_a_question_of_custody(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.keep_for_later, times=9)
    report = apply_until_in_doubt(lab, VIEWER)
    assert report.exit_code == CustodyError.exit_code
    assert isinstance(report.cause, LeaseLost)
    assert creates(lab) == 1
    lab.nexus_proxy.land()
    assert lab.registered()[0].mark


def test_no_second_create_is_sent_after_the_lease_though_nexus_lists_nothing(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.lose_answer, times=9)
    lab.nexus_proxy.before = once(
        "POST", CREATE, lambda: lab.nexus_proxy.on("GET", APPLICATIONS, proxy.say(503), times=99)
    )
    assert apply_until_in_doubt(lab, VIEWER).exit_code == CustodyError.exit_code
    assert creates(lab) == 1


def test_a_refused_second_create_does_not_settle_the_doubt_about_the_first(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.keep_for_later)
    lab.nexus_proxy.on("POST", CREATE, proxy.say(429))
    report = lab.apply(VIEWER)
    lab.nexus_proxy.land()
    assert lab.registered()[0].mark
    assert report.exit_code == CustodyError.exit_code


def test_no_second_create_is_sent_after_two_interrupts(lab: Lab) -> None:
    lab.nexus_proxy.on("POST", CREATE, proxy.lose, times=9)
    stop = Stop()

    def interrupt(event: Event) -> None:
        if event.stage == "in doubt" and not stop.urgent:
            stop.request()
            stop.request()

    assert lab.apply(VIEWER, stop=stop, on_event=interrupt).exit_code == Interrupted.exit_code
    assert creates(lab) == 1


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(),
        RuntimeError("App is not running"),
    ],
    ids=["terminal", "app"],
)
def test_one_who_can_no_longer_be_told_does_not_cost_the_secret(lab: Lab, error: Exception) -> None:
    def gone(event: Event) -> None:
        if event.stage == "registered":
            raise error

    assert lab.apply(VIEWER, on_event=gone).exit_code == 0
    lab.assert_whole(VIEWER)


# -- store -------------------------------------------------------------------------------------------------------------


def test_a_lease_that_ends_while_a_store_is_in_doubt_leaves_the_application_alone(lab: Lab) -> None:
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    report = apply_until_in_doubt(lab, VIEWER)
    assert report.exit_code == CustodyError.exit_code
    (registered,) = lab.registered()
    assert registered.mark
    assert registered.client_id in report.outcomes[0].detail
    lab.vault_proxy.land()
    stored = lab.stored()
    assert stored
    assert stored.client_id == registered.client_id, "it landed late, and its application is there"


def test_a_store_in_doubt_that_cannot_be_fenced_leaves_the_application_alone(lab: Lab) -> None:
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    lab.vault_proxy.on("POST", DATA, REFUSED, times=99)
    assert lab.apply(VIEWER).exit_code == CustodyError.exit_code
    assert lab.registered()[0].mark


def test_a_store_that_a_proxy_sends_twice_is_stored_once(lab: Lab) -> None:
    def twice(to: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
        to.forward(exchange)
        return to.forward(exchange)

    lab.vault_proxy.on("POST", DATA, twice)
    assert lab.apply(VIEWER).exit_code == 0
    assert creates(lab) == 1
    assert lab.record().current == 1
    lab.assert_whole(VIEWER)


def test_a_store_that_was_one_too_many_a_second_is_sent_again(lab: Lab) -> None:
    quota = b'{"errors":["request path: rate limit quota exceeded"]}'
    lab.vault_proxy.on("POST", DATA, proxy.say(429, quota, **{"Retry-After": "1"}))
    assert lab.apply(VIEWER).exit_code == 0
    assert creates(lab) == 1
    lab.assert_whole(VIEWER)


def test_a_sealed_vault_stops_the_run(lab: Lab) -> None:
    wanted = [renamed(VIEWER, f"app-{number:02}") for number in range(12)]
    lab.vault_proxy.on("POST", "/data/.*/app-", SEALED, times=99)
    report = lab.apply(*wanted)
    assert report.of(Status.SKIPPED), "no new step is begun"
    assert creates(lab) < len(wanted)
    assert lab.registered() == (), "a sealed Vault has stored nothing, so these could be removed"
    assert report.exit_code == 1


def test_a_version_that_somebody_writes_instead_of_a_lost_store_is_not_described_as_ours(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.by_hand.delete(lab.registered()[0].id)
    by_hand = lab.register(name="by hand")

    def overtake(_to: proxy.Proxy, _exchange: proxy.Exchange) -> None:
        lab.write_credential(by_hand)

    lab.vault_proxy.on("POST", DATA, overtake)
    assert lab.apply(VIEWER).exit_code == 1
    assert lab.record().kind is Kind.UNSETTLED
    assert lab.stored() == by_hand
    assert lab.living() == [by_hand.client_id]


def test_a_store_that_lands_between_the_two_looks_at_its_record_is_described_by_its_own_version(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.by_hand.delete(lab.registered()[0].id)
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)

    def arrive(exchange: proxy.Exchange) -> None:
        if lab.vault_proxy.kept and exchange.method == "GET" and "/data/" in exchange.path:
            lab.vault_proxy.land()

    lab.vault_proxy.before = arrive
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.record().kind is Kind.SETTLED
    lab.assert_whole(VIEWER)


# -- settle and finish -------------------------------------------------------------------------------------------------


def test_facts_that_somebody_overtakes_are_written_with_the_next_number(lab: Lab) -> None:
    lab.apply(VIEWER)
    wanted = dataclasses.replace(VIEWER, owner_email="new@example.org")

    def overtake(to: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
        lab.set_facts(proven_at=datetime.now(UTC))
        return to.forward(exchange)

    lab.vault_proxy.on("POST", FACTS, overtake)
    assert lab.apply(wanted).exit_code == 0
    lab.assert_whole(wanted)


def test_a_key_that_an_operator_adds_meanwhile_is_kept_where_the_server_tells_of_it(lab: Lab) -> None:
    lab.apply(VIEWER)

    def overtake(to: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
        lab.set_facts(others=(("team", "x"),))
        return to.forward(exchange)

    lab.vault_proxy.on("POST", FACTS, overtake)
    lab.apply(dataclasses.replace(VIEWER, owner_email="new@example.org"))
    facts = lab.record().facts
    assert facts
    assert facts.others == (("team", "x"),)


def test_recover_does_the_rest_after_a_second_interrupt(lab: Lab) -> None:
    stop = Stop()

    def interrupt(event: Event) -> None:
        if event.stage == "settled":
            stop.request()
            stop.request()

    report = lab.apply(VIEWER, stop=stop, on_event=interrupt)
    assert report.exit_code == Interrupted.exit_code
    (outcome,) = report.outcomes
    assert outcome.error
    assert outcome.error.hint == "registrar recover"
    with lab.take_lock() as lease:
        world = lab.observe(VIEWER)
        assert world.marked
        todo = plan.plan(world).recovery()
        done = reconcile.recover(reconcile.Run(world, lab.services, lease, pace=PACE), todo)
    assert done.exit_code == 0
    lab.assert_whole(VIEWER)


# -- recover -----------------------------------------------------------------------------------------------------------


def test_facts_that_land_while_a_run_recovers_keep_what_is_stored(lab: Lab) -> None:
    lab.vault_proxy.on("POST", FACTS, proxy.keep_for_later, times=2)
    lab.apply(VIEWER)
    (made,) = lab.living()
    assert lab.vault_proxy.kept
    assert isinstance(lab.step(VIEWER), Recover)
    # after the next run has listed the records, and before it looks at this one
    lab.vault_proxy.before = once("GET", FACTS, lab.vault_proxy.land)
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.vault_proxy.kept == []
    assert lab.living() == [made]
    lab.assert_whole(VIEWER)


def test_a_run_that_is_taken_for_dead_and_finishes_meanwhile_keeps_what_it_made(lab: Lab) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def pause(to: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
        arrived.set()
        go_on.wait(5)
        return to.forward(exchange)

    lab.vault_proxy.on("POST", DATA, pause)
    with lab.take_lock() as lease:
        world = lab.observe(VIEWER)
        slow = reconcile.Run(world, lab.services, lease, pace=PACE)
        reports: list[Report] = []
        todo = plan.plan(world)
        thread = threading.Thread(target=lambda: reports.append(reconcile.apply(slow, todo, plan.plan)))
        thread.start()
        assert arrived.wait(5)
        seen = lab.observe(VIEWER)
        assert seen.lock
        later = dataclasses.replace(seen, lock=dataclasses.replace(seen.lock, run="z" * 16))
        recovery = plan.plan(later)
        assert [type(step) for step in recovery.steps] == [Recover]
        go_on.set()
        thread.join()
        reconcile.recover(reconcile.Run(later, lab.services, lease, pace=PACE), recovery)
    assert [report.exit_code for report in reports] == [0]
    lab.assert_whole(VIEWER)


def test_data_that_somebody_writes_at_an_empty_path_stay(lab: Lab) -> None:
    lab.half_make()
    lab.apply()  # undeclared: recovered, and an empty record stays
    assert lab.record().kind is Kind.EMPTY
    lab.write({"password": "x"})
    assert [outcome.status for outcome in lab.apply(VIEWER).outcomes] == [Status.BLOCKED]
    assert lab.read_version(2) == {"password": "x"}
    lost = lab.half_make(run="s" * 16)
    assert lab.apply(VIEWER).exit_code == 1
    assert lost.client_id not in lab.living()
    # a fence writes the same again: a late fact may have hidden that it is a credential of ours
    assert lab.read_version(lab.record().current) == {"password": "x"}


def test_data_that_somebody_writes_right_before_a_fence_stay(lab: Lab) -> None:
    lost = lab.half_make()
    lab.vault_proxy.before = once("POST", FACTS, lambda: lab.write({"password": "x"}))
    assert lab.apply(VIEWER).exit_code == 1
    assert lab.read_version(lab.record().current) == {"password": "x"}
    assert lost.client_id not in lab.living()


def test_an_empty_fence_that_was_left_open_is_closed_and_the_record_stays_withdrawn(lab: Lab) -> None:
    lab.apply(VIEWER)
    (retired,) = lab.registered()
    lab.version_call("delete", 1)
    lab.by_hand.archive(retired.id)
    lab.half_make()
    lab.vault_proxy.on("POST", "/delete/", proxy.lose)
    assert lab.apply(VIEWER).exit_code == CustodyError.exit_code
    assert lab.record().living
    lab.apply(VIEWER)
    assert lab.record().kind is Kind.WITHDRAWN
    assert [registered.id for registered in lab.registered()] == [retired.id]
    step = lab.step(VIEWER)
    assert isinstance(step, Blocked)
    assert "registrar restore viewer" in step.hint


def test_a_nexus_that_is_too_busy_to_delete_does_not_keep_the_application(lab: Lab) -> None:
    lab.half_make()
    lab.nexus_proxy.on("DELETE", APPLICATIONS, proxy.say(429), times=9)
    assert lab.apply(VIEWER).exit_code == CustodyError.exit_code
    (left,) = lab.registered()
    assert isinstance(left.mark, Mark)
    assert (left.mark.abandoned, left.archived) == (False, False)
    lab.nexus_proxy._rules.clear()
    assert lab.apply(VIEWER).exit_code == 0
    lab.assert_whole(VIEWER)


def test_a_value_that_vault_would_refuse_is_told_before_recovering(lab: Lab) -> None:
    lab.half_make()
    lab.nexus_proxy.seen.clear()
    lab.vault_proxy.seen.clear()
    with pytest.raises(UsageError, match="redirect-uri"):
        lab.apply(dataclasses.replace(VIEWER, redirect_uri="https://viewer.example.org/" + "x" * 600))
    effects = lab.nexus_proxy.effects() + lab.vault_proxy.effects()
    assert not [effect for effect in effects if APPLICATIONS in effect or effect.endswith("/viewer")]


def test_an_archived_marked_one_that_somebody_deletes_first_is_no_failure(lab: Lab) -> None:
    number = lab.id_of(lab.half_make().client_id)
    lab.by_hand.archive(number)

    def delete() -> None:
        lab.by_hand.unarchive(number)
        lab.by_hand.delete(number)

    lab.nexus_proxy.before = once("PATCH", APPLICATIONS, delete)
    assert lab.apply(VIEWER).exit_code == 0


def test_a_create_that_lands_while_a_run_recovers_does_not_make_a_success_of_half_the_work(lab: Lab) -> None:
    domain = lab.domain()
    lab.half_make()
    lab.nexus_proxy.before = once("DELETE", APPLICATIONS, lambda: lab.half_make(run="q" * 16, domain=domain))
    report = lab.apply(VIEWER)
    assert report.exit_code != 0 or isinstance(lab.step(VIEWER), Keep)


def test_a_store_that_lands_while_a_run_recovers_an_unsettled_record_is_kept(lab: Lab) -> None:
    lab.apply(VIEWER)
    lab.vault.again("viewer", 1)  # a claim that stopped
    late = lab.half_make()
    lab.vault_proxy.on("POST", DATA, proxy.keep_for_later)
    with pytest.raises(OutcomeUnknown):
        lab.vault.store("viewer", late, cas=2)
    lab.vault_proxy.before = once("GET", DATA, lab.vault_proxy.land)
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.stored() == late
    assert late.client_id in lab.living()
    assert lab.record().kind is Kind.SETTLED
    assert lab.proves()


# -- the lease ---------------------------------------------------------------------------------------------------------


def test_a_lease_that_ends_between_recovering_and_what_follows_creates_nothing(lab: Lab) -> None:
    lab.half_make()
    with lab.take_lock() as lease:

        def forget(event: Event) -> None:
            if event.stage == "removed":
                lease._until = 0.0

        world = lab.observe(VIEWER)
        run = reconcile.Run(world, lab.services, lease, on_event=forget, pace=PACE)
        lab.nexus_proxy.seen.clear()
        report = reconcile.apply(run, plan.plan(world), plan.plan)
    assert creates(lab) == 0
    assert [type(outcome.step) for outcome in report.of(Status.FAILED)] == [Create]
    assert report.exit_code == 1


def test_a_claim_is_not_written_after_the_lease(lab: Lab) -> None:
    """It reads what it writes again, and may fall asleep between the two."""
    lab.apply(VIEWER)
    retire = functools.partial(acts.retire, names=("viewer",))
    reads: list[proxy.Exchange] = []
    with lab.take_lock() as lease:
        world = lab.observe(VIEWER)
        run = reconcile.Run(world, lab.services, lease, pace=PACE)
        lab.vault_proxy.seen.clear()

        def asleep(exchange: proxy.Exchange, _answer: proxy.Answer) -> None:
            if exchange.method == "GET" and "version=1" in exchange.path:
                reads.append(exchange)
                if len(reads) == 2:  # the first looks whether there is a credential
                    lease._until = 0.0

        lab.vault_proxy.after = asleep
        report = reconcile.apply(run, retire(world), retire)
    assert isinstance(report.cause, LeaseLost)
    assert lab.record().current == 1


def test_one_renewal_that_hangs_for_a_whole_lease_does_not_cost_it(lab: Lab) -> None:
    def hang(_to: proxy.Proxy, _exchange: proxy.Exchange) -> None:
        time.sleep(2)

    with lab.take_lock(lease_s=2) as lease:
        lab.vault_proxy.on("POST", LOCK, hang)
        time.sleep(2.2)
        lease.check()


def test_a_lock_that_may_not_be_read_is_not_asked_for_without_a_pause(lab: Lab) -> None:
    denied = proxy.say(403, b'{"errors":["permission denied"]}')
    with lab.take_lock(lease_s=3):
        lab.vault_proxy.on("POST", LOCK, proxy.lose_answer)
        lab.vault_proxy.on("GET", LOCK, denied, times=10**6)
        lab.vault_proxy.seen.clear()
        time.sleep(2)
        assert 2 < len(lab.vault_proxy.seen) < 20
        lab.vault_proxy._rules.clear()


def test_a_lock_is_released_even_right_after_a_renewal_whose_answer_is_lost(lab: Lab) -> None:
    renewed = threading.Event()

    def lose_answer(to: proxy.Proxy, exchange: proxy.Exchange) -> None:
        to.forward(exchange)
        renewed.set()

    with lab.take_lock(lease_s=3):
        lab.vault_proxy.on("POST", LOCK, lose_answer)
        assert renewed.wait(3)
    released = lab.vault.lock()
    assert released
    assert released.run == ""

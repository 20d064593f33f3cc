"""Faults on the wire, bounded: some calls of as many scenarios as there is time for, by a seed.

The whole is `python -m tests.custody.faults`. What a seed found is found again with REGISTRAR_ATTACK_SEED.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

import registrar.vault.wire
from registrar.errors import AccessDenied, OutcomeUnknown, ServiceError, StepFailed, Unreachable
from registrar.nexus import Nexus
from registrar.reconcile.hands import Hands
from registrar.reconcile.registering import Registering
from registrar.report import Report
from registrar.vault import Vault
from tests.contract import vaults
from tests.custody import attack, faults
from tests.custody.faults import Call, Desk, Fault, Service, Span, Strike, Trial, tried
from tests.custody.lab import VIEWER, Lab
from tests.custody.scenarios import SCENARIOS, Scenario
from tests.custody.watching import Damage

SEED = attack.new_seed()
SAMPLE_S = float("inf") if attack.SEED in os.environ else 10.0
SAMPLE = 3  # of each scenario


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One laboratory for all: every trial makes a world of its own in it."""
    with (
        vaults.running("stand-in", tmp_path_factory.mktemp("faults")) as vault,
        attack.laboratory(vault) as laboratory,
    ):
        yield laboratory


def named(name: str) -> Scenario:
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    return scenario


def number(calls: tuple[Call, ...], told: str) -> int:
    """Of the first call that begins so."""
    return next(n for n, call in enumerate(calls, 1) if call.told.startswith(told))


def struck(lab: Lab, scenario: str, told: str, fault: Fault, span: Span = Span.ONCE) -> Trial:
    """A trial of a call by what it asks for."""
    unstruck = tried(lab, named(scenario))
    assert not unstruck.failed, unstruck
    return tried(lab, named(scenario), Strike(number(unstruck.calls, told), fault, span), unstruck)


def test_a_run_that_a_fault_strikes_anywhere_ends_well_told_and_is_made_whole(server: Lab) -> None:
    """As many scenarios as there is time for, in an order by the seed; all of them where a seed is given."""
    print(f"{attack.SEED}={SEED}")
    ends = time.monotonic() + SAMPLE_S
    for scenario in random.Random(SEED).sample(SCENARIOS, len(SCENARIOS)):
        for trial in faults.sampled(server, scenario, SEED, SAMPLE):
            assert not trial.failed, f"{attack.SEED}={SEED}, python -m tests.custody.faults {trial}"
            if time.monotonic() > ends:
                return


# -- a fault is what it says -------------------------------------------------------------------------------------------

FELT = {
    Fault.REFUSED: (Unreachable, "refused"),
    Fault.RESET: (OutcomeUnknown, "reset"),
    Fault.LOST: (OutcomeUnknown, "reset"),
    Fault.STALLED: (OutcomeUnknown, "in time"),
    Fault.SLOW: (OutcomeUnknown, "in time"),
    Fault.LATE: (OutcomeUnknown, "in time"),
    Fault.CUT: (OutcomeUnknown, "broke off"),
    Fault.ILL: (OutcomeUnknown, "500"),
    Fault.GATEWAY: (OutcomeUnknown, "502"),
    Fault.SEALED: (OutcomeUnknown, "503"),
    Fault.DENIED: (AccessDenied, "Forbidden"),
}
WORKS = {Fault.LOST, Fault.SLOW, Fault.LATE, Fault.CUT, Fault.GATEWAY}


@pytest.mark.parametrize("fault", list(FELT))
def test_a_client_feels_the_fault_and_the_server_has_done_its_work_or_not(server: Lab, fault: Fault) -> None:
    """At a create of Nexus, the one call that is never sent again."""
    server.fresh()
    kind, words = FELT[fault]
    before = (Call(Service.NEXUS, "", writes=False, lock=False),) * 4
    desk = Desk(server, Strike(4, fault, Span.ON), before)
    with faults.clients(server, desk, faults.TIMEOUT_S) as services, desk:
        services.applications.all()  # by three calls
        if fault.waits:
            cast(Nexus, services.applications)._session._wire._timeout_s = 0.1
        with pytest.raises(kind) as caught:
            services.applications.create(VIEWER.declared())
        assert words in str(caught.value)
        made = [one for one in server.registered() if one.name == VIEWER.name and not one.archived]
        assert bool(made) is (fault in WORKS)
    server.nexus.check()  # it is lifted


def test_a_run_that_does_not_end_is_let_go_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "ENDS_S", 0.1)
    lifted: list[bool] = []

    def run() -> Report:
        while not lifted:
            time.sleep(0.01)
        return Report(())

    assert list(faults.ended(run, lambda: lifted.append(True)).complaints()) == ["the run does not end within 0 s"]


# -- what breaks is seen -----------------------------------------------------------------------------------------------


def test_a_store_in_doubt_that_is_taken_for_lost_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registering, "_stored_or_fenced", lambda *_, **__: None)
    assert struck(server, "rotate", "POST data viewer", Fault.LOST).has(Damage.LOST)


def test_a_write_that_is_sent_and_forgotten_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Vault.settle

    def forgotten(*arguments: Any) -> None:
        with contextlib.suppress(ServiceError):
            settle(*arguments)

    monkeypatch.setattr(Vault, "settle", forgotten)
    trial = struck(server, "rotate", "POST metadata viewer", Fault.DENIED)
    assert any("exit code 0, and what is left is ['recover'" in told for told in trial.mistold)


def test_an_exception_that_comes_through_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def failure(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(registrar.vault.wire, "failure", failure)
    first = struck(server, "create", "GET data .registrar/lock", Fault.RESET)
    assert any("an exception came through: LookupError" in told for told in first.mistold)
    later = struck(server, "rotate", "GET metadata viewer", Fault.CUT)
    assert any("a defect of registrar" in told for told in later.mistold)


def test_an_error_without_a_way_on_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(*_: object) -> None:
        raise StepFailed("it did not work")

    monkeypatch.setattr(Hands, "settled", settled)
    assert any("names no way on" in told for told in tried(server, named("expire")).mistold)


def test_a_failure_that_is_called_a_success_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Report, "exit_code", 0)
    trial = struck(server, "update", "PUT applications/", Fault.ILL)
    assert any("exit code 0" in told for told in trial.mistold)

"""Several targets as one answer: which exit code is theirs, and what one digest approves."""

from __future__ import annotations

import pytest

from registrar import together
from registrar.errors import CustodyError, Interrupted, RegistrarError, Stale, Unreachable
from registrar.model import Application, Target
from registrar.plan import Plan
from registrar.report import Outcome, Report, Status
from registrar.steps import Create
from registrar.together import Look, Rollout


def plan(name: str) -> Plan:
    return Plan(Target(name, f"https://{name}.example.org", "", "https://vault.example.org"), ())


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ((), 0),
        ((0, 2), 2),
        ((2, 3, 0), 3),
        ((3, 6), 6),
        ((6, 5), 5),
        ((5, 4), 4),
        ((4, 64), 64),
        ((64, 1), 1),
        ((1, 7), 7),
        ((7, 130, 0), 130),
    ],
)
def test_the_code_of_several_is_that_of_the_worst(codes: tuple[int, ...], worst: int) -> None:
    assert together.worst(codes) == together.worst(reversed(codes)) == worst


def test_every_exit_code_has_its_rank() -> None:
    pending, codes = [RegistrarError], {0, 2}
    while pending:
        error = pending.pop()
        codes.add(error.exit_code)
        pending += error.__subclasses__()
    assert {code for code in codes if together.worst((code,)) == code} == codes


def test_one_digest_approves_these_plans_in_this_order() -> None:
    dev, prod = plan("dev"), plan("prod")
    both = together.digest([dev, prod])
    assert len({both, together.digest([prod, dev]), dev.digest, prod.digest}) == 4
    assert together.digest([dev]) == dev.digest
    together.expect([dev, prod], both)
    together.expect([dev, prod], None)
    together.expect([dev], dev.digest)
    with pytest.raises(Stale, match=both) as stale:
        together.expect([dev, prod], prod.digest)
    assert stale.value.hint == "that approves prod alone: registrar apply --target prod"
    with pytest.raises(Stale) as stale:
        together.expect([dev, prod], "0" * 32)
    assert stale.value.hint == "registrar plan, to review what they are now"


def done(name: str, status: Status = Status.DONE) -> Look[together.Done]:
    step = Create(path="a", name="A", reason="new", application=Application("a", "A", "https://a.example.org/cb"))
    return Look(name, (Report((Outcome(step, status),)), plan(name)))


LOST = Look[together.Done]("prod", error=Unreachable("gone"))


@pytest.mark.parametrize(
    ("rollout", "code"),
    [
        (Rollout((done("dev"),)), 0),
        (Rollout((done("dev", Status.KEPT), LOST)), 3),  # nothing was changed
        (Rollout((done("dev"), LOST)), 1),
        (Rollout((done("dev"), Look("prod", error=CustodyError("x")))), 7),
        (Rollout((done("dev"), Look("prod", error=Interrupted("x"))), ("lab",)), 130),
        (Rollout((done("dev"),), ("prod",), stopped=True), 130),
        (Rollout((done("dev", Status.FAILED),), ("prod",)), 1),
    ],
)
def test_a_refusal_is_no_promise_once_something_is_changed(rollout: Rollout, code: int) -> None:
    assert rollout.exit_code == code
    assert not rollout.uneventful
    assert ("interrupted" in together.rollout_text(rollout)) == (code == 130)

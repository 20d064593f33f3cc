"""The run lock over sockets: one run at a time, takeover of a dead one, and a holder that notices."""

from __future__ import annotations

import threading
import time

import pytest

from registrar import lock
from registrar.errors import LeaseLost, LockHeld
from registrar.model import Lock
from tests.custody import proxy
from tests.custody.lab import VIEWER, Lab

LOCK = r"/\.registrar/lock$"


def take(lab: Lab, holder: str = "another", timeout_s: float = 5, lease_s: int = 30) -> lock.Lease:
    return lock.take(lab.vault, holder=holder, domain=lambda: "", timeout_s=timeout_s, lease_s=lease_s)


def test_the_domain_is_made_once_and_kept(lab: Lab) -> None:
    with lab.take_lock() as first:
        domain = first.domain
    with lab.take_lock() as second:
        assert second.domain == domain
        assert second.run != first.run
    assert len(domain) == 16
    assert domain.isalpha()


def test_a_lost_lock_record_takes_its_domain_back_from_the_records(lab: Lab) -> None:
    lab.apply(VIEWER)
    facts = lab.record().facts
    assert facts
    lab._http.delete(f"/metadata/{lab.target.vault_prefix}/.registrar/lock").raise_for_status()
    assert lab.vault.lock() is None
    assert lab.observe(VIEWER).domain == facts.domain
    lease = lock.take(lab.vault, holder="x", domain=lambda: lab.observe().domain, timeout_s=5)
    assert lease.domain == facts.domain


def test_released_means_no_holder_and_is_a_write_not_a_deletion(lab: Lab) -> None:
    with lab.take_lock():
        held = lab.vault.lock()
        assert held
        assert held.holder == "the test"
    released = lab.vault.lock()
    assert released
    assert (released.run, released.holder, released.version) == ("", "", held.version + 1)
    assert "DELETE" not in " ".join(lab.vault_proxy.effects())


def test_a_held_lock_is_waited_for_and_then_refused(lab: Lab) -> None:
    waited: list[Lock] = []
    with lab.take_lock(), pytest.raises(LockHeld) as held:
        lock.take(lab.vault, holder="x", domain=lambda: "", timeout_s=0.6, on_wait=waited.append)
    assert held.value.exit_code == 6
    assert "the test" in held.value.message
    assert [found.holder for found in waited] == ["the test"]


def test_a_released_lock_is_taken_at_once_by_one_of_many(lab: Lab) -> None:
    inside: list[str] = []
    most: list[int] = []

    def run(name: str) -> None:
        with take(lab, name, timeout_s=30):
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(name)

    threads = [threading.Thread(target=run, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_dead_holder_is_taken_over_after_a_whole_lease_and_not_before(lab: Lab) -> None:
    take(lab, "the dead", lease_s=1)  # never entered, so never renewed
    began = time.monotonic()
    lease = take(lab, "the heir", lease_s=1)
    assert time.monotonic() - began >= 1
    found = lab.vault.lock()
    assert found
    assert found.holder == "the heir"
    assert found.run == lease.run


def test_a_living_holder_renews_and_is_not_taken_over(lab: Lab) -> None:
    with take(lab, "the living", lease_s=1) as lease:
        with pytest.raises(LockHeld):
            take(lab, "the heir", timeout_s=2.5)
        lease.check()


def test_a_holder_that_was_taken_over_notices_before_its_next_effect(lab: Lab) -> None:
    with take(lab, "the paused", lease_s=3) as lease:
        found = lab.vault.lock()
        assert found
        lab.vault.write_lock(Lock(version=found.version, domain=lease.domain, run="h" * 16, holder="the heir"))
        for _ in range(40):
            time.sleep(0.1)
            try:
                lease.check()
            except LeaseLost:
                break
        else:
            pytest.fail("the lease is still believed in")
    after = lab.vault.lock()
    assert after
    assert after.holder == "the heir", "and it does not release what is not its own any more"


def test_a_lease_ends_by_the_clock_when_vault_is_away(lab: Lab) -> None:
    with take(lab, "cut off", lease_s=1) as lease:
        lab.vault_proxy.on("POST", LOCK, proxy.lose, times=99)
        time.sleep(1.1)
        with pytest.raises(LeaseLost):
            lease.check()


def test_a_renewal_whose_answer_is_lost_is_not_a_lost_lease(lab: Lab) -> None:
    with take(lab, "unlucky", lease_s=2) as lease:
        lab.vault_proxy.on("POST", LOCK, proxy.lose_answer, times=1)
        time.sleep(2.5)
        lease.check()
    released = lab.vault.lock()
    assert released
    assert released.run == ""


def test_a_take_whose_answer_is_lost_is_recognised(lab: Lab) -> None:
    lab.vault_proxy.on("POST", LOCK, proxy.lose_answer)
    with take(lab, "lucky") as lease:
        found = lab.vault.lock()
        assert found
        assert found.run == lease.run


def test_a_deleted_lock_is_taken_with_the_version_it_had(lab: Lab) -> None:
    with lab.take_lock() as lease:
        domain = lease.domain
    lab._http.delete(f"/data/{lab.target.vault_prefix}/.registrar/lock").raise_for_status()
    lease = lock.take(lab.vault, holder="x", domain=lambda: domain, timeout_s=5)
    assert lease.domain == domain

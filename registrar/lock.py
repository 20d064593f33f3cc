"""The run lock: one run at a time below a prefix, on any number of machines, with nothing but check-and-set writes.

Owns taking, renewing, taking over and releasing. A lock is stale when its version has not changed for a whole lease on
the onlooker's own clock; Vault's times are never used, since they come from whichever node answers. A lease that ends
too early costs a collision of two runs, never custody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol

from registrar.errors import LeaseLost, LockHeld, OutcomeUnknown, ServiceError, VersionMismatch
from registrar.model import Lock, new_id

LEASE_S: Final = 30
_POLL_S: Final = 0.5
# A stranger's lock record may ask for any lease; nobody waits longer than this for one that does not move.
_LONGEST_LEASE_S: Final = 300

# The plain monotonic clock stands still while a machine sleeps: a laptop would wake up believing in its lease.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class LockRecord(Protocol):
    """The record the lock is kept in; every write is guarded by the version that was read."""

    def lock(self) -> Lock | None:
        """The run lock as it is now, or None where there never was one."""

    def write_lock(self, lock: Lock) -> Lock:
        """Write the lock if `lock.version` is still the current one; the answer has the new version."""


class Lease:
    """This run's hold on the lock, renewed in the background until the end of the with statement."""

    def __init__(self, record: LockRecord, lock: Lock, asked_at: float) -> None:
        self._record = record
        self._lock = lock
        # counted from before the request was sent: the onlooker cannot have started counting any earlier
        self._until = asked_at + lock.lease_s
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def run(self) -> str:
        return self._lock.run

    @property
    def domain(self) -> str:
        return self._lock.domain

    @property
    def good(self) -> bool:
        """Whether nobody else can have the lock at this moment."""
        return _now() < self._until

    def check(self) -> None:
        """Raise LeaseLost unless the lease is good at this moment; to be asked before every effect."""
        if not self.good:
            raise LeaseLost(
                "this run lost its lock (it paused, or Vault was away), so it stopped before its next change",
                hint="registrar apply, again",
            )

    def __enter__(self) -> Lease:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._keeper.join()
        for _ in range(2):
            if not self.good:
                return
            try:
                self._record.write_lock(replace(self._lock, run="", holder=""))
            except VersionMismatch:
                self._learn()
            except ServiceError:
                return  # it goes stale by itself, one lease from now
            else:
                return

    def _keep(self) -> None:
        usual = self._lock.lease_s / 3
        pause = usual
        while not self._over.wait(pause):
            asked_at = _now()
            if asked_at >= self._until:
                return
            try:
                self._lock = self._record.write_lock(self._lock)
            except VersionMismatch:
                pause = self._learn()
            except ServiceError:
                pause = usual / 4  # the lease is still good: try again before it is not
            else:
                self._until = asked_at + self._lock.lease_s
                pause = usual

    def _learn(self) -> float:
        """After a refused renewal: an earlier one has landed whose answer was lost, or another run has the lock."""
        try:
            found = self._record.lock()
        except ServiceError:
            return self._lock.lease_s / 12
        if found is None or found.run != self._lock.run:
            self._until = 0.0
        else:
            self._lock = replace(self._lock, version=found.version)
        return 0.0


def take(
    record: LockRecord,
    *,
    holder: str,
    domain: Callable[[], str],
    timeout_s: float = 60.0,
    lease_s: int = LEASE_S,
    on_wait: Callable[[Lock], None] | None = None,
    on_stale: Callable[[Lock], None] | None = None,
) -> Lease:
    """Take the lock, or take over a stale one; LockHeld when another run keeps it for longer than `timeout_s`.

    `domain` is asked where no lock record tells whose prefix this is; the first run of all makes the domain up.
    """
    deadline = _now() + timeout_s
    while True:
        found = await_free(record, timeout_s=deadline - _now(), on_wait=on_wait) or Lock(version=0)
        if found.run and on_stale:
            on_stale(found)
        known = found.domain or domain() or new_id()
        asked_at = _now()
        wanted = Lock(version=found.version, domain=known, run=new_id(), holder=holder, lease_s=lease_s)
        try:
            return Lease(record, record.write_lock(wanted), asked_at)
        except VersionMismatch:
            continue  # another one was faster: wait for it
        except OutcomeUnknown:
            mine = record.lock()
            if mine and mine.run == wanted.run:
                return Lease(record, mine, asked_at)
            if _now() >= deadline:
                raise
            time.sleep(_POLL_S)


def await_free(
    record: LockRecord, *, timeout_s: float = 60.0, on_wait: Callable[[Lock], None] | None = None
) -> Lock | None:
    """Wait until the lock is released or stale and say what it is then; LockHeld when that takes too long."""
    deadline = _now() + timeout_s
    found = record.lock()
    since = _now()
    if found and found.run and on_wait:
        on_wait(found)
    while found and found.run:
        if _now() - since >= min(found.lease_s, _LONGEST_LEASE_S):
            return found
        if _now() >= deadline:
            raise LockHeld(
                f"another run holds the lock: {found.holder or found.run}",
                hint="wait for it, or give --lock-timeout more seconds",
            )
        time.sleep(min(_POLL_S, found.lease_s / 4))
        seen = record.lock()
        if seen is None or seen.version != found.version:
            since = _now()
        found = seen
    return found

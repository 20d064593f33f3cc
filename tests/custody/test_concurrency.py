"""The limit of steps at once: a chosen one stays, the usual one follows what comes to an end."""

from __future__ import annotations

import heapq
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from registrar.reconcile.concurrency import FEW, MOST, Concurrency


def settled(cores: float, work_s: float, line_s: float, steps: int = 1_000) -> int:
    """The limit after so many steps on a server with these cores, each of which a step keeps busy, over such a line.

    Simulated: the clock is ours, and every step that may begin does.
    """
    now, busy_until = 0.0, 0.0
    ends: list[tuple[float, int]] = []
    concurrency = Concurrency(clock=lambda: now)
    slots = {}
    begun = 0
    for _ in range(steps):
        while len(ends) < concurrency.limit:
            slots[begun] = concurrency.slot()
            slots[begun].__enter__()
            busy_until = max(busy_until, now + line_s / 2) + work_s / cores
            heapq.heappush(ends, (busy_until + line_s / 2, begun))
            begun += 1
        now, number = heapq.heappop(ends)
        slots.pop(number).__exit__(None, None, None)
    return concurrency.limit


def test_two_cores_that_are_busy_get_no_more_than_a_few() -> None:
    assert settled(cores=2, work_s=0.12, line_s=0.002) == FEW


@pytest.mark.parametrize("line_s", [0.5, 2.0])
def test_a_slow_line_takes_as_many_as_there_may_be(line_s: float) -> None:
    assert settled(cores=16, work_s=0.01, line_s=line_s) == MOST


def test_between_the_two_it_stops_where_more_bring_too_little() -> None:
    assert settled(cores=2, work_s=0.12, line_s=0.3) == 2 * FEW


def test_what_somebody_chose_stays() -> None:
    for wanted in (1, 3, 64):
        concurrency = Concurrency(wanted)
        for _ in range(300):
            with concurrency.slot():
                assert concurrency.limit == concurrency.most == wanted


def test_no_more_run_at_once_than_the_limit() -> None:
    concurrency, lock = Concurrency(3), threading.Lock()
    running, most = 0, 0

    def step(_: int) -> None:
        nonlocal running, most
        with concurrency.slot():
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(step, range(500)))
    assert (running, most <= 3) == (0, True)


def test_a_step_that_fails_leaves_its_place() -> None:
    concurrency = Concurrency(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), concurrency.slot():
            _ = 1 / 0

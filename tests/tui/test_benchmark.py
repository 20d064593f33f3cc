"""The benchmark runs; what it finds is for `python -m tests.tui.benchmark`, on a machine with nothing else to do."""

from __future__ import annotations

from tests.tui import benchmark


def test_it_measures_each() -> None:
    results = benchmark.measure(rows=60, repeats=1, presses=1, processes=False)
    assert [one.name for one in results] == ["first paint", "cursor down", "page down", "filter key"]
    assert all(one.ours_ms > 0 < one.bare_ms for one in results)
    assert "filter key" in benchmark.table(results, 60)

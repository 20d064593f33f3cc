"""The benchmarks run, each work beside the other; what they find is for a machine that has nothing else to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import contest
from tests.benchmarks.contest import Cost, Row, exponent
from tests.benchmarks.works import WORKS

HERE = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [name for name in WORKS if name != "ansible"])  # which installs half a gigabyte
def test_each_work_is_done_by_both(name: str, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "tests.benchmarks", name, "--repeats", "1", "--scale", "500", "--json", str(found)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300)
    assert found.exists(), done.stderr
    assert done.returncode in (0, 1)
    told = json.loads(found.read_text())
    assert told["scale"] == 500
    assert told["rows"]
    for row in told["rows"]:
        assert row["work"] in done.stdout
        assert row["ratios"]
        assert all(value > 0 for values in row["seconds"].values() for value in values)
    judged = [row for row in told["rows"] if row["goal"] is not None]
    assert len(re.findall(r"(met|missed)$", done.stdout, re.MULTILINE)) == len(judged)


def test_a_work_that_is_none_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "wonder"], cwd=HERE, capture_output=True, text=True
    )
    assert (done.returncode, "no such work: wonder" in done.stderr) == (2, True)


def test_a_process_that_fails_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(contest.Failed, match="ended with 3: oh"):
        contest.cost([sys.executable, "-c", "import sys; sys.stderr.write('oh'); sys.exit(3)"], {"HOME": str(tmp_path)})


def test_what_a_row_says() -> None:
    slow = Row("a", "b", 1.2, [1.1, 1.3, 1.5])
    assert (slow.median, slow.met, slow.line()[3:5]) == (1.3, False, ("1.30 x", "1.10-1.50"))
    fast = Row("a", "b", 60, [70.0], more_is_better=True)
    assert (fast.met, fast.line()[2], fast.line()[4]) == (True, "≥ 60 x", "once")


def test_whoever_is_first_changes() -> None:
    calls: list[str] = []

    def run(name: str, seconds: float) -> Cost:
        calls.append(name)
        return Cost(seconds, seconds)

    row = contest.contest("a", "b", 1, lambda: run("ours", 3.0), lambda: run("theirs", 2.0), 2)
    assert calls == ["ours", "theirs", "theirs", "ours"]
    assert list(row.ratios) == [1.5, 1.5]
    row = contest.contest("a", "b", 1, lambda: run("ours", 2.0), lambda: run("theirs", 6.0), 1, faster=True)
    assert (list(row.ratios), row.met) == ([3.0], True)


def test_growth() -> None:
    assert exponent([1.0], [10.0], 10) == pytest.approx(1.0)
    assert exponent([1.0], [100.0], 10) == pytest.approx(2.0)

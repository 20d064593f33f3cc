"""The custody protocol explored as a model: every interleaving holds, and each part of it is there for a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[1] / "recorded" / "custody_model.py"


def explore(arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MODEL), *arguments.split()], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--runners apply,apply --timeouts 1",
        "--runners apply,apply --human",
        "--runners rotate --start settled --timeouts 1",
        "--runners due,back --start rotated",
    ],
)
def test_the_invariants_hold(arguments: str) -> None:
    done = explore(arguments)
    assert done.returncode == 0, done.stdout
    assert "every invariant holds" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        "--no-version --start settled --runners rotate",
        "--finish-first",
        "--no-mark --human",
        "--no-fence --timeouts 1",
        "--no-claim --start rotated --runners due,back",
        "--forget-claim --start rotated --runners due,back,apply",
    ],
)
def test_without_a_part_a_trace_breaks_them(arguments: str) -> None:
    done = explore(arguments)
    assert done.returncode == 1
    assert "=>" in done.stdout

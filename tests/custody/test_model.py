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
        "--runners rotate,due,back --start rotated",
        "--runners rotate,due,back --start unfinished",
        "--runners retire,restore,apply --start settled --timeouts 1",
        "--runners retire,restore,back --start rotated",
        "--runners restore,apply --start retired --timeouts 1",
        "--runners apply,apply,retire",
        "--runners adopt,apply,rotate --human",
        "--runners adopt,apply --human --hands 1",
        "--runners apply,rotate,back --hands 1",
        "--runners retire,restore --start settled --hands 2",
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
        "--keep-oldest --start rotated --runners rotate",
        "--count-named --start unfinished --runners apply",
        "--work-marked --start unfinished --runners due",
        "--no-look-again --start settled --runners rotate,apply",
        "--newest-alone --start rotated --runners due,rotate,back",
        "--settle-as-is --start settled --runners retire,apply",
        "--keep-retired --start settled --runners retire,apply",
        "--no-retire-claim --start settled --runners retire,restore",
        "--resume-bare --start settled --runners retire,restore,apply",
        "--no-restore-claim --start settled --runners retire,restore",
        "--restore-stale --start settled --runners retire,apply,retire,apply",
        "--empty-any --runners apply,apply,retire",
        "--empty-unfenced --runners apply,apply,rotate --timeouts 1",
        "--adopt-bare --runners adopt --human",
        "--adopting-retires --runners adopt,apply,due --human",
    ],
)
def test_without_a_part_a_trace_breaks_them(arguments: str) -> None:
    done = explore(arguments)
    assert done.returncode == 1
    assert "=>" in done.stdout

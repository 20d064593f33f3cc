"""The Nexus stand-in answers every recorded exchange as the real servers did."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from registrar.sandbox.http import serving
from registrar.sandbox.nexus import STAGES, Nexus
from registrar.sandbox.state import State

RECORDED = Path(__file__).parents[1] / "recorded"
VERSIONS = {"v1": "v1", "v1-deprecated": "v1", "v2": "v2", "v2-array": "v2"}


def test_every_stage_has_a_recording() -> None:
    assert set(STAGES) == set(VERSIONS)


@pytest.mark.parametrize("stage", STAGES)
def test_no_difference_from_the_recording(stage: str) -> None:
    with contextlib.closing(State(":memory:")) as state, serving(nexus := Nexus(state, stage)) as server:
        flags = {
            "--key": nexus.sysadmin.api_key,
            "--secret": nexus.sysadmin.api_secret,
            "--key2": nexus.user.api_key,
            "--secret2": nexus.user.api_secret,
            "--version": VERSIONS[stage],
            "--compare": str(RECORDED / f"nexus-{stage}.json"),
        }
        # one word each: a key may begin with a dash
        words = [f"{flag}={value}" for flag, value in flags.items()]
        command = [sys.executable, str(RECORDED / "record_nexus.py"), server.url, *words]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "160 exchanges, 0 differences"

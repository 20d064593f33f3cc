"""Stop everywhere, bounded: stops of as many scenarios as there is time for, by a seed, and a process that is killed.

The whole is `python -m tests.custody.attack`. What a seed found is found again with REGISTRAR_ATTACK_SEED.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from registrar.model import Mark
from registrar.reconcile.hands import Hands
from tests.cli.program import Program
from tests.contract import vaults
from tests.custody import attack
from tests.custody.attack import Attack, Trial, tried
from tests.custody.lab import VIEWER, Lab
from tests.custody.scenarios import SCENARIOS, Asked, Scenario
from tests.custody.stopping import Gate, Point, Where, in_process
from tests.custody.watching import Damage

SEED = attack.new_seed()
SHARDS = 2
SHARD_S = float("inf") if attack.SEED in os.environ else 12.0
STOPS = 1  # of each scenario, and about as many second ones


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attack")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Lab]:
    """One laboratory for all: every trial makes a world of its own in it."""
    with vaults.running("stand-in", home) as vault, attack.laboratory(vault) as laboratory:
        yield laboratory


def named(name: str) -> Scenario:
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    return scenario


def assert_whole(trials: Iterator[Trial]) -> None:
    """Each of them; what fails is told with all that happened, and how to do it again."""
    for trial in trials:
        assert not trial.faults, f"{attack.SEED}={SEED}, python -m tests.custody.attack {trial}"


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_run_that_stops_anywhere_is_made_whole_by_the_next(shard: int, server: Lab) -> None:
    """As many scenarios as there is time for, in an order by the seed; all of them where a seed is given."""
    print(f"{attack.SEED}={SEED}")
    server.metadata_cas = shard == 0
    ends = time.monotonic() + SHARD_S
    for scenario in random.Random(SEED).sample(SCENARIOS, len(SCENARIOS))[shard::SHARDS]:
        if time.monotonic() < ends:
            assert_whole(attack.sampled(server, scenario, SEED, STOPS))


def test_a_process_that_is_killed_anywhere_is_made_whole_by_the_next(server: Lab, tmp_path: Path) -> None:
    choice = random.Random(SEED)
    scenario = named(choice.choice(attack.KILLED))
    assert_whole(attack.killed(server, scenario, Program(tmp_path), choice, kills=1))


def test_the_lock_of_a_dead_run_is_taken_over_after_its_lease(server: Lab) -> None:
    server.fresh()
    gate = Gate(server, Point(2, Where.AFTER))
    assert in_process(server, gate, Asked(), (VIEWER,), lease_s=1) == "dead"
    assert server.apply(VIEWER).exit_code == 0
    server.assert_whole(VIEWER)


# -- what breaks is seen -----------------------------------------------------------------------------------------------


def test_without_a_fence_a_late_store_is_lost(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hands, "fence", lambda *_: None)
    assert tried(server, named("rotate"), Attack.parse("2 late")).has(Damage.LOST)


def test_without_a_claim_a_late_return_is_lost(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hands, "claim", lambda _hands, _step, record: record.current)
    assert tried(server, named("back when it is over"), Attack.parse("1 late")).has(Damage.LOST)


def test_without_a_mark_what_is_half_made_is_doubled(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "__str__", lambda _mark: "in progress")
    assert tried(server, named("create"), Attack.parse("1 after")).has(Damage.DOUBLED)

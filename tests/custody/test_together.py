"""Several runs at one prefix, bounded: crowds of two and of ten by a seed, and naps before each effect of a create.

Many more are `python -m tests.custody.together`. What a seed found is found again with REGISTRAR_ATTACK_SEED.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import vaults
from tests.custody import attack, together
from tests.custody.lab import Lab
from tests.custody.scenarios import SCENARIOS
from tests.custody.together import Crowd, Request, Trial, before_effects, crowded, naps, side_by_side, undisturbed
from tests.custody.watching import Damage

SEED = attack.new_seed()
(CREATE,) = (scenario for scenario in SCENARIOS if scenario.name == "create")


@pytest.fixture(scope="module", params=vaults.PLAIN)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[vaults.Server]:
    with vaults.running(request.param, tmp_path_factory.mktemp("together")) as running:
        yield running


@pytest.fixture
def lab(server: vaults.Server) -> Iterator[Lab]:
    with attack.laboratory(server) as laboratory:
        yield laboratory


def assert_whole(trial: Trial) -> None:
    assert not trial.faults, f"{attack.SEED}={SEED}, {trial}"


# -- a crowd -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True], ids=["alike", "apart"])
@pytest.mark.parametrize("size", [2, 10])
def test_processes_at_once_of_which_some_are_killed(
    size: int, apart: bool, server: vaults.Server, lab: Lab, tmp_path: Path
) -> None:
    if size > 2 and server.kind != "stand-in":
        pytest.skip("ten take too long against a real server")
    print(f"{attack.SEED}={SEED}")
    trial = crowded(lab, Crowd(SEED, size, apart, kills=size // 2), tmp_path)
    assert_whole(trial)
    assert trial.kills


def test_processes_of_two_sets_at_once(lab: Lab, tmp_path: Path) -> None:
    assert_whole(crowded(lab, Crowd(SEED, 2, apart=True, kills=0, sets=("one", "two")), tmp_path))


def test_without_the_queue_two_register_at_once(lab: Lab, tmp_path: Path) -> None:
    crowd = Crowd(SEED, 2, apart=False, kills=0)
    assert crowded(lab, crowd, tmp_path, changed=together.UNQUEUED, meet=2).has(Damage.DOUBLED)


# -- a nap -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def requests(lab: Lab, tmp_path: Path) -> list[Request]:
    return undisturbed(lab, CREATE, tmp_path)


def test_a_run_that_slept_through_its_lease_sends_nothing_more(
    requests: list[Request], server: vaults.Server, tmp_path: Path
) -> None:
    """Asleep before each effect of a create, and while one of them by the seed is on its way until it wakes."""
    print(f"{attack.SEED}={SEED}")
    before = before_effects(requests)
    assert len(before) == 4
    late = random.Random(SEED).choice([nap for nap in naps(requests) if nap.late])
    for trial in side_by_side(server, CREATE, [*before, late], tmp_path, requests):
        assert_whole(trial)


def test_without_a_look_at_its_lease_it_does(requests: list[Request], server: vaults.Server, tmp_path: Path) -> None:
    before_store = before_effects(requests)[1:2]
    (trial,) = side_by_side(server, CREATE, before_store, tmp_path, requests, lease_s=1, changed=together.UNGUARDED)
    assert trial.has(Damage.TOUCHED), trial

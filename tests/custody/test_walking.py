"""Ways of several runs, bounded: as many as there is time for, by a seed; the whole is `tests.custody.walking`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count

import pytest

from registrar.reconcile.hands import Hands
from tests.contract import vaults
from tests.custody import attack
from tests.custody.lab import Lab
from tests.custody.walking import KNOWN, Way, walked

SEED = attack.new_seed()
SHARDS = 2
SHARD_S = 10.0
REPEATED = 200  # ways where a seed is given


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One laboratory for all: every walk makes a world of its own in it."""
    home = tmp_path_factory.mktemp("walking")
    with vaults.running("stand-in", home) as vault, attack.laboratory(vault) as laboratory:
        yield laboratory


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_invariant_holds_on_every_way(shard: int, server: Lab) -> None:
    print(f"{attack.SEED}={SEED}")
    server.metadata_cas = bool(shard)
    ends = time.monotonic() + SHARD_S
    for number in count(shard, SHARDS):
        if number >= REPEATED if attack.SEED in os.environ else time.monotonic() > ends:
            break
        told = walked(server, Way.chosen(SEED, number))
        assert not told, "\n".join(["", *told])


def test_a_seed_and_a_number_mean_one_way() -> None:
    ways = [Way.chosen("a seed", number) for number in range(200)]
    assert ways == [Way.chosen("a seed", number) for number in range(200)]
    assert len(set(map(str, ways))) == len(ways)
    assert {(way.start, way.runners) for way in ways} >= set(KNOWN)


def broken(server: Lab, seed: str, start: str, *runners: str) -> str:
    """What the first of a few such ways breaks."""
    server.metadata_cas = False
    ways = (Way(seed, number, start, runners, 2, False, 0) for number in range(60))
    return next((told[-1] for way in ways if (told := walked(server, way))), "")


def test_without_a_fence_it_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hands, "fence", lambda *_: None)
    assert "newest stored credential belongs to a deleted" in broken(server, "no fence", "settled", "rotate", "apply")


def test_without_a_claim_it_is_seen(server: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hands, "claim", lambda _hands, _step, record: record.current)
    assert "newest stored credential belongs to a deleted" in broken(server, "z", "rotated", "due", "back")

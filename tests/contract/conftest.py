"""A Nexus to test against: the stand-in at every stage and behind every door, and a real one where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from registrar.nexus import Nexus
from registrar.sandbox.http import Answer, Handler, Request, serving
from registrar.sandbox.nexus import Nexus as StandIn
from registrar.sandbox.state import State
from registrar.secret import Secret

REAL = ("REGISTRAR_TEST_NEXUS_URL", "REGISTRAR_TEST_NEXUS_KEY", "REGISTRAR_TEST_NEXUS_SECRET")


@dataclass(frozen=True)
class Place:
    """A running Nexus with the keys of a sysadmin, and those of somebody else where there is one."""

    url: str
    api_key: Secret
    api_secret: Secret
    version: str = ""
    user_key: Secret | None = None
    user_secret: Secret | None = None

    def client(self, url: str = "") -> Nexus:
        return Nexus(url or self.url, api_key=self.api_key, api_secret=self.api_secret)


def _only_v1(nexus: Handler) -> Handler:
    """As behind the usual ingress, where all but /api/v1 is the user interface."""

    def handler(request: Request) -> Answer:
        if request.path.startswith("/api/v1/"):
            return nexus(request)
        return Answer(404, b"<!DOCTYPE html><title>404</title>", {"content-type": "text/html; charset=utf-8"})

    return handler


def _without_v1(nexus: Handler) -> Handler:
    """As the newest server answers at a path of v1 that it does not have."""

    def handler(request: Request) -> Answer:
        gone = request.path.startswith("/api/v1/")
        return nexus(replace(request, path="/api/v1/no", raw_path="/api/v1/no") if gone else request)

    return handler


# name -> the stage, what is before it, and the version that a client ends up with
PLACES = {
    "v1": ("v1", None, "v1"),
    "v1-deprecated": ("v1-deprecated", _only_v1, "v1"),
    "v2": ("v2", None, "v2"),
    "v2-array": ("v2-array", None, "v2"),
    "v2 without v1": ("v2", _without_v1, "v2"),
    "v2-array without v1": ("v2-array", _without_v1, "v2"),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's proxies nor their ~/.netrc."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(params=[*PLACES, *(["real"] if all(name in os.environ for name in REAL) else [])])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "real":
        url, key, secret = (os.environ[name] for name in REAL)
        yield Place(url, Secret(key), Secret(secret))
        return
    stage, door, version = PLACES[request.param]
    state = State(":memory:")
    nexus = StandIn(state, stage)
    keys = [Secret(text) for pair in (nexus.sysadmin, nexus.user) for text in (pair.api_key, pair.api_secret)]
    with serving(door(nexus) if door else nexus) as server:
        yield Place(server.url, keys[0], keys[1], version, keys[2], keys[3])
    state.close()


@pytest.fixture
def nexus(place: Place) -> Iterator[Nexus]:
    with place.client() as client:
        yield client

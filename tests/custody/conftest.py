"""A laboratory against the stand-ins and, where `bao` or `vault` is on PATH, against a real Vault."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from registrar.sandbox.http import serving
from registrar.sandbox.nexus import Nexus
from registrar.sandbox.state import State
from tests.contract import vaults
from tests.custody.lab import Lab


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session", params=vaults.PLAIN)
def vault_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[vaults.Server]:
    with vaults.running(request.param, tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture(params=["v2"])
def lab(request: pytest.FixtureRequest, vault_server: vaults.Server) -> Iterator[Lab]:
    state = State(":memory:")
    nexus = Nexus(state, request.param)
    with serving(nexus) as server:
        key = (nexus.sysadmin.api_key, nexus.sysadmin.api_secret)
        prefix = f"t-{secrets.token_hex(4)}"
        laboratory = Lab(server.url, key, vault_server.url, vault_server.root.reveal(), prefix)
        yield laboratory
        laboratory.close()
    state.close()

"""A program with a home of its own, and services for it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import registrar.nexus.wire
import registrar.vault.wire
from registrar import reconcile
from tests.cli.leaks import Watch
from tests.cli.manifests import TWO
from tests.cli.program import Program
from tests.cli.services import Services, serving


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test's own clients take neither the developer's proxies nor their ~/.netrc."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def services() -> Iterator[Services]:
    """Both stand-ins behind proxies."""
    with serving(proxies=True) as running:
        yield running


@pytest.fixture
def connected(tmp_path: Path, services: Services) -> Program:
    """A program whose environment says where the services are."""
    return Program(tmp_path, services.environ)


@pytest.fixture
def watch(connected: Program, services: Services, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A run that does not wait long for what never comes."""
    monkeypatch.setattr(reconcile, "Pace", functools.partial(reconcile.Pace, doubt_s=0.2, poll_s=0.05))
    monkeypatch.setattr(registrar.nexus.wire, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(registrar.vault.wire, "_PAUSES_S", (0.01, 0.01))
    connected.write("apps.yaml", TWO)
    return Watch(connected, services)

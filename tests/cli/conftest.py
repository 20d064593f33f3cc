"""A program with a home of its own, and services for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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

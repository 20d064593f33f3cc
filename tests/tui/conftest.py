"""A desk with services that nothing else uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.services import Services, serving
from tests.tui.desk import Desk


@pytest.fixture
def services() -> Iterator[Services]:
    """Both stand-ins behind proxies, which can break things."""
    with serving(proxies=True) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, services: Services) -> Iterator[Desk]:
    made = Desk(tmp_path / "checkout", services)
    with made.environment():
        yield made

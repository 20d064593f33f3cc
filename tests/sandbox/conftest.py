"""The Nexus stand-in, served for one test."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registrar.sandbox.http import serving
from registrar.sandbox.nexus import Nexus
from registrar.sandbox.state import State
from tests.sandbox.served import Opener, Site


@pytest.fixture
def open_site() -> Iterator[Opener]:
    with contextlib.ExitStack() as stack:

        def opener(stage: str = "v2", path: str | Path = ":memory:", *, clock: Callable[[], float] = time.time) -> Site:
            state = stack.enter_context(contextlib.closing(State(path)))
            nexus = Nexus(state, stage, clock=clock)
            server = stack.enter_context(serving(nexus))
            site = Site(state, stage, server.url, nexus)
            stack.callback(site.close)
            return site

        yield opener

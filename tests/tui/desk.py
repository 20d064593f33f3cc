"""A sysadmin at their desk: the app over the stand-ins' sockets, keys that are pressed, and what the screen shows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import click
from textual.pilot import Pilot

from registrar.cli import main
from registrar.cli.opened import Opened
from registrar.tui.app import RegistrarApp
from tests.cli.services import Services

NARROW, WIDE, HUGE = (80, 24), (120, 40), (200, 50)
_SETTLED_S = 30.0

MANIFEST = """\
# The applications of the twin platform.
apps:
  - name: Digital Twin Viewer    # what users see
    redirect_uri: https://viewer.example.org/oauth/callback
    base_url: https://viewer.example.org
    owner_email: twin-team@example.org
    path: viewer

  - name: Sensor Catalogue
    redirect_uri: https://sensors.example.org/auth/callback
    owner_email: sensors@example.org
    path: sensors
"""


@dataclass
class Desk:
    """A checkout with manifests and registrar.yaml, and the services it names."""

    folder: Path
    services: Services
    flags: dict[str, Any] = field(default_factory=dict)
    production: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "manifests").mkdir(exist_ok=True)
        self.write(MANIFEST)
        production = "\n    production: true" if self.production else ""
        places = {name.lower(): self.services.environ[name] for name in ("NEXUS_URL", "VAULT_ADDR")}
        self.settings(
            "set: twin\nmanifests: manifests\ndefault_target: dev\ntargets:\n"
            f"  dev:\n    nexus_url: {places['nexus_url']}\n    vault_addr: {places['vault_addr']}\n"
            f"    vault_prefix: nexus/dev{production}\n"
            f"  test:\n    nexus_url: {places['nexus_url']}\n    vault_addr: {places['vault_addr']}\n"
            "    vault_prefix: nexus/test\n"
        )

    @property
    def manifest(self) -> Path:
        return self.folder / "manifests" / "apps.yaml"

    def write(self, text: str) -> None:
        self.manifest.write_text(text, encoding="utf-8")

    def settings(self, text: str) -> None:
        (self.folder / "registrar.yaml").write_text(text, encoding="utf-8")

    def command(self, *words: str) -> int:
        """The same by the command line, in this process."""
        said = io.StringIO()
        with self.environment(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return main(words)

    @contextlib.contextmanager
    def environment(self, **changes: str) -> Iterator[None]:
        """The environment and the folder that a session is opened in."""
        keys = {name: text for name, text in self.services.environ.items() if name not in ("NEXUS_URL", "VAULT_ADDR")}
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "SSL_CERT_FILE": "/dev/null",
            **keys,
            **changes,
        }
        with mock.patch.dict(os.environ, environ, clear=True), contextlib.chdir(self.folder):
            yield

    def app(self, *, readonly: bool = False, kind: type[RegistrarApp] = RegistrarApp) -> RegistrarApp:
        """The app over a session that nobody has used yet."""
        context = click.Context(click.Command("tui"), obj={})
        return kind(Opened(context, self.flags), readonly=readonly)


class Sitting:
    """The running app: press keys, wait until nothing is under way, and look."""

    def __init__(self, app: RegistrarApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        """These keys, and then whatever they have set off, to its end."""
        await self.pilot.press(*keys)
        await self.settled()

    async def type(self, text: str) -> None:
        await self.press(*(_KEY_NAMES.get(letter, letter) for letter in text))

    async def settled(self) -> None:
        """Until no worker runs and nothing waits to be drawn."""
        async with asyncio.timeout(_SETTLED_S):
            await self.pilot.pause(0.02)
            while any(worker.is_running for worker in self.app.workers):
                await self.pilot.pause(0.02)
            await self.pilot.pause(0.05)

    async def until(self, text: str) -> None:
        """Until this is on the screen."""
        async with asyncio.timeout(_SETTLED_S):
            while text not in self.screen:
                await self.pilot.pause(0.02)

    @property
    def page(self) -> str:
        """The name of the screen that has the keys."""
        return type(self.app.screen).__name__

    @property
    def lines(self) -> list[str]:
        """The screen as a person reads it."""
        width, height = self.app.size
        strips = self.app.screen._compositor.render_strips()
        assert len(strips) == height
        return ["".join(segment.text for segment in strip)[:width] for strip in strips]

    @property
    def screen(self) -> str:
        return "\n".join(self.lines)


_KEY_NAMES = {" ": "space", "/": "slash", ".": "full_stop", ":": "colon", "-": "minus", "_": "underscore", "@": "at"}


@contextlib.asynccontextmanager
async def sitting(app: RegistrarApp, size: tuple[int, int] = NARROW) -> AsyncIterator[Sitting]:
    """The app running at this size, loaded."""
    async with app.run_test(size=size, notifications=True) as pilot:
        at = Sitting(app, pilot)
        await at.settled()
        yield at
    app.session.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    """A test that waits for the app."""
    asyncio.run(test)

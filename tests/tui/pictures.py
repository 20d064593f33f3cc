"""Pictures of the app: a desk whose ids are counted, an app that draws no port or date, and the README's picture.

`python -m tests.tui.pictures` draws `.docs/tui.svg` anew.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input

import registrar.tui.app
from registrar.tui.app import RegistrarApp
from registrar.wording import visible
from tests.cli.services import serving
from tests.tui.desk import Desk, Sitting, run, sitting

PICTURE = Path(__file__).parents[2] / ".docs" / "tui.svg"
SIZE = (110, 30)

DECLARED = """\
# The applications of the twin platform.
apps:
  - name: Digital Twin Viewer    # what users see
    redirect_uri: https://viewer.example.org/oauth/callback
    base_url: https://viewer.example.org
    owner_email: twin-team@example.org
    path: viewer

  - name: Sensor Catalogue
    redirect_uri: https://sensors.example.org/auth/callback
    base_url: https://sensors.example.org
    owner_email: sensors@example.org
    path: sensors

  - name: Control Room
    redirect_uri: https://control.example.org/cb
    owner_email: control@example.org
    path: control

  - name: Ticket Desk
    redirect_uri: https://tickets.example.org/cb
    owner_email: desk@example.org
    path: tickets
"""
LATER = """\

  - name: Lab Notebook
    redirect_uri: https://notebook.example.org/oauth/callback
    owner_email: lab@example.org
    path: notebook
"""
_BY_HAND = {
    "name": "Weather Archive",
    "redirect_uri": "https://weather.example.org/cb",
    "owner_email": "met@example.org",
}

_GAP = r"(?: |&#160;)"
_FIXED = (
    (re.compile(r"127\.0\.0\.1:\d{5}"), "127.0.0.1:40000"),
    (re.compile(rf"\d{{4}}-\d\d-\d\d({_GAP})\d\d:\d\d:\d\d"), r"2026-11-05\g<1>09:30:00"),
    (re.compile(rf"\d{{4}}-\d\d-\d\d({_GAP})\d\d:\d\d"), r"2026-11-05\g<1>09:30"),
    (re.compile(r"terminal-\d+-"), "terminal-"),
)
"""What differs from run to run, each as a text of the same length."""


class Pictured(RegistrarApp):
    """The app, whose pictures are the same whenever and wherever they are taken."""

    CSS_PATH = str(Path(registrar.tui.app.__file__).with_name("app.tcss"))

    def freshness(self) -> Content:
        told = super().freshness()
        return Content("fresh") if "old" in told.plain and not self.trouble else told

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        drawn = super().export_screenshot(title=title, simplify=simplify)
        for found, fixed in _FIXED:
            drawn = found.sub(fixed, drawn)
        return drawn


class _Counted:
    """Ids in the order they are asked for, of the shape that chance gives them."""

    def __init__(self) -> None:
        self._tokens, self._ids = itertools.count(), itertools.count()

    def token(self, size: int) -> str:
        drawn = hashlib.shake_256(f"token {next(self._tokens)}".encode()).digest(size)
        return base64.urlsafe_b64encode(drawn).rstrip(b"=").decode()

    def new_id(self) -> str:
        drawn = hashlib.shake_256(f"id {next(self._ids)}".encode()).digest(16)
        return "".join(chr(ord("a") + byte % 26) for byte in drawn)


@contextlib.contextmanager
def pictured(folder: Path) -> Iterator[Desk]:
    """A desk with an application of each common state, made one after another."""
    counted = _Counted()
    theirs = SimpleNamespace(**{name: getattr(secrets, name) for name in secrets.__all__})
    theirs.token_urlsafe = counted.token
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch("registrar.sandbox.nexus_store.secrets", theirs))
        for place in ("registrar.lock", "registrar.reconcile.registering"):
            stack.enter_context(mock.patch(f"{place}.new_id", counted.new_id))
        for place in ("rows", "words"):
            stack.enter_context(mock.patch(f"registrar.tui.{place}.age", lambda since, _: "3d" if since else ""))
        named = "registrar.tui.screens.edit.visible"
        stack.enter_context(mock.patch(named, lambda text: visible(text).replace(f"{folder.resolve()}/", "")))
        desk = Desk(folder, stack.enter_context(serving()))
        stack.enter_context(desk.environment())
        desk.write(DECLARED)
        for path in ("viewer", "sensors", "control", "tickets"):
            assert desk.command("apply", "--yes", "--only", path) == 0
        assert desk.command("rotate", "control", "--yes") == 0
        desk.services.set_archived("Ticket Desk")
        desk.services.by_hand.update(
            desk.services.id_of("Sensor Catalogue"), {"base_url": "https://elsewhere.example.org"}
        )
        desk.services.by_hand.create(_BY_HAND)
        desk.write(DECLARED + LATER)
        yield desk


def still(pilot: Pilot[None]) -> None:
    """Nothing that moves by the clock: no notes, no blinking cursor."""
    pilot.app.clear_notifications()
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False


async def main_page(at: Sitting) -> None:
    """The first page with the cursor on what has drifted."""
    while "drift" not in at.lines[2 + getattr(at.app.screen.query_one("#list"), "cursor", 0)]:
        await at.press("down")


def picture(folder: Path) -> str:
    """The README's picture."""
    drawn: list[str] = []

    async def draw() -> None:
        async with sitting(desk.app(kind=Pictured), SIZE) as at:
            await main_page(at)
            still(at.pilot)
            await at.settled()
            drawn.append(at.app.export_screenshot(title="registrar", simplify=True))

    with pictured(folder) as desk:
        run(draw())
    return drawn[0]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as _folder:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(picture(Path(_folder) / "checkout"), encoding="utf-8")
        print(PICTURE)

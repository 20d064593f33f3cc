"""The pages as they are drawn, each after what must be on them in words; `--snapshot-update` accepts other drawings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui import pictures
from tests.tui.desk import HUGE, NARROW, WIDE, Desk, Sitting
from tests.tui.pictures import PICTURE, Pictured, main_page, pictured, still

Compare = Callable[..., bool]
Steps = Callable[[Sitting], Awaitable[None]]

_REPORTS = "TEXTUAL_SNAPSHOT_TEMPDIR"
"""Where the plugin keeps what its report is made of."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    kept = {_REPORTS: os.environ[_REPORTS]}
    with pictured(tmp_path / "checkout") as made, made.environment(**kept):
        yield made


def app(desk: Desk) -> Pictured:
    made = desk.app(kind=Pictured)
    assert isinstance(made, Pictured)
    return made


@contextlib.contextmanager
def closing(made: Pictured) -> Iterator[Pictured]:
    try:
        yield made
    finally:
        made.session.close()


def after(steps: Steps) -> Callable[[Pilot[None]], Awaitable[None]]:
    """These steps, and then nothing moves."""

    async def before(pilot: Pilot[None]) -> None:
        at = Sitting(pilot.app, pilot)  # type: ignore[arg-type]
        await at.settled()
        await steps(at)
        still(pilot)
        await at.settled()

    return before


async def _main(at: Sitting) -> None:
    await main_page(at)
    for said in ("! blocked     Ticket", "~ drift       Sensor", "? by hand     Weather", "+ 1 new", "Filter"):
        assert said in at.screen
    assert "registrar apply --only sensors" in at.screen


async def _plan(at: Sitting) -> None:
    await at.press("a")
    await at.until("1 to update")
    assert "1 to create" in at.screen
    assert "registrar apply" in at.screen
    await at.press("down")
    assert at.page == "PlanPage"


async def _confirm(at: Sitting) -> None:
    await main_page(at)
    await at.press("down", "down", "down", "x")
    await at.until("1 to retire")
    await at.press("a")
    assert at.page == "Confirm"
    assert "Type its name to go on: Control Room" in at.screen
    assert "nobody signs in through it any more" in at.screen


async def _report(at: Sitting) -> None:
    await main_page(at)
    await at.press("p")
    await at.until("1 to update")
    await at.press("a", "right", "enter")
    await at.until("1 done")
    assert "Sensor Catalogue" in at.screen
    at.app.clear_notifications()


async def _credential(at: Sitting) -> None:
    await main_page(at)
    await at.press("down", "down", "down", "c")
    assert at.page == "CredentialPage"
    assert "client_secret  ****" in at.screen
    assert "secret/nexus/dev/control" in at.screen
    assert "retiring" in at.screen


async def _edit(at: Sitting) -> None:
    await main_page(at)
    await at.press("e")
    await at.type("#")
    await at.pilot.pause(0.4)
    await at.settled()
    assert "RU002" in at.screen


async def _help(at: Sitting) -> None:
    await at.press("question_mark")
    assert at.page == "Help"
    assert "Plan and apply everything that the manifests declare" in at.screen


async def _light(at: Sitting) -> None:
    at.app.theme = "textual-light"
    await _main(at)


_PAGES: dict[str, tuple[Steps, tuple[tuple[int, int], ...]]] = {
    "main": (_main, (NARROW, WIDE, HUGE)),
    "plan": (_plan, (NARROW, WIDE)),
    "confirm": (_confirm, (NARROW, WIDE)),
    "report": (_report, (NARROW, WIDE)),
    "credential": (_credential, (NARROW, WIDE)),
    "edit": (_edit, (NARROW, HUGE)),
    "help": (_help, (NARROW,)),
    "light": (_light, (NARROW,)),
}


@pytest.mark.parametrize(
    ("page", "size"),
    [
        pytest.param(page, size, id=f"{page}-{size[0]}x{size[1]}")
        for page, (_, sizes) in _PAGES.items()
        for size in sizes
    ],
)
def test_a_page(page: str, size: tuple[int, int], desk: Desk, snap_compare: Compare) -> None:
    with closing(app(desk)) as made:
        assert snap_compare(made, terminal_size=size, run_before=after(_PAGES[page][0]))


def test_without_colours(desk: Desk, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with closing(app(desk)) as made:
        assert made.no_color
        assert snap_compare(made, terminal_size=NARROW, run_before=after(_main))


def test_the_picture_in_the_readme_is_of_this_app(tmp_path: Path) -> None:
    drawn = pictures.picture(tmp_path / "checkout")
    assert drawn == PICTURE.read_text(encoding="utf-8"), "python -m tests.tui.pictures draws it anew"
    readme = (PICTURE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"({PICTURE.relative_to(PICTURE.parents[1])})" in readme

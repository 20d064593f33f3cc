"""Keys at random, over every page and dialog, at sizes that change: no crash, no yes by chance, nothing lost or twice.

`REGISTRAR_SOAK_SEED` repeats a run; `REGISTRAR_SOAK_KEYS=10000` is the whole soak, in minutes. No secret is ever typed.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import traceback
from typing import Any

import click
import pytest

from registrar.cli.opened import Opened
from registrar.model import Mark
from registrar.tui.app import RegistrarApp
from registrar.tui.screens.applications import Applications
from registrar.tui.screens.dialogs import Confirm
from registrar.world import formers
from tests.tui.desk import HUGE, NARROW, WIDE, Desk, Sitting, run, sitting

_SEED, _COUNT = (os.environ.get(f"REGISTRAR_SOAK_{name}") for name in ("SEED", "KEYS"))  # the desk has another environ
_BATCH, _LOOK_EVERY = 10, 50
_SIZES = (NARROW, WIDE, HUGE)

MANIFEST = """\
# Of every state one.
apps:
  - {name: In Sync, redirect_uri: "https://sync.example.org/cb", owner_email: a@example.org, path: sync}
  - {name: Drifted, redirect_uri: "https://drift.example.org/cb", base_url: "https://drift.example.org", path: drift}
  - {name: Retired, redirect_uri: "https://retired.example.org/cb", path: retired}
  - {name: Rotated, redirect_uri: "https://rotated.example.org/cb", path: rotated}
  - {name: Archived, redirect_uri: "https://archived.example.org/cb", path: archived}
"""
_NEW = """\
  - {name: New, redirect_uri: "https://new.example.org/cb", path: new}
  - {name: Taken, redirect_uri: "https://taken.example.org/cb", path: taken}
"""
_GONE = """\
  - {name: Undeclared, redirect_uri: "https://gone.example.org/cb", path: gone}
"""
_BY_HAND = (
    {"name": "By Hand", "redirect_uri": "https://hand.example.org/cb", "owner_email": "o@example.org"},
    {"name": "Taken", "redirect_uri": "https://elsewhere.example.org/cb"},
)

_KEYS: tuple[tuple[float, str], ...] = (
    (16, "up down left right tab shift+tab pageup pagedown home end"),
    (14, "escape enter"),
    (6, "space slash backspace"),
    (14, "p a n e c v t x u o i P V y r"),
    (6, "s b B ctrl+s ctrl+d"),
    (3, "L D S question_mark ctrl+p"),
    (4, "j k g G h w 0 1 9 full_stop colon number_sign"),
    (0.4, "q ctrl+q"),
)
"""Keys with how likely one of each group is; what ends the app has it started again."""

_CHOICES = tuple((weight / len(keys.split()), key) for weight, keys in _KEYS for key in keys.split())


def furnish(desk: Desk) -> frozenset[str]:
    """Applications of every state; the client ids of those that a person has registered."""
    desk.write(MANIFEST + _GONE)
    assert desk.command("apply", "--yes") == 0
    assert desk.command("rotate", "rotated", "--yes") == 0
    assert desk.command("retire", "retired", "--yes") == 0
    desk.services.set_archived("Archived")
    desk.services.by_hand.update(desk.services.id_of("Drifted"), {"base_url": "https://elsewhere.example.org"})
    made = [desk.services.by_hand.create(fields).client_id for fields in _BY_HAND]
    desk.write(MANIFEST + _NEW)
    return frozenset(made)


class Monkey:
    """Whoever presses the keys, by a seed."""

    def __init__(self, desk: Desk, seed: int, keys: int) -> None:
        self.desk, self.seed, self.left = desk, seed, keys
        self.random = random.Random(seed)  # a test's chance, which must repeat
        self.pressed: list[str] = []
        self.pages: dict[str, int] = {}
        self.starts = self.typed = 0
        self.hurried = False

    async def soak(self) -> None:
        while self.left > 0:
            app = self.desk.app()
            app.animation_level = "none"
            self.starts += 1
            try:
                async with sitting(app, self.size()) as at:
                    await self.some(at, [])
                    await self.some(at, ["p"])  # where most is at stake, whatever chance says
                    while self.left > 0 and not _over(app):
                        await self.some(at)
                    if not _over(app):
                        await self.calm(at)
            finally:
                assert app.crash is None, self.told(app)

    def size(self) -> tuple[int, int]:
        return self.random.choices(_SIZES, (8, 2, 1))[0]

    async def some(self, at: Sitting, keys: list[str] | None = None) -> None:
        keys = self.next(at) if keys is None else keys
        self.hurried = self.random.random() < 0.3
        self.pressed += keys
        self.left -= len(keys)
        if len(self.pressed) // 1000 > (len(self.pressed) - len(keys)) // 1000:
            print(len(self.pressed), "keys", flush=True)
        try:
            await asyncio.wait_for(at.pilot.press(*keys), 30)
        except Exception as error:
            if isinstance(error, TimeoutError) and _over(at.app):
                return  # a pilot waits for what an app that has ended will never draw
            raise AssertionError(self.told(at.app)) from error
        assert at.app.crash is None, self.told(at.app)
        if _over(at.app):
            return
        assert isinstance(at.app.screen_stack[1], Applications), self.told(at.app)  # below whatever there is
        self.pages[at.page] = self.pages.get(at.page, 0) + 1
        if self.random.random() < 0.03:
            await at.pilot.resize_terminal(*self.size())
        if len(self.pressed) % _LOOK_EVERY < _BATCH:
            await self.calm(at)
            await self.drawn(at)

    def next(self, at: Sitting) -> list[str]:
        """What is pressed next: mostly anything, now and then what a question wants, which chance would not hit."""
        screen, chance = at.app.screen, self.random.random()
        if isinstance(screen, Confirm) and chance < 0.35:
            if not screen._typed:
                return ["right", "enter"]
            if at.app.focused is not None and at.app.focused.id == "typed":
                self.typed += 1
                return [*(_named(letter) for letter in screen._typed), "enter"]
        if at.page == "Edit" and chance < 0.2:
            name = f"App {self.random.randrange(6)}"
            uri = f"https://{self.random.choice('abc')}{self.random.randrange(9)}.example.org/cb"
            text = self.random.choice((name, uri))
            return [*(_named(letter) for letter in text), self.random.choice(("tab", "ctrl+s"))]
        weights, keys = zip(*((weight, key) for weight, key in _CHOICES), strict=True)
        return self.random.choices(keys, weights, k=min(_BATCH, self.left))

    async def soon(self, *_limits: float) -> None:
        """Until most of what a key does is done; in a hurry the next one is there before anything is."""
        if self.hurried:
            return
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    async def calm(self, at: Sitting) -> None:
        """Until nothing is under way."""
        for _ in range(600):
            if not any(worker.is_running for worker in at.app.workers):
                return
            await at.pilot.pause(0.02)
        raise AssertionError(f"it does not come to rest: {self.told(at.app)}")

    async def drawn(self, at: Sitting) -> None:
        """Every line there is, as wide as the terminal; a resize is drawn a moment later."""
        width, height = at.app.size
        for _ in range(100):
            if at.app.screen._compositor.size == (width, height):
                break
            await at.pilot.pause(0.02)
        strips = at.app.screen._compositor.render_strips()
        assert [strip.cell_length for strip in strips] == [width] * height, self.told(at.app)

    def told(self, app: RegistrarApp) -> str:
        crash = "".join(traceback.format_exception(app.crash)) if app.crash else ""
        return (
            f"REGISTRAR_SOAK_SEED={self.seed}, after {len(self.pressed)} keys, the last {self.pressed[-30:]} on "
            f"{[type(screen).__name__ for screen in app.screen_stack] if app._screen_stacks else '-'}\n{crash}"
        )


def _over(app: RegistrarApp) -> bool:
    return bool(app._exit or app.crash or not app.is_running)


def _named(letter: str) -> str:
    names = {" ": "space", "/": "slash", ".": "full_stop", ":": "colon", "-": "minus"}
    return names.get(letter, letter)


def nothing_lost(desk: Desk, by_hand: frozenset[str]) -> None:
    """Each living application is a person's, or the one that exactly one record names; no mark is left."""
    living = {one["client_id"]: one for one in desk.services.registered(archived=False)}
    assert not [one for one in living.values() if Mark.parse(one["description"])]
    holders: dict[str, list[str]] = {}
    for name in ("dev", "test"):
        session = Opened(click.Context(click.Command("tui"), obj={}), {"target": name})
        try:
            world = session.observe()
        finally:
            session.close()
        for record in world.records:
            if record.facts is None:
                continue
            for client_id in {record.facts.client_id, *(one.client_id for one in formers(record.facts))}:
                holders.setdefault(client_id, []).append(f"{name}/{record.path}")
    for client_id, one in living.items():
        found = holders.get(client_id, [])
        assert len(found) == 1 or (not found and client_id in by_hand), (one, found)


def test_random_keys(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = int(_SEED or secrets.randbelow(1_000_000))
    keys = int(_COUNT or 300)
    print(f"REGISTRAR_SOAK_SEED={seed} REGISTRAR_SOAK_KEYS={keys}")
    broken: list[str] = []
    dismiss = Confirm.dismiss

    def guarded(self: Confirm, result: bool | None = None) -> Any:
        if result and self._typed and self.query_one("#typed").value != self._typed:  # type: ignore[attr-defined]
            broken.append(self._typed)
        return dismiss(self, result)

    monkeypatch.setattr(Confirm, "dismiss", guarded)
    monkey = Monkey(desk, seed, keys)
    for place in ("textual.app", "textual.pilot"):
        monkeypatch.setattr(f"{place}.wait_for_idle", monkey.soon)  # theirs waits for a process without other threads
    monkeypatch.setattr("textual.screen.UPDATE_PERIOD", 0.25)  # most of a soak would be drawing what nobody sees
    by_hand = furnish(desk)
    run(monkey.soak())
    print(f"{len(monkey.pressed)} keys, {monkey.starts} starts, {monkey.typed} confirmed by name")
    print(f"pages {monkey.pages}")
    told = f"REGISTRAR_SOAK_SEED={seed}"
    assert not broken, told
    assert {"Applications", "PlanPage"} <= monkey.pages.keys(), told
    nothing_lost(desk, by_hand)

"""How fast the app is beside a bare Textual app with one DataTable: `python -m tests.tui.benchmark [--json FILE]`.

Ratios within one run, the two alternated and repeated, so that they mean the same on any machine: median and spread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import DataTable

from registrar.model import Registered, Target
from registrar.tui.app import RegistrarApp
from registrar.tui.table import Table
from registrar.world import World

ROWS, REPEATS, KEYS = 10_000, 7, 10
_SIZE = (120, 40)
_COLUMNS = ("STATE", "NAME", "HOST", "PATH", "MNV", "AGE", "PROOF", "OWNER")
_TARGET = Target("dev", "http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:2")
_PROCESS = "from tests.tui.benchmark import first; import sys; first(sys.argv[1])"


def world(rows: int) -> World:
    """So many applications registered by hand, which is a line each."""
    registered = tuple(
        Registered(
            number,
            f"client-{number}",
            f"Application {number:05d}",
            f"https://host{number}.example.org/cb",
            owner_email=f"owner{number % 97}@example.org",
        )
        for number in range(rows)
    )
    return World(_TARGET, (), registered, ())


class Still:
    """A session that has looked already; the app calls nothing else of it here."""

    flags: ClassVar[tuple[str, ...]] = ()
    targets: ClassVar[tuple[str, ...]] = ("dev",)
    manifests: ClassVar[tuple[str, ...]] = ()
    target = _TARGET

    def __init__(self, rows: int) -> None:
        self.on_request = None
        self._world = world(rows)

    def observe(self) -> World:
        return self._world

    def close(self) -> None:
        """Nothing was opened."""


class Ours(RegistrarApp):
    """The app, which knows when it was painted last."""

    CSS_PATH = str(Path(sys.modules[RegistrarApp.__module__].__file__ or "").with_name("app.tcss"))
    painted = 0.0
    shown: tuple[int, int] = (0, 0)

    def __init__(self, rows: int) -> None:
        super().__init__(Still(rows))  # type: ignore[arg-type]

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, renderable)
        self.painted, self.shown = time.perf_counter(), self.state()

    async def ready(self) -> None:
        while self.loading_world or self.seen is None or self.screen.query("#list").first().size.height == 0:
            await asyncio.sleep(0)

    def state(self) -> tuple[int, int]:
        """The row of the cursor, and how many there are."""
        found = [one for screen in self.screen_stack for one in screen.query("#list").results(Table)]
        return (found[0].cursor, len(found[0].rows)) if found else (0, 0)

    async def filtered(self, text: str) -> None:
        """One key in the filter."""
        self.post_message(events.Key(text, text))


class Bare(App[None]):
    """One DataTable."""

    painted = 0.0
    shown: tuple[int, int] = (0, 0)

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = [
            ("? by hand", one.name, f"host{one.id}.example.org", "", "·N·", "", "", one.owner_email)
            for one in world(rows).registered or ()
        ]

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns(*_COLUMNS)
        table.add_rows(self._rows)
        table.focus()

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, renderable)
        self.painted, self.shown = time.perf_counter(), self.state()

    async def ready(self) -> None:
        while self.screen.query(DataTable).first().size.height == 0:
            await asyncio.sleep(0)

    def state(self) -> tuple[int, int]:
        """The row of the cursor, and how many there are."""
        found = [one for screen in self.screen_stack for one in screen.query(DataTable)]
        return (found[0].cursor_row, found[0].row_count) if found else (0, 0)

    async def filtered(self, text: str) -> None:
        table = self.query_one(DataTable)
        table.clear()
        table.add_rows([row for row in self._rows if any(text in cell.casefold() for cell in row)])


Kind = Callable[[int], Any]


async def _painted(app: Any, act: Callable[[], Awaitable[None]]) -> float:
    """Seconds from an act until what it changed is painted."""
    was, before = app.state(), time.perf_counter()
    await act()
    while app.shown == was or app.painted < before:
        await asyncio.sleep(0)
    return float(app.painted - before)


async def first_paint(kind: Kind) -> float:
    """Seconds from nothing to the first painted page with its rows, in a process that has everything imported."""
    before = time.perf_counter()
    app = kind(20)
    async with app.run_test(size=_SIZE):
        await app.ready()
        while app.shown[1] < 20:
            await asyncio.sleep(0)
        return float(app.painted - before)


async def keys(kind: Kind, rows: int, presses: int) -> dict[str, float]:
    """Seconds from a key to what it changed on the screen, the median of some presses."""
    app = kind(rows)
    found: dict[str, float] = {}
    async with app.run_test(size=_SIZE) as pilot:
        await app.ready()
        await pilot.pause(0.2)

        async def press(key: str) -> None:
            app.post_message(events.Key(key, key if len(key) == 1 else None))

        for name, key in (("cursor down", "down"), ("page down", "pagedown")):
            times = []
            for _ in range(presses):
                times.append(await _painted(app, lambda key=key: press(key)))  # type: ignore[misc]
                await asyncio.sleep(0.03)
            found[name] = statistics.median(times)
        if isinstance(app, Ours):
            await pilot.press("slash")
        found["filter key"] = await _painted(app, lambda: app.filtered("7"))
    return found


def first(kind: str) -> None:
    """In a process of its own: paint once and end."""
    asyncio.run(first_paint(Ours if kind == "ours" else Bare))


def _process(kind: str) -> float:
    before = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", _PROCESS, kind], check=True, cwd=Path(__file__).parents[2], capture_output=True
    )
    return time.perf_counter() - before


@dataclass(frozen=True)
class Result:
    """One measurement in milliseconds: ours, the bare one's, and how many times as long ours takes."""

    name: str
    ours_ms: float
    bare_ms: float
    ratio: float
    lowest: float
    highest: float


def _result(name: str, pairs: Sequence[tuple[float, float]]) -> Result:
    ratios = sorted(ours / bare for ours, bare in pairs)
    ours, bare = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    return Result(name, ours, bare, statistics.median(ratios), ratios[0], ratios[-1])


def measure(*, rows: int = ROWS, repeats: int = REPEATS, presses: int = KEYS, processes: bool = True) -> list[Result]:
    """Everything, the two sides in turn."""
    pairs: dict[str, list[tuple[float, float]]] = {}

    def add(ours: Mapping[str, float], bare: Mapping[str, float]) -> None:
        for name in ours:
            pairs.setdefault(name, []).append((ours[name], bare[name]))

    for kind in (Ours, Bare):  # with what is imported late
        asyncio.run(first_paint(kind))
    for _ in range(repeats):
        add({"first paint": asyncio.run(first_paint(Ours))}, {"first paint": asyncio.run(first_paint(Bare))})
        if processes:
            name = "first paint, with the process"
            add({name: _process("ours")}, {name: _process("bare")})
        add(asyncio.run(keys(Ours, rows, presses)), asyncio.run(keys(Bare, rows, presses)))
    return [_result(name, found) for name, found in pairs.items()]


def table(results: Sequence[Result], rows: int) -> str:
    """The results in lines."""
    lines = [f"{'at ' + format(rows, ',') + ' rows':32}{'ours ms':>9}{'bare ms':>9}{'ratio':>7}  spread"]
    lines += [
        f"{one.name:32}{one.ours_ms:9.1f}{one.bare_ms:9.1f}{one.ratio:7.2f}  {one.lowest:.2f}-{one.highest:.2f}"
        for one in results
    ]
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args(words)
    results = measure(rows=given.rows, repeats=given.repeats)
    print(table(results, given.rows))
    if given.json:
        found = {"rows": given.rows, "repeats": given.repeats, "results": [asdict(one) for one in results]}
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Two ways to do the same work, run in turn so that both meet the same machine: ratios of time, with their spread.

Owns processes, clocks and the arithmetic; knows nothing of what is run. A ratio means the same on any machine, seconds
do not, so those are kept for the JSON alone.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cost:
    """What a whole process took: seconds on the clock, seconds of all cores, KiB of memory at most."""

    wall_s: float
    cpu_s: float
    peak_kib: int = 0


class Failed(Exception):
    """A process that ended with another code than it should have; its last words."""


def cost(command: Sequence[str], environ: Mapping[str, str], exits: Sequence[int] = (0,)) -> Cost:
    """Run a command to its end, its output thrown away unless it fails."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr
        words = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in exits:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {words[-2000:].decode(errors='replace')}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss)


Run = Callable[[], Cost]
"""Does the work once."""


def alternated(ours: Run, theirs: Run, repeats: int) -> Iterator[tuple[Cost, Cost]]:
    """Pairs of costs; who is first changes from pair to pair."""
    for number in range(repeats):
        if number % 2:
            other = theirs()
            yield ours(), other
        else:
            yield ours(), theirs()


@dataclass(frozen=True)
class Row:
    """A line of the table: the measured ratios and what they should be."""

    work: str
    against: str
    goal: float | None
    ratios: Sequence[float]
    more_is_better: bool = False
    unit: str = " x"
    cpu: float | None = None
    """The same ratio for the seconds of all cores that our process and the other one used."""
    notes: str = ""
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        if self.goal is None:
            return True
        return self.median >= self.goal if self.more_is_better else self.median <= self.goal

    def line(self) -> tuple[str, ...]:
        """As it is shown: work, against, goal, median, spread, the ratio of cores, whether the goal is met."""
        low, high = min(self.ratios), max(self.ratios)
        return (
            self.work,
            self.against,
            "" if self.goal is None else f"{'≥' if self.more_is_better else '≤'} {self.goal:g}{self.unit}",
            f"{self.median:.2f}{self.unit}",
            f"{low:.2f}-{high:.2f}" if len(self.ratios) > 1 else "once",
            "" if self.cpu is None else f"{self.cpu:.2f} x",
            "" if self.goal is None else "met" if self.met else "missed",
        )


def contest(
    work: str,
    against: str,
    goal: float | None,
    ours: Run,
    theirs: Run,
    repeats: int,
    *,
    faster: bool = False,
    scale: float = 1.0,
    notes: str = "",
) -> Row:
    """A row out of alternated runs; `faster` turns the ratio round, `scale` is how often they would do their work."""
    pairs = list(alternated(ours, theirs, repeats))
    ratios = [own.wall_s / (other.wall_s * scale) for own, other in pairs]
    if faster:
        ratios = [1 / ratio for ratio in ratios]
    return Row(
        work,
        against,
        goal,
        ratios,
        more_is_better=faster,
        cpu=statistics.median(own.cpu_s / (other.cpu_s * scale) for own, other in pairs),
        notes=notes,
        seconds={"ours": [own.wall_s for own, _ in pairs], "theirs": [other.wall_s for _, other in pairs]},
    )


def exponent(small: Sequence[float], large: Sequence[float], factor: float) -> float:
    """By which power of the size a cost grows, from medians at two sizes that differ by this factor; 1 is linear."""
    return math.log(statistics.median(large) / statistics.median(small)) / math.log(factor)


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process that we have started, whatever happens."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""How many steps at once where nobody has said so: as many as bring more of them to an end, and no more.

A create costs Nexus 0.12 s of a core. With two cores more than a few in flight only queue, before everybody who signs
in meanwhile; over a slow line it takes more to keep them busy. Which of the two it is shows in what comes to an end.
Must never hold up a step that has begun.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FEW: Final = 4
MOST: Final = 16
_GAIN: Final = 1.25
"""How many times as many have to end in the same time, for twice as many at once to stay."""
_WINDOW: Final = 3
"""Ends to look at for each step at once."""


class Concurrency:
    """A limit that doubles for as long as that pays; `wanted` is one that somebody chose, and stays."""

    def __init__(self, wanted: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = wanted or MOST
        self.limit = wanted or FEW
        self._rising = wanted is None
        self._clock = clock
        self._free = threading.Condition()
        self._running = 0
        self._ended = 0
        self._since: float | None = None
        self._rate = 0.0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for one of the places, and leave it at the end."""
        with self._free:
            self._free.wait_for(lambda: self._running < self.limit)
            self._running += 1
            if self._since is None:
                self._since = self._clock()
        try:
            yield
        finally:
            with self._free:
                self._running -= 1
                self._ended += 1
                if self._rising and self._ended >= _WINDOW * self.limit:
                    self._look()
                self._free.notify(max(self.limit - self._running, 0))  # all of them would wake up for one place

    def _look(self) -> None:
        """Go on doubling, or back to where twice as many brought too little."""
        now = self._clock()
        rate = self._ended / max(now - (self._since or 0.0), 1e-9)
        if rate < self._rate * _GAIN:
            self.limit //= 2
            self._rising = False
        elif self.limit == MOST:
            self._rising = False
        else:
            self.limit, self._rate = self.limit * 2, rate
        self._ended, self._since = 0, now

"""How much is read of manifests that a merge request may have brought along: files, bytes, folders in folders, time.

Must never be what an honest repository meets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from registrar.errors import ManifestsInvalid


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read at once: far more than any repository has, and less than what stops a pipeline for an hour."""

    files: int = 20_000
    size_bytes: int = 128 * 1024 * 1024
    depth: int = 16  # of folders below the one that was named
    time_s: float = 120.0


LIMITS: Final = Limits()


@dataclass
class Reading:
    """What has been read so far; raises ManifestsInvalid where it is more than the limits allow."""

    limits: Limits
    files: int = 0
    size_bytes: int = 0
    began_s: float = field(default_factory=time.monotonic)

    def enter(self, depth: int) -> None:
        """A folder this far below the one that was named."""
        if depth > self.limits.depth:
            raise _too_much(f"folders in folders, more than {self.limits.depth} deep")
        self.go_on()

    def find(self) -> None:
        """One more file."""
        self.files += 1
        if self.files > self.limits.files:
            raise _too_much(f"more than {self.limits.files:,} files")

    def take(self, data: bytes) -> None:
        """What is in one of them."""
        self.size_bytes += len(data)
        if self.size_bytes > self.limits.size_bytes:
            raise _too_much(f"more than {self.limits.size_bytes:,} bytes")
        self.go_on()

    def go_on(self) -> None:
        """Raise once it has taken too long."""
        if time.monotonic() - self.began_s > self.limits.time_s:
            raise _too_much(f"more than can be read in {self.limits.time_s:g} seconds")


def _too_much(what: str) -> ManifestsInvalid:
    hint = "name some of the manifests after the command, or make them fewer"
    return ManifestsInvalid(f"the manifests are {what}, so reading them was given up", hint=hint)

"""A file for others to read: there whole or not at all, in the place of the one before.

Owns how what is no secret gets into a file that a program watches. Must never leave half a file under that name.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from registrar.errors import UsageError
from registrar.private import beside_of, written


def free(file: Path) -> None:
    """Raise unless it can be written, before anything is asked for."""
    try:
        there = file.lstat().st_mode
    except FileNotFoundError:
        there = 0
    except OSError as error:
        raise _unwritable(file, error.strerror) from None
    if there and not (stat.S_ISREG(there) or stat.S_ISLNK(there)):
        raise _unwritable(file, "it is no file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise _unwritable(file, "Permission denied" if file.parent.is_dir() else "there is no such folder")


def write(file: Path, content: str) -> None:
    """Write it beside, under a name that no collector reads, and put it there in one step; mode 0644."""
    free(file)
    beside = beside_of(file)
    try:
        written(beside, content.encode(errors="backslashreplace"), 0o644)  # the collector is another user
        beside.replace(file)
    except OSError as error:
        raise _unwritable(file, error.strerror) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _unwritable(file: Path, reason: str | None) -> UsageError:
    return UsageError(f"{file} cannot be written: {reason}", hint="name a file in a folder of yours")

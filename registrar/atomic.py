"""A file that is there with all that it holds or not at all, and with its mode before there is a byte in it.

Owns how a secret gets into a file, or what a program watches. Must never write through what is there, be it a link
that points nowhere.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registrar.errors import UsageError

OURS: Final = 0o600
"""For its owner alone."""

ALL_READ: Final = 0o644
"""For others to read, whatever the umask says."""

AS_USUAL: Final = None
"""As the umask says."""


def free(file: Path, *, force: bool) -> None:
    """Raise unless it can be written, before anything is asked for; `write` has the last word."""
    try:
        there = file.lstat().st_mode
    except FileNotFoundError:
        there = 0
    except OSError as error:
        raise _unwritable(file, error.strerror) from None
    if there and not force:
        raise _taken(file)
    if there and not (stat.S_ISREG(there) or stat.S_ISLNK(there)):
        what = "a folder" if stat.S_ISDIR(there) else "no file but a device, a pipe or a socket"
        raise UsageError(f"{file} is {what}", hint="name a file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        reason = "Permission denied" if file.parent.is_dir() else "there is no such folder"
        raise UsageError(f"{file} cannot be written: {reason}", hint="name a file in a folder of yours")


def write(file: Path, content: bytes, *, force: bool, mode: int | None = OURS) -> None:
    """Write what is not there yet, or with `force` in the place of a file or a link; UsageError where it cannot be."""
    free(file, force=force)
    try:
        if force:
            replace(file, content, mode)
        else:
            _put(file.hardlink_to, file, content, mode)  # the one step that refuses whatever is there by then
    except FileExistsError:
        raise _taken(file) from None
    except OSError as error:
        raise _unwritable(file, error.strerror) from None


def replace(file: Path, content: bytes, mode: int | None) -> None:
    """Write it in the place of whatever is there; OSError where it cannot be, and what was there stays."""
    _put(lambda beside: beside.replace(file), file, content, mode)


def _put(there: Callable[[Path], object], file: Path, content: bytes, mode: int | None) -> None:
    """Write it beside, under a name that nobody looks for, see it on the disk, and put it there in one step."""
    beside = file.with_name(f".{file.name[:200]}.{secrets.token_hex(8)}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(handle, "wb") as stream:
            if mode is not None:
                os.fchmod(handle, mode)  # whatever the umask has taken of it
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        there(beside)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _taken(file: Path) -> UsageError:
    return UsageError(f"{file} is there already", hint="name another file, or replace it with --force")


def _unwritable(file: Path, reason: str | None) -> UsageError:
    return UsageError(f"{file} cannot be written: {reason}", hint="name another file")

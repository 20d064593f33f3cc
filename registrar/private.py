"""A file for its owner alone: 0600 before there is a byte in it, and there with all that it holds or not at all.

Owns how a secret gets into a file. Must never write through what is there, be it a link that points nowhere.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from registrar.errors import UsageError


def free(file: Path, *, force: bool) -> None:
    """Raise unless it can be written, before anything is asked for; `write` has the last word."""
    try:
        there = file.lstat().st_mode
    except FileNotFoundError:
        there = 0
    except OSError as error:
        raise _unwritable(file, error) from None
    if there and not force:
        raise _taken(file)
    if there and not (stat.S_ISREG(there) or stat.S_ISLNK(there)):
        what = "a folder" if stat.S_ISDIR(there) else "no file but a device, a pipe or a socket"
        raise UsageError(f"{file} is {what}", hint="name a file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        reason = "Permission denied" if file.parent.is_dir() else "there is no such folder"
        raise UsageError(f"{file} cannot be written: {reason}", hint="name a file in a folder of yours")


def write(file: Path, content: bytes, *, force: bool) -> None:
    """Write it beside and put it there in one step, with `force` in the place of a file or a link, 0600 in any case."""
    free(file, force=force)
    beside = beside_of(file)
    try:
        written(beside, content, 0o600)
        if force:
            beside.replace(file)
        else:
            file.hardlink_to(beside)  # the one step that refuses whatever is there by then
    except FileExistsError:
        raise _taken(file) from None
    except OSError as error:
        raise _unwritable(file, error) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def beside_of(file: Path) -> Path:
    """A name in the same folder that nobody has and nobody looks for."""
    return file.with_name(f".{file.name[:200]}.{secrets.token_hex(8)}")


def written(file: Path, content: bytes, mode: int) -> None:
    """Make a new file with this mode and content, and see it on the disk; OSError where that cannot be."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(handle, mode)  # whatever the umask has taken of it
        stream.write(content)
        stream.flush()
        os.fsync(handle)


def _taken(file: Path) -> UsageError:
    return UsageError(f"{file} is there already", hint="name another file, or replace it with --force")


def _unwritable(file: Path, error: OSError) -> UsageError:
    return UsageError(f"{file} cannot be written: {error.strerror}", hint="name another file")

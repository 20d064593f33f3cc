"""--out FILE: a file that is looked at before anything is asked, and once more when it is written."""

from __future__ import annotations

from pathlib import Path

from registrar.errors import UsageError


def destination(out: str | None, *, force: bool, command: str) -> Path | None:
    """The file that --out names, or None where it is not given; UsageError where it cannot be written."""
    from registrar import atomic

    if out is None:
        if force:
            raise UsageError("--force says nothing without --out", hint=f"{command} --out FILE --force")
        return None
    atomic.free(Path(out), force=force)
    return Path(out)

"""export: what lives in Nexus as a manifest; changes nothing in Nexus or Vault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import Format, data, document, output_option, say
from registrar.errors import UsageError


@examples(
    {
        "registrar export --out exported.yaml": "Begin with what is in Nexus already",
    }
)
@output_option
@connection_options
@click.command()
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Write the manifest there.")
@click.option("--force", is_flag=True, help="Write over FILE.")
@click.pass_context
def export(ctx: click.Context, /, out: str | None, force: bool, output: Format, **flags: Any) -> int:
    """Print the living applications of Nexus as a manifest.

    A comment on each says which record explains it. What `registrar validate` would refuse is commented out with the
    reason; what is half-made is left out.
    """
    from registrar import export as exporting
    from registrar import reconcile
    from registrar.cli.connection import connected

    file = _free(out, force=force)
    with connected(ctx, flags) as connection:
        found = exporting.export(reconcile.observe(connection.target, (), connection.nexus, connection.records))
        target = connection.target
    if file:
        _write(file, found.text, force=force)
    if output is Format.JSON:
        document(exporting.export_json(found, target))
    elif not file:
        data(found.text.rstrip("\n"))
    say(f"{found}{f': {out}' if file else ''}")
    return 0


def _free(out: str | None, *, force: bool) -> Path | None:
    """The file to write, looked at before anything is asked; `_write` looks once more."""
    if out is None:
        if force:
            raise UsageError("--force says nothing without --out", hint="registrar export --out FILE --force")
        return None
    if not force and Path(out).exists():
        raise _taken(out)
    return Path(out)


def _write(file: Path, text: str, *, force: bool) -> None:
    try:
        with file.open("w" if force else "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise _taken(str(file)) from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", hint="name another file") from None


def _taken(file: str) -> UsageError:
    return UsageError(f"{file} is there already", hint="name another file, or write over it with --force")

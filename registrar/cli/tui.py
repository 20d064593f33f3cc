"""tui: everything in one terminal application; parses, opens, hands over."""

from __future__ import annotations

import gc
import sys
from typing import Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import defect, fail
from registrar.errors import UsageError


@examples(
    {
        "registrar tui": "With the manifests that registrar.yaml names",
        "registrar --sandbox tui --readonly": "To look around, without any server",
    }
)
@connection_options
@click.command()
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--readonly", is_flag=True, help="Show everything, change nothing.")
@click.pass_context
def tui(ctx: click.Context, /, paths: tuple[str, ...], readonly: bool, **flags: Any) -> int:
    """A terminal home for sysadmins: look, register, rotate, retire.

    PATHS are the manifests; default: as registrar.yaml says.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the TUI needs a terminal", hint="registrar status shows the same in a pipe")

    from registrar.cli.flags import given
    from registrar.cli.opened import Opened
    from registrar.tui.app import RegistrarApp

    gc.set_threshold(100_000, 20, 20)  # it stays open, and a page that was left is a cycle
    session = Opened(ctx, flags, paths)
    app = RegistrarApp(session, readonly=readonly, monochrome=bool(given(ctx, flags).get("no_color")))
    try:
        app.run()
    finally:
        app.session.close()  # another one than at first, once somebody has switched
    return fail(defect(app.crash)) if app.crash else 0

"""status and show: what there is, changing nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples, several_targets
from registrar.cli.completion import applications
from registrar.cli.duration import Duration
from registrar.cli.output import Format, data, document, output_option, report_option, say

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.model import Target
    from registrar.status import Status
    from registrar.world import World

_manifests = click.option(
    "--manifests",
    "paths",
    multiple=True,
    type=click.Path(),
    help="Compare with these; default: as registrar.yaml says.",
)


@examples(
    {
        "registrar status": "Every application",
        "registrar status viewer --output json": "One of them, for a program",
        "registrar status --older-than 90d --output markdown": "For a ticket: drift, and credentials that are old",
    }
)
@report_option
@several_targets
@connection_options
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=applications)
@_manifests
@click.option("--older-than", type=Duration(), metavar="TIME", help="Tell credentials as old, as rotate does: 90d.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when anything is not in sync, or as old.")
@click.option("--out", metavar="FILE", type=click.Path(), help="Write to this file, in place of the one before.")
@click.pass_context
def status(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    paths: tuple[str, ...],
    older_than: timedelta | None,
    detailed_exitcode: bool,
    out: str | None,
    output: Format,
    **flags: Any,
) -> int:
    """Manifest, Nexus and Vault side by side.

    --out puts the file there in one step, mode 0644, as node exporter's textfile collector wants it with --output
    prometheus. Where the look fails, the file before stays as it is: let an alert watch
    registrar_seen_timestamp_seconds or node_textfile_mtime_seconds. Ages are counted by Vault's clock.
    """
    from registrar import atomic
    from registrar import plan as planning
    from registrar.cli import several
    from registrar.cli.connection import connected
    from registrar.config import Need
    from registrar.errors import UsageError
    from registrar.status import survey
    from registrar.together import STATUS

    if names and output is Format.PROMETHEUS:
        raise UsageError("metrics are of a whole target, not of some of its applications", hint="leave NAME out")
    file = Path(out) if out is not None else None
    if file:
        atomic.free(file, force=True)

    def look(flags: Mapping[str, Any]) -> tuple[Status, Target]:
        with connected(ctx, flags) as connection:
            world = _observed(connection, paths)
            todo = planning.plan(world, planning.Options(only=names))
            return survey(world, todo, names, older_than=older_than), connection.target

    def code(found: tuple[Status, Target]) -> int:
        return 2 if detailed_exitcode and (found[0].old or not found[0].in_sync) else 0

    return several.show(ctx, flags, Need.BOTH, look, STATUS, output, code, file=file)


@examples(
    {
        "registrar show viewer": "By its path",
        'registrar show "Digital Twin Viewer"': "By its name",
    }
)
@output_option
@connection_options
@click.command()
@click.argument("name", shell_complete=applications)
@_manifests
@click.pass_context
def show(ctx: click.Context, /, name: str, paths: tuple[str, ...], output: Format, **flags: Any) -> int:
    """One application: all three sides and its history."""
    from registrar import plan as planning
    from registrar import render
    from registrar.cli.connection import connected
    from registrar.errors import UsageError
    from registrar.status import survey

    with connected(ctx, flags) as connection:
        world = _observed(connection, paths)
        todo = planning.plan(world, planning.Options(only=(name,)))
    row, *others = survey(world, todo, (name,)).rows
    if others:
        paths = tuple(found.path for found in (row, *others))
        raise UsageError(f"{name!r} is the name of several: {', '.join(paths)}", hint="give the path")
    steps = [step for step in todo.steps if step.path == row.path]
    if output is Format.JSON:
        document(render.show_json(world, row, steps))
    else:
        data(render.show_text(world, row, steps))
    return 0


def _observed(connection: Connection, paths: tuple[str, ...]) -> World:
    """What there is; without manifests nothing is declared, which is said lest it be taken for the truth."""
    world = connection.observe(paths, optional=True)
    if not paths and connection.settings.manifests is None:
        say("No manifests to compare with: there is no registrar.yaml here; name some with --manifests PATH.")
    return world

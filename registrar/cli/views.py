"""status and show: what there is, changing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.completion import applications
from registrar.cli.output import Format, data, document, output_option, say

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
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
    }
)
@output_option
@connection_options
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=applications)
@_manifests
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when anything is not in sync.")
@click.pass_context
def status(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    paths: tuple[str, ...],
    detailed_exitcode: bool,
    output: Format,
    **flags: Any,
) -> int:
    """Manifest, Nexus and Vault side by side."""
    from registrar import plan as planning
    from registrar import render
    from registrar.cli.connection import connected
    from registrar.status import survey

    with connected(ctx, flags) as connection:
        world = _observed(connection, paths)
        found = survey(world, planning.plan(world, planning.Options(only=names)), names)
    if output is Format.JSON:
        document(render.status_json(found, connection.target))
    else:
        data(render.status_text(found, connection.target, colour=connection.colour))
    return 2 if detailed_exitcode and not found.in_sync else 0


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

"""creds: fetch what an application signs its users in with, and look at what there is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, no_command
from registrar.cli.output import Format, data, document, output_option, say

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.errors import AccessDenied
    from registrar.model import Credential, Record


@click.group(invoke_without_command=True)
@click.pass_context
def creds(ctx: click.Context, /) -> int | None:
    """Fetch the credential of an application."""
    return no_command(ctx)


@output_option
@connection_options
@creds.command(short_help="Print a credential.")
@click.argument("name")
@click.option("--field", type=click.Choice(["client_id", "client_secret"]), help="This value alone.")
@click.option("--reveal", is_flag=True, help="Show the secret on a terminal.")
@click.pass_context
def get(ctx: click.Context, /, name: str, field: str | None, reveal: bool, output: Format, **flags: Any) -> int:
    """Print a credential; on a terminal the secret is masked unless --reveal."""
    from registrar import render
    from registrar.cli.connection import connected

    with connected(ctx, flags, nexus=False) as connection:
        path, credential = _fetch(connection, name)
        location = connection.target.location(path)
    masked = sys.stdout.isatty() and not reveal and field != "client_id"
    secret = str(credential.client_secret) if masked else credential.client_secret.reveal()
    values = {"client_id": credential.client_id, "client_secret": secret}
    if field:
        data(values[field])
    elif output is Format.JSON:
        document(render.machine("credential", {"path": path, "location": location, **values}))
    else:
        data("\n".join(render.table(list(values.items()))))
    if masked:
        say("The secret is masked on a terminal; add --reveal to see it.")
    return 0


@output_option
@connection_options
@creds.command("list", short_help="List the credentials that this login may see.")
@click.pass_context
def list_(ctx: click.Context, /, output: Format, **flags: Any) -> int:
    """List the credentials that this login may see, from metadata alone: no secret is read."""
    from registrar import credentials
    from registrar.cli.connection import connected

    with connected(ctx, flags, nexus=False) as connection:
        records = credentials.held(connection.records.all().records)
    if output is Format.JSON:
        document(credentials.list_json(records, connection.target))
    else:
        data(credentials.list_text(records))
    return 0


@output_option
@connection_options
@creds.command(short_help="List the versions of a credential.")
@click.argument("name")
@click.pass_context
def history(ctx: click.Context, /, name: str, output: Format, **flags: Any) -> int:
    """List the versions of a credential, newest first: which is live and what became of the others.

    From metadata alone: no secret is read.
    """
    from registrar import credentials
    from registrar import history as past
    from registrar.cli.connection import connected

    with connected(ctx, flags, nexus=False) as connection:
        record = _record(connection, name)
    versions, target = past.history(record), connection.target
    if output is Format.JSON:
        document(credentials.history_json(record, versions, target))
    else:
        data(credentials.history_text(record, versions, target))
    return 0


def _record(connection: Connection, name: str) -> Record:
    """By path first, which needs no permission to list; else by name."""
    from registrar.errors import AccessDenied
    from registrar.lint import PATH
    from registrar.model import Kind

    refused: AccessDenied | None = None
    if PATH.fullmatch(name):
        try:
            if (record := connection.records.one(name)).kind is not Kind.NONE:
                return record
        except AccessDenied as error:
            refused = error
    return connection.records.one(_path(connection, name, refused))


def _fetch(connection: Connection, name: str) -> tuple[str, Credential]:
    """By path first, which needs no permission to list; else by name."""
    from registrar.errors import AccessDenied, StepFailed
    from registrar.lint import PATH

    refused: AccessDenied | None = None
    if PATH.fullmatch(name):
        try:
            if credential := connection.records.read(name):
                return name, credential
        except AccessDenied as error:
            refused = error
    path = _path(connection, name, refused)
    if credential := connection.records.read(path):
        return path, credential
    raise StepFailed(f"{connection.target.location(path)} holds no credential now", hint=f"registrar show {path}")


def _path(connection: Connection, name: str, refused: AccessDenied | None) -> str:
    """The one path that has this name; `refused` is what asking for it as a path has come to."""
    from registrar.errors import AccessDenied, UsageError
    from registrar.reconcile import observe

    try:
        world = observe(connection.target, (), None, connection.records)
    except AccessDenied as error:
        raise refused or error from None
    (path, *others) = sorted(world.select((name,)))
    if others:
        raise UsageError(f"{name!r} is the name of several: {', '.join([path, *others])}", hint="give the path")
    return path

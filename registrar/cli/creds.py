"""creds: fetch what an application signs its users in with, and look at what there is."""

from __future__ import annotations

import sys
from typing import Any

import click

from registrar.cli import connection_options, no_command
from registrar.cli.output import Format, data, document, output_option, say
from registrar.cli.template import template


@click.group(invoke_without_command=True)
@click.pass_context
def creds(ctx: click.Context, /) -> int | None:
    """Fetch the credential of an application."""
    return no_command(ctx)


creds.add_command(template)


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
    from registrar.cli.fetched import fetch

    with connected(ctx, flags, nexus=False) as connection:
        found = fetch(connection, name)
    path, location, credential = found.path, found.location, found.credential
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
    from registrar.cli.fetched import held

    with connected(ctx, flags, nexus=False) as connection:
        record = held(connection, name)
    versions, target = past.history(record), connection.target
    if output is Format.JSON:
        document(credentials.history_json(record, versions, target))
    else:
        data(credentials.history_text(record, versions, target))
    return 0

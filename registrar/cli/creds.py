"""creds: fetch what an application signs its users in with, and look at what there is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from registrar.cli import connection_options, examples, no_command
from registrar.cli.completion import applications
from registrar.cli.output import Format, data, document, output_option, say
from registrar.cli.template import template
from registrar.errors import StepFailed, UsageError

if TYPE_CHECKING:
    from registrar.client import Client
    from registrar.secret import Secret

# spelt again, since importing what has them for a --help would cost more than the whole command
_FIELDS: Final = ("client_id", "client_secret", "redirect_uri", "authorize_url", "exchange_url")
_FORMATS: Final = ("env", "dotenv", "json", "yaml", "shell")


@examples(
    {
        "registrar creds list": "Which there are",
        "registrar creds get viewer": "One of them; a terminal gets the secret masked",
    }
)
@click.group(invoke_without_command=True)
@click.pass_context
def creds(ctx: click.Context, /) -> int | None:
    """Fetch the credential of an application."""
    return no_command(ctx)


creds.add_command(template)


@examples(
    {
        "registrar creds get viewer": "Look at it; a terminal gets the secret masked",
        "registrar creds get viewer --field client_id": "One value",
        "registrar creds get viewer --format dotenv --out .env": "A file for a program, which you alone may read",
        'eval "$(registrar creds get viewer --format shell)"': "Into the variables of this shell",
    }
)
@output_option
@connection_options
@creds.command(short_help="Print a credential.")
@click.argument("name", shell_complete=applications)
@click.option("--field", type=click.Choice(_FIELDS), help="This value alone.")
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="Everything that a program needs, written so.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="That version; default: the current one.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write it there, for you alone (0600).")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--reveal", is_flag=True, help="Show the secret on a terminal.")
@click.pass_context
def get(
    ctx: click.Context,
    /,
    name: str,
    field: str | None,
    format_: str | None,
    version: int | None,
    out: str | None,
    force: bool,
    reveal: bool,
    output: Format,
    **flags: Any,
) -> int:
    """Print a credential; on a terminal the secret is masked unless --reveal.

    A pipe gets data alone: --field is the value and one line break, whoever reads it.

    \b
    --format env     NEXUS_CLIENT_ID=... lines for docker --env-file, unquoted
             dotenv  the same, quoted for the dotenv libraries
             shell   export NEXUS_CLIENT_ID='...' for sh, bash and zsh; not fish
             json    an object of the values by field
             yaml    a mapping of the same
    """
    from registrar import atomic, variables
    from registrar.cli.connection import connected
    from registrar.cli.fetched import fetch
    from registrar.cli.out import destination

    file = destination(out, force=force, command="registrar creds get NAME")
    if format_ and output is Format.JSON:
        told = "--format writes the values for a program, --output json tells of the record"
        raise UsageError(told, hint="leave out one of the two; --format json has the values alone")
    with connected(ctx, flags, nexus=False) as connection:
        found = fetch(connection, name, version or 0)
    fields = _chosen(found, field, every=format_ is not None)
    masked = "client_secret" in fields and sys.stdout.isatty() and not reveal and file is None
    values = {name: _open(found.values[name], masked=masked) for name in fields}
    text = variables.encoded(_text(found, values, field, format_, output))
    if file:
        atomic.write(file, text + b"\n", force=force)
        say(f"{found.location} v{found.version} is in {file}, which you alone may read (0600).")
    elif output is Format.JSON:
        document(text)
    else:
        data(text)
    if format_ and not field:
        _tell_unknown(found)
    if masked:
        say("The secret is masked on a terminal; add --reveal to see it.")
    return 0


def _chosen(found: Client, field: str | None, *, every: bool) -> tuple[str, ...]:
    """The fields to write; StepFailed where the one that is asked for is not known."""
    if field is None:
        return tuple(found.values) if every else ("client_id", "client_secret")
    if field not in found.values:
        told = f"nothing tells the {field} of {found.path}"
        raise StepFailed(told, hint=f"registrar show {found.path}", application=found.name)
    return (field,)


def _open(value: str | Secret, *, masked: bool) -> str:
    return value if isinstance(value, str) else str(value) if masked else value.reveal()


def _text(found: Client, values: Mapping[str, str], field: str | None, format_: str | None, output: Format) -> str:
    """What is written, in the way that was asked for."""
    from registrar import variables
    from registrar.wording import machine, table

    if format_:
        return variables.written(format_, values)
    if output is Format.JSON:
        return machine("credential", {"path": found.path, "location": found.location, **values})
    if field:
        return values[field]
    return "\n".join(table(list(values.items())))


def _tell_unknown(found: Client) -> None:
    if unknown := [name for name in _FIELDS if name not in found.values]:
        say(f"Nothing tells the {', '.join(unknown)} of {found.path}: left out.")


@examples(
    {
        "registrar creds list": "Path, name and state of each",
    }
)
@output_option
@connection_options
@creds.command("list", short_help="List the credentials that this login may see.")
@click.pass_context
def list_(ctx: click.Context, /, output: Format, **flags: Any) -> int:
    """List the credentials that this login may see, from metadata alone: no secret is read."""
    from registrar import credentials
    from registrar.cli.connection import connected

    with connected(ctx, flags, nexus=False) as connection:
        records = [record for record in connection.records.all().records if record.held]
    if output is Format.JSON:
        document(credentials.list_json(records, connection.target))
    else:
        data(credentials.list_text(records))
    return 0


@examples(
    {
        "registrar creds history viewer": "After a rotation: which version ends when",
    }
)
@output_option
@connection_options
@creds.command(short_help="List the versions of a credential.")
@click.argument("name", shell_complete=applications)
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

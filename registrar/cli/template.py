"""creds template: configuration for the tools that people already have, with the right mount and path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from registrar.cli import connection_options, examples
from registrar.cli.completion import applications
from registrar.cli.output import data

if TYPE_CHECKING:
    from registrar.model import Target

FORMS: Final = ("vault-agent", "external-secrets", "vso", "docker", "systemd")


@examples(
    {
        "registrar creds template vault-agent viewer > agent.hcl": "Files that Vault Agent keeps up to date",
        "registrar creds template external-secrets viewer": "A secret of Kubernetes",
    }
)
@connection_options
@click.command(short_help="Print configuration that fetches a credential with other tools.")
@click.argument("form", type=click.Choice(FORMS), metavar="|".join(FORMS))
@click.argument("name", shell_complete=applications)
@click.pass_context
def template(ctx: click.Context, /, form: str, name: str, **flags: Any) -> int:
    """Print configuration that fetches a credential with other tools.

    For Vault Agent, External Secrets Operator, Vault Secrets Operator, Docker Compose or systemd. A path is taken as it
    is, and nothing is asked; a name is looked up in metadata. No secret is read.
    """
    from registrar import templates

    target, path = _resolved(ctx, flags, name)
    data(templates.template(form, templates.place(target, path)))
    return 0


def _resolved(ctx: click.Context, flags: dict[str, Any], name: str) -> tuple[Target, str]:
    """The target and the record's path; it may be wanted before there is a record, or by who may not see metadata."""
    from registrar.cli.connection import Opening, connected
    from registrar.cli.fetched import held
    from registrar.config import Need
    from registrar.model import PATH

    if PATH.fullmatch(name):
        with Opening(ctx, flags) as opening:
            return opening.settings(Need.ADDRESS).target, name
    with connected(ctx, flags, nexus=False) as connection:
        return connection.target, held(connection, name).path

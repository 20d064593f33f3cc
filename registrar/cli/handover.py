"""handover: what an application's owner has to know, to be sent to them."""

from __future__ import annotations

from typing import Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.completion import applications
from registrar.cli.output import Format, data, document, markdown_option, say


@examples(
    {
        "registrar handover viewer": "A letter",
        "registrar handover viewer --output markdown > viewer.md": "For a ticket or a chat",
    }
)
@markdown_option
@connection_options
@click.command()
@click.argument("name", shell_complete=applications)
@click.pass_context
def handover(ctx: click.Context, /, name: str, output: Format, **flags: Any) -> int:
    """Tell what an application's owner has to know, without the secret.

    To be sent by mail or chat: where the credential is, the policy and the commands that it takes, the addresses of the
    flow. From metadata alone: no secret is read.
    """
    from registrar import handover as words
    from registrar.cli.connection import connected
    from registrar.cli.fetched import held

    with connected(ctx, flags, nexus=False) as connection:
        record, settings = held(connection, name), connection.settings
    target = settings.target
    found = words.handover(record, target, contact=settings.contact, declared=target.name in settings.targets)
    if output is Format.JSON:
        document(words.handover_json(found))
    else:
        data(words.handover_markdown(found) if output is Format.MARKDOWN else words.handover_text(found))
    if found.facts.owner:
        say(f"For {found.facts.owner}; it holds no secret.")
    return 0

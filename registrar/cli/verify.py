"""verify: whether the stored credentials work; changes nothing."""

from __future__ import annotations

from typing import Any

import click

from registrar.cli import connection_options
from registrar.cli.completion import applications
from registrar.cli.output import Format, data, document, output_option


@output_option
@connection_options
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=applications)
@click.option(
    "--parallelism", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N", help="Proofs at once."
)
@click.pass_context
def verify(ctx: click.Context, /, names: tuple[str, ...], parallelism: int, output: Format, **flags: Any) -> int:
    """Prove the stored credentials against Nexus.

    Without NAME those of all records that are not retired. It needs no Nexus account, and for a path nothing but the
    right to read it. During a grace the old credential is proven as well.
    """
    from registrar import render
    from registrar import verify as verifying
    from registrar.cli.connection import Opening
    from registrar.config import Need

    with Opening(ctx, flags) as opening:
        settings = opening.settings(Need.BOTH)
        records, proof = opening.vault(settings), opening.proof(settings)
        found = verifying.verify(settings.target, names, records, proof, parallelism=parallelism)
    if output is Format.JSON:
        document(render.verification_json(found, settings.target))
    else:
        data(render.verification_text(found, settings.target, colour=opening.colour))
    return found.exit_code

"""export: what lives in Nexus as a manifest; changes nothing in Nexus or Vault."""

from __future__ import annotations

from typing import Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import Format, data, document, output_option, say


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
    from registrar import atomic, reconcile
    from registrar import export as exporting
    from registrar.cli.connection import connected
    from registrar.cli.out import destination

    file = destination(out, force=force, command="registrar export")
    with connected(ctx, flags) as connection:
        found = exporting.export(reconcile.observe(connection.target, (), connection.nexus, connection.records))
        target = connection.target
    if file:
        atomic.write(file, found.text.encode(), force=force, mode=atomic.AS_USUAL)
    if output is Format.JSON:
        document(exporting.export_json(found, target))
    elif not file:
        data(found.text.rstrip("\n"))
    say(f"{found}{f': {out}' if file else ''}")
    return 0

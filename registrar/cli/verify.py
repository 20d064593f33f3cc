"""verify: whether the stored credentials work; changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples, several_targets
from registrar.cli.completion import applications
from registrar.cli.output import Format, output_option, say

if TYPE_CHECKING:
    from registrar.model import Target
    from registrar.verify import Verification


@examples(
    {
        "registrar verify": "Every credential of this set",
        "registrar verify viewer --output json": "One of them, for a program",
    }
)
@output_option
@several_targets
@connection_options
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=applications)
@click.option(
    "--parallelism", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N", help="Proofs at once."
)
@click.option("--full", is_flag=True, help="Exchange a code as the signed-in user where the quiet proof cannot tell.")
@click.option("--yes", is_flag=True, help="Do not ask before that.")
@click.pass_context
def verify(
    ctx: click.Context, /, names: tuple[str, ...], parallelism: int, full: bool, yes: bool, output: Format, **flags: Any
) -> int:
    """Prove the stored credentials against Nexus.

    Without NAME those of all records that are not retired. It needs no Nexus account, and for a path nothing but the
    right to read it. During a grace the old credential is proven as well. Nothing is left of it in Nexus, but where
    --full has to exchange a code: then a token row stays, and that application can only be archived from then on.
    """
    from registrar import verify as verifying
    from registrar.cli import several
    from registrar.cli.connection import Opening
    from registrar.config import Need
    from registrar.together import VERIFICATION

    def look(flags: Mapping[str, Any]) -> tuple[Verification, Target]:
        with Opening(ctx, flags) as opening:
            settings = opening.settings(Need.BOTH)
            records = opening.vault(settings)
            proof = opening.full_proof(settings, records) if full else opening.proof(settings)
            return verifying.verify(settings.target, names, records, proof, parallelism=parallelism), settings.target

    if full:
        _agreed(yes=yes)
    need = Need.BOTH if full else Need.VAULT  # the quiet proof shows Nexus no key
    return several.show(ctx, flags, need, look, VERIFICATION, output, lambda found: found[0].exit_code)


def _agreed(*, yes: bool) -> None:
    """Said before it is done, since it cannot be undone."""
    from registrar.errors import UsageError

    say("Where the quiet proof cannot tell, a code is exchanged: Nexus never deletes such an application again.")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", hint="registrar verify --full --yes")
    click.confirm("Go on?", abort=True, err=True)

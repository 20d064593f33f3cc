"""rotate, retire, restore and adopt: what a person asks of an application by its name."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.change import Change, Manner, change_options, unguarded
from registrar.cli.completion import applications, declared_too
from registrar.cli.duration import Duration
from registrar.cli.output import Format, output_option
from registrar.errors import UsageError

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.model import Credential
    from registrar.plan import Plan
    from registrar.secret import Secret
    from registrar.world import World

_names = click.argument("names", nargs=-1, metavar="NAME...", required=True, shell_complete=applications)
_manifests = click.option(
    "--manifests",
    "paths",
    multiple=True,
    type=click.Path(),
    help="Where the applications are declared; default: as registrar.yaml says.",
)


_grace = click.option(
    "--grace",
    type=Duration(),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="How long the one before goes on working; 0 ends it in the same run.",
)


@examples(
    {
        "registrar rotate viewer --grace 48h": "The credential before works for two more days",
        "registrar rotate viewer --back": "Return to it, since something still needs it",
        "registrar rotate --older-than 90d --yes": "In a scheduled pipeline",
    }
)
@output_option
@connection_options
@change_options
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=applications)
@click.option("--all", "every", is_flag=True, help="All of this set but protected ones, which have to be named.")
@click.option("--older-than", type=Duration(), metavar="TIME", help="Only where the credential is as old: 90d.")
@click.option("--back", is_flag=True, help="Return to the credential before, within its grace.")
@_grace
@_manifests
@click.pass_context
def rotate(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    every: bool,
    older_than: timedelta | None,
    back: bool,
    grace: timedelta,
    paths: tuple[str, ...],
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Replace credentials by new ones.

    Nexus cannot change a secret, so the client id changes with it: a second application is registered, proven and
    stored. The one before goes on working for the grace; the next apply or rotate after that archives it.
    """
    from registrar import acts

    if bool(names) + every + (older_than is not None and not names) == 0 or (names and every):
        raise UsageError("say which: NAME..., --all, or --older-than TIME", hint="registrar rotate --help")
    if back and (every or older_than is not None):
        raise UsageError("--back is for applications that are named", hint="registrar rotate NAME --back")

    def decide(world: World) -> Plan:
        if back:
            return acts.back(world, names, grace=grace)
        return acts.rotate(world, names, grace=grace, older_than=older_than, every=every)

    nothing = "Nothing to rotate: no credential is as old as that." if older_than else "Nothing to rotate."
    act = _Act(ctx, flags, paths, output, nothing)
    return act.carry_out(decide, manner)


@examples(
    {
        "registrar retire viewer": "Show what ends, ask, and end it",
    }
)
@output_option
@connection_options
@change_options
@click.command()
@_names
@_manifests
@click.pass_context
def retire(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    paths: tuple[str, ...],
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Withdraw credentials in Vault and archive their applications in Nexus.

    Clients stop working. Both sides are kept, and come back with restore.
    """
    from registrar import acts

    act = _Act(ctx, flags, paths, output)
    return act.carry_out(lambda world: acts.retire(world, names), manner)


@examples(
    {
        "registrar restore viewer": "With the credential that it had",
        "registrar restore viewer --rotate": "With a new one, where the old one cannot return",
    }
)
@output_option
@connection_options
@change_options
@click.command()
@_names
@click.option("--rotate", "anew", is_flag=True, help="Register anew at the same path, where the old one cannot return.")
@_manifests
@click.pass_context
def restore(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    anew: bool,
    paths: tuple[str, ...],
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Bring back what was retired or archived."""
    from registrar import acts

    act = _Act(ctx, flags, paths, output)
    return act.carry_out(lambda world: acts.restore(world, names, anew=anew), manner)


@examples(
    {
        "registrar adopt plant-model --client-id ID": "Its secret is typed at a hidden prompt",
        "registrar adopt plant-model --client-id ID --from secret.txt --yes": "Its secret is in a file",
        "registrar adopt plant-model --client-id ID --rotate": "Nobody knows its secret any more",
    }
)
@output_option
@connection_options
@change_options
@click.command()
@click.argument("name", shell_complete=declared_too)
@click.option("--client-id", default="", metavar="ID", help="The application as Nexus knows it.")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Where its secret is; - is standard input. Default: a hidden prompt.",
)
@click.option("--rotate", "anew", is_flag=True, help="Nobody knows its secret: replace it by a new registration.")
@click.option("--take-over", is_flag=True, help="It is registered by another set, and is ours from now on.")
@_grace
@_manifests
@click.pass_context
def adopt(
    ctx: click.Context,
    /,
    name: str,
    client_id: str,
    source: str | None,
    anew: bool,
    take_over: bool,
    grace: timedelta,
    paths: tuple[str, ...],
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Take over an application that was registered by hand.

    NAME is declared in a manifest. The secret is proven before it is stored.
    """
    from registrar import acts

    if take_over == bool(client_id):
        raise UsageError("say which application: --client-id ID, or --take-over", hint="registrar export lists them")
    if source is not None and (anew or take_over):
        raise UsageError("--from is for a secret that is to be stored", hint="leave it out")

    def decide(world: World) -> Plan:
        return acts.adopt(world, name, client_id=client_id, anew=anew, take_over=take_over, grace=grace)

    def credentials(connection: Connection) -> Mapping[str, Credential]:
        return {} if anew or take_over else _shown(connection, decide(connection.observe(paths)), source)

    act = _Act(ctx, flags, paths, output)
    return act.carry_out(decide, manner, credentials=credentials)


class _Act:
    """What is asked for by name, carried out as any other change is."""

    def __init__(
        self, ctx: click.Context, flags: Mapping[str, Any], paths: tuple[str, ...], output: Format, nothing: str = ""
    ) -> None:
        self._ctx = ctx
        self._flags = flags
        self._paths = paths
        self._output = output
        self._nothing = nothing

    def carry_out(
        self,
        decide: Callable[[World], Plan],
        manner: Manner,
        *,
        credentials: Callable[[Connection], Mapping[str, Credential]] | None = None,
    ) -> int:
        """The exit code; `credentials` are got where the services are open, before anything else is done."""
        from registrar import reconcile
        from registrar.cli.connection import connected

        with connected(self._ctx, self._flags) as connection:
            change = Change(
                connection,
                self._paths,
                decide,
                unguarded,
                lambda run, todo: reconcile.apply(run, todo, decide),
                self._output,
                nothing=self._nothing,
                optional=True,
                credentials=credentials(connection) if credentials else None,
            )
            return change.carry_out(manner)


def _shown(connection: Connection, todo: Plan, file: str | None) -> dict[str, Credential]:
    """The credential that is to be adopted: stored at its path already, or with the secret that a person shows."""
    from registrar.model import Credential
    from registrar.steps import Adopt

    found: dict[str, Credential] = {}
    for step in todo.steps:
        if isinstance(step, Adopt):
            held = connection.records.read(step.path)
            if held is None or held.client_id != step.client_id:
                found[step.path] = Credential(step.client_id, _secret(file, step.client_id))
    return found


def _secret(source: str | None, client_id: str) -> Secret:
    """The secret from a file, standard input or a hidden prompt."""
    from registrar.logins import word

    if source is None and not sys.stdin.isatty():
        raise UsageError("there is no secret, and nobody to ask", hint="--from FILE, or --from - for standard input")
    hint = "give the client secret alone"
    if source is None:
        return word(getpass.getpass(f"Client secret of {client_id}: ").strip(), "what was typed", hint)
    if source == "-":
        return word(sys.stdin.readline().strip(), "standard input", hint)
    try:
        return word(Path(source).read_text(encoding="utf-8").strip(), source, hint)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
    raise UsageError(f"{source} cannot be read: {reason}", hint="name the file with the secret alone")

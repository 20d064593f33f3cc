"""plan, apply and recover: what would change, and changing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.change import Change, Manner, change_options, unguarded
from registrar.cli.completion import declared_too
from registrar.cli.output import Command, Format, data, document, output_option

if TYPE_CHECKING:
    from registrar.model import Target
    from registrar.plan import Options, Plan
    from registrar.world import World

_paths = click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))


def _scope(command: Command) -> Command:
    """The flags that a plan and its apply have to share, since they are part of what is decided."""
    command.params += [
        click.Option(
            ["--only"],
            multiple=True,
            metavar="NAME",
            shell_complete=declared_too,
            help="Only this application (name or path).",
        ),
        click.Option(["--prune"], is_flag=True, help="Retire what the manifests of this set no longer declare."),
        click.Option(["--unarchive"], is_flag=True, help="Bring back what somebody archived in Nexus."),
        click.Option(
            ["--accept-nexus"], default="", metavar="OLD_URL", help="The server of these records has moved here."
        ),
    ]
    return command


def _options(target: Target, paths: Sequence[str], only: tuple[str, ...], prune: bool, **rest: Any) -> Options:
    """What was asked for; UsageError where --prune could take what was not looked at for what is no longer wanted."""
    from registrar.errors import UsageError
    from registrar.plan import Options

    if prune and (paths or only):
        what = "a PATH" if paths else "--only"
        message = f"--prune with {what} would retire everything that is declared elsewhere"
        raise UsageError(message, hint="leave out one of the two: --prune reads all manifests of registrar.yaml")
    if prune and not target.set:
        message = "--prune needs to know what is this repository's"
        raise UsageError(message, hint="name it in registrar.yaml: set: NAME")
    return Options(only=only, prune=prune, **rest)


@examples(
    {
        "registrar plan": "What apply would do with the manifests that registrar.yaml names",
        "registrar plan manifests/apps.yaml --only viewer": "One application of one file",
        "registrar plan --detailed-exitcode --output json > plan.json": "In a pipeline: 2 where anything is pending",
    }
)
@output_option
@connection_options
@_scope
@click.command()
@_paths
@click.option("--without-nexus", is_flag=True, help="Compare with the facts in Vault alone; needs no Nexus key.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when anything is pending or blocked.")
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    only: tuple[str, ...],
    prune: bool,
    unarchive: bool,
    accept_nexus: str,
    without_nexus: bool,
    detailed_exitcode: bool,
    output: Format,
    **flags: Any,
) -> int:
    """Show what apply would do; changes nothing."""
    from registrar import plan as planning
    from registrar import render
    from registrar.cli.connection import connected

    with connected(ctx, flags, nexus=not without_nexus) as connection:
        options = _options(connection.target, paths, only, prune, unarchive=unarchive, accept_nexus=accept_nexus)
        world = connection.observe(paths)
        todo = planning.plan(world, options)
    if output is Format.JSON:
        document(render.plan_json(todo))
    else:
        data(render.plan_text(todo, colour=connection.colour))
    return 2 if detailed_exitcode and (todo.pending or todo.blocked) else 0


@examples(
    {
        "registrar apply": "Show the plan, ask, and carry it out",
        "registrar apply --yes --expect DIGEST": "In a pipeline: what was reviewed, and nothing else",
        "registrar apply --prune": "Retire as well what the manifests no longer declare",
    }
)
@output_option
@connection_options
@change_options
@_scope
@click.command()
@_paths
@click.option("--expect", metavar="DIGEST", help="Refuse unless the plan still has this digest.")
@click.option("--verify", is_flag=True, help="Prove each new credential before it is stored.")
@click.option(
    "--allow-replace", type=click.IntRange(0), default=0, metavar="N", help="Register exactly N deleted ones anew."
)
@click.option(
    "--allow-breaking", type=click.IntRange(0), default=0, metavar="N", help="Allow exactly N steps that break clients."
)
@click.pass_context
def apply(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    only: tuple[str, ...],
    prune: bool,
    unarchive: bool,
    accept_nexus: str,
    expect: str | None,
    verify: bool,
    allow_replace: int,
    allow_breaking: int,
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Register and update what the manifests declare.

    New credentials go to Vault. It asks first, or carries out what it finds with --yes. Nothing is retired without
    --prune; what a rotation has replaced is archived once its grace is over.
    """
    from registrar import plan as planning
    from registrar import reconcile
    from registrar.cli.connection import connected

    with connected(ctx, flags) as connection:
        options = _options(connection.target, paths, only, prune, unarchive=unarchive, accept_nexus=accept_nexus)

        def decide(world: World) -> Plan:
            return planning.plan(world, options)

        def guard(todo: Plan) -> None:
            planning.expect(todo, expect)
            planning.brake(todo, allow_replace=allow_replace, allow_breaking=allow_breaking, prune=prune)

        change = Change(
            connection, paths, decide, guard, lambda run, todo: reconcile.apply(run, todo, decide), output, prove=verify
        )
        return change.carry_out(manner)


@examples(
    {
        "registrar recover": "Show what an interrupted run left, ask, and put it right",
    }
)
@output_option
@connection_options
@change_options
@click.command()
@_paths
@click.pass_context
def recover(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Finish or undo what an interrupted run left.

    Registers nothing new, and needs no manifests.
    """
    from registrar import plan as planning
    from registrar import reconcile
    from registrar.cli.connection import connected

    def decide(world: World) -> Plan:
        return planning.plan(world).recovery()

    nothing = "Nothing to recover: no run has left anything half done."
    with connected(ctx, flags) as connection:
        change = Change(connection, paths, decide, unguarded, reconcile.recover, output, nothing=nothing, optional=True)
        return change.carry_out(manner)

"""plan, apply and recover: what would change, and changing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples, several_targets
from registrar.cli.change import Change, Manner, change_options, unguarded
from registrar.cli.completion import declared_too
from registrar.cli.output import Command, Format, markdown_option, say, untrusted_option

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.model import Target
    from registrar.plan import Options, Plan
    from registrar.reconcile import Run
    from registrar.report import Report
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


def _refuse_partial(paths: Sequence[str], options: Options) -> None:
    """UsageError where --prune could take what was not looked at for what is no longer wanted."""
    from registrar.errors import UsageError

    if options.prune and (paths or options.only):
        what = "a PATH" if paths else "--only"
        message = f"--prune with {what} would retire everything that is declared elsewhere"
        raise UsageError(message, hint="leave out one of the two: --prune reads all manifests of registrar.yaml")


def _allowed(target: Target, options: Options) -> Options:
    """These options; UsageError where --prune cannot know whose records it would retire."""
    from registrar.errors import UsageError

    if options.prune and not target.set:
        message = "--prune needs to know what is this repository's"
        raise UsageError(message, hint="name it in registrar.yaml: set: NAME")
    return options


@examples(
    {
        "registrar plan": "What apply would do with the manifests that registrar.yaml names",
        "registrar plan manifests/apps.yaml --only viewer": "One application of one file",
        "registrar plan --out plan.json --output markdown > comment.md": "For a review: a comment, and apply --plan",
        "registrar plan --detailed-exitcode --output json": "In a pipeline: 2 where anything is pending",
    }
)
@markdown_option
@several_targets
@connection_options
@untrusted_option
@_scope
@click.command()
@_paths
@click.option("--without-nexus", is_flag=True, help="Compare with the facts in Vault alone; needs no Nexus key.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when anything is pending or blocked.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write the plan to FILE too, for apply --plan.")
@click.option("--force", is_flag=True, help="Replace FILE.")
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
    out: str | None,
    force: bool,
    output: Format,
    **flags: Any,
) -> int:
    """Show what apply would do; changes nothing.

    Several targets are planned one after the other: one that cannot be reached is told, and the others are shown. What
    approves all of them is the digest at the end.
    """
    from registrar import plan as planning
    from registrar.cli import reviewed, several
    from registrar.cli.connection import connected
    from registrar.cli.out import destination
    from registrar.config import Need
    from registrar.plan import Options
    from registrar.together import plans

    options = Options(only, prune, unarchive, accept_nexus)
    _refuse_partial(paths, options)
    if out is not None:
        several.refuse(ctx, flags, "--out", "plan --all-targets prints a digest of all, which apply --expect takes")
    file = destination(out, force=force, command="registrar plan")
    remarks: list[str] = []

    def look(flags: Mapping[str, Any]) -> Plan:
        # records say which server they were made for, so where it is has to be known without its being asked
        with connected(ctx, flags, nexus=not without_nexus, need=Need.VAULT | Need.SERVER) as connection:
            for remark in connection.settings.remarks:
                if remark not in remarks:
                    remarks.append(remark)
                    say(remark)
            todo = planning.plan(connection.observe(paths), _allowed(connection.target, options))
        if file:
            reviewed.keep(file, todo, paths, options, force=force)
        return todo

    def code(todo: Plan) -> int:
        return 2 if detailed_exitcode and (todo.pending or todo.blocked) else 0

    need = Need.VAULT | Need.SERVER if without_nexus else Need.BOTH
    return several.show(ctx, flags, need, look, plans(remarks), output, code)


@examples(
    {
        "registrar apply": "Show the plan, ask, and carry it out",
        "registrar apply --yes --expect DIGEST": "In a pipeline: what was reviewed, and nothing else",
        "registrar apply --yes --plan plan.json": "The same, from the file of plan --out",
        "registrar apply --prune": "Retire as well what the manifests no longer declare",
    }
)
@markdown_option
@several_targets
@connection_options
@change_options
@_scope
@click.command()
@_paths
@click.option("--expect", metavar="DIGEST", help="Refuse unless the plan still has this digest.")
@click.option(
    "--plan",
    "file",
    type=click.Path(),
    metavar="FILE",
    help="Carry out what plan --out has written, if nothing has changed.",
)
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
    file: str | None,
    verify: bool,
    allow_replace: int,
    allow_breaking: int,
    output: Format,
    manner: Manner,
    **flags: Any,
) -> int:
    """Register and update what the manifests declare.

    New credentials go to Vault. It asks first, or carries out what it finds with --yes, or what was reviewed with
    --plan. Nothing is retired without --prune; what a rotation has replaced is archived once its grace is over.

    Several targets are planned together, approved as one, and changed in the order given; where one does not end well,
    the next is not begun. --expect takes the digest of all, and the numbers of --allow-* count over all.
    """
    from registrar import plan as planning
    from registrar import reconcile, together
    from registrar.cli import reviewed, several
    from registrar.cli.rollout import carry_out
    from registrar.plan import Options

    if file is not None:
        several.refuse(ctx, flags, "--plan", "plan --all-targets prints a digest of all, which apply --expect takes")
    approval = reviewed.approval(ctx, file, paths, Options(only, prune, unarchive, accept_nexus), flags)
    manner = replace(manner, yes=True) if approval.given else manner
    _refuse_partial(approval.paths, approval.options)

    def guard(*plans: Plan) -> None:
        for todo in plans:
            approval.same_plan(todo)
        together.expect(plans, expect)
        planning.brake(*plans, allow_replace=allow_replace, allow_breaking=allow_breaking, prune=approval.options.prune)

    def change(connection: Connection) -> Change:
        approval.same_target(connection.target)
        options = _allowed(connection.target, approval.options)

        def decide(world: World) -> Plan:
            return planning.plan(world, options)

        def effect(run: Run, todo: Plan) -> Report:
            return reconcile.apply(run, todo, decide)

        return Change(connection, approval.paths, decide, guard, effect, output, prove=verify)

    return carry_out(ctx, approval.flags, change, guard, manner, output, view=together.plans())


@examples(
    {
        "registrar recover": "Show what an interrupted run left, ask, and put it right",
    }
)
@markdown_option
@several_targets
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
    from registrar.cli.rollout import carry_out
    from registrar.together import recovery

    def decide(world: World) -> Plan:
        return planning.plan(world).recovery()

    nothing = "Nothing to recover: no run has left anything half done."

    def change(connection: Connection) -> Change:
        return Change(connection, paths, decide, unguarded, reconcile.recover, output, nothing=nothing, optional=True)

    return carry_out(ctx, flags, change, unguarded, manner, output, view=recovery(nothing))

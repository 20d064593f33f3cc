"""plan, apply and recover: what would change, and changing it."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options
from registrar.cli.output import Format, Progress, data, document, output_option, say

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.lock import Lease
    from registrar.model import Lock
    from registrar.plan import Plan, World
    from registrar.reconcile import Run
    from registrar.report import Report, Stop

_paths = click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
_only = click.option("--only", multiple=True, metavar="NAME", help="Only this application (name or path); repeatable.")
_yes = click.option("--yes", "--auto-approve", is_flag=True, help="Do not ask.")
_parallelism = click.option(
    "--parallelism", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N", help="Steps at once."
)
_lock_timeout = click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another run.",
)


@output_option
@connection_options
@click.command()
@_paths
@_only
@click.option("--without-nexus", is_flag=True, help="Compare with the facts in Vault alone; needs no Nexus key.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when anything is pending or blocked.")
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    only: tuple[str, ...],
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
        world = connection.observe(paths)
        todo = planning.plan(world, planning.Options(only=only))
    if output is Format.JSON:
        document(render.plan_json(todo))
    else:
        data(render.plan_text(todo, colour=connection.colour))
    return 2 if detailed_exitcode and (todo.pending or todo.blocked) else 0


@output_option
@connection_options
@click.command()
@_paths
@_only
@_yes
@_parallelism
@_lock_timeout
@click.option("--expect", metavar="DIGEST", help="Refuse unless the plan still has this digest.")
@click.option(
    "--allow-replace", type=click.IntRange(0), default=0, metavar="N", help="Register exactly N deleted ones anew."
)
@click.option(
    "--allow-breaking", type=click.IntRange(0), default=0, metavar="N", help="Allow exactly N steps that break clients."
)
@click.option("--accept-nexus", default="", metavar="OLD_URL", help="The server of these records has moved here.")
@click.pass_context
def apply(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    only: tuple[str, ...],
    yes: bool,
    parallelism: int,
    lock_timeout: float,
    expect: str | None,
    allow_replace: int,
    allow_breaking: int,
    accept_nexus: str,
    output: Format,
    **flags: Any,
) -> int:
    """Register and update what the manifests declare.

    New credentials go to Vault. It asks first, or carries out what it finds with --yes; nothing is ever retired.
    """
    from registrar import plan as planning
    from registrar import reconcile
    from registrar.cli.connection import connected

    options = planning.Options(only=only, accept_nexus=accept_nexus)

    def decide(world: World) -> Plan:
        return planning.plan(world, options)

    def guard(todo: Plan) -> None:
        planning.expect(todo, expect)
        planning.brake(todo, allow_replace=allow_replace, allow_breaking=allow_breaking)

    with connected(ctx, flags) as connection:
        change = _Change(connection, paths, decide, guard, lambda run, todo: reconcile.apply(run, todo, decide), output)
        return change.carry_out(ask=not yes, parallelism=parallelism, lock_timeout_s=lock_timeout)


@output_option
@connection_options
@click.command()
@_paths
@_yes
@_parallelism
@_lock_timeout
@click.pass_context
def recover(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    yes: bool,
    parallelism: int,
    lock_timeout: float,
    output: Format,
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

    with connected(ctx, flags) as connection:
        change = _Change(
            connection,
            paths,
            decide,
            lambda todo: None,  # noqa: ARG005 (nothing brakes it)
            reconcile.recover,
            output,
            nothing="Nothing to recover: no run has left anything half done.",
        )
        return change.carry_out(ask=not yes, parallelism=parallelism, lock_timeout_s=lock_timeout)


class _Change:
    """One change from its plan to its report: show, guard, ask, lock, plan again, carry out, tell."""

    def __init__(
        self,
        connection: Connection,
        paths: tuple[str, ...],
        decide: Callable[[World], Plan],
        guard: Callable[[Plan], None],
        effect: Callable[[Run, Plan], Report],
        output: Format,
        *,
        nothing: str = "",
    ) -> None:
        self._connection = connection
        self._paths = paths
        self._decide = decide
        self._guard = guard
        self._effect = effect
        self._output = output
        self._nothing = nothing  # what to say in place of an empty plan; such a change does without manifests

    def carry_out(self, *, ask: bool, parallelism: int, lock_timeout_s: float) -> int:
        """The exit code of the change; an answer of no is one."""
        approved = ""
        if ask:
            reviewed = self._reviewed(lock_timeout_s)
            if not reviewed.pending:
                return int(bool(reviewed.blocked))
            if not click.confirm("Carry out this plan?", err=True):
                say("Nothing was changed.")
                return 1
            approved = reviewed.digest
        with _Signals() as signals:
            report, todo = self._locked(signals, approved, parallelism, lock_timeout_s)
        return self._told(report, todo)

    def _locked(self, signals: _Signals, approved: str, parallelism: int, lock_timeout_s: float) -> tuple[Report, Plan]:
        """Plan under the lock and carry that out, if it is what was approved."""
        from registrar import lock
        from registrar.errors import Stale

        connection = self._connection
        with lock.take(
            connection.records,
            holder=connection.holder,
            domain=connection.domain,
            timeout_s=lock_timeout_s,
            on_wait=_waiting,
        ) as lease:
            world = self._observe()
            todo = self._decide(world) if approved else self._shown(world)
            if approved and todo.digest != approved:
                raise Stale("the plan has changed since it was shown", hint="the same command again, to see it anew")
            return self._report(todo, world, lease, signals, parallelism), todo

    def _report(self, todo: Plan, world: World, lease: Lease, signals: _Signals, parallelism: int) -> Report:
        from registrar import reconcile
        from registrar.report import Stop

        services, stop = self._connection.services, Stop()
        if todo.pending:
            reconcile.preflight(todo, world, services)
        progress = Progress(len(todo.pending), verbose=self._connection.verbose)
        pace = reconcile.Pace(parallelism=parallelism)
        run = reconcile.Run(world, services, lease, stop=stop, on_event=progress, pace=pace)
        signals.gently(stop)
        try:
            return self._effect(run, todo)
        finally:
            progress.close()

    def _observe(self) -> World:
        return self._connection.observe(self._paths, optional=bool(self._nothing))

    def _shown(self, world: World) -> Plan:
        """The plan, printed before anything can refuse it."""
        from registrar import render

        todo = self._decide(world)
        if self._output is Format.TEXT:
            nothing = self._nothing if not todo.steps else ""
            data(nothing or render.plan_text(todo, colour=self._connection.colour))
        self._guard(todo)
        return todo

    def _reviewed(self, lock_timeout_s: float) -> Plan:
        """The plan for a person to approve, made while no other run is at work."""
        from registrar import lock
        from registrar.errors import UsageError

        if not sys.stdin.isatty() or self._output is Format.JSON or "-" in self._paths:
            told = "this asks before it changes anything, and nobody is there to answer"
            raise UsageError(told, hint="add --yes to carry it out unasked; registrar plan shows it first")
        lock.await_free(self._connection.records, timeout_s=lock_timeout_s, on_wait=_waiting)
        return self._shown(self._observe())

    def _told(self, report: Report, todo: Plan) -> int:
        from registrar import render

        if self._output is Format.JSON:
            document(render.report_json(report, todo))
        elif todo.pending:
            data(render.report_text(report, todo.target, colour=self._connection.colour))
        return report.exit_code


def _waiting(held: Lock) -> None:
    say(f"Waiting for another run: {held.holder or held.run}")


class _Signals:
    """What Ctrl-C and SIGTERM do: end the command at once, and from `gently` on only keep new steps from beginning."""

    def __init__(self) -> None:
        self._stop: Stop | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._came) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def gently(self, stop: Stop) -> None:
        """What is begun goes on to its end, after a second signal only until its credential is stored."""
        self._stop = stop

    def _came(self, number: int, frame: object) -> None:  # noqa: ARG002 (signal's signature)
        if self._stop is None:
            raise KeyboardInterrupt  # the lock is given back on the way out
        self._stop.request()
        told = "Stopping: no new step begins, and what has begun is finished. Once more ends it sooner."
        if self._stop.urgent:
            told = "Stopping now: a step ends once its credential is stored. registrar apply goes on from there."
        with contextlib.suppress(RuntimeError):  # it came in the middle of a write to stderr
            say(told)

"""A change from its plan to its report: show, guard, ask, lock, plan again, carry out, tell.

Owns the approval of what is about to be changed, and what a signal means meanwhile. Decides nothing: what to do comes
in as a function from what there is to a plan.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from registrar.cli.output import Command, Format, Progress, data, document, say
from registrar.errors import Stale, UsageError

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.model import Credential, Lock
    from registrar.plan import Plan
    from registrar.reconcile import Run
    from registrar.report import Report, Stop
    from registrar.world import World


@dataclass(frozen=True)
class Manner:
    """How a change is carried out: whether it asks first, how many steps at once, how long it waits for another run."""

    yes: bool
    parallelism: int | None
    lock_timeout_s: float


def change_options(command: Command) -> Command:
    """The flags of whatever changes something; the command gets them as one `manner`."""
    command.callback = _with_manner(command.callback)
    command.params += [
        click.Option(["--yes", "--auto-approve", "yes"], is_flag=True, help="Do not ask."),
        click.Option(
            ["--parallelism"],
            type=click.IntRange(1, 64),
            metavar="N",
            help="Steps at once; default: 4, and up to 16 for as long as more bring more to an end.",
        ),
        click.Option(
            ["--lock-timeout", "lock_timeout_s"],
            type=click.FloatRange(min=0),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for another run.",
        ),
    ]
    return command


def _with_manner(callback: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if callback is None:
        return None

    @functools.wraps(callback)
    def called(*positional: Any, yes: bool, parallelism: int | None, lock_timeout_s: float, **rest: Any) -> Any:
        return callback(*positional, manner=Manner(yes, parallelism, lock_timeout_s), **rest)

    return called


def unguarded(*plans: Plan) -> None:
    """Nothing brakes what a person has asked for by name."""


def require_somebody(output: Format, paths: Sequence[str]) -> None:
    """UsageError where nobody is there to answer what is asked before a change."""
    if not sys.stdin.isatty() or output is not Format.TEXT or "-" in paths:
        told = "this asks before it changes anything, and nobody is there to answer"
        raise UsageError(told, hint="add --yes to carry it out unasked; registrar plan shows it first")


def agreed(question: str) -> bool:
    """What a person answers; a no is said."""
    if click.confirm(question, err=True):
        return True
    say("Nothing was changed.")
    return False


class Change:
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
        optional: bool = False,
        prove: bool = False,
        credentials: Mapping[str, Credential] | None = None,
    ) -> None:
        self._connection = connection
        self._paths = paths
        self._decide = decide
        self._guard = guard
        self._effect = effect
        self._output = output
        self._nothing = nothing  # what to say in place of an empty plan
        self._optional = optional  # whether it does without manifests
        self._prove = prove
        self._credentials = credentials

    def carry_out(self, manner: Manner) -> int:
        """The exit code of the change; an answer of no is one."""
        approved = ""
        if not manner.yes:
            reviewed = self._reviewed(manner.lock_timeout_s)
            if not reviewed.pending:
                return int(bool(reviewed.blocked))
            if not agreed("Carry out this plan?"):
                return 1
            approved = reviewed.digest
        with Signals() as signals:
            report, todo = self.locked(signals, approved, manner)
        return self._told(report, todo)

    def plan(self, lock_timeout_s: float) -> Plan:
        """What is to be done, planned while no other run is at work."""
        from registrar import lock

        lock.await_free(self._connection.records, timeout_s=lock_timeout_s, on_wait=_waiting)
        return self._decide(self._observe())

    def text(self, todo: Plan) -> str:
        """The plan in words."""
        from registrar import render

        nothing = self._nothing if not todo.steps else ""
        return nothing or render.plan_text(todo, colour=self._connection.colour)

    def locked(self, signals: Signals, approved: str, manner: Manner) -> tuple[Report, Plan]:
        """Plan under the lock and carry that out, if it is what was approved; without a digest it is shown first."""
        from registrar import reconcile
        from registrar.report import Stop

        connection, stop, progress = self._connection, Stop(), Progress(verbose=self._connection.verbose)

        def review(world: World) -> Plan:
            todo = self._decide(world)
            if not approved:
                return self._shown(todo)
            if todo.digest != approved:
                raise Stale("the plan has changed since it was shown", hint="the same command again, to see it anew")
            return todo

        def begin(todo: Plan) -> Progress:
            signals.gently(stop)
            progress.total = len(todo.pending)
            return progress

        holder = reconcile.Holder(
            connection.holder, connection.domain, manner.lock_timeout_s, on_wait=_waiting, on_stale=_stale
        )
        pace = reconcile.Pace(parallelism=manner.parallelism)
        course = reconcile.Course(begin, stop, pace, prove=self._prove, credentials=self._credentials)
        try:
            return reconcile.locked(connection.services, holder, self._observe, review, self._effect, course)
        finally:
            progress.close()

    def _observe(self) -> World:
        return self._connection.observe(self._paths, optional=self._optional)

    def _shown(self, todo: Plan) -> Plan:
        """The plan, printed before anything can refuse it."""
        if self._output is Format.TEXT:
            data(self.text(todo))
        self._guard(todo)
        return todo

    def _reviewed(self, lock_timeout_s: float) -> Plan:
        """The plan for a person to approve, made while no other run is at work."""
        require_somebody(self._output, self._paths)
        return self._shown(self.plan(lock_timeout_s))

    def _told(self, report: Report, todo: Plan) -> int:
        from registrar import markdown, render

        if self._output is Format.JSON:
            document(render.report_json(report, todo))
        elif self._output is Format.MARKDOWN:
            data(markdown.report_markdown(report, todo.target).rstrip("\n"))
        elif todo.pending:
            data(render.report_text(report, todo.target, colour=self._connection.colour))
        return report.exit_code


def _waiting(held: Lock) -> None:
    say(f"Waiting for another run: {held.holder or held.run}")


def _stale(dead: Lock) -> None:
    say(f"Taking over the lock of a run that has stopped: {dead.holder or dead.run}")


class Signals:
    """What Ctrl-C and SIGTERM do: end the command at once, and from `gently` on only keep new steps from beginning."""

    def __init__(self) -> None:
        self.came = False
        self._stop: Stop | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, self._came) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def gently(self, stop: Stop) -> None:
        """What is begun goes on to its end, after a second signal only until its credential is stored."""
        self._stop = stop

    def abruptly(self) -> None:
        """Nothing is begun that would have to be ended: `came` tells of a signal that came too late to be heard."""
        self._stop = None

    def _came(self, number: int, frame: object) -> None:  # noqa: ARG002 (signal's signature)
        self.came = True
        if self._stop is None:
            raise KeyboardInterrupt  # the lock is given back on the way out
        self._stop.request()
        told = "Stopping: no new step begins, and what has begun is finished. Once more ends it sooner."
        if self._stop.urgent:
            told = "Stopping now: a step ends once its credential is stored. registrar apply goes on from there."
        try:
            say(told)
        except RuntimeError:  # it came in the middle of a write to stderr, which cannot be entered twice
            with contextlib.suppress(OSError):
                os.write(2, f"{told}\n".encode())

"""A change under the lock, from what there is to its report: both front ends carry out theirs through this.

Must never decide or ask: what is to be carried out comes in as `review`, which may refuse by raising.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from registrar import lock
from registrar.model import Credential, Lock
from registrar.plan import Plan
from registrar.ports import Services
from registrar.reconcile.before import preflight
from registrar.reconcile.hands import Pace
from registrar.reconcile.run import Run
from registrar.report import Event, Report, Stop
from registrar.world import World


@dataclass(frozen=True)
class Holder:
    """Who takes the lock and how: for how long it waits, and whom it tells of another run, at work or dead."""

    name: str
    domain: Callable[[], str]
    timeout_s: float
    on_wait: Callable[[Lock], None] | None = None
    on_stale: Callable[[Lock], None] | None = None


@dataclass(frozen=True)
class Course:
    """How a change goes: `begin` is told the plan before its first effect, and gives what hears the events."""

    begin: Callable[[Plan], Callable[[Event], None]]
    stop: Stop = field(default_factory=Stop)
    pace: Pace | None = None
    prove: bool = False
    credentials: Mapping[str, Credential] | None = None


def locked(
    services: Services,
    holder: Holder,
    look: Callable[[], World],
    review: Callable[[World], Plan],
    effect: Callable[[Run, Plan], Report],
    course: Course,
) -> tuple[Report, Plan]:
    """Take the lock, look, review, and carry out what the review allows; LockHeld where another run keeps it."""
    with lock.take(
        services.records,
        holder=holder.name,
        domain=holder.domain,
        timeout_s=holder.timeout_s,
        on_wait=holder.on_wait,
        on_stale=holder.on_stale,
    ) as lease:
        world = look()
        todo = review(world)
        if todo.pending:
            preflight(todo, world, services)
        run = Run(
            world,
            services,
            lease,
            stop=course.stop,
            on_event=course.begin(todo),
            pace=course.pace,
            prove=course.prove,
            credentials=course.credentials,
        )
        return effect(run, todo), todo

"""One run under its lease: its steps in a bounded pool, those of one path in order, each by who knows its effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import assert_never

from registrar.errors import CustodyError, RegistrarError, ServiceError, StepFailed, origin
from registrar.lock import Lease
from registrar.model import Credential
from registrar.plan import Plan
from registrar.ports import Services
from registrar.reconcile import lives
from registrar.reconcile.before import observe
from registrar.reconcile.hands import RECOVER, TRIES, Hands, Pace
from registrar.reconcile.recovering import recover as recovered
from registrar.reconcile.registering import Registering
from registrar.report import Event, Outcome, Report, Status, Stop
from registrar.steps import (
    Adopt,
    Back,
    Blocked,
    Create,
    Expire,
    Keep,
    Recover,
    Restore,
    Retire,
    Rotate,
    Step,
    Update,
)
from registrar.world import World


def apply(run: Run, todo: Plan, decide: Callable[[World], Plan]) -> Report:
    """Carry out a plan that `decide` made under the lease; what a recovered path turns out to need is part of it."""
    steps: list[Step] = [step for step in todo.steps if not isinstance(step, Recover)]
    recovers: list[Step] = [step for step in todo.steps if isinstance(step, Recover)]
    outcomes: list[Outcome] = []
    for _ in range(TRIES):  # a late create may land while another one is recovered
        ended = run.carry_out(recovers)
        outcomes += ended
        done = {outcome.step.path for outcome in ended if outcome.status is Status.DONE}
        if not done or run.stop.no_new_step:
            break
        try:
            again = decide(run.observe()).at(done).steps
        except ServiceError as error:
            run.stop.because(error)
            break
        recovers = [step for step in again if isinstance(step, Recover)]
        # what was approved is a Recover, not that a client breaks
        unapproved = "recovered; what it needs now breaks clients, so it wants a plan of its own"
        outcomes += [Outcome(step, Status.SKIPPED, unapproved) for step in again if step.breaks_clients]
        steps += [step for step in again if not step.breaks_clients and not isinstance(step, Keep | Recover)]
    outcomes += run.carry_out(steps)
    outcomes += run.finish()
    outcomes += run.carry_out(run.due)
    return run.report(outcomes)


def recover(run: Run, todo: Plan) -> Report:
    """Carry out only what interrupted runs left of a plan made under the run's lease."""
    return run.report(run.carry_out(todo.recovery().steps))


class Run:
    """One run: the frame of its steps."""

    def __init__(
        self,
        world: World,
        services: Services,
        lease: Lease,
        *,
        stop: Stop | None = None,
        on_event: Callable[[Event], None] | None = None,
        pace: Pace | None = None,
        prove: bool = False,
        credentials: Mapping[str, Credential] | None = None,
    ) -> None:
        self._services = services
        self._hands = Hands(world, services, lease, stop=stop, on_event=on_event, pace=pace, prove_creates=prove)
        self._registering = Registering(self._hands)
        self._credentials = credentials or {}  # by path, for what is adopted

    @property
    def stop(self) -> Stop:
        return self._hands.stop

    def observe(self) -> World:
        """Look again, and go on from there."""
        world = self._hands.world
        self._hands.world = observe(world.target, world.desired, self._services.applications, self._services.records)
        return self._hands.world

    def report(self, outcomes: Iterable[Outcome]) -> Report:
        """These outcomes by path, and whether and why the run was stopped."""
        ordered = sorted(outcomes, key=lambda outcome: outcome.step.path)
        return Report(tuple(ordered), self.stop.asked, self.stop.cause)

    def carry_out(self, steps: Iterable[Step]) -> list[Outcome]:
        """The paths in a bounded pool, the steps of each in order; what registers has its outcome from `finish`."""
        by_path = [list(group) for _, group in groupby(sorted(steps, key=_path), key=_path)]
        if not by_path:
            return []
        with ThreadPoolExecutor(self._hands.concurrency.most, thread_name_prefix="step") as pool:
            return [outcome for group in pool.map(self._in_order, by_path) for outcome in group]

    def finish(self) -> list[Outcome]:
        """The end of everything that was registered and stored."""
        return self._registering.finish()

    @property
    def due(self) -> list[Expire]:
        """What rotations without a grace leave to be ended now: a leaked secret must not live until the next run."""
        return self._registering.due

    def _in_order(self, steps: list[Step]) -> list[Outcome]:
        """The outcomes of the steps of one path: each rests on the one before."""
        outcomes: list[Outcome] = []
        for step in steps:
            if any(outcome.status is Status.FAILED for outcome in outcomes):
                outcomes.append(Outcome(step, Status.SKIPPED, "the step before it failed"))
            elif outcome := self._one(step):
                outcomes.append(outcome)
        return outcomes

    def _one(self, step: Step) -> Outcome | None:
        if isinstance(step, Keep):
            return Outcome(step, Status.KEPT)
        if isinstance(step, Blocked):
            return Outcome(step, Status.BLOCKED, step.reason)
        with self._hands.concurrency.slot():
            return self._begun(step)

    def _begun(self, step: Step) -> Outcome | None:
        if self.stop.no_new_step:
            return Outcome(step, Status.SKIPPED, "the run was stopped before this step began", self.stop.cause)
        try:
            outcome = self._dispatch(step)
        except RegistrarError as error:
            return self._hands.failed(step, error)
        except Exception as error:  # noqa: BLE001 (a defect in one step must not hide the outcomes of the others)
            return self._hands.failed(step, _defect(step, error))
        if outcome:
            self._hands.tell(step, str(outcome.status), outcome.detail)
        return outcome

    def _dispatch(self, step: Step) -> Outcome | None:
        hands = self._hands
        match step:
            case Create():
                self._registering.create(step)
            case Rotate():
                self._registering.rotate(step)
            case Recover():
                return recovered(hands, step)
            case Update():
                return lives.update(hands, step)
            case Expire():
                return lives.expire(hands, step)
            case Back():
                return lives.back(hands, step)
            case Retire():
                return lives.retire(hands, step)
            case Restore():
                return lives.restore(hands, step)
            case Adopt():
                return lives.adopt(hands, step, self._credentials.get(step.path))
            case Keep() | Blocked():
                pass
            case _:
                assert_never(step)
        return None


def _path(step: Step) -> str:
    return step.path


def _defect(step: Step, error: Exception) -> RegistrarError:
    """What to say of an exception that is none of ours."""
    told = f"{step.name}: a defect of registrar stopped it: {type(error).__name__} in {origin(error)}"
    kind = CustodyError if isinstance(step, Create | Rotate | Recover) else StepFailed
    return kind(told, hint=RECOVER, application=step.path)

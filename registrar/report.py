"""What a run tells: events while it happens, an outcome for every step, the report of all, and how it is asked to stop.

Nothing is hidden: done, failed, blocked and skipped are all listed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from registrar.errors import CustodyError, Interrupted, RegistrarError
from registrar.steps import Recover, Step


class Status(enum.StrEnum):
    """How a step ended."""

    DONE = "done"
    KEPT = "kept"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to one application: `stage` is a word of the order of effects."""

    path: str
    name: str
    stage: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one step ended, with the error that ended it."""

    step: Step
    status: Status
    detail: str = ""
    error: RegistrarError | None = None

    @property
    def custody(self) -> bool:
        """Whether an application may exist whose secret is not stored."""
        left = self.status is not Status.DONE and isinstance(self.step, Recover) and bool(self.step.marked)
        return left or isinstance(self.error, CustodyError)


@dataclass(frozen=True, slots=True)
class Report:
    """Every step of a run with its outcome, whether it was asked to stop, and what made it stop by itself."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool = False
    cause: RegistrarError | None = None

    def of(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status is status)

    @property
    def exit_code(self) -> int:
        """130 when interrupted, 7 when custody is in doubt, 1 when anything was not carried out, else 0."""
        if self.interrupted:
            return Interrupted.exit_code
        if any(outcome.custody for outcome in self.outcomes):
            return CustodyError.exit_code
        undone = any(outcome.status not in (Status.DONE, Status.KEPT) for outcome in self.outcomes)
        return int(undone or self.cause is not None)


class Stop:
    """A request to stop: the first starts no new step, the second ends each as soon as its credential is stored."""

    def __init__(self) -> None:
        self._requests = 0
        self.cause: RegistrarError | None = None

    def request(self) -> None:
        self._requests += 1

    def because(self, error: RegistrarError) -> None:
        """Stop since a service is lost: what is begun still tries to finish."""
        self.cause = self.cause or error

    @property
    def asked(self) -> bool:
        return self._requests > 0

    @property
    def no_new_step(self) -> bool:
        return self.asked or self.cause is not None

    @property
    def urgent(self) -> bool:
        return self._requests > 1

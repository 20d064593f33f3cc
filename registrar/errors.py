"""What can go wrong, as one tree: what happened, to which application, and the command to type next.

    RegistrarError
    ├── UsageError             64   flags, names or configuration that cannot be meant
    │   └── NotSignedIn             nothing tells who we are to a service
    ├── ManifestsInvalid        4   manifests with findings
    ├── ServiceError            3   Nexus or Vault; before the first effect nothing has changed
    │   ├── Unreachable             no connection, no TLS: nothing was changed
    │   ├── AccessDenied            our credentials were refused
    │   ├── Unsuitable              it answers, but not as the service we need: KV v1, an HTML page
    │   │   └── Sealed                  Vault has to be unsealed by an operator
    │   ├── OutcomeUnknown          sent, and no answer that tells; the effect may still land
    │   └── Rejected                it said no; nothing changed
    │       ├── Missing             there is no such thing
    │       ├── Kept                Nexus keeps an application that has issued a token
    │       └── VersionMismatch     check-and-set: somebody wrote in between
    ├── StepFailed              1   one application; the others go on
    ├── BrakeEngaged            5   the plan does more than it was allowed to
    ├── Stale                   6   what was approved is not what would happen
    │   ├── LockHeld                another run is at work
    │   └── LeaseLost               this run paused for so long that another may have begun
    ├── CustodyError            7   an application may exist whose secret is not stored
    └── Interrupted           130   Ctrl-C or SIGTERM

Must never carry a secret, a server's stack trace or another library's exception.
"""

from __future__ import annotations

from typing import ClassVar


class RegistrarError(Exception):
    """An error a person can act on: `message` says what happened, `hint` is a command or the change to make."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", application: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.application = application


class UsageError(RegistrarError):
    """Flags, names or a configuration that cannot be meant."""

    exit_code = 64


class NotSignedIn(UsageError):
    """Nothing tells who we are to a service, "Nexus" or "Vault"."""

    def __init__(self, message: str, *, service: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.service = service


class ManifestsInvalid(RegistrarError):
    """The manifests have findings at the level that fails."""

    exit_code = 4


class ServiceError(RegistrarError):
    """Nexus or Vault did not do what was asked."""

    exit_code = 3


class Unreachable(ServiceError):
    """No connection was made, or a question got no answer: nothing was changed."""


class AccessDenied(ServiceError):
    """The service refused our credentials, which says nothing about what is there."""


class Unsuitable(ServiceError):
    """Something answers, but not as the service that is needed."""


class Sealed(Unsuitable):
    """Vault is sealed, and answers nothing until an operator unseals it."""


class OutcomeUnknown(ServiceError):
    """A request was sent and no answer tells what became of it: its effect may be there, or may still land."""


class Rejected(ServiceError):
    """The service said no, and nothing changed."""


class Missing(Rejected):
    """The service says that there is no such thing."""


class Kept(Rejected):
    """Nexus does not delete an application that has issued a token; it can be archived."""


class VersionMismatch(Rejected):
    """A check-and-set write was refused since the record has another version by now."""


class StepFailed(RegistrarError):
    """One application's step did not come to its end; nothing is in doubt that the next apply does not see."""


class BrakeEngaged(RegistrarError):
    """The plan does more than it was allowed to; nothing was changed."""

    exit_code = 5


class Stale(RegistrarError):
    """What was approved is not what would happen now."""

    exit_code = 6


class LockHeld(Stale):
    """Another run holds the lock of this prefix."""


class LeaseLost(Stale):
    """This run's lease is over, so it sends nothing more."""


class CustodyError(RegistrarError):
    """An application may exist in Nexus whose secret is not stored."""

    exit_code = 7


class Interrupted(RegistrarError):
    """A person or the system asked the run to stop."""

    exit_code = 130


def origin(error: BaseException) -> str:
    """The function and the line that an exception comes from; its text may hold anything, so only this is told."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_name}, line {frame.tb_lineno}" if frame else "an unknown place"

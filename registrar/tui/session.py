"""What the app is handed: one target, opened. Every call may take as long as a service does, and raises RegistrarError.

Calls come from worker threads, several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from registrar.doctor import Check
from registrar.lint import Finding
from registrar.model import Credential, Target
from registrar.plan import Plan
from registrar.report import Event, Report, Stop
from registrar.secret import Secret
from registrar.tui.intents import Intent
from registrar.verify import Verification
from registrar.world import World


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was sent: never a body. `status` is None where no answer came."""

    method: str
    path: str
    status: int | None
    took_ms: float


@dataclass(frozen=True, slots=True)
class Draft:
    """The values of a form: an entry that is written already, at `line` of `file`, or a new one where that is 0.

    `own` are the keys whose values are this target's alone, below the entry's `targets`; `base` is what the entry says
    for all, and `others` what other targets have of their own, None where the application is not there.
    """

    file: str
    values: Mapping[str, str | bool]
    line: int = 0
    own: frozenset[str] = frozenset()
    base: Mapping[str, str | bool] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, str | bool] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a draft comes to: its findings by field, the file as it is and as it would be, and the entry's path."""

    path: str
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    before: str = ""
    after: str = ""
    refusal: str = ""  # why it cannot be written

    @property
    def sound(self) -> bool:
        """Whether it may be saved: nothing refuses it, and no finding is an error."""
        errors = (found for group in self.findings.values() for found in group if found.level == "error")
        return not self.refusal and not any(errors)


@dataclass(frozen=True)
class Ask:
    """How a change is carried out: what was approved, what hears its events, and how it is asked to stop."""

    approved: str
    hear: Callable[[Event], None]
    say: Callable[[str], None]
    stop: Stop
    allow_replace: int = 0
    allow_breaking: int = 0


class Session(Protocol):
    """One target, with the services opened when they are first needed."""

    on_request: Callable[[Request], None] | None
    """What hears of every request, from whatever thread sends it."""

    @property
    def target(self) -> Target:
        """With the addresses as they are known before anything is asked."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The names that one can switch to."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What a command needs besides its own words to mean the same target."""

    @property
    def manifests(self) -> tuple[str, ...]:
        """The manifests that were named, which a command has to name as well; none where registrar.yaml says them."""

    def switched(self, name: str) -> Session:
        """The same for another target; this one is closed by whoever had it."""

    def observe(self) -> World:
        """What there is; NotSignedIn where nothing tells who we are, ManifestsInvalid with the findings told."""

    def carry_out(self, intent: Intent, ask: Ask) -> tuple[Report, Plan]:
        """Take the lock, plan anew, and carry that out if it is what was approved."""

    def credential(self, path: str, version: int = 0) -> Credential | None:
        """A stored credential, or None where there is none that can be read."""

    def verify(self, names: tuple[str, ...]) -> Verification:
        """The stored credentials of these, proven; of all without any."""

    def doctor(self) -> tuple[Check, ...]:
        """Everything a run needs, looked at."""

    def sign_in_to_nexus(
        self, *, token: Secret | None = None, key: Secret | None = None, secret: Secret | None = None
    ) -> None:
        """Who we are to Nexus from now on, kept in this session alone."""

    def sign_in_to_vault(self, method: str, secret: Secret, *, user: str = "", mount: str = "") -> None:
        """Who we are to Vault from now on, kept in this session alone; `user` is a username, or a role."""

    def files(self) -> tuple[str, ...]:
        """The manifests that a new entry can be written to."""

    def draft(self, path: str) -> Draft | None:
        """The entry of a declared path as it is written, or None where none is."""

    def check(self, draft: Draft) -> Checked:
        """What the manifest would say, and what the rules say of that; writes nothing."""

    def save(self, draft: Draft) -> Checked:
        """Write it in place; Stale where the file is not what it was."""

    def close(self) -> None:
        """Give back what was opened."""

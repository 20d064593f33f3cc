"""What reconcile needs of the outside: applications, records and a proof, as three Protocols.

Nothing here knows Nexus or Vault; whatever fits can be handed in, and the order of effects has to hold for it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from registrar.lock import LockRecord
from registrar.model import Credential, Facts, Record, Registered


class Stored(NamedTuple):
    """The answer of a data write: the version it made, and when by Vault's clock."""

    version: int
    at: datetime


class Folder(NamedTuple):
    """All records under the prefix; `nested` are folders with a lock of their own, which are not entered."""

    records: tuple[Record, ...]
    nested: tuple[str, ...] = ()


class Verdict(enum.StrEnum):
    """What a proof of a credential found."""

    RIGHT = "right"
    WRONG = "wrong"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a proof found, and why, in words for a person."""

    verdict: Verdict
    reason: str


class Applications(Protocol):
    """Nexus. Every call raises ServiceErrors: OutcomeUnknown means that the effect may be there or still land."""

    def check(self) -> None:
        """Raise unless Nexus answers and the caller is a sysadmin there."""

    def all(self) -> tuple[Registered, ...]:
        """Every application, archived ones included, by id."""

    def create(self, values: Mapping[str, str]) -> Credential:
        """Register an application with these FIELDS; sent exactly once."""

    def update(self, number: int, values: Mapping[str, str]) -> None:
        """Set these FIELDS of the application with this id; the others stay."""

    def archive(self, number: int) -> None: ...

    def unarchive(self, number: int) -> None: ...

    def delete(self, number: int) -> None:
        """Delete for good; Kept where Nexus refuses that since it issued a token."""


class Records(LockRecord, Protocol):
    """The credential records below a target's prefix. Every write of data is guarded by its check-and-set number."""

    def check(self, paths: Sequence[str], restored: Sequence[str] = ()) -> None:
        """Raise unless these paths can be written, versions of `restored` brought back, and the mount keeps them."""

    def all(self) -> Folder:
        """Every record from metadata alone."""

    def one(self, path: str) -> Record:
        """One record from metadata alone; of the kind NONE where nothing is."""

    def read(self, path: str, version: int = 0) -> Credential | None:
        """The credential in that version (0: the current one), or None where there is none that can be read."""

    def store(self, path: str, credential: Credential | None, cas: int) -> Stored:
        """Write a credential, or a version without content, if `cas` is the current version: else VersionMismatch."""

    def blank(self, path: str, version: int) -> bool:
        """Whether that version can be read and has no content at all."""

    def again(self, path: str, cas: int, before: Callable[[], None]) -> Stored:
        """Write version `cas` again as it is, as the next one: a fence or a claim; `before` is called between the two.

        It raises where the write may not be sent any more.
        """

    def settle(self, path: str, facts: Facts, metadata_version: int | None) -> None:
        """Write the facts; `metadata_version` guards that where the server can (OpenBao)."""

    def delete_version(self, path: str, version: int) -> None:
        """Delete that version by its number, and see that it is deleted."""

    def undelete(self, path: str, version: int) -> None:
        """Bring that version back, and see that it is; Rejected where it is destroyed."""


class Proof(Protocol):
    """A way to tell whether a credential is right that leaves nothing behind."""

    def prove(self, credential: Credential, redirect_uri: str) -> Verdict:
        """What Nexus says of it; a ServiceError where no Nexus answers."""


class Credentials(Protocol):
    """The credential records as somebody sees them who may write nothing, nor ask for more than one path."""

    def all(self) -> Folder:
        """Every record from metadata alone; AccessDenied where they may not be listed."""

    def credential_with_record(self, path: str) -> tuple[Credential | None, Record]:
        """The current credential and the facts about it in one read."""

    def read(self, path: str, version: int = 0) -> Credential | None:
        """The credential in that version (0: the current one), or None where there is none that can be read."""


class Examiner(Protocol):
    """A proof that gives its reason."""

    def examine(self, credential: Credential, redirect_uri: str) -> Finding:
        """The verdict with its reason; a ServiceError where no Nexus answers."""


@dataclass(frozen=True, slots=True)
class Services:
    """Both services as a run needs them."""

    applications: Applications
    records: Records
    proof: Proof

"""Steps: what may have to be done about one path, as values that can be shown, sorted, digested and approved.

A closed union, matched exhaustively. A step says what and why; how it is carried out is `reconcile`'s.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from registrar.model import Application, Former, Registered


@dataclass(frozen=True, slots=True)
class Change:
    """One field before and after."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Edit:
    """The fields to change of one registration: of the current one or, during a grace, of the one that retires."""

    id: int
    client_id: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What all steps have: where, whose, why, and the version of the record that the decision rests on."""

    operation: ClassVar[str]
    path: str
    name: str
    reason: str
    version: int = 0

    @property
    def breaks_clients(self) -> bool:
        """Whether a client that works now may stop working."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(_Base):
    """Nothing to do; `note` is worth a person's attention."""

    operation: ClassVar[str] = "keep"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(_Base):
    """Register and store; `replaces` is the client id that a settled record names and Nexus no longer has."""

    operation: ClassVar[str] = "create"
    application: Application
    replaces: str = ""

    @property
    def breaks_clients(self) -> bool:
        return bool(self.replaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(_Base):
    """Change fields in Nexus, facts in Vault, or both; `notes` tell what stops being managed."""

    operation: ClassVar[str] = "update"
    application: Application
    edits: tuple[Edit, ...] = ()
    facts: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def breaks_clients(self) -> bool:
        return any(change.field == "redirect_uri" for edit in self.edits for change in edit.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate(_Base):
    """A second registration beside the one with this client id, which then retires; never planned by apply.

    `application` is what to register: the manifest's, completed by what Nexus has. `adopts`: the one it replaces was
    registered by hand.
    """

    operation: ClassVar[str] = "rotate"
    application: Application
    client_id: str
    grace_s: int
    adopts: bool = False

    @property
    def breaks_clients(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Back(_Base):
    """Return to the credential that a rotation left behind; the current registration then retires."""

    operation: ClassVar[str] = "back"
    client_id: str
    former: Former
    grace_s: int

    @property
    def breaks_clients(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(_Base):
    """Take over an application that somebody registered by hand, with the changes that the manifest wants of it."""

    operation: ClassVar[str] = "adopt"
    application: Application
    client_id: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire(_Base):
    """Withdraw the credential and archive the application."""

    operation: ClassVar[str] = "retire"
    client_id: str

    @property
    def breaks_clients(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(_Base):
    """Bring an archived application or a deleted version back."""

    operation: ClassVar[str] = "restore"
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(_Base):
    """Archive the registration that a rotation left behind, now that its grace is over."""

    operation: ClassVar[str] = "expire"
    former: Former


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover(_Base):
    """Finish or undo what an interrupted run left; `then` is what follows if it has to be undone."""

    operation: ClassVar[str] = "recover"
    marked: tuple[Registered, ...] = ()
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(_Base):
    """Nothing is done here until a person decides; `hint` is the way out."""

    operation: ClassVar[str] = "blocked"
    hint: str


Step = Keep | Create | Update | Rotate | Back | Adopt | Retire | Restore | Expire | Recover | Blocked


def document(step: Step) -> dict[str, Any]:
    """A step as JSON has it: its operation first, then its fields."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        if isinstance(value, datetime):
            return value.isoformat()
        return value if isinstance(value, str | int | bool | None) else str(value)

    return {"operation": step.operation, "breaks_clients": step.breaks_clients, **plain(step)}

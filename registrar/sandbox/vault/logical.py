"""What Vault calls logical: an operation on a path with fields, the routes of an engine, and the reply.

Owns the checks every engine shares and their error texts; knows neither HTTP nor any engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from registrar.sandbox.vault.fields import Kind, converted
from registrar.sandbox.vault.golang import Malformed

Operation = Literal["read", "list", "scan", "write", "patch", "delete"]


class Refused(Exception):
    """A request that is answered with errors."""

    def __init__(self, message: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.errors = [] if message is None else [message]
        self.status = status


def occurred(*messages: str) -> str:
    """Errors as Go's multierror prints them."""
    count = "1 error" if len(messages) == 1 else f"{len(messages)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {message}\n" for message in messages) + "\n"


def absent() -> Refused:
    """The answer about what is not there: a 404 that names no error."""
    return Refused(status=404)


def denied() -> Refused:
    """The answer of a policy that does not grant it."""
    return Refused(occurred("permission denied"), 403)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an engine answers; `raw` leaves out the newline, as Vault does where an engine chose the status itself."""

    data: Mapping[str, Any] | None = None
    auth: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    lease_duration: int = 0
    status: int = 200
    raw: bool = False
    on_top: bool = False  # the data are repeated beside the envelope, as in Vault's first interface


@dataclass(frozen=True, slots=True)
class Call:
    """One operation on what a route matched: `path` is the route's group, `fields` those it knows, converted."""

    operation: Operation
    path: str
    fields: Mapping[str, Any]
    given: Mapping[str, Any]


Handler = Callable[[Call], "Reply | None"]


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern below the mount, the fields it knows, and a handler for each operation."""

    pattern: str
    handlers: Mapping[Operation, Handler]
    fields: Mapping[str, Kind] = field(default_factory=dict)
    has_existence_check: bool = False


class Engine(Protocol):
    """What is mounted at a path."""

    def routes(self) -> Sequence[Route]: ...

    def exists(self, path: str, /) -> bool:
        """Whether a write there is an update rather than a create."""


class Placeholder:
    """An engine that is mounted and serves nothing."""

    def routes(self) -> Sequence[Route]:
        return ()

    def exists(self, _path: str) -> bool:
        return True


def respond(engine: Engine, operation: Operation, path: str, given: Mapping[str, Any]) -> Reply | None:
    """Find the route, convert the fields, let the engine answer; None is an answer without content."""
    for route in engine.routes():
        found = re.fullmatch(route.pattern, path, re.DOTALL)
        if found:
            break
    else:
        raise Refused(occurred("unsupported path"), 404)
    handler = route.handlers.get(operation)
    if handler is None:
        raise Refused(occurred("unsupported operation"), 405)
    try:
        fields = converted(route.fields, given)
    except Malformed as error:
        # A write with an existence check is validated there, by other code with another text.
        early = route.has_existence_check and operation == "write"
        raise Refused(str(error) if early else f"Field validation failed: {error}") from None
    reply = handler(Call(operation, found[1] if found.re.groups else "", fields, given))
    unknown = sorted(set(given) - set(route.fields))
    if reply and unknown and not reply.raw:
        warning = f"Endpoint ignored these unrecognized parameters: [{' '.join(unknown)}]"
        return replace(reply, warnings=[*reply.warnings, warning])
    return reply

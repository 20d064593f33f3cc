"""How Nexus words one and the same outcome: v1 with legacy bodies, v2 with problem details.

A style decides bodies and statuses, never what happens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from registrar.sandbox.aspnet import PROBLEM, Binding, Values, as_object, as_string, encoded, handler_problem, trace_id
from registrar.sandbox.dotnet_errors import (
    ArgumentOutOfRangeError,
    DotnetError,
    InvalidOperationError,
    KeyNotFoundError,
    OauthError,
    SecurityError,
    UnauthorizedAccessError,
)
from registrar.sandbox.http import Answer, Request

_PLACE = re.compile(r" Path: \S+ \| LineNumber: [0-9]+ \| BytePositionInLine: [0-9]+\.$")

Catch = Callable[[Request, DotnetError, Values], Answer]
"""What a v1 controller's catch clauses make of an exception."""


class Style(Protocol):
    """One API version's manner of speaking."""

    def done(self, request: Request, message: str) -> Answer: ...

    def revoked(self, request: Request, count: int) -> Answer: ...

    def exchanged(self, request: Request, token: str, minutes: float, state: str) -> Answer: ...

    def invalid(self, binding: Binding) -> Answer: ...

    def failed(self, request: Request, error: DotnetError, catch: Catch, values: Values) -> Answer: ...

    def crashed(self, request: Request, error: DotnetError) -> Answer: ...


class Legacy:
    """v1: objects with a message, and whatever each controller catches."""

    def done(self, request: Request, message: str) -> Answer:
        return as_object(request, 200, {"message": message})

    def revoked(self, request: Request, count: int) -> Answer:
        body = {"message": f"Successfully revoked {count} token(s)", "revokedCount": count}
        return as_object(request, 200, body)

    def exchanged(self, request: Request, token: str, minutes: float, state: str) -> Answer:
        # as asked for, even where the token lives otherwise: zero and negative minutes make an hour
        seconds = minutes * 60
        expires_in = int(seconds) if seconds.is_integer() else seconds
        body = {"access_token": token, "token_type": "Bearer", "expires_in": expires_in, "state": state}
        return as_object(request, 200, body)

    def invalid(self, binding: Binding) -> Answer:
        body = {
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
            "title": "One or more validation errors occurred.",
            "status": 400,
            "errors": binding.ordered_errors(),
            "traceId": trace_id(),
        }
        return Answer(400, encoded(body), {"content-type": PROBLEM})

    def failed(self, request: Request, error: DotnetError, catch: Catch, values: Values) -> Answer:
        return catch(request, error, values)

    def crashed(self, request: Request, error: DotnetError) -> Answer:  # noqa: ARG002 - nothing of either is shown
        return Answer(500)


class Problems:
    """v2: bare values, and one exception handler for all controllers.

    `detail` is what a 500 says instead of the exception's message; later builds show the message.
    """

    def __init__(self, detail: str | None = None) -> None:
        self._detail = detail

    def done(self, request: Request, message: str) -> Answer:  # noqa: ARG002 - v2 says no more than true
        return as_object(request, 200, value=True)

    def revoked(self, request: Request, count: int) -> Answer:
        return as_object(request, 200, count)

    def exchanged(self, request: Request, token: str, minutes: float, state: str) -> Answer:  # noqa: ARG002 - only the token is answered
        return as_string(request, 200, token)

    def invalid(self, binding: Binding) -> Answer:
        errors = {_member(key): messages for key, messages in binding.ordered_errors().items()}
        if binding.body_parameter in errors:
            del errors[binding.body_parameter]
        body = {
            "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
            "title": "Bad Request",
            "status": 400,
            "detail": "One or more validation errors occurred.",
            "errors": {key: [_PLACE.sub("", message) for message in messages] for key, messages in errors.items()},
        }
        return Answer(400, encoded(body), {"content-type": PROBLEM})

    def failed(self, request: Request, error: DotnetError, catch: Catch, values: Values) -> Answer:  # noqa: ARG002 - v2 controllers catch nothing
        return self.crashed(request, error)

    def crashed(self, request: Request, error: DotnetError) -> Answer:
        if isinstance(error, OauthError):
            return as_object(request, error.status, {"error": error.error, "error_description": str(error)})
        status, title, section, detail = 500, "Internal Server Error", "6.6.1", self._detail or str(error)
        if isinstance(error, KeyNotFoundError):
            status, title, section, detail = 404, "Not Found", "6.5.4", "The requested resource was not found."
        kind = f"https://tools.ietf.org/html/rfc7231#section-{section}"
        return handler_problem(request, status, {"type": kind, "title": title, "status": status, "detail": detail})


def _member(key: str) -> str:
    """A model-state key as v2 shows it: the document is `request`, a JSON path loses its root."""
    return "request" if key in ("", "$") else key.removeprefix("$.")


def catch_as_text(doing: str, method: str) -> Catch:
    """The applications controller: every exception is a 500 with the whole of it as text."""

    def catch(request: Request, error: DotnetError, values: Values) -> Answer:
        printed = error.printed(method, "OauthApplication")
        return as_string(request, 500, f"An error occurred while {doing.format_map(values)}: {printed}")

    return catch


def catch_as_message(doing: str, statuses: Mapping[type[DotnetError], int]) -> Catch:
    """The token controller: exceptions it knows by their message, others by what it was doing."""

    def catch(request: Request, error: DotnetError, values: Values) -> Answer:  # noqa: ARG001 - the message names what it is about
        known = statuses.get(type(error))
        message = str(error) if known else f"An error occurred while {doing}"
        return as_object(request, known or 500, {"message": message})

    return catch


def catch_as_oauth(unexpected: str) -> Catch:
    """The handshake controller: RFC 6749's error and error_description."""
    known: dict[type[DotnetError], tuple[int, str]] = {
        ArgumentOutOfRangeError: (400, "invalid_request"),
        KeyNotFoundError: (404, "invalid_client"),
        InvalidOperationError: (400, "invalid_grant"),
        UnauthorizedAccessError: (401, "invalid_client"),
        SecurityError: (400, "invalid_grant"),
    }

    def catch(request: Request, error: DotnetError, values: Values) -> Answer:  # noqa: ARG001 - the message names what it is about
        status, code = known.get(type(error), (500, "server_error"))
        description: Any = unexpected if status == 500 else str(error)
        if isinstance(error, SecurityError):
            description = "State validation failed"
        return as_object(request, status, {"error": code, "error_description": description})

    return catch

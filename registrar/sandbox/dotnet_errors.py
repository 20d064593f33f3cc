"""The .NET exceptions Nexus lets fall, and how each prints itself: type, message, stack trace.

Frames are invented; their shape is not, so that a client that leaks them is found out.
"""

from __future__ import annotations

from typing import ClassVar


class DotnetError(Exception):
    """Something Nexus throws; the message is the exception's own."""

    dotnet_type: ClassVar[str]

    def printed(self, method: str, controller: str) -> str:
        """The exception's ToString, as thrown from the business method behind `controller`'s `method`."""
        return f"{self.dotnet_type}: {self}\n{_frames(method, controller)}"


class KeyNotFoundError(DotnetError):
    dotnet_type = "System.Collections.Generic.KeyNotFoundException"


class InvalidOperationError(DotnetError):
    dotnet_type = "System.InvalidOperationException"


class UnauthorizedAccessError(DotnetError):
    dotnet_type = "System.UnauthorizedAccessException"


class SecurityError(DotnetError):
    dotnet_type = "System.Security.SecurityException"


class ArgumentOutOfRangeError(DotnetError):
    dotnet_type = "System.ArgumentOutOfRangeException"


class UriFormatError(DotnetError):
    dotnet_type = "System.UriFormatException"


class UnreadableTokenError(DotnetError):
    dotnet_type = "System.ArgumentException"


class OauthError(DotnetError):
    """RFC 6749's error with its description, and the status it is answered with."""

    dotnet_type = "deeplynx.helpers.exceptions.OauthException"

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


class SavingError(DotnetError):
    """PostgreSQL refused the write; `state` is its five-character code, `reason` its message."""

    dotnet_type = "Microsoft.EntityFrameworkCore.DbUpdateException"

    def __init__(self, state: str, reason: str) -> None:
        super().__init__("An error occurred while saving the entity changes. See the inner exception for details.")
        self.state = state
        self.reason = reason

    def printed(self, method: str, controller: str) -> str:
        redacted = (
            "Detail redacted as it may contain sensitive data. "
            "Specify 'Include Error Detail' in the connection string to include this information."
        )
        return (
            f"{self.dotnet_type}: {self}\n"
            f" ---> Npgsql.PostgresException (0x80004005): {self.state}: {self.reason}\n\nDETAIL: {redacted}\n"
            "   at Npgsql.Internal.NpgsqlConnector.ReadMessageLong(Boolean async, DataRowLoadingMode mode)\n"
            "   at Npgsql.NpgsqlDataReader.NextResult(Boolean async, CancellationToken cancellationToken)\n"
            "  Exception data:\n"
            "    Severity: ERROR\n"
            f"    SqlState: {self.state}\n"
            f"    MessageText: {self.reason}\n"
            f"    Detail: {redacted}\n"
            "    SchemaName: deeplynx\n"
            "   --- End of inner exception stack trace ---\n"
            "   at Microsoft.EntityFrameworkCore.Update.ReaderModificationCommandBatch.ExecuteAsync("
            "IRelationalConnection connection, CancellationToken cancellationToken)\n"
            f"{_frames(method, controller)}"
        )


def _frames(method: str, controller: str) -> str:
    return (
        f"   at deeplynx.business.{controller}Business.{method}(Int64 applicationId) "
        f"in /src/deeplynx.business/{controller}Business.cs:line 142\n"
        f"   at deeplynx.api.controllers.{controller}Controller.{method}(Int64 applicationId) "
        f"in /src/deeplynx.api/Controllers/{controller}Controller.cs:line 87"
    )

"""What an answer of Vault says, and which of our errors each failure is.

Owns decoding and the meaning of statuses and texts. Must never let a raw secret out of `decoded`, nor put a library's
exception, a body or a token into an error.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

from registrar import tls
from registrar.errors import (
    AccessDenied,
    Missing,
    OutcomeUnknown,
    Rejected,
    Sealed,
    ServiceError,
    Unreachable,
    Unsuitable,
    VersionMismatch,
)
from registrar.pool import NotConnected, bottom, unsent, words
from registrar.secret import Secret, hide

LOOK_AGAIN: Final = "registrar apply, which looks what became of it"
HEADER_WORD: Final = re.compile(r"[!-~]+")
"""What a header can carry: anything else would be shown by whoever refuses it."""


class NoSuchEndpoint(Missing):
    """This server does not know the path at all: `detailed-metadata` is OpenBao's."""


class MetadataVersionNeeded(Rejected):
    """This OpenBao mount or key takes no metadata without `metadata_cas`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `path` is Vault's, without /v1, and `body` may hold Secrets.

    `writes` is false for a POST that changes nothing we keep. `sealed` means that every text of the answer's data is
    secret, not only those in a version of KV v2; `rooted` that the path exists in the root namespace alone.
    """

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    writes: bool = False
    sealed: bool = False
    rooted: bool = False

    @property
    def of_engine(self) -> bool:
        """Whether a secrets engine answers it, and not Vault itself."""
        return not self.path.startswith(("sys/", "auth/"))

    @property
    def capability(self) -> str:
        """What a policy has to grant for this call."""
        if self.method == "POST":
            return "create and update" if self.writes else "update"
        return "list" if "list" in self.query else "read"


class NotTrusted(Unreachable):
    """The server's certificate is not accepted, and will not be at the next try."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is None for whatever is no JSON object, `date` the header that records are judged by."""

    status: int
    body: Mapping[str, Any] | None = None
    date: str = ""
    location: str = ""
    retry_after_s: int = 0
    hidden: tuple[Secret, ...] = ()
    """What a refusal may quote of the request."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The payload; empty where the answer has none."""
        data = self.body.get("data") if self.body else None
        return data if isinstance(data, dict) else {}

    @property
    def auth(self) -> Mapping[str, Any]:
        """The token that a login or a renewal answers with, its texts wrapped; empty in every other answer."""
        auth = self.body.get("auth") if self.body else None
        return auth if isinstance(auth, dict) else {}

    @property
    def reasons(self) -> str:
        """Vault's own words for a refusal, which may be warnings, on one line and fit to be shown."""
        text = hide(self._said.reveal().encode(), self.hidden).decode()
        return "".join(letter for letter in text if letter.isprintable())[:300]

    def says(self, words: str) -> bool:
        """Whether these are among Vault's words, whatever of them is hidden: a secret may be a word like any other."""
        return words in self._said.reveal()

    @property
    def _said(self) -> Secret:
        said = (self.body.get("errors") or self.body.get("warnings")) if self.body else None
        words = [word.reveal() for word in said if isinstance(word, Secret)] if isinstance(said, list) else []
        return Secret(" ".join(" ".join(words).split()))

    @property
    def nothing(self) -> bool:
        """Whether this 404 means that nothing is there: it has no error, or still has a deleted version's metadata."""
        return self.status == 404 and self.body is not None and (self.body.get("errors") == [] or bool(self.data))

    @property
    def denied(self) -> bool:
        """Whether Vault refuses this, be it for the path or for the token; not so the 403 of a proxy."""
        return self.status == 403 and self.body is not None

    @property
    def sealed(self) -> bool:
        return (
            self.status == 503
            and self.body is not None
            and (self.says("Vault is sealed") or self.body.get("sealed") is True)
        )

    @property
    def at(self) -> datetime:
        """When Vault said so by its own clock; Unsuitable where something on the way removed the Date header."""
        try:
            return _moment(self.date)
        except ValueError:
            pass
        raise Unsuitable(
            "Vault's answer has no Date header, by which deletion times are judged",
            hint="let the proxy in front of Vault pass the Date header",
        )


@lru_cache(maxsize=8)
def _moment(date: str) -> datetime:
    """Many answers come in the same second."""
    return parsedate_to_datetime(date)


def decoded(content: bytes | bytearray, *, sealed: bool) -> dict[str, Any] | None:
    """The JSON object that an answer is, its secrets wrapped; None for anything else, a page of a proxy say.

    The content type is not asked: proxies change it, and Vault's own 204 claims JSON.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # a JSONDecodeError holds the whole text, so it is not kept
        return None
    if not isinstance(body, dict):
        return None
    for key in ("auth", "errors", "warnings"):
        body[key] = _masked(body.get(key))  # a refusal may quote the request
    data = body.get("data")
    if isinstance(data, dict):
        if sealed:
            body["data"] = _masked(data)
        elif "data" in data:  # a version of KV v2: its content beside its metadata
            data["data"] = _masked(data["data"])
    return body


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, dict):
        return {key: _masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return value


def encoded(body: Mapping[str, Any] | None) -> bytes | None:
    """A body as it is sent, the only place where its Secrets are opened."""
    return None if body is None else json.dumps(body, default=_revealed).encode()


def secrets_in(value: object) -> Iterator[Secret]:
    """Every Secret of a body."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be sent to Vault")


_ADDRESS_HINT: Final = "check VAULT_ADDR, and what stands in front of Vault"

# A 400 is an answer about check-and-set only in these words. OpenBao does not support an unknown path; KV v2 of Vault
# answers every one, listed or read, with a warning that it is invalid.
_MEANINGS: Final[tuple[tuple[int, str, type[Rejected]], ...]] = (
    (400, "metadata check-and-set parameter required", MetadataVersionNeeded),
    (400, "metadata check-and-set parameter does not match the current version", VersionMismatch),
    (400, "check-and-set parameter did not match the current version", VersionMismatch),
    (404, "unsupported path", NoSuchEndpoint),
    (404, "Invalid path for a versioned K/V secrets engine", NoSuchEndpoint),
    (404, "", Missing),
)


def refusal(call: Call, answer: Answer) -> ServiceError | None:
    """The error that an answer is, or None where it is a result; a GET's bare 404 is one: nothing is there."""
    status = answer.status
    if status == 204 or (answer.body is not None and 200 <= status < 300) or (answer.nothing and not call.writes):
        return None
    reasons = answer.reasons
    if answer.sealed:
        return Sealed("Vault is sealed", hint="have an operator unseal it, then try again")
    if call.writes and (status < 300 or status >= 500):
        return OutcomeUnknown(
            f"Vault answered {status} to a write of {call.path}, which may be stored {reasons}".strip(),
            hint=LOOK_AGAIN,
        )
    if 300 <= status < 400:
        return Unsuitable(f"{call.path} is answered with a redirect ({status})", hint=_ADDRESS_HINT)
    if answer.body is None:
        return Unsuitable(f"what answers {call.path} with {status} is not Vault: no JSON", hint=_ADDRESS_HINT)
    if answer.body.get("initialized") is False:
        return Unsuitable("Vault is not initialised", hint="have an operator initialise it, then try again")
    if status in {401, 403}:
        return AccessDenied(
            f"Vault refuses {call.capability} on {call.path}: {reasons}",
            hint=f"renew the token, or ask for a policy that grants {call.capability} on {call.path}",
        )
    if status in {429, *range(500, 600)}:
        return Unsuitable(f"Vault cannot answer {call.path} now: {status} {reasons}", hint="try again later")
    if answer.says("no handler for route"):
        return Missing(f"there is no mount for {call.path}", hint="check vault_mount and VAULT_NAMESPACE")
    kind = next((kind for code, text, kind in _MEANINGS if code == status and answer.says(text)), Rejected)
    return kind(f"Vault refused {call.path}: {reasons or status}", hint="ask whoever runs this Vault, then try again")


def failure(call: Call, addr: str, error: Exception) -> ServiceError:
    """The error for a request without an answer: Unreachable where nothing was sent or only a question was."""
    cause = bottom(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason, hint = tls.refusal(cause, "VAULT", "VAULT_ADDR")
        return NotTrusted(f"the certificate of {addr} is not accepted: {reason}", hint=hint)
    if isinstance(cause, ssl.SSLError) and (unsent(error) or tls.unread(cause)):
        reason, hint = tls.refusal(cause, "VAULT", "VAULT_ADDR")
        return Unreachable(f"no TLS with {addr}: {reason}", hint=hint)
    if isinstance(error, NotConnected) and error.by_proxy:
        return Unreachable(f"the proxy does not let us through to {addr}", hint="check HTTPS_PROXY and NO_PROXY")
    if unsent(error):
        return Unreachable(f"no connection to Vault at {addr}: {words(error)}", hint="check VAULT_ADDR")
    if call.writes:
        told = f"a write of {call.path} at {addr}, which may be stored: {words(error)}"
        return OutcomeUnknown(told, hint=LOOK_AGAIN)
    return Unreachable(f"{call.path} at {addr}: {words(error)}", hint="try again, or check VAULT_ADDR")

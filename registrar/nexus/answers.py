"""What an answer of Nexus says: its secrets wrapped, its complaint in one line, and the error it amounts to.

Owns the shapes that bodies and failures have in every generation. Must never let a stack trace, a terminal escape or a
secret of an answer into a message.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from registrar.errors import AccessDenied, OutcomeUnknown, Rejected, ServiceError, Unreachable, Unsuitable
from registrar.nexus.wire import Answer, Failure
from registrar.secret import Secret

_SECRETS: Final = frozenset({"clientSecretRaw", "apiKey", "apiSecret", "access_token", "refresh_token", "device_code"})
_JWT: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*", re.ASCII)
_DOTNET_TYPE: Final = re.compile(r"\b(?:\w+\.)+\w*(?:Exception|Error)(?: \(0x[0-9A-F]+\))?: ", re.ASCII)
SAID_CHARACTERS: Final = 200

CHECK_URL: Final = "check nexus_url: it is the address of the Nexus API, with or without /api"
CHECK_KEY: Final = (
    "registrar login as a Nexus sysadmin, or set NEXUS_API_KEY and NEXUS_API_SECRET, or NEXUS_TOKEN, of one"
)


def decode(status: int, body: bytes) -> object:
    """JSON with its Secrets wrapped, a token as a Secret; other text only of a failure, else None.

    A success that cannot be read may hold half a secret, so nothing of it is kept.
    """
    try:
        content = _token_or_same(json.loads(body, object_pairs_hook=_sealed))
    except (ValueError, RecursionError):
        # Nexus answers a token as a bare string without quotes unless it is asked for JSON.
        content = _token_or_same(body.decode(errors="replace").strip())
        if 200 <= status < 300 and not isinstance(content, Secret):
            return None
    return content


def _sealed(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {
        name: Secret(value) if name in _SECRETS and isinstance(value, str) else value  # the only place it is raw
        for name, value in pairs
    }


def _token_or_same(content: object) -> object:
    return Secret(content) if isinstance(content, str) and _JWT.fullmatch(content) else content


def claims(token: Secret) -> dict[str, Any]:
    """What a JWT says of itself, unchecked, with its API key wrapped; nothing where the token is none."""
    try:
        payload = token.reveal().split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), object_pairs_hook=_sealed)
    except (LookupError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def code_of(answer: Answer, state: str) -> Secret | None:
    """The code of an answer to authorize; a redirect to a login page has none with our state."""
    if answer.status != 302:
        return None
    try:
        query = parse_qs(urlsplit(answer.headers.get("location", "")).query)
    except ValueError:
        return None
    if query.get("state") != [state] or len(query.get("code", ())) != 1:
        return None
    return Secret(query["code"][0])


def expires_at(token: Secret) -> datetime | None:
    """The end that a JWT tells, by which Nexus goes without any allowance; None where it tells none."""
    try:
        return datetime.fromtimestamp(float(claims(token)["exp"]), UTC)
    except (LookupError, TypeError, ValueError, OverflowError, OSError):
        return None


def said(answer: Answer) -> str:
    """The complaint in one line; v1 has it before a stack trace, v2 in a problem, the handshake in an OAuth error."""
    # the rest of a stack trace, or of one word without an end, is never told
    lines = (text[: 4 * SAID_CHARACTERS].splitlines()[0] for text in _complaints(answer.content) if text)
    line = "; ".join(_DOTNET_TYPE.sub("", line) for line in lines)
    line = "".join(character for character in line if character.isprintable()).strip()
    return line if len(line) <= SAID_CHARACTERS else line[: SAID_CHARACTERS - 1] + "…"


def _complaints(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, Mapping):
        return []
    if isinstance(errors := content.get("errors"), Mapping) and errors:
        return [f"{field}: {' '.join(map(str, texts))}" for field, texts in errors.items() if isinstance(texts, list)]
    texts = (content.get(key) for key in ("detail", "error_description", "message", "error", "title"))
    return [next((text for text in texts if isinstance(text, str) and text), "")]


def elsewhere(answer: Answer) -> str:
    """How this is not the answer of a Nexus API at that path, or nothing."""
    content = answer.content
    if 300 <= answer.status < 400:
        return f"it redirects to {_host(answer.headers.get('location', ''))}"
    if answer.status < 500 and _is_page(answer):
        return "it answered with a web page, not the Nexus API"
    # The newest server says this of every path it does not have, of v1 too where it serves v1.
    if isinstance(content, Mapping) and content.get("code") == "UnsupportedApiVersion":
        return f"it does not have that path ({said(answer)})"
    if answer.status in (404, 405, 410) and not isinstance(content, Mapping):
        return f"it does not have that path ({answer.status})"
    return ""


def _host(location: str) -> str:
    try:
        parts = urlsplit(location)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "another path"
    except ValueError:
        return "an address that is none"


def error(outcome: Answer | Failure, doing: str, *, effect: bool, application: str = "") -> ServiceError:
    """What an outcome that is not the wanted one amounts to; `effect`: the request would have changed something."""
    if isinstance(outcome, Failure):
        return _no_answer(outcome, doing, effect=effect, application=application)
    status, text = outcome.status, said(outcome)
    if outcome.ok and effect:
        return _unknown(doing, "the answer cannot be read", application)
    if place := elsewhere(outcome):
        return Unsuitable(f"{doing}: {place}", hint=CHECK_URL, application=application)
    if status == 401:
        return AccessDenied(f"{doing}: Nexus wants a valid token", hint=CHECK_KEY, application=application)
    if status == 403:
        # The newest server caches the flag without end, so that one set in its database counts after a restart.
        hint = f"{CHECK_KEY}; a promotion made in the database counts only after a restart of Nexus"
        return AccessDenied(f"{doing}: Nexus refuses: {text or 'forbidden'}", hint=hint, application=application)
    if status >= 500 or status == 408:
        reason = f"it answered {status}" + (f" ({text})" if text and not _is_page(outcome) else "")
        if effect:
            return _unknown(doing, reason, application)
        return Unsuitable(f"{doing}: {reason}", hint="try again once Nexus is well", application=application)
    if outcome.ok:
        return Unsuitable(f"{doing}: the answer is not one of the Nexus API", hint=CHECK_URL, application=application)
    if status == 429:
        return Rejected(f"{doing}: Nexus is too busy (429)", hint="wait, then do it again", application=application)
    hint = "change what it says in the manifest, then registrar validate"
    return Rejected(f"{doing}: Nexus says no: {text or status}", hint=hint, application=application)


def _no_answer(failure: Failure, doing: str, *, effect: bool, application: str) -> ServiceError:
    if effect and failure.sent:
        return _unknown(doing, failure.reason, application)
    hint = failure.hint or "check nexus_url and the way to it; nothing was changed"
    return Unreachable(
        f"{doing}: no answer of Nexus at {failure.origin}: {failure.reason}", hint=hint, application=application
    )


def _unknown(doing: str, reason: str, application: str) -> OutcomeUnknown:
    hint = "registrar plan shows what Nexus has now; registrar recover ends a registration that stopped"
    return OutcomeUnknown(f"{doing}: sent, but {reason}; it may still happen", hint=hint, application=application)


def _is_page(answer: Answer) -> bool:
    return answer.headers.get("content-type", "").startswith("text/html")

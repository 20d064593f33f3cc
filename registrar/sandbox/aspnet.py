"""What ASP.NET Core does around a controller: routing, model binding, content negotiation, problem details.

The framework's own words and orders; knows nothing of applications, tokens or API versions.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from registrar.sandbox import dotnet_json
from registrar.sandbox.dotnet_json import JsonError, Member, Model
from registrar.sandbox.http import Answer, Request

JSON = "application/json; charset=utf-8"
PROBLEM = "application/problem+json; charset=utf-8"
_ESCAPES = re.compile(r"(?:%(?!2[fF])[0-9a-fA-F]{2})+")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_DOUBLE = re.compile(r"\s*[+-]?(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)

Values = Mapping[str, str]
Endpoint = Callable[[Request, Values], Answer]


class RefusedError(Exception):
    """The framework answers in the endpoint's place."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


# Routing


def segments(raw_path: str) -> tuple[str, ...]:
    """The path as Kestrel hands it on: decoded but for `%2F` and what is not UTF-8, dot segments resolved."""
    parts: list[str] = []
    for part in _ESCAPES.sub(_decoded, raw_path).split("/")[1:]:
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    if any("\0" in part for part in parts):
        raise RefusedError(Answer(400))
    if parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _decoded(escapes: re.Match[str]) -> str:
    try:
        return unquote_to_bytes(escapes[0]).decode()
    except UnicodeDecodeError:
        return escapes[0]


@dataclass(frozen=True, slots=True)
class _Template:
    parameter: str
    is_long: bool
    endpoints: dict[str, Endpoint]


class Router:
    """Templates whose last segment may be a parameter, `{name}` or `{name:long}`; literals match in any case."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, ...], _Template] = {}

    def add(self, method: str, template: str, endpoint: Endpoint) -> None:
        *head, last = template.split("/")
        parameter, _, constraint = last.strip("{}").partition(":") if last.startswith("{") else ("", "", "")
        key = tuple(part.lower() for part in (*head, "{}" if parameter else last)) if template else ()
        entry = self._templates.setdefault(key, _Template(parameter, constraint == "long", {}))
        entry.endpoints[method] = endpoint

    def find(self, method: str, path: tuple[str, ...]) -> tuple[Endpoint, Values] | None:
        """The endpoint and its route values, None where no template fits; another method is refused with 405."""
        lower = tuple(part.lower() for part in path)
        values: dict[str, str] = {}
        entry = self._templates.get(lower)
        if entry is None and lower and (entry := self._templates.get((*lower[:-1], "{}"))):
            if entry.is_long and not _is_long(path[-1]):
                return None
            values[entry.parameter] = str(int(path[-1])) if entry.is_long else path[-1]
        if entry is None:
            return None
        if (endpoint := entry.endpoints.get(method.upper())) is None:
            raise RefusedError(Answer(405, headers={"allow": ", ".join(sorted(entry.endpoints))}))
        return endpoint, values


def _is_long(text: str) -> bool:
    # the length guards Python's limit on digits; 20 characters hold every 64-bit number
    return bool(_INTEGER.fullmatch(text)) and len(text) <= 20 and -(2**63) <= int(text) < 2**63


# Content negotiation


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def as_object(request: Request, status: int, value: Any) -> Answer:
    """What a controller answers with an object, a number or a boolean."""
    media = _negotiated(request, ("application/json", "text/json"))
    return Answer(status, encoded(value), {"content-type": f"{media}; charset=utf-8"})


def as_string(request: Request, status: int, text: str) -> Answer:
    """What a controller answers with a bare string: plain text, or a JSON string where only JSON is accepted."""
    media = _negotiated(request, ("text/plain", "application/json", "text/json"))
    body = text.encode() if media == "text/plain" else encoded(text)
    return Answer(status, body, {"content-type": f"{media}; charset=utf-8"})


def _negotiated(request: Request, offers: tuple[str, ...]) -> str:
    accepted = _accepted(request)
    # as browsers send it, an Accept with */* anywhere counts as none
    if "*/*" in accepted:
        return offers[0]
    for media in accepted:
        for offer in offers:
            if media in (offer, f"{offer.partition('/')[0]}/*"):
                return offer
        if media.startswith("application/") and media.endswith("+json"):
            return media
    return offers[0]


def _accepted(request: Request) -> list[str]:
    ranges: list[tuple[float, str]] = []
    for item in request.headers.get("accept", "").split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[0-9](\.[0-9]*)?", quality) else 1.0
        if "/" in media and weight > 0:
            ranges.append((weight, media))
    return [media for _, media in sorted(ranges, key=lambda pair: -pair[0])]


# Problem details


def client_problem(status: int, section: str, title: str) -> Answer:
    """The framework's body for a bare status, without detail."""
    body = {"type": f"https://tools.ietf.org/html/rfc9110#section-{section}", "title": title, "status": status}
    return Answer(status, encoded({**body, "traceId": trace_id()}), {"content-type": PROBLEM})


def handler_problem(request: Request, status: int, body: Mapping[str, Any]) -> Answer:
    """What an exception handler or a middleware writes; nothing but a 500 where Accept allows no JSON."""
    accepted = _accepted(request)
    readable = {"*/*", "application/*", "application/json", "application/problem+json"}
    if accepted and not readable.intersection(accepted):
        return Answer(500)
    return Answer(status, encoded({**body, "traceId": trace_id()}), {"content-type": "application/problem+json"})


def trace_id() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


# Model binding


class Binding:
    """Collects what an action takes from query and body, and every error, before anything is answered."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._query: dict[str, str] = {}
        for name, value in request.query:
            self._query.setdefault(name.lower(), value)
        self.errors: dict[str, list[str]] = {}
        self.body_parameter: str | None = None

    def ordered_errors(self) -> dict[str, list[str]]:
        # ModelStateDictionary is a tree walked level by level, shorter keys first
        return dict(sorted(self.errors.items(), key=lambda item: (item[0].count("."), len(item[0]))))

    def text(self, name: str) -> str | None:
        value = self._query.get(name.lower(), "")
        return value if value.strip() else None

    def required(self, name: str, parameter: str) -> str:
        value = self.text(name)
        if value is None:
            self._error(name, f"The {parameter} field is required.")
        return value or ""

    def posted(self, name: str) -> str:
        """A field of a form, empty where it is absent or blank."""
        value = next((value for found, value in self._request.form if found.lower() == name.lower()), "")
        return value if value.strip() else ""

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._query.get(name.lower())
        if value is None:
            return default
        if (word := value.strip().lower()) not in ("true", "false"):
            self._error(name, f"The value '{value}' is not valid." if word else f"The value '{value}' is invalid.")
        return word == "true"

    def double(self, name: str) -> float | None:
        value = self.text(name)
        if value is None:
            return None
        if not _DOUBLE.fullmatch(value):
            self._error(name, f"The value '{value}' is not valid.")
            return None
        return float(value.replace(",", ""))

    def ranged(self, name: str, low: int, high: int, *, default: int) -> int:
        """A 32-bit property of an object bound from the query; `name` as C# spells it."""
        value = self._query.get(name.lower())
        if value is None:
            return default
        if not value.strip():
            self._error(name, f"The value '{value}' is invalid.")
            return default
        if not (_INTEGER.fullmatch(value) and _is_long(value.strip()) and -(2**31) <= int(value) < 2**31):
            self._error(name, f"The value '{value}' is not valid for {name}.")
            return default
        if not low <= int(value) <= high:
            self._error(name, f"The field {name} must be between {low} and {high}.")
        return int(value)

    def document(self, parameter: str, model: Model) -> dict[str, Any]:
        """The JSON body; a media type that is not JSON is refused with 415 at once."""
        body = _as_utf8(self._request)
        self.body_parameter = parameter
        try:
            values = dotnet_json.read(body, model) if body else None
        except JsonError as error:
            self._error(error.path, str(error))
        else:
            if values is not None:
                self._annotations(model, values)
                return values
            self._error("", "A non-empty request body is required.")
        self._error(parameter, f"The {parameter} field is required.")
        return {}

    def _annotations(self, model: Model, values: Mapping[str, Any]) -> None:
        for member in model.members:
            value = values.get(member.name)
            if member.required and not (value or "").strip():
                self._error(member.name, f"The {member.name} field is required.")
            elif value is not None and _too_long(value, member):
                limit = member.max_length
                message = f"The field {member.name} must be a string or array type with a maximum length of '{limit}'."
                self._error(member.name, message)

    def _error(self, key: str, message: str) -> None:
        self.errors.setdefault(key, []).append(message)


def _too_long(value: str, member: Member) -> bool:
    # .NET counts UTF-16 code units
    return member.max_length is not None and len(value.encode("utf-16-le")) // 2 > member.max_length


def _as_utf8(request: Request) -> bytes:
    media, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charset = next((p[8:].strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    is_json = media in ("application/json", "text/json") or re.fullmatch(r"application/[^/]+\+json", media)
    if not is_json or charset not in ("utf-8", "utf-16", "unicode"):
        raise RefusedError(client_problem(415, "15.5.16", "Unsupported Media Type"))
    return request.body if charset == "utf-8" else request.body.decode("utf-16", errors="replace").encode()

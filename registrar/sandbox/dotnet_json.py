"""One flat JSON object, read as System.Text.Json reads it: the same documents refused, in the same words and places.

Knows JSON and .NET's names of types; what the members mean is the caller's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import NoReturn

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(rb"[A-Za-z0-9]*")
_LITERALS = {b"t": b"true", b"f": b"false", b"n": b"null"}
_MAX_DEPTH = 64
_UNCLOSED = (
    "Expected depth to be zero at the end of the JSON payload. "
    "There is an open JSON object or array that should be closed."
)


@dataclass(frozen=True, slots=True)
class Member:
    """A property of a .NET class: a string, a nullable double or a bool.

    `name` is spelled as in C#; `spelled` is its name in JSON where an attribute gives it another.
    """

    name: str
    spelled: str = ""
    is_number: bool = False
    is_boolean: bool = False
    required: bool = False
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """The .NET class a document is read into."""

    type_name: str
    members: tuple[Member, ...]


class JsonError(Exception):
    """What System.Text.Json says of a document it cannot read, and the JSON path at which it stopped."""

    def __init__(self, message: str, path: str, line: int, column: int) -> None:
        super().__init__(f"{message} Path: {path} | LineNumber: {line} | BytePositionInLine: {column}.")
        self.path = path


@dataclass(frozen=True, slots=True)
class _Token:
    """A value's first token; `name` is the member it belongs to, when that is a member of the root object."""

    depth: int
    name: str | None
    raw: bytes


def read(body: bytes, model: Model) -> dict[str, str | float | bool | None] | None:
    """The members `model` knows by their C# names, absent ones left out; None for a JSON null.

    Names match in any case, unknown members are skipped, and of twins the last one counts.
    """
    members = {(member.spelled or member.name).lower(): member for member in model.members}
    scanner = _Scanner(body.removeprefix(b"\xef\xbb\xbf"), members.keys())
    values: dict[str, str | float | bool | None] = {}
    for token in scanner.tokens():
        if token.depth == 0:
            if token.raw == b"null":
                scanner.expect_end()
                return None
            if token.raw != b"{":
                scanner.refuse(model.type_name)
        elif token.depth == 1 and token.name is not None and (member := members.get(token.name.lower())):
            values[member.name] = _value(token, member, scanner)
    return values


def _value(token: _Token, member: Member, scanner: _Scanner) -> str | float | bool | None:
    if member.is_boolean:
        if token.raw not in (b"true", b"false"):
            scanner.refuse("System.Boolean")
        return token.raw == b"true"
    return _number(token, scanner) if member.is_number else _string(token, scanner)


def _string(token: _Token, scanner: _Scanner) -> str | None:
    if token.raw == b"null":
        return None
    if not token.raw.startswith(b'"'):
        scanner.refuse("System.String")
    try:
        value = str(json.loads(token.raw.decode()))
        value.encode()
    except ValueError:  # bytes that are not UTF-8, or half a surrogate pair
        scanner.refuse("System.String")
    return value


def _number(token: _Token, scanner: _Scanner) -> float | None:
    if token.raw == b"null":
        return None
    # ASP.NET Core's web defaults take a number in quotes
    text = token.raw[1:-1] if token.raw.startswith(b'"') else token.raw
    if not _NUMBER.fullmatch(text):
        scanner.refuse("System.Nullable`1[System.Double]")
    return float(text)


class _Scanner:
    """Walks a document once, without recursion, and stops at the first fault."""

    def __init__(self, body: bytes, known: Set[str]) -> None:
        self._body = body
        self._known = known
        self._at = 0
        self._path = "$"

    def tokens(self) -> Iterator[_Token]:
        """Every value's first token, in order; whoever takes one may refuse it."""
        if not self._peek():
            self._fail(
                "The input does not contain any JSON tokens. "
                "Expected the input to start with a valid JSON token, when isFinalBlock is true."
            )
        root = self._value()
        yield _Token(0, None, root)
        open_with = [root] if root in (b"{", b"[") else []
        fresh = True
        while open_with:
            if self._closes(open_with[-1], fresh=fresh):
                open_with.pop()
                self._path, fresh = "$", False
                continue
            if not fresh:
                self._comma(open_with[-1])
            name = self._name() if open_with[-1] == b"{" else None
            depth = len(open_with)
            if depth == 1 and name is not None and name.lower() in self._known:
                self._path = f"$.{name}"
            raw = self._value()
            yield _Token(depth, name, raw)
            fresh = raw in (b"{", b"[")
            if fresh:
                open_with.append(raw)
                self._limit(len(open_with), raw)
            else:
                self._path = "$"
        self.expect_end()

    def refuse(self, type_name: str) -> NoReturn:
        """Stop: the value just read is no `type_name`."""
        self._fail(f"The JSON value could not be converted to {type_name}.")

    def expect_end(self) -> None:
        if after := self._peek():
            self._fail(f"{_shown(after)} is invalid after a single JSON value. Expected end of data.")

    def _closes(self, opened: bytes, *, fresh: bool) -> bool:
        here = self._peek()
        if not here:
            self._fail(_UNCLOSED)
        if here == (b"}" if opened == b"{" else b"]"):
            self._at += 1
            return True
        if fresh and opened == b"{" and here != b'"':
            self._fail(f"{_shown(here)} is an invalid start of a property name. Expected a '\"'.")
        return False

    def _comma(self, opened: bytes) -> None:
        here = self._peek()
        if here != b",":
            self._fail(f"{_shown(here)} is invalid after a value. Expected either ',', '}}', or ']'.")
        self._at += 1
        after = self._peek()
        if after in (b"}", b"]"):
            kind = "object" if opened == b"{" else "array"
            self._fail(
                f"The JSON {kind} contains a trailing comma at the end which is not supported in this mode. "
                "Change the reader options."
            )

    def _name(self) -> str:
        here = self._peek()
        if not here:
            self._fail(_UNCLOSED)
        if here != b'"':
            self._fail(f"{_shown(here)} is an invalid start of a property name. Expected a '\"'.")
        raw = self._value()
        here = self._peek()
        if not here:
            self._fail(_UNCLOSED)
        if here != b":":
            self._fail(f"{_shown(here)} is invalid after a property name. Expected a ':'.")
        self._at += 1
        return str(json.loads(raw.decode(errors="replace")))

    def _value(self) -> bytes:
        here = self._peek()
        if not here:
            self._fail(_UNCLOSED)
        if here in (b"{", b"["):
            return self._take(here)
        if here == b'"':
            return self._take(self._quoted())
        if here in _LITERALS:
            word = self._match(_WORD)
            if word != _LITERALS[here]:
                literal = _LITERALS[here].decode()
                self._fail(f"'{word.decode()}' is an invalid JSON literal. Expected the literal '{literal}'.")
            return self._take(word)
        if here not in b"-0123456789":
            self._fail(f"{_shown(here)} is an invalid start of a value.")
        number = self._match(_NUMBER)
        if not number:
            self._fail("Expected a digit ('0'-'9'), but instead reached end of data.")
        if number == b"0" and self._body[self._at + 1 : self._at + 2].isdigit():
            self._at += 1
            self._fail(f"Invalid leading zero before {_shown(self._peek())}.")
        return self._take(number)

    def _quoted(self) -> bytes:
        raw = self._match(_STRING)
        if not raw:
            self._unreadable_string()
        return raw

    def _unreadable_string(self) -> NoReturn:
        at = self._at + 1
        while at < len(self._body):
            byte, after = self._body[at : at + 1], self._body[at + 1 : at + 2]
            if byte < b" ":
                self._at = at
                self._fail(f"{_shown(byte)} is invalid within a JSON string. The string should be correctly escaped.")
            if byte == b"\\" and after and after not in b'"\\/bfnrtu':
                self._at = at + 1
                self._fail(
                    f"{_shown(after)} is an invalid escapable character within a JSON string. "
                    "The string should be correctly escaped."
                )
            at += 2 if byte == b"\\" else 1
        self._at = len(self._body)
        self._fail("Expected end of string, but instead reached end of data.")

    def _limit(self, depth: int, opened: bytes) -> None:
        if depth > _MAX_DEPTH:
            kind = "object" if opened == b"{" else "array"
            self._fail(f"The maximum configured depth of {_MAX_DEPTH} has been exceeded. Cannot read next JSON {kind}.")

    def _peek(self) -> bytes:
        self._at += len(self._match(_SPACE))
        return self._body[self._at : self._at + 1]

    def _match(self, pattern: re.Pattern[bytes]) -> bytes:
        found = pattern.match(self._body, self._at)
        return found[0] if found else b""

    def _take(self, token: bytes) -> bytes:
        self._at += len(token)
        return token

    def _fail(self, message: str) -> NoReturn:
        before = self._body[: self._at]
        raise JsonError(message, self._path, before.count(b"\n"), len(before) - (before.rfind(b"\n") + 1))


def _shown(byte: bytes) -> str:
    return f"'{byte.decode()}'" if b" " <= byte <= b"~" else f"'0x{byte.hex().upper()}'"

"""Policies: the part of HCL that says which capabilities a path has, and what a set of policies grants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

CAPABILITIES = ("create", "delete", "deny", "list", "patch", "read", "root", "scan", "sudo", "update")

# What Vault's own default policy grants of what the stand-in serves.
DEFAULT = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list", "scan"] }
path "identity/oidc/provider/+/authorize" { capabilities = ["read", "update"] }
"""

_TOKENS = re.compile(r'\s+|(?:#|//)[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|[\w-]+|[{}\[\]=,])', re.DOTALL)
_WILDCARD = re.compile(r"(?:^|(?<=/))\+(?=/|\*?$)|\*$")

Rules = Mapping[str, frozenset[str]]


class Unreadable(ValueError):
    """A policy that is not understood, and why."""


def parse(text: str) -> Rules:
    """The capabilities of each path pattern; a pattern that is named twice has both."""
    reader = _Reader(_words(text))
    rules: dict[str, frozenset[str]] = {}
    while reader.rest:
        word = reader.take()
        if word != "path":
            raise Unreadable(f'1 error occurred:\n\t* invalid key "{word}" on line 0\n\n')
        pattern = reader.string()
        granted = _capabilities(reader, pattern)
        rules[pattern.lstrip("/")] = rules.get(pattern.lstrip("/"), frozenset()) | granted
    return rules


def _words(text: str) -> list[str]:
    words, at = [], 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if not found:
            raise Unreadable(f"illegal character {text[at]!r}")
        if found[1]:
            words.append(found[1])
        at = found.end()
    return words


class _Reader:
    def __init__(self, words: list[str]) -> None:
        self.rest = words[::-1]

    def take(self, expected: str = "") -> str:
        word = self.rest.pop() if self.rest else "EOF"
        if expected and word != expected:
            raise Unreadable(f"object expected {expected} got: {word}")
        return word

    def string(self) -> str:
        word = self.take()
        if not word.startswith('"'):
            raise Unreadable(f"expected a string got: {word}")
        return re.sub(r"\\(.)", r"\1", word[1:-1])


def _capabilities(reader: _Reader, pattern: str) -> frozenset[str]:
    granted: set[str] = set()
    reader.take("{")
    while (word := reader.take()) != "}":
        if word == "EOF":
            raise Unreadable("object expected closing RBRACE got: EOF")
        if word != "capabilities":
            raise Unreadable(f'1 error occurred:\n\t* path "{pattern}": invalid key "{word}" on line 0\n\n')
        reader.take("=")
        reader.take("[")
        while reader.rest and reader.rest[-1] != "]":
            granted.add(_capability(reader.string(), pattern))
            if reader.rest and reader.rest[-1] == ",":
                reader.take()
        reader.take("]")
    return frozenset(granted)


def _capability(word: str, pattern: str) -> str:
    if word not in CAPABILITIES:
        raise Unreadable(f'path "{pattern}": invalid capability "{word}"')
    return word


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern: `+` stands for one segment, `*` at the end for anything."""

    text: str

    @property
    def is_open(self) -> bool:
        return self.text.endswith("*")

    @property
    def segments(self) -> list[str]:
        return self.text.removesuffix("*").split("/")

    def matches(self, path: str) -> bool:
        segments, parts = self.segments, path.split("/")
        if len(parts) < len(segments) or (len(parts) > len(segments) and not self.is_open):
            return False
        *firsts, (last, part) = zip(segments, parts, strict=False)
        if any(segment not in ("+", here) for segment, here in firsts):
            return False
        return last in ("+", part) or (self.is_open and part.startswith(last))

    def reaches_into(self, mount: str) -> bool:
        """Whether some path of the mount can match."""
        segments, parts = self.segments, mount.rstrip("/").split("/")
        for index, (segment, part) in enumerate(zip(segments, parts, strict=False)):
            if segment not in ("+", part):
                return self.is_open and index == len(segments) - 1 and part.startswith(segment)
        return len(segments) > len(parts) or self.is_open

    def priority(self) -> tuple[int, bool, int, int, str]:
        """Vault's order: the later the first wildcard, the more precise."""
        first = _WILDCARD.search(self.text)
        position = first.start() if first else len(self.text)
        return position, not self.is_open, -self.segments.count("+"), len(self.text), self.text


class Acl:
    """What several policies grant together."""

    def __init__(self, policies: Iterable[Rules]) -> None:
        self._rules: dict[str, frozenset[str]] = {}
        for rules in policies:
            for pattern, granted in rules.items():
                self._rules[pattern] = self._rules.get(pattern, frozenset()) | granted
        self._patterns = sorted((Pattern(text) for text in self._rules), key=Pattern.priority, reverse=True)

    def capabilities(self, path: str) -> frozenset[str]:
        """What the most precise rule grants; a folder also goes by its name without the slash."""
        names = [path, path.rstrip("/")] if path.endswith("/") else [path]
        best = next((name for name in names if name in self._rules), None)
        if best is None:
            matching = (each.text for each in self._patterns if any(each.matches(name) for name in names))
            best = next(matching, None)
        granted = frozenset() if best is None else self._rules[best]
        return frozenset() if "deny" in granted else granted

    def reaches_into(self, mount: str) -> bool:
        """Whether anything below a mount is granted."""
        return any(
            granted and "deny" not in granted and Pattern(text).reaches_into(mount)
            for text, granted in self._rules.items()
        )


@lru_cache(maxsize=64)
def granted(texts: tuple[str, ...]) -> Acl:
    """What these policies grant together; each request of a token asks."""
    return Acl(map(parse, texts))

"""Waivers: `# registrar: ignore[RU007] reason`, a comment that silences a warning on its line.

Owns how one is written and what can be wrong with it. Must never silence an error, nor let a waiver stand unexplained.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from registrar.lint.finding import Level
from registrar.lint.rule import Rule

MARK: Final = re.compile(r"#[ \t]*registrar[ \t]*:[ \t]*ignore\b", re.IGNORECASE)
"""How a comment begins that is meant for a waiver, however it goes on."""

_WAIVER: Final = re.compile(MARK.pattern + r"[ \t]*\[([^\[\]]*)\](.*)", re.IGNORECASE)


class Waiver(NamedTuple):
    """A waiver as it is written; without a reason or a rule it silences nothing. Lines and columns count from 1."""

    line: int
    column: int
    rules: tuple[str, ...] = ()
    reason: str = ""

    @classmethod
    def parse(cls, comment: str, line: int, column: int) -> Waiver:
        """Take a comment apart that begins with the mark."""
        match = _WAIVER.match(comment)
        if match is None:
            return cls(line, column)
        ids = dict.fromkeys(word.strip().upper() for word in match[1].split(",") if word.strip())
        return cls(line, column, tuple(ids), match[2].strip())

    @property
    def valid(self) -> bool:
        """Whether it names its rules and its reason."""
        return bool(self.rules and self.reason)


class Flaw(NamedTuple):
    """What is wrong with a waiver as it is written: the rule, its level and the words."""

    rule: str
    level: Level
    message: str
    unknown: str = ""


def flaws(waiver: Waiver, rules: Mapping[str, Rule]) -> Iterator[Flaw]:
    """What can be said of a waiver without knowing what it stands beside."""
    if not waiver.rules:
        yield Flaw("MF004", Level.ERROR, "the waiver names no rule")
    elif not waiver.reason:
        yield Flaw("MF004", Level.ERROR, "the waiver has no reason")
    for id_ in waiver.rules:
        if id_ not in rules:
            yield Flaw("MF003", Level.WARNING, "the waiver names a rule that is not there", id_)
        elif not rules[id_].waivable:
            yield Flaw("MF003", Level.WARNING, f"{id_} is an error, which no waiver silences")


def idle(rule: str, *, error: bool) -> str:
    """What is said of a waiver that silences nothing, perhaps since the finding beside it is an error."""
    if error:
        return f"{rule} is an error here, which no waiver silences"
    return f"the waiver of {rule} silences nothing"

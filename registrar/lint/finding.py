"""What is wrong, and where: the nouns of the rules, without the rules.

Must never show a foreign text as it is: a manifest of a merge request may hold a pasted secret or a terminal's codes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from registrar.model import Application


class Level(enum.StrEnum):
    """Whether a finding stops a run."""

    ERROR = "error"
    WARNING = "warning"


class Place(NamedTuple):
    """Where something is written; lines and columns count from 1, as editors do."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    rule: str
    level: Level
    message: str
    file: str
    line: int
    column: int
    application: str = ""
    hint: str = ""

    @property
    def place(self) -> Place:
        """Where it is; findings are sorted by it."""
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings as they are shown: by file, line and column."""
    return tuple(sorted(findings, key=lambda finding: (finding.place, finding.rule, finding.message)))


@dataclass(frozen=True, slots=True)
class Entry:
    """An application, the places of its values and the rules waived for them; "" is the field of the whole entry."""

    application: Application
    places: Mapping[str, Place] = field(default_factory=dict)
    waived: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def place(self, name: str) -> Place:
        """Where that field's value is written, or the entry that lacks it."""
        return self.places.get(name) or self.places.get("", Place())

    def waivers(self, name: str) -> frozenset[str]:
        """The rules waived on the line of that field's value, or on the first line of an entry that lacks it."""
        return self.waived.get(name if name in self.places else "", frozenset())

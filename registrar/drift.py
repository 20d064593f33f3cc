"""How a target differs from its manifests, for who was not looking: Markdown for a ticket, JUnit for a nightly run.

Owns what is said first and what is left out where there is no room. Must never let a cut pass for the whole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from registrar.doctor import counted
from registrar.junit import Case, Problem, Suite, junit
from registrar.markdown import LIMIT, code, fitting, heading, line, name, prose
from registrar.model import Target
from registrar.status import Row, Status

_CUT: Final = "{} more did not fit here: `registrar status` shows all of them."


def status_markdown(status: Status, target: Target, *, limit: int = LIMIT) -> str:
    """What wants attention, most urgent first, then how many are in which state."""
    rows = [row for row in status.urgent if not row.well or row.old]
    head = [heading(target), "", f"**{_verdict(status)}**", ""]
    tail = [prose(line) for line in _counts(status)]
    titles = ("State", "Application", "Path", "Credential", "Why", "Next")
    table = [line(titles), line(["---"] * len(titles))] if rows else []
    lines = [line(_cells(row, status)) for row in rows]
    shown = fitting(lines, limit - sum(len(line) + 1 for line in (*head, *table, *tail, _CUT, "0" * 9, "", "")))
    cut = [_CUT.format(len(lines) - shown), ""] if shown < len(lines) else []
    return "\n".join([*head, *table, *lines[:shown], *([""] if rows else []), *cut, *tail]) + "\n"


def _verdict(status: Status) -> str:
    """The first line, which may be all that is read."""
    amiss = sum(1 for row in status.rows if not row.well)
    told = [f"{amiss} of {counted(len(status.rows), 'application')} not in sync"] if amiss else []
    if status.old:
        told.append(f"{counted(len(status.old), 'credential')} older than {status.older_than}")
    return (", ".join(told) or "Nothing wants attention") + "."


def _counts(status: Status) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    unproven = sum(row.unproven for row in status.rows)
    lines = [f"{counted(len(status.rows), 'application')}{': ' if states else ''}{states}."]
    if unproven:
        never = f"{counted(unproven, 'credential')} never proven since made"
        lines.append(f"{never}: registrar verify tells whether they work.")
    if status.unexplained:
        lines.append(f"Nexus has {counted(status.unexplained, 'living application')} that no record explains.")
    return lines


def _cells(row: Row, status: Status) -> tuple[str, ...]:
    why = prose(_why(row, status))
    return (row.state, name(row.name), name(row.path), prose(row.age), why, code(row.way_on))


def _why(row: Row, status: Status) -> str:
    old = f"its credential is older than {status.older_than}" if row.old else ""
    if row.well:
        return old
    return f"{row.reason}; {old}" if old else row.reason


def status_junit(status: Status, target: Target) -> str:
    """A case for each application: a failure where it is not in sync or its credential is old, else nothing to see."""
    cases = [_case(row, status, target) for row in status.urgent]
    when = status.seen_at or datetime.fromtimestamp(0, UTC)  # nothing in Vault tells the time where there is no record
    return junit([Suite(f"{target.name}: {target.nexus_url}", cases)], when)


def _case(row: Row, status: Status, target: Target) -> Case:
    name = row.name if row.name == row.path else f"{row.name} ({row.path})"
    classname = f"registrar.{target.name}"
    if row.well and not row.old:
        return Case(name, classname, skipped=Problem("", row.reason) if row.state == "undeclared" else None)
    why = _why(row, status)
    sides = f"manifest: {row.manifest}, Nexus: {row.nexus}, Vault: {row.vault}"
    text = [f"{row.state}: {why}", sides, *([f"credential: {row.age}"] if row.in_use else []), f"→ {row.way_on}"]
    return Case(name, classname, Problem("old" if row.well else row.state, why, "\n".join(text)))

"""Which findings a change answers for: those in the files that differ, and those that they cause in others.

Pure: who differs from what is told, as is what was found. Must never lose what two files are wrong about together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from registrar import lint
from registrar.lint import Entry, Finding
from registrar.model import Target


def answerable(
    findings: Sequence[Finding], entries: Sequence[Entry], target: Target, unchanged: Collection[str]
) -> tuple[Finding, ...]:
    """The findings about these applications that were not there without the files that are not `unchanged`.

    Of two applications with one name the first one written has the right to it, so that a file can be wrong for what
    stands in another: such a finding stays at its place, and its message says the other.
    """
    caused: set[Finding] = set()
    if any(finding.file in unchanged for finding in findings):
        alone = [entry for entry in entries if entry.place("").file in unchanged]
        caused = {*lint.check(entries, target)} - {*lint.check(alone, target)}
    return tuple(finding for finding in findings if finding.file not in unchanged or finding in caused)

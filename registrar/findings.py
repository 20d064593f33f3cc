"""Findings: what validate found, as one value, in lines for people and as a document for programs.

Must never know the formats of CI systems: those are in `pages`.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import asdict, dataclass, replace

from registrar.lint import Finding, Level
from registrar.model import Application
from registrar.wording import machine, number, painted, visible


@dataclass(frozen=True, slots=True)
class Report:
    """What validate found, in which applications of which files, and from which level on it fails."""

    findings: tuple[Finding, ...]
    applications: tuple[Application, ...]
    files: tuple[str, ...]
    fail_level: str = "error"

    def fails(self, finding: Finding) -> bool:
        """Whether this finding makes the run fail."""
        return finding.level is Level.ERROR or self.fail_level == "warning"

    @property
    def failing(self) -> bool:
        """Whether the run fails."""
        return any(self.fails(finding) for finding in self.findings)

    def below(self, root: str, here: str) -> Report:
        """The same with the files named from a root folder, those in it: CI systems know the repository's own names."""

        def named(file: str) -> str:
            path = posixpath.normpath(posixpath.join(here, file))
            return path.removeprefix(f"{root.rstrip('/')}/") if file != "<stdin>" else file

        applications = [replace(one, source=_placed(named(file_of(one)), one)) for one in self.applications]
        return replace(
            self,
            findings=tuple(replace(one, file=named(one.file)) for one in self.findings),
            applications=tuple(applications),
            files=tuple(map(named, self.files)),
        )

    def counts(self) -> str:
        """How much was looked at, and what was found."""
        tally = Counter(str(finding.level) for finding in self.findings)
        found = [number(tally[level], level) for level in ("error", "warning") if tally[level]]
        looked = f"{number(len(self.applications), 'application')} in {number(len(self.files), 'file')}"
        return ", ".join([looked, *found]) + ("" if found else ": valid")


def file_of(application: Application) -> str:
    """The file that an application stands in, as findings name it."""
    return application.source.rsplit(":", 2)[0]


def _placed(file: str, application: Application) -> str:
    return ":".join([file, *application.source.rsplit(":", 2)[1:]])


def text(report: Report, *, colour: bool = False) -> str:
    """One finding a line as compilers write them, its way out below it, and a line that counts."""
    lines: list[str] = []
    for finding in report.findings:
        level = painted(str(finding.level), "31" if finding.level == "error" else "33", colour)
        place = f"{visible(finding.file)}:{finding.line}:{finding.column}"
        lines.append(f"{place}: {level} {finding.rule}: {visible(finding.message)}")
        if finding.hint:
            lines.append(f"    → {visible(finding.hint)}")
    return "\n".join([*lines, report.counts()])


def document(report: Report) -> str:
    """The same as one JSON document."""
    found = [asdict(finding) for finding in report.findings]
    content = {"files": list(report.files), "applications": len(report.applications), "findings": found}
    return machine("findings", content)

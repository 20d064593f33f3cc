"""Findings for the pages of CI systems: SARIF, JUnit XML, GitHub's workflow commands, Markdown; each one str.

Owns those formats and their escapes. Must never let a text of a manifest end an element, a command or a cell of its
table, nor depend on the clock or on where it runs: both are handed in.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from registrar.findings import Report, file_of
from registrar.junit import Case, Problem, Suite
from registrar.junit import junit as write
from registrar.lint import RULES, Finding, Level, Rule
from registrar.markdown import LIMIT, escaped, fitting, prose, table
from registrar.wording import number, visible

_SHOWN: Final = 200  # characters of a foreign text


def _clipped(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


# ── SARIF ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def sarif(report: Report, version: str) -> str:
    """SARIF 2.1.0, as GitHub's code scanning and editors read it: every rule, and a result for each finding."""
    index = {id_: number for number, id_ in enumerate(RULES)}
    seen: Counter[str] = Counter()
    results = []
    for finding in report.findings:
        key = _fingerprint(finding, 0)
        results.append(_result(finding, index[finding.rule], _fingerprint(finding, seen[key])))
        seen[key] += 1
    driver = {"name": "registrar", "version": version, "rules": [_described(rule) for rule in RULES.values()]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2)


def _described(rule: Rule) -> dict[str, Any]:
    told = f"{rule.reason} What to do: {rule.fix}. Source: {rule.source}."
    shown = f"{escaped(rule.reason)}\n\n**What to do:** {escaped(rule.fix)}.\n\n**Source:** {escaped(rule.source)}"
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.reason},
        "help": {"text": told, "markdown": shown},
        "defaultConfiguration": {"level": str(rule.level)},
    }


def _result(finding: Finding, index: int, fingerprint: str) -> dict[str, Any]:
    start = {"startLine": max(finding.line, 1), "startColumn": max(finding.column, 1)}
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": quote(visible(finding.file))}, "region": start},
    }
    if finding.application:
        location["logicalLocations"] = [{"name": _clipped(finding.application), "kind": "object"}]
    told = visible(finding.message)
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": str(finding.level),
        "message": {"text": f"{told} → {visible(finding.hint)}" if finding.hint else told},
        "locations": [location],
        "partialFingerprints": {"registrar/v1": fingerprint},
    }


def _fingerprint(finding: Finding, nth: int) -> str:
    """What stays the same while lines move: the rule, the file, the application, and which of several it is."""
    known = json.dumps([finding.rule, finding.file, finding.application, nth])
    return hashlib.sha256(known.encode()).hexdigest()


# ── JUnit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def junit(report: Report, when: datetime) -> str:
    """JUnit XML: a suite for a file, a case for the file itself and for each of its applications.

    What makes the run fail is a failure, and what does not is a skipped test: it is seen, and it is not red.
    """
    cases: dict[str, dict[str, list[Finding]]] = {file: {"": []} for file in report.files}
    for application in report.applications:
        cases.setdefault(file_of(application), {"": []}).setdefault(application.name, [])
    for finding in report.findings:
        cases.setdefault(finding.file, {"": []}).setdefault(finding.application, []).append(finding)
    suites = [
        # of blanks alone a name is none to Ant
        Suite(
            _clipped(file) if file.strip() else repr(file),
            [_case(report, file, name, found) for name, found in named.items()],
        )
        for file, named in cases.items()
    ]
    return write(suites, when).rstrip("\n")


def _case(report: Report, file: str, name: str, found: list[Finding]) -> Case:
    case = Case(_clipped(name) or _clipped(file), _clipped(file))
    if not found:
        return case
    worst = next(filter(report.fails, found), None)
    first = worst or found[0]
    problem = Problem(first.rule, f"{first.rule}: {first.message}", "\n".join(map(_line, found)))
    return replace(case, failure=problem) if worst else replace(case, skipped=problem)


def _line(finding: Finding) -> str:
    told = f"{visible(str(finding.place))}: {finding.level} {finding.rule}: {visible(finding.message)}"
    return f"{told}\n    → {visible(finding.hint)}" if finding.hint else told


# ── GitHub ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def github(report: Report) -> str:
    """A workflow command for each finding, which GitHub shows beside the line of the change."""
    return "\n".join(map(_command, report.findings))


def _command(finding: Finding) -> str:
    properties = {
        "file": finding.file,
        "line": str(max(finding.line, 1)),
        "col": str(max(finding.column, 1)),
        "title": f"{finding.rule}: {RULES[finding.rule].title}",
    }
    told = f"{finding.message} → {finding.hint}" if finding.hint else finding.message
    named = ",".join(f"{name}={_data(value, ':,')}" for name, value in properties.items())
    return f"::{finding.level} {named}::{_data(told)}"


def _data(text: str, also: str = "") -> str:
    """Text as the runner's own toolkit escapes it."""
    return "".join(f"%{ord(one):02X}" if one in "%\r\n" + also else one for one in visible(text))


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def markdown(report: Report) -> str:
    """A table for a comment on a merge request, errors first; what is more than a comment holds is counted."""
    lines = ["### Manifests", "", escaped(report.counts())]
    room = LIMIT - len("\n".join(lines)) - _SHOWN  # for the words about what was cut
    findings = sorted(report.findings, key=lambda finding: finding.level is not Level.ERROR)
    rows = [(str(one.level), one.rule, one.application, str(one.place), one.message, one.hint) for one in findings]
    titles = ("Level", "Rule", "Application", "Where", "What", "What to do")
    drawn = table(titles, [tuple(map(_clipped, row)) for row in rows], prose)
    kept = fitting(drawn, room)
    if rows:
        lines += ["", *drawn[:kept]]
    if kept < len(drawn):
        lines += ["", f"{number(len(drawn) - kept, 'finding')} more: a comment holds no more than these."]
    return "\n".join(lines) + "\n"

"""JUnit XML, as the test reports of GitLab, Jenkins and the like read it.

Owns its shape and its escapes: what Ant's schema asks for, which the strictest readers hold it to. Must never let a
character through that XML 1.0 forbids, and knows nothing of what is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from registrar.wording import visible

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a case is not well: its kind in a word, one line that is shown first, and all there is to say."""

    kind: str
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was looked at: a failure is red, and what is skipped is seen without being so."""

    name: str
    classname: str
    failure: Problem | None = None
    skipped: Problem | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases under one name."""

    name: str
    cases: Sequence[Case]


def junit(suites: Sequence[Suite], when: datetime) -> str:
    """The whole report of a look at this time, which ends in a line break."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for number, suite in enumerate(suites):
        lines.append(f"  <testsuite{_attributes(**_head(suite, number, when))}>")
        lines.append("    <properties/>")
        lines += [line for case in suite.cases for line in _case(case)]
        lines += ["    <system-out/>", "    <system-err/>", "  </testsuite>"]
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _head(suite: Suite, number: int, when: datetime) -> dict[str, str]:
    failures = sum(case.failure is not None for case in suite.cases)
    skipped = sum(case.skipped is not None and case.failure is None for case in suite.cases)
    return {
        "name": suite.name,
        "package": "registrar",
        "id": str(number),
        "timestamp": f"{when:%Y-%m-%dT%H:%M:%S}",
        "hostname": "localhost",
        "tests": str(len(suite.cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
        "time": "0",
    }


def _case(case: Case) -> Iterator[str]:
    attributes = _attributes(classname=case.classname, name=case.name, time="0")
    problem = case.failure or case.skipped
    if problem is None:
        yield f"    <testcase{attributes}/>"
        return
    tag = "failure" if case.failure else "skipped"
    told = _attributes(message=problem.message, **({"type": problem.kind} if case.failure else {}))
    yield f"    <testcase{attributes}>"
    yield f"      <{tag}{told}>{_text(problem.text or problem.message)}</{tag}>"
    yield "    </testcase>"


def _attributes(**values: str) -> str:
    return "".join(f' {key}="{visible(value).translate(_ESCAPES)}"' for key, value in values.items())


def _text(text: str) -> str:
    """Several lines; what cannot be printed is spelt out, which is all that XML forbids and more."""
    return "\n".join(visible(line) for line in text.split("\n")).translate(_ESCAPES)

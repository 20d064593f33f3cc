"""JUnit XML, as the test reports of GitLab, Jenkins and the like read it.

Owns its shape and its escapes: one `testsuites`, at most one problem a case, as the strictest readers want. Must never
let a character through that XML 1.0 forbids, and knows nothing of what is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from registrar.render import visible

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a case is not well: its kind in a word, one line that is shown first, and all there is to say."""

    kind: str
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was looked at; `skipped` is why it was not judged, `file` and `line` where it is written."""

    name: str
    classname: str
    failure: Failure | None = None
    skipped: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases under one name."""

    name: str
    cases: Sequence[Case]


def junit(name: str, suites: Sequence[Suite]) -> str:
    """The whole report, which ends in a line break."""
    cases = [case for suite in suites for case in suite.cases]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{_attributes(name=name, **_counts(cases))}>"]
    for suite in suites:
        lines.append(f"  <testsuite{_attributes(name=suite.name, **_counts(suite.cases))}>")
        lines += [line for case in suite.cases for line in _case(case)]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    failures = sum(1 for case in cases if case.failure)
    skipped = sum(1 for case in cases if case.skipped and not case.failure)
    return {
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
        "time": "0",
    }


def _case(case: Case) -> Iterator[str]:
    line = str(case.line) if case.line else ""
    attributes = _attributes(name=case.name, classname=case.classname, time="0")
    attributes += "".join(_attributes(**{key: value}) for key, value in (("file", case.file), ("line", line)) if value)
    if case.failure:
        told = _attributes(message=case.failure.message, type=case.failure.kind)
        text = _text(case.failure.text or case.failure.message)
        yield f"    <testcase{attributes}>"
        yield f"      <failure{told}>{text}</failure>"
        yield "    </testcase>"
    elif case.skipped:
        yield f"    <testcase{attributes}>"
        yield f"      <skipped{_attributes(message=case.skipped)}/>"
        yield "    </testcase>"
    else:
        yield f"    <testcase{attributes}/>"


def _attributes(**values: str) -> str:
    return "".join(f' {key}="{visible(value).translate(_ESCAPES)}"' for key, value in values.items())


def _text(text: str) -> str:
    """Several lines; what cannot be printed is spelt out, which is all that XML forbids and more."""
    return "\n".join(visible(line) for line in text.split("\n")).translate(_ESCAPES)

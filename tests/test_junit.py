"""The JUnit report: read back by an XML parser, whatever the names have in them."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from registrar.junit import Case, Problem, Suite, junit
from registrar.wording import visible

WHEN = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
HOSTILE = "]]><failure/>&amp;\"'\x00\x1b[31m\ud800\ufffe\u202e\r\n\t✓"
texts = st.text(st.characters()) | st.sampled_from((HOSTILE, "]]>", "--", "<!--", ""))


def test_it_counts_and_says_what_failed() -> None:
    cases = [
        Case("viewer (viewer)", "registrar.lab"),
        Case(
            "api (api)",
            "registrar.lab",
            Problem("blocked", "it is archived", "it is archived\n→ registrar restore api"),
        ),
        Case("new", "registrar.lab", skipped=Problem("", "left alone")),
    ]
    root = ET.fromstring(junit([Suite("lab", cases), Suite("files", [])], WHEN))
    assert (root.tag, root.attrib) == ("testsuites", {})
    counts = [[suite.get(name) for name in ("tests", "failures", "errors", "skipped")] for suite in root]
    assert counts == [["3", "1", "0", "1"], ["0", "0", "0", "0"]]
    assert {suite.get("timestamp") for suite in root} == {"2031-02-03T04:05:06"}
    well, failed, skipped = root[0].iter("testcase")
    assert (well.attrib, list(well)) == ({"name": "viewer (viewer)", "classname": "registrar.lab", "time": "0"}, [])
    assert failed[0].attrib == {"message": "it is archived", "type": "blocked"}
    assert failed[0].text == "it is archived\n→ registrar restore api"
    assert (skipped[0].tag, skipped[0].attrib) == ("skipped", {"message": "left alone"})


@given(texts, texts)
def test_any_text_comes_back_as_it_is_shown_everywhere(name: str, text: str) -> None:
    case = Case(name, text, Problem(text, name, text))
    report = junit([Suite(text, [case, Case(name, text, skipped=Problem("", text))])], WHEN)
    root = ET.fromstring(report.encode())
    first, second = root.iter("testcase")
    assert root[0].get("name") == visible(text)
    assert (first.get("name"), first.get("classname")) == (visible(name), visible(text))
    assert first[0].attrib == {"message": visible(name), "type": visible(text)}
    assert (first[0].text or "") == "\n".join(visible(line) for line in (text or name).split("\n"))
    assert second[0].attrib == {"message": visible(text)}

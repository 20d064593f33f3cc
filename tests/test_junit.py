"""The JUnit report: read back by an XML parser, whatever the names have in them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from registrar.junit import Case, Failure, Suite, junit
from registrar.render import visible

HOSTILE = "]]><failure/>&amp;\"'\x00\x1b[31m\ud800\ufffe\u202e\r\n\t✓"
texts = st.text(st.characters()) | st.sampled_from((HOSTILE, "]]>", "--", "<!--", ""))


def test_it_counts_and_says_what_failed() -> None:
    cases = [
        Case("viewer (viewer)", "registrar.lab"),
        Case(
            "api (api)",
            "registrar.lab",
            Failure("blocked", "it is archived", "it is archived\n→ registrar restore api"),
        ),
        Case("new", "registrar.lab", skipped="left alone"),
        Case("apps.yaml", "manifests", file="apps.yaml", line=3),
    ]
    root = ET.fromstring(junit("status", [Suite("lab", cases[:3]), Suite("files", cases[3:])]))
    counts = {"tests": "4", "failures": "1", "errors": "0", "skipped": "1", "time": "0"}
    assert (root.tag, root.attrib) == ("testsuites", {"name": "status", **counts})
    assert [suite.get("tests") for suite in root] == ["3", "1"]
    well, failed, skipped = root[0]
    assert (well.attrib, list(well)) == ({"name": "viewer (viewer)", "classname": "registrar.lab", "time": "0"}, [])
    assert failed[0].attrib == {"message": "it is archived", "type": "blocked"}
    assert failed[0].text == "it is archived\n→ registrar restore api"
    assert (skipped[0].tag, skipped[0].get("message")) == ("skipped", "left alone")
    assert (root[1][0].get("file"), root[1][0].get("line")) == ("apps.yaml", "3")


@given(texts, texts)
def test_any_text_comes_back_as_it_is_shown_everywhere(name: str, text: str) -> None:
    case = Case(name, text, Failure(text, name, text), file=name)
    report = junit(name, [Suite(text, [case, Case(name, text, skipped=text)])])
    root = ET.fromstring(report.encode())
    first = root[0][0]
    assert (root.get("name"), root[0].get("name")) == (visible(name), visible(text))
    assert (first.get("name"), first.get("classname"), first.get("file")) == (
        visible(name),
        visible(text),
        visible(name) or None,
    )
    assert first[0].attrib == {"message": visible(name), "type": visible(text)}
    assert (first[0].text or "") == "\n".join(visible(line) for line in (text or name).split("\n"))
    assert len(root[0]) == 2

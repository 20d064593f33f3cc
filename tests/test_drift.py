"""Drift told to people and pipelines: what comes first, what is cut, and what no name can do to it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from registrar import acts
from registrar import plan as planning
from registrar.drift import status_junit, status_markdown
from registrar.markdown import LIMIT
from registrar.model import Target
from registrar.render import status_text
from registrar.status import STATES, Row, Status, survey
from registrar.world import World
from tests.custody.worlds import worlds

TARGET = Target("lab", "https://nexus.example.org", "", "https://vault.example.org")
WELL = Row("viewer", "Viewer", "in sync", "declared", "living", "stored", in_use=True, age_s=200_000)
ROWS = (
    WELL,
    dataclasses.replace(WELL, path="aged", name="Aged", old=True, age_s=9_000_000),
    dataclasses.replace(WELL, path="drifted", name="Drifted", state="drift", reason="its description", old=True),
    Row("half", "half", "interrupted", "declared", "half-made", "unsettled", reason="a run stopped"),
    Row("gone", "gone", "blocked", "declared", "-", "stored", reason="archived", hint="registrar restore gone"),
    Row("lost", "lost", "undeclared", "-", "living", "stored", reason="left alone"),
)
STATUS = Status(ROWS, unexplained=2, older_than_s=int(timedelta(days=90).total_seconds()))
HOSTILE = "|<b>&amp;`[x](http://evil.example)\r\n\x1b[31m*#~@!_\u202e\ud800\\"


def cells(text: str) -> list[list[str]]:
    """The rows of the one table, as a reader of the page sees them."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    rows: list[list[str]] = []
    for token, inner in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            rows[-1].append("".join(_words(child) for child in inner.children or ()))
    return rows


def _words(child: Token) -> str:
    """What a part of a cell says; no markup but that of code."""
    if child.type == "html_inline":
        assert child.content in ("<code>", "</code>")
        return ""
    assert child.type in ("text", "text_special", "code_inline")
    return child.content


def test_markdown_has_what_wants_attention_first() -> None:
    text = status_markdown(STATUS, dataclasses.replace(TARGET, production=True))
    assert text.startswith("### lab (production): `https://nexus.example.org`\n\n**3 of 6 applications not in sync, ")
    assert "2 credentials older than 90d.**\n" in text
    _, *rows = cells(text)
    assert [row[2] for row in rows] == ["gone", "half", "drifted", "aged"]
    assert rows[0] == ["blocked", "gone", "gone", "", "archived", "registrar restore gone"]
    assert rows[1][-1] == "registrar recover"
    assert rows[2][3:] == [
        "2 days old", "its description; its credential is older than 90d", "registrar plan --only drifted",
    ]  # fmt: skip
    assert rows[3][3:] == ["104 days old", "its credential is older than 90d", "registrar rotate aged"]
    assert "6 applications: 1 blocked, 1 interrupted, 1 drift, 2 in sync, 1 undeclared.\n" in text
    assert "3 credentials never proven since made: registrar verify tells" in text
    assert text.endswith("Nexus has 2 living applications that no record explains.\n")


def test_markdown_of_what_is_well_is_short() -> None:
    assert status_markdown(Status((WELL,)), TARGET).splitlines()[2:4] == ["**Nothing wants attention.**", ""]
    assert "|" not in status_markdown(Status((WELL,)), TARGET)
    assert "0 applications." in status_markdown(Status(()), TARGET)


@pytest.mark.parametrize("count", [300, 1500])
def test_a_cut_says_how_much_it_leaves_out(count: int) -> None:
    rows = tuple(
        dataclasses.replace(ROWS[2], path=f"app-{number}", name="<" * 50, reason="|" * (number % 300))
        for number in range(count)
    )
    text = status_markdown(Status(rows), TARGET)
    shown = len(cells(text)) - 1
    assert LIMIT - 2000 < len(text) <= LIMIT
    assert 0 < shown < count
    assert f"\n{count - shown} more did not fit here: `registrar status` shows all of them.\n" in text
    assert text.endswith(f"{count} credentials never proven since made: registrar verify tells whether they work.\n")


def test_one_row_too_long_for_any_report_is_counted() -> None:
    text = status_markdown(Status((dataclasses.replace(ROWS[2], reason="x" * LIMIT),)), TARGET, limit=900)
    assert "\n1 more did not fit here" in text
    assert len(text) < 1000


def test_no_name_becomes_markup() -> None:
    row = dataclasses.replace(ROWS[4], name=HOSTILE, reason=HOSTILE, hint=HOSTILE, path=HOSTILE)
    text = status_markdown(Status((row,)), TARGET)
    (_, shown) = cells(text)
    assert len(shown) == 6
    assert shown[1].startswith("|<b>&amp;`[x](http://evil.example)\\r\\n\\x1b[31m")
    assert text.isascii()


def test_junit_fails_what_is_not_in_sync_or_old() -> None:
    root = ET.fromstring(status_junit(STATUS, TARGET))
    assert [root[0].get(name) for name in ("tests", "failures", "skipped")] == ["6", "4", "1"]
    cases = {str(case.get("name")): case for case in root.iter("testcase")}
    assert {case.get("classname") for case in cases.values()} == {"registrar.lab"}
    assert {name: case[0].get("type") for name, case in cases.items() if len(case) and case[0].tag == "failure"} == {
        "gone": "blocked",
        "half": "interrupted",
        "Drifted (drifted)": "drift",
        "Aged (aged)": "old",
    }
    failed = cases["gone"][0]
    assert failed.get("message") == "archived"
    assert str(failed.text).splitlines() == [
        "blocked: archived",
        "manifest: declared, Nexus: -, Vault: stored",
        "→ registrar restore gone",
    ]
    assert "\ncredential: 104 days old\n→ registrar rotate aged" in str(cases["Aged (aged)"][0].text)
    assert cases["lost"][0].get("message") == "left alone"
    assert len(cases["Viewer (viewer)"]) == 0


def test_text_tells_the_old_ones_below_the_table() -> None:
    text = status_text(STATUS, TARGET)
    assert "\naged: its credential is 104 days old\n  → registrar rotate aged\n" in text
    assert text.index("aged: its") < text.index("drifted: its")  # the oldest first
    assert "\nCredentials older than 90d: 2.\n" in text
    assert "Credentials older than 0: none." in status_text(Status((WELL,), older_than_s=0), TARGET)
    assert "older" not in status_text(Status((WELL,)), TARGET)


def test_a_credential_of_unknown_age_is_the_oldest() -> None:
    unknown = dataclasses.replace(ROWS[1], age_s=None, path="unknown")
    status = dataclasses.replace(STATUS, rows=(*ROWS, unknown))
    assert [row.path for row in status.old] == ["unknown", "aged", "drifted"]
    assert "of unknown age" in status_text(status, TARGET)


@given(worlds(), st.integers(0, 400))
def test_status_and_rotate_agree_about_what_is_old(world: World, hours: int) -> None:
    than = timedelta(hours=hours)
    status = survey(world, planning.plan(world), older_than=than)
    rotated = acts.rotate(world, (), grace=timedelta(hours=24), older_than=than)
    named = {row.path for row in status.old if world.by_path[row.path].base.protected}
    assert {row.path for row in status.old} - named == {step.path for step in rotated.steps}
    by_name = acts.rotate(world, sorted(named), grace=timedelta(), older_than=than) if named else None
    assert named == {step.path for step in by_name.steps} if by_name else not named
    assert all(row.managed for row in status.rows if row.in_use)
    assert {row.state for row in status.rows} <= set(STATES)
    for row in status.rows:
        assert bool(row.way_on) == (row.old or not row.well)
        assert not row.old or row.age_s is None or row.age_s >= hours * 3600

"""Plans and reports as Markdown: what a reader has to see, within what a comment may hold, whatever somebody typed."""

from __future__ import annotations

import html
import re
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from registrar.errors import StepFailed
from registrar.markdown import LIMIT, code, name, plan_markdown, prose, report_markdown
from registrar.model import Application, Target
from registrar.plan import Plan
from registrar.report import Outcome, Report, Status
from registrar.steps import Blocked, Change, Create, Edit, Keep, Recover, Retire, Step, Update
from registrar.wording import visible

TARGET = Target("dev", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org")
FORGE = MarkdownIt("gfm-like")  # with tables, and with addresses as links


def application(path: str, **fields: str) -> Application:
    return replace(Application(path, path.title(), f"https://{path}.example.org/cb"), **fields)  # type: ignore[arg-type]


def create(path: str, **fields: str) -> Create:
    wanted = application(path, **fields)
    return Create(path=path, name=wanted.name, reason="new", application=wanted)


def update(path: str, *changes: Change) -> Update:
    edits = (Edit(1, "c1", changes),) if changes else ()
    return Update(path=path, name=path.title(), reason="differs", application=application(path), edits=edits)


def made(*steps: Step) -> Plan:
    return Plan(TARGET, steps, managed=len(steps))


def spans(text: str) -> list[Token]:
    """Everything inside the paragraphs, headings and cells of a rendered text."""
    return [child for token in FORGE.parse(text) for child in token.children or ()]


def cells(text: str) -> list[list[str]]:
    """The cells of all tables as a reader sees them."""
    rows = re.findall(r"<tr>(.*?)</tr>", FORGE.render(text), re.DOTALL)
    return [
        [html.unescape(re.sub(r"<.*?>", "", cell)) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)]
        for row in rows
    ][1:]


# ── what a reader sees ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plan_has_every_part() -> None:
    moved = update("viewer", Change("redirect_uri", "https://a.example.org/cb", "https://b.example.org/cb"))
    retired = Blocked(path="old", name="Old", reason="retired, and still declared", hint="registrar restore old")
    kept = Keep(path="kept", name="Kept", reason="in sync", note="somebody registered another one: id 7")
    text = plan_markdown(made(create("new", owner_email="team@example.org"), moved, retired, kept))
    assert text.splitlines() == [
        "### dev: `https://nexus.example.org`",
        "",
        "**This breaks clients of 1 application**, until each is set up anew: Viewer (its redirect URI changes).",
        "",
        "Blocked, until a person decides:",
        "",
        "- Old (old): retired, and still declared → `registrar restore old`",
        "",
        "| Operation | Application | Field | Before | After |",
        "| --- | --- | --- | --- | --- |",
        (
            "| update (breaks clients) | Viewer | `redirect_uri` "
            "| `https://a.example.org/cb` | `https://b.example.org/cb` |"
        ),
        "| create | New | `name` |  | `New` |",
        "| create | New | `redirect_uri` |  | `https://new.example.org/cb` |",
        "| create | New | `owner_email` |  | `team@example.org` |",
        "",
        "Notes:",
        "",
        "- Kept (kept): somebody registered another one: id 7",
        "",
        "Plan: 1 to create, 1 to update, 1 blocked, 1 in sync.",
        "",
        f"Digest: `{made(create('new', owner_email='team@example.org'), moved, retired, kept).digest}`",
    ]


def test_who_breaks_is_told_for_each_way_of_breaking() -> None:
    again = replace(create("gone"), replaces="c9", reason="its application c9 was deleted behind us")
    gone = Retire(path="left", name="Left", reason="no longer declared", client_id="c3")
    text = plan_markdown(made(again, gone))
    assert "clients of 2 applications**" in text
    assert "Gone (it gets a new client id and secret), Left (to retire)." in text
    many = plan_markdown(made(*(replace(gone, path=f"a{n}", name=f"App{n}") for n in range(12))))
    assert "App9 (to retire), 2 more." in many


def test_what_is_no_field_has_its_reason() -> None:
    stopped = Recover(path="half", name="Half", reason="a run stopped before storing", then="create")
    facts = replace(update("facts"), facts=(Change("owner", "", "team"),), notes=("description is no longer managed",))
    grace = replace(update("both"), edits=tuple(Edit(n, f"c{n}", (Change("name", "x", "Both"),)) for n in (1, 2)))
    assert cells(plan_markdown(made(stopped, facts, grace))) == [
        ["recover", "Half", "", "", "a run stopped before storing; then create"],
        ["update", "Facts", "owner (fact)", "", "team"],
        ["update", "Both", "name", "x", "Both"],
        ["update", "Both", "name of c2", "x", "Both"],
    ]
    assert "- Facts (facts): description is no longer managed" in plan_markdown(made(facts))


def test_remarks_and_a_plan_without_nexus_come_first() -> None:
    plan = replace(made(create("new")), with_nexus=False, target=replace(TARGET, production=True))
    lines = plan_markdown(plan, remarks=["registrar.yaml of this branch is not used"]).splitlines()
    assert lines[0].startswith("### dev (production): ")
    assert lines[2] == "> ⚠️ registrar.yaml of this branch is not used"
    assert lines[4].startswith("Nexus was not asked")
    assert not any(line.startswith("Digest") for line in lines)


def test_nothing_to_do_is_said() -> None:
    text = plan_markdown(made(Keep(path="kept", name="Kept", reason="in sync")))
    assert text == "### dev: `https://nexus.example.org`\n\nNothing to do: 1 application in sync.\n"


def test_a_report_has_what_became_of_each() -> None:
    error = StepFailed("New: Nexus said no", hint="registrar apply")
    outcomes = (
        Outcome(create("done"), Status.DONE),
        Outcome(create("new"), Status.FAILED, "New: Nexus said no", error),
        Outcome(Keep(path="kept", name="Kept", reason="in sync"), Status.KEPT),
    )
    report = Report(outcomes, cause=error, interrupted=True)
    text = report_markdown(report, TARGET)
    assert cells(text) == [
        ["failed", "create", "New", "new", "Nexus said no"],
        ["done", "create", "Done", "done", "secret/nexus/done"],
    ]
    assert "- New (new): → `registrar apply`" in text
    assert text.endswith("\nStopped: New: Nexus said no\n\n1 done, 1 failed; interrupted.\n")
    assert report_markdown(Report(()), TARGET).endswith("\n\nnothing was to be done.\n")


# ── how much of it ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_long_is_folded_and_still_a_table() -> None:
    assert "<details>" not in plan_markdown(made(*(create(f"a{n}") for n in range(12))))
    text = plan_markdown(made(*(create(f"a{n}") for n in range(13))))
    assert "<details>\n<summary>26 rows</summary>\n\n| Operation" in text
    assert "|\n\n</details>\n\nPlan: 13 to create." in text
    assert len(cells(text)) == 26


def test_what_does_not_fit_is_counted_and_what_matters_stays() -> None:
    def steps(count: int) -> list[Step]:
        breaking = update("zz", Change("redirect_uri", "https://a.example.org", "https://b.example.org"))
        blocked = (
            Blocked(path=f"b{n}", name="B", reason="by hand", hint=f"registrar adopt b{n}") for n in range(count)
        )
        keeps = (Keep(path=f"k{n}", name="K", reason="in sync", note="a namesake") for n in range(count))
        return [*(create(f"a{n}", description="*" * 200) for n in range(count)), breaking, *blocked, *keeps]

    seen = set()
    for count in (1, 70, 110, 1500):
        plan = made(*steps(count))
        text = plan_markdown(plan)
        assert len(text) <= LIMIT
        rows = re.findall(r"^(?:- |\| (?:create|update) )", text, re.MULTILINE)
        cut = re.search(
            r"^\*\*([\d,]+) rows do not fit in here\.\*\* `registrar plan` shows them all\.$", text, re.MULTILINE
        )
        missing = int(cut[1].replace(",", "")) if cut else 0
        assert len(rows) + missing == 3 * count + 1 + count + count  # of Create, Update, Blocked and Keep
        seen.add(missing > 0)
        assert text.count("<details>") == text.count("</details>")
        assert re.search(r"^\| update \(breaks clients\)", text.split("| --- |\n")[1])
        assert "→ `registrar adopt b0`" in text
        assert text.splitlines()[-1] == f"Digest: `{plan.digest}`"
    assert seen == {True, False}


def test_the_last_row_that_fits_is_there() -> None:
    """The limit is what may be used: at every limit no row is missing that there was room for."""
    plan = made(*(create(f"a{n}") for n in range(40)))
    whole = plan_markdown(plan, limit=10**6)
    assert "do not fit" not in whole
    for limit in range(1200, len(whole) + 200, 37):
        text = plan_markdown(plan, limit=limit)
        assert len(text) <= limit
        if "do not fit" in text:
            assert len(text) > limit - 200


def test_one_long_value_is_clipped_and_says_so() -> None:
    text = plan_markdown(made(create("a", description="é" * 100_000)))
    assert "é" * 600 + "… and 99,400 characters more`" in text
    assert len(text) < 2000


# ── whatever somebody typed ───────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "A | `b` *c* <i>",
    "@everyone",
    "a@example.org #1 !2 ~x $y$ %z &w GH-7",
    "https://evil.example/?a=b",
    "www.evil.example",
    "![x](https://evil.example/p.png)",
    "[click](javascript:alert(1))",
    "</details><script>alert(1)</script>",
    "a\n\n# heading\n| x | y |",
    "\\| a \\` b \\\\|",
    "`` ` | ``",
    "1. one",
    "- item",
    "> quote",
    "&lt;b&gt; &amp; &#124;",
    " spaces around ",
    "c009ca7",
    ":smile:",
    "a\u202eb\x1b[31m",
    "|",
    "`",
    "\\",
]
TEXTS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from(list("ab1 |`\\*_[]()<>&;#@:/.!~$-+=\n\t'\"")), min_size=1, max_size=12),
    st.text(min_size=1, max_size=20),
)
HARMLESS = {"text", "code_inline", "html_inline", "strong_open", "strong_close", "softbreak", "text_special"}


def calls_nobody(text: str) -> None:
    """Nothing is a link, a picture or a tag but <code>, and what a forge would call somebody by is in code."""
    inside = spans(text)
    assert {token.type for token in inside} <= HARMLESS, text
    tags = [token.content for token in inside if token.type == "html_inline"]
    assert set(tags) <= {"<code>", "</code>"}
    in_code = False
    for token in inside:
        if token.type == "html_inline":
            in_code = token.content == "<code>"
        elif not in_code and token.type.startswith("text"):
            assert not re.search(r"[@#$&~!<]\w|://|www\.\w|GH-\d", token.content), text


@given(TEXTS)
def test_a_value_is_shown_as_it_is(text: str) -> None:
    row = f"| a | b |\n| --- | --- |\n| {code(text)} | x |\n"
    ((shown, beside),) = cells(row)
    assert beside == "x"
    assert shown == visible(text)
    for form in (code, name, prose):
        calls_nobody(f"- x {form(text)} y\n")


@settings(max_examples=40)
@given(TEXTS, TEXTS)
@example("@all", "|")
def test_no_text_leaves_its_place(who: str, value: str) -> None:
    wanted = replace(application("odd", description=value), name=who)
    steps: list[Step] = [
        Create(path="odd", name=who, reason=value, application=wanted),
        Blocked(path="odd", name=who, reason=value, hint=value),
        Keep(path="odd", name=who, reason="in sync", note=value),
        Retire(path="odd", name=who, reason=value, client_id="c1"),
    ]
    text = plan_markdown(made(*steps), remarks=[value])
    calls_nobody(text)
    assert [len(row) for row in cells(text)] == [5] * 4
    kinds = [token.type for token in FORGE.parse(text) if token.level == 0 and token.nesting >= 0]
    assert kinds == [
        *("heading_open", "blockquote_open", "paragraph_open", "paragraph_open", "bullet_list_open", "table_open"),
        *("paragraph_open", "bullet_list_open", "paragraph_open", "paragraph_open"),
    ]
    calls_nobody(report_markdown(Report(tuple(Outcome(step, Status.FAILED, value) for step in steps)), TARGET))

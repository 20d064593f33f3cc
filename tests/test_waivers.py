"""Waivers: what they silence, what they cannot, and what is said of those that silence nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from registrar import comments, manifest
from registrar.lint.waivers import Waiver
from registrar.model import Target

DEV = Target("dev", "", "", "")
PROD = replace(DEV, name="prod", production=True)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers; the C one is not everywhere."""
    monkeypatch.setattr(comments, "_LOADER", getattr(yaml, request.param))


def load(text: str, target: Target = DEV) -> manifest.Manifests:
    return manifest.load([manifest.STDIN], target, stdin=text.encode(), targets=("dev", "prod"))


def told(text: str, target: Target = DEV) -> list[tuple[str, str, int, str]]:
    return [(str(one.level), one.rule, one.line, one.message) for one in load(text, target).findings]


def entry(redirect: str, rest: str = "owner_email: a@example.org", name: str = "A") -> str:
    return f"apps:\n  - name: {name}\n    redirect_uri: {redirect}\n    {rest}\n"


LOCAL = "http://localhost/cb"


def test_a_warning_is_silenced_on_its_line() -> None:
    loaded = load(entry(f"{LOCAL}  # registrar: ignore[RU007,RU009] the developer's own machine"))
    assert loaded.findings == ()
    assert [finding.rule for finding in loaded.waived] == ["RU007", "RU009"]


@pytest.mark.parametrize(
    "comment",
    [
        "# registrar: ignore[RU007, ru009] why",
        "#registrar:ignore[RU009,RU007]   why",
        "# Registrar: ignore [ RU007 ,, RU009 ] why",
        "# see there # registrar: ignore[RU007,RU009] why",
    ],
)
def test_how_a_waiver_may_be_written(comment: str) -> None:
    assert told(entry(f"{LOCAL} {comment}")) == []


def test_what_is_about_the_entry_is_silenced_on_its_first_line() -> None:
    assert told(entry("https://a.example.org/cb", "path: a", "A  # registrar: ignore[AP004] nobody's")) == []
    flow = "apps: [{name: A, redirect_uri: 'http://127.0.0.1/cb#x'}] # registrar: ignore[AP004,RU009] why\n"
    assert told(flow) == [("error", "RU002", 1, "the redirect URI has a fragment")]


def test_what_looks_like_a_secret_in_a_url_is_silenced() -> None:
    url = "https://a.example.org/Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ubw"
    assert [rule for _, rule, *_ in told(entry(url))] == ["MF002"]
    assert told(entry(f"{url}  # registrar: ignore[MF002] an id of the vendor")) == []


def test_another_line_is_not_silenced() -> None:
    text = entry(LOCAL, "owner_email: a@example.org  # registrar: ignore[RU007] why")
    assert [(rule, line) for _, rule, line, _ in told(text)] == [("RU007", 3), ("RU009", 3), ("MF003", 4)]


@pytest.mark.parametrize("comment", ["ignore[RU007]", "ignore[RU007]   ", "ignore", "ignore[]", "ignore RU007 why"])
def test_a_waiver_without_a_reason_or_a_rule_is_an_error(comment: str) -> None:
    found = load(entry(f"{LOCAL}  # registrar: {comment}"))
    (error,) = found.errors
    assert (error.rule, error.line, error.column) == ("MF004", 3, 40)
    assert {finding.rule for finding in found.findings} == {"MF004", "RU007", "RU009"}


def test_an_error_is_not_silenced() -> None:
    text = entry("http://a.example.org/cb  # registrar: ignore[RU003] trust me")
    assert told(text) == [
        (
            "error",
            "RU003",
            3,
            "the redirect URI is http to another machine: everything sent there travels in the clear",
        ),
        ("warning", "MF003", 3, "RU003 is an error, which no waiver silences"),
    ]


def test_a_warning_that_is_an_error_elsewhere_is_not_silenced_there() -> None:
    text = entry("https://a.internal/cb  # registrar: ignore[RU009] in the lab")
    assert told(text) == []
    assert told(text, PROD) == [
        ("error", "RU009", 3, "the redirect URI leads to a host below .internal, which is never public"),
        ("warning", "MF003", 3, "RU009 is an error here, which no waiver silences"),
    ]


def test_what_silences_nothing_is_told() -> None:
    text = entry("https://a.example.org/cb  # registrar: ignore[RU007,AP04,RU016] why")
    assert told(text) == [
        ("warning", "MF003", 3, "the waiver names a rule that is not there"),
        ("warning", "MF003", 3, "the waiver of RU007 silences nothing"),
        ("warning", "MF003", 3, "the waiver of RU016 silences nothing"),
    ]
    assert load(text).findings[0].hint == "did you mean `AP004`?"
    alone = f"{entry('https://a.example.org/cb')}# registrar: ignore[RU007] for all\n"
    assert told(alone) == [("warning", "MF003", 5, "the waiver of RU007 silences nothing")]


def test_a_waiver_of_one_target_is_not_idle_on_another() -> None:
    text = entry("https://a.example.org/cb", "owner_email: a@example.org\n    targets:\n      dev:\n")
    text += f"        redirect_uri: {LOCAL}  # registrar: ignore[RU007,RU009] the developer's own\n"
    assert told(text) == told(text, PROD) == []
    on_one = entry("https://a-prod.example.org/cb  # registrar: ignore[RU021] one for all")
    assert told(on_one) == []
    assert [rule for _, rule, *_ in told(on_one, PROD)] == ["MF003"]
    assert manifest.combined([load(on_one), load(on_one, PROD)]) == ()
    nowhere = entry("https://a.example.org/cb  # registrar: ignore[RU021] why")
    assert [finding.rule for finding in manifest.combined([load(nowhere), load(nowhere, PROD)])] == ["MF003"]


def test_what_targets_judge_differently_is_told_in_their_order() -> None:
    text = "apps:" + "".join(entry(f"http://127.0.0.1/{n}", name=f"A{n}").removeprefix("apps:") for n in range(20))
    findings = manifest.combined([load(text), load(text, PROD)])
    assert [str(finding.level) for finding in findings] == ["warning", "error"] * 20


WAIVER = "# registrar: ignore[RU007] why"


@pytest.mark.parametrize(
    "value",
    [
        f"'{WAIVER}'",
        f'"x {WAIVER}"',
        f"'two\n      {WAIVER}\n      lines'",
        f"|\n      {WAIVER}\n      more",
        f">-\n      folded {WAIVER}\n",
        f"x{WAIVER}",  # no space before it: no comment
        f"{{a: b}}\n  # name: old {WAIVER}",  # an entry out of use
    ],
)
def test_what_is_no_comment(value: str) -> None:
    assert comments.waivers(f"description: {value}\nlast: 1\n") == ()


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (f"a: | {WAIVER}\n  text\n", 1, 6),
        (f"a: '#' {WAIVER}\n", 1, 8),
        (f"a: |\n  text\n{WAIVER}\n", 3, 1),
        (f"a: 'two\n\n  lines' {WAIVER}\n", 3, 10),
        (f"a: 1\r\nb: 2\r\nc: 3 {WAIVER}\r\n", 3, 6),
        (f"a: 'x\u2028y'\nb: 2 {WAIVER}", 3, 6),  # YAML 1.1 counts U+2028 as the end of a line
        (f"a: \U0001f600 {WAIVER}", 1, 6),
    ],
)
def test_where_a_comment_is(text: str, line: int, column: int) -> None:
    assert comments.waivers(text) == (Waiver(line, column, ("RU007",), "why"),)


def test_a_file_that_is_no_yaml_has_no_waivers() -> None:
    assert comments.waivers(f"a: [ {WAIVER}\n") == ()


PIECE = st.sampled_from([*"# '\"\n|>x", "\n  ", "a: ", "- ", WAIVER, f" {WAIVER}\n"])


@given(st.lists(PIECE, max_size=14).map("".join))
@example(f"|\n{WAIVER}\n  #")
def test_what_is_a_waiver_is_a_comment(text: str) -> None:
    """Another comment in its place changes no value; none might, since a comment can end a text of several lines."""
    try:
        value = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        return
    lines = text.split("\n")
    for waiver in comments.waivers(text):
        lines[waiver.line - 1] = lines[waiver.line - 1][: waiver.column - 1] + "#"
    assert yaml.load("\n".join(lines), yaml.CSafeLoader) == value

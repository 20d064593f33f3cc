"""The rules: what each refuses, what it lets pass, and where it points."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registrar import lint, uri
from registrar.lint import RULES, Entry, Finding, Level, Place
from registrar.model import Application, Target
from registrar.uri import Uri
from registrar.wording import quoted

TARGET = Target("dev", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org")
GOOD = Application(
    path="viewer",
    name="Viewer",
    redirect_uri="https://viewer.example.org/oauth/callback",
    base_url="https://viewer.example.org",
    owner_email="team@example.org",
    description="A viewer",
)


def check(*applications: Application) -> list[tuple[str, Level, str]]:
    findings = lint.check([Entry(application) for application in applications], TARGET)
    return [(finding.rule, finding.level, finding.message) for finding in findings]


def refused(uri: str) -> list[tuple[str, str]]:
    """The errors about a redirect URI that no base_url contradicts."""
    found = check(replace(GOOD, redirect_uri=uri, base_url=None))
    return [(rule, message) for rule, level, message in found if level is Level.ERROR]


def test_a_good_application_has_no_findings() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(
    "uri",
    [
        "https://viewer.example.org",
        "https://viewer.example.org/",
        "https://viewer.example.org/oauth/callback/",
        "https://viewer.example.org:8443/oauth/callback",
        "https://viewer.example.org/a%20b/@me/x;y=1?tenant=3",
        "https://[2001:db8::1]:8443/cb",
        "http://localhost:8080/cb",
        "HTTP://LOCALHOST/cb",
        "http://127.0.0.1:65535/cb",
        "http://127.255.1.2/cb",
        "http://[::1]:3000/cb",
        "http://[0:0:0:0:0:0:0:1]/cb",
        "https://viewer.example.org/...hidden/cb",
    ],
)
def test_redirect_uris_that_pass(uri: str) -> None:
    assert refused(uri) == []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("", "RU001"),
        ("   ", "RU001 RU006"),
        ("/oauth/callback", "RU001"),
        ("viewer.example.org/cb", "RU001"),
        ("//viewer.example.org/cb", "RU001"),
        ("https:/viewer.example.org/cb", "RU001"),
        ("https:///viewer.example.org/cb", "RU001"),
        ("https:viewer.example.org/cb", "RU001"),
        ("https://", "RU001"),
        ("https://:443/cb", "RU001"),
        ("https://user@/cb", "RU001 RU004"),
        ("https://viewer.example.org:/cb", "RU001"),
        ("https://viewer.example.org:0/cb", "RU001"),
        ("https://viewer.example.org:65536/cb", "RU001"),
        ("https://viewer.example.org:+443/cb", "RU001"),
        ("https://viewer.example.org:\uff18443/cb", "RU001 RU006"),
        ("https://viewer.example.org:44a/cb", "RU001"),
        ("https://::1/cb", "RU001"),
        ("https://[::1/cb", "RU001"),
        ("https://[::1]x/cb", "RU001"),
        ("https://[v1.a]/cb", "RU001"),
        ("https://[127.0.0.1]/cb", "RU001"),
        ("https://[fe80::1%25eth0]/cb", "RU001 RU006"),
        ("https://viewer.example.org/cb#", "RU002"),
        ("https://viewer.example.org/cb#top", "RU002"),
        ("https://viewer.example.org#/cb", "RU002"),
        ("http://viewer.example.org/cb", "RU003"),
        ("http://localhost.evil.example/cb", "RU003"),
        ("http://localhost./cb", "RU003 RU014"),
        ("http://127.0.0.1.evil.example/cb", "RU003"),
        ("http://127.1/cb", "RU003 RU014"),
        ("http://2130706433/cb", "RU003 RU014"),
        ("http://0x7f.0.0.1/cb", "RU003 RU014"),
        ("http://0.0.0.0/cb", "RU003"),
        ("http://10.0.0.1/cb", "RU003"),
        ("http://[::]/cb", "RU003"),
        ("http://[::ffff:127.0.0.1]/cb", "RU003"),
        ("http://[::1%25lo]/cb", "RU001 RU003 RU006"),
        ("javascript:alert(1)", "RU001 RU003"),
        ("JaVaScRiPt://viewer.example.org/%0aalert(1)", "RU003 RU006"),
        ("java\nscript:alert(1)", "AP007 RU001 RU003 RU006"),
        (" \x01javascript:alert(1)", "AP007 RU001 RU003 RU006"),
        ("data:text/html,hello", "RU001 RU003"),
        ("vbscript:x", "RU001 RU003"),
        ("file:///etc/passwd", "RU001 RU003"),
        ("ftp://viewer.example.org/cb", "RU003"),
        ("blob:https://viewer.example.org/1", "RU001 RU003 RU006"),
        ("about:blank", "RU001 RU003"),
        ("view-source:https://viewer.example.org", "RU001 RU003 RU006"),
        ("com.example.viewer:/cb", "RU001 RU008"),
        ("ws://localhost/cb", "RU008"),
        ("https://localhost@evil.example/cb", "RU004"),
        ("https://@viewer.example.org/cb", "RU004"),
        ("https://user:password@viewer.example.org/cb", "RU004"),
        ("https://evil.example\\@viewer.example.org/cb", "RU004 RU006"),
        ("https://a@b@viewer.example.org/cb", "RU004"),
        ("https://*.example.org/cb", "RU005"),
        ("https://viewer.example.org/*", "RU005"),
        ("https://{host}/cb", "RU005"),
        ("https://${HOST}/cb", "RU005"),
        ("https://viewer.example.org/../cb", "RU006"),
        ("https://viewer.example.org/./cb", "RU006"),
        ("https://viewer.example.org/cb/..", "RU006"),
        ("https://viewer.example.org/a/..;x=1/cb", "RU006"),
        ("https://viewer.example.org//cb", "RU006"),
        ("https://viewer.example.org/cb//", "RU006"),
        ("https://viewer.example.org\\cb", "RU006"),
        ("https:\\\\viewer.example.org\\cb", "RU001 RU006"),
        ("https://viewer.example.org/%2e%2E/cb", "RU006"),
        ("https://viewer.example.org/%5Ccb", "RU006"),
        ("https://viewer.example.org/cb%00", "RU006"),
        ("https://viewer.example.org/cb%0d%0aX:1", "RU006"),
        ("https://viewer.example.org/c%b", "RU006"),
        ("https://viewer.example.org/cb%", "RU006"),
        ("https://ex%61mple.org/cb", "RU006"),
        ("https://viewer.example.org/c b", "RU006"),
        (" https://viewer.example.org/cb", "RU006"),
        ("https://viewer.example.org/cb ", "RU006"),
        ("https://viewer.example.org/cb\n", "AP007 RU006"),
        ("https://viewer.example.org/c\tb", "AP007 RU006"),
        ("https://viewer.example.org/cb\x7f", "AP007 RU006"),
        ("https://bücher.example/cb", "RU006"),
        ("https://viewer.example。org/cb", "RU006"),
        ("https://viewer.example.org\uff0fevil/cb", "RU001 RU006"),  # NFKC would make it a slash
        ("https://viewer.example.org/<script>", "RU006"),
        ("https://viewer.example.org/[a]", "RU006"),
    ],
)
def test_redirect_uris_that_are_refused(uri: str, expected: str) -> None:
    assert {rule for rule, _ in refused(uri)} == set(expected.split())


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "the redirect URI is empty"),
        ("viewer.example.org/cb", "the redirect URI is not an absolute URI"),
        ("https:///cb", "the redirect URI has no host"),
        ("https://[x]/", "the redirect URI is not an absolute URI"),
        ("https://h:x/", "the redirect URI has a port that is not a number from 1 to 65535"),
        ("https://h/#", "the redirect URI has a fragment"),
        ("http://h/", "the redirect URI is http to another machine: everything sent there travels in the clear"),
        (
            "ftp://h/",
            "the redirect URI has the scheme ftp:, which a browser runs or opens instead of sending it anywhere",
        ),
        ("myapp://h/", "the redirect URI has the scheme myapp: where only https will do"),
        ("https://u@h/", "the redirect URI has user information before an @, which hides the real host"),
        ("https://*/", "the redirect URI has a wildcard or a placeholder"),
        ("https://h/a b\\", "the redirect URI has a backslash, a space"),
        ("https://h//", "the redirect URI has an empty path segment"),
        ("https://h/..", "the redirect URI has a path segment that is `.` or `..`"),
    ],
)
def test_what_is_said_about_a_redirect_uri(uri: str, message: str) -> None:
    assert [text for _, text in refused(uri)] == [message]


@settings(deadline=None)  # the first name that is not ASCII has Unicode's tables read
@given(st.text(alphabet=st.sampled_from("htps:/@[]#?%.\\*{}a1 \t\n\x00é\uff0f"), max_size=30) | st.text())
def test_any_text_is_judged(text: str) -> None:
    findings = check(replace(GOOD, redirect_uri=text, base_url=text, name=text, owner_email=text, path=text))
    # What passes is what every reader takes for the same thing.
    if not any(rule.startswith("RU") and level is Level.ERROR for rule, level, _ in findings):
        assert text.isascii()
        assert text.isprintable()
        assert Uri.parse(text).host


@pytest.mark.parametrize("url", ["", None, "https://viewer.example.org/app", "http://localhost:3000", "http://[::1]"])
def test_base_urls_that_pass(url: str | None) -> None:
    redirect_uri = f"{url or 'https://viewer.example.org'}/cb"
    found = check(replace(GOOD, base_url=url, redirect_uri=redirect_uri))
    assert [rule for rule, level, _ in found if level is Level.ERROR] == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (" ", "base_url is not an absolute URI"),
        ("viewer.example.org", "base_url is not an absolute URI"),
        (
            "http://viewer.example.org",
            "base_url is http to another machine: everything sent there travels in the clear",
        ),
        ("https://viewer.example.org?", "base_url has a query"),
        ("https://viewer.example.org#", "base_url has a fragment"),
        ("https://me@viewer.example.org", "base_url has user information before an @, which hides the real host"),
        ("https://viewer.example.org/a b", "base_url has a space"),
    ],
)
def test_base_urls_that_are_refused(url: str, message: str) -> None:
    assert ("BU001", Level.ERROR, message) in check(replace(GOOD, base_url=url))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": ""}, ("AP001", "the name is empty")),
        ({"name": "  "}, ("AP001", "the name is empty")),
        ({"name": "x" * 51}, ("AP001", "the name has 51 characters, 50 at most are allowed")),
        ({"name": "x" + "\U0001f600" * 25}, ("AP001", "the name has 51 characters, 50 at most are allowed")),
        ({"description": "x" * 251}, ("AP002", "the description has 251 characters, 250 at most are allowed")),
        ({"path": ""}, ("AP003", "the name has no letters or digits to make a path of")),
        (
            {"description": "registrar/2 x"},
            ("AP006", "the description begins like the mark of a registration in progress"),
        ),
        (
            {"description": " Registrar/1"},
            ("AP006", "the description begins like the mark of a registration in progress"),
        ),
        ({"name": "a\nb"}, ("AP007", "name has characters that cannot be printed")),
        ({"name": "a\u202eb"}, ("AP007", "name has characters that cannot be printed")),
        (
            {"redirect_uri": "https://h/" + "x" * 503, "base_url": ""},
            ("RU020", "the redirect URI has 513 bytes, 512 at most are allowed"),
        ),
        (
            {"base_url": "https://viewer.example.org/" + "x" * 486},
            ("AP007", "base_url has 513 bytes, 512 at most are allowed"),
        ),
        ({"owner_email": "team"}, ("AP004", "owner_email is not an e-mail address")),
    ],
)
def test_applications_that_are_refused(change: dict[str, str], expected: tuple[str, str]) -> None:
    assert check(replace(GOOD, **change)) == [(expected[0], Level.ERROR, expected[1])]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 50},
        {"description": "x" * 250},
        {"description": "two\nlines"},
        {"description": "registrar keeps this"},
        {"redirect_uri": "https://h/" + "x" * 502, "base_url": None},
        {"path": "a"},
        {"path": "0/1-/b"},
        {"path": "x" * 128},
        {"owner_email": "jörg.o'neil+nexus@sub.example.org"},
        {"base_url": None, "description": None},
    ],
)
def test_applications_that_pass(change: dict[str, str]) -> None:
    assert check(replace(GOOD, **change)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["A", "a_b", "a.b", ".a", "a/.b", "/a", "a/", "a//b", "-a", "a/-b", "ä", "a\n", "x" * 129]
)
def test_paths_that_are_refused(path: str) -> None:
    expected = "the path is not made of a-z, 0-9, - and /, or longer than 128 characters"
    assert check(replace(GOOD, path=path)) == [("AP003", Level.ERROR, expected)]


@pytest.mark.parametrize(
    "address", ["a@b@c.org", "@c.org", "a b@c.org", "Team <a@c.org>", "a@c..org", "a@-c.org", "a@c.org\n"]
)
def test_owners_that_are_refused(address: str) -> None:
    assert "AP004" in {rule for rule, _, _ in check(replace(GOOD, owner_email=address))}


@pytest.mark.parametrize("address", [None, ""])
def test_a_missing_owner_is_a_warning(address: str | None) -> None:
    assert check(replace(GOOD, owner_email=address)) == [("AP004", Level.WARNING, "there is no owner_email")]


def at(application: Application, line: int) -> Entry:
    return Entry(application, {"": Place("a", line, 3), "name": Place("a", line, 9), "path": Place("a", line + 1, 9)})


@pytest.mark.parametrize(
    ("change", "rule", "place", "message"),
    [
        ({"path": "b"}, "AP001", Place("a", 5, 9), "the name is taken by the application at a:1:9"),
        (
            {"path": "b", "name": " \uff36\uff29\uff25\uff37\uff25\uff32 "},
            "AP001",
            Place("a", 5, 9),
            "the name is taken by the application at a:1:9",
        ),
        ({"name": "B"}, "AP003", Place("a", 6, 9), "the path is taken by the application at a:2:9"),
        (
            {"name": "B", "path": "viewer/x/y"},
            "AP003",
            Place("a", 6, 9),
            "the path lies inside that of the application at a:2:9",
        ),
    ],
)
def test_what_must_be_unique(change: dict[str, str], rule: str, place: Place, message: str) -> None:
    other = replace(GOOD, **{"redirect_uri": "https://viewer.example.org/b", **change})  # type: ignore[arg-type]
    (finding,) = lint.check([at(GOOD, 1), at(other, 5)], TARGET)
    assert (finding.rule, finding.place, finding.message) == (rule, place, message)
    assert finding.application == other.name


def test_a_path_inside_a_later_one_is_found() -> None:
    inner = replace(GOOD, name="B", path="viewer/x", redirect_uri="https://viewer.example.org/b")
    (finding,) = lint.check([at(inner, 1), at(GOOD, 5)], TARGET)
    assert finding.message == "the path lies inside that of the application at a:6:9"
    assert lint.check([at(GOOD, 1), at(replace(inner, path="viewer-x"), 5)], TARGET) == ()


def test_findings_point_at_values_and_are_sorted() -> None:
    entry = Entry(
        replace(GOOD, name="", redirect_uri="", owner_email=None),
        {"": Place("b", 1, 5), "name": Place("b", 2, 9), "redirect_uri": Place("b", 1, 20)},
    )
    findings = lint.check([entry], TARGET)
    assert [(finding.rule, str(finding.place)) for finding in findings] == [
        ("AP004", "b:1:5"),
        ("RU001", "b:1:20"),
        ("AP001", "b:2:9"),
    ]
    assert str(findings[0]) == "b:1:5: there is no owner_email"


def test_every_rule_can_be_explained() -> None:
    numbered = {"RU": 21, "BU": 1, "AP": 7, "MF": 4}
    assert list(RULES) == [f"{kind}{number:03}" for kind, last in numbered.items() for number in range(1, last + 1)]
    for id_, rule in RULES.items():
        assert id_ == rule.id
        assert rule.title
        assert rule.reason.endswith(".")
        assert rule.fix
        assert rule.source
        assert (not rule.check and not rule.fault) == id_.startswith("MF")
    warnings = {id_ for id_, rule in RULES.items() if rule.level is Level.WARNING}
    assert warnings == {"RU007", "RU010", "RU012", "RU013", "RU015", "RU016", "RU019", "RU021", "AP005", "MF003"}
    assert {id_ for id_, rule in RULES.items() if rule.otherwise} == {"RU009", "RU018", "AP004", "MF002"}


def test_a_finding_carries_its_fix() -> None:
    (finding,) = lint.check([Entry(replace(GOOD, owner_email="x"))], TARGET)
    assert finding == Finding(
        "AP004", Level.ERROR, "owner_email is not an e-mail address", "", 0, 0, "Viewer", RULES["AP004"].fix
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [("viewer", "`viewer`"), ("x" * 86, "`xxxxxxxxxxxx…`"), ("a\n::error", "`a\\n::error`"), ("\x1b[2J", "`\\x1b[2J`")],
)
def test_foreign_texts_are_shown_harmlessly(text: str, shown: str) -> None:
    assert quoted(text) == shown


# ── what is told at a glance ──────────────────────────────────────────────────────────────────────────────────────────


@given(st.from_regex(uri._ORDINARY, fullmatch=True))
def test_an_ordinary_uri_has_the_parts_that_python_sees(text: str) -> None:
    parts = urlsplit(text)
    assert Uri.parse(text) == Uri(text, parts.scheme, host=parts.netloc, path=parts.path)


@given(st.from_regex(uri._PLAIN, fullmatch=True))
def test_plain_characters_are_read_alike_everywhere(text: str) -> None:
    assert [words for pattern, words in uri._UNSAFE if pattern.search(text)] == []

"""The rules for where a redirect URI leads and what its query says: what each warns of, refuses, and lets pass."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_lowercase, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar import lint
from registrar.lint import Entry, Level, Place, hosts
from registrar.model import Application, Target

TARGET = Target("dev", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org")


def redirected(uri: str, base_url: str | None = None) -> Application:
    return Application(
        path="viewer", name="Viewer", redirect_uri=uri, base_url=base_url, owner_email="team@example.org"
    )


def check(application: Application, target: Target = TARGET) -> list[tuple[str, Level, str]]:
    return [(found.rule, found.level, found.message) for found in lint.check([Entry(application)], target)]


def rules(application: Application, level: Level, target: Target = TARGET) -> set[str]:
    return {rule for rule, found, _ in check(application, target) if found is level}


@pytest.mark.parametrize(
    ("uri", "rule", "message"),
    [
        ("http://localhost/cb", "RU007", "names localhost"),
        ("https://app.localhost/cb", "RU007", "names localhost"),
        ("http://127.0.0.1/cb", "RU009", "leads to the user's own machine"),
        ("http://[::1]/cb", "RU009", "leads to the user's own machine"),
        ("https://app.localhost/cb", "RU009", "leads to the user's own machine"),
        ("https://10.1.2.3/cb", "RU009", "leads to an address that is not public"),
        ("https://192.168.0.1/cb", "RU009", "leads to an address that is not public"),
        ("https://169.254.169.254/cb", "RU009", "leads to an address that is not public"),
        ("https://100.64.0.1/cb", "RU009", "leads to an address that is not public"),
        ("https://224.0.0.1/cb", "RU009", "leads to an address that is not public"),
        ("https://[fe80::1]/cb", "RU009", "leads to an address that is not public"),
        ("https://[fd00::1]/cb", "RU009", "leads to an address that is not public"),
        ("https://[::ffff:10.0.0.1]/cb", "RU009", "leads to an address that is not public"),
        ("https://printer.local/cb", "RU009", "leads to a host below .local, which is never public"),
        ("https://NEXUS.INTERNAL/cb", "RU009", "leads to a host below .internal, which is never public"),
        ("https://viewer.test/cb", "RU009", "leads to a host below .test, which is never public"),
        ("https://viewer.invalid/cb", "RU009", "leads to a host below .invalid, which is never public"),
        ("https://viewer.example./cb", "RU009", "leads to a host below .example, which is never public"),
        ("https://nas.home.arpa/cb", "RU009", "leads to a host below .home.arpa, which is never public"),
        ("https://8.8.8.8/cb", "RU010", "has an IP address for its host"),
        ("https://[2606:4700::1]:8443/cb", "RU010", "has an IP address for its host"),
        ("https://[::ffff:8.8.8.8]/cb", "RU010", "has an IP address for its host"),
        ("https://h/cb?url=x", "RU012", "has the parameter url in its query, as open redirectors have"),
        (
            "https://h/cb?Redirect%5Furi",
            "RU012",
            "has the parameter redirect_uri in its query, as open redirectors have",
        ),
        ("https://h/cb?a;next&goto=2", "RU012", "has the parameter goto, next in its query, as open redirectors have"),
        ("https://h/cb?tenant=3", "RU013", "has a query"),
        ("https://h/cb?", "RU013", "has a query"),
        ("HTTPS://h/cb", "RU015", "has upper-case letters in its scheme or host"),
        ("https://Viewer.org:443/cb", "RU015", "has upper-case letters in its scheme or host, the default port 443"),
        ("http://127.0.0.1:80/cb", "RU015", "has the default port 80"),
        ("https://xn--pypal-4ve.com/cb", "RU015", "has a label of mixed scripts in its host (Cyrillic and Latin)"),
        ("https://viewer.example.org", "RU016", "is the root of its host"),
        ("https://viewer.example.org/", "RU016", "is the root of its host"),
        ("https://viewer.example.org?a=1", "RU016", "is the root of its host"),
        ("https://abc.ngrok-free.app/cb", "RU019", "leads to a tunnel"),
        ("https://a-b.trycloudflare.com/cb", "RU019", "leads to a tunnel"),
        ("https://x.loca.lt/cb", "RU019", "leads to a tunnel"),
        ("https://bit.ly/3abc", "RU019", "leads to a shortener"),
        ("https://viewer-prod.example.org/cb", "RU021", "speaks of production, and the target of development"),
        ("https://qa.viewer.example.org/cb", "RU021", "speaks of test, and the target of development"),
        ("https://viewer.pre-prod.example.org/cb", "RU021", "speaks of staging, and the target of development"),
    ],
)
def test_redirect_uris_that_are_warned_of(uri: str, rule: str, message: str) -> None:
    assert (rule, Level.WARNING, f"the redirect URI {message}") in check(redirected(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "https://viewer.example.org/cb",
        "https://localhost.example.org/cb",
        "https://local.example.org/cb",
        "https://contest.example.org/test/prod",
        "https://viewer.prod/cb",  # a domain is no environment
        "https://dev-test.example.org/cb",  # speaks of the target's own as well
        "https://products.example.org/cb",
        "https://myngrok.io/cb",
        "https://xn--bcher-kva.org/cb",
        "https://xn--eckwd4c7cu47r2wf.jp/cb",  # Katakana and Han are written together
        "https://viewer.example.org:8443/a%20b/x;y=1",
    ],
)
def test_redirect_uris_that_nothing_is_said_of(uri: str) -> None:
    assert check(redirected(uri)) == []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("myapp://h/cb", "RU008"),
        ("urn:ietf:wg:oauth:2.0:oob", "RU001 RU008"),
        ("https://h/cb?code=1", "RU011"),
        ("https://h/cb?x=1&%73tate=1", "RU011"),
        ("https://h/cb?ERROR", "RU011"),
        ("https://h/cb?a;id_token=", "RU011"),
        ("https://viewer.example.org./cb", "RU014"),
        ("https://viewer..example.org/cb", "RU014"),
        ("https://.example.org/cb", "RU014"),
        ("https://my_viewer.example.org/cb", "RU014"),
        ("https://-viewer.example.org/cb", "RU014"),
        ("https://viewer-.example.org/cb", "RU014"),
        ("https://view!er.example.org/cb", "RU014"),
        (f"https://{'a' * 64}.example.org/cb", "RU014"),
        (f"https://{'a.' * 127}org/cb", "RU014"),
        ("https://xn--.example.org/cb", "RU014"),
        ("https://xn--a.example.org/cb", "RU014"),
        ("https://ab--c.example.org/cb", "RU014"),
        ("https://256.1.1.1/cb", "RU014"),
        ("https://viewer.0x7f/cb", "RU014"),
    ],
)
def test_redirect_uris_that_are_refused(uri: str, expected: str) -> None:
    assert rules(redirected(uri), Level.ERROR) == set(expected.split())


@pytest.mark.parametrize(
    ("name", "production", "host", "warned"),
    [
        ("lab", True, "viewer-dev.example.org", True),
        ("lab", True, "viewer-prod.example.org", False),
        ("lab", False, "viewer-prod.example.org", False),  # nothing is known of such a target
        ("eu-staging", False, "viewer-dev.example.org", True),
        ("eu-staging", False, "stg.example.org", False),
        ("dev", True, "dev.example.org", True),  # what the target says of itself counts more than its name
        ("prod", False, "test.example.org", True),
    ],
)
def test_environments_that_disagree(name: str, production: bool, host: str, warned: bool) -> None:
    target = replace(TARGET, name=name, production=production)
    assert ("RU021" in rules(redirected(f"https://{host}/cb"), Level.WARNING, target)) == warned


def test_what_cannot_be_public_is_refused_in_production() -> None:
    local = redirected("https://viewer.internal/cb")
    assert rules(local, Level.ERROR) == set()
    assert rules(local, Level.ERROR, replace(TARGET, production=True)) == {"RU009"}


@pytest.mark.parametrize(
    ("redirect", "base", "passes"),
    [
        ("https://viewer.example.org:8443/cb", "https://VIEWER.example.org/app", True),
        ("http://127.0.0.1:3000/cb", "http://localhost:8080", True),
        ("https://sso.example.org/cb", "https://viewer.example.org", True),  # allowed on the target
        ("https://evil.example.org/cb", "https://viewer.example.org", False),
        ("https://sub.viewer.example.org/cb", "https://viewer.example.org", False),
        ("http://127.0.0.1:3000/cb", "https://viewer.example.org", False),
        ("https://viewer.example.org/cb", "", True),
    ],
)
def test_the_host_of_base_url(redirect: str, base: str, passes: bool) -> None:
    target = replace(TARGET, allowed_hosts=("SSO.example.org",))
    assert rules(redirected(redirect, base), Level.ERROR, target) == (set() if passes else {"RU017"})


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("https://h/cb", "https://h/cb", Level.ERROR),
        ("https://h/cb", "HTTPS://H:443/cb", Level.ERROR),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb", Level.WARNING),
        ("https://h/cb", "https://h/CB", None),
        ("https://h/cb", "https://h/cb/", None),
        ("", "", None),  # what is missing is told once
    ],
)
def test_one_redirect_uri_of_two_applications(one: str, other: str, level: Level | None) -> None:
    first, second = redirected(one), replace(redirected(other), name="B", path="b")
    entries = [Entry(first, {"redirect_uri": Place("a", 2, 9)}), Entry(second, {"redirect_uri": Place("a", 7, 9)})]
    found = [finding for finding in lint.check(entries, TARGET) if finding.rule == "RU018"]
    assert [finding.level for finding in found] == ([] if level is None else [level])
    for finding in found:
        assert finding.place == Place("a", 7, 9)
        assert finding.message == "the redirect URI is that of the application at a:2:9"


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")


@given(st.lists(LABEL, min_size=1, max_size=5))
def test_a_host_of_plain_labels_is_a_name(labels: list[str]) -> None:
    host = ".".join([*labels, "org"])
    assert "RU014" not in rules(redirected(f"https://{host}/cb"), Level.ERROR)
    assert "RU014" in rules(redirected(f"https://{host}./cb"), Level.ERROR)


WORD = st.text(ascii_lowercase + digits, min_size=1, max_size=8)
USUAL = st.builds(
    lambda labels, last: ".".join([*map("-".join, labels), last]),
    st.lists(st.lists(WORD, min_size=1, max_size=3), min_size=1, max_size=3),
    st.text(ascii_lowercase, min_size=1, max_size=8),
)


@given(USUAL.filter(hosts._USUAL.fullmatch))
def test_nothing_is_wrong_with_a_usual_host(host: str) -> None:
    assert hosts._host_fault(host) == ""

"""The id token of a GitHub job, asked for over a socket: what is sent, what is refused, and what nobody is told."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from registrar.errors import AccessDenied, ServiceError, Unreachable
from registrar.secret import Secret
from registrar.vault import github
from tests.contract.vault_wire import RESET, Script, Wire, answer, listening
from tests.contract.wire import certified, everything_in, unused_port

TOKEN = Secret("canary-of-the-request")
ID_TOKEN = "canary.of-the-id.token"
VALUE = answer(200, {"count": 1, "value": ID_TOKEN})
AUDIENCE = "https://vault.example.org/?a=b&c"


@contextlib.contextmanager
def saying(said: bytes | Script, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Wire, str]]:
    """A GitHub, and where it gives tokens."""
    with listening(said if callable(said) else lambda _: said, tls) as there:
        yield there, f"{there.url}/token?api-version=2.0"


def asked(url: str, audience: str = "", **proxies: str) -> Secret:
    return github.id_token(url, TOKEN, audience, proxies)


def refused(kind: type[ServiceError], url: str, **proxies: str) -> ServiceError:
    with pytest.raises(kind) as raised:
        asked(url, AUDIENCE, **proxies)
    assert raised.value.hint
    seen = everything_in(raised.value)
    assert TOKEN.reveal() not in seen
    assert ID_TOKEN not in seen
    return raised.value


def test_the_question() -> None:
    with saying(VALUE) as (there, url):
        assert asked(url, AUDIENCE).reveal() == ID_TOKEN
        (seen,) = there.seen
        assert (seen.method, seen.headers["authorization"]) == ("GET", f"Bearer {TOKEN.reveal()}")
        assert parse_qs(urlsplit(seen.target).query) == {"api-version": ["2.0"], "audience": [AUDIENCE]}


def test_without_an_audience_or_a_query() -> None:
    with saying(VALUE) as (there, url):
        asked(url)
        asked(url.partition("?")[0], "x")
        assert [seen.target for seen in there.seen] == ["/token?api-version=2.0", "/token?audience=x"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (answer(403, {"message": f"not {TOKEN.reveal()}"}), 403),
        (answer(500, "broken"), 500),
        (answer(200, f"<html>{ID_TOKEN}"), 200),
        (answer(200, [ID_TOKEN]), 200),
        (answer(200, {"count": 1}), 200),
        (answer(200, {"value": ""}), 200),
        (answer(200, {"value": [ID_TOKEN]}), 200),
        (answer(200, "[" * 100_000), 200),
        (answer(401, {"value": ID_TOKEN}), 401),
    ],
)
def test_no_token(said: bytes, status: int) -> None:
    with saying(said) as (_, url):
        error = refused(AccessDenied, url)
    assert (error.message, error.exit_code) == (f"GitHub gives this job no id token ({status})", 3)
    assert "id-token: write" in error.hint


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_no_token_along(status: int) -> None:
    with (
        saying(VALUE) as (elsewhere, there_url),
        saying(answer(status, Location=there_url)) as (_, url),
    ):
        refused(AccessDenied, url)
        assert elsewhere.seen == []


def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with unused_port() as port:
        refused(Unreachable, f"http://127.0.0.1:{port}/")
    with saying(RESET) as (_, url):
        refused(Unreachable, url)
    for url in ("ftp://127.0.0.1/", "http://", "no"):
        refused(Unreachable, url)
    monkeypatch.setattr(github, "_TIMEOUT_S", 0.2)
    with listening() as silent:
        error = refused(Unreachable, silent.url)
    assert (error.message, error.exit_code) == ("no answer of GitHub about an id token (ReadTimeoutError)", 3)


def test_proxies() -> None:
    with saying(VALUE) as (proxy, _):
        assert asked("http://github.invalid/token", http=proxy.url).reveal() == ID_TOKEN
        assert proxy.seen[0].target == "http://github.invalid/token"
        refused(Unreachable, "http://github.invalid/token", http=proxy.url, no="github.invalid")
        with saying(VALUE) as (_, url):
            assert asked(url, http=proxy.url).reveal() == ID_TOKEN
        assert len(proxy.seen) == 1


def test_nothing_is_taken_from_the_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with saying(VALUE) as (there, url):
        asked(url)
        assert there.seen[0].headers["authorization"] == f"Bearer {TOKEN.reveal()}"


def test_the_system_s_authorities_are_trusted_and_no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, certificate = certified(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with saying(VALUE, context) as (there, url):
        refused(Unreachable, url)
        assert there.seen == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        refused(Unreachable, url)
        assert there.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert asked(url).reveal() == ID_TOKEN

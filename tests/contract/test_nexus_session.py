"""How the Nexus client gets through to a server and stays logged in."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from registrar.errors import (
    AccessDenied,
    Unreachable,
    Unsuitable,
    UsageError,
)
from registrar.nexus import Nexus
from registrar.secret import Secret
from tests.contract.nexus_wire import CANARY, CREATED, EMPTY, ME, PAGE, VIEWER, failed
from tests.contract.wire import Wire, certified, everything_in, reply, silence, unused_port


def test_a_create_is_sent_again_after_a_401_and_a_new_login() -> None:
    wire = Wire(reply(200, jwt(3600)), ME, reply(401), reply(200, jwt(3600)), CREATED)
    with wire, Nexus(wire.url, api_key=Secret("k"), api_secret=Secret(CANARY)) as nexus:
        assert nexus.create(VIEWER).client_secret.reveal() == CANARY
    login, create = "POST /api/v1/oauth/tokens", "POST /api/v2/oauth/applications"
    assert wire.lines == [login, "GET /api/v2/users/current", create, login, create]
    first, second = wire.requests[2], wire.requests[4]
    assert b"Bearer eyJ" in first
    assert first != second


def test_a_second_401_is_the_last_word() -> None:
    wire = Wire(reply(200, jwt(3600)), ME, reply(401), reply(200, jwt(3600)), reply(401))
    with wire, Nexus(wire.url, api_key=Secret("k"), api_secret=Secret(CANARY)) as nexus, pytest.raises(AccessDenied):
        nexus.all()
    assert len(wire.requests) == 5


def jwt(life_s: int, numbers: Iterator[int] = count(), skew_s: int = 0) -> str:  # noqa: B008 - another one each time
    now = int(time.time()) + skew_s
    claims = {"jti": next(numbers), "apiKey": CANARY, "iat": now, "exp": now + life_s}
    parts = [{"alg": "HS256"}, claims]
    head, payload = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{payload}.signature"


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("skew_s", [0, -86_400, 86_400])
def test_a_token_is_kept_for_its_life_by_the_clock_of_nexus(quote: str, skew_s: int) -> None:
    wire = Wire(reply(200, f"{quote}{jwt(3600, skew_s=skew_s)}{quote}"), ME, EMPTY)
    with wire, Nexus(wire.url, api_key=Secret("k"), api_secret=Secret("s")) as nexus:
        for _ in range(3):
            nexus.all()
    assert len([line for line in wire.lines if line.endswith("/oauth/tokens")]) == 1


def test_a_token_is_renewed_before_its_end_by_one_thread() -> None:
    wire = Wire(reply(200, jwt(61)), ME, EMPTY, EMPTY, reply(200, jwt(3600)), EMPTY)
    with wire, Nexus(wire.url, api_key=Secret("k"), api_secret=Secret("s")) as nexus:
        nexus.all()
        nexus.all()
        assert len(wire.requests) == 4
        # a life of 61 s is renewed after half of it, so the clock is what has to move
        session = nexus._session
        session._login = replace(session._login, renew_at=time.monotonic())
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: nexus.all(), range(8)))
    assert len([line for line in wire.lines if line.endswith("/oauth/tokens")]) == 2


def test_nobody_is_there() -> None:
    with unused_port() as port, Nexus(f"http://127.0.0.1:{port}", token=Secret(CANARY)) as nexus:
        assert "nexus_url" in failed(Unreachable, "connection refused", nexus.check).hint


def test_a_page_instead_of_a_login_is_the_wrong_address() -> None:
    for answer in (PAGE, reply(404), reply(302, Location="/login")):
        with Wire(answer) as wire, Nexus(wire.url, api_key=Secret("k"), api_secret=Secret(CANARY)) as nexus:
            with pytest.raises(Unsuitable) as caught:
                nexus.check()
            assert "nexus_url" in caught.value.hint
            assert wire.lines == ["POST /api/v1/oauth/tokens", "POST /api/v2/oauth/tokens"]
            assert CANARY not in everything_in(caught.value)


def test_a_server_in_trouble_is_not_taken_for_v1() -> None:
    with (
        Wire(reply(500)) as wire,
        Nexus(wire.url, token=Secret("abc")) as nexus,
        pytest.raises(Unsuitable, match="500"),
    ):
        _ = nexus.version


CERTIFICATES = {
    "untrusted": ("IP:127.0.0.1", (2020, 2049), False, "is not accepted: self.signed", "NEXUS_CACERT"),
    "expired": ("IP:127.0.0.1", (2020, 2021), True, "expired", "certificate"),
    "not yet": ("IP:127.0.0.1", (2048, 2049), True, "is not accepted: certificate is not yet valid", "clock"),
    "another address": ("IP:127.0.0.2", (2020, 2049), True, "is not valid for", "nexus_url"),
}


@pytest.mark.parametrize(("host", "years", "trusted", "words", "hint"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_bad_certificate_is_named(
    tmp_path: Path, host: str, years: tuple[int, int], trusted: bool, words: str, hint: str
) -> None:
    server, file = certified(tmp_path, host, years)
    tls = ssl.create_default_context(cafile=file) if trusted else None
    with Wire(ME, tls=server) as wire, Nexus(wire.url, token=Secret(CANARY), tls=tls) as nexus:
        error = failed(Unreachable, words, nexus.check)
    assert hint in error.hint
    assert not wire.requests


def test_a_trusted_certificate_is_fine(tmp_path: Path) -> None:
    server, file = certified(tmp_path)
    tls = ssl.create_default_context(cafile=file)
    with Wire(ME, tls=server) as wire, Nexus(wire.url, token=Secret(CANARY), tls=tls) as nexus:
        nexus.check()


def test_a_server_without_tls_is_named() -> None:
    with Wire(ME) as wire, Nexus(wire.url.replace("http:", "https:"), token=Secret(CANARY)) as nexus:
        assert "https" in failed(Unreachable, "TLS: wrong version number", nexus.check).hint


@pytest.mark.parametrize(
    "url", ["", "nexus.example.org", "ftp://x", "https://", "https://u:p@x", "https://x/?a=b", "http://["]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="nexus_url"):
        Nexus(url)


def test_credentials_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="belong together"):
        Nexus("http://x", api_key=Secret(CANARY))
    with pytest.raises(UsageError, match="characters") as caught:
        Nexus("http://x", token=Secret(f"{CANARY}\n"))
    assert CANARY not in everything_in(caught.value)


def test_the_surroundings_add_nothing_and_the_proxy_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Wire(reply(200, jwt(3600)), ME) as wire:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        proxies = {"http": wire.url}
        with Nexus("http://nexus.invalid", api_key=Secret("k"), api_secret=Secret("s"), proxies=proxies) as nexus:
            nexus.check()
    assert wire.lines[0] == "POST http://nexus.invalid/api/v1/oauth/tokens"
    assert b"authorization" not in wire.requests[0].lower()


def test_a_proxy_that_refuses_is_named() -> None:
    with (
        Wire(reply(403)) as wire,
        Nexus("https://nexus.invalid", token=Secret(CANARY), proxies={"https": wire.url}) as nexus,
    ):
        assert "NO_PROXY" in failed(Unreachable, "the proxy refuses", lambda: nexus.version).hint


def test_a_create_that_finds_no_free_connection_was_not_sent() -> None:
    with Wire(ME, silence) as wire, Nexus(wire.url, token=Secret(CANARY), timeout_s=1.0, connections=1) as nexus:
        assert nexus.version == "v2"
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(nexus.whoami)
            while len(wire.requests) < 2:
                time.sleep(0.01)
            time.sleep(0.2)
            nexus._session._wire._timeout_s = 0.3
            failed(Unreachable, "all connections were busy", lambda: nexus.create(VIEWER))
            assert reading.exception() is not None
    assert not [line for line in wire.lines if line.startswith("POST")]

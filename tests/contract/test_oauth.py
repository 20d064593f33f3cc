"""The quiet proof tells what is right and wrong at every place, and leaves nothing behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from registrar.errors import ServiceError, Unreachable, Unsuitable
from registrar.model import Credential
from registrar.nexus import Nexus
from registrar.oauth import STATE, WRONG_STATE, QuietProof
from registrar.ports import Verdict
from registrar.secret import Secret
from tests.contract.conftest import Place
from tests.contract.wire import Reply, Wire, everything_in, reply, reset

CALLBACK = "https://viewer.example.org/cb"
SECRET = "C4n4ry-_" * 10 + "canary"


@pytest.fixture
def proof(place: Place) -> Iterator[QuietProof]:
    with QuietProof(place.url) as quiet:
        yield quiet


@pytest.fixture
def credential(nexus: Nexus) -> Credential:
    return nexus.create({"name": "contract proof", "redirect_uri": CALLBACK})


@pytest.fixture
def number(nexus: Nexus, credential: Credential) -> Iterator[int]:
    (found,) = [one.id for one in nexus.all() if one.client_id == credential.client_id]
    yield found
    if found in {one.id for one in nexus.all() if not one.archived}:
        nexus.delete(found)  # which works since a proof leaves nothing behind


@pytest.fixture
def mute(request: pytest.FixtureRequest) -> bool:
    """Whether this place hides every reason: the early v2 without the v1 that tells."""
    return "v2-array without v1" in request.node.callspec.id


@pytest.mark.usefixtures("number")
def test_a_right_credential(proof: QuietProof, credential: Credential, mute: bool) -> None:
    for _ in range(2):  # no proof uses anything up
        finding = proof.examine(credential, CALLBACK)
        assert finding.verdict is (Verdict.UNTOLD if mute else Verdict.RIGHT)
        assert proof.prove(credential, CALLBACK) is finding.verdict
    assert ("does not tell" in finding.reason) is mute


@pytest.mark.usefixtures("number")
def test_a_wrong_secret(proof: QuietProof, credential: Credential, mute: bool) -> None:
    other = replace(credential, client_secret=Secret("A" + credential.client_secret.reveal()[:0:-1]))
    finding = proof.examine(other, CALLBACK)
    assert finding.verdict is (Verdict.UNTOLD if mute else Verdict.WRONG)
    assert mute or "secret" in finding.reason


@pytest.mark.usefixtures("number")
def test_another_redirect_uri(proof: QuietProof, credential: Credential, mute: bool) -> None:
    finding = proof.examine(credential, CALLBACK + "/State validation failed")
    assert finding.verdict is (Verdict.UNTOLD if mute else Verdict.WRONG)
    assert mute or "redirect URI" in finding.reason


def test_an_archived_application(proof: QuietProof, nexus: Nexus, credential: Credential, number: int) -> None:
    nexus.archive(number)
    finding = proof.examine(credential, CALLBACK)
    nexus.unarchive(number)
    assert finding.verdict is Verdict.WRONG
    assert "living" in finding.reason


def test_a_deleted_application(proof: QuietProof, nexus: Nexus, credential: Credential, number: int) -> None:
    nexus.delete(number)
    finding = proof.examine(credential, CALLBACK)
    assert finding.verdict is Verdict.WRONG
    assert "living" in finding.reason


@pytest.mark.usefixtures("number")
def test_a_secret_with_another_end_is_not_even_sent(place: Place, credential: Credential) -> None:
    whole = credential.client_secret.reveal()
    with QuietProof(place.url, trace=lambda *_: pytest.fail("it was sent")) as proof:
        for odd in (whole[:72], whole[:85], whole + "A", whole[:80] + "\n", whole[:85] + "+", "", whole[:85] + "é"):
            finding = proof.examine(replace(credential, client_secret=Secret(odd)), CALLBACK)
            assert finding.verdict is Verdict.WRONG
            assert "86" in finding.reason


@pytest.mark.usefixtures("number")
def test_nothing_secret_is_logged_or_traced(
    place: Place, credential: Credential, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        caplog.set_level(logging.DEBUG, logger=name)
    told: list[str] = []
    with QuietProof(place.url, trace=lambda method, path, status, _: told.append(f"{method} {path} {status}")) as proof:
        proof.prove(credential, CALLBACK)
    records = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the stand-in
    shown = "\n".join([*told, *map(logging.LogRecord.getMessage, records)])
    assert "client_secret=********" in shown
    assert credential.client_secret.reveal() not in shown
    assert all("state=registrar-probe" in line for line in told if "exchange" in line)


# ---------------------------------------------------------------- answers that no stand-in has

OURS = Credential("client", Secret(SECRET))
CODE = reply(302, Location=f"https://viewer.example.org/cb?code=c0de&state={STATE}")
BARE = reply(500, {"title": "Internal Server Error", "status": 500, "detail": "An unexpected error occurred."})
PAGE = reply(404, "<html></html>", "text/html")


def test_the_proof_says_that_it_is_one_and_never_uses_the_right_state() -> None:
    right = reply(400, {"error": "invalid_grant", "error_description": "State validation failed"})
    with Wire(CODE, right) as wire, QuietProof(wire.url) as proof:
        assert proof.prove(OURS, CALLBACK) is Verdict.RIGHT
    authorize, exchange = wire.lines
    assert authorize.startswith("GET /api/v1/oauth/authorize?client_id=client&redirect_uri=https%3A%2F%2F")
    assert authorize.endswith(f"state={STATE}")
    assert exchange.startswith("POST /api/v1/oauth/exchange?")
    assert exchange.endswith(f"state={WRONG_STATE}")
    assert not any(b"authorization" in request.lower() for request in wire.requests)


UNTOLD: dict[str, tuple[tuple[Reply, ...], str]] = {
    "both hide it": ((CODE, BARE, CODE, BARE), "v1 does not tell: 500"),
    "a token is wanted": ((reply(401), PAGE), "v1 does not tell: 401"),
    "the code is unknown": (
        (CODE, reply(400, {"error_description": "Invalid authorization code"}), PAGE),
        "Invalid auth",
    ),
    "a token comes": ((CODE, reply(200, "eyJhbGciOiJIUzI1NiJ9.e30.x"), PAGE), "v1 does not tell: 200"),
}


@pytest.mark.parametrize(("replies", "words"), UNTOLD.values(), ids=UNTOLD)
def test_what_does_not_tell_is_no_verdict(replies: tuple[Reply, ...], words: str) -> None:
    with Wire(*replies) as wire, QuietProof(wire.url) as proof:
        finding = proof.examine(OURS, CALLBACK)
    assert finding.verdict is Verdict.UNTOLD
    assert words in finding.reason


FAILURES: dict[str, tuple[tuple[Reply, ...], type[ServiceError]]] = {
    "reset": ((reset,), Unreachable),
    "reset at the exchange": ((CODE, reset), Unreachable),
    "gateway": ((reply(502),), Unsuitable),
    "pages": ((PAGE,), Unsuitable),
    "a login page": ((reply(302, Location="https://sso.example.org/?code=1&state=2"),), Unsuitable),
    "half a login page": ((reply(302, Location="https://["),), Unsuitable),
}


@pytest.mark.parametrize(("replies", "kind"), FAILURES.values(), ids=FAILURES)
def test_no_nexus_is_an_error_and_holds_no_secret(replies: tuple[Reply, ...], kind: type[ServiceError]) -> None:
    with Wire(*replies) as wire, QuietProof(wire.url, timeout_s=2.0) as proof, pytest.raises(kind) as caught:
        proof.prove(OURS, CALLBACK)
    assert caught.value.hint
    assert SECRET not in everything_in(caught.value)


def test_nobody_is_there() -> None:
    with QuietProof("http://127.0.0.1:1") as proof, pytest.raises(Unreachable, match="connection refused") as caught:
        proof.prove(OURS, CALLBACK)
    assert SECRET not in everything_in(caught.value)

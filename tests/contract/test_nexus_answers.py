"""What the Nexus client makes of answers that no stand-in has."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

import registrar.nexus.applications
import registrar.nexus.wire
from registrar.errors import (
    AccessDenied,
    Kept,
    OutcomeUnknown,
    Rejected,
    ServiceError,
    Unreachable,
    Unsuitable,
)
from registrar.nexus import Nexus
from registrar.secret import Secret
from tests.contract.nexus_wire import CANARY, CREATED, EMPTY, GARBAGE, HALF, ME, PAGE, TRACE, VIEWER, failed, told
from tests.contract.wire import Reply, Wire, drip, everything_in, reply, reset, silence

UNKNOWN = {
    "reset": reset,
    "closed": lambda connection: connection.close(),
    "silence": silence,
    "drip": drip,
    "half an answer": HALF,
    "garbage": GARBAGE,
    "page": PAGE,
    "no secret": reply(200, {"name": "x", "clientId": "c"}),
    "empty": reply(200),
    "gateway": reply(502, "<html>Bad Gateway</html>", "text/html"),
    "unavailable": reply(503, Retry_After="1"),
    "408": reply(408),
    "stack trace": reply(500, TRACE),
    "problem": reply(500, {"title": "Internal Server Error", "status": 500, "detail": "An unexpected error occurred."}),
    "not http": b"SSH-2.0-OpenSSH_9.2p1\r\n",
}


@pytest.mark.parametrize("failure", UNKNOWN.values(), ids=UNKNOWN)
def test_a_create_without_an_answer_is_unknown_and_sent_once(failure: Reply) -> None:
    wire, nexus = told(failure, CREATED, timeout_s=1.0)
    with wire, nexus, pytest.raises(OutcomeUnknown, match="'contract viewer'") as caught:
        nexus.create(VIEWER)
    assert wire.lines == ["GET /api/v2/users/current", "POST /api/v2/oauth/applications"]
    assert caught.value.application == VIEWER["name"]
    assert "registrar recover" in caught.value.hint
    shown = everything_in(caught.value)
    assert CANARY not in shown
    assert "deeplynx.business" not in shown
    assert "\x1b" not in str(caught.value)


NOT_MADE = {
    "conflict": (reply(409, {"title": "Conflict", "status": 409, "detail": "Taken"}), Rejected, "Taken"),
    "unsupported": (reply(415, {"title": "Unsupported Media Type"}), Rejected, "Unsupported Media Type"),
    "invalid": (reply(422, {"errors": {"Name": ["Too long.", "Odd."]}}), Rejected, "Name: Too long. Odd."),
    "busy": (reply(429, Retry_After="1"), Rejected, "busy"),
    "gone": (reply(404), Unsuitable, "does not have that path"),
    "redirect": (
        reply(302, Location=f"https://sso.example.org/x?t={CANARY}"),
        Unsuitable,
        r"https://sso\.example\.org$",
    ),
    "odd redirect": (reply(307, Location="https://["), Unsuitable, "redirects"),
    "page": (reply(404, "<html></html>", "text/html"), Unsuitable, "web page"),
    "forbidden": (reply(403, {"error": "Forbidden: no"}), AccessDenied, "Forbidden: no"),
    "unauthorized": (reply(401), AccessDenied, "wants a valid token"),
}


@pytest.mark.parametrize(("failure", "kind", "words"), NOT_MADE.values(), ids=NOT_MADE)
def test_a_create_that_was_refused_made_nothing(failure: bytes, kind: type[ServiceError], words: str) -> None:
    wire, nexus = told(failure, CREATED)
    with wire, nexus, pytest.raises(kind, match=words) as caught:
        nexus.create(VIEWER)
    assert len(wire.requests) == 2
    assert caught.value.hint
    assert CANARY not in everything_in(caught.value)


def test_a_create_that_found_no_connection_was_not_sent() -> None:
    wire, nexus = told(EMPTY)
    with nexus:
        with wire:
            assert nexus.all() == ()
        with pytest.raises(Unreachable, match="connection refused") as caught:
            nexus.create(VIEWER)
    assert CANARY not in everything_in(caught.value)


READS: dict[str, tuple[Reply, type[ServiceError], str]] = {
    "page": (PAGE, Unsuitable, "web page, not the Nexus API"),
    "garbage": (GARBAGE, Unsuitable, "not one of the Nexus API"),
    "half an answer": (HALF, Unreachable, "broke off"),
    "reset": (reset, Unreachable, "reset by peer"),
    "silence": (silence, Unreachable, "no answer in time"),
    "drip": (drip, Unreachable, "in time"),
    "redirect": (reply(301, Location="https://elsewhere.example.org/"), Unsuitable, r"https://elsewhere\.example\.org"),
    "an object": (reply(200, {"message": "hello"}), Unsuitable, "not one of the Nexus API"),
    "an odd row": (reply(200, [{"id": "1"}]), Unsuitable, "not one of the Nexus API"),
    "deep": (reply(200, "[" * 100_000, "application/json"), Unsuitable, "not one of the Nexus API"),
    "trace": (reply(500, TRACE), Unsuitable, "It broke"),
    "gateway": (reply(502, "<html>Bad Gateway</html>", "text/html"), Unsuitable, "502"),
    "gone": (reply(404), Unsuitable, "does not have that path"),
    "not json": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        Unreachable,
        "broke off",
    ),
}


@pytest.mark.parametrize(("failure", "kind", "words"), READS.values(), ids=READS)
def test_a_list_that_cannot_be_read_is_never_empty(failure: Reply, kind: type[ServiceError], words: str) -> None:
    wire, nexus = told(failure, timeout_s=1.0)
    with wire, nexus, pytest.raises(kind, match=words) as caught:
        nexus.all()
    assert caught.value.hint
    shown = everything_in(caught.value)
    assert CANARY not in shown
    assert "at deeplynx" not in shown
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_message_of_nexus_is_one_short_line_without_dotnet() -> None:
    long = f"System.Collections.Generic.KeyNotFoundException: {'x' * 1000}\nsecond line"
    wire, nexus = told(reply(400, {"detail": long}))
    with wire, nexus, pytest.raises(Rejected) as caught:
        nexus.create(VIEWER)
    assert str(caught.value).endswith("x…")
    assert "KeyNotFound" not in str(caught.value)
    assert "second line" not in str(caught.value)


@pytest.mark.parametrize(
    "first", [reset, reply(502), reply(503, Retry_After="0"), reply(429)], ids=["reset", "502", "503", "429"]
)
def test_a_read_is_tried_again(first: Reply) -> None:
    wire, nexus = told(first, first, EMPTY)
    with wire, nexus:
        assert nexus.all() == ()
    assert len(wire.requests) == 4


def test_retry_after_is_waited_for_and_the_timeout_kept() -> None:
    wire, nexus = told(reply(429, Retry_After="1"), EMPTY)
    began = time.monotonic()
    with wire, nexus:
        assert nexus.all() == ()
    assert time.monotonic() - began >= 1
    wire, nexus = told(reply(503, Retry_After="3600"), EMPTY)
    with wire, nexus, pytest.raises(Unsuitable, match="503"):
        nexus.all()
    assert len(wire.requests) == 2


@pytest.mark.parametrize("change", ["update", "archive", "unarchive", "delete"])
def test_a_change_is_sent_once_when_its_outcome_is_unknown(change: str) -> None:
    calls: dict[str, Callable[[Nexus], None]] = {
        "update": lambda nexus: nexus.update(7, {"description": "x"}),
        "archive": lambda nexus: nexus.archive(7),
        "unarchive": lambda nexus: nexus.unarchive(7),
        "delete": lambda nexus: nexus.delete(7),
    }
    for failure in (reset, silence, PAGE, reply(502), HALF):
        wire, nexus = told(failure, reply(200, True), timeout_s=1.0)
        with wire, nexus, pytest.raises(OutcomeUnknown, match="application 7") as caught:
            calls[change](nexus)
        assert len(wire.requests) == 2
        assert CANARY not in everything_in(caught.value)


def test_a_patch_always_has_its_flag() -> None:
    wire, nexus = told(reply(200, True))
    with wire, nexus:
        nexus.archive(7)
        nexus.unarchive(7)
    assert wire.lines[1:] == [f"PATCH /api/v2/oauth/applications/7?archive={flag}" for flag in ("true", "false")]


SEVEN = {"id": 7, "clientId": "c", "name": "n", "callbackUrl": "u", "isArchived": False}
BARE = reply(500, {"title": "Internal Server Error", "status": 500, "detail": "An unexpected error occurred."})
ABSENT = reply(404, {"title": "Not Found", "status": 404, "detail": "The requested resource was not found."})


def test_after_a_bare_500_delete_looks() -> None:
    wire, nexus = told(BARE, reply(200, SEVEN), BARE, reply(200, SEVEN))
    with wire, nexus, pytest.raises(Kept, match="issued a token"):
        nexus.delete(7)
    wire, nexus = told(BARE, reply(200, SEVEN), reply(200, True))  # the first 500 was a passing one
    with wire, nexus:
        nexus.delete(7)
    wire, nexus = told(BARE, ABSENT)
    with wire, nexus:
        nexus.delete(7)
    assert wire.lines[2] == "GET /api/v2/oauth/applications/7?hideArchived=false"
    for blind in (BARE, reply(404), PAGE, reset):
        wire, nexus = told(BARE, blind, timeout_s=1.5)
        with wire, nexus, pytest.raises(OutcomeUnknown, match="cannot be seen"):
            nexus.delete(7)


def test_an_archive_that_somebody_undid_is_said() -> None:
    wire, nexus = told(ABSENT, reply(200, SEVEN))
    with wire, nexus, pytest.raises(Rejected, match="same time"):
        nexus.archive(7)
    wire, nexus = told(ABSENT, reply(200, SEVEN))
    with wire, nexus, pytest.raises(Rejected, match="a moment ago"):
        nexus.update(7, {"description": "x"})


def rows(*numbers: int, more: bool, total: int) -> bytes:
    return reply(200, {"items": [{**SEVEN, "id": n} for n in numbers], "hasNext": more, "totalCount": total})


def test_a_list_without_an_end_is_given_up() -> None:
    wire, nexus = told(rows(1, 2, more=True, total=4))
    with wire, nexus, pytest.raises(Unsuitable, match="no end"):
        nexus.all()
    assert len(wire.requests) == 3


def listed(*replies: Reply) -> list[int]:
    wire, nexus = told(*replies)
    with wire, nexus:
        numbers = [one.id for one in nexus.all()]
    assert len(wire.requests) == 1 + len(replies)
    return numbers


def test_a_list_that_moved_between_its_pages_is_read_again() -> None:
    moved = rows(1, 2, more=True, total=4), rows(4, more=False, total=3)
    assert listed(*moved, rows(2, 3, more=True, total=3), rows(4, more=False, total=3)) == [2, 3, 4]


def test_a_list_that_grows_all_the_time_is_enough() -> None:
    first = rows(1, 2, more=True, total=4), rows(3, 4, 5, more=False, total=5)
    assert listed(*first, rows(1, 2, more=True, total=6), rows(3, 4, 5, 6, more=False, total=7)) == [1, 2, 3, 4, 5, 6]


def test_what_is_lost_from_a_list_that_never_rests_is_looked_at() -> None:
    first = rows(1, 2, more=True, total=4), rows(3, 4, more=False, total=5)
    second = rows(1, 2, more=True, total=4), rows(4, more=False, total=3)
    assert listed(*first, *second, reply(200, {**SEVEN, "id": 3})) == [1, 2, 3, 4]
    assert listed(*first, *second, ABSENT) == [1, 2, 4]


def test_pages_without_a_total_are_taken_as_they_are() -> None:
    pages = [reply(200, {"items": [{**SEVEN, "id": n}], "hasNext": n == 1}) for n in (1, 2)]
    assert listed(*pages) == [1, 2]


def test_an_answer_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar.nexus.wire, "LIMIT_BYTES", 1 << 20)
    wire, nexus = told(reply(200, " " * (2 << 20), "application/json"))
    with wire, nexus, pytest.raises(Unreachable, match="longer than 1 MiB"):
        nexus.all()


@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_the_404_of_an_ingress_says_nothing_about_applications(kind: str) -> None:
    calls: list[Callable[[Nexus], None]] = [
        lambda nexus: nexus.update(7, {"description": "x"}),
        lambda nexus: nexus.archive(7),
        lambda nexus: nexus.delete(7),
    ]
    for call in calls:
        wire, nexus = told(reply(404, "<html><title>404 Not Found</title></html>", kind))
        with wire, nexus:
            failed(Unsuitable, "application 7", partial(call, nexus))


def test_a_trace_that_breaks_does_not_cost_the_credential() -> None:
    def trace(*_: object) -> None:
        raise BrokenPipeError

    with Wire(ME, CREATED) as wire, Nexus(wire.url, token=Secret("abc"), trace=trace) as nexus:
        assert nexus.create(VIEWER).client_secret.reveal() == CANARY

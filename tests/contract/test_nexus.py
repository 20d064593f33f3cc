"""The Nexus client does every operation at every place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

import registrar.nexus.applications
import registrar.nexus.wire
from registrar.errors import (
    AccessDenied,
    Missing,
    Rejected,
)
from registrar.model import Credential, Registered
from registrar.nexus import Nexus
from registrar.secret import Secret
from tests import web
from tests.contract.conftest import Place
from tests.contract.nexus_wire import CANARY, VIEWER
from tests.contract.wire import everything_in

CALLBACK = VIEWER["redirect_uri"]
NOBODY = 999_999_999


def made(nexus: Nexus, **more: str) -> tuple[Credential, Registered]:
    credential = nexus.create({**VIEWER, **more})
    return credential, found(nexus, credential)


def found(nexus: Nexus, credential: Credential) -> Registered:
    (application,) = [one for one in nexus.all() if one.client_id == credential.client_id]
    return application


def issue_a_token(place: Place, credential: Credential) -> None:
    """Sign the sysadmin in at the application, as its users do."""
    with web.client(base_url=place.url + f"/api/{place.version or 'v1'}") as client:
        key = {"apiKey": place.api_key.reveal(), "apiSecret": place.api_secret.reveal()}
        token = client.post("/oauth/tokens", json=key).text.strip('"')
        ours = {"client_id": credential.client_id, "redirect_uri": CALLBACK, "state": "s"}
        went = client.get("/oauth/authorize", params=ours, headers={"Authorization": f"Bearer {token}"})
        code = httpx.URL(went.headers["location"]).params["code"]
        exchange = {**ours, "client_secret": credential.client_secret.reveal(), "code": code}
        assert client.post("/oauth/exchange", params=exchange).status_code == 200


def test_it_finds_the_version_and_who_we_are(place: Place, nexus: Nexus) -> None:
    nexus.check()
    user = nexus.whoami()
    assert user.sysadmin
    assert "@" in user.email
    assert nexus.version == (place.version or nexus.version)


def test_only_v1_of_the_newest_server_is_deprecated(nexus: Nexus, request: pytest.FixtureRequest) -> None:
    nexus.check()
    newest = "v1-deprecated" in request.node.callspec.id
    assert nexus.deprecated_since == (datetime(2026, 8, 5, tzinfo=UTC) if newest else None)


def test_another_user_is_not_a_sysadmin(place: Place) -> None:
    if place.user_key is None:
        pytest.skip("this Nexus has one key only")
    with Nexus(place.url, api_key=place.user_key, api_secret=place.user_secret) as nexus:
        with pytest.raises(AccessDenied, match=r"plain@example\.test is not a sysadmin"):
            nexus.check()
        if "v1" in place.version and nexus.deprecated_since is None:
            return  # an early v1 lets every user in
        calls: list[Callable[[], object]] = [
            nexus.all,
            lambda: nexus.create(VIEWER),
            lambda: nexus.update(NOBODY, {"description": ""}),
            lambda: nexus.archive(NOBODY),
            lambda: nexus.unarchive(NOBODY),
            lambda: nexus.delete(NOBODY),
        ]
        for call in calls:
            with pytest.raises(AccessDenied, match="System administrator access required"):
                call()


def test_create_answers_the_credential_once(nexus: Nexus) -> None:
    credential, application = made(nexus)
    assert len(credential.client_secret.reveal()) == 86
    assert "********" in repr(credential)
    expected = Registered(application.id, credential.client_id, VIEWER["name"], CALLBACK)
    assert application == expected  # null from Nexus is ""
    nexus.delete(application.id)


def test_create_sends_every_field(nexus: Nexus) -> None:
    more = {"base_url": "https://viewer.example.org", "owner_email": "a@example.org", "description": "Größe 原子"}
    _, application = made(nexus, **more)
    assert {field: getattr(application, field) for field in more} == more
    nexus.delete(application.id)


def test_create_says_which_field_is_wrong(nexus: Nexus) -> None:
    with pytest.raises(Rejected, match="CallbackUrl: The CallbackUrl field is required") as caught:
        nexus.create({"name": "no callback"})
    assert caught.value.application == "no callback"
    assert not [one for one in nexus.all() if one.name == "no callback"]


def test_the_list_has_archived_ones_and_is_by_id(nexus: Nexus) -> None:
    numbers = [made(nexus, name=f"contract {i}")[1].id for i in range(3)]
    nexus.archive(numbers[1])
    nexus.update(numbers[0], {"description": "moved to the end of the table"})
    listed = [one for one in nexus.all() if one.id in numbers]
    assert [one.id for one in listed] == sorted(numbers)
    assert [one.archived for one in listed] == [False, True, False]
    nexus.unarchive(numbers[1])
    for number in numbers:
        nexus.delete(number)


def test_every_page_is_read(nexus: Nexus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar.nexus.applications, "PAGE_ROWS", 2)
    numbers = {made(nexus, name=f"contract {i}")[1].id for i in range(5)}
    assert numbers <= {one.id for one in nexus.all()}
    for number in numbers:
        nexus.delete(number)


def test_update_sets_what_is_named(nexus: Nexus) -> None:
    _, before = made(nexus, description="old", base_url="https://old.example.org")
    nexus.update(before.id, {"description": "", "redirect_uri": CALLBACK + "/2"})
    (after,) = [one for one in nexus.all() if one.id == before.id]
    assert after == replace(before, description="", redirect_uri=CALLBACK + "/2")
    nexus.delete(before.id)


@pytest.mark.parametrize("field", ["name", "redirect_uri"])
def test_what_an_application_needs_is_never_emptied(field: str) -> None:
    with Nexus("http://127.0.0.1:1") as nexus:  # not even asked
        with pytest.raises(ValueError, match=field):
            nexus.update(1, {field: " "})
        with pytest.raises(ValueError, match=field):
            nexus.create({**VIEWER, field: ""})


def test_archive_and_unarchive_are_fine_twice(nexus: Nexus) -> None:
    credential, application = made(nexus)
    for archived, call in ((True, nexus.archive), (False, nexus.unarchive)):
        call(application.id)
        call(application.id)
        assert found(nexus, credential).archived is archived
    nexus.delete(application.id)


def test_what_is_not_there_is_missing(nexus: Nexus) -> None:
    for call in (nexus.archive, nexus.unarchive, nexus.delete):
        with pytest.raises(Missing, match=str(NOBODY)) as caught:
            call(NOBODY)
        assert caught.value.hint
    with pytest.raises(Missing, match=str(NOBODY)):
        nexus.update(NOBODY, {"description": "x"})


def test_what_is_archived_is_not_missing(nexus: Nexus) -> None:
    credential, application = made(nexus)
    nexus.archive(application.id)
    calls: list[Callable[[], None]] = [
        lambda: nexus.update(application.id, {"description": "x"}),
        lambda: nexus.delete(application.id),
    ]
    for call in calls:
        with pytest.raises(Rejected, match="archived") as caught:
            call()
        assert not isinstance(caught.value, Missing)
    assert found(nexus, credential).archived
    nexus.unarchive(application.id)
    nexus.delete(application.id)


def test_delete_is_refused_once_a_token_was_issued(place: Place, nexus: Nexus) -> None:
    credential, application = made(nexus)
    issue_a_token(place, credential)
    with pytest.raises(Rejected, match="issued a token") as caught:
        nexus.delete(application.id)
    assert "Npgsql" not in everything_in(caught.value)
    assert not found(nexus, credential).archived
    nexus.archive(application.id)


def test_a_wrong_key_or_secret_is_refused(place: Place) -> None:
    wrong = Secret(CANARY)
    for key, secret in ((wrong, place.api_secret), (place.api_key, wrong)):
        with Nexus(place.url, api_key=key, api_secret=secret) as nexus, pytest.raises(AccessDenied) as caught:
            nexus.check()
        assert "NEXUS_API_KEY" in caught.value.hint
        shown = everything_in(caught.value)
        assert CANARY not in shown
        assert place.api_secret.reveal() not in shown


def test_a_bearer_token_is_used_as_it_is(place: Place) -> None:
    key = {"apiKey": place.api_key.reveal(), "apiSecret": place.api_secret.reveal()}
    token = web.post(f"{place.url}/api/{place.version or 'v1'}/oauth/tokens", json=key).text
    with Nexus(place.url, token=Secret(token)) as nexus:
        nexus.check()


@pytest.mark.parametrize("token", ["abc", None])
def test_a_wrong_or_no_token_is_refused(place: Place, token: str | None) -> None:
    with Nexus(place.url, token=Secret(token) if token else None) as nexus, pytest.raises(AccessDenied) as caught:
        nexus.check()
    assert "NEXUS_TOKEN" in caught.value.hint


def test_a_token_that_is_none_is_renewed_by_the_key(place: Place) -> None:
    with Nexus(place.url, api_key=place.api_key, api_secret=place.api_secret, token=Secret("abc")) as nexus:
        nexus.check()
        credential, application = made(nexus)
        assert credential.client_secret
        nexus.delete(application.id)


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/v1", "/api/v2/"])
def test_the_address_may_name_the_api(place: Place, suffix: str) -> None:
    with place.client(place.url + suffix) as nexus:
        nexus.check()


def test_many_threads_log_in_once_and_share_the_pool(place: Place) -> None:
    logins, lock = [], threading.Lock()

    def trace(method: str, path: str, status: int | None, ms: float) -> None:
        with lock:
            logins.append((method, path, status, ms))

    with Nexus(place.url, api_key=place.api_key, api_secret=place.api_secret, trace=trace) as nexus:
        with ThreadPoolExecutor(32) as pool:
            lists = list(pool.map(lambda _: nexus.all(), range(64)))
        assert len(set(lists)) == 1
        good = [entry for entry in logins if entry[1].endswith("/oauth/tokens") and entry[2] == 200]
        assert len(good) == 1
        assert len([entry for entry in logins if entry[1].endswith("/users/current")]) == 1
        assert all(ms > 0 for *_, ms in logins)


def test_nothing_secret_is_logged_or_traced(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        caplog.set_level(logging.DEBUG, logger=name)
    told_of: list[str] = []
    client = Nexus(
        place.url,
        api_key=place.api_key,
        api_secret=place.api_secret,
        trace=lambda method, path, status, _: told_of.append(f"{method} {path} {status}"),
    )
    with client as nexus:
        credential, application = made(nexus)
        nexus.delete(application.id)
        version = nexus.version
    records = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the stand-in
    shown = "\n".join([*told_of, *map(logging.LogRecord.getMessage, records)])
    assert f"DELETE /api/{version}/oauth/applications/{application.id} 200" in told_of
    for secret in (place.api_key, place.api_secret, credential.client_secret, nexus._session._login.token):
        assert secret is not None
        assert secret.reveal() not in shown

"""Device authorization as a program, its user and the frontend meet it, against a clock that is moved by hand."""

import base64
import contextlib
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from registrar.sandbox.nexus import STAGES
from tests.sandbox.browser import Browser, Page
from tests.sandbox.served import Clock, Opener, Site

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DAY_S = 24 * 3600


class Device:
    """A program without a browser, and the site it asks."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self.site, self.clock, self.application = site, clock, site.create()
        self.client_id = self.application["clientId"]
        self.answer: dict[str, Any] = {}

    def begin(self, **more: str) -> str:
        self.answer = self.site.nobody.post("/device/code", data={"client_id": self.client_id, **more}).json()
        return str(self.answer["user_code"])

    def token(self, **fields: str) -> httpx.Response:
        return self.site.nobody.post("/token", data={"client_id": self.client_id, **fields})

    def poll(self, after_s: float = 5) -> httpx.Response:
        self.clock.now += after_s
        return self.token(grant_type=GRANT, device_code=self.answer["device_code"])

    def refresh(self, refresh_token: str) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)

    def decide(self, user_code: str, *, approve: bool) -> httpx.Response:
        return self.site.user.post("/device/verify", json={"user_code": user_code, "approve": approve})

    def granted(self) -> dict[str, Any]:
        self.decide(self.begin(), approve=True)
        answer = self.poll()
        assert answer.status_code == 200, answer.text
        granted: dict[str, Any] = answer.json()
        return granted

    def rows(self, table: str) -> int:
        with self.site.state.transaction() as db:
            return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture
def device(open_site: Opener) -> Device:
    clock = Clock(time.time())
    return Device(open_site(clock=clock), clock)


@pytest.fixture
def browser(device: Device) -> Iterator[Browser]:
    with contextlib.closing(Browser(device.site.url)) as browser:
        yield browser


def refused(answer: httpx.Response, error: str, description: str | None = None, status: int = 400) -> bool:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body = {"error": error, "error_description": description or error}
    return (answer.status_code, answer.json()) == (status, body)


# The device


def test_a_device_gets_two_codes_and_the_frontends_address(device: Device) -> None:
    user_code = device.begin(scope=" read write ")
    there = f"{device.site.url}/oauth/device/verify"
    assert re.fullmatch(r"[\w-]{43}", device.answer.pop("device_code"))
    assert re.fullmatch(r"[2-9B-DF-HJ-NP-TV-XZ]{4}-[2-9B-DF-HJ-NP-TV-XZ]{4}", user_code)
    assert device.answer == {
        "user_code": user_code,
        "verification_uri": there,
        "verification_uri_complete": f"{there}?user_code={user_code}",
        "expires_in": 900,
        "interval": 5,
    }
    assert device.site.user.get("/device/verify", params={"user_code": user_code}).json()["scope"] == "read write"


def test_what_a_device_must_name(device: Device) -> None:
    site = device.site
    assert refused(site.nobody.post("/device/code"), "invalid_request", "client_id is required")
    assert refused(
        site.nobody.post("/device/code", data={"client_id": " "}), "invalid_request", "client_id is required"
    )
    # only a form is read
    as_json = site.nobody.post("/device/code", json={"client_id": device.client_id})
    assert refused(as_json, "invalid_request", "client_id is required")
    assert refused(site.nobody.post("/token"), "invalid_request", "grant_type is required")
    assert refused(device.token(grant_type="password"), "unsupported_grant_type", "Unsupported grant_type")
    assert refused(device.token(grant_type=GRANT), "invalid_request", "device_code is required")
    assert refused(device.token(grant_type="refresh_token"), "invalid_request", "refresh_token is required")
    for fields in ({"grant_type": GRANT, "device_code": "x"}, {"grant_type": "refresh_token", "refresh_token": "x"}):
        unnamed = site.nobody.post("/token", data=fields)
        assert refused(unnamed, "invalid_request", "client_id is required")


def test_an_application_that_is_unknown_or_archived_is_no_client(device: Device) -> None:
    device.begin()
    user_code = device.answer["user_code"]
    refresh_token = device.granted()["refresh_token"]
    device.begin()
    device.site.admin.patch("/applications/1?archive=true")
    words = f"OAuth application with ClientId '{device.client_id}' not found or has been archived."
    begun = device.site.nobody.post("/device/code", data={"client_id": device.client_id})
    for answer in (begun, device.poll(), device.refresh(refresh_token)):
        assert refused(answer, "invalid_client", words, 404)
    found = device.site.user.get("/device/verify", params={"user_code": user_code})
    assert refused(found, "invalid_request", "Device authorization request not found", 404)


def test_who_polls_too_soon_has_to_wait_longer_each_time(device: Device) -> None:
    device.begin()
    assert refused(device.poll(0), "authorization_pending")
    assert refused(device.poll(4.9), "slow_down")  # from now on ten seconds
    assert refused(device.poll(9.9), "slow_down")  # fifteen
    assert refused(device.poll(14.9), "slow_down")  # twenty
    assert refused(device.poll(20), "authorization_pending")
    assert refused(device.poll(20), "authorization_pending")


def test_approved_tokens_are_given_once_however_soon_the_device_asks(device: Device) -> None:
    user_code = device.begin()
    assert refused(device.poll(), "authorization_pending")
    decided = device.decide(user_code.lower().replace("-", " "), approve=True)
    assert decided.json()["status"] == "approved"
    assert decided.json()["user_code"] == user_code
    before = device.rows("nexus_api_key"), device.rows("nexus_token")
    answer = device.poll(0)
    assert answer.status_code == 200
    granted = answer.json()
    assert list(granted) == ["access_token", "refresh_token", "token_type", "expires_in"]
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 28800)
    assert re.fullmatch(r"[\w-]{86}", granted["refresh_token"])
    assert _claims(granted)["sub"] == "plain@example.test"
    assert _claims(granted)["exp"] - _claims(granted)["iat"] == 28800
    assert (device.rows("nexus_api_key"), device.rows("nexus_token")) == (before[0] + 1, before[1] + 1)
    assert device.rows("nexus_device") == 0
    assert refused(device.poll(), "invalid_grant")


def test_denied_is_denied_at_every_poll(device: Device) -> None:
    assert device.decide(device.begin(), approve=False).json()["status"] == "denied"
    assert refused(device.poll(0), "access_denied")
    assert refused(device.poll(0), "access_denied")
    assert device.rows("nexus_refresh_token") == 0


def test_a_code_expires_after_fifteen_minutes_and_is_then_forgotten(device: Device) -> None:
    device.decide(device.begin(), approve=True)
    assert refused(device.poll(900), "expired_token")
    assert refused(device.poll(0), "invalid_grant")
    device.begin()
    assert refused(device.poll(899), "authorization_pending")


def test_a_code_is_its_applications_alone(device: Device) -> None:
    device.decide(device.begin(), approve=True)
    mine, other = device.client_id, device.site.create(name="other")["clientId"]
    device.client_id = other
    assert refused(device.poll(), "invalid_grant")
    device.client_id = mine
    refresh_token = device.poll().json()["refresh_token"]
    device.client_id = other
    assert refused(device.refresh(refresh_token), "invalid_grant")
    assert refused(device.token(grant_type=GRANT, device_code="nope"), "invalid_grant")


# Refreshing


def test_a_refresh_adds_a_token_and_keeps_what_refreshes(device: Device) -> None:
    granted = device.granted()
    before = device.rows("nexus_api_key"), device.rows("nexus_token")
    device.clock.now += 29 * DAY_S
    for number in (1, 2):
        answer = device.refresh(granted["refresh_token"])
        assert (answer.status_code, answer.json()["refresh_token"]) == (200, granted["refresh_token"])
        assert _user(device, answer.json()["access_token"]).json()["id"] == 2
        rows = device.rows("nexus_api_key"), device.rows("nexus_token")
        assert rows == (before[0] + number, before[1] + number)
    # a use does not make it live longer
    device.clock.now += DAY_S
    assert refused(device.refresh(granted["refresh_token"]), "invalid_grant")
    assert device.rows("nexus_refresh_token") == 0


def test_an_access_token_lives_eight_hours(device: Device) -> None:
    token = device.granted()["access_token"]
    device.clock.now += 28790
    assert _user(device, token).status_code == 200
    device.clock.now += 20
    assert _user(device, token).status_code == 401


def test_nothing_that_revokes_a_token_revokes_what_refreshes(device: Device) -> None:
    granted = device.granted()
    assert device.site.user.delete(f"/keys/{_claims(granted)['apiKey']}").json() is True
    assert _user(device, granted["access_token"]).status_code == 401
    assert device.site.user.delete("/tokens/revoke").status_code == 200
    assert device.refresh(granted["refresh_token"]).status_code == 200


# The user, through the API


def test_a_user_is_shown_what_asks_and_decides_once(device: Device) -> None:
    user_code = device.begin()
    shown = device.site.user.get("/device/verify", params={"user_code": user_code.lower()}).json()
    expires_at = shown.pop("expires_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", expires_at)
    assert abs(datetime.fromisoformat(expires_at).timestamp() - device.clock.now - 900) < 1e-5
    expected = {"user_code": user_code, "client_id": device.client_id, "application_name": "viewer", "scope": None}
    assert shown == {**expected, "status": "pending"}
    assert device.decide(user_code, approve=False).json()["status"] == "denied"
    again = device.decide(user_code, approve=True)
    assert refused(again, "invalid_request", "Device authorization request is denied")
    assert refused(device.poll(), "access_denied")


def test_who_may_decide_and_on_what(device: Device) -> None:
    site, user_code = device.site, device.begin()
    for answer in (
        site.nobody.get("/device/verify", params={"user_code": user_code}),
        site.nobody.post("/device/verify", json={"user_code": user_code, "approve": True}),
    ):
        assert (answer.status_code, answer.content) == (401, b"")
    assert refused(site.user.get("/device/verify"), "invalid_request", "user_code is required")
    unknown = "Device authorization request not found"
    assert refused(device.decide("AAAA-AAAA", approve=True), "invalid_request", unknown, 404)
    assert refused(device.decide("short", approve=True), "invalid_request", unknown, 404)
    # a decision without a word is a no
    assert site.user.post("/device/verify", json={"user_code": user_code}).json()["status"] == "denied"


@pytest.mark.parametrize(
    ("body", "key", "message"),
    [
        ({"approve": True}, "UserCode", "The UserCode field is required."),
        ({"userCode": "x"}, "UserCode", "The UserCode field is required."),
        ({"user_code": "x", "approve": "true"}, "approve", "The JSON value could not be converted to System.Boolean."),
        ({"user_code": "x", "approve": None}, "approve", "The JSON value could not be converted to System.Boolean."),
    ],
)
def test_a_decision_that_cannot_be_read_is_400(device: Device, body: dict[str, object], key: str, message: str) -> None:
    answer = device.site.user.post("/device/verify", json=body)
    assert (answer.status_code, answer.json()["errors"]) == (400, {key: [message]})


def test_an_expired_request_is_shown_once_and_cannot_be_decided(device: Device) -> None:
    user_code = device.begin()
    device.clock.now += 900
    shown = device.site.user.get("/device/verify", params={"user_code": user_code})
    assert (shown.status_code, shown.json()["status"]) == (200, "expired")
    gone = device.site.user.get("/device/verify", params={"user_code": user_code})
    assert refused(gone, "invalid_request", "Device authorization request not found", 404)
    late = device.begin()
    device.clock.now += 900
    assert refused(device.decide(late, approve=True), "invalid_request", "Device authorization request has expired")


# The user, through the frontend


@pytest.mark.parametrize(("button", "title"), [("Approve", "Approved"), ("Deny", "Denied")])
def test_a_user_signs_in_and_decides_on_the_page(device: Device, browser: Browser, button: str, title: str) -> None:
    user_code = device.begin(scope="read")
    sent = browser.get(device.answer["verification_uri_complete"])
    assert sent.status_code == 307
    page = Page(browser.follow(sent))
    assert "A program without a browser asks." in page.text
    page = Page(browser.follow(browser.press(page, "reviewer")))
    assert "viewer asks to act as reviewer." in page.text
    assert user_code in page.text
    assert "It asks for: read" in page.text
    decided = Page(browser.press(page, button))
    assert (decided.status, decided.title) == (200, f"{title} · Nexus sandbox")
    answer = device.poll()
    if button == "Approve":
        assert _claims(answer.json())["sub"] == "reviewer@example.test"
    else:
        assert refused(answer, "access_denied")
    again = browser.page(f"/oauth/device/verify?user_code={user_code}")
    assert again.status == (404 if button == "Approve" else 400)


def test_a_code_can_be_typed(device: Device, browser: Browser) -> None:
    user_code = device.begin()
    page = Page(browser.follow(browser.get(device.answer["verification_uri"])))
    page = Page(browser.follow(browser.press(page, "plain")))
    assert page.forms[0].fields == {"user_code": ""}
    page.forms[0].fields["user_code"] = f" {user_code.lower()} "
    page = Page(browser.press(page, "Continue"))
    assert f"{user_code}" in page.text
    assert Page(browser.press(page, "Approve")).status == 200
    assert device.poll().status_code == 200


def test_another_user_can_be_chosen_on_the_way(device: Device, browser: Browser) -> None:
    user_code = device.begin()
    browser.sign_in(2)
    page = browser.page(f"/oauth/device/verify?user_code={user_code}")
    page = browser.page(page.links["Choose another"])
    page = Page(browser.follow(browser.press(page, "developer@localhost")))
    assert "viewer asks to act as developer@localhost." in page.text


@pytest.mark.parametrize("typed", ["AAAA-AAAA", "short", "  x"])
def test_a_code_that_asks_nothing_can_be_typed_again(browser: Browser, typed: str) -> None:
    browser.sign_in()
    for answer in (
        browser.get("/oauth/device/verify", params={"user_code": typed}),
        browser.post("/oauth/device/verify", {"user_code": typed, "answer": "approve"}),
    ):
        page = Page(answer)
        assert (page.status, page.forms[0].fields) == (404, {"user_code": typed})
        assert "Device authorization request not found" in page.text


def test_a_decision_comes_from_who_is_signed_in_and_is_one_of_two(device: Device, browser: Browser) -> None:
    user_code = device.begin()
    sent = browser.post("/oauth/device/verify", {"user_code": user_code, "answer": "approve"})
    assert (sent.status_code, sent.headers["location"]) == (303, f"/oauth/device/verify?user_code={user_code}")
    browser.sign_in()
    assert Page(browser.post("/oauth/device/verify", {"user_code": user_code, "answer": ""})).status == 400
    assert refused(device.poll(), "authorization_pending")
    device.clock.now += 900
    late = Page(browser.post("/oauth/device/verify", {"user_code": user_code, "answer": "approve"}))
    assert late.status == 400
    assert "Device authorization request has expired" in late.text


# What is kept, and where there is none


def test_codes_outlive_the_process_and_are_not_kept_in_clear(open_site: Opener, tmp_path: Path) -> None:
    path, clock = tmp_path / "sandbox.db", Clock(time.time())
    device = Device(open_site("v2", path, clock=clock), clock)
    user_code = device.begin()
    device.poll()
    device.site = open_site("v2", path, clock=clock)
    assert refused(device.poll(1), "slow_down")
    device.decide(user_code, approve=True)
    granted = device.poll().json()
    device.site = open_site("v2", path, clock=clock)
    assert device.refresh(granted["refresh_token"]).status_code == 200
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in (device.answer["device_code"], user_code, user_code.replace("-", ""), granted["refresh_token"]):
        assert secret.encode() not in kept


def test_an_application_can_be_deleted_while_a_device_waits_but_not_after_a_grant(device: Device) -> None:
    device.begin()
    assert device.site.admin.delete("/applications/1").json() is True
    assert device.rows("nexus_device") == 0
    device.client_id = device.site.create()["clientId"]
    device.granted()
    assert device.site.admin.delete("/applications/2").status_code == 500


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "v2"])
def test_other_builds_know_nothing_of_devices(open_site: Opener, stage: str) -> None:
    site = open_site(stage)
    for version in ("v1", "v2"):
        path = f"/api/{version}/oauth"
        nowhere = site.root(f"{path}/nothing/here", method="POST").status_code
        for route in ("device/code", "device/verify", "token"):
            answer = site.root(f"{path}/{route}", method="POST", data={"client_id": "x"})
            assert answer.status_code == nowhere
            assert nowhere in (400, 404)


def test_openapi_names_the_routes_of_devices_where_they_are(open_site: Opener) -> None:
    newest = open_site()
    second, first = (newest.root(f"/api/openapi/{version}.json").json()["paths"] for version in ("v2", "v1"))
    assert second["/api/v2/oauth/device/verify"].keys() == {"get", "post"}
    assert not [path for path in first if "device" in path]
    assert newest.root("/api/v1/oauth/device/code", method="POST").json()["code"] == "UnsupportedApiVersion"


def _claims(granted: dict[str, Any]) -> dict[str, Any]:
    payload = granted["access_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _user(device: Device, token: str) -> httpx.Response:
    return device.site.root("/api/v2/users/current", headers={"authorization": f"Bearer {token}"})

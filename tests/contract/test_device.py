"""The device login of Nexus: a person agrees, denies, dawdles; a server that has none; and tokens that are renewed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from registrar import sandbox
from registrar.errors import AccessDenied, Rejected, StepFailed, Unreachable, Unsuitable
from registrar.nexus import Nexus
from registrar.nexus.answers import claims, expires_at
from registrar.nexus.device import DeviceLogin, Grant, Tokens
from registrar.secret import Secret
from tests import web
from tests.contract.wire import unused_port
from tests.custody.proxy import Proxy, reset, say


@dataclass
class Person:
    """Somebody with a browser, while a program waits; the time of the server goes by as the program sleeps."""

    running: sandbox.Sandbox
    proxy: Proxy
    client_id: str
    slept: list[float] = field(default_factory=list)
    now: float = 0.0
    at: dict[int, Callable[[], object]] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if act := self.at.pop(len(self.slept), None):
            act()

    def decide(self, grant: Grant, *, approve: bool) -> None:
        account = self.running.user
        body = {"apiKey": account.api_key, "apiSecret": account.api_secret}
        url = self.running.nexus_url
        token = web.post(f"{url}/api/v2/oauth/tokens", json=body).text.strip('"')
        headers = {"authorization": f"Bearer {token}"}
        sent = {"user_code": grant.user_code, "approve": approve}
        assert web.post(f"{url}/api/v2/oauth/device/verify", json=sent, headers=headers).status_code == 200

    def login(self) -> DeviceLogin:
        return DeviceLogin(self.proxy.url, self.client_id, timeout_s=5)


@pytest.fixture
def person() -> Iterator[Person]:
    with contextlib.ExitStack() as stack:
        found: list[Person] = []
        began = time.time()
        running = sandbox.start(
            ":memory:", nexus_port=0, vault_port=0, clock=lambda: began + (found[0].now if found else 0)
        )
        stack.callback(running.close)
        account = running.sysadmin
        key, secret = Secret(account.api_key), Secret(account.api_secret)
        nexus = stack.enter_context(Nexus(running.nexus_url, api_key=key, api_secret=secret))
        made = nexus.create({"name": "Command line", "redirect_uri": "https://cli.example.org/cb"})
        found.append(Person(running, stack.enter_context(Proxy(running.nexus_url)), made.client_id))
        yield found[0]


def begun(login: DeviceLogin) -> Grant:
    grant = login.begin()
    assert grant
    return grant


def test_a_person_who_agrees(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        assert (grant.expires_in_s, grant.interval_s) == (900, 5)
        assert grant.verification_uri.endswith("/oauth/device/verify")
        assert grant.user_code in grant.verification_uri_complete
        person.at = {3: lambda: person.decide(grant, approve=True)}
        tokens = login.wait(grant, person.sleep)
        assert person.slept == [5, 5, 5]
    assert claims(tokens.access)["sub"] == "plain@example.test"
    ends = expires_at(tokens.access)
    assert ends and abs(ends.timestamp() - time.time() - 8 * 3600) < 60
    with Nexus(person.running.nexus_url, token=tokens.access) as nexus:
        assert nexus.whoami().email == "plain@example.test"


def test_a_person_who_denies(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        person.decide(grant, approve=False)
        with pytest.raises(AccessDenied, match="was denied in the browser"):
            login.wait(grant, person.sleep)


def test_a_person_who_dawdles(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        person.at = {2: lambda: person.sleep(900)}
        with pytest.raises(StepFailed, match="was not finished in time") as caught:
            login.wait(grant, person.sleep)
        assert caught.value.hint == "registrar login"


def test_a_program_that_is_told_to_slow_down(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        person.proxy.on("POST", "/api/v2/oauth/token", say(400, b'{"error": "slow_down"}'), times=2)
        person.at = {3: lambda: person.decide(grant, approve=True)}
        login.wait(grant, person.sleep)
        assert person.slept == [5, 10, 15]


def test_a_network_that_fails_meanwhile_ends_nothing(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        person.decide(grant, approve=True)
        person.proxy.on("POST", "/api/v2/oauth/token", reset)
        assert login.wait(grant, person.sleep).access
        assert person.slept == [5, 10]


def test_tokens_of_the_older_place(person: Person) -> None:
    """One stage has the codes in v2, and the tokens in v1."""
    with person.login() as login:
        grant = begun(login)
        token = b'{"access_token": "eyJh.eyJz.c", "token_type": "Bearer", "expires_in": 28800}'
        person.proxy.on("POST", "/api/v2/oauth/token", say(404, b""))
        person.proxy.on("POST", "/api/v1/oauth/token", say(200, token))
        assert login.wait(grant, person.sleep) == Tokens(Secret("eyJh.eyJz.c"), None)


def test_a_server_that_answers_nonsense(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        person.proxy.on("POST", "/api/v2/oauth/token", say(500, b"{}"))
        with pytest.raises(Unsuitable):
            login.wait(grant, person.sleep)
        for answer in (b"[]", b"{}", b'{"device_code": 7, "user_code": "x", "verification_uri": "", "expires_in": 1}'):
            person.proxy.on("POST", "/api/v2/oauth/device/code", say(200, answer))
            with pytest.raises(Unsuitable):
                login.begin()


def test_addresses_that_are_none_are_left_out(person: Person) -> None:
    odd = (
        b'{"device_code": "d", "user_code": "AB-12\\u001b[31m", "verification_uri": "/oauth/device/verify",'
        b' "verification_uri_complete": "javascript:alert(1)", "expires_in": 900, "interval": 0}'
    )
    person.proxy.on("POST", "/api/v2/oauth/device/code", say(200, odd))
    with person.login() as login:
        grant = begun(login)
    assert (grant.verification_uri, grant.verification_uri_complete) == ("", "")
    assert grant.user_code == "AB-12??31m"
    assert grant.interval_s == 5  # of none, RFC 8628 section 3.2


def test_a_server_without_it(person: Person) -> None:
    older = sandbox.start(":memory:", stage="v1", nexus_port=0, vault_port=0)
    with contextlib.closing(older), DeviceLogin(older.nexus_url, person.client_id) as login:
        assert login.begin() is None


def test_no_server_at_all() -> None:
    with (
        unused_port() as port,
        DeviceLogin(f"http://127.0.0.1:{port}", "x", timeout_s=1) as login,
        pytest.raises(Unreachable),
    ):
        login.begin()


def test_an_application_that_nexus_does_not_know(person: Person) -> None:
    with DeviceLogin(person.proxy.url, "nobody") as login, pytest.raises(Rejected, match="client id nobody") as caught:
        login.begin()
    assert "login_client_id" in caught.value.hint


def test_renewing(person: Person) -> None:
    with person.login() as login:
        grant = begun(login)
        person.decide(grant, approve=True)
        tokens = login.wait(grant, person.sleep)
        assert tokens.refresh
        again = login.refreshed(tokens.refresh)
        assert again.refresh == tokens.refresh  # Nexus never changes it
        assert again.access != tokens.access
        person.now += 31 * 24 * 3600
        with pytest.raises(AccessDenied, match="has ended"):
            login.refreshed(tokens.refresh)
        person.proxy.on("POST", "/api/v2/oauth/token", say(503, b""), times=5)
        with pytest.raises(Unsuitable):
            login.refreshed(tokens.refresh)

"""The exchange at every stage: its token, and each refusal with what a developer has to change."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from registrar import sandbox
from registrar.client import Client, authorize_url, exchange_url
from registrar.errors import ServiceError, StepFailed, Unreachable, Unsuitable
from registrar.handshake import Handshake
from registrar.model import Credential
from registrar.nexus import Nexus
from registrar.secret import Secret
from tests import web
from tests.contract.wire import unused_port
from tests.custody.proxy import Proxy, say

REDIRECT = "https://viewer.example.org/cb"
STAGES = ("v1", "v1-deprecated", "v2", "v2-array")


@dataclass
class Site:
    """A Nexus with one application, and a user who signs in at once."""

    running: sandbox.Sandbox
    client: Client
    handshake: Handshake

    def code(self, state: str = "state", *, anonymous: bool = False) -> Secret:
        """As the backend hands it out to whoever's token the frontend shows."""
        account = self.running.user
        body = {"apiKey": account.api_key, "apiSecret": account.api_secret}
        token = web.post(f"{self.running.nexus_url}/api/v1/oauth/tokens", json=body).text.strip('"')
        query = {"client_id": self.client.credential.client_id, "redirect_uri": REDIRECT, "state": state}
        headers = {} if anonymous else {"authorization": f"Bearer {token}"}
        url = f"{self.running.nexus_url}/api/v1/oauth/authorize"
        location = web.get(url, params=query, headers=headers).headers["location"]
        return Secret(parse_qs(urlsplit(location).query)["code"][0])

    def refused(self, client: Client, code: Secret, state: str = "state") -> str:
        with pytest.raises(StepFailed) as caught:
            self.handshake.exchange(client, code, state, None)
        return f"{caught.value.message} | {caught.value.hint}"


@pytest.fixture(params=STAGES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        running = sandbox.start(":memory:", stage=request.param, nexus_port=0, vault_port=0)
        stack.callback(running.close)
        account = running.sysadmin
        nexus = Nexus(running.nexus_url, api_key=Secret(account.api_key), api_secret=Secret(account.api_secret))
        stack.callback(nexus.close)
        made = nexus.create({"name": "Viewer", "redirect_uri": REDIRECT})
        url = running.nexus_url
        client = Client(
            "Viewer", "viewer", "secret/nexus/viewer", 1, made, REDIRECT, authorize_url(url), exchange_url(url)
        )
        yield Site(running, client, stack.enter_context(Handshake(url)))


def other(client: Client, **changes: str) -> Client:
    """The client with another id, secret or redirect URI."""
    credential = client.credential
    if "client_secret" in changes:
        credential = Credential(credential.client_id, Secret(changes.pop("client_secret")))
    if "client_id" in changes:
        credential = Credential(changes.pop("client_id"), credential.client_secret)
    return dataclasses.replace(client, credential=credential, **changes)  # type: ignore[arg-type]


def test_a_code_becomes_a_token(site: Site) -> None:
    token = site.handshake.exchange(site.client, site.code(), "state", 30)
    assert token.user == "plain@example.test"
    assert token.state == "state"
    assert token.expires_in_s == 1800
    assert token.expires_at is not None
    assert abs(token.expires_at.timestamp() - time.time() - 1800) < 30
    called = site.handshake.call("/users/current", token.access)
    assert (called.status, called.ok, called.path) == (200, True, "/api/v1/users/current")
    key = token.claims["apiKey"]
    assert isinstance(key, Secret)
    assert site.handshake.forget(key, token.access)
    assert site.handshake.call("users/current", token.access).status == 401
    assert not site.handshake.forget(key, token.access)


def test_every_refusal_says_what_to_change(site: Site) -> None:
    client, code = site.client, site.code()
    assert "does not know this code | start again" in site.refused(client, Secret("c" * 43))
    assert "no living application" in site.refused(other(client, client_id="x" * 43), code)
    assert "the redirect URI is not" in site.refused(other(client, redirect_uri="https://x.example.org"), code)
    assert "client secret is wrong | registrar creds get viewer" in site.refused(
        other(client, client_secret="x" * 86), code
    )
    assert "send the state that came back" in site.refused(client, code, "other")
    assert site.handshake.exchange(client, code, "state", None).user  # a refusal does not use it up
    assert "this code was used before | exchange a code in one place only" in site.refused(client, code)
    nobodys = site.refused(client, site.code(anonymous=True))
    assert "nobody was signed in when the code was made | send the browser to the frontend" in nobodys


def test_a_code_of_another_application(site: Site) -> None:
    account = site.running.sysadmin
    key, secret = Secret(account.api_key), Secret(account.api_secret)
    with contextlib.closing(Nexus(site.running.nexus_url, api_key=key, api_secret=secret)) as nexus:
        second = nexus.create({"name": "Other", "redirect_uri": REDIRECT})
    client = dataclasses.replace(site.client, credential=second)
    assert "the code was made for another application" in site.refused(client, site.code())


def test_a_bare_token_is_read_as_one(site: Site) -> None:
    """Of v2, which is asked where v1 has gone."""
    has_v2 = web.get(f"{site.running.nexus_url}/api/openapi/v2.json").is_success
    with Proxy(site.running.nexus_url) as proxy, Handshake(proxy.url) as handshake:
        proxy.on("POST", "/api/v1/oauth/exchange", say(404, b""))
        if not has_v2:
            with pytest.raises(Unsuitable, match="it does not have that path"):
                handshake.exchange(site.client, site.code(), "state", None)
            return
        token = handshake.exchange(site.client, site.code(), "state", None)
        assert token.user == "plain@example.test"
        assert (token.expires_in_s, token.state) == (None, None)
        assert handshake.call("/users/current", token.access).path == "/api/v2/users/current"


def test_no_nexus(site: Site) -> None:
    with unused_port() as port, Handshake(f"http://127.0.0.1:{port}", timeout_s=1) as handshake:
        with pytest.raises(Unreachable):
            handshake.exchange(site.client, Secret("c"), "state", None)
        with pytest.raises(ServiceError):
            handshake.call("/users/current", Secret("t"))
        assert not handshake.forget(Secret("k"), Secret("t"))

"""A Nexus stand-in being served, with a client for each of its users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from registrar.sandbox.nexus import Nexus
from registrar.sandbox.state import State
from tests import web

CALLBACK = "https://viewer.example.org/cb"


class Clock:
    """What time it is for a stand-in, moved by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Site:
    """A served Nexus and a client signed in as each of its users."""

    def __init__(self, state: State, stage: str, url: str, nexus: Nexus) -> None:
        self.state, self.stage, self.url, self.nexus = state, stage, url, nexus
        self.version = "v1" if stage in ("v1", "v1-deprecated") else "v2"
        self.nobody = web.client(base_url=f"{url}/api/{self.version}/oauth")
        self.admin = self._signed_in(nexus.sysadmin)
        self.user = self._signed_in(nexus.user)

    def _signed_in(self, key: tuple[str, str]) -> httpx.Client:
        token = self.nobody.post("/tokens", json={"apiKey": key[0], "apiSecret": key[1]}).text
        headers = {"Authorization": f"Bearer {token}"}
        return web.client(base_url=self.nobody.base_url, headers=headers)

    def root(self, path: str, method: str = "GET", **arguments: Any) -> httpx.Response:
        return web.request(method, f"{self.url}{path}", **arguments)

    def create(self, **fields: str) -> dict[str, str]:
        answer = self.admin.post("/applications", json={"name": "viewer", "callbackUrl": CALLBACK, **fields})
        assert answer.status_code == 200, answer.text
        made: dict[str, str] = answer.json()
        return made

    def code(self, made: dict[str, str], client: httpx.Client | None = None, redirect_uri: str = CALLBACK) -> str:
        query = {"client_id": made["clientId"], "redirect_uri": redirect_uri, "state": "s"}
        answer = (client or self.admin).get("/authorize", params=query)
        assert answer.status_code == 302, answer.text
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    def exchange(self, made: dict[str, str], code: str, **more: str) -> httpx.Response:
        query = {"client_id": made["clientId"], "client_secret": made["clientSecretRaw"], "redirect_uri": CALLBACK}
        return self.nobody.post("/exchange", params={**query, "code": code, "state": "s", **more})

    def close(self) -> None:
        for client in (self.nobody, self.admin, self.user):
            client.close()


Opener = Callable[..., Site]

"""A Nexus that answers as told, and a client that has found it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registrar.errors import ServiceError
from registrar.nexus import Nexus
from registrar.secret import Secret
from tests.contract.wire import Reply, Wire, everything_in, reply

VIEWER = {"name": "contract viewer", "redirect_uri": "https://viewer.example.org/cb"}
CANARY = "canary-" + "s3cr3t" * 8


ME = reply(200, {"id": 1, "email": "a@example.org", "name": "a", "isSysAdmin": True})
EMPTY = reply(200, {"items": [], "hasNext": False, "totalCount": 0})
CREATED = reply(200, {"name": "x", "clientId": "c", "clientSecretRaw": CANARY})
TRACE = (
    "An error occurred while updating OAuth application 7: System.InvalidOperationException: \x1b[31mIt broke\x07\n"
    "   at deeplynx.business.OauthApplicationBusiness.Update() in /src/deeplynx.business/Oauth.cs:line 99\n"
)
PAGE = reply(200, "<!DOCTYPE html><html><title>Sign in</title></html>", "text/html; charset=utf-8")
HALF = reply(200, {"name": "x", "clientId": "c", "clientSecretRaw": CANARY})[:-20]
GARBAGE = reply(200, '{"name":"x","clientId":"c","clientSecretRaw":"' + CANARY, "application/json")


def failed(kind: type[ServiceError], words: str, call: Callable[[], object]) -> ServiceError:
    """The error that a call ends with: of this kind, with a hint, with these words and without the canary."""
    with pytest.raises(kind, match=words) as caught:
        call()
    assert caught.value.hint
    assert CANARY not in everything_in(caught.value)
    return caught.value


def told(*replies: Reply, timeout_s: float = 5.0, token: str = CANARY) -> tuple[Wire, Nexus]:
    """A client that has found v2 at a server which then answers so."""
    wire = Wire(ME, *replies)
    return wire, Nexus(wire.url, token=Secret(token), timeout_s=timeout_s)

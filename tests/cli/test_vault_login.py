"""Logging in to Vault as users do: each way through the whole command, what is missing, and no secret in any word.

The stand-in has no auth methods, so the proxy before it answers the login as OpenBao does (recorded, group `logins`).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from registrar.cli import vault_login
from tests.cli.canary import Canary
from tests.cli.program import Program, Result, typed
from tests.cli.services import Services
from tests.contract.vault_wire import Script, Seen, Wire, answer, listening
from tests.custody.proxy import Answer, Exchange, Proxy, say

SECRET_ID = "canary-of-the-secret-id-01"
ID_TOKEN = "canary.of-the-id-token.02"
PASSWORD = "canary of the pass wörd 03"
REQUEST_TOKEN = "canary-of-the-request-token-04"
EVERY_SECRET = (SECRET_ID, ID_TOKEN, PASSWORD, REQUEST_TOKEN)


@dataclass
class Door:
    """A Vault with every auth method, and the bodies of the logins that were sent to it."""

    program: Program
    vault: Proxy
    token: str
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    canary: Canary = field(default_factory=Canary)

    def __post_init__(self) -> None:
        for secret in (*EVERY_SECRET, self.token):
            self.canary.plant(secret, secret)
        self.vault.on("POST", "^/v1/auth/token/revoke-self$", say(204, b""), times=99)

    def opens(self) -> None:
        """Every login gets a token that the stand-in knows, in the shape of OpenBao's answer."""
        auth = {"client_token": self.token, "accessor": "a", "policies": ["default"], "lease_duration": 3600}
        self.answers(200, {"auth": auth | {"renewable": True, "mfa_requirement": None}, "data": None})

    def answers(self, status: int, body: object) -> None:
        def login(_: Proxy, exchange: Exchange) -> Answer:
            self.sent.append((exchange.path, json.loads(exchange.body)))
            return Answer(status, json.dumps(body).encode())

        self.vault.on("POST", "^/v1/auth/.*/login", login, times=99)

    def targets(self, **auth: str) -> None:
        """Declare how to log in."""
        declared = {"targets": {"dev": {"vault_auth": auth}}}
        self.program.write("registrar.yaml", json.dumps(declared))
        self.program.write("manifests/apps.yaml", "apps: []")

    def call(self, *words: str, **environ: str) -> Result:
        """`status` with every request told, in both formats; no secret in either."""
        self.program.environ |= environ
        code = self.checked(self.program.call("status", "-v", "-o", "json", *words)).code
        result = self.checked(self.program.call("status", "-v", *words))
        assert result.code == code
        return result

    def checked(self, result: Result) -> Result:
        assert self.canary.leaks(result.out, "stdout") | self.canary.leaks(result.err, "stderr") == set()
        return result

    def refused(self, code: int, words: str, hint: str, *flags: str, **environ: str) -> Result:
        """It ends with this code before anything but the login is asked of Vault."""
        result = self.call(*flags, **environ)
        assert (result.code, result.out) == (code, "")
        told, _, way = result.err.partition("\n  → ")
        assert words in told
        assert hint in way
        assert {exchange.path.split("/")[2] for exchange in self.vault.seen} <= {"auth"}
        return result


@pytest.fixture
def door(connected: Program, services: Services) -> Door:
    assert services.vault
    del connected.environ["VAULT_TOKEN"]
    return Door(connected, services.vault, services.running.vault_token)


@contextlib.contextmanager
def github(script: Script) -> Iterator[tuple[Wire, dict[str, str]]]:
    """A GitHub, and what it sets for a job that may have an id token."""
    with listening(script) as there:
        yield (
            there,
            {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{there.url}/token?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            },
        )


def giving(_: Seen) -> bytes:
    return answer(200, {"value": ID_TOKEN})


# ── each way ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_approle_from_the_environment(door: Door) -> None:
    door.opens()
    result = door.call("--vault-auth", "approle", VAULT_ROLE_ID="role-of-ci", VAULT_SECRET_ID=SECRET_ID)
    assert result.code == 0, result.err
    assert door.sent[-1] == ("/v1/auth/approle/login", {"role_id": "role-of-ci", "secret_id": SECRET_ID})
    assert "POST /v1/auth/approle/login 200" in result.err
    assert door.vault.seen[-1].path == "/v1/auth/token/revoke-self"


def test_approle_whose_role_binds_no_secret_id(door: Door) -> None:
    door.opens()
    door.targets(method="approle", mount="pipelines", role="role-of-ci")
    assert door.call().code == 0
    assert door.sent[-1] == ("/v1/auth/pipelines/login", {"role_id": "role-of-ci"})


def test_jwt_from_the_environment(door: Door) -> None:
    door.opens()
    door.targets(method="jwt", mount="gitlab", role="ci")
    assert door.call(VAULT_ID_TOKEN=ID_TOKEN).code == 0
    assert door.sent[-1] == ("/v1/auth/gitlab/login", {"role": "ci", "jwt": ID_TOKEN})


def test_jwt_of_a_file_beside_registrar_yaml(door: Door) -> None:
    door.opens()
    door.targets(method="kubernetes", role="ci", secret_file="below/token")
    door.program.write("below/token", f"{ID_TOKEN}\n")
    assert door.call().code == 0
    assert door.sent[-1] == ("/v1/auth/kubernetes/login", {"role": "ci", "jwt": ID_TOKEN})


def test_jwt_of_github(door: Door) -> None:
    door.opens()
    door.targets(method="jwt", role="ci", audience="https://vault.example.org")
    with github(giving) as (there, job):
        assert door.call(**job).code == 0
    assert door.sent[-1] == ("/v1/auth/jwt/login", {"role": "ci", "jwt": ID_TOKEN})
    assert there.seen[0].headers["authorization"] == f"Bearer {REQUEST_TOKEN}"
    assert there.seen[0].target == "/token?api-version=2.0&audience=https%3A%2F%2Fvault.example.org"


@pytest.mark.parametrize("method", ["userpass", "ldap"])
def test_a_password_of_the_environment(door: Door, method: str) -> None:
    door.opens()
    assert door.call("--vault-auth", method, "--vault-username", "ada", VAULT_PASSWORD=PASSWORD).code == 0
    assert door.sent[-1] == (f"/v1/auth/{method}/login/ada", {"password": PASSWORD})


def test_an_exported_token_comes_before_registrar_yaml(door: Door) -> None:
    door.opens()
    door.targets(method="approle", role="role-of-ci")
    assert door.call(VAULT_TOKEN=door.token).code == 0
    assert door.sent == []
    assert door.call("--vault-auth", "approle").code == 0
    assert door.sent


# ── a person ──────────────────────────────────────────────────────────────────────────────────────────────────────────


LOGIN = ("status", "-v", "--vault-auth", "userpass", "--vault-username", "ada")


def test_a_password_that_is_typed(door: Door) -> None:
    door.opens()
    result = door.checked(typed(door.program, f"{PASSWORD}\n".encode(), *LOGIN))
    assert result.code == 0, result.out
    assert result.out.count(f"Vault password of ada at {door.vault.url}: ") == 1
    assert door.sent == [("/v1/auth/userpass/login/ada", {"password": PASSWORD})]


def test_a_wrong_password(door: Door) -> None:
    door.answers(400, {"errors": [f"invalid username or password {PASSWORD}"]})
    result = door.checked(typed(door.program, f"{PASSWORD}\n".encode(), *LOGIN))
    assert result.code == 3
    assert "userpass at auth/userpass/login/ada is refused: invalid username or password ********" in result.out


@pytest.mark.parametrize("keys", [b"\x03", b"\x04"])
def test_no_password_at_the_prompt(door: Door, keys: bytes) -> None:
    door.opens()
    result = typed(door.program, keys, *LOGIN)
    assert "Traceback" not in result.out
    assert door.sent == []
    assert result.code == 130


def test_nobody_to_ask(door: Door) -> None:
    door.opens()
    result = door.refused(64, "no Vault password for ada, and nobody to ask", "VAULT_PASSWORD", *LOGIN[2:])
    assert door.sent == []
    assert "password of" not in result.err
    assert door.checked(door.program.run(*LOGIN)).code == 64


# ── the token helper ──────────────────────────────────────────────────────────────────────────────────────────────────


def helped(door: Door, script: str) -> Path:
    """A token helper that does this, named by the Vault CLI's configuration at home."""
    helper = door.program.home / "token helper"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o700)
    (door.program.home / ".vault").write_text(json.dumps({"token_helper": str(helper)}))
    (door.program.home / ".vault-token").write_text("not-this-one")
    return helper


def test_the_token_of_the_helper(door: Door) -> None:
    helped(door, f'[ "$*" = get ] && echo "{door.token}"')
    assert door.call().code == 0
    assert {exchange.headers["X-Vault-Token"] for exchange in door.vault.seen} == {door.token}
    assert "/v1/auth/token/revoke-self" not in {exchange.path for exchange in door.vault.seen}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"echo {SECRET_ID}; echo {ID_TOKEN} >&2; exit 3", "gives no token: it ended with 3"),
        ("kill -9 $$", "gives no token: it ended with -9"),
        (f"echo {SECRET_ID}; sleep 20 & wait", "gives no token: it takes longer than 0.5 s"),
        ("true", "there is no Vault token"),
        ("echo; echo ' '", "there is no Vault token"),
        (f"echo {SECRET_ID}; echo {ID_TOKEN}", "the Vault token is empty, or holds a space, a line break"),
    ],
)
def test_a_helper_without_a_token(door: Door, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    monkeypatch.setattr(vault_login, "_HELPER_S", 0.5)
    helped(door, script)
    started = time.monotonic()
    door.refused(64, words, "VAULT_TOKEN")
    assert time.monotonic() - started < 10


def test_a_helper_that_cannot_run(door: Door) -> None:
    helper = helped(door, "true")
    helper.chmod(0o600)
    door.refused(64, f"the token helper {helper} gives no token: Permission denied", "mend it, or set VAULT_TOKEN")
    helper.unlink()
    door.refused(64, f"the token helper {helper} gives no token: No such file", "mend it, or set VAULT_TOKEN")
    (door.program.home / ".vault").write_text(json.dumps({"token_helper": "a\0b"}))
    door.refused(64, "gives no token: embedded null byte", "mend it, or set VAULT_TOKEN")


# ── what is missing, and what is refused ──────────────────────────────────────────────────────────────────────────────

MISSING = {
    "anything": ([], "there is no Vault token", "vault login"),
    "token": (["token"], "there is no Vault token", "--vault-auth"),
    "approle": (["approle"], "approle needs the id of a role", "VAULT_ROLE_ID"),
    "jwt": (["jwt"], "jwt needs an id token", "VAULT_ID_TOKEN"),
    "kubernetes": (["kubernetes"], "kubernetes needs a role", "--vault-role"),
    "kubernetes, elsewhere": (["kubernetes", "--vault-role", "ci"], "serviceaccount/token, the secret", "secret_file"),
    "userpass": (["userpass"], "userpass needs a user name", "--vault-username"),
    "ldap": (["ldap"], "ldap needs a user name", "--vault-username"),
    "cert": (["cert"], "cert needs a certificate", "VAULT_CLIENT_CERT"),
    "a method": (["github"], "no Vault login by `github`", "--vault-auth token|approle"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_missing(door: Door, case: str) -> None:
    words, told, hint = MISSING[case]
    door.opens()
    door.refused(64, told, hint, *(["--vault-auth", *words] if words else []))
    assert door.sent == []


REFUSED: dict[str, tuple[list[str], dict[str, str], int, str, str]] = {
    "approle": (
        ["approle", "--vault-role", "ci"],
        {"VAULT_SECRET_ID": SECRET_ID},
        400,
        "invalid role or secret ID",
        "get a new secret id",
    ),
    "approle without": (["approle", "--vault-role", "ci"], {}, 400, "missing secret_id", "get a new secret id"),
    "jwt": (["jwt"], {"VAULT_ID_TOKEN": ID_TOKEN}, 400, f"token {ID_TOKEN} is expired", "has not expired"),
    "userpass": (
        ["userpass", "--vault-username", "ada"],
        {"VAULT_PASSWORD": PASSWORD},
        400,
        f"invalid password {PASSWORD}",
        "check the user name",
    ),
    "ldap": (
        ["ldap", "--vault-username", "ada"],
        {"VAULT_PASSWORD": PASSWORD},
        403,
        "permission denied",
        "check the user name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_login_changes_nothing_and_shows_nothing(door: Door, case: str) -> None:
    words, environ, status, reason, hint = REFUSED[case]
    door.answers(status, {"errors": [reason]})
    told = reason
    for secret in EVERY_SECRET:
        told = told.replace(secret, "********")
    result = door.refused(3, f"is refused: {told}", hint, "--vault-auth", *words, **environ)
    assert f"the Vault login by {words[0]} at auth/{words[0]}/login" in result.err
    assert door.vault.seen[-1].path.startswith(f"/v1/auth/{words[0]}/login")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (lambda _: answer(403, {"message": REQUEST_TOKEN}), "GitHub gives this job no id token (403)"),
        (lambda _: answer(200, f"<html>{ID_TOKEN}"), "GitHub gives this job no id token (200)"),
        (lambda _: answer(200, {"values": ID_TOKEN}), "GitHub gives this job no id token (200)"),
        (lambda _: b"", "no answer of GitHub about an id token (ProtocolError)"),
    ],
)
def test_github_gives_none(door: Door, script: Callable[[Seen], bytes], words: str) -> None:
    door.opens()
    with github(script) as (_, job):
        door.refused(3, words, "job", "--vault-auth", "jwt", **job)
    assert door.sent == []


# ── the surroundings ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_process_gets_a_secret_among_its_arguments(door: Door) -> None:
    door.opens()
    helped(door, f'cat "/proc/$$/cmdline" "/proc/$PPID/cmdline" > "{door.program.home}/seen"; echo "{door.token}"')
    assert door.checked(door.program.run("status", "-v")).code == 0
    seen = (door.program.home / "seen").read_text()
    assert "get\0" in seen
    assert "registrar" in seen
    assert door.canary.leaks(seen, "the arguments") == set()


def test_loopback_is_reached_without_a_proxy(door: Door) -> None:
    door.opens()
    with listening(lambda _: answer(502)) as proxy, github(giving) as (_, job):
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy.url)
        assert door.call("--vault-auth", "jwt", **job, **proxies).code == 0
        assert proxy.seen == []


TROUBLE = {
    "VAULT_ADDR": "https://vault.example.org",
    "BAO_ADDR": "https://bao.example.org",
    "VAULT_TOKEN": f"{SECRET_ID} {ID_TOKEN}",
    "BAO_TOKEN": REQUEST_TOKEN,
    "VAULT_NAMESPACE": "no such",
    "VAULT_CACERT": "/nowhere",
    "VAULT_CAPATH": "/nowhere",
    "VAULT_CLIENT_KEY": "/nowhere",
    "VAULT_SKIP_VERIFY": "perhaps",
    "VAULT_CLIENT_TIMEOUT": "soon",
    "VAULT_CONFIG_PATH": "/nowhere",
    "NEXUS_URL": "not a URL",
    "NEXUS_CACERT": "/nowhere",
    "NEXUS_API_KEY": "half",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "https_proxy": "http://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "SSL_CERT_FILE": "/nowhere",
}


@pytest.mark.parametrize("variable", [*TROUBLE, "all of them"])
def test_the_sandbox_asks_nothing_of_the_environment(program: Program, variable: str) -> None:
    program.environ |= TROUBLE if variable == "all of them" else {variable: TROUBLE[variable]}
    result = program.call("--sandbox", "status")
    assert result.code == 0, result.err
    assert program.call("validate", str(program.write("apps.yaml", "apps: []"))).code == 0

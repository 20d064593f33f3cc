"""`registrar doctor` as somebody runs it at three in the morning: it tells what mends, and changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from registrar.policy import Role, grants, hcl
from tests import web
from tests.cli.manifests import TWO
from tests.cli.program import Program, Result
from tests.cli.services import Services, serving
from tests.contract.wire import Wire, certified, reply, silence, unused_port
from tests.custody.proxy import say

SUBJECTS = ["Configuration", "Nexus", "Vault", "Commands"]


def checks(result: Result) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(check["subject"], check["id"]): check for check in result.document["checks"]}
    assert len(found) == len(result.document["checks"]), "each check has a name of its own"
    return found


def troubled(result: Result) -> dict[tuple[str, str], str]:
    """What is not well, and how bad it is."""
    return {key: check["state"] for key, check in checks(result).items() if check["state"] != "ok"}


def examined(program: Program, *words: str) -> Result:
    """The document, after a look at the text, which has to say the same to people."""
    result = program.call("doctor", *words, "-o", "json")
    told = program.call("doctor", *words)
    assert told.code == result.code, "the format changes no exit code"
    assert (result.code == 3) is ("failed" in troubled(result).values()) is not result.document["well"]
    spoken = " ".join(told.out.split())
    for check in result.document["checks"]:
        assert check["hint"] or check["state"] == "ok", "each trouble names its way out"
        assert " ".join(check["hint"].split()) in spoken
        assert check["subject"] in SUBJECTS
    for line in told.out.splitlines():
        assert len(line) <= 80 or " " not in line.strip(" →|"), line
    secrets = [value for name, value in program.environ.items() if name.endswith(("TOKEN", "KEY", "SECRET"))]
    for secret in secrets:
        assert len(secret) < 12 or secret not in result.out + result.err + told.out + told.err
    return result


def test_the_sandbox_is_well(program: Program) -> None:
    result = examined(program, "--sandbox")
    assert (result.code, result.err) == (0, "")
    assert troubled(result) == {("Vault", "identity"): "warning"}
    lines = program.call("--sandbox", "doctor").out.splitlines()
    assert [line for line in lines if line in SUBJECTS] == SUBJECTS
    assert lines[-1] == "It works, with 1 warning."
    ends = sum(line.endswith(("✓", "!", "✗")) for line in lines)
    assert ends == len(result.document["checks"])
    assert result.document["target"]["vault_addr"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("stage", "state", "version"),
    [
        ("v1", "warning", "API v1 alone, published sunset 2026-09-30"),
        ("v1-deprecated", "ok", "API v2, lists in pages; v1 beside it, deprecated since 2026-08-05"),
        ("v2", "ok", "API v2, lists in pages; v1 beside it, deprecated since 2026-08-05"),
        ("v2-array", "ok", "API v2, lists as one array (an early build); v1 beside it"),
    ],
)
def test_every_stage_is_told(tmp_path: Path, stage: str, state: str, version: str) -> None:
    with serving(stage=stage) as services:
        program = Program(tmp_path, services.environ)
        program.write("apps.yaml", TWO)
        assert program.call("apply", "apps.yaml", "--yes").code == 0
        found = checks(examined(program))
        program.environ |= _as_user(services)
        refused = examined(program)
    assert (found["Nexus", "version"]["state"], found["Nexus", "version"]["text"]) == (state, version)
    assert found["Nexus", "sysadmin"]["state"] == "ok"
    assert found["Nexus", "applications"]["text"] == "2, of which 0 archived"
    assert found["Vault", "records"]["text"] == "2 records below secret/nexus, listed folder by folder"
    assert found["Vault", "lock"]["text"] == "free: no run is at work"
    # an early v1 gives the list to everybody, which proves nothing
    assert checks(refused)["Nexus", "sysadmin"]["state"] == "failed"
    assert ("Nexus", "applications") not in checks(refused)


def _as_user(services: Services) -> dict[str, str]:
    return {"NEXUS_API_KEY": services.running.user.api_key, "NEXUS_API_SECRET": services.running.user.api_secret}


def test_v1_that_hides_v2_is_told_with_its_end(connected: Program, services: Services) -> None:
    assert services.nexus
    services.nexus.on("GET", "^/api/v2/", say(404, b"<html>", content_type="text/html"), times=99)
    version = checks(examined(connected))["Nexus", "version"]
    assert version["state"] == "warning"
    assert version["text"] == "API v1, deprecated since 2026-08-05, published sunset 2026-09-30"


def test_a_promotion_that_does_not_count_yet_is_told(connected: Program, services: Services) -> None:
    assert services.nexus
    services.nexus.on("GET", "/oauth/applications", say(403, b'{"error": "Forbidden"}'), times=99)
    result = examined(connected)
    sysadmin = checks(result)["Nexus", "sysadmin"]
    assert sysadmin["state"] == "failed"
    assert "restart of Nexus" in sysadmin["hint"]


def test_it_changes_nothing_and_asks_only_questions(connected: Program, services: Services) -> None:
    assert services.nexus
    assert services.vault
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    before = services.dump()
    services.nexus.seen.clear()
    services.vault.seen.clear()
    examined(connected)
    assert services.dump() == before
    assert set(services.nexus.effects()) == {"POST /api/v1/oauth/tokens"}
    assert set(services.vault.effects()) == {"POST /v1/sys/capabilities-self"}
    assert not [
        seen.path for seen in services.vault.seen if "/data/" in seen.path and ".registrar/lock" not in seen.path
    ]


def test_one_that_is_away_does_not_hide_the_other(connected: Program) -> None:
    with unused_port() as port:
        dead = f"http://127.0.0.1:{port}"
        without_nexus = examined(connected, "--nexus-url", dead)
        without_vault = examined(connected, "--vault-addr", dead)
        without_both = examined(connected, "--vault-addr", dead, "--nexus-url", dead)
    identity = ("Vault", "identity")
    assert troubled(without_nexus) == {
        ("Nexus", "address"): "failed",
        identity: "warning",
        ("Commands", "plan"): "warning",
        ("Commands", "apply"): "warning",
    }
    assert checks(without_nexus)["Commands", "creds"]["state"] == "ok"
    assert troubled(without_vault) == {("Vault", "address"): "failed"}
    assert checks(without_vault)["Nexus", "sysadmin"]["state"] == "ok"
    assert troubled(without_both) == {("Nexus", "address"): "failed", ("Vault", "address"): "failed"}
    assert "refused" in checks(without_both)["Vault", "address"]["text"].lower()


def test_without_any_credentials_it_still_tells_who_is_there(program: Program, services: Services) -> None:
    where = ("--nexus-url", services.running.nexus_url, "--vault-addr", services.running.vault_addr)
    result = examined(program, *where)
    assert troubled(result) == {("Nexus", "identity"): "failed", ("Vault", "identity"): "failed"}
    found = checks(result)
    assert found["Nexus", "address"]["state"] == found["Vault", "server"]["state"] == "ok"
    assert "NEXUS_API_KEY" in found["Nexus", "identity"]["hint"]
    assert "vault login" in found["Vault", "identity"]["hint"]


def test_no_credential_stands_in_for_one_that_is_missing(program: Program, services: Services) -> None:
    assert services.nexus
    assert services.vault
    program.call("doctor", "--nexus-url", services.nexus.url, "--vault-addr", services.vault.url)
    for seen in (*services.nexus.seen, *services.vault.seen):
        assert not {"authorization", "x-vault-token"} & {name.lower() for name in seen.headers}


def test_nothing_is_set(program: Program) -> None:
    result = examined(program)
    assert troubled(result) == {("Nexus", "settings"): "failed", ("Vault", "settings"): "failed"}
    assert [checks(result)[key]["hint"] for key in troubled(result)] == [
        "export NEXUS_URL=https://…",
        "export VAULT_ADDR=https://…",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [("targets: [", ()), ("targets: {a: {}, b: {}}", ()), ("targets: {a: {}}", ("--target", "b")), ("", ("--frob",))],
)
def test_what_cannot_be_meant_is_a_matter_of_usage(program: Program, content: str, words: tuple[str, ...]) -> None:
    program.write("registrar.yaml", content or "targets: {}")
    result = program.call("doctor", *words, "-o", "json")
    assert result.code == 64
    assert result.document["kind"] == "error"


def test_the_target_is_told_and_its_flags_come_again(connected: Program, services: Services) -> None:
    text = "targets: {dev: {vault_prefix: a}, prod: {production: true, vault_prefix: b, vault_namespace: team}}"
    connected.write("registrar.yaml", text)
    connected.environ["VAULT_TOKEN"] = services.root.token(hcl(grants(Role.PLANNER, "secret", "a")), "").reveal()
    found = checks(examined(connected, "--target", "dev"))
    assert found["Configuration", "file"]["text"].endswith("registrar.yaml")
    assert found["Configuration", "target"]["text"] == "dev (of dev, prod)"
    policy = "registrar policy --for applier --target dev | vault policy write registrar-applier-dev -"
    assert found["Commands", "apply"]["hint"] == policy
    assert connected.call(*policy.partition(" | ")[0].split()[1:]).code == 0
    other = checks(connected.call("doctor", "--target", "prod", "-o", "json"))
    assert other["Configuration", "target"]["text"] == "prod (of dev, prod); production"
    assert other["Configuration", "place"]["text"] == "records at secret/b/ in the namespace team"


def _token(services: Services, policy: str) -> dict[str, str]:
    return {"VAULT_TOKEN": services.root.token(policy, "nexus").reveal()}


def _raw(services: Services, **body: object) -> dict[str, str]:
    return {"VAULT_TOKEN": services.root.raw_token(body)[1].reveal()}


def _mount(services: Services, config: dict[str, object], version: str = "2") -> dict[str, str]:
    name = services.root.mount(version)
    if config:
        services.root.do("POST", f"{name}/config", config)
    return {"REGISTRAR_VAULT_MOUNT": name}


# what is changed, the check that tells, how it stands, its words, and the way out
TROUBLES: dict[str, tuple[Callable[[Services], dict[str, str]], tuple[str, str], str, str, str]] = {
    "not a sysadmin": (
        _as_user, ("Nexus", "sysadmin"), "failed", "is not a sysadmin of this Nexus", "NEXUS_API_KEY",
    ),
    "a wrong key": (
        lambda _: {"NEXUS_API_KEY": "nobody"}, ("Nexus", "identity"), "failed", "refuses the API key", "NEXUS_API_KEY",
    ),
    "half a key": (
        lambda _: {"NEXUS_API_KEY": ""}, ("Nexus", "settings"), "failed", "belong together", "set both",
    ),
    "a wrong token": (
        lambda _: {"VAULT_TOKEN": "nobody"}, ("Vault", "identity"), "failed", "the token has ended", "vault login",
    ),
    "a planner": (
        lambda s: _token(s, hcl(grants(Role.PLANNER, "secret", "nexus"))),
        ("Commands", "apply"), "warning", "nothing that changes an application: no update on auth/token/renew-self",
        "registrar policy --for applier | vault policy write registrar-applier -",
    ),
    "a developer": (
        lambda s: _token(s, hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=["viewer"]))),
        ("Commands", "rights"), "warning", "what the token may do is not told", "policy",
    ),
    "a developer with the default policy": (
        lambda s: {"VAULT_TOKEN": s.root.token(
            hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=["viewer"])), "nexus", no_default_policy=False,
        ).reveal()},
        ("Commands", "creds"), "warning", "of no record but those", "registrar policy --for developer NAME",
    ),
    "a token for nothing": (
        lambda s: _token(s, hcl(grants(Role.DEVELOPER, "elsewhere", "nexus", paths=["viewer"]))),
        ("Vault", "mount"), "failed", "no mount at secret/nexus, or", "vault secrets enable -path=secret -version=2 kv",
    ),
    "KV version 1": (
        lambda s: _mount(s, {}, "1"), ("Vault", "mount"), "failed", "is KV version 1", "-version=2 kv",
    ),
    "no mount": (
        lambda _: {"REGISTRAR_VAULT_MOUNT": "nowhere"},
        ("Vault", "mount"), "failed", "no mount at nowhere", "vault secrets enable -path=nowhere -version=2 kv",
    ),
    "a mount that deletes": (
        lambda s: _mount(s, {"delete_version_after": "1h"}),
        ("Vault", "mount"), "failed", "deletes every version", "delete_version_after",
    ),
    "a mount that forgets": (
        lambda s: _mount(s, {"max_versions": 3}), ("Vault", "mount"), "failed", "keeps 3 versions", "max_versions",
    ),
    "a token that ends": (
        lambda s: _raw(s, ttl="90s", renewable=False),
        ("Vault", "token"), "warning", "ends in 89 s, and cannot be renewed", "vault login",
    ),
    "Vault is Nexus": (
        lambda s: {"VAULT_ADDR": s.running.nexus_url}, ("Vault", "address"), "failed", "not Vault", "VAULT_ADDR",
    ),
    "Nexus is Vault": (
        lambda s: {"NEXUS_URL": s.running.vault_addr}, ("Nexus", "address"), "failed", "is a Vault", "nexus_url",
    ),
    "a file that is no certificate": (
        lambda _: {"VAULT_CACERT": "apps.yaml"},
        ("Vault", "settings"), "failed", "VAULT_CACERT: apps.yaml holds", "PEM",
    ),
    "the same of Nexus": (
        lambda _: {"NEXUS_CACERT": "apps.yaml"},
        ("Nexus", "settings"), "failed", "NEXUS_CACERT: apps.yaml holds", "PEM",
    ),
    "an unfinished login": (
        lambda _: {"VAULT_TOKEN": "", "VAULT_ID_TOKEN": ""}, ("Vault", "identity"), "failed", "no Vault token", "login",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TROUBLES)
def test_trouble(case: str, connected: Program, services: Services) -> None:
    change, key, state, words, hint = TROUBLES[case]
    connected.write("apps.yaml", TWO)
    connected.environ |= change(services)
    result = examined(connected)
    check = checks(result)[key]
    assert check["state"] == state, check
    assert words in check["text"]
    assert hint in check["hint"]
    failed = [found for found in troubled(result).values() if found == "failed"]
    assert len(failed) == (state == "failed"), "one trouble is told once"
    for secret in (services.running.sysadmin.api_secret, services.running.vault_token):
        assert secret not in result.out + result.err


def test_a_token_of_few_uses(connected: Program, services: Services) -> None:
    connected.environ |= _raw(services, num_uses=90)
    found = checks(connected.call("doctor", "-o", "json"))
    assert found["Vault", "uses"]["state"] == "warning"
    assert "without a limit" in found["Vault", "uses"]["hint"]


def test_a_sealed_vault(connected: Program, services: Services) -> None:
    services.root.do("POST", "sys/seal")
    result = examined(connected)
    assert troubled(result) == {("Vault", "server"): "failed"}
    assert checks(result)["Vault", "server"]["text"].endswith(", sealed")
    assert checks(result)["Vault", "server"]["hint"] == "vault operator unseal"


@pytest.mark.parametrize(
    ("status", "told", "state", "words"),
    [
        (501, {"initialized": False, "sealed": True, "version": "2.6.2"}, "failed", "version 2.6.2, not initialised"),
        (200, {"initialized": True, "sealed": False, "standby": True}, "warning", "a standby"),
        (200, {"initialized": True, "sealed": False, "performance_standby": True}, "warning", "a standby"),
    ],
)
def test_how_vault_is(
    connected: Program, services: Services, status: int, told: dict[str, object], state: str, words: str
) -> None:
    assert services.vault
    services.vault.on("GET", "/sys/health", say(status, json.dumps(told).encode()), times=2)
    server = checks(examined(connected))["Vault", "server"]
    assert server["state"] == state
    assert words in server["text"]


def test_a_clock_that_is_wrong_is_told_with_what_it_affects(connected: Program, services: Services) -> None:
    assert services.nexus
    date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    services.nexus.on("GET", "/api/v2/users/current", say(401, b"", Date=date), times=1)
    clock = checks(connected.call("doctor", "-o", "json"))["Nexus", "clock"]
    assert clock["state"] == "warning"
    assert "s behind this machine's, so tokens" in clock["text"]


def test_a_nexus_that_lets_everybody_in_is_told(connected: Program, services: Services) -> None:
    assert services.nexus
    anybody = b'{"id": 1, "email": "developer@localhost", "isSysAdmin": true}'
    services.nexus.on("GET", "/api/v2/users/current", say(200, anybody), times=1)
    found = checks(connected.call("doctor", "-o", "json"))["Nexus", "authentication"]
    assert found["state"] == "warning"


def test_what_a_run_left_is_told(connected: Program, services: Services) -> None:
    mark = f"registrar/1 {'d' * 16} {'r' * 16} viewer being registered; if this stays: registrar recover"
    values = {"name": "Viewer", "redirect_uri": "https://viewer.example.org/callback", "description": mark}
    services.by_hand.create(values)
    lock = {"domain": "d" * 16, "run": "r" * 16, "holder": "ada on host one", "lease": "30"}
    services.root.do("POST", "secret/data/nexus/.registrar/lock", {"data": lock})
    found = checks(examined(connected))
    assert found["Nexus", "marks"]["text"].startswith("1 registration half-made")
    assert "registrar recover" in found["Nexus", "marks"]["hint"]
    assert "held by ada on host one" in found["Vault", "lock"]["text"]


class TestTheKeyThatVaultKeeps:
    @pytest.fixture
    def keyless(self, program: Program, services: Services) -> Program:
        program.environ["VAULT_TOKEN"] = services.running.vault_token
        running = services.running
        program.write(
            "registrar.yaml",
            f"targets: {{dev: {{nexus_url: '{running.nexus_url}', vault_addr: '{running.vault_addr}', "
            "nexus_credentials: secret/registrar/nexus-dev}}",
        )
        return program

    def test_its_names_are_told_and_nothing_else(self, keyless: Program, services: Services) -> None:
        sysadmin = services.running.sysadmin
        kept = {"api_key": sysadmin.api_key, "api_secret": sysadmin.api_secret}
        services.root.do("POST", "secret/data/registrar/nexus-dev", {"data": kept})
        result = examined(keyless)
        assert result.code == 0
        assert checks(result)["Vault", "nexus-key"]["text"] == "secret/registrar/nexus-dev has api_key, api_secret"
        assert checks(result)["Nexus", "sysadmin"]["state"] == "ok"
        assert not [secret for secret in kept.values() if secret in result.out + result.err]

    def test_one_that_is_not_there(self, keyless: Program, services: Services) -> None:
        result = examined(keyless)
        assert checks(result)["Vault", "nexus-key"]["state"] == "warning"
        assert checks(result)["Nexus", "identity"]["text"] == "there is no secret at secret/registrar/nexus-dev"
        assert checks(result)["Nexus", "address"]["state"] == "ok"
        services.root.do("POST", "secret/data/registrar/nexus-dev", {"data": {"api_key": "x"}})
        found = checks(examined(keyless))
        assert found["Vault", "nexus-key"]["text"] == "secret/registrar/nexus-dev has no api_secret"

    def test_a_vault_that_is_away_is_not_told_twice(self, keyless: Program) -> None:
        with unused_port() as port:
            result = examined(keyless, "--vault-addr", f"http://127.0.0.1:{port}")
        assert troubled(result) == {("Nexus", "identity"): "warning", ("Vault", "address"): "failed"}
        assert "not asked" in checks(result)["Nexus", "identity"]["text"]
        assert checks(result)["Nexus", "address"]["state"] == "ok"


def test_a_token_for_nexus_tells_its_life(connected: Program, services: Services) -> None:
    sysadmin = services.running.sysadmin
    key = {"apiKey": sysadmin.api_key, "apiSecret": sysadmin.api_secret}
    for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del connected.environ[name]
    for minutes, state in ((60, "ok"), (5, "warning")):
        asked = key | {"expirationMinutes": minutes}
        token = web.post(f"{services.running.nexus_url}/api/v1/oauth/tokens", json=asked)
        connected.environ["NEXUS_TOKEN"] = token.text.strip('"')
        found = checks(examined(connected))
        assert found["Nexus", "identity"]["text"].endswith("signed in by NEXUS_TOKEN")
        assert found["Nexus", "token"]["state"] == state
        assert found["Nexus", "token"]["text"].startswith(f"ends in {minutes - 1} minutes")


@pytest.mark.parametrize("trusted", [True, False])
def test_the_certificate_is_told(tmp_path: Path, program: Program, trusted: bool) -> None:
    tls, authority = certified(tmp_path)
    health = reply(200, {"initialized": True, "sealed": False, "version": "1.20.0"}, "application/json")
    with Wire(health, tls=tls) as vault:
        program.environ |= {"VAULT_CACERT": str(authority)} if trusted else {"VAULT_SKIP_VERIFY": "true"}
        # a process of its own: urllib3 warns of what is not checked
        found = checks(program.run("doctor", "--vault-addr", vault.url, "-o", "json"))
    check = found["Vault", "tls"]
    assert check["state"] == ("ok" if trusted else "warning")
    assert ("certificate by test, " if trusted else "not checked") in check["text"]


def test_a_proxy_keeps_it_from_seeing_a_certificate_and_it_says_nothing(program: Program) -> None:
    with unused_port() as port:
        program.environ["HTTPS_PROXY"] = f"http://127.0.0.1:{port}"
        found = checks(program.call("doctor", "--vault-addr", "https://vault.example.invalid", "-o", "json"))
    assert found["Vault", "address"]["state"] == "failed"
    assert ("Vault", "tls") not in found


def test_a_port_that_keeps_silent_is_given_up(program: Program) -> None:
    with Wire(silence) as nexus:
        began = time.monotonic()
        result = program.call("doctor", "--nexus-url", nexus.url, "--timeout", "0.5", "-o", "json")
    assert time.monotonic() - began < 10
    assert checks(result)["Nexus", "address"]["state"] == "failed"

"""`registrar doctor` against the stand-in and real servers: what it says of them, and that it only asks."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from registrar.doctor import Again, Check, State
from registrar.model import Credential, Facts, Lock
from registrar.policy import Role
from registrar.secret import Secret
from registrar.tls import Seen
from registrar.vault import Login
from tests.cli.program import Program
from tests.cli.services import serving as standing_in
from tests.contract import logins, vaults
from tests.contract.vaults import APPLIER, DEVELOPER, GENUINE, KINDS, PLANNER, PLANNER_OF_VAULT, RAFT, Server, running

KEY = "secret/registrar/nexus-dev"


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(request.param, tmp_path_factory.mktemp("vault")) as running_server:
        yield running_server


@pytest.fixture
def prefix(server: Server) -> str:
    """A fresh one with a record, and a lock that is free."""
    name = f"nexus-{secrets.token_hex(4)}"
    with contextlib.closing(server.client(prefix=name)) as root:
        root.store("viewer", Credential("c1", Secret("canary-secret-one")), 0)
        root.settle("viewer", Facts(client_id="c1", version=1), None)
        root.write_lock(Lock(0, "d" * 16))
    server.do("POST", "secret/data/registrar/nexus-dev", {"data": {"api_key": "k", "api_secret": "canary-key"}})
    return name


def nothing_seen() -> Seen | None:
    return None


def surveyed(
    server: Server, prefix: str, token: Secret | Login | None = None, mount: str = "secret", login: str = "token"
) -> tuple[dict[str, Check], dict[Role, list[str]], list[str]]:
    """The checks by their names, what is lacking if nothing failed, and each request as METHOD path."""
    asked: list[str] = []
    trace = lambda method, path, _status, _ms: asked.append(f"{method} {path}")  # noqa: E731
    with contextlib.closing(server.client(token, prefix, mount=mount, trace=trace)) as vault:
        survey = vault.survey()
        checks = {check.id: check for check in survey.checks(nothing_seen, Again(), login=login, nexus_key=KEY)}
        failed = any(check.state is State.FAILED for check in checks.values())
        lacking = {} if failed else dict(survey.lacking())
    return checks, lacking, asked


def test_root_is_told_to_step_down(server: Server, prefix: str) -> None:
    checks, lacking, asked = surveyed(server, prefix)
    assert [id for id, check in checks.items() if check.state is not State.OK] == ["identity"]  # noqa: A001 (a check's)
    assert "policies root" in checks["identity"].text
    assert checks["token"].text.startswith("has no end")
    assert checks["server"].text.endswith("unsealed, active")
    assert checks["mount"].text.startswith("secret is KV version 2, keeps ")
    at_once = server.call("GET", f"secret/detailed-metadata/{prefix}?list=true")[0] == 200
    listed = "folder by folder" if at_once else "key by key"
    assert checks["records"].text.startswith(f"1 record below secret/{prefix}, listed {listed}")
    assert checks["lock"].text == "free: no run is at work"
    assert checks["nexus-key"].text == f"{KEY} has api_key, api_secret"
    assert lacking == {role: [] for role in Role}
    assert {line for line in asked if not line.startswith("GET ")} == {"POST /v1/sys/capabilities-self"}
    assert not [check for check in checks.values() if "canary" in check.text + check.hint]


def test_an_applier_lacks_nothing(server: Server, prefix: str) -> None:
    checks, lacking, _ = surveyed(server, prefix, server.token(APPLIER, prefix))
    # the key for Nexus is no matter of this policy
    assert [id for id, check in checks.items() if check.state is not State.OK] == ["nexus-key"]  # noqa: A001
    assert lacking[Role.APPLIER] == lacking[Role.PLANNER] == lacking[Role.DEVELOPER] == []


def test_a_planner_lacks_what_an_applier_has_and_reads_no_secret(server: Server, prefix: str) -> None:
    checks, lacking, _ = surveyed(server, prefix, server.token(PLANNER, prefix))
    assert not [check for check in checks.values() if check.state is State.FAILED]
    assert lacking[Role.PLANNER] == []
    assert f"create, read, update on secret/data/{prefix}/*" in lacking[Role.APPLIER]
    assert lacking[Role.DEVELOPER] == [f"read on secret/data/{prefix}/*"]
    assert "not ours to see" in checks["mount"].text


def test_a_planner_that_has_to_list_key_by_key_lacks_nothing(server: Server, prefix: str) -> None:
    checks, lacking, _ = surveyed(server, prefix, server.token(PLANNER_OF_VAULT, prefix))
    assert "listed key by key" in checks["records"].text
    assert lacking[Role.PLANNER] == []


def test_a_developer_gets_no_failure(server: Server, prefix: str) -> None:
    told = DEVELOPER + '\npath "sys/capabilities-self" { capabilities = ["update"] }'
    checks, lacking, _ = surveyed(server, prefix, server.token(told, prefix))
    assert not [check for check in checks.values() if check.state is State.FAILED]
    assert "records" not in checks
    assert lacking[Role.DEVELOPER]


def test_a_token_that_ends_soon(server: Server, prefix: str) -> None:
    checks, *_ = surveyed(server, prefix, server.token(APPLIER, prefix, ttl="300s", renewable=False))
    assert checks["token"].state is State.WARNING
    assert "cannot be renewed" in checks["token"].text
    checks, *_ = surveyed(server, prefix, server.token(APPLIER, prefix, ttl="300s"))
    assert checks["token"].state is State.OK


def test_a_token_that_is_none(server: Server, prefix: str) -> None:
    checks, *_ = surveyed(server, prefix, Secret("nobody-at-all"))
    assert list(checks)[-1] == "identity"
    assert checks["identity"].state is State.FAILED
    assert "nobody-at-all" not in checks["identity"].text


@pytest.mark.parametrize(("version", "config"), [("1", None), ("2", {"delete_version_after": "1h"})])
def test_a_mount_that_will_not_do(server: Server, prefix: str, version: str, config: dict[str, str] | None) -> None:
    mount = server.mount(version)
    if config:
        server.do("POST", f"{mount}/config", config)
    checks, *_ = surveyed(server, prefix, mount=mount)
    assert list(checks)[-1] == "mount"
    assert checks["mount"].state is State.FAILED


def test_what_a_mount_wants_is_told(server: Server, prefix: str) -> None:
    mount = server.mount()
    server.do("POST", f"{mount}/config", {"max_versions": 7, "cas_required": True})
    checks, *_ = surveyed(server, prefix, mount=mount)
    assert checks["mount"].text == f"{mount} is KV version 2, keeps 7 versions, cas_required"
    assert checks["records"].text == f"none yet below {mount}/{prefix}"


def test_a_mount_that_is_not_there(server: Server, prefix: str) -> None:
    checks, *_ = surveyed(server, prefix, mount="nowhere")
    assert checks["mount"].hint == "where there is none: vault secrets enable -path=nowhere -version=2 kv"


@pytest.mark.parametrize("server", GENUINE, indirect=True, scope="session")
def test_a_login_is_given_back_and_nothing_is_renewed(server: Server, prefix: str, tmp_path: Path) -> None:
    mount = f"people-{secrets.token_hex(4)}"
    policy = server.policy(APPLIER, prefix)
    set_up = logins.set_up(server, tmp_path / "logins", policy, methods=["userpass"], mounts=[mount])
    login = Login("userpass", mount, username=set_up.username, secret=lambda: set_up.password)
    checks, lacking, asked = surveyed(server, prefix, login, login="userpass")
    assert checks["identity"].text.startswith("signed in by userpass as ")
    assert lacking[Role.APPLIER] == []
    assert {line for line in asked if not line.startswith("GET ")} == {
        f"POST /v1/auth/{mount}/login/ada",
        "POST /v1/sys/capabilities-self",
        "POST /v1/auth/token/revoke-self",
    }


def test_the_whole_command_over_tls_or_not(server: Server, prefix: str, tmp_path: Path) -> None:
    with standing_in() as services:
        program = Program(tmp_path, services.environ)
        program.environ |= {
            "VAULT_ADDR": server.url,
            "VAULT_TOKEN": server.token(APPLIER, prefix).reveal(),
            "REGISTRAR_VAULT_PREFIX": prefix,
        }
        if server.authority:
            program.environ["VAULT_CACERT"] = str(server.authority)
        result = program.call("doctor", "-o", "json")
    found = {(check["subject"], check["id"]): check for check in result.document["checks"]}
    assert (result.code, result.err) == (0, "")
    assert {check["state"] for check in found.values()} == {"ok"}
    assert (("Vault", "tls") in found) is (server.authority is not None)
    if server.authority:
        assert found["Vault", "tls"]["text"].startswith("TLS 1.3, certificate by test, ")


@pytest.mark.parametrize("kind", RAFT)
def test_a_real_server_that_is_sealed_or_has_no_keys_yet(kind: str, tmp_path: Path) -> None:
    with vaults.cluster(kind, tmp_path) as own:
        own.seal()
        checks, *_ = surveyed(own.server, "nexus")
    assert list(checks) == ["address", "clock", "server"]
    assert checks["server"].state is State.FAILED
    assert checks["server"].text.endswith(", sealed")
    assert checks["server"].hint == "vault operator unseal"

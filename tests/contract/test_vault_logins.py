"""Every way to log in, at a real server that has the methods: what gives a token, what is refused, and what is left."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registrar.errors import AccessDenied
from registrar.model import Credential
from registrar.secret import Secret
from registrar.vault import Login, Vault
from tests.cli.manifests import TWO
from tests.cli.program import Program
from tests.cli.services import serving
from tests.contract.logins import Logins, set_up
from tests.contract.vault_wire import Seen, answer, listening
from tests.contract.vaults import APPLIER, RAFT, Cluster, Server, cluster

CREDENTIAL = Credential("c1", Secret("canary-secret-one"))
PREFIX = "nexus"

WAYS: dict[str, Callable[[Logins], Login]] = {
    "approle": lambda ways: Login("approle", role=ways.role_id, secret=lambda: ways.secret_id),
    "approle at pipelines": lambda ways: Login("approle", "pipelines", ways.role_id, secret=lambda: ways.secret_id),
    "jwt": lambda ways: Login("jwt", role=ways.role, secret=ways.id_token),
    "jwt at gitlab, its default role": lambda ways: Login("jwt", "gitlab", secret=ways.id_token),
    "userpass": lambda ways: Login("userpass", username=ways.username, secret=lambda: ways.password),
    "userpass at people": lambda ways: Login(
        "userpass", "people", username=ways.username, secret=lambda: ways.password
    ),
    "cert": lambda _: Login("cert"),
    "cert at machines, by role": lambda ways: Login("cert", "machines", role=ways.role),
}


@pytest.fixture(scope="session", params=RAFT)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(request.param, tmp_path_factory.mktemp("logins")) as running:
        yield running


@pytest.fixture(scope="session")
def ways(own: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Logins:
    return set_up(own.server, tmp_path_factory.mktemp("ways"), own.server.policy(APPLIER, PREFIX))


@pytest.fixture
def server(own: Cluster) -> Server:
    return own.server


@contextlib.contextmanager
def logged_in(server: Server, ways: Logins, login: Login, **options: Any) -> Iterator[Vault]:
    with contextlib.closing(server.client(login, PREFIX, **({"tls": ways.tls(server)} | options))) as vault:
        yield vault


def tokens(server: Server) -> set[str]:
    """The accessors of all tokens that live."""
    return set(server.do("LIST", "auth/token/accessors")["keys"])


@pytest.mark.parametrize("way", WAYS)
def test_every_way_carries_a_run_and_leaves_no_token(server: Server, ways: Logins, way: str) -> None:
    before = tokens(server)
    path = f"app-{secrets.token_hex(4)}"
    with logged_in(server, ways, WAYS[way](ways)) as vault:
        vault.check([path])
        vault.store(path, CREDENTIAL, 0)
        assert vault.read(path) == CREDENTIAL
        (made,) = tokens(server) - before
        found = server.do("POST", "auth/token/lookup-accessor", {"accessor": made})
        assert found["policies"] == [ways.policy]
    # the applier's policy, without `default`, may not end its own token: it ends by itself
    assert tokens(server) - before <= {made}


def test_a_token_is_given_back_where_the_policy_lets_it(server: Server, ways: Logins) -> None:
    server.do("POST", "auth/people/users/ben", {"password": "x", "token_policies": ["default"], "token_ttl": 60})
    before = tokens(server)
    with logged_in(server, ways, Login("userpass", "people", username="ben", secret=lambda: Secret("x"))) as vault:
        with pytest.raises(AccessDenied):
            vault.read("viewer")
        assert len(tokens(server) - before) == 1
    assert tokens(server) == before


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        (lambda ways: Login("approle", role=ways.role_id, secret=lambda: Secret("nope")), "invalid role or secret ID"),
        (lambda _: Login("approle", role="nope", secret=lambda: Secret("nope")), "invalid role or secret ID"),
        (lambda ways: Login("approle", role=ways.role_id), "missing secret_id"),
        (lambda ways: Login("userpass", username="ada", secret=lambda: ways.secret_id), "invalid username or password"),
        (lambda _: Login("userpass", username="ada"), "missing password"),
        (lambda ways: Login("jwt", role="nope", secret=ways.id_token), "could not be found"),
        (lambda ways: Login("jwt", secret=lambda: ways.id_token(aud="x")), "audience"),
        (lambda ways: Login("jwt", secret=lambda: ways.id_token(sub="x")), "bound claim"),
        (lambda ways: Login("jwt", secret=lambda: ways.id_token(exp=1_700_000_000)), "expired"),
        (lambda _: Login("ldap", username="ada", secret=lambda: Secret("x")), "permission denied"),
        (lambda _: Login("cert", role="nope"), ""),
    ],
)
def test_a_refusal_is_told_in_the_server_s_words(
    server: Server, ways: Logins, login: Callable[[Logins], Login], reason: str
) -> None:
    with logged_in(server, ways, login(ways)) as vault, pytest.raises(AccessDenied, match="is refused") as raised:
        vault.store("viewer", CREDENTIAL, 0)
    assert reason in raised.value.message
    assert raised.value.hint
    assert not any(secret.reveal() in str(vars(raised.value)) for secret in (ways.secret_id, ways.password))


def test_a_certificate_that_is_not_shown(server: Server, ways: Logins) -> None:
    refused = pytest.raises(AccessDenied, match="login by cert at auth/cert/login is refused")
    with logged_in(server, ways, Login("cert"), tls=server.tls) as vault, refused as raised:
        vault.read("viewer")
    assert "VAULT_CLIENT_CERT" in raised.value.hint


def test_a_second_login_with_a_secret_id_that_is_used_up(server: Server, ways: Logins) -> None:
    once = Secret(secrets.token_hex(16))
    server.do("POST", "auth/approle/role/ci/custom-secret-id", {"secret_id": once.reveal(), "num_uses": 1})
    login = Login("approle", role=ways.role_id, secret=lambda: once)
    with logged_in(server, ways, login) as vault:
        assert vault.read("nothing") is None
    with (
        logged_in(server, ways, login) as vault,
        pytest.raises(AccessDenied, match="invalid role or secret ID") as raised,
    ):
        vault.read("nothing")
    assert "new secret id" in raised.value.hint


def test_a_token_is_renewed_while_it_lasts_and_got_anew_after_that(server: Server, ways: Logins) -> None:
    """Two seconds of life, six at the longest: within eight seconds it is renewed, and in the end a new one is got."""
    limits = {
        "token_policies": [ways.policy],
        "token_ttl": "2s",
        "token_max_ttl": "6s",
        "token_no_default_policy": True,
    }
    server.do("POST", "auth/people/users/eve", {"password": "x"} | limits)
    asked: list[str] = []

    def trace(_method: str, path: str, status: int | None, _ms: float) -> None:
        asked.append(f"{path} {status}")

    login = Login("userpass", "people", username="eve", secret=lambda: Secret("x"))
    with logged_in(server, ways, login, trace=trace) as vault:
        ends = time.monotonic() + 8
        while time.monotonic() < ends:
            assert vault.read("nothing") is None
            time.sleep(0.1)
    assert asked.count("/v1/auth/token/renew-self 200") >= 2
    assert 2 <= asked.count("/v1/auth/people/login/eve 200") <= 3
    assert not [line for line in asked if line.endswith(" 403") and "/data/" in line]


def test_a_token_that_is_revoked_in_between_is_replaced(server: Server, ways: Logins) -> None:
    path = f"app-{secrets.token_hex(4)}"
    before = tokens(server)
    with logged_in(server, ways, WAYS["approle"](ways)) as vault:
        vault.store(path, CREDENTIAL, 0)
        for accessor in tokens(server) - before:
            server.do("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        assert vault.store(path, CREDENTIAL, 1).version == 2
        assert vault.one(path).current == 2


def test_a_static_token_that_is_revoked_is_said_to_be(server: Server) -> None:
    token = server.token(APPLIER, PREFIX)
    with contextlib.closing(server.client(token, PREFIX)) as vault:
        assert vault.read("nothing") is None
        server.do("POST", "auth/token/revoke", {"token": token.reveal()})
        with pytest.raises(AccessDenied, match="the token has ended or was revoked"):
            vault.read("nothing")


def test_a_namespace_has_logins_of_its_own(server: Server, ways: Logins, tmp_path: Path) -> None:
    namespace = f"team-{secrets.token_hex(4)}"
    server.do("POST", f"sys/namespaces/{namespace}", {})
    server.mount(name="secret", namespace=namespace)
    policy = server.policy(APPLIER, PREFIX, namespace)
    inside = set_up(server, tmp_path, policy, namespace=namespace, methods=("approle",))
    login = Login("approle", role=inside.role_id, secret=lambda: inside.secret_id)
    with logged_in(server, ways, login, namespace=namespace) as vault:
        vault.check(["viewer"])
        assert vault.store("viewer", CREDENTIAL, 0).version == 1
    with logged_in(server, ways, login) as vault, pytest.raises(AccessDenied):
        vault.read("viewer")


def test_a_service_account_of_kubernetes(server: Server, ways: Logins) -> None:
    """The cluster is a script that vouches for one token, as its API does when Vault asks it for a review."""
    account = {"namespace": "apps", "serviceaccount": {"name": "registrar", "uid": "1"}}
    times = {"iat": int(time.time()), "nbf": int(time.time()), "exp": int(time.time()) + 600}
    claims = {"iss": "kubernetes", "kubernetes.io": account} | times
    token = Secret(".".join(_segment(part) for part in ({"alg": "RS256"}, claims, "signature")))
    user = {"username": "system:serviceaccount:apps:registrar", "uid": "1", "groups": []}

    def review(seen: Seen) -> bytes:
        good = json.loads(seen.body)["spec"]["token"] == token.reveal()
        status = {"authenticated": True, "user": user} if good else {"authenticated": False, "error": "no"}
        return answer(201, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})

    with listening(review) as api:
        mount = f"kubernetes-{secrets.token_hex(4)}"
        server.do("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
        assert server.authority
        config = {"kubernetes_host": api.url, "kubernetes_ca_cert": server.authority.read_text()}
        reviewer = {"token_reviewer_jwt": token.reveal(), "disable_local_ca_jwt": True}
        server.do("POST", f"auth/{mount}/config", config | reviewer)
        bound = {"bound_service_account_names": "registrar", "bound_service_account_namespaces": "apps"}
        role = bound | {"token_policies": [ways.policy], "alias_name_source": "serviceaccount_name"}
        server.do("POST", f"auth/{mount}/role/apps", role)
        with logged_in(server, ways, Login("kubernetes", mount, "apps", secret=lambda: token)) as vault:
            assert vault.read("nothing") is None
        other = Login("kubernetes", mount, "other", secret=lambda: token)
        with logged_in(server, ways, other) as vault, pytest.raises(AccessDenied, match="kubernetes"):
            vault.read("nothing")


def _segment(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


# ── the command, as a pipeline runs it ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["approle", "jwt", "userpass", "cert"])
def test_a_pipeline_applies_with_the_login_that_the_repository_declares(
    server: Server, tmp_path: Path, method: str
) -> None:
    assert server.authority
    prefix = f"nexus-{secrets.token_hex(4)}"
    policy = server.policy(APPLIER, prefix)
    own = set_up(server, tmp_path / "ways", policy, methods=(method,), mounts=(policy,))
    with serving() as services:
        environ = {
            "NEXUS_URL": services.running.nexus_url,
            "NEXUS_API_KEY": services.running.sysadmin.api_key,
            "NEXUS_API_SECRET": services.running.sysadmin.api_secret,
            "VAULT_CACERT": str(server.authority),
        }
        secret = {
            "approle": {"VAULT_ROLE_ID": own.role_id, "VAULT_SECRET_ID": own.secret_id.reveal()},
            "jwt": {"VAULT_ID_TOKEN": own.id_token().reveal()},
            "userpass": {"VAULT_PASSWORD": own.password.reveal()},
            "cert": {"VAULT_CLIENT_CERT": str(own.certificate), "VAULT_CLIENT_KEY": str(own.certificate_key)},
        }[method]
        program = Program(tmp_path, environ | secret)
        extra = {"jwt": "role: ci", "userpass": f"username: {own.username}"}.get(method, "")
        program.write(
            "registrar.yaml",
            f"targets:\n  dev:\n    vault_addr: {server.url}\n    vault_prefix: {prefix}\n"
            f"    vault_auth:\n      method: {method}\n      mount: {own.policy}\n"
            + (f"      {extra}\n" if extra else ""),
        )
        program.write("manifests/apps.yaml", TWO)
        result = program.run("apply", "--yes", "-v")
        assert result.code == 0, result.err
        assert f"POST /v1/auth/{own.policy}/login" in result.err
        assert not any(text in result.out + result.err for text in (own.secret_id.reveal(), own.password.reveal()))
        assert program.run("plan", "--detailed-exitcode").code == 0
    keys = server.do("LIST", f"secret/metadata/{prefix}/")["keys"]
    assert keys == [".registrar/", "sensor-catalogue", "viewer"]

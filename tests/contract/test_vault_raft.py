"""What a Vault on raft storage shows of itself behind TLS, sealed, stopped and started, and in a namespace."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from registrar.errors import (
    AccessDenied,
    OutcomeUnknown,
    Sealed,
    ServiceError,
    Unreachable,
    Unsuitable,
    VersionMismatch,
)
from registrar.model import Credential, Facts, Lock, Record
from registrar.secret import Secret
from registrar.vault import Vault
from tests.contract.logins import MOUNTS, Logins, set_up
from tests.contract.vaults import APPLIER, PLANNER, RAFT, Cluster, Server, cluster

CREDENTIAL = Credential("c1", Secret("canary-secret-one"))
OTHER = Credential("c2", Secret("canary-secret-two"))
FACTS = Facts(client_id="c1", version=1, set="twin-platform", name="Viewer", domain="a" * 16)
HELD = Lock(0, "d" * 16, "r" * 16, "host one", 30)

Call = Callable[[Vault], object]
Connect = Callable[..., Vault]
End = Callable[[Cluster], None]

ENDS = [Cluster.stop, Cluster.kill]

QUESTIONS: dict[str, Call] = {
    "check": lambda vault: vault.check(["viewer"]),
    "all": lambda vault: vault.all(),
    "one": lambda vault: vault.one("viewer"),
    "read": lambda vault: vault.read("viewer"),
    "read of a version": lambda vault: vault.read("viewer", 1),
    "credential_with_record": lambda vault: vault.credential_with_record("viewer"),
    "read_secret": lambda vault: vault.read_secret("secret/team/nexus"),
    "lock": lambda vault: vault.lock(),
}
WRITES: dict[str, Call] = {
    "store": lambda vault: vault.store("viewer", OTHER, 1),
    "store of a new record": lambda vault: vault.store("other", OTHER, 0),
    "again": lambda vault: vault.again("viewer", 1),
    "settle": lambda vault: vault.settle("viewer", replace(FACTS, version=2), None),
    "delete_version": lambda vault: vault.delete_version("viewer", 1),
    "undelete": lambda vault: vault.undelete("viewer", 1),
    "write_lock": lambda vault: vault.write_lock(replace(HELD, version=1)),
}


@pytest.fixture(scope="session", params=RAFT)
def only(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(request.param, tmp_path_factory.mktemp("raft")) as running:
        yield running


@pytest.fixture
def own(only: Cluster) -> Iterator[Cluster]:
    """A cluster to seal and stop at will."""
    yield only
    only.start()


@pytest.fixture
def server(own: Cluster) -> Server:
    return own.server


@pytest.fixture
def prefix() -> str:
    return f"nexus-{secrets.token_hex(4)}"


@pytest.fixture
def connect(own: Cluster, prefix: str) -> Iterator[Connect]:
    opened: list[Vault] = []

    def open_vault(server: Server = own.server, **options: Any) -> Vault:
        opened.append(server.client(**({"prefix": prefix} | options)))
        return opened[-1]

    yield open_vault
    for vault in opened:
        vault.close()


@pytest.fixture
def vault(connect: Connect) -> Vault:
    """A client of a prefix with one settled record and a lock that is held."""
    vault = connect()
    vault.store("viewer", CREDENTIAL, 0)
    vault.settle("viewer", FACTS, None)
    vault.write_lock(HELD)
    return vault


@dataclass(frozen=True)
class Kept:
    """All that is below the prefix."""

    records: tuple[Record, ...]
    credential: Credential | None
    lock: Lock | None


def kept(vault: Vault) -> Kept:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    records = tuple(replace(record, seen_at=moment) for record in vault.all().records)
    return Kept(records, vault.read("viewer"), vault.lock())


class TestSealed:
    def test_nothing_is_told_and_nothing_changes(self, own: Cluster, vault: Vault) -> None:
        before = kept(vault)
        own.seal()
        for name, call in (QUESTIONS | WRITES).items():
            with pytest.raises(Sealed, match="Vault is sealed") as raised:
                call(vault)
                pytest.fail(f"{name} is answered by a sealed Vault")
            assert "unseal" in raised.value.hint, name
        own.unseal()
        assert kept(vault) == before
        with pytest.raises(VersionMismatch):
            vault.store("viewer", OTHER, 0)
        assert vault.store("viewer", OTHER, 1).version == 2

    def test_it_may_start_so(self, own: Cluster, vault: Vault) -> None:
        own.stop()
        assert own.launch()
        with pytest.raises(Sealed):
            vault.check(["viewer"])
        own.unseal()
        vault.check(["viewer"])


class TestStopped:
    @pytest.mark.parametrize("end", ENDS)
    def test_nothing_is_sent(self, own: Cluster, vault: Vault, connect: Connect, end: End) -> None:
        """Neither by a client that kept its connection nor by one that has none."""
        before = kept(vault)
        hasty = connect(timeout_s=0.2)  # else every question waits and is asked again
        hasty.lock()
        end(own)
        for client in (hasty, connect(timeout_s=0.2)):
            for name, call in (QUESTIONS | WRITES).items():
                with pytest.raises(Unreachable, match=r"no connection to Vault at https://.*refused") as raised:
                    call(client)
                    pytest.fail(f"{name} is answered by nobody")
                assert "VAULT_ADDR" in raised.value.hint, name
        own.start()
        assert kept(vault) == before

    @pytest.mark.parametrize("end", ENDS)
    def test_all_of_it_is_there_again(
        self, own: Cluster, vault: Vault, connect: Connect, prefix: str, end: End
    ) -> None:
        applier = connect(token=own.server.token(APPLIER, prefix))
        before = kept(vault)
        end(own)
        own.start()
        assert kept(vault) == kept(applier) == before
        applier.check(["viewer"])
        with pytest.raises(VersionMismatch):
            applier.store("viewer", OTHER, 0)
        assert applier.store("viewer", OTHER, 1).version == 2

    @pytest.mark.parametrize("end", ENDS)
    def test_a_lock_outlives_it(self, own: Cluster, vault: Vault, connect: Connect, end: End) -> None:
        end(own)
        own.start()
        onlooker = connect()
        seen = onlooker.lock()
        assert seen == replace(HELD, version=1)
        with pytest.raises(VersionMismatch):
            onlooker.write_lock(replace(HELD, run="s" * 16, holder="host two"))
        renewed = vault.write_lock(seen)
        over = onlooker.write_lock(replace(renewed, run="s" * 16, holder="host two"))
        with pytest.raises(VersionMismatch):
            vault.write_lock(renewed)
        assert vault.lock() == over == Lock(3, "d" * 16, "s" * 16, "host two", 30)


@pytest.mark.parametrize("end", [Cluster.seal, *ENDS])
def test_writers_who_are_cut_off_know_what_is_stored(own: Cluster, connect: Connect, end: End) -> None:
    """What was answered is stored; what is in doubt may be; what was refused or never sent is not."""
    vault = connect()
    for number in range(8):
        vault.store(f"app-{number}", CREDENTIAL, 0)
    with ThreadPoolExecutor(8) as pool:
        writers = {path: pool.submit(_write_on, vault, path) for path in (f"app-{number}" for number in range(8))}
        time.sleep(0.3)
        end(own)
        cut_off = {path: writer.result() for path, writer in writers.items()}
    own.start()
    assert max(version for version, _ in cut_off.values()) > 1
    for path, (version, error) in cut_off.items():
        doubt = isinstance(error, OutcomeUnknown)
        assert vault.one(path).current - version in ({0, 1} if doubt else {0}), (path, error)


def _write_on(vault: Vault, path: str) -> tuple[int, ServiceError]:
    """The last version that was answered, and what came instead of the next one."""
    ends, version = time.monotonic() + 20, 1
    while time.monotonic() < ends:
        try:
            version = vault.store(path, CREDENTIAL, version).version
        except ServiceError as error:
            return version, error
    raise AssertionError(f"{path} is written for 20 s, and nobody stops it")


class TestTls:
    def test_an_authority_that_nobody_trusts(self, vault: Vault, connect: Connect) -> None:
        before = kept(vault)
        stranger = connect(tls=None)
        for name, call in {"check": QUESTIONS["check"], "read": QUESTIONS["read"], **WRITES}.items():
            with pytest.raises(Unreachable, match="certificate of") as raised:
                call(stranger)
                pytest.fail(f"{name} is sent to anybody")
            assert "VAULT_CACERT" in raised.value.hint, name
        assert kept(vault) == before

    def test_another_name_than_the_certificate_has(self, server: Server, connect: Connect) -> None:
        by_name = replace(server, url=server.url.replace("127.0.0.1", "localhost"))
        for call in (QUESTIONS["read"], WRITES["store"]):
            with pytest.raises(Unreachable, match=r"certificate of .*localhost.* for 'localhost'"):
                call(connect(by_name))

    def test_no_tls_where_there_should_be(self, vault: Vault, server: Server, connect: Connect) -> None:
        before = kept(vault)
        plain = connect(replace(server, url=server.url.replace("https:", "http:")))
        # it answers 400 and closes with our bytes unread, so that a reset may overtake the answer
        for name, call in (QUESTIONS | WRITES).items():
            with pytest.raises(
                (Unsuitable, Unreachable) if name in QUESTIONS else (Unsuitable, OutcomeUnknown)
            ) as raised:
                call(plain)
                pytest.fail(f"{name} is sent as plain text")
            assert "VAULT_ADDR" in raised.value.hint or type(raised.value) is OutcomeUnknown, name
        assert kept(vault) == before


@pytest.fixture(scope="session")
def team(only: Cluster) -> str:
    """A namespace with a KV mount of the same name as the one outside."""
    if only.server.call("POST", "sys/namespaces/team", {})[0] != 200:
        pytest.skip("this server has no namespaces")
    only.server.mount(name="secret", namespace="team")
    return "team"


class TestNamespaces:
    def test_one_prefix_in_two_places(self, vault: Vault, connect: Connect, team: str) -> None:
        before = kept(vault)
        inside = connect(namespace=team)
        assert kept(inside) == Kept((), None, None)
        inside.check(["viewer"])
        inside.store("viewer", OTHER, 0)
        inside.store("other", CREDENTIAL, 0)
        inside.write_lock(replace(HELD, domain="e" * 16))
        assert kept(vault) == before
        assert [record.path for record in inside.all().records] == ["other", "viewer"]
        assert inside.read("viewer") == OTHER

    def test_the_policies_of_inside(self, own: Cluster, connect: Connect, prefix: str, team: str) -> None:
        applier, planner = (
            connect(namespace=team, token=own.server.token(policy, prefix, team)) for policy in (APPLIER, PLANNER)
        )
        applier.check(["viewer"])
        applier.store("viewer", CREDENTIAL, 0)
        assert [record.path for record in planner.all().records] == ["viewer"]
        with pytest.raises(AccessDenied):
            planner.read("viewer")

    def test_a_token_of_the_other_side(
        self, own: Cluster, vault: Vault, connect: Connect, prefix: str, team: str
    ) -> None:
        before = kept(vault)
        for made, used in ((team, ""), ("", team)):
            stranger = connect(namespace=used, token=own.server.token(APPLIER, prefix, made))
            for name, call in (QUESTIONS | WRITES).items():
                with pytest.raises(AccessDenied):
                    call(stranger)
                    pytest.fail(f"{name} is done for a token of {made or 'outside'}")
        assert kept(vault) == before

    def test_they_outlive_a_stop(self, own: Cluster, connect: Connect, team: str) -> None:
        inside = connect(namespace=team)
        inside.store("viewer", CREDENTIAL, 0)
        own.stop()
        own.start()
        assert inside.read("viewer") == CREDENTIAL
        with pytest.raises(VersionMismatch):
            inside.store("viewer", OTHER, 0)


def test_a_planner_reads_no_secret(own: Cluster, vault: Vault, connect: Connect, prefix: str) -> None:
    planner = connect(token=own.server.token(PLANNER, prefix))
    assert planner.all().records[0].facts == planner.one("viewer").facts == FACTS
    assert planner.lock() == vault.lock()
    before = kept(vault)
    for name in ("read", "read of a version", "credential_with_record", *WRITES):
        with pytest.raises(AccessDenied):
            (QUESTIONS | WRITES)[name](planner)
            pytest.fail(f"a planner may {name}")
    assert kept(vault) == before


@pytest.fixture(scope="session")
def ways(only: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Logins:
    return set_up(only.server, tmp_path_factory.mktemp("logins"), only.server.policy(PLANNER, "nexus"))


class TestLogins:
    """What the suite sets up for others to log in with is what a server takes."""

    @pytest.mark.parametrize("mount", sorted(chain(*MOUNTS.values())))
    def test_every_way_gives_a_token(self, server: Server, ways: Logins, mount: str) -> None:
        nobody = replace(server, root=Secret(""), tls=ways.tls(server))
        answer = nobody.do("POST", *_login(ways, mount))
        assert answer["auth"]["policies"] == [ways.policy]
        assert answer["auth"]["lease_duration"] == ways.ttl_s

    @pytest.mark.parametrize("claims", [{"sub": "project_path:x"}, {"aud": "x"}, {"exp": 1_700_000_000}, {"iss": "x"}])
    def test_an_id_token_of_somebody_else(self, server: Server, ways: Logins, claims: dict[str, object]) -> None:
        id_token = ways.id_token(**claims).reveal()
        assert server.call("POST", "auth/jwt/login", {"role": ways.role, "jwt": id_token})[0] in {400, 403}

    def test_a_connection_without_the_certificate(self, server: Server, ways: Logins) -> None:
        assert server.call("POST", "auth/cert/login", {"name": ways.role})[0] in {400, 403}

    def test_a_namespace_has_its_own(self, server: Server, team: str, tmp_path: Path) -> None:
        policy = server.policy(PLANNER, "nexus", team)
        inside = set_up(server, tmp_path, policy, namespace=team, methods=("approle", "userpass"))
        nobody = replace(server, root=Secret(""))
        for mount in ("approle", "pipelines", "userpass", "people"):
            assert nobody.do("POST", *_login(inside, mount), team)["auth"]["policies"] == [policy]
            assert nobody.call("POST", *_login(inside, mount))[0] in {400, 403}


def _login(ways: Logins, mount: str) -> tuple[str, dict[str, str]]:
    """Path and body of the login at a mount."""
    (method,) = (method for method, mounts in MOUNTS.items() if mount in mounts)
    if method == "approle":
        return f"auth/{mount}/login", {"role_id": ways.role_id, "secret_id": ways.secret_id.reveal()}
    if method == "userpass":
        return f"auth/{mount}/login/{ways.username}", {"password": ways.password.reveal()}
    if method == "jwt":
        return f"auth/{mount}/login", {"role": ways.role, "jwt": ways.id_token().reveal()}
    return f"auth/{mount}/login", {"name": ways.role}

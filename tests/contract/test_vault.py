"""What registrar relies on in Vault, against the stand-in and, where its program is on PATH, a real server."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registrar.errors import (
    AccessDenied,
    Missing,
    Rejected,
    ServiceError,
    Unsuitable,
    UsageError,
    VersionMismatch,
)
from registrar.model import Credential, Facts, Former, Kind, Lock, Record, State
from registrar.ports import Records
from registrar.secret import Secret
from registrar.vault import Vault, listing
from tests.contract.vaults import APPLIER, DEVELOPER, GENUINE, KINDS, PLANNER, PLANNER_OF_VAULT, Server, running

CREDENTIAL = Credential("c1", Secret("canary-secret-one"))
OTHER = Credential("c2", Secret("canary-secret-two"))
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FACTS = Facts(
    client_id="c1",
    version=1,
    set="twin-platform",
    name="Größe 原子",
    nexus="https://nexus.example.org",
    redirect_uri="https://viewer.example.org/oauth/callback",
    base_url="https://viewer.example.org",
    owner="twin-team@example.org",
    frontend="https://nexus.example.org",
    domain="a" * 16,
    fingerprint="name:01234567",
    protected=True,
    registered_at=MOMENT,
    rotated_at=MOMENT,
    proven_at=MOMENT,
    retiring=Former("c0", 1, MOMENT),
    leaving=Former("c9", 2, MOMENT),
    state=State.ADOPTING,
    others=(("team", "twins"),),
)

Connect = Callable[..., Vault]


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(request.param, tmp_path_factory.mktemp("vault")) as running_server:
        yield running_server


@pytest.fixture
def prefix() -> str:
    return f"nexus-{secrets.token_hex(4)}"


@pytest.fixture
def connect(server: Server, prefix: str) -> Iterator[Connect]:
    opened: list[Vault] = []

    def open_vault(token: Secret | None = None, **options: Any) -> Vault:
        vault = server.client(token, **({"prefix": prefix} | options))
        opened.append(vault)
        return vault

    yield open_vault
    for vault in opened:
        vault.close()


@pytest.fixture
def vault(connect: Connect) -> Vault:
    return connect()


def test_it_is_what_reconcile_asks_for(vault: Vault) -> None:
    records: Records = vault
    assert records.lock() is None


class TestData:
    def test_versions_are_read_by_number(self, vault: Vault) -> None:
        first = vault.store("viewer", CREDENTIAL, 0)
        second = vault.store("viewer", OTHER, 1)
        assert (first.version, second.version) == (1, 2)
        assert timedelta(0) <= second.at - first.at < timedelta(minutes=1)
        assert vault.read("viewer") == vault.read("viewer", 2) == OTHER
        assert vault.read("viewer", 1) == CREDENTIAL
        assert vault.read("viewer", 3) is None
        assert vault.read("nothing") is None

    def test_data_holds_the_credential_and_nothing_else(self, vault: Vault, server: Server, prefix: str) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        data = server.do("GET", f"secret/data/{prefix}/viewer")["data"]
        assert data == {"client_id": "c1", "client_secret": "canary-secret-one"}

    @pytest.mark.parametrize("cas", [0, 2, 7, -1])
    def test_any_other_version_is_refused(self, vault: Vault, cas: int) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        with pytest.raises(VersionMismatch):
            vault.store("viewer", OTHER, cas)
        assert vault.read("viewer") == CREDENTIAL
        assert vault.one("viewer").current == 1

    def test_a_null_never_takes_the_place_of_the_number(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        with pytest.raises(TypeError):
            vault.store("viewer", OTHER, None)  # type: ignore[arg-type]
        assert vault.read("viewer") == CREDENTIAL

    def test_one_of_many_writers_wins(self, vault: Vault) -> None:
        def write(number: int) -> int | None:
            try:
                vault.store("viewer", Credential(f"c{number}", Secret(f"s{number}")), 0)
            except VersionMismatch:
                return None
            return number

        with ThreadPoolExecutor(16) as pool:
            winners = [number for number in pool.map(write, range(64)) if number is not None]
        assert len(winners) == 1
        assert vault.read("viewer") == Credential(f"c{winners[0]}", Secret(f"s{winners[0]}"))

    @pytest.mark.parametrize(
        "data",
        [{}, {"client_id": "c1"}, {"client_id": "c1", "client_secret": 5}, {"client_id": "c1", "client_secret": ""}],
    )
    def test_what_is_no_credential_reads_as_none(
        self, vault: Vault, server: Server, prefix: str, data: dict[str, Any]
    ) -> None:
        server.do("POST", f"secret/data/{prefix}/viewer", {"data": data})
        assert vault.read("viewer") is None
        assert vault.credential_with_record("viewer")[0] is None

    def test_a_version_without_content(self, vault: Vault) -> None:
        assert vault.store("viewer", None, 0).version == 1
        assert vault.read("viewer") is None
        assert vault.one("viewer").living

    def test_names_that_need_quoting(self, vault: Vault) -> None:
        paths = ["a b", "größe 原子", "50%2Foff", "what?", "a#b", "a+b&c=d", "sub/a:b"]
        for path in paths:
            vault.store(path, Credential(path, Secret("s")), 0)
        assert [record.path for record in vault.all().records] == sorted(paths)
        for path in paths:
            read = vault.read(path)
            assert read is not None
            assert read.client_id == path

    @pytest.mark.parametrize("path", ["", "a/../b", "..", "./a", "a//b", "/a", "a/", ".registrar/lock"])
    def test_what_is_no_path_is_never_sent(self, connect: Connect, path: str) -> None:
        sent: list[str] = []
        vault = connect(trace=lambda _method, path, _status, _ms: sent.append(path))
        for call in (vault.read, vault.one, lambda path: vault.store(path, CREDENTIAL, 0), lambda p: vault.again(p, 1)):
            with pytest.raises(UsageError):
                call(path)
        assert sent == []


class TestAgain:
    def test_the_version_is_written_as_it_is(self, vault: Vault, server: Server, prefix: str) -> None:
        content = {"client_id": "c1", "client_secret": "s", "extra": {"list": ["x", 1, None, True]}}
        server.do("POST", f"secret/data/{prefix}/viewer", {"data": content})
        assert vault.again("viewer", 1).version == 2
        assert server.do("GET", f"secret/data/{prefix}/viewer")["data"] == content

    def test_only_the_current_version(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.store("viewer", OTHER, 1)
        with pytest.raises(VersionMismatch):
            vault.again("viewer", 1)
        assert vault.one("viewer").current == 2

    def test_a_version_that_was_evicted(self, vault: Vault, server: Server, prefix: str) -> None:
        server.do("POST", f"secret/metadata/{prefix}/viewer", {"max_versions": 2})
        for cas in range(3):
            vault.store("viewer", CREDENTIAL, cas)
        with pytest.raises(VersionMismatch):
            vault.again("viewer", 1)

    def test_a_version_that_cannot_be_read(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.delete_version("viewer", 1)
        with pytest.raises(Missing):
            vault.again("viewer", 1)
        with pytest.raises(VersionMismatch):
            vault.again("nothing", 1)


class TestLives:
    def test_a_version_is_deleted_by_its_number(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.store("viewer", OTHER, 1)
        vault.delete_version("viewer", 1)
        assert vault.read("viewer", 1) is None
        assert vault.read("viewer") == OTHER
        record = vault.one("viewer")
        assert record.deleted(1)
        assert record.living
        vault.undelete("viewer", 1)
        assert vault.read("viewer", 1) == CREDENTIAL

    def test_the_next_write_names_the_deleted_version(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.delete_version("viewer", 1)
        with pytest.raises(VersionMismatch):
            vault.store("viewer", OTHER, 0)
        assert vault.store("viewer", OTHER, 1).version == 2

    def test_what_is_not_there_is_not_deleted(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        for path, version in (("viewer", 9), ("nothing", 1)):
            with pytest.raises(Missing):
                vault.delete_version(path, version)
            with pytest.raises(Missing):
                vault.undelete(path, version)

    def test_what_is_destroyed_stays_so(self, vault: Vault, server: Server, prefix: str) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        server.do("POST", f"secret/destroy/{prefix}/viewer", {"versions": [1]})
        assert vault.read("viewer") is None
        assert vault.one("viewer").deleted(1)
        with pytest.raises(Rejected):
            vault.undelete("viewer", 1)

    def test_a_deletion_to_come_is_no_deletion(self, vault: Vault, server: Server, prefix: str) -> None:
        server.do("POST", f"secret/metadata/{prefix}/viewer", {"delete_version_after": "90h1m"})
        vault.store("viewer", CREDENTIAL, 0)
        record = vault.one("viewer")
        version = record.version(1)
        assert version is not None
        assert version.deletes_at is not None
        assert version.deletes_at > record.seen_at
        assert record.living
        assert record.delete_after_s == 90 * 3600 + 60

    def test_only_so_many_versions_are_kept(self, vault: Vault, server: Server, prefix: str) -> None:
        server.do("POST", f"secret/metadata/{prefix}/viewer", {"max_versions": 2})
        for cas in range(4):
            vault.store("viewer", CREDENTIAL, cas)
        record = vault.one("viewer")
        assert record.max_versions == 2
        assert [version.number for version in record.versions] == [3, 4]
        assert vault.read("viewer", 1) is None


class TestFacts:
    def test_they_come_back_as_they_were(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.settle("viewer", FACTS, None)
        record = vault.one("viewer")
        assert record.facts == FACTS
        assert record.kind is Kind.SETTLED
        assert record.others == ()
        assert abs(datetime.now(UTC) - record.seen_at) < timedelta(minutes=5)

    def test_they_come_with_the_data(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.settle("viewer", FACTS, None)
        credential, record = vault.credential_with_record("viewer")
        assert credential == CREDENTIAL
        whole = vault.one("viewer")
        assert record == replace(whole, seen_at=record.seen_at, metadata_version=None)

    def test_they_come_with_a_deleted_version(self, vault: Vault) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.settle("viewer", FACTS, None)
        vault.delete_version("viewer", 1)
        credential, record = vault.credential_with_record("viewer")
        assert credential is None
        assert record.facts == FACTS
        assert record.kind is Kind.WITHDRAWN

    def test_before_any_data(self, vault: Vault) -> None:
        vault.settle("viewer", Facts(state=State.EMPTY), None)
        assert vault.one("viewer").kind is Kind.EMPTY
        assert vault.store("viewer", CREDENTIAL, 0).version == 1
        assert vault.one("viewer").kind is Kind.UNSETTLED

    def test_nothing_and_somebody_elses(self, vault: Vault, server: Server, prefix: str) -> None:
        assert vault.one("viewer").kind is Kind.NONE
        assert vault.credential_with_record("viewer")[1].kind is Kind.NONE
        server.do("POST", f"secret/metadata/{prefix}/viewer", {"custom_metadata": {"team": "twins"}})
        server.do("POST", f"secret/data/{prefix}/viewer", {"data": {"client_id": "x"}})
        record = vault.one("viewer")
        assert record.kind is Kind.FOREIGN
        assert record.others == (("team", "twins"),)

    def test_the_operators_choices_stay(self, vault: Vault, server: Server, prefix: str) -> None:
        """hvac's update_metadata would set delete_version_after to 0s."""
        chosen = {"max_versions": 7, "delete_version_after": "72h", "cas_required": True}
        server.do("POST", f"secret/metadata/{prefix}/viewer", chosen)
        vault.settle("viewer", FACTS, None)
        metadata = server.do("GET", f"secret/metadata/{prefix}/viewer")
        assert {key: metadata[key] for key in chosen} == chosen | {"delete_version_after": "72h0m0s"}

    def test_a_value_that_vault_refuses(self, vault: Vault) -> None:
        with pytest.raises(Rejected) as refused:
            vault.settle("viewer", replace(FACTS, name="x" * 513), None)
        assert type(refused.value) is Rejected
        assert "513" in refused.value.message

    def test_the_metadata_version_guards_them(self, vault: Vault) -> None:
        vault.settle("viewer", FACTS, None)
        seen = vault.one("viewer").metadata_version
        if seen is None:
            pytest.skip("this server has no metadata_cas")
        vault.settle("viewer", FACTS, seen)
        with pytest.raises(VersionMismatch):
            vault.settle("viewer", FACTS, seen)

    def test_a_mount_that_requires_it(self, connect: Connect, server: Server) -> None:
        mount = server.mount()
        server.do("POST", f"{mount}/config", {"metadata_cas_required": True})
        vault = connect(mount=mount)
        vault.settle("viewer", FACTS, None)
        vault.settle("viewer", replace(FACTS, version=2), None)
        facts = vault.one("viewer").facts
        assert facts is not None
        assert facts.version == 2


class TestLock:
    def test_taken_renewed_taken_over_released(self, vault: Vault, server: Server, prefix: str) -> None:
        assert vault.lock() is None
        taken = vault.write_lock(Lock(0, "d" * 16, "r" * 16, "host one", 30))
        assert vault.lock() == taken == Lock(1, "d" * 16, "r" * 16, "host one", 30)
        with pytest.raises(VersionMismatch):
            vault.write_lock(Lock(0, "e" * 16, "s" * 16, "host two"))
        renewed = vault.write_lock(taken)
        over = vault.write_lock(replace(renewed, run="s" * 16, holder="host two"))
        with pytest.raises(VersionMismatch):
            vault.write_lock(renewed)
        vault.write_lock(replace(over, run="", holder=""))
        assert vault.lock() == Lock(4, "d" * 16)
        assert set(server.do("GET", f"secret/data/{prefix}/.registrar/lock")["data"]) == {"domain", "lease"}

    def test_one_of_many_takes_over(self, vault: Vault) -> None:
        seen = vault.write_lock(Lock(0, "d" * 16, "r" * 16, "gone"))

        def take(number: int) -> int:
            try:
                vault.write_lock(replace(seen, holder=f"host {number}"))
            except VersionMismatch:
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, range(32))) == 1

    def test_a_deleted_one_still_has_its_version(self, vault: Vault, server: Server, prefix: str) -> None:
        vault.write_lock(Lock(0, "d" * 16, "r" * 16, "host"))
        server.do("DELETE", f"secret/data/{prefix}/.registrar/lock")
        seen = vault.lock()
        assert seen == Lock(1, "")
        assert seen is not None
        assert vault.write_lock(replace(seen, domain="d" * 16)).version == 2

    @pytest.mark.parametrize(("written", "lease_s"), [(45, 45), ("45", 45), ("soon", 30), (None, 30)])
    def test_leases_as_others_write_them(
        self, vault: Vault, server: Server, prefix: str, written: object, lease_s: int
    ) -> None:
        data = {"domain": "d", "run": 7, "lease": written}
        server.do("POST", f"secret/data/{prefix}/.registrar/lock", {"data": data})
        assert vault.lock() == Lock(1, "d", "", "", lease_s)


class TestListing:
    def fill(self, vault: Vault, server: Server, prefix: str) -> None:
        for path in ("viewer", "-a", "sub/one", "sub/deep/two", "dir"):
            vault.store(path, CREDENTIAL, 0)
            vault.settle(path, replace(FACTS, name=path), None)
        vault.store("dir/three", None, 0)
        vault.settle("only-facts", FACTS, None)
        vault.delete_version("viewer", 1)
        vault.write_lock(Lock(0, "d" * 16))
        for path in ("nested/.registrar/lock", "nested/theirs", "sub/nested/.registrar/lock"):
            server.do("POST", f"secret/data/{prefix}/{path}", {"data": {"domain": "e"}})

    def test_every_record_and_no_other_prefix(self, vault: Vault, server: Server, prefix: str) -> None:
        self.fill(vault, server, prefix)
        folder = vault.all()
        paths = ["-a", "dir", "dir/three", "only-facts", "sub/deep/two", "sub/one", "viewer"]
        assert [record.path for record in folder.records] == paths
        assert folder.nested == ("nested", "sub/nested")
        assert [record.kind for record in folder.records if record.path == "viewer"] == [Kind.WITHDRAWN]

    def test_at_once_and_key_by_key_are_the_same(
        self, vault: Vault, connect: Connect, server: Server, prefix: str
    ) -> None:
        self.fill(vault, server, prefix)
        sent: list[str] = []
        plain = connect(
            server.token(PLANNER_OF_VAULT, prefix), trace=lambda _method, path, _status, _ms: sent.append(path)
        )
        slow, fast = plain.all(), vault.all()
        assert slow.nested == fast.nested
        assert [_timeless(record) for record in slow.records] == [_timeless(record) for record in fast.records]
        assert sum("detailed-metadata" in path for path in sent) == 1

    def test_pages(self, vault: Vault, server: Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fill(vault, server, prefix)
        whole = vault.all()
        for size in (1, 2, 3):
            monkeypatch.setattr(listing, "PAGE", size)
            paged = vault.all()
            assert paged.nested == whole.nested
            assert [_timeless(record) for record in paged.records] == [_timeless(record) for record in whole.records]

    def test_a_large_folder_is_read_from_several_places(
        self, vault: Vault, connect: Connect, server: Server, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(25):
            vault.store(f"app-{number:02d}", CREDENTIAL, 0)
        vault.store("app-11-team/one", CREDENTIAL, 0)
        whole = vault.all()
        assert len(whole.records) == 26
        monkeypatch.setattr(listing, "PAGE", 3)
        names, pages = f"/v1/secret/metadata/{prefix}", f"/v1/secret/detailed-metadata/{prefix}"
        without_names = PLANNER.replace('["read", "list"]', '["read"]')
        for policy, listed in ((PLANNER, 200), (without_names, 403)):
            sent: list[tuple[str, int | None]] = []
            token = server.token(policy, prefix)
            planner = connect(token, trace=lambda _method, path, status, _ms, told=sent: told.append((path, status)))
            assert [_timeless(record) for record in planner.all().records] == [
                _timeless(record) for record in whole.records
            ]
            assert sent.count((names, listed)) == 1
            assert 9 <= sent.count((pages, 200)) <= 9 + listing._PLACES

    def test_a_folder_of_its_own_may_be_closed_to_us(self, connect: Connect, server: Server, prefix: str) -> None:
        closed = f'path "secret/metadata/PREFIX/nested/theirs" {{ capabilities = ["deny"] }}\n{PLANNER_OF_VAULT}'
        for path in ("nested/.registrar/lock", "nested/theirs"):
            server.do("POST", f"secret/data/{prefix}/{path}", {"data": {"domain": "e"}})
        assert connect(server.token(closed, prefix)).all().nested == ("nested",)

    def test_nothing_yet(self, vault: Vault, connect: Connect, server: Server, prefix: str) -> None:
        assert vault.all() == connect(server.token(PLANNER, prefix)).all()
        assert vault.all().records == ()

    def test_a_refusal_is_not_nothing(self, connect: Connect, server: Server, prefix: str) -> None:
        with pytest.raises(AccessDenied, match=f"list on secret/metadata/{prefix}"):
            connect(server.token(DEVELOPER, prefix)).all()
        with pytest.raises(AccessDenied):
            connect(Secret("nobody")).all()

    def test_a_mount_that_is_not_ours(self, connect: Connect, server: Server) -> None:
        with pytest.raises(Unsuitable, match="ignores check-and-set"):
            connect(mount=server.mount("1")).all()
        with pytest.raises(ServiceError):
            connect(mount="nowhere").all()

    def test_a_whole_mount(self, connect: Connect, server: Server) -> None:
        vault = connect(mount=server.mount(), prefix="")
        vault.store("a/b", CREDENTIAL, 0)
        vault.write_lock(Lock(0, "d"))
        assert [record.path for record in vault.all().records] == ["a/b"]


def _timeless(record: Record) -> Record:
    return replace(record, seen_at=MOMENT)


class TestPolicies:
    def test_a_planner_sees_everything_but_secrets(
        self, vault: Vault, connect: Connect, server: Server, prefix: str
    ) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.settle("viewer", FACTS, None)
        vault.write_lock(Lock(0, "d"))
        planner = connect(server.token(PLANNER, prefix))
        assert [record.facts for record in planner.all().records] == [FACTS]
        assert planner.one("viewer").facts == FACTS
        assert planner.lock() == vault.lock()
        for path in ("viewer", "nothing"):
            with pytest.raises(AccessDenied, match=f"read on secret/data/{prefix}/{path}"):
                planner.read(path)
        with pytest.raises(AccessDenied, match=f"create and update on secret/data/{prefix}/viewer"):
            planner.store("viewer", OTHER, 1)

    def test_a_developer_needs_one_path(self, vault: Vault, connect: Connect, server: Server, prefix: str) -> None:
        vault.store("viewer", CREDENTIAL, 0)
        vault.settle("viewer", FACTS, None)
        developer = connect(server.token(DEVELOPER, prefix))
        credential, record = developer.credential_with_record("viewer")
        assert credential == CREDENTIAL
        assert record.facts == FACTS
        with pytest.raises(AccessDenied):
            developer.one("viewer")
        with pytest.raises(AccessDenied):
            developer.read("other")

    def test_an_applier_does_all_of_it(self, connect: Connect, server: Server, prefix: str) -> None:
        applier = connect(server.token(APPLIER, prefix))
        applier.check(["viewer"])
        taken = applier.write_lock(Lock(0, "d"))
        applier.store("viewer", CREDENTIAL, 0)
        applier.settle("viewer", FACTS, None)
        applier.again("viewer", 1)
        applier.delete_version("viewer", 2)
        applier.undelete("viewer", 2)
        applier.write_lock(taken)
        assert [record.current for record in applier.all().records] == [2]


class TestReadSecret:
    @pytest.mark.parametrize("version", ["1", "2"])
    def test_of_either_version(self, vault: Vault, server: Server, version: str) -> None:
        mount = server.mount(version)
        content = {"api_key": "canary-key", "api_secret": "canary-api-secret", "number": 5}
        path = f"{mount}/data/team/nexus" if version == "2" else f"{mount}/team/nexus"
        server.do("POST", path, {"data": content} if version == "2" else content)
        found = vault.read_secret(f"{mount}/team/nexus")
        assert found == {"api_key": Secret("canary-key"), "api_secret": Secret("canary-api-secret")}
        with pytest.raises(Missing):
            vault.read_secret(f"{mount}/team/nothing")

    def test_where_there_is_no_mount(self, vault: Vault) -> None:
        with pytest.raises(AccessDenied, match="no mount at nowhere/at/all"):
            vault.read_secret("nowhere/at/all")


class TestCheck:
    def test_all_is_well(self, vault: Vault) -> None:
        vault.check([])
        vault.check(["viewer", "sub/one"])
        vault.check([f"app-{number}" for number in range(1200)])

    def test_what_a_planner_lacks(self, connect: Connect, server: Server, prefix: str) -> None:
        planner = PLANNER + 'path "secret/config" { capabilities = ["read"] }'
        with pytest.raises(AccessDenied) as refused:
            connect(server.token(planner, prefix)).check([f"app-{number}" for number in range(20)])
        message = refused.value.message
        assert f"create and update on secret/data/{prefix}/.registrar/lock" in message
        assert f"create and update and read on secret/data/{prefix}/app-0" in message
        assert f"create and update on secret/metadata/{prefix}/app-0" in message
        assert "and 51 more" in message
        assert "applier" in refused.value.hint

    def test_a_version_that_nobody_may_bring_back(self, connect: Connect, server: Server, prefix: str) -> None:
        policy = "\n".join(line for line in APPLIER.splitlines() if "/undelete/" not in line)
        applier = connect(server.token(policy, prefix))
        applier.check(["viewer"])
        with pytest.raises(AccessDenied, match=f"lacks update on secret/undelete/{prefix}/viewer"):
            applier.check(["viewer"], ["viewer"])

    def test_a_folder_that_cannot_be_listed(self, connect: Connect, server: Server, prefix: str) -> None:
        policy = APPLIER.replace('"update", "list"]', '"update"]')
        with pytest.raises(AccessDenied, match=f"lacks list on secret/metadata/{prefix}/"):
            connect(server.token(policy, prefix)).check(["viewer"])

    def test_a_token_that_ends_soon(self, connect: Connect, server: Server, prefix: str) -> None:
        for limit in ({"renewable": False}, {"explicit_max_ttl": "30s"}):
            with pytest.raises(AccessDenied, match=r"ends in (30|29|28) s, and this run may need 61 s"):
                connect(server.token(APPLIER, prefix, ttl="30s", **limit)).check(["viewer"])

    def test_a_token_that_ends_soon_and_can_be_renewed(self, connect: Connect, server: Server, prefix: str) -> None:
        token = server.token(APPLIER, prefix, ttl="30s")
        connect(token).check(["viewer"])
        _, found = server.call("POST", "auth/token/lookup", {"token": token.reveal()})
        assert 55 <= found["ttl"] <= 61

    def test_a_token_with_counted_uses(self, connect: Connect, server: Server, prefix: str) -> None:
        with pytest.raises(AccessDenied, match="more times"):
            connect(server.token(APPLIER, prefix, num_uses=9)).check(["viewer"])

    def test_a_token_that_is_none(self, connect: Connect) -> None:
        with pytest.raises(AccessDenied, match="lookup-self"):
            connect(Secret("nobody")).check(["viewer"])

    def test_a_mount_of_version_1(self, connect: Connect, server: Server) -> None:
        with pytest.raises(Unsuitable, match="KV version 1, which ignores check-and-set"):
            connect(mount=server.mount("1")).check(["viewer"])

    def test_a_mount_with_a_part_of_the_prefix(self, connect: Connect) -> None:
        with pytest.raises(Unsuitable, match="secret/ is there"):
            connect(mount="secret/team").check(["viewer"])

    def test_no_mount(self, connect: Connect) -> None:
        with pytest.raises(AccessDenied, match="no mount at nowhere"):
            connect(mount="nowhere").check(["viewer"])

    @pytest.mark.parametrize(
        ("config", "message"),
        [({"delete_version_after": "72h"}, "after 72h0m0s"), ({"max_versions": 2}, "keeps 2 versions")],
    )
    def test_a_mount_that_forgets(
        self, connect: Connect, server: Server, config: dict[str, object], message: str
    ) -> None:
        mount = server.mount()
        server.do("POST", f"{mount}/config", config)
        with pytest.raises(Unsuitable, match=message):
            connect(mount=mount).check(["viewer"])

    def test_a_mount_that_keeps_enough(self, connect: Connect, server: Server) -> None:
        mount = server.mount()
        server.do("POST", f"{mount}/config", {"max_versions": 5})
        connect(mount=mount).check(["viewer"])


def test_a_sealed_server(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(server.kind, tmp_path_factory.mktemp("sealed")) as own:
        own.do("POST", "sys/seal")
        vault = own.client()
        for call in (lambda: vault.check([]), vault.all, lambda: vault.store("viewer", CREDENTIAL, 0)):
            with pytest.raises(Unsuitable, match="Vault is sealed"):
                call()
        vault.close()


@pytest.mark.parametrize("server", GENUINE, indirect=True, scope="session")
def test_a_namespace(connect: Connect, server: Server) -> None:
    if server.call("POST", "sys/namespaces/team", {})[0] != 200:
        pytest.skip("this server has no namespaces")
    server.do("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}, namespace="team")
    vault = connect(mount="kv", namespace="team")
    vault.check(["viewer"])
    vault.store("viewer", CREDENTIAL, 0)
    assert vault.read("viewer") == CREDENTIAL
    with pytest.raises(Missing, match="namespace not found"):
        connect(mount="kv", namespace="nobody").read("viewer")


def test_no_error_shows_a_secret(connect: Connect, server: Server, prefix: str) -> None:
    vault, planner = connect(), connect(server.token(PLANNER, prefix))
    vault.store("viewer", CREDENTIAL, 0)
    calls: list[Callable[[], object]] = [
        lambda: vault.store("viewer", OTHER, 0),
        lambda: vault.again("viewer", 7),
        lambda: vault.settle("viewer", replace(FACTS, name="\x07"), None),
        lambda: vault.delete_version("viewer", 7),
        lambda: planner.store("viewer", OTHER, 1),
        lambda: planner.read("viewer"),
        lambda: planner.check(["viewer"]),
        lambda: connect(mount="nowhere").store("viewer", OTHER, 0),
    ]
    for call in calls:
        with pytest.raises(ServiceError) as raised:
            call()
        assert_silent(raised.value, server.root, CREDENTIAL.client_secret, OTHER.client_secret)


def assert_silent(error: BaseException, *secrets_: Secret) -> None:
    """Neither text nor traceback, locals included, shows one of them, and no library's exception is kept."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert not [secret for secret in secrets_ if secret.reveal() in shown]
    assert error.__context__ is None or isinstance(error.__context__, ServiceError)

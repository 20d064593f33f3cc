"""What the work costs whatever the machine: requests, bytes, connections, objects in memory. No clock is read here."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from registrar import manifest, reconcile
from registrar import plan as planning
from registrar.model import Target
from registrar.nexus import Nexus
from registrar.policy import Role, grants, hcl
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.program import Program
from tests.cli.services import Services, serving
from tests.custody.proxy import Exchange, Proxy

_LIST = r"GET /api/v2/oauth/applications\?.*pageNumber"


def manifests(count: int) -> str:
    """So many applications."""
    entries = (
        f"  - name: Application {number:04d}\n    path: app-{number:04d}\n"
        f"    redirect_uri: https://app{number:04d}.example.org/cb\n    owner_email: team{number}@example.org\n"
        for number in range(count)
    )
    return "apps:\n" + "".join(entries)


def counted(seen: Iterable[Exchange]) -> Counter[str]:
    """How often each kind of request came by; one application is like another."""
    kinds = (f"{one.method} {one.path}" for one in seen)
    return Counter(re.sub(r"app-\d{4}|(?<=applications/)\d+", "ONE", kind) for kind in kinds)


@pytest.fixture
def many(connected: Program, seen: Seen) -> Program:
    """A program with twelve applications, all of them registered."""
    connected.write("apps.yaml", manifests(12))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    seen.forget()
    return connected


@dataclass
class Seen:
    """The proxies before both services, and what came by."""

    nexus: Proxy
    vault: Proxy
    services: Services

    def forget(self) -> None:
        for proxy in (self.nexus, self.vault):
            proxy.clear()


@pytest.fixture
def seen(services: Services) -> Seen:
    assert services.nexus
    assert services.vault
    return Seen(services.nexus, services.vault, services)


def listed(seen: Counter[str]) -> int:
    """How often a page of Nexus's list was asked for."""
    return sum(times for kind, times in seen.items() if re.match(_LIST, kind))


class TestApply:
    @pytest.mark.parametrize("count", [1, 12, 60])
    def test_four_requests_an_application_and_one_list_a_batch(
        self, connected: Program, seen: Seen, count: int
    ) -> None:
        connected.write("apps.yaml", manifests(count))
        assert connected.call("apply", "apps.yaml", "--yes").code == 0
        nexus, vault = counted(seen.nexus.seen), counted(seen.vault.seen)
        assert listed(nexus) == 2, (
            "the plan reads the list, and the batch once more for the ids that a create does not answer"
        )
        assert nexus["POST /api/v2/oauth/applications"] == count
        assert nexus["PUT /api/v2/oauth/applications/ONE"] == count
        assert vault["POST /v1/secret/data/nexus/ONE"] == count
        assert vault["POST /v1/secret/metadata/nexus/ONE"] == count
        assert vault["GET /v1/secret/data/nexus/ONE"] == vault["GET /v1/secret/metadata/nexus/ONE"] == 0
        of_run = sum(nexus.values()) + sum(vault.values()) - 4 * count
        assert of_run == 19, f"however many applications: {nexus}, {vault}"

    def test_the_lock_is_written_as_time_goes_by_and_not_as_applications_do(
        self, connected: Program, seen: Seen
    ) -> None:
        for count in (1, 60):
            connected.write("apps.yaml", manifests(count))
            seen.forget()
            assert connected.call("apply", "apps.yaml", "--yes").code == 0
            assert counted(seen.vault.seen)["POST /v1/secret/data/nexus/.registrar/lock"] == 2

    def test_what_is_sent_for_an_application_is_bounded(self, connected: Program, seen: Seen) -> None:
        sent = []
        for count in (20, 40):
            connected.write("apps.yaml", manifests(count))
            seen.forget()
            assert connected.call("apply", "apps.yaml", "--yes").code == 0
            sent.append(sum(len(one.body) for proxy in (seen.nexus, seen.vault) for one in proxy.seen))
        assert sent[1] < 1.2 * sent[0], "the second run had as many new ones as the first"
        assert sent[0] / 20 < 1_500

    def test_connections_are_kept_and_no_more_than_steps_at_once(self, connected: Program, seen: Seen) -> None:
        connected.write("apps.yaml", manifests(40))
        assert connected.call("apply", "apps.yaml", "--yes", "--parallelism", "3").code == 0
        for proxy in (seen.nexus, seen.vault):
            # the proof of a credential and the renewal of the lock are beside the steps
            assert proxy.connections <= 4

    def test_an_update_needs_two(self, many: Program, seen: Seen) -> None:
        many.write("apps.yaml", manifests(12).replace("team3@", "others@"))
        assert many.call("apply", "apps.yaml", "--yes").code == 0
        assert counted(seen.nexus.seen)["PUT /api/v2/oauth/applications/ONE"] == 1
        assert counted(seen.vault.seen)["POST /v1/secret/metadata/nexus/ONE"] == 1
        assert counted(seen.vault.seen)["POST /v1/secret/data/nexus/ONE"] == 0


class TestPlan:
    def test_one_list_and_one_page_of_metadata_where_the_server_has_them(self, many: Program, seen: Seen) -> None:
        assert many.call("plan", "apps.yaml").code == 0
        nexus, vault = counted(seen.nexus.seen), counted(seen.vault.seen)
        assert listed(nexus) == 1
        assert sum(nexus.values()) == 3, "a login, the version, the list"
        assert vault == {
            "GET /v1/secret/data/nexus/.registrar/lock": 1,
            "GET /v1/secret/detailed-metadata/nexus?list=true&limit=500": 1,
        }

    def test_key_by_key_where_it_has_not(self, many: Program, seen: Seen) -> None:
        policy = hcl(grant for grant in grants(Role.PLANNER, "secret", "nexus") if "detailed" not in grant.path)
        many.environ["VAULT_TOKEN"] = seen.services.root.token(policy, "nexus").reveal()
        assert many.call("plan", "apps.yaml").code == 0
        vault = counted(seen.vault.seen)
        assert vault["GET /v1/secret/metadata/nexus/ONE"] == 12
        assert vault["GET /v1/secret/metadata/nexus?list=true"] == 1
        assert vault["GET /v1/secret/detailed-metadata/nexus?list=true&limit=500"] == 1
        # the lock, and whether a refusal was about the token
        assert sum(vault.values()) == 12 + 4

    def test_nothing_is_asked_about_a_key_where_the_list_says_that_there_is_none(
        self, connected: Program, seen: Seen
    ) -> None:
        connected.write("apps.yaml", manifests(12))
        assert connected.call("plan", "apps.yaml").code == 0
        assert not [kind for kind in counted(seen.vault.seen) if "ONE" in kind]

    def test_a_second_list_only_where_a_record_names_what_the_first_lacks(self, many: Program, seen: Seen) -> None:
        seen.services.delete("Application 0003")
        seen.forget()
        assert many.call("plan", "apps.yaml").code == 0
        assert listed(counted(seen.nexus.seen)) == 2


class TestCreds:
    def test_one_request(self, many: Program, seen: Seen) -> None:
        assert many.call("creds", "get", "app-0003", "--format", "json").code == 0
        assert counted(seen.vault.seen) == {"GET /v1/secret/data/nexus/ONE": 1}
        assert seen.nexus.seen == []


class TestVerify:
    def test_three_requests_a_credential(self, many: Program, seen: Seen) -> None:
        assert many.call("verify").code == 0
        nexus = Counter(one.path.partition("?")[0] for one in seen.nexus.seen)
        assert nexus == {"/api/v1/oauth/authorize": 12, "/api/v1/oauth/exchange": 12}
        vault = counted(seen.vault.seen)
        assert vault["GET /v1/secret/data/nexus/ONE"] == 12
        assert sum(vault.values()) == 13


def test_a_plan_keeps_at_most_six_kib_an_application(tmp_path: Path) -> None:
    """By what Python itself counts, of two sizes, so that what a process needs anyway is not counted."""
    kept: list[int] = []
    with serving() as services:
        target = Target("dev", services.running.nexus_url, services.running.nexus_url, services.running.vault_addr)
        program = Program(tmp_path, services.environ)
        account = services.running.sysadmin
        for count in (40, 240):
            file = program.folder / "apps.yaml"
            file.write_text(manifests(count))
            assert program.call("apply", "apps.yaml", "--yes").code == 0
            vault = Vault(services.running.vault_addr, token=Secret(services.running.vault_token))
            key, secret = Secret(account.api_key), Secret(account.api_secret)
            with Nexus(services.running.nexus_url, api_key=key, api_secret=secret) as nexus:
                nexus.check()
                gc.collect()
                tracemalloc.start()
                loaded = manifest.load([file], target)
                todo = planning.plan(reconcile.observe(target, loaded.applications, nexus, vault))
                kept.append(tracemalloc.get_traced_memory()[0])
                tracemalloc.stop()
            vault.close()
            assert todo.counts == {"keep": count}
    assert (kept[1] - kept[0]) / 200 < 6 * 1024


def test_the_verbose_trace_counts_the_same_requests(connected: Program, seen: Seen) -> None:
    """What the benchmark counts by."""
    connected.write("apps.yaml", manifests(2))
    told = connected.call("apply", "apps.yaml", "--yes", "--verbose").err
    lines = re.findall(r"^(?:GET|POST|PUT|PATCH|DELETE) /", told, re.MULTILINE)
    assert len(lines) == len(seen.nexus.seen) + len(seen.vault.seen)

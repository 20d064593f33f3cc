"""What stands beside the recorded exchanges: races, deletion, eviction, policies, tokens, the seal, odd requests."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from registrar.sandbox.http import serving
from registrar.sandbox.state import State
from registrar.sandbox.vault import Vault
from tests import web

MERGE_PATCH = {"content-type": "application/merge-patch+json"}
CAS_REFUSED = {"errors": ["check-and-set parameter did not match the current version"]}
DENIED = {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
PLANNER = """
# what a pipeline needs that plans: no secret
path "secret/metadata/nexus/dev/*"           { capabilities = ["read", "list"] }
path "secret/detailed-metadata/nexus/dev/*"  { capabilities = ["list"] }
path "secret/data/nexus/dev/.registrar/lock" { capabilities = ["read"] }
"""


def client(url: str, token: str = "") -> httpx.Client:
    headers = {"x-vault-token": token} if token else {}
    return web.client(base_url=f"{url}/v1/", headers=headers)


@pytest.fixture
def vault() -> Vault:
    return Vault(State(":memory:"))


@pytest.fixture
def url(vault: Vault) -> Iterator[str]:
    with serving(vault) as server:
        yield server.url


@pytest.fixture
def root(vault: Vault, url: str) -> Iterator[httpx.Client]:
    with client(url, vault.root_token) as opened:
        yield opened


@pytest.fixture
def login(url: str, root: httpx.Client) -> Iterator[Callable[..., httpx.Client]]:
    """Clients whose token has one policy of the given text."""
    opened: list[httpx.Client] = []

    def make(policy: str, **wishes: Any) -> httpx.Client:
        name = f"policy-{len(opened)}"
        assert root.post(f"sys/policies/acl/{name}", json={"policy": policy}).status_code == 204
        made = root.post("auth/token/create", json={"policies": [name], **wishes}).json()
        opened.append(client(url, made["auth"]["client_token"]))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def write(at: httpx.Client, path: str, data: Any, **options: Any) -> httpx.Response:
    return at.post(f"secret/data/{path}", json={"data": data, "options": options})


def metadata(at: httpx.Client, path: str) -> Any:
    return at.get(f"secret/metadata/{path}").json()["data"]


# ---- check-and-set


def test_of_many_threads_one_takes_the_key(root: httpx.Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: write(root, "lock", {"holder": number}, cas=0), range(16)))
    winners = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(winners) == 1
    assert [answer.json() for answer in answers if answer.status_code != 200] == [CAS_REFUSED] * 15
    assert root.get("secret/data/lock").json()["data"]["data"] == {"holder": winners[0]}


def test_of_two_processes_on_one_file_one_takes_over(tmp_path: Path) -> None:
    one, two = Vault(State(tmp_path / "state")), Vault(State(tmp_path / "state"))
    assert one.root_token == two.root_token
    with (
        serving(one) as first,
        serving(two) as second,
        client(first.url, one.root_token) as a,
        client(second.url, two.root_token) as b,
        ThreadPoolExecutor(2) as pool,
    ):
        for version in range(30):
            racing = [
                pool.submit(write, at, "lock", {"holder": name}, cas=version) for name, at in (("a", a), ("b", b))
            ]
            assert sorted(future.result().status_code for future in racing) == [200, 400]
        assert metadata(a, "lock") == metadata(b, "lock")
        assert metadata(b, "lock")["current_version"] == 30


@pytest.mark.parametrize("cas", [None, "", False, 0])
def test_what_counts_as_zero_guards_a_key_that_exists(root: httpx.Client, cas: object) -> None:
    assert write(root, "key", {}, cas=cas).status_code == 200
    assert write(root, "key", {}, cas=cas).json() == CAS_REFUSED


@pytest.mark.parametrize("cas", [1.0, 1.5, " 1", "one", [], {}])
def test_what_is_no_whole_number_is_refused(root: httpx.Client, cas: object) -> None:
    write(root, "key", {})
    assert write(root, "key", {}, cas=cas).json() == {"errors": ["error parsing check-and-set parameter"]}


@pytest.mark.parametrize("body", [{"options": {"Cas": 9}}, {"cas": 9}, {"options": None}, {"options": []}])
def test_a_misplaced_cas_does_not_guard(root: httpx.Client, body: dict[str, Any]) -> None:
    write(root, "key", {})
    answer = root.post("secret/data/key", json={"data": {}, **body})
    assert (answer.status_code, answer.json()["data"]["version"]) == (200, 2)


def test_a_mount_can_require_both_kinds_of_cas(root: httpx.Client) -> None:
    root.post("secret/config", json={"cas_required": True, "metadata_cas_required": True})
    assert write(root, "key", {}).json() == {"errors": ["check-and-set parameter required for this call"]}
    facts = {"custom_metadata": {"a": "b"}}
    required = {"errors": ["metadata check-and-set parameter required for this call"]}
    assert root.post("secret/metadata/key", json=facts).json() == required
    assert root.post("secret/metadata/key", json={**facts, "metadata_cas": 0}).status_code == 204
    assert root.patch("secret/metadata/key", json=facts, headers=MERGE_PATCH).json() == required
    assert root.patch("secret/metadata/key", json={**facts, "metadata_cas": 1}, headers=MERGE_PATCH).status_code == 204
    assert metadata(root, "key")["current_metadata_version"] == 2


# ---- deletion, eviction, ends


def test_a_late_delete_by_number_hits_the_old_version(root: httpx.Client) -> None:
    write(root, "key", {"n": 1})
    root.post("secret/delete/key", json={"versions": [1]})
    root.post("secret/undelete/key", json={"versions": [1]})
    assert root.get("secret/data/key").json()["data"]["data"] == {"n": 1}
    write(root, "key", {"n": 2}, cas=1)
    root.post("secret/delete/key", json={"versions": [1]})
    assert root.get("secret/data/key").json()["data"]["data"] == {"n": 2}
    versions = metadata(root, "key")["versions"]
    assert [bool(versions[number]["deletion_time"]) for number in ("1", "2")] == [True, False]


def test_a_second_delete_keeps_the_first_time(root: httpx.Client) -> None:
    write(root, "key", {})
    root.delete("secret/data/key")
    before = metadata(root, "key")
    root.delete("secret/data/key")
    root.post("secret/delete/key", json={"versions": [1]})
    assert metadata(root, "key") == before


def test_destroyed_data_leave_the_file(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    vault = Vault(state)
    with serving(vault) as server, client(server.url, vault.root_token) as root:
        write(root, "key", {"client_secret": "canary"})
        root.post("secret/destroy/key", json={"versions": [1]})
        assert root.get("secret/data/key").json()["data"]["metadata"]["destroyed"] is True
    with state.transaction() as db:
        assert db.execute("SELECT count(*) FROM vault_kv_version WHERE data IS NOT NULL").fetchone()[0] == 0


def test_the_larger_limit_of_mount_and_key_evicts(root: httpx.Client) -> None:
    root.post("secret/config", json={"max_versions": 2})
    root.post("secret/metadata/key", json={"max_versions": 3, "custom_metadata": {"a": "b"}})
    for number in range(5):
        write(root, "key", {"n": number}, cas=number)
    seen = metadata(root, "key")
    assert (seen["oldest_version"], list(seen["versions"])) == (3, ["3", "4", "5"])
    assert seen["custom_metadata"] == {"a": "b"}
    evicted = root.get("secret/data/key", params={"version": 2})
    assert (evicted.status_code, evicted.json()) == (404, {"errors": []})


def test_ten_versions_are_kept_where_nothing_else_is_said(root: httpx.Client) -> None:
    for number in range(10):
        write(root, "key", {"n": number})
    assert metadata(root, "key")["oldest_version"] == 0
    write(root, "key", {})
    assert metadata(root, "key")["oldest_version"] == 2


def test_a_living_version_can_have_an_end_ahead(root: httpx.Client) -> None:
    root.post("secret/config", json={"delete_version_after": "1h"})
    root.post("secret/metadata/key", json={"delete_version_after": "2h"})
    made = write(root, "key", {"n": 1}).json()["data"]
    assert made["created_time"] < made["deletion_time"]
    read = root.get("secret/data/key")
    assert (read.status_code, read.json()["data"]["data"]) == (200, {"n": 1})
    end = read.json()["data"]["metadata"]["deletion_time"]
    assert end == made["deletion_time"]
    root.post("secret/undelete/key", json={"versions": [1]})
    assert metadata(root, "key")["versions"]["1"]["deletion_time"] > end
    assert root.get("secret/config").json()["data"]["delete_version_after"] == "1h0m0s"


def test_an_end_beyond_all_times_is_the_last_one(root: httpx.Client) -> None:
    root.post("secret/metadata/key", json={"delete_version_after": "2562047h"})
    assert write(root, "key", {}).json()["data"]["deletion_time"].startswith("2262-04-11T")


def test_a_version_ends_by_itself(root: httpx.Client) -> None:
    root.post("secret/metadata/key", json={"delete_version_after": 1})
    write(root, "key", {})
    time.sleep(1.1)
    assert root.get("secret/data/key").status_code == 404
    root.post("secret/config", json={"delete_version_after": "-1s"})
    assert write(root, "key", {}).json()["data"]["deletion_time"] == ""


def test_patch_merges_and_removes(root: httpx.Client) -> None:
    write(root, "key", {"a": 1, "b": {"c": 2, "d": 3}})
    change = {"data": {"a": None, "b": {"c": None, "e": [1]}, "f": {"g": None}}}
    assert root.patch("secret/data/key", json=change, headers=MERGE_PATCH).status_code == 200
    assert root.get("secret/data/key").json()["data"]["data"] == {"b": {"d": 3, "e": [1]}, "f": {}}
    assert root.patch("secret/data/key", json=change, headers={"content-type": ""}).status_code in (400, 415)


def test_subkeys_show_no_value(root: httpx.Client) -> None:
    write(root, "key", {"client_secret": "canary", "more": {"deep": {"x": "canary"}}})
    whole = root.get("secret/subkeys/key")
    assert "canary" not in whole.text
    assert whole.json()["data"]["subkeys"] == {"client_secret": None, "more": {"deep": {"x": None}}}
    shallow = root.get("secret/subkeys/key", params={"depth": 2}).json()["data"]["subkeys"]
    assert shallow == {"client_secret": None, "more": {"deep": None}}


# ---- listing


def test_pages_make_up_the_whole(root: httpx.Client) -> None:
    names = [f"app-{number:03}" for number in range(120)] + ["app", "app/sub", "app!", "z/one", "z/two", "ä", ".x/lock"]
    for name in names:
        root.post(f"secret/metadata/f/{name}", json={"custom_metadata": {"name": name}})
    whole = root.request("LIST", "secret/detailed-metadata/f").json()["data"]
    assert whole["keys"] == sorted({name.split("/")[0] + "/" * ("/" in name) for name in names})
    assert whole["key_info"]["app"]["custom_metadata"] == {"name": "app"}
    assert whole["key_info"]["app/"] == whole["key_info"]["z/"] == {}
    keys: list[str] = []
    while True:
        page = root.get("secret/metadata/f", params={"list": "true", "after": keys[-1] if keys else "", "limit": 50})
        if page.status_code == 404:
            break
        keys += page.json()["data"]["keys"]
    assert keys == whole["keys"]


def test_keys_are_found_and_listed_by_index(vault: Vault, root: httpx.Client) -> None:
    asked: list[str] = []
    state = vault._state
    with state.transaction() as db:
        db.set_trace_callback(asked.append)
    for path in ("secret/metadata/f/a", "secret/data/f/a", "secret/detailed-metadata/f?list=true&after=a&limit=2"):
        write(root, "f/a", {})
        write(root, "f/b/c", {})
        assert root.get(path).status_code == 200
    with state.transaction() as db:
        db.set_trace_callback(None)
        queries = {
            query for query in asked if "vault_kv_" in query and query.startswith(("SELECT", "UPDATE", "DELETE"))
        }
        plans = [row["detail"] for query in queries for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(queries) > 5
    assert [plan for plan in plans if plan.startswith("SCAN")] == []


# ---- policies and tokens


def test_a_planner_reads_metadata_and_no_secret(root: httpx.Client, login: Callable[..., httpx.Client]) -> None:
    write(root, "nexus/dev/viewer", {"client_secret": "canary"})
    write(root, "nexus/dev/.registrar/lock", {"holder": ""})
    planner = login(PLANNER)
    assert planner.request("LIST", "secret/metadata/nexus/dev").json()["data"]["keys"] == [".registrar/", "viewer"]
    detailed = planner.request("LIST", "secret/detailed-metadata/nexus/dev/")
    assert detailed.json()["data"]["key_info"]["viewer"]["current_version"] == 1
    assert planner.get("secret/data/nexus/dev/.registrar/lock").status_code == 200
    for path in (
        "secret/data/nexus/dev/viewer",
        "secret/subkeys/nexus/dev/viewer",
        "secret/metadata/nexus/prod/viewer",
    ):
        answer = planner.get(path)
        assert (answer.status_code, answer.json()) == (403, DENIED)
    assert planner.post("secret/metadata/nexus/dev/viewer", json={"max_versions": 1}).status_code == 403
    paths = ["secret/metadata/nexus/dev", "secret/metadata/nexus/dev/", "secret/data/nexus/dev/viewer"]
    granted = planner.post("sys/capabilities-self", json={"paths": paths}).json()["data"]
    assert [granted[path] for path in paths] == [["deny"], ["list", "read"], ["deny"]]


@pytest.mark.parametrize(
    ("policy", "granted"),
    [
        ('path "secret/data/+/x" { capabilities = ["read"] }', "read"),
        (
            'path "secret/+/y/*" { capabilities = ["read"] } path "secret/data/*" { capabilities = ["update"] }',
            "update",
        ),
        (
            'path "secret/data/y/*" { capabilities = ["read"] } path "secret/data/+/x" { capabilities = ["list"] }',
            "read",
        ),
        ('path "secret/*" { capabilities = ["read"] } path "secret/data/y/x" { capabilities = ["deny"] }', "deny"),
        ('path "secret/data/y/x" { capabilities = ["read", "deny"] }', "deny"),
        ('path "secret/data/y" { capabilities = ["read"] }', "deny"),
        ('path "/secret/data/y/x" { capabilities = ["read"] } // slash\n', "read"),
        ('path "sec*" { capabilities = ["read"] /* glob */ }', "read"),
    ],
)
def test_the_most_precise_rule_decides(login: Callable[..., httpx.Client], policy: str, granted: str) -> None:
    answer = login(policy).post("sys/capabilities-self", json={"paths": ["secret/data/y/x"]}).json()
    assert answer["secret/data/y/x"] == [granted]


def test_create_is_not_update(root: httpx.Client, login: Callable[..., httpx.Client]) -> None:
    maker = login('path "secret/*" { capabilities = ["create"] }')
    assert write(maker, "key", {}, cas=0).status_code == 200
    root.delete("secret/data/key")
    assert write(maker, "key", {}, cas=1).status_code == 403
    assert maker.post("secret/undelete/key", json={"versions": [1]}).status_code == 403


@pytest.mark.parametrize(
    "policy", ['path "x" {', 'path "x" { capabilities = ["fly"] }', "no hcl", 'path "x" { y = 1 }']
)
def test_a_policy_that_is_not_understood_is_refused(root: httpx.Client, policy: str) -> None:
    answer = root.post("sys/policies/acl/bad", json={"policy": policy})
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith("failed to parse policy: ")


def test_the_preflight_shows_only_mounts_with_something_granted(login: Callable[..., httpx.Client]) -> None:
    reader = login('path "secret/data/a" { capabilities = ["read"] }')
    assert reader.get("sys/internal/ui/mounts/secret/any").json()["data"]["options"] == {"version": "2"}
    stranger = login('path "other/*" { capabilities = ["read"] }')
    assert stranger.get("sys/internal/ui/mounts/secret/any").status_code == 403
    assert "secret/" not in stranger.get("sys/internal/ui/mounts").json()["data"]["secret"]


def test_a_token_ends_by_time_by_use_and_with_its_parent(
    url: str, root: httpx.Client, login: Callable[..., httpx.Client]
) -> None:
    short, counted = login(PLANNER, ttl="1s"), login(PLANNER, num_uses=2)
    assert counted.get("secret/data/x").json() == DENIED
    assert counted.get("auth/token/lookup-self").json()["data"]["num_uses"] == -1
    assert counted.get("auth/token/lookup-self").json() == {"errors": ["permission denied"]}
    parent = root.post("auth/token/create", json={"policies": ["root"]}).json()["auth"]["client_token"]
    with client(url, parent) as elder:
        child = elder.post("auth/token/create", json={}).json()["auth"]["client_token"]
        elder.post("auth/token/revoke-self")
    with client(url, child) as orphan:
        assert orphan.get("auth/token/lookup-self").status_code == 403
    time.sleep(1.1)
    assert short.get("auth/token/lookup-self").json() == {"errors": ["permission denied"]}


def test_renewal_prolongs_and_stops_at_the_longest_life(login: Callable[..., httpx.Client]) -> None:
    token = login(PLANNER, ttl="5s", explicit_max_ttl="1m")
    assert token.post("auth/token/renew-self", json={"increment": "20s"}).json()["auth"]["lease_duration"] == 20
    capped = token.post("auth/token/renew-self", json={"increment": "1h"}).json()
    assert capped["auth"]["lease_duration"] in (59, 60)
    assert capped["warnings"] == ['TTL of "1h" exceeded the effective max_ttl of "1m"; TTL value is capped accordingly']


def test_a_child_has_no_more_than_its_maker(login: Callable[..., httpx.Client]) -> None:
    maker = login('path "auth/token/create" { capabilities = ["update"] }')
    for wish in ({"policies": ["root"]}, {"policies": ["other"]}, {"no_parent": True}):
        assert maker.post("auth/token/create", json=wish).status_code == 400
    assert maker.post("auth/token/create", json={}).json()["auth"]["policies"] == ["default", "policy-0"]


# ---- mounts and seal


def test_version_1_takes_cas_for_data(root: httpx.Client) -> None:
    assert root.post("sys/mounts/old", json={"type": "kv", "options": {"version": "1"}}).status_code == 204
    body = {"data": {"n": 1}, "options": {"cas": 0}}
    assert [root.post("old/data/key", json=body).status_code for _ in range(2)] == [204, 204]
    assert root.get("old/data/key").json()["data"] == body
    assert root.get("sys/internal/ui/mounts/old/key").json()["data"]["options"] == {"version": "1"}
    assert root.request("LIST", "old").json()["data"]["keys"] == ["data/"]
    assert root.request("LIST", "old/detailed-metadata/x").status_code == 404


def test_mounts_do_not_share_and_do_not_nest(root: httpx.Client) -> None:
    assert root.post("sys/mounts/team/kv", json={"type": "kv-v2"}).status_code == 204
    root.post("team/kv/data/key", json={"data": {"n": 1}})
    assert root.get("secret/data/key").status_code == 404
    refused = root.post("sys/mounts/team", json={"type": "kv"})
    assert refused.json() == {"errors": ["path is already in use at team/kv/"]}
    assert root.delete("sys/mounts/team/kv").status_code == 204
    assert root.get("team/kv/data/key").status_code == 404
    assert root.post("sys/mounts/team/kv", json={"type": "kv-v2"}).status_code == 204
    assert root.get("team/kv/data/key").json() == {"errors": []}


def test_a_seal_closes_every_process(tmp_path: Path) -> None:
    one, two = Vault(State(tmp_path / "state")), Vault(State(tmp_path / "state"))
    with (
        serving(one) as first,
        serving(two) as second,
        client(first.url, one.root_token) as a,
        client(second.url, two.root_token) as b,
    ):
        write(a, "key", {"n": 1})
        assert a.post("sys/seal").status_code == 204
        for answer in (b.get("secret/data/key"), write(b, "key", {}), b.get("auth/token/lookup-self")):
            assert (answer.status_code, answer.json()) == (503, {"errors": ["Vault is sealed"]})
        assert b.get("sys/health").status_code == 503
        assert b.get("sys/seal-status").json()["sealed"] is True
        assert b.post("sys/unseal", json={"key": "00" * 32}).status_code == 400
        assert b.post("sys/unseal", json={"key": two.unseal_key}).json()["sealed"] is False
        assert a.get("secret/data/key").json()["data"]["data"] == {"n": 1}


def test_only_sudo_seals(login: Callable[..., httpx.Client]) -> None:
    assert login('path "sys/seal" { capabilities = ["update"] }').post("sys/seal").status_code == 403
    assert login('path "sys/seal" { capabilities = ["update", "sudo"] }').post("sys/seal").status_code == 204


def test_everything_is_kept_in_the_state(tmp_path: Path) -> None:
    before = Vault(State(tmp_path / "state"))
    with serving(before) as server, client(server.url, before.root_token) as root:
        write(root, "key", {"n": 1})
        root.post("sys/mounts/more", json={"type": "kv"})
        root.delete("sys/mounts/secret")
    after = Vault(State(tmp_path / "state"))
    assert after.unseal_key == before.unseal_key
    with serving(after) as server, client(server.url, before.root_token) as root:
        assert sorted(root.get("sys/mounts").json()["data"]) == ["cubbyhole/", "identity/", "more/", "sys/"]


# ---- HTTP


def test_every_answer_carries_date_and_no_store(root: httpx.Client) -> None:
    for answer in (root.get("sys/health"), root.get("secret/data/x"), write(root, "x", {}), root.get("secret/a//b")):
        assert answer.headers["cache-control"] == "no-store"
        assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) < 3


def test_bodies_end_as_they_do_in_vault(root: httpx.Client) -> None:
    assert root.get("secret/data/x").content == b'{"errors":[]}\n'
    write(root, "x", {"url": "https://a.example/?b=<c>&d\u2028"})
    assert rb'"https://a.example/?b=\u003cc\u003e\u0026d\u2028"' in root.get("secret/data/x").content
    root.delete("secret/data/x")
    assert root.get("secret/data/x").content.endswith(b"}")


@pytest.mark.parametrize(
    ("sent", "status", "location"),
    [
        ("secret//data/x", 307, "/v1/secret/data/x"),
        ("secret/./data/x?version=1", 307, "/v1/secret/data/x?version=1"),
        ("secret/data/%C3%B6/../%C3%A4", 307, "/v1/secret/data/%25C3%25A4"),
        ("secret/data/%2e%2e/x", 400, None),
        ("secret/data/a%00b", 400, None),
        ("secret/data/a%E2%80%8Bb", 400, None),
        ("secret/data/a..b", 404, None),
        ("secret/data/a%2Fb", 200, None),
        ("secret/data/%20%C3%B6*", 200, None),
    ],
)
def test_odd_paths(vault: Vault, url: str, root: httpx.Client, sent: str, status: int, location: str | None) -> None:
    write(root, "a/b", {})
    root.post("secret/data/%20%C3%B6*", json={"data": {}})
    # httpx would clean the path before it is sent
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", f"/v1/{sent}", headers={"X-Vault-Token": vault.root_token})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert (answer.status, answer.getheader("location")) == (status, location)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"data":{}', "unexpected EOF"),
        (b'{"a":"x', "unexpected EOF"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":[1 2]}', "invalid character '2' after array element"),
        (b'{"a":["]" 2]}', "invalid character '2' after array element"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a":[1,]}', "invalid character ']' looking for beginning of value"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a":"\n"}', "invalid character '\\n' in string literal"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b'{"data":{}} x', "invalid character 'x' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
        (b"5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ],
)
def test_what_is_no_json_is_told_in_the_words_of_go(root: httpx.Client, body: bytes, says: str) -> None:
    answer = root.post("secret/data/x", content=body)
    assert (answer.status_code, answer.json()) == (400, {"errors": [f"failed to decode JSON input: {says}"]})


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"data":{"a":"\\ud800b"}}', {"a": "\ufffdb"}),
        (b'{"data":{"a":"\xff"}}', {"a": "\ufffd"}),
        (b'{"data":{"a":1},"data":{"b":2}}', {"b": 2}),
        (b'{"data":{"a":12345678901234567890123}}', {"a": 12345678901234567890123}),
        (b'{"data":[{"a":1},{"b":2}]}', {"a": 1, "b": 2}),
        (b'{"data":null}', None),
        (b'{"data":{}}{"more":1}', {}),
    ],
)
def test_odd_json_is_read_as_go_reads_it(root: httpx.Client, body: bytes, read: object) -> None:
    assert root.post("secret/data/x", content=body).status_code == 200
    assert root.get("secret/data/x").json()["data"]["data"] == read


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30, "9" * 5000, "1e400", "9223372036854775807"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("secret/metadata/x", '{"delete_version_after":%s}'),
        ("secret/metadata/x", '{"delete_version_after":"%s"}'),
        ("secret/metadata/x", '{"max_versions":%s}'),
        ("secret/undelete/x", '{"versions":[%s]}'),
        ("secret/data/x", '{"data":{},"options":{"cas":%s}}'),
    ],
)
def test_no_number_is_too_large_to_be_answered(root: httpx.Client, number: str, path: str, body: str) -> None:
    assert root.post(path, content=body % number).status_code in (204, 400)
    assert write(root, "x", {}).status_code == 200


def test_names_that_are_not_known_are_told(root: httpx.Client) -> None:
    answer = root.post("secret/data/x", json={"data": {}, "zeta": 1, "alpha": 2}).json()
    assert answer["warnings"] == ["Endpoint ignored these unrecognized parameters: [alpha zeta]"]
    assert root.post("secret/metadata/y", json={"zeta": 1}).content == b""
    assert root.get("secret/metadata/y").status_code == 404


def test_namespaces_are_not_there(root: httpx.Client) -> None:
    answer = root.get("secret/data/x", headers={"x-vault-namespace": "team"})
    assert (answer.status_code, answer.json()) == (404, {"errors": ["namespace not found"]})
    assert answer.headers["x-vault-namespace"] == "team"
    assert root.get("sys/health", headers={"x-vault-namespace": "team"}).status_code == 400
    assert root.get("sys/mounts", headers={"x-vault-namespace": "root"}).status_code == 200

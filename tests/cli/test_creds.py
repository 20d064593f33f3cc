"""`creds list` and `creds history`: what there is and what became of it, for whoever may see metadata and no secret."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registrar.model import Facts, Former
from registrar.policy import Role, grants, hcl
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO
from tests.cli.program import Program, Result
from tests.cli.services import Services
from tests.contract.wire import unused_port

SOON = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


@pytest.fixture
def vault(services: Services) -> Iterator[Vault]:
    """The records, for a hand that changes them."""
    with contextlib.closing(Vault(services.running.vault_addr, token=Secret(services.running.vault_token))) as opened:
        yield opened


@pytest.fixture
def applied(connected: Program, services: Services) -> Program:
    """Both are stored; the program has a planner's token, which cannot read one secret, and no key for Nexus."""
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    for name in ("NEXUS_URL", "NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del connected.environ[name]
    limited(services, connected, hcl(grants(Role.PLANNER, "secret", "nexus")))
    return connected


def limited(services: Services, program: Program, policy: str) -> None:
    program.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()


def listed(program: Program) -> list[dict[str, Any]]:
    result = program.call("creds", "list", "-o", "json")
    assert (result.code, result.err) == (0, "")
    found: list[dict[str, Any]] = result.document["credentials"]
    return found


def past(program: Program, name: str = "viewer") -> Result:
    """The document, after a look at the text, which has to say the same to people."""
    result = program.call("creds", "history", name, "-o", "json")
    assert (result.code, result.err) == (0, "")
    lines = program.call("creds", "history", name).out.splitlines()[2:]
    for version, line in zip(result.document["versions"], lines, strict=True):
        for word in (f"v{version['number']} ", version["state"], version["client_id"], version["note"]):
            assert word in line
    return result


def states(result: Result) -> list[tuple[int, str]]:
    return [(version["number"], version["state"]) for version in result.document["versions"]]


def write(services: Services, path: str, **content: str) -> None:
    services.root.do("POST", f"secret/data/nexus/{path}", {"data": content})


def settle(vault: Vault, **changes: Any) -> Facts:
    """The viewer's facts with these changes."""
    facts = vault.one("viewer").facts
    assert facts
    vault.settle("viewer", replace(facts, **changes), None)
    return replace(facts, **changes)


# ── the list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_has_paths_and_names(applied: Program, services: Services) -> None:
    assert applied.call("creds", "list").out == (
        "PATH              NAME                 VAULT\n"
        "sensor-catalogue  Sensor Catalogue     stored v1\n"
        "viewer            Digital Twin Viewer  stored v1\n"
    )
    viewer = listed(applied)[1]
    stored = services.credential("viewer")
    assert viewer == {
        "path": "viewer",
        "name": "Digital Twin Viewer",
        "set": "",
        "client_id": stored["client_id"],
        "version": 1,
        "state": "stored",
        "location": "secret/nexus/viewer",
    }


def test_the_list_has_what_is_not_well_too(applied: Program, services: Services) -> None:
    write(services, "theirs", anything="x")
    write(services, "viewer", anything="x")
    services.root.do("POST", "secret/delete/nexus/sensor-catalogue", {"versions": [1]})
    assert {row["path"]: row["state"] for row in listed(applied)} == {
        "sensor-catalogue": "withdrawn",
        "theirs": "somebody's",
        "viewer": "unsettled",
    }
    assert "theirs            -                    somebody's v1\n" in applied.call("creds", "list").out


def test_no_credentials_is_an_empty_list(connected: Program) -> None:
    assert connected.call("creds", "list").out == "No credentials that this login may see.\n"
    assert listed(connected) == []


# ── the history ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_history_is_asked_for_by_path_or_name(applied: Program, services: Services) -> None:
    result = past(applied)
    assert (states(result), result.document["live"]) == ([(1, "live")], 1)
    assert result.document["versions"][0]["client_id"] == services.credential("viewer")["client_id"]
    assert past(applied, "digital twin VIEWER").document == result.document
    text = applied.call("creds", "history", "viewer").out
    assert re.fullmatch(
        r"Digital Twin Viewer  secret/nexus/viewer\n\n  v1  20\d\d(-\d\d){2} \d\d(:\d\d){2} UTC  live  [\w-]{43}\n",
        text,
    )


def test_a_history_tells_what_became_of_every_version(applied: Program, services: Services, vault: Vault) -> None:
    first = services.credential("viewer")["client_id"]
    for number in range(2, 7):
        write(services, "viewer", client_id=f"client-{number}", client_secret="x")
    services.root.do("POST", "secret/destroy/nexus/viewer", {"versions": [2]})
    services.root.do("POST", "secret/delete/nexus/viewer", {"versions": [1]})
    leaving, retiring = Former("client-3", 3, SOON), Former("client-4", 4, SOON + timedelta(days=1))
    settle(vault, client_id="client-6", version=6, leaving=leaving, retiring=retiring)
    result = past(applied)
    assert states(result) == [
        (6, "live"),
        (5, "superseded"),
        (4, "retiring"),
        (3, "leaving"),
        (2, "destroyed"),
        (1, "deleted"),
    ]
    assert [version["client_id"] for version in result.document["versions"]] == [
        "client-6", "", "client-4", "client-3", "", "",
    ]  # fmt: skip
    lines = applied.call("creds", "history", "viewer").out.splitlines()[2:]
    assert "  retiring until 2031-05-07 07:08 UTC  client-4" in lines[2]
    assert "  leaving until 2031-05-06 07:08 UTC   client-3" in lines[3]
    assert re.search(r"  destroyed +-$", lines[4])
    assert re.search(r"  deleted 20\d\d-\d\d-\d\d \d\d:\d\d UTC +-$", lines[5])
    assert first not in "".join(lines)


def test_a_version_that_the_facts_do_not_know_is_told(applied: Program, services: Services) -> None:
    write(services, "viewer", client_id="by-hand", client_secret="x")
    newest, first = past(applied).document["versions"]
    assert (newest["state"], newest["client_id"]) == ("live", "")
    assert newest["note"] == "newer than the facts: a run stopped, or somebody wrote it"
    assert (first["state"], first["client_id"] != "") == ("superseded", True)


def test_a_withdrawn_record_has_no_live_version(applied: Program, services: Services) -> None:
    services.root.do("POST", "secret/delete/nexus/viewer", {"versions": [1]})
    result = past(applied)
    assert (states(result), result.document["live"]) == ([(1, "deleted")], None)


def test_a_version_that_will_end_by_itself_is_told(applied: Program, services: Services) -> None:
    services.root.do("POST", "secret/metadata/nexus/theirs", {"delete_version_after": "1h"})
    write(services, "theirs", anything="x")
    text = applied.call("creds", "history", "theirs").out
    assert re.search(
        r"  live, deleted by itself 20\d\d-\d\d-\d\d \d\d:\d\d UTC  -  not registrar's: nothing is known of it\n", text
    )
    assert past(applied, "theirs").document["versions"][0]["until"]


def test_a_record_without_versions_has_no_history_yet(applied: Program, services: Services) -> None:
    claimed = {"custom_metadata": {"managed-by": "registrar", "name": "New One", "state": "adopting"}}
    services.root.do("POST", "secret/metadata/nexus/new", claimed)
    assert applied.call("creds", "history", "new").out == (
        "New One  secret/nexus/new\n\n  No version: nothing is stored yet.\n"
    )
    document = applied.call("creds", "history", "New One", "-o", "json").document
    assert (document["versions"], document["live"]) == ([], None)


# ── what cannot be told ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_that_nothing_has_and_one_that_two_have(applied: Program, vault: Vault) -> None:
    for name in ("vieweer", "Digital Viewer"):
        unknown = applied.call("creds", "history", name)
        assert (unknown.code, unknown.out) == (64, "")
        assert f"no application is called {name!r}" in unknown.err
    settle(vault, name="Sensor Catalogue")
    several = applied.call("creds", "history", "sensor catalogue")
    assert several.code == 64
    assert several.err == (
        "registrar: 'sensor catalogue' is the name of several: sensor-catalogue, viewer\n  → give the path\n"
    )


def test_one_path_needs_no_permission_to_list(applied: Program, services: Services) -> None:
    limited(services, applied, 'path "secret/metadata/nexus/viewer" { capabilities = ["read"] }')
    assert states(past(applied)) == [(1, "live")]
    refused = applied.call("creds", "history", "sensor-catalogue")
    assert (refused.code, "secret/metadata/nexus/sensor-catalogue" in refused.err) == (3, True)
    assert applied.call("creds", "history", "Digital Twin Viewer").code == 3
    assert applied.call("creds", "list").code == 3


def test_a_developer_who_may_read_the_data_alone_is_refused(applied: Program, services: Services) -> None:
    limited(services, applied, hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=["viewer"])))
    for words in (("list",), ("history", "viewer")):
        refused = applied.call("creds", *words, "-o", "json")
        assert (refused.code, refused.document["error"]["type"]) == (3, "AccessDenied")


@pytest.mark.parametrize("words", [("list",), ("history", "viewer")])
def test_vault_away_sealed_or_refusing(applied: Program, services: Services, words: tuple[str, ...]) -> None:
    with unused_port() as port:
        away = applied.call("creds", *words, "--vault-addr", f"http://127.0.0.1:{port}")
    assert (away.code, "check VAULT_ADDR" in away.err) == (3, True)
    applied.environ["VAULT_TOKEN"] = "hvs.of-nobody"
    assert applied.call("creds", *words).code == 3
    services.root.do("POST", "sys/seal", {})
    assert applied.call("creds", *words, "-o", "json").document["error"]["type"] == "Sealed"


def test_neither_asks_for_a_secret(applied: Program, services: Services) -> None:
    assert services.vault
    services.vault.seen.clear()
    for words in (("list",), ("history", "viewer"), ("history", "Sensor Catalogue")):
        assert applied.call("creds", *words).code == 0
    asked = {seen.path for seen in services.vault.seen if "/data/" in seen.path}
    assert asked <= {"/v1/secret/data/nexus/.registrar/lock"}
    assert services.vault.effects() == []

"""`registrar verify`: what is stored is proven as a client would use it, by whoever may read it; nothing is changed."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import registrar.nexus.wire
import registrar.vault.wire
from registrar.model import Credential, Former, State
from registrar.policy import Role, grants, hcl
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO, VIEWER_URI, many
from tests.cli.program import Program, Result
from tests.cli.services import Services, serving
from tests.contract.wire import unused_port
from tests.custody import proxy
from tests.custody.proxy import Exchange, say

KEYS = ("NEXUS_API_KEY", "NEXUS_API_SECRET")
BOTH = ["sensor-catalogue", "viewer"]
_ID = re.compile(r"[\w-]{43}")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar.nexus.wire, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(registrar.vault.wire, "_PAUSES_S", (0.01, 0.01))


@pytest.fixture
def applied(connected: Program) -> Program:
    """Both applications are registered and stored; nobody is signed in to Nexus any more."""
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    for name in KEYS:
        del connected.environ[name]
    return connected


@pytest.fixture
def vault(services: Services) -> Iterator[Vault]:
    """The records, for a hand that changes them."""
    with contextlib.closing(Vault(services.running.vault_addr, token=Secret(services.running.vault_token))) as opened:
        yield opened


def verified(program: Program, *names: str) -> Result:
    """The document, after a look at the text, which has to say the same to people."""
    result = program.call("verify", *names, "-o", "json")
    told = program.call("verify", *names)
    # which of several is the first to fail is chance
    assert (told.code, *_ID.split(told.err)) == (result.code, *_ID.split(result.err))
    if "credentials" in result.document:
        lines = [line for line in told.out.splitlines() if "  → " not in line]
        for row, line in zip(result.document["credentials"], lines, strict=False):
            assert line.startswith(f"{row['state']} ")
            assert row["path"] in line
            assert row["state"] == "right" or row["reason"] in line
            assert not row["hint"] or f"  → {row['hint']}\n" in told.out
        assert result.document["exit_code"] == result.code
    return result


def states(result: Result) -> dict[str, str]:
    """How each credential stands, by its path, the old one of a grace by its path and version."""
    return {
        row["path"] if row["which"] == "current" else f"{row['path']} v{row['version']}": row["state"]
        for row in result.document["credentials"]
    }


def row(result: Result, path: str = "viewer") -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in result.document["credentials"] if row["path"] == path)
    return found


def write(services: Services, path: str, **content: str) -> None:
    """Store this as somebody with the Vault CLI does."""
    services.root.do("POST", f"secret/data/nexus/{path}", {"data": content})


def developer(services: Services, program: Program, *paths: str) -> None:
    """From now on the program has a developer's token."""
    policy = hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=paths))
    program.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()


# ── right ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_credential_is_right_and_nothing_is_changed(applied: Program, services: Services) -> None:
    assert services.nexus
    assert services.vault
    before = services.dump()
    for between in (services.nexus, services.vault):
        between.seen.clear()
    result = verified(applied)
    assert (result.code, result.err) == (0, "")
    assert states(result) == dict.fromkeys(BOTH, "right")
    assert services.dump() == before
    assert set(services.nexus.effects()) == {"POST /api/v1/oauth/exchange"}
    assert services.vault.effects() == []
    assert not [seen for seen in services.nexus.seen if "authorization" in {name.lower() for name in seen.headers}]
    assert not [seen.path for seen in services.vault.seen if ".registrar/lock" in seen.path]
    stored = services.credential("viewer")
    assert row(result) | {"client_id": stored["client_id"], "version": 1, "until": None} == row(result)
    assert row(result)["location"] == "secret/nexus/viewer"
    assert stored["client_secret"] not in result.out


def test_the_text_is_a_line_for_each_and_one_that_counts(applied: Program, services: Services) -> None:
    assert services.nexus
    assert applied.call("verify").out == (
        "right  Sensor Catalogue     sensor-catalogue  v1\n"
        "right  Digital Twin Viewer  viewer            v1\n"
        f"\nNexus {services.nexus.url}: 2 right\n"
    )


def test_every_stage_of_nexus_tells(tmp_path: Path) -> None:
    for stage in ("v1", "v1-deprecated", "v2", "v2-array"):
        with serving(stage=stage) as services:
            program = Program(tmp_path, services.environ)
            program.write("apps.yaml", TWO)
            assert program.call("apply", "apps.yaml", "--yes").code == 0
            assert states(verified(program)) == dict.fromkeys(BOTH, "right")
            write(services, "viewer", **services.credential("viewer") | {"client_secret": "x" * 86})
            assert states(verified(program)) == {"sensor-catalogue": "right", "viewer": "wrong"}


def test_nothing_to_prove_is_well(connected: Program) -> None:
    result = verified(connected)
    assert (result.code, result.document["credentials"]) == (0, [])
    assert connected.call("verify").out.endswith(": no credential to prove\n")


def test_it_is_a_process_of_the_sandbox_too(program: Program) -> None:
    program.write("apps.yaml", TWO)
    assert program.call("--sandbox", "apply", "apps.yaml", "--yes").code == 0
    done = program.run("--sandbox", "verify")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(": 2 right\n")
    assert program.on_terminal("--sandbox", "verify").out.startswith("\x1b[32mright\x1b[0m")
    assert program.on_terminal("--sandbox", "verify", "--no-color").out.startswith("right")


def test_a_name_a_path_and_both_at_once(applied: Program) -> None:
    assert states(verified(applied, "viewer")) == {"viewer": "right"}
    assert states(verified(applied, "digital twin VIEWER")) == {"viewer": "right"}
    assert states(verified(applied, "Sensor Catalogue", "viewer", "viewer")) == dict.fromkeys(BOTH, "right")


def test_a_name_that_two_have_means_both(applied: Program, vault: Vault) -> None:
    facts = vault.one("sensor-catalogue").facts
    assert facts
    vault.settle("sensor-catalogue", replace(facts, name="digital twin viewer"), None)
    assert states(verified(applied, "Digital Twin Viewer")) == dict.fromkeys(BOTH, "right")


def test_a_name_that_nothing_has_is_a_usage_error(applied: Program, services: Services) -> None:
    assert services.nexus
    services.nexus.seen.clear()
    for unknown in ("vieweer", "Viewer of nothing"):
        result = verified(applied, "viewer", unknown)
        assert result.code == 64
        assert result.err.startswith(f"registrar: no application is called {unknown!r}\n")
    assert services.nexus.seen == [], "nothing is proven before all names are known"


# ── whoever may read that path alone ──────────────────────────────────────────────────────────────────────────────────


def test_a_developer_needs_nothing_but_that_path(applied: Program, services: Services) -> None:
    assert services.vault
    developer(services, applied, "viewer")
    services.vault.seen.clear()
    assert states(verified(applied, "viewer")) == {"viewer": "right"}
    assert {seen.path for seen in services.vault.seen} - {"/v1/auth/token/lookup-self"} == {
        "/v1/secret/data/nexus/viewer"
    }


def test_another_path_is_refused(applied: Program, services: Services) -> None:
    developer(services, applied, "viewer")
    refused = verified(applied, "sensor-catalogue")
    assert refused.code == 3
    assert "secret/data/nexus/sensor-catalogue" in refused.err
    by_name = verified(applied, "Digital Twin Viewer")
    assert by_name.code == 3
    assert "metadata/nexus" in by_name.err
    partly = verified(applied, "viewer", "sensor-catalogue")
    assert (partly.code, states(partly)) == (1, {"sensor-catalogue": "not proven", "viewer": "right"})


def test_a_path_where_nothing_is_yet_is_missing_to_whoever_may_not_list(applied: Program, services: Services) -> None:
    developer(services, applied, "viewer", "not-yet")
    result = verified(applied, "not-yet")
    assert (result.code, states(result)) == (1, {"not-yet": "missing"})
    assert row(result, "not-yet")["reason"] == "nothing is stored there"
    assert states(verified(applied, "not-yet", "viewer")) == {"not-yet": "missing", "viewer": "right"}


# ── wrong ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("secret", "reason"), [("x" * 86, "is wrong"), ("short", "is not 86 base64url characters")])
def test_a_secret_that_somebody_stored_by_hand(applied: Program, services: Services, secret: str, reason: str) -> None:
    write(services, "viewer", **services.credential("viewer") | {"client_secret": secret})
    result = verified(applied)
    assert (result.code, states(result)) == (1, {"sensor-catalogue": "right", "viewer": "wrong"})
    assert reason in row(result)["reason"]
    assert row(result)["version"] == 2
    assert verified(applied, "sensor-catalogue").code == 0


def test_an_application_that_somebody_archived(applied: Program, services: Services) -> None:
    services.set_archived("Digital Twin Viewer")
    result = verified(applied)
    assert (result.code, states(result)) == (1, {"sensor-catalogue": "right", "viewer": "wrong"})
    assert row(result)["reason"] == "no living application has this client id"
    assert row(result)["hint"] == "registrar show viewer"


def test_a_redirect_uri_that_somebody_changed(applied: Program, services: Services) -> None:
    services.by_hand.update(services.id_of("Digital Twin Viewer"), {"redirect_uri": "https://other.example.org/cb"})
    result = verified(applied, "viewer")
    assert (result.code, row(result)["reason"]) == (1, "the redirect URI is not the registered one")


def test_where_nexus_does_not_tell_it_says_so_and_fails_nothing(applied: Program, services: Services) -> None:
    assert services.nexus
    services.nexus.on("POST", "/oauth/exchange", say(500, b'{"title": "An error occurred"}'), times=99)
    result = verified(applied, "viewer")
    assert (result.code, states(result)) == (0, {"viewer": "cannot tell"})
    assert "does not tell: 500 An error occurred" in row(result)["reason"]
    assert applied.call("verify", "viewer").out.endswith(": 1 cannot tell\n")


# ── missing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ["delete", "destroy"])
def test_a_version_that_somebody_withdrew(applied: Program, services: Services, verb: str) -> None:
    services.root.do("POST", f"secret/{verb}/nexus/viewer", {"versions": [1]})
    for names in ((), ("viewer",)):
        result = verified(applied, *names)
        assert (result.code, states(result)["viewer"]) == (1, "missing")
        assert row(result)["reason"] == "version 1 is deleted or destroyed"


def test_data_that_is_no_credential(applied: Program, services: Services) -> None:
    write(services, "viewer", client_id="x")
    result = verified(applied)
    assert (result.code, states(result)["viewer"]) == (1, "missing")
    assert row(result)["reason"] == "client_id and client_secret are not both there"


def test_one_that_is_retired_is_left_out_unless_it_is_named(applied: Program, services: Services, vault: Vault) -> None:
    facts = vault.one("viewer").facts
    assert facts
    vault.settle("viewer", replace(facts, state=State.RETIRED), None)
    services.root.do("POST", "secret/delete/nexus/viewer", {"versions": [1]})
    result = verified(applied)
    assert (result.code, states(result), result.document["left_out"]) == (0, {"sensor-catalogue": "right"}, 1)
    assert applied.call("verify").out.endswith(": 1 right, 1 retired or not ours left out\n")
    named = verified(applied, "viewer")
    assert (named.code, row(named)["state"], row(named)["reason"]) == (1, "missing", "it is retired")


# ── not ours ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_of_somebody_else_tells_no_redirect_uri(applied: Program, services: Services) -> None:
    assert services.nexus
    write(services, "theirs", **services.credential("viewer"))
    everything = verified(applied)
    assert (everything.code, everything.document["left_out"]) == (0, 1)
    assert states(everything) == dict.fromkeys(BOTH, "right")
    services.nexus.seen.clear()
    named = verified(applied, "theirs")
    assert (named.code, states(named)) == (1, {"theirs": "not proven"})
    assert "redirect URI" in row(named, "theirs")["reason"]
    assert services.nexus.seen == []


def test_a_secret_is_never_sent_to_another_server_than_its_own(applied: Program, vault: Vault) -> None:
    for path in BOTH:
        facts = vault.one(path).facts
        assert facts
        old = Former(facts.client_id, 1, datetime.now(UTC) + timedelta(hours=1))
        vault.settle(path, replace(facts, nexus="https://nexus.example.org", retiring=old), None)
    with unused_port() as port:
        away = f"http://127.0.0.1:{port}"
        result = applied.call("verify", "--nexus-url", away, "-o", "json")
    assert (result.code, states(result)) == (1, dict.fromkeys(BOTH, "not proven"))
    assert row(result)["reason"] == f"its record was made for https://nexus.example.org, this target is {away}"
    assert row(result)["hint"] == "check --target"


# ── a grace ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Rotated:
    """The viewer has a second registration whose credential is version 2; the first one retires."""

    def __init__(self, services: Services, vault: Vault, hours: float = 24) -> None:
        old = services.credential("viewer")
        values = {"name": "Digital Twin Viewer", "redirect_uri": VIEWER_URI, "description": "the new one"}
        new = services.by_hand.create(values)
        vault.store("viewer", new, 1)
        facts = vault.one("viewer").facts
        assert facts
        self.until = datetime.now(UTC) + timedelta(hours=hours)
        self.old, self.new = Credential(old["client_id"], Secret(old["client_secret"])), new
        former = Former(self.old.client_id, 1, self.until)
        vault.settle("viewer", replace(facts, client_id=new.client_id, version=2, retiring=former), None)


def test_during_a_grace_both_are_proven_and_it_says_which_is_which(
    applied: Program, services: Services, vault: Vault
) -> None:
    rotated = Rotated(services, vault)
    developer(services, applied, "viewer")
    result = verified(applied, "viewer")
    assert (result.code, states(result)) == (0, {"viewer": "right", "viewer v1": "right"})
    new, old = result.document["credentials"]
    assert (new["which"], new["version"], new["client_id"]) == ("current", 2, rotated.new.client_id)
    assert (old["which"], old["version"], old["client_id"]) == ("retiring", 1, rotated.old.client_id)
    assert old["until"] == rotated.until.isoformat()
    lines = applied.call("verify", "viewer").out.splitlines()
    assert re.fullmatch(r"right  Digital Twin Viewer  viewer  v2", lines[0])
    assert lines[1] == f"right  Digital Twin Viewer  viewer  v1 retiring, until {rotated.until:%Y-%m-%d %H:%M} UTC"


def test_an_old_one_that_was_archived_within_its_grace_is_wrong(
    applied: Program, services: Services, vault: Vault
) -> None:
    rotated = Rotated(services, vault)
    ids = {made["client_id"]: made["id"] for made in services.registered()}
    services.by_hand.archive(ids[rotated.old.client_id])
    assert states(verified(applied)) == {"sensor-catalogue": "right", "viewer": "right", "viewer v1": "wrong"}
    services.by_hand.unarchive(ids[rotated.old.client_id])
    services.by_hand.archive(ids[rotated.new.client_id])
    result = verified(applied, "viewer")
    assert (result.code, states(result)) == (1, {"viewer": "wrong", "viewer v1": "right"})


def test_an_old_one_whose_grace_is_over_is_not_asked_about(applied: Program, services: Services, vault: Vault) -> None:
    Rotated(services, vault, hours=-1)
    assert states(verified(applied, "viewer")) == {"viewer": "right"}


def test_an_old_one_whose_version_is_gone_is_missing(applied: Program, services: Services, vault: Vault) -> None:
    rotated = Rotated(services, vault)
    services.root.do("POST", "secret/delete/nexus/viewer", {"versions": [1]})
    result = verified(applied, "viewer")
    assert (result.code, states(result)) == (1, {"viewer": "right", "viewer v1": "missing"})
    facts = vault.one("viewer").facts
    assert facts
    vault.settle("viewer", replace(facts, retiring=Former(rotated.old.client_id, 2, rotated.until)), None)
    result = verified(applied, "viewer")
    assert (result.code, states(result)) == (1, {"viewer": "right", "viewer v2": "missing"})
    assert "version 2 holds another client id" in result.out


# ── a service that gives out ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_service_that_is_away_from_the_start(applied: Program, services: Services) -> None:
    assert services.nexus
    with unused_port() as port:
        without_vault = verified(applied, "viewer", "--vault-addr", f"http://127.0.0.1:{port}")
    assert (without_vault.code, "check VAULT_ADDR" in without_vault.err) == (3, True)
    services.nexus.close()
    without_nexus = verified(applied, "viewer")
    assert (without_nexus.code, "no answer of Nexus" in without_nexus.err) == (3, True)


@pytest.mark.parametrize("names", [(), ("viewer",)])
def test_nexus_that_hangs_up_from_the_start(applied: Program, services: Services, names: tuple[str, ...]) -> None:
    assert services.nexus
    services.nexus.on("GET", "/oauth/authorize", proxy.lose, times=99)
    result = verified(applied, *names)
    assert result.code == 3
    assert "no answer of Nexus" in result.err
    assert result.document["error"]["exit_code"] == 3


@pytest.mark.parametrize("names", [(), ("viewer",), ("Digital Twin Viewer",)])
def test_vault_that_refuses_or_is_sealed_from_the_start(
    applied: Program, services: Services, names: tuple[str, ...]
) -> None:
    developer(services, applied, "other")
    assert verified(applied, *names).code == 3
    applied.environ["VAULT_TOKEN"] = "hvs.of-nobody"
    assert verified(applied, *names).code == 3
    services.root.do("POST", "sys/seal", {})
    sealed = verified(applied, *names)
    assert (sealed.code, sealed.document["error"]["type"]) == (3, "Sealed")


def test_nexus_that_is_lost_midway_leaves_the_rest_unproven(connected: Program, services: Services) -> None:
    assert services.nexus
    connected.write("apps.yaml", many(8))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    services.nexus.on("GET", "/oauth/authorize", proxy.lose, times=999, skip=3)
    result = connected.call("verify", "--parallelism", "1", "-o", "json")
    assert result.code == 1
    told = list(states(result).values())
    assert told == ["right"] * 3 + ["not proven"] * 5
    assert "no answer of Nexus" in row(result, "app-3")["reason"]
    assert row(result, "app-4")["reason"] == "not asked, since a service was lost"
    asked = [seen for seen in services.nexus.seen if "/oauth/authorize" in seen.path]
    assert len(asked) == 3 + 3, "one that is lost is asked for thrice, and no other any more"


def test_vault_that_is_lost_midway_leaves_the_rest_unproven(connected: Program, services: Services) -> None:
    assert services.vault
    connected.write("apps.yaml", many(4))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    services.vault.on("GET", "/data/nexus/app-", proxy.lose, times=999, skip=2)
    result = connected.call("verify", "--parallelism", "1", "-o", "json")
    assert (result.code, list(states(result).values())) == (1, ["right"] * 2 + ["not proven"] * 2)


def test_the_old_one_of_a_grace_is_unproven_where_its_version_may_not_be_read(
    applied: Program, services: Services, vault: Vault
) -> None:
    assert services.vault
    Rotated(services, vault)
    services.vault.on("GET", r"/data/nexus/viewer\?version=1", say(403, b'{"errors": ["permission denied"]}'), times=99)
    result = verified(applied, "viewer")
    assert (result.code, states(result)) == (1, {"viewer": "right", "viewer v1": "not proven"})


def test_a_path_that_may_not_be_read_does_not_hide_the_others(applied: Program, services: Services) -> None:
    policy = (
        hcl(grants(Role.PLANNER, "secret", "nexus")) + '\npath "secret/data/nexus/viewer" { capabilities = ["read"] }'
    )
    applied.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()
    result = verified(applied)
    assert (result.code, states(result)) == (1, {"sensor-catalogue": "not proven", "viewer": "right"})


# ── several at once ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parallelism", [1, 3])
def test_no_more_than_was_allowed_are_proven_at_once(connected: Program, services: Services, parallelism: int) -> None:
    assert services.nexus
    connected.write("apps.yaml", many(6))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    counting, at_once, most = threading.Lock(), 0, 0

    def busy(asked: proxy.Proxy, exchange: Exchange) -> proxy.Answer:
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.1)
        with counting:
            at_once -= 1
        return asked.forward(exchange)

    services.nexus.on("POST", "/oauth/exchange", busy, times=99)
    result = connected.call("verify", "--parallelism", str(parallelism))
    assert (result.code, most) == (0, parallelism)


def test_parallelism_is_a_number_of_threads(applied: Program) -> None:
    for wrong in ("0", "65", "many"):
        assert applied.call("verify", "--parallelism", wrong).code == 64


# ── --full: where the quiet proof cannot tell ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def quiet_tells_nothing(applied: Program, services: Services) -> Program:
    """A v1 that has gone, and a v2 that hides every reason for the wrong state; somebody is signed in."""
    account, nexus = services.running.sysadmin, services.nexus
    assert nexus
    applied.environ |= {"NEXUS_API_KEY": account.api_key, "NEXUS_API_SECRET": account.api_secret}
    nexus.on("POST", "/api/v1/oauth/exchange", say(404, b""), times=99)
    nexus.on("GET", "/api/v1/oauth/authorize", say(404, b""), times=99)
    wrong = r"/api/v2/oauth/exchange\?.*this-state-is-wrong"
    nexus.on("POST", wrong, say(500, b'{"title": "Internal Server Error", "status": 500}'), times=99)
    return applied


def test_a_code_is_exchanged_where_the_quiet_proof_cannot_tell(
    quiet_tells_nothing: Program, services: Services
) -> None:
    program = quiet_tells_nothing
    assert states(program.call("verify", "viewer", "-o", "json")) == {"viewer": "cannot tell"}
    result = program.call("verify", "viewer", "--full", "--yes", "-o", "json")
    assert (result.code, states(result)) == (0, {"viewer": "right"})
    assert "a code became a token; its API key is deleted" in result.out
    assert "Nexus never deletes such an application again" in result.err
    assert services.credential("viewer")["client_secret"] not in result.out + result.err


def test_what_the_full_proof_cannot_tell_either(quiet_tells_nothing: Program, services: Services) -> None:
    assert services.nexus
    services.nexus.on("GET", "/api/v2/oauth/authorize", say(500, b"{}"), times=99)
    result = quiet_tells_nothing.call("verify", "viewer", "--full", "--yes")
    assert result.code == 3
    assert "asking Nexus for a code: it answered 500" in result.err


def test_a_refusal_of_the_full_proof_is_a_wrong_credential(quiet_tells_nothing: Program, services: Services) -> None:
    assert services.nexus
    told = b'{"error": "invalid_grant", "error_description": "Token exchange attempt with invalid client_secret for x"}'
    services.nexus.on("POST", "/api/v2/oauth/exchange", say(400, told), times=99)
    result = quiet_tells_nothing.call("verify", "viewer", "--full", "--yes", "-o", "json")
    assert (result.code, states(result)) == (1, {"viewer": "wrong"})


def test_where_the_quiet_proof_tells_no_code_is_exchanged(applied: Program, services: Services) -> None:
    account = services.running.sysadmin
    applied.environ |= {"NEXUS_API_KEY": account.api_key, "NEXUS_API_SECRET": account.api_secret}
    assert applied.call("verify", "--full", "--yes").code == 0
    services.delete(services.registered()[0]["name"])  # which Nexus refuses once a token was issued


def test_a_full_proof_is_agreed_to(applied: Program) -> None:
    nobody = applied.run("verify", "--full")
    assert nobody.code == 64
    assert "registrar verify --full --yes" in nobody.err
    no = applied.on_terminal("verify", "--full", answers=["n"])
    assert no.code == 130

"""`registrar export`: what lives in Nexus comes back as a manifest that is valid and has nothing pending."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from registrar.export import scalar
from registrar.model import Former
from registrar.policy import Role, grants, hcl
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO, VIEWER_URI, many
from tests.cli.program import Program, Result
from tests.cli.services import LOCK, Services, serving
from tests.contract.wire import unused_port
from tests.custody.proxy import Exchange, say

TOKEN = "Zm9vYmFyQ2F0cyAx-MjM0NTY3ODkwYWJjZGVmZ2hp_jKlMnOpQrStUv"


@pytest.fixture
def applied(connected: Program) -> Program:
    """Both applications are registered and stored."""
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    return connected


@pytest.fixture
def vault(services: Services) -> Iterator[Vault]:
    """The records, for a hand that changes them."""
    with contextlib.closing(Vault(services.running.vault_addr, token=Secret(services.running.vault_token))) as opened:
        yield opened


def exported(program: Program) -> Result:
    """The manifest, which is valid whatever Nexus has, and the same as that of the document."""
    result = program.call("export")
    assert result.code == 0, result.err
    validated = program.call("validate", "-", stdin=result.out.encode())
    assert validated.code == 0, (validated.out, result.out)
    document = program.call("export", "-o", "json").document
    assert document["manifest"] == result.out
    assert [one["path"] for one in document["applications"] if not one["faults"]] == list(apps(result))
    return result


def apps(result: Result) -> dict[str, dict[str, Any]]:
    """The applications that are not commented out, by path."""
    found = yaml.safe_load(result.out)["apps"]
    return {entry["path"]: entry for entry in found}


def register(services: Services, name: str, **values: str) -> int:
    """As a person on the Site Management page does; the id."""
    redirect_uri = f"https://by-hand.example.org/{sha256(name.encode()).hexdigest()[:8]}/callback"
    services.by_hand.create({"name": name, "redirect_uri": redirect_uri, **values})
    return services.id_of(name)


def planned(program: Program, manifest: str) -> Result:
    program.write("exported.yaml", manifest)
    return program.call("plan", "exported.yaml", "-o", "json")


# ── the round trip ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_managed_comes_back_as_it_was_declared(applied: Program) -> None:
    result = exported(applied)
    assert result.err == "2 applications\n"
    viewer, catalogue = yaml.safe_load(TWO)["apps"]
    assert apps(result) == {"sensor-catalogue": catalogue | {"path": "sensor-catalogue"}, "viewer": viewer}
    assert "  # Nexus id 1: explained by secret/nexus/" in result.out
    plan = planned(applied, result.out)
    assert plan.document["counts"] == {"keep": 2}


def test_managed_fields_alone_are_declared_be_they_empty(connected: Program, services: Services) -> None:
    connected.write("registrar.yaml", "set: platform\n")
    declared = TWO.replace("3-D viewer of plant models", '""') + "    protected: true\n"
    connected.write("apps.yaml", declared)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    services.by_hand.update(services.id_of("Sensor Catalogue"), {"description": "what nobody manages"})
    result = exported(connected)
    assert apps(result)["viewer"]["description"] == ""
    assert "description" not in apps(result)["sensor-catalogue"]
    assert apps(result)["sensor-catalogue"]["protected"] is True
    assert "explained by secret/nexus/viewer, set platform\n" in result.out
    assert planned(connected, result.out).document["counts"] == {"keep": 2}


@pytest.mark.parametrize("stage", ["v1", "v1-deprecated", "v2", "v2-array"])
def test_every_stage_of_nexus_makes_the_round_trip(tmp_path: Path, stage: str) -> None:
    with serving(stage=stage) as services:
        program = Program(tmp_path, services.environ)
        program.write("apps.yaml", many(5))
        assert program.call("apply", "apps.yaml", "--yes").code == 0
        assert planned(program, exported(program).out).document["counts"] == {"keep": 5}


def test_it_is_a_process_and_changes_nothing(applied: Program, services: Services) -> None:
    assert services.nexus
    assert services.vault
    before = services.dump()
    for between in (services.nexus, services.vault):
        between.seen.clear()
    done = applied.run("export")
    assert (done.code, done.err) == (0, "2 applications\n")
    assert services.dump() == before
    assert (services.nexus.effects(), services.vault.effects()) == (["POST /api/v1/oauth/tokens"], [])


def test_a_planner_may_export(applied: Program, services: Services) -> None:
    policy = hcl(grants(Role.PLANNER, "secret", "nexus"))
    applied.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()
    assert len(apps(exported(applied))) == 2


def test_a_nexus_without_applications(connected: Program) -> None:
    result = exported(connected)
    assert (apps(result), result.err) == ({}, "0 applications\n")
    assert result.out.endswith("\napps: []\n")


# ── what no record explains ───────────────────────────────────────────────────────────────────────────────────────────


def test_one_that_was_registered_by_hand_is_told_and_gets_the_slug_of_its_name(
    applied: Program, services: Services
) -> None:
    number = register(
        services,
        "Étude №5: plots",
        owner_email="plots@example.org",
        redirect_uri="https://by-hand.example.org/callback",
    )
    archived = register(services, "Gone")
    services.by_hand.archive(archived)
    result = exported(applied)
    assert result.err == "3 applications, 1 that no record explains\n"
    assert f"  # Nexus id {number}: no record explains it\n" in result.out
    assert apps(result)["etude-no5-plots"] == {
        "name": "Étude №5: plots",
        "redirect_uri": "https://by-hand.example.org/callback",
        "owner_email": "plots@example.org",
        "path": "etude-no5-plots",
    }
    assert "Gone" not in result.out
    plan = planned(applied, result.out).document
    assert plan["counts"] == {"keep": 2, "blocked": 1}
    assert plan["steps"][0]["hint"].startswith("registrar adopt etude-no5-plots --client-id ")


def test_a_path_is_never_that_of_a_record_of_ours_nor_around_one(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO.replace("path: viewer", "path: plant/viewer"))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    services.set_archived("Sensor Catalogue")  # its record still is at its path
    for name in ("Plant", "PLANT!", "sensor-catalogue", "日本", "Sensor: Catalogue"):
        register(services, name)
    result = exported(connected)
    foreign = next(number for number in apps(result) if number.startswith("application-"))
    assert list(apps(result)) == [
        "plant/viewer", foreign, "plant-2", "plant-3", "sensor-catalogue-2", "sensor-catalogue-3",
    ]  # fmt: skip
    assert apps(result)[foreign]["name"] == "日本"


def test_a_name_that_two_have_stays_with_the_one_that_a_record_explains(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO.replace("path: viewer", "path: zebra").replace("Digital Twin Viewer", "Apple"))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    explained, stranger = services.id_of("Apple"), register(services, "apple")
    result = exported(connected)
    assert list(apps(result)) == ["sensor-catalogue", "zebra"]
    commented = result.out.partition(f"# Nexus id {stranger}: no record explains it\n")[2]
    assert commented.splitlines()[:2] == [
        f"  # commented out: AP001: the name is taken by the application with Nexus id {explained}",
        '  # - name: "apple"',
    ]


# ── what a manifest cannot say ────────────────────────────────────────────────────────────────────────────────────────

UNFIT = {
    "a redirect URI over http": ({"redirect_uri": "http://plots.example.org/cb"}, "RU003"),
    "an owner who is none": ({"owner_email": "nobody"}, "AP004"),
    "a base URL with a query": ({"base_url": "https://plots.example.org/?x"}, "BU001"),
    "a description like a mark": ({"description": "registrar/2 what is this"}, "AP006"),
    "a control character": ({"owner_email": "a\x1b[2J@example.org"}, "AP007"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_the_rules_refuse_is_commented_out_with_the_reason(
    applied: Program, services: Services, case: str
) -> None:
    values, rule = UNFIT[case]
    number = register(services, "Plots", **values)
    result = exported(applied)
    assert result.err == "3 applications, 1 that no record explains, 1 commented out\n"
    assert list(apps(result)) == ["sensor-catalogue", "viewer"]
    head, *lines = result.out.partition(f"  # Nexus id {number}: ")[2].splitlines()
    assert head == "no record explains it"
    assert lines[0].startswith("  # commented out: ")
    assert any(line.startswith(f"  # commented out: {rule}: ") for line in lines)
    assert all(line.startswith("  # ") for line in lines)
    assert '  # - name: "Plots"' in lines
    assert result.out.replace("\n", "").isprintable()


def test_what_looks_like_a_secret_is_not_shown(applied: Program, services: Services) -> None:
    register(services, "Plots", description=f"the key is {TOKEN}")
    register(services, TOKEN[:48])
    result = exported(applied)
    assert TOKEN[:48] not in result.out
    assert result.out.count('"left out: it looks like a secret"') >= 2
    assert result.out.count("# commented out: MF002: this looks like a secret\n") >= 2
    assert list(apps(result)) == ["sensor-catalogue", "viewer"]


def test_nothing_but_what_cannot_be_said(connected: Program, services: Services) -> None:
    register(services, "Plots", owner_email="nobody")
    result = exported(connected)
    assert apps(result) == {}
    assert "\napps: []\n" in result.out


TRICKY = (
    "yes",
    "1.0",
    "null",
    " # not a comment",
    "a: b",
    '"quoted" \\ \'s',
    "- x",
    "&a *b !c",
    "{x}",
    "日本 🚀 ß",
    "~",
    "%",
)


def test_every_text_comes_back_as_it_was(connected: Program, services: Services) -> None:
    for number, text in enumerate(TRICKY):
        register(services, f"N{number} {text}", description=text)
    found = {entry["name"]: entry["description"] for entry in apps(exported(connected)).values()}
    assert found == {f"N{number} {text}": text for number, text in enumerate(TRICKY)}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_scalar_gives_back_the_same_text(text: str) -> None:
    assert yaml.safe_load(scalar(text)) == text
    assert scalar(text).isprintable()


# ── what is left out ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_half_made_ones_are_left_out(applied: Program, services: Services) -> None:
    domain = services.records()[f"nexus/{LOCK}"]["versions"]["1"]["data"]["domain"]
    for owner in (domain, "x" * 16):
        mark = f"registrar/1 {owner} {'r' * 16} lost being registered; if this stays: registrar recover"
        register(services, f"Lost of {owner[0]}", description=mark)
    result = exported(applied)
    assert result.err == "2 applications, 2 left out besides\n"
    assert re.search(
        r"\n  # left out: Nexus id \d+, Lost of \w: a registration of lost that is not finished", result.out
    )
    assert "is not finished: registrar recover\n" in result.out
    assert "is not finished, of another domain\n" in result.out
    document = applied.call("export", "-o", "json").document
    assert {one["name"] for one in document["left_out"]} == {f"Lost of {domain[0]}", "Lost of x"}


def test_of_a_rotation_only_the_new_registration_is_declared(
    applied: Program, services: Services, vault: Vault
) -> None:
    values = {"name": "Digital Twin Viewer", "redirect_uri": VIEWER_URI, "base_url": "https://viewer.example.org"}
    values |= {"owner_email": "twin-team@example.org", "description": "3-D viewer of plant models"}
    new = services.by_hand.create(values)
    vault.store("viewer", new, 1)
    facts = vault.one("viewer").facts
    assert facts
    former = Former(facts.client_id, 1, datetime.now(UTC) + timedelta(hours=1))
    vault.settle("viewer", replace(facts, client_id=new.client_id, version=2, retiring=former), None)
    result = exported(applied)
    assert list(apps(result)) == ["sensor-catalogue", "viewer"]
    assert "Digital Twin Viewer: the registration that a rotation of viewer left behind\n" in result.out
    assert planned(applied, result.out).document["counts"] == {"keep": 2}


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_never_written_over_unless_it_is_meant(applied: Program) -> None:
    text = applied.call("export").out
    written = applied.call("export", "--out", "exported.yaml")
    assert (written.code, written.out, written.err) == (0, "", "2 applications: exported.yaml\n")
    file = applied.folder / "exported.yaml"
    assert file.read_text() == text
    file.write_text("mine")
    refused = applied.call("export", "--out", "exported.yaml")
    assert (refused.code, file.read_text()) == (64, "mine")
    assert "exported.yaml is there already\n  → name another file, or replace it with --force" in refused.err
    assert applied.call("export", "--out", "exported.yaml", "--force").code == 0
    assert file.read_text() == text
    both = applied.call("export", "--out", "exported.yaml", "--force", "-o", "json")
    assert both.document["manifest"] == text


def test_a_link_is_replaced_and_not_written_through(applied: Program) -> None:
    applied.write("theirs", "kept")
    (applied.folder / "exported.yaml").symlink_to("theirs")
    assert applied.call("export", "--out", "exported.yaml").code == 64
    before = os.umask(0o027)
    try:
        assert applied.call("export", "--out", "exported.yaml", "--force").code == 0
    finally:
        os.umask(before)
    file = applied.folder / "exported.yaml"
    assert (file.is_symlink(), (applied.folder / "theirs").read_text()) == (False, "kept")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640, "what is no secret has the mode that its owner wants"


def test_a_file_that_appears_while_nexus_is_asked_stays(applied: Program, services: Services) -> None:
    assert services.nexus

    def meanwhile(_: Exchange) -> None:
        applied.write("exported.yaml", "theirs")

    services.nexus.before = meanwhile
    assert applied.call("export", "--out", "exported.yaml").code == 64
    assert (applied.folder / "exported.yaml").read_text() == "theirs"


def test_a_file_that_cannot_be_written(applied: Program) -> None:
    for words in (("--out", "nowhere/exported.yaml"), ("--out", "."), ("--force",)):
        result = applied.call("export", *words)
        assert (result.code, result.out) == (64, "")


# ── a service that gives out ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_service_that_is_away_or_refuses(applied: Program, services: Services) -> None:
    assert services.nexus
    with unused_port() as port:
        for flag in ("--nexus-url", "--vault-addr"):
            away = applied.call("export", flag, f"http://127.0.0.1:{port}", "--out", "exported.yaml")
            assert (away.code, away.out) == (3, "")
    services.nexus.on("GET", "/oauth/applications", say(403, b'{"error": "Forbidden"}'), times=99)
    refused = applied.call("export", "--out", "exported.yaml", "-o", "json")
    assert (refused.code, refused.document["error"]["type"]) == (3, "AccessDenied")
    services.nexus._rules.clear()
    applied.environ["VAULT_TOKEN"] = "hvs.of-nobody"
    assert applied.call("export", "--out", "exported.yaml").code == 3
    services.root.do("POST", "sys/seal", {})
    assert applied.call("export", "--out", "exported.yaml").code == 3
    assert not (applied.folder / "exported.yaml").exists()

"""Review binds to apply: what was reviewed is carried out, or it is told what differs and nothing is."""

from __future__ import annotations

import hashlib
import json
import stat
from typing import Any

import pytest

from tests.cli.manifests import CATALOGUE_URI, TWO, VIEWER_URI, many
from tests.cli.program import Program, Result
from tests.cli.services import Services

MOVED_URI = f"{VIEWER_URI}/2"
UNDECLARED = "no manifest declares it"
MOVED = TWO.replace(VIEWER_URI, MOVED_URI)


@pytest.fixture
def reviewed(connected: Program) -> Program:
    """Two applications are to be registered, and plan.json says so."""
    connected.write("apps.yaml", TWO)
    written = connected.call("plan", "apps.yaml", "--out", "plan.json")
    assert written.code == 0, written.err
    assert written.err.startswith("Plan written to plan.json: registrar apply --plan plan.json")
    assert "Plan: 2 to create." in written.out
    return connected


def refused(result: Result, code: int = 6) -> list[str]:
    """The lines of a refusal, its hint last."""
    assert result.code == code, result
    first = result.err.index("registrar: ")
    lines = [line.strip() for line in result.err[first:].splitlines()]
    assert [line for line in lines if line.startswith("→")] == lines[-1:]
    return lines


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_has_what_json_has_and_what_was_asked_for(reviewed: Program) -> None:
    file = reviewed.folder / "plan.json"
    kept = json.loads(file.read_text())
    printed = reviewed.call("plan", "apps.yaml", "-o", "json").document
    options = {"paths": ["apps.yaml"], "only": [], "prune": False, "unarchive": False, "accept_nexus": ""}
    assert kept == printed | {"options": options, "checksum": kept["checksum"]}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in reviewed.folder.iterdir() if "plan" in found.name] == ["plan.json"]


def test_nothing_is_written_over_nor_through_a_link(reviewed: Program) -> None:
    file, elsewhere = reviewed.folder / "plan.json", reviewed.folder / "elsewhere"
    before = file.read_bytes()
    assert "is there already" in refused(reviewed.call("plan", "apps.yaml", "--out", "plan.json"), 64)[0]
    assert "--force says nothing" in refused(reviewed.call("plan", "apps.yaml", "--force"), 64)[0]
    assert "no such folder" in refused(reviewed.call("plan", "apps.yaml", "--out", "no/plan.json"), 64)[0]
    assert file.read_bytes() == before
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    reviewed.write("apps.yaml", MOVED)
    assert "is there already" in refused(reviewed.call("plan", "apps.yaml", "--out", "plan.json"), 64)[0]
    assert reviewed.call("plan", "apps.yaml", "--out", "plan.json", "--force").code == 0
    assert elsewhere.read_bytes() == before
    assert not file.is_symlink()
    assert file.read_bytes() != before


def test_the_same_plan_makes_the_same_file(reviewed: Program) -> None:
    assert reviewed.call("plan", "apps.yaml", "--out", "again.json").code == 0
    assert (reviewed.folder / "again.json").read_bytes() == (reviewed.folder / "plan.json").read_bytes()


def leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every single value in a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [at] if pairs is None else [way for key, item in pairs for way in leaves(item, (*at, key))]


def test_no_part_of_the_file_can_be_changed(reviewed: Program) -> None:
    text = (reviewed.folder / "plan.json").read_text()
    ways = leaves(json.loads(text))
    assert {"target", "steps", "digest", "options", "checksum", "counts", "schema_version"} <= {way[0] for way in ways}
    for way in ways:
        changed = json.loads(text)
        inside = changed
        for key in way[:-1]:
            inside = inside[key]
        inside[way[-1]] = f"{inside[way[-1]]}x"
        reviewed.write("tampered.json", json.dumps(changed))
        lines = refused(reviewed.call("apply", "--plan", "tampered.json"), 64)
        assert lines[0].startswith("registrar: tampered.json "), way


def forged(text: str, **parts: Any) -> str:
    """A file whose checksum somebody has made fit."""
    found = {key: value for key, value in (json.loads(text) | parts).items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return json.dumps(found | {"checksum": f"sha256:{digest}"})


def test_a_checksum_that_fits_does_not_make_it_a_plan(reviewed: Program, services: Services) -> None:
    """The checksum is no signature; what apply carries out is a plan of its own all the same."""
    text = (reviewed.folder / "plan.json").read_text()
    steps = json.loads(text)["steps"]
    parts: dict[str, Any]
    for parts in ({"steps": steps[:1]}, {"target": {}}, {"options": None}, {"steps": [7]}, {"digest": "0" * 32}):
        reviewed.write("forged.json", forged(text, **parts))
        lines = refused(reviewed.call("apply", "--plan", "forged.json"), 64)
        assert "steps that are not those of its digest" in lines[0], parts
    reviewed.write("forged.json", forged(text, schema_version=2))
    assert "schema version 2" in refused(reviewed.call("apply", "--plan", "forged.json"), 64)[0]
    for content in (b"", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"kind": "report", "checksum": ""}'):
        reviewed.write("forged.json", content)
        assert "is no plan that" in refused(reviewed.call("apply", "--plan", "forged.json"), 64)[0]
    assert "cannot be read" in refused(reviewed.call("apply", "--plan", "none.json"), 64)[0]
    assert services.registered() == []
    reviewed.write("forged.json", forged(text))
    assert reviewed.call("apply", "--plan", "forged.json").code == 0


def test_a_plan_without_nexus_is_kept_and_not_applied(reviewed: Program, services: Services) -> None:
    made = reviewed.call("plan", "apps.yaml", "--without-nexus", "--out", "plan.json", "--force")
    assert made.code == 0
    assert made.err.endswith("It is made without Nexus, so that it can be read and not applied.\n")
    assert json.loads((reviewed.folder / "plan.json").read_text())["digest"] is None
    lines = refused(reviewed.call("apply", "--plan", "plan.json"), 64)
    assert "planned --without-nexus: Nexus was not asked" in lines[0]
    assert services.registered() == []


# ── the approval ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_reviewed_is_carried_out_unasked(reviewed: Program, services: Services) -> None:
    applied = reviewed.call("apply", "--plan", "plan.json", "-o", "json")
    assert applied.code == 0, applied.err
    assert applied.document["plan"]["digest"] == json.loads((reviewed.folder / "plan.json").read_text())["digest"]
    assert services.proves("viewer", VIEWER_URI)
    lines = refused(reviewed.call("apply", "--plan", "plan.json"))
    assert lines[0] == "registrar: the plan is no longer what was reviewed"
    assert "Digital Twin Viewer (viewer): reviewed was to create, now nothing to do: in sync" in lines
    assert lines[-1] == "→ registrar plan --out FILE, to review what it is now"


def test_what_is_unrelated_changes_nothing(reviewed: Program, services: Services) -> None:
    services.by_hand.create({"name": "Somebody's", "redirect_uri": "https://some.example.org/cb"})
    services.root.do("POST", "secret/data/nexus/other", {"data": {"key": "somebody's"}})
    reviewed.write("apps.yaml", f"# a comment moves every line\n{TWO}")
    assert reviewed.call("apply", "--plan", "plan.json", "--yes").code == 0


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (MOVED, [f'Digital Twin Viewer (viewer), redirect_uri: reviewed was "{VIEWER_URI}", now "{VIEWER_URI}/2"']),
        (
            TWO.replace("    description: 3-D viewer of plant models\n", ""),
            ['Digital Twin Viewer (viewer), description: reviewed was "3-D viewer of plant models", now not there'],
        ),
        (
            TWO + many(1).removeprefix("apps:\n"),
            ["App 0 (app-0): reviewed was nothing to do, now to create: new"],
        ),
        (
            TWO[: TWO.index("  - name: Sensor")],
            ["Sensor Catalogue (sensor-catalogue): reviewed was to create, now nothing to do: " + UNDECLARED],
        ),
    ],
)
def test_a_manifest_that_has_changed_is_named(
    reviewed: Program, services: Services, manifest: str, expected: list[str]
) -> None:
    reviewed.write("apps.yaml", manifest)
    assert refused(reviewed.call("apply", "--plan", "plan.json"))[1:-1] == expected
    assert services.registered() == []


@pytest.fixture
def updating(reviewed: Program) -> Program:
    """Both are registered, and plan.json moves the redirect URI of one."""
    assert reviewed.call("apply", "--plan", "plan.json").code == 0
    reviewed.write("apps.yaml", MOVED)
    assert reviewed.call("plan", "apps.yaml", "--out", "plan.json", "--force").code == 0
    return reviewed


def test_a_world_that_has_changed_is_named(updating: Program, services: Services) -> None:
    odd, who, text = "https://odd.example.org/cb", "Digital Twin Viewer (viewer)", "3-D viewer of plant models"
    by_hand = services.id_of("Digital Twin Viewer")
    services.by_hand.update(by_hand, {"redirect_uri": odd, "description": "by hand"})
    lines = refused(updating.call("apply", "--plan", "plan.json"))[1:-1]
    assert lines == [
        f'{who}, redirect_uri: reviewed was "{VIEWER_URI}" → "{MOVED_URI}", now "{odd}" → "{MOVED_URI}"',
        f'{who}, description: reviewed was "{text}", now "by hand" → "{text}"',
    ]
    services.set_archived("Digital Twin Viewer")
    (line,) = refused(updating.call("apply", "--plan", "plan.json"))[1:-1]
    assert line.startswith("Digital Twin Viewer (viewer): reviewed was to update, now blocked: somebody archived it")


def test_a_version_that_somebody_wrote_is_named(updating: Program) -> None:
    assert updating.call("rotate", "viewer", "--manifests", "apps.yaml", "--yes", "--grace", "0").code == 0
    updating.write("apps.yaml", MOVED.replace("3-D", "4-D"))
    assert updating.call("plan", "apps.yaml", "--out", "plan.json", "--force").code == 0
    assert updating.call("rotate", "viewer", "--yes").code == 0
    updating.write("apps.yaml", MOVED.replace("3-D", "4-D"))
    lines = refused(updating.call("apply", "--plan", "plan.json"))
    assert any("its record has version" in line and "somebody wrote there since" in line for line in lines), lines


def test_many_differences_are_counted(reviewed: Program) -> None:
    reviewed.write("apps.yaml", many(30))
    lines = refused(reviewed.call("apply", "--plan", "plan.json"))
    assert lines[-2] == "and 12 more"
    assert len(lines) == 1 + 20 + 2


def test_the_brakes_hold(updating: Program, services: Services) -> None:
    services.delete("Sensor Catalogue")
    assert updating.call("plan", "apps.yaml", "--out", "plan.json", "--force").code == 0
    assert "--allow-replace 1" in refused(updating.call("apply", "--plan", "plan.json"), 5)[-1]
    assert updating.call("apply", "--plan", "plan.json", "--allow-replace", "1").code == 0
    assert services.proves("sensor-catalogue", CATALOGUE_URI)


# ── what the plan brings along ────────────────────────────────────────────────────────────────────────────────────────

CONFIG = "set: twin\ntargets:\n  dev: {vault_prefix: nexus/dev}\n  prod: {vault_prefix: nexus/prod}\n"


def test_the_plan_brings_its_target_and_options(connected: Program, services: Services) -> None:
    connected.write("registrar.yaml", CONFIG)
    connected.write("manifests/apps.yaml", TWO)
    only = ("--target", "prod", "--only", "viewer", "--unarchive")
    assert connected.call("plan", *only, "--out", "plan.json").code == 0
    for words, told in (
        (("apps.yaml",), "PATH says other than the plan that was reviewed, which was made without it"),
        (("--only", "sensor-catalogue"), "--only says other"),
        (("--prune",), "--prune says other"),
        (("--accept-nexus", "https://old.example.org"), "--accept-nexus says other"),
        (("--vault-prefix", "nexus/other"), "--vault-prefix says other"),
        (("--nexus-url", "https://nexus.example.org"), "--nexus-url says other"),
        (("--nexus-url", "https://nexus example"), "--nexus-url says other"),
        (("--target", "dev"), "the plan was reviewed for the target prod, this is dev"),
    ):
        assert told in refused(connected.call("apply", "--plan", "plan.json", *words), 64)[0]
    connected.environ["REGISTRAR_TARGET"] = "dev"
    assert "this is dev" in refused(connected.call("apply", "--plan", "plan.json"), 64)[0]
    del connected.environ["REGISTRAR_TARGET"]
    assert services.registered() == []
    assert connected.call("apply", "--plan", "plan.json", "--only", "viewer").code == 0
    assert list(services.records("secret/nexus/prod")) == ["nexus/prod/.registrar/lock", "nexus/prod/viewer"]


def test_a_target_that_has_moved_is_named_before_anything_is_sent(connected: Program) -> None:
    connected.write("registrar.yaml", CONFIG)
    connected.write("manifests/apps.yaml", TWO)
    assert connected.call("plan", "--target", "prod", "--out", "plan.json").code == 0
    connected.write("registrar.yaml", CONFIG.replace("nexus/prod", "nexus/live").replace("twin", "triplet"))
    moved = connected.call("apply", "--plan", "plan.json", "-v")
    assert refused(moved) == [
        "registrar: the target prod is no longer the one that was reviewed",
        "vault_prefix: reviewed was nexus/prod, now nexus/live",
        "set: reviewed was twin, now triplet",
        "→ registrar plan --out FILE, to review what it is now",
    ]
    assert moved.err.startswith("registrar: "), "no request is told of"


def test_expect_says_what_can_be_said(connected: Program) -> None:
    connected.write("apps.yaml", many(12))
    lines = refused(connected.call("apply", "apps.yaml", "--yes", "--expect", "0" * 32))
    assert lines[0].endswith(f"approved was {'0' * 32}")
    assert lines[1] == "now to create: App 0 (app-0)"
    assert lines[11:-1] == ["and 2 more"]
    digest = lines[0].split()[6].rstrip(",")
    assert connected.call("apply", "apps.yaml", "--yes", "--expect", digest).code == 0
    lines = refused(connected.call("apply", "apps.yaml", "--yes", "--expect", digest))
    assert lines[1:-1] == ["nothing is to be done now: it may have been carried out already"]


def test_expect_and_plan_have_to_agree(reviewed: Program) -> None:
    assert reviewed.call("apply", "--plan", "plan.json", "--expect", "0" * 32).code == 6
    digest = json.loads((reviewed.folder / "plan.json").read_text())["digest"]
    assert reviewed.call("apply", "--plan", "plan.json", "--expect", digest).code == 0

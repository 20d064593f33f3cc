"""The main job: manifests become applications with stored credentials, and everything is told in words and in JSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from registrar import lock
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import CATALOGUE_URI, TWO, VIEWER_URI, many
from tests.cli.program import Program, exported, finished, foreground
from tests.cli.services import LOCK, Services, serving

ANSI = re.compile(r"\x1b\[[0-9;]*[mK]|\r")


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


# ── the thirty-second try ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_main_job_in_the_sandbox(program: Program) -> None:
    program.write("manifests/apps.yaml", TWO)
    planned = program.call("plan", "manifests", "--sandbox")
    assert (planned.code, planned.err) == (0, "")
    assert "+ create   Digital Twin Viewer  viewer\n" in planned.out
    assert "Plan: 2 to create.\n" in planned.out

    applied = program.run("--sandbox", "apply", "manifests", "--yes")
    assert applied.code == 0, applied.err
    assert planned.out.strip() in applied.out
    assert "done  create  Sensor Catalogue     secret/nexus/sensor-catalogue\n" in applied.out
    assert "done  create  Digital Twin Viewer  secret/nexus/viewer\n\n2 done\n" in applied.out
    progress = sorted(applied.err.splitlines())
    assert [line.split(": client id")[0] for line in progress] == [
        "Digital Twin Viewer: done",
        "Sensor Catalogue: done",
    ]

    again = program.call("apply", "manifests", "--sandbox", "--yes")
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines()[-1] == "Nothing to do: 2 applications in sync."
    assert files(program.folder) == {"manifests", "manifests/apps.yaml"}

    moved = VIEWER_URI.replace("viewer", "twin")
    program.write("manifests/apps.yaml", TWO.replace(VIEWER_URI, moved).replace("//viewer", "//twin"))
    changed = program.call("plan", "manifests", "--sandbox", "--detailed-exitcode")
    assert changed.code == 2
    assert "~ update   Digital Twin Viewer  viewer  breaks clients\n" in changed.out
    assert f'redirect_uri  "{VIEWER_URI}" → "{moved}"\n' in changed.out
    assert "Plan: 1 to update, 1 in sync.\n" in changed.out

    updated = program.call("apply", "manifests", "--sandbox", "--auto-approve")
    assert "done  update  Digital Twin Viewer  redirect_uri, base_url changed\n" in updated.out
    assert program.call("plan", "manifests", "--sandbox", "--detailed-exitcode").code == 0

    fetched = program.run("creds", "get", "viewer", "--sandbox")
    assert (fetched.code, fetched.err) == (0, "")
    with serving(program.state) as services:
        assert fetched.out.split() == [word for pair in services.credential("viewer").items() for word in pair]
        assert services.proves("viewer", moved)


def test_every_stage_of_nexus_works_from_end_to_end(tmp_path: Path) -> None:
    for stage in ("v1", "v1-deprecated", "v2", "v2-array"):
        with serving(stage=stage) as services:
            program = Program(tmp_path, services.environ)
            program.write("apps.yaml", TWO)
            assert program.call("apply", "apps.yaml", "--yes").code == 0
            program.write("apps.yaml", TWO.replace("3-D viewer of plant models", "Another"))
            assert "description changed" in program.call("apply", "apps.yaml", "--yes").out
            assert "Nothing to do" in program.call("apply", "apps.yaml", "--yes").out
            assert services.proves("viewer", VIEWER_URI)
            assert services.proves("sensor-catalogue", CATALOGUE_URI)
            assert {found["description"] for found in services.registered()} == {"Another", ""}


# ── the other commands ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def applied(connected: Program) -> Program:
    """Both applications are registered and stored."""
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    return connected


def test_status_has_all_three_sides(applied: Program, services: Services) -> None:
    compared = applied.call("status", "--manifests", "apps.yaml")
    assert (compared.code, compared.err) == (0, "")
    header, *rows = compared.out.splitlines()[4:]
    assert header.split() == ["STATE", "NAME", "PATH", "MANIFEST", "NEXUS", "VAULT"]
    assert [re.split("  +", row) for row in rows] == [
        ["in sync", "Sensor Catalogue", "sensor-catalogue", "declared", "living", "stored v1"],
        ["in sync", "Digital Twin Viewer", "viewer", "declared", "living", "stored v1"],
    ]
    assert len({row.index("declared") for row in rows} | {header.index("MANIFEST")}) == 1

    services.set_archived("Sensor Catalogue")
    blocked = applied.call("status", "--manifests", "apps.yaml", "--detailed-exitcode")
    assert blocked.code == 2
    assert "sensor-catalogue: somebody archived it in Nexus" in blocked.out
    assert "\n  → registrar restore sensor-catalogue" in blocked.out
    one = applied.call("status", "--manifests", "apps.yaml", "Digital Twin Viewer")
    assert "Sensor Catalogue" not in one.out


def test_without_manifests_status_and_show_say_so(applied: Program) -> None:
    for command in (("status",), ("show", "viewer")):
        alone = applied.call(*command)
        assert alone.code == 0
        assert "Digital Twin Viewer" in alone.out
        (line,) = alone.err.splitlines()
        assert line.startswith("No manifests to compare with")
    applied.write("registrar.yaml", "manifests: declared\n")
    applied.write("declared/apps.yaml", TWO)
    known = applied.call("status")
    assert known.err == ""
    assert known.out.count("in sync") == 2


def test_show_has_every_side_of_one(applied: Program) -> None:
    applied.write("apps.yaml", TWO.replace("auth/callback", "other"))
    shown = applied.call("show", "Sensor Catalogue", "--manifests", "apps.yaml").out
    assert shown.startswith("Sensor Catalogue  (drift)\n  secret/nexus/sensor-catalogue\n")
    assert re.search(rf"≠ redirect_uri +https://sensors.example.org/other +{CATALOGUE_URI} +{CATALOGUE_URI}\n", shown)
    assert re.search(r"client id +[\w-]{43}\n", shown)
    assert re.search(r"v1 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC  readable\n", shown)
    assert f'redirect_uri  "{CATALOGUE_URI}" → "https://sensors.example.org/other"' in shown


def test_show_of_a_name_that_two_have_asks_for_the_path(applied: Program) -> None:
    applied.write("apps.yaml", TWO.replace("path: viewer", "path: moved"))
    for command in (("show", "--manifests", "apps.yaml"), ("status", "--manifests", "apps.yaml")):
        found = applied.call(*command, "Digital Twin Viewer", "-o", "json")
        assert found.document
        if command[0] == "show":
            assert found.code == 64
            assert found.err == (
                "registrar: 'Digital Twin Viewer' is the name of several: moved, viewer\n  → give the path\n"
            )


def test_recover_finishes_what_is_half_done_and_says_when_nothing_is(applied: Program, services: Services) -> None:
    nothing = applied.call("recover", "--yes")
    assert (nothing.code, nothing.out, nothing.err) == (
        0,
        "Nothing to recover: no run has left anything half done.\n",
        "",
    )
    domain = services.records()[f"nexus/{LOCK}"]["versions"]["1"]["data"]["domain"]
    mark = f"registrar/1 {domain} {'r' * 16} lost being registered; if this stays: registrar recover"
    services.by_hand.create({"name": "Lost", "redirect_uri": "https://lost.example.org/cb", "description": mark})
    found = applied.call("plan", "apps.yaml")
    assert "& recover  lost" in found.out
    recovered = applied.call("recover", "--yes")
    assert recovered.code == 0, recovered.err
    assert "done  recover  lost  removed" in recovered.out
    assert {made["name"] for made in services.registered()} == {"Digital Twin Viewer", "Sensor Catalogue"}


def test_schema_and_validate_need_nothing(program: Program) -> None:
    schema = program.call("schema")
    assert (schema.code, schema.err) == (0, "")
    assert json.loads(schema.out)["title"] == "registrar manifest"
    program.write("apps.yaml", TWO)
    assert program.call("validate", "apps.yaml").out == "2 applications in 1 file: valid\n"
    assert program.call("validate", "-", stdin=TWO.encode()).out == "2 applications in 1 file: valid\n"
    program.write("apps.yaml", TWO.replace("twin-team@example.org", "nobody"))
    wrong = program.call("validate", "apps.yaml")
    assert wrong.code == 4
    assert "apps.yaml:5:18: error AP004: " in wrong.out


def test_fail_level_decides_whether_a_warning_fails(program: Program) -> None:
    program.write("apps.yaml", TWO.replace("    owner_email: sensors@example.org\n", ""))
    assert program.call("validate", "apps.yaml").code == 0
    assert program.call("validate", "apps.yaml", "--fail-level", "warning").code == 4


def test_plan_without_nexus_needs_no_key(applied: Program) -> None:
    for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del applied.environ[name]
    kept = applied.call("plan", "apps.yaml", "--without-nexus")
    assert kept.code == 0
    assert "Nexus not asked" in kept.out
    assert "Digest" not in kept.out
    assert "Nothing to do: 2 applications in sync." in kept.out
    elsewhere = applied.call("plan", "apps.yaml", "--without-nexus", "--nexus-url", "https://nexus.example.org")
    assert "Plan: 2 blocked." in elsewhere.out
    del applied.environ["NEXUS_URL"]
    unknown = applied.call("plan", "apps.yaml", "--without-nexus")
    assert unknown.code == 64
    assert "no Nexus: " in unknown.err


def test_creds_get_by_field_by_name_and_masked_on_a_terminal(applied: Program, services: Services) -> None:
    stored = services.credential("viewer")
    assert applied.call("creds", "get", "viewer", "--field", "client_secret").out == stored["client_secret"] + "\n"
    assert applied.call("creds", "get", "digital twin VIEWER", "--field", "client_id").out == stored["client_id"] + "\n"
    document = applied.call("creds", "get", "viewer", "-o", "json").document
    assert document | stored == document
    assert document["location"] == "secret/nexus/viewer"

    masked = applied.on_terminal("creds", "get", "viewer")
    assert masked.code == 0
    assert stored["client_id"] in masked.out
    assert "********" in masked.out
    assert "add --reveal to see it" in masked.out
    alone = applied.on_terminal("creds", "get", "viewer", "--field", "client_secret")
    document_on_terminal = applied.on_terminal("creds", "get", "viewer", "-o", "json")
    for shown in (masked, alone, document_on_terminal):
        assert stored["client_secret"] not in shown.out
    assert stored["client_secret"] in applied.on_terminal("creds", "get", "viewer", "--reveal").out


def test_creds_get_works_for_whoever_may_read_that_path_alone(applied: Program, services: Services) -> None:
    policy = 'path "secret/data/nexus/viewer" { capabilities = ["read"] }'
    applied.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()
    for name in ("NEXUS_URL", "NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del applied.environ[name]
    assert applied.call("creds", "get", "viewer", "--field", "client_id").code == 0
    refused = applied.call("creds", "get", "sensor-catalogue")
    assert refused.code == 3
    assert "secret/data/nexus/sensor-catalogue" in refused.err


def test_verbose_tells_every_request_and_only_adds_to_stderr(applied: Program) -> None:
    quiet, loud = applied.call("plan", "apps.yaml"), applied.call("-v", "plan", "apps.yaml")
    assert loud.out == quiet.out
    assert re.search(r"^GET /api/v2/oauth/applications\?\S+ 200 \d+ ms$", loud.err, re.MULTILINE)
    assert re.search(r"^GET /v1/secret/data/nexus/.registrar/lock 200 \d+ ms$", loud.err, re.MULTILINE)


def test_help_is_asked_for_or_offered(program: Program) -> None:
    asked = program.call("--help")
    assert asked.code == 0
    assert "Use a credential:" in asked.out
    for words, section in (((), "Change:\n"), (("creds",), "Commands:\n"), (("init",), "Commands:\n")):
        offered = program.call(*words)
        assert (offered.code, offered.out) == (64, "")
        assert section in offered.err
    assert program.call("--version").out.startswith("registrar ")


def test_output_in_a_locale_that_cannot_print_it(program: Program) -> None:
    program.environ |= {"PYTHONIOENCODING": "latin-1:strict"}
    program.write("apps.yaml", TWO + "    unknown: x\n")
    printed = program.run("validate", "apps.yaml")
    assert printed.code == 4
    assert "\\u2192" in printed.out
    assert printed.err == ""


# ── JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

COMMANDS: dict[str, tuple[str, ...]] = {
    "findings": ("validate", "apps.yaml"),
    "plan": ("plan", "apps.yaml"),
    "report": ("apply", "apps.yaml", "--yes"),
    "status": ("status", "--manifests", "apps.yaml"),
    "application": ("show", "viewer", "--manifests", "apps.yaml"),
    "credential": ("creds", "get", "viewer"),
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_json_is_one_document_also_on_failure(kind: str, applied: Program, services: Services) -> None:
    words = COMMANDS[kind]
    assert applied.call(*words, "-o", "json").document["kind"] == kind
    for failing in (("--no-such-flag",), ("--timeout", "soon"), ("--target", "nowhere")):
        wrong = applied.call(*words, *failing, "--output=json")
        assert wrong.code == 64
        assert wrong.document["error"]["exit_code"] == 64
        assert wrong.err.startswith(f"registrar: {wrong.document['error']['message']}\n")
    if kind != "findings":
        services.root.do("POST", "sys/seal", {})
        sealed = applied.call(*words, "-ojson")
        assert sealed.code == 3
        assert sealed.document["error"]["hint"] == "have an operator unseal it, then try again"
        assert sealed.err.startswith("registrar: Vault is sealed\n")


def test_the_documents_have_what_a_pipeline_needs(connected: Program) -> None:
    connected.write("apps.yaml", TWO)
    planned = connected.call("plan", "apps.yaml", "-o", "json").document
    assert [(step["operation"], step["path"]) for step in planned["steps"]] == [
        ("create", "sensor-catalogue"),
        ("create", "viewer"),
    ]
    report = connected.call("apply", "apps.yaml", "--yes", "-o", "json", "--expect", planned["digest"])
    assert report.code == 0, report.err
    assert report.document["plan"]["digest"] == planned["digest"]
    assert [(found["path"], found["status"], found["location"]) for found in report.document["outcomes"]] == [
        ("sensor-catalogue", "done", "secret/nexus/sensor-catalogue"),
        ("viewer", "done", "secret/nexus/viewer"),
    ]
    assert report.err.count(": done") == 2
    table = connected.call("status", "--manifests", "apps.yaml", "-o", "json").document
    assert [row["state"] for row in table["rows"]] == ["in sync", "in sync"]
    recovered = connected.call("recover", "--yes", "-o", "json").document
    assert (recovered["outcomes"], recovered["exit_code"]) == ([], 0)


CODES = {
    "in sync": (0, ("plan", "apps.yaml", "--detailed-exitcode")),
    "applied": (0, ("apply", "apps.yaml", "--yes")),
    "pending": (2, ("plan", "new.yaml", "--detailed-exitcode")),
    "in vain": (2, ("status", "--manifests", "new.yaml", "--detailed-exitcode")),
    "blocked": (1, ("apply", "blocked.yaml", "--yes")),
    "blocked, planned": (0, ("plan", "blocked.yaml")),
    "invalid": (4, ("apply", "invalid.yaml", "--yes")),
    "validated": (4, ("validate", "invalid.yaml")),
    "brake": (5, ("apply", "apps.yaml", "--yes", "--allow-replace", "1")),
    "stale": (6, ("apply", "new.yaml", "--yes", "--expect", "0" * 32)),
    "unknown": (64, ("show", "nobody")),
    "nobody there": (64, ("apply", "new.yaml")),
    "no such": (64, ("plan", "nowhere.yaml")),
}


@pytest.mark.parametrize("case", CODES)
def test_the_exit_code_does_not_depend_on_the_format(case: str, applied: Program, services: Services) -> None:
    applied.write("new.yaml", TWO.replace("3-D viewer", "4-D viewer"))
    applied.write("blocked.yaml", TWO.replace("path: viewer", "path: other"))
    applied.write("invalid.yaml", TWO + "    unknown: x\n")
    services.root.do("POST", "secret/data/nexus/other", {"data": {"key": "somebody's"}})
    code, words = CODES[case]
    text, machine = applied.call(*words), applied.call(*words, "-o", "json")
    assert (text.code, machine.code) == (code, code), text.err
    assert machine.document["schema_version"] == 1


# ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_a_terminal_it_asks_and_yes_carries_it_out(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    asked = connected.on_terminal("apply", "apps.yaml", answers=["y"])
    shown = ANSI.sub("", asked.out)
    assert asked.code == 0
    assert shown.index("Plan: 2 to create.") < shown.index("Carry out this plan? [y/N]: ") < shown.index("2 done")
    assert len(services.registered()) == 2
    in_sync = connected.on_terminal("apply", "apps.yaml")
    assert in_sync.code == 0
    assert "Carry out" not in in_sync.out


def test_no_means_no(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    before = services.dump()
    for answer in ("n", ""):
        refused = connected.on_terminal("apply", "apps.yaml", answers=[answer])
        assert refused.code == 1
        assert "Nothing was changed." in refused.out
    assert services.dump() == before
    assert not services.nexus or not any("applications" in effect for effect in services.nexus.effects())


def test_what_changes_while_it_asks_is_stale(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)

    def meanwhile() -> str:
        services.by_hand.create({"name": "Digital Twin Viewer", "redirect_uri": VIEWER_URI})
        return "y"

    stale = connected.on_terminal("apply", "apps.yaml", answers=[meanwhile])
    assert stale.code == 6
    assert "the plan has changed since it was shown" in stale.out
    assert len(services.registered()) == 1


def test_without_a_terminal_it_does_not_ask(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    for answer in (None, "y\n"):
        alone = connected.run("apply", "apps.yaml", stdin=answer)
        assert alone.code == 64
        assert alone.out == ""
        assert "\n  → add --yes" in alone.err
    assert services.registered() == []
    typed = connected.on_terminal("apply", "-")  # the terminal cannot be both the manifest and the answer
    assert typed.code == 64


# ── which, and how much ───────────────────────────────────────────────────────────────────────────────────────────────


def test_expect_takes_the_reviewed_plan_and_no_other(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    planned = connected.call("plan", "apps.yaml").out
    digest = planned.splitlines()[-1].removeprefix("Digest: ")
    connected.write("apps.yaml", TWO.replace("3-D", "4-D"))
    stale = connected.call("apply", "apps.yaml", "--yes", "--expect", digest)
    assert stale.code == 6
    assert digest in stale.err
    assert "  → registrar plan" in stale.err
    assert services.registered() == []
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes", "--expect", digest).code == 0


def test_only_does_just_these(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", many(4))
    some = connected.call("apply", "apps.yaml", "--yes", "--only", "app-1", "--only", "App 3")
    assert some.code == 0
    assert "Plan: 2 to create.\n" in some.out
    assert sorted(found["name"] for found in services.registered()) == ["App 1", "App 3"]


def test_one_that_was_deleted_behind_us_needs_its_exact_number(applied: Program, services: Services) -> None:
    services.delete("Digital Twin Viewer")
    before = services.dump()
    for flag in ((), ("--allow-replace", "2")):
        braked = applied.call("apply", "apps.yaml", "--yes", *flag)
        assert braked.code == 5
        assert "+ create   Digital Twin Viewer  viewer  breaks clients\n" in braked.out
        assert braked.err.endswith("  → if that is meant: registrar apply --allow-replace 1\n")
    assert services.dump() == before
    assert applied.call("apply", "apps.yaml", "--yes", "--allow-replace", "1").code == 0
    assert services.proves("viewer", VIEWER_URI)


def test_many_steps_that_break_clients_need_their_exact_number(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", many(10))
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    connected.write("apps.yaml", re.sub("(app[0-3].example.org/)oauth", r"\1other", many(10)))
    before = services.dump()
    braked = connected.call("apply", "apps.yaml", "--yes")
    assert braked.code == 5
    assert braked.err.endswith("  → if that is meant: registrar apply --allow-breaking 4\n")
    assert services.dump() == before
    assert connected.call("apply", "apps.yaml", "--yes", "--allow-breaking", "4").code == 0


def test_a_blocked_row_names_its_way_out_and_the_others_go_on(connected: Program, services: Services) -> None:
    services.root.do("POST", "secret/data/nexus/viewer", {"data": {"key": "somebody's"}})
    services.by_hand.create({"name": "sensor CATALOGUE", "redirect_uri": CATALOGUE_URI})
    connected.write("apps.yaml", TWO + "  - {name: Third, redirect_uri: 'https://third.example.org/cb'}\n")
    done = connected.call("apply", "apps.yaml", "--yes")
    assert done.code == 1
    assert "! blocked  Digital Twin Viewer  viewer\n" in done.out
    assert "→ registrar adopt viewer --client-id ID, or set another path\n" in done.out
    assert "was registered by hand: id 1" in done.out
    assert re.search(r"^done +create +Third +secret/nexus/third$", done.out, re.MULTILINE)
    assert re.search("^blocked +Digital Twin Viewer +secret/nexus/viewer holds data", done.out, re.MULTILINE)
    assert done.out.endswith("\n1 done, 2 blocked\n")


def test_the_lock_of_another_run_is_waited_for_not_for_ever(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    vault = Vault(services.running.vault_addr, token=Secret(services.running.vault_token))
    with contextlib.closing(vault), lock.take(vault, holder="the night shift", domain=lambda: ""):
        began = time.monotonic()
        for words in (("apply", "apps.yaml"), ("recover",)):
            held = connected.call(*words, "--yes", "--lock-timeout", "1")
            assert held.code == 6
            assert held.err == (
                "Waiting for another run: the night shift\n"
                "registrar: another run holds the lock: the night shift\n"
                "  → wait for it, or give --lock-timeout more seconds\n"
            )
        assert time.monotonic() - began < 5
        assert connected.call("plan", "apps.yaml").code == 0  # reading takes no lock
    assert services.registered() == []


def test_who_holds_the_lock_has_no_name_in_some_containers(
    connected: Program, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected.write("apps.yaml", TWO)

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000740000")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    assert f"user {os.getuid()} on " in str(services.records()[f"nexus/{LOCK}"]["versions"])


# ── the sandbox in the foreground ─────────────────────────────────────────────────────────────────────────────────────


def test_the_sandbox_serves_every_terminal_until_it_is_ended(program: Program) -> None:
    program.write("apps.yaml", TWO)
    with foreground(program, "--nexus", "v1", "--nexus-port", "0", "--vault-port", "0") as (process, ready):
        assert ready["kind"] == "sandbox"
        program.environ |= exported(ready)
        applied = program.run("apply", "apps.yaml", "--yes", "-v")
        assert applied.code == 0, applied.err
        assert "POST /api/v1/oauth/applications 200" in applied.err
        beside = program.call("status", "--manifests", "apps.yaml")
        assert beside.out.count("in sync") == 2
        embedded = program.call("plan", "apps.yaml", "--sandbox", "--detailed-exitcode")  # the same state
        assert embedded.code == 0, embedded.out
        process.send_signal(signal.SIGTERM)
        ended = finished(process)
        assert ended.code == 0
        assert f"\nexport VAULT_ADDR={ready['vault_addr']}\n" in ended.err
    assert program.call("plan", "apps.yaml").code == 3  # nobody serves there any more
    with foreground(program) as (process, again):
        assert again == ready  # the same ports, keys and all
        process.send_signal(signal.SIGINT)
        assert finished(process).code == 0


def test_a_sandbox_in_memory_leaves_no_file(program: Program) -> None:
    with foreground(program, "--state", ":memory:", "--nexus-port", "0", "--vault-port", "0") as (process, ready):
        program.environ |= exported(ready)
        assert "No applications yet." in program.call("status").out
        process.terminate()
        assert finished(process).code == 0
    assert files(program.home) == set()
    assert files(program.folder) == set()


def test_a_sandbox_that_cannot_start_says_why(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag in ("--nexus-port", "--vault-port"):
            busy = program.run("sandbox", flag, str(port))
            assert (busy.code, busy.out) == (64, "")
            assert busy.err == (
                f"registrar: the sandbox cannot listen on port {port}: Address already in use\n"
                "  → registrar sandbox --nexus-port 0 --vault-port 0, for any that are free\n"
            )
    program.write("notes.txt", "no database " * 1000)
    for state, reason in ((".", "Is a directory"), ("notes.txt", "file is not a database")):
        refused = program.run("sandbox", "--state", state)
        assert refused.code == 64
        expected = f"registrar: the sandbox cannot keep its state in {state}: {reason}\n  → name a file with --state\n"
        assert refused.err == expected
    contradiction = program.call("plan", "--sandbox", "--vault-addr", "https://vault.example.org", ".")
    assert contradiction.code == 64
    assert "--vault-addr" in contradiction.err

"""`registrar policy` as somebody who administers Vault runs it: offline, and ready to be piped."""

from __future__ import annotations

import pytest

from tests.cli.manifests import TWO
from tests.cli.program import Program

PLANNER = """\
# how long the token lives
path "auth/token/lookup-self" { capabilities = ["read"] }
# what it may do
path "sys/capabilities-self" { capabilities = ["update"] }
# the facts about the records, which hold no secret
path "secret/metadata/nexus/*" { capabilities = ["read", "list"] }
# the same in one answer a folder; OpenBao has it
path "secret/detailed-metadata/nexus/*" { capabilities = ["list"] }
# whether a run is at work
path "secret/data/nexus/.registrar/lock" { capabilities = ["read"] }
"""
REGISTRAR_YAML = """\
manifests: apps.yaml
targets:
  dev:
    vault_addr: https://vault.example.org
    vault_mount: team/kv
    vault_prefix: nexus/dev
    nexus_credentials: {credentials}
"""


def test_one_role_is_its_policy_and_nothing_else(program: Program) -> None:
    printed = program.call("policy", "--for", "planner")
    assert (printed.code, printed.out, printed.err) == (0, PLANNER, "")


def test_without_a_role_each_is_below_the_command_that_takes_it(program: Program) -> None:
    printed = program.call("policy")
    assert [line for line in printed.out.splitlines() if "vault policy write" in line] == [
        f"# ── vault policy write registrar-{role} - ──" for role in ("planner", "applier", "developer")
    ]
    assert PLANNER in printed.out
    assert 'path "secret/data/nexus/NAME" { capabilities = ["read"] }' in printed.out


@pytest.mark.parametrize(
    ("credentials", "path"),
    [
        ("team/kv/nexus-dev", "team/kv/data/nexus-dev"),
        ("secret/registrar/nexus-dev", "secret/data/registrar/nexus-dev"),
    ],
)
def test_the_target_says_where_everything_is(program: Program, credentials: str, path: str) -> None:
    program.write("registrar.yaml", REGISTRAR_YAML.format(credentials=credentials))
    program.write("apps.yaml", TWO)
    printed = program.call("policy", "--with-nexus", "Digital Twin Viewer", "sensor-catalogue")
    assert printed.code == 0, printed.err
    assert "vault policy write registrar-applier-dev -" in printed.out
    assert 'path "team/kv/metadata/nexus/dev/*" { capabilities = ["create", "read", "update", "list"] }' in printed.out
    assert printed.out.count(f'path "{path}" {{ capabilities = ["read"] }}') == 2
    for name in ("viewer", "sensor-catalogue"):
        assert f'path "team/kv/data/nexus/dev/{name}" {{ capabilities = ["read"] }}' in printed.out


def test_variables_and_flags_count_and_no_address_is_needed(program: Program) -> None:
    program.environ |= {"REGISTRAR_VAULT_MOUNT": "kv", "REGISTRAR_VAULT_PREFIX": "a/b"}
    assert '"kv/metadata/a/b/*"' in program.call("policy", "--for", "applier").out
    assert '"kv/metadata/c/*"' in program.call("policy", "--for", "applier", "--vault-prefix", "c").out
    program.write("registrar.yaml", REGISTRAR_YAML.format(credentials="secret/x"))
    assert program.call("policy").code == 64, "the variable contradicts the target"


def test_a_document_for_machines(program: Program) -> None:
    found = program.call("policy", "viewer", "-o", "json").document["policies"]
    assert list(found) == ["planner", "applier", "developer"]
    assert found["developer"][1] == {
        "path": "secret/data/nexus/viewer",
        "capabilities": ["read"],
        "why": "the credential, and the facts that come with it",
    }


def test_the_sandbox_has_policies_too(program: Program) -> None:
    assert program.call("--sandbox", "policy", "--for", "planner").out == PLANNER


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "developer"), "the applications that you name\n  → registrar policy --for developer NAME"),
        (("--for", "applier", "viewer"), "is for all records\n  → registrar policy --for applier"),
        (("--with-nexus",), "where in Vault the key for Nexus is\n  → in registrar.yaml: nexus_credentials"),
        (("*",), "no manifest declares an application called '*'\n  → give its path"),
        (("viewer/+",), "no manifest declares"),
        (("../other",), "no manifest declares"),
        (("--for", "admin"), "'admin' is not one of"),
    ],
)
def test_what_cannot_be_meant(program: Program, words: tuple[str, ...], said: str) -> None:
    refused = program.call("policy", *words)
    assert (refused.code, refused.out) == (64, "")
    assert said in refused.err

"""`handover`: what an owner is told, with a token that cannot read one secret."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from markdown_it import MarkdownIt

from registrar.cli import main
from registrar.client import Home
from registrar.handover import Handover, handover, handover_markdown, handover_text
from registrar.model import Facts, Former, Record, Target, Version
from registrar.policy import Role, grants, hcl
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO, VIEWER_URI
from tests.cli.program import Program, Result
from tests.cli.services import Services
from tests.contract.wire import unused_port

FORMATS = ("text", "markdown", "json")


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
    planner = hcl(grants(Role.PLANNER, "secret", "nexus"))
    connected.environ["VAULT_TOKEN"] = services.root.token(planner, "nexus").reveal()
    return connected


def told(program: Program, *words: str, form: str = "text") -> Result:
    result = program.call("handover", *words, "-o", form)
    assert result.code == 0, result
    return result


def verbatim(text: str) -> list[str]:
    """The lines to be copied, as a mail shows them."""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def code(markdown: str) -> list[str]:
    """The same as a reader of Markdown gets them."""
    return [
        line for token in MarkdownIt().parse(markdown) if token.type == "fence" for line in token.content.splitlines()
    ]


def settle(vault: Vault, **changes: Any) -> None:
    facts = vault.one("viewer").facts
    assert facts
    vault.settle("viewer", replace(facts, **changes), None)


# ── what is told ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_owner_is_told_everything_but_the_secret(applied: Program, services: Services) -> None:
    stored = services.credential("viewer")
    document = told(applied, "viewer", form="json").document
    nexus = services.environ["NEXUS_URL"]
    assert document["client_id"] == stored["client_id"]
    assert (document["name"], document["path"], document["owner"]) == (
        "Digital Twin Viewer", "viewer", "twin-team@example.org",
    )  # fmt: skip
    assert (document["redirect_uri"], document["nexus"]) == (VIEWER_URI, nexus)
    assert document["authorize_url"] == f"{nexus}/api/oauth/authorize"
    assert document["exchange_url"] == f"{nexus}/api/v1/oauth/exchange"
    assert document["vault"] == {
        "address": services.environ["VAULT_ADDR"],
        "namespace": "",
        "mount": "secret",
        "prefix": "nexus",
        "key": "nexus/viewer",
        "location": "secret/nexus/viewer",
        "policy": 'path "secret/data/nexus/viewer" { capabilities = ["read"] }',
    }
    assert (document["grace"], document["contact"]) == (None, None)
    for form in FORMATS:
        assert stored["client_secret"] not in told(applied, "viewer", form=form).out


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_the_text_and_the_markdown_have_what_the_document_has(applied: Program, form: str) -> None:
    document = told(applied, "viewer", form="json").document
    result = told(applied, "Digital Twin Viewer", form=form)
    copied = verbatim(result.out) if form == "text" else code(result.out)
    for label, key in (("client id", "client_id"), ("redirect URI", "redirect_uri"), ("Nexus", "nexus")):
        assert [line.split()[-1] for line in copied if line.startswith(label)] == [document[key]]
    for line in (document["vault"]["policy"], *document["commands"].values()):
        assert line in copied
    assert f"export VAULT_ADDR={document['vault']['address']}" in copied
    prose = " ".join(result.out.replace("\\_", "_").split())
    for said in (
        "byte for byte",
        "query string",
        "For a grace",
        "bao login",
        "NEXUS_CLIENT_SECRET",
        "not in this message",
    ):
        assert said in prose
    assert "Whom to ask" not in prose


def test_a_mail_has_no_wide_paragraph(applied: Program) -> None:
    lines = told(applied, "viewer").out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("    ")) <= 76
    assert not [line for line in lines if line != line.rstrip()]


def test_its_owner_is_named_to_whoever_sends_it(applied: Program, vault: Vault) -> None:
    assert told(applied, "viewer").err == "For twin-team@example.org; it holds no secret.\n"
    settle(vault, owner="")
    assert told(applied, "viewer").err == ""


def test_the_commands_are_ones_that_there_are(applied: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """But for `exec`, whose words after -- are another's, each is asked for its help."""
    commands = told(applied, "viewer", form="json").document["commands"]
    for name in ("policy", "fetch", "template", "try"):
        words = shlex.split(commands[name])
        assert words[0] == "registrar"
        assert main([*words[1:], "--help"]) == 0
        assert capsys.readouterr().out
    assert commands["run"] == "registrar exec viewer -- COMMAND"
    printed = applied.call(*shlex.split(commands["policy"])[1:])
    assert told(applied, "viewer", form="json").document["vault"]["policy"] in printed.out


def test_another_place_is_told_in_variables_and_the_policy_by_its_target(
    connected: Program, services: Services
) -> None:
    services.root.mount(name="kv")
    connected.write("apps.yaml", TWO)
    place = {"vault_mount": "kv", "vault_prefix": "n/prod"}
    flags = ("--vault-mount", "kv", "--vault-prefix", "n/prod")
    assert connected.call("apply", "apps.yaml", "--yes", *flags).code == 0
    undeclared = told(connected, "viewer", *flags, form="json").document
    assert undeclared["commands"]["policy"] == f"registrar policy --for developer viewer {' '.join(flags)}"
    assert undeclared["commands"]["kv"] == "vault kv get kv/n/prod/viewer"
    assert undeclared["environment"] == {
        "NEXUS_URL": services.environ["NEXUS_URL"],
        "VAULT_ADDR": services.environ["VAULT_ADDR"],
        "REGISTRAR_VAULT_MOUNT": "kv",
        "REGISTRAR_VAULT_PREFIX": "n/prod",
    }
    file = {"contact": "ask-us@example.org", "targets": {"prod": place, "dev": {}}}
    connected.write("registrar.yaml", json.dumps(file))
    declared = told(connected, "viewer", "--target", "prod", form="json").document
    assert declared["commands"]["policy"] == "registrar policy --for developer viewer --target prod"
    assert declared["contact"] == "ask-us@example.org"
    assert told(connected, "viewer", "-t", "prod").out.endswith("Whom to ask\n-----------\n\n    ask-us@example.org\n")
    (connected.folder / "registrar.yaml").unlink()
    connected.environ |= declared["environment"]
    fetched = connected.call(*shlex.split(declared["commands"]["fetch"])[1:], "--field", "client_id")
    assert fetched.out.strip() == declared["client_id"], "as its receiver does it, from any folder"


def test_the_place_is_told_with_its_namespace() -> None:
    found = invented(target=replace(TARGET, vault_namespace="org/team"))
    assert "    namespace  org/team\n" in handover_text(found)
    assert "    export VAULT_NAMESPACE=org/team\n" in handover_text(found)
    assert "namespace" not in handover_text(invented())


def test_no_secret_is_read(applied: Program, services: Services) -> None:
    assert services.vault
    services.vault.seen.clear()
    for name in ("viewer", "Digital Twin Viewer"):
        for form in FORMATS:
            told(applied, name, form=form)
    asked = {seen.path for seen in services.vault.seen if "/data/" in seen.path}
    assert asked <= {"/v1/secret/data/nexus/.registrar/lock"}
    assert services.vault.effects() == []


# ── a rotation ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_during_a_grace_it_is_said_until_when_both_work(connected: Program, services: Services, vault: Vault) -> None:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    old = services.credential("viewer")["client_id"]
    assert connected.call("rotate", "viewer", "--yes").code == 0
    until = vault.one("viewer").base.retiring
    assert until
    result = told(connected, "viewer")
    assert f"    old client id  {old}\n    works until    {until.until:%Y-%m-%d %H:%M} UTC\n" in result.out
    assert "Both work until" in " ".join(result.out.split())
    document = told(connected, "viewer", form="json").document
    assert document["client_id"] == services.credential("viewer")["client_id"] != old
    assert document["grace"]["client_id"] == old
    assert datetime.fromisoformat(document["grace"]["until"]) == until.until
    assert old in code(told(connected, "viewer", form="markdown").out)[5]


def test_a_grace_that_is_over_is_not_told_as_one(applied: Program, vault: Vault) -> None:
    settle(vault, retiring=Former("old-client", 1, datetime(2020, 1, 2, 3, 4, tzinfo=UTC)))
    text = told(applied, "viewer").out
    assert "    old client id  old-client\n    grace ended    2020-01-02 03:04 UTC\n" in text
    assert "can stop working at any time" in " ".join(text.split())
    assert "Both work" not in text


# ── what is not known, and what cannot be told ────────────────────────────────────────────────────────────────────────


def test_a_record_of_somebody_else_is_told_as_unknown(applied: Program, services: Services) -> None:
    services.root.do("POST", "secret/data/nexus/theirs", {"data": {"client_id": "x", "client_secret": "y"}})
    text = told(applied, "theirs").out
    assert text.startswith("What is known of the credential at secret/nexus/theirs\n")
    for label in ("Nexus", "client id", "redirect URI", "authorize URL", "exchange URL"):
        assert re.search(rf"^    {label} +unknown$", text, re.MULTILINE)
    assert "somebody else has written" in text
    document = told(applied, "theirs", form="json").document
    unknown = ("client_id", "redirect_uri", "nexus", "authorize_url", "exchange_url", "owner")
    assert [document[key] for key in unknown] == [None] * 6


def test_a_version_newer_than_its_facts_has_an_unknown_client_id(applied: Program, services: Services) -> None:
    services.root.do("POST", "secret/data/nexus/viewer", {"data": {"client_id": "by-hand", "client_secret": "x"}})
    text = told(applied, "viewer").out
    assert re.search(r"^    client id +unknown$", text, re.MULTILINE)
    assert "It comes with the secret" in " ".join(text.split())
    assert VIEWER_URI in text
    assert told(applied, "viewer", form="json").document["client_id"] is None


def failed(program: Program, name: str, code: int) -> str:
    result = program.call("handover", name, "-o", "json")
    assert (result.code, result.document["kind"]) == (code, "error")
    plain = program.call("handover", name, "-o", "markdown")
    assert (plain.code, plain.out) == (code, "")
    return plain.err


def test_a_retired_application_is_an_error_with_the_way_back(connected: Program) -> None:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    assert connected.call("retire", "viewer", "--yes").code == 0
    for name in ("viewer", "Digital Twin Viewer"):
        assert failed(connected, name, 1) == (
            "registrar: Digital Twin Viewer is retired: its credential is withdrawn\n  → registrar restore viewer\n"
        )


def test_a_credential_that_somebody_deleted_and_one_that_never_was(applied: Program, services: Services) -> None:
    services.root.do("POST", "secret/delete/nexus/viewer", {"versions": [1]})
    claimed = {"custom_metadata": {"managed-by": "registrar", "name": "New One", "state": "adopting"}}
    services.root.do("POST", "secret/metadata/nexus/new", claimed)
    for path in ("viewer", "new"):
        said = f"registrar: secret/nexus/{path} holds no credential now\n  → registrar show {path}\n"
        assert failed(applied, path, 1) == said


def test_a_name_that_nothing_has(applied: Program) -> None:
    assert failed(applied, "vieweer", 64) == (
        "registrar: no application is called 'vieweer'\n  → did you mean 'viewer'?\n"
    )


def test_vault_away_sealed_or_refusing(applied: Program, services: Services) -> None:
    with unused_port() as port:
        away = applied.call("handover", "viewer", "--vault-addr", f"http://127.0.0.1:{port}")
    assert (away.code, "check VAULT_ADDR" in away.err) == (3, True)
    developer = hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=["viewer"]))
    applied.environ["VAULT_TOKEN"] = services.root.token(developer, "nexus").reveal()
    assert "secret/metadata/nexus/viewer" in failed(applied, "viewer", 3)
    services.root.do("POST", "sys/seal", {})
    assert applied.call("handover", "viewer", "-o", "json").document["error"]["type"] == "Sealed"


# ── the words ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TARGET = Target("default", "https://nexus.example.org", "https://www.example.org", "https://vault.example.org")
NOW = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


def invented(*, target: Target = TARGET, path: str = "viewer", contact: str = "", **facts: Any) -> Handover:
    described = Facts(**{"name": "Viewer", "client_id": "an-id", "version": 1, "redirect_uri": VIEWER_URI, **facts})
    record = Record(path, NOW, described, 1, (Version(1, NOW),))
    return handover(record, target, contact=contact)


def test_where_the_facts_are_silent_the_target_speaks() -> None:
    assert invented().at == Home(
        "https://nexus.example.org",
        "https://www.example.org/api/oauth/authorize",
        "https://nexus.example.org/api/v1/oauth/exchange",
    )
    moved = invented(nexus="https://old.example.org", frontend="https://old.example.org/ui")
    assert moved.at.authorize_url == "https://old.example.org/ui/api/oauth/authorize"
    assert moved.at.exchange_url == "https://old.example.org/api/v1/oauth/exchange"


HOSTILE = "`x`</b>[a](http://b)*|\n```\n# \x1b[31m_@here"


def test_no_name_and_no_address_ends_its_place_in_markdown() -> None:
    found = invented(name=HOSTILE, redirect_uri="````x", contact="```\n<b>@all")
    text = handover_markdown(found)
    tokens = MarkdownIt().parse(text)
    assert {token.type for token in tokens} <= {
        "heading_open", "inline", "heading_close", "paragraph_open", "paragraph_close", "fence",
        "ordered_list_open", "list_item_open", "list_item_close", "ordered_list_close",
        "bullet_list_open", "bullet_list_close",
    }  # fmt: skip
    inner = {child.type for token in tokens for child in token.children or ()}
    assert inner <= {"text", "text_special", "softbreak"}
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings[1:] == [
        "What your application uses", "Where the secret is", "How to get it", "How a user signs in",
        "What to keep in mind", "Whom to ask",
    ]  # fmt: skip
    assert "redirect URI   ````x" in code(text)
    assert "\x1b" not in text + handover_text(found)


def test_a_path_that_a_shell_would_read_is_quoted() -> None:
    found = invented(path="their app; rm *")
    assert shlex.split(found.commands["fetch"]) == ["registrar", "creds", "get", "their app; rm *"]
    assert shlex.split(found.commands["kv"])[-1] == "secret/nexus/their app; rm *"

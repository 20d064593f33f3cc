"""validate as CI systems call it: its formats, its exit code, and its rules explained."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from registrar.lint import RULES
from tests.cli.program import Program

WARNED = "apps:\n  - {name: A, redirect_uri: 'http://localhost/cb', owner_email: a@example.org}\n"
REFUSED = "apps:\n  - {name: A, redirect_uri: 'http://a.example.org/cb', owner_email: a@example.org}\n"
FORMATS = ("text", "json", "sarif", "junit", "github", "markdown")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.mark.parametrize("output", FORMATS)
def test_the_format_does_not_change_the_exit_code(program: Program, output: str) -> None:
    program.write("good.yaml", WARNED.replace("http://localhost", "https://a.example.org"))
    program.write("warned.yaml", WARNED)
    program.write("refused.yaml", REFUSED)
    for name, level, code in (
        ("good", "warning", 0),
        ("warned", "error", 0),
        ("warned", "warning", 4),
        ("refused", "error", 4),
    ):
        result = program.call("validate", f"{name}.yaml", "-o", output, "--fail-level", level)
        assert (result.code, result.err) == (code, "")
        rule = {"good": "", "warned": "RU007", "refused": "RU003"}[name]
        assert rule in result.out
        assert (output == "github" and name == "good") == (not result.out)


def test_files_are_named_from_the_repository(program: Program) -> None:
    program.write(".git/HEAD", "")
    program.write("apps/a.yaml", REFUSED)
    sarif = json.loads(program.call("validate", str(program.folder / "apps"), "-o", "sarif").out)
    (result,) = sarif["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "apps/a.yaml"
    assert "::error file=apps/a.yaml,line=2," in program.call("validate", "apps", "-o", "github").out
    root = ET.fromstring(program.call("validate", "apps", "-o", "junit").out)
    assert [suite.attrib["name"] for suite in root] == ["apps/a.yaml"]


def test_a_waiver_counts_in_every_command(program: Program) -> None:
    program.write("a.yaml", WARNED.rstrip() + "  # registrar: ignore[RU007,RU009] ours\n")
    assert program.call("validate", "a.yaml", "--fail-level", "warning").code == 0
    targets = "default_target: dev\ntargets:\n  dev: {nexus_url: 'https://n.example.org', vault_prefix: a}\n"
    targets += "  prod: {nexus_url: 'https://m.example.org', vault_prefix: b, production: true}\n"
    program.write("registrar.yaml", targets)
    result = program.call("validate", "a.yaml")
    assert result.code == 4
    assert [line.split(": ", 1)[1] for line in result.out.splitlines() if line.startswith("a.yaml")] == [
        "error RU009: the redirect URI leads to the user's own machine",
        "warning MF003: RU009 is an error here, which no waiver silences",
    ]


@pytest.mark.parametrize("id_", RULES)
def test_a_rule_is_explained(program: Program, id_: str) -> None:
    text = program.call("validate", "--explain", id_.lower())
    assert (text.code, text.err) == (0, "")
    assert text.out.startswith(f"{id_}  {RULES[id_].level}")
    words = " ".join(text.out.split())
    for told in (RULES[id_].title, RULES[id_].reason, RULES[id_].fix, RULES[id_].source):
        assert " ".join(told.split()) in words
    assert (f"ignore[{id_}]" in words) == RULES[id_].waivable
    (rule,) = program.call("validate", "--explain", id_, "-o", "json").document["rules"]
    assert (rule["id"], rule["waivable"]) == (id_, RULES[id_].waivable)


def test_all_rules_are_listed(program: Program) -> None:
    listed = program.call("validate", "--explain", "all", "-o", "json").document["rules"]
    assert [rule["id"] for rule in listed] == list(RULES)
    assert [line[:5] for line in program.call("validate", "--explain", "all").out.splitlines() if line[:1].strip()] == [
        *RULES
    ]
    table = program.call("validate", "--explain", "all", "-o", "markdown").out.splitlines()
    assert [row.split(" | ")[0] for row in table[2:]] == [f"| {id_}" for id_ in RULES]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("AP04",), "did you mean `AP004`?, or `all`"),
        (("RU009", "a.yaml"), "registrar validate --explain RU009"),
        (("RU009", "-o", "sarif"), "registrar validate --explain RU009"),
    ],
)
def test_what_cannot_be_explained(program: Program, words: tuple[str, ...], hint: str) -> None:
    result = program.call("validate", "--explain", *words)
    assert (result.code, result.out) == (64, "")
    assert result.err.endswith(f"\n  → {hint}\n")


def test_every_target_is_checked_where_none_is_the_default(program: Program) -> None:
    places = "dev: {vault_prefix: nexus/dev}, prod: {vault_prefix: nexus/prod, production: true}"
    program.write("registrar.yaml", f"manifests: apps.yaml\ntargets: {{{places}}}\n")
    program.write("apps.yaml", "apps:\n- {name: A, redirect_uri: 'http://127.0.0.1:8080/cb', owner_email: a@b.org}\n")
    result = program.call("validate")
    assert result.code == 4
    assert "RU009" in result.out
    assert program.call("validate", "--target", "dev").code == 0

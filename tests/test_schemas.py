"""The contract of each JSON document: what its schema says, that it says all, and that it notices what it should."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import registrar
from registrar import render, review, schemas, status
from registrar.errors import StepFailed
from registrar.model import Application, Former, Kind, Record, Registered, State, Target
from registrar.plan import Options, Plan
from registrar.schemas.parts import STEPS
from registrar.schemas.shapes import shape, told
from registrar.steps import (
    Adopt,
    Back,
    Blocked,
    Change,
    Create,
    Edit,
    Expire,
    Keep,
    Recover,
    Restore,
    Retire,
    Rotate,
    Step,
    Update,
)
from registrar.wording import error_json
from registrar.world import World
from tests.cli.program import Program
from tests.documents import closed, validated, validator

SOURCE = Path(registrar.__file__).parent
TARGET = Target("dev", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org")
APPLICATION = Application("viewer", "Viewer", "https://viewer.example.org/callback", owner_email="team@example.org")
CHANGE = Change("redirect_uri", "https://old.example.org/callback", APPLICATION.redirect_uri)
FORMER = Former("old", 1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def one_of_each() -> tuple[Step, ...]:
    known: dict[str, Any] = {"path": "viewer", "name": "Viewer", "reason": "it has to be", "version": 2}
    marked = (Registered(7, "id", "Viewer", APPLICATION.redirect_uri),)
    return (
        Keep(**known, note="look at it"),
        Create(**known, application=APPLICATION, replaces="gone"),
        Update(**known, application=APPLICATION, edits=(Edit(7, "id", (CHANGE,)),), facts=(CHANGE,), notes=("no",)),
        Rotate(**known, application=APPLICATION, client_id="id", grace_s=60),
        Back(**known, client_id="id", former=FORMER, grace_s=60),
        Adopt(**known, application=APPLICATION, client_id="id", changes=(CHANGE,)),
        Retire(**known, client_id="id"),
        Restore(**known, client_id="id"),
        Expire(**known, former=FORMER),
        Recover(**known, marked=marked, then="create"),
        Blocked(**known, hint="decide"),
    )


def nodes(found: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema."""
    if isinstance(found, dict):
        yield at, found
        for name, inner in found.items():
            yield from nodes(inner, f"{at}/{name}")
    elif isinstance(found, list):
        for number, inner in enumerate(found):
            yield from nodes(inner, f"{at}/{number}")


# ── what the schemas say ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", schemas.KINDS)
def test_each_is_a_schema_that_tells_what_every_member_means(kind: str) -> None:
    found = schemas.schema(kind)
    Draft202012Validator.check_schema(found)
    assert found["title"] == f"registrar {kind}"
    assert list(found["properties"])[:2] == found["required"][:2] == ["schema_version", "kind"]
    for at, node in nodes(found):
        if isinstance(properties := node.get("properties"), dict) and "type" in node:
            assert set(node["required"]) <= properties.keys(), at
            for name, member in properties.items():
                assert member.get("description", "").endswith((".", ")")), f"{kind}{at}: {name} has no description"
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in found["$defs"], at


def test_every_kind_that_is_printed_has_a_schema() -> None:
    """A new kind fails here until registrar/schemas/documents.py describes it."""
    calls = [
        node.args[0]
        for file in SOURCE.rglob("*.py")
        if "machine(" in (text := file.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "machine"
    ]
    printed = {ast.literal_eval(kind) for kind in calls}
    assert printed == schemas.KINDS.keys() - {"sandbox"}, "which shares no code with what it stands in for"


def test_every_operation_is_described() -> None:
    assert tuple(type(step) for step in one_of_each()) == STEPS
    found = validated(json.loads(render.plan_json(Plan(TARGET, one_of_each(), managed=1))))
    assert found["steps"][4]["former"]["until"] == found["steps"][8]["former"]["until"] == "2026-01-02T03:04:05+00:00"


def test_a_plan_in_a_file_is_one_as_well() -> None:
    written = review.written(Plan(TARGET, one_of_each(), managed=1), ("manifests",), Options(only=("viewer",)))
    assert validated(json.loads(written))["options"]["paths"] == ["manifests"]


def test_the_words_of_the_status_are_all_there() -> None:
    kinds = [Record("x", FORMER.until), *(_record(state) for state in State)]
    assert {status.in_vault(found) for found in [None, *kinds]} <= set(status.IN_VAULT)
    assert {status._SETTLED_WORDS[kind] for kind in Kind} <= set(status.IN_VAULT)
    unasked, asked = World(TARGET, (), None, ()), World(TARGET, (), (), ())
    assert {status._in_nexus(world, "x", None) for world in (unasked, asked)} <= set(status.IN_NEXUS)
    assert status._state(asked, "x", None) in status.STATES


def _record(state: State) -> Record:
    from registrar.model import Facts

    return Record("x", FORMER.until, Facts(state=state))


# ── what they notice ──────────────────────────────────────────────────────────────────────────────────────────────────


def error(**differing: Any) -> dict[str, Any]:
    failed = StepFailed("it failed", hint="again", application="Viewer")
    found: dict[str, Any] = json.loads(error_json(failed, 1))
    return {**found, **differing}


def test_what_is_printed_passes() -> None:
    assert validated(error())["error"]["type"] == "StepFailed"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (error(kind="eror"), "a document of the kind 'eror' is printed: describe it in registrar/schemas"),
        (error(more=1), "'more' was unexpected"),
        (error(error={}), "error: 'type' is a required property"),
        (error(schema_version=2), "1 was expected"),
        ({"kind": "error", "schema_version": 1}, "no document of ours begins with"),
    ],
)
def test_what_no_schema_describes_fails(document: dict[str, Any], told: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(told)):
        validated(document)


@pytest.mark.parametrize(
    ("member", "value", "told"),
    [
        ("until", "2026-01-02 03:04:05+00:00", "is not a 'date-time'"),
        ("until", "2026-13-02T03:04:05Z", "is not a 'date-time'"),
        ("state", "quite right", "is not one of"),
        ("version", "1", "is not of type 'integer'"),
    ],
)
def test_a_wrong_value_fails(member: str, value: object, told: str) -> None:
    from registrar.verify import Row, Verification

    found = json.loads(render.verification_json(Verification((Row("viewer", "Viewer", until=FORMER.until),)), TARGET))
    assert validated(found) is found
    found["credentials"][0][member] = value
    with pytest.raises(AssertionError, match=told):
        validated(found)


def test_of_several_steps_it_says_where_and_what() -> None:
    found = json.loads(render.plan_json(Plan(TARGET, one_of_each(), managed=1)))
    found["steps"][4]["former"]["until"] = "soon"
    with pytest.raises(AssertionError, match="steps/4/former/until: 'soon' is not a 'date-time'"):
        validated(found)
    found["steps"][4] = {**found["steps"][6], "operation": "reitre"}
    with pytest.raises(AssertionError, match="steps/4"):
        validated(found)


def test_a_published_schema_allows_what_comes_later_and_the_tests_do_not() -> None:
    later = error(more=1)
    assert Draft202012Validator(schemas.schema("error")).is_valid(later)
    assert not validator("error").is_valid(later)
    assert closed({"type": "object", "additionalProperties": True}) == {"type": "object", "additionalProperties": True}


def test_a_field_without_a_meaning_is_an_error() -> None:
    @dataclass
    class Thing:
        size: int
        colour: str = ""

    with pytest.raises(LookupError, match="the schema of Thing and its fields differ in: colour"):
        told(Thing, {"size": "How large it is."}, {})
    with pytest.raises(LookupError, match="differ in: weight"):
        told(Thing, {"size": "How large it is.", "colour": "Its colour.", "weight": "How heavy it is."}, {})
    with pytest.raises(LookupError, match="there is no schema for <class 'float'>"):
        shape(float, {})


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.mark.parametrize("kind", schemas.KINDS)
def test_the_command_prints_each(kind: str, program: Program) -> None:
    printed = program.call("schema", kind)
    assert (printed.code, json.loads(printed.out), printed.err) == (0, schemas.schema(kind), "")


def test_without_a_kind_it_is_the_manifest_s(program: Program) -> None:
    assert program.call("schema") == program.call("schema", "manifest")
    assert json.loads(program.call("schema").out)["title"] == "registrar manifest"


def test_it_names_the_kinds(program: Program) -> None:
    listed = [line.split()[0] for line in program.call("schema", "--list").out.splitlines()]
    assert listed == ["manifest", *schemas.KINDS]


def test_a_kind_that_there_is_not(program: Program) -> None:
    near, far = program.call("schema", "raport"), program.call("schema", "zebra")
    assert near.code == far.code == 64
    assert near.err == (
        "registrar: there is no kind of document called 'raport'\n  → did you mean `registrar schema report`?\n"
    )
    assert far.err.endswith("  → registrar schema --list names them\n")

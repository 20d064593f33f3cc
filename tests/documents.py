"""Every JSON document that a test sees is looked at: it is what `registrar schema KIND` says, and nothing more."""

from __future__ import annotations

import functools
import json
import re
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from registrar import schemas

BEGINNING = re.compile(r'\s*\{\s*"schema_version":')
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_FORMATS = FormatChecker(())


@_FORMATS.checks("date-time", ValueError)
def _moment(value: object) -> bool:
    return not isinstance(value, str) or bool(_RFC3339.fullmatch(value) and datetime.fromisoformat(value))


def closed(schema: Any) -> Any:
    """The same schema, with no member but those it names: a published one allows others, that come later."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(inner) for name, inner in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        found.setdefault("additionalProperties", False)
    return _by_word(found) if "oneOf" in found else found


def _by_word(found: dict[str, Any]) -> dict[str, Any]:
    """The same alternatives, looked up by the word that tells them apart: at once, and with an error that says where.

    A validator tries all of them, and where none fits it cannot tell which was meant.
    """
    branches = found["oneOf"]
    names = branches[0]["properties"]
    word = next((name for name in names if all("const" in one["properties"].get(name, {}) for one in branches)), None)
    if word is None:
        return found
    *others, chosen = branches
    for one in reversed(others):
        chosen = {"if": {"properties": {word: one["properties"][word]}}, "then": one, "else": chosen}
    return {name: inner for name, inner in found.items() if name != "oneOf"} | {"allOf": [chosen]}


@functools.cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(closed(schemas.schema(kind)), format_checker=_FORMATS)


def validated(document: dict[str, Any]) -> dict[str, Any]:
    """The document, which begins as all do and is just what its kind's schema describes."""
    assert list(document)[:2] == ["schema_version", "kind"], f"no document of ours begins with {list(document)[:2]}"
    kind = document["kind"]
    assert kind in schemas.KINDS, f"a document of the kind {kind!r} is printed: describe it in registrar/schemas"
    if error := best_match(validator(kind).iter_errors(document)):
        where = "/".join(map(str, error.absolute_path)) or "the document"
        raise AssertionError(
            f"`registrar schema {kind}` does not describe what is printed: {where}: {error.message[:500]}"
        )
    return document


def look(text: str) -> None:
    """Validate the document that a text begins with, if it is one of ours; on a terminal something may follow."""
    if BEGINNING.match(text):
        validated(json.JSONDecoder().raw_decode(text.lstrip())[0])

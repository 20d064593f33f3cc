"""The grammar of JSON Schema as far as it is needed: members with what they mean, types read off annotations.

Owns how a dataclass, an enum or a union of ours looks in a schema. Must never know a document.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_PLAIN: Final[dict[Any, Schema]] = {str: TEXT, int: NUMBER, bool: FLAG, datetime: MOMENT}


def members(described: Mapping[str, tuple[Schema, str]], *, optional: Collection[str] = ()) -> Schema:
    """An object with these members, each with what it means; all but the optional ones are always there."""
    return {
        "type": "object",
        "properties": {name: {**shape, "description": told} for name, (shape, told) in described.items()},
        "required": [name for name in described if name not in optional],
    }


def told(kind: type, meanings: Mapping[str, str], parts: Mapping[type, str]) -> dict[str, tuple[Schema, str]]:
    """The fields of a dataclass as members; LookupError where one has no meaning here, or a meaning no field."""
    hints, names = typing.get_type_hints(kind), [field.name for field in fields(kind)]
    if odd := sorted(set(names) ^ meanings.keys()):
        raise LookupError(f"the schema of {kind.__name__} and its fields differ in: {', '.join(odd)}")
    return {name: (shape(hints[name], parts), meanings[name]) for name in names}


def shape(annotation: Any, parts: Mapping[type, str]) -> Schema:
    """The schema of what an annotation allows; `parts` are the classes that have a definition, with its name."""
    if annotation in parts:
        return part(parts[annotation])
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, enum.StrEnum):
        return words(annotation)
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        if inner[1:] == (...,):
            return array(shape(inner[0], parts))
        return {"type": "array", "prefixItems": [shape(one, parts) for one in inner], "items": False}
    if typing.get_origin(annotation) in (types.UnionType, typing.Union) and inner[1:] == (types.NoneType,):
        return nullable(shape(inner[0], parts))
    raise LookupError(f"there is no schema for {annotation}")


def words(found: Iterable[str]) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(dict.fromkeys(map(str, found)))}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def counts(names: Iterable[str], *, always: bool) -> Schema:
    """How many there are of each; where not always, one of which there is none is left out."""
    named = words(names)
    found: Schema = {"type": "object", "propertyNames": named, "additionalProperties": COUNT}
    return {**found, "required": named["enum"]} if always else found


def nullable(found: Schema) -> Schema:
    """That, or null."""
    if isinstance(found.get("type"), str) and "enum" not in found:
        return {**found, "type": [found["type"], "null"]}
    return {"anyOf": [found, {"type": "null"}]}


def part(name: str) -> Schema:
    """What is defined once, under this name."""
    return {"$ref": f"#/$defs/{name}"}


def parts_in(found: Any) -> Iterator[str]:
    """The names of the definitions that a schema uses by itself."""
    if isinstance(found, dict):
        if isinstance(reference := found.get("$ref"), str):
            yield reference.removeprefix("#/$defs/")
        for inner in found.values():
            yield from parts_in(inner)
    elif isinstance(found, list):
        for inner in found:
            yield from parts_in(inner)

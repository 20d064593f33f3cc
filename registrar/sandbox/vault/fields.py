"""Fields of a request as the kinds an engine declares, read as generously as Vault reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from registrar.sandbox.vault import golang
from registrar.sandbox.vault.golang import Malformed

Kind = Literal["integer", "integers", "flag", "text", "texts", "map", "seconds", "positive seconds"]


def converted(kinds: Mapping[str, Kind], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `given` that `kinds` names; of null come a kind's zero, but no duration at all."""
    return {
        name: _convert(kind, name, given[name])
        for name, kind in kinds.items()
        if name in given and not (given[name] is None and kind in ("seconds", "positive seconds"))
    }


def _convert(kind: Kind, name: str, value: Any) -> Any:
    """A field's value as its kind, as generously as Vault reads it; Malformed with Vault's words."""
    try:
        return _CONVERSIONS[kind](value)
    except Malformed as error:
        raise Malformed(f'error converting input for field "{name}": {error}') from None


def _misfit(expected: str, value: object, at: str = "") -> Malformed:
    return Malformed(f"'{at}' expected type '{expected}', got unconvertible type '{golang.kind_of(value)}'")


def integer(value: Any, at: str = "") -> int:
    """A number, a text that is one, or what Go takes for one."""
    if value is None or value == "":
        return 0
    if isinstance(value, list | dict):
        raise _misfit("int", value, at)
    try:
        return golang.integer(str(int(value) if isinstance(value, bool) else value))
    except Malformed as error:
        raise Malformed(f"'{at}' cannot parse value as 'int': {error}") from None


def _integers(value: Any) -> list[int]:
    items = _split(value)
    try:
        return [integer(item, f"[{index}]") for index, item in enumerate(items)]
    except Malformed as error:
        raise Malformed(f"decoding failed due to the following error(s):\n\n{error}") from None


def _flag(value: Any) -> bool:
    if isinstance(value, list | dict):
        raise _misfit("bool", value)
    if not isinstance(value, str):
        return bool(value)
    try:
        return bool(value) and golang.boolean(value)
    except Malformed as error:
        raise Malformed(f"'' cannot parse value as 'bool': {error}") from None


def text(value: Any, at: str = "") -> str:
    """A text, or what Go turns into one: a flag becomes 1 or 0."""
    if isinstance(value, list | dict):
        raise _misfit("string", value, at)
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def _texts(value: Any) -> list[str]:
    try:
        return [text(item, f"[{index}]") for index, item in enumerate(_split(value))]
    except Malformed as error:
        raise Malformed(f"decoding failed due to the following error(s):\n\n{error}") from None


def _split(value: Any) -> list[Any]:
    if value is None or value == {}:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")] if value else []
    return value if isinstance(value, list) else [value]


def _map(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise _misfit("map[string]interface {}", value)
    merged: dict[str, Any] = {}
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise _misfit("map[string]interface {}", item, f"[{index}]")
        merged |= item
    return merged


def _seconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return golang.bounded(value)
    if isinstance(value, str):
        return golang.seconds(value)
    raise Malformed("could not parse duration from input")


def _positive_seconds(value: Any) -> int:
    whole = _seconds(value)
    if whole < 0:
        raise Malformed(f"cannot provide negative value '{whole}'")
    return whole


_CONVERSIONS: dict[Kind, Callable[[Any], Any]] = {
    "integer": integer,
    "integers": _integers,
    "flag": _flag,
    "text": text,
    "texts": _texts,
    "map": _map,
    "seconds": _seconds,
    "positive seconds": _positive_seconds,
}

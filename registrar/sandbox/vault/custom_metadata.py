"""Custom metadata: what Vault takes as such, its limits and what it says of what is beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registrar.sandbox.vault import fields, golang
from registrar.sandbox.vault.golang import Malformed
from registrar.sandbox.vault.logical import Refused, occurred

_MAX_KEYS, _MAX_KEY, _MAX_VALUE = 64, 128, 512  # the last two in bytes


def written(given: Mapping[str, Any]) -> dict[str, str]:
    """Custom metadata as a write gives them, numbers and flags turned into texts."""
    return _checked({name: _as_text(value) for name, value in given.items()})


def _as_text(value: Any) -> str:
    try:
        return fields.text(value)
    except Malformed as error:
        raise Refused(f"custom_metadata validation failed: {error}") from None


def _checked(custom: dict[str, str]) -> dict[str, str]:
    """Custom metadata within the limits; refused with all that is wrong."""
    wrong = []
    if len(custom) > _MAX_KEYS:
        wrong.append(f"payload must contain at most {_MAX_KEYS} keys, provided {len(custom)}")
    for name, value in custom.items() if not wrong else ():
        quoted = golang.quoted(name)
        if not 0 < len(name.encode()) <= _MAX_KEY:
            wrong.append(f"length of key {quoted} is {len(name.encode())} but must be 0 < len(key) <= {_MAX_KEY}")
        if not 0 < len(value.encode()) <= _MAX_VALUE:
            size = len(value.encode())
            wrong.append(f"length of value for key {quoted} is {size} but must be 0 < len(value) <= {_MAX_VALUE}")
        if not name.isprintable():
            wrong.append(f"key {quoted} ({name}) contains unprintable characters")
        if not value.isprintable():
            wrong.append(f"value for key {quoted} contains unprintable characters")
    if wrong:
        raise Refused(occurred(*(f"custom_metadata validation failed: {text}" for text in wrong)))
    return custom


def patched(before: Mapping[str, str], change: Mapping[str, Any]) -> dict[str, str]:
    """Custom metadata after a merge patch, which takes texts only and removes by null."""
    written({name: value for name, value in change.items() if value is not None})
    for value in change.values():
        if value is not None and not isinstance(value, str):
            kind = "bool" if isinstance(value, bool) else "number"
            text = f"json: cannot unmarshal {kind} into Go struct field KeyMetadata.custom_metadata of type string"
            raise Refused(occurred(text), 500)
    return _checked({name: value for name, value in {**before, **change}.items() if value is not None})

"""As much of HCL as Vault's own programs are configured with: blocks, values and heredocs.

Strict: what it does not know, or what is left over, is a ValueError.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_STRING: Final = re.compile(r'"(?:[^"\\\n$%]|\\["\\nrt])*"')
_HEREDOC: Final = re.compile(r"<<([A-Z]+)\n(.*?\n)?\1(?=\n)", re.DOTALL)
_PLAIN: Final = re.compile(r"true\b|false\b|\d+\b")


def parse(text: str) -> dict[str, Any]:
    """The attributes and blocks; a block with a label has it as the only key of what it holds."""
    body, end = _body(text, 0)
    if end != len(text):
        raise ValueError(f"what is {text[end : end + 20]!r}?")
    return body


def _body(text: str, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while name := _NAME.match(text, at := _skip(text, at)):
        at = _skip(text, name.end())
        if text.startswith("=", at):
            value, at = _value(text, _skip(text, at + 1))
        else:
            label = _STRING.match(text, at)
            value, at = _block(text, _skip(text, label.end()) if label else at)
            value = {json.loads(label[0]): value} if label else value
        if name[0] in found:
            raise ValueError(f"{name[0]} is there twice")
        found[name[0]] = value
    return found, at


def _block(text: str, at: int) -> tuple[dict[str, Any], int]:
    if not text.startswith("{", at):
        raise ValueError(f"no block at {text[at : at + 20]!r}")
    body, at = _body(text, at + 1)
    if not text.startswith("}", at):
        raise ValueError(f"a block does not end at {text[at : at + 20]!r}")
    return body, at + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    if text.startswith("{", at):
        return _block(text, at)
    if text.startswith("[", at):
        end = text.index("]", at) + 1
        return json.loads(text[at:end]), end
    if heredoc := _HEREDOC.match(text, at):
        return heredoc[2] or "", heredoc.end()
    for kind in (_STRING, _PLAIN):
        if found := kind.match(text, at):
            return json.loads(found[0]), found.end()
    raise ValueError(f"no value at {text[at : at + 20]!r}")


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at

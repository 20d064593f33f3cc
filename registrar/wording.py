"""Wording: what everything that is told goes through, whatever it is about: texts, columns, errors and documents.

Owns how a foreign text is shown, a table laid out and an error put. Must never print, nor let a control character of
somebody's text through to a terminal; and never know what a command is about, since every one imports it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from registrar.errors import RegistrarError

SCHEMA_VERSION: Final = 1


def visible(text: str) -> str:
    """The text with every character that is not printable spelt out, so that no name can steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """A foreign text as messages show it: too short to give a pasted secret away, and without control characters."""
    short = text if len(text) < 40 else text[:12] + "…"
    return f"`{short}`" if short.isprintable() else f"`{ascii(short)[1:-1]}`"


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The hint for an unknown word: the one that was probably meant, or all there are."""
    from difflib import get_close_matches  # most runs have no unknown word

    close = get_close_matches(word, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known are: {', '.join(sorted(known)) or 'none'}"


def number(count: int, noun: str) -> str:
    """So many of something, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def painted(text: str, code: str, colour: bool) -> str:
    """The text in a terminal's colour, if there is to be any."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def table(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Rows with their columns aligned; the last column is as long as it wants."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [(indent + line).rstrip() for line in lines]


def machine(kind: str, content: dict[str, Any]) -> str:
    """One JSON document, its schema version first."""
    return json.dumps(
        {"schema_version": SCHEMA_VERSION, "kind": kind, **content}, indent=2, ensure_ascii=False, default=_plain
    )


def _plain(value: object) -> str:
    """A time as RFC 3339 has it, and anything else as people read it."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def error_text(error: RegistrarError) -> str:
    """What happened, and below it what to type next."""
    first, *more = error.message.split("\n")
    lines = [f"registrar: {visible(first)}", *(f"    {visible(line)}" for line in more)]
    return "\n".join([*lines, f"  → {visible(error.hint)}"] if error.hint else lines)


def error_document(error: RegistrarError, code: int) -> dict[str, Any]:
    """An error as JSON has it."""
    told = {"message": error.message, "hint": error.hint, "application": error.application, "exit_code": code}
    return {"type": type(error).__name__, **told}


def error_json(error: RegistrarError, code: int) -> str:
    return machine("error", {"error": error_document(error, code)})

"""Who each service takes us for, in words and as a document.

Owns wording and layout. Pure: whoever asks the services hands it what they said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from registrar.doctor import life
from registrar.errors import RegistrarError
from registrar.wording import machine, table, visible

_KNOWN: Final = ("name", "by", "rights")


@dataclass(frozen=True, slots=True)
class Identity:
    """One service's answer: a name, by what it knows us, what we may do there, and when that ends; or its error."""

    service: str
    address: str = ""
    name: str = ""
    by: str = ""
    rights: tuple[str, ...] = ()
    ends_at: datetime | None = None
    error: RegistrarError | None = None


def identities_text(found: Sequence[Identity], now: datetime) -> str:
    """One block a service."""
    return "\n\n".join("\n".join(_lines(one, now)) for one in found)


def _lines(one: Identity, now: datetime) -> list[str]:
    head = f"{one.service}  {visible(one.address)}".rstrip()
    if one.error:
        hint = [f"  → {visible(one.error.hint)}"] if one.error.hint else []
        return [head, f"  {visible(one.error.message)}", *hint]
    ends = one.ends_at
    left = life(max((ends - now).total_seconds(), 0)) if ends else ""
    rows = [
        ("you are", visible(one.name) or "nobody named"),
        ("by", visible(one.by)),
        ("may", ", ".join(map(visible, one.rights)) or "nothing that is told"),
        ("until", f"{ends:%Y-%m-%d %H:%M} UTC, in {left}" if ends else "no end is told"),
    ]
    return [head, *table(rows, "  ")]


def identities_json(found: Sequence[Identity]) -> str:
    """The same for programs, a member for each service."""
    return machine("whoami", {one.service.lower(): _member(one) for one in found})


def _member(one: Identity) -> dict[str, Any]:
    if one.error:
        return {"address": one.address, "error": {"message": one.error.message, "hint": one.error.hint}}
    told = {name: getattr(one, name) for name in _KNOWN}
    return {"address": one.address, **told, "ends_at": one.ends_at.isoformat() if one.ends_at else None}

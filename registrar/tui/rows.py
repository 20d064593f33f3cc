"""One application as the list shows it: all three sides in a glance, and what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from registrar import plan as planning
from registrar.model import Application, Facts, Registered, same_name
from registrar.status import Row, survey
from registrar.steps import Step
from registrar.uri import Uri
from registrar.wording import visible
from registrar.world import World

BY_HAND: Final = "by hand"

GLYPHS: Final = {
    "interrupted": "&", "blocked": "!", "withdrawn": "^", "drift": "~", "new": "+", "to retire": "-",
    "old one due": "x", "in progress": ">", BY_HAND: "?", "in sync": "=", "undeclared": ".",
}  # fmt: skip
"""The states, with their glyphs, in the order of what needs attention first."""

_ORDER: Final = {state: place for place, state in enumerate(GLYPHS)}


class Remedy(NamedTuple):
    """What a person can do: the key, what it does in words, and the command's words after `registrar`."""

    key: str
    told: str
    command: str


@dataclass(frozen=True, slots=True)
class Line:
    """One application; without a path it is one in Nexus that nobody has declared."""

    key: str
    row: Row
    host: str
    owner: str
    made_at: datetime | None
    proven_at: datetime | None
    seen_at: datetime | None
    steps: tuple[Step, ...]
    haystack: str
    stranger: Registered | None = None

    @property
    def glyph(self) -> str:
        return GLYPHS.get(self.row.state, "*")

    @property
    def sides(self) -> str:
        """Which of manifest, Nexus and Vault have it."""
        nexus = self.row.nexus if self.row.nexus not in ("-", "not asked") else ""
        vault = self.row.vault if self.row.vault not in ("-", "nothing") else ""
        declared = self.row.manifest == "declared"
        return f"{'M' if declared else '·'}{'N' if nexus else '·'}{'V' if vault else '·'}"

    @property
    def anew(self) -> bool:
        """Whether the way to bring it back is a new registration."""
        return self.remedy is not None and self.remedy.command == f"restore {self.row.path} --rotate"

    @property
    def remedy(self) -> Remedy | None:
        """The one thing to do about it, where there is anything to do."""
        return _remedy(self)


class Seen(NamedTuple):
    """What was observed as the list shows it."""

    world: World
    lines: tuple[Line, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many of each state, in the order of attention."""
        found = dict.fromkeys(GLYPHS, 0)
        for line in self.lines:
            found[line.row.state] = found.get(line.row.state, 0) + 1
        return {state: count for state, count in found.items() if count}


def seen(world: World) -> Seen:
    """Every application that is declared, recorded, half-made or registered by hand; what needs attention first."""
    decided = planning.plan(world)
    steps: dict[str, list[Step]] = {}
    for step in decided.steps:
        steps.setdefault(step.path, []).append(step)
    lines = [_line(world, row, tuple(steps.get(row.path, ()))) for row in survey(world, decided).rows]
    # declared already, and to be adopted: that line says so
    told = {same_name(line.row.name) for line in lines if line.row.manifest == "declared" and not line.row.client_id}
    lines += [_by_hand(one) for name, group in world.strangers.items() if name not in told for one in group]
    lines.sort(key=lambda line: (_ORDER.get(line.row.state, len(_ORDER)), line.row.path or line.row.name))
    return Seen(world, tuple(lines))


def matching(lines: Sequence[Line], words: str) -> tuple[Line, ...]:
    """The lines that have each of these words, in whatever case, in name, host, owner, path or state."""
    wanted = words.casefold().split()
    if not wanted:
        return tuple(lines)
    return tuple(line for line in lines if all(word in line.haystack for word in wanted))


def age(since: datetime | None, now: datetime | None) -> str:
    """How long ago, in the largest unit: `3h`; empty where nobody knows."""
    if since is None or now is None:
        return ""
    seconds = max((now - since).total_seconds(), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "now"


def _line(world: World, row: Row, steps: tuple[Step, ...]) -> Line:
    record, application = world.by_path.get(row.path), world.wanted.get(row.path)
    registered = world.by_client.get(row.client_id)
    facts = record.facts if record else None
    uri, owner = _uri(application, registered, facts), _owner(application, registered, facts)
    made = (facts.rotated_at or facts.registered_at) if facts else None
    return Line(
        key=row.path,
        row=row,
        host=_host(uri),
        owner=visible(owner),
        made_at=made,
        proven_at=facts.proven_at if facts else None,
        seen_at=record.seen_at if record else None,
        steps=steps,
        haystack=_haystack((row.name, uri, owner, row.path, row.state)),
    )


def _by_hand(one: Registered) -> Line:
    row = Row(
        path="",
        name=one.name,
        state=BY_HAND,
        manifest="-",
        nexus="living",
        vault="-",
        client_id=one.client_id,
        reason="registered by hand: no record and no manifest of ours knows it",
    )
    return Line(
        key=f"id {one.id}",
        row=row,
        host=_host(one.redirect_uri),
        owner=visible(one.owner_email),
        made_at=None,
        proven_at=None,
        seen_at=None,
        steps=(),
        haystack=_haystack((one.name, one.redirect_uri, one.owner_email, BY_HAND)),
        stranger=one,
    )


def _uri(application: Application | None, registered: Registered | None, facts: Facts | None) -> str:
    for one in (application, registered, facts):
        if one and one.redirect_uri:
            return one.redirect_uri
    return ""


def _owner(application: Application | None, registered: Registered | None, facts: Facts | None) -> str:
    if application and application.owner_email is not None:
        return application.owner_email
    return registered.owner_email if registered else (facts.owner if facts else "")


def _host(uri: str) -> str:
    parsed = Uri.parse(uri)
    return visible(f"{parsed.host}:{parsed.port}" if parsed.port else parsed.host)


def _haystack(texts: Iterable[str]) -> str:
    return "\n".join(texts).casefold()


_VERB: Final = re.compile(r"registrar (?P<verb>adopt|restore|retire|rotate) (?P<path>[^\s,]+)(?P<flags>( --[^,]+)?)")
_KEYS: Final = {
    "adopt": ("o", "adopt it"),
    "restore": ("u", "restore it"),
    "retire": ("x", "retire it"),
    "rotate": ("t", "rotate it"),
}
_PLANNED: Final = frozenset({"new", "drift", "interrupted", "withdrawn", "old one due"})


def _remedy(line: Line) -> Remedy | None:
    row = line.row
    if row.state == BY_HAND:
        return Remedy("n", "declare it in a manifest, then adopt it", "")
    if row.state in _PLANNED:
        return Remedy("p", "plan and apply", f"apply --only {row.path}")
    found = _VERB.match(row.hint)
    if found is None or found["path"] != row.path:
        return None  # the hint is in words, or about another application: no key does that
    key, told = _KEYS[found["verb"]]
    return Remedy(key, told, f"{found['verb']} {row.path}{found['flags']}")


def selected(lines: Iterable[Line], keys: frozenset[str]) -> Iterator[Line]:
    """The lines with these keys."""
    return (line for line in lines if line.key in keys)

"""Export: the living applications of Nexus as one manifest that `validate` accepts.

Owns which path each one gets, how values are quoted, and what is commented out or left out, with the reason. Pure:
the manifest is read back by the reader of manifests itself, so that no rule is known twice. Must never declare another
value than the one that Nexus has.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from registrar import manifest
from registrar.doctor import counted
from registrar.errors import StepFailed
from registrar.lint import Finding
from registrar.model import FIELDS, Application, Facts, Kind, Registered, Target
from registrar.wording import machine, visible
from registrar.world import World

_REQUIRED: Final = frozenset({"name", "redirect_uri"})
_SLUG_CHARACTERS: Final = 110  # of the 128 of a path; a number may follow
_HIDDEN: Final = "left out: it looks like a secret"


@dataclass(frozen=True, slots=True)
class Entry:
    """One application as a manifest would declare it; `record` is what explains it, `faults` comment it out."""

    nexus_id: int
    application: Application
    record: str = ""
    set: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One that no manifest should declare."""

    nexus_id: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Export:
    """The manifest, and what is in it."""

    text: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]

    def __str__(self) -> str:
        """The line that counts."""
        refused = sum(1 for entry in self.entries if entry.faults)
        unexplained = sum(1 for entry in self.entries if not entry.record)
        parts = [f"{unexplained} that no record explains"] if unexplained else []
        parts += [f"{refused} commented out"] if refused else []
        parts += [f"{len(self.left_out)} left out besides"] if self.left_out else []
        return ", ".join([counted(len(self.entries), "application"), *parts])


def export(world: World) -> Export:
    """The manifest of what lives in this world: what records explain, then the rest, each by path."""
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    strangers: list[Registered] = []
    for registered in sorted(world.registered or (), key=lambda registered: registered.id):
        if registered.archived:
            continue
        if reason := _half_made(world, registered):
            left_out.append(LeftOut(registered.id, registered.name, reason))
        elif not (paths := world.explained.get(registered.client_id)):
            strangers.append(registered)
        elif path := next((path for path in paths if _facts(world, path).client_id == registered.client_id), ""):
            entries.append(_explained(world, path, registered))
        else:
            reason = f"the registration that a rotation of {paths[0]} left behind"
            left_out.append(LeftOut(registered.id, registered.name, reason))
    entries += _strangers(world, strangers)
    # of two with the same name the rules grant it to the first
    entries.sort(key=lambda entry: (not entry.record, entry.application.path))
    return _accepted(world.target, entries, left_out)


def export_json(found: Export, target: Target) -> str:
    applications = [
        {
            "nexus_id": entry.nexus_id,
            "path": entry.application.path,
            **entry.application.declared(),
            "protected": entry.application.protected,
            "record": entry.record or None,
            "set": entry.set,
            "faults": list(entry.faults),
        }
        for entry in found.entries
    ]
    left_out = [asdict(one) for one in found.left_out]
    content = {"target": asdict(target), "applications": applications, "left_out": left_out, "manifest": found.text}
    return machine("export", content)


# ── the applications ──────────────────────────────────────────────────────────────────────────────────────────────────


def _facts(world: World, path: str) -> Facts:
    return world.by_path[path].base


def _half_made(world: World, registered: Registered) -> str:
    """Why an application with a mark is nobody's yet, or nothing."""
    mark = registered.mark
    if mark is None:
        return ""
    if mark.domain == world.domain:
        return f"a registration of {mark.path} that is not finished: registrar recover"
    return f"a registration of {mark.path} that is not finished, of another domain"


def _explained(world: World, path: str, registered: Registered) -> Entry:
    """As it is managed now: a field that is not among the fingerprint's stays out, an empty one that is stays in."""
    facts = _facts(world, path)
    managed = _REQUIRED | {part.partition(":")[0] for part in facts.fingerprint.split()}
    names = managed if facts.fingerprint else _given(registered)
    application = _application(registered, path, names & set(FIELDS), protected=facts.protected)
    return Entry(registered.id, application, world.target.location(path), facts.set)


def _strangers(world: World, strangers: Sequence[Registered]) -> Iterator[Entry]:
    """Those that no record explains, each at the slug of its name, or beside it where a record of ours is there."""
    taken = {record.path for record in world.records if record.facts and record.kind is not Kind.EMPTY}
    taken |= world.marked.keys() | set(world.nested)
    taken |= {path[: slash.start()] for path in taken for slash in re.finditer("/", path)}
    for registered in strangers:
        base = manifest.slug(registered.name)[:_SLUG_CHARACTERS].strip("-") or f"application-{registered.id}"
        path, number = base, 1
        while path in taken:
            number += 1
            path = f"{base}-{number}"
        taken.add(path)
        yield Entry(registered.id, _application(registered, path, _given(registered)))


def _given(registered: Registered) -> frozenset[str]:
    return _REQUIRED | {name for name in FIELDS if getattr(registered, name)}


def _application(registered: Registered, path: str, names: frozenset[str], *, protected: bool = False) -> Application:
    values = {name: getattr(registered, name) for name in names}
    return Application(path=path, **values, protected=protected)


# ── the manifest ──────────────────────────────────────────────────────────────────────────────────────────────────────

_Key = tuple[int, str]
"""A line by its application's id in Nexus and what it says of it."""


@dataclass
class _Sheet:
    """The manifest while it is written: each line with its key, and what the reader has found so far."""

    target: Target
    entries: Sequence[Entry]
    left_out: Sequence[LeftOut]
    faults: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    hidden: set[_Key] = field(default_factory=set)

    def found(self, text: str) -> Export:
        entries = tuple(replace(one, faults=tuple(self.faults.get(one.nexus_id, ()))) for one in self.entries)
        return Export(text, entries, tuple(self.left_out))

    def lines(self) -> Iterator[tuple[_Key, str]]:
        nobody = (0, "")
        yield nobody, f"# The living applications of {visible(self.target.nexus_url)}, as registrar export found them."
        yield nobody, f"# {self.found('')}."
        yield nobody, "apps:" if any(entry.nexus_id not in self.faults for entry in self.entries) else "apps: []"
        for entry in self.entries:
            yield from self._entry(entry)
        for one in self.left_out:
            told = f"Nexus id {one.nexus_id}, {visible(one.name)}: {visible(one.reason)}"
            yield self._comment((one.nexus_id, "left out"), f"left out: {told}")

    def _entry(self, entry: Entry) -> Iterator[tuple[_Key, str]]:
        told = f"explained by {visible(entry.record)}, {_set(entry.set)}" if entry.record else "no record explains it"
        yield self._comment((entry.nexus_id, "origin"), f"Nexus id {entry.nexus_id}: {told}")
        faults = self.faults.get(entry.nexus_id, ())
        for number, fault in enumerate(faults):
            yield self._comment((entry.nexus_id, f"fault {number}"), f"commented out: {fault}")
        application = entry.application
        values = {name: scalar(value) for name, value in application.declared().items()}
        values["path"] = scalar(application.path)
        values |= {"protected": "true"} if application.protected else {}
        lead = "# " if faults else ""
        dash = "- "
        for name, value in values.items():
            key = (entry.nexus_id, name)
            yield key, f"  {lead}{dash}{name}: {scalar(_HIDDEN) if key in self.hidden else value}"
            dash = "  "

    def _comment(self, key: _Key, text: str) -> tuple[_Key, str]:
        return key, f"  # {_HIDDEN if key in self.hidden else text}"

    def judge(self, errors: Sequence[Finding], keys: Sequence[_Key]) -> bool:
        """Take in what the reader refuses; whether that is anything new.

        What a neighbour takes away comes last: the neighbour may itself be refused.
        """
        known = len(self.hidden) + sum(map(len, self.faults.values()))
        own = [error for error in errors if not _NEIGHBOUR.search(error.message)] or errors
        ids = {entry.nexus_id for entry in self.entries}
        for error in own:
            key = keys[error.line - 1]
            if error.rule == "MF002":
                self.hidden.add(key)
            if key[0] in ids:
                told = _NEIGHBOUR.sub(lambda at: f"with Nexus id {keys[int(at[1]) - 1][0]}", error.message)
                fault = f"{error.rule}: {visible(told)}"
                self.faults[key[0]] += [] if fault in self.faults[key[0]] else [fault]
        return len(self.hidden) + sum(map(len, self.faults.values())) > known


_NEIGHBOUR: Final = re.compile(r"at <stdin>:(\d+):\d+")


def _accepted(target: Target, entries: Sequence[Entry], left_out: Sequence[LeftOut]) -> Export:
    """The manifest with what its reader refuses commented out, until nothing is refused."""
    sheet = _Sheet(target, entries, left_out)
    while True:
        keys, lines = zip(*sheet.lines(), strict=True)
        text = "\n".join(lines) + "\n"
        loaded = manifest.load([manifest.STDIN], target, stdin=text.encode())
        if not loaded.errors:
            return sheet.found(text)
        if not sheet.judge(loaded.errors, keys):
            told = loaded.errors[0]
            raise StepFailed(f"what Nexus has is no manifest: {told.message}", hint=told.hint)


def _set(name: str) -> str:
    return f"set {visible(name)}" if name else "which is of no set"


def scalar(text: str) -> str:
    """A text as YAML's double-quoted scalar, which gives back the same characters."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escaped(ord(c))) for c in text) + '"'


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(code: int) -> str:
    # not as JSON does, which YAML would read as two halves of a character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

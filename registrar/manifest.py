"""Manifests: YAML files -> the applications of one target, with every problem of every file at once.

Owns the manifest format and its JSON Schema. Must never read the environment, expand anything in a value, go outside
the folder it was given, or read without an end: what a merge request brings along is untrusted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from registrar import lint
from registrar.document import Mapping, Node, Reader, Scalar
from registrar.files import STDIN, listed, sources
from registrar.limits import LIMITS, Limits, Reading
from registrar.lint import RULES, Entry, Finding, Level, Place
from registrar.lint.waivers import idle
from registrar.model import FIELDS, Application, Target
from registrar.wording import did_you_mean, quoted

__all__ = ["STDIN", "Manifests", "combined", "listed", "load", "load_each", "read", "schema", "slug"]

_OVERRIDES: Final = (*FIELDS, "path", "protected")
_KEYS: Final = (*_OVERRIDES, "targets")
_REQUIRED: Final = {"name": "AP001", "redirect_uri": "RU001"}


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the manifests say about one target; with `errors` among the findings, not to be acted on.

    `sources` are the paths of the files by their names in `findings`, those included that could not be read.
    """

    applications: tuple[Application, ...]
    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    waived: tuple[Finding, ...] = ()
    needed: frozenset[Finding] = frozenset()  # what would be said of each waiver if it silenced nothing here
    entries: tuple[Entry, ...] = field(default=(), compare=False)
    sources: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop a run."""
        return tuple(finding for finding in self.findings if finding.level is Level.ERROR)


def load(
    paths: Sequence[Path],
    target: Target,
    *,
    stdin: bytes = b"",
    targets: Collection[str] | None = None,
    limits: Limits = LIMITS,
) -> Manifests:
    """Read files, folders and `-` for this target; `targets` are the names a manifest may use, None allows any.

    Raises UsageError for a path that is not there, ManifestsInvalid for more than the limits.
    """
    (loaded,) = load_each(paths, [target], stdin=stdin, targets=targets, limits=limits)
    return loaded


def load_each(
    paths: Sequence[Path],
    chosen: Sequence[Target],
    *,
    stdin: bytes = b"",
    targets: Collection[str] | None = None,
    limits: Limits = LIMITS,
) -> list[Manifests]:
    """The same for each of the chosen targets, from files that are read once for all of them."""
    reading = Reading(limits)
    shares = [_Share(target, None if targets is None else {*targets, target.name}) for target in chosen]
    files: list[str] = []
    found: dict[str, str] = {}
    for reader, path, data in sources(paths, stdin, reading):
        if path:
            found[reader.file] = path
        root = None
        if data is not None:
            files.append(reader.file)
            reading.take(data)
            root = reader.read(data)
        # One file at a time for all of them: the nodes of all files at once would have no bound worth the name.
        for share in shares:
            share.add(reader.again(), root, reading)
    return [share.judged(tuple(files), found) for share in shares]


@dataclass(frozen=True, slots=True)
class _Share:
    """What one target makes of the files that are read, each with its own findings."""

    target: Target
    known: Collection[str] | None
    files: list[tuple[Reader, list[Entry]]] = field(default_factory=list)

    def add(self, reader: Reader, root: Node | None, reading: Reading) -> None:
        """One more file."""
        self.files.append((reader, _entries(reader, root, self.target, self.known, reading)))

    def judged(self, files: tuple[str, ...], found: dict[str, str]) -> Manifests:
        """All of them together, by the rules of the target."""
        entries = [entry for _, own in self.files for entry in own]
        findings = [finding for reader, _ in self.files for finding in reader.findings]
        # What could not be read has nothing to be linted: its place has its finding already.
        unread = {finding.place for finding in findings if finding.rule == "MF001"}
        absent = {(finding.place, finding.rule) for finding in findings}
        judged, silenced = lint.sifted(entries, self.target)
        findings += [
            finding for finding in judged if finding.place not in unread and (finding.place, finding.rule) not in absent
        ]
        waived = (*(finding for reader, _ in self.files for finding in reader.waived), *silenced)
        told = {(finding.file, finding.line, finding.rule) for finding in findings}
        used = {(finding.file, finding.line, finding.rule) for finding in waived}
        needed: set[Finding] = set()
        for reader, own in self.files:
            for line, rule, finding in _idle(reader, own, told):
                (needed.add if (reader.file, line, rule) in used else findings.append)(finding)
        return Manifests(
            tuple(entry.application for entry in entries),
            lint.ordered(findings),
            files,
            lint.ordered(waived),
            frozenset(needed),
            tuple(entries),
            found,
        )


def combined(loaded: Sequence[Manifests]) -> tuple[Finding, ...]:
    """The findings of several targets, each once; a waiver that one of the targets needs is not idle."""
    needed = frozenset().union(*(one.needed for one in loaded))
    once = dict.fromkeys(finding for one in loaded for finding in one.findings)  # a set has another order in each run
    return lint.ordered(finding for finding in once if finding not in needed)


def _idle(
    reader: Reader, entries: Sequence[Entry], told: Collection[tuple[str, int, str]]
) -> Iterator[tuple[int, str, Finding]]:
    """For each waived rule of a file its line, its id, and what is said if it silences nothing on this target."""
    mine = {place.line for entry in entries for place in entry.places.values()} if reader.waivers else set()
    for waiver in reader.waivers:
        # On the line of another target's value it waits for that target.
        if waiver.line not in mine and waiver.line in reader.lines:
            continue
        for rule in waiver.rules if waiver.valid else ():
            if rule in RULES and RULES[rule].waivable:
                message = idle(rule, error=(reader.file, waiver.line, rule) in told)
                place = Place(reader.file, waiver.line, waiver.column)
                yield waiver.line, rule, Finding("MF003", Level.WARNING, message, *place, hint=RULES["MF003"].fix)


def read(reader: Reader, data: bytes, target: Target, known: Collection[str] | None) -> list[Entry]:
    """The applications that one file declares for this target; `known` are the targets it may name, None any."""
    return _entries(reader, reader.read(data), target, known, Reading(LIMITS))


def _entries(
    reader: Reader, root: Node | None, target: Target, known: Collection[str] | None, reading: Reading
) -> list[Entry]:
    entries: list[Entry] = []
    for node in _apps(reader, root):
        reading.go_on()
        if entry := _entry(reader, node, target, known):
            entries.append(entry)
    lines = {waiver.line: frozenset(waiver.rules) for waiver in reader.waivers if waiver.valid}
    return [replace(entry, waived=_waived(entry, lines)) for entry in entries] if lines else entries


def _waived(entry: Entry, lines: dict[int, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The rules that are waived for each of the entry's fields, given those that are waived on each line."""
    return {name: lines[place.line] for name, place in entry.places.items() if place.line in lines}


def slug(name: str) -> str:
    """The path that a name stands for: lower-case ASCII words joined by dashes; empty when nothing is left."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
        if not unicodedata.combining(character)
    )
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")


def _apps(reader: Reader, root: Node | None) -> list[Node]:
    if root is None:
        return []
    fields = reader.fields(root, ("apps",), "a manifest")
    if "apps" in fields:
        return reader.items(fields["apps"], "apps")
    if not any(finding.level is Level.ERROR for finding in reader.findings):
        reader.report("a manifest has a list `apps`", root)
    return []


def _entry(reader: Reader, node: Node, target: Target, known: Collection[str] | None) -> Entry | None:
    """The application of one entry as this target has it, or None where it has not."""
    fields = reader.fields(node, _KEYS, "an application")
    if not isinstance(node, Mapping):
        return None
    place = reader.place(node)
    values: dict[str, Any] = {"name": "", "redirect_uri": "", "path": ""}
    places = {"": place}
    _take(reader, fields, values, places)
    for key, rule in _REQUIRED.items():
        if key not in fields:
            reader.report(f"the application has no {key}", place, rule=rule)
    if "path" not in fields:
        # Of the entry's own name: where a target calls the application otherwise, it is still the same one.
        values["path"] = slug(values["name"])
        places["path"] = places.get("name", place)
    own = _differences(reader, fields["targets"], target, known) if "targets" in fields else {}
    if own is None:
        return None
    _take(reader, own, values, places)
    return Entry(Application(source=str(place), **values), places)


def _take(reader: Reader, fields: dict[str, Node], values: dict[str, Any], places: dict[str, Place]) -> None:
    """Put what these fields say into `values`, and where they say it into `places`."""
    for key, node in fields.items():
        if key == "targets":
            continue
        value = reader.boolean(node, key) if key == "protected" else reader.string(node, key)
        places[key] = Place(reader.file, node.line, node.column)
        if value is not None:
            values[key] = value


def _differences(reader: Reader, node: Node, target: Target, known: Collection[str] | None) -> dict[str, Node] | None:
    """The fields that this target has of its own, or None where the application is not there; all targets are read."""
    mine: dict[str, Node] | None = {}
    for name, difference in reader.fields(node, None, "targets").items():
        if known is not None and name not in known:
            reader.report(f"there is no target {quoted(name)}", difference, hint=did_you_mean(name, known))
        own: dict[str, Node] | None = None
        if isinstance(difference, Scalar):
            if reader.boolean(difference, quoted(name)):
                reader.report("true says nothing here", difference, hint="leave the target out, or list what differs")
        else:
            own = reader.fields(difference, _OVERRIDES, "a target of an application")
        if name == target.name:
            mine = own
        elif own:
            _take(reader, own, {}, {})
    return mine


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, for editors; what it cannot say is left to the rules."""
    text = {"type": "string"}
    fields: dict[str, Any] = {
        "name": {**text, "minLength": 1, "maxLength": 50, "description": "What users see; unique on its target."},
        "redirect_uri": {
            **text,
            "pattern": "^(https://|http://(localhost|127\\.|\\[::1\\]))[^#\\s]*$",
            "description": "Where Nexus sends the code: byte for byte what the application sends.",
        },
        "base_url": {**text, "description": "Where users open the application."},
        "owner_email": {**text, "description": "Who is told about rotation and retirement."},
        "description": {**text, "maxLength": 250},
        "path": {
            **text,
            "maxLength": 128,
            "pattern": "^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*$",
            "description": "Vault key under the target's prefix, and the identity; default: the name as a slug.",
        },
        "protected": {"type": "boolean", "description": "Never retired or rotated unless named."},
    }
    difference = {"type": "object", "properties": fields, "additionalProperties": False}
    targets = {
        "type": "object",
        "description": "Differences of one environment; false: not there at all.",
        "additionalProperties": {"anyOf": [{"const": False}, difference]},
    }
    application = {
        **difference,
        "properties": {**fields, "targets": targets},
        "required": list(_REQUIRED),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "registrar manifest",
        "type": "object",
        "properties": {"apps": {"type": "array", "items": application}},
        "required": ["apps"],
        "additionalProperties": False,
    }

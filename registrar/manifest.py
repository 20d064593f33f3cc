"""Manifests: YAML files -> the applications of one target, with every problem of every file at once.

Owns the manifest format and its JSON Schema. Must never read the environment, expand anything in a value, or go outside
the folder it was given: what a merge request brings along is untrusted.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from registrar import lint
from registrar.document import SIZE_LIMIT_BYTES, Mapping, Node, Reader, Scalar, did_you_mean
from registrar.errors import UsageError
from registrar.lint import RULES, Entry, Finding, Level, Place, quoted
from registrar.lint.waivers import idle
from registrar.model import FIELDS, Application, Target

STDIN: Final = Path("-")

_OVERRIDES: Final = (*FIELDS, "path", "protected")
_KEYS: Final = (*_OVERRIDES, "targets")
_REQUIRED: Final = {"name": "AP001", "redirect_uri": "RU001"}


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the manifests say about one target; with `errors` among the findings, not to be acted on.

    `sources` are the files by their names in `findings`, those included that could not be read.
    """

    applications: tuple[Application, ...]
    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    waived: tuple[Finding, ...] = ()
    needed: frozenset[Finding] = frozenset()  # what would be said of each waiver if it silenced nothing here
    entries: tuple[Entry, ...] = field(default=(), compare=False)
    sources: dict[str, Path] = field(default_factory=dict, compare=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop a run."""
        return tuple(finding for finding in self.findings if finding.level is Level.ERROR)


def load(
    paths: Sequence[Path], target: Target, *, stdin: bytes = b"", targets: Collection[str] | None = None
) -> Manifests:
    """Read files, folders and `-` for this target; `targets` are the names a manifest may use, None allows any."""
    known = None if targets is None else {*targets, target.name}
    readers: dict[Reader, list[Entry]] = {}
    entries: list[Entry] = []
    files: list[str] = []
    sources: dict[str, Path] = {}
    for reader, path, data in _sources(paths, stdin):
        readers[reader] = []
        if path:
            sources[reader.file] = path
        if data is not None:
            files.append(reader.file)
            readers[reader] = read(reader, data, target, known)
            entries += readers[reader]
    findings = [finding for reader in readers for finding in reader.findings]
    # What could not be read has nothing to be linted: its place has its finding already.
    unread = {finding.place for finding in findings if finding.rule == "MF001"}
    absent = {(finding.place, finding.rule) for finding in findings}
    judged, silenced = lint.sifted(entries, target)
    findings += [
        finding for finding in judged if finding.place not in unread and (finding.place, finding.rule) not in absent
    ]
    waived = (*(finding for reader in readers for finding in reader.waived), *silenced)
    told = {(finding.file, finding.line, finding.rule) for finding in findings}
    used = {(finding.file, finding.line, finding.rule) for finding in waived}
    needed: set[Finding] = set()
    for reader, own in readers.items():
        for line, rule, finding in _idle(reader, own, told):
            (needed.add if (reader.file, line, rule) in used else findings.append)(finding)
    applications = tuple(entry.application for entry in entries)
    return Manifests(
        applications,
        lint.ordered(findings),
        tuple(files),
        lint.ordered(waived),
        frozenset(needed),
        tuple(entries),
        sources,
    )


def combined(loaded: Sequence[Manifests]) -> tuple[Finding, ...]:
    """The findings of several targets, each once; a waiver that one of the targets needs is not idle."""
    needed = frozenset().union(*(one.needed for one in loaded))
    return lint.ordered({finding for one in loaded for finding in one.findings} - needed)


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
    entries = [entry for node in _apps(reader, data) if (entry := _entry(reader, node, target, known))]
    lines = {waiver.line: frozenset(waiver.rules) for waiver in reader.waivers if waiver.valid}
    return [replace(entry, waived=_waived(entry, lines)) for entry in entries] if lines else entries


def _waived(entry: Entry, lines: dict[int, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The rules that are waived for each of the entry's fields, given those that are waived on each line."""
    return {name: lines[place.line] for name, place in entry.places.items() if place.line in lines}


def listed(paths: Iterable[Path]) -> dict[str, Path]:
    """The files at these paths by the name that messages have for them, none of them opened; UsageError as in load."""
    return {_shown(file.path): file.path for path in paths for file in _files(path, Reader(_shown(path)))}


def slug(name: str) -> str:
    """The path that a name stands for: lower-case ASCII words joined by dashes; empty when nothing is left."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
        if not unicodedata.combining(character)
    )
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")


def _apps(reader: Reader, data: bytes) -> list[Node]:
    root = reader.read(data)
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
        places[key] = reader.place(node)
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


class _File(NamedTuple):
    """A file as it was found, and where it really is."""

    path: Path
    real: str


def _sources(paths: Iterable[Path], stdin: bytes) -> Iterator[tuple[Reader, Path | None, bytes | None]]:
    """Each file once, with its bytes or with the finding that says why it has none; a folder where it has findings."""
    seen: set[str] = set()
    for path in paths:
        if path == STDIN:
            yield Reader("<stdin>"), STDIN, stdin
            continue
        folder = Reader(_shown(path))
        files = _files(path, folder)
        if folder.findings:
            yield folder, None, None
        for file in files:
            if file.real not in seen:
                seen.add(file.real)
                reader = Reader(_shown(file.path))
                yield reader, file.path, _bytes(file.path, reader)


def _files(path: Path, reader: Reader) -> list[_File]:
    """The file, or the manifests of the folder, at a path that somebody named."""
    hint = "name a manifest, or a folder of manifests"
    try:
        real = os.path.realpath(path)
        if not stat.S_ISDIR(path.stat().st_mode):
            return [_File(path, real)]
        files = list(_within(_File(path, real), real, reader, set()))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{reader.file} does not exist", hint=hint) from None
    except OSError as error:
        raise UsageError(f"{reader.file} cannot be read: {error.strerror}", hint=hint) from None
    if not files and not reader.findings:
        reader.report("the folder has no manifests", Place(reader.file, 1, 1), hint="add a file such as apps.yaml")
    return files


def _within(folder: _File, root: str, reader: Reader, entered: set[str]) -> Iterator[_File]:
    """The manifests of a folder by name, hidden ones left out; links only to what is inside the root."""
    if folder.real in entered:  # a link can lead to where we are
        return
    entered.add(folder.real)
    with os.scandir(folder.path) as children:
        named = sorted((child for child in children if not child.name.startswith(".")), key=lambda child: child.name)
    for entry in named:
        # The folder's own list tells what is a link, a folder or a file: thousands of files are not asked one by one.
        link = entry.is_symlink()
        path = folder.path / entry.name
        inside = path.is_dir() if link else entry.is_dir()
        if not (inside or entry.name.lower().endswith((".yaml", ".yml"))):
            continue
        child = _File(path, os.path.realpath(path) if link else os.path.join(folder.real, entry.name))  # noqa: PTH118
        # Links inside are followed, since Kubernetes mounts a ConfigMap as links into a hidden folder.
        if link and not Path(child.real).is_relative_to(root):
            reader.report("the link leads out of the folder", Place(_shown(path), 1, 1), hint="copy what it leads to")
        elif inside:
            yield from _within(child, root, reader, entered)
        elif path.is_file() if link else entry.is_file():
            yield child
        else:
            reader.report("this is not a file", Place(_shown(path), 1, 1), hint="remove it")


_CHUNK_BYTES: Final = 64 * 1024  # a manifest's size: room for the limit, asked for at once, costs more than the reading


def _bytes(file: Path, reader: Reader) -> bytes | None:
    """What is in a file: somewhat more than the limit shows that it is too large, and no more is read."""
    found = bytearray()
    try:
        with file.open("rb") as stream:
            while len(found) <= SIZE_LIMIT_BYTES and (chunk := stream.read(_CHUNK_BYTES)):
                found += chunk
    except OSError as error:
        reader.report(f"the file cannot be read: {error.strerror}", Place(reader.file, 1, 1), hint="look at its mode")
        return None
    return bytes(found)


def _shown(path: Path) -> str:
    """A path as messages show it: a file name may have bytes that are not UTF-8, and line breaks."""
    text = os.fsencode(path).decode(errors="replace")
    return text if text.isprintable() else ascii(text)[1:-1]


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

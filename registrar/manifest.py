"""Manifests: YAML files -> the applications of one target, with every problem of every file at once.

Owns the manifest format and its JSON Schema. Must never read the environment, expand anything in a value, go outside
the folder it was given, or read without an end: what a merge request brings along is untrusted.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from registrar import lint
from registrar.document import SIZE_LIMIT_BYTES, Mapping, Node, Reader, Scalar, did_you_mean
from registrar.errors import UsageError
from registrar.limits import LIMITS, Limits, Reading
from registrar.lint import Entry, Finding, Level, Place, quoted
from registrar.model import FIELDS, Application, Target

STDIN: Final = Path("-")

_OVERRIDES: Final = (*FIELDS, "path", "protected")
_KEYS: Final = (*_OVERRIDES, "targets")
_REQUIRED: Final = {"name": "AP001", "redirect_uri": "RU001"}


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the manifests say about one target; with `errors` among the findings, not to be acted on."""

    applications: tuple[Application, ...]
    findings: tuple[Finding, ...]
    files: tuple[str, ...]

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
    reading = Reading(limits)
    known = None if targets is None else {*targets, target.name}
    readers: list[Reader] = []
    entries: list[Entry] = []
    files: list[str] = []
    for reader, data in _sources(paths, stdin, reading):
        readers.append(reader)
        if data is not None:
            files.append(reader.file)
            reading.take(data)
            entries += _read(reader, data, target, known, reading)
    findings = [finding for reader in readers for finding in reader.findings]
    # What could not be read has nothing to be linted: its place has its finding already.
    unread = {finding.place for finding in findings if finding.rule == "MF001"}
    absent = {(finding.place, finding.rule) for finding in findings}
    findings += [
        finding
        for finding in lint.check(entries, target)
        if finding.place not in unread and (finding.place, finding.rule) not in absent
    ]
    return Manifests(tuple(entry.application for entry in entries), lint.ordered(findings), tuple(files))


def read(reader: Reader, data: bytes, target: Target, known: Collection[str] | None) -> list[Entry]:
    """The applications that one file declares for this target; `known` are the targets it may name, None any."""
    return _read(reader, data, target, known, Reading(LIMITS))


def _read(reader: Reader, data: bytes, target: Target, known: Collection[str] | None, reading: Reading) -> list[Entry]:
    entries = []
    for node in _apps(reader, data):
        reading.go_on()
        if entry := _entry(reader, node, target, known):
            entries.append(entry)
    return entries


def listed(paths: Iterable[Path]) -> dict[str, Path]:
    """The files at these paths by the name that messages have for them, none of them opened; UsageError as in load."""
    reading = Reading(LIMITS)
    return {_shown(file): file for path in paths for file in _files(path, Reader(_shown(path)), reading)}


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


def _sources(paths: Iterable[Path], stdin: bytes, reading: Reading) -> Iterator[tuple[Reader, bytes | None]]:
    """Each file once, with its bytes or with the finding that says why it has none."""
    seen: set[str] = set()
    for path in paths:
        if path == STDIN:
            yield Reader("<stdin>"), stdin
            continue
        folder = Reader(_shown(path))
        files = _files(path, folder, reading)
        if folder.findings:
            yield folder, None
        for file in files:
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                reader = Reader(_shown(file))
                yield reader, _bytes(file, reader)


def _files(path: Path, reader: Reader, reading: Reading) -> list[Path]:
    """The file, or the manifests of the folder, at a path that somebody named."""
    hint = "name a manifest, or a folder of manifests"
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return [path]
        files = list(_within(path, _Folder(os.path.realpath(path), reader, reading), 0))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{reader.file} does not exist", hint=hint) from None
    except OSError as error:
        raise UsageError(f"{reader.file} cannot be read: {error.strerror}", hint=hint) from None
    if not files and not reader.findings:
        reader.report("the folder has no manifests", Place(reader.file, 1, 1), hint="add a file such as apps.yaml")
    return files


@dataclass
class _Folder:
    """A folder that is walked, and where the walk has been: a link can lead to where we are."""

    root: str
    reader: Reader
    reading: Reading
    entered: set[str] = field(default_factory=set)

    def leads_out(self, link: Path) -> str:
        """Where a link leads that is not followed, in words; empty for one within the folder."""
        real = Path(os.path.realpath(link))
        if not real.is_relative_to(self.root):
            return "out of the folder"
        # a pipeline's checkout may keep the token there that it was made with
        return "into .git" if ".git" in real.relative_to(self.root).parts else ""


def _within(folder: Path, walk: _Folder, depth: int) -> Iterator[Path]:
    """The manifests of a folder by name, hidden ones left out; links only to what is inside the root."""
    real = os.path.realpath(folder)
    if real in walk.entered:
        return
    walk.entered.add(real)
    walk.reading.enter(depth)
    for child in sorted(folder.iterdir()):
        manifest = child.suffix.lower() in (".yaml", ".yml")
        if child.name.startswith(".") or not (manifest or child.is_dir()):
            continue
        here = Place(_shown(child), 1, 1)
        # Links inside are followed, since Kubernetes mounts a ConfigMap as links into a hidden folder.
        if child.is_symlink() and (where := walk.leads_out(child)):
            walk.reader.report(f"the link leads {where}", here, hint="copy what it leads to")
        elif child.is_dir():
            yield from _within(child, walk, depth + 1)
        elif child.is_file():
            walk.reading.find()
            yield child
        else:
            walk.reader.report("this is not a file", here, hint="remove it")


def _bytes(file: Path, reader: Reader) -> bytes | None:
    """What is in a file: at most one byte more than the limit, which shows that it is too large."""
    try:
        with file.open("rb") as stream:
            return stream.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        reader.report(f"the file cannot be read: {error.strerror}", Place(reader.file, 1, 1), hint="look at its mode")
        return None


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

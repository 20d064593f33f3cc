"""Drafts: an entry of a manifest as a form has it, judged against all others, and written in place.

Owns which files may be written, and that none is written which is not what was looked at. Must never ask a service, and
decides nothing of what is fit: `lint` judges, `amend` writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from registrar import amend, atomic, lint, manifest
from registrar.document import Reader
from registrar.errors import Stale, UsageError
from registrar.lint import RULES, Breach, Entry, Finding, Keys, Level, Neighbours, Place
from registrar.model import Application, Target
from registrar.spelling import KEYS
from registrar.tui.session import Checked, Draft

NONE_CONFIGURED: Final = (
    "no manifests are configured: make a registrar.yaml with `manifests: FOLDER`, or start registrar tui PATH..."
)
_REQUIRED: Final = ("name", "redirect_uri")
_LOOK_S: Final = 1.0  # how old the list of files may be while somebody types
_WINDOW_FROM: Final = 32 * 1024  # characters of a file from which a check reads the entry and its neighbours alone
_HEAD: Final = "apps:\n"
_KEY: Final = re.compile(rf"\b({'|'.join(KEYS)})\b['\"]?\s*:")


class _File(NamedTuple):
    """A manifest as it was read, and how it looked on the disk then."""

    stamp: tuple[int, int]
    text: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class _Part:
    """The piece of a text that is rewritten, as a manifest of its own; `line` is the entry's in it, 0 for a new one."""

    before: str
    body: str
    after: str
    line: int
    shift: int  # from a line of the body to that of the whole

    def whole(self, body: str) -> str | None:
        """The text with another piece in place of this one; None where that is no list any more."""
        if not self.shift:
            return body
        return self.before + body.removeprefix(_HEAD) + self.after if body.startswith(_HEAD) else None


class Drafts:
    """The manifests of one target on the disk; safe to share between threads."""

    def __init__(self, paths: Sequence[Path], target: Target, known: Collection[str] | None) -> None:
        self._paths = paths
        self._target = target
        self._known = None if known is None else {*known, target.name}
        self._lock = threading.RLock()
        self._looked_at = -_LOOK_S
        self._files: dict[str, _File] = {}
        self._where: dict[str, Path] = {}
        self._neighbours: dict[tuple[str, int], Neighbours] = {}
        self._seen: dict[str, str] = {}

    def files(self) -> tuple[str, ...]:
        """The manifests that a new entry can be written to; of an empty folder the one that it would get."""
        found: list[str] = []
        for path in self._paths:
            if path.is_dir():
                found += manifest.listed([path]) or [str(path / "apps.yaml")]
            else:
                named = path.exists() or path.suffix.lower() in (".yaml", ".yml")
                found.append(str(path if named else path / "apps.yaml"))
        return tuple(dict.fromkeys(found))

    def draft(self, path: str) -> Draft | None:
        """The entry of this path as it is written for the target."""
        with self._lock:
            self._look(now=True)
            found = next((e for file in self._files.values() for e in file.entries if e.application.path == path), None)
            if found is None:
                return None
            name, line, _ = found.place("")
            file = self._files[name]
            self._seen[name] = file.text
            part = _part(file, line)
            written, target = amend.written(part.body, part.line), self._target.name
            own = written.own(target)
            others = {name: values for name, values in written.targets.items() if name != target}
            return Draft(name, {**written.base, **own}, line, frozenset(own), written.base, others)

    def check(self, draft: Draft) -> Checked:
        """What the manifest would say, and what the rules say of that."""
        with self._lock:
            self._look()
            file = self._files.get(draft.file) or _File((0, 0), "", [])
            if draft.line and self._seen.get(draft.file, file.text) != file.text:
                refusal = f"{draft.file} was changed meanwhile: leave the form, and open it again"
                return Checked(_path_of(draft), before=file.text, after=file.text, refusal=refusal)
            self._seen[draft.file] = file.text
            return self._judged(draft, file, _part(file, draft.line))

    def save(self, draft: Draft) -> Checked:
        """Write it, unless a finding or a refusal is in its way; Stale where the file is not what was looked at."""
        with self._lock:
            self._look(now=True)
            file = self._files.get(draft.file) or _File((0, 0), "", [])
            if self._seen.get(draft.file, file.text) != file.text:
                raise Stale(f"{draft.file} was changed meanwhile", hint="esc, and open it again")
            checked = self._judged(draft, file, _Part("", file.text, "", draft.line, 0))
            if checked.sound and checked.after != checked.before:
                _write(self._where.get(draft.file, Path(draft.file)), checked.after)
                self._seen[draft.file] = checked.after
                self._looked_at = -_LOOK_S
            return checked

    def _look(self, *, now: bool = False) -> None:
        """Read what has changed on the disk since the last look."""
        if not now and time.monotonic() - self._looked_at < _LOOK_S:
            return
        found: dict[str, _File] = {}
        self._where = manifest.listed([path for path in self._paths if path.exists()])
        for name, path in self._where.items():
            with contextlib.suppress(OSError):  # the next plan tells of what cannot be read
                stat = path.stat()
                stamp, before = (stat.st_mtime_ns, stat.st_size), self._files.get(name)
                found[name] = before if before and before.stamp == stamp else self._read(name, path, stamp)
        if found != self._files:
            self._neighbours.clear()
        self._files, self._looked_at = found, time.monotonic()

    def _read(self, name: str, path: Path, stamp: tuple[int, int]) -> _File:
        data = path.read_bytes()
        return _File(stamp, data.decode(errors="replace"), manifest.read(Reader(name), data, self._target, self._known))

    def _judged(self, draft: Draft, file: _File, part: _Part) -> Checked:
        if draft.file not in self.files():
            told = f"{draft.file} is none of this target's manifests" if self._paths else NONE_CONFIGURED
            return Checked(_path_of(draft), refusal=told)
        text = file.text
        if "\ufffd" in text:
            return Checked(_path_of(draft), before=text, after=text, refusal=f"{draft.file} is not UTF-8")
        try:
            body = self._amended(part, draft)
            after = part.whole(body)
        except UsageError as error:
            body, after, refusal = part.body, None, f"{error.message} ({error.hint})"
        else:
            refusal = ""
        if after is None and part.shift:
            return self._judged(draft, file, _Part("", text, "", draft.line, 0))
        entry, fresh = self._entry(draft, part, body, refused=bool(refusal))
        groups: dict[str, list[Finding]] = {}
        for key, finding in (*self._lint(draft, entry), *fresh):
            here = entry.place(key)
            place = {"file": draft.file, "line": here.line + part.shift if here.line else draft.line}
            groups.setdefault(key, []).append(replace(finding, **place, column=here.column))  # type: ignore[arg-type]
        findings = {key: tuple(group) for key, group in groups.items()}
        return Checked(entry.application.path, findings, text, text if after is None else after, refusal)

    def _amended(self, part: _Part, draft: Draft) -> str:
        values = draft.values
        if not part.line:
            new = {key: value for key, value in values.items() if value not in ("", False) or key in _REQUIRED}
            return amend.create(part.body, {**dict.fromkeys(_REQUIRED, ""), **new})
        written = amend.written(part.body, part.line)
        there = {**written.base, **written.own(self._target.name)}
        changed: dict[str, str | bool | None] = {}
        for key in KEYS:
            value = values.get(key)
            if key in there and key not in _REQUIRED and (value is None or (key == "path" and not value)):
                changed[key] = None
            elif value is not None and (key in there or value not in ("", False)):
                changed[key] = value
        return amend.change(part.body, part.line, self._target.name, changed, own=draft.own)

    def _entry(
        self, draft: Draft, part: _Part, body: str, *, refused: bool
    ) -> tuple[Entry, Sequence[tuple[str, Finding]]]:
        """The entry as the manifest would have it, and what reading says of it that it does not say now."""
        if not refused:
            reader, old = Reader(draft.file), Reader(draft.file)
            entries = manifest.read(reader, body.encode(errors="replace"), self._target, self._known)
            manifest.read(old, part.body.encode(errors="replace"), self._target, self._known)
            lines = body.split("\n")
            known = Counter((found.rule, found.message) for found in old.findings)
            fresh: list[tuple[str, Finding]] = []
            for found in reader.findings:
                known[found.rule, found.message] -= 1
                if found.rule.startswith("MF") and known[found.rule, found.message] < 0:
                    keys = _KEY.findall("".join(lines[found.line - 1 : found.line])[: found.column])
                    fresh.append((keys[-1] if keys else "", found))
            mine = [entry for entry in entries if entry.place("").line == part.line or not part.line]
            if mine:
                return mine[-1], fresh
        else:
            fresh = []
        named = {key: value for key, value in draft.values.items() if key in KEYS and value != ""}
        values = {"name": "", "redirect_uri": "", **named, "path": _path_of(draft)}
        return Entry(Application(**values), {"": Place(draft.file, 0, 0)}), fresh  # type: ignore[arg-type]

    def _lint(self, draft: Draft, entry: Entry) -> Iterator[tuple[str, Finding]]:
        """The findings of the rules by field: each place of the entry that is judged is named as its field."""
        application = entry.application
        keys = ("", *KEYS)
        judged = Entry(application, {key: Place(key) for key in keys}, {key: entry.waivers(key) for key in keys})
        others = self._others(draft)
        indexes = zip(others, Keys.of(application), strict=True)
        near = Neighbours(*(_Over(index, key, judged) for index, key in indexes))
        for finding in lint.judged(judged, near, self._target):
            yield finding.file, finding
        inside = f"{application.path}/"
        around = next((path for path in others.paths if path.startswith(inside)), None) if application.path else None
        if around is not None:
            breach = Breach(
                f"the path would lie around that of the application at {others.paths[around].place('path')}"
            )
            yield "path", RULES["AP003"].finding(breach, judged)
        before = self._before(draft)
        if before and before.application.path != application.path:
            told = f"the path changes from {before.application.path}: what is recorded there is declared no longer"
            yield "path", RULES["AP003"].finding(Breach(told, Level.WARNING), judged)

    def _before(self, draft: Draft) -> Entry | None:
        """The entry that the draft is of, as it is written."""
        file = self._files.get(draft.file)
        return next((e for e in file.entries if e.place("").line == draft.line), None) if file and draft.line else None

    def _others(self, draft: Draft) -> Neighbours:
        """Every other application of the target."""
        key = (draft.file, draft.line)
        if key not in self._neighbours:
            entries = [entry for file in self._files.values() for entry in file.entries]
            others = [entry for entry in entries if entry.place("")[:2] != key]
            self._neighbours[key] = Neighbours.of((entry, Keys.of(entry.application)) for entry in others)
        return self._neighbours[key]


class _Over(Mapping[str, Entry]):
    """The entries that are there, and one more where none has its key."""

    def __init__(self, there: Mapping[str, Entry], key: str, entry: Entry) -> None:
        self._there, self._key, self._entry = there, key, entry

    def __getitem__(self, key: str) -> Entry:
        return self._there[key] if key in self._there or key != self._key else self._entry

    def __iter__(self) -> Iterator[str]:
        return iter({**self._there, self._key: self._entry})

    def __len__(self) -> int:
        return len(self._there) + (self._key not in self._there)


def _path_of(draft: Draft) -> str:
    return str(draft.values.get("path") or manifest.slug(str(draft.values.get("name", ""))))


def _part(file: _File, line: int) -> _Part:
    """The entry of a long text alone, or for a new one the last two; what is odd about it, amend finds in the whole."""
    text, begins = file.text, sorted({entry.place("").line for entry in file.entries})
    if len(text) < _WINDOW_FROM or not begins or re.search("\r(?!\n)|[\x85\u2028\u2029]", text):
        return _Part("", text, "", line, 0)
    first = line or begins[-2:][0]
    if first not in begins or first < 3:
        return _Part("", text, "", line, 0)
    last = next((begin for begin in begins if begin > first), None) if line else None
    lines = text.split("\n")
    cut = len(lines) if last is None else last - 1
    before = "".join(f"{one}\n" for one in lines[: first - 1])
    after = "" if last is None else "\n".join(lines[cut:])
    body = text[len(before) : len(text) - len(after)]
    return _Part(before, _HEAD + body, after, 2 if line else 0, first - 2)


def _write(path: Path, text: str) -> None:
    """In place of the file, or of the one that it links to, all at once and with its mode."""
    real = Path(os.path.realpath(path))
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o7777 if real.exists() else atomic.ALL_READ
        atomic.replace(real, text.encode(), mode)
    except OSError as error:
        reason = error.strerror
    else:
        return
    raise UsageError(f"{path} cannot be written: {reason}", hint="look at its mode, and at that of its folder")

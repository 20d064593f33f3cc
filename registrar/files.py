"""Files: the manifests at the paths that somebody named, each once, with what is in it or why that cannot be read.

Owns which files a folder has, and where links may lead. Must never leave the folder it was given, nor enter `.git`:
what a merge request brings along is untrusted. Paths are texts here: a Path for each of thousands of files takes as
long as reading it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from registrar.document import SIZE_LIMIT_BYTES, Reader
from registrar.errors import UsageError
from registrar.limits import LIMITS, Reading
from registrar.lint import Place

STDIN: Final = Path("-")


class _File(NamedTuple):
    """A file as it was found, and where it really is."""

    path: str
    real: str


def sources(paths: Iterable[Path], stdin: bytes, reading: Reading) -> Iterator[tuple[Reader, str, bytes | None]]:
    """Each file once: what reads it, its path, and its bytes or in the reader the finding that says why it has none.

    A folder that has findings is one of them, without a path.
    """
    seen: set[str] = set()
    for path in paths:
        if path == STDIN:
            yield Reader("<stdin>"), str(STDIN), stdin
            continue
        folder = Reader(_shown(path))
        files = _files(path, folder, reading)
        if folder.findings:
            yield folder, "", None
        for file in files:
            if file.real not in seen:
                seen.add(file.real)
                reader = Reader(_shown(file.path))
                yield reader, file.path, _bytes(file.path, reader)


def listed(paths: Iterable[Path]) -> dict[str, Path]:
    """The files at these paths by the name that messages have for them, none of them opened; UsageError as in load."""
    reading = Reading(LIMITS)
    found = (file.path for path in paths for file in _files(path, Reader(_shown(path)), reading))
    return {_shown(path): Path(path) for path in found}


def _files(path: Path, reader: Reader, reading: Reading) -> list[_File]:
    """The file, or the manifests of the folder, at a path that somebody named."""
    hint = "name a manifest, or a folder of manifests"
    try:
        here = _File(str(path), os.path.realpath(path))
        if not stat.S_ISDIR(path.stat().st_mode):
            return [here]
        files = list(_within(here, _Walk(here.real, reader, reading), 0))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{reader.file} does not exist", hint=hint) from None
    except OSError as error:
        raise UsageError(f"{reader.file} cannot be read: {error.strerror}", hint=hint) from None
    if not files and not reader.findings:
        reader.report("the folder has no manifests", Place(reader.file, 1, 1), hint="add a file such as apps.yaml")
    return files


@dataclass
class _Walk:
    """A folder that is walked, and where the walk has been: a link can lead to where we are."""

    root: str
    reader: Reader
    reading: Reading
    entered: set[str] = field(default_factory=set)

    def leads_out(self, real: str) -> str:
        """Where a link leads that is not followed, in words; empty for one within the folder."""
        target = Path(real)
        if not target.is_relative_to(self.root):
            return "out of the folder"
        # a pipeline's checkout may keep the token there that it was made with
        return "into .git" if ".git" in target.relative_to(self.root).parts else ""

    def report(self, told: str, path: str, hint: str) -> None:
        self.reader.report(told, Place(_shown(path), 1, 1), hint=hint)


def _within(folder: _File, walk: _Walk, depth: int) -> Iterator[_File]:
    """The manifests of a folder by name, hidden ones left out; links only to what is inside the root."""
    if folder.real in walk.entered:
        return
    walk.entered.add(folder.real)
    walk.reading.enter(depth)
    with os.scandir(folder.path) as children:
        named = sorted((child for child in children if not child.name.startswith(".")), key=lambda child: child.name)
    prefix = "" if folder.path == "." else os.path.join(folder.path, "")  # noqa: PTH118
    for entry in named:
        # The folder's own list tells what is a link, a folder or a file: thousands of files are not asked one by one.
        link = entry.is_symlink()
        path = prefix + entry.name
        inside = Path(path).is_dir() if link else entry.is_dir()
        if not (inside or entry.name.lower().endswith((".yaml", ".yml"))):
            continue
        child = _File(path, os.path.realpath(path) if link else os.path.join(folder.real, entry.name))  # noqa: PTH118
        # Links inside are followed, since Kubernetes mounts a ConfigMap as links into a hidden folder.
        if link and (where := walk.leads_out(child.real)):
            walk.report(f"the link leads {where}", path, hint="copy what it leads to")
        elif inside:
            yield from _within(child, walk, depth + 1)
        elif Path(path).is_file() if link else entry.is_file():
            walk.reading.find()
            yield child
        else:
            walk.report("this is not a file", path, hint="remove it")


_CHUNK_BYTES: Final = 64 * 1024  # a manifest's size: room for the limit, asked for at once, costs more than the reading


def _bytes(file: str, reader: Reader) -> bytes | None:
    """What is in a file: somewhat more than the limit shows that it is too large, and no more is read."""
    found = bytearray()
    try:
        with open(file, "rb", buffering=0) as stream:  # noqa: PTH123
            while len(found) <= SIZE_LIMIT_BYTES and (chunk := stream.read(_CHUNK_BYTES)):
                found += chunk
    except OSError as error:
        reader.report(f"the file cannot be read: {error.strerror}", Place(reader.file, 1, 1), hint="look at its mode")
        return None
    return bytes(found)


def _shown(path: Path | str) -> str:
    """A path as messages show it: a file name may have bytes that are not UTF-8, and line breaks."""
    text = os.fsencode(path).decode(errors="replace")
    return text if text.isprintable() else ascii(text)[1:-1]

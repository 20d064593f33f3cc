"""What differs from a commit, as git knows it: the files that are byte for byte as they were where a branch began.

Owns the process that git is, and what it may know and do. A repository can be hostile: its configuration names programs
to run, its attributes choose among them. `git diff` runs filters, the monitor of files, the hook of a refreshed index,
and git itself in each submodule. So it is asked for the trees of commits alone, which needs no index, no attribute and
no file of the working tree, and what is in the files is hashed here as git does. Must never fetch, nor call a file
unchanged that may have changed: line ends that git would convert are a difference.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from registrar import config
from registrar.changed import answerable
from registrar.cli.output import say
from registrar.config import Settings
from registrar.doctor import counted
from registrar.errors import UsageError
from registrar.manifest import STDIN, Manifests
from registrar.wording import quoted

_TIMEOUT_S: Final = 60.0
_OPTIONS: Final = (
    "--no-pager",
    "--no-replace-objects",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "safe.bareRepository=explicit"),  # a folder of a branch can look like a repository, configuration and all
)
_KEPT: Final = ("HOME", "XDG_CONFIG_HOME")  # the user's own configuration says whose repositories are safe
_SET: Final = {
    "GIT_ALLOW_PROTOCOL": "",  # none, or a partial clone fetches what it lacks by whatever program it names for that
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_LINK: Final = b"120000"
_DEEPER: Final = "git fetch it; where the clone is shallow: git fetch --unshallow (fetch-depth: 0, GIT_DEPTH: 0)"


def narrowed(loaded: Sequence[Manifests], settings: Sequence[Settings], ref: str) -> list[Manifests]:
    """The same, with those findings alone for which what differs from the merge base with `ref` answers.

    A UsageError says why git cannot tell. Where registrar.yaml differs, nothing is left out.
    """
    began = _began(ref, Path.cwd())
    file = settings[0].config_file
    if file and began.holds(file) and not began.has(file):
        say(f"{file.name} differs from {ref}, and may change what is right anywhere: every manifest is judged.")
        return list(loaded)
    sources = {name: Path(path) for one in loaded for name, path in one.sources.items()}
    unchanged = {name for name, path in sources.items() if path != STDIN and began.has(path)}
    say(f"{len(sources) - len(unchanged)} of {counted(len(sources), 'file')} differ from {ref}; they alone are judged.")
    return [
        replace(one, findings=answerable(one.findings, one.entries, its.target, unchanged))
        for one, its in zip(loaded, settings, strict=True)
    ]


@dataclass(frozen=True)
class _Commit:
    """The files of a commit: mode and object id by their path below the repository's root."""

    root: str
    files: Mapping[bytes, tuple[bytes, bytes]]

    def holds(self, path: Path) -> bool:
        """Whether a file is in the repository's folder at all."""
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def has(self, path: Path) -> bool:
        """Whether that file is in the commit just as it is here, and the link that leads to it."""
        real = os.path.realpath(path)
        if path.is_symlink():
            link = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118 (not resolved any further)
            if not self._same(link, os.fsencode(path.readlink()), link=True):
                return False
        try:
            return self._named(real) is not None and self._same(real, Path(real).read_bytes())
        except OSError:
            return False

    def _same(self, path: str, content: bytes, *, link: bool = False) -> bool:
        mode, object_id = self._named(path) or (b"", b"")
        return bool(object_id) and (mode == _LINK) is link and object_id == _object_id(content, len(object_id))

    def _named(self, path: str) -> tuple[bytes, bytes] | None:
        inside = path.startswith(f"{self.root}/")
        return self.files.get(os.fsencode(path[len(self.root) + 1 :])) if inside else None


def _object_id(content: bytes, digits: int) -> bytes:
    """The name that git has for this content, in a repository whose names have as many digits."""
    blob = b"blob %d\0%b" % (len(content), content)
    digest = hashlib.sha1(blob, usedforsecurity=False) if digits == 40 else hashlib.sha256(blob)
    return digest.hexdigest().encode()


def _began(ref: str, folder: Path) -> _Commit:
    """The commit where what is checked out here left the history of `ref`."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    if isinstance(root, _No):
        raise UsageError(f"--changed-since needs a git repository: {root.reason}", hint=root.hint)
    asked = ref if ref and not ref.startswith("-") else ""
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}")
    if not asked or isinstance(commit, _No):
        raise UsageError(f"git knows no commit {quoted(ref)} here", hint=_DEEPER)
    base = _git(folder, "merge-base", "HEAD", commit.decode().strip())
    if isinstance(base, _No):
        raise UsageError(f"HEAD and {quoted(ref)} have no commit in common here", hint=_DEEPER)
    tree = _git(folder, "ls-tree", "-r", "-z", "--full-tree", base.decode().strip())
    if isinstance(tree, _No):
        raise UsageError(f"git cannot list {quoted(ref)}: {tree.reason}", hint=_DEEPER)
    files: dict[bytes, tuple[bytes, bytes]] = {}
    for line in tree.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, object_id = about.split(b" ")
        files[path] = (mode, object_id)
    return _Commit(os.path.realpath(os.fsdecode(root.removesuffix(b"\n"))), files)


@dataclass(frozen=True)
class _No:
    """What git gave in place of an answer: its reason, and what it says to type."""

    reason: str
    hint: str


def _git(folder: Path, *words: str) -> bytes | _No:
    """What git prints, or why it does not."""
    environ = config.environment()
    # a relative folder on PATH could be one of the repository's own
    path = ":".join(part for part in environ.get("PATH", os.defpath).split(":") if part.startswith("/"))
    theirs = {name: environ[name] for name in _KEPT if name in environ} | _SET | {"PATH": path}
    try:
        done = subprocess.run(  # noqa: S603 (git as this user has it, with words that are ours and an object's name)
            ["git", *_OPTIONS, *words],  # noqa: S607 (there is no one place where git is)
            cwd=folder,
            env=theirs,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("--changed-since needs git, which is not there", hint="install it, or judge all") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"it takes longer than {_TIMEOUT_S:.0f} s"
        raise UsageError(f"git does not answer: {reason}", hint="leave --changed-since out") from None
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
    advice = next((line for line in lines if line.startswith("git config ")), "run it inside the repository")
    return _No(next(iter(lines), f"it ended with {done.returncode}").removeprefix("fatal: "), advice)

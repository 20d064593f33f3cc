"""What others see of a process: its arguments and environment, what it starts and which files it opens for writing."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

# In the process itself, before its first line: Python tells of every file, child and variable (PEP 578).
_HOOK = """\
import json, os, sys

_log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_children = ("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "pty.spawn", "webbrowser.open")
_failing = {failing!r}


def _tell(event, arguments):
    if event == _failing[0]:
        _failing[1] -= 1
        if not _failing[1]:
            raise RuntimeError("a defect")
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        told = "file", os.fsdecode(path)
    elif event == "sqlite3.connect":
        told = "file", os.fsdecode(arguments[0])
    elif event == "subprocess.Popen":
        _, words, _, environ = arguments
        environ = os.environ if environ is None else environ
        told = "child", " ".join(map(os.fsdecode, words)), dict(environ)
    elif event == "os.exec":
        _, words, environ = arguments
        texts = dict((os.fsdecode(name), os.fsdecode(text)) for name, text in environ.items())
        told = "child", " ".join(map(os.fsdecode, words)), texts
    elif event in _children:
        told = "child", repr(arguments), dict(os.environ)
    elif event == "os.putenv":
        told = "variable", "=".join(map(os.fsdecode, arguments))
    elif event == "syslog.syslog":
        told = "system log", str(arguments)
    else:
        return
    os.write(_log, json.dumps(told).encode() + b"\\n")


sys.addaudithook(_tell)
"""


class Audit:
    """What the processes of an environment have opened for writing, started, set and logged."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder, self._log = folder, folder / "log"
        folder.mkdir()
        environ["PYTHONPATH"] = f"{folder}:{environ['PYTHONPATH']}"
        self.fail("", 0)

    def fail(self, event: str, number: int) -> None:
        """Raise in the middle of this event, when it happens for so many times; no event is none."""
        hook = _HOOK.format(log=str(self._log), failing=[event, number])
        (self._folder / "sitecustomize.py").write_text(hook)

    def told(self, kind: str) -> list[list[Any]]:
        """All of a kind: the path of a file, the words and the environment of a child."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [rest for found, *rest in map(json.loads, lines) if found == kind]

    @property
    def files(self) -> set[str]:
        """The files that were opened for writing, but for devices and compiled modules."""
        return {path for (path,) in self.told("file") if "__pycache__" not in path and not path.startswith("/dev/")}

    def texts(self) -> Iterator[tuple[str, str]]:
        """Where a secret could be, and what is there."""
        for kind in ("file", "child", "variable", "system log"):
            for rest in self.told(kind):
                yield f"a {kind} that it opened, started, set or wrote", json.dumps(rest)


class Bystander(threading.Thread):
    """Looks at a process and its children as any program of the same user can, while the block runs."""

    def __init__(self, process: subprocess.Popen[str], environ: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self._pid = process.pid
        self._given = {f"{name}={value}" for name, value in environ.items()}
        self._over = threading.Event()
        self.texts: set[tuple[str, str]] = set()
        self.core_limit = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.01):
            ours = _read(self._pid, "cmdline")
            self._see("arguments", ours)
            self._see("environment", "\0".join(set(_read(self._pid, "environ").split("\0")) - self._given))
            for line in _read(self._pid, "limits").splitlines():
                if line.startswith("Max core file size"):
                    self.core_limit = " ".join(line.split()[4:6])
            for child in _children(self._pid):
                words = _read(child, "cmdline")
                if words != ours:  # else it is about to become something else
                    self._see("arguments", words)

    def _see(self, where: str, text: str) -> None:
        if text:
            self.texts.add((f"the {where} of a process", text))


def _children(pid: int) -> Iterator[int]:
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # it has ended
        return
    for child in [int(child) for task in tasks for child in _read(pid, f"task/{task}/children").split()]:
        yield child
        yield from _children(child)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:  # it has ended
        return ""

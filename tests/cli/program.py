"""The command as people start it: in a process of its own, on a terminal, or in this one where speed counts.

Each Program has a home, a working folder and an environment of its own; nothing of the developer's gets through.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import registrar
from registrar.cli import main
from tests import documents

Answer = str | Callable[[], str]
"""What a person types, or does before typing it."""

_TIMEOUT_S = 60.0
_PROMPT = re.compile(r"(\[y/N\]|Client secret of \S+|Vault password of \S+ at \S+|Address|API key|API secret): $")
_PACKAGE = str(Path(registrar.__file__).parents[1])
_COMMAND = (sys.executable, "-m", "registrar")


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said; on a terminal both streams are one, `out`."""

    code: int
    out: str
    err: str = ""

    def __post_init__(self) -> None:
        documents.look(self.out)

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout is."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return documents.validated(found)


class Program:
    """`registrar` in a folder of its own, with this environment and no other."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.home, self.folder = folder / "home", folder / "checkout"
        for made in (self.home, self.folder):
            made.mkdir(exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": _PACKAGE,
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "TMPDIR": str(self.home),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **(environ or {}),
        }

    @property
    def state(self) -> Path:
        """Where --sandbox keeps its state."""
        return self.home / "state" / "registrar" / "sandbox.sqlite3"

    def write(self, name: str, content: str | bytes) -> Path:
        """A file in the working folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def call(self, *arguments: str, stdin: bytes = b"") -> Result:
        """In this process."""
        streams = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(stream, "utf-8", write_through=True) for stream in streams)
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.dict(os.environ, self.environ, clear=True))
            stack.enter_context(contextlib.chdir(self.folder))
            stack.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            code = main(arguments)
        return Result(code, *(stream.getvalue().decode() for stream in streams))

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A process that goes on beside the test."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        return subprocess.Popen(
            [*_COMMAND, *arguments], cwd=self.folder, env=self.environ, start_new_session=True, **{**pipes, **options}
        )

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """In a process of its own, with pipes and nobody to answer."""
        process = self.start(*arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        return finished(process, stdin)

    def on_terminal(self, *arguments: str, answers: Sequence[Answer] = (), shown: list[str] | None = None) -> Result:
        """On a terminal, where a person types one answer at each question; `out` is all that the screen showed.

        `shown` gets it piece by piece, for an answer that depends on it.
        """
        screen = [] if shown is None else shown
        ours, theirs = pty.openpty()
        try:
            process = self.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
            os.close(theirs)
            for text in _conversation(ours, answers):
                screen.append(text)
            return Result(process.wait(_TIMEOUT_S), "".join(screen).replace("\r\n", "\n"))
        finally:
            os.close(ours)


def finished(process: subprocess.Popen[str], stdin: str | None = None) -> Result:
    """The end of a process, waited for; one that does not end is ended here, and fails the test."""
    try:
        out, err = process.communicate(stdin, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it does not end: {out}\n{err}") from None
    return Result(process.returncode, out or "", err or "")  # of a stream that went elsewhere nothing is known


def _conversation(terminal: int, answers: Sequence[Answer]) -> Iterator[str]:
    left, ends, since = list(answers), time.monotonic() + _TIMEOUT_S, ""
    while select.select([terminal], [], [], max(ends - time.monotonic(), 0))[0]:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux says EIO once the other side has gone
            return
        if not chunk:
            return
        text = chunk.decode(errors="replace")
        since += text
        yield text
        if left and _PROMPT.search(since):
            answer = left.pop(0)
            os.write(terminal, f"{answer if isinstance(answer, str) else answer()}\n".encode())
            since = ""
    raise AssertionError("the terminal fell silent")


def typed(program: Program, keys: bytes, *words: str) -> Result:
    """On a terminal, where somebody types this as soon as there is a colon at the end of the screen."""
    ours, theirs = pty.openpty()
    try:

        def own() -> None:
            """Getpass asks the terminal that the process belongs to, and Ctrl-C there is a signal."""
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored, where the tests themselves run in the background

        process = program.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=own)
        os.close(theirs)
        shown, again, ends = b"", b"", time.monotonic() + _TIMEOUT_S
        while time.monotonic() < ends:
            if not select.select([ours], [], [], 1)[0]:
                os.write(ours, again)
                continue
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says EIO once the other side has gone
                chunk = b""
            if not chunk:
                return Result(process.wait(_TIMEOUT_S), shown.decode().replace("\r\n", "\n"))
            shown += chunk
            if shown.endswith(b": ") and keys:
                os.write(ours, keys)
                # CPython's input() loses a Ctrl-C that comes between its prompt and its read; people press once more
                keys, again = b"", b"\x03" if keys.endswith(b"\x03") else b""
        process.kill()
        process.wait()
        raise AssertionError(f"the terminal fell silent: {shown!r}")
    finally:
        os.close(ours)


@contextlib.contextmanager
def foreground(program: Program, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`registrar sandbox` as a process, and what its first line says."""
    process = program.start("sandbox", *words)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.communicate()
        yield process, documents.validated(json.loads(line))
    finally:
        process.kill()
        process.communicate()


def exported(ready: dict[str, Any]) -> dict[str, str]:
    """The environment that the sandbox tells people to set."""
    return {
        "NEXUS_URL": ready["nexus_url"],
        "NEXUS_API_KEY": ready["sysadmin"]["api_key"],
        "NEXUS_API_SECRET": ready["sysadmin"]["api_secret"],
        "VAULT_ADDR": ready["vault_addr"],
        "VAULT_TOKEN": ready["vault_token"],
    }

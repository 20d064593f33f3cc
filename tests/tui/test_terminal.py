"""The app in a real terminal, tmux: real keys, its size changed meanwhile, and the terminal as it was after."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import registrar

_PACKAGE = Path(registrar.__file__).parents[1]
_TIMEOUT_S = 30.0
_PROMPT = "ready$ "
_COLOURS = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)[1-6](?:;\d+)*m")  # 0 and 7 are black and white

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is missing: it is the terminal of this test")


class Terminal:
    """A tmux server of its own with one shell in it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self._name = f"registrar-{secrets.token_hex(4)}"
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_PACKAGE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "TMUX_TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
            "SSL_CERT_FILE": "/dev/null",
            "PS1": _PROMPT,
            **environ,
        }
        self._folder = folder

    def start(self, width: int, height: int) -> None:
        shell = ["env", *(f"{name}={text}" for name, text in self._environ.items()), "sh", "-i"]
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(self._folder), shlex.join(shell))
        self.wait_for(_PROMPT.strip())

    def _tmux(self, *words: str, check: bool = True) -> str:
        environ = {**self._environ, "TERM": "xterm-256color"}
        done = subprocess.run(
            ["tmux", "-L", self._name, "-f", "/dev/null", *words],
            env=environ, capture_output=True, text=True, timeout=_TIMEOUT_S, check=check,
        )  # fmt: skip
        return done.stdout

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def line(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)
        self.type("Enter")

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    @property
    def coloured(self) -> str:
        """The screen with the sequences that style it."""
        return self._tmux("capture-pane", "-p", "-e")

    def told(self, what: str) -> str:
        return self._tmux("display-message", "-p", f"#{{{what}}}").strip()

    def wait_for(self, *texts: str) -> str:
        ends = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < ends:
            shown = self.screen
            if all(text in shown for text in texts):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{texts} does not come:\n{self.screen}")

    def end(self) -> None:
        self._tmux("kill-server", check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "t"
    made.mkdir()
    shutil.copytree(_PACKAGE / "manifests", made / "manifests")
    (made / "registrar.yaml").write_text("set: twin\nmanifests: manifests\n", encoding="utf-8")
    return made


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    made = Terminal(folder, TERM="tmux-256color")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def plain(folder: Path) -> Iterator[Terminal]:
    made = Terminal(folder, TERM="xterm", NO_COLOR="1")
    try:
        yield made
    finally:
        made.end()


_START = f"{shlex.quote(sys.executable)} -m registrar --sandbox tui"


def test_a_real_terminal(terminal: Terminal, plain: Terminal) -> None:
    """Everything is registered by keys alone; then looked at without colours, in a window that changes."""
    terminal.start(80, 24)
    terminal.line(f"{_START}; echo ended $?")
    shown = terminal.wait_for("5 new", "Filter")
    assert len(shown.split("\n")) - 1 == 24
    assert terminal.told("alternate_on") == "1"
    terminal.type("a")
    terminal.wait_for("5 to create")
    terminal.type("a")
    terminal.wait_for("Cancel")
    terminal.type("Right", "Enter")
    terminal.wait_for("5 done")
    terminal.type("Escape")
    terminal.wait_for("5 in sync")
    _quit(terminal)

    plain.start(80, 24)
    plain.line(f"{_START}; echo ended $?")
    plain.resize(120, 40)  # while it starts and looks
    shown = plain.wait_for("5 in sync", "known to")
    plain.wait_for(" │ ")  # beside the list by now
    assert not _COLOURS.search(plain.coloured)
    plain.resize(80, 24)
    plain.wait_for("5 in sync", "Filter")
    _quit(plain)


def _quit(terminal: Terminal) -> None:
    """The end, with the terminal as it was."""
    terminal.type("q")
    shown = terminal.wait_for("ended 0")
    assert shown.rstrip().endswith(_PROMPT.strip())
    assert terminal.told("alternate_on") == "0"
    assert terminal.told("mouse_any_flag") == "0"
    assert terminal.told("cursor_flag") == "1"
    terminal.line("stty -a")
    modes = terminal.wait_for("icanon").split()
    assert "echo" in modes
    assert "icanon" in modes

"""The example as a developer has it, a process of its own in a folder of its own, and a browser to sign in with."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urljoin

import httpx

from registrar.client import client
from registrar.model import Target
from registrar.secret import Secret
from registrar.vault import Vault
from tests import web
from tests.cli.browser import visit
from tests.cli.canary import Canary
from tests.cli.program import Program, Result, finished
from tests.cli.services import Services

_PATIENCE_S = 30.0
NAME = "Example Application"


@dataclass
class Example:
    """A written and registered example: where it is, what `registrar exec` gives it, and who overhears it."""

    folder: Path
    url: str
    environ: dict[str, str]
    services: Services
    canary: Canary = field(default_factory=Canary)
    log: str = ""
    _said: threading.Condition = field(default_factory=threading.Condition)

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    @property
    def redirect_uri(self) -> str:
        return self.environ["NEXUS_REDIRECT_URI"]

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Python in its folder, with its environment and no other."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", *(words or ("app.py",))],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def refused(self, *words: str, **environ: str) -> Result:
        """How it ends where it does not even start."""
        return finished(self.start(*words, **environ))

    @contextlib.contextmanager
    def running(self, *words: str, **environ: str) -> Iterator[None]:
        """The application, answering while the block runs."""
        with self.watched(self.start(*words, **environ)):
            yield

    @contextlib.contextmanager
    def watched(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """The same for a process that has been started; what it says is in `log`, all of it after the block."""
        self.log = ""
        with process:
            reader = threading.Thread(target=self._read, args=(process,))
            reader.start()
            try:
                self.wait_for("Running on")
                yield
            finally:
                process.kill()
                reader.join()

    def wait_for(self, text: str) -> None:
        """Until this is in the log: a page may come sooner."""
        with self._said:
            assert self._said.wait_for(lambda: text in self.log, _PATIENCE_S), self.log

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            with self._said:
                self.log += re.sub("\x1b\\[[0-9;]*m", "", line)
                self._said.notify()

    def kept(self, change: str = "") -> list[tuple[str, bytes, float]]:
        """What its sessions hold, after a statement that changes them as time or an accident does."""
        with contextlib.closing(sqlite3.connect(self.folder / "instance" / "sessions.sqlite3")) as db, db:
            if change:
                db.execute(change)
            return list(db.execute("SELECT id, value, ends FROM kept"))

    def leaks(self, *texts: str) -> set[str]:
        """The secrets that are in its log, its files or these texts."""
        found = self.canary.leaks_in_files(self.folder)
        for text in (self.log, *texts):
            found |= self.canary.leaks(text, "a text")
        return found


@contextlib.contextmanager
def written(program: Program, services: Services, folder: str = "example") -> Iterator[Example]:
    """What `init example` writes, on a free port, registered by `apply` of its own manifest."""
    assert services.nexus
    with socket.socket() as reserved:  # never listens: the port stays ours until the application does
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        assert program.call("init", "example", folder).code == 0
        manifest = program.folder / folder / "application.yaml"
        manifest.write_text(manifest.read_text().replace("http://127.0.0.1:8080", url))
        applied = program.call("apply", str(manifest), "--yes")
        assert applied.code == 0, applied
        example = Example(program.folder / folder, url, given(services), services)
        example.canary.plant(example.environ["NEXUS_CLIENT_SECRET"], "the client secret")
        services.nexus.clear()
        services.nexus.after = example.canary.overhear
        yield example


def given(services: Services) -> dict[str, str]:
    """The variables that `registrar exec example` sets."""
    target = Target("default", "", "", services.running.vault_addr)
    token = Secret(services.running.vault_token)
    with contextlib.closing(Vault(services.running.vault_addr, token=token)) as vault:
        credential, record = vault.credential_with_record("example")
    assert credential
    values = client(record, credential, target).values
    return {
        f"NEXUS_{name.upper()}": value.reveal() if isinstance(value, Secret) else value
        for name, value in values.items()
    }


class Browser:
    """Somebody who signs in to Nexus as the first user that it offers, and stops short of the callback where asked."""

    def __init__(self, example: Example) -> None:
        self.example = example
        self.http = web.client(timeout=_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    @property
    def cookie(self) -> str:
        """What the application has given it to keep; nothing is empty."""
        return self.http.cookies.get("nexus-example") or ""

    def get(self, path: str) -> httpx.Response:
        return self.http.get(urljoin(self.example.url, path))

    def post(self, path: str) -> httpx.Response:
        return self.http.post(urljoin(self.example.url, path))

    def to_callback(self) -> str:
        """Begin to sign in; the URL of the callback that Nexus sends to, not yet called."""
        return visit(self.http, f"{self.example.url}/login", short_of=self.example.redirect_uri)

    def sign_in(self) -> str:
        """The whole of it; the page that it ends on."""
        answer = self.get(self.to_callback())
        assert answer.status_code == 302, answer.text
        return self.get(answer.headers["location"]).text

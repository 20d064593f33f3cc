"""What the help shows as an example is typed here, in a world where it makes sense."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from tests import web
from tests.cli import browser
from tests.cli.leaks import commands
from tests.cli.manifests import TWO, uri
from tests.cli.program import Answer, Program, Result, foreground
from tests.cli.services import Services, serving
from tests.contract.wire import unused_port

ELSEWHERE = {
    "registrar tui": "a screen that stays until somebody leaves it: tests/tui walks through it",
    "registrar --sandbox tui --readonly": "the same",
}
"""The examples that are not typed here, and why."""

BEFORE: dict[str, tuple[str, ...]] = {
    "registrar rotate viewer --back": ("registrar rotate viewer --yes",),
    "registrar restore viewer": ("registrar retire viewer --yes",),
    "registrar apply --yes --plan plan.json": ("registrar plan --out plan.json",),
    "registrar restore viewer --rotate": ("registrar retire viewer --yes",),
}
"""What has been typed before, where the world would not do."""

MODEL_URI = "https://model.example.org/callback"
CONFIG = """\
set: twin
manifests: manifests
default_target: dev
targets:
  dev: {}
  prod: {vault_prefix: prod, production: true}
"""
MODEL = f"""\
  - name: Plant Model
    redirect_uri: {MODEL_URI}
    owner_email: plant@example.org
"""
LOCAL = """\
    path: viewer
    targets:
      dev:
        redirect_uri: {} # registrar: ignore[RU009] where developers work
        base_url: ''
"""
SHELL = re.compile(r"[|<>$]")


@dataclass
class World:
    """Two registered applications of three that are declared; the third has been registered by hand where asked."""

    program: Program
    services: Services
    viewer_uri: str
    known: dict[str, str] = field(default_factory=dict)
    screen: list[str] = field(default_factory=list)

    def build(self) -> None:
        program = self.program
        program.write("registrar.yaml", CONFIG)
        local = LOCAL.format(self.viewer_uri)
        program.write("manifests/apps.yaml", TWO.replace("    path: viewer\n", local) + MODEL)
        program.write("app.py", "import os\nprint(os.environ['NEXUS_CLIENT_ID'])\n")
        program.write("app.sh", '#!/bin/sh\necho "$CLIENT_ID"\n').chmod(0o700)
        program.environ["BROWSER"] = f"{sys.executable} {Path(browser.__file__)} signs-in %s"
        folder = program.home / "bin"
        folder.mkdir()
        script = folder / "registrar"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m registrar "$@"\n')
        script.chmod(0o700)
        program.environ["PATH"] = f"{folder}:{program.environ['PATH']}"
        done = program.call("apply", "--only", "viewer", "--only", "sensor-catalogue", "--yes")
        assert done.code == 0, done.err

    def by_hand(self) -> None:
        """Somebody registers the third one on Nexus's own page, and keeps its secret in a file."""
        held = self.services.by_hand.create({"name": "Plant Model", "redirect_uri": MODEL_URI})
        self.known |= {"ID": held.client_id, "secret": held.client_secret.reveal()}
        self.program.write("secret.txt", held.client_secret.reveal())

    def meant(self, line: str) -> list[str]:
        """The words of an example, with what its capitals stand for."""
        words = shlex.split(line)
        if "DIGEST" in words:
            self.known["DIGEST"] = self.program.call("plan", "--output", "json").document["digest"]
        return [self.known.get(word, word) if word.isupper() else word for word in words[1:]]

    def typed(self, line: str, command: click.Command) -> Result:
        """It, by somebody who agrees to what is asked."""
        if SHELL.search(line):
            return self._by_a_shell(line)
        words = self.meant(line)
        if words[0] == "sandbox":
            return self._served(words)
        if words[0] == "exec":
            return self.program.run(*words)
        if answers := self._answers(words, command):
            return self.program.on_terminal(*words, answers=answers, shown=self.screen)
        return self.program.call(*words)

    def _answers(self, words: list[str], command: click.Command) -> list[Answer]:
        asks = {parameter.name for parameter in command.params} >= {"yes", "lock_timeout_s"} and "--yes" not in words
        account = self.services.running.sysadmin
        if words[0] == "login":
            return [account.api_key, account.api_secret]
        if words[0] == "flow" and "--paste" in words:
            return [self._signed_in]
        secret = [self.known["secret"]] if words[0] == "adopt" and not {"--from", "--rotate"} & set(words) else []
        return [*secret, "y"] if asks else []

    def _signed_in(self) -> str:
        """The address at which the browser of somebody who has opened the link ends."""
        (link,) = re.findall(r"^http\S+authorize\S+$", "".join(self.screen).replace("\r", ""), re.MULTILINE)
        with web.client() as client:
            return browser.visit(client, link, short_of=self.viewer_uri)

    def _by_a_shell(self, line: str) -> Result:
        script = f"set -e -o pipefail; {line}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.program.folder, env=self.program.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def _served(self, words: list[str]) -> Result:
        """It serves, and ends as Ctrl-C ends it."""
        with foreground(self.program, *words[1:], "--nexus-port", "0", "--vault-port", "0") as (process, ready):
            assert ready["nexus_url"]
            process.terminate()
            return Result(process.wait(30), "")


def made(folder: Path, services: Services) -> World:
    with unused_port() as port:
        pass
    folder.mkdir(exist_ok=True)
    world = World(Program(folder, services.environ), services, f"http://127.0.0.1:{port}/oauth/callback")
    world.build()
    return world


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all that changes none."""
    with serving() as services:
        yield made(tmp_path_factory.mktemp("world"), services)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """A world for one change."""
    with serving() as services:
        yield lambda: made(tmp_path / "world", services)


def shown(command: click.Command) -> list[tuple[str, str]]:
    """What each example is for, and the example, as the help has them."""
    section = (command.help or "").partition("\n\n\b\nExamples:\n")[2].splitlines()
    return [(told.strip(), line.strip()) for told, line in zip(section[::2], section[1::2], strict=True)]


COMMANDS = {name: command for name, command in commands().items() if name}
EXAMPLES = {(name, line): command for name, command in COMMANDS.items() for _, line in shown(command)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str, lasting: World) -> None:
    """A new command fails here until it has some: `@examples({...})`, above its other decorators."""
    found = shown(COMMANDS[name])
    assert found, f"`registrar {name} --help` has no example: give the command @examples({{line: what it is for}})"
    for told, line in found:
        assert re.search(rf"\bregistrar (--\w+ )*{name.split()[0]}\b", line), line
        assert re.fullmatch(r"# [A-Z`].*[^.]", told), f"{told!r} is a heading: a capital, and no full stop"
    printed = lasting.program.call(*name.split(), "--help").out
    section = printed.partition("\n  Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert section == [f"    {part}" for pair in found for part in pair]
    assert [line for line in section if len(line) > 80] == []


def test_what_is_not_typed_here_is_shown_somewhere() -> None:
    lines = {line for _, line in EXAMPLES}
    assert ELSEWHERE.keys() | BEFORE.keys() <= lines


@pytest.mark.parametrize(("name", "line"), [pair for pair in EXAMPLES if pair[1] not in ELSEWHERE])
def test_each_example_works(name: str, line: str, lasting: World, fresh: Callable[[], World]) -> None:
    command = EXAMPLES[name, line]
    changes = "lock_timeout_s" in {parameter.name for parameter in command.params}
    world = fresh() if changes else lasting
    if name == "adopt":
        world.by_hand()
    for made_twice in ("viewer-app", "oauth-applications"):  # a group shows it too
        shutil.rmtree(world.program.folder / made_twice, ignore_errors=True)
    for before in BEFORE.get(line, ()):
        done = world.typed(before, command)
        assert done.code == 0, done
    done = world.typed(line, command)
    expected = 2 if "--detailed-exitcode" in line else 0
    assert done.code == expected, f"{line}\n{done.out}\n{done.err}"


def test_what_the_readme_shows_a_developer(fresh: Callable[[], World]) -> None:
    """Its lines as they stand there: two credentials for a program, one in a file, one through a pipe."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ (registrar (?:exec|creds get) .+)$", text, re.MULTILINE)
    world = fresh()
    program = world.program
    program.write(
        "manifests/sensors.yaml", f"apps: [{{name: Sensors, redirect_uri: '{uri(1)}', owner_email: a@example.org}}]"
    )
    assert program.call("apply", "--only", "sensors", "--yes").code == 0
    program.write("both", '#!/bin/sh\necho "$NEXUS_CLIENT_ID $SENSORS_CLIENT_ID"\n').chmod(0o700)
    (program.home / "bin" / "program").symlink_to("/bin/cat")
    both, _, piped = (world._by_a_shell(line) for line in lines)
    viewer, other = (world.services.credential(path) for path in ("viewer", "sensors"))
    assert both.out.split() == [viewer["client_id"], other["client_id"]]
    assert f"NEXUS_CLIENT_SECRET='{viewer['client_secret']}'\n" in (program.folder / ".env").read_text()
    assert piped.out.strip() == viewer["client_secret"]

"""Completion through the real process, as a shell asks it, and through the shells that are here."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from registrar.policy import Role, grants, hcl
from tests.cli.canary import Canary
from tests.cli.leaks import commands
from tests.cli.manifests import TWO
from tests.cli.program import Program, Result, finished
from tests.cli.services import Services
from tests.contract.wire import unused_port
from tests.custody.proxy import Exchange, Proxy

CONFIG = """\
set: twin
manifests: apps.yaml
default_target: dev
targets:
  dev: {}
  prod: {vault_prefix: prod}
  production-east: {vault_prefix: east}
"""
NAMING = (
    "creds get",
    "creds history",
    "exec",
    "show",
    "status",
    "verify",
    "rotate",
    "retire",
    "restore",
    "--target dev -v creds get",
    "creds get --field client_id --target dev",
)
EVERY = ["sensor-catalogue", "viewer"]


@pytest.fixture
def applied(connected: Program) -> Program:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    return connected


def asked(program: Program, line: str, shell: str = "bash") -> Result:
    """What the process answers when TAB is pressed at the end of this line."""
    words = re.split(r"(?<!\\) (?!twin)", line)
    environ = program.environ | {
        "_REGISTRAR_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line if shell == "fish" else "\n".join(words),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "registrar"],
        cwd=program.folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return finished(process)


def offered(program: Program, line: str) -> list[str]:
    """What bash is offered; nothing is ever said besides."""
    result = asked(program, f"registrar {line}")
    assert (result.code, result.err) == (0, "")
    return [word.removeprefix("plain,") for word in result.out.splitlines() if word]


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", NAMING)
def test_a_name_is_completed(command: str, applied: Program) -> None:
    applied.write("registrar.yaml", CONFIG)
    assert offered(applied, f"{command} ") == EVERY
    assert offered(applied, f"{command} vi") == ["viewer"]
    assert offered(applied, f"{command} nobody") == []


@pytest.mark.parametrize("command", ["exec", "status", "verify", "rotate", "retire", "restore"])
def test_a_name_is_offered_once(command: str, applied: Program) -> None:
    assert offered(applied, f"{command} viewer ") == ["sensor-catalogue"]


def test_a_name_that_people_know_becomes_its_path(applied: Program) -> None:
    assert offered(applied, "creds get Digi") == ["viewer"]
    assert offered(applied, "creds get 'digital twin") == ["viewer"]
    assert offered(applied, r"creds get Sensor\ ") == ["sensor-catalogue"]


def test_zsh_and_fish_show_the_name_beside_the_path(applied: Program) -> None:
    told = asked(applied, "registrar show v", "zsh")
    assert told == Result(0, "plain\nviewer\nDigital Twin Viewer\n", "")
    told = asked(applied, "registrar show v", "fish")
    assert (told.code, told.err, "plain,viewer" in told.out) == (0, "", True)


def test_after_the_dashes_comes_a_file(applied: Program) -> None:
    assert asked(applied, "registrar exec viewer -- ca").out == "file,ca\n"
    assert offered(applied, "exec viewer --pri") == ["--pristine"]


def test_what_no_shell_takes_for_a_word_is_not_offered(applied: Program, services: Services) -> None:
    """What TAB has put on the line is run by return; anybody who may write there could write this."""
    for path in ("x$(touch made)", "x;reboot", "x y", "-x", "UPPER"):
        services.root.do("POST", f"secret/data/nexus/{path.replace(' ', '%20')}", {"data": {"client_id": "x"}})
    names = {"name": "$(touch made);`x`", "managed-by": "registrar"}
    services.root.do("POST", "secret/metadata/nexus/plain", {"custom_metadata": names})
    services.root.do("POST", "secret/data/nexus/plain", {"data": {"client_id": "x"}})
    assert len(applied.call("creds", "list", "-o", "json").document["credentials"]) > 5
    assert offered(applied, "creds get ") == ["plain", *EVERY]
    assert asked(applied, "registrar creds get pl", "zsh").out == "plain\nplain\n$(touch made);`x`\n"


# ── who asks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_secret_is_asked_for_or_told(applied: Program, services: Services) -> None:
    assert services.vault
    canary = Canary()
    for path in EVERY:
        canary.plant(services.credential(path)["client_secret"], path)
    services.vault.seen.clear()
    for shell in ("bash", "zsh", "fish"):
        for command in NAMING[:9]:
            result = asked(applied, f"registrar {command} ", shell)
            assert canary.leaks(result.out + result.err, command) == set()
    assert services.vault.seen
    assert [seen.path for seen in services.vault.seen if "/data/" in seen.path] == []
    assert services.vault.effects() == []


def test_who_may_not_list_is_offered_what_is_declared(applied: Program, services: Services) -> None:
    policy = hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=["viewer"]))
    applied.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()
    assert offered(applied, "creds get ") == []
    applied.write("registrar.yaml", CONFIG)
    assert offered(applied, "creds get ") == EVERY
    applied.environ["VAULT_TOKEN"] = "hvs.of-nobody"
    assert offered(applied, "creds get v") == ["viewer"]


BROKEN: dict[str, str] = {
    "away": "creds get --vault-addr http://127.0.0.1:{port} ",
    "no address": "creds get --vault-addr nonsense:// ",
    "no such target": "creds get -t nowhere ",
    "no such config": "creds get --config nowhere.yaml ",
    "no such command": "frobnicate ",
    "an unfinished flag": "creds get --vault-auth ",
    "a password to be typed": "creds get --vault-auth userpass --vault-username ada ",
    "a role that is missing": "creds get --vault-auth approle ",
    "contradicting words": "creds get --sandbox --vault-auth approle ",
}


@pytest.mark.parametrize("case", BROKEN)
def test_nothing_is_said_where_nothing_can_be_known(case: str, applied: Program) -> None:
    with unused_port() as port:
        found = offered(applied, BROKEN[case].format(port=port))
    assert not set(found) & set(EVERY)


def test_nothing_is_said_without_any_settings(program: Program) -> None:
    assert offered(program, "creds get ") == []
    program.environ["REGISTRAR_NONSENSE"] = "x"
    assert offered(program, "creds get ") == []
    program.write("registrar.yaml", "{")
    assert offered(program, "status -t ") == offered(program, "exec ") == []
    assert "status" in offered(program, "st")


@pytest.mark.parametrize("way", ["a server", "a helper"])
def test_nobody_waits_long(way: str, applied: Program, services: Services) -> None:
    """For a Vault that says nothing, and a token helper that takes its time, which is ended by none but itself."""

    def hang(proxy: Proxy, exchange: Exchange) -> None:  # noqa: ARG001
        time.sleep(3)

    assert services.vault
    if way == "a server":
        services.vault.on("GET", "", hang, times=99)
    else:
        del applied.environ["VAULT_TOKEN"]
        helper = applied.home / "helper"
        helper.write_text("#!/bin/sh\nexec sleep 8 >/dev/null 2>&1\n")
        helper.chmod(0o700)
        (applied.home / ".vault").write_text(f'token_helper = "{helper}"')
    began = time.monotonic()
    assert offered(applied, "creds get ") == []
    assert time.monotonic() - began < 7


def test_the_sandbox_is_asked_where_there_is_one(program: Program) -> None:
    assert offered(program, "--sandbox creds get ") == []
    assert not program.state.exists(), "TAB makes none"
    program.write("apps.yaml", TWO)
    assert program.run("--sandbox", "apply", "apps.yaml", "--yes").code == 0
    assert offered(program, "--sandbox creds get ") == offered(program, "creds get --sandbox ") == EVERY


# ── targets, commands, flags ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("line", ["--target ", "-t ", "status -t ", "creds get viewer --target "])
def test_a_target_is_completed(line: str, applied: Program) -> None:
    assert offered(applied, line) == []
    applied.write("registrar.yaml", CONFIG)
    assert offered(applied, line) == ["dev", "prod", "production-east"]
    assert offered(applied, f"{line}prod") == ["prod", "production-east"]
    applied.write("other.yaml", "targets: {elsewhere: {}}")
    assert offered(applied, f"--config other.yaml {line}") == ["elsewhere"]
    applied.environ["REGISTRAR_CONFIG"] = "other.yaml"
    assert offered(applied, line) == ["elsewhere"]


def test_of_several_targets_the_first_one_knows_the_names(applied: Program) -> None:
    applied.write("registrar.yaml", CONFIG)
    assert offered(applied, "status -t dev -t ") == ["prod", "production-east"]
    assert offered(applied, "status -t dev -t prod vi") == ["viewer"]
    assert offered(applied, "status --all-targets vi") == ["viewer"]


def test_commands_flags_and_choices_are_completed(program: Program) -> None:
    assert offered(program, "comp") == ["completion"]
    assert offered(program, "completion ") == ["bash", "zsh", "fish"]
    assert offered(program, "creds ") == ["get", "history", "list", "template"]
    assert offered(program, "creds get x --form") == ["--format"]
    assert offered(program, "creds get x --format d") == ["dotenv"]
    assert offered(program, "status --vault-auth k") == ["kubernetes"]
    assert offered(program, "schema app") == ["application"]
    assert asked(program, "registrar plan --config r").out == "file,r\n"


@pytest.mark.parametrize("words", commands())
def test_every_word_that_can_be_known_is_completed(words: str) -> None:
    """A new parameter fails here until it has a shell_complete, or a type that completes by itself."""
    for parameter in commands()[words].params:
        name = parameter.name or ""
        if name in ("name", "names", "only", "target", "vault_auth", "kind"):
            assert parameter._custom_shell_complete, f"registrar {words}: {name} is not completed"
        if parameter.metavar in ("FILE", "DIR") or name in ("paths", "files"):
            assert isinstance(parameter.type, click.Path | click.File), f"registrar {words}: {name} completes no files"


def test_what_is_declared_alone_is_offered_to_the_commands_that_may_be_its_first(applied: Program) -> None:
    applied.write("registrar.yaml", CONFIG)
    third = "  - {name: Third, redirect_uri: 'https://third.example.org/cb', owner_email: a@example.org}\n"
    applied.write("apps.yaml", TWO + third)
    for line in ("adopt ", "plan --only ", "policy --for developer "):
        assert offered(applied, line) == [*EVERY[:1], "third", *EVERY[1:]], line
    for line in ("handover ", "creds template docker "):
        assert offered(applied, line) == EVERY, line


# ── shells ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def installed(applied: Program) -> Program:
    """`registrar` is on PATH, as pip puts it there."""
    folder = applied.home / "bin"
    folder.mkdir()
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m registrar "$@"\n'
    (folder / "registrar").write_text(script)
    (folder / "registrar").chmod(0o700)
    applied.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    return applied


def in_shell(program: Program, shell: str, script: str) -> str:
    if not shutil.which(shell, path=program.environ["PATH"]):
        pytest.skip(f"{shell} is not on PATH")
    words = [shell, *{"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell], "-c", script]
    done = subprocess.run(words, env=program.environ, cwd=program.folder, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


PRESSED = """
eval "$(registrar completion bash)"
complete -p registrar
press() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _registrar_completion registrar
  echo "${COMPREPLY[*]}"
}
press registrar creds get ''
press registrar creds get Digi
press registrar status sensor-catalogue v
press registrar --targ
"""


def test_bash_completes(installed: Program) -> None:
    assert in_shell(installed, "bash", PRESSED).splitlines() == [
        "complete -o nosort -F _registrar_completion registrar",
        "sensor-catalogue viewer",
        "viewer",
        "viewer",
        "--target",
    ]


def test_zsh_takes_the_script(installed: Program) -> None:
    script = 'autoload -U compinit; compinit -D; eval "$(registrar completion zsh)"; echo ${_comps[registrar]}'
    assert in_shell(installed, "zsh", script) == "_registrar_completion\n"


def test_fish_completes(installed: Program) -> None:
    script = "registrar completion fish | source; complete --do-complete 'registrar creds get v'"
    assert in_shell(installed, "fish", script) == "viewer\tDigital Twin Viewer\n"


@contextlib.contextmanager
def no_shell(program: Program) -> Iterator[None]:
    program.environ["PATH"] = str(program.home)
    yield
    assert list(Path(program.home).iterdir()) == []


def test_the_script_is_printed_without_a_shell(program: Program) -> None:
    with no_shell(program):
        for shell in ("bash", "zsh", "fish"):
            result = program.run("completion", shell)
            assert (result.code, result.err) == (0, "")
            assert "_REGISTRAR_COMPLETE" in result.out
    refused = program.run("completion", "tcsh")
    assert (refused.code, refused.out) == (64, "")

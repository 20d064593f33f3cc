"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from registrar import __version__, config, errors, logins, manifest, plan, render
from registrar.cli import _COMMANDS
from registrar.model import Target
from registrar.world import World
from tests import web
from tests.cli import browser
from tests.cli.leaks import commands
from tests.contract.wire import unused_port

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
CONSOLE = "\n".join(blocks("console"))
COMMANDS = [line.removeprefix("$ ") for line in CONSOLE.splitlines() if line.startswith("$ ")]
MANIFEST, CONFIGURATION = blocks("yaml")


def test_the_manifest_yields_the_plan_that_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    file.write_text(MANIFEST)
    nexus = "https://nexus.dev.example.gov"
    target = Target(
        "dev", nexus, nexus, "https://vault.example.gov:8200", vault_prefix="nexus/dev", set="twin-platform"
    )
    loaded = manifest.load([file], target)
    assert not loaded.findings
    text = render.plan_text(plan.plan(World(target, loaded.applications, (), ())))
    shown = CONSOLE.partition("$ registrar plan manifest.yaml\n")[2]
    assert shown.startswith(text + "\n"), text


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text(CONFIGURATION)
    settings = config.load(config.Flags(), {}, tmp_path, need=config.Need.BOTH)
    assert settings.targets == ("dev", "prod")
    assert settings.target.name == "dev"
    assert settings.target.location("viewer") == "secret/nexus/dev/viewer"
    job = {"VAULT_ID_TOKEN": "a.b.c"}
    prod = config.load(config.Flags(target="prod"), job, tmp_path, need=config.Need.BOTH)
    assert prod.target.production
    assert (prod.vault.auth.method, prod.vault.auth.mount, prod.vault.auth.role) == ("jwt", "gitlab", "registrar")


def test_the_logins_are_all_there() -> None:
    listed = re.findall(r"^\| `(token|[a-z]+)`(?:, `([a-z]+)`)? \| (?:a |`role`|`username`)", README, re.MULTILINE)
    assert {method for pair in listed for method in pair if method} == set(logins.METHODS)


def test_the_policy_is_what_the_command_prints(tmp_path: Path) -> None:
    printed = registrar(tmp_path, "policy", "--for", "planner").stdout
    assert f"$ registrar policy --for planner\n{printed}$ " in CONSOLE


def test_the_command_table_has_every_command() -> None:
    listed = re.findall(r"^\| `registrar (\w+)", README, re.MULTILINE)
    assert set(listed) == set(_COMMANDS)


def test_the_flags_are_those_of_the_command() -> None:
    """In its row of the table; and elsewhere those of some command."""
    flags = {name: {flag for option in command.params for flag in option.opts} for name, command in commands().items()}
    rows = re.findall(r"^\| `registrar ([a-z]+(?: [a-z]+)*)[^`]*` \|(.*)$", README, re.MULTILINE)
    assert len(rows) > 20
    for name, told in rows:
        assert set(FLAG.findall(told)) <= flags[name], name
    others = {"--brief", "--json"}  # of tests.custody and tests.benchmarks
    assert set(FLAG.findall(README)) - others <= set().union(*flags.values()) | {"--help", "--version"}


def test_the_image_has_the_version() -> None:
    assert set(re.findall(r"registrar:(\d+\.\d+\.\d+)", README)) == {__version__}


def test_the_exit_codes_are_those_of_the_errors() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.RegistrarError)
    }
    assert raised <= listed
    assert listed - raised == {0, 2}, "done, and changes pending"


def test_the_gate_runs_what_the_readme_says() -> None:
    gate = (ROOT / ".ci" / "run").read_text()
    for said in ("'.[sandbox]'", "--sandbox apply manifests --yes", "'.[dev]'", ".ci/check .venv/bin"):
        assert said in " ".join(COMMANDS)
        assert said in gate


def typed(section: str) -> list[str]:
    """The commands of one section, by its heading."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    shown = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    return [line.removeprefix("$ ") for line in shown.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("command", [one for one in typed("Try it") if one.startswith(".venv/bin/registrar")])
def test_the_sandbox_commands_work_after_the_first(command: str, home: Path) -> None:
    done = registrar(home, *shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr
    assert "viewer" in done.stdout or "client_id" in done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the first command of the README has run."""
    folder = tmp_path_factory.mktemp("home")
    first = COMMANDS[0].rpartition("registrar ")[2]
    for said in ("5 done", "Nothing to do"):
        done = registrar(folder, *shlex.split(first))
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    return folder


def test_what_developers_do_works_in_this_order(tmp_path: Path) -> None:
    """In another folder, with this Python where the README makes a new environment, and a browser that signs in."""
    signs_in = f"{sys.executable} {ROOT / 'tests' / 'cli' / 'browser.py'} signs-in %s"
    environ = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "BROWSER": signs_in}
    told = typed("For developers")
    serve, *rest = [line for line in told if line.startswith((".venv/bin/registrar", "python3"))]
    assert serve == ".venv/bin/registrar sandbox"

    def started(line: str) -> subprocess.Popen[str]:
        words = [sys.executable if word.endswith("/python") else word for word in shlex.split(line)[1:]]
        command = [sys.executable, "-m", "registrar", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env=environ, **pipes)  # type: ignore[call-overload, no-any-return]

    with started(serve) as sandbox:
        try:
            assert sandbox.stdout and "nexus_url" in sandbox.stdout.readline()
            for line in rest:
                if line.startswith("python3"):
                    continue  # the test's own environment has what the example needs
                manifest = tmp_path / "viewer-app" / "application.yaml"
                if manifest.exists():
                    manifest.write_text(manifest.read_text().replace(":8080", f":{_port(tmp_path)}"))
                with started(line) as process:
                    if " exec " in line:
                        _signs_in(process, f"http://127.0.0.1:{_port(tmp_path)}")
                    else:
                        out, _ = process.communicate(timeout=60)
                        assert process.returncode == 0, f"{line}\n{out}"
        finally:
            sandbox.terminate()


def _port(folder: Path) -> int:
    """A port for the application, the same for one folder: 8080 may be taken where tests run."""
    file = folder / "port"
    if not file.exists():
        with unused_port() as port:
            file.write_text(str(port))
    return int(file.read_text())


def _signs_in(process: subprocess.Popen[str], url: str) -> None:
    """The application that was started signs a user in; then it is ended."""
    try:
        deadline = time.monotonic() + 30
        with web.client() as client:
            while True:
                try:
                    client.get(url)
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline and process.poll() is None
                    time.sleep(0.05)
            end = browser.visit(client, f"{url}/login")
            assert end.startswith(url)
            assert "Signed in as" in client.get(url).text
    finally:
        process.terminate()
        process.communicate(timeout=30)


def registrar(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PYTHONPATH": str(Path(config.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "registrar", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

"""What the README shows is what happens."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from registrar import config, errors, logins, manifest, plan, render
from registrar.cli import _COMMANDS
from registrar.model import Target
from registrar.world import World

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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


def commands(section: str) -> list[str]:
    """The commands of one section, by its heading."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    shown = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    return [line.removeprefix("$ ") for line in shown.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("command", [one for one in commands("Try it") if one.startswith(".venv/bin/registrar")])
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

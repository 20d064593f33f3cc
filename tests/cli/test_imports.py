"""What a command imports, and what the code may call where: read from clean interpreters and from the source itself."""

from __future__ import annotations

import ast
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import registrar
from registrar import cli, errors
from registrar.cli import main
from tests.cli.manifests import TWO
from tests.cli.program import Program

SOURCE = Path(registrar.__file__).parent
HEAVY = {"urllib3", "hvac", "requests", "yaml", "textual", "rich", "uvicorn", "sqlite3"}
SCRIPT = """
import contextlib, json, sys
sys.path.insert(0, sys.argv.pop(1))
before = set(sys.modules)
{}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
RUN = """
import os
from registrar.cli import main
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
    with contextlib.suppress(SystemExit):
        main(sys.argv[1:])
"""
# what a change looks at: manifests and their rules, what there is, and what is to be done about it
CHANGE = {"declarations", "document", "lint", "manifest", "world", "reconcile", "plan", "steps", "render"}


def imported(code: str, *words: str, cwd: Path | None = None, **environ: str) -> set[str]:
    """The modules that this code brings into a clean interpreter."""
    command = [sys.executable, "-I", "-c", SCRIPT.format(code), str(SOURCE.parent), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, cwd=cwd, env={**os.environ, **environ}
    )
    return set(json.loads(done.stdout))


def ours(modules: set[str]) -> set[str]:
    """Those of registrar, by their names within it."""
    return {module.removeprefix("registrar.") for module in modules if module.startswith("registrar.")}


def completed(line: str, cwd: Path | None = None, **environ: str) -> set[str]:
    """The modules that a shell waits for when this line is completed."""
    words = line.split(" ")
    asked = {"_REGISTRAR_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return imported(RUN, cwd=cwd, **asked, **environ)


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_importing_registrar_imports_nothing() -> None:
    assert imported("import registrar") == {"registrar"}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("frobnicate",), ()])
def test_help_and_version_import_click_alone(words: tuple[str, ...]) -> None:
    found = packages(imported(RUN, *words))
    assert "click" in found
    assert not found & HEAVY


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_what_does_nothing_imports_next_to_nothing_of_ours(words: tuple[str, ...]) -> None:
    found = imported(RUN, *words)
    assert ours(found) == {"errors", "cli", "cli.output"}
    assert not found & {"difflib", "json", "importlib.metadata"}


def test_a_command_is_completed_without_any() -> None:
    assert ours(completed("registrar p")) == {"errors", "cli", "cli.output"}
    own = {"cli.change", "cli.changes", "cli.completion"}
    assert ours(completed("registrar plan --")) == {"errors", "cli", "cli.output", *own}


def test_to_fetch_a_credential_imports_nothing_that_a_change_needs(connected: Program, tmp_path: Path) -> None:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    (elsewhere := tmp_path / "elsewhere").mkdir()
    environ = {name: connected.environ[name] for name in ("VAULT_ADDR", "VAULT_TOKEN")}
    for found in (
        imported(RUN, "creds", "get", "viewer", cwd=elsewhere, **environ),
        imported(RUN, "creds", "get", "viewer", "--format", "json", cwd=elsewhere, **environ),
        imported(RUN, "exec", "viewer", "--", "/nowhere/at/all", cwd=elsewhere, **environ),
        listed := completed("registrar creds get v", elsewhere, **environ),
    ):
        assert "vault.store" in ours(found)
        assert not ours(found) & CHANGE
        assert ours(found) & {"vault.listing", "vault.survey"} == ({"vault.listing"} if found is listed else set())
        assert not packages(found) & (HEAVY - {"urllib3"} | {"confusable_homoglyphs", "difflib", "subprocess"})
    (elsewhere / "registrar.yaml").write_text("set: twin\n")
    found = imported(RUN, "creds", "get", "viewer", cwd=elsewhere, **environ)
    assert ours(found) & CHANGE == {"declarations", "document", "lint"}
    assert "yaml" in found


def test_validate_imports_no_client(tmp_path: Path) -> None:
    (tmp_path / "apps.yaml").write_text(TWO)
    found = imported(RUN, "validate", str(tmp_path / "apps.yaml"))
    assert {"yaml", "registrar.manifest"} <= found
    assert not packages(found) & (HEAVY - {"yaml"})
    assert not packages(imported(RUN, "schema")) & (HEAVY - {"yaml"})


def test_a_client_is_imported_by_whom_it_serves() -> None:
    nowhere = ("--vault-addr", "https://vault.example.org", "--nexus-url", "https://nexus.example.org")
    found = packages(imported("import os; os.environ['VAULT_TOKEN'] = 'x'\n" + RUN, "plan", "x", *nowhere))
    assert "urllib3" in found
    # a records' reader needs neither hvac nor requests; Vault itself is asked by hvac
    assert not found & (HEAVY - {"urllib3", "yaml"})


# ── the source ────────────────────────────────────────────────────────────────────────────────────────────────────────


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Our own code; what `init` writes is somebody else's from the moment it is written."""
    for file in sorted(SOURCE.rglob("*.py")):
        name = file.relative_to(SOURCE).as_posix()
        if not name.startswith(("example/", "scaffold/")):
            yield name, ast.parse(file.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    """`a.b.c` as it is written, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def users(*names: str) -> set[str]:
    """The modules that use one of these names, whole or as the last of several."""
    wanted = re.compile(rf"(^|.*\.)({'|'.join(map(re.escape, names))})")
    return {
        file
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and wanted.fullmatch(dotted(node) or f".{_last(node)}")
    }


def _last(node: ast.Name | ast.Attribute) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def test_the_scan_sees_what_it_looks_for() -> None:
    assert users("Secret") >= {"logins.py", "nexus/session.py"}
    assert users("os.environ") == {"config.py"}
    assert users("no_such_name") == set()


def test_secrets_are_opened_only_where_they_are_sent_or_asked_for() -> None:
    # kept.py writes the session that a person asked to have kept
    allowed = (
        "nexus/",
        "vault/",
        "oauth.py",
        "kept.py",
        "cli/creds.py",
        "cli/exec.py",
        "cli/login.py",
        "cli/flow.py",
        "tui/",
    )
    assert [file for file in sorted(users("reveal")) if not file.startswith(allowed)] == []


def test_only_config_reads_the_environment() -> None:
    found = users("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv", "expandvars")
    assert found == {"config.py"}
    imports = {
        file
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and {name.name for name in node.names} & {"environ", "getenv"}
    }
    assert imports == set()


def test_only_the_login_to_vault_the_browser_and_git_are_processes_of_their_own() -> None:
    """Whoever starts another one says what that may know of the environment; git, of what differs, knows none of it."""
    found = users("subprocess", "Popen", "fork", "os.system", "popen", "webbrowser", "multiprocessing", "click.edit")
    assert found == {"cli/vault_login.py", "cli/browsing.py", "cli/since.py"}
    becomes = {f"{way}{how}" for way in ("exec", "spawn") for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")}
    assert users(*becomes, "posix_spawn", "posix_spawnp") == {"cli/exec.py"}


def test_only_the_command_line_prints_and_exits() -> None:
    found = users("print", "sys.exit", "os._exit", "click.echo", "echo", "sys.stdout", "sys.stderr", "SystemExit")
    assert {file for file in found if not file.startswith("cli/")} == {"__main__.py"}


def test_no_error_is_swallowed() -> None:
    broad = {"", "Exception", "BaseException"}
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
                caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                names = {dotted(kind) if kind else "" for kind in caught}
                assert not (silent and names & broad), f"{file}:{node.lineno}"
            if isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
                assert not broad & {dotted(argument) for argument in node.args}, f"{file}:{node.lineno}"


# ── the commands ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    module, told = cli._COMMANDS[name]
    command = getattr(importlib.import_module(module), name)
    assert isinstance(command, click.Command)
    assert command.help
    assert command.help.splitlines()[0] == told
    assert command.get_short_help_str() == click.Command(name, help=told).get_short_help_str()


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        *([name] for name in cli._COMMANDS),
        ["creds", "get"],
        ["creds", "list"],
        ["creds", "history"],
        ["creds", "template"],
        ["init", "example"],
        ["init", "repo"],
        ["init", "ci"],
    ):
        assert main([*words, "--help"]) == 0
        told = capsys.readouterr()
        assert told.out.startswith(f"Usage: registrar {' '.join(words)} ")
        assert told.err == ""


def test_no_flag_takes_a_secret() -> None:
    names = {
        option
        for module in {module for module, _ in cli._COMMANDS.values()}
        for command in vars(importlib.import_module(module)).values()
        if isinstance(command, click.Command)
        for parameter in command.params
        if not getattr(parameter, "is_flag", False)  # which takes nothing
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert "--target" in names
    assert [name for name in names if re.search("secret|token|password|key", name)] == []


def test_a_hint_names_only_commands_that_exist() -> None:
    found: set[str] = set()
    for _, tree in trees():
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        named = {
            word
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
            for word in re.findall(r"^registrar ([a-z]+)(?: |,|$)", node.value)
        }
        found |= named - {"manifest"}  # the schema's title
    assert found >= {"plan", "apply", "recover", "status", "show", "rotate", "restore", "adopt"}
    assert found <= cli._COMMANDS.keys()


# ── the exit codes ────────────────────────────────────────────────────────────────────────────────────────────────────

CODES = {
    "UsageError": 64,
    "ManifestsInvalid": 4,
    "ServiceError": 3,
    "StepFailed": 1,
    "BrakeEngaged": 5,
    "Stale": 6,
    "CustodyError": 7,
    "Interrupted": 130,
}


def test_every_error_has_an_exit_code_of_the_table() -> None:
    for found in pkgutil.walk_packages(registrar.__path__, "registrar."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    direct = {error.__name__: error.exit_code for error in errors.RegistrarError.__subclasses__()}
    assert direct == CODES
    pending = list(errors.RegistrarError.__subclasses__())
    while pending:
        error = pending.pop()
        parents = [parent.__name__ for parent in error.__mro__ if parent.__name__ in CODES]
        assert error.exit_code == CODES[parents[0]], error
        pending += error.__subclasses__()


def test_the_stages_that_the_command_offers_are_those_of_the_stand_in() -> None:
    from registrar.cli.sandbox import _STAGES
    from registrar.sandbox import STAGES

    assert _STAGES == STAGES

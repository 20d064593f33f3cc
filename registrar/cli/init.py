"""init: write files that somebody begins with. Never over a file that is there, unless told to."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from registrar import __version__
from registrar.cli import examples, no_command
from registrar.cli.output import say
from registrar.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EXAMPLE: Final = (
    "app.py",
    "nexus.py",
    "sessions.py",
    "templates/page.html",
    "application.yaml",
    "requirements.txt",
    "README.md",
    ".gitignore",
)
"""The files of `registrar/example`."""

_SCAFFOLD: Final = {
    "repo": (
        "registrar.yaml",
        "manifests/example.yaml",
        "CODEOWNERS",
        ".pre-commit-config.yaml",
        "README.md",
        ".gitignore",
    ),
    "gitlab": (".gitlab-ci.yml", ".gitlab/comment.py", "PIPELINE.md"),
    "github": (".github/workflows/registrar.yaml", "PIPELINE.md"),
}
"""The files of each folder of `registrar/scaffold`."""

_NEXT: Final = """\
A Flask application is in {folder}; its README.md says how it works. Next:

  cd {folder}
  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt

Where it is not registered yet, as the application `example` of application.yaml:

  registrar apply application.yaml

It listens where its redirect URI says, with the credential in its environment and in no file:

  registrar exec example -- .venv/bin/python app.py
"""

_NEXT_OF_REPO: Final = """\
A repository of manifests is in {folder}; its README.md says how to work with it. Put your addresses into
registrar.yaml and your groups into CODEOWNERS. Next:

  cd {folder}
  registrar validate
  registrar init ci gitlab
"""

_NEXT_OF_CI: Final = """\
The pipeline is in {file}. PIPELINE.md says what it needs in Vault and in the project, once. Put your image
and your Vault's name into the pipeline, commit all of it, and open a merge request.
"""


@examples(
    {
        "registrar init repo oauth-applications": "A repository of manifests to begin with",
        "registrar init example viewer-app": "An application to begin with",
    }
)
@click.group(invoke_without_command=True)
@click.pass_context
def init(ctx: click.Context, /) -> int | None:
    """Write files to begin with."""
    return no_command(ctx)


@examples(
    {
        "registrar init example viewer-app": "Into a new folder",
    }
)
@init.command(short_help="Write a small Flask application that signs users in.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--force", is_flag=True, help="Write into a folder that is not empty, over files of the same names.")
def example(folder: str, *, force: bool) -> int:
    """Write a small Flask application into DIR that signs its users in through Nexus.

    It is the one of Nexus's integration guide without its mistakes: to run, to read, and to copy from.
    """
    _begin(_packaged("example", _EXAMPLE), Path(folder), force=force)
    say(_NEXT.format(folder=shlex.quote(folder)).rstrip())
    return 0


@examples(
    {
        "registrar init repo oauth-applications": "Into a new folder, or a new clone",
    }
)
@init.command(short_help="Write a repository of manifests to begin with.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--force", is_flag=True, help="Write into a folder that is not empty, over files of the same names.")
def repo(folder: str, *, force: bool) -> int:
    """Write a repository of manifests into DIR: settings, an example, its schema for editors, and how to work with it.

    DIR may be a new clone, which has nothing but its .git.
    """
    import json

    from registrar import manifest

    schema = f"{json.dumps(manifest.schema(), indent=2)}\n".encode()
    files = _packaged("scaffold/repo", _SCAFFOLD["repo"])
    _begin({**files, "manifests/manifest.schema.json": schema}, Path(folder), force=force)
    say(_NEXT_OF_REPO.format(folder=shlex.quote(folder)).rstrip())
    return 0


@examples(
    {
        "registrar init ci gitlab": "In the repository itself",
        "registrar init ci github oauth-applications": "In a repository elsewhere",
    }
)
@init.command(short_help="Write the pipeline of such a repository.")
@click.argument("forge", metavar="gitlab|github", type=click.Choice(["gitlab", "github"]))
@click.argument("folder", metavar="[DIR]", type=click.Path(file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Write over files of the same names.")
def ci(forge: str, folder: str, *, force: bool) -> int:
    """Write the pipeline of a repository of manifests into DIR, for GitLab or for GitHub.

    It plans on a merge request, without a key for Nexus. Once merged it plans in full, and what a person then releases
    is applied if that is still the plan. Every night it looks for drift, and rotates old credentials.
    """
    files = _packaged(f"scaffold/{forge}", _SCAFFOLD[forge])
    taken = [name for name in files if os.path.lexists(Path(folder) / name)]
    if taken and not force:
        raise UsageError(f"{taken[0]} is there already", hint="look at it, and write over it with --force")
    _write(files, Path(folder))
    say(_NEXT_OF_CI.format(file=next(iter(files))).rstrip())
    return 0


def _packaged(folder: str, names: Iterable[str]) -> dict[str, bytes]:
    """Files that come with registrar, which name the version that they came with."""
    from importlib import resources

    source = resources.files("registrar").joinpath(folder)
    return {name: source.joinpath(name).read_bytes().replace(b"@VERSION@", __version__.encode()) for name in names}


def _begin(files: Mapping[str, bytes], folder: Path, *, force: bool) -> None:
    """Write files into a folder that has to be new, empty or an empty repository, unless forced."""
    try:
        there = {found.name for found in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise _unwritable(error) from None
    if there - {".git"} and not force:
        told = f"{folder} is not empty"
        raise UsageError(told, hint="name another folder, or write over its files of the same names with --force")
    _write(files, folder)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files below a folder, over those of the same names; nothing else there is touched."""
    try:
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # a link's target, which may be anywhere, is not ours to write
            file.write_bytes(content)
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> UsageError:
    return UsageError(f"{error.filename} cannot be written: {error.strerror}", hint="name another folder")

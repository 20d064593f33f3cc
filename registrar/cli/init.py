"""init: write files that somebody begins with. Never over a file that is there, unless told to."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from registrar.cli import examples, no_command
from registrar.cli.output import say
from registrar.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_NEXT: Final = """\
A Flask application is in {folder}; its README.md says how it works. Next:

  cd {folder}
  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt

Where it is not registered yet, as the application `example` of application.yaml:

  registrar apply application.yaml

It listens where its redirect URI says, with the credential in its environment and in no file:

  registrar exec example -- .venv/bin/python app.py
"""


@examples(
    {
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
    from importlib import resources

    source = resources.files("registrar") / "example"
    _write({name: source.joinpath(name).read_bytes() for name in _EXAMPLE}, Path(folder), force=force)
    say(_NEXT.format(folder=shlex.quote(folder)).rstrip())
    return 0


def _write(files: Mapping[str, bytes], folder: Path, *, force: bool) -> None:
    """Write files below a folder, which has to be new or empty unless forced; nothing else there is touched."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force and any(folder.iterdir()):
            told = f"{folder} is not empty"
            raise UsageError(told, hint="name another folder, or write over its files of the same names with --force")
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.unlink(missing_ok=True)  # a link's target, which may be anywhere, is not ours to write
            file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}", hint="name another folder") from None

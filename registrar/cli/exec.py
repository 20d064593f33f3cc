"""exec: become a command that has the credentials of applications in its environment.

Owns what the command inherits: the process, its terminal and its signals, and an environment without registrar's own
logins. Must never start a second process, nor the command where anything is missing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from registrar.cli import OWN_FAILURE, connection_options, examples
from registrar.cli.completion import applications
from registrar.cli.output import defect, fail, say
from registrar.errors import RegistrarError, StepFailed, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from registrar.cli.connection import Connection
    from registrar.client import Client
    from registrar.variables import Source

_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
_COMMAND: Final = "registrar.exec"
"""Where a context keeps the words after `--`; None where there is no `--`."""


class _Exec(click.Command):
    """Takes what is after `--` as it is, and ends with 125 whenever it fails itself, be it over its flags."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        split = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[split + 1 :] if split < len(args) else None
        with _own(ctx):
            return super().parse_args(ctx, args[:split])

    def invoke(self, ctx: click.Context) -> Any:
        with _own(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _own(ctx: click.Context) -> Iterator[None]:
    """Say what failed, and leave the other exit codes to the command."""
    failure: RegistrarError
    try:
        yield
        return
    except (click.exceptions.Exit, click.Abort):  # --help, Ctrl-C
        raise
    except click.ClickException as error:
        if ctx.resilient_parsing:  # a shell completes what is not finished
            raise
        failure = UsageError(error.format_message(), hint=f"{ctx.command_path} --help")
    except RegistrarError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 (as in main: its text may hold anything)
        failure = defect(error)
    raise click.exceptions.Exit(fail(failure, code=OWN_FAILURE))


def _names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    if ctx.meta[_COMMAND] is not None:
        return [CompletionItem(incomplete, type="file")]
    return applications(ctx, parameter, incomplete)


@examples(
    {
        "registrar exec viewer -- python3 app.py": "Run an application",
        "registrar exec viewer --pristine -- env": "See what a command gets, and nothing else",
        "registrar exec viewer --env CLIENT_ID=client_id -- ./app.sh": "Under a name that the application expects",
    }
)
@connection_options
@click.command(cls=_Exec)
@click.argument("names", nargs=-1, required=True, metavar="NAME... -- CMD [ARG]...", shell_complete=_names)
@click.option("--prefix", "prefixes", multiple=True, metavar="[NAME=]PREFIX", help="Instead of NEXUS_; for one NAME.")
@click.option(
    "--env", "chosen", multiple=True, metavar="VAR=[NAME:]FIELD", help="This value as VAR, and not as it is usual."
)
@click.option("--pristine", is_flag=True, help="Inherit nothing but PATH, HOME, TERM, LANG and LC_*.")
@click.option("--keep", multiple=True, metavar="VAR", help="Inherit this variable nonetheless.")
@click.pass_context
def exec(  # noqa: A001 (the name of the command)
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    prefixes: tuple[str, ...],
    chosen: tuple[str, ...],
    pristine: bool,
    keep: tuple[str, ...],
    **flags: Any,
) -> int:
    """Become a command that has credentials in its environment.

    NEXUS_CLIENT_ID, NEXUS_CLIENT_SECRET, NEXUS_REDIRECT_URI, NEXUS_AUTHORIZE_URL and NEXUS_EXCHANGE_URL, as far as
    they are known. Several applications need a --prefix each.

    The command takes the place of registrar: same process, terminal and signals. It inherits the environment but for
    what registrar logs in with (VAULT_TOKEN, NEXUS_API_SECRET and their like; --keep VAR for one that it needs), and
    leaves no core.

    The exit code is the command's; 127 where it is not found, 126 where it cannot be executed, 125 where registrar
    fails, and then nothing was started.
    """
    from registrar import variables
    from registrar.cli.connection import connected
    from registrar.cli.fetched import fetch
    from registrar.config import environment

    command: list[str] | None = ctx.meta[_COMMAND]
    if not command:
        told = "there is no command to run" if command is not None else "there is no -- before the command to run"
        raise UsageError(told, hint="registrar exec NAME -- CMD")
    own, wishes = [_prefix(text) for text in prefixes], [_wish(text) for text in chosen]
    with connected(ctx, flags, nexus=False) as connection:
        found = _Found([(name, fetch(connection, name)) for name in names])
    prefix_of = found.prefixes(own)
    sources = variables.assigned(found.known, prefix_of, found.wishes(wishes))
    inherited = variables.inherited(environment(), pristine=pristine, keep=keep)
    for name in variables.reserved(found.known, prefix_of):
        inherited.pop(name, None)
    _tell(found, connection)
    return _become(command, {**inherited, **found.opened(sources)})


# ── the applications ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Found:
    """The applications as they were typed, each once."""

    def __init__(self, fetched: Sequence[tuple[str, Client]]) -> None:
        self.clients = {client.path: client for _, client in fetched}
        self.known = {path: tuple(client.values) for path, client in self.clients.items()}
        self._typed = {name: client.path for name, client in fetched}

    def prefixes(self, own: Sequence[tuple[str | None, str]]) -> dict[str, str]:
        """The prefix by path, where one was given."""
        alone = [prefix for name, prefix in own if name is None]
        if len(alone) > 1:
            raise UsageError("--prefix PREFIX twice", hint="--prefix NAME=PREFIX for each application")
        everywhere = {path: prefix for prefix in alone for path in self.clients}
        return everywhere | {self._path(name): prefix for name, prefix in own if name is not None}

    def wishes(self, wishes: Sequence[tuple[str, str | None, str]]) -> list[tuple[str, Source]]:
        """What --env asks for; a UsageError where it may be of several, a StepFailed where nobody knows it."""
        return [(variable, self._source(variable, name, field)) for variable, name, field in wishes]

    def _source(self, variable: str, name: str | None, field: str) -> Source:
        from registrar.variables import Source

        (path, *others) = [self._path(name)] if name is not None else self.clients
        if others:
            hint = f"--env {variable}={path}:{field}"
            raise UsageError(f"--env {variable}={field} may be of {', '.join([path, *others])}", hint=hint)
        if field not in self.known[path]:
            hint = f"registrar show {path}"
            raise StepFailed(f"nothing tells the {field} of {path}", hint=hint, application=self.clients[path].name)
        return Source(path, field)

    def _path(self, name: str) -> str:
        from registrar.model import same_name

        if path := self._typed.get(name):
            return path
        for path, client in self.clients.items():
            if name == path or same_name(name) == same_name(client.name):
                return path
        raise UsageError(f"{name!r} is none of the applications", hint=f"one of {', '.join(self.clients)}")

    def opened(self, sources: Mapping[str, Source]) -> dict[str, bytes]:
        """The values as the command gets them."""
        from registrar import variables

        found: dict[str, bytes] = {}
        for variable, source in sources.items():
            value = self.clients[source.path].values[source.field]
            text = value if isinstance(value, str) else value.reveal()
            variables.refuse_null(variable, text)
            found[variable] = variables.encoded(text)
        return found


def _prefix(text: str) -> tuple[str | None, str]:
    """PREFIX, or NAME=PREFIX."""
    from registrar.variables import valid

    name, named, prefix = text.rpartition("=")
    if prefix and not valid(prefix):
        raise UsageError(f"--prefix {text}: no variable begins with {prefix!r}", hint="letters, digits and _")
    return (name if named else None), prefix


def _wish(text: str) -> tuple[str, str | None, str]:
    """VAR=FIELD, or VAR=NAME:FIELD."""
    from registrar.client import FIELDS
    from registrar.variables import valid

    variable, told, source = text.partition("=")
    name, named, field = source.rpartition(":")
    if not told or not valid(variable):
        raise UsageError(f"--env {text}: it begins with no variable and =", hint="--env CLIENT_ID=client_id")
    if field not in FIELDS:
        raise UsageError(f"--env {text}: there is no field {field!r}", hint=f"one of {', '.join(FIELDS)}")
    return variable, (name if named else None), field


def _tell(found: _Found, connection: Connection) -> None:
    """What the command does without."""
    from registrar.client import FIELDS

    for path, known in found.known.items():
        if unknown := [field for field in FIELDS if field not in known]:
            say(f"Nothing tells the {', '.join(unknown)} of {path}: left out.")
    settings = connection.settings
    if connection.sandbox and settings.nexus.url == settings.target.nexus_url:
        say("The sandbox ends as the command starts: `registrar sandbox`, in another terminal, serves the same one.")


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _become(command: list[str], environ: Mapping[str, str | bytes]) -> int:
    """Run it in the place of this process; the exit code where that cannot be."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        if not command[0]:
            raise FileNotFoundError
        with _usual_signals():
            os.execvpe(command[0], command, environ)  # noqa: S606 (what it is for)
    except OSError as error:
        failed = error
    return _not_run(command[0], failed)


def _not_run(program: str, failed: OSError) -> int:
    """Say why, with the exit code that `env` and shells have for it."""
    if isinstance(failed, FileNotFoundError | NotADirectoryError):
        if "/" in program and os.path.lexists(program):
            told, hint = f"{program} leads nowhere, or its first line does", "look at its #! line"
        else:
            told, hint = f"there is no command {program!r}", "look at PATH, or give the path of the command"
        return fail(RegistrarError(told, hint=hint), code=_NOT_FOUND)
    told = f"{program} cannot be executed: {failed.strerror}"
    return fail(RegistrarError(told, hint="look at its mode, and at its #! line"), code=_NOT_EXECUTABLE)


@contextlib.contextmanager
def _usual_signals() -> Iterator[None]:
    """As programs expect them: Python ignores these two at its start, and what is ignored is inherited."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The command line: parse, connect, call, print, exit. One catch in `main`, one place that knows the exit codes' edges.

Owns stdout, stderr and the exit code. Decides nothing; a command's module is imported when that command is called, so
that `registrar --help` and `--version` import click alone.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from registrar import __version__
from registrar.errors import RegistrarError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# by section, name: (module, what it does); the module has a click command of the same name
_SECTIONS: Final = {
    "Look": {
        "validate": ("registrar.cli.manifests", "Check manifests, offline."),
        "plan": ("registrar.cli.changes", "Show what apply would do; changes nothing."),
        "status": ("registrar.cli.views", "Manifest, Nexus and Vault side by side."),
        "show": ("registrar.cli.views", "One application: all three sides and its history."),
        "tui": ("registrar.cli.tui", "A terminal home for sysadmins: look, register, rotate, retire."),
        "verify": ("registrar.cli.verify", "Prove the stored credentials against Nexus."),
        "export": ("registrar.cli.export", "Print the living applications of Nexus as a manifest."),
        "doctor": ("registrar.cli.doctor", "Look at everything a run needs, and say what mends it."),
    },
    "Change": {
        "apply": ("registrar.cli.changes", "Register and update what the manifests declare."),
        "rotate": ("registrar.cli.acts", "Replace credentials by new ones."),
        "retire": ("registrar.cli.acts", "Withdraw credentials in Vault and archive their applications in Nexus."),
        "restore": ("registrar.cli.acts", "Bring back what was retired or archived."),
        "adopt": ("registrar.cli.acts", "Take over an application that was registered by hand."),
        "recover": ("registrar.cli.changes", "Finish or undo what an interrupted run left."),
    },
    "Use a credential": {
        "creds": ("registrar.cli.creds", "Fetch the credential of an application."),
        "exec": ("registrar.cli.exec", "Become a command that has credentials in its environment."),
        "flow": ("registrar.cli.flow", "Sign in to an application, and see every step of the flow."),
        "handover": ("registrar.cli.handover", "Tell what an application's owner has to know, without the secret."),
        "init": ("registrar.cli.init", "Write files to begin with."),
    },
    "Sign in, and set up": {
        "login": ("registrar.cli.login", "Sign in to Nexus, and keep the session until it ends."),
        "logout": ("registrar.cli.login", "Forget the kept session, and end it where Nexus can."),
        "whoami": ("registrar.cli.login", "Tell who Nexus and Vault take us for, by what, and until when."),
        "policy": ("registrar.cli.policy", "Print the Vault policies of planner, applier and developer."),
        "completion": (
            "registrar.cli.completion",
            "Print what makes a shell complete commands, flags, targets and names.",
        ),
        "schema": ("registrar.cli.manifests", "Print the JSON Schema of a manifest, or of what --output json prints."),
        "sandbox": ("registrar.cli.sandbox", "Serve Nexus and Vault stand-ins on loopback until Ctrl-C."),
    },
}
_COMMANDS: Final = {name: said for commands in _SECTIONS.values() for name, said in commands.items()}
OWN_FAILURE: Final = 125
"""The exit code of exec where registrar fails: `env` and `docker run` leave the smaller ones to the command."""


Command = TypeVar("Command", bound=click.Command)


class _Commands(click.Group):
    """The commands by name, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[name][0]), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, told) for name, (_, told) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click has it, but for the texts of commands: it would import every command to ask for them."""
        from click.shell_completion import CompletionItem

        begun = [
            CompletionItem(name, help=click.Command(name, help=told).get_short_help_str())
            for name, (_, told) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return begun + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean 'registrar {near[0]}'?" if near else "registrar --help"
            raise UsageError(f"no such command: {args[0]}", hint=hint)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="registrar", message="%(prog)s %(version)s")
@click.pass_context
def registrar(ctx: click.Context, /, **flags: Any) -> int | None:
    """Registers OAuth applications in DeepLynx Nexus from YAML manifests and keeps their credentials in Vault."""
    ctx.obj = {name: value for name, value in flags.items() if value not in (None, ())}
    return no_command(ctx)


def no_command(ctx: click.Context) -> int | None:
    """The help, on stderr since nobody asked for it, and the exit code, where a group is called without a command."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return UsageError.exit_code


def examples(lines: Mapping[str, str]) -> Callable[[Command], Command]:
    """Give a command's help a section of examples: each line as it is typed, with what it is for; a test runs it.

    A line and its indent fit into 80 columns. ID and DIGEST stand for what a person has before them.
    """
    shown = "\n".join(f"  # {told}\n  {line}" for line, told in lines.items())

    def given(command: Command) -> Command:
        command.help = f"{inspect.cleandoc(command.help or '')}\n\n\b\nExamples:\n{shown}"
        return command

    return given


def connection_options(command: click.Command) -> click.Command:
    """Give a command the flags that say where Nexus and Vault are; on the command they beat those before it."""
    texts = {
        "target": "Target in registrar.yaml.",
        "config": "Use this registrar.yaml instead of the one found upward from here.",
        "nexus-url": "Where Nexus is.",
        "frontend-url": "Where users sign in to Nexus; default: the origin of --nexus-url.",
        "vault-addr": "Where Vault is.",
        "vault-mount": "Mount of the key-value store (version 2).",
        "vault-prefix": "Folder of the records below the mount.",
        "vault-namespace": "Namespace of Vault.",
        "vault-auth": "How to log in to Vault: token, approle, jwt, kubernetes, userpass, ldap or cert.",
        "vault-auth-mount": "Mount of that auth method; default: its name.",
        "vault-role": "Role to log in with; for approle its id.",
        "vault-username": "User to log in as, with userpass or ldap.",
    }
    metavars = {
        "config": "FILE",
        "target": "NAME",
        "vault-auth": "METHOD",
        "vault-role": "NAME",
        "vault-username": "NAME",
    }
    short = {"target": ["-t"]}
    for name, told in texts.items():
        metavar = metavars.get(name, "URL" if name.endswith(("url", "addr")) else "PATH")
        complete = {"target": _targets, "vault-auth": _methods}.get(name)
        words, kind = [*short.get(name, []), f"--{name}"], click.Path() if name == "config" else None
        many = name == "target"  # for a command that works on one, `given` says so
        command.params.append(
            click.Option(words, type=kind, help=told, metavar=metavar, shell_complete=complete, multiple=many)
        )
    command.params += [
        click.Option(["--sandbox"], is_flag=True, default=None, help="Use embedded stand-ins of Nexus and Vault."),
        click.Option(
            ["--timeout"], type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For each request."
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, default=None, help="Tell every request: method, path, status, time."
        ),
        click.Option(["--no-color"], is_flag=True, default=None, help="No colour, as with NO_COLOR."),
    ]
    return command


def several_targets(command: click.Command) -> click.Command:
    """Let a command with these flags work on several targets: --target again and again, or --all-targets."""
    (place,) = (place for place, option in enumerate(command.params) if option.name == "target")
    target = command.params[place]
    assert isinstance(target, click.Option)  # noqa: S101 (connection_options has made it)
    target.help = "Target in registrar.yaml; again for another one after it."
    every = click.Option(["--all-targets"], is_flag=True, default=None, help="All of registrar.yaml, in its order.")
    command.params.insert(place + 1, every)
    return command


def _targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
    from registrar.cli.completion import targets

    return targets(ctx, parameter, incomplete)


def _methods(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
    from registrar.cli.completion import methods

    return methods(ctx, parameter, incomplete)


several_targets(connection_options(registrar))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from registrar.cli.output import begin, defect, fail

    words = list(sys.argv[1:] if arguments is None else arguments)
    begin(words)
    try:
        result = registrar.main(args=words, prog_name="registrar", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        return fail(RegistrarError("stopped: nothing was changed"), code=130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        called = [word for word in words if word in _COMMANDS][:1]  # click's parser knows no context
        command = context.command_path if context else " ".join(["registrar", *called])
        code = OWN_FAILURE if called == ["exec"] else None
        return fail(UsageError(error.format_message(), hint=f"{command} --help"), code=code)
    except RegistrarError as error:
        return fail(error)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; Python would complain once more at exit
        return 1
    except Exception as error:  # noqa: BLE001 (Python would print its text, which may hold anything)
        return fail(defect(error))
    return result if isinstance(result, int) else 0

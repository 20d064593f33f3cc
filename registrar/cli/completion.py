"""completion: what a shell offers after TAB: names of applications and targets, as this login may see them.

Must never print an error, ask anybody for anything, or keep a person waiting; and never offer what a shell would take
for more than a word, since an entry that is offered is typed.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from registrar.cli import examples

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_DEADLINE_S: Final = 3.0
_REQUEST_S: Final = 1.0
_VARIABLE: Final = "_REGISTRAR_COMPLETE"

Found = TypeVar("Found")


@examples(
    {
        'eval "$(registrar completion bash)"': "In this shell, and from ~/.bashrc in every one",
    }
)
@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a shell complete commands, flags, targets and names.

    Names come from Vault as the login of the moment sees it, or else from the manifests of registrar.yaml.

    \b
    bash (4.4)  eval "$(registrar completion bash)"       in ~/.bashrc
    zsh         eval "$(registrar completion zsh)"        in ~/.zshrc, after compinit
    fish        registrar completion fish | source        in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from registrar.cli import registrar
    from registrar.cli.output import data

    found = get_completion_class(shell)
    assert found  # noqa: S101 (click has had these three since there are any)
    script = found(registrar, {}, "registrar", _VARIABLE)
    data((script.source_template % script.source_vars()).strip())  # its source() runs a bash to look at the version
    return 0


def applications(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The paths that begin so, and those of applications whose names do; none that is typed already."""
    return _begun(ctx, parameter, incomplete, declared_too=False)


def declared_too(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same, and what is declared but not in Vault, for commands that may be the first of an application."""
    return _begun(ctx, parameter, incomplete, declared_too=True)


def _begun(
    ctx: click.Context, parameter: click.Parameter, incomplete: str, *, declared_too: bool
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from registrar.model import PATH, same_name
    from registrar.wording import visible

    typed = ctx.params.get(parameter.name or "") or ()
    began = same_name(incomplete)
    return [
        CompletionItem(path, help=visible(name) or None)
        for path, name in sorted(_quietly(lambda: _known(ctx, declared_too=declared_too)))
        if (path.startswith(incomplete) or (began and same_name(name).startswith(began)))
        and path not in typed
        and PATH.fullmatch(path)
    ]


def methods(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """The ways to log in to Vault that begin so."""
    from click.shell_completion import CompletionItem

    from registrar.logins import METHODS

    return [CompletionItem(method) for method in METHODS if method.startswith(incomplete)]


def targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The targets of registrar.yaml that begin so; none that is typed already."""
    from click.shell_completion import CompletionItem

    typed = ctx.params.get(parameter.name or "") or ()
    found = _quietly(lambda: _targets(ctx))
    return [CompletionItem(name) for name in found if name.startswith(incomplete) and name not in typed]


def _known(ctx: click.Context, *, declared_too: bool) -> set[tuple[str, str]]:
    """Path and name of what Vault lists, else of what is declared: who may read one path may seldom list."""
    found: set[tuple[str, str]] = set()
    from registrar.cli.connection import Opening
    from registrar.config import Need, environment, sandbox_state
    from registrar.errors import RegistrarError

    flags = _typed(ctx) | {"timeout": _REQUEST_S}
    if flags.get("sandbox") and not sandbox_state(environment(), *flags.get("target", ())).exists():
        return set()  # a TAB makes no sandbox
    with Opening(ctx, flags, trace=lambda *_: None, attended=False) as opening:
        try:
            records = opening.vault(opening.settings(Need.VAULT)).all().records
            found = {(record.path, record.base.name) for record in records if record.held}
        except RegistrarError:
            declared_too = True
        if declared_too:
            from registrar.cli.declared import declared

            known = declared(opening.settings(Need.PLACE), (), optional=True).applications
            found |= {(one.path, one.name) for one in known if one.path not in dict(found)}
    return found


def _targets(ctx: click.Context) -> Iterable[str]:
    from pathlib import Path

    from registrar import config

    return config.target_names(_typed(ctx).get("config"), config.environment(), Path.cwd())


def _typed(ctx: click.Context) -> dict[str, Any]:
    """The flags on the line so far, those of the command last."""
    before = _typed(ctx.parent) if ctx.parent else {}
    said = {name: value for name, value in ctx.params.items() if value not in (None, ()) and name != "verbose"}
    several = said.pop("all_targets", None)  # then names are those of the default one
    return before | said | ({} if several or "target" not in said else {"target": said["target"][:1]})


def _quietly(look: Callable[[], Iterable[Found]]) -> list[Found]:
    """What is found, or nothing: whoever pressed TAB is typing, and has no use for a reason."""
    try:
        with _hurried(), contextlib.redirect_stderr(io.StringIO()):
            return list(look())
    except Exception:  # noqa: BLE001 (there is nowhere to say it)
        return []


@contextlib.contextmanager
def _hurried() -> Iterator[None]:
    """End the process, which has printed nothing yet, when it takes longer than people wait."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, _DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

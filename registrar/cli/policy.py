"""policy: the exact Vault policies of a target, for whoever administers Vault."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.completion import declared_too
from registrar.cli.output import Format, data, document, output_option
from registrar.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registrar.config import Settings
    from registrar.policy import Grant, Role


@examples(
    {
        "registrar policy": "All three, each below the command that takes it",
        "registrar policy --for planner > planner.hcl": "One, as `vault policy write` takes it",
        "registrar policy --for developer viewer": "For whoever may fetch this credential",
    }
)
@output_option
@connection_options
@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=declared_too)
@click.option(
    "--for", "role", type=click.Choice(["planner", "applier", "developer"]), help="This role alone; default: all three."
)
@click.option("--with-nexus", is_flag=True, help="Planner and applier read the key for Nexus from Vault as well.")
@click.option(
    "--manifests",
    "files",
    multiple=True,
    type=click.Path(),
    help="Where the names are declared; default: as registrar.yaml says.",
)
@click.pass_context
def policy(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    role: str | None,
    with_nexus: bool,
    files: tuple[str, ...],
    output: Format,
    **flags: Any,
) -> int:
    """Print the Vault policies of planner, applier and developer.

    `vault policy write` takes them as they are. NAME is an application that a developer may fetch: its name, or its
    Vault path.
    """
    from registrar.cli.flags import offline
    from registrar.config import Need
    from registrar.policy import Role, hcl
    from registrar.wording import machine

    settings, _ = offline(ctx, flags, Need.PLACE)
    roles = (Role(role),) if role else tuple(Role)
    _refuse(roles, names, settings, with_nexus=with_nexus)
    found = {wanted: _grants(wanted, settings, names, files, with_nexus=with_nexus) for wanted in roles}
    if output is Format.JSON:
        told = {str(name): [asdict(grant) for grant in lines] for name, lines in found.items()}
        document(machine("policies", {"policies": told}))
    elif role:
        data(hcl(found[roles[0]]))
    else:
        data("\n\n".join(_headed(name, lines, settings) for name, lines in found.items()))
    return 0


def _refuse(roles: Sequence[Role], names: Sequence[str], settings: Settings, *, with_nexus: bool) -> None:
    """Raise where the words cannot be meant together."""
    from registrar.policy import Role

    if names and Role.DEVELOPER not in roles:
        raise UsageError(f"the policy of the {roles[0]} is for all records", hint=f"registrar policy --for {roles[0]}")
    if roles == (Role.DEVELOPER,) and not names:
        hint = "registrar policy --for developer NAME"
        raise UsageError("a developer's policy is for the applications that you name", hint=hint)
    if with_nexus and not settings.nexus_credentials:
        hint = "in registrar.yaml: nexus_credentials: secret/PATH"
        raise UsageError("the target does not say where in Vault the key for Nexus is", hint=hint)


def _grants(
    role: Role, settings: Settings, names: Sequence[str], files: Sequence[str], *, with_nexus: bool
) -> tuple[Grant, ...]:
    from registrar.policy import Role, grants

    target = settings.target
    if role is Role.DEVELOPER:
        return grants(role, target.vault_mount, target.vault_prefix, paths=_paths(settings, names, files) or ("NAME",))
    key = settings.nexus_credentials if with_nexus else ""
    return grants(role, target.vault_mount, target.vault_prefix, nexus_key=key)


def _paths(settings: Settings, names: Sequence[str], files: Sequence[str]) -> tuple[str, ...]:
    """The Vault paths of these paths and names; a path is taken as it is, and has no `*` or `+`, a policy's any."""
    from registrar.cli.declared import desired
    from registrar.model import PATH, same_name

    known = desired(settings, tuple(files), optional=True) if names else ()
    called = {same_name(application.name): application.path for application in known}
    paths = tuple(name if PATH.fullmatch(name) else called.get(same_name(name), "") for name in names)
    if "" in paths:
        unknown = names[paths.index("")]
        hint = "give its path, or name the manifests with --manifests"
        raise UsageError(f"no manifest declares an application called {unknown!r}", hint=hint)
    return paths


def _headed(role: Role, lines: tuple[Grant, ...], settings: Settings) -> str:
    """The policy below the command that takes it."""
    from registrar.policy import hcl

    name = settings.target.name
    called = "-".join(["registrar", role, *([] if name == "default" else [name])])
    return f"# ── vault policy write {called} - ──\n{hcl(lines)}"

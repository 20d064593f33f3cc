"""Several targets in one run: which they are, and each looked at on its own, whatever is in the way of another.

Owns their order and that nothing is asked before all of them are known to go together. A command writes down what it
does with one target; the loop is here. Must never decide what is done with an application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from registrar import apart, atomic, config, together
from registrar.cli.flags import asked, coloured, offline
from registrar.cli.output import Format, data, document, say
from registrar.config import Need
from registrar.errors import RegistrarError, UsageError
from registrar.together import Look, View
from registrar.wording import error_text, quoted

Found = TypeVar("Found")

_PLACES: Final = ("nexus_url", "frontend_url", "vault_addr", "vault_mount", "vault_prefix", "vault_namespace")


@dataclass(frozen=True)
class Chosen:
    """One of several targets, and the flags of a command about this one alone."""

    name: str
    flags: Mapping[str, Any]


def targets(ctx: click.Context, flags: Mapping[str, Any], need: Need) -> tuple[Chosen, ...]:
    """The targets that were asked for together, in order; none where the command is about one.

    A UsageError, before anything is sent, where they cannot be meant or where one would be shown another's secret.
    """
    said = asked(ctx, flags)
    names = _names(said)
    if not names:
        return ()
    for place in _PLACES:
        if place in said:
            message = f"--{place.replace('_', '-')} says where one target is, and {len(names)} are meant"
            raise UsageError(message, hint=f"leave it out: {place} in registrar.yaml says it of each")
    chosen = tuple(Chosen(name, {**flags, "target": name, "all_targets": None, "several": True}) for name in names)
    need = Need.NOTHING if said.get("sandbox") else need  # which has all that anybody needs
    apart.check([offline(ctx, one.flags, need)[0] for one in chosen])
    return chosen


def _names(said: Mapping[str, Any]) -> tuple[str, ...]:
    named: str | tuple[str, ...] = said.get("target", ())
    if isinstance(named, str):  # one that was chosen already
        return ()
    if said.get("all_targets"):
        if named:
            raise UsageError("--all-targets leaves no choice for --target", hint="leave out one of the two")
        declared = config.target_names(
            said.get("config"), config.environment(), Path.cwd(), untrusted=bool(said.get("untrusted"))
        )
        if not declared:
            raise UsageError("no registrar.yaml declares any targets", hint="leave out --all-targets")
        return declared
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--target {quoted(twice)} is given twice", hint="leave out one of the two")
    return named if len(named) > 1 else ()


def refuse(ctx: click.Context, flags: Mapping[str, Any], flag: str, hint: str) -> None:
    """Raise a UsageError where several targets are asked for with a flag that is about one."""
    if _names(asked(ctx, flags)):
        raise UsageError(f"{flag} is for the plan of one target, and several are meant", hint=hint)


def look(chosen: Iterable[Chosen], one: Callable[[Mapping[str, Any]], Found]) -> list[Look[Found]]:
    """Each target looked at in order, one's services closed before the next one's are opened; what fails is told."""
    looks: list[Look[Found]] = []
    for target in chosen:
        try:
            looks.append(Look(target.name, one(target.flags)))
        except RegistrarError as error:
            complain(target.name, error)
            looks.append(Look(target.name, error=error))
    return looks


def complain(target: str, error: RegistrarError) -> None:
    """Say what was in the way at a target."""
    say(error_text(RegistrarError(f"{target}: {error.message}", hint=error.hint)))


def show(
    ctx: click.Context,
    flags: Mapping[str, Any],
    need: Need,
    one: Callable[[Mapping[str, Any]], Found],
    view: View[Found],
    output: Format,
    code: Callable[[Found], int],
    *,
    file: Path | None = None,
) -> int:
    """Print what `one` finds at the target of its flags, or at each of several; the exit code that it has.

    With a `file` it is written there.
    """
    chosen = targets(ctx, flags, need)
    if chosen and output in view.others:
        message = f"--output {output} tells of one target, and {len(chosen)} are meant"
        raise UsageError(message, hint="once for each target, or --output json")
    colour = coloured(asked(ctx, flags), config.environment()) and file is None
    if not chosen:
        found = one(flags)
        _put(view.told(found, output, colour=colour), output, file)
        return code(found)
    looks = look(chosen, one)
    worst = together.worst(_codes(looks, code))
    _put(view.several(looks, output, worst, colour=colour), output, file)
    return worst


def _put(text: str, output: Format, file: Path | None) -> None:
    if file:
        content = f"{text}\n".encode(errors="backslashreplace")
        atomic.write(file, content, force=True, mode=atomic.ALL_READ)  # the collector is another user
    elif output is Format.JSON:
        document(text)
    else:
        data(text)


def _codes(looks: Iterable[Look[Found]], code: Callable[[Found], int]) -> Iterable[int]:
    for found in looks:
        if found.error:
            yield found.error.exit_code
        elif found.found is not None:
            yield code(found.found)

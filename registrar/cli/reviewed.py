"""The file between `plan --out` and `apply --plan`: written, read, and held against the flags of `apply`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from registrar import atomic, config, review, targets
from registrar.cli.flags import given
from registrar.cli.output import say
from registrar.digest import where
from registrar.errors import UsageError

if TYPE_CHECKING:
    from registrar.model import Target
    from registrar.plan import Options, Plan
    from registrar.review import Reviewed

_LIMIT_BYTES: Final = 256 * 1024 * 1024
_UNNAMED: Final = "default"  # the target where no registrar.yaml names one


def keep(file: Path, todo: Plan, paths: Sequence[str], options: Options, *, force: bool) -> None:
    """Write the plan for its owner alone: it holds no secret, but nobody else needs to know what is registered."""
    atomic.write(file, review.written(todo, paths, options), force=force)
    if todo.with_nexus:
        say(f"Plan written to {file}: registrar apply --plan {file} carries it out while nothing of it has changed.")
    else:
        say(f"Plan written to {file}. It is made without Nexus, so that it can be read and not applied.")


@dataclass(frozen=True)
class Approval:
    """What `apply` goes by: the paths, options and flags of the command line, or those of the reviewed plan."""

    reviewed: Reviewed | None
    paths: tuple[str, ...]
    options: Options
    flags: Mapping[str, Any]

    @property
    def given(self) -> bool:
        """Whether somebody has approved already, so that nobody has to be asked."""
        return self.reviewed is not None

    def same_target(self, target: Target) -> None:
        """Raise where this is another target than the reviewed one, or that one has moved since."""
        if self.reviewed is None:
            return
        name = self.reviewed.target.name
        if target.name != name:
            told = f"the plan was reviewed for the target {name}, this is {target.name}"
            raise UsageError(told, hint=f"choose it with --target {name}, or review another plan")
        review.same_place(self.reviewed, target)

    def same_plan(self, todo: Plan) -> None:
        """Raise Stale, naming what differs, unless this plan is the reviewed one."""
        if self.reviewed:
            review.same_plan(self.reviewed, todo)


def approval(
    ctx: click.Context, file: str | None, paths: tuple[str, ...], options: Options, flags: Mapping[str, Any]
) -> Approval:
    """What the command line says, or with a file what that says; UsageError where they contradict one another."""
    if file is None:
        return Approval(None, paths, options, flags)
    reviewed = _read(file)
    said = given(ctx, flags)
    _refuse_contradictions(reviewed, paths, options, said)
    chosen = said.get("target") or said.get("sandbox") or config.environment().get("REGISTRAR_TARGET")
    own = {} if chosen or reviewed.target.name == _UNNAMED else {"target": reviewed.target.name}
    return Approval(reviewed, reviewed.paths, reviewed.options, {**flags, **own})


def _read(file: str) -> Reviewed:
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(_LIMIT_BYTES)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="registrar plan --out FILE") from None
    return review.read(data, file)


def _refuse_contradictions(
    reviewed: Reviewed, paths: tuple[str, ...], options: Options, said: Mapping[str, Any]
) -> None:
    asked, place = reviewed.options, where(reviewed.target)
    pairs = {
        "PATH": (paths, reviewed.paths),
        "--only": (tuple(sorted(options.only)), tuple(sorted(asked.only))),
        "--prune": (options.prune, asked.prune),
        "--unarchive": (options.unarchive, asked.unarchive),
        "--accept-nexus": (options.accept_nexus, asked.accept_nexus),
    } | {f"--{key.replace('_', '-')}": (_normal(key, said[key]), place[key]) for key in place if key in said}
    for flag, (now, before) in pairs.items():
        if now and now != before:
            was = " ".join(before) if isinstance(before, tuple) else before
            made = f"with {was}" if was else "without it"
            told = f"{flag} says other than the plan that was reviewed, which was made {made}"
            raise UsageError(told, hint="leave it out: the plan brings its own")


def _normal(key: str, text: str) -> str:
    try:
        return targets.NORMAL[key](text)
    except ValueError:
        return text  # which is refused in better words where it is used

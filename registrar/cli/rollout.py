"""A change to several targets: planned together, approved as one, carried out one after the other.

Owns where it stops: where one target does not end well, or somebody asks, the next is not begun. Each target is changed
as it is alone, under its own lock and planned once more; its services are closed before the next one's are opened.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from registrar import config, together
from registrar.cli import several
from registrar.cli.change import Change, Manner, Signals, agreed, require_somebody
from registrar.cli.connection import Connection, connected
from registrar.cli.flags import asked, coloured
from registrar.cli.output import Format, data, document, say
from registrar.cli.several import Chosen
from registrar.config import Need
from registrar.errors import Interrupted, RegistrarError
from registrar.plan import Plan
from registrar.report import Stop
from registrar.together import Done, Look, Rollout, View


def carry_out(
    ctx: click.Context,
    flags: Mapping[str, Any],
    change: Callable[[Connection], Change],
    guard: Callable[..., None],
    manner: Manner,
    output: Format,
    *,
    view: View[Plan],
) -> int:
    """Carry out the change at the target of these flags, or at several; the exit code.

    `guard` is given every plan before the first effect, and refuses by raising.
    """
    chosen = several.targets(ctx, flags, Need.BOTH)
    if not chosen:
        with connected(ctx, flags) as connection:
            return change(connection).carry_out(manner)
    colour = coloured(asked(ctx, flags), config.environment())
    return _Changes(ctx, chosen, change, guard, manner, output, view, colour).carry_out()


@dataclass(frozen=True)
class _Changes:
    """One change, of several targets."""

    ctx: click.Context
    chosen: Sequence[Chosen]
    change: Callable[[Connection], Change]
    guard: Callable[..., None]
    manner: Manner
    output: Format
    view: View[Plan]
    colour: bool

    def carry_out(self) -> int:
        if not self.manner.yes:
            require_somebody(self.output, self.ctx.params["paths"])
        looks = several.look(self.chosen, self._planned)
        if self.output is Format.TEXT:
            data(self.view.several(looks, self.output, 0, colour=self.colour))
        plans, failed = together.parted(looks)
        if failed:
            say(f"Nothing was changed, since not every target could be planned: {_names(failed)}")
            left = tuple(look.target for look in looks if not look.error)
            return self._told(Rollout(tuple(Look(look.target, error=look.error) for look in failed), left), total=False)
        self.guard(*plans)
        if not self.manner.yes:
            if not any(plan.pending for plan in plans):
                return int(any(plan.blocked for plan in plans))
            if not agreed("Carry out these plans, one target after the other?"):
                return 1
        return self._told(self._rolled_out(plans))

    def _planned(self, flags: Mapping[str, Any]) -> Plan:
        with connected(self.ctx, flags) as connection:
            return self.change(connection).plan(self.manner.lock_timeout_s)

    def _rolled_out(self, plans: Sequence[Plan]) -> Rollout:
        """Each target in order, until one does not end well."""
        begun: list[Look[Done]] = []
        with Signals() as signals:
            for target, plan in zip(self.chosen, plans, strict=True):
                begun.append(self._changed(target, plan, signals))
                if signals.came or not _well(begun[-1]):
                    break
        left = self.chosen[len(begun) :]
        again = [*([] if _well(begun[-1]) else [begun[-1].target]), *(target.name for target in left)]
        return Rollout(
            tuple(begun),
            tuple(target.name for target in left),
            stopped=signals.came and bool(left),
            way_on=_again(self.ctx, again) if left else "",
            digest=together.digest(plans),
        )

    def _changed(self, target: Chosen, plan: Plan, signals: Signals) -> Look[Done]:
        """What became of one target, told as soon as it is known."""
        error: RegistrarError
        try:
            signals.abruptly()
            say(f"Target {target.name}")
            with connected(self.ctx, target.flags) as connection:
                done = self.change(connection).locked(signals, plan.digest, self.manner)
            if self.output is Format.TEXT and done[1].pending:
                data(together.done_text(target.name, done, colour=self.colour))
            return Look(target.name, done)
        except KeyboardInterrupt:
            error = Interrupted("stopped before its first effect")
        except RegistrarError as found:
            error = found
        signals.gently(Stop())  # what is left is to tell it
        several.complain(target.name, error)
        return Look(target.name, error=error)

    def _told(self, rollout: Rollout, *, total: bool = True) -> int:
        if self.output is Format.JSON:
            document(together.rollout_json(rollout))
        elif self.output is Format.MARKDOWN:
            data(together.rollout_markdown(rollout))
        elif total and not rollout.uneventful:
            data(together.rollout_text(rollout))
        return rollout.exit_code


def _well(look: Look[Done]) -> bool:
    return look.found is not None and not look.found[0].exit_code


def _names(looks: Sequence[Look[Any]]) -> str:
    return ", ".join(look.target for look in looks)


_NOT_AGAIN: Final = frozenset({"target", "all_targets", "expect", "allow_replace", "allow_breaking"})
"""What was said of other targets, or of all the plans."""


def _again(ctx: click.Context, names: Sequence[str]) -> str:
    """The same command for these targets alone."""
    targets = [word for name in names for word in ("--target", name)]
    return shlex.join(["registrar", str(ctx.info_name), *ctx.params["paths"], *targets, *_options(ctx)])


def _options(ctx: click.Context) -> Iterator[str]:
    """The options as they were typed, those before the command too."""
    before = asked(ctx, {})
    for option in ctx.command.params:
        name = str(option.name)
        typed = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or name in _NOT_AGAIN or not (typed or name in before):
            continue
        value = ctx.params[name] if typed else before[name]
        flag = next(word for word in option.opts if word.startswith("--"))
        for one in value if option.multiple else (value,):
            yield from (flag,) if option.is_flag else (flag, str(one))

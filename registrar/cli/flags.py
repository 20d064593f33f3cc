"""Flags: what the command line says, those of a command before those before it, and the settings they lead to.

Decides nothing, and connects to nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from registrar import config
from registrar.config import Need, Settings
from registrar.errors import UsageError

# what tells where records are, and which of several targets is meant
_PLACE: Final = ("sandbox", "config", "target", "vault_mount", "vault_prefix", "vault_namespace")
_WHICH: Final = ("target", "all_targets")


def asked(ctx: click.Context, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the command, which beat those before it; `target` has every one that was asked for."""
    own = {name: value for name, value in flags.items() if value not in (None, ())}
    chosen = any(name in own for name in _WHICH)
    before = {name: value for name, value in (ctx.obj or {}).items() if not (chosen and name in _WHICH)}
    return before | own


def given(ctx: click.Context, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags for one target; a UsageError where several are asked of a command that works on one."""
    said = asked(ctx, flags)
    named = said.pop("target", ())
    names = (named,) if isinstance(named, str) else named
    if said.pop("all_targets", False) or len(names) > 1:
        several = "--all-targets was" if not names else f"{len(names)} were"
        message = f"{ctx.command_path} works on one target at a time, and {several} given"
        raise UsageError(message, hint="several at once are for plan, apply, status, verify and recover")
    return said | ({"target": names[0]} if names else {})


def leading(said: Mapping[str, Any], *more: str) -> tuple[str, ...]:
    """The flags that make another command mean the same records, and `more` of them."""
    return tuple(
        word
        for name in (*_PLACE, *more)
        if name in said
        for word in (f"--{name.replace('_', '-')}", *([] if said[name] is True else [str(said[name])]))
    )


def coloured(said: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether stdout may have colour."""
    return config.colour(environ, sys.stdout.isatty()) and not said.get("no_color")


def offline(ctx: click.Context, flags: Mapping[str, Any], need: Need = Need.NOTHING) -> tuple[Settings, bool]:
    """The settings for a command that asks no service, and whether stdout may have colour."""
    said = given(ctx, flags)
    environ = config.environment()
    if said.get("sandbox"):
        said.setdefault("target", config.SANDBOX)
    settings = config.load(settings_flags(said), environ, Path.cwd(), need=need)
    return settings, coloured(said, environ)


def settings_flags(given: Mapping[str, Any]) -> config.Flags:
    return config.Flags(**{name: value for name, value in given.items() if name in config.Flags._fields})

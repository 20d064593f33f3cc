"""A checkout that somebody else has written: what a merge request may say, and what it may not.

The threat: whoever can open a merge request has the pipeline run `validate` and `plan` over files of their choice, with
the pipeline's credentials. So those files may say which applications there should be, and nothing else:

- where Nexus and Vault are, the mounts and prefixes, come from the flags, the environment and a configuration that the
  pipeline names and that lies outside the checkout. The registrar.yaml inside would send the pipeline's token wherever
  it likes; it is compared and reported, never used. Where that configuration names the manifests' folder, it is the
  one below the folder that the command is started in;
- no path leads out of the checkout, nor into its .git, where a pipeline's own credential may be kept;
- nothing in a manifest is expanded, included or run, and how much is read is limited (`manifest`);
- what is printed shows no control character (`wording`), calls nobody and links nowhere (`markdown`).

Owns the rules about files; connects to nothing. Must never read a file of the checkout for anything but a report.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from registrar import targets
from registrar.errors import UsageError
from registrar.targets import FILE_NAME, Declarations, Declared

_NAMED: Final = 12  # differences that a remark names
_SHOW: Final = f"git show origin/main:{FILE_NAME} > ../{FILE_NAME}, then --config ../{FILE_NAME}"


def checkout(folder: Path) -> Path:
    """The outermost folder above this one that has a .git, since a submodule is not all of it; else the folder."""
    real = Path(os.path.realpath(folder))
    return next((above for above in reversed([real, *real.parents]) if os.path.lexists(above / ".git")), real)


def outside(config: Path, folder: Path) -> Path:
    """The configuration, unless the branch may have written it or chosen which it is: then a UsageError."""
    root = checkout(folder)
    steps = [config, *config.parents]
    linked = any(step.is_symlink() and Path(os.path.realpath(step.parent)).is_relative_to(root) for step in steps)
    if linked or Path(os.path.realpath(config)).is_relative_to(root):
        told = f"{config} is in the checkout, so with --untrusted it says nothing about where to send what"
        raise UsageError(told, hint=_SHOW)
    return config


def inside(paths: Iterable[Path], folder: Path) -> None:
    """Raise a UsageError for a path that leads out of the checkout, or into its .git."""
    root = checkout(folder)
    for path in paths:
        real = Path(os.path.realpath(folder / path))
        if _leads_out(real, root):
            told = f"{path} leads out of the checkout, which --untrusted does not follow"
            raise UsageError(told, hint="name a file or a folder of the checkout")


def _leads_out(real: Path, root: Path) -> bool:
    return not real.is_relative_to(root) or ".git" in real.relative_to(root).parts


def remarks(used: Declarations, folder: Path) -> tuple[str, ...]:
    """What to say of the registrar.yaml in the checkout where it differs from what is used: it has no effect here."""
    from registrar.declarations import read  # with YAML, for this remark alone

    root = checkout(folder)
    file = targets.find(folder)
    if file is None or not file.absolute().is_relative_to(root):
        return ()
    told = f"The {FILE_NAME} of this checkout is not used"
    real = Path(os.path.realpath(file))
    if _leads_out(real, root):
        return (f"{told}, nor read: it is a link that leads out.",)
    try:
        there = read(file, FILE_NAME)
    except UsageError:
        return (f"{told}, and it is not valid.",)
    names = list(_differences(used, there))
    if not names:
        return ()
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (f"{told}; it differs from what is, in {', '.join(names[:_NAMED])}{more}.",)


def _differences(used: Declarations, there: Declarations) -> Iterator[str]:
    """The settings that differ by their names, values left out: those of the checkout are somebody's words."""
    for name in ("set", "manifests", "default_target", "contact"):
        if getattr(used, name) != getattr(there, name):
            yield name
    for name in sorted(used.targets.keys() | there.targets.keys()):
        if name in used.targets and name in there.targets:
            yield from (f"{name}.{key}" for key in _changed(used.targets[name], there.targets[name]))
        else:
            yield f"the target {name}"


def _changed(one: Declared, other: Declared) -> Iterator[str]:
    keys = sorted(one.values.keys() | other.values.keys())
    yield from (key for key in keys if one.values.get(key) != other.values.get(key))
    rest = ("vault_auth", "allowed_hosts", "production")
    yield from (key for key in rest if getattr(one, key) != getattr(other, key))

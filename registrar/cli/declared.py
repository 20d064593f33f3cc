"""Declared: the applications of the manifests that were named, or of those that registrar.yaml names.

Owns stdin as a manifest, and how invalid ones are told. Asks no service.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from registrar import findings, manifest, untrusted
from registrar.cli.output import say
from registrar.config import Settings
from registrar.errors import ManifestsInvalid, UsageError
from registrar.manifest import Manifests
from registrar.model import Application


def desired(settings: Settings, paths: tuple[str, ...], *, optional: bool = False) -> tuple[Application, ...]:
    """The applications that the manifests declare for the target; ManifestsInvalid with every finding told."""
    loaded = declared(settings, paths, optional=optional)
    if loaded.errors:
        say(findings_text(loaded))
        raise ManifestsInvalid("the manifests are not valid, so nothing was changed", hint=validate(paths))
    return loaded.applications


def declared(settings: Settings, paths: tuple[str, ...], *, optional: bool = False) -> Manifests:
    """What the manifests say of the target, errors included; `optional` does without any."""
    if not paths and settings.manifests is None and optional:
        return Manifests((), (), ())
    return manifest.load(
        manifest_paths(settings, paths), settings.target, stdin=_stdin(paths), targets=settings.known_targets
    )


def findings_text(loaded: Manifests) -> str:
    """The errors of the manifests, in lines."""
    return findings.text(findings.Report(loaded.errors, loaded.applications, loaded.files))


def validate(paths: Sequence[str]) -> str:
    """The command that tells what is wrong with these manifests."""
    return shlex.join(["registrar", "validate", *paths])


def manifest_paths(settings: Settings, paths: tuple[str, ...]) -> list[Path]:
    """The manifests named, else those of registrar.yaml."""
    found = [Path(path) for path in paths] or _declared_paths(settings)
    if settings.checkout:
        untrusted.inside((path for path in found if path != manifest.STDIN), settings.checkout)
    return found


def _declared_paths(settings: Settings) -> list[Path]:
    if settings.manifests is None:
        raise UsageError(
            "no manifests were named, and there is no registrar.yaml that names any",
            hint="name a file or a folder after the command",
        )
    return [settings.manifests]


def _stdin(paths: tuple[str, ...]) -> bytes:
    """Standard input, which ends: the next target reads what the first one has read."""
    if "-" not in paths:
        return b""
    read = click.get_current_context().meta.setdefault(__name__, [])
    if not read:
        read.append(sys.stdin.buffer.read())
    return bytes(read[0])

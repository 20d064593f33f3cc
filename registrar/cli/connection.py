"""From flags to opened services: the target, both clients, and what a command asks of them together."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registrar import config, manifest, reconcile, render
from registrar.cli.output import say
from registrar.cli.vault_login import vault_identity
from registrar.config import Need, Settings
from registrar.errors import ManifestsInvalid, Missing, UsageError
from registrar.logins import VaultAuth
from registrar.model import Application, Target
from registrar.ports import Services
from registrar.secret import Secret
from registrar.world import World

if TYPE_CHECKING:
    from registrar.nexus import Nexus
    from registrar.oauth import QuietProof
    from registrar.vault import Vault

# The clients are imported where they are opened: `validate` needs neither, and each brings an HTTP library along.


@dataclass(frozen=True)
class Connection:
    """Opened services of one target; `nexus` and `proof` are None where a command does without them."""

    settings: Settings
    records: Vault
    nexus: Nexus | None
    proof: QuietProof | None
    colour: bool
    verbose: bool

    @property
    def target(self) -> Target:
        return self.settings.target

    @property
    def services(self) -> Services:
        """Both services, for a command that changes something."""
        if self.nexus is None or self.proof is None:
            raise UsageError("this command needs Nexus")
        return Services(self.nexus, self.records, self.proof)

    @property
    def holder(self) -> str:
        """Who holds the lock, for whoever waits for it."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container may run under a number that has no name
            user = f"user {os.getuid()}"
        return f"{user} on {socket.gethostname()}, process {os.getpid()}"

    def domain(self) -> str:
        """The domain that the records remember of a lock that was lost."""
        facts = (record.facts for record in self.records.all().records)
        return next((found.domain for found in facts if found and found.domain), "")

    def observe(self, paths: tuple[str, ...], *, optional: bool = False) -> World:
        """What there is, for the applications of these manifests; `optional` does without any."""
        wanted = desired(self.settings, paths, optional=optional)
        return reconcile.observe(self.target, wanted, self.nexus, self.records)


def desired(settings: Settings, paths: tuple[str, ...], *, optional: bool = False) -> tuple[Application, ...]:
    """The applications that the manifests declare for the target; ManifestsInvalid with every finding told."""
    if not paths and settings.manifests is None and optional:
        return ()
    loaded = manifest.load(
        manifest_paths(settings, paths), settings.target, stdin=_stdin(paths), targets=settings.known_targets
    )
    if loaded.errors:
        say(render.findings_text(loaded.errors, len(loaded.applications), len(loaded.files)))
        raise ManifestsInvalid(
            "the manifests are not valid, so nothing was changed", hint=shlex.join(["registrar", "validate", *paths])
        )
    return loaded.applications


def manifest_paths(settings: Settings, paths: tuple[str, ...]) -> list[Path]:
    """The manifests named, else those of registrar.yaml."""
    if paths:
        return [Path(path) for path in paths]
    if settings.manifests is None:
        raise UsageError(
            "no manifests were named, and there is no registrar.yaml that names any",
            hint="name a file or a folder after the command",
        )
    return [settings.manifests]


def _stdin(paths: tuple[str, ...]) -> bytes:
    return sys.stdin.buffer.read() if "-" in paths else b""


@contextlib.contextmanager
def connected(ctx: click.Context, flags: Mapping[str, Any], *, nexus: bool = True) -> Iterator[Connection]:
    """The services of the chosen target, or of the embedded sandbox; nothing is sent before something is asked."""
    with Opening(ctx, flags) as opening:
        settings = opening.settings(Need.BOTH if nexus else Need.VAULT)
        records = opening.vault(settings)
        client = opening.nexus(settings, records) if nexus else None
        proof = opening.proof(settings) if nexus else None
        yield Connection(settings, records, client, proof, opening.colour, opening.verbose)


class Opening(contextlib.ExitStack):
    """Opens the services that the flags choose, each on its own, and closes them at its end."""

    def __init__(self, ctx: click.Context, flags: Mapping[str, Any]) -> None:
        super().__init__()
        self._given = _given(ctx, flags)
        self._environ = config.environment()
        self._sandbox: Settings | None = None
        self.verbose = bool(self._given.get("verbose"))
        self.colour = config.colour(self._environ, sys.stdout.isatty()) and not self._given.get("no_color")

    def settings(self, need: Need) -> Settings:
        """The chosen target as far as these services need it; the sandbox has everything."""
        if not self._given.get("sandbox"):
            return config.load(_flags(self._given), self._environ, Path.cwd(), need=need)
        self._sandbox = self._sandbox or _sandbox(self._given, self._environ, self)
        return self._sandbox

    def vault(self, settings: Settings) -> Vault:
        return self.enter_context(contextlib.closing(_vault(settings, self.verbose)))

    def nexus(self, settings: Settings, records: Vault | None) -> Nexus:
        return self.enter_context(contextlib.closing(_nexus(settings, records, self.verbose)))

    def proof(self, settings: Settings) -> QuietProof:
        return self.enter_context(contextlib.closing(_proof(settings, self.verbose)))


def offline(ctx: click.Context, flags: Mapping[str, Any], need: Need = Need.NOTHING) -> tuple[Settings, bool]:
    """The settings for a command that asks no service, and whether stdout may have colour."""
    given = _given(ctx, flags)
    environ = config.environment()
    if given.get("sandbox"):
        given.setdefault("target", config.SANDBOX)
    settings = config.load(_flags(given), environ, Path.cwd(), need=need)
    return settings, config.colour(environ, sys.stdout.isatty()) and not given.get("no_color")


def _given(ctx: click.Context, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the command, which beat those before it."""
    return {**(ctx.obj or {}), **{name: value for name, value in flags.items() if value is not None}}


def _flags(given: Mapping[str, Any]) -> config.Flags:
    names = config.Flags.__dataclass_fields__
    return config.Flags(**{name: value for name, value in given.items() if name in names})


def _sandbox(given: Mapping[str, Any], environ: Mapping[str, str], stack: contextlib.ExitStack) -> Settings:
    """The stand-ins in this process; records remember the addresses that their state had first."""
    from registrar.cli.sandbox import started

    for flag in ("nexus_url", "frontend_url", "vault_addr", "vault_namespace", "vault_auth"):
        if flag in given:
            message = f"--sandbox brings its own Nexus and Vault, so --{flag.replace('_', '-')} says nothing"
            raise UsageError(message, hint="leave out one of the two")
    running = started(config.state_dir(environ) / "sandbox.sqlite3")
    stack.callback(running.close)
    declared = config.load(_flags({"target": config.SANDBOX, **given}), environ, Path.cwd(), need=Need.NOTHING)
    nexus_home, vault_home = running.home
    return replace(
        declared,
        target=replace(declared.target, nexus_url=nexus_home, frontend_url=nexus_home, vault_addr=vault_home),
        nexus=replace(
            declared.nexus,
            url=running.nexus_url,
            api_key=Secret(running.sysadmin.api_key),
            api_secret=Secret(running.sysadmin.api_secret),
        ),
        vault=replace(
            declared.vault, addr=running.vault_addr, auth=VaultAuth(secret=lambda: Secret(running.vault_token))
        ),
    )


def _vault(settings: Settings, verbose: bool) -> Vault:
    from registrar.vault import Vault

    login, target = settings.vault, settings.target
    return Vault(
        login.addr,
        token=vault_identity(login, settings.proxies),
        mount=target.vault_mount,
        prefix=target.vault_prefix,
        namespace=login.namespace,
        tls=login.tls.context(),
        server_name=login.tls.server_name,
        proxies=settings.proxies,
        timeout_s=login.timeout_s,
        trace=_trace if verbose else None,
    )


def _nexus(settings: Settings, records: Vault | None, verbose: bool) -> Nexus:
    from registrar.nexus import Nexus

    login = settings.nexus
    api_key, api_secret = login.api_key, login.api_secret
    if login.token is None and api_key is None and settings.nexus_credentials and records:
        api_key, api_secret = _kept_key(records, settings.nexus_credentials)
    if login.token is None and api_key is None:
        raise UsageError("there is no Nexus key", hint="set NEXUS_API_KEY and NEXUS_API_SECRET, or NEXUS_TOKEN")
    return Nexus(
        login.url,
        token=login.token,
        api_key=api_key,
        api_secret=api_secret,
        timeout_s=login.timeout_s,
        verify=login.tls.context(),
        trace=_trace if verbose else None,
    )


def _kept_key(records: Vault, path: str) -> tuple[Secret, Secret]:
    """The key that registrar.yaml says is kept in Vault."""
    kept = records.read_secret(path)
    try:
        return kept["api_key"], kept["api_secret"]
    except KeyError as missing:
        name = str(missing.args[0])
    raise Missing(f"{path} has no {name}", hint=f"vault kv patch {path} {name}=-")


def _proof(settings: Settings, verbose: bool) -> QuietProof:
    from registrar.oauth import QuietProof

    login = settings.nexus
    return QuietProof(
        login.url, timeout_s=login.timeout_s, verify=login.tls.context(), trace=_trace if verbose else None
    )


def _trace(method: str, path: str, status: int | None, took_ms: float) -> None:
    say(f"{method} {path} {status or 'no answer'} {took_ms:.0f} ms")

"""From flags to opened services: the target, both clients, and what a command asks of them together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registrar import apart, config
from registrar.cli.flags import coloured, given, settings_flags
from registrar.cli.output import say
from registrar.cli.signed_in import SignedIn
from registrar.cli.vault_login import vault_identity
from registrar.config import Need, Settings
from registrar.errors import UsageError
from registrar.logins import VaultAuth
from registrar.model import Target
from registrar.secret import Secret

if TYPE_CHECKING:
    from registrar.handshake import FullProof, Handshake
    from registrar.nexus import Nexus
    from registrar.oauth import QuietProof
    from registrar.pool import Options, Trace
    from registrar.ports import Services
    from registrar.vault import Login, Vault
    from registrar.world import World

# The clients are imported where they are opened: `validate` needs neither, and each brings an HTTP library along.
# So is what a change looks at: to fetch a credential, before each start of an application, takes none of it.


@dataclass(frozen=True)
class Connection:
    """Opened services of one target; `nexus` and `proof` are None where a command does without them."""

    settings: Settings
    records: Vault
    nexus: Nexus | None
    proof: QuietProof | None
    colour: bool
    verbose: bool
    sandbox: bool = False

    @property
    def target(self) -> Target:
        return self.settings.target

    @property
    def services(self) -> Services:
        """Both services, for a command that changes something."""
        from registrar.ports import Services

        if self.nexus is None or self.proof is None:
            raise UsageError("this command needs Nexus")
        return Services(self.nexus, self.records, self.proof)

    @property
    def holder(self) -> str:
        """Who holds the lock, for whoever waits for it."""
        import getpass
        import socket

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
        from registrar import reconcile
        from registrar.cli.declared import desired

        wanted = desired(self.settings, paths, optional=optional)
        return reconcile.observe(self.target, wanted, self.nexus, self.records)


@contextlib.contextmanager
def connected(
    ctx: click.Context, flags: Mapping[str, Any], *, nexus: bool = True, need: Need = Need.VAULT
) -> Iterator[Connection]:
    """The services of the chosen target, or of the embedded sandbox; nothing is sent before something is asked.

    Without Nexus it is enough to know what is needed.
    """
    with Opening(ctx, flags) as opening:
        settings = opening.settings(Need.BOTH if nexus else need)
        records = opening.vault(settings)
        client = opening.nexus(settings, records) if nexus else None
        proof = opening.proof(settings) if nexus else None
        yield Connection(settings, records, client, proof, opening.colour, opening.verbose, opening.sandbox)


class Opening(contextlib.ExitStack):
    """Opens the services that the flags choose, each on its own, and closes them at its end.

    `trace` is told each request in place of stderr, `attended` says whether somebody can be asked for a password,
    `signed_in` beats what the settings say of logins, and the sandbox of `within` is this one's too.
    """

    def __init__(
        self,
        ctx: click.Context,
        flags: Mapping[str, Any],
        *,
        trace: Trace | None = None,
        attended: bool = True,
        signed_in: SignedIn | None = None,
        within: Opening | None = None,
    ) -> None:
        super().__init__()
        self._given = given(ctx, flags)
        self._shown: list[tuple[str, Secret]] = ctx.meta.setdefault(f"{__name__}.shown", [])
        self._identities: dict[str, Secret | Login] = ctx.meta.setdefault(f"{__name__}.identities", {})
        self._environ = config.environment()
        self._sandbox: Settings | None = None
        self._attended = attended
        self._signed_in = signed_in or SignedIn()
        self._within = within
        self.verbose = bool(self._given.get("verbose"))
        self._trace = trace or (_trace if self.verbose else None)
        self.colour = coloured(self._given, self._environ)

    def settings(self, need: Need) -> Settings:
        """The chosen target as far as these services need it; the sandbox has everything."""
        if self._given.get("sandbox"):
            return self._signed_in.over(self._embedded())
        flags, environ = self._signed_in.flags(self._given), self._signed_in.environ(self._environ)
        return self._signed_in.over(config.load(settings_flags(flags), environ, Path.cwd(), need=need))

    def _embedded(self) -> Settings:
        if self._within:
            return self._within._embedded()  # noqa: SLF001 (one of its own kind)
        self._sandbox = self._sandbox or _sandbox(self._given, self._environ, self)
        return self._sandbox

    @property
    def sandbox(self) -> bool:
        """Whether the services are stand-ins in this process."""
        return self._sandbox is not None

    def vault(self, settings: Settings) -> Vault:
        return self.enter_context(contextlib.closing(_vault(settings, self._identity(settings), self._trace)))

    def _identity(self, settings: Settings) -> Secret | Login:
        """Who we are to this Vault; as one of several targets to the end, so that a password is typed once for each."""
        login, name = settings.vault, settings.target.name
        identity = self._identities.get(name) or vault_identity(login, settings.proxies, attended=self._attended)
        if self._given.get("several"):
            self._identities[name] = identity
            if isinstance(identity, Secret):
                apart.shown_once(identity, login.addr, self._shown)
        return identity

    def nexus(self, settings: Settings, records: Vault | None) -> Nexus:
        return self.enter_context(contextlib.closing(_nexus(settings, records, self._trace)))

    @property
    def embedded(self) -> bool:
        """Whether the services are those of the embedded sandbox."""
        return bool(self._given.get("sandbox"))

    @property
    def trace(self) -> Trace | None:
        return self._trace

    def nexus_options(self, settings: Settings) -> Options:
        """What every client of this Nexus is given besides its address."""
        from registrar.cli.nexus_login import nexus_options

        return nexus_options(settings, self._trace)

    def handshake(self, settings: Settings) -> Handshake:
        """The flow's own requests, as an application makes them."""
        from registrar.handshake import Handshake

        return self.enter_context(Handshake(settings.nexus.url, **self.nexus_options(settings)))

    def full_proof(self, settings: Settings, records: Vault) -> FullProof:
        """The proof that exchanges a code where the quiet one cannot tell."""
        from registrar.handshake import FullProof

        return FullProof(self.proof(settings), self.nexus(settings, records), self.handshake(settings))

    def proof(self, settings: Settings) -> QuietProof:
        return self.enter_context(contextlib.closing(_proof(settings, self._trace)))


def _sandbox(given: Mapping[str, Any], environ: Mapping[str, str], stack: contextlib.ExitStack) -> Settings:
    """The stand-ins in this process; records remember the addresses that their state had first."""
    from registrar.cli.sandbox import started

    for flag in ("nexus_url", "frontend_url", "vault_addr", "vault_namespace", "vault_auth"):
        if flag in given:
            message = f"--sandbox brings its own Nexus and Vault, so --{flag.replace('_', '-')} says nothing"
            raise UsageError(message, hint="leave out one of the two")
    declared = config.load(settings_flags({"target": config.SANDBOX, **given}), environ, Path.cwd(), need=Need.NOTHING)
    running = started(config.sandbox_state(environ, declared.target.name))
    stack.callback(running.close)
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


def _vault(settings: Settings, token: Secret | Login, trace: Trace | None) -> Vault:
    from registrar.vault import Vault

    login, target = settings.vault, settings.target
    return Vault(
        login.addr,
        token=token,
        mount=target.vault_mount,
        prefix=target.vault_prefix,
        namespace=login.namespace,
        tls=login.tls.context(),
        server_name=login.tls.server_name,
        proxies=settings.proxies,
        timeout_s=login.timeout_s,
        trace=trace,
    )


def _nexus(settings: Settings, records: Vault | None, trace: Trace | None) -> Nexus:
    from registrar.cli.nexus_login import nexus_identity, nexus_options
    from registrar.nexus import Nexus

    identity = nexus_identity(settings, records, trace)
    return Nexus(
        settings.nexus.url,
        token=identity.token,
        api_key=identity.api_key,
        api_secret=identity.api_secret,
        origin=identity.origin,
        **nexus_options(settings, trace),
    )


def _proof(settings: Settings, trace: Trace | None) -> QuietProof:
    from registrar.cli.nexus_login import nexus_options
    from registrar.oauth import QuietProof

    return QuietProof(settings.nexus.url, **nexus_options(settings, trace))


def _trace(method: str, path: str, status: int | None, took_ms: float) -> None:
    say(f"{method} {path} {status or 'no answer'} {took_ms:.0f} ms")

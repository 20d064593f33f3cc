"""doctor: whether everything is there that a run needs, and what mends it; changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import Format, data, document, output_option
from registrar.errors import RegistrarError, ServiceError, UsageError

if TYPE_CHECKING:
    from registrar.cli.connection import Opening
    from registrar.config import Settings
    from registrar.doctor import Again, Check
    from registrar.model import Target
    from registrar.nexus import Nexus
    from registrar.tls import Seen, Tls
    from registrar.vault.survey import Survey


@examples(
    {
        "registrar doctor": "Where something does not work",
        "registrar doctor --target prod": "Before the first run with another target",
    }
)
@output_option
@connection_options
@click.command()
@click.pass_context
def doctor(ctx: click.Context, /, output: Format, **flags: Any) -> int:
    """Look at everything a run needs, and say what mends it.

    Nexus, Vault, certificates, clocks, tokens and rights. Changes nothing. Each line ends in ✓ (well), ! (works, but)
    or ✗ (does not work); the exit code is 3 where one does not.
    """
    from registrar import render
    from registrar.cli.connection import Opening
    from registrar.cli.flags import given
    from registrar.doctor import State

    with Opening(ctx, flags) as opening:
        checks, target = look(opening, given(ctx, flags))
    if output is Format.JSON:
        document(render.doctor_json(checks, target))
    else:
        data(render.doctor_text(checks, colour=opening.colour))
    return ServiceError.exit_code if any(check.state is State.FAILED for check in checks) else 0


def look(opening: Opening, said: Mapping[str, Any]) -> tuple[tuple[Check, ...], Target]:
    """Every check of what these flags choose, and the target as far as it is known."""
    from registrar.config import Need

    settings = opening.settings(Need.PLACE)
    checks = (*_configuration(settings), *_Services(opening, _again(said, settings)).checks())
    return checks, _target(opening, settings)


def _configuration(settings: Settings) -> Iterator[Check]:
    """Which file and target were chosen, and where that keeps its records."""
    from registrar.doctor import CONFIGURATION

    target = settings.target
    yield CONFIGURATION.well("file", str(settings.config_file or "no registrar.yaml: flags and environment alone"))
    others = f" (of {', '.join(settings.targets)})" if settings.targets else ""
    yield CONFIGURATION.well("target", f"{target.name}{others}{'; production' if target.production else ''}")
    namespace = f" in the namespace {target.vault_namespace}" if target.vault_namespace else ""
    yield CONFIGURATION.well("place", f"records at {target.location('')}{namespace}")


def _again(said: Mapping[str, Any], settings: Settings) -> Again:
    """The flags that make another command mean the same records."""
    from registrar.cli.flags import leading
    from registrar.doctor import Again

    words = leading(said)
    name = settings.target.name
    return Again(f" {shlex.join(words)}" if words else "", "" if name == "default" else f"-{name}")


def _target(opening: Opening, settings: Settings) -> Target:
    """The target with the addresses that the environment gives, where it gives both."""
    from registrar.config import Need

    try:
        return opening.settings(Need.BOTH).target
    except UsageError:
        return settings.target


class _Services:
    """Each service opened and looked at on its own, so that one that is away does not hide the other."""

    def __init__(self, opening: Opening, again: Again) -> None:
        self._opening = opening
        self._again = again
        self._vault: Survey | None = None
        self._vault_is_well = False

    def checks(self) -> Iterator[Check]:
        """Nexus, Vault and what they come to; Vault is asked first, since it may keep the key for Nexus."""
        from registrar.doctor import NEXUS, VAULT, State, commands

        vault = tuple(VAULT.in_turn([("settings", self._look_at_vault)]))
        self._vault_is_well = all(check.state is not State.FAILED for check in vault)
        nexus = tuple(NEXUS.in_turn([("settings", self._look_at_nexus)]))
        yield from (*nexus, *vault)
        if self._vault:
            yield from commands((*nexus, *vault), self._vault.lacking, self._again)

    def _look_at_vault(self) -> Iterator[Check]:
        from registrar.config import Need
        from registrar.logins import VaultAuth
        from registrar.secret import Secret

        settings = self._opening.settings(Need.VAULT)
        login, without = settings.vault, None
        try:
            vault = self._opening.vault(settings)
        except UsageError as error:
            # without a token it can still be seen whether anybody is there; this one is never sent
            nobody = VaultAuth(secret=lambda: Secret("nobody"))
            vault, without = self._opening.vault(replace(settings, vault=replace(login, auth=nobody))), error
        self._vault = vault.survey()
        yield from self._vault.checks(
            partial(_seen, login.addr, login.tls, login.timeout_s, settings),
            self._again,
            login=str(login.auth.method),
            nexus_key=settings.nexus_credentials,
            without=without,
        )

    def _look_at_nexus(self) -> Iterator[Check]:
        from registrar.config import Need

        settings = self._opening.settings(Need.NEXUS)
        login = settings.nexus
        nexus, without = self._nexus(settings)
        yield from nexus.survey().checks(partial(_seen, login.url, login.tls, login.timeout_s, settings), without)

    def _nexus(self, settings: Settings) -> tuple[Nexus, Check | None]:
        """Nexus, and what to tell instead of who we are there, where there is nothing to show."""
        from registrar.doctor import NEXUS
        from registrar.secret import Secret

        login, kept = settings.nexus, settings.nexus_credentials
        # whether anybody is there can be seen without a key as well; this one is never sent
        nobody = replace(settings, nexus=replace(login, token=Secret("nobody")))
        if kept and not (login.token or login.api_key or self._vault_is_well):
            told = NEXUS.warning("identity", f"not asked: the key is kept in Vault, at {kept}", "mend Vault first")
            return self._opening.nexus(nobody, None), told
        try:
            return self._opening.nexus(settings, self._vault.vault if self._vault else None), None
        except RegistrarError as error:
            return self._opening.nexus(nobody, None), NEXUS.raised("identity", error)


def _seen(url: str, tls: Tls, timeout_s: float, settings: Settings) -> Seen | None:
    """The server's side of a handshake, unless a proxy may stand in between."""
    from registrar.tls import look
    from registrar.uri import Uri

    return look(url, tls, timeout_s) if Uri.parse(url).loopback or not settings.proxies else None

"""login, logout and whoami: a Nexus session of one's own, and who both services take us for."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import Format, data, document, output_option, say
from registrar.errors import RegistrarError, UsageError
from registrar.identities import Identity
from registrar.secret import Secret

if TYPE_CHECKING:
    from registrar.cli.connection import Opening
    from registrar.config import Settings
    from registrar.kept import Kept
    from registrar.nexus.device import Grant, Tokens

_MINUTES = 480
_KEY = ("API key", "API secret")


@examples(
    {
        "registrar login": "To the default target's Nexus",
        "registrar login --target prod --with-key": "By an API key, to another target's",
    }
)
@connection_options
@click.command()
@click.option("--client-id", metavar="ID", help="Application for the device login; default: login_client_id.")
@click.option("--with-key", is_flag=True, help="Ask for an API key and its secret, even where the device login is.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@click.option(
    "--expiration", type=click.IntRange(min=1), default=_MINUTES, show_default=True, metavar="MINUTES",
    help="Life of a session that is got by an API key.",
)  # fmt: skip
@click.pass_context
def login(
    ctx: click.Context, /, client_id: str | None, with_key: bool, no_browser: bool, expiration: int, **flags: Any
) -> int:
    """Sign in to Nexus, and keep the session until it ends.

    By the device login, in a browser on any machine, where this Nexus has it and the target names its application;
    else by an API key and its secret, at hidden prompts. Only the token is kept: in the system's keyring where there is
    one (pip install 'nexus-registrar[keyring]'), else in a file that you alone can read.
    """
    from registrar.cli.connection import Opening
    from registrar.cli.nexus_login import sessions
    from registrar.config import Need

    with Opening(ctx, flags) as opening:
        if opening.embedded:
            raise UsageError("the sandbox has a sysadmin of its own, so there is nothing to log in to")
        settings = opening.settings(Need.NEXUS)
        application = None if with_key else client_id or settings.nexus.login_client_id
        session = _by_device(opening, settings, application, browser=not no_browser) if application else None
        session = session or _by_key(opening, settings, expiration)
        keeper = sessions()
        keeper.save(session)
    say(f"Signed in to {session.url} as {session.user}{_until(session)}. The session is kept in {keeper.name}.")
    if settings.nexus.token or settings.nexus.api_key:
        say("But the environment has a key or token for Nexus, which every command uses instead: unset it.")
    return 0


@examples(
    {
        "registrar logout": "At the default target's Nexus",
    }
)
@connection_options
@click.command()
@click.pass_context
def logout(ctx: click.Context, /, **flags: Any) -> int:
    """Forget the kept session, and end it where Nexus can.

    A session of the device login is ended at Nexus. One that was got by an API key lives there until its time is over:
    Nexus can end it only together with every other token of that user.
    """
    from registrar.cli.connection import Opening
    from registrar.cli.nexus_login import sessions
    from registrar.config import Need

    with Opening(ctx, flags) as opening:
        settings = opening.settings(Need.NEXUS)
        keeper = sessions()
        session = keeper.load(settings.target.nexus_url)
        if session is None:
            say(f"There is no session at {settings.target.nexus_url}.")
            return 0
        keeper.forget(session.url)
        say(f"The session of {session.user} at {session.url} is forgotten{_ended(opening, settings, session)}.")
    return 0


@examples(
    {
        "registrar whoami": "At both services",
        "registrar whoami --target prod --output json": "With another target, for a program",
    }
)
@output_option
@connection_options
@click.command()
@click.pass_context
def whoami(ctx: click.Context, /, output: Format, **flags: Any) -> int:
    """Tell who Nexus and Vault take us for, by what, and until when."""
    from datetime import UTC, datetime

    from registrar.cli.connection import Opening
    from registrar.identities import identities_json, identities_text

    with Opening(ctx, flags) as opening:
        found = [_at_nexus(opening), _at_vault(opening)]
    data(identities_text(found, datetime.now(UTC))) if output is Format.TEXT else document(identities_json(found))
    return max((one.error.exit_code for one in found if one.error), default=0)


# ── login ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _by_device(opening: Opening, settings: Settings, client_id: str, *, browser: bool) -> Kept | None:
    """The session that a person agrees to in a browser; None where this Nexus has no device login."""
    from registrar.kept import Kept
    from registrar.nexus.answers import expires_at
    from registrar.nexus.device import DeviceLogin

    options = opening.nexus_options(settings)
    with DeviceLogin(settings.nexus.url, client_id, **options) as device:
        grant = device.begin()
        if grant is None:
            say("This Nexus has no device login, so an API key it is.")
            return None
        _show(grant, settings, browser=browser)
        tokens: Tokens = device.wait(grant)
    return Kept(
        settings.target.nexus_url,
        _user(opening, settings, tokens.access),
        tokens.access,
        expires_at(tokens.access),
        tokens.refresh,
        client_id,
    )


def _show(grant: Grant, settings: Settings, *, browser: bool) -> None:
    """What the person has to do; a server that does not know its own address gives none."""
    from registrar.cli.browsing import opened

    page = grant.verification_uri or f"{settings.target.frontend_url}/oauth/device/verify"
    link = grant.verification_uri_complete or page
    if browser and opened(link):
        say(f"Your browser has {page}. Agree there if it shows this code:\n\n    {grant.user_code}\n")
    else:
        say(f"Open this in a browser on any machine:\n\n    {link}\n\nand agree if it shows this code, or type it:")
        say(f"\n    {grant.user_code}\n")
    say(f"Waiting for {grant.expires_in_s / 60:.0f} minutes at most…")


def _by_key(opening: Opening, settings: Settings, minutes: int) -> Kept:
    """The session that an API key gets; neither it nor its secret is kept."""
    from registrar.errors import NotSignedIn
    from registrar.kept import Kept
    from registrar.logins import word
    from registrar.nexus.answers import expires_at
    from registrar.nexus.session import KeyLogin

    if not sys.stdin.isatty():
        hint = "on a terminal, registrar login; in a pipeline, set NEXUS_API_KEY and NEXUS_API_SECRET"
        raise NotSignedIn("there is nobody to ask for an API key", service="Nexus", hint=hint)
    say(f"An API key of yours at {settings.target.nexus_url}; what you type is not shown.")
    key, secret = (
        word(getpass.getpass(f"{name}: ").strip(), f"the {name}", "registrar login")
        for name in ("API key", "API secret")
    )
    with KeyLogin(settings.nexus.url, **opening.nexus_options(settings)) as by_key:
        token = by_key.token(key, secret, minutes)
    return Kept(settings.target.nexus_url, _user(opening, settings, token), token, expires_at(token))


def _user(opening: Opening, settings: Settings, token: Secret) -> str:
    from registrar.nexus import Nexus

    with Nexus(settings.nexus.url, token=token, **opening.nexus_options(settings)) as nexus:
        return nexus.whoami().email


def _until(session: Kept) -> str:
    if session.refresh:
        return ", renewed by itself while Nexus allows it"
    return f" until {session.expires_at:%Y-%m-%d %H:%M} UTC" if session.expires_at else ""


# ── logout ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _ended(opening: Opening, settings: Settings, session: Kept) -> str:
    """End a session of the device login, by the key that Nexus has made for it alone."""
    from registrar.handshake import Handshake
    from registrar.nexus.answers import claims

    if not session.refresh:
        return f"; its token lives{_until(session)} at Nexus" if session.expires_at and not session.ended() else ""
    key = claims(session.token).get("apiKey")
    if session.ended() or not isinstance(key, Secret):
        return ""
    with Handshake(settings.nexus.url, **opening.nexus_options(settings)) as handshake:
        done = handshake.forget(key, session.token)
    return (
        ", and its token ended at Nexus"
        if done
        else "; Nexus did not end it, so its token lives until its time is over"
    )


# ── whoami ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _at_nexus(opening: Opening) -> Identity:
    from registrar.cli.nexus_login import nexus_identity
    from registrar.config import Need
    from registrar.nexus.answers import expires_at

    address = ""
    try:
        settings = opening.settings(Need.NEXUS)
        address = settings.target.nexus_url
        records = opening.vault(opening.settings(Need.VAULT)) if _in_vault(settings) else None
        identity = nexus_identity(settings, records, opening.trace)
        user = opening.nexus(settings, records).whoami()
    except RegistrarError as error:
        return Identity("Nexus", address, error=error)
    rights = ("manage applications",) if user.sysadmin else ("sign in",)
    ends = expires_at(identity.token) if identity.token else None
    return Identity("Nexus", address, user.email, identity.origin, rights, ends)


def _in_vault(settings: Settings) -> bool:
    """Whether the key for Nexus may be asked of Vault."""
    return bool(settings.nexus_credentials) and not (settings.nexus.token or settings.nexus.api_key)


def _at_vault(opening: Opening) -> Identity:
    from datetime import UTC, datetime, timedelta

    from registrar.config import Need

    address = ""
    try:
        settings = opening.settings(Need.VAULT)
        address = settings.target.vault_addr
        holder = opening.vault(settings).holder()
    except RegistrarError as error:
        return Identity("Vault", address, error=error)
    ends = None if holder.life_s is None else datetime.now(UTC) + timedelta(seconds=holder.life_s)
    return Identity("Vault", address, holder.name, str(settings.vault.auth.method), holder.policies, ends)

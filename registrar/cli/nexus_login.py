"""Who we are to Nexus: by the environment's key or token, the session that `registrar login` keeps, or a key in Vault.

Owns which of them counts, and the renewal of a kept session. Must never show any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from registrar import config, kept
from registrar.config import Settings
from registrar.errors import AccessDenied, Missing, NotSignedIn, UsageError
from registrar.kept import Keeper, Kept
from registrar.secret import Secret

if TYPE_CHECKING:
    from registrar.pool import Options, Trace
    from registrar.vault import Vault

BY_SESSION: Final = "the session of `registrar login`"
_HINT: Final = "registrar login, or set NEXUS_API_KEY and NEXUS_API_SECRET, or NEXUS_TOKEN"


@dataclass(frozen=True, slots=True)
class NexusIdentity:
    """A token, or a key with its secret, and where it comes from, for people."""

    origin: str
    token: Secret | None = None
    api_key: Secret | None = None
    api_secret: Secret | None = None


def nexus_options(settings: Settings, trace: Trace | None) -> Options:
    """What every client of this Nexus is given besides its address and who we are."""
    login = settings.nexus
    return {
        "timeout_s": login.timeout_s,
        "tls": login.tls.context(),
        "trace": trace,
        "proxies": settings.proxies,
    }


def nexus_identity(settings: Settings, records: Vault | None, trace: Trace | None) -> NexusIdentity:
    """What to show at Nexus; a NotSignedIn where there is nothing.

    The environment beats a kept session, since it is set for this run, and that beats the key in Vault, which is for
    whoever has no session of their own.
    """
    login = settings.nexus
    if login.token:
        return NexusIdentity("NEXUS_TOKEN", login.token)
    if login.api_key:
        return NexusIdentity("API key", api_key=login.api_key, api_secret=login.api_secret)
    session = current(settings, trace)
    if session and not session.ended():
        return NexusIdentity(BY_SESSION, session.token)
    if settings.nexus_credentials and records:
        api_key, api_secret = _in_vault(records, settings.nexus_credentials)
        return NexusIdentity(f"API key in Vault at {settings.nexus_credentials}", None, api_key, api_secret)
    if session:
        told = f"the session of {session.user} ended at {session.expires_at:%Y-%m-%d %H:%M} UTC"
        raise NotSignedIn(told, service="Nexus", hint=_HINT)
    raise NotSignedIn("there is no Nexus key", service="Nexus", hint=_HINT)


def sessions() -> Keeper:
    """Where this person's sessions are kept."""
    return kept.keeper(config.state_dir(config.environment()))


def current(settings: Settings, trace: Trace | None) -> Kept | None:
    """The session kept for this Nexus, renewed where it has ended and can be; an ended one where it cannot."""
    try:
        keeper = sessions()
    except UsageError:  # no HOME, as in a container: then nothing is kept either
        return None
    session = keeper.load(settings.target.nexus_url)
    if session is None or not session.ended() or session.refresh is None:
        return session
    try:
        renewed = _renewed(session, session.refresh, settings, trace)
    except AccessDenied:
        return session
    keeper.save(renewed)
    return renewed


def _renewed(session: Kept, refresh: Secret, settings: Settings, trace: Trace | None) -> Kept:
    from registrar.nexus.answers import expires_at
    from registrar.nexus.device import DeviceLogin

    with DeviceLogin(settings.nexus.url, session.client_id, **nexus_options(settings, trace)) as device:
        tokens = device.refreshed(refresh)
    return replace(session, token=tokens.access, refresh=tokens.refresh, expires_at=expires_at(tokens.access))


def _in_vault(records: Vault, path: str) -> tuple[Secret, Secret]:
    """The key that registrar.yaml says is kept in Vault."""
    found = records.read_secret(path)
    try:
        return found["api_key"], found["api_secret"]
    except KeyError as missing:
        name = str(missing.args[0])
    raise Missing(f"{path} has no {name}", hint=f"vault kv patch {path} {name}=-")

"""Apart: what the environment lends to one server is not shown to another, when a run has several targets.

An exported VAULT_TOKEN says nothing of whose it is; with one target it is taken at its word. Must never open a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from registrar.config import Settings
from registrar.errors import UsageError
from registrar.secret import Secret
from registrar.wording import quoted

_VAULT = "give each target a vault_auth in registrar.yaml (with secret_file, where it needs one), or use a token helper"
_NEXUS = "registrar login keeps a session for each Nexus, and nexus_credentials in registrar.yaml a key in each Vault"


def check(targets: Sequence[Settings]) -> None:
    """Raise a UsageError where one secret of the environment would be shown to two servers, naming both."""
    _refuse("Vault", [(one.target.name, one.vault.addr, one.vault.auth.lent) for one in targets], _VAULT)
    _refuse("Nexus", [(one.target.name, one.nexus.url, _lent_to_nexus(one)) for one in targets], _NEXUS)


def shown_once(token: Secret, addr: str, shown: list[tuple[str, Secret]]) -> None:
    """Note that this Vault is shown a token; a UsageError where another one was: a helper may have but one."""
    for elsewhere, before in shown:
        if elsewhere != addr and before == token:
            raise UsageError(f"the token for {addr} is the one for {elsewhere} too", hint=_VAULT)
    shown.append((addr, token))


def _lent_to_nexus(settings: Settings) -> str:
    if settings.nexus.token:
        return "NEXUS_TOKEN"
    return "NEXUS_API_KEY" if settings.nexus.api_key else ""


def _refuse(service: str, shown: Iterable[tuple[str, str, str]], hint: str) -> None:
    first: dict[str, tuple[str, str]] = {}  # by what is lent: the target it would be shown for first, and where
    for name, addr, lent in shown:
        before, elsewhere = first.setdefault(lent, (name, addr))
        if lent and elsewhere != addr:
            away = f"unset {lent}" if lent.isupper() else f"remove {lent}"
            raise UsageError(
                f"{lent} is for one {service}, but the target {quoted(before)} is at {elsewhere} "
                f"and the target {quoted(name)} at {addr}",
                hint=f"{away}; {hint}",
            )

"""Who a person says they are while the program runs, in place of what the environment and registrar.yaml say.

Owns how that is laid over the settings. Must never keep it anywhere, show it, or send it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from registrar.config import Settings
from registrar.errors import UsageError
from registrar.logins import METHODS, Method, VaultAuth
from registrar.secret import Secret

_OF_NEXUS: Final = frozenset({"NEXUS_TOKEN", "NEXUS_API_KEY", "NEXUS_API_SECRET"})
_OF_VAULT: Final = frozenset({"VAULT_TOKEN", "BAO_TOKEN", "VAULT_CONFIG_PATH", "BAO_CONFIG_PATH", "HOME"})
_LOGIN_FLAGS: Final = frozenset({"vault_auth", "vault_auth_mount", "vault_role", "vault_username"})


@dataclass(frozen=True, slots=True)
class NexusKey:
    """A token, or a key with its secret."""

    token: Secret | None = None
    key: Secret | None = None
    secret: Secret | None = None

    def __post_init__(self) -> None:
        if (self.token is None) == (self.key is None) or (self.key is None) != (self.secret is None):
            raise UsageError("a sign-in to Nexus is a token, or a key with its secret", hint="give one of the two")


class SignedIn(NamedTuple):
    """What was given for each service; None where the settings say it."""

    nexus: NexusKey | None = None
    vault: VaultAuth | None = None

    def environ(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """The environment without what is replaced, which may be wrong or incomplete."""
        dropped = (_OF_NEXUS if self.nexus else frozenset()) | (_OF_VAULT if self.vault else frozenset())
        return {name: text for name, text in environ.items() if name not in dropped}

    def flags(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The flags likewise: the way to log in that is declared may lack what it needs."""
        if not self.vault:
            return given
        return {**{name: value for name, value in given.items() if name not in _LOGIN_FLAGS}, "vault_auth": "token"}

    def over(self, settings: Settings) -> Settings:
        """The settings with these logins."""
        if self.nexus:
            login = replace(
                settings.nexus, token=self.nexus.token, api_key=self.nexus.key, api_secret=self.nexus.secret
            )
            settings = replace(settings, nexus=login)
        if self.vault:
            settings = replace(settings, vault=replace(settings.vault, auth=self.vault))
        return settings


def vault_auth(method: str, secret: Secret, user: str, mount: str) -> VaultAuth:
    """The way to log in that a person chose; `user` is a user name, or a role."""
    try:
        chosen = Method(method)
    except ValueError:
        raise UsageError(f"there is no Vault login by {method}", hint=f"one of {', '.join(METHODS)}") from None
    by_name = chosen in (Method.USERPASS, Method.LDAP)
    if not user and (by_name or chosen in (Method.APPROLE, Method.KUBERNETES)):
        what = "a user name" if by_name else "a role"
        raise UsageError(f"the Vault login by {method} needs {what}", hint=f"give {what}")
    return VaultAuth(
        chosen,
        mount=mount.strip("/") or ("" if chosen is Method.TOKEN else str(chosen)),
        role="" if by_name else user,
        username=user if by_name else "",
        secret=None if chosen is Method.CERT else lambda: secret,
    )

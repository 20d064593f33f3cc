"""Getting a token from Vault: which path of which auth method takes what.

Owns the shape of each login and the meaning of its refusal. Must never keep a secret: it is asked for at every login,
since an id token lives for minutes and the file of a service account changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from registrar.errors import AccessDenied, ServiceError, Unsuitable, UsageError
from registrar.secret import Secret
from registrar.vault.answers import HEADER_WORD, Answer, Call, refusal

_FIELDS: Final = {
    "approle": ("role_id", "secret_id"),
    "jwt": ("role", "jwt"),
    "kubernetes": ("role", "jwt"),
    "userpass": ("", "password"),
    "ldap": ("", "password"),
    "cert": ("name", ""),
}
"""What each method calls the role and the secret."""

_HINTS: Final = {
    "approle": "get a new secret id, and check the role id and the mount",
    "jwt": "check the role, its bound claims and audience, and that the id token has not expired",
    "kubernetes": "check the role, its service accounts and namespaces, and the mount",
    "userpass": "check the user name, the password and the mount",
    "ldap": "check the user name, the password and the mount",
    "cert": "check VAULT_CLIENT_CERT, and that the auth method trusts it",
}


@dataclass(frozen=True, slots=True)
class Login:
    """A way to get a token; raises UsageError where the method is none."""

    method: str
    mount: str = ""
    role: str = ""
    username: str = ""
    secret: Callable[[], Secret] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.method not in _FIELDS:
            raise UsageError(f"there is no login to Vault by {self.method}", hint=f"choose of {', '.join(_FIELDS)}")
        if "/" in self.username or self.username in {".", ".."}:
            raise UsageError("the user name for Vault has a slash, which no user of Vault has", hint="--vault-username")

    @property
    def path(self) -> str:
        """Where the login is sent."""
        return "/".join(part for part in ("auth", self.mount or self.method, "login", self.username) if part)

    @property
    def spends(self) -> bool:
        """Whether a login may use its secret up, so that it is not tried again by itself."""
        return self.method == "approle"

    def call(self) -> Call:
        """The request for a token, with a secret of now."""
        role, secret = _FIELDS[self.method]
        body: dict[str, str | Secret] = {}
        if role and self.role:
            body[role] = self.role
        if secret and self.secret:
            body[secret] = self.secret()
        return Call("POST", self.path, body=body)

    def error(self, call: Call, answer: Answer) -> ServiceError:
        """Why there is no token, in Vault's own words."""
        doing = f"the Vault login by {self.method} at {self.path}"
        if answer.auth.get("mfa_requirement"):
            return AccessDenied(f"{doing} wants a second factor", hint="vault login, and then --vault-auth token")
        # a wrong password is a 400, a method that is not there a 403, a missing password a 500
        if answer.status in {400, 401, 403, 404} or (answer.status == 500 and answer.says("missing")):
            hint = "check VAULT_NAMESPACE" if answer.says("namespace not found") else _HINTS[self.method]
            return AccessDenied(f"{doing} is refused: {answer.reasons or answer.status}", hint=hint)
        return refusal(call, answer) or Unsuitable(
            f"{doing} answers {answer.status} without a token", hint="check VAULT_ADDR and the mount of the method"
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A token and how long it lives, in seconds; 0 for one without an end."""

    secret: Secret
    life_s: int = 0
    renewable: bool = False


def token_of(auth: Mapping[str, Any]) -> Token | None:
    """The token that a login or a renewal answers with, if a header can carry it."""
    secret, life_s = auth.get("client_token"), auth.get("lease_duration", 0)
    if not isinstance(secret, Secret) or not isinstance(life_s, int) or not HEADER_WORD.fullmatch(secret.reveal()):
        return None
    return Token(secret, life_s, renewable=auth.get("renewable") is True)

"""Who we are to Vault: the way to log in that the settings chose, with what only a command line can do for it.

Owns the prompt for a password, the Vault CLI's token helper and the id token of a GitHub job. Must never show any.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registrar.config import environment
from registrar.errors import NotSignedIn, UsageError
from registrar.logins import Method, VaultAuth, VaultLogin
from registrar.secret import Secret

if TYPE_CHECKING:
    from registrar.vault import Login

_HELPER_S: Final = 30


def vault_identity(login: VaultLogin, proxies: Mapping[str, str], *, attended: bool = True) -> Secret | Login:
    """The token at hand, or the way to get one; a NotSignedIn says what is missing where nobody can be asked."""
    from registrar.vault import Login

    auth = login.auth
    if auth.method is Method.TOKEN:
        return _token(auth, login.addr)
    return Login(
        str(auth.method), auth.mount, role=auth.role, username=auth.username, secret=_secret(login, proxies, attended)
    )


def _token(auth: VaultAuth, addr: str) -> Secret:
    if auth.secret:
        return auth.secret()
    token = _helped(auth.helper, addr) if auth.helper else None
    if token is None:
        hint = "vault login (or bao login), or set VAULT_TOKEN, or choose --vault-auth"
        raise NotSignedIn("there is no Vault token", service="Vault", hint=hint)
    return token


def _helped(helper: str, addr: str) -> Secret | None:
    """The token that the Vault CLI's helper keeps for this Vault; nothing where it keeps none."""
    outcome = _asked(helper, addr)
    if not isinstance(outcome, str):
        return outcome or None
    raise UsageError(f"the token helper {helper} gives no token: {outcome}", hint="mend it, or set VAULT_TOKEN")


def _asked(helper: str, addr: str) -> Secret | str:
    """What the helper prints, or why it gives nothing; what it says besides may be secret too, and is not told.

    It is Vault's, so it gets nothing that is for Nexus; one that keeps tokens of several knows them by VAULT_ADDR.
    """
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 (the program that this user's own Vault CLI runs)
            [Path(helper).absolute(), "get"],
            capture_output=True,
            timeout=_HELPER_S,
            env={name: text for name, text in environment().items() if not name.startswith("NEXUS_")}
            | {"VAULT_ADDR": addr},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {_HELPER_S} s"
    except (OSError, ValueError) as error:  # no file has a null byte in its name
        return getattr(error, "strerror", None) or str(error)
    if done.returncode:
        return f"it ended with {done.returncode}"
    return Secret(done.stdout.decode(errors="replace").strip())


def _secret(login: VaultLogin, proxies: Mapping[str, str], attended: bool) -> Callable[[], Secret] | None:
    """What the login shows, asked for at each one; None where the method needs nothing, or the role's id alone."""
    auth = login.auth
    if auth.secret:
        return auth.secret
    if auth.github:
        from registrar.vault.github import id_token

        github, audience = auth.github, auth.audience
        return lambda: id_token(github.url, github.token, audience, proxies)
    if auth.method in (Method.USERPASS, Method.LDAP):
        if not attended:
            raise _no_password(auth.username, "")
        return _Password(auth.username, login.addr)
    return None


def _no_password(username: str, why: str) -> NotSignedIn:
    hint = "set VAULT_PASSWORD, or secret_file in vault_auth"
    return NotSignedIn(f"there is no Vault password for {username}{why}", service="Vault", hint=hint)


class _Password:
    """A password, asked for once, on a terminal."""

    def __init__(self, username: str, addr: str) -> None:
        self._username = username
        self._addr = addr
        self._typed: Secret | None = None

    def __call__(self) -> Secret:
        if self._typed is None:
            if not sys.stdin.isatty():
                raise _no_password(self._username, ", and nobody to ask")
            from getpass import getpass

            self._typed = Secret(getpass(f"Vault password of {self._username} at {self._addr}: "))
        return self._typed

"""What to show at Nexus and at Vault: keys, tokens and ways to log in, from registrar.yaml, environment and flags.

Owns which secret comes from where; each becomes a Secret at once. Must never take one from a flag or from
registrar.yaml, and never connect to anything.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from registrar.errors import UsageError
from registrar.lint import quoted
from registrar.secret import Secret
from registrar.tls import Tls

TIMEOUT_S: Final = 60.0  # Vault's own default


class Method(enum.StrEnum):
    """How Vault is logged in to; each is the name of the auth method, and of its mount unless said otherwise."""

    TOKEN = "token"  # noqa: S105 (the name of a method)
    APPROLE = "approle"
    JWT = "jwt"
    KUBERNETES = "kubernetes"
    USERPASS = "userpass"
    LDAP = "ldap"
    CERT = "cert"


METHODS: Final = tuple(str(method) for method in Method)


@dataclass(frozen=True, slots=True)
class GitHub:
    """Where a job of GitHub Actions gets its id token: `permissions: id-token: write` sets these."""

    url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class VaultAuth:
    """How to log in to Vault; `secret` is asked for at every login, since id tokens and their files change.

    Without one the `helper` of the Vault CLI has a token, `github` an id token, or a person the password.
    """

    method: Method = Method.TOKEN
    mount: str = ""
    role: str = ""
    username: str = ""
    audience: str = ""
    secret: Callable[[], Secret] | None = field(default=None, compare=False)
    helper: str = ""
    github: GitHub | None = None


@dataclass(frozen=True, slots=True)
class NexusLogin:
    """How to reach Nexus and what to show there."""

    url: str = ""
    token: Secret | None = None
    api_key: Secret | None = None
    api_secret: Secret | None = None
    login_client_id: str | None = None
    tls: Tls = field(default_factory=partial(Tls, "NEXUS"))
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class VaultLogin:
    """How to reach Vault and what to show there."""

    addr: str = ""
    auth: VaultAuth = field(default_factory=VaultAuth)
    namespace: str = ""
    tls: Tls = field(default_factory=partial(Tls, "VAULT"))
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class AuthFlags:
    """What the command line says of the login; None where it says nothing."""

    method: str | None = None
    mount: str | None = None
    role: str | None = None
    username: str | None = None


AUTH_KEYS: Final = ("method", "mount", "role", "username", "audience", "secret_file")
"""What `vault_auth` of a target may say."""

_KUBERNETES_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 (where it is)


def vault_auth(declared: Mapping[str, str], beside: Path, flags: AuthFlags, environ: Mapping[str, str]) -> VaultAuth:
    """The way to log in: of the flag, else VAULT_TOKEN, else what the target declares, else the Vault CLI's token.

    What the target declares counts for the method that it declares. A UsageError names what is missing.
    """
    method = _method(declared, flags, environ)
    if method is Method.TOKEN:
        return VaultAuth(method, **_token(environ))
    stands = declared if declared.get("method") == method else {}
    role = flags.role or stands.get("role") or (environ.get("VAULT_ROLE_ID", "") if method is Method.APPROLE else "")
    username = flags.username or stands.get("username", "")
    _require(method, role, username)
    secret = _secret_of(method, stands.get("secret_file"), beside, environ)
    github = _github(environ) if method is Method.JWT and secret is None else None
    if method is Method.JWT and secret is None and github is None:
        raise UsageError(
            "the Vault login by jwt needs an id token",
            hint="set VAULT_ID_TOKEN (GitLab: id_tokens), `permissions: id-token: write` (GitHub), or secret_file",
        )
    return VaultAuth(
        method,
        flags.mount or stands.get("mount") or str(method),
        role,
        username,
        stands.get("audience", ""),
        secret,
        github=github,
    )


def nexus_login(
    url: str, declared: Mapping[str, str], environ: Mapping[str, str], tls: Tls, timeout_s: float
) -> NexusLogin:
    """The keys or the token for Nexus, as far as anybody gave them."""
    login = NexusLogin(
        url,
        token=_exported(environ, "NEXUS_TOKEN"),
        api_key=_exported(environ, "NEXUS_API_KEY"),
        api_secret=_exported(environ, "NEXUS_API_SECRET"),
        login_client_id=declared.get("login_client_id"),
        tls=tls,
        timeout_s=timeout_s,
    )
    if (login.api_key is None) != (login.api_secret is None):
        raise UsageError("NEXUS_API_KEY and NEXUS_API_SECRET belong together", hint="set both, or unset both")
    return login


def _method(declared: Mapping[str, str], flags: AuthFlags, environ: Mapping[str, str]) -> Method:
    asked = flags.method
    if asked is None:
        asked = "token" if environ.get("VAULT_TOKEN") else declared.get("method", "token")
    try:
        return Method(asked)
    except ValueError:
        pass
    raise UsageError(f"there is no Vault login by {quoted(asked)}", hint=f"--vault-auth {'|'.join(METHODS)}")


def _require(method: Method, role: str, username: str) -> None:
    """Raise where the method cannot do without something that is no secret."""
    if method in (Method.USERPASS, Method.LDAP) and not username:
        raise UsageError(f"the Vault login by {method} needs a user name", hint="--vault-username NAME")
    if method is Method.APPROLE and not role:
        hint = "set VAULT_ROLE_ID, or role in vault_auth"
        raise UsageError("the Vault login by approle needs the id of a role", hint=hint)
    if method is Method.KUBERNETES and not role:
        raise UsageError("the Vault login by kubernetes needs a role", hint="--vault-role NAME")


_VARIABLES: Final = {
    Method.APPROLE: "VAULT_SECRET_ID",
    Method.JWT: "VAULT_ID_TOKEN",
    Method.USERPASS: "VAULT_PASSWORD",
    Method.LDAP: "VAULT_PASSWORD",
}


def _secret_of(
    method: Method, file: str | None, beside: Path, environ: Mapping[str, str]
) -> Callable[[], Secret] | None:
    """Where the secret of the login is, if anywhere: the variable, the file declared, the usual place."""
    variable = _VARIABLES.get(method, "")
    # a password may have any character, and is no header
    wrapped = _phrase if method in (Method.USERPASS, Method.LDAP) else _word
    if exported := environ.get(variable):
        secret = wrapped(exported, variable)
        return lambda: secret
    if method is Method.KUBERNETES:
        file = file or _KUBERNETES_TOKEN
    if file is None:
        return None
    found = beside / file
    return lambda: wrapped(_read(found), str(found))


def _token(environ: Mapping[str, str]) -> dict[str, Any]:
    """The token of VAULT_TOKEN, of the Vault CLI's helper, or the one that `vault login` has left at home."""
    if token := environ.get("VAULT_TOKEN"):
        secret = _word(token, "VAULT_TOKEN")
        return {"secret": lambda: secret}
    if helper := _helper(environ):
        return {"helper": helper}
    if not environ.get("HOME"):
        return {}
    kept = _kept(Path(environ["HOME"], ".vault-token"))
    return {"secret": lambda: kept} if kept else {}


def _kept(file: Path) -> Secret | None:
    try:
        text = _line(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="set VAULT_TOKEN, or mend the file") from None
    return _word(text, str(file)) if text else None


_HELPER: Final = re.compile(r"""^\s*"?token_helper"?\s*[=:]\s*"((?:[^"\\]|\\.)+)"\s*,?\s*$""", re.MULTILINE)


def _helper(environ: Mapping[str, str]) -> str:
    """The program that keeps the Vault CLI's token, which its own configuration names in HCL or JSON."""
    home = environ.get("HOME")
    config = environ.get("VAULT_CONFIG_PATH") or (str(Path(home, ".vault")) if home else "")
    try:
        text = Path(config).read_text(errors="replace") if config else ""
    except OSError:  # a folder of that name is Ansible's
        return ""
    found = _HELPER.search(text)
    return found[1].replace('\\"', '"') if found else ""


def _github(environ: Mapping[str, str]) -> GitHub | None:
    url, token = (environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{part}", "") for part in ("URL", "TOKEN"))
    return GitHub(url, _word(token, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")) if url and token else None


def _read(file: Path) -> str:
    """The text of a file, without the line break that an editor puts at its end."""
    try:
        return _line(file)
    except OSError as error:
        reason = error.strerror
    raise UsageError(f"{file}, the secret of the Vault login, cannot be read: {reason}", hint="mend secret_file")


def _line(file: Path) -> str:
    return file.read_bytes().decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")


def _exported(environ: Mapping[str, str], variable: str) -> Secret | None:
    text = environ.get(variable)
    return _word(text, variable) if text else None


def _phrase(text: str, origin: str) -> Secret:
    if not text or not text.isprintable():
        raise UsageError(f"{origin} is empty, or has characters that nobody types", hint=f"set {origin} anew")
    return Secret(text)


def _word(text: str, origin: str) -> Secret:
    """A secret as a single word, refused where it could not be a header of its own."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise UsageError(f"{origin} has spaces, line breaks or characters that no token has", hint=f"set {origin} anew")
    return Secret(text)

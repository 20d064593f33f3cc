"""What to show at Nexus and at Vault: keys, tokens and ways to log in, from registrar.yaml, environment and flags.

Owns which secret comes from where; each becomes a Secret at once. Must never take one from a flag or from
registrar.yaml, and never connect to anything.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from registrar.errors import NotSignedIn, UsageError
from registrar.secret import Secret
from registrar.tls import Tls
from registrar.uri import Uri
from registrar.wording import quoted

TIMEOUT_S: Final = 60.0  # Vault's own default

_OF_VAULT: Final = ("TOKEN", "SECRET_ID", "ID_TOKEN", "PASSWORD")
SECRETS: Final = frozenset(
    {
        "NEXUS_TOKEN",
        "NEXUS_API_KEY",
        "NEXUS_API_SECRET",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        *(f"{product}_{name}" for product in ("VAULT", "BAO") for name in _OF_VAULT),
    }
)
"""The variables that a login may be in: what they hold is registrar's own, and no business of what it starts."""


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

AUTH_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    Method.TOKEN: ("method",),
    Method.APPROLE: ("method", "mount", "role", "secret_file"),
    Method.JWT: ("method", "mount", "role", "audience", "secret_file"),
    Method.KUBERNETES: ("method", "mount", "role", "secret_file"),
    Method.USERPASS: ("method", "mount", "username", "secret_file"),
    Method.LDAP: ("method", "mount", "username", "secret_file"),
    Method.CERT: ("method", "mount", "role"),
}
"""What `vault_auth` of a target may say of each method."""


class GitHub(NamedTuple):
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
    lent: str = ""  # the variable or file that has the secret for whichever Vault is meant


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


class AuthFlags(NamedTuple):
    """What the command line says of the login; None where it says nothing."""

    method: str | None = None
    mount: str | None = None
    role: str | None = None
    username: str | None = None


_KUBERNETES_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 (where it is)


def vault_auth(declared: Mapping[str, str], beside: Path, flags: AuthFlags, environ: Mapping[str, str]) -> VaultAuth:
    """The way to log in: of the flag, else VAULT_TOKEN, else what the target declares, else the Vault CLI's token.

    What the target declares counts for the method that it declares. A UsageError names what is missing.
    """
    method = _method(declared, flags, environ)
    _refuse_idle(method, flags)
    if method is Method.TOKEN:
        return _token(environ)
    stands = declared if declared.get("method") == method else {}
    role = _role(method, stands.get("role", ""), flags, environ)
    username = stands.get("username", "") if flags.username is None else flags.username
    _require(method, role, username, environ)
    secret = _secret_of(method, stands.get("secret_file"), beside, environ)
    github = _github(environ) if method is Method.JWT and secret is None else None
    if method is Method.JWT and secret is None and github is None:
        raise NotSignedIn(
            "the Vault login by jwt needs an id token",
            service="Vault",
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
        lent=variable if environ.get(variable := _VARIABLES.get(method, "")) else "",
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


_FLAGS: Final = {"mount": "--vault-auth-mount", "role": "--vault-role", "username": "--vault-username"}


def _refuse_idle(method: Method, flags: AuthFlags) -> None:
    """Raise for a flag of another method: whoever gave it means another login than the one there would be."""
    for key, flag in _FLAGS.items():
        if getattr(flags, key) is not None and key not in AUTH_KEYS[method]:
            raise UsageError(
                f"{flag} says nothing to a Vault login by {method}", hint="say --vault-auth METHOD too, or leave it out"
            )


def _role(method: Method, declared: str, flags: AuthFlags, environ: Mapping[str, str]) -> str:
    if flags.role is not None:
        return flags.role
    exported = environ.get("VAULT_ROLE_ID", "") if method is Method.APPROLE else ""
    if exported and declared and exported != declared:
        raise UsageError(
            "VAULT_ROLE_ID is not the role of the target's vault_auth",
            hint="unset VAULT_ROLE_ID, or say which with --vault-role",
        )
    return declared or exported


def _require(method: Method, role: str, username: str, environ: Mapping[str, str]) -> None:
    """Raise where the method cannot do without something that is no secret."""
    if method in (Method.USERPASS, Method.LDAP) and not username:
        hint = "--vault-username NAME"
        raise NotSignedIn(f"the Vault login by {method} needs a user name", service="Vault", hint=hint)
    if method is Method.APPROLE and not role:
        hint = "set VAULT_ROLE_ID, or role in vault_auth"
        raise NotSignedIn("the Vault login by approle needs the id of a role", service="Vault", hint=hint)
    if method is Method.KUBERNETES and not role:
        raise UsageError("the Vault login by kubernetes needs a role", hint="--vault-role NAME")
    if method is Method.CERT and not environ.get("VAULT_CLIENT_CERT"):
        hint = "set VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"
        raise UsageError("the Vault login by cert needs a certificate to show", hint=hint)


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
    wrapped = _phrase if method in (Method.USERPASS, Method.LDAP) else word
    if exported := environ.get(variable):
        secret = wrapped(exported, variable, f"set {variable} anew")
        return lambda: secret
    if method is Method.KUBERNETES:
        file = file or _KUBERNETES_TOKEN
    if not file:
        return None
    found = beside / file
    return lambda: wrapped(_read(found), str(found), f"write the secret into {found}, and nothing else")


def _token(environ: Mapping[str, str]) -> VaultAuth:
    """The token of VAULT_TOKEN, of the Vault CLI's helper, or the one that `vault login` has left at home."""
    token, lent = _exported(environ, "VAULT_TOKEN"), "VAULT_TOKEN"
    helper = "" if token else _helper(environ)
    if not token and not helper and environ.get("HOME"):
        token, lent = _kept(Path(environ["HOME"], ".vault-token")), "~/.vault-token"
    return VaultAuth(secret=(lambda: token) if token else None, helper=helper, lent=lent if token else "")


def _kept(file: Path) -> Secret | None:
    try:
        text = _line(file)
    except (FileNotFoundError, NotADirectoryError):  # a service's home may be /dev/null
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="set VAULT_TOKEN, or mend the file") from None
    return word(text, str(file), "vault login") if text else None


_HELPER: Final = re.compile(r"""^\s*"?token_helper"?\s*=\s*"((?:[^"\\\n]|\\.)*)\"""", re.MULTILINE)
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)


def _helper(environ: Mapping[str, str]) -> str:
    """The program that keeps the token of the Vault CLI, or of OpenBao's, as that one's own configuration names it."""
    home, named = environ.get("HOME"), environ.get("VAULT_CONFIG_PATH")
    usual = [Path(home, name) for name in (".vault", ".bao")] if home else []
    return next(filter(None, map(_helper_of, [Path(named)] if named else usual)), "")


def _helper_of(config: Path) -> str:
    """What a configuration in HCL or JSON says of a token helper."""
    try:
        text = config.read_text(errors="replace")
    except OSError:  # a folder of that name is Ansible's
        return ""
    try:
        found = json.loads(text)["token_helper"]
    except (ValueError, TypeError, LookupError, RecursionError):
        match = _HELPER.search(_COMMENT.sub("", text))
        found = re.sub(r"\\(.)", r"\1", match[1]) if match else ""
    return found if isinstance(found, str) else ""


def _github(environ: Mapping[str, str]) -> GitHub | None:
    url, token = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"), _exported(environ, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not token:
        return None
    uri = Uri.parse(url)
    if not uri.host or (uri.scheme != "https" and not uri.loopback):
        raise UsageError("ACTIONS_ID_TOKEN_REQUEST_URL is no https address", hint="leave it as GitHub Actions sets it")
    return GitHub(url, token)


def _read(file: Path) -> str:
    """The text of a file, without the line break that an editor puts at its end."""
    try:
        return _line(file)
    except OSError as error:
        reason = error.strerror
    raise UsageError(
        f"{file}, the secret of the Vault login, cannot be read: {reason}",
        hint="make it readable, or name another one as secret_file in vault_auth",
    )


def _line(file: Path) -> str:
    return file.read_bytes().decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")


def _exported(environ: Mapping[str, str], variable: str) -> Secret | None:
    text = environ.get(variable)
    return word(text, variable, f"set {variable} anew") if text else None


def _phrase(text: str, origin: str, hint: str) -> Secret:
    if not text or not text.isprintable():
        raise UsageError(f"{origin} is empty, or has characters that nobody types", hint=hint)
    return Secret(text)


def word(text: str, origin: str, hint: str) -> Secret:
    """A secret as a single word, refused where it could not be a header of its own."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise UsageError(f"{origin} has spaces, line breaks or characters that no token has", hint=hint)
    return Secret(text)

"""Settings: one target and how to log in there, from registrar.yaml, the environment and flags.

The only module that reads the environment, which reaches it as a mapping. Flags beat the file, the environment fills
what the target leaves out, and a variable that contradicts the target is an error: an exported VAULT_ADDR must never
send one environment's credentials to another. Must never connect to anything; secrets become `Secret` at once.
"""

from __future__ import annotations

import enum
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from registrar import logins, targets, untrusted
from registrar.errors import UsageError
from registrar.logins import TIMEOUT_S, AuthFlags, NexusLogin, VaultLogin
from registrar.model import Target
from registrar.targets import Declarations, Declared, Location
from registrar.tls import Tls
from registrar.wording import did_you_mean, quoted

SANDBOX: Final = "sandbox"
"""The target that is there without being declared; the sandbox fills in its addresses."""


class Need(enum.Flag):
    """The services a command cannot do without: the environment is consulted about these alone."""

    # each bit has a name of its own: Python 3.11.2 drops the others where two members are joined
    NOTHING = 0
    SERVER = 1  # where Nexus is, without going there
    PLACE = 2  # where in Vault the records are, without going there
    VAULT_LOGIN = 4
    VAULT_SERVER = 8
    NEXUS_LOGIN = 16
    NEXUS = SERVER | NEXUS_LOGIN
    ADDRESS = PLACE | VAULT_SERVER  # and where Vault is
    VAULT = ADDRESS | VAULT_LOGIN
    BOTH = NEXUS | VAULT


class Flags(NamedTuple):
    """What the command line says; None where it says nothing."""

    config: str | None = None
    target: str | None = None
    nexus_url: str | None = None
    frontend_url: str | None = None
    vault_addr: str | None = None
    vault_mount: str | None = None
    vault_prefix: str | None = None
    vault_namespace: str | None = None
    vault_auth: str | None = None
    vault_auth_mount: str | None = None
    vault_role: str | None = None
    vault_username: str | None = None
    timeout: float | None = None
    untrusted: bool = False
    several: bool = False  # the target is one of several, so no flag says where one of them is


@dataclass(frozen=True, slots=True)
class Settings:
    """One target, ready to be connected to; addresses that no one needed and no one gave are empty."""

    target: Target
    targets: tuple[str, ...] = ()
    manifests: Path | None = None
    config_file: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # an address may have a password
    nexus_credentials: str = ""  # where in Vault the key for Nexus is
    contact: str = ""  # who to ask about what is registered here
    checkout: Path | None = None  # where somebody else may have written what is read, if anywhere
    remarks: tuple[str, ...] = ()  # what was found there and not used
    nexus: NexusLogin = field(default_factory=NexusLogin)
    vault: VaultLogin = field(default_factory=VaultLogin)

    @property
    def known_targets(self) -> frozenset[str] | None:
        """The targets that a manifest may name; None without a list of them, when any may be meant."""
        return frozenset(self.targets) | {SANDBOX} if self.targets else None


class _Source(NamedTuple):
    """The variable that fills in what a target leaves out, and the service it is about."""

    variable: str
    need: Need


_SOURCES: Final = {
    "nexus_url": _Source("NEXUS_URL", Need.SERVER),
    "frontend_url": _Source("NEXUS_FRONTEND_URL", Need.SERVER),
    "vault_addr": _Source("VAULT_ADDR", Need.ADDRESS),
    "vault_mount": _Source("REGISTRAR_VAULT_MOUNT", Need.PLACE),
    "vault_prefix": _Source("REGISTRAR_VAULT_PREFIX", Need.PLACE),
    "vault_namespace": _Source("VAULT_NAMESPACE", Need.PLACE),
}
_NAMES: Final = {"nexus_url": "Nexus", "vault_addr": "Vault"}
_VARIABLES: Final = ("REGISTRAR_TARGET", "REGISTRAR_CONFIG", "REGISTRAR_VAULT_MOUNT", "REGISTRAR_VAULT_PREFIX")


def load(flags: Flags, environ: Mapping[str, str], cwd: Path, *, need: Need = Need.BOTH) -> Settings:
    """The settings for one command, which needs these services; a UsageError names what to set or to unset."""
    for name in environ:
        if name.startswith("REGISTRAR_") and name not in _VARIABLES:
            raise UsageError(f"there is no variable {quoted(name)}", hint=did_you_mean(name, _VARIABLES))
    environ = _of_openbao(environ, need)
    file = _file(flags, environ, cwd)
    declared = _declared(file, cwd)
    name = _choose(flags, environ, declared, file, need)
    target = declared.targets.get(name, Declared())
    values = {key: _value(key, name, target, flags, environ, need) for key in _SOURCES}
    values["vault_mount"] = values["vault_mount"] or target.location.mount
    values["vault_prefix"] = values["vault_prefix"] or target.location.prefix
    values["frontend_url"] = values["frontend_url"] or _origin(values["nexus_url"])
    _refuse_neighbours(name, values, declared)
    return Settings(
        Target(name, set=declared.set, production=target.production, allowed_hosts=target.allowed_hosts, **values),
        tuple(declared.targets),
        (cwd if flags.untrusted else file.parent) / declared.manifests if file else None,
        file,
        _proxies(environ),
        target.values.get("nexus_credentials", ""),
        declared.contact,
        cwd if flags.untrusted else None,
        untrusted.remarks(declared, cwd) if flags.untrusted else (),
        _nexus_login(values["nexus_url"], target, flags, environ) if Need.NEXUS in need else NexusLogin(),
        _vault_login(values, target, flags, environ, file.parent if file else cwd)
        if Need.VAULT in need
        else VaultLogin(),
    )


def target_names(
    named: str | None, environ: Mapping[str, str], cwd: Path, *, untrusted: bool = False
) -> tuple[str, ...]:
    """The targets of registrar.yaml, or of the file `named` in its place, in its order."""
    return tuple(_declared(_file(Flags(config=named, untrusted=untrusted), environ, cwd), cwd).targets)


def environment() -> Mapping[str, str]:
    """The environment of this process, as it is now."""
    return dict(os.environ)


def colour(environ: Mapping[str, str], terminal: bool) -> bool:
    """Whether stdout may have colour: on a terminal, and where NO_COLOR is not set (no-color.org)."""
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def graphical(environ: Mapping[str, str]) -> bool:
    """Whether a browser with a window of its own can be opened here: BROWSER names one, or there is a display."""
    return sys.platform == "darwin" or any(environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where the sandbox keeps its state."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():  # the XDG specification has relative ones ignored
        return state / "registrar"
    if home := environ.get("HOME"):
        return Path(home, ".local", "state", "registrar")
    raise UsageError("there is no place for the sandbox's state", hint="set HOME or XDG_STATE_HOME")


def sandbox_state(environ: Mapping[str, str], target: str = SANDBOX) -> Path:
    """The file of the sandbox: a declared target has a Nexus and a Vault of its own there too."""
    return state_dir(environ) / ("sandbox.sqlite3" if target == SANDBOX else f"sandbox.{target}.sqlite3")


def _file(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Path | None:
    named = flags.config if flags.config is not None else environ.get("REGISTRAR_CONFIG") or None
    if flags.untrusted:
        return None if named is None else untrusted.outside(cwd / named, cwd)
    return targets.find(cwd) if named is None else cwd / named


def _declared(file: Path | None, cwd: Path) -> Declarations:
    if file is None:
        return Declarations()
    from registrar.declarations import read  # with YAML, which who has no such file does without

    return read(file, str(file.relative_to(cwd) if file.is_relative_to(cwd) else file))


def _choose(flags: Flags, environ: Mapping[str, str], declared: Declarations, file: Path | None, need: Need) -> str:
    """The name of the target: the one asked for, the default, or the only one there is."""
    asked = flags.target if flags.target is not None else environ.get("REGISTRAR_TARGET") or None
    if asked is None:
        if not declared.targets:
            return "default"
        if declared.default_target or len(declared.targets) == 1:
            return declared.default_target or next(iter(declared.targets))
        raise UsageError("there are several targets", hint=f"choose with --target: {', '.join(declared.targets)}")
    if asked in declared.targets or (asked == SANDBOX and need in Need.PLACE):
        return asked
    if asked == SANDBOX:
        raise UsageError("the target `sandbox` is not declared", hint="the built-in one is registrar --sandbox")
    if not declared.targets:
        where = f"{file.name} declares no targets" if file else f"there is no {targets.FILE_NAME}"
        raise UsageError(f"{where}, so there is no target {quoted(asked)}", hint="leave out --target, REGISTRAR_TARGET")
    raise UsageError(f"there is no target {quoted(asked)}", hint=did_you_mean(asked, declared.targets))


def _value(key: str, name: str, target: Declared, flags: Flags, environ: Mapping[str, str], need: Need) -> str:
    """A setting of the chosen target, in its normal form; empty where nobody gives one and nobody needs one."""
    variable, service = _SOURCES[key]
    flag = f"--{key.replace('_', '-')}"
    given: str | None = getattr(flags, key)
    if given is not None:
        return _normal(key, given, flag)
    stands = target.values.get(key)
    if service not in need:
        return stands or ""
    if exported := environ.get(variable):
        value = _normal(key, exported, variable)
        if stands is not None and stands != value:  # the root namespace is declared as an empty one
            raise UsageError(
                f"{variable} is {value or exported}, but the target {quoted(name)} has {key} {stands or quoted('')}",
                hint=f"unset {variable}" if flags.several else f"unset {variable}, or say which with {flag}",
            )
        return value
    if not stands and key in _NAMES:
        raise UsageError(
            f"no {_NAMES[key]}: set {key} in {targets.FILE_NAME}, {variable} or {flag}",
            hint=f"export {variable}=https://…",
        )
    return stands or ""


def _normal(key: str, text: str, origin: str) -> str:
    try:
        return targets.NORMAL[key](text)
    except ValueError as error:
        raise UsageError(f"{origin} {error}", hint=f"set {origin} anew") from None


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _refuse_neighbours(name: str, values: Mapping[str, str], declared: Declarations) -> None:
    """Raise where a flag or variable moves this target into the folder of another one."""
    here = Location(values["vault_addr"], values["vault_namespace"], values["vault_mount"], values["vault_prefix"])
    for other, target in declared.targets.items():
        if other != name and here.addr and here.overlaps(target.location):
            raise UsageError(
                f"the target {quoted(name)} would keep its records at {here.mount}/{here.prefix}, "
                f"which is in the folder of the target {quoted(other)}, or around it",
                hint="choose another vault_prefix",
            )


def _nexus_login(url: str, target: Declared, flags: Flags, environ: Mapping[str, str]) -> NexusLogin:
    return logins.nexus_login(url, target.values, environ, _tls("NEXUS", environ), _timeout(flags, ""))


def _vault_login(
    values: Mapping[str, str], target: Declared, flags: Flags, environ: Mapping[str, str], beside: Path
) -> VaultLogin:
    mount = flags.vault_auth_mount
    said = AuthFlags(
        flags.vault_auth,
        None if mount is None else _normal("vault_mount", mount, "--vault-auth-mount"),
        flags.vault_role,
        flags.vault_username,
    )
    return VaultLogin(
        values["vault_addr"],
        logins.vault_auth(target.vault_auth, beside, said, environ),
        namespace=values["vault_namespace"],
        tls=replace(_tls("VAULT", environ), server_name=environ.get("VAULT_TLS_SERVER_NAME") or None),
        timeout_s=_timeout(flags, environ.get("VAULT_CLIENT_TIMEOUT", "")),
    )


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies by scheme, and under `no` the hosts reached without one; lower case first, as curl has it."""
    names = {"http": "http_proxy", "https": "https_proxy", "no": "no_proxy"}
    found = {scheme: environ.get(name) or environ.get(name.upper(), "") for scheme, name in names.items()}
    everywhere = environ.get("all_proxy") or environ.get("ALL_PROXY", "")
    return {scheme: found[scheme] or everywhere for scheme in names if found[scheme] or (everywhere and scheme != "no")}


_OPENBAO: Final = {
    "ADDR": Need.ADDRESS,
    **dict.fromkeys(("TOKEN", "CONFIG_PATH", "CLIENT_TIMEOUT", "TLS_SERVER_NAME", "SKIP_VERIFY"), Need.VAULT),
    **dict.fromkeys(("CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY"), Need.VAULT),
    **dict.fromkeys(("ROLE_ID", "SECRET_ID", "ID_TOKEN", "PASSWORD"), Need.VAULT),  # no program's own, but meant so
    "NAMESPACE": Need.PLACE,
}


def _of_openbao(environ: Mapping[str, str], need: Need) -> Mapping[str, str]:
    """The environment with OpenBao's own names read as Vault's, of which its programs take either."""
    read = dict(environ)
    for name, service in _OPENBAO.items():
        own, twin = f"BAO_{name}", f"VAULT_{name}"
        if service not in need or not environ.get(own):
            continue
        if environ.get(twin) and environ[twin] != environ[own]:
            raise UsageError(f"{own} and {twin} contradict one another", hint=f"unset {own} or {twin}")
        read[twin] = environ[own]
    return read


def _tls(service: str, environ: Mapping[str, str]) -> Tls:
    tls = Tls(
        service,
        cacert=_existing(environ, f"{service}_CACERT"),
        capath=_existing(environ, f"{service}_CAPATH"),
        client_cert=_existing(environ, f"{service}_CLIENT_CERT"),
        client_key=_existing(environ, f"{service}_CLIENT_KEY"),
        skip_verify=_truth(environ, f"{service}_SKIP_VERIFY"),
    )
    if tls.client_key and not tls.client_cert:
        raise UsageError(f"{service}_CLIENT_KEY is nothing without {service}_CLIENT_CERT", hint="set both, or neither")
    return tls


def _existing(environ: Mapping[str, str], variable: str) -> str | None:
    path = environ.get(variable)
    if not path:
        return None
    try:
        Path(path).stat()
    except OSError as error:
        reason = error.strerror
    else:
        return path
    raise UsageError(f"{variable} is {path}, which cannot be read: {reason}", hint=f"mend or unset {variable}")


def _truth(environ: Mapping[str, str], variable: str) -> bool:
    """A boolean as Go reads it, since these variables are the Vault CLI's."""
    text = environ.get(variable, "")
    if text not in ("", "1", "t", "T", "true", "True", "TRUE", "0", "f", "F", "false", "False", "FALSE"):
        raise UsageError(f"{variable} is neither true nor false", hint=f"unset {variable}, or set it to true")
    return text[:1] in ("1", "t", "T")


_UNITS_S: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _timeout(flags: Flags, exported: str) -> float:
    """The time an answer may take: of the flag, else of VAULT_CLIENT_TIMEOUT, which has seconds or a unit."""
    if flags.timeout is not None:
        if not 0 < flags.timeout < math.inf:
            raise UsageError("--timeout is not a number of seconds above 0", hint="--timeout 30")
        return flags.timeout
    if not exported:
        return TIMEOUT_S
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|s|m|h)?", exported)
    if not match or not float(match[1]):
        raise UsageError("VAULT_CLIENT_TIMEOUT is not a duration such as 30s", hint="unset VAULT_CLIENT_TIMEOUT")
    return float(match[1]) * _UNITS_S[match[2] or ""]

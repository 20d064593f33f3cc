"""registrar.yaml: which targets there are, as they are declared for everybody who has the repository.

Owns the format of the file and the one normal form of each address and folder. Must never look at the environment, and
never accept a secret, since the file is in git, nor two targets whose records would lie in one another's folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

from registrar import document
from registrar.document import SIZE_LIMIT_BYTES, Node, Reader, did_you_mean
from registrar.errors import UsageError
from registrar.lint import Level, ordered, quoted
from registrar.logins import AUTH_KEYS, METHODS
from registrar.model import FACT_LIMIT_BYTES
from registrar.uri import Uri, address_faults

FILE_NAME: Final = "registrar.yaml"


# Values in the one form in which they are compared. Each raises ValueError with words that follow the setting's name.


def address(text: str) -> str:
    """The address of a service, https unless said: scheme and host in lower case, no default port, no final slash."""
    # Without a scheme `vault.example.gov:8200` would read as one.
    uri = Uri.parse(text if "://" in text or not text else f"https://{text}")
    for fault in address_faults(uri):
        raise ValueError(fault)
    usual = {"https": 443, "http": 80}[uri.scheme]
    port = f":{int(uri.port)}" if uri.port and int(uri.port) != usual else ""
    return f"{uri.scheme}://{uri.host}{port}{uri.path.rstrip('/')}"


def nexus_address(text: str) -> str:
    """The address of a Nexus without its API: origin and base path."""
    return re.sub(r"/api(/v[12])?\Z", "", address(text))


def folder(text: str) -> str:
    """A mount or prefix of Vault without slashes at its ends."""
    path = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", path):
        raise ValueError("is not a path of letters, digits, - and _")
    return path


def namespace(text: str) -> str:
    """A namespace without slashes at its ends; empty for the root, which Vault also calls `root`."""
    path = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*|", path):
        raise ValueError("is not a namespace such as team or org/team")
    return "" if path == "root" else path


NORMAL: Final[Mapping[str, Callable[[str], str]]] = {
    "nexus_url": nexus_address,
    "frontend_url": address,
    "vault_addr": address,
    "vault_mount": folder,
    "vault_prefix": folder,
    "vault_namespace": namespace,
    "nexus_credentials": folder,
    "login_client_id": str,
}
"""The strings that a target may have, each with its normal form."""


class Location(NamedTuple):
    """Where a target keeps its records; an empty `addr` is not known yet, so it may be any."""

    addr: str
    namespace: str
    mount: str
    prefix: str

    @property
    def folder(self) -> str:
        """The folder as it is reached from the root: a namespace is the first part of its mounts' paths."""
        return "".join(f"{part}/" for part in (self.namespace, self.mount, self.prefix) if part)

    def overlaps(self, other: Location) -> bool:
        """Whether one's records may lie in the other's folder."""
        nested = self.folder.startswith(other.folder) or other.folder.startswith(self.folder)
        return nested and (not self.addr or not other.addr or self.addr == other.addr)


@dataclass(frozen=True, slots=True)
class Declared:
    """A target as far as it is declared; `values` has the keys of NORMAL that are there."""

    values: Mapping[str, str] = field(default_factory=dict)
    vault_auth: Mapping[str, str] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    production: bool = False

    @property
    def location(self) -> Location:
        """Where its records are, as far as the file tells."""
        return Location(
            self.values.get("vault_addr", ""),
            self.values.get("vault_namespace", ""),
            self.values.get("vault_mount", "secret"),
            self.values.get("vault_prefix", "nexus"),
        )


@dataclass(frozen=True, slots=True)
class Declarations:
    """What registrar.yaml says; nothing where there is none."""

    targets: Mapping[str, Declared] = field(default_factory=dict)
    set: str = ""
    default_target: str = ""
    manifests: str = "manifests"
    contact: str = ""  # who to ask: an address, a channel, a page


def find(folder: Path) -> Path | None:
    """The registrar.yaml of this folder or of the nearest one above it."""
    for above in (folder, *folder.parents):
        with suppress(PermissionError):  # a folder above may be closed to us
            if (above / FILE_NAME).is_file():
                return above / FILE_NAME
    return None


_TEXTS: Final = ("set", "manifests", "contact", "default_target")


def read(file: Path, shown: str) -> Declarations:
    """Read a registrar.yaml, which messages call `shown`; a UsageError has everything that is wrong with it."""
    try:
        with file.open("rb") as stream:
            data = stream.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}", hint="name another one with --config") from None
    reader = Reader(shown)
    root = reader.read(data, public=("login_client_id",))
    fields = reader.fields(root, (*_TEXTS, "targets"), FILE_NAME) if root else {}
    targets = _targets(reader, fields["targets"]) if "targets" in fields else {}
    texts = {key: _text(reader, fields[key], key) for key in _TEXTS if key in fields}
    default = texts.get("default_target", "")
    if default and default not in targets:
        hint = did_you_mean(default, targets)
        reader.report(f"there is no target {quoted(default)}", fields["default_target"], hint=hint)
    if errors := [finding for finding in ordered(reader.findings) if finding.level is Level.ERROR]:
        raise UsageError("\n".join(f"{finding}; {finding.hint}" for finding in errors), hint=f"edit {shown}")
    manifests = texts.get("manifests", "") or "manifests"
    return Declarations(targets, texts.get("set", ""), default, manifests, texts.get("contact", ""))


def _text(reader: Reader, node: Node, key: str) -> str:
    text = reader.string(node, key) or ""
    if not text.isprintable() or len(text.encode()) > FACT_LIMIT_BYTES:
        reader.report(f"{key} is not printable, or longer than {FACT_LIMIT_BYTES} bytes", node)
    return text


def _targets(reader: Reader, node: Node) -> dict[str, Declared]:
    nodes = reader.fields(node, None, "targets")
    targets = {name: _target(reader, target) for name, target in nodes.items()}
    for name in targets:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            reader.report(f"{quoted(name)} is no name for a target", nodes[name], hint="use letters, digits and -")
    for one, other in combinations(targets, 2):
        if targets[one].location.overlaps(targets[other].location):
            reader.report(
                f"the targets {quoted(one)} and {quoted(other)} would keep their records in one folder",
                nodes[other],
                hint="give each a vault_prefix of its own, neither inside the other",
            )
    return targets


def _target(reader: Reader, node: Node) -> Declared:
    fields = reader.fields(node, (*NORMAL, "vault_auth", "allowed_hosts", "production"), "a target")
    values: dict[str, str] = {}
    for key, normal in NORMAL.items():
        text = reader.string(fields[key], key) if key in fields else None
        if text is not None:
            try:
                values[key] = normal(text)
            except ValueError as error:
                reader.report(f"{key} {error}", fields[key])
    hosts = reader.items(fields["allowed_hosts"], "allowed_hosts") if "allowed_hosts" in fields else []
    production = reader.boolean(fields["production"], "production") if "production" in fields else False
    names = tuple(name for host in hosts if (name := reader.string(host, "a host of allowed_hosts")))
    auth = _vault_auth(reader, fields["vault_auth"]) if "vault_auth" in fields else {}
    return Declared(values, auth, names, bool(production))


def _vault_auth(reader: Reader, node: Node) -> dict[str, str]:
    fields = reader.fields(node, sorted({key for keys in AUTH_KEYS.values() for key in keys}), "vault_auth")
    found = {key: _text(reader, fields[key], key) for key in fields}
    method = found.get("method")
    if method is None and isinstance(node, document.Mapping):
        reader.report("vault_auth has no method", node, hint=f"method: {'|'.join(METHODS)}")
    elif method is not None and method not in METHODS:
        hint = did_you_mean(method, METHODS)
        reader.report(f"there is no Vault login by {quoted(method)}", fields["method"], hint=hint)
    for key in found:
        if method in METHODS and key not in AUTH_KEYS[method]:
            known = ", ".join(AUTH_KEYS[method])
            reader.report(f"{key} says nothing to a Vault login by {method}", fields[key], hint=f"known are: {known}")
    if "mount" in found:
        try:
            found["mount"] = folder(found["mount"])
        except ValueError as error:
            reader.report(f"mount {error}", fields["mount"])
    return found

"""The targets of registrar.yaml: where the file is, and what it may say, as it is declared for everybody who has it.

Owns the one normal form of each address and folder. Must never look at the environment, nor read the file: that is for
`declarations`, which brings YAML along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

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

"""What each role may do in Vault: the exact policies, as data and as HCL.

One table, from which `registrar policy` prints and `registrar doctor` asks. Pure. Must never let a planner read a
secret, nor anybody DELETE or destroy: no check-and-set guards those.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final


class Role(enum.StrEnum):
    """Who a policy is for."""

    PLANNER = "planner"
    APPLIER = "applier"
    DEVELOPER = "developer"


@dataclass(frozen=True, slots=True)
class Grant:
    """One line of a policy; a path that ends in `*` is everything below it."""

    path: str
    capabilities: tuple[str, ...]
    why: str

    def questions(self) -> Iterator[tuple[str, str]]:
        """A path and a capability to ask `sys/capabilities-self` about, for each; a denial is not asked about."""
        for capability in self.capabilities:
            if capability == "list":  # of a folder, which Vault knows by its final slash
                yield self.path.removesuffix("*"), capability
            elif capability != "deny":
                yield self.path.replace("*", _ANY), capability


_ANY: Final = "any-record"


def grants(role: Role, mount: str, prefix: str, *, paths: Sequence[str] = (), nexus_key: str = "") -> tuple[Grant, ...]:
    """The policy of a role for the records below `<mount>/<prefix>`; a developer's is for the records at `paths`.

    `nexus_key` is where in Vault the key for Nexus is, for a planner or an applier that takes it from there.
    """
    lines = {Role.PLANNER: _planner, Role.APPLIER: _applier, Role.DEVELOPER: _developer}[role]
    key = [Grant(_data_of(nexus_key, mount), ("read",), "the key for Nexus")] if nexus_key else []
    return (*lines(mount, prefix, paths), *key)


def _planner(mount: str, prefix: str, _paths: Sequence[str]) -> Iterator[Grant]:
    yield Grant("auth/token/lookup-self", ("read",), "how long the token lives")
    yield Grant("sys/capabilities-self", ("update",), "what it may do")
    yield Grant(f"{mount}/metadata/{prefix}/*", ("read", "list"), "the facts about the records, which hold no secret")
    yield Grant(f"{mount}/detailed-metadata/{prefix}/*", ("list",), "the same in one answer a folder; OpenBao has it")
    yield Grant(f"{mount}/data/{prefix}/.registrar/lock", ("read",), "whether a run is at work")


def _applier(mount: str, prefix: str, _paths: Sequence[str]) -> Iterator[Grant]:
    yield Grant("auth/token/lookup-self", ("read",), "how long the token lives")
    yield Grant("auth/token/renew-self", ("update",), "to live as long as the run")
    yield Grant("sys/capabilities-self", ("update",), "what it may do, asked before the first effect")
    yield Grant(f"{mount}/config", ("read",), "whether the mount deletes versions by itself")
    yield Grant(f"{mount}/metadata/{prefix}/*", ("create", "read", "update", "list"), "the facts about the records")
    yield Grant(f"{mount}/detailed-metadata/{prefix}/*", ("list",), "the same in one answer a folder; OpenBao has it")
    yield Grant(f"{mount}/data/{prefix}/*", ("create", "read", "update"), "credentials, and the lock")
    yield Grant(f"{mount}/delete/{prefix}/*", ("update",), "versions by their number")
    yield Grant(f"{mount}/delete/{prefix}/.registrar/*", ("deny",), "but never the lock")
    yield Grant(f"{mount}/undelete/{prefix}/*", ("update",), "a version back by its number")


def _developer(mount: str, prefix: str, paths: Sequence[str]) -> Iterator[Grant]:
    yield Grant("auth/token/lookup-self", ("read",), "how long the token lives")
    yield from (reading(mount, prefix, path) for path in paths)


def reading(mount: str, prefix: str, path: str) -> Grant:
    """What it takes to read one credential and nothing else."""
    return Grant(f"{mount}/data/{prefix}/{path}", ("read",), "the credential, and the facts that come with it")


def _data_of(secret: str, mount: str) -> str:
    """Where KV version 2 has the data of a secret that people name by mount and path."""
    # where it is not below the mount of the records, nobody tells offline how long its mount's name is
    engine = mount if secret.startswith(f"{mount}/") else secret.partition("/")[0]
    return f"{engine}/data/{secret.removeprefix(f'{engine}/')}"


def hcl(lines: Iterable[Grant]) -> str:
    """The policy as Vault reads it, each line below the reason for it."""
    return "\n".join(f"# {grant.why}\n{line(grant)}" for grant in lines)


def line(grant: Grant) -> str:
    """One line of the policy."""
    capabilities = ", ".join(f'"{capability}"' for capability in grant.capabilities)
    return f'path "{grant.path}" {{ capabilities = [{capabilities}] }}'

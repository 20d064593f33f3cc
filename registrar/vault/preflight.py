"""Whether this Vault can carry a run, asked before its first effect.

Owns what has to be true of the server, the token, the mount and the policy. Must never change anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from registrar.errors import AccessDenied, Unsuitable
from registrar.vault.records import Place, seconds
from registrar.vault.session import Session

LEAST_LIFE_S: Final = 60
STEP_S: Final = 0.5
"""What a step is allowed to take of a run: Nexus hashes each secret for 0.12 s of a core, and has other clients."""

LEAST_VERSIONS: Final = 5
"""Each fence and claim uses a version; with two, the first evicts the credential that a rotation may go back to."""

_PATHS_A_REQUEST: Final = 500  # OpenBao refuses a body with more than 1,000 texts
_NAMED: Final = 10  # missing rights spelt out in one message


def check(session: Session, place: Place, paths: Sequence[str], restored: Sequence[str] = ()) -> None:
    """Raise the first thing that would stop a run over these paths."""
    # one that stands by answers 429 or 473 unless told that this is well; with a namespace it is 400
    session.get("sys/health", {"standbyok": "true", "perfstandbyok": "true"}, rooted=True)
    _check_token(session, len(paths))
    require_v2(session, place)
    check_mount(session, place)
    _check_policy(session, place, paths, restored)


def _check_token(session: Session, steps: int) -> None:
    holder = session.outlive(LEAST_LIFE_S + math.ceil(steps * STEP_S))
    if holder.uses:
        raise AccessDenied(
            f"the Vault token may be used {holder.uses} more times, and a run needs a request for every step",
            hint="use a token without a limit of uses",
        )


@dataclass(frozen=True, slots=True)
class Mount:
    """A secrets engine; `path` ends in a slash."""

    path: str
    kind: str
    version: str


def mount_of(session: Session, path: str) -> Mount:
    """The mount that a path belongs to, as Vault tells everyone who may do anything there."""
    try:
        data = session.get(f"sys/internal/ui/mounts/{path}").data
    except AccessDenied:  # for a mount that does not exist as well, even for root
        data = {}
    if not data:
        raise AccessDenied(
            f"there is no mount at {path}, or the Vault token may do nothing there",
            hint="check the mount and the namespace, or ask for the policy of this path",
        )
    options = data.get("options") or {}
    return Mount(data.get("path", ""), data.get("type", ""), options.get("version", "1"))


def require_v2(session: Session, place: Place) -> None:
    """Raise unless the target's mount is one, and KV version 2."""
    mount = mount_of(session, f"{place.mount}/{place.prefix}")
    if mount.kind != "kv" or mount.path != f"{place.mount}/":
        raise Unsuitable(
            f"{place.mount} is no KV mount: {mount.path or 'nothing'} is there, of the type {mount.kind or 'none'}",
            hint="set vault_mount to the mount alone, and what follows it in vault_prefix",
        )
    if mount.version != "2":
        raise Unsuitable(
            f"{place.mount} is KV version {mount.version}, which ignores check-and-set",
            hint="have an operator enable version 2 on the mount, or set vault_mount to one that has it",
        )


def check_mount(session: Session, place: Place) -> None:
    """Raise where the mount would delete versions by itself; AccessDenied where that may not be seen."""
    config = session.get(f"{place.mount}/config").data
    if seconds(config.get("delete_version_after", "")):
        raise Unsuitable(
            f"{place.mount} deletes every version after {config['delete_version_after']}, credentials included",
            hint="have an operator set delete_version_after of the mount to 0s, or use another mount",
        )
    if 0 < config.get("max_versions", 0) < LEAST_VERSIONS:
        raise Unsuitable(
            f"{place.mount} keeps {config['max_versions']} versions, and a run needs {LEAST_VERSIONS}",
            hint=f"have an operator set max_versions of the mount to 0 or at least {LEAST_VERSIONS}",
        )


def _check_policy(session: Session, place: Place, paths: Sequence[str], restored: Sequence[str]) -> None:
    needed = dict(_needed(place, paths, restored))
    asked = list(needed)
    granted: dict[str, list[str]] = {}
    for start in range(0, len(asked), _PATHS_A_REQUEST):
        granted |= session.ask("sys/capabilities-self", {"paths": asked[start : start + _PATHS_A_REQUEST]}).data
    missing = [
        f"{' and '.join(lacks)} on {path}"
        for path, rights in needed.items()
        if (lacks := [right for right in rights if not {right, "root"} & set(granted.get(path, ()))])
    ]
    if missing:
        more = f", and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise AccessDenied(
            f"the Vault token lacks {', '.join(missing[:_NAMED])}{more}",
            hint="ask for the applier policy for this mount and prefix",
        )


def _needed(place: Place, paths: Sequence[str], restored: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each path with the rights on it; Vault says `deny` of a folder that is asked without its final slash."""
    yield place.at("metadata") + "/", ("list",)
    yield place.lock, ("create", "update", "read")
    for path in paths:
        yield place.record("data", path), ("create", "update", "read")
        yield place.record("metadata", path), ("create", "update", "read")
        yield place.record("delete", path), ("update",)
    for path in restored:
        yield place.record("undelete", path), ("update",)

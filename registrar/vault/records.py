"""Where a record is in Vault, and what its metadata says.

Pure: owns paths and the reading of Vault's metadata. Must never ask Vault anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from registrar.errors import Unsuitable, UsageError
from registrar.model import Facts, Record, Version

LOCK_FOLDER: Final = ".registrar/"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of one KV v2 mount, below which records have their paths."""

    mount: str
    prefix: str

    def at(self, endpoint: str, path: str = "") -> str:
        """Vault's path of something below the prefix at one of the mount's endpoints: data, metadata, delete."""
        return "/".join(part for part in (self.mount, endpoint, self.prefix, path) if part).rstrip("/")

    def record(self, endpoint: str, path: str) -> str:
        """The same for a record, whose path has to be one."""
        # the client or the server would resolve the first three and reach another record; the last holds the lock
        if not {"", ".", "..", LOCK_FOLDER.rstrip("/")}.isdisjoint(path.split("/")):
            raise UsageError(f"{path!r} is not the path of a record", hint="change `path` in the manifest")
        return self.at(endpoint, path)

    @property
    def lock(self) -> str:
        return self.at("data", f"{LOCK_FOLDER}lock")


def record_of(path: str, metadata: Mapping[str, Any], seen_at: datetime) -> Record:
    """A record as a metadata answer shows it, or the metadata that comes with a version, which is then the only one."""
    try:
        custom = metadata["custom_metadata"] or {}
        if "versions" in metadata:
            current = int(metadata["current_version"])
            versions = {int(number): version for number, version in metadata["versions"].items()}
        else:
            current = int(metadata["version"])
            versions = {current: metadata}
        facts = Facts.parse(custom)
        return Record(
            path=path,
            seen_at=seen_at,
            facts=facts,
            current=current,
            versions=tuple(_version(number, versions[number]) for number in sorted(versions)),
            metadata_version=metadata.get("current_metadata_version"),
            max_versions=int(metadata.get("max_versions", 0)),
            delete_after_s=seconds(metadata.get("delete_version_after", "")),
            others=() if facts else tuple(sorted(custom.items())),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise Unsuitable(f"the metadata of {path} is not what KV v2 answers", hint="check VAULT_ADDR and the mount")


def _version(number: int, entry: Mapping[str, Any]) -> Version:
    deletion = entry["deletion_time"]
    return Version(
        number=number,
        created_at=time_of(entry["created_time"]),
        deletes_at=time_of(deletion) if deletion else None,
        destroyed=bool(entry["destroyed"]),
    )


def time_of(text: str) -> datetime:
    """Vault's timestamps have up to nine decimals, of which Python keeps six."""
    return datetime.fromisoformat(text)


_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION: Final = re.compile(r"([\d.]+)(h|ms|us|µs|ns|m|s)")


@cache
def seconds(duration: str) -> int:
    """Go's spelling of a duration, 90h1m0s, in whole seconds, rounded up; a negative one is Vault's word for never."""
    if duration.startswith("-"):
        return 0
    return math.ceil(sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(duration)))

"""Every record of a prefix, from metadata alone.

OpenBao tells a folder in one answer, Vault key by key. Must never take a refusal for an empty folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from registrar.errors import AccessDenied, Unsuitable
from registrar.model import Record
from registrar.ports import Folder
from registrar.vault.answers import Answer, NoSuchEndpoint
from registrar.vault.preflight import require_v2
from registrar.vault.records import LOCK_FOLDER, Place, record_of
from registrar.vault.session import Session

PAGE: Final = 500
"""Keys in one answer: each may carry 64 values of 512 bytes."""

_THREADS: Final = 8  # more do not help one Python process: reading and decoding hold its lock

_Entries = Mapping[str, Record | None]
"""The keys of one folder with their records; None for a folder, whose name ends in a slash."""


def everything(session: Session, place: Place) -> Folder:
    """Every record below the prefix; folders that are prefixes of their own are named and not entered."""
    entries: Callable[[Session, Place, str], _Entries | None] = _at_once
    records: list[Record] = []
    nested: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        found = entries(session, place, folder)
        if found is None:
            entries = _key_by_key
            found = _key_by_key(session, place, folder)
        if folder and LOCK_FOLDER in found:
            nested.append(folder.rstrip("/"))
            continue
        records += [record for record in found.values() if record]
        waiting += [folder + name for name, record in found.items() if record is None and name != LOCK_FOLDER]
    if not records:
        require_v2(session, place)  # KV v1 lists `metadata/…` as any other folder, and nothing is in it
    return Folder(tuple(sorted(records, key=lambda record: record.path)), tuple(sorted(nested)))


def _at_once(session: Session, place: Place, folder: str) -> _Entries | None:
    """A folder with its metadata, page by page; None where this server or our policy has no detailed-metadata.

    The next page is on its way while this one's records are made.
    """
    found: dict[str, Record | None] = {}
    after = ""

    def page(after: str) -> Answer:
        query: dict[str, str | int] = {"list": "true", "limit": PAGE}
        return session.get(place.at("detailed-metadata", folder), query | ({"after": after} if after else {}))

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(page, after)
        while True:
            try:
                answer = coming.result()
            except (NoSuchEndpoint, AccessDenied):
                return None
            if answer.nothing and not after:
                return None  # nothing is there, or not for this endpoint: `metadata` has the last word
            keys = _keys(answer)
            last = len(keys) < PAGE or keys[-1] == after
            if not last:
                after = keys[-1]
                coming = pool.submit(page, after)
            known, at = answer.data.get("key_info", {}), answer.at
            for key in keys:
                found[key] = None if key.endswith("/") else record_of(folder + key, known.get(key, {}), at)
            if last:
                return found


def _key_by_key(session: Session, place: Place, folder: str) -> _Entries:
    keys = _keys(session.get(place.at("metadata", folder), {"list": "true"}))
    found: dict[str, Record | None] = {key: None for key in keys if key.endswith("/")}
    if folder and LOCK_FOLDER in found:
        return found  # another prefix, whose records a policy may well keep from us
    leaves = [key for key in keys if not key.endswith("/")]
    with ThreadPoolExecutor(_THREADS) as pool:
        records = pool.map(lambda key: one(session, place.at("metadata", folder + key), folder + key), leaves)
        return found | dict(zip(leaves, records, strict=True))


def _keys(answer: Answer) -> list[str]:
    # a list of nothing that comes with a warning is a 200: KV v1 warns of `limit`
    if answer.nothing or (answer.body and answer.body.get("data") == {}):
        return []
    keys = answer.data.get("keys")
    if not isinstance(keys, list):
        raise Unsuitable("Vault's list of records has no keys", hint="check VAULT_ADDR and the mount")
    return keys


def one(session: Session, at: str, path: str) -> Record:
    """The record `path`, whose metadata is `at`; of the kind NONE where nothing is."""
    answer = session.get(at)
    return Record(path, answer.at) if answer.nothing else record_of(path, answer.data, answer.at)

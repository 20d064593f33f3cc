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

_PLACES: Final = 3
"""From so many places at once, so that one page is being made while another is read."""

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
    """A folder with its metadata; None where this server or our policy has no detailed-metadata.

    What is more than a page is read from several places at once: the server takes longer for a page than its records
    take to be made.
    """
    at = place.at("detailed-metadata", folder)
    try:
        first = _page(session, at)
    except (NoSuchEndpoint, AccessDenied):
        return None
    if first.nothing:
        return None  # nothing is there, or not for this endpoint: `metadata` has the last word
    found = _records(folder, first)
    if len(found) < PAGE:
        return found

    def walked(after: str, end: str) -> _Entries:
        """What follows a key, up to another one; where somebody has deleted that, up to the last."""
        part: dict[str, Record | None] = {}
        while True:
            page = _records(folder, _page(session, at, after))
            part |= page
            last = next(reversed(page), after)
            if len(page) < PAGE or end in page or last == after:
                return part
            after = last

    starts = _starts(session, place, folder, next(reversed(found)))
    with ThreadPoolExecutor(len(starts)) as pool:
        for part in pool.map(walked, starts, [*starts[1:], ""]):
            found |= part
    return found


def _page(session: Session, at: str, after: str = "") -> Answer:
    query: dict[str, str | int] = {"list": "true", "limit": PAGE}
    return session.get(at, query | ({"after": after} if after else {}))


def _records(folder: str, answer: Answer) -> dict[str, Record | None]:
    """One page, in its order."""
    known, at = answer.data.get("key_info", {}), answer.at
    return {
        key: None if key.endswith("/") else record_of(folder + key, known.get(key, {}), at) for key in _keys(answer)
    }


def _starts(session: Session, place: Place, folder: str, after: str) -> list[str]:
    """The keys to go on from at once, the one that was reached first; it alone where the names are not to be had."""
    try:
        names = _keys(session.get(place.at("metadata", folder), {"list": "true"}))
    except AccessDenied:
        return [after]
    rest = names[names.index(after) + 1 :] if after in names else []
    parts = max(min(_PLACES, len(rest) // PAGE), 1)
    return [after, *(rest[part * len(rest) // parts] for part in range(1, parts))]


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

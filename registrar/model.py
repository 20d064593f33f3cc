"""The nouns: what is wanted, what Nexus has, what Vault holds, and the two marks that tie them together.

Frozen values without behaviour beyond their own meaning. Must never do I/O and never decide what to do about a value.
"""

from __future__ import annotations

import enum
import hashlib
import re
import secrets
import string
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, unquote

from registrar.secret import Secret

FIELDS: Final = ("name", "redirect_uri", "base_url", "owner_email", "description")
"""The fields of an application that Nexus keeps, in the order they are shown."""

FACT_LIMIT_BYTES: Final = 512
"""Vault refuses a custom_metadata value that is empty or longer, and with it the whole write."""

PATH: Final = re.compile(r"(?=.{1,128}\Z)[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")
"""A Vault key under the target's prefix: lower-case words, since policies and humans confuse the rest."""


def same_name(name: str) -> str:
    """The form in which two names count as the same: NFKC, case-folded, trimmed."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def new_id() -> str:
    """A random id of 16 letters, for domains and runs."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


@dataclass(frozen=True, slots=True)
class Target:
    """One environment: which Nexus, which folder of which Vault, and how strict to be there."""

    name: str
    nexus_url: str  # origin and base path, without /api: what records remember as their server
    frontend_url: str
    vault_addr: str
    vault_mount: str = "secret"
    vault_prefix: str = "nexus"
    vault_namespace: str = ""
    set: str = ""
    production: bool = False
    allowed_hosts: tuple[str, ...] = ()

    def location(self, path: str) -> str:
        """Where a credential is, as `vault kv get` wants it."""
        return f"{self.vault_mount}/{self.vault_prefix}/{path}"


@dataclass(frozen=True, slots=True)
class Application:
    """An application as a manifest wants it on one target; None means that the field is not managed."""

    path: str
    name: str
    redirect_uri: str
    base_url: str | None = None
    owner_email: str | None = None
    description: str | None = None
    protected: bool = False
    source: str = ""  # file:line:column, for messages

    def declared(self) -> dict[str, str]:
        """The managed fields with their values."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Registered:
    """An application as Nexus has it; null and the empty string are one, as Nexus's own page writes either."""

    id: int
    client_id: str
    name: str
    redirect_uri: str
    base_url: str = ""
    owner_email: str = ""
    description: str = ""
    archived: bool = False

    @property
    def mark(self) -> Mark | None:
        """The mark of a registration in progress, if the description is one."""
        return Mark.parse(self.description)


@dataclass(frozen=True, slots=True)
class Credential:
    """What an application signs its users in with."""

    client_id: str
    client_secret: Secret


@dataclass(frozen=True, slots=True)
class Mark:
    """The description under which an application is registered: whose it is, until its credential is stored.

    One that Nexus refuses to delete, since it issued a token, is `abandoned` and archived, and still says whose it is.
    `set` and `grace_s`, what a rotation has promised the registration before, are for whoever has to finish it; without
    a set that is any run of its domain.
    """

    domain: str
    run: str
    path: str
    abandoned: bool = False
    grace_s: int | None = None
    set: str = ""

    def __str__(self) -> str:
        lasts = "" if self.grace_s is None else f", the one before lasts {self.grace_s} s"
        ending = _ABANDONED if self.abandoned else f"being registered{lasts}; if this stays: registrar recover"
        whose = f" of {quote(self.set, safe='')}" if self.set else ""
        return f"registrar/1 {self.domain} {self.run} {self.path}{whose} {ending}"

    @classmethod
    def parse(cls, description: str) -> Mark | None:
        """The mark that a description is, or None for any other text."""
        found = _MARK.fullmatch(description)
        if found is None:
            return None
        grace_s = int(found["grace"]) if found["grace"] else None
        abandoned = found["ending"] == _ABANDONED
        return cls(found["domain"], found["run"], found["path"], abandoned, grace_s, unquote(found["set"] or ""))


_ABANDONED: Final = "abandoned: its secret was never stored"
_MARK: Final = re.compile(
    r"registrar/1 (?P<domain>[a-z]{16}) (?P<run>[a-z]{16}) (?P<path>\S{1,128})(?: of (?P<set>\S{1,512}))? "
    r"(?P<ending>being registered(?:, the one before lasts (?P<grace>-?\d{1,9}) s)?; if this stays: registrar recover"
    rf"|{_ABANDONED})"
)


@dataclass(frozen=True, slots=True)
class Former:
    """The registration that a rotation left behind: its client id, the version with its credential, when it may go."""

    client_id: str
    version: int
    until: datetime

    def __str__(self) -> str:
        return f"{self.client_id} {self.version} {self.until.isoformat()}"

    @classmethod
    def parse(cls, text: str) -> Former:
        """Raises ValueError for any other text."""
        client_id, version, until = text.split(" ")
        return cls(client_id, int(version), _moment(until))


class State(enum.StrEnum):
    """What a record says of itself where the versions alone do not tell; the empty string is the ordinary state."""

    REGISTERED = ""
    EMPTY = "empty"
    ADOPTING = "adopting"
    RETIRED = "retired"


MANAGED_BY: Final = ("managed-by", "registrar")
_TEXTS: Final = (
    "set",
    "name",
    "nexus",
    "client_id",
    "redirect_uri",
    "base_url",
    "owner",
    "frontend",
    "domain",
    "fingerprint",
)
_TIMES: Final = ("registered_at", "rotated_at", "proven_at")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is public about a credential, kept as the record's custom_metadata; `version` is the data they describe.

    `others` are keys somebody else put there: kept, since writing custom_metadata replaces all of it.
    """

    client_id: str = ""
    version: int = 0
    set: str = ""
    name: str = ""
    nexus: str = ""
    redirect_uri: str = ""
    base_url: str = ""
    owner: str = ""
    frontend: str = ""
    domain: str = ""
    fingerprint: str = ""
    protected: bool = False
    registered_at: datetime | None = None
    rotated_at: datetime | None = None
    proven_at: datetime | None = None
    retiring: Former | None = None
    leaving: Former | None = None
    state: State = State.REGISTERED
    others: tuple[tuple[str, str], ...] = ()

    def metadata(self) -> dict[str, str]:
        """As custom_metadata; a fact without a value is left out, since Vault refuses an empty one."""
        known = {name: str(getattr(self, name)) for name in _TEXTS} | {
            "version": str(self.version),
            "state": self.state.value,
        }
        known |= {name: moment.isoformat() for name in _TIMES if (moment := getattr(self, name))}
        known |= {name: str(former) for name in ("retiring", "leaving") if (former := getattr(self, name))}
        known["protected"] = "true" if self.protected else ""
        spelt = {name.replace("_", "-"): value for name, value in known.items()}
        strangers = {key: value for key, value in self.others if key not in spelt}
        return strangers | dict([MANAGED_BY]) | {key: value for key, value in spelt.items() if value}

    @classmethod
    def parse(cls, metadata: Mapping[str, str] | None) -> Facts | None:
        """The facts of a record of ours, or None where the metadata is not ours.

        Facts that somebody garbled describe no version, so that the record is settled anew from what it holds.
        """
        if not metadata or metadata.get(MANAGED_BY[0]) != MANAGED_BY[1]:
            return None
        values: dict[str, Any] = {}
        others: list[tuple[str, str]] = []
        garbled = False
        for key, text in metadata.items():
            name = key.replace("-", "_")
            if name in _TEXTS:
                values[name] = text
            elif parse := _PARSED.get(name):
                try:
                    values |= {name: parse(text)} if text else {}
                except ValueError:
                    garbled = True
            elif key != MANAGED_BY[0]:
                others.append((key, text))
        if garbled:
            values["version"] = 0
        return cls(**values, others=tuple(sorted(others)))

    def unfit(self) -> list[str]:
        """The keys whose values Vault would refuse: longer than 512 bytes or not printable."""
        return [
            key
            for key, value in self.metadata().items()
            if len(value.encode()) > FACT_LIMIT_BYTES or not value.isprintable()
        ]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset cannot be compared")
    return moment


_PARSED: Final[Mapping[str, Callable[[str], Any]]] = {
    "version": int,
    "state": State,
    "protected": "true".__eq__,
    "registered_at": _moment,
    "rotated_at": _moment,
    "proven_at": _moment,
    "retiring": Former.parse,
    "leaving": Former.parse,
}


def fingerprint(application: Application) -> str:
    """Which fields are managed and a digest of each, so that facts alone tell what a manifest changed."""
    return " ".join(
        f"{name}:{hashlib.sha256(value.encode()).hexdigest()[:8]}"
        for name, value in sorted(application.declared().items())
    )


class Kind(enum.StrEnum):
    """What a record is, read from its metadata alone."""

    NONE = "none"
    FOREIGN = "foreign"
    EMPTY = "empty"
    WITHDRAWN = "withdrawn"
    UNSETTLED = "unsettled"
    SETTLED = "settled"


# The Date header has whole seconds, so a deletion of this very second may look as if it were still to come.
_DATE_GRAIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a record's data."""

    number: int
    created_at: datetime
    deletes_at: datetime | None = None
    destroyed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A Vault record as its metadata shows it; `seen_at` is the Date of that answer, the only clock it is judged by."""

    path: str
    seen_at: datetime
    facts: Facts | None = None
    current: int = 0
    versions: tuple[Version, ...] = ()
    metadata_version: int | None = None  # OpenBao's; sent back as metadata_cas
    max_versions: int = 0  # 0: the mount decides
    delete_after_s: int = 0
    others: tuple[tuple[str, str], ...] = field(default=())  # custom_metadata of a record that is not ours

    def version(self, number: int) -> Version | None:
        """That version, unless it never was or has been evicted."""
        for version in self.versions:
            if version.number == number:
                return version
        return None

    def deleted(self, number: int) -> bool:
        """Whether that version is deleted or destroyed by the time of this answer."""
        version = self.version(number)
        if version is None or version.destroyed:
            return version is not None
        return version.deletes_at is not None and version.deletes_at < self.seen_at + _DATE_GRAIN

    @property
    def made_at(self) -> datetime | None:
        """When the credential that the facts describe was registered or rotated, by Vault's clock."""
        version = self.version(self.base.version)
        return self.base.rotated_at or self.base.registered_at or (version.created_at if version else None)

    @property
    def age(self) -> timedelta:
        """How old that credential is, by Vault's clock; without a time it is older than anything."""
        # the Date header has whole seconds, so that what was made just now seems to come
        return max(self.seen_at - self.made_at, timedelta(0)) if self.made_at else timedelta.max

    @property
    def base(self) -> Facts:
        """The facts, or where there are none somebody's own keys to be kept beside them."""
        return self.facts or Facts(others=self.others)

    @property
    def living(self) -> bool:
        """Whether the current version can be read."""
        return self.current > 0 and not self.deleted(self.current)

    @property
    def kind(self) -> Kind:
        """What this record is, in the order in which the meanings exclude each other."""
        facts = self.facts
        if facts is None:
            return Kind.FOREIGN if self.current else Kind.NONE
        if self.living:
            return Kind.SETTLED if facts.version == self.current and facts.client_id else Kind.UNSETTLED
        if facts.state is State.EMPTY and facts.version >= self.current:
            return Kind.EMPTY
        return Kind.WITHDRAWN if self.current else Kind.UNSETTLED

    @property
    def held(self) -> bool:
        """Whether it is more than a name: there is data, be it withdrawn."""
        return self.kind not in (Kind.NONE, Kind.EMPTY)

    @property
    def overtaken(self) -> bool:
        """Withdrawn, though the version that the facts describe is not: a late write hides what was done since."""
        facts = self.base
        described = self.version(facts.version)
        withdrawn = self.kind is Kind.WITHDRAWN and facts.state is not State.RETIRED
        return withdrawn and described is not None and not self.deleted(described.number)

    @property
    def late_fence(self) -> bool:
        """Withdrawn, and the facts say empty of an older version: those of a fence came late, over a newer one's."""
        return self.kind is Kind.WITHDRAWN and self.base.state is State.EMPTY


@dataclass(frozen=True, slots=True)
class Lock:
    """The run lock of a prefix as it was read: `version` is what the next write has to name; no run: released."""

    version: int
    domain: str = ""
    run: str = ""
    holder: str = ""
    lease_s: int = 30

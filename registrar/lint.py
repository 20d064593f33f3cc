"""The rules for manifests and registrations: each has an id, a level, a reason and what to do about it.

`RULES` is the table that help is printed from, `check()` runs the rules over the applications of one target. Pure: must
never read a file or resolve a host, and never change a value, since Nexus and Vault compare strings byte for byte.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from registrar.model import FACT_LIMIT_BYTES, Application, Target, same_name
from registrar.uri import Uri, address_faults, incomplete, unfit_scheme, unsafe, userinfo


class Level(enum.StrEnum):
    """Whether a finding stops a run."""

    ERROR = "error"
    WARNING = "warning"


class Place(NamedTuple):
    """Where something is written; lines and columns count from 1, as editors do."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    rule: str
    level: Level
    message: str
    file: str
    line: int
    column: int
    application: str = ""
    hint: str = ""

    @property
    def place(self) -> Place:
        """Where it is; findings are sorted by it."""
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Entry:
    """An application and the places of its values; the place of "" is that of the whole entry."""

    application: Application
    places: Mapping[str, Place] = field(default_factory=dict)

    def place(self, name: str) -> Place:
        """Where that field's value is written, or the entry that lacks it."""
        return self.places.get(name) or self.places.get("", Place())


def quoted(text: str) -> str:
    """A foreign text as messages show it: too short to give a pasted secret away, and without control characters."""
    short = text if len(text) < 40 else text[:12] + "…"
    return f"`{short}`" if short.isprintable() else f"`{ascii(short)[1:-1]}`"


class Breach(NamedTuple):
    """How an application breaks a rule; `level` and `field` where they are not those of the rule."""

    message: str
    level: Level | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The applications of a target by what has to be unique among them; the first one written has the right to it."""

    names: Mapping[str, Entry]
    paths: Mapping[str, Entry]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Neighbours:
        """Index the applications of one target."""
        backwards = entries[::-1]
        names = {same_name(entry.application.name): entry for entry in backwards}
        return cls(names, {entry.application.path: entry for entry in backwards})


class Case(NamedTuple):
    """One application before the rules."""

    entry: Entry
    application: Application
    redirect: Uri
    target: Target
    neighbours: Neighbours


Check = Callable[[Case], Iterable[Breach]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its reason; `field` is the one it judges, and reading a file checks what has no `check`."""

    id: str
    level: Level
    title: str
    reason: str
    fix: str
    source: str = ""
    field: str = ""
    check: Check | None = None

    def finding(self, breach: Breach, entry: Entry) -> Finding:
        """That this application breaks this rule."""
        place = entry.place(self.field if breach.field is None else breach.field)
        return Finding(
            self.id, breach.level or self.level, breach.message, *place, entry.application.name, hint=self.fix
        )


RULES: Final[dict[str, Rule]] = {}
"""Every rule by its id, in the order in which help lists them."""


def _rule(
    id: str,  # noqa: A002 - it is what every reader of a finding calls it
    title: str,
    *,
    reason: str,
    fix: str,
    source: str = "",
    field: str = "",
    level: Level = Level.ERROR,
) -> Callable[[Check], Check]:
    """Enter a check into the table, together with what is said about it."""

    def enter(check: Check) -> Check:
        RULES[id] = Rule(id, level, title, reason, fix, source, field, check)
        return check

    return enter


def check(entries: Sequence[Entry], target: Target) -> tuple[Finding, ...]:
    """Every finding about these applications as the whole of this target, by place."""
    neighbours = Neighbours.of(entries)
    return ordered(finding for entry in entries for finding in _judged(entry, neighbours, target))


def judged(entry: Entry, neighbours: Neighbours, target: Target) -> tuple[Finding, ...]:
    """Every finding about one application among these neighbours, of which it is one itself."""
    return ordered(_judged(entry, neighbours, target))


def _judged(entry: Entry, neighbours: Neighbours, target: Target) -> Iterator[Finding]:
    case = Case(entry, entry.application, Uri.parse(entry.application.redirect_uri), target, neighbours)
    for rule in RULES.values():
        if rule.check:
            for breach in rule.check(case):
                yield rule.finding(breach, entry)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings as they are shown: by file, line and column."""
    return tuple(sorted(findings, key=lambda finding: (finding.place, finding.rule, finding.message)))


def _redirect(fault: str) -> Iterator[Breach]:
    if fault:
        yield Breach(f"the redirect URI {fault}")


@_rule(
    "RU001",
    "The redirect URI is absolute, with scheme and host",
    reason="Nexus stores any text; a browser sent to a relative one comes back to Nexus itself, with the code.",
    fix="write it out, as in https://viewer.example.org/oauth/callback",
    source="RFC 6749 §3.1.2",
    field="redirect_uri",
)
def _ru001(case: Case) -> Iterator[Breach]:
    return _redirect(incomplete(case.redirect))


@_rule(
    "RU002",
    "The redirect URI has no fragment, not even a trailing #",
    reason="What follows the # never reaches the server, and the code is appended behind it.",
    fix="remove the # and what follows",
    source="RFC 6749 §3.1.2",
    field="redirect_uri",
)
def _ru002(case: Case) -> Iterator[Breach]:
    return _redirect("has a fragment" if "#" in case.redirect.text else "")


@_rule(
    "RU003",
    "The redirect URI is https, or http on loopback",
    reason="The code is sent in the URL: over http everybody on the way can read it, other schemes can run it.",
    fix="use https; http only for localhost, 127.0.0.0/8 and [::1]",
    source="RFC 9700 §2.6, RFC 7591 §5",
    field="redirect_uri",
)
def _ru003(case: Case) -> Iterator[Breach]:
    return _redirect(unfit_scheme(case.redirect))


@_rule(
    "RU004",
    "The redirect URI has no user information",
    reason="https://localhost@evil.example goes to evil.example, whatever a reviewer believes to read.",
    fix="remove everything between // and @",
    field="redirect_uri",
)
def _ru004(case: Case) -> Iterator[Breach]:
    return _redirect(userinfo(case.redirect))


@_rule(
    "RU005",
    "The redirect URI has no wildcard and no placeholder",
    reason="Nexus compares byte for byte, so a pattern never matches; where one would, it lets attackers choose.",
    fix="write one exact URI; use `targets` for those of other environments",
    source="RFC 9700 §4.1.3",
    field="redirect_uri",
)
def _ru005(case: Case) -> Iterator[Breach]:
    return _redirect("has a wildcard or a placeholder" if re.search(r"[*{}]", case.redirect.text) else "")


@_rule(
    "RU006",
    "The redirect URI has only characters and segments that every parser reads alike",
    reason="Browsers, proxies and servers disagree about the rest, and the code goes where one of them thinks best.",
    fix="write the plain URI that the application itself sends",
    field="redirect_uri",
)
def _ru006(case: Case) -> Iterator[Breach]:
    return _redirect(unsafe(case.redirect))


@_rule(
    "BU001",
    "base_url is absolute https (http on loopback), without query, fragment and user information",
    reason="Nexus shows it to users as the application's address.",
    fix="write the address of the application, as in https://viewer.example.org",
    source="RFC 7591 §2 (client_uri)",
    field="base_url",
)
def _bu001(case: Case) -> Iterator[Breach]:
    if case.application.base_url:
        for fault in address_faults(Uri.parse(case.application.base_url)):
            yield Breach(f"base_url {fault}")


def _units(text: str) -> int:
    """The length of a text as Nexus counts it: .NET strings are UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@_rule(
    "AP001",
    "The name has 1 to 50 characters and is unique on its target",
    reason="Nexus accepts two applications of one name, which nobody could tell apart on its consent page.",
    fix="give each application a name of its own, of at most 50 characters",
    source="length limit of newer Nexus servers",
    field="name",
)
def _ap001(case: Case) -> Iterator[Breach]:
    key = same_name(case.application.name)
    if not key:
        yield Breach("the name is empty")
        return
    if _units(case.application.name) > 50:
        yield Breach(f"the name has {_units(case.application.name)} characters, 50 at most are allowed")
    first = case.neighbours.names[key]
    if first is not case.entry:
        yield Breach(f"the name is taken by the application at {first.place('name')}")


@_rule(
    "AP002",
    "The description has 250 characters at most",
    reason="Newer Nexus servers refuse a longer one.",
    fix="shorten the description",
    source="length limit of newer Nexus servers",
    field="description",
)
def _ap002(case: Case) -> Iterator[Breach]:
    length = _units(case.application.description or "")
    if length > 250:
        yield Breach(f"the description has {length} characters, 250 at most are allowed")


PATH: Final = re.compile(r"(?=.{1,128}\Z)[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*")
"""A Vault key under the target's prefix: lower-case words, since policies and humans confuse the rest."""


@_rule(
    "AP003",
    "The path is a-z, 0-9, - and /, 1 to 128 characters, unique, and not inside another one",
    reason="It is the application's identity and its key in Vault, where a key that is also a folder hides records.",
    fix="set `path`, as in `path: viewer` or `path: plant/viewer`",
    source="Vault KV v2",
    field="path",
)
def _ap003(case: Case) -> Iterator[Breach]:
    path = case.application.path
    if not path:
        if case.application.name:
            yield Breach("the name has no letters or digits to make a path of")
        return
    if not PATH.fullmatch(path):
        yield Breach("the path is not made of a-z, 0-9, - and /, or longer than 128 characters")
        return
    first = case.neighbours.paths[path]
    if first is not case.entry:
        yield Breach(f"the path is taken by the application at {first.place('path')}")
    parents = (path[: slash.start()] for slash in re.finditer("/", path))
    if outer := next((case.neighbours.paths[parent] for parent in parents if parent in case.neighbours.paths), None):
        yield Breach(f"the path lies inside that of the application at {outer.place('path')}")


_EMAIL: Final = re.compile(
    r"[^\s@<>()\[\],;:\\\"]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])"
)


@_rule(
    "AP004",
    "owner_email is an address",
    reason="Whoever rotates or retires the application has to tell somebody.",
    fix="set owner_email to the address of the team, as in twin-team@example.org",
    field="owner_email",
)
def _ap004(case: Case) -> Iterator[Breach]:
    if not case.application.owner_email:
        yield Breach("there is no owner_email", Level.WARNING)
    elif not _EMAIL.fullmatch(case.application.owner_email):
        yield Breach("owner_email is not an e-mail address")


@_rule(
    "AP006",
    "The description does not begin with registrar/",
    reason="That is the mark of a registration in progress: the next run would take the application for a wreck.",
    fix="begin the description with another word",
    field="description",
)
def _ap006(case: Case) -> Iterator[Breach]:
    if (case.application.description or "").lstrip().lower().startswith("registrar/"):
        yield Breach("the description begins like the mark of a registration in progress")


_FACTS: Final = ("name", "redirect_uri", "base_url", "owner_email")


@_rule(
    "AP007",
    "Every value that is kept as a fact has at most 512 bytes and is printable",
    reason="Vault refuses other custom_metadata, and with it the whole record.",
    fix="shorten the value, and leave out line breaks and control characters",
    source="Vault custom_metadata",
)
def _ap007(case: Case) -> Iterator[Breach]:
    for name in _FACTS:
        value: str = getattr(case.application, name) or ""
        if not value.isprintable():
            yield Breach(f"{name} has characters that cannot be printed", field=name)
        elif len(value.encode()) > FACT_LIMIT_BYTES:
            yield Breach(f"{name} has {len(value.encode())} bytes, {FACT_LIMIT_BYTES} at most are allowed", field=name)


RULES["MF001"] = Rule(
    "MF001",
    Level.ERROR,
    "The file is YAML that means one thing",
    reason="An unknown key, a key written twice or a number for a name is a typo that would silently change a plan.",
    fix="see `registrar schema`",
)

RULES["MF002"] = Rule(
    "MF002",
    Level.ERROR,
    "Nothing looks like a secret; inside a URL this is a warning",
    reason="Manifests are in git, and git never forgets.",
    fix="remove it, and revoke it, since it has been seen; credentials belong in Vault",
)

"""What a rule is, what it is given, and how a check becomes one.

Must never know a single rule: those are in the modules beside this one, each in one place with what is said about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from registrar.lint.finding import Entry, Finding, Level
from registrar.lint.lookalikes import skeleton
from registrar.model import Application, Target, same_name
from registrar.uri import Uri


class Breach(NamedTuple):
    """How an application breaks a rule; `level` and `field` where they are not those of the rule."""

    message: str
    level: Level | None = None
    field: str | None = None


class Keys(NamedTuple):
    """What an application is found by among its neighbours, in the order of their indexes."""

    name: str
    path: str
    redirect: str
    look: str

    @classmethod
    def of(cls, application: Application) -> Keys:
        """Those of this application."""
        name = application.name
        return cls(same_name(name), application.path, receiver(application.redirect_uri), skeleton(name))


class Neighbours(NamedTuple):
    """The applications of a target by what has to be unique among them; the first one written has the right to it."""

    names: Mapping[str, Entry]
    paths: Mapping[str, Entry]
    redirects: Mapping[str, Entry]
    looks: Mapping[str, Entry]

    @classmethod
    def of(cls, entries: Iterable[tuple[Entry, Keys]]) -> Neighbours:
        """Index the applications of one target."""
        names: dict[str, Entry] = {}
        paths: dict[str, Entry] = {}
        redirects: dict[str, Entry] = {}
        looks: dict[str, Entry] = {}
        for entry, keys in entries:
            names.setdefault(keys.name, entry)
            paths.setdefault(keys.path, entry)
            redirects.setdefault(keys.redirect, entry)
            looks.setdefault(keys.look, entry)
        return cls(names, paths, redirects, looks)


def receiver(redirect_uri: str) -> str:
    """The form in which two redirect URIs send a code to the same place; the case of a host's letters is none."""
    scheme, separator, rest = redirect_uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower().removesuffix(':443')}{slash}{path}"


class Case(NamedTuple):
    """One application before the rules."""

    entry: Entry
    keys: Keys
    application: Application
    redirect: Uri
    base: Uri  # of the empty text where there is none
    target: Target
    neighbours: Neighbours

    @classmethod
    def of(cls, entry: Entry, keys: Keys, target: Target, neighbours: Neighbours) -> Case:
        """This entry before the rules of this target."""
        application = entry.application
        redirect, base = Uri.parse(application.redirect_uri), Uri.parse(application.base_url or "")
        return cls(entry, keys, application, redirect, base, target, neighbours)


Check = Callable[[Case], Iterable[Breach]]
Fault = Callable[[Case], str]
"""Words that follow "the redirect URI", empty where all is well."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its reason; `field` is the one it judges. Without `check` and `fault`, reading checks it."""

    id: str
    level: Level
    title: str
    reason: str
    fix: str
    source: str
    field: str = ""
    check: Check | None = None
    otherwise: str = ""  # where the level is the other one, in words that follow "a warning" or "an error"
    fault: Fault | None = None

    @property
    def waivable(self) -> bool:
        """Whether a waiver can silence it: a warning, wherever it is one."""
        return self.level is Level.WARNING or bool(self.otherwise)

    def finding(self, breach: Breach, entry: Entry) -> Finding:
        """That this application breaks this rule."""
        place = entry.place(self.field if breach.field is None else breach.field)
        return Finding(
            self.id, breach.level or self.level, breach.message, *place, entry.application.name, hint=self.fix
        )

    def waived(self, breach: Breach, entry: Entry) -> bool:
        """Whether the manifest silences this breach; an error cannot be silenced."""
        level = breach.level or self.level
        if level is Level.ERROR or not entry.waived:
            return False
        return self.id in entry.waivers(self.field if breach.field is None else breach.field)


ENTERED: Final[dict[str, Rule]] = {}
"""The rules as the modules beside this one enter them."""


def rule(
    id: str,  # noqa: A002 - it is what every reader of a finding calls it
    title: str,
    *,
    reason: str,
    fix: str,
    source: str,
    field: str = "",
    level: Level = Level.ERROR,
    otherwise: str = "",
) -> Callable[[Check], Check]:
    """Enter a check into the table, together with what is said about it."""

    def enter(check: Check) -> Check:
        ENTERED[id] = Rule(id, level, title, reason, fix, source, field, check, otherwise)
        return check

    return enter


def redirect_rule(
    id: str,  # noqa: A002 - it is what every reader of a finding calls it
    title: str,
    *,
    reason: str,
    fix: str,
    source: str,
    level: Level = Level.ERROR,
) -> Callable[[Fault], Fault]:
    """Enter a check that tells what is wrong with the redirect URI."""

    def enter(fault: Fault) -> Fault:
        ENTERED[id] = Rule(id, level, title, reason, fix, source, "redirect_uri", fault=fault)
        return fault

    return enter

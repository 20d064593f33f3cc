"""What was observed: everything a plan rests on, and how its parts belong together.

Pure: who explains an application, whose a mark is, who is a stranger. Must never decide what is to be done.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from registrar.errors import UsageError
from registrar.model import (
    Application,
    Facts,
    Former,
    Kind,
    Lock,
    Mark,
    Record,
    Registered,
    State,
    Target,
    fingerprint,
    same_name,
)


@dataclass(frozen=True)
class World:
    """Everything a plan rests on: the manifests' applications, Nexus's list (None: not asked), Vault's records."""

    target: Target
    desired: tuple[Application, ...]
    registered: tuple[Registered, ...] | None
    records: tuple[Record, ...]
    lock: Lock | None = None
    nested: tuple[str, ...] = ()

    @cached_property
    def by_path(self) -> dict[str, Record]:
        return {record.path: record for record in self.records}

    @cached_property
    def by_client(self) -> dict[str, Registered]:
        return {registered.client_id: registered for registered in self.registered or ()}

    @cached_property
    def wanted(self) -> dict[str, Application]:
        return {application.path: application for application in self.desired}

    @cached_property
    def domain(self) -> str:
        """Whose marks are ours: the lock's, else what the records remember of a lock that was lost."""
        if self.lock and self.lock.domain:
            return self.lock.domain
        return next((r.facts.domain for r in self.records if r.facts and r.facts.domain), "")

    @cached_property
    def marked(self) -> dict[str, tuple[Registered, ...]]:
        """Applications with a mark that is ours to recover, by path; an abandoned one is done once archived."""
        found: defaultdict[str, list[Registered]] = defaultdict(list)
        for registered, mark in self._half_made:
            if mark.set in ("", self.target.set):
                found[mark.path].append(registered)
        return {path: tuple(group) for path, group in found.items()}

    @cached_property
    def _half_made(self) -> tuple[tuple[Registered, Mark], ...]:
        """Applications with a mark of our domain, of whatever set."""
        marks = ((registered, registered.mark) for registered in self.registered or ())
        return tuple(
            (registered, mark)
            for registered, mark in marks
            if mark and self.domain and mark.domain == self.domain and not (mark.abandoned and registered.archived)
        )

    @cached_property
    def explained(self) -> dict[str, tuple[str, ...]]:
        """The paths of the records that name a client id as theirs, current or left behind by a rotation."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for record in self.records:
            if record.facts and record.kind is not Kind.EMPTY:
                for client_id in {record.facts.client_id, *(former.client_id for former in formers(record.facts))}:
                    found[client_id].append(record.path)
        return {client_id: tuple(paths) for client_id, paths in found.items()}

    @cached_property
    def strangers(self) -> dict[str, tuple[Registered, ...]]:
        """Living applications that no record explains and no mark of ours names, by their name."""
        known = self.explained.keys() | {registered.client_id for registered, _ in self._half_made}
        found: defaultdict[str, list[Registered]] = defaultdict(list)
        for registered in self.registered or ():
            if not registered.archived and registered.client_id not in known:
                found[same_name(registered.name)].append(registered)
        return {name: tuple(group) for name, group in found.items()}

    @cached_property
    def undeclared(self) -> dict[str, tuple[str, str]]:
        """Records of our set that no manifest declares: by redirect URI or name, their path and which of them it is."""
        found: dict[str, tuple[str, str]] = {}
        for record in self.records:
            facts = record.facts
            if not facts or facts.set != self.target.set or record.path in self.wanted:
                continue
            if record.kind is not Kind.EMPTY and facts.state is not State.RETIRED:
                found.setdefault(same_name(facts.name), (record.path, "name"))
                found.setdefault(facts.redirect_uri, (record.path, "redirect URI"))
        return found

    @cached_property
    def managed(self) -> int:
        """How many applications of our set have a credential: what a share of breaking steps is a share of."""
        return sum(1 for r in self.records if r.facts and r.facts.set == self.target.set and r.kind is not Kind.EMPTY)

    @cached_property
    def in_use(self) -> dict[str, Record]:
        """Records of our set with a credential that clients sign in with, neither retired nor in doubt, by path."""
        return {
            record.path: record
            for record in self.records
            if record.kind is Kind.SETTLED
            and record.base.set == self.target.set
            and record.base.state is State.REGISTERED
        }

    def older(self, path: str, than: timedelta) -> bool:
        """Whether the credential at a path is as old: what `rotate --older-than` renews and `status` reports."""
        record = self.by_path.get(path)
        return record is None or record.facts is None or record.age >= than

    def select(self, names: Sequence[str]) -> frozenset[str]:
        """The paths that these paths or names mean, a path before a name; UsageError for one that nothing has."""
        paths = self.wanted.keys() | self.by_path.keys() | self.marked.keys()
        by_name: defaultdict[str, set[str]] = defaultdict(set)
        for record in self.records:
            if record.facts and record.facts.name:
                by_name[same_name(record.facts.name)].add(record.path)
        for application in self.desired:
            by_name[same_name(application.name)].add(application.path)
        found: set[str] = set()
        for name in names:
            meant = {name} if name in paths else by_name.get(same_name(name))
            if not meant:
                near = difflib.get_close_matches(name, [*paths, *by_name], n=1)
                hint = f"did you mean {near[0]!r}?" if near else "registrar status"
                raise UsageError(f"no application is called {name!r}", hint=hint)
            found |= meant
        return frozenset(found)


def formers(facts: Facts) -> tuple[Former, ...]:
    """The registrations that a rotation left behind."""
    return tuple(filter(None, (facts.retiring, facts.leaving)))


def described(base: Facts, application: Application, target: Target, domain: str) -> Facts:
    """The facts of `base` brought up to what the manifest declares: itself where it is."""
    declared: dict[str, Any] = {
        "set": target.set,
        "name": application.name,
        "nexus": target.nexus_url,
        "redirect_uri": application.redirect_uri,
        "base_url": application.base_url or "",
        "owner": application.owner_email or "",
        "frontend": target.frontend_url,
        "domain": domain,
        "fingerprint": fingerprint(application),
        "protected": application.protected,
    }
    if all(getattr(base, name) == value for name, value in declared.items()):
        return base
    return dataclasses.replace(base, **declared)

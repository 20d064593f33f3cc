"""The rules for manifests and registrations: each has an id, a level, a reason and what to do about it.

`RULES` is the table that help is printed from, `check()` runs the rules over the applications of one target. Pure: must
never read a manifest or resolve a host, and never change a value, since Nexus and Vault compare strings byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from registrar.lint import applications, files, hosts, redirects  # noqa: F401 (importing them enters their rules)
from registrar.lint.finding import Entry, Finding, Level, Place, ordered
from registrar.lint.rule import ENTERED, Breach, Case, Keys, Neighbours, Rule
from registrar.model import Target

__all__ = [
    "RULES",
    "Breach",
    "Entry",
    "Finding",
    "Keys",
    "Level",
    "Neighbours",
    "Place",
    "Rule",
    "Sifted",
    "check",
    "judged",
    "ordered",
    "sifted",
]

_ORDER: Final = ("RU", "BU", "AP", "MF")

RULES: Final[dict[str, Rule]] = dict(sorted(ENTERED.items(), key=lambda item: (_ORDER.index(item[0][:2]), item[0])))
"""Every rule by its id, in the order in which help lists them."""


_CHECKS: Final = tuple((rule, rule.check) for rule in RULES.values() if rule.check)
_FAULTS: Final = tuple((rule, rule.fault) for rule in RULES.values() if rule.fault)


class Sifted(NamedTuple):
    """What the rules say, and what they would say were it not waived."""

    findings: tuple[Finding, ...]
    waived: tuple[Finding, ...]


def check(entries: Sequence[Entry], target: Target) -> tuple[Finding, ...]:
    """Every finding about these applications as the whole of this target, by place."""
    return sifted(entries, target).findings


def sifted(entries: Sequence[Entry], target: Target) -> Sifted:
    """Every finding about these applications as the whole of this target, the waived ones apart."""
    keyed = [(entry, Keys.of(entry.application)) for entry in entries]
    found = list(_judged(keyed, Neighbours.of(keyed), target))
    return Sifted(*(ordered(finding for finding, waived in found if waived is kind) for kind in (False, True)))


def judged(entry: Entry, neighbours: Neighbours, target: Target) -> tuple[Finding, ...]:
    """Every finding about one application among these neighbours, of which it is one itself."""
    found = _judged([(entry, Keys.of(entry.application))], neighbours, target)
    return ordered(finding for finding, waived in found if not waived)


def _judged(
    keyed: Iterable[tuple[Entry, Keys]], neighbours: Neighbours, target: Target
) -> Iterator[tuple[Finding, bool]]:
    cases = [Case.of(entry, keys, target, neighbours) for entry, keys in keyed]
    # One rule after the other: Python's interpreter is twice as fast at one check of all as at all checks of one.
    for rule, fault in _FAULTS:
        for case in cases:
            if words := fault(case):
                breach = Breach(f"the redirect URI {words}")
                yield rule.finding(breach, case.entry), rule.waived(breach, case.entry)
    for rule, check in _CHECKS:
        for case in cases:
            for breach in check(case):
                yield rule.finding(breach, case.entry), rule.waived(breach, case.entry)

"""The rules for an application's own values, and for what has to be unique among those of a target.

Must never judge a redirect URI: that is in `redirects` and `hosts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from registrar.lint.finding import Level
from registrar.lint.rule import Breach, Case, rule
from registrar.model import FACT_LIMIT_BYTES, PATH, same_name
from registrar.uri import address_faults


@rule(
    "BU001",
    "base_url is absolute https (http on loopback), without query, fragment and user information",
    reason="Nexus shows it to users as the application's address.",
    fix="write the address of the application, as in https://viewer.example.org",
    source="RFC 7591 §2 (client_uri)",
    field="base_url",
)
def _bu001(case: Case) -> Iterator[Breach]:
    if case.application.base_url:
        for fault in address_faults(case.base):
            yield Breach(f"base_url {fault}")


def _units(text: str) -> int:
    """The length of a text as Nexus counts it: .NET strings are UTF-16."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


@rule(
    "AP001",
    "The name has 1 to 50 characters and is unique on its target",
    reason="Nexus accepts two applications of one name, which nobody could tell apart on its consent page.",
    fix="give each application a name of its own, of at most 50 characters",
    source="length limit of newer Nexus servers",
    field="name",
)
def _ap001(case: Case) -> Iterator[Breach]:
    if not case.keys.name:
        yield Breach("the name is empty")
        return
    if _units(case.application.name) > 50:
        yield Breach(f"the name has {_units(case.application.name)} characters, 50 at most are allowed")
    first = case.neighbours.names[case.keys.name]
    if first is not case.entry:
        yield Breach(f"the name is taken by the application at {first.place('name')}")


@rule(
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


_SLASH: Final = re.compile("/")


@rule(
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
    for slash in _SLASH.finditer(path):
        if outer := case.neighbours.paths.get(path[: slash.start()]):
            yield Breach(f"the path lies inside that of the application at {outer.place('path')}")
            return


_EMAIL: Final = re.compile(
    r"[^\s@<>()\[\],;:\\\"]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])"
)


@rule(
    "AP004",
    "owner_email is an address",
    reason="Whoever rotates or retires the application has to tell somebody.",
    fix="set owner_email to the address of the team, as in twin-team@example.org",
    source="NIST SP 800-53 CM-8(4)",
    field="owner_email",
    otherwise="where there is none",
)
def _ap004(case: Case) -> Iterator[Breach]:
    if not case.application.owner_email:
        yield Breach("there is no owner_email", Level.WARNING)
    elif not _EMAIL.fullmatch(case.application.owner_email):
        yield Breach("owner_email is not an e-mail address")


@rule(
    "AP005",
    "The name does not look like another one",
    reason="Users agree to what they read on the consent page: a Cyrillic letter in a known name asks in its name.",
    fix="give it a name that differs in words, not in the shape of a letter",
    source="RFC 7591 §5, Unicode UTS #39",
    field="name",
    level=Level.WARNING,
)
def _ap005(case: Case) -> Iterator[Breach]:
    first = case.neighbours.looks[case.keys.look]
    if case.keys.look and first is not case.entry and same_name(first.application.name) != case.keys.name:
        yield Breach(f"the name looks like that of the application at {first.place('name')}")


@rule(
    "AP006",
    "The description does not begin with registrar/",
    reason="That is the mark of a registration in progress: the next run would take the application for a wreck.",
    fix="begin the description with another word",
    source="registrar: its own mark",
    field="description",
)
def _ap006(case: Case) -> Iterator[Breach]:
    if (case.application.description or "").lstrip().lower().startswith("registrar/"):
        yield Breach("the description begins like the mark of a registration in progress")


_FACTS: Final = ("name", "redirect_uri", "base_url", "owner_email")


@rule(
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
        elif name != "redirect_uri" and len(value.encode()) > FACT_LIMIT_BYTES:
            yield Breach(f"{name} has {len(value.encode())} bytes, {FACT_LIMIT_BYTES} at most are allowed", field=name)

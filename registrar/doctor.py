"""What the doctor finds: one check a line, how it stands, and what mends it.

Owns the form of a check and the judgements that both services share, and what all of it means for the commands. Pure:
each service looks at itself, in its own `survey`, and tells what it finds in these words.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from registrar.errors import AccessDenied, RegistrarError
from registrar.policy import Role
from registrar.tls import Seen
from registrar.uri import Uri

CLOCK_S: Final = 5
"""How far apart clocks may be: `Date` has whole seconds, and an answer takes its time."""

CERTIFICATE_DAYS: Final = 14
SHORT_S: Final = 600
"""A token that lives no longer than this may end before its owner has done what they came for."""

Look = Callable[[], Seen | None]
"""A handshake of its own; None where there is nothing to see, or a proxy in between."""


class State(enum.StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `id` names it, `hint` mends what is not well."""

    subject: str
    id: str
    state: State
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The checks of one subject, in the words of whoever looks at it."""

    name: str

    def well(self, id: str, text: str) -> Check:  # noqa: A002 (a check's own word)
        return Check(self.name, id, State.OK, text)

    def warning(self, id: str, text: str, hint: str) -> Check:  # noqa: A002
        return Check(self.name, id, State.WARNING, text, hint)

    def failed(self, id: str, text: str, hint: str) -> Check:  # noqa: A002
        return Check(self.name, id, State.FAILED, text, hint)

    def raised(self, id: str, error: RegistrarError) -> Check:  # noqa: A002
        return self.failed(id, error.message, error.hint)

    def in_turn(self, looks: Iterable[tuple[str, Callable[[], Iterable[Check]]]]) -> Iterator[Check]:
        """The checks of each look up to the first that fails: what follows rests on it, and is left out."""
        for id, look in looks:  # noqa: A001 (a check's own word)
            try:
                for check in look():
                    yield check
                    if check.state is State.FAILED:
                        return
            except RegistrarError as error:
                yield self.raised(id, error)
                return

    def certificate(self, url: str, look: Look) -> Iterator[Check]:
        """How the connection is secured; nothing on loopback, or where a proxy keeps it from being seen."""
        if url.startswith("http:"):
            if not Uri.parse(url).loopback:
                yield self.warning("tls", "the connection is not encrypted: anybody on the way reads along", _HTTPS)
            return
        seen = look()
        if seen is None:
            return
        if seen.days is None:
            unset = f"unset {self.name.upper()}_SKIP_VERIFY, and name its authority in {self.name.upper()}_CACERT"
            yield self.warning("tls", f"{seen.protocol}, and the certificate is not checked", unset)
            return
        text = f"{seen.protocol}, certificate by {seen.issuer or 'nobody named'}, {counted(seen.days, 'day')} left"
        if seen.days < CERTIFICATE_DAYS:
            yield self.warning("tls", text, "have the server's certificate renewed")
        else:
            yield self.well("tls", text)

    def clock(self, date: str, now: datetime, *, affects: str) -> Iterator[Check]:
        """The server's clock against ours; nothing where its answer has no date."""
        try:
            ahead_s = round((parsedate_to_datetime(date) - now).total_seconds())
        except (TypeError, ValueError):
            return
        if abs(ahead_s) < CLOCK_S:
            yield self.well("clock", "agrees with this machine's")
            return
        way = "ahead of" if ahead_s > 0 else "behind"
        text = f"{abs(ahead_s)} s {way} this machine's, {affects}"
        yield self.warning("clock", text, "set both clocks by NTP (here: timedatectl)")


_HTTPS: Final = "use an https address"

CONFIGURATION: Final = Subject("Configuration")
NEXUS: Final = Subject("Nexus")
VAULT: Final = Subject("Vault")
COMMANDS: Final = Subject("Commands")


@dataclass(frozen=True, slots=True)
class _Work:
    """The commands of a role, what to say where its rights are lacking, and what is left while Nexus is not well."""

    id: str
    commands: str
    lacking: str
    without: str = ""


_NO_CHANGE: Final = "nothing that changes an application"
_WORKS: Final = {
    Role.PLANNER: _Work("plan", "plan, status, show", "not plan, status, show", "only plan --without-nexus"),
    Role.APPLIER: _Work("apply", "apply, rotate, retire, restore, adopt, recover", _NO_CHANGE, _NO_CHANGE),
    Role.DEVELOPER: _Work(
        "creds",
        "creds get, verify, of every record",
        "creds get, verify, of no record but those that a policy may name",
    ),
}


@dataclass(frozen=True, slots=True)
class Again:
    """How to ask registrar for the policies of what was looked at: the flags that led there, and the policy's end."""

    flags: str = ""
    ending: str = ""

    def policy(self, role: Role) -> str:
        """The command that gives a token the rights of this role."""
        asked = f"registrar policy --for {role}{self.flags}"
        if role is Role.DEVELOPER:
            return f"{asked} NAME, for a policy of its own"
        return f"{asked} | vault policy write {self._called(role)} -"

    def token(self, role: Role) -> str:
        """The commands that make a token with the rights of this role and no others."""
        return f"{self.policy(role)} && vault token create -policy={self._called(role)}"

    def _called(self, role: Role) -> str:
        return f"registrar-{role}{self.ending}"


def commands(
    checks: Sequence[Check], lacking: Callable[[], Mapping[Role, Sequence[str]]], again: Again
) -> Iterator[Check]:
    """What could be done now, of each role's commands; nothing where Vault is not well, since each needs it.

    `lacking` asks what the policy lacks for each role.
    """
    failed = {check.subject for check in checks if check.state is State.FAILED}
    if VAULT.name in failed:
        return
    try:
        lacks = lacking()
    except AccessDenied as error:
        yield COMMANDS.warning("rights", f"what the token may do is not told: {error.message}", error.hint)
        return
    except RegistrarError as error:
        yield COMMANDS.raised("rights", error)
        return
    for role, work in _WORKS.items():
        if missing := lacks[role]:
            yield COMMANDS.warning(work.id, _not(role, work, missing), again.policy(role))
        elif work.without and NEXUS.name in failed:
            yield COMMANDS.warning(work.id, f"{work.without}: Nexus is not well", "mend what is said of Nexus above")
        else:
            yield COMMANDS.well(work.id, work.commands)


def _not(role: Role, work: _Work, missing: Sequence[str]) -> str:
    if role is Role.DEVELOPER:
        return work.lacking
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{work.lacking}: no {missing[0]}{more}"


def life(seconds: float) -> str:
    """A length of time in the unit that people would use."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


_LENGTHS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def length(text: str) -> timedelta | None:
    """A length of time as people write it, `24h` or `90d`, 0 for none; None for any other text."""
    found = re.fullmatch(r"(\d{1,5})([smhdw])", "0s" if text == "0" else text)
    return timedelta(**{_LENGTHS[found[2]]: int(found[1])}) if found else None


def spelt(time: timedelta) -> str:
    """That length as `length` reads it, in the largest unit that needs no fraction; 0 for none."""
    for unit in ("w", "d", "h", "m"):
        count, rest = divmod(time, timedelta(**{_LENGTHS[unit]: 1}))
        if count and not rest:
            return f"{count}{unit}"
    return f"{int(time.total_seconds())}s" if time else "0"

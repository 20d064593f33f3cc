"""What the doctor asks of Nexus: whether it answers, which stage it is, and whom it takes us for. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from registrar.doctor import NEXUS, SHORT_S, Check, Look, counted, life
from registrar.errors import AccessDenied, Unsuitable
from registrar.nexus.answers import CHECK_KEY, CHECK_URL, error
from registrar.nexus.session import V1, V2, Session, deprecation
from registrar.nexus.wire import Answer, Failure

if TYPE_CHECKING:
    from registrar.nexus.applications import Nexus

V1_SUNSET: Final = "2026-09-30"
"""When v1 was announced to end; its answers name no end themselves, and it still answers after that day."""

_AFFECTS: Final = "so tokens seem to end at other times than they do"
_PROMOTED: Final = "a promotion made in the database counts only after a restart of Nexus"


@dataclass(frozen=True, slots=True)
class Survey:
    """The questions to one Nexus."""

    nexus: Nexus
    session: Session

    def checks(self, look: Look, without: Check | None = None) -> Iterator[Check]:
        """Every check in turn; `without` is told instead of whom Nexus takes us for, where there is nothing to show."""
        yield from NEXUS.in_turn(
            [
                ("address", lambda: self._reached(look)),
                ("identity", lambda: [without] if without else self._identity()),
                *([] if without else [("version", self._version), ("sysadmin", self._sysadmin)]),
            ]
        )

    def _reached(self, look: Look) -> Iterator[Check]:
        """Whether anybody answers there, told apart from whether we are let in."""
        began = time.monotonic()
        answer = self.session.anonymous("GET", V2.path("/users/current"))
        took_ms = (time.monotonic() - began) * 1000
        if isinstance(answer, Failure):
            raise error(answer, "connecting", effect=False)
        if isinstance(answer.content, Mapping) and isinstance(answer.content.get("errors"), list):
            raise Unsuitable(f"what answers at {self.session.url} is a Vault, and no Nexus", hint=CHECK_URL)
        yield NEXUS.well("address", f"{self.session.url} answers in {took_ms:.0f} ms")
        yield from NEXUS.certificate(self.session.url, look)
        yield from NEXUS.clock(answer.headers.get("date", ""), datetime.now(UTC), affects=_AFFECTS)
        if answer.ok and isinstance(answer.content, dict):
            text = f"disabled: every caller is {answer.content.get('email')}, token or not"
            yield NEXUS.warning("authentication", text, "have an operator enable authentication in this Nexus")

    def _identity(self) -> Iterator[Check]:
        """Whom it takes us for, and for how long; a key gets new tokens by itself."""
        user = self.nexus.whoami()
        yield NEXUS.well("identity", f"{user.email}, signed in by {self.session.origin}")
        if self.session.has_key:
            return
        left_s = self.session.token_life_s()
        if left_s is None:
            yield NEXUS.well("token", "does not tell when it ends")
        elif left_s < SHORT_S:
            yield NEXUS.warning("token", f"ends in {life(left_s)}, and nothing here gets a new one", CHECK_KEY)
        else:
            yield NEXUS.well("token", f"ends in {life(left_s)}")

    def _version(self) -> Iterator[Check]:
        """Which version is used, and what of it the stage is known by."""
        first = self.session.of(V1, "/users/current")
        has_v1 = isinstance(first, Answer) and first.ok
        since = deprecation(first) if isinstance(first, Answer) else None
        deprecated = f"deprecated since {since:%Y-%m-%d}" if since else ""
        if self.nexus.version == "v2":
            beside = f"; v1 beside it{f', {deprecated}' if deprecated else ''}" if has_v1 else ""
            yield NEXUS.well("version", f"API v2{self._pages()}{beside}")
        elif deprecated:
            text = f"API v1, {deprecated}, published sunset {V1_SUNSET}"
            yield NEXUS.warning("version", text, "this server has v2 as well: let /api/v2 through to it")
        else:
            text = f"API v1 alone, published sunset {V1_SUNSET}"
            yield NEXUS.warning("version", text, "have its operators upgrade Nexus to a release that has /api/v2")

    def _pages(self) -> str:
        try:
            return ", lists in pages" if self.nexus.lists_in_pages() else ", lists as one array (an early build)"
        except AccessDenied:  # the sysadmin's line tells
            return ""

    def _sysadmin(self) -> Iterator[Check]:
        """Whether we may manage applications: by what Nexus says and by what it gives.

        An early v1 gives the list to everybody, and the newest server denies it to whom its database promoted lately.
        """
        user = self.nexus.whoami()
        if not user.sysadmin:
            yield NEXUS.failed("sysadmin", f"{user.email} is not a sysadmin of this Nexus", CHECK_KEY)
            return
        try:
            found = self.nexus.all()
        except AccessDenied as refused:
            text = f"{user.email} reads as one, but is refused the list: {refused.message}"
            yield NEXUS.failed("sysadmin", text, _PROMOTED)
            return
        yield NEXUS.well("sysadmin", "yes, and is given the list of applications")
        archived = sum(application.archived for application in found)
        yield NEXUS.well("applications", f"{len(found)}, of which {archived} archived")
        if marked := sum(application.mark is not None for application in found):
            text = f"{counted(marked, 'registration')} half-made: in progress, or left by a run that stopped"
            yield NEXUS.warning("marks", text, "registrar recover, when no run is at work")

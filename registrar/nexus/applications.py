"""Nexus as its administrators meet it: who we are, and the OAuth applications, in every generation of the server.

Owns the operations and the wire form of an application. Must never send a create twice, nor read a refusal, or a path
that is not there, as an application that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self, Unpack

from registrar.errors import AccessDenied, Kept, Missing, OutcomeUnknown, Rejected, Unsuitable
from registrar.model import Credential, Registered
from registrar.nexus.answers import CHECK_KEY, CHECK_URL, code_of, error, said
from registrar.nexus.session import Session, Version
from registrar.nexus.survey import Survey
from registrar.nexus.wire import Answer, Failure, Repeat
from registrar.pool import Options
from registrar.secret import Secret

MEMBERS: Final = {
    "name": "name",
    "redirect_uri": "callbackUrl",
    "base_url": "baseUrl",
    "owner_email": "appOwnerEmail",
    "description": "description",
}
"""Our FIELDS as Nexus spells them; an update ignores what is spelt otherwise."""

PAGE_ROWS: Final = 500
PAGES: Final = 2_000
_APPLICATIONS: Final = "/oauth/applications"


@dataclass(frozen=True, slots=True)
class User:
    """Whom Nexus takes us for."""

    id: int
    email: str
    name: str
    sysadmin: bool


class Nexus:
    """The applications of one Nexus, for any number of threads."""

    def __init__(
        self,
        url: str,
        *,
        api_key: Secret | None = None,
        api_secret: Secret | None = None,
        token: Secret | None = None,
        origin: str = "",
        **options: Unpack[Options],
    ) -> None:
        self._session = Session(
            url,
            api_key=api_key,
            api_secret=api_secret,
            token=token,
            origin=origin,
            **options,
        )

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def version(self) -> Version:
        """The version of the API in use; asks Nexus at first."""
        return self._session.generation.version

    @property
    def deprecated_since(self) -> datetime | None:
        """Since when the version in use is deprecated, by its latest answers; Nexus names no end (no Sunset header)."""
        return self._session.deprecated_since

    def check(self) -> None:
        """Raise unless Nexus answers and the caller is a sysadmin there.

        An early v1 lets every user manage applications, so a list that works proves nothing.
        """
        user = self.whoami()
        if not user.sysadmin:
            raise AccessDenied(f"{user.email} is not a sysadmin of this Nexus", hint=CHECK_KEY)

    def survey(self) -> Survey:
        """What the doctor asks of this Nexus."""
        return Survey(self, self._session)

    def lists_in_pages(self) -> bool:
        """Whether this stage of Nexus gives its list in pages."""
        page = self._page(1)
        return page.total is not None

    def whoami(self) -> User:
        """The user whose token this is."""
        answer = self._session.ask("GET", "/users/current", repeat=Repeat.ALWAYS)
        if isinstance(answer, Answer) and answer.ok and isinstance(user := answer.content, dict):
            number, email = user.get("id"), user.get("email")
            if isinstance(number, int) and isinstance(email, str):
                return User(number, email, _text(user, "name"), user.get("isSysAdmin") is True)
        raise error(answer, "asking Nexus who we are", effect=False)

    def authorize(self, client_id: str, redirect_uri: str, state: str) -> Secret:
        """A code for the user whose token this is, as the frontend gets one for whoever is signed in; Rejected if not.

        Nothing is left of a code that is not exchanged.
        """
        query = {"client_id": client_id, "redirect_uri": redirect_uri, "state": state}
        answer = self._session.ask("GET", "/oauth/authorize", repeat=Repeat.ALWAYS, query=query)
        if isinstance(answer, Answer) and (code := code_of(answer, state)):
            return code
        raise error(answer, "asking Nexus for a code", effect=False)

    def all(self) -> tuple[Registered, ...]:
        """Every application, archived ones included, by id; v1 has them in no order."""
        found, quiet = self._pages()
        if not quiet:
            # One that is deleted meanwhile moves another to a page that has been read. New ones only come at the end.
            before = found
            found, quiet = self._pages()
            for number in () if quiet else before.keys() - found.keys():
                if (still := self._look(number, "listing the applications")) is not None:
                    found[number] = still
        return tuple(found[number] for number in sorted(found))

    def _pages(self) -> tuple[dict[int, Registered], bool]:
        """The applications by id, and whether none came or went while their pages were read."""
        found: dict[int, Registered] = {}
        totals: set[int | None] = set()
        for number in range(1, PAGES + 1):
            page = self._page(number)
            known = len(found)
            found |= {application.id: application for application in page.items}
            totals.add(page.total)
            if not page.more:
                return found, number == 1 or totals in ({None}, {len(found)})
            if len(found) == known:
                break
        raise Unsuitable("listing the applications: the list has no end", hint=CHECK_URL)

    def _page(self, number: int) -> _Page:
        query = {"hideArchived": "false"}
        if self._session.generation.pages:
            query |= {"pageNumber": str(number), "pageSize": str(PAGE_ROWS)}
        answer = self._session.ask("GET", _APPLICATIONS, repeat=Repeat.ALWAYS, query=query)
        page = _page(answer)
        if page is None:
            raise error(answer, "listing the applications", effect=False)
        return page

    def create(self, values: Mapping[str, str]) -> Credential:
        """Register an application with these FIELDS; sent exactly once, since a second one would be another."""
        _refuse_blank(values)
        name = values.get("name", "")
        answer = self._session.ask("POST", _APPLICATIONS, repeat=Repeat.NEVER, body=_members(values))
        if isinstance(answer, Answer) and answer.ok and isinstance(made := answer.content, dict):
            client_id, client_secret = made.get("clientId"), made.get("clientSecretRaw")
            if isinstance(client_id, str) and isinstance(client_secret, Secret) and client_id and client_secret:
                return Credential(client_id, client_secret)
        raise error(answer, f"registering {name!r}", effect=True, application=name)

    def update(self, number: int, values: Mapping[str, str]) -> None:
        """Set these FIELDS of the application with this id; "" stores an empty string, the others stay."""
        _refuse_blank(values)
        doing = f"updating application {number}"
        answer = self._session.ask("PUT", _one(number), repeat=Repeat.UNSENT, body=_members(values))
        if _done(answer):
            return
        if not self._session.generation.is_absent(answer):
            raise error(answer, doing, effect=True)
        if self._known(number, doing).archived:
            raise Rejected(f"{doing}: it is archived", hint="registrar apply --unarchive")
        raise Rejected(f"{doing}: it was archived a moment ago", hint="registrar plan, once more")

    def archive(self, number: int) -> None:
        """Archive it; fine where it already is."""
        self._set_archived(number, archived=True)

    def unarchive(self, number: int) -> None:
        """Unarchive it; fine where it is not archived."""
        self._set_archived(number, archived=False)

    def _set_archived(self, number: int, *, archived: bool) -> None:
        doing = f"{'archiving' if archived else 'unarchiving'} application {number}"
        # Never without the flag: such a PATCH unarchives.
        query = {"archive": "true" if archived else "false"}
        answer = self._session.ask("PATCH", _one(number), repeat=Repeat.UNSENT, query=query)
        if _done(answer):
            return
        if not self._session.generation.is_absent(answer):
            raise error(answer, doing, effect=True)
        # Nexus says "not found" of what is already so, too.
        if self._known(number, doing).archived is not archived:
            raise Rejected(f"{doing}: somebody changed it at the same time", hint="registrar plan, once more")

    def delete(self, number: int) -> None:
        """Delete for good; Kept where Nexus refuses that since it issued a token, Rejected where it is archived."""
        doing = f"deleting application {number}"
        for _ in range(2):
            answer = self._session.ask("DELETE", _one(number), repeat=Repeat.UNSENT)
            if _done(answer):
                return
            absent = self._session.generation.is_absent(answer)
            if not absent and not (isinstance(answer, Answer) and answer.status == 500):
                raise error(answer, doing, effect=True)
            # A 500 may be the foreign key that keeps it, which v2 does not name, or an event not written after the
            # row was gone. "Not found" is also said of an archived one.
            left = self._known(number, doing) if absent else self._look(number, doing)
            if left is None:
                return
            if left.archived:
                raise Rejected(f"{doing}: it is archived, and Nexus deletes only others", hint="unarchive it first")
        # the same 500 twice is no passing trouble
        raise Kept(f"{doing}: Nexus keeps it, as it does once it has issued a token", hint="archive it instead")

    def _look(self, number: int, doing: str) -> Registered | None:
        """The application after an answer that does not tell what became of it, or None where there is none."""
        query = {"hideArchived": "false"}
        answer = self._session.ask("GET", _one(number), repeat=Repeat.ALWAYS, query=query)
        if self._session.generation.is_absent(answer):
            return None
        if isinstance(answer, Answer):
            seen = _registered(answer.content) if answer.ok else None
            if seen is not None:
                return seen
            why = f"it answered {answer.status} {said(answer)}".rstrip()
        else:
            why = answer.reason
        raise OutcomeUnknown(f"{doing}: what became of it cannot be seen: {why}", hint="registrar plan, once more")

    def _known(self, number: int, doing: str) -> Registered:
        seen = self._look(number, doing)
        if seen is None:
            raise Missing(f"{doing}: Nexus has none with this id", hint="registrar plan shows what it has now")
        return seen


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[Registered]
    more: bool = False
    total: int | None = None


def _page(answer: Answer | Failure) -> _Page | None:
    """A list in either shape, the whole as an array or one page as an object; None for anything else."""
    if not isinstance(answer, Answer) or not answer.ok:
        return None
    content = answer.content if isinstance(answer.content, dict) else {"items": answer.content, "hasNext": False}
    items, more, total = content.get("items"), content.get("hasNext"), content.get("totalCount")
    if not isinstance(items, list) or not isinstance(more, bool):
        return None
    applications = [application for item in items if (application := _registered(item)) is not None]
    if len(applications) != len(items):
        return None
    return _Page(applications, more, total if isinstance(total, int) else None)


def _registered(item: object) -> Registered | None:
    """An application of ours from one of Nexus's, or None for anything else."""
    if not isinstance(item, dict):
        return None
    number, client_id = item.get("id"), item.get("clientId")
    if not isinstance(number, int) or not isinstance(client_id, str) or not client_id:
        return None
    texts = {field: _text(item, member) for field, member in MEMBERS.items()}
    return Registered(id=number, client_id=client_id, archived=item.get("isArchived") is True, **texts)


def _text(item: Mapping[str, object], member: str) -> str:
    value = item.get(member)
    return value if isinstance(value, str) else ""


def _members(values: Mapping[str, str]) -> dict[str, str]:
    return {MEMBERS[field]: value for field, value in values.items()}


def _one(number: int) -> str:
    return f"{_APPLICATIONS}/{number}"


def _done(answer: Answer | Failure) -> bool:
    """Whether it says so itself: `true`, a message or the application; a login page has a 200, too."""
    return isinstance(answer, Answer) and answer.ok and answer.content is not None


def _refuse_blank(values: Mapping[str, str]) -> None:
    """Raise ValueError for what an update would take and the application would not survive."""
    for field in ("name", "redirect_uri"):
        if field in values and not values[field].strip():
            raise ValueError(f"{field} must not be empty")

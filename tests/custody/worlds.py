"""Random worlds: of values, for what only decides, and described in words, to be made in the stand-ins by hand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from registrar.model import (
    FIELDS,
    Application,
    Credential,
    Facts,
    Former,
    Lock,
    Mark,
    Record,
    Registered,
    State,
    Target,
    Version,
)
from registrar.secret import Secret
from registrar.world import World, described, formers
from tests.custody.lab import DEAD_RUN, DOMAIN, Lab

NOW: Final = datetime(2026, 7, 1, 12, tzinfo=UTC)
RUN: Final = "l" * 16
OTHER_DOMAIN: Final = "z" * 16
OLD_NEXUS: Final = "https://old.example.org"
NESTED: Final = "nested"
PATHS: Final = ("api", "docs", "viewer", "team/app", f"{NESTED}/app")
TARGET: Final = Target(
    "test",
    "https://nexus.example.org",
    "https://nexus.example.org",
    "https://vault.example.org",
    vault_prefix="nexus/test",
    set="tests",
)

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]


@functools.cache
def often(usual: T, *seldom: T) -> st.SearchStrategy[T]:
    """The usual one more than half of the time."""
    return st.sampled_from((usual,) * (len(seldom) + 1) + seldom)


# -- of values ---------------------------------------------------------------------------------------------------------


def named(path: str) -> str:
    return path.title()


def declared(path: str) -> Application:
    """The application of this path before anything is changed."""
    host = path.replace("/", "-")
    return Application(
        path,
        named(path),
        f"https://{host}.example.org/callback",
        f"https://{host}.example.org",
        f"{host}@example.org",
        "as declared",
        source="apps.yaml:3:5",
    )


def registered_as(application: Application, number: int, client_id: str, **changes: Any) -> Registered:
    fields = {name: value or "" for name, value in application.declared().items()}
    return dataclasses.replace(Registered(number, client_id, "", ""), **{**fields, **changes})


def _wanted(draw: Draw, path: str) -> Application | None:
    application = declared(path)
    how = draw(often("as it is", "none", "none", "changed", "bare", "protected"))
    if how == "none":
        return None
    if how == "changed":
        name = draw(st.sampled_from(FIELDS))
        values = {"name": f"{application.name} 2", "redirect_uri": "https://new.example.org/cb"}
        changed: dict[str, Any] = {name: values.get(name, "")}
        return dataclasses.replace(application, **changed)
    if how == "bare":
        return dataclasses.replace(application, base_url=None, owner_email=None, description=None)
    return dataclasses.replace(application, protected=how == "protected")


def _former(draw: Draw, client_id: str) -> Former | None:
    if not draw(often(False, True)):
        return None
    until = NOW + draw(st.sampled_from((timedelta(hours=-1), timedelta(), timedelta(hours=1))))
    return Former(client_id, draw(st.integers(0, 2)), until)


def _facts(draw: Draw, path: str, wanted: Application | None, elsewhere: str) -> Facts:
    application = wanted or declared(path)
    facts = described(Facts(client_id=f"{path}-now", version=2), application, TARGET, DOMAIN)
    facts = dataclasses.replace(
        facts,
        retiring=_former(draw, draw(often(f"{path}-old", f"{elsewhere}-now"))),
        leaving=_former(draw, draw(often(f"{path}-older", f"{elsewhere}-now"))),
        protected=draw(often(facts.protected, not facts.protected)),
    )
    if draw(st.booleans()):
        return facts
    changes: dict[str, Any] = {
        "client_id": draw(often(facts.client_id, f"{elsewhere}-now", "")),
        "version": draw(often(2, 0, 1, 3)),
        "set": draw(often(TARGET.set, "others", "")),
        "nexus": draw(often(TARGET.nexus_url, OLD_NEXUS, "")),
        "name": draw(often(facts.name, "Of another name")),
        "owner": draw(often(facts.owner, "")),
        "domain": draw(often(DOMAIN, "")),
        "state": draw(often(State.REGISTERED, *State)),
        "others": draw(often((), (("team", "x"),))),
    }
    changed = dataclasses.replace(facts, **changes)
    if draw(often(False, True)):  # a value that somebody garbled
        garbled = Facts.parse(changed.metadata() | {"proven-at": "yesterday"})
        assert garbled
        return garbled
    return changed


def _versions(draw: Draw, current: int) -> tuple[Version, ...]:
    made = []
    for number in range(1, current + 1):
        how = draw(often("there", "there", "deleted", "destroyed", "evicted" if number < current else "deleted"))
        if how != "evicted":
            created = NOW - timedelta(days=9 - number)
            deletes_at = NOW - timedelta(hours=2) if how == "deleted" else None
            made.append(Version(number, created, deletes_at, destroyed=how == "destroyed"))
    return tuple(made)


def _record(draw: Draw, path: str, wanted: Application | None, elsewhere: str) -> Record | None:
    how = draw(often("ours", "none", "foreign"))
    if how == "none":
        return None
    facts = _facts(draw, path, wanted, elsewhere) if how == "ours" else None
    current = draw(often(2, 2, 0, 1, 3))
    others = () if facts else draw(often((), (("team", "x"),)))
    return Record(path, NOW, facts, current, _versions(draw, current), metadata_version=current, others=others)


def _registrations(draw: Draw, path: str, wanted: Application | None, number: int) -> Iterable[Registered]:
    """What Nexus has of this path: current and old ones, half-made ones, and namesakes that somebody registered."""
    application = wanted or declared(path)
    description = application.description or ""
    marks = {
        "dead": Mark(DOMAIN, DEAD_RUN, path),
        "now": Mark(DOMAIN, RUN, path),
        "theirs": Mark(OTHER_DOMAIN, DEAD_RUN, path),
        "of another set": Mark(DOMAIN, DEAD_RUN, path, set="others"),
        "abandoned": Mark(DOMAIN, DEAD_RUN, path, abandoned=True),
    }
    kinds = {
        "now": often("living", "living", "living", "absent", "archived", "edited", "renamed", "dead", "now"),
        "old": often("living", "absent", "archived", "edited", "dead"),
        "older": often("absent", "absent", "living", "archived"),
        "lost": often(
            "absent", "absent", "dead", "dead", "now", "theirs", "of another set", "abandoned", "abandoned archived"
        ),
        "other": often("absent", "absent", "living", "archived", "theirs"),
        "another": often("absent", "absent", "absent", "living"),
    }
    for offset, (which, strategy) in enumerate(kinds.items()):
        how = draw(strategy)
        if how == "absent":
            continue
        mark = marks.get(how.removesuffix(" archived"))
        changes: dict[str, Any] = {
            "archived": how.endswith("archived"),
            "description": str(mark) if mark else description,
            "name": "Renamed by hand" if how == "renamed" else application.name,
        }
        if how == "edited":
            changes["base_url"] = "https://edited.example.org"
        yield registered_as(application, number + offset, f"{path}-{which}", **changes)


@st.composite
def worlds(draw: Draw) -> World:
    """Any world that `observe` can hand on: records agree on one domain, and a path is in it once."""
    desired: list[Application] = []
    registered: list[Registered] = []
    records: list[Record] = []
    paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3, unique=True))
    nested = draw(often((), (NESTED,)))
    for index, path in enumerate(paths):
        wanted = _wanted(draw, path)
        desired += [wanted] if wanted else []
        inside = path.split("/")[0] in nested  # a folder that is not entered
        record = None if inside else _record(draw, path, wanted, paths[index - 1])
        records += [record] if record else []
        registered += _registrations(draw, path, wanted, 10 * index + 1)
    locks = (Lock(3, DOMAIN), Lock(4, DOMAIN, RUN, "another run"), Lock(1), None)
    return World(
        draw(often(TARGET, dataclasses.replace(TARGET, set=""))),
        tuple(sorted(desired, key=lambda one: one.path)),
        tuple(registered),
        tuple(sorted(records, key=lambda one: one.path)),
        draw(often(*locks)),
        nested,
    )


def _in_its_grace() -> World:
    """A rotation whose old one has an hour to live."""
    application = declared("viewer")
    former = Former("viewer-old", 1, NOW + timedelta(hours=1))
    facts = described(Facts(client_id="viewer-now", version=2, retiring=former), application, TARGET, DOMAIN)
    record = Record("viewer", NOW, facts, 2, (Version(1, NOW), Version(2, NOW)), metadata_version=2)
    both = tuple(registered_as(application, number, f"viewer-{which}") for number, which in ((1, "old"), (2, "now")))
    return World(TARGET, (application,), both, (record,), Lock(3, DOMAIN))


GRACE: Final = _in_its_grace()

# -- one thing changed -------------------------------------------------------------------------------------------------

_OTHER_VALUES: Final[Mapping[type, tuple[object, ...]]] = {
    str: ("", "changed", "https://changed.example.org", "Viewer", str(Mark(DOMAIN, DEAD_RUN, "viewer"))),
    int: (0, 1, 2, 3),
    bool: (False, True),
}
_FIXED: Final = frozenset({"path", "id", "metadata_version", "max_versions", "delete_after_s"})


def _changed(draw: Draw, thing: T) -> T:
    """The same with another value in one of its fields, or in one of its facts."""
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}  # type: ignore[arg-type]
    able = sorted(name for name, value in fields.items() if name not in _FIXED and type(value) in _OTHER_VALUES)
    deep = sorted(name for name, value in fields.items() if isinstance(value, Facts))
    name = draw(st.sampled_from(able + deep))
    value = fields[name]
    other = _changed(draw, value) if name in deep else draw(st.sampled_from(_OTHER_VALUES[type(value)]))
    return dataclasses.replace(thing, **{name: other})  # type: ignore[type-var]


@st.composite
def neighbours(draw: Draw) -> tuple[World, World]:
    """Two worlds that differ in one field of one thing, or in one thing that is gone."""
    world: World = draw(worlds())
    where = draw(st.sampled_from(("target", "desired", "registered", "records")))
    if where == "target":
        return world, dataclasses.replace(world, target=_changed(draw, world.target))
    things = list(getattr(world, where))
    if not things:
        return world, world
    index = draw(st.integers(0, len(things) - 1))
    if draw(often(False, False, False, True)):
        del things[index]
    else:
        things[index] = _changed(draw, things[index])
    return world, dataclasses.replace(world, **{where: tuple(things)})  # type: ignore[arg-type]


# -- in the stand-ins --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hand:
    """Somebody's hand at one path of a laboratory."""

    lab: Lab
    path: str
    domain: str

    def register(self, **changes: str) -> Credential:
        return self.lab.register(declared(self.path), **changes)

    def half_make(self, **marked: Any) -> Credential:
        """What a run leaves that stops right after its create, with this mark."""
        mark = Mark(self.domain, DEAD_RUN, self.path, set=self.lab.target.set)
        return self.register(description=str(dataclasses.replace(mark, **marked)))

    def write(self, data: Mapping[str, str]) -> None:
        self.lab.write(data, self.path)

    def store(self, held: Credential) -> None:
        self.lab.write_credential(held, self.path)

    def describe(self, held: Credential, **changes: Any) -> None:
        """Facts as a run would have left them."""
        facts = described(Facts(), declared(self.path), self.lab.target, self.domain)
        about: dict[str, Any] = {"client_id": held.client_id, "version": self.record.current} | changes
        self.lab.vault.settle(self.path, dataclasses.replace(facts, **about), None)

    def say(self, **changes: Any) -> None:
        """Facts as somebody else would have them, where there are some."""
        if self.record.facts:
            self.lab.set_facts(self.path, **changes)

    @property
    def record(self) -> Record:
        return self.lab.record(self.path)

    @property
    def current(self) -> list[Registered]:
        """The application that the record names, if it is there."""
        return [one for one in self.lab.registered() if one.client_id == self.record.base.client_id]

    @property
    def former(self) -> list[Registered]:
        known = {former.client_id for former in formers(self.record.base)}
        return [one for one in self.lab.registered() if one.client_id in known]

    def update(self, **values: str) -> None:
        for one in self.current:
            if not one.archived:
                self.lab.by_hand.update(one.id, values)

    def archive(self, those: Iterable[Registered]) -> None:
        for one in those:
            self.lab.by_hand.archive(one.id)

    def delete(self, those: Iterable[Registered]) -> None:
        for one in those:
            self.lab.by_hand.unarchive(one.id)
            self.lab.by_hand.delete(one.id)

    def call(self, verb: str) -> None:
        """delete or destroy the newest version."""
        if current := self.record.current:
            self.lab.version_call(verb, current, path=self.path)

    def mark(self, *, abandoned: bool = False) -> str:
        return str(Mark(self.domain, DEAD_RUN, self.path, abandoned))


def settle(hand: Hand, **changes: Any) -> Credential:
    held = hand.register()
    hand.store(held)
    hand.describe(held, **changes)
    return held


def rotate(hand: Hand, which: str = "retiring", hours: float = 1) -> None:
    old = hand.register()
    hand.store(old)
    settle(hand, **{which: Former(old.client_id, 1, hand.record.seen_at + timedelta(hours=hours))})


def retire(hand: Hand) -> None:
    settle(hand, state=State.RETIRED)
    hand.call("delete")
    hand.archive(hand.current)


def fence(hand: Hand) -> None:
    hand.describe(Credential("", Secret("-")), version=1, state=State.EMPTY)
    hand.write({})
    hand.call("delete")


def store_again(hand: Hand) -> None:
    if hand.record.living:
        hand.write(hand.lab.read_version(hand.record.current, hand.path) or {})


def garble(hand: Hand) -> None:
    if facts := hand.record.facts:
        garbled = facts.metadata() | {"proven-at": "yesterday"}
        at = f"/metadata/{hand.lab.target.vault_prefix}/{hand.path}"
        hand.lab._http.post(at, json={"custom_metadata": garbled}).raise_for_status()


def rotate_half(hand: Hand) -> None:
    """A rotation without a grace that stopped after its store; none begins where the record is not ours."""
    if hand.record.facts:
        hand.store(hand.half_make(grace_s=0))


def abandon(hand: Hand, *, archived: bool = True) -> None:
    number = hand.lab.id_of(hand.half_make().client_id)
    hand.lab.by_hand.update(number, {"description": hand.mark(abandoned=True)})
    if archived:
        hand.lab.by_hand.archive(number)


BEGINNINGS: Final[dict[str, Callable[[Hand], object]]] = {
    "settled": settle,
    "nothing": lambda _: None,
    "by hand": Hand.register,
    "half made": Hand.half_make,
    "half made and stored": lambda hand: hand.store(hand.half_make()),
    "rotated": rotate,
    "rotated long ago": lambda hand: rotate(hand, hours=-1),
    "leaving": lambda hand: rotate(hand, "leaving"),
    "left": lambda hand: rotate(hand, "leaving", -1),
    "retired": retire,
    "fenced": fence,
    "adopting": lambda hand: hand.describe(hand.register(), version=0, state=State.ADOPTING),
    "foreign": lambda hand: hand.write({"password": "of somebody"}),
    "foreign credential": lambda hand: hand.store(hand.register()),
    "of another set": lambda hand: settle(hand, set="others"),
    "of another server": lambda hand: settle(hand, nexus=OLD_NEXUS),
}
THEN: Final[dict[str, Callable[[Hand], object]]] = {
    "archived": lambda hand: hand.archive(hand.current),
    "deleted": lambda hand: hand.delete(hand.current),
    "renamed": lambda hand: hand.update(name="Renamed by hand"),
    "edited": lambda hand: hand.update(base_url="https://edited.example.org"),
    "mark left over": lambda hand: hand.update(description=hand.mark()),
    "former archived": lambda hand: hand.archive(hand.former),
    "former deleted": lambda hand: hand.delete(hand.former),
    "namesake": Hand.register,
    "half made": lambda hand: hand.half_make(run="s" * 16),
    "half made by another set": lambda hand: hand.half_make(set="others"),
    "half made elsewhere": lambda hand: hand.half_make(domain=OTHER_DOMAIN),
    "half rotated": rotate_half,
    "abandoned": abandon,
    "abandoned and living": lambda hand: abandon(hand, archived=False),
    "stored again": store_again,
    "stored by hand": lambda hand: hand.store(hand.register(name="By hand")),
    "rubbish stored": lambda hand: hand.write({"client_id": "nobody", "client_secret": "knows"}),
    "version deleted": lambda hand: hand.call("delete"),
    "version destroyed": lambda hand: hand.call("destroy"),
    "said retired": lambda hand: hand.say(state=State.RETIRED),
    "said to describe nothing": lambda hand: hand.say(version=0),
    "said to be protected": lambda hand: hand.say(protected=True),
    "owner forgotten": lambda hand: hand.say(owner=""),
    "garbled": garble,
}


@dataclass(frozen=True)
class Site:
    """One path in words: what is declared, what is there to begin with, and what happened to that in turn."""

    path: str
    wanted: str
    begins: str
    then: tuple[str, ...]

    @property
    def application(self) -> Application | None:
        """What a manifest declares here."""
        application = declared(self.path)
        wanted = {
            "none": None,
            "as it is": application,
            "bare": dataclasses.replace(application, base_url=None, owner_email=None, description=None),
            "moved": dataclasses.replace(application, redirect_uri=f"{application.base_url}/new"),
            "protected": dataclasses.replace(application, protected=True),
        }
        return wanted[self.wanted]

    def make(self, lab: Lab, domain: str) -> None:
        hand = Hand(lab, self.path, domain)
        BEGINNINGS[self.begins](hand)
        for what in self.then:
            THEN[what](hand)


@st.composite
def sites(draw: Draw) -> tuple[Site, ...]:
    """A world in words; a site is one path of it."""
    paths = draw(st.lists(st.sampled_from(PATHS[:4]), min_size=1, max_size=3, unique=True))
    then = st.lists(st.sampled_from(sorted(THEN)), max_size=3)
    return tuple(
        Site(
            path,
            draw(often("as it is", "none", "bare", "moved", "protected")),
            draw(often("settled", *sorted(BEGINNINGS))),
            tuple(draw(then)),
        )
        for path in paths
    )

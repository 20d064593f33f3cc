"""A world that changes between a plan and its steps, and clocks that are wrong: what is told, and what comes next."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import pytest

from registrar import acts
from registrar.model import Application, Former, Kind, Registered
from registrar.plan import Plan
from registrar.report import Report, Status
from registrar.steps import Expire, Keep, Restore
from registrar.world import World, formers
from tests.cli.program import Program, Result
from tests.contract import vaults
from tests.custody import scenarios, worlds
from tests.custody.attack import laboratory
from tests.custody.lab import VIEWER, Lab, renamed
from tests.custody.proxy import Answer, Exchange
from tests.custody.scenarios import MOVED, Scenario
from tests.custody.worlds import Hand

PATH: Final = VIEWER.path
FOREIGN: Final = "holds data that registrar did not write"
UNDESCRIBED: Final = "the facts do not describe the newest version"
NAMESAKE: Final = "another application of that name"
REPLACED: Final = "the registration it replaced is archived"
DELETED: Final = "was deleted behind us"
RETIRED: Final = "retired, and still declared"
DESTROYED: Final = "its credential was destroyed"
ARCHIVED: Final = "somebody archived it"
BY_HAND: Final = "registered by hand"
TWICE: Final = "registered more than once"
CHANGED: Final = "its record has changed since it was planned"


@pytest.fixture(scope="module")
def server(vault_server: vaults.Server) -> Iterator[Lab]:
    """One laboratory for all: every test makes a world of its own in it."""
    with laboratory(vault_server) as made:
        yield made


@pytest.fixture
def lab(server: Lab) -> Lab:
    server.fresh()
    return server


# -- what somebody does ------------------------------------------------------------------------------------------------


def theirs(hand: Hand) -> Iterable[Registered]:
    """The application that the record names; where there is no record, the one of that name."""
    return hand.current or [one for one in hand.lab.registered() if one.name == VIEWER.name]


def edit(hand: Hand, **values: str) -> None:
    for one in theirs(hand):
        hand.lab.by_hand.update(one.id, values)


def unarchive(hand: Hand) -> None:
    for one in theirs(hand):
        hand.lab.by_hand.unarchive(one.id)


def former_version(hand: Hand, verb: str) -> None:
    for former in formers(hand.record.base):
        hand.lab.version_call(verb, former.version)


def lose_key(hand: Hand) -> None:
    """`vault kv metadata delete`."""
    hand.lab._http.delete(f"/metadata/{hand.lab.target.vault_prefix}/{hand.path}").raise_for_status()


def replace(hand: Hand) -> None:
    """Data of somebody else in place of the record, with as many versions."""
    versions = max(hand.record.current, 1)
    lose_key(hand)
    for _ in range(versions):
        hand.write({"password": "of somebody"})


DEEDS: Final[dict[str, Callable[[Hand], object]]] = {
    "renamed": lambda hand: edit(hand, name="Renamed by hand"),
    "edited": lambda hand: edit(hand, base_url="https://edited.example.org"),
    "moved": lambda hand: edit(hand, redirect_uri="https://edited.example.org/callback"),
    "archived": lambda hand: hand.archive(theirs(hand)),
    "unarchived": unarchive,
    "deleted": lambda hand: hand.delete(theirs(hand)),
    "namesake": Hand.register,
    "half made": lambda hand: hand.half_make(),
    "stored again": worlds.store_again,
    "stored by hand": lambda hand: hand.store(hand.register(name="By hand")),
    "rubbish stored": lambda hand: hand.write({"client_id": "nobody", "client_secret": "knows"}),
    "data stored": lambda hand: hand.write({"password": "of somebody"}),
    "version deleted": lambda hand: hand.call("delete"),
    "version destroyed": lambda hand: hand.call("destroy"),
    "key lost": lose_key,
    "replaced": replace,
    "former archived": lambda hand: hand.archive(hand.former),
    "former deleted": lambda hand: hand.delete(hand.former),
    "former version destroyed": lambda hand: former_version(hand, "destroy"),
}

# -- what is planned, and how it ends ----------------------------------------------------------------------------------

PLANS: Final = {
    "create": Scenario("create", scenarios.nothing),
    "update": Scenario("update", scenarios.behind_the_manifest, (MOVED,)),
    "rotate": Scenario("rotate", scenarios.rotate),
    "retire": Scenario("retire", scenarios.retire),
    "restore": Scenario("restore", scenarios.restore),
    "restore a version": Scenario("restore a version", scenarios.restore_a_deleted_version),
    "expire": Scenario("expire", scenarios.expire),
    "back": Scenario("back", scenarios.back),
    "adopt": Scenario("adopt", scenarios.adopt),
}
DONE: Final = "done"
WRITTEN: Final = ("stored by hand", "data stored")


def written(told: str, *besides: str) -> dict[str, tuple[str, str, str]]:
    """The record has another newest version: nothing is done to it, and it is recovered next."""
    return dict.fromkeys((*WRITTEN, *besides), (told, "recover", UNDESCRIBED))


ENDS: Final[dict[str, dict[str, tuple[str, str, str]]]] = {
    # by plan and deed: what is told of the step, the row of the next plan, and what that says
    "create": {
        "namesake": (DONE, "keep", NAMESAKE),
        "half made": (DONE, "recover", "that secret is lost"),
        "stored by hand": ("removed again", "blocked", FOREIGN),
        "rubbish stored": ("removed again", "blocked", FOREIGN),
        "data stored": ("removed again", "blocked", FOREIGN),
    },
    "update": {
        "renamed": (DONE, "update", "differs from the manifest"),
        "edited": (DONE, "update", "differs from the manifest"),
        "moved": (DONE, "keep", "in sync"),
        "archived": ("it is archived", "blocked", ARCHIVED),
        "deleted": ("Nexus has none with this id", "create", DELETED),
        "namesake": (DONE, "keep", NAMESAKE),
        "half made": (DONE, "recover", "that secret is lost"),
        **written("its record is unsettled by now", "stored again", "rubbish stored"),
        "version deleted": ("its record is withdrawn by now", "restore", "deleted the stored version"),
        "version destroyed": ("its record is withdrawn by now", "blocked", DESTROYED),
        "replaced": ("its record is foreign by now", "blocked", FOREIGN),
    },
    "rotate": {
        "renamed": (DONE, "update", "differs from the manifest"),
        "edited": (DONE, "update", "differs from the manifest"),
        "archived": (DONE, "expire", REPLACED),
        "deleted": (DONE, "expire", REPLACED),
        "namesake": (DONE, "keep", NAMESAKE),
        "half made": (DONE, "recover", "that secret is lost"),
        **written(CHANGED, "stored again"),
        "version deleted": (DONE, "keep", "in sync"),
        "version destroyed": (DONE, "keep", "in sync"),
        "key lost": ("names another registration by now", "blocked", BY_HAND),
        "replaced": ("names another registration by now", "blocked", FOREIGN),
    },
    "retire": {
        "renamed": (DONE, "blocked", RETIRED),
        "archived": (DONE, "blocked", RETIRED),
        "deleted": ("Nexus has none with this id", "blocked", "retired, and its application is gone"),
        "namesake": (DONE, "blocked", RETIRED),
        **written(CHANGED),
        "version deleted": (DONE, "blocked", RETIRED),
        "version destroyed": (DONE, "blocked", RETIRED),
        "key lost": (CHANGED, "blocked", BY_HAND),
        "replaced": (CHANGED, "blocked", FOREIGN),
    },
    "restore": {
        "unarchived": (DONE, "keep", "in sync"),
        "deleted": ("Nexus has none with this id", "blocked", "retired, and its application is gone"),
        "namesake": (DONE, "keep", NAMESAKE),
        **written(CHANGED),
        "version destroyed": ("did not undelete version 2", "retire", "retiring it was interrupted"),
        "key lost": (CHANGED, "create", "new"),
        "replaced": (CHANGED, "blocked", FOREIGN),
    },
    "restore a version": {
        "renamed": (DONE, "update", "differs from the manifest"),
        "archived": (DONE, "blocked", ARCHIVED),
        "deleted": (DONE, "create", DELETED),
        **written(CHANGED),
        "version destroyed": ("did not undelete version 1", "blocked", DESTROYED),
        "key lost": (CHANGED, "blocked", BY_HAND),
        "replaced": (CHANGED, "blocked", FOREIGN),
    },
    "expire": {
        "edited": (DONE, "update", "differs from the manifest"),
        "archived": (DONE, "blocked", ARCHIVED),
        "deleted": (DONE, "create", DELETED),
        "namesake": (DONE, "keep", NAMESAKE),
        **written("its record is unsettled by now", "stored again"),
        "version deleted": ("its record is withdrawn by now", "restore", "deleted the stored version"),
        "version destroyed": ("its record is withdrawn by now", "blocked", DESTROYED),
        "key lost": ("its record is none by now", "blocked", TWICE),
        "replaced": ("its record is foreign by now", "blocked", FOREIGN),
        "former archived": (DONE, "keep", "in sync"),
        "former deleted": ("Nexus has none with this id", "recover", UNDESCRIBED),
        "former version destroyed": (DONE, "keep", "in sync"),
    },
    "back": {
        "renamed": (DONE, "update", "differs from the manifest"),
        "archived": (DONE, "expire", REPLACED),
        "deleted": (DONE, "expire", REPLACED),
        "namesake": (DONE, "keep", NAMESAKE),
        **written("its record is unsettled by now"),
        "version deleted": ("its record is withdrawn by now", "restore", "deleted the stored version"),
        "version destroyed": ("its record is withdrawn by now", "blocked", DESTROYED),
        "key lost": ("its record is none by now", "blocked", TWICE),
        "replaced": ("its record is foreign by now", "blocked", FOREIGN),
        "former archived": ("Nexus does not take the credential", "expire", REPLACED),
        "former deleted": ("Nexus does not take the credential", "expire", REPLACED),
        "former version destroyed": ("does not hold the credential", "keep", "in sync"),
    },
    "adopt": {
        "renamed": (DONE, "update", "differs from the manifest"),
        "moved": ("does not take that secret", "blocked", BY_HAND),
        "archived": ("does not take that secret", "create", "new"),
        "deleted": ("does not take that secret", "create", "new"),
        "namesake": (DONE, "keep", NAMESAKE),
        "stored by hand": ("holds something else", "blocked", FOREIGN),
        "rubbish stored": ("holds something else", "blocked", FOREIGN),
        "data stored": ("holds something else", "blocked", FOREIGN),
    },
}


def _cases() -> Iterator[Any]:
    for plan, ends in ENDS.items():
        for deed, (told, row, words) in ends.items():
            yield pytest.param(plan, deed, told, row, words, id=f"{plan}, {deed}")


class Onlooker:
    """What is there before and after a deed; `look` tells whether a run has lost, doubled or touched anything since."""

    def __init__(self, lab: Lab, hand: Hand) -> None:
        self._lab = lab
        self._hand = hand
        self._bystander = lab.register(renamed(VIEWER, "bystander"))
        lab.write({"password": "of a bystander"}, path="bystander")
        self._before = self._living()
        self.done = False

    def _living(self) -> set[str]:
        return set(self._lab.living())

    def _contents(self) -> dict[int, dict[str, str] | None]:
        return {version.number: self._lab.read_version(version.number) for version in self._hand.record.versions}

    def let(self, deed: str) -> None:
        """Let it happen, and remember what a run finds from then on."""
        known, contents = {one.client_id for one in self._lab.registered()}, self._contents()
        DEEDS[deed](self._hand)
        registered = self._lab.registered()
        self._after = {one.client_id for one in registered if not one.archived}
        by_hand = {one.client_id for one in registered if not one.mark} - known | {self._bystander.client_id}
        self._of_a_person = {one for one in registered if one.client_id in by_hand}
        self._written = {n: data for n, data in self._contents().items() if data and data != contents.get(n)}
        self.done = True

    def look(self) -> None:
        registered, record, stored = self._lab.registered(), self._hand.record, self._lab.stored()
        living = {one.client_id for one in registered if not one.archived}
        facts = record.base
        named = {facts.client_id, *(former.client_id for former in formers(facts))}
        killed = (self._before - self._after) | {"nobody"}
        assert record.facts is None or stored is None or stored.client_id in living | killed, "lost"
        new = living - self._after - {one.client_id for one in registered if one.mark}
        assert new <= named, "doubled"
        assert self._of_a_person <= {*registered}, "touched"
        assert {n: self._lab.read_version(n) for n in self._written} == self._written, "written over"
        described = record.kind is not Kind.SETTLED or (stored is not None and stored.client_id == facts.client_id)
        assert described, "data of somebody else are described as ours"
        bystander = self._lab.record("bystander")
        assert (bystander.current, bystander.facts) == (1, None), "touched"


def sound(report: Report) -> None:
    """Nothing is a defect, and whatever failed says what to do."""
    for outcome in report.outcomes:
        assert "a defect of registrar" not in outcome.detail, outcome
        assert outcome.status is not Status.FAILED or (outcome.detail and outcome.error), outcome


def carried_out(
    lab: Lab, plan: str, begin: Callable[[Onlooker], None], *, after_planning: bool
) -> tuple[Report, Onlooker]:
    """A run whose world changes right after its plan was made, or by whatever `begin` has prepared for later."""
    scenario = PLANS[plan]
    asked = scenario.prepare(lab)
    lock = lab.vault.lock()
    onlooker = Onlooker(lab, Hand(lab, PATH, lock.domain if lock else lab.domain()))
    if not after_planning:
        begin(onlooker)

    def decide(world: World) -> Plan:
        todo = asked.decide(world)
        assert todo.pending
        if after_planning and not onlooker.done:
            begin(onlooker)
        return todo

    report = lab.carry_out(decide, *scenario.desired, preflight=False, credentials=asked.credentials)
    for proxy in (lab.nexus_proxy, lab.vault_proxy):
        proxy.before = None
    assert onlooker.done
    return report, onlooker


@pytest.mark.parametrize(("plan", "deed", "told", "row", "words"), [*_cases()])
def test_what_happens_after_a_plan_was_made_is_told_and_planned_next(
    lab: Lab, plan: str, deed: str, told: str, row: str, words: str
) -> None:
    report, onlooker = carried_out(lab, plan, lambda onlooker: onlooker.let(deed), after_planning=True)
    sound(report)
    onlooker.look()
    outcome = report.outcomes[-1]
    assert told in (outcome.detail if outcome.status is Status.FAILED else str(outcome.status)), outcome
    assert report.exit_code == (outcome.status is not Status.DONE)
    desired = PLANS[plan].desired
    step = next(step for step in lab.plan(*desired).steps if step.operation == row)
    said = f"{step.reason} {step.note if isinstance(step, Keep) else ''}"
    assert words in said
    if row not in ("keep", "blocked"):
        sound(lab.apply(*desired, preflight=False))
        onlooker.look()


def first_effect(lab: Lab, onlooker: Onlooker, deed: str) -> None:
    """Let it happen right before the first request that changes something but for the lock."""
    waiting = [deed]

    def before(exchange: Exchange) -> None:
        changes = exchange.method in ("POST", "PUT", "PATCH", "DELETE") and "/.registrar/lock" not in exchange.path
        if waiting and changes and re.search(r"/oauth/applications|/v1/secret/", exchange.path):
            onlooker.let(waiting.pop())

    for proxy in (lab.nexus_proxy, lab.vault_proxy):
        proxy.before = before


# not "replaced": a key that is deleted begins again at version 0, and nothing tells within a request that it is another
BEGUN: Final = ("deleted", "stored by hand", "version destroyed")


@pytest.mark.parametrize(
    ("plan", "deed"), [(plan, deed) for plan, ends in ENDS.items() for deed in BEGUN if deed in ends]
)
def test_what_happens_right_before_the_first_effect_costs_nothing(lab: Lab, plan: str, deed: str) -> None:
    report, onlooker = carried_out(lab, plan, lambda onlooker: first_effect(lab, onlooker, deed), after_planning=False)
    sound(report)
    onlooker.look()
    sound(lab.apply(*PLANS[plan].desired, preflight=False))
    onlooker.look()


# -- clocks ------------------------------------------------------------------------------------------------------------

AN_HOUR: Final = timedelta(hours=1)
SHIFTED_CLOCK: Final = """
import datetime, os, time

SHIFT_S = int(os.environ["CLOCK_SHIFT_S"])
true_time, true_gmtime, true_localtime = time.time, time.gmtime, time.localtime
time.time = lambda: true_time() + SHIFT_S
time.time_ns = lambda: int(time.time() * 1e9)
time.gmtime = lambda secs=None: true_gmtime(time.time() if secs is None else secs)
time.localtime = lambda secs=None: true_localtime(time.time() if secs is None else secs)


class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=SHIFT_S)

    @classmethod
    def utcnow(cls):
        return super().utcnow() + datetime.timedelta(seconds=SHIFT_S)

    @classmethod
    def today(cls):
        return cls.now()


datetime.datetime = Shifted
"""
GRACES: Final = renamed(VIEWER, "graces")
OVER: Final = renamed(VIEWER, "over")
WITHDRAWN: Final = renamed(VIEWER, "withdrawn")
PLAIN: Final = renamed(VIEWER, "plain")
CLOCKED: Final = (GRACES, OVER, WITHDRAWN, PLAIN)


class Clocked(Program):
    """The command as a process whose wall clock is off; what counts on without it, the monotonic one, is right."""

    def __init__(self, folder: Path, lab: Lab, off: timedelta) -> None:
        super().__init__(folder, lab.environ)
        self.write("clock/sitecustomize.py", SHIFTED_CLOCK)
        self.environ["PYTHONPATH"] = f"{self.folder / 'clock'}:{self.environ['PYTHONPATH']}"
        self.environ["CLOCK_SHIFT_S"] = str(int(off.total_seconds()))
        target = lab.target
        where = {"nexus_url": target.nexus_url, "vault_addr": target.vault_addr, "vault_prefix": target.vault_prefix}
        self.write("registrar.yaml", json.dumps({"set": target.set, "targets": {"test": where}}))
        applications = [{**one.declared(), "path": one.path} for one in CLOCKED]
        self.write("manifests/apps.yaml", json.dumps({"apps": applications}))

    def at(self, *words: str) -> Result:
        return self.run("--target", "test", *words)

    def now(self) -> datetime:
        """What a process in this environment takes for the time."""
        told = "import datetime, time; print(datetime.datetime.fromtimestamp(time.time(), datetime.UTC).isoformat())"
        found = subprocess.run(
            [sys.executable, "-c", told], env=self.environ, capture_output=True, text=True, check=True
        )
        return datetime.fromisoformat(found.stdout.strip())


def clocked_world(lab: Lab) -> None:
    """A grace that is not over for half an hour, one that is over for as long, and a version that was just deleted."""
    lab.apply(*CLOCKED)
    for application, hours in ((GRACES, 0.5), (OVER, -0.5)):
        old = lab.register(application)
        former = Former(old.client_id, 1, lab.record(application.path).seen_at + timedelta(hours=hours))
        lab.set_facts(application.path, retiring=former)
    lab.version_call("delete", 1, path=WITHDRAWN.path)


def former_of(lab: Lab, application: Application) -> Former | None:
    return lab.record(application.path).base.retiring


@pytest.mark.parametrize("off", [-AN_HOUR, AN_HOUR], ids=["behind", "ahead"])
def test_a_local_clock_that_is_an_hour_off_changes_neither_plan_nor_outcome(
    lab: Lab, tmp_path: Path, off: timedelta
) -> None:
    clocked_world(lab)
    program = Clocked(tmp_path, lab, off)
    assert abs(program.now() - datetime.now(UTC) - off) < timedelta(minutes=1)

    planned, right = program.at("plan", "-o", "json").document, lab.plan(*CLOCKED)
    assert planned["digest"] == right.digest
    steps = [(step["path"], step["operation"]) for step in planned["steps"]]
    assert steps == [(step.path, step.operation) for step in right.steps]
    changing = {(path, operation) for path, operation in steps if operation != "keep"}
    assert changing == {(OVER.path, "expire"), (WITHDRAWN.path, "restore")}

    applied = program.at("apply", "--yes")
    assert applied.code == 0, applied.err
    assert (former_of(lab, OVER), lab.record(WITHDRAWN.path).kind) == (None, Kind.SETTLED)
    assert former_of(lab, GRACES)

    begun = lab.record(PLAIN.path).seen_at
    assert program.at("rotate", "plain", "--grace", "30m", "--yes").code == 0
    retiring = former_of(lab, PLAIN)
    assert retiring
    assert timedelta() <= retiring.until - begun - timedelta(minutes=30) < timedelta(minutes=1)
    assert [type(step) for step in lab.plan(*CLOCKED).steps] == [Keep] * len(CLOCKED)


def vault_clock(off: timedelta) -> Callable[[Exchange, Answer], None]:
    """Whatever time Vault tells is off by this: in its Date, and of every version."""

    def moved(found: re.Match[bytes]) -> bytes:
        moment = datetime.fromisoformat(found[2].decode()) + off
        return found[1] + moment.isoformat().replace("+00:00", "Z").encode()

    def after(_exchange: Exchange, answer: Answer) -> None:
        date = next((name for name in answer.headers if name.lower() == "date"), None)
        if date:
            answer.headers[date] = format_datetime(parsedate_to_datetime(answer.headers[date]) + off, usegmt=True)
        answer.body = re.sub(rb'("(?:created|deletion|updated)_time": ?")([^"]+)', moved, answer.body)

    return after


@pytest.mark.parametrize("off", [-AN_HOUR, AN_HOUR], ids=["behind", "ahead"])
def test_a_vault_whose_clock_is_an_hour_off_is_the_only_clock(lab: Lab, off: timedelta) -> None:
    lab.vault_proxy.after = vault_clock(off)
    lab.apply(VIEWER)
    assert abs(lab.record().seen_at - datetime.now(UTC) - off) < timedelta(minutes=1)
    rotate = functools.partial(acts.rotate, names=(PATH,), grace=timedelta(minutes=30))
    assert lab.carry_out(rotate, VIEWER).exit_code == 0
    retiring = former_of(lab, VIEWER)
    assert retiring
    assert abs(retiring.until - lab.record().seen_at - timedelta(minutes=30)) < timedelta(minutes=1)
    assert isinstance(lab.step(VIEWER), Keep)

    lab.version_call("delete", 2)
    assert isinstance(lab.step(VIEWER), Restore)
    assert lab.apply(VIEWER).exit_code == 0
    assert lab.proves()

    ended = lab.record().seen_at - timedelta(minutes=1)
    lab.set_facts(retiring=Former(retiring.client_id, retiring.version, ended))
    assert [type(step) for step in lab.plan(VIEWER).steps] == [Keep, Expire]
    assert lab.apply(VIEWER).exit_code == 0
    assert retiring.client_id not in lab.living()
    lab.assert_whole(VIEWER)

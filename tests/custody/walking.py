"""The real `reconcile` on random ways through what the model explores, and the model's invariants at every step.

    start    empty, settled, rotated, unfinished or retired, as the model's
    runners  two or three of apply, rotate, due, back, retire, restore, adopt: one at a time, as the lock has it
    moves    a run stops before a request or at it; a request is on its way, lands late or never; an answer is lost
             while the run lives on; a person registers the same name by hand and renames that; a person stores,
             deletes or destroys versions of the record

Then one undisturbed apply. `python -m tests.custody.walking` walks many ways and prints its counts; what a seed and a
number found, they find again. `tests/recorded/custody_model.py` tells what is excused, and why.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registrar import acts
from registrar import plan as planning
from registrar.errors import RegistrarError
from registrar.model import Credential, Kind, Mark, Record, Registered, State
from registrar.plan import Case, Options, Plan
from registrar.report import Report, Status
from registrar.secret import Secret
from registrar.steps import Retire
from registrar.vault import Vault
from registrar.world import World, formers
from tests.contract import vaults
from tests.custody import scenarios
from tests.custody.attack import laboratory
from tests.custody.lab import DEAD_RUN, VIEWER, Lab
from tests.custody.proxy import Answer, Exchange, Proxy
from tests.custody.scenarios import DAY, NAMES, Asked
from tests.custody.stopping import Gate, named, reported, told

PATH: Final = VIEWER.path
RUBBISH: Final = "?"


# -- what a way is -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way as a seed has it; `slack` answers may get lost, and a person may write `hands` times."""

    seed: str
    number: int
    start: str
    runners: tuple[str, ...]
    slack: int
    by_name: bool
    hands: int

    @classmethod
    def chosen(cls, seed: str, number: int) -> Way:
        choice = random.Random(f"{seed} {number}")
        start, runners = choice.choice(KNOWN)
        by_name = "adopt" in runners or choice.random() < 0.1
        if choice.random() < 0.5:
            start = choice.choice(list(STARTS))
            kinds = ["apply", "apply", "rotate", "due", "back", "retire", "restore", *(["adopt", "adopt"] * by_name)]
            runners = tuple(choice.choice(kinds) for _ in range(choice.choice((2, 2, 3))))
        return cls(seed, number, start, runners, choice.choice((0, 1, 2)), by_name, choice.choice((0, 0, 0, 1)))

    def __str__(self) -> str:
        extra = f", {self.slack} answers lost" * bool(self.slack) + ", a person registers" * self.by_name
        extra += f", a person writes {self.hands} times" * bool(self.hands)
        return f"--seed {self.seed} --way {self.number}: {self.start}, {', '.join(self.runners)}{extra}"


def _empty(_lab: Lab) -> None:
    pass


def _unfinished(lab: Lab) -> None:
    """Both registrations of a rotation still wear their marks."""
    scenarios.rotated(lab)
    for number, registered in enumerate(lab.registered()):
        if registered.name == VIEWER.name and not registered.archived:
            mark = Mark(lab.domain(), DEAD_RUN[:-1] + "xy"[number % 2], PATH)
            lab.by_hand.update(registered.id, {"description": str(mark)})


STARTS: Final[dict[str, Callable[[Lab], None]]] = {
    "empty": _empty,
    "settled": scenarios.settled,
    "rotated": scenarios.rotated,
    "unfinished": _unfinished,
    "retired": scenarios.retired,
}


# where the model breaks without one of its parts: every second way is one of these
KNOWN: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("settled", ("rotate",)),
    ("empty", ("apply", "rotate")),
    ("rotated", ("due", "back")),
    ("rotated", ("due", "back", "apply")),
    ("rotated", ("due", "rotate", "back")),
    ("rotated", ("rotate",)),
    ("unfinished", ("apply",)),
    ("unfinished", ("due",)),
    ("settled", ("rotate", "apply")),
    ("settled", ("retire", "apply")),
    ("settled", ("retire", "restore")),
    ("settled", ("retire", "restore", "apply")),
    ("settled", ("retire", "apply", "retire", "apply")),
    ("empty", ("apply", "apply", "retire")),
    ("empty", ("apply", "apply", "rotate")),
    ("empty", ("adopt",)),
    ("empty", ("adopt", "apply", "due")),
)


def _due(world: World) -> Plan:
    """Whatever a rotation left behind goes now, its grace over or not."""
    case = Case(world, Options(), PATH)
    standing = planning.standing(case)
    steps = (standing,) if standing else tuple(planning.outgoing(case)) if case.kind is Kind.SETTLED else ()
    return Plan(world.target, steps, world.managed)


# -- from outside ------------------------------------------------------------------------------------------------------


@dataclass
class Flight:
    """A request that nobody waits for any more; `whole`: it archives what the record names as current."""

    proxy: Proxy
    exchange: Exchange
    client_id: str
    whole: bool
    overtaken: bool = False  # a Restore has begun since

    @property
    def effect(self) -> str:
        if self.exchange.method == "DELETE":
            return "delete"
        return "archive" if "archive=true" in self.exchange.path else ""

    def __str__(self) -> str:
        return named(self.exchange)


@dataclass
class Outside:
    """What there is, seen by nobody's client but a stranger's, and the invariants that hold at any moment."""

    lab: Lab
    strangers: frozenset[str]
    hands: int = 0
    told: str = ""
    drift: bool = False
    contents: dict[int, str] = field(default_factory=dict)  # by version: a client id, nothing, or rubbish
    persons: set[int] = field(default_factory=set)  # versions that a person wrote, or that repeat such a one
    described: set[int] = field(default_factory=set)
    known: dict[str, Credential] = field(default_factory=dict)
    hand: Credential | None = None
    breaches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        target, token = self.lab.target, Secret(self.lab._http.headers["X-Vault-Token"])
        self._vault = Vault(target.vault_addr, token=token, prefix=target.vault_prefix)  # past the proxies
        self.record: Record = self._vault.one(PATH)
        self.registered: dict[str, Registered] = {}

    def close(self) -> None:
        self._vault.close()

    def look(self, moment: str = "") -> None:
        """See what there is, and note what must not be."""
        self.registered = {one.client_id: one for one in self.lab.registered() if one.client_id not in self.strangers}
        self.record = self._vault.one(PATH)
        for version in self.record.versions:
            if version.number not in self.contents:
                self._new(version.number)
        facts = self.record.base
        if facts.client_id and self.contents.get(facts.version) == facts.client_id:
            self.described.add(facts.version)
        if breach := self._breach():
            self.breaches.append(f"{breach}, {moment}")

    @property
    def top(self) -> str:
        """The client id in the newest version, if that can be read."""
        return self.contents.get(self.record.current, "") if self.record.living else ""

    @property
    def alive(self) -> dict[str, Registered]:
        return {client_id: one for client_id, one in self.registered.items() if not one.archived}

    def _new(self, number: int) -> None:
        data = self.lab.read_version(number)
        held = (data or {}).get("client_id", RUBBISH if data else "")
        self.contents[number] = held
        if held and held != RUBBISH and held not in self.known:
            stored = self._vault.read(PATH, number)
            assert stored
            self.known[held] = stored
        before = number - 1
        undescribed = before in self.persons - self.described
        theirs = undescribed and not self.record.deleted(before) and self.contents.get(before)
        if before in self.persons and self.contents.get(before) == held:
            self.persons.add(number)
        elif theirs and number not in self.persons:
            self.breaches.append(f"version {before}, which a person wrote, was overwritten")

    def _breach(self) -> str | None:
        hand = self.registered.get(self.hand.client_id) if self.hand else None
        kept = hand is not None and not hand.archived and hand.description == VIEWER.description
        if self.hand and not kept and self.hand.client_id not in self.contents.values():
            return "somebody else's application was touched"
        credential = self.top not in ("", RUBBISH)
        if credential and self.top not in self.alive and self.record.current not in self.persons and not self.drift:
            return "the newest stored credential belongs to a deleted or archived application"
        if self.told == "in use" and not self.top:
            return "what was reported in use cannot be fetched"
        if self.told == "retired" and self.top:
            return "what was reported retired can be fetched"
        return None

    def landed(self, flight: Flight) -> None:
        """A request of a run that is dead, or has given it up, lands: some of them Nexus cannot refuse."""
        if flight.effect == "delete":
            excused = self.hands > 0 and flight.client_id in self.contents.values()
        else:
            by_person = any(held == flight.client_id and n in self.persons for n, held in self.contents.items())
            excused = flight.effect == "archive" and (flight.overtaken or by_person)
        if excused:
            self.drift, self.told = True, ""

    def in_the_end(self, before: str, *, blocked: bool) -> None:
        """After an apply that nobody disturbed: in use, or retired, or a person's."""
        self.look("in the end")
        facts, top, alive = self.record.base, self.top, self.alive
        settled = self.record.kind is Kind.SETTLED and facts.client_id == top and top in alive
        in_use = settled and not alive[top].mark and facts.state is State.REGISTERED
        away = not top and facts.client_id not in ("", *alive)
        undone = before in ("retire", "restore", "retired") and blocked and not top
        named_by_record = {facts.client_id, *(former.client_id for former in formers(facts))}
        stored = set(self.contents.values()) if self.hands or undone else set()
        ours = alive.keys() - ({self.hand.client_id} if self.hand else set())
        if stray := ours - named_by_record - stored:
            self.breaches.append(f"after an apply {stray} is unexplained")
        if (in_use and before != "retired") or ((self.drift or self.hands) and blocked):
            return
        nothing = before == "" and blocked and set(self.contents.values()) <= {""}
        if before == "in use" or not (away or undone or nothing):
            self.breaches.append("after an apply it is neither in use nor retired nor a person's")


# -- a walk ------------------------------------------------------------------------------------------------------------


class _Run(Gate):
    """One run of a walk: at each of its requests the walk has its say."""

    def __init__(self, lab: Lab, walk: Walk) -> None:
        super().__init__(lab, look=walk.outside.look)
        self._walk = walk
        self._quiet = 0
        self.muted = False  # a person wrote meanwhile, so that what it reports is of yesterday

    def _count(self, exchange: Exchange) -> None:
        if exchange.path.partition("?")[0].endswith("/.registrar/lock") or self.dead:
            return
        self._quiet += 1
        if self._quiet <= 3:  # whoever polls must not use up the choices
            self._walk.disturb(self)
            if self._walk.choice.random() < 0.03:
                self._die(f"before {named(exchange)}")

    def _pass(self, proxy: Proxy, exchange: Exchange) -> Answer | None:
        with self._turn:
            if self.dead:
                return None
            self._quiet = 0
            return self._at_random(proxy, exchange)

    def _at_random(self, proxy: Proxy, exchange: Exchange) -> Answer | None:
        walk, label = self._walk, named(exchange)
        chance = walk.choice.random()
        self.effects.append(label)
        if chance < 0.12 or (chance < 0.3 and walk.slack):
            walk.take_off(proxy, exchange)
            if chance < 0.12:
                self._die(f"{label}, on its way")
            else:
                walk.slack -= 1
                walk.tell(f"{label}: no answer")
            return None
        answer = proxy.forward(exchange)
        walk.tell(f"{label}: {answer.status}")
        walk.deleted(exchange)
        walk.outside.look(label)
        if chance > 0.94:
            self._die(f"after {label}")
        return answer

    def _die(self, told: str) -> None:
        self.dead = True
        self._walk.tell(f"stops {told}")


class Walk:
    """One way, walked."""

    def __init__(self, lab: Lab, way: Way) -> None:
        self.lab = lab
        self.way = way
        self.choice = random.Random(f"{way.seed} {way.number} way")
        self.slack, self._hands, self._registering = way.slack, way.hands, 2 * way.by_name
        self._flights: list[Flight] = []
        self.trace: list[str] = []
        lab.fresh()
        stay = lab._kept | {stranger.client_id for stranger in lab.strangers.values()}
        STARTS[way.start](lab)
        lab.domain()
        told = {"empty": "", "retired": "retired"}.get(way.start, "in use")
        self.outside = Outside(lab, frozenset(stay), told=told)
        self.outside.look("at the start")

    def tell(self, what: str) -> None:
        self.trace.append(what)

    def go(self) -> list[str]:
        """Walk to the end; returns what must not be, with the way there in `trace`."""
        waiting = list(self.way.runners)
        while (waiting or self._flights) and not self.outside.breaches:
            if waiting and self.choice.random() < 0.6:
                self._carry_out(waiting.pop(0))
            elif self._flights:
                self._arrive(self.choice.randrange(len(self._flights)))
            self._person(None)
        if not self.outside.breaches:
            self._undisturbed()
        return self.outside.breaches

    def disturb(self, run: _Run | None) -> None:
        """Right before a request something else may happen."""
        if self._flights and self.choice.random() < 0.15:
            self._arrive(self.choice.randrange(len(self._flights)))
        if self.choice.random() < 0.05:
            self._person(run)

    def take_off(self, proxy: Proxy, exchange: Exchange) -> None:
        """Nobody waits for this request any more; it lands late, or never."""
        number = re.search(r"/applications/(\d+)", exchange.path)
        found = (one for one in self.outside.registered.values() if number and one.id == int(number[1]))
        client_id = next((one.client_id for one in found), "")
        whole = client_id == self.outside.record.base.client_id
        self._flights.append(Flight(proxy, exchange, client_id, whole))

    def deleted(self, exchange: Exchange) -> None:
        """Nothing whose credential was stored is ever deleted, unless a person wrote there."""
        number = re.search(r"/applications/(\d+)$", exchange.path)
        if exchange.method != "DELETE" or not number or self._hands < self.way.hands:
            return
        gone = next((one for one in self.outside.registered.values() if one.id == int(number[1])), None)
        if gone and gone.client_id in self.outside.contents.values():
            self.outside.breaches.append("an application whose credential was stored was deleted")

    # -- what happens --------------------------------------------------------------------------------------------------

    def _arrive(self, index: int) -> None:
        flight = self._flights.pop(index)
        if self.choice.random() < 0.25:
            self.tell(f"lost: {flight}")
            return
        answer = flight.proxy.forward(flight.exchange)
        self.tell(f"lands: {flight}: {answer.status}")
        self.deleted(flight.exchange)
        self.outside.landed(flight)
        self.outside.look(f"late {flight}")

    def _person(self, run: _Run | None) -> None:
        if self._registering == 2 and self.choice.random() < 0.5:
            self._registering = 1
            self.outside.hand = self.lab.register()
            self.tell("a person registers the name by hand")
        elif self._registering == 1 and self.choice.random() < 0.1 and self._untouched():
            self._registering = 0
            assert self.outside.hand
            number = self.lab.id_of(self.outside.hand.client_id)
            self.lab.by_hand.update(number, {"name": "Renamed"})
            self.tell("a person renames it")
        elif self._hands and self.choice.random() < 0.3:
            self._hands -= 1
            self._write(run)

    def _untouched(self) -> bool:
        hand = self.outside.hand
        return hand is not None and hand.client_id not in self.outside.contents.values()

    def _write(self, run: _Run | None) -> None:
        """A person changes the record: what a run reports after that is of before."""
        outside, record = self.outside, self.outside.record
        outside.hands += 1
        outside.told = ""
        if run:
            run.muted = True
        credentials = [*outside.known.values(), *([outside.hand] if outside.hand else [])]
        acts_: list[tuple[str, Callable[[], object]]] = [
            (f"a person stores {held.client_id} by hand", functools.partial(self.lab.write_credential, held))
            for held in credentials
        ]
        acts_.append(("a person stores rubbish", functools.partial(self.lab.write, {"password": "x"})))
        for number in {record.current, record.base.version} - {0}:
            if record.version(number):
                for verb in ("delete", "destroy"):
                    call = functools.partial(self.lab.version_call, verb, number)
                    acts_.append((f"a person {verb}s version {number}", call))
        label, act = self.choice.choice(acts_)
        self.tell(label)
        made = act()
        if isinstance(made, int):
            outside.persons.add(made)
        outside.look(label)

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _asked(self, kind: str) -> Asked:
        hand = self.outside.hand
        client_id = hand.client_id if hand else "none"
        decide: dict[str, Callable[[World], Plan]] = {
            "apply": planning.plan,
            "rotate": functools.partial(acts.rotate, names=NAMES, grace=DAY),
            "due": _due,
            "back": functools.partial(acts.back, names=NAMES, grace=DAY),
            "retire": functools.partial(acts.retire, names=NAMES),
            "restore": functools.partial(acts.restore, names=NAMES),
            "adopt": functools.partial(acts.adopt, name=PATH, client_id=client_id, grace=DAY),
        }
        return Asked(decide[kind], credentials={PATH: hand} if hand and kind == "adopt" else {})

    def _carry_out(self, kind: str) -> None:
        self.tell(f"{kind}:")
        asked, outside = self._asked(kind), self.outside
        if kind == "restore":
            for flight in self._flights:
                flight.overtaken |= flight.whole

        def decide(world: World) -> Plan:
            found = asked.decide(world)
            kinds = [step.operation for step in found.pending]
            if not run.muted and ("retire" in kinds or "restore" in kinds):
                taken = kind == "apply" and outside.told == "in use" and "retire" in kinds
                if taken:
                    outside.breaches.append("an apply retires what was reported in use")
                outside.told = "retire" if "retire" in kinds else "restore"
            return found

        run = _Run(self.lab, self)
        try:
            report = reported(self.lab, run, dataclasses.replace(asked, decide=decide), (VIEWER,))
        except RegistrarError as error:
            self.tell(f"= {type(error).__name__}: {error.message}")
            return
        self.tell(f"= {told(report) if report else 'dead'}")
        if report:
            self._report(report, muted=run.muted)

    def _report(self, report: Report, *, muted: bool) -> None:
        if "a defect of registrar" in told(report):
            self.outside.breaches.append(told(report))
        if report.exit_code == 0 and report.outcomes and not muted:
            retired = any(isinstance(o.step, Retire) and o.status is Status.DONE for o in report.outcomes)
            self.outside.told = "retired" if retired else "in use" if self.outside.top else self.outside.told
        self.outside.look("as reported")

    def _undisturbed(self) -> None:
        """An apply, and one more where what a recovery turned out to need breaks clients."""
        before, blocked = self.outside.told, False
        for _ in range(3):
            self.tell("apply, undisturbed:")
            gate = Gate(self.lab, look=self.outside.look)
            try:
                report = reported(self.lab, gate, Asked(), (VIEWER,))
            except RegistrarError as error:  # a brake
                self.tell(f"= {error.message}")
                blocked = True
                break
            self.trace += gate.trace
            assert report
            self.tell(f"= {told(report)}")
            blocked = any(outcome.status is Status.BLOCKED for outcome in report.outcomes)
            if blocked or not planning.plan(self.lab.observe(VIEWER)).pending:
                break
        else:
            self.outside.breaches.append("an apply does not come to an end")
        self.outside.in_the_end(before, blocked=blocked)


def walked(lab: Lab, way: Way) -> list[str]:
    """What must not be and was seen on this way, with the way there; nothing where every invariant holds."""
    walk = Walk(lab, way)
    with contextlib.closing(walk.outside):
        breaches = walk.go()
    return (
        [str(way), *(f"    {line}" for line in walk.trace), *(f"=>  {breach}" for breach in breaches)]
        if breaches
        else []
    )


# -- many --------------------------------------------------------------------------------------------------------------


def _many(numbers: range, given: argparse.Namespace) -> tuple[int, list[list[str]]]:
    kind = given.vault if given.vault == "stand-in" else f"{given.vault}-development"
    failed = []
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = stack.enter_context(laboratory(stack.enter_context(vaults.running(kind, home))))
        for number in numbers:
            lab.metadata_cas = bool(number % 2)
            if told := walked(lab, Way.chosen(given.seed, number)):
                failed.append(told)
    return len(numbers), failed


def main() -> int:
    """Walk many ways, print how many held, and fail unless all did."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody.walking", description=main.__doc__)
    parser.add_argument("--vault", choices=("stand-in", "bao", "vault"), default="stand-in")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--ways", type=int, default=1000)
    parser.add_argument("--way", type=int, help="only this one, of all that the seed has")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    numbers = range(given.ways) if given.way is None else range(given.way, given.way + 1)
    parts = [range(start, min(start + 50, numbers.stop)) for start in range(numbers.start, numbers.stop, 50)]
    began, counts = time.monotonic(), Counter[str]()
    with ProcessPoolExecutor(given.jobs) as pool:
        for ways, failed in pool.map(functools.partial(_many, given=given), parts):
            counts.update(ways=ways, held=ways - len(failed), broken=len(failed))
            for lines in failed:
                print(*lines, sep="\n", flush=True)
    print(f"{counts['ways']} ways, {counts['held']} held, {counts['broken']} broken")
    print(f"{time.monotonic() - began:.0f} s against {given.vault}")
    return int(counts["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())

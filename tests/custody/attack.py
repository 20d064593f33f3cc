"""Stop everywhere: each effect of every kind of step is where a run stops, and a plain apply has to make it whole.

    before   the effect never arrives               late   it arrives after the next apply, or in the middle of it
    after    it has landed, its answer is lost      deaf   as after, but the run lives on
    between  it was answered, and nothing more      slow   as late, but the run lives on

Effects are numbered from outside, by the proxies: requests that change something, but for writes of the lock. A run is
stopped from inside, by an exception that nothing catches, and from then on nothing of it gets through. The recovering
apply is stopped at each of its own effects too. `python -m tests.custody.attack` runs the whole and prints its counts.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registrar import plan as planning
from registrar.errors import RegistrarError
from registrar.sandbox.http import serving
from registrar.sandbox.nexus import Nexus
from registrar.sandbox.state import State as Database
from tests.cli.program import Program
from tests.contract import vaults
from tests.custody.lab import Lab
from tests.custody.scenarios import SCENARIOS, Asked, Scenario
from tests.custody.stopping import CarryOut, Gate, Point, Where, by_command, in_process, land
from tests.custody.watching import Damage, Fault, Watch

SEED = "REGISTRAR_ATTACK_SEED"


@dataclass(frozen=True)
class Attack:
    """Where a run is stopped and, if it is, where the recovery; `lands` is the request of it before which `late` lands.

    As text: `3 late`, `3 late + 2 after`, `3 late @ 7`.
    """

    first: Point | None = None
    second: Point | None = None
    lands: int = 0

    def __str__(self) -> str:
        told = " + ".join(str(point) for point in (self.first, self.second) if point)
        return f"{told} @ {self.lands}" if self.lands else told or "nothing"

    @classmethod
    def parse(cls, text: str) -> Attack:
        points, _, lands = text.partition("@")
        if text == "nothing":
            return cls()
        found = [Point(int(number), Where(where)) for number, where in (one.split() for one in points.split("+"))]
        return cls(found[0], found[1] if len(found) > 1 else None, int(lands or 0))


# -- one attack --------------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """How one attack ended; `effects`, and `recovery` with its `requests`, are what there was to stop.

    `twice`: it took one more apply, since a Recover does not approve what breaks clients, or since the clock went on.
    """

    scenario: str
    attack: Attack
    faults: list[Fault] = field(default_factory=list)
    effects: int = 0
    recovery: int = 0
    requests: int = 0
    twice: bool = False
    trace: list[str] = field(default_factory=list)

    def has(self, damage: Damage) -> bool:
        return any(fault.damage is damage for fault in self.faults)

    def __str__(self) -> str:
        lines = [f'--scenario "{self.scenario}" --attack "{self.attack}"']
        lines += [f"    {fault.damage}: {fault.told}" for fault in self.faults]
        return "\n".join(lines + [f"        {line}" for line in self.trace])


def tried(lab: Lab, scenario: Scenario, attack: Attack, carry_out: CarryOut = in_process) -> Trial:
    """Make the world, stop the run, let plain applies follow, and look."""
    trial = Trial(scenario.name, attack)
    lab.fresh()
    watch = Watch(lab, scenario)
    with contextlib.closing(watch):
        asked = scenario.prepare(lab)
        watch.begin(asked.by_hand)
        try:
            _followed(lab, scenario, asked, trial, watch, carry_out)
            watch.end()
        except RegistrarError as error:
            watch.faults.append(Fault(Damage.UNFINISHED, f"{type(error).__name__}: {error.message}"))
    trial.faults = watch.faults
    return trial


def _followed(lab: Lab, scenario: Scenario, asked: Asked, trial: Trial, watch: Watch, carry_out: CarryOut) -> None:
    """The run and its recovery: what is late arrives after an apply, and there is one more after that."""
    attack = trial.attack

    def carried_out(who: str, what: Asked, gate: Gate) -> Gate:
        ended = carry_out(lab, gate, what, scenario.desired)
        trial.trace += [f"{who}:", *gate.trace, f"  = {ended}"]
        return gate

    first = carried_out("the run", asked, Gate(lab, attack.first, look=watch.look))
    trial.effects = len(first.effects)
    if attack.first is None:
        if not first.effects:
            watch.faults.append(Fault(Damage.UNFINISHED, "nothing was done, so there is nothing to stop"))
        return
    again = Gate(lab, attack.second, look=watch.look, late=first.kept, lands=attack.lands)
    carried_out("apply", Asked(), again)
    trial.recovery, trial.requests = len(again.effects), again.requests
    if first.kept or again.dead:
        trial.trace += land(again.late, watch.look)
        carried_out("apply", Asked(), Gate(lab, look=watch.look))
    if again.kept:
        trial.trace += land(again.kept, watch.look)
        carried_out("apply", Asked(), Gate(lab, look=watch.look))
    watch.wait()
    if planning.plan(lab.observe(*scenario.desired)).pending:
        trial.twice = True
        carried_out("apply", Asked(), Gate(lab, look=watch.look))


# -- a campaign --------------------------------------------------------------------------------------------------------


@dataclass
class Count:
    """What became of the attacks on one scenario."""

    scenario: str
    effects: int = 0
    stops: int = 0
    converged: int = 0
    twice: int = 0
    lost: int = 0
    doubled: int = 0
    touched: int = 0
    failed: list[Trial] = field(default_factory=list)

    def add(self, trial: Trial) -> None:
        """Count a trial; the one that stops nothing tells how many effects there are, and has to be whole as well."""
        if trial.attack.first is None:
            self.effects = trial.effects
        else:
            self.stops += 1
            self.converged += not trial.faults
            self.twice += trial.twice and not trial.faults
        self.lost += trial.has(Damage.LOST)
        self.doubled += trial.has(Damage.DOUBLED)
        self.touched += trial.has(Damage.TOUCHED)
        if trial.faults:
            self.failed.append(trial)


KILLS: Final = (Where.BEFORE, Where.AFTER, Where.LATE)
KILLED: Final = (
    "create",
    "update",
    "rotate",
    "rotate without a grace",
    "back",
    "retire",
    "restore",
    "restore anew",
    "adopt",
    "adopt anew",
    "adopt by taking over",
)
COLUMNS: Final = ("effects", "stops", "converged", "twice", "lost", "doubled", "touched")
HEAD: Final = f"{'scenario':28}" + "".join(f"{column:>11}" for column in COLUMNS)


def row(count: Count) -> str:
    """The counts of one scenario, or of all."""
    return f"{count.scenario:28}" + "".join(f"{getattr(count, column):>11}" for column in COLUMNS)


def whole(lab: Lab, scenario: Scenario, *, pairs: bool = True) -> Iterator[Trial]:
    """Every effect in every way; then the recovery at each of its effects, and late arrivals before each request."""
    unstopped = tried(lab, scenario, Attack())
    yield unstopped
    for point in points(unstopped.effects):
        single = tried(lab, scenario, Attack(point))
        yield single
        if not pairs:
            continue
        if point in distinct(unstopped.effects):
            for second in distinct(single.recovery):
                yield tried(lab, scenario, Attack(point, second))
        if point.where is Where.LATE:
            for lands in range(1, single.requests + 1):
                yield tried(lab, scenario, Attack(point, lands=lands))


def points(effects: int) -> list[Point]:
    return [Point(effect, where) for effect in range(1, effects + 1) for where in Where]


def distinct(effects: int) -> list[Point]:
    """Each world that a stop leaves, once: before the next effect, between, and after leave the same."""
    first = [Point(1, Where.BEFORE)] if effects else []
    return first + [point for point in points(effects) if point.where in (Where.AFTER, Where.LATE)]


def sampled(lab: Lab, scenario: Scenario, seed: str, stops: int) -> Iterator[Trial]:
    """Some of these by a seed: for each single stop one of its pairs, or one late arrival in the middle."""
    choice = random.Random(f"{seed} {scenario.name}")
    unstopped = tried(lab, scenario, Attack())
    yield unstopped
    there = points(unstopped.effects)
    for point in choice.sample(there, min(stops, len(there))):
        single = tried(lab, scenario, Attack(point))
        yield single
        if point.where.lands_later and (choice.random() < 0.5 or not point.where.dies):
            yield tried(lab, scenario, Attack(point, lands=choice.randint(1, single.requests)))
        elif point.where.dies and single.recovery:
            second = choice.choice([second for second in points(single.recovery) if second.where.dies])
            yield tried(lab, scenario, Attack(point, second))


def killed(lab: Lab, scenario: Scenario, program: Program, choice: random.Random, kills: int = 0) -> Iterator[Trial]:
    """A real process at each effect, or at some of them: killed before it, after it, or with it on its way."""
    unstopped = tried(lab, scenario, Attack())
    yield unstopped
    program.environ |= lab.environ
    there = [point for point in points(unstopped.effects) if point.where in KILLS]
    with _through_proxies(lab):
        for point in choice.sample(there, kills) if kills else there:
            yield tried(lab, scenario, Attack(point), functools.partial(by_command, program=program))


@contextlib.contextmanager
def _through_proxies(lab: Lab) -> Iterator[None]:
    """A target that a process of its own has too."""
    nexus, vault = lab.target.nexus_url, lab.target.vault_addr
    try:
        _aim(lab, lab.nexus_proxy.url, lab.vault_proxy.url)
        yield
    finally:
        _aim(lab, nexus, vault)


def _aim(lab: Lab, nexus: str, vault: str) -> None:
    lab.target = dataclasses.replace(lab.target, nexus_url=nexus, frontend_url=nexus, vault_addr=vault)


@contextlib.contextmanager
def laboratory(vault: vaults.Server) -> Iterator[Lab]:
    """A Nexus of its own beside this Vault."""
    database = Database(":memory:")
    nexus = Nexus(database, "v2")
    with contextlib.closing(database), serving(nexus) as server:
        key = (nexus.sysadmin.api_key, nexus.sysadmin.api_secret)
        with contextlib.closing(Lab(server.url, key, vault.url, vault.root.reveal())) as lab:
            yield lab


def new_seed() -> str:
    """The seed of the environment, or a new one, the same in all workers of one test run."""
    return os.environ.get(SEED) or os.environ.get("PYTEST_XDIST_TESTRUNUID", "")[:8] or secrets.token_hex(4)


def _counted(name: str, given: argparse.Namespace) -> Count:
    """All attacks on one scenario, in a process of its own."""
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    kind = given.vault if given.vault == "stand-in" else f"{given.vault}-development"
    count = Count(name)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = stack.enter_context(laboratory(stack.enter_context(vaults.running(kind, home))))
        lab.metadata_cas = not given.without_metadata_cas
        trials: Iterable[Trial] = whole(lab, scenario, pairs=not given.singles)
        if given.attack:
            trials = [tried(lab, scenario, Attack.parse(given.attack))]
        elif given.seed:
            trials = sampled(lab, scenario, given.seed, given.stops)
        elif given.kill:
            trials = killed(lab, scenario, Program(home), random.Random())
        for trial in trials:
            count.add(trial)
            if given.attack:
                print(trial)
    return count


def main() -> int:
    """Attack everything, print what became of it, and fail unless all of it is whole."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody.attack", description=main.__doc__)
    parser.add_argument("--vault", choices=("stand-in", "bao", "vault"), default="stand-in")
    parser.add_argument("--without-metadata-cas", action="store_true", help="as on Vault, where OpenBao guards facts")
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--attack", default="", metavar="ATTACK", help="only this one, traced: '3 late + 2 after'")
    parser.add_argument("--singles", action="store_true", help="stop the run alone, not the recovery as well")
    parser.add_argument("--seed", default="", help="a sample by this seed, as in the tests, instead of all")
    parser.add_argument("--stops", type=int, default=1, help="of each scenario in a sample")
    parser.add_argument("--kill", action="store_true", help="kill processes of the command instead")
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at once")
    given = parser.parse_args()
    names = given.scenario or (KILLED if given.kill else [scenario.name for scenario in SCENARIOS])
    began, total = time.monotonic(), Count("in all")
    print(HEAD, flush=True)
    with ProcessPoolExecutor(given.jobs) as pool:
        for count in pool.map(functools.partial(_counted, given=given), names):
            print(row(count), *count.failed, sep="\n", flush=True)
            for column in COLUMNS:
                setattr(total, column, getattr(total, column) + getattr(count, column))
            total.failed += count.failed
    print(row(total))
    print(f"{time.monotonic() - began:.0f} s against {given.vault}")
    return int(bool(total.failed))


if __name__ == "__main__":
    sys.exit(main())

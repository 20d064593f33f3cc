"""Several runs at one prefix, each a process: many at once of which some are killed, and one that sleeps too long.

    a crowd  applies the same manifests, or each its own, while some of it are killed: at an effect whoever holds the
             lock, before it, after it, or with it on its way; at any other request whoever is there
    a nap    holds a run by SIGSTOP at one of its requests until another run has taken its lock over and ended: awake
             again, it must not send one more effect

Then one plain apply. Nobody waits for the lease of a process that this module has killed: its lock is given back by
hand. `python -m tests.custody.together` does many of both and prints its counts.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registrar import acts
from registrar import plan as planning
from registrar.errors import VersionMismatch
from registrar.model import Application
from registrar.vault import Vault
from tests.cli.program import Program, Result, finished
from tests.contract import vaults
from tests.custody import attack
from tests.custody.attack import KILLED, _through_proxies, laboratory
from tests.custody.lab import VIEWER, Lab, renamed
from tests.custody.proxy import Answer, Exchange, Proxy
from tests.custody.scenarios import OVER, SCENARIOS, Asked, Scenario, nothing
from tests.custody.stopping import _CHANGING, _LOCK, Gate, Where, in_process, is_effect, land, named, taken
from tests.custody.watching import Damage, Fault, Watch

LEASE_S: Final = 3  # of a run that is to fall asleep: short to wait for, long enough to be renewed on a busy machine
LOST: Final = "this run lost its lock"
IDLE: Final = "Nothing to do"
UNGUARDED: Final = "lock.Lease.check = lambda lease: None"
UNQUEUED: Final = "lock.await_free = lambda record, **_: record.lock()"
_ENDS_S: Final = 100.0
_DEFECTS: Final = ("Traceback", "a defect of registrar")
_SETS: Final = (("",), ("tests",))
_COMMAND: Final = """
import sys
from registrar import lock
{changed}
from registrar.__main__ import main
sys.exit(main())
"""


@dataclass
class Trial:
    """How one crowd or nap ended."""

    what: object
    kills: int = 0
    faults: list[Fault] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def has(self, damage: Damage) -> bool:
        return any(fault.damage is damage for fault in self.faults)

    def blame(self, told: str, damage: Damage = Damage.UNFINISHED) -> None:
        self.faults.append(Fault(damage, told))

    def __str__(self) -> str:
        lines = [str(self.what), *(f"    {fault.damage}: {fault.told}" for fault in self.faults)]
        return "\n".join(lines + [f"        {line}" for line in self.trace])


def declare(program: Program, lab: Lab, applications: Collection[Application], named_set: str) -> None:
    """The configuration and the manifests of one checkout."""
    target = lab.target
    where = {"nexus_url": target.nexus_url, "vault_addr": target.vault_addr, "vault_prefix": target.vault_prefix}
    whose = {"set": named_set} if named_set else {}
    program.write("registrar.yaml", json.dumps({**whose, "targets": {"test": where}}))
    apps = [{**one.declared(), "path": one.path} for one in applications]
    program.write("manifests/apps.yaml", json.dumps({"apps": apps}))


def start(program: Program, *words: str, changed: str = "") -> subprocess.Popen[str]:
    """The command as a process, or the same with something changed in it before it begins."""
    arguments = ("--target", "test", *words, "--yes")
    if not changed:
        return program.start(*arguments)
    command = [sys.executable, "-c", _COMMAND.format(changed=changed), *arguments]
    return subprocess.Popen(
        command,
        cwd=program.folder,
        env=program.environ,
        start_new_session=True,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def own(folder: Path, name: str, lab: Lab) -> Program:
    """A program with a folder of its own that may work in the laboratory."""
    place = folder / name
    place.mkdir(exist_ok=True)
    # there is no TLS here, and the system's certificates take a while to read
    return Program(place, {**lab.environ, "SSL_CERT_FILE": os.devnull})


def _said(ended: Result) -> str:
    return f"{ended.code}: {ended.out.strip()} | {ended.err.strip()}".replace("\n", " | ")


# -- a crowd -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crowd:
    """So many processes at once, over the same manifests or `apart`; the seed says who is killed where."""

    seed: str
    size: int
    apart: bool
    kills: int
    sets: tuple[str, ...] = ()  # one of _SETS by the seed

    @property
    def kind(self) -> str:
        return " ".join([str(self.size), "apart" if self.apart else "alike", *self.sets])

    def __str__(self) -> str:
        return f"{self.kind}, {self.kills} kills, {attack.SEED}={self.seed}"


@dataclass(frozen=True)
class Checkout:
    """What one process works with."""

    set: str
    applications: tuple[Application, ...]
    words: tuple[str, ...] = ("apply",)

    @property
    def patient(self) -> bool:
        return len(self.words) == 1


class Turnstile(Gate):
    """At both proxies while a crowd is at work: lets through one effect at a time, and kills at some of them.

    Whoever registers has to be the holder of the lock at that moment, or dead.
    """

    def __init__(self, lab: Lab, records: Vault, choice: random.Random, kills: int, look: Callable[[str], None]):
        super().__init__(lab, look=look)
        self._records = records
        self._choice = choice
        self._counting = threading.Lock()
        self._deaths = 0  # of holders at an effect
        self._due: list[tuple[int, Proxy, Exchange]] = []
        at = list(itertools.accumulate(choice.randint(1, 5) for _ in range(kills)))
        anywhere = {number for number in at[1:] if choice.random() < 0.3}
        self._anywhere = {6 * number for number in anywhere}  # requests, of which there are more than effects
        places = (Where.BEFORE, Where.AFTER, Where.LATE)
        self._at_effects = {number: choice.choice(places) for number in at if number not in anywhere}
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.killed: set[int] = set()
        self.runs: dict[str, int] = {}
        self.overlap = False  # whether something of a dead process may have landed while another was at work
        self.meet = 0  # nobody gets an answer before so many have had the lock
        self.faults: list[Fault] = []

    def bury(self) -> None:
        """Give back the lock of a process that was killed: as after its lease, without the wait."""
        found = self._records.lock()
        if found and found.run and _pid(found.holder) in self.killed:
            with contextlib.suppress(VersionMismatch):
                self._records.write_lock(dataclasses.replace(found, run="", holder=""))

    def left(self) -> list[tuple[Proxy, Exchange]]:
        """What was on its way, and has not arrived: it does now."""
        due, self._due = self._due, []
        return [(proxy, exchange) for _, proxy, exchange in due]

    def _count(self, exchange: Exchange) -> None:
        if exchange.method == "POST" and _LOCK.search(exchange.path):
            written = json.loads(exchange.body)["data"]
            if "run" in written:
                self.runs[written["run"]] = _pid(written["holder"])
        with self._counting:
            self.requests += 1
            if self.requests in self._anywhere and (living := self._living()):
                victim = self._choice.choice(living)
                self.trace.append(f"killed {victim.pid} at a {named(exchange)}")
                self.overlap |= victim is self._holder()
                self._end(victim)

    def _pass(self, proxy: Proxy, exchange: Exchange) -> Answer | None:
        deaths = self._deaths
        with self._turn:
            told = named(exchange)
            if deaths != self._deaths and self._choice.random() < 0.5:
                self.trace.append(f"{told}: lost with its process")
                return None
            self.overlap |= deaths != self._deaths
            self.effects.append(told)
            number = len(self.effects)
            due = [one for one in self._due if one[0] <= number]
            self._due = [one for one in self._due if one[0] > number]
            self.trace += land(((where_to, late) for _, where_to, late in due), self._look)
            self._registers(exchange)
            where = self._at_effects.pop(number, None)
            holder = self._holder() if where else None
            if where and holder:
                return self._strike(where, holder, proxy, exchange)
            if where:  # it is of a process that is dead
                self._at_effects.setdefault(number + 1, where)
            answer = proxy.forward(exchange)
            self._tell(f"{number} {told}: {answer.status}")
            return answer

    def _tell(self, told: str) -> None:
        super()._tell(told)
        ends = time.monotonic() + 20
        while len(self.runs) < self.meet and time.monotonic() < ends:
            time.sleep(0.02)

    def _strike(self, where: Where, holder: subprocess.Popen[str], proxy: Proxy, exchange: Exchange) -> Answer | None:
        """The holder of the lock is killed at this effect, and hears nothing."""
        told = f"{len(self.effects)} {named(exchange)}"
        if where is Where.AFTER:
            self._tell(f"{told}: {proxy.forward(exchange).status}")
        elif where is Where.LATE:
            self._due.append((len(self.effects) + self._choice.randint(1, 8), proxy, exchange))
        self.overlap |= where is Where.LATE
        self._deaths += 1
        with self._counting:
            self._end(holder)
        self.trace.append(f"{told}: {where}, killed {holder.pid}")
        return None

    def _end(self, process: subprocess.Popen[str]) -> None:
        self.killed.add(process.pid)
        process.kill()
        process.wait()

    def _living(self) -> list[subprocess.Popen[str]]:
        return [process for process in self.processes.values() if process.poll() is None]

    def _holder(self) -> subprocess.Popen[str] | None:
        found = self._records.lock()
        process = self.processes.get(_pid(found.holder)) if found else None
        return process if process and process.poll() is None else None

    def _registers(self, exchange: Exchange) -> None:
        mark = re.search(rb"registrar/1 [a-z]{16} ([a-z]{16}) ", exchange.body) if exchange.method == "POST" else None
        if mark is None:
            return
        run, found = mark[1].decode(), self._records.lock()
        pid = self.runs.get(run)
        if pid not in self.killed and (found is None or found.run != run):
            self.faults.append(Fault(Damage.DOUBLED, f"process {pid} registers, and has not got the lock"))


def _pid(holder: str) -> int:
    """As the command names itself in the lock."""
    found = re.search(r"process (\d+)$", holder)
    return int(found[1]) if found else 0


def crowded(lab: Lab, crowd: Crowd, folder: Path, *, changed: str = "", meet: int = 0) -> Trial:
    """Make the world, let the crowd in, let plain applies follow, and look; `meet` of them are inside at once."""
    choice = random.Random(str(crowd))
    checkouts = _checkouts(crowd, choice)
    wanted = {one.set: _wanted(checkouts, one.set) for one in checkouts}
    everything = tuple(application for applications in wanted.values() for application in applications)
    trial = Trial(crowd)
    lab.metadata_cas = choice.random() < 0.5
    lab.fresh()
    watch = Watch(lab, Scenario("together", nothing, everything, everything))
    with contextlib.closing(watch), _through_proxies(lab), _as_before(lab):
        for name, applications in wanted.items():
            _behind(lab, name, applications)
        watch.begin(frozenset())
        turnstile = Turnstile(lab, watch._vault, choice, crowd.kills, watch.look)
        turnstile.meet = meet
        _let_in(lab, turnstile, checkouts, folder, trial, changed)
        _afterwards(lab, watch, wanted, folder, turnstile, trial)
    trial.faults += turnstile.faults + watch.faults
    return trial


def _checkouts(crowd: Crowd, choice: random.Random) -> list[Checkout]:
    """Who applies what; nobody waits long who is impatient."""
    sets = crowd.sets or choice.choice(_SETS)
    alike = tuple(_made(f"app-{number}") for number in range(4 + crowd.size // 5))
    made = []
    for number in range(crowd.size):
        applications = tuple(_made(f"app-{number}-{n}") for n in range(1 + number % 2)) if crowd.apart else alike
        words = ("apply", "--lock-timeout", "1") if choice.random() < 0.15 else ("apply",)
        made.append(Checkout(sets[number % len(sets)] if crowd.apart else sets[0], applications, words))
    return made


def _made(path: str) -> Application:
    return renamed(VIEWER, path)


def _wanted(checkouts: Collection[Checkout], name: str) -> tuple[Application, ...]:
    """What all checkouts of a set declare."""
    return tuple(dict.fromkeys(one for checkout in checkouts if checkout.set == name for one in checkout.applications))


def _behind(lab: Lab, name: str, applications: tuple[Application, ...]) -> None:
    """The first one of a set is there, with other values, rotated, and its grace is over."""
    lab.target = dataclasses.replace(lab.target, set=name)
    old = dataclasses.replace(applications[0], owner_email="old@example.org")
    assert lab.apply(old, preflight=False).exit_code == 0
    rotate = functools.partial(acts.rotate, names=(old.path,), grace=OVER)
    assert lab.carry_out(rotate, old, preflight=False).exit_code == 0


@contextlib.contextmanager
def _as_before(lab: Lab) -> Iterator[None]:
    """The laboratory's own set, once more in the end."""
    before = lab.target.set
    try:
        yield
    finally:
        lab.target = dataclasses.replace(lab.target, set=before)


def _let_in(
    lab: Lab, turnstile: Turnstile, checkouts: list[Checkout], folder: Path, trial: Trial, changed: str
) -> None:
    """All at once, until all have ended; how each of them may end."""
    programs = [own(folder, str(number), lab) for number in range(len(checkouts))]
    for program, checkout in zip(programs, checkouts, strict=True):
        declare(program, lab, checkout.applications, checkout.set)
    with turnstile:
        processes = [
            start(program, *checkout.words, changed=changed)
            for program, checkout in zip(programs, checkouts, strict=True)
        ]
        try:
            turnstile.processes |= {process.pid: process for process in processes}
            ends = time.monotonic() + _ENDS_S
            while any(process.poll() is None for process in processes) and time.monotonic() < ends:
                turnstile.bury()
                time.sleep(0.05)
        finally:
            stuck = [process for process in processes if process.poll() is None]
            for process in stuck:
                process.kill()
            results = [finished(process) for process in processes]
    trial.kills = len(turnstile.killed)
    trial.trace += turnstile.trace
    late = {1, 7} if turnstile.overlap else set()
    for process, checkout, ended in zip(processes, checkouts, results, strict=True):
        told = f"process {process.pid} of the set {checkout.set or '(none)'}: {_said(ended)}"
        trial.trace.append(told)
        dead = {-signal.SIGKILL} if process.pid in turnstile.killed else set()
        if ended.code not in {0} | late | dead | (set() if checkout.patient else {6}):
            trial.blame(told)
        if any(defect in ended.out + ended.err for defect in _DEFECTS):
            trial.blame(f"a defect: {told}")
        if process in stuck:
            trial.blame(f"it did not end: {told}")
    held = turnstile._records.lock()
    if held and held.run and _pid(held.holder) not in turnstile.killed:
        trial.blame(f"{held.holder} has ended, and left its lock")


def _afterwards(
    lab: Lab, watch: Watch, wanted: dict[str, tuple[Application, ...]], folder: Path, turnstile: Turnstile, trial: Trial
) -> None:
    """A plain apply of each set, what still arrives late, and what that makes necessary: then everything is whole."""
    with taken(lab):
        pass  # released: nobody waits for the lease of one that was killed
    codes: dict[str, int] = {}
    for _ in range(3):  # a step that breaks clients waits, after a Recover, for a plan of its own
        for name, applications in wanted.items():
            lab.target = dataclasses.replace(lab.target, set=name)
            if name in codes and not planning.plan(lab.observe(*applications)).pending:
                continue
            program = own(folder, f"set {name}", lab)
            declare(program, lab, applications, name)
            ended = _plain(lab, watch, program)
            codes[name] = ended.code
            trial.trace.append(f"apply: {_said(ended)}")
        trial.trace += land(turnstile.left(), watch.look)
    if any(codes.values()):
        trial.blame(f"plain applies end with {codes}")
    for name, applications in wanted.items():
        lab.target = dataclasses.replace(lab.target, set=name)
        watch._scenario = Scenario("together", nothing, applications, applications)
        watch.end()
        try:
            lab.assert_whole(*applications)
        except AssertionError as error:
            trial.blame(f"not whole: {error}")


def _plain(lab: Lab, watch: Watch, program: Program) -> Result:
    with Gate(lab, look=watch.look):
        return finished(start(program, "apply"))


# -- a nap -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nap:
    """The request at which a run falls asleep: it was answered, or it is `late` and arrives when the run wakes."""

    request: int
    late: bool = False

    def __str__(self) -> str:
        return f"{self.request} {'late' if self.late else 'answered'}"


@dataclass(frozen=True)
class Request:
    """One of an undisturbed run, but for those of the lock."""

    told: str
    effect: bool


class Bed:
    """Where one process runs until it sleeps: numbers its requests since it took the lock, but those of the lock."""

    def __init__(self, lab: Lab, nap: Nap | None, look: Callable[[str], None]) -> None:
        self._lab = lab
        self._nap = nap
        self._look = look
        self._turn = threading.Lock()
        self._inside = False
        self.process: subprocess.Popen[str] | None = None
        self.requests: list[Request] = []
        self.asleep, self.morning, self.landed = threading.Event(), threading.Event(), threading.Event()

    def __enter__(self) -> Bed:
        self._lab.vault_proxy.before = self._taken
        for proxy in (self._lab.nexus_proxy, self._lab.vault_proxy):
            for method in ("GET", "LIST", *_CHANGING):
                proxy.on(method, r"^(?!.*/\.registrar/lock)", self._pass, times=sys.maxsize)
        return self

    def __exit__(self, *error: object) -> None:
        self.morning.set()
        for proxy in (self._lab.nexus_proxy, self._lab.vault_proxy):
            proxy.clear()

    @property
    def at_an_answer(self) -> bool:
        return self._nap is not None and not self._nap.late

    def until_asleep(self) -> bool:
        """Whether it falls asleep, or ends before."""
        assert self.process
        while self.process.poll() is None:
            if self.asleep.wait(0.02):
                return True
        return False

    def _taken(self, exchange: Exchange) -> None:
        self._inside |= exchange.method == "POST" and _LOCK.search(exchange.path) is not None

    def _pass(self, proxy: Proxy, exchange: Exchange) -> Answer:
        if not self._inside:
            return proxy.forward(exchange)
        with self._turn:
            effect = is_effect(exchange)
            self.requests.append(Request(named(exchange), effect))
            sleeps = self._nap is not None and len(self.requests) == self._nap.request
            late = sleeps and self._nap is not None and self._nap.late
            answer = None if late else proxy.forward(exchange)
            if effect and answer:
                self._look(f"{named(exchange)}: {answer.status}")
        if sleeps and self.process:
            os.kill(self.process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
            self.asleep.set()
        if answer is None:
            self.morning.wait()
            answer = proxy.forward(exchange)
            self._look(f"late {named(exchange)}: {answer.status}")
        self.landed.set()
        return answer


def undisturbed(lab: Lab, scenario: Scenario, folder: Path) -> list[Request]:
    """The requests of one run that nothing stops."""
    lab.fresh()
    watch = Watch(lab, scenario)  # since a run asks more of an empty folder
    with contextlib.closing(watch), _through_proxies(lab):
        asked = scenario.prepare(lab)
        watch.begin(asked.by_hand)
        with Bed(lab, None, watch.look) as bed:
            bed.process = start(_sleeper(lab, scenario, asked, folder), *asked.words)
            ended = finished(bed.process)
    assert ended.code == 0, _said(ended)
    return bed.requests


def naps(requests: list[Request]) -> list[Nap]:
    """Each request that there is an effect after, answered; and each effect, late."""
    last = max(number for number, request in enumerate(requests, 1) if request.effect)
    answered = [Nap(number) for number in range(1, last)]
    return answered + [Nap(number, late=True) for number, request in enumerate(requests, 1) if request.effect]


def before_effects(requests: list[Request]) -> list[Nap]:
    """The last moment before each effect: the request before it was answered."""
    return [Nap(number - 1) for number, request in enumerate(requests, 1) if request.effect]


def napped(
    lab: Lab, scenario: Scenario, nap: Nap, folder: Path, requests: list[Request], *, lease_s: int, changed: str = ""
) -> Trial:
    """Make the world, let a run fall asleep, let a plain apply take its lock over, wake it, and look."""
    trial = Trial(f"{scenario.name}: nap at {nap}, {requests[nap.request - 1].told}")
    lab.fresh()
    watch = Watch(lab, scenario)
    with contextlib.closing(watch), _through_proxies(lab):
        asked = scenario.prepare(lab)
        watch.begin(asked.by_hand)
        sleeper = _sleeper(lab, scenario, asked, folder)
        heir = own(folder, "heir", lab)
        declare(heir, lab, scenario.desired, lab.target.set)
        changed = f"lock.take.__kwdefaults__['lease_s'] = {lease_s}\n{changed}"
        with Bed(lab, nap, watch.look) as bed:
            process = bed.process = start(sleeper, *asked.words, changed=changed)
            try:
                if bed.until_asleep():
                    _slept(lab, bed, heir, watch, trial, (0, 1) if scenario.ends else (0,))
                    _woken(lab, bed, process, watch, trial, [one.effect for one in requests[nap.request :]])
                else:
                    trial.blame(f"it never fell asleep: {_said(finished(process))}")
            finally:
                process.kill()
                process.communicate()
        trial.trace.append(f"apply: {in_process(lab, Gate(lab, look=watch.look), Asked(), scenario.desired)}")
        watch.wait()
        if planning.plan(lab.observe(*scenario.desired)).pending:
            trial.trace.append(f"apply: {in_process(lab, Gate(lab, look=watch.look), Asked(), scenario.desired)}")
        watch.end()
    trial.faults += watch.faults
    return trial


def side_by_side(
    server: vaults.Server,
    scenario: Scenario,
    chosen: Sequence[Nap],
    folder: Path,
    requests: list[Request],
    *,
    lease_s: int = LEASE_S,
    changed: str = "",
) -> Iterator[Trial]:
    """Several naps at once, each in a laboratory of its own: most of a nap is waiting."""

    def one(nap: Nap) -> Trial:
        place = folder / f"{scenario.name} {nap}"
        place.mkdir()
        with laboratory(server) as lab:
            return napped(lab, scenario, nap, place, requests, lease_s=lease_s, changed=changed)

    with ThreadPoolExecutor(5) as pool:
        yield from pool.map(one, chosen)


def _sleeper(lab: Lab, scenario: Scenario, asked: Asked, folder: Path) -> Program:
    program = own(folder, "sleeper", lab)
    declare(program, lab, scenario.desired, lab.target.set)
    for credential in asked.credentials.values():
        program.write("secret", credential.client_secret.reveal())
    return program


def _slept(lab: Lab, bed: Bed, heir: Program, watch: Watch, trial: Trial, codes: Collection[int]) -> None:
    """Another run waits for the lease of the one that sleeps, and does the work."""
    lab.nexus_proxy.clear()
    lab.vault_proxy.clear()
    ended = _plain(lab, watch, heir)
    trial.trace += [*(one.told for one in bed.requests if one.effect), "asleep", f"heir: {_said(ended)}"]
    if "Taking over the lock" not in ended.err or ended.code not in codes:
        trial.blame(f"the heir did not take over and finish: {_said(ended)}")


def _woken(
    lab: Lab, bed: Bed, process: subprocess.Popen[str], watch: Watch, trial: Trial, effects_left: list[bool]
) -> None:
    """It is awake again, and must not send one more effect; which of its requests to come would be one."""
    with Gate(lab, look=watch.look) as gate:
        bed.morning.set()
        bed.landed.wait()
        process.send_signal(signal.SIGCONT)
        ended = finished(process)
    told = _said(ended)
    trial.trace += [*gate.trace, f"awake: {told}"]
    if gate.effects:
        trial.blame(f"awake it sent: {', '.join(gate.effects)}", Damage.TOUCHED)
    idle = ended.code == 0 and (IDLE in ended.out or not any(effects_left))  # it saw what the other run has done
    if ended.code not in (1, 6, 7) and not idle:
        trial.blame(f"it does not fail: {told}")
    if bed.at_an_answer and effects_left[:1] == [True] and LOST not in ended.out + ended.err:
        trial.blame(f"it does not say that it lost its lock: {told}")
    if any(defect in ended.out + ended.err for defect in _DEFECTS):
        trial.blame(f"a defect: {told}")


# -- many of both ------------------------------------------------------------------------------------------------------


@dataclass
class Count:
    """What became of the runs of one kind."""

    kind: str
    runs: int = 0
    kills: int = 0
    converged: int = 0
    lost: int = 0
    doubled: int = 0
    touched: int = 0

    def add(self, trial: Trial) -> None:
        self.runs += 1
        self.kills += trial.kills
        self.converged += not trial.faults
        self.lost += trial.has(Damage.LOST)
        self.doubled += trial.has(Damage.DOUBLED)
        self.touched += trial.has(Damage.TOUCHED)


COLUMNS: Final = ("runs", "kills", "converged", "lost", "doubled", "touched")
HEAD: Final = " " * 28 + "".join(f"{column:>11}" for column in COLUMNS)


def _row(count: Count) -> str:
    return f"{count.kind:28}" + "".join(f"{getattr(count, column):>11}" for column in COLUMNS)


Trials = Iterator[tuple[str, Iterator[Trial]]]
"""By kind."""


def _crowds(lab: Lab, given: argparse.Namespace, folder: Path) -> Trials:
    for size in given.size:
        for apart in (False, True):
            sets = tuple(given.sets.split(",")) if given.sets else ()
            crowds = [Crowd(f"{given.seed}{n}", size, apart, size // 2, sets) for n in range(given.crowds)]
            yield Crowd("", size, apart, 0, sets).kind, map(functools.partial(crowded, lab, folder=folder), crowds)


def _naps(server: vaults.Server, lab: Lab, given: argparse.Namespace, folder: Path) -> Trials:
    for name in given.naps:
        (scenario,) = (one for one in SCENARIOS if one.name == name)
        requests = undisturbed(lab, scenario, folder)
        trials = side_by_side(server, scenario, naps(requests), folder, requests, lease_s=given.lease)
        yield f"naps of {name}", trials


def main() -> int:
    """Do much of both, print what became of it, and fail unless all of it is whole."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody.together", description=main.__doc__)
    parser.add_argument("--vault", choices=("stand-in", "bao", "vault"), default="stand-in")
    parser.add_argument("--seed", default=attack.new_seed())
    parser.add_argument("--crowds", type=int, default=20, help="of each size and kind")
    parser.add_argument("--size", type=int, action="append", help="processes at once; 2 and 10 unless told otherwise")
    parser.add_argument(
        "--sets", default="", help="of crowds, with commas; by the seed none or one unless told otherwise"
    )
    parser.add_argument("--naps", action="append", choices=[*KILLED, "none"], help="of this; all unless told otherwise")
    parser.add_argument("--lease", type=int, default=LEASE_S, help="of what falls asleep, in seconds; of a command: 30")
    given = parser.parse_args()
    given.size = given.size or [2, 10]
    given.naps = [name for name in given.naps or KILLED if name != "none"]
    kind = given.vault if given.vault == "stand-in" else f"{given.vault}-development"
    began, failed = time.monotonic(), 0
    print(f"{attack.SEED}={given.seed}", HEAD, sep="\n", flush=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(vaults.running(kind, folder))
        lab = stack.enter_context(laboratory(server))
        # where the proxies tell of every connection that a killed process leaves
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        for name, trials in itertools.chain(_crowds(lab, given, folder), _naps(server, lab, given, folder)):
            count = Count(name)
            for trial in trials:
                count.add(trial)
                failed += bool(trial.faults)
                if trial.faults:
                    print(trial, flush=True)
            print(_row(count), flush=True)
    print(f"{time.monotonic() - began:.0f} s against {given.vault}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

"""Faults on the wire: at each call of a run, a read as well, Nexus or Vault is away, ill or late.

    refused  no connection is made                        500     it says so, and has done nothing
    reset    the connection breaks before the request     502     a gateway says so, and it has done its work
    lost     it has done its work, the connection breaks  503     Vault is sealed, Nexus is away
    stalled  it never arrives, no answer in time          429     too busy;  `429 wait` with a Retry-After
    slow     it has done its work, no answer in time      403     refused from now on
    late     it arrives as soon as the client gives up    401     a token that Nexus no longer takes
    cut      it has done its work, half an answer comes

Calls are numbered from outside, by the proxies. A fault strikes one request (once), it and what repeats it (call), or
all that this service is asked from then on (on). The run has to end by itself, with an error that says what happened
and what to do, and a plain apply then makes everything whole. `python -m tests.custody.faults` tries all of it.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import functools
import random
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest import mock

import registrar.nexus.wire
import registrar.vault.wire
from registrar import lock, ports, reconcile
from registrar import plan as planning
from registrar.errors import RegistrarError
from registrar.model import Application, Facts
from registrar.nexus import Nexus
from registrar.oauth import QuietProof
from registrar.report import Report, Status
from registrar.secret import Secret
from registrar.vault import Vault
from registrar.world import formers
from tests.contract import vaults
from tests.custody import proxy, watching
from tests.custody.attack import laboratory
from tests.custody.lab import Lab
from tests.custody.proxy import Action, Answer, Exchange, Proxy
from tests.custody.scenarios import SCENARIOS, Asked, Scenario
from tests.custody.stopping import PACE, Gate, in_process, is_effect, land, named, told
from tests.custody.watching import Damage, Watch

TIMEOUT_S: Final = 5.0
SHORT_S: Final = 0.5  # where a client is to run out of it
ENDS_S: Final = 60.0
_TLS: Final = ssl.create_default_context()  # nothing here speaks it, and making one takes as long as a run


class Service(enum.StrEnum):
    NEXUS = "nexus"
    VAULT = "vault"


class Fault(enum.StrEnum):
    """What happens to a call."""

    REFUSED = "refused"
    RESET = "reset"
    LOST = "lost"
    STALLED = "stalled"
    SLOW = "slow"
    LATE = "late"
    CUT = "cut"
    ILL = "500"
    GATEWAY = "502"
    SEALED = "503"
    BUSY = "429"
    WAIT = "429 wait"
    DENIED = "403"
    ENDED = "401"

    @property
    def waits(self) -> bool:
        """Whether the client notices by its timeout alone."""
        return self in (Fault.STALLED, Fault.SLOW, Fault.LATE)

    @property
    def works(self) -> bool:
        """Whether the request does its work and only its answer suffers: no other fault to a question."""
        return self in (Fault.LOST, Fault.SLOW, Fault.LATE, Fault.GATEWAY)


class Span(enum.StrEnum):
    """How much a fault strikes."""

    ONCE = "once"
    CALL = "call"
    ON = "on"


@dataclass(frozen=True)
class Strike:
    """A fault at the call with this number: `7 lost once`."""

    call: int
    fault: Fault
    span: Span

    def __str__(self) -> str:
        return f"{self.call} {self.fault} {self.span}"

    @classmethod
    def parse(cls, text: str) -> Strike:
        number, _, rest = text.partition(" ")
        fault, _, span = rest.rpartition(" ")
        return cls(int(number), Fault(fault), Span(span))


@dataclass(frozen=True)
class Call:
    """A request of a run that nothing has struck."""

    service: Service
    told: str
    writes: bool
    lock: bool


# -- what a struck service says ----------------------------------------------------------------------------------------

_PAGE: Final = b"""<html>\r
<head><title>502 Bad Gateway</title></head>\r
<body>\r
<center><h1>502 Bad Gateway</h1></center>\r
<hr><center>nginx/1.24.0</center>\r
</body>\r
</html>\r
"""
_HTML: Final = {"Content-Type": "text/html"}
_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}


def _gateway(forwarding: Proxy, exchange: Exchange) -> Answer:
    """As nginx says where the server's answer did not come."""
    forwarding.forward(exchange)
    return Answer(502, _PAGE, dict(_HTML))


def _problem(status: int, title: str) -> Action:
    body = f'{{"type":"https://tools.ietf.org/html/rfc9110","title":"{title}","status":{status}}}'.encode()
    return proxy.say(status, body, **{"Content-Type": "application/problem+json"})


_BOTH: Final[Mapping[Fault, Action]] = {
    Fault.REFUSED: proxy.lose,  # what comes over a connection that was made before
    Fault.RESET: proxy.reset,
    Fault.LOST: proxy.reset_answer,
    Fault.STALLED: proxy.stall,
    Fault.SLOW: proxy.stall_answer,
    Fault.LATE: proxy.stall_for_later,
    Fault.CUT: proxy.cut,
    Fault.ILL: proxy.say(500, b"Internal Server Error", **_TEXT),
    Fault.GATEWAY: _gateway,
}
_QUOTA: Final = b'{"errors":["request path \\"secret\\": rate limit quota exceeded"]}'
SAID: Final[Mapping[Service, Mapping[Fault, Action]]] = {
    Service.NEXUS: {
        **_BOTH,
        Fault.SEALED: proxy.say(503, b"Service Unavailable", **_TEXT),
        Fault.BUSY: _problem(429, "Too Many Requests"),
        Fault.WAIT: proxy.say(429, b"", **{"Retry-After": "1"}),
        Fault.DENIED: _problem(403, "Forbidden"),
        Fault.ENDED: _problem(401, "Unauthorized"),
    },
    Service.VAULT: {
        **_BOTH,
        Fault.SEALED: proxy.say(503, b'{"errors":["Vault is sealed"]}'),
        Fault.BUSY: proxy.say(429, _QUOTA),
        Fault.WAIT: proxy.say(429, _QUOTA, **{"Retry-After": "1"}),
        Fault.DENIED: proxy.say(403, b'{"errors":["permission denied"]}'),
    },
}


class Desk:
    """Stands at both proxies for the length of one run: numbers its calls, and strikes where it is told to.

    `before` are the calls of the same run unstruck: connections have to be refused before the call comes.
    """

    def __init__(
        self,
        lab: Lab,
        strike: Strike | None = None,
        before: tuple[Call, ...] = (),
        *,
        look: Callable[[str], None] = lambda _moment: None,
    ) -> None:
        self._proxies = {Service.NEXUS: lab.nexus_proxy, Service.VAULT: lab.vault_proxy}
        self._strike = strike
        self._look = look
        self._service = before[strike.call - 1].service if strike else None
        earlier = before[: strike.call - 1] if strike else ()
        # the last call that this service answers: at its end nobody listens any more
        self._last = max((n for n, call in enumerate(earlier, 1) if call.service is self._service), default=0)
        self._turn = threading.Lock()
        self._struck: Exchange | None = None
        self._passed = False  # a request that is another one than the struck
        self._failures = 0
        self._over = False
        self.calls: list[Call] = []
        self.trace: list[str] = []

    def __enter__(self) -> Desk:
        for service, at in self._proxies.items():
            for method in ("GET", "HEAD", "LIST", "POST", "PUT", "PATCH", "DELETE"):
                at.on(method, "", functools.partial(self._came, service), times=sys.maxsize)
            at.keeps_alive = not (self._refuses and service is self._service)
        if self._refuses and self._service and not self._last:
            self._proxies[self._service].refuse()
        return self

    def __exit__(self, *error: object) -> None:
        self.lift()

    def lift(self) -> None:
        """The end of the fault, and of the desk: whoever still waits is let go unseen."""
        self._over = True
        for service, at in self._proxies.items():
            self._land(service)
            at.clear()

    @property
    def _refuses(self) -> bool:
        return self._strike is not None and self._strike.fault is Fault.REFUSED

    def _came(self, service: Service, at: Proxy, exchange: Exchange) -> Answer | None:
        locks = exchange.path.partition("?")[0].endswith("/.registrar/lock")
        writes = is_effect(exchange) or (locks and exchange.method == "POST")
        with self._turn:
            number = len(self.calls) + 1
            self.calls.append(Call(service, _brief(exchange), writes, locks))
            fault = self._fault(service, exchange, number)
        moment = f"{number} {service} {_brief(exchange)}"
        if fault:
            self.trace.append(f"{moment}: struck by {fault}")
            answer = SAID[service][fault](at, exchange)
        else:
            answer = at.forward(exchange)
            self.trace.append(f"{moment}: {answer.status}")
        if writes and not locks and not self._over:
            self._look(moment)
        if self._refuses and number == self._last:
            at.refuse()
        return answer

    def _fault(self, service: Service, exchange: Exchange, number: int) -> Fault | None:
        """What strikes this one, if anything does."""
        strike = self._strike
        if strike is None or service is not self._service or number < strike.call:
            return None
        if number == strike.call:
            self._struck = exchange
        self._passed |= exchange != self._struck
        strikes = {Span.ONCE: number == strike.call, Span.CALL: not self._passed, Span.ON: True}
        return strike.fault if strikes[strike.span] else None

    def heard(self, service: Service, method: str, path: str, status: int | None, _ms: float) -> None:
        """A client tells of a request: here one has given up, or has not been let in."""
        if status is not None or service is not self._service or self._strike is None or self._over:
            return
        self._failures += 1
        if self._refuses:
            self.trace.append(f"{service}: no connection for {method} {path.partition('?')[0]}")
            if self._failures >= {Span.ONCE: 1, Span.CALL: 3, Span.ON: sys.maxsize}[self._strike.span]:
                self._proxies[service].listen()
        elif self._strike.fault.waits:
            self._land(service)
            self._look("when the client has given up")

    def _land(self, service: Service) -> None:
        at = self._proxies[service]
        kept, at.kept = at.kept, []
        self.trace += land(((at, exchange) for exchange in kept), self._look)


def _brief(exchange: Exchange) -> str:
    return named(exchange).partition("?")[0]


# -- one run -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def clients(lab: Lab, desk: Desk, timeout_s: float) -> Iterator[ports.Services]:
    """Those of one run, as new as a command's; the desk hears what becomes of each request."""
    nexus_url, vault_url = lab.nexus_proxy.url, lab.vault_proxy.url
    key, secret, token = (Secret(lab.environ[name]) for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET", "VAULT_TOKEN"))
    to_nexus, to_vault = (functools.partial(desk.heard, service) for service in (Service.NEXUS, Service.VAULT))
    with (
        Nexus(nexus_url, api_key=key, api_secret=secret, timeout_s=timeout_s, tls=_TLS, trace=to_nexus) as nexus,
        QuietProof(nexus_url, timeout_s=timeout_s, tls=_TLS, trace=to_nexus) as proof,
        contextlib.closing(
            Vault(
                vault_url,
                token=token,
                prefix=lab.target.vault_prefix,
                timeout_s=timeout_s,
                tls=_TLS,
                trace=to_vault,
            )
        ) as vault,
    ):
        yield ports.Services(nexus, vault, proof)


def carried_out(
    lab: Lab, desk: Desk, asked: Asked, desired: tuple[Application, ...], timeout_s: float = TIMEOUT_S
) -> Report:
    """One run as the command has it, with clients of its own: lock, look, plan, brake, preflight, apply."""
    with clients(lab, desk, timeout_s) as services, desk:
        records = services.records
        with lock.take(records, holder="a run", domain=lambda: "", timeout_s=1) as lease:
            world = reconcile.observe(lab.target, desired, services.applications, records)
            todo = asked.decide(world)
            planning.brake(todo)
            if todo.pending:
                reconcile.preflight(todo, world, services)
            run = reconcile.Run(world, services, lease, pace=PACE, credentials=asked.credentials)
            return reconcile.apply(run, todo, asked.decide)


@dataclass(frozen=True)
class Ended:
    """How a run ended: its report or what it raised, and whether that took so long that the fault had to be lifted."""

    how: Report | Exception
    hung: bool = False

    @property
    def exit_code(self) -> int:
        if isinstance(self.how, Report):
            return self.how.exit_code
        return self.how.exit_code if isinstance(self.how, RegistrarError) else 1

    def __str__(self) -> str:
        if isinstance(self.how, Report):
            return f"{self.exit_code}: {told(self.how)}"
        said = self.how.message if isinstance(self.how, RegistrarError) else repr(self.how)
        return f"{self.exit_code}: {type(self.how).__name__}: {said}"

    def complaints(self) -> Iterator[str]:
        """What a person would have to complain about, whatever the fault was."""
        if self.hung:
            yield f"the run does not end within {ENDS_S:.0f} s"
        if not isinstance(self.how, Report):
            yield from _complaints(self.how)
            return
        for outcome in self.how.outcomes:
            if outcome.error:
                yield from _complaints(outcome.error)
            elif outcome.status is Status.FAILED:
                yield f"a step failed without an error: {outcome.detail}"
        if self.how.cause:
            yield from _complaints(self.how.cause)


def _complaints(error: Exception) -> Iterator[str]:
    if not isinstance(error, RegistrarError):
        yield f"an exception came through: {error!r}"
    elif "a defect of registrar" in error.message:
        yield error.message
    elif not error.message.strip():
        yield f"a {type(error).__name__} says nothing"
    elif not error.hint.strip():
        yield f"a {type(error).__name__} names no way on: {error.message}"


def ended(run: Callable[[], Report], lift: Callable[[], None]) -> Ended:
    """The end of a run; one that does not come to it by itself is let go."""
    found: list[Report | Exception] = []

    def watched() -> None:
        try:
            found.append(run())
        except Exception as error:  # noqa: BLE001 (what came through is what is looked for)
            found.append(error)

    thread = threading.Thread(target=watched, daemon=True)
    thread.start()
    thread.join(ENDS_S)
    hung = thread.is_alive()
    if hung:
        lift()
        thread.join(ENDS_S)
    return Ended(found[0] if found else TimeoutError("it does not even end without the fault"), hung)


# -- one trial ---------------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """How one strike ended; `calls`, `left` and `code` of the unstruck one are what others are measured by.

    `mistold` is what was wrong with how the run ended, `wrong` what was wrong with the world; `twice` as in an attack.
    """

    scenario: str
    strike: Strike | None = None
    wrong: list[watching.Fault] = field(default_factory=list)
    mistold: list[str] = field(default_factory=list)
    calls: tuple[Call, ...] = ()
    left: list[str] = field(default_factory=list)
    code: int = 0
    twice: bool = False
    trace: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.wrong or self.mistold)

    def has(self, damage: Damage) -> bool:
        return any(fault.damage is damage for fault in self.wrong)

    def __str__(self) -> str:
        lines = [f'--scenario "{self.scenario}" --strike "{self.strike or "nothing"}"']
        lines += [f"    {fault.damage}: {fault.told}" for fault in self.wrong]
        lines += [f"    mistold: {what}" for what in self.mistold]
        return "\n".join(lines + [f"        {line}" for line in self.trace])


def tried(lab: Lab, scenario: Scenario, strike: Strike | None = None, unstruck: Trial | None = None) -> Trial:
    """Make the world, strike the run, let a plain apply follow, and look."""
    if strike and unstruck is None:
        unstruck = tried(lab, scenario)
    trial = Trial(scenario.name, strike)
    lab.fresh()
    watch = Watch(lab, scenario)
    with contextlib.closing(watch):
        asked = scenario.prepare(lab)
        watch.begin(asked.by_hand)
        desk = Desk(lab, strike, unstruck.calls if unstruck else (), look=watch.look)
        timeout_s = SHORT_S if strike and strike.fault.waits else TIMEOUT_S
        with _soon():
            run = ended(lambda: carried_out(lab, desk, asked, scenario.desired, timeout_s), desk.lift)
        trial.calls, trial.code = tuple(desk.calls), run.exit_code
        trial.trace += ["the run:", *desk.trace, f"  = {run}"]
        try:
            _told_right(lab, scenario, trial, run, unstruck)
            _followed(lab, scenario, trial, watch)
            watch.end()
        except RegistrarError as error:
            watch.faults.append(watching.Fault(Damage.UNFINISHED, f"{type(error).__name__}: {error.message}"))
    trial.wrong = watch.faults
    return trial


def _told_right(lab: Lab, scenario: Scenario, trial: Trial, run: Ended, unstruck: Trial | None) -> None:
    """Whatever the run did, it says so, and it calls nothing a success that has not done its whole work."""
    trial.mistold += run.complaints()
    if unstruck is None or run.exit_code == 0:
        trial.left = _left(lab, scenario)
    if unstruck and run.exit_code == 0:
        if unstruck.code != 0:
            trial.mistold.append(f"exit code 0, and {unstruck.code} when nothing strikes")
        if trial.left != unstruck.left:
            trial.mistold.append(f"exit code 0, and what is left is {trial.left}, not {unstruck.left}")


def _left(lab: Lab, scenario: Scenario) -> list[str]:
    """What a run has left, in words that are the same in every world in which it has done the same."""
    world = lab.observe(*scenario.desired)
    before = lab._kept | {stranger.client_id for stranger in lab.strangers.values()}
    ours = [one for one in world.registered or () if one.client_id not in before]
    found = [step.operation for step in planning.plan(world).steps]
    for application in scenario.looked_at:
        facts = world.by_path[application.path].base if application.path in world.by_path else Facts()
        named_so = [one.archived for one in ours if one.name == application.name]
        there = f"{named_so.count(False)} living, {named_so.count(True)} archived, {len(formers(facts))} replaced"
        found.append(f"{application.path}: {facts.state}, {there}")
    return found


def _followed(lab: Lab, scenario: Scenario, trial: Trial, watch: Watch) -> None:
    """A plain apply, and one more where an attack has one more."""

    def apply() -> None:
        gate = Gate(lab, look=watch.look)
        how = in_process(lab, gate, Asked(), scenario.desired)
        trial.trace += ["apply:", *gate.trace, f"  = {how}"]

    apply()
    watch.wait()
    if planning.plan(lab.observe(*scenario.desired)).pending:
        trial.twice = True
        apply()


@contextlib.contextmanager
def _soon() -> Iterator[None]:
    """The pauses between tries, shorter."""
    with (
        mock.patch.object(registrar.nexus.wire, "PAUSES_S", (0.01, 0.02)),
        mock.patch.object(registrar.vault.wire, "_PAUSES_S", (0.01, 0.02)),
        mock.patch.object(lock, "_POLL_S", 0.05),
    ):
        yield


_FINAL: Final = (Fault.STALLED, Fault.DENIED)  # nobody asks again


# -- a campaign --------------------------------------------------------------------------------------------------------


def strikes(unstruck: Trial) -> list[Strike]:
    """Every fault at every call in every span, but for those that are the same as another one."""
    found = []
    for number, call in enumerate(unstruck.calls, 1):
        for fault in SAID[call.service]:
            if fault.works and not call.writes:
                continue
            repeated = fault in (Fault.REFUSED, Fault.BUSY, Fault.WAIT) or not (call.writes or fault in _FINAL)
            spans = (Span.ONCE, *([Span.CALL] * repeated), Span.ON)
            found += [Strike(number, fault, span) for span in spans]
    return found


def whole(lab: Lab, scenario: Scenario, chosen: Callable[[Call, Strike], bool]) -> Iterator[Trial]:
    """The unstruck run, and all strikes of the chosen ones."""
    unstruck = tried(lab, scenario)
    yield unstruck
    for strike in strikes(unstruck):
        if chosen(unstruck.calls[strike.call - 1], strike):
            yield tried(lab, scenario, strike, unstruck)


def sampled(
    lab: Lab,
    scenario: Scenario,
    seed: str,
    sample: int,
    chosen: Callable[[Call, Strike], bool] = lambda _call, _strike: True,
) -> Iterator[Trial]:
    """Some of these by a seed: every other one at an effect, and faults as evenly as they come."""
    choice = random.Random(f"{seed} {scenario.name}")
    unstruck = tried(lab, scenario)
    yield unstruck
    there = [strike for strike in strikes(unstruck) if chosen(unstruck.calls[strike.call - 1], strike)]
    for number in range(sample):
        calls = [one for one in there if unstruck.calls[one.call - 1].writes is (number % 2 == 0)] or there
        if not calls:
            return
        fault = choice.choice(sorted({one.fault for one in calls}))
        strike = choice.choice([one for one in calls if one.fault is fault])
        there.remove(strike)
        yield tried(lab, scenario, strike, unstruck)


@dataclass
class Count:
    """What became of the strikes of one fault."""

    fault: str
    tried: int = 0
    converged: int = 0
    twice: int = 0
    lost: int = 0
    doubled: int = 0
    touched: int = 0
    unfinished: int = 0
    mistold: int = 0

    def add(self, trial: Trial) -> None:
        self.tried += 1
        self.converged += not trial.wrong
        self.twice += trial.twice and not trial.wrong
        for damage in Damage:
            setattr(self, damage, getattr(self, damage) + trial.has(damage))
        self.mistold += bool(trial.mistold)


COLUMNS: Final = ("tried", "converged", "twice", "lost", "doubled", "touched", "unfinished", "mistold")
HEAD: Final = f"{'fault':12}" + "".join(f"{column:>11}" for column in COLUMNS)


def row(count: Count) -> str:
    """The counts of one fault, or of all."""
    return f"{count.fault:12}" + "".join(f"{getattr(count, column):>11}" for column in COLUMNS)


def _tried_all(name: str, given: argparse.Namespace) -> list[Trial]:
    """All strikes of one scenario, in a process of its own."""
    (scenario,) = (one for one in SCENARIOS if one.name == name)

    def chosen(call: Call, strike: Strike) -> bool:
        return (
            (not given.service or call.service == given.service)
            and (call.writes or not given.writes)
            and (not given.fault or strike.fault in given.fault)
            and (not given.span or strike.span in given.span)
        )

    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = stack.enter_context(laboratory(stack.enter_context(vaults.running("stand-in", home))))
        trials: Iterable[Trial] = whole(lab, scenario, chosen)
        if given.strike:
            trials = [tried(lab, scenario, None if given.strike == "nothing" else Strike.parse(given.strike))]
        elif given.sample:
            trials = sampled(lab, scenario, given.seed, given.sample, chosen)
        return [_shown(trial, given) for trial in trials]


def _shown(trial: Trial, given: argparse.Namespace) -> Trial:
    """Told at once where it failed."""
    if trial.failed or given.strike:
        print(trial, flush=True)
    return trial


def main() -> int:
    """Strike everywhere, print what became of it, and fail unless all of it is whole and well told."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody.faults", description=main.__doc__)
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--strike", default="", metavar="STRIKE", help="only this one, traced: '7 lost once'")
    parser.add_argument("--service", choices=list(Service), help="calls of this one alone")
    parser.add_argument("--writes", action="store_true", help="calls that change something alone")
    parser.add_argument("--fault", action="append", choices=list(Fault))
    parser.add_argument("--span", action="append", choices=list(Span))
    parser.add_argument("--seed", default="", help="of a sample")
    parser.add_argument("--sample", type=int, default=0, help="so many strikes of each scenario instead of all")
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at once")
    given = parser.parse_args()
    names = given.scenario or [scenario.name for scenario in SCENARIOS]
    began, total, counts = time.monotonic(), Count("in all"), {fault: Count(fault) for fault in Fault}
    failed = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        for name, trials in zip(names, pool.map(functools.partial(_tried_all, given=given), names), strict=True):
            bad = sum(trial.failed for trial in trials)
            failed += bad
            print(f"{name}: {len(trials)} tried, {bad} failed, {time.monotonic() - began:.0f} s", flush=True)
            for trial in trials:
                if trial.strike:
                    counts[trial.strike.fault].add(trial)
                    total.add(trial)
    print(HEAD, *map(row, counts.values()), row(total), sep="\n")
    print(f"{time.monotonic() - began:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

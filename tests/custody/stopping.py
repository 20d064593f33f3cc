"""Where a run can be stopped: effects numbered from outside, by the proxies, and runs that die at one of them.

A run in this process is stopped by an exception that nothing catches, a process of the command by SIGKILL; from then
on nothing of it gets through.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, cast

from registrar import lock, ports, reconcile
from registrar import plan as planning
from registrar.model import Application, Lock, new_id
from registrar.report import Report
from tests.cli.program import Program, finished
from tests.custody.lab import Lab
from tests.custody.proxy import Answer, Exchange, Proxy
from tests.custody.scenarios import Asked

PACE: Final = reconcile.Pace(parallelism=1, doubt_s=0.1, poll_s=0.02)  # one at a time, so that numbers repeat
_LOCK: Final = re.compile(r"/\.registrar/lock$")
_EFFECTS: Final = r"/oauth/applications|/v1/secret/(?:data|metadata|delete|undelete|destroy)/(?!.*/\.registrar/lock)"
_CHANGING: Final = ("POST", "PUT", "PATCH", "DELETE")


class Where(enum.StrEnum):
    """Where at an effect a run is stopped, or what happens to the effect of one that lives on."""

    BEFORE = "before"
    AFTER = "after"
    BETWEEN = "between"
    LATE = "late"
    DEAF = "deaf"
    SLOW = "slow"

    @property
    def dies(self) -> bool:
        return self not in (Where.DEAF, Where.SLOW)

    @property
    def lands_later(self) -> bool:
        return self in (Where.LATE, Where.SLOW)


@dataclass(frozen=True)
class Point:
    """The number of an effect, and what happens there."""

    effect: int
    where: Where

    def __str__(self) -> str:
        return f"{self.effect} {self.where}"


class Stopped(BaseException):
    """The run is dead: no `except Exception` gets hold of it."""


class Gate:
    """Stands at both proxies for the length of one run: numbers its effects, and lets none of a dead run through."""

    def __init__(
        self,
        lab: Lab,
        point: Point | None = None,
        *,
        look: Callable[[str], None] = lambda _moment: None,
        late: Iterable[tuple[Proxy, Exchange]] = (),
        lands: int = 0,
    ) -> None:
        self._proxies = (lab.nexus_proxy, lab.vault_proxy)
        self._metadata_cas = lab.metadata_cas
        self._point = point
        self._look = look
        self.late = list(late)
        self._lands = lands
        self._turn = threading.Lock()
        self.kill: Callable[[], None] = lambda: None
        self.dead = False
        self.kept: list[tuple[Proxy, Exchange]] = []
        self.effects: list[str] = []
        self.requests = 0
        self.trace: list[str] = []

    def __enter__(self) -> Self:
        for proxy in self._proxies:
            for method in _CHANGING:
                proxy.on(method, _EFFECTS, self._pass, times=sys.maxsize)
            proxy.before = self._count
        if not self._metadata_cas:
            self._proxies[1].after = without_metadata_version
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self._proxies:
            proxy.clear()

    def alive(self) -> None:
        """Raise Stopped in a run that is dead."""
        if self.dead:
            raise Stopped

    def _count(self, exchange: Exchange) -> None:
        if _LOCK.search(exchange.path.partition("?")[0]):
            return
        self.requests += 1
        if self.requests == self._lands:
            late, self.late = self.late, []
            self.trace += land(late, self._look)

    def _pass(self, proxy: Proxy, exchange: Exchange) -> Answer | None:
        with self._turn:
            if self.dead:
                return None
            told = named(exchange)
            self.effects.append(told)
            number = len(self.effects)
            point = self._point if self._point and self._point.effect == number else None
            if point is None:
                answer = proxy.forward(exchange)
                self._tell(f"{number} {told}: {answer.status}")
                return answer
            return self._at(point, proxy, exchange)

    def _at(self, point: Point, proxy: Proxy, exchange: Exchange) -> Answer | None:
        """What happens at the chosen effect."""
        told = f"{point.effect} {named(exchange)}"
        if point.where is Where.BEFORE:
            self._die(told)
            return None
        if point.where.lands_later:
            self.kept.append((proxy, exchange))
            self._tell(f"{told}: kept back")
            if point.where.dies:
                self._die(told)
            return None
        answer = proxy.forward(exchange)
        self._tell(f"{told}: {answer.status}")
        if point.where.dies:
            self._die(told)
        return answer if point.where is Where.BETWEEN else None

    def _tell(self, told: str) -> None:
        self.trace.append(told)
        self._look(told)

    def _die(self, told: str) -> None:
        self.dead = True
        self.trace.append(f"{told}: stopped")
        self.kill()


class Mortal:
    """A service as one run has it: whatever it asks or sends ends with the run."""

    def __init__(self, service: object, gate: Gate) -> None:
        self._service = service
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._service, name)

        def mortal(*arguments: Any, **options: Any) -> Any:
            self._gate.alive()
            try:
                return call(*arguments, **options)
            finally:
                self._gate.alive()  # in place of whatever the call raised

        return mortal


def named(exchange: Exchange) -> str:
    """A request in few words."""
    path = exchange.path.replace("/api/v2/oauth/", "").replace("/v1/secret/", "")
    return f"{exchange.method} {re.sub(r'/t-[0-9a-f]{8}/', ' ', path)}"


def is_effect(exchange: Exchange) -> bool:
    """Whether a request changes something, but for writes of the lock."""
    return exchange.method in _CHANGING and re.search(_EFFECTS, exchange.path) is not None


def without_metadata_version(_exchange: Exchange, answer: Answer) -> None:
    """An answer as Vault gives it, which guards no metadata."""
    if b"current_metadata_version" in answer.body:
        answer.body = json.dumps(json.loads(answer.body, object_pairs_hook=_but_the_version)).encode()


def _but_the_version(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {key: value for key, value in pairs if key != "current_metadata_version"}


def land(late: Iterable[tuple[Proxy, Exchange]], look: Callable[[str], None]) -> list[str]:
    """Let what was kept back arrive."""
    trace = []
    for proxy, exchange in late:
        told = f"late {named(exchange)}: {proxy.forward(exchange).status}"
        trace.append(told)
        look(told)
    return trace


def taken(lab: Lab, lease_s: int = 30) -> lock.Lease:
    """The lock, taken over at once from a run that is dead: as after its lease, without the wait."""
    found = lab.vault.lock() or Lock(version=0)
    since = lock._now()
    mine = dataclasses.replace(found, domain=found.domain or new_id(), run=new_id(), holder="an attack")
    mine = dataclasses.replace(mine, lease_s=lease_s)
    return lock.Lease(lab.vault, lab.vault.write_lock(mine), since)


def reported(
    lab: Lab, gate: Gate, asked: Asked, desired: tuple[Application, ...], *, lease_s: int = 30
) -> Report | None:
    """One run to its end, or to where it is stopped (None): its lock then stays as a dead process leaves it."""
    applications, records, proof = (Mortal(service, gate) for service in (lab.nexus, lab.vault, lab.proof))
    services = ports.Services(
        cast(ports.Applications, applications), cast(ports.Records, records), cast(ports.Proof, proof)
    )
    lease = taken(lab, lease_s)
    with gate, contextlib.ExitStack() as stack:
        stack.enter_context(lease)
        try:
            world = reconcile.observe(lab.target, desired, services.applications, services.records)
            todo = asked.decide(world)
            planning.brake(todo)
            run = reconcile.Run(world, services, lease, pace=PACE, credentials=asked.credentials)
            return reconcile.apply(run, todo, asked.decide)
        except Stopped:
            stack.pop_all()
            lease._over.set()
            lease._keeper.join()
            return None


def in_process(lab: Lab, gate: Gate, asked: Asked, desired: tuple[Application, ...], *, lease_s: int = 30) -> str:
    """The same, and how it ended in words."""
    report = reported(lab, gate, asked, desired, lease_s=lease_s)
    return told(report) if report else "dead"


def told(report: Report) -> str:
    """The outcomes of a run in one line."""
    return "; ".join(f"{one.step.operation} {one.status}: {one.detail}" for one in report.outcomes)


def by_command(lab: Lab, gate: Gate, asked: Asked, desired: tuple[Application, ...], *, program: Program) -> str:
    """The same as a process of its own, which is killed where it is stopped."""
    target = lab.target
    where = {"nexus_url": target.nexus_url, "vault_addr": target.vault_addr, "vault_prefix": target.vault_prefix}
    applications = [{**one.declared(), "path": one.path} for one in desired]
    program.write("registrar.yaml", json.dumps({"set": target.set, "targets": {"test": where}}))
    program.write("manifests/apps.yaml", json.dumps({"apps": applications}))
    for credential in asked.credentials.values():
        program.write("secret", credential.client_secret.reveal())
    with taken(lab):
        pass  # released: a process would wait for the whole lease of the one that was killed
    with gate:
        process = program.start("--target", "test", *asked.words, "--yes")
        gate.kill = process.kill
        ended = finished(process)
    return f"{' '.join(asked.words)}: {ended.code}: {ended.err.strip()}".replace("\n", " | ")


CarryOut = Callable[[Lab, Gate, Asked, tuple[Application, ...]], str]

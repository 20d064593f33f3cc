"""Ctrl-C, SIGTERM and SIGKILL in the middle of a run: what has begun is finished or undone, by this run or the next."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from registrar import lock
from registrar.reconcile.concurrency import MOST
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO, many, uri
from tests.cli.program import Program, Result, exported, finished, foreground
from tests.cli.services import LOCK, Services, serving
from tests.custody.proxy import Answer, Exchange, Proxy

PARALLELISM = MOST  # the default


@pytest.fixture
def slow(program: Program) -> Iterator[Program]:
    """A program whose sandbox takes its time."""
    with foreground(program, "--latency", "30") as (_, ready):
        program.environ |= exported(ready)
        yield program


class Running:
    """An apply that goes on; what it says is in files, so that it can be read while it comes."""

    def __init__(self, program: Program, *words: str) -> None:
        self._files = [program.home / name for name in ("out", "err")]
        with contextlib.ExitStack() as stack:
            out, err = (stack.enter_context(file.open("w")) for file in self._files)
            self.process: subprocess.Popen[str] = program.start(*words, stdout=out, stderr=err)

    @property
    def err(self) -> str:
        return self._files[1].read_text()

    def until(self, condition: Callable[[str], bool]) -> None:
        ends = time.monotonic() + 30
        while not condition(self.err):
            assert self.process.poll() is None, self.err
            assert time.monotonic() < ends, self.err
            time.sleep(0.005)

    def end(self) -> Result:
        return Result(finished(self.process).code, *(file.read_text() for file in self._files))


def registered(err: str) -> int:
    return len(re.findall(r"^App \d+: registered", err, re.MULTILINE))


def assert_whole(services: Services, count: int) -> None:
    """Each application is there once, without a mark, and its stored credential proves right."""
    found = services.registered()
    assert sorted(one["name"] for one in found) == sorted(f"App {number}" for number in range(count))
    assert {one["description"] for one in found} == {"made"}
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: services.proves(f"app-{number}", uri(number)), range(count)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_finish_what_has_begun(number: signal.Signals, slow: Program) -> None:
    slow.write("apps.yaml", many(40))
    running = Running(slow, "apply", "apps.yaml", "--yes", "-v")
    running.until(lambda err: registered(err) >= 10)
    running.process.send_signal(number)
    stopped = running.end()
    assert stopped.code == 130
    assert "no new step begins" in stopped.err
    after = stopped.err.partition("Stopping: ")[2]
    assert registered(after) <= PARALLELISM
    with serving(slow.state) as services:
        begun = services.registered()
        assert 10 <= len(begun) < 40
        assert {one["description"] for one in begun} == {"made"}  # finished, all of them
        assert len(services.records()) == len(begun) + 1
        assert f"{len(begun)} done, {40 - len(begun)} skipped; interrupted\n" in stopped.out

        rest = slow.run("apply", "apps.yaml", "--yes", "--lock-timeout", "1")  # the lock was given back
        assert rest.code == 0, rest.err
        assert f"{40 - len(begun)} done\n" in rest.out
        assert_whole(services, 40)


def test_a_second_signal_ends_each_step_at_its_credential(slow: Program) -> None:
    slow.write("apps.yaml", many(40))
    running = Running(slow, "apply", "apps.yaml", "--yes", "-v")
    running.until(lambda err: registered(err) >= 10)
    running.process.send_signal(signal.SIGINT)
    running.until(lambda err: "Stopping: " in err)
    running.process.send_signal(signal.SIGINT)
    stopped = running.end()
    assert stopped.code == 130
    assert "Stopping now: " in stopped.err
    with serving(slow.state) as services:
        begun = services.registered()
        assert len(begun) < 40
        marked = [one["description"] for one in begun if one["description"].startswith("registrar/1 ")]
        assert marked  # stored, but not finished
        assert "App 16: App 16" not in stopped.out
        table = slow.call("status", "--manifests", "apps.yaml")
        assert "half-made" in table.out
        assert "somebody" not in table.out  # what is stored there is ours
        assert "other sets" not in table.out
        rest = slow.run("apply", "apps.yaml", "--yes", "--lock-timeout", "1")
        assert rest.code == 0, rest.err
        assert_whole(services, 40)


def test_recover_does_what_the_hint_of_a_stopped_step_promises(slow: Program) -> None:
    slow.write("apps.yaml", many(40))
    running = Running(slow, "apply", "apps.yaml", "--yes", "-v")
    running.until(lambda err: len(re.findall(r"^App \d+: settled", err, re.MULTILINE)) >= 4)
    running.process.send_signal(signal.SIGINT)
    running.until(lambda err: "Stopping: " in err)
    running.process.send_signal(signal.SIGINT)
    assert "→ registrar recover\n" in running.end().out
    with serving(slow.state) as services:
        assert slow.run("recover", "--yes").code == 0
        assert [one for one in services.registered() if one["description"].startswith("registrar/1 ")] == []


def test_a_run_that_is_killed_is_finished_by_the_next(slow: Program) -> None:
    slow.write("apps.yaml", many(50))
    running = Running(slow, "apply", "apps.yaml", "--yes", "-v")
    running.until(lambda err: registered(err) >= 12)
    os.kill(running.process.pid, signal.SIGKILL)
    assert running.end().code == -signal.SIGKILL
    with serving(slow.state) as services:
        begun = services.registered()
        assert 12 <= len(begun) < 50
        assert any(one["description"].startswith("registrar/1 ") for one in begun)
        rest = slow.run("apply", "apps.yaml", "--yes")  # waits until the lease is over
        assert rest.code == 0, rest.err
        assert rest.err.startswith("Waiting for another run: ")
        assert_whole(services, 50)
        assert "Nothing to do: 50 applications in sync." in slow.run("apply", "apps.yaml", "--yes").out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_waits_ends_it_at_once(
    number: signal.Signals, connected: Program, services: Services
) -> None:
    connected.write("apps.yaml", TWO)
    vault = Vault(services.running.vault_addr, token=Secret(services.running.vault_token))
    with contextlib.closing(vault), lock.take(vault, holder="the night shift", domain=lambda: ""):
        running = Running(connected, "apply", "apps.yaml", "--yes")
        running.until(lambda err: "Waiting for another run" in err)
        running.process.send_signal(number)
        stopped = running.end()
    assert stopped.code == 130
    assert "registrar: stopped: nothing was changed\n" in stopped.err
    assert services.registered() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_effect_gives_the_lock_back(
    number: signal.Signals, connected: Program, services: Services
) -> None:
    connected.write("apps.yaml", TWO)
    reached, over = threading.Event(), threading.Event()

    def hold(proxy: Proxy, exchange: Exchange) -> Answer | None:
        reached.set()
        over.wait(20)
        return proxy.forward(exchange)

    assert services.nexus
    services.nexus.on("GET", "/oauth/applications", hold)
    running = Running(connected, "apply", "apps.yaml", "--yes", "-o", "json")
    assert reached.wait(20)
    held = services.records()[f"nexus/{LOCK}"]
    assert "process" in str(held["versions"])
    running.process.send_signal(number)
    stopped = running.end()
    over.set()
    assert stopped.code == 130
    assert stopped.document["error"]["exit_code"] == 130
    began = time.monotonic()
    assert connected.call("apply", "apps.yaml", "--yes", "--lock-timeout", "1").code == 0
    assert time.monotonic() - began < 5

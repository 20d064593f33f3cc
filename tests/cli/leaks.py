"""Runs commands and keeps all that comes out of them: what they say, log, write, send and show, to be searched."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import click

from registrar import cli
from tests.cli.canary import Canary
from tests.cli.processes import Audit, Bystander
from tests.cli.program import Program, Result, finished, typed
from tests.cli.services import LOCK, Services
from tests.custody.proxy import Action, Answer, Exchange, Proxy


class _Kept(logging.Handler):
    """Everything that anybody logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Watch:
    """A program whose every word is searched, with the services that it works with."""

    def __init__(self, program: Program, services: Services) -> None:
        assert services.nexus
        assert services.vault
        self.program, self.services = program, services
        self.nexus, self.vault = services.nexus, services.vault
        self.canary = Canary()
        self.audit = Audit(program.folder.parent / "audit", program.environ)
        self.core_limit = ""
        self._said: list[tuple[str, dict[str, str]]] = []
        self._seen: set[tuple[str, str]] = set()
        self._moment: tuple[str, Callable[[], None]] | None = None
        running = services.running
        for name, secret in program.environ.items():
            if name.endswith(("_TOKEN", "_SECRET", "_API_KEY")):
                self.canary.plant(secret, name)
        for account in (running.sysadmin, running.user):
            self.canary.plant(account.api_key, "an API key")
            self.canary.plant(account.api_secret, "an API secret")
        for between in (self.nexus, self.vault):
            between.after = self._overhear

    def call(self, *words: str, stdin: bytes = b"") -> Result:
        """Run it in this process, and remember what it said and logged."""
        kept, root = _Kept(), logging.getLogger()
        level = root.level
        root.addHandler(kept)
        root.setLevel(logging.DEBUG)
        try:
            result = self.program.call(*words, stdin=stdin)
        finally:
            root.setLevel(level)
            root.removeHandler(kept)
        return self._remember(words, result, "\n".join(kept.lines))

    def run(self, *words: str, stdin: str | None = None, **options: Any) -> Result:
        """Run it in a process of its own, and remember what others see of that as well."""
        return self.end(words, self.program.start(*words, **self._pipe(stdin), **options), stdin)

    def end(self, words: tuple[str, ...], process: subprocess.Popen[str], stdin: str | None = None) -> Result:
        """The same for a process that has been started."""
        with Bystander(process, self.program.environ) as beside:
            result = finished(process, stdin)
        self._seen |= beside.texts
        self.core_limit = beside.core_limit
        return self._remember(words, Result(result.code, result.out or "", result.err or ""))

    def typed(self, keys: str, *words: str) -> Result:
        """On a terminal, where somebody types this at the first question."""
        return self._remember(words, typed(self.program, keys.encode(), *words))

    def at(self, path: str, act: Callable[[], None]) -> None:
        """Do this once, when such a request has been answered and the program has not heard of it yet."""
        self._moment = path, act

    def search(self, *, but: Collection[str] = ()) -> set[str]:
        """All leaks, now that every secret is known; `but` are commands that print one because they were asked to."""
        found: set[str] = set()
        for words, said in self._said:
            for stream, text in said.items():
                if not (words in but and stream == "stdout"):
                    found |= self.canary.leaks(text, f"{stream} of {words}")
        for where, text in (*self._seen, *self.audit.texts()):
            found |= self.canary.leaks(text, where)
        found |= self.canary.leaks_in_files(self.program.home, self.program.folder)
        found |= self.canary.leaks(json.dumps(self.services.registered(), default=str), "Nexus")
        for path, record in self.services.records().items():
            found |= self.canary.leaks(json.dumps(record["metadata"]), f"the metadata of {path}")
            if path.endswith(LOCK):
                found |= self.canary.leaks(json.dumps(record), "the lock")
        return found

    @staticmethod
    def _pipe(stdin: str | None) -> dict[str, int]:
        return {"stdin": subprocess.DEVNULL if stdin is None else subprocess.PIPE}

    def _remember(self, words: tuple[str, ...], result: Result, log: str = "") -> Result:
        said = {"stdout": result.out, "stderr": result.err, "the log": log}
        self._said.append((" ".join(words), said))
        return result

    def _overhear(self, exchange: Exchange, answer: Answer) -> None:
        self.canary.overhear(exchange, answer)
        self._seen.add((f"a {exchange.method} {exchange.path.partition('?')[0]}", besides(exchange)))
        if self._moment and re.search(self._moment[0], f"{exchange.method} {exchange.path}"):
            (_, act), self._moment = self._moment, None
            act()


def besides(exchange: Exchange) -> str:
    """A request without the secret that it is there to carry, where that belongs; no mark and no fact has one."""
    usual = ("authorization", "x-vault-token")
    headers = {name: value for name, value in exchange.headers.items() if name.lower() not in usual}
    path, body = exchange.path, exchange.body.decode(errors="replace")
    if re.search(r"/oauth/exchange\?", path):
        path = re.sub(r"\bclient_secret=[^&]*", "", path)
    elif re.search(r"/oauth/tokens$|^/v1/auth/.*/login", path):
        body = ""
    elif re.search(r"^/v1/secret/data/(?!.*\.registrar/)", path) and body:
        document = json.loads(body)
        document["data"].pop("client_secret", None)
        body = json.dumps(document)
    return f"{path}\n{json.dumps(headers)}\n{body}"


# ── the commands ──────────────────────────────────────────────────────────────────────────────────────────────────────


def commands() -> dict[str, click.Command]:
    """Every command that can be typed, by its words; a group is one as well."""
    return dict(_walk(cli.registrar, ""))


def _walk(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found
            yield from _walk(found, f"{words} {name}".strip())


def called(words: Collection[str]) -> str:
    """The command that a command line calls."""
    known, found = commands(), ""
    for word in words:
        if f"{found} {word}".strip() not in known:
            break
        found = f"{found} {word}".strip()
    return found


def forms(command: click.Command) -> list[tuple[str, ...]]:
    """The words that make it speak in each of its ways: every format, and more or less of it.

    What is --output json is written in no other --format.
    """
    found: list[tuple[str, ...]] = [()]
    for option in command.params:
        ways: list[tuple[str, ...]] = [()]
        if option.name in ("output", "format_") and isinstance(option.type, click.Choice):
            ways = [(option.opts[0], choice) for choice in option.type.choices]
            ways += [()] if option.name == "format_" else []
        elif option.name == "verbose":
            ways += [("-v",), ("-vv",)] if getattr(option, "count", False) else [("-v",)]
        found = [(*before, *way) for before in found for way in ways]
    return [form for form in found if not ("json" in form[-2:] and "-o" in form and "--format" in form)]


def flagged(words: tuple[str, ...], *flags: str) -> tuple[str, ...]:
    """The command line with these flags, which are not the flags of a command that exec is to become."""
    end = words.index("--") if "--" in words else len(words)
    return (*words[:end], *flags, *words[end:])


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _echoed(exchange: Exchange) -> str:
    secret = ("authorization", "x-vault-token")
    headers = " ".join(f"{name}: {value}" for name, value in exchange.headers.items() if name.lower() in secret)
    return f"{exchange.path} {headers} {exchange.body.decode()}"


def echo(status: int, shape: Callable[[str], object], kind: str = "application/json") -> Action:
    """Answer with all that was sent, as a debugging proxy or a careless server does."""

    def action(proxy: Proxy, exchange: Exchange) -> Answer:  # noqa: ARG001 (an Action's signature)
        shaped = shape(_echoed(exchange))
        body = shaped if isinstance(shaped, str) else json.dumps(shaped)
        return Answer(status, body.encode(), {"Content-Type": kind})

    return action


def echo_after(status: int) -> Action:
    """Do what was asked, then fail with the answer in the body: the secret that nobody else will see again."""

    def action(proxy: Proxy, exchange: Exchange) -> Answer:
        return Answer(status, proxy.forward(exchange).body, {"Content-Type": "application/json"})

    return action


def hang(proxy: Proxy, exchange: Exchange) -> None:  # noqa: ARG001 (an Action's signature)
    """No answer before the client's patience ends."""
    time.sleep(0.4)


def cut(proxy: Proxy, exchange: Exchange) -> Answer:
    """Do what was asked, and break off in the middle of the answer."""
    answer = proxy.forward(exchange)
    half = answer.body[: len(answer.body) // 2]
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked", "Connection": "close"}
    return Answer(answer.status, b"ffff\r\n" + half, headers)


@contextlib.contextmanager
def trouble(proxy: Proxy, method: str, path: str, action: Action, times: int) -> Iterator[None]:
    """So many of these requests fail so, until the block is over."""
    proxy.on(method, path, action, times=times)
    try:
        yield
    finally:
        proxy._rules.clear()


METHODS = ("GET", "LIST", "POST", "PUT", "PATCH", "DELETE")


@contextlib.contextmanager
def breaking(first: int, last: int, action: Action, *proxies: Proxy) -> Iterator[list[str]]:
    """Whichever requests are the first to the last of all fail so; yields what was asked, as METHOD path."""
    asked: list[str] = []

    def counted(proxy: Proxy, exchange: Exchange) -> Answer | None:
        asked.append(f"{exchange.method} {exchange.path.partition('?')[0]}")
        return action(proxy, exchange) if first <= len(asked) <= last else proxy.forward(exchange)

    for proxy in proxies:
        for method in METHODS:
            proxy.on(method, "", counted, times=10**6)
    try:
        yield asked
    finally:
        for proxy in proxies:
            proxy._rules.clear()


def files(folder: Path) -> set[str]:
    """What is there, by its path below the folder."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}

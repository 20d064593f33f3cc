"""No leak in any command, in any form of it, whatever fails: the canary over the whole of click's tree.

Each place is searched once more for something that is no secret and stands there, so that no searcher is blind.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import json
import logging
import math
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import click
import pytest

import registrar
from registrar import cli
from registrar.cli.creds import _FORMATS, creds
from registrar.cli.init import _EXAMPLE, _SCAFFOLD
from tests.cli.canary import Canary
from tests.cli.leaks import (
    Watch,
    besides,
    breaking,
    called,
    commands,
    cut,
    echo,
    echo_after,
    files,
    flagged,
    forms,
    hang,
)
from tests.cli.manifests import TWO, many, uri
from tests.cli.processes import Audit, Bystander
from tests.cli.program import Program, Result, finished, foreground
from tests.cli.services import LOCK
from tests.custody import proxy as proxying
from tests.custody.proxy import Action, Answer, Exchange, Proxy

CONFIG = "set: twin\nmanifests: apps.yaml\ntargets: {default: {}}\n"
SOURCE = Path(registrar.__file__).parent

Line = tuple[tuple[str, ...], str]
"""The words of a command and what it reads from standard input."""


@pytest.fixture
def twin(watch: Watch) -> Watch:
    """A set of two applications."""
    watch.program.write("registrar.yaml", CONFIG)
    return watch


# ── every command, in every form ──────────────────────────────────────────────────────────────────────────────────────

CREDENTIAL = ("creds", "get", "viewer")  # prints the secret, since that is what it is for
ELSEWHERE = {"sandbox", "tui", "flow", "login"}
"""Commands with tests of their own: one tells its keys, one has no output but a screen, two need a person."""
IN_PLACE = ("exec", "viewer", "--", "no-such-command")
"""Becomes nothing: the secret is in an environment that nobody gets."""
CODES = {"": 64, "creds": 64, "init": 64, "exec": 127}
COMMANDS = {words: command for words, command in commands().items() if words not in ELSEWHERE}
FORMS = max(len(forms(command)) for command in COMMANDS.values())
WRITING = {"--out"}
"""The options that name a file to be written."""


def life(watch: Watch) -> Iterator[Line]:
    """Everything that can be asked of registrar, in an order in which each does what it is for."""
    for words in (
        (),
        ("validate",),
        ("validate", "-"),
        ("plan",),
        ("apply", "--yes", "--verify"),
        ("plan", "--without-nexus"),
        ("validate", "apps.yaml", "--untrusted"),
        ("plan", "apps.yaml", "--untrusted"),
        ("plan", "--out", "plan.json", "--force"),
        ("apply", "--plan", "plan.json"),
        ("status",),
        ("show", "viewer"),
        ("export",),
        ("export", "--out", "found.yaml", "--force"),
        ("verify",),
        ("verify", "--full", "--yes"),
        ("whoami",),
        ("logout",),
        ("creds",),
        CREDENTIAL,
        ("creds", "get", "viewer", "--field", "client_id"),
        ("creds", "get", "viewer", "--field", "client_secret", "--out", "../kept", "--force"),
        IN_PLACE,
        ("creds", "list"),
        ("creds", "template", "vault-agent", "viewer"),
        ("creds", "template", "external-secrets", "viewer"),
        ("creds", "template", "vso", "viewer"),
        ("creds", "template", "docker", "viewer"),
        ("creds", "template", "systemd", "Digital Twin Viewer"),
        ("handover", "viewer"),
        ("rotate", "viewer", "--yes"),
        ("creds", "history", "viewer"),
        ("rotate", "viewer", "--back", "--yes"),
        ("rotate", "--all", "--grace", "0", "--yes"),
        ("retire", "viewer", "--yes"),
        ("restore", "viewer", "--yes"),
        ("recover", "--yes"),
        ("doctor",),
        ("policy",),
        ("schema",),
        ("completion", "bash"),
        ("init",),
        ("init", "example", "example", "--force"),
        ("init", "repo", "repo", "--force"),
        ("init", "ci", "gitlab", "repo", "--force"),
    ):
        yield words, TWO if words[-1:] == ("-",) else ""
    for number in range(3):
        watch.program.write("apps.yaml", TWO + many(number + 1).removeprefix("apps:\n"))
        yield adoption(watch, number, number)


def adoption(watch: Watch, number: int, way: int = 0) -> Line:
    """An application that somebody has registered is taken over: its secret on stdin, in a file, or known to nobody."""
    held = watch.services.by_hand.create({"name": f"App {number}", "redirect_uri": uri(number)})
    secret = held.client_secret.reveal()
    watch.canary.plant(secret, "the secret of adopt")
    words = ("adopt", f"app-{number}", "--client-id", held.client_id, "--yes")
    if way == 0:
        return (*words, "--from", "-"), f"{secret}\n"
    if way == 1:
        watch.program.folder.parent.joinpath("secret.txt").write_text(f"{secret}\n")
        return (*words, "--from", "../secret.txt"), ""
    return (*words, "--rotate"), ""


def assert_silent(watch: Watch) -> None:
    """No leak at all but where the credential is asked for, and something to be found there."""
    asked = {words for words, _ in watch._said if words.startswith(" ".join(CREDENTIAL)) and "--field" not in words}
    assert watch.search(but=asked) == set()


def missing(watch: Watch) -> set[str]:
    """The commands that nothing here calls."""
    return set(commands()) - ELSEWHERE - {called(words) for words, _ in life(watch)}


def test_each_command_has_its_place_here(twin: Watch) -> None:
    """A new command fails this test until `life` has it, a new way to write a file until WRITING has it."""
    assert missing(twin) == set()
    for words, command in COMMANDS.items():
        told = [option for option in command.params if option.name in ("output", "verbose")]
        formats = 2 * len(_FORMATS) if words == "creds get" else 0
        each = math.prod(len(getattr(option.type, "choices", "01")) for option in told)
        assert len(forms(command)) == each + formats, words
        options = {name for option in command.params for name in option.opts}
        suspect = {"out", "log", "logfile", "file", "save", "report", "write", "trace", "debug", "dump", "record"}
        assert {name for name in options if suspect & set(name.split("-"))} <= WRITING, words


@pytest.mark.parametrize("form", range(FORMS))
def test_no_command_gives_a_secret_away_in_any_form(form: int, twin: Watch) -> None:
    for words, stdin in life(twin):
        ways = forms(COMMANDS[called(words)])
        result = twin.call(*flagged(words, *ways[form % len(ways)]), stdin=stdin.encode())
        assert result.code == CODES.get(called(words), 0), (words, result)
    assert_silent(twin)
    known = set(twin.canary.planted.values())
    assert known >= {"clientSecretRaw", "a token", "VAULT_TOKEN", "NEXUS_API_SECRET", "the secret of adopt"}
    assert {leak.partition(" in ")[2].split(" viewer")[0] for leak in twin.search()} == {"stdout of creds get"}


def test_nobody_beside_a_process_sees_a_secret(twin: Watch) -> None:
    """Each command once as a process: its arguments, its environment, what it starts and what it writes."""
    done, before = set(), files(twin.program.home)
    for words, stdin in life(twin):
        if called(words) in done or words == IN_PLACE:
            continue
        done.add(called(words))
        result = twin.run(*words, *forms(COMMANDS[called(words)])[-1], stdin=stdin)
        assert result.code == CODES.get(called(words), 0), (words, result)
    twin.run("export", "--out", "found.yaml", "--force")
    twin.run("plan", "--out", "plan.json", "--force")
    twin.run("creds", "get", "viewer", "--field", "client_secret", "--out", "../kept", "--force")
    assert_silent(twin)
    assert done == set(COMMANDS) - {"exec"}
    written = {".found.yaml", ".plan.json", "../.kept", *(f"example/{name}" for name in _EXAMPLE)}
    written |= {f"repo/{name}" for name in (*_SCAFFOLD["repo"], *_SCAFFOLD["gitlab"], "manifests/manifest.schema.json")}
    assert {re.sub(r"\.[0-9a-f]{16}\Z", "", file) for file in twin.audit.files} == written
    assert twin.audit.told("child") == twin.audit.told("variable") == twin.audit.told("system log") == []
    assert files(twin.program.home) == before, "nothing at home, nor among temporary files"
    for compiled in SOURCE.rglob("*.pyc"):
        assert twin.canary.leaks(compiled.read_bytes().decode(errors="replace"), str(compiled)) == set()


def test_exec_gives_the_secret_to_its_command_alone(twin: Watch) -> None:
    assert twin.call("apply", "--yes").code == 0
    before = files(twin.program.home)
    told = twin.run("exec", "viewer", "-v", "--", "sh", "-c", 'test -n "$NEXUS_CLIENT_SECRET" && sleep 0.2')
    assert told.code == 0
    ((words, environ),) = twin.audit.told("child")[-1:]
    assert "sleep" in words
    assert environ["NEXUS_CLIENT_SECRET"] == twin.services.credential("viewer")["client_secret"]
    places = {"the environment of a process", "a child that it opened, started, set or wrote"}
    assert {tuple(leak.split(" in ")) for leak in twin.search()} == {("clientSecretRaw", place) for place in places}
    assert (twin.audit.files, files(twin.program.home)) == (set(), before)


def test_the_sandbox_tells_its_keys_on_its_streams_alone(watch: Watch) -> None:
    with foreground(watch.program) as (process, ready):
        for name in ("sysadmin", "user"):
            watch.canary.plant(ready[name]["api_secret"], name)
        watch.canary.plant(ready["vault_token"], "the token")
        process.send_signal(signal.SIGTERM)
        watch.end((), process)
    kept = {str(watch.program.state) + end for end in ("", "-wal", "-shm", "-journal")}
    assert watch.audit.files <= kept
    assert not watch.audit.told("child")
    found = watch.search()
    assert {leak for leak in found if not any(file in leak for file in kept) and " of " not in leak} == set()
    assert any(str(watch.program.state) in leak for leak in found)


# ── every command, where a service fails ──────────────────────────────────────────────────────────────────────────────

KINDS: dict[str, Action] = {
    "sealed": echo(503, lambda text: {"errors": ["Vault is sealed", text]}),
    "refused": echo(403, lambda text: {"errors": ["permission denied", text], "detail": text}),
    "broken": echo(500, lambda text: {"errors": [text], "title": text, "traceId": text}),
    "a page": echo(200, lambda text: f"<html><body><h1>{text}</h1></body></html>", "text/html"),
    "lost": proxying.lose,
    "cut": cut,
    "refused afterwards": echo_after(400),
    "broken afterwards": echo_after(500),
    "late": hang,
}
CHANGING = ("--yes", "--lock-timeout", "0.1")


def lines(watch: Watch) -> Iterator[Line]:
    """Every command that asks a service anything."""
    for words in (
        ("plan",),
        ("apply", *CHANGING),
        ("status",),
        ("show", "viewer"),
        ("export",),
        ("verify",),
        ("whoami",),
        ("logout",),
        CREDENTIAL,
        IN_PLACE,
        ("creds", "list"),
        ("creds", "history", "viewer"),
        ("creds", "template", "vso", "Digital Twin Viewer"),
        ("handover", "viewer"),
        ("rotate", "viewer", *CHANGING),
        ("retire", "viewer", *CHANGING),
        ("restore", "viewer", *CHANGING),
        ("recover", *CHANGING),
        ("doctor",),
    ):
        yield words, ""
    told, secret = adoption(watch, 0)
    yield (*told, "--lock-timeout", "0.1"), secret


OFFLINE = {"", "creds", "validate", "policy", "schema", "completion", "init", "init example", "init repo", "init ci"}


@pytest.mark.parametrize("kind", [*KINDS, "away"])
def test_no_failing_service_brings_a_secret_out(kind: str, twin: Watch) -> None:
    assert twin.call("apply", "--yes").code == 0
    twin.program.write("apps.yaml", TWO + many(1).removeprefix("apps:\n"))
    patience = ("--timeout", "0.2") if kind == "late" else ()
    every = list(lines(twin))
    assert {called(words) for words, _ in every} == set(COMMANDS) - OFFLINE
    for variable, broken in (("VAULT_ADDR", twin.vault), ("NEXUS_URL", twin.nexus)):
        address = twin.program.environ[variable]
        if kind == "away":
            twin.program.environ[variable] = "http://127.0.0.1:1"
        for number, (words, stdin) in enumerate(every):
            ways = forms(COMMANDS[called(words)])
            with breaking(1, 10**6 if kind in KINDS else 0, KINDS.get(kind, hang), broken):
                result = twin.call(*flagged(words, *patience, *ways[number % len(ways)]), stdin=stdin.encode())
            assert "a defect of registrar" not in result.err, result.err
        twin.program.environ[variable] = address
    assert_silent(twin)


ACTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "apply": (("apply", "--verify"), ("recover",)),
    "rotate": (("rotate", "viewer", "--grace", "0"), ("recover",)),
    "retire": (("retire", "viewer"), ("restore", "viewer")),
    "restore": (("restore", "viewer"), ("retire", "viewer")),
    "adopt": (("adopt",), ("recover",)),
}
"""What is broken off at each of its requests, and what makes it possible once more."""
LATER = ("broken afterwards", "cut", "broken", "lost", "refused afterwards", "a page", "refused")


@pytest.mark.parametrize("act", ACTS)
def test_no_request_of_an_act_brings_a_secret_out(act: str, twin: Watch) -> None:
    """Two requests in a row fail, wherever in the act they come, and are answered as the program sees fit."""
    assert twin.call("apply", "--yes").code == 0
    broken, again = ACTS[act]
    assert twin.call(*again, "--yes").code == 0
    number = failed = 0
    while True:
        number += 2
        words, stdin = broken, ""
        if act in ("adopt", "apply"):
            twin.program.write("apps.yaml", TWO + many(number + 1).removeprefix("apps:\n"))
        if act == "adopt":
            words, stdin = adoption(twin, number)
        form = forms(COMMANDS[act])[number // 2 % 4]
        kind = KINDS[LATER[number // 2 % len(LATER)]]
        with breaking(number, number + 1, kind, twin.nexus, twin.vault) as asked:
            result = twin.call(*words, *CHANGING, *form, stdin=stdin.encode())
        assert "a defect of registrar" not in result.out + result.err, result.err
        failed += result.code != 0
        if len(asked) < number:
            break
        if result.code == 0 and again == ("recover",):
            continue
        twin.services.root.call("DELETE", f"secret/metadata/nexus/{LOCK}")  # nobody waits for one that is left
        for heal in (("recover",), again):
            twin.call(*heal, *CHANGING, "-v")
    assert number > 12, asked
    assert failed > 3
    assert_silent(twin)


# ── odd answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

Odd = Callable[[bytes, bytes], bytes]
"""From an answer and the secret in it to another answer."""
ODD: dict[str, Odd] = {
    "a list": lambda body, secret: body.replace(b'"%b"' % secret, b'["%b"]' % secret),
    "an object": lambda body, secret: body.replace(b'"%b"' % secret, b'{"%b":"%b"}' % (secret, secret)),
    "an endless line": lambda body, secret: body.replace(secret, secret * 40),
    "a line break": lambda body, secret: body.replace(secret, secret + rb"\r\nX: " + secret),
    "a null": lambda body, secret: body.replace(secret, secret + rb"\u0000"),
    "half a letter": lambda body, secret: body.replace(secret, secret + rb"\ud800"),
    "no UTF-8": lambda body, secret: body.replace(secret, secret + b"\xff"),
    "no JSON": lambda body, _: body + body,
    "another end": lambda body, secret: body.partition(secret)[0] + secret,
    "a text": lambda body, _: json.dumps(body.decode()).encode(),
    "a list of it": lambda body, _: b"[%b]" % body,
    "other names": lambda body, secret: body.replace(b'":"', b'_%b":"' % secret).replace(b'": "', b'_%b": "' % secret),
    "a number": lambda body, secret: body.replace(b'"%b"' % secret, b"1" * 5000),
    "UTF-16": lambda body, _: body.decode().encode("utf-16"),
}
SPOTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "login": ("nexus", "POST", "/oauth/tokens", ("status",)),
    "register": ("nexus", "POST", "/oauth/applications$", ("rotate", "viewer", "--grace", "0", *CHANGING)),
    "read": ("vault", "GET", "/data/nexus/viewer", ("verify", "viewer")),
    "fetch": ("vault", "GET", "/data/nexus/viewer", ("creds", "get", "viewer", "--field", "client_id")),
    "log in to Vault": ("vault", "POST", "/v1/auth/approle/login", ("creds", "list", "--vault-auth", "approle")),
}


class Oddly:
    """Answers with the secret, but not as a server should; to a login with a token that nobody knows."""

    def __init__(self, watch: Watch, odd: Odd, *, login: str = "") -> None:
        self._watch, self._odd, self._login = watch, odd, login
        self.done = False

    def __call__(self, proxy: Proxy, exchange: Exchange) -> Answer:
        if self._login:
            answer = Answer(200, json.dumps({"auth": {"client_token": self._login, "lease_duration": 9}}).encode())
        else:
            answer = proxy.forward(exchange)
        secret = secret_in(answer.body)
        self._watch.canary.plant(secret, "a secret in an odd answer")
        self.done = True
        headers = {"Content-Type": "application/json", "Date": secret, "Retry-After": secret, "Location": secret}
        return Answer(answer.status, self._odd(answer.body, secret.encode()), headers)


@pytest.mark.parametrize("spot", SPOTS)
def test_no_odd_answer_brings_a_secret_out(spot: str, twin: Watch) -> None:
    assert twin.call("apply", "--yes").code == 0
    service, method, path, words = SPOTS[spot]
    twin.program.environ |= {"VAULT_ROLE_ID": "ci", "VAULT_SECRET_ID": "canary-of-a-secret-id"}
    twin.canary.plant("canary-of-a-secret-id", "the secret id")
    between = twin.nexus if service == "nexus" else twin.vault
    for number, odd in enumerate(ODD.values()):
        oddly = Oddly(twin, odd, login=f"canary-{number}-of-a-token" if "login" in path else "")
        between.on(method, path, oddly)
        twin.call(*words, *forms(COMMANDS[called(words)])[number % 4])
        between._rules.clear()
        assert oddly.done
        if spot == "register":
            twin.call("recover", *CHANGING, "-v")
    assert_silent(twin)


def secret_in(body: bytes) -> str:
    """The one secret of an answer."""
    text = body.decode()
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, str):
            return found
        for name in ("clientSecretRaw", "data", "auth", "data", "client_token", "client_secret"):
            found = found.get(name, found) if isinstance(found, dict) else found
        if isinstance(found, str):
            return found
    return text.strip()


# ── a process that does not end well ──────────────────────────────────────────────────────────────────────────────────

STORING = "POST /v1/secret/data/nexus/app-"
"""The moment at which a process has a secret in its hands that nobody else knows."""
CHILD = "token helper"


@contextlib.contextmanager
def cores() -> Iterator[None]:
    """What is started here may leave a core, unless it does something about that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def struck(watch: Watch, strike: Callable[[int], None]) -> Result:
    """An apply to which this happens in its middle."""
    watch.program.write("apps.yaml", many(3))
    watch.program.environ |= {"PYTHONFAULTHANDLER": "1", "PYTHONDEVMODE": "1"}
    words = ("apply", "--yes", "-v", "--parallelism", "1")
    with cores():
        process = watch.program.start(*words)
    watch.at(STORING, lambda: strike(process.pid))
    result = watch.end(words, process)
    assert "clientSecretRaw" in watch.canary.planted.values()
    assert watch.core_limit in ("1 1", "0 0")
    assert [file for file in watch.program.folder.iterdir() if file.name.startswith("core")] == []
    assert watch.audit.files == set()
    return result


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT", "SIGSEGV"])
def test_a_process_that_is_ended_leaves_no_secret(number: str, twin: Watch) -> None:
    strike = signal.Signals[number]
    result = struck(twin, lambda pid: os.kill(pid, strike))
    # faulthandler looks at threads that go on running, and may fault over it
    assert result.code in ({130} if number in ("SIGTERM", "SIGINT") else {-strike, -signal.SIGSEGV})
    assert ("most recent call first" in result.err) == (number in ("SIGABRT", "SIGSEGV")), "faulthandler's own"
    assert_silent(twin)


def test_a_process_that_can_open_nothing_more_tells_no_secret(twin: Watch) -> None:
    def strike(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0))

    result = struck(twin, strike)
    assert result.code > 0
    assert "too many open files" in result.err + result.out
    assert_silent(twin)


@pytest.mark.parametrize("words", [("status",), ("creds", "list", "-o", "json"), ("apply", "--yes")])
def test_a_defect_tells_where_it_is_and_nothing_else(words: tuple[str, ...], twin: Watch) -> None:
    """The text of an exception may hold anything: http.client quotes a header that it refuses."""
    twin.program.environ |= {"PYTHONDEVMODE": "1"}
    twin.audit.fail("socket.connect", 1)
    result = twin.run(*words, "-v")
    assert result.code == 1
    assert "a defect of registrar stopped it: RuntimeError in _tell, line" in result.err
    assert "a defect\n" not in result.err, "its text"
    if "json" in words:
        assert result.document["error"]["exit_code"] == 1
    assert_silent(twin)


@pytest.mark.parametrize("words", [CREDENTIAL, ("status", "-o", "json"), ("plan",), ("frobnicate", "-o", "json")])
def test_a_full_disk_and_a_closed_pipe_tell_no_secret(words: tuple[str, ...], twin: Watch) -> None:
    assert twin.call("apply", "--yes").code == 0
    with Path("/dev/full").open("w") as full:
        result = twin.run(*words, stdout=full)
    assert result.code == (64 if words[0] == "frobnicate" else 1)
    assert "Traceback" not in result.err
    assert ("standard output cannot be written: No space left on device" in result.err) == (words[0] != "frobnicate")
    ours, theirs = os.pipe()
    os.close(ours)
    result = twin.run(*words, stdout=theirs)
    os.close(theirs)
    assert result.code in (1, 64, 120)
    assert "Traceback" not in result.err
    if words == ("plan",):
        assert twin.run("export", "--out", "/dev/full", "--force", "-v").code == 64
    assert_silent(twin)


def test_a_prompt_shows_nothing_of_what_is_typed(twin: Watch) -> None:
    assert twin.call("apply", "--yes").code == 0
    twin.canary.plant("canary-of-a-password", "the password")
    login = ("status", "-v", "--vault-auth", "userpass", "--vault-username", "ada")
    twin.program.write("apps.yaml", TWO + many(1).removeprefix("apps:\n"))
    (_, *words), secret = adoption(twin, 0)
    words = ["adopt", *words[: words.index("--from")]]
    assert twin.typed("canary-of-a-pass\x03", *login).code == 130
    assert twin.typed("canary-of-a-password\n", *login).code == 3, "the stand-in has no such login"
    assert twin.typed(f"{secret[:30]}\x03", *words).code == 130
    assert twin.typed("\x03", "rotate", "viewer").code == 130
    assert twin.typed(secret, *words).code == 0
    assert_silent(twin)
    assert twin.audit.files == set()


def test_a_token_helper_gets_nothing_of_ours(twin: Watch) -> None:
    """The only child that there is: it is Vault's, and the key for Nexus is none of its business."""
    token = twin.program.environ.pop("VAULT_TOKEN")
    secrets = twin.program.folder.parent / "vault"
    secrets.write_text(token)
    helper, seen = twin.program.home / CHILD, twin.program.home / "seen"
    helper.write_text(f"#!/bin/sh\nenv > '{seen}'; cat '{secrets}'; sleep 0.1\n")
    helper.chmod(0o700)
    (twin.program.home / ".vault").write_text(json.dumps({"token_helper": str(helper)}))
    assert twin.run("apply", "--yes", "-v").code == 0
    assert "PATH=" in seen.read_text()
    assert [words for words, _ in twin.audit.told("child")] == [f"{helper} get"]
    assert any("arguments" in where and CHILD in text for where, text in twin._seen)
    assert_silent(twin)


# ── the searchers ─────────────────────────────────────────────────────────────────────────────────────────────────────

SECRET = "Q7-plantedSecret_0123456789+abcdefghijklmnopqrstuvwxyz/="


@pytest.mark.parametrize(
    "text",
    [
        SECRET[::-1],
        SECRET.encode().hex().upper(),
        SECRET.encode().hex()[::-1],
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode()).decode()[::-1],
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower().replace("plantedsecret", "plantedSecret"),
        json.dumps(SECRET).replace("+", r"\u002B"),
    ],
)
def test_a_secret_is_found_however_it_is_spelt(text: str) -> None:
    canary = Canary()
    canary.plant(SECRET, "it")
    assert canary.leaks(f"so: {text}.", "here") == {"it in here"}


def test_a_command_that_nothing_here_calls_is_noticed(twin: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli._COMMANDS, "reveal", ("registrar.cli.creds", "Tell everything."))
    monkeypatch.setattr("registrar.cli.creds.reveal", click.Command("reveal"), raising=False)
    monkeypatch.setitem(creds.commands, "all", click.Command("all"))
    assert missing(twin) == {"reveal", "creds all"}


def test_the_forms_of_a_command_are_all_of_them() -> None:
    plain = click.Command("x", params=[click.Option(["-v", "--verbose"], count=True)])
    assert forms(plain) == [(), ("-v",), ("-vv",)]
    found = {" ".join(sorted(form)) for form in forms(COMMANDS["show"])}
    assert found == {"-o text", "-o -v text", "-o json", "-o -v json"}


def test_each_place_is_searched(twin: Watch) -> None:
    """What is said there anyway is planted as if it were a secret."""
    holder = f"{getpass.getuser()} on {socket.gethostname()}, process"
    folder = twin.program.folder
    places = {
        "https://viewer.example.org/oauth/callback": ["stdout of plan"],
        "/v1/secret/detailed-metadata": ["stderr of plan -v"],
        "a word in a log": ["the log of plan"],
        "found-by-a-canary.yaml": [
            "the arguments of a process",
            "a file that it opened, started, set or wrote",
            f"{folder}/found-by-a-canary.yaml",
        ],
        "3-D viewer of plant models": ["Nexus", f"{folder}/found-by-a-canary.yaml"],
        "twin-team@example.org": ["the metadata of nexus/viewer", "a POST /api/v2/oauth/applications"],
        holder: ["the lock", f"a POST /v1/secret/data/nexus/{LOCK}"],
    }
    over = threading.Event()

    def chatter() -> None:
        while not over.wait(0.01):
            logging.getLogger("somebody").debug("a word in a log")

    with ThreadPoolExecutor(1) as pool:  # our own libraries log nothing
        pool.submit(chatter)
        assert twin.call("plan").code == 0
        over.set()
    assert twin.call("plan", "-v").code == twin.call("apply", "--yes").code == 0
    assert twin.run("export", "--out", "found-by-a-canary.yaml").code == 0
    assert_silent(twin)
    for text in places:
        twin.canary.plant(text, text)
    assert {f"{text} in {where}" for text, found in places.items() for where in found} - twin.search() == set()


SENT = {
    "a query": Exchange("GET", f"/api/v2/oauth/applications?name={SECRET[:15]}", {}, b""),
    "a header": Exchange("GET", "/v1/secret/config", {"Cookie": SECRET}, b""),
    "a mark": Exchange("POST", "/api/v2/oauth/applications", {}, json.dumps({"description": SECRET}).encode()),
    "a fact": Exchange("POST", "/v1/secret/metadata/nexus/x", {}, json.dumps({"client_secret": SECRET}).encode()),
    "the lock": Exchange("POST", "/v1/secret/data/nexus/.registrar/lock", {}, json.dumps({"data": SECRET}).encode()),
    "a record": Exchange("POST", "/v1/secret/data/nexus/x", {}, json.dumps({"data": {"note": SECRET}}).encode()),
    "an exchange": Exchange("POST", f"/api/v2/oauth/exchange?code={SECRET[:15]}&client_secret=x", {}, b""),
}
MEANT = (
    Exchange("GET", "/v1/secret/config", {"X-Vault-Token": SECRET, "Authorization": f"Bearer {SECRET}"}, b""),
    Exchange("POST", "/api/v1/oauth/tokens", {}, json.dumps({"apiSecret": SECRET}).encode()),
    Exchange("POST", "/v1/auth/userpass/login/ada", {}, json.dumps({"password": SECRET}).encode()),
    Exchange("POST", "/v1/secret/data/nexus/x", {}, json.dumps({"data": {"client_secret": SECRET}}).encode()),
    Exchange("POST", f"/api/v2/oauth/exchange?code=x&client_secret={quote(SECRET)}", {}, b""),
)


@pytest.mark.parametrize("where", SENT)
def test_a_request_is_searched_but_for_what_it_is_there_to_carry(where: str) -> None:
    canary = Canary()
    canary.plant(SECRET, "it")
    assert canary.leaks(besides(SENT[where]), where) == {f"it in {where}"}
    assert [exchange for exchange in MEANT if canary.leaks(besides(exchange), "")] == []


BUSY = """
import os, subprocess, sys, syslog, tempfile
secret = sys.stdin.read()
with tempfile.NamedTemporaryFile("w", prefix=secret[:20]) as file:
    file.write(secret)
subprocess.run(["sleep", "0.2"], env={"PATH": os.environ["PATH"], "TOKEN": secret})
os.environ["SECRET_OF_OURS"] = secret
"""


def test_a_process_is_seen_through(program: Program) -> None:
    """One that writes a file and takes it away, starts a child with a secret and sets a variable."""
    audit, canary = Audit(program.home / "audit", program.environ), Canary()
    canary.plant(SECRET.replace("/", "-"), "it")
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], env=program.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with Bystander(process, program.environ) as beside:
        finished(process, SECRET.replace("/", "-"))
    told = {where for kind in ("file", "child", "variable") for where in [str(audit.told(kind))]}
    assert all(canary.leaks(text, "it") for text in told), told
    assert {path for path in audit.files if SECRET[:20] in path}
    assert any("sleep" in text for where, text in beside.texts if "arguments" in where)


def test_an_environment_and_a_core_are_seen(program: Program) -> None:
    """Of a process that was given a secret, and that lets a core be written."""
    canary = Canary()
    canary.plant(SECRET, "it")
    environ = {"PATH": os.environ["PATH"], "TOKEN": SECRET}
    with cores():
        process = subprocess.Popen(
            ["sh", "-c", "sleep 0.3; kill -ABRT $$"], env=environ, cwd=program.folder, text=True, start_new_session=True
        )
    with Bystander(process, {"PATH": os.environ["PATH"]}) as beside:
        assert finished(process).code == -signal.SIGABRT
    assert {leak for where, text in beside.texts for leak in canary.leaks(text, where)} == {
        "it in the environment of a process"
    }
    assert beside.core_limit not in ("1 1", "")
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    if "/" not in pattern and not pattern.startswith("|") and not beside.core_limit.endswith(" 0"):
        assert canary.leaks_in_files(program.folder) != set()

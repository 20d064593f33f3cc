"""The canary: whatever happens, no secret is in anything that a command prints, writes, logs, runs or tells a server.

Every secret that goes over the wire is known, since the proxies overhear it; then everything else is searched.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from pathlib import Path

import pytest

from tests.cli.canary import Canary
from tests.cli.leaks import Watch, echo, echo_after, hang, trouble
from tests.cli.manifests import TWO, VIEWER_URI, many
from tests.cli.program import Program, foreground
from tests.cli.services import Services, serving
from tests.custody import proxy as proxying

# ── the searcher ──────────────────────────────────────────────────────────────────────────────────────────────────────

SECRET = "Q7-plantedSecret_0123456789-abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "text",
    [
        f"so: {SECRET}.",
        SECRET[:20],
        SECRET[-15:],
        SECRET.encode().hex(),
        base64.b64encode(f"key:{SECRET}".encode()).decode(),
        base64.b64encode(f"keys:{SECRET}".encode()).decode(),
        json.dumps({"x": SECRET}),
    ],
)
def test_a_planted_leak_is_found(text: str, tmp_path: Path) -> None:
    canary = Canary()
    assert canary.leaks(text, "here") == set()
    canary.plant(SECRET, "the secret")
    assert canary.leaks(text, "here") == {"the secret in here"}
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_text(f"\0{text}\0")
    assert canary.leaks_in_files(tmp_path) == {f"the secret in {tmp_path}/below/file"}
    assert canary.leaks("Everything is well, and nothing is said." * 10, "here") == set()


def test_the_arguments_of_a_process_are_searched(program: Program) -> None:
    canary = Canary()
    canary.plant(SECRET, "the secret")
    assert canary.leaks_in_processes() == set()
    with foreground(program, "--state", str(program.home / SECRET)) as (process, _):
        assert canary.leaks_in_processes() == {f"the secret in the arguments of process {process.pid}"}
    assert canary.leaks_in_files(program.home) != set()


# ── the search ────────────────────────────────────────────────────────────────────────────────────────────────────────


READS = (
    ("validate", "apps.yaml"),
    ("plan", "apps.yaml"),
    ("status",),
    ("status", "--manifests", "apps.yaml"),
    ("show", "viewer"),
    ("creds", "get", "viewer", "--field", "client_id"),
    ("creds", "get", "nobody"),
    ("exec", "nobody", "--", "no-such-command"),
    ("exec", "viewer", "--", "no-such-command"),
    ("creds", "list"),
    ("creds", "history", "viewer"),
    ("verify",),
    ("verify", "viewer"),
    ("export",),
)
CHANGES = (("apply", "apps.yaml", "--yes"), ("recover", "--yes"))


def test_no_command_that_succeeds_gives_a_secret_away(watch: Watch) -> None:
    for words in (*CHANGES, *READS, ("schema",), ("--help",)):
        for format_ in ("text", "json"):
            more = () if words[0] in ("schema", "--help") else ("-v", "-o", format_)
            watch.call(*words, *more)
    watch.program.write("apps.yaml", TWO.replace(VIEWER_URI, "https://viewer.example.org/new"))
    watch.call(*CHANGES[0], "-v")
    watch.services.delete("Sensor Catalogue")
    watch.call(*CHANGES[0], "-v", "--allow-replace", "1")
    deliberate = ("creds", "get", "viewer", "-v")
    secret = watch.services.credential("viewer")["client_secret"]
    assert secret in watch.call(*deliberate).out
    assert watch.search(but=[" ".join(deliberate)]) == set()
    assert {leak.partition(" in ")[2] for leak in watch.search()} == {"stdout of creds get viewer -v"}
    known = set(watch.canary.planted.values())
    assert known >= {"clientSecretRaw", "a token", "VAULT_TOKEN", "NEXUS_API_SECRET"}, known
    assert sum(what == "clientSecretRaw" for what in watch.canary.planted.values()) == 3


def test_no_secret_is_in_the_arguments_or_files_of_a_process(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", many(12))
    watch = Watch(connected, services)
    process = connected.start("apply", "apps.yaml", "--yes", "-v")
    lines, leaks = "", set[str]()
    while process.poll() is None:
        with contextlib.suppress(OSError):
            lines += Path("/proc", str(process.pid), "cmdline").read_text()
        leaks |= watch.canary.leaks_in_processes()
        time.sleep(0.02)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "registrar" in lines
    for text, where in ((lines, "the arguments"), (out, "stdout"), (err, "stderr")):
        leaks |= watch.canary.leaks(text, where)
    assert leaks | watch.search() == set()
    assert sum(what == "clientSecretRaw" for what in watch.canary.planted.values()) == 12


def test_no_secret_is_shown_on_a_terminal_or_kept_beside_the_sandbox(program: Program) -> None:
    program.write("apps.yaml", TWO)
    shown = program.on_terminal("apply", "apps.yaml", "--sandbox", "-v", answers=["y"])
    masked = program.on_terminal("creds", "get", "viewer", "--sandbox", "-v")
    assert shown.code == masked.code == 0
    canary = Canary()
    with serving(program.state) as services:
        for path in ("viewer", "sensor-catalogue"):
            canary.plant(services.credential(path)["client_secret"], path)
        canary.plant(services.running.vault_token, "the token")
        canary.plant(services.running.sysadmin.api_secret, "the API secret")
    assert canary.leaks(shown.out + masked.out, "the terminal") == set()
    for file in program.state.parent.glob("sandbox.sqlite3*"):
        assert file.stat().st_mode & 0o077 == 0
        file.unlink()
    assert canary.leaks_in_files(program.home, program.folder) == set()


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


PLACES = {
    "login": ("nexus", "POST", "/oauth/tokens"),
    "who am I": ("nexus", "GET", "/users/current"),
    "list": ("nexus", "GET", "/oauth/applications"),
    "register": ("nexus", "POST", "/oauth/applications$"),
    "finish": ("nexus", "PUT", "/oauth/applications/"),
    "lock": ("vault", "POST", r"/data/nexus/\.registrar/lock"),
    "records": ("vault", "GET", "/(detailed-)?metadata/"),
    "token": ("vault", "GET", "/lookup-self"),
    "store": ("vault", "POST", "/data/nexus/[a-z]"),
    "settle": ("vault", "POST", "/metadata/nexus/[a-z]"),
    "read": ("vault", "GET", "/data/nexus/[a-z]"),
    "authorize": ("nexus", "GET", "/oauth/authorize"),
    "exchange": ("nexus", "POST", "/oauth/exchange"),
}
READING = {
    "read": (("show", "viewer"), ("creds", "get", "viewer"), ("verify",), ("exec", "viewer", "--", "no-such-command")),
    "authorize": (("verify",),),
    "exchange": (("verify",),),
}
"""What asks at those of these places where no apply does."""
ECHOES = {
    "500 text": echo(500, str, "text/plain"),
    "500 problem": echo(500, lambda text: {"detail": text, "errors": [text]}),
    "400 problem": echo(400, lambda text: {"detail": text, "errors": [text]}),
    "page": echo(500, lambda text: f"<html><body>{text}</body></html>", "text/html"),
    "200 page": echo(200, lambda text: f"<html><body>{text}</body></html>", "text/html"),
}
FAILURES = {
    **ECHOES,
    "lost": proxying.lose,
    "answer lost": proxying.lose_answer,
    "answer in a 500": echo_after(500),
    "timeout": hang,
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("place", PLACES)
def test_no_failure_gives_a_secret_away(place: str, failure: str, watch: Watch) -> None:
    service, method, path = PLACES[place]
    broken = watch.nexus if service == "nexus" else watch.vault
    patience = ("--timeout", "0.2") if failure == "timeout" else ("--timeout", "5")
    if place in READING:
        assert watch.call(*CHANGES[0]).code == 0
    times = 3 if place == "lock" else 1000  # a lock that is not given back is waited for
    with trouble(broken, method, path, FAILURES[failure], times):
        for format_ in ("text", "json"):
            for words in READING.get(place, CHANGES[:1]):
                watch.call(*words, *patience, "-v", "-o", format_)
    for words in (*reversed(CHANGES), READS[1]):
        assert watch.call(*words, "-v").code == 0
    deliberate = {f"creds get viewer {' '.join(patience)} -v -o {format_}" for format_ in ("text", "json")}
    found = {leak for leak in watch.search() if leak.partition(" in stdout of ")[2] not in deliberate}
    assert found == set()

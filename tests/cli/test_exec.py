"""`exec`: the command is what registrar was, with the credential in its environment and nothing of registrar's left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registrar.logins import SECRETS
from tests.cli.manifests import CATALOGUE_URI, TWO, VIEWER_URI
from tests.cli.program import Program, Result, finished, foreground, typed
from tests.cli.services import Services
from tests.custody.proxy import say

DUMP = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
PYTHON = (sys.executable, "-S", "-c")
OWN = {"LC_CTYPE"}  # Python's own, in the C locale


@pytest.fixture
def applied(connected: Program) -> Program:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    return connected


@dataclass(frozen=True)
class Seen:
    """What the command was given, and what registrar said before."""

    environ: dict[str, str]
    arguments: list[str]
    err: str


def run(program: Program, *words: str, after: tuple[str, ...] = ()) -> Seen:
    result = program.run("exec", *words, "--", *PYTHON, DUMP, *after)
    assert result.code == 0, result
    environ, arguments = json.loads(result.out)
    return Seen(environ, arguments, result.err)


def refused(program: Program, *words: str, code: int = 125) -> str:
    """What is said where nothing is started: the command would make a file."""
    result = program.run("exec", *words)
    assert (result.code, result.out) == (code, "")
    assert not (program.folder / "started").exists()
    return result.err


STARTED = ("--", "touch", "started")


def ours(services: Services, path: str, uri: str, prefix: str = "NEXUS_") -> dict[str, str]:
    assert services.nexus
    return {
        f"{prefix}CLIENT_ID": services.credential(path)["client_id"],
        f"{prefix}CLIENT_SECRET": services.credential(path)["client_secret"],
        f"{prefix}REDIRECT_URI": uri,
        f"{prefix}AUTHORIZE_URL": f"{services.nexus.url}/api/oauth/authorize",
        f"{prefix}EXCHANGE_URL": f"{services.nexus.url}/api/v1/oauth/exchange",
    }


# ── the environment ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_command_has_the_credential_and_what_there_was(applied: Program, services: Services) -> None:
    applied.environ |= {"EMPTY": "", "OF_MINE": "x", "ODD": "\udcff"}
    seen = run(applied, "viewer")
    assert seen.environ.keys() & OWN <= {"LC_CTYPE"}
    assert {name: text for name, text in seen.environ.items() if name not in OWN} == {
        **{name: text for name, text in applied.environ.items() if name not in SECRETS},
        **ours(services, "viewer", VIEWER_URI),
    }
    assert seen.err == ""


def test_a_name_is_as_good_as_a_path_and_counts_once(applied: Program) -> None:
    by_path = run(applied, "viewer").environ
    assert run(applied, "Digital Twin Viewer").environ == by_path
    assert run(applied, "viewer", "digital twin viewer").environ == by_path


def test_what_registrar_logs_in_with_stays_behind(applied: Program) -> None:
    for name in SECRETS - applied.environ.keys() - {"BAO_TOKEN"}:
        applied.environ[name] = "canary"
    applied.environ |= {"VAULT_NAMESPACE": "", "VAULT_CLIENT_TIMEOUT": "30s"}
    seen = run(applied, "viewer").environ
    assert seen.keys() & SECRETS == set()
    assert {"VAULT_ADDR", "NEXUS_URL", "VAULT_CLIENT_TIMEOUT"} <= seen.keys()
    kept = run(applied, "viewer", "--keep", "VAULT_TOKEN", "--keep", "NEXUS_API_KEY").environ
    assert kept.keys() & SECRETS == {"VAULT_TOKEN", "NEXUS_API_KEY"}


def test_a_pristine_environment(applied: Program, services: Services) -> None:
    applied.environ |= {"LANG": "C.UTF-8", "OF_MINE": "x", "TOO": ""}
    expected = {"PATH", "HOME", "TERM", "LANG", "LC_ALL", *ours(services, "viewer", VIEWER_URI)}
    assert run(applied, "viewer", "--pristine").environ.keys() - OWN == expected
    kept = run(applied, "viewer", "--pristine", "--keep", "TOO", "--keep", "NOT_THERE").environ
    assert kept.keys() - OWN == {*expected, "TOO"}


def test_what_nobody_knows_is_not_taken_from_elsewhere(applied: Program, services: Services) -> None:
    """A redirect URI that another exec has left in the environment is another application's."""
    services.root.do("POST", "secret/data/nexus/theirs", {"data": {"client_id": "x", "client_secret": "y"}})
    applied.environ["NEXUS_REDIRECT_URI"] = "https://other.example.org/cb"
    seen = run(applied, "theirs")
    assert seen.err == "Nothing tells the redirect_uri, authorize_url, exchange_url of theirs: left out.\n"
    assert {name for name in seen.environ if name.startswith("NEXUS_")} == {
        "NEXUS_URL", "NEXUS_CLIENT_ID", "NEXUS_CLIENT_SECRET"
    }  # fmt: skip
    told = refused(applied, "theirs", "--env", "CALLBACK=redirect_uri", *STARTED)
    assert told == "registrar: nothing tells the redirect_uri of theirs\n  → registrar show theirs\n"


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_prefix(applied: Program, services: Services) -> None:
    seen = run(applied, "viewer", "--prefix", "OAUTH_").environ
    assert ours(services, "viewer", VIEWER_URI, "OAUTH_").items() <= seen.items()
    assert "NEXUS_CLIENT_ID" not in seen
    assert "CLIENT_ID" in run(applied, "viewer", "--prefix", "").environ


def test_several_applications_at_once(applied: Program, services: Services) -> None:
    words = ("--prefix", "Sensor Catalogue=SENSORS_", "--env", "SECRET=viewer:client_secret")
    seen = run(applied, "viewer", "sensor-catalogue", *words).environ
    expected = ours(services, "viewer", VIEWER_URI) | ours(services, "sensor-catalogue", CATALOGUE_URI, "SENSORS_")
    expected["SECRET"] = expected.pop("NEXUS_CLIENT_SECRET")
    assert expected.items() <= seen.items()
    assert "NEXUS_CLIENT_SECRET" not in seen
    both = run(applied, "viewer", "sensor-catalogue", "--prefix", "A_", "--prefix", "viewer=B_").environ
    assert {"A_CLIENT_ID", "B_CLIENT_ID"} <= both.keys()


def test_a_clash_names_both_and_the_way_out(applied: Program) -> None:
    assert refused(applied, "viewer", "sensor-catalogue", *STARTED) == (
        "registrar: NEXUS_CLIENT_ID would be both the client_id of viewer and the client_id of sensor-catalogue\n"
        "  → --prefix sensor-catalogue=NEXUS_SENSOR_CATALOGUE_\n"
    )
    told = refused(applied, "viewer", "--env", "NEXUS_CLIENT_ID=client_secret", *STARTED)
    assert "NEXUS_CLIENT_ID would be both the client_id of viewer and the client_secret of viewer" in told


WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "no command": (("viewer", "--"), "there is no command to run\n  → registrar exec NAME -- CMD"),
    "no dashes": (("viewer", "touch", "started"), "there is no -- before the command to run"),
    "no name": (STARTED, "Missing argument"),
    "an unknown flag": (("viewer", "--frobnicate", *STARTED), "--frobnicate"),
    "an unknown format": (("viewer", "-o", "text", *STARTED), "No such option"),
    "no value": (("viewer", "--prefix"), "--prefix"),
    "a prefix that no variable has": (("viewer", "--prefix", "1-", *STARTED), "no variable begins with '1-'"),
    "two prefixes": (("viewer", "--prefix", "A", "--prefix", "B", *STARTED), "--prefix PREFIX twice"),
    "a prefix of nobody": (("viewer", "--prefix", "x=A", *STARTED), "'x' is none of the applications"),
    "no variable": (("viewer", "--env", "client_id", *STARTED), "it begins with no variable"),
    "no such variable": (("viewer", "--env", "a-b=client_id", *STARTED), "it begins with no variable"),
    "no such field": (("viewer", "--env", "A=secret", *STARTED), "there is no field 'secret'"),
    "a field of which": (
        ("viewer", "sensor-catalogue", "--env", "A=client_id", *STARTED),
        "--env A=client_id may be of viewer, sensor-catalogue\n  → --env A=viewer:client_id",
    ),
    "nobody": (("nobody", *STARTED), "no application is called 'nobody'"),
    "one of two": (("viewer", "nobody", *STARTED), "no application is called 'nobody'"),
    "no target": (("viewer", "-t", "prod", *STARTED), "there is no target"),
}  # fmt: skip


@pytest.mark.parametrize("case", WORDS)
def test_whatever_is_wrong_nothing_is_started(case: str, applied: Program) -> None:
    words, told = WORDS[case]
    assert told in refused(applied, *words)


def test_who_asks_for_json_is_told_in_json(applied: Program) -> None:
    assert applied.run("exec", "viewer", "-o", "json", *STARTED).document["error"]["exit_code"] == 125


def test_a_flag_before_exec_is_exec_s_too(applied: Program) -> None:
    assert applied.run("--frobnicate", "exec", "viewer", *STARTED).code == 125
    assert applied.run("--frobnicate", "status").code == 64
    assert applied.run("--timeout", "5", "exec", "viewer", *STARTED).code == 0
    assert (applied.folder / "started").exists()


def test_a_service_that_fails(applied: Program, services: Services) -> None:
    services.root.do("POST", "secret/delete/nexus/sensor-catalogue", {"versions": [1]})
    assert "secret/nexus/sensor-catalogue holds no credential now" in refused(applied, "sensor-catalogue", *STARTED)
    services.root.do("POST", "secret/data/nexus/viewer", {"data": {"client_id": "x", "client_secret": "a\0b"}})
    assert "NEXUS_CLIENT_SECRET has a null, which an environment cannot hold" in refused(applied, "viewer", *STARTED)
    services.root.do("POST", "sys/seal", {})
    assert "sealed" in refused(applied, "viewer", *STARTED)
    del applied.environ["VAULT_TOKEN"]
    assert "there is no Vault token" in refused(applied, "viewer", *STARTED)


def test_a_defect_is_registrar_s_own(applied: Program) -> None:
    (applied.folder / "sitecustomize.py").write_text(
        "import sys\n"
        "def look(event, arguments):\n"
        "    if event == 'os.exec': raise RuntimeError('x')\n"
        "sys.addaudithook(look)\n"
    )
    applied.environ["PYTHONPATH"] += f":{applied.folder}"
    told = refused(applied, "viewer", *STARTED)
    assert "a defect of registrar stopped it: RuntimeError in look" in told


# ── the process ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_is_the_same_process(applied: Program) -> None:
    process = applied.start("exec", "viewer", "--", "sh", "-c", "echo $$")
    assert finished(process) == Result(0, f"{process.pid}\n", "")


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
def test_the_exit_code_is_the_command_s(code: int, applied: Program) -> None:
    assert applied.run("exec", "viewer", "--", "sh", "-c", f"exit {code}") == Result(code, "", "")


def test_a_signal_that_ends_the_command_ends_the_process(applied: Program) -> None:
    assert applied.run("exec", "viewer", "--", "sh", "-c", "kill -TERM $$").code == -signal.SIGTERM


ARGUMENTS = ("two words", "", "--help", "-v", "--", "$HOME", "*", "a\nb", "é", "\udcff\udc80", "'\"\\")


def test_arguments_are_as_they_were_typed(applied: Program) -> None:
    assert run(applied, "viewer", after=ARGUMENTS).arguments == list(ARGUMENTS)


def test_a_command_may_have_a_name_of_any_bytes(applied: Program) -> None:
    file = os.fsencode(applied.folder) + b"/\xff run"
    Path(os.fsdecode(file)).write_text("#!/bin/sh\nexit 3\n")
    Path(os.fsdecode(file)).chmod(0o700)
    assert applied.run("exec", "viewer", "--", os.fsdecode(b"./\xff run")).code == 3


def test_standard_input_is_the_command_s(applied: Program) -> None:
    assert applied.run("exec", "viewer", "--", "cat", stdin="one\ntwo").out == "one\ntwo"


def test_the_terminal_is_the_command_s(applied: Program) -> None:
    script = "import os, sys; print([os.isatty(fd) for fd in (0, 1, 2)], os.ttyname(0))"
    shown = applied.on_terminal("exec", "viewer", "--", *PYTHON, script)
    assert shown.code == 0
    assert shown.out.startswith("[True, True, True] /dev/pts/")


ASKING = """
import os, signal
def struck(number, frame):
    os.write(1, b"struck\\n")  # the signal may come while the question is being written
    os._exit(7)
signal.signal(signal.SIGINT, struck)
os.write(1, b"Go on: ")
signal.pause()
"""


def test_ctrl_c_on_the_terminal_is_the_command_s(applied: Program) -> None:
    shown = typed(applied, b"\x03", "exec", "viewer", "--", *PYTHON, ASKING)
    assert (shown.code, "struck" in shown.out) == (7, True)
    assert "registrar" not in shown.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_is_the_command_s(number: signal.Signals, applied: Program) -> None:
    script = ASKING.replace("SIGINT", number.name)
    process = applied.start("exec", "viewer", "--", *PYTHON, script)
    assert process.stdout
    assert process.stdout.read(7) == "Go on: "
    process.send_signal(number)
    assert finished(process) == Result(7, "struck\n", "")


def test_a_signal_that_is_not_handled_ends_the_command(applied: Program) -> None:
    """Python's own SIGINT handler is gone with Python."""

    def usual() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored, where the tests themselves run in the background

    process = applied.start("exec", "viewer", "--", "sh", "-c", "echo; exec sleep 60", preexec_fn=usual)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert finished(process).code == -signal.SIGINT


def ignored(program: Program, **options: Any) -> set[int]:
    """The signals that the command ignores."""
    process = program.start("exec", "viewer", "--", "sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status", **options)
    lines = dict(line.split(":\t") for line in finished(process).out.splitlines())
    assert int(lines["SigBlk"], 16) == 0
    return {number for number in range(1, 65) if int(lines["SigIgn"], 16) >> (number - 1) & 1}


def test_python_s_ignored_signals_are_not_inherited(applied: Program) -> None:
    for mine in (False, True):  # whether whoever starts registrar ignores what Python does
        assert not ignored(applied, restore_signals=not mine) & {signal.SIGPIPE, signal.SIGXFSZ}
    broken = applied.run("exec", "viewer", "--", "bash", "-c", "yes | head -n 1; exit ${PIPESTATUS[0]}")
    assert (broken.code, broken.out, broken.err) == (128 + signal.SIGPIPE, "y\n", "")


def test_a_signal_that_is_ignored_on_purpose_stays_so(applied: Program) -> None:
    """As nohup does."""

    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    assert signal.SIGHUP in ignored(applied, preexec_fn=nohup)


def test_nothing_of_registrar_s_is_open(applied: Program) -> None:
    theirs, held = os.pipe()
    script = f"ls /proc/self/fd; echo kept >&{held}"
    result = finished(applied.start("exec", "viewer", "-v", "--", "bash", "-c", script, pass_fds=[held]))
    os.close(held)
    found = {int(name) for name in result.out.split()}
    assert found - {held} <= {0, 1, 2, 3}, "3 is the folder that ls reads"
    assert os.read(theirs, 99) == b"kept\n", "what was given to registrar is passed on"
    os.close(theirs)


def test_what_was_said_is_said_before(applied: Program) -> None:
    result = finished(applied.start("exec", "viewer", "-v", "--", "echo", "then", stderr=subprocess.STDOUT))
    assert result.out.splitlines()[-1] == "then"
    assert "GET /v1/secret/data/nexus/viewer 200" in result.out


def test_the_token_of_a_login_is_given_back_before(applied: Program, services: Services) -> None:
    vault = services.vault
    assert vault
    auth = {"client_token": applied.environ.pop("VAULT_TOKEN"), "lease_duration": 3600, "renewable": True}

    vault.on("POST", "/v1/auth/approle/login", say(200, json.dumps({"auth": auth}).encode()))
    vault.on("POST", "/v1/auth/token/revoke-self", say(204, b""))
    applied.environ |= {"VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "s"}
    process = applied.start(
        "exec", "viewer", "--vault-auth", "approle", "--", "sh", "-c", "echo; cat", stdin=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    assert vault.seen[-1].path == "/v1/auth/token/revoke-self", "while the command is running"
    assert finished(process).code == 0


# ── commands that cannot be run ───────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def sigpipe() -> Iterator[None]:
    """A process that goes on is left as it was."""
    before = signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGXFSZ)
    yield
    assert (signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGXFSZ)) == before


def test_a_command_that_is_not_there(applied: Program) -> None:
    with sigpipe():
        result = applied.call("exec", "viewer", "--", "no-such-command")
    assert (result.code, result.out) == (127, "")
    assert result.err == (
        "registrar: there is no command 'no-such-command'\n  → look at PATH, or give the path of the command\n"
    )
    for command in ("", "./nowhere", "apps.yaml/x"):
        assert f"there is no command {command!r}" in refused(applied, "viewer", "--", command, code=127)
    (applied.folder / "link").symlink_to("nowhere")
    applied.write("odd", "#!/nowhere/python\n").chmod(0o700)
    for command in ("./link", "./odd"):
        assert f"{command} leads nowhere" in refused(applied, "viewer", "--", command, code=127)


def test_a_command_that_cannot_be_executed(applied: Program) -> None:
    applied.write("no-format", "\x00\x01").chmod(0o700)
    with sigpipe():
        assert applied.call("exec", "viewer", "--", "./apps.yaml").code == 126
    for command, reason in {"./apps.yaml": "Permission denied", "./no-format": "Exec format error"}.items():
        told = refused(applied, "viewer", "--", command, code=126)
        assert told.startswith(f"registrar: {command} cannot be executed: {reason}\n  → ")


def test_a_path_is_searched_as_env_does(applied: Program) -> None:
    """The first that can be executed is; one that cannot is remembered, where no other is found."""
    for folder, bits in (("one", 0o600), ("two", 0o700)):
        applied.write(f"{folder}/tool", f"#!/bin/sh\necho {folder}\n").chmod(bits)
    path = applied.environ["PATH"]
    for folders, expected in ((("one", "two"), (0, "two\n")), (("one",), (126, "")), ((), (127, ""))):
        applied.environ["PATH"] = ":".join([*(str(applied.folder / folder) for folder in folders), path])
        result = applied.run("exec", "viewer", "--", "tool")
        as_env = subprocess.run(["env", "tool"], env=applied.environ, capture_output=True, text=True)
        assert (result.code, result.out) == (as_env.returncode, as_env.stdout) == expected


# ── the sandbox ───────────────────────────────────────────────────────────────────────────────────────────────────────

ENDS = "The sandbox ends as the command starts"


def test_the_sandbox_says_that_it_ends(program: Program) -> None:
    program.write("apps.yaml", TWO)
    assert program.run("--sandbox", "apply", "apps.yaml", "--yes").code == 0
    alone = run(program, "viewer", "--sandbox")
    assert alone.err.startswith(ENDS)
    assert "`registrar sandbox`" in alone.err
    with foreground(program) as (_, ready):
        served = run(program, "viewer", "--sandbox")
    assert ENDS not in served.err
    assert served.environ == alone.environ
    assert served.environ["NEXUS_EXCHANGE_URL"] == f"{ready['nexus_url']}/api/v1/oauth/exchange"


def test_real_services_say_nothing_of_a_sandbox(applied: Program) -> None:
    assert ENDS not in run(applied, "viewer").err

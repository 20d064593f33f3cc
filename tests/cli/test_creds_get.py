"""`creds get`: every format read back, every version, a file for its owner alone, and no secret on a screen unasked."""

from __future__ import annotations

import json
import os
import resource
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from registrar import atomic
from registrar.errors import UsageError
from registrar.policy import Role, grants, hcl
from tests.cli.manifests import TWO, VIEWER_URI
from tests.cli.program import Program, Result, finished
from tests.cli.services import Services
from tests.documents import validated

FORMATS = ("env", "dotenv", "shell", "json", "yaml")


@pytest.fixture
def applied(connected: Program) -> Program:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    return connected


def values(services: Services) -> dict[str, str]:
    """What there is to be fetched of the viewer."""
    assert services.nexus
    return {
        **services.credential("viewer"),
        "redirect_uri": VIEWER_URI,
        "authorize_url": f"{services.nexus.url}/api/oauth/authorize",
        "exchange_url": f"{services.nexus.url}/api/v1/oauth/exchange",
    }


def variables(services: Services) -> dict[str, str]:
    return {f"NEXUS_{field.upper()}": value for field, value in values(services).items()}


def get(program: Program, *words: str, code: int = 0) -> Result:
    result = program.call("creds", "get", *words)
    assert result.code == code, result
    return result


def write(services: Services, path: str, **content: str) -> None:
    services.root.do("POST", f"secret/data/nexus/{path}", {"data": content})


# ── formats ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_format_is_read_as_what_there_is(applied: Program, services: Services) -> None:
    told = {format_: applied.run("creds", "get", "viewer", "--format", format_) for format_ in FORMATS}
    assert {(result.code, result.err) for result in told.values()} == {(0, "")}
    assert json.loads(told["json"].out) == yaml.safe_load(told["yaml"].out) == values(services)
    assert list(json.loads(told["json"].out)) == list(values(services))
    assert dict(line.split("=", 1) for line in told["env"].out.splitlines()) == variables(services)
    applied.write(".env", told["dotenv"].out)
    assert dotenv_values(applied.folder / ".env") == variables(services)
    script = f"{told['shell'].out}env"
    seen = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert variables(services).items() <= dict(line.split("=", 1) for line in seen.stdout.splitlines()).items()


@pytest.mark.parametrize("secret", ['it\'s "\\$HOME`"', "wörd\tend ", "$(exit 3)"])
def test_a_shell_evaluates_what_it_is_given(secret: str, applied: Program, services: Services) -> None:
    write(services, "viewer", client_id="x", client_secret=secret)
    command = shlex.join([*_python(), "creds", "get", "viewer", "--format", "shell"])
    script = f'eval "$({command})"; printf %s "$NEXUS_CLIENT_SECRET"'
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-c", script], env=applied.environ, cwd=applied.folder, capture_output=True)
        assert (done.stdout, done.stderr) == (secret.encode(), b"")


def _python() -> tuple[str, ...]:
    return sys.executable, "-m", "registrar"


def test_a_field_is_its_value_and_one_line_break(applied: Program, services: Services) -> None:
    for field, value in values(services).items():
        assert get(applied, "viewer", "--field", field).out == f"{value}\n"
    assert (
        applied.run("creds", "get", "viewer", "--field", "client_secret").out
        == values(services)["client_secret"] + "\n"
    )
    assert get(applied, "viewer", "--field", "client_id", "--format", "env").out == (
        f"NEXUS_CLIENT_ID={values(services)['client_id']}\n"
    )
    document = get(applied, "viewer", "--field", "client_id", "-o", "json").document
    assert "client_secret" not in document
    assert document["client_id"] == values(services)["client_id"]


def test_a_pipe_gets_utf_8_whatever_the_locale_says(applied: Program, services: Services) -> None:
    write(services, "viewer", client_id="x", client_secret="wörd→\x85")
    applied.environ |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = applied.start("creds", "get", "viewer", "--field", "client_secret", encoding="utf-8")
    assert finished(process) == Result(0, "wörd→\x85\n", "")


def test_what_nobody_knows_is_left_out_and_said(applied: Program, services: Services) -> None:
    write(services, "theirs", client_id="x", client_secret="y")
    result = get(applied, "theirs", "--format", "json")
    assert json.loads(result.out) == {"client_id": "x", "client_secret": "y"}
    assert result.err == "Nothing tells the redirect_uri, authorize_url, exchange_url of theirs: left out.\n"
    assert get(applied, "theirs").err == ""
    refused = get(applied, "theirs", "--field", "redirect_uri", code=1)
    assert (refused.out, refused.err) == (
        "", "registrar: nothing tells the redirect_uri of theirs\n  → registrar show theirs\n"
    )  # fmt: skip


def test_a_format_that_cannot_hold_a_value_names_one_that_can(applied: Program, services: Services) -> None:
    write(services, "viewer", client_id="x", client_secret="two\nlines")
    refused = get(applied, "viewer", "--format", "env", code=64)
    assert refused.out == ""
    assert refused.err == (
        "registrar: NEXUS_CLIENT_SECRET has a line break, which an env file cannot hold\n"
        "  → registrar creds get NAME --format shell, or json, or yaml\n"
    )
    assert json.loads(get(applied, "viewer", "--format", "json").out)["client_secret"] == "two\nlines"
    assert get(applied, "viewer", "--field", "client_secret").out == "two\nlines\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "json", "--format", "env"), "--format writes the values for a program"),
        (("-o", "json", "--format", "json"), "--format writes the values for a program"),
        (("--force",), "--force says nothing without --out"),
        (("--version", "0"), "--version"),
        (("--format", "xml"), "--format"),
        (("--field", "secret"), "--field"),
    ],
)
def test_words_that_cannot_be_meant(words: tuple[str, ...], told: str, applied: Program, services: Services) -> None:
    assert services.vault
    services.vault.seen.clear()
    refused = applied.call("creds", "get", "viewer", *words)
    assert (refused.code, told in refused.err) == (64, True)
    assert services.vault.seen == []
    if "-o" in words:
        assert refused.document["error"]["exit_code"] == 64
    assert get(applied, "viewer", "-o", "text", "--format", "env").out.startswith("NEXUS_CLIENT_ID=")


# ── versions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_is_fetched_by_its_number(applied: Program, services: Services) -> None:
    first = services.credential("viewer")
    assert applied.call("rotate", "viewer", "--yes", "--manifests", "apps.yaml").code == 0
    assert services.credential("viewer") != first
    old = json.loads(get(applied, "viewer", "--version", "1", "--format", "json").out)
    assert old | first == old
    assert old["redirect_uri"] == VIEWER_URI
    newest = get(applied, "Digital Twin Viewer", "--version", "2", "--field", "client_id").out
    assert newest == services.credential("viewer")["client_id"] + "\n"


@pytest.mark.parametrize("listing", [True, False])
def test_a_version_that_holds_nothing_says_so(applied: Program, services: Services, listing: bool) -> None:
    services.root.do("POST", "secret/delete/nexus/viewer", {"versions": [1]})
    if not listing:
        policy = hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=["viewer"]))
        applied.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()
    for number in ("1", "9"):
        refused = get(applied, "viewer", "--version", number, code=1)
        assert refused.out == ""
        assert refused.err == (
            f"registrar: version {number} of secret/nexus/viewer holds no credential\n"
            "  → registrar creds history viewer\n"
        )
    assert "secret/nexus/viewer holds no credential now" in get(applied, "viewer", code=1).err


# ── a terminal ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format_", FORMATS)
def test_a_terminal_sees_no_secret_unless_it_is_asked_for(format_: str, applied: Program, services: Services) -> None:
    secret = values(services)["client_secret"]
    masked = applied.on_terminal("creds", "get", "viewer", "--format", format_)
    assert secret not in masked.out
    assert "********" in masked.out
    assert VIEWER_URI in masked.out
    assert masked.out.endswith("The secret is masked on a terminal; add --reveal to see it.\n")
    revealed = applied.on_terminal("creds", "get", "viewer", "--format", format_, "--reveal")
    assert secret in revealed.out
    assert "masked" not in revealed.out


def test_what_is_no_secret_is_never_masked(applied: Program, services: Services) -> None:
    for words in (("--field", "client_id"), ("--field", "client_id", "--format", "env")):
        shown = applied.on_terminal("creds", "get", "viewer", *words).out
        assert values(services)["client_id"] in shown
        assert "masked" not in shown


def test_stdout_decides_and_not_stderr(applied: Program) -> None:
    """As in `registrar creds get … | program`, typed by a person."""
    command = f"{shlex.join([*_python(), 'creds', 'get', 'viewer', '--field', 'client_secret'])} | od -c"
    shown = applied.on_terminal("exec", "viewer", "--keep", "VAULT_TOKEN", "--", "sh", "-c", command).out
    assert "masked" not in shown
    assert "*" not in shown


# ── a file ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def mode(file: Path) -> int:
    return stat.S_IMODE(file.lstat().st_mode)


def only(program: Program, *names: str) -> bool:
    """Whether these alone are in the working folder: nothing is left beside them."""
    return {file.name for file in program.folder.iterdir()} == {"apps.yaml", *names}


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_a_file_is_its_owner_s_alone(mask: int, applied: Program, services: Services) -> None:
    before = os.umask(mask)
    try:
        result = applied.run("creds", "get", "viewer", "--format", "json", "--out", "viewer.json")
    finally:
        os.umask(before)
    assert (result.code, result.out) == (0, "")
    assert result.err == "secret/nexus/viewer v1 is in viewer.json, which you alone may read (0600).\n"
    assert json.loads((applied.folder / "viewer.json").read_text()) == values(services)
    assert mode(applied.folder / "viewer.json") == 0o600
    assert only(applied, "viewer.json")


def test_a_file_is_never_masked(applied: Program, services: Services) -> None:
    shown = applied.on_terminal("creds", "get", "viewer", "--field", "client_secret", "--out", "secret").out
    assert (applied.folder / "secret").read_text() == values(services)["client_secret"] + "\n"
    assert "masked" not in shown
    assert values(services)["client_secret"] not in shown
    document = get(applied, "viewer", "-o", "json", "--out", "document")
    assert document.out == ""
    assert validated(json.loads((applied.folder / "document").read_text()))["kind"] == "credential"


def test_no_file_is_written_over(applied: Program, services: Services) -> None:
    assert services.vault
    folder = applied.folder
    applied.write("there", "theirs")
    (folder / "nowhere").symlink_to(folder / "made-by-us")
    (folder / "link").symlink_to(folder / "there")
    services.vault.seen.clear()
    for name in ("there", "nowhere", "link"):
        refused = get(applied, "viewer", "--out", name, code=64)
        assert refused.err == (
            f"registrar: {name} is there already\n  → name another file, or replace it with --force\n"
        )
    assert services.vault.seen == [], "nothing was asked for"
    assert only(applied, "there", "nowhere", "link")
    assert (folder / "there").read_text() == "theirs"


def test_force_replaces_a_file_or_a_link_as_a_whole(applied: Program) -> None:
    folder = applied.folder
    for name in ("there", "aimed-at"):
        applied.write(name, "theirs" * 99).chmod(0o644)
    (folder / "same").hardlink_to(folder / "there")
    (folder / "link").symlink_to("aimed-at")
    for name in ("there", "link"):
        assert get(applied, "viewer", "--field", "client_id", "--out", name, "--force").out == ""
        assert mode(folder / name) == 0o600
        assert not (folder / name).is_symlink()
        assert "theirs" not in (folder / name).read_text()
    assert (folder / "same").read_text() == (folder / "aimed-at").read_text() == "theirs" * 99
    assert only(applied, "there", "same", "link", "aimed-at")


PLACES: dict[str, tuple[str, str]] = {
    "a folder": (".", ". is a folder"),
    "no folder": ("nowhere/file", "nowhere/file cannot be written: there is no such folder"),
    "below a file": ("apps.yaml/file", "apps.yaml/file cannot be written: Not a directory"),
    "a device": ("/dev/full", "/dev/full is no file but a device, a pipe or a socket"),
    "an endless name": ("x" * 300, "cannot be written: File name too long"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_where_no_file_can_be(place: str, applied: Program) -> None:
    out, told = PLACES[place]
    refused = get(applied, "viewer", "--out", out, "--force", code=64)
    assert (refused.out, told in refused.err) == ("", True), refused.err
    assert get(applied, "viewer", "--out", out, code=64).out == ""
    assert only(applied)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_s(applied: Program) -> None:
    applied.folder.chmod(0o500)
    assert "Permission denied" in get(applied, "viewer", "--out", "file", code=64).err


def test_a_folder_that_takes_no_files_at_all(applied: Program) -> None:
    refused = get(applied, "viewer", "--out", "/proc/registrar", code=64)
    assert "/proc/registrar cannot be written" in refused.err


def test_a_disk_that_is_full_leaves_nothing(applied: Program) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    applied.write("there", "theirs")
    applied.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for words in (("--out", "new"), ("--out", "there", "--force")):
        result = finished(applied.start("creds", "get", "viewer", *words, preexec_fn=small))
        assert result.code == 64
        assert f"{words[1]} cannot be written: File too large" in result.err
    assert only(applied, "there")
    assert (applied.folder / "there").read_text() == "theirs"


def test_of_several_who_write_one_file_one_does(tmp_path: Path) -> None:
    """All have seen that nothing is there."""
    start, done = threading.Barrier(8), list[str]()

    def writing(number: int) -> Callable[[], None]:
        def run() -> None:
            start.wait()
            try:
                atomic.write(tmp_path / "file", b"%d" % number * 9999, force=False)
            except UsageError as error:
                done.append(error.message)
            else:
                done.append(str(number))

        return run

    threads = [threading.Thread(target=writing(number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [told for told in done if told.isdigit()]
    assert {told for told in done if told != winner} == {f"{tmp_path}/file is there already"}
    assert (tmp_path / "file").read_text() == winner * 9999
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


WATCHED = """
import os, stat, sys
from pathlib import Path
seen = []
def look(event, arguments):
    if event == "os.link":  # the file is whole, and not there yet
        seen.append((stat.S_IMODE(os.stat(arguments[0]).st_mode), os.path.lexists(arguments[1])))
    elif event == "open" and ".file." in str(arguments[0]):
        seen.append((arguments[2] & os.O_EXCL != 0, arguments[2] & os.O_CREAT != 0))
sys.addaudithook(look)
from registrar import atomic
os.umask(0)
atomic.write(Path("file"), b"x", force=False)
print(seen)
"""


def test_a_file_is_private_and_whole_before_it_is_there(program: Program) -> None:
    done = subprocess.run(
        [_python()[0], "-c", WATCHED], env=program.environ, cwd=program.folder, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"[(True, True), ({0o600}, False)]\n", "")

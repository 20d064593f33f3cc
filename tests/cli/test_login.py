"""login, logout and whoami: a session of one's own, which every command then uses, and nothing but a token is kept."""

from __future__ import annotations

import json
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registrar.errors import UsageError
from registrar.kept import File, Kept
from registrar.secret import Secret
from tests import web
from tests.cli.manifests import TWO
from tests.cli.program import Program, Result, finished
from tests.cli.services import Services, serving


@pytest.fixture
def person(connected: Program) -> Program:
    """Nobody has given this program a key for Nexus."""
    for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del connected.environ[name]
    return connected


def kept_in(program: Program) -> Path:
    return program.home / "state" / "registrar" / "nexus-sessions.json"


def log_in(program: Program, services: Services, *words: str, as_user: bool = False) -> Result:
    account = services.running.user if as_user else services.running.sysadmin
    return program.on_terminal("login", *words, answers=[account.api_key, account.api_secret])


def test_a_key_becomes_a_session_that_every_command_uses(person: Program, services: Services) -> None:
    person.write("apps.yaml", TWO)
    refused = person.call("apply", "apps.yaml", "--yes")
    assert (refused.code, "→ registrar login" in refused.err) == (64, True)
    result = log_in(person, services)
    assert result.code == 0, result.out
    account = services.running.sysadmin
    assert re.search(r"Signed in to http://127\.0\.0\.1:\d+ as \S+@\S+ until 20", result.out)
    assert account.api_secret not in result.out
    assert account.api_key not in result.out
    text = kept_in(person).read_text()
    assert account.api_secret not in text
    assert stat.S_IMODE(kept_in(person).stat().st_mode) == 0o600
    (session,) = json.loads(text).values()
    left = datetime.fromisoformat(session["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=7, minutes=58) < left < timedelta(hours=8, minutes=1)
    assert person.call("apply", "apps.yaml", "--yes").code == 0
    told = " ".join(person.call("doctor").out.split())
    assert "signed in by the session of `registrar login`" in told, told


def test_the_life_of_a_session(person: Program, services: Services) -> None:
    assert log_in(person, services, "--expiration", "30").code == 0
    (session,) = json.loads(kept_in(person).read_text()).values()
    left = datetime.fromisoformat(session["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=28) < left < timedelta(minutes=31)


def test_who_we_are(person: Program, services: Services) -> None:
    nobody = person.call("whoami")
    assert nobody.code == 64
    assert "there is no Nexus key" in nobody.out
    assert "may      root" in nobody.out  # Vault is told all the same
    assert log_in(person, services, as_user=True).code == 0
    result = person.call("whoami")
    assert result.code == 0, result.out
    assert "plain@example.test" in result.out
    assert "by       the session of `registrar login`" in result.out
    assert "may      sign in" in result.out
    assert re.search(r"until    20\d\d-\d\d-\d\d \d\d:\d\d UTC, in 7 hours", result.out)
    found = person.call("whoami", "-o", "json").document
    assert found["nexus"]["name"] == "plain@example.test"
    assert found["nexus"]["rights"] == ["sign in"]
    assert found["vault"]["rights"] == ["root"]
    sandbox = person.call("--sandbox", "whoami")
    assert "manage applications" in sandbox.out


def test_nexus_or_vault_away(person: Program, services: Services) -> None:
    assert log_in(person, services).code == 0
    assert services.nexus
    services.nexus.refuse()
    result = person.call("whoami", "--timeout", "1")
    assert result.code == 3
    assert "no answer of Nexus" in result.out
    assert "may      root" in result.out
    found = person.call("whoami", "--timeout", "1", "-o", "json")
    assert found.code == 3
    assert "no answer" in found.document["nexus"]["error"]["message"]


def test_logging_out(person: Program, services: Services) -> None:
    assert "There is no session at" in person.call("logout").err
    assert log_in(person, services).code == 0
    result = person.call("logout")
    assert (result.code, result.out) == (0, "")
    assert "is forgotten; its token lives until 20" in result.err
    assert not kept_in(person).exists()
    assert person.call("whoami").code == 64
    # the key that it was made from still works
    assert log_in(person, services).code == 0


def test_a_session_that_has_ended(person: Program, services: Services) -> None:
    assert log_in(person, services).code == 0
    found = json.loads(kept_in(person).read_text())
    for session in found.values():
        session["expires_at"] = "2026-01-02T03:04:05+00:00"
    kept_in(person).write_text(json.dumps(found))
    result = person.call("whoami")
    assert result.code == 64
    assert "the session of " in result.out
    assert "ended at 2026-01-02 03:04 UTC" in result.out
    assert "→ registrar login" in result.out


def test_the_environment_beats_the_session(person: Program, services: Services) -> None:
    assert log_in(person, services, as_user=True).code == 0
    account = services.running.sysadmin
    person.environ |= {"NEXUS_API_KEY": account.api_key, "NEXUS_API_SECRET": account.api_secret}
    assert "by       API key" in person.call("whoami").out
    again = log_in(person, services, as_user=True)
    assert "uses instead: unset it" in again.out


def test_what_is_typed_wrongly(person: Program, services: Services) -> None:
    account = services.running.sysadmin
    wrong = person.on_terminal("login", answers=[account.api_key, "x" * 86])
    assert wrong.code == 3
    assert "it refuses the API key" in wrong.out
    spaced = person.on_terminal("login", answers=["two words", "x"])
    assert spaced.code == 64
    assert "the API key has spaces" in spaced.out
    assert not kept_in(person).exists()


def test_nobody_to_ask(person: Program) -> None:
    result = person.run("login")
    assert result.code == 64
    assert "in a pipeline, set NEXUS_API_KEY" in result.err


def test_the_sandbox_has_its_own(program: Program) -> None:
    result = program.call("--sandbox", "login")
    assert result.code == 64
    assert "the sandbox has a sysadmin of its own" in result.err


def test_nothing_is_kept_where_there_is_no_home(person: Program, services: Services) -> None:
    del person.environ["HOME"], person.environ["XDG_STATE_HOME"]
    assert "there is no Nexus key" in person.call("whoami").out
    result = log_in(person, services)
    assert result.code == 64
    assert "set HOME" in result.out


# ── the device login ──────────────────────────────────────────────────────────────────────────────────────────────────


def by_device(program: Program, services: Services, *words: str) -> Result:
    """A person reads the code on the terminal, and agrees to it in a browser on another machine."""
    process = program.start("login", "--no-browser", *words)
    assert process.stderr
    said = ""
    while not (code := re.search(r"^ {4}([\w-]{4,})$", said, re.MULTILINE)):
        line = process.stderr.readline()
        assert line, said
        said += line
    url, account = services.running.nexus_url, services.running.sysadmin
    body = {"apiKey": account.api_key, "apiSecret": account.api_secret}
    token = web.post(f"{url}/api/v2/oauth/tokens", json=body).text.strip('"')
    sent = {"user_code": code[1], "approve": True}
    headers = {"authorization": f"Bearer {token}"}
    assert web.post(f"{url}/api/v2/oauth/device/verify", json=sent, headers=headers).status_code == 200
    rest = finished(process)
    return Result(rest.code, rest.out, said + rest.err)


@pytest.fixture
def client_id(services: Services) -> str:
    """The application that this command line is to Nexus."""
    made = services.by_hand.create({"name": "registrar", "redirect_uri": "https://registrar.example.org/cb"})
    return made.client_id


def test_a_session_by_the_device_login(person: Program, services: Services, client_id: str) -> None:
    result = by_device(person, services, "--client-id", client_id)
    assert result.code == 0, result.err
    assert "/oauth/device/verify?user_code=" in result.err
    assert "renewed by itself while Nexus allows it" in result.err
    assert "manage applications" in person.call("whoami").out
    (session,) = json.loads(kept_in(person).read_text()).values()
    assert session["refresh"] not in result.err
    before = session["token"]

    # it ends, and the next command renews it
    session["expires_at"] = "2026-01-02T03:04:05+00:00"
    kept_in(person).write_text(json.dumps({person.environ["NEXUS_URL"]: session}))
    assert person.call("whoami").code == 0
    (session,) = json.loads(kept_in(person).read_text()).values()
    assert session["token"] != before

    # and logging out ends it at Nexus
    out = person.call("logout")
    assert "is forgotten, and its token ended at Nexus" in out.err
    used = {"authorization": f"Bearer {session['token']}"}
    assert web.get(f"{services.running.nexus_url}/api/v2/users/current", headers=used).status_code == 401


def test_a_session_that_can_no_longer_be_renewed(person: Program, services: Services, client_id: str) -> None:
    assert by_device(person, services, "--client-id", client_id).code == 0
    (session,) = json.loads(kept_in(person).read_text()).values()
    ended = {**session, "expires_at": "2026-01-02T03:04:05+00:00", "refresh": "withdrawn"}
    kept_in(person).write_text(json.dumps({person.environ["NEXUS_URL"]: ended}))
    result = person.call("whoami")
    assert result.code == 64
    assert "ended at 2026-01-02 03:04 UTC" in result.out


def test_the_target_names_its_application(person: Program, client_id: str) -> None:
    """Of registrar.yaml; what is no application of this Nexus is told with where to correct it."""
    nexus, vault = person.environ.pop("NEXUS_URL"), person.environ.pop("VAULT_ADDR")
    target = f"nexus_url: {nexus}, vault_addr: {vault}, login_client_id: {client_id}x"
    person.write("registrar.yaml", f"manifests: .\ntargets:\n  dev: {{{target}}}\n")
    result = person.run("login")
    assert result.code == 3
    assert f"no living application with the client id {client_id}x" in result.err
    assert "login_client_id" in result.err


def test_where_there_is_no_device_login_it_is_a_key(tmp_path: Path) -> None:
    with serving(stage="v1") as services:
        program = Program(tmp_path, services.environ)
        for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
            del program.environ[name]
        result = log_in(program, services, "--client-id", "any")
        assert result.code == 0, result.out
        assert "This Nexus has no device login, so an API key it is." in result.out


def test_a_key_where_somebody_wants_one(person: Program, services: Services, client_id: str) -> None:
    assert log_in(person, services, "--client-id", client_id, "--with-key").code == 0


# ── where it is kept ──────────────────────────────────────────────────────────────────────────────────────────────────

HERE = "https://nexus.example.org"
SESSION = Kept(HERE, "a@example.org", Secret("eyJ.t.s"), datetime(2031, 1, 2, tzinfo=UTC), Secret("r"), "client")


def test_sessions_of_several_servers(tmp_path: Path) -> None:
    file = File(tmp_path / "made" / "sessions.json")
    assert file.load(HERE) is None
    assert not file.forget(HERE)
    other = Kept("https://other.example.org", "b@example.org", Secret("t"))
    file.save(SESSION)
    file.save(other)
    assert file.load(HERE) == SESSION
    assert file.load(other.url) == other
    assert file.forget(HERE)
    assert file.load(HERE) is None
    assert file.load(other.url) == other
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["sessions.json"]
    assert file.forget(other.url)
    assert list((tmp_path / "made").iterdir()) == []


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    File(path).save(SESSION)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read") as caught:
        File(path).load(HERE)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_garbled_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is not as registrar writes it"):
        File(path).load(HERE)


@pytest.mark.parametrize(
    "kept", ["7", "{}", '{"user": 1, "token": 2, "expires_at": "x", "refresh": 0, "client_id": 0}']
)
def test_a_garbled_session_is_none(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(f'{{"{HERE}": {kept}}}')
    path.chmod(0o600)
    assert File(path).load(HERE) is None


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "sessions.json").mkdir()
    file = File(tmp_path / "sessions.json")
    with pytest.raises(UsageError, match="cannot be read"):
        file.load(HERE)
    with pytest.raises(UsageError, match="cannot be read"):
        file.save(SESSION)
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="cannot be"):
        File(tmp_path / "taken" / "sessions.json").save(SESSION)


def test_when_it_is_over() -> None:
    ends = datetime(2031, 1, 2, tzinfo=UTC)
    assert SESSION.ended(ends)
    assert not SESSION.ended(ends - timedelta(seconds=1))
    assert not Kept(HERE, "a", Secret("t")).ended()


BACKEND = """
import json, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError
class Keyring(KeyringBackend):
    priority = 1
    name = "a folder"
    file = pathlib.Path(FOLDER) / "ring.json"
    def all(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}
    def get_password(self, service, username):
        return self.all().get(f"{service} {username}")
    def set_password(self, service, username, password):
        if LOCKED:
            raise PasswordSetError(password)
        self.file.write_text(json.dumps({**self.all(), f"{service} {username}": password}))
    def delete_password(self, service, username):
        self.file.write_text(json.dumps({k: v for k, v in self.all().items() if k != f"{service} {username}"}))
"""


def ring(program: Program, *, locked: bool = False) -> Path:
    """A keyring of the program's own."""
    text = BACKEND.replace("FOLDER", repr(str(program.home))).replace("LOCKED", repr(locked))
    program.write("ringing.py", text)
    program.environ["PYTHON_KEYRING_BACKEND"] = "ringing.Keyring"
    program.environ["PYTHONPATH"] = f"{program.environ['PYTHONPATH']}{os.pathsep}{program.folder}"
    return program.home / "ring.json"


def test_in_a_keyring(person: Program, services: Services) -> None:
    file = ring(person)
    result = log_in(person, services)
    assert result.code == 0, result.out
    assert "is kept in the keyring (a folder)" in result.out
    assert list(json.loads(file.read_text())) == [f"nexus-registrar {person.environ['NEXUS_URL']}"]
    assert not kept_in(person).exists()
    assert "the session of `registrar login`" in person.run("whoami").out
    assert "is forgotten" in person.run("logout").err
    assert json.loads(file.read_text()) == {}
    assert "There is no session" in person.run("logout").err
    file.write_text(json.dumps({f"nexus-registrar {person.environ['NEXUS_URL']}": "{"}))
    assert "there is no Nexus key" in person.run("whoami").out


def test_a_keyring_that_does_not_open(person: Program, services: Services) -> None:
    """What its backend raises holds the session, and is not told."""
    ring(person, locked=True)
    result = log_in(person, services)
    assert result.code == 64
    assert "the keyring (a folder) does not work: PasswordSetError" in result.out
    assert "eyJ" not in result.out


def test_without_a_keyring_a_file(person: Program, services: Services) -> None:
    """As with a backend that stands for none; Program has that one."""
    assert log_in(person, services).code == 0
    assert kept_in(person).exists()

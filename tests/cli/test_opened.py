"""The session that the TUI is handed: opened late, silent, and carrying out only what was approved."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

import registrar
from registrar.cli.opened import Opened
from registrar.config import Need
from registrar.errors import BrakeEngaged, ManifestsInvalid, NotSignedIn, Stale, UsageError
from registrar.logins import Method
from registrar.model import Credential
from registrar.plan import Plan
from registrar.report import Event, Report, Status, Stop
from registrar.secret import Secret
from registrar.tui import intents
from registrar.tui.intents import Intent
from registrar.tui.session import Ask, Draft, Request
from registrar.verify import State
from tests.cli.manifests import CATALOGUE_URI, TWO, VIEWER_URI, many
from tests.cli.program import Program
from tests.cli.services import Services, serving

COMMENTED = """\
# ours
apps:
  - name: Digital Twin Viewer  # the first
    redirect_uri: https://viewer.example.org/oauth/callback
    owner_email: twin-team@example.org
    path: viewer
    targets:
      default: {description: here}

  # the last
  - name: Sensor Catalogue
    redirect_uri: https://sensors.example.org/auth/callback
    owner_email: sensors@example.org
"""


class _Terminal(io.StringIO):
    """A standard input on which somebody might be asked; reading it is the failure."""

    def isatty(self) -> bool:
        return True

    def read(self, *_: object) -> str:
        raise AssertionError("a prompt")

    readline = read  # type: ignore[assignment]


@pytest.fixture(scope="module")
def shared() -> Iterator[Services]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _silent(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The terminal belongs to the app: nothing is printed, nobody is asked."""
    for name in [name for name in os.environ if name.startswith(("NEXUS_", "VAULT_", "BAO_", "REGISTRAR_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", _Terminal())
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def at(shared: Services, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where the services are and nothing of who we are, each test in a folder of its own."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")  # no TLS here, and the system's take 50 ms to read
    prefix = f"nexus/{request.node.name.replace('_', '-').partition('[')[0]}"
    places = {"nexus_url": shared.running.nexus_url, "vault_addr": shared.running.vault_addr}
    return {**places, "vault_prefix": prefix}


@pytest.fixture
def keys(shared: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shared.environ.items():
        if name not in ("NEXUS_URL", "VAULT_ADDR"):
            monkeypatch.setenv(name, value)


Open = Callable[..., Opened]


@pytest.fixture
def opened(at: dict[str, Any]) -> Iterator[Open]:
    """A session over these manifests, closed at the end."""
    sessions: list[Opened] = []

    def made(*paths: str, **flags: Any) -> Opened:
        sessions.append(Opened(click.Context(click.Command("tui"), obj={}), {**at, **flags}, paths))
        return sessions[-1]

    yield made
    for session in sessions:
        session.close()


def manifest(name: str, text: str = TWO, *, of: str = "") -> str:
    """A manifest whose names no other test has."""
    Path(name).write_text(text.replace("Viewer", f"Viewer{of}").replace("Sensor", f"Sensor{of}"))
    return name


def carried_out(session: Opened, intent: Intent, *, approved: str = "", **allowed: int) -> tuple[Report, Plan]:
    events: list[Event] = []
    said: list[str] = []
    digest = approved or intent.decide(session.observe()).digest
    found = session.carry_out(intent, Ask(digest, events.append, said.append, Stop(), **allowed))
    assert events or not found[1].pending
    return found


@pytest.mark.usefixtures("keys")
def test_a_change_is_carried_out_as_it_was_approved(opened: Open, shared: Services, at: dict[str, Any]) -> None:
    session = opened(manifest("apps.yaml", of=" A"))
    seen: list[Request] = []
    session.on_request = seen.append
    world = session.observe()
    assert set(world.wanted) == {"viewer", "sensor-a-catalogue"}
    assert not world.records
    report, plan = carried_out(session, intents.apply())
    assert [outcome.status for outcome in report.outcomes] == [Status.DONE] * 2
    assert len(plan.pending) == 2
    assert session.observe().by_path.keys() == {"viewer", "sensor-a-catalogue"}
    stored = session.credential("viewer")
    assert stored
    assert stored.client_id in {found.client_id for found in session.observe().registered or ()}
    assert session.credential("nobody") is None
    found = session.verify(())
    assert [(row.path, row.state) for row in found.rows] == [
        ("sensor-a-catalogue", State.RIGHT),
        ("viewer", State.RIGHT),
    ]
    assert [row.path for row in session.verify(("viewer",)).rows] == ["viewer"]
    assert any("/v1/secret/" in request.path for request in seen)
    assert any(request.method == "POST" and "application" in request.path.lower() for request in seen)
    assert session.target.nexus_url == shared.running.nexus_url
    assert session.flags == (
        "--vault-prefix", at["vault_prefix"], "--nexus-url", at["nexus_url"], "--vault-addr", at["vault_addr"],
    )  # fmt: skip


@pytest.mark.usefixtures("keys")
def test_another_plan_than_the_approved_one_is_refused(opened: Open) -> None:
    session = opened(manifest("apps.yaml", of=" B"))
    with pytest.raises(Stale, match="has changed since") as raised:
        carried_out(session, intents.apply(), approved="0" * 32)
    assert raised.value.hint == "r, to see it anew"
    assert not session.observe().records
    with pytest.raises(BrakeEngaged):
        carried_out(session, intents.apply(), allow_replace=1)
    with pytest.raises(UsageError, match="--prune with a PATH"):
        carried_out(session, intents.prune())
    assert not session.observe().records


@pytest.mark.usefixtures("keys")
def test_what_is_adopted_is_proven_with_the_secret_that_is_shown(opened: Open, shared: Services) -> None:
    session = opened(manifest("apps.yaml", of=" C"))
    fields = {"redirect_uri": CATALOGUE_URI, "base_url": "", "owner_email": "sensors@example.org", "description": ""}
    made = shared.by_hand.create({"name": "Sensor C Catalogue", **fields})
    name = "sensor-c-catalogue"
    intent = intents.adopt(name, made.client_id, made)
    report, _ = carried_out(session, intent)
    assert [outcome.status for outcome in report.outcomes] == [Status.DONE]
    assert session.credential(name) == made
    wrong = Credential(made.client_id, Secret("x" * 40))  # it is stored by now, so that this one is not looked at
    assert not carried_out(session, intents.adopt(name, made.client_id, wrong))[1].blocked


def test_who_we_are_can_be_said_later(opened: Open, shared: Services) -> None:
    session = opened(manifest("apps.yaml", of=" D"))
    with pytest.raises(NotSignedIn, match="no Vault token") as raised:
        session.observe()
    assert raised.value.service == "Vault"
    session.sign_in_to_vault("token", Secret(shared.running.vault_token))
    with pytest.raises(NotSignedIn, match="no Nexus key") as raised:
        session.observe()
    assert raised.value.service == "Nexus"
    assert session.verify(()).rows == ()  # which needs no account there
    account = shared.running.sysadmin
    session.sign_in_to_nexus(key=Secret(account.api_key), secret=Secret(account.api_secret))
    assert session.observe().wanted


def test_a_password_is_never_asked_for(opened: Open, monkeypatch: pytest.MonkeyPatch, shared: Services) -> None:
    session = opened(vault_auth="userpass", vault_username="ada")
    with pytest.raises(NotSignedIn, match="no Vault password for ada") as raised:
        session.credential("viewer")
    assert raised.value.service == "Vault"
    with pytest.raises(NotSignedIn, match="id token"):
        opened(vault_auth="jwt").credential("viewer")
    with pytest.raises(UsageError, match="needs a user name"):
        session.sign_in_to_vault("userpass", Secret("x"))
    with pytest.raises(UsageError, match="no Vault login by magic"):
        session.sign_in_to_vault("magic", Secret("x"))
    with pytest.raises(UsageError, match="a token, or a key with its secret"):
        session.sign_in_to_nexus(key=Secret("x"))
    monkeypatch.setenv("NEXUS_API_KEY", "half of it")
    session = opened(vault_auth="approle")
    session.sign_in_to_vault("token", Secret(shared.running.vault_token))
    session.sign_in_to_nexus(token=Secret("some.t.oken"))
    assert session.credential("viewer") is None
    session.sign_in_to_vault(str(Method.APPROLE), Secret("s"), user="role", mount="/here/")
    found = session._signed_in.vault
    assert found
    assert (found.mount, found.role, found.username) == ("here", "role", "")


@pytest.mark.usefixtures("keys")
def test_a_new_login_ends_the_clients_of_the_old_one_once_they_are_free(opened: Open) -> None:
    session = opened(manifest("apps.yaml", of=" E"))
    session.observe()
    before = session._clients
    assert before
    with session._using() as clients:
        session.sign_in_to_nexus(token=Secret("some.t.oken"))
        assert clients is before
        assert clients.records(clients.settings(Need.VAULT)).all().records == ()
    with session._using() as clients:
        assert clients is not before


@pytest.mark.usefixtures("keys")
def test_the_doctor_looks_at_everything(opened: Open) -> None:
    checks = opened().doctor()
    assert {check.subject for check in checks} == {"Configuration", "Nexus", "Vault", "Commands"}
    assert not [check for check in checks if check.state == "failed" and check.subject != "Configuration"]


def test_it_opens_without_addresses_and_tells_of_them_when_it_has_to() -> None:
    session = Opened(click.Context(click.Command("tui"), obj={}), {})
    assert (session.target.name, session.target.nexus_url, session.targets, session.flags) == ("default", "", (), ())
    with pytest.raises(UsageError, match="no Nexus"):
        session.observe()
    Path("registrar.yaml").write_text(
        "default_target: dev\ntargets:\n  dev: {nexus_url: 'https://n.example.org', vault_prefix: nexus/dev}\n"
        "  prod: {vault_addr: 'https://v.example.org', vault_prefix: nexus/prod, production: true}\n"
    )
    session = Opened(click.Context(click.Command("tui"), obj={}), {})
    assert (session.target.nexus_url, session.targets) == ("https://n.example.org", ("dev", "prod"))
    prod = session.switched("prod")
    assert prod.target.production
    assert prod.flags == ("--target", "prod")
    prod.close()
    with pytest.raises(UsageError, match="closed"):
        prod.observe()
    with pytest.raises(UsageError, match="standard input"):
        Opened(click.Context(click.Command("tui"), obj={}), {}, ("-",))


def test_the_sandbox_is_started_once_and_late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    session = Opened(click.Context(click.Command("tui"), obj={"sandbox": True}), {})
    assert not (tmp_path / "state").exists()
    assert (session.target.name, session.flags) == ("sandbox", ("--sandbox",))
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(session.observe())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert session.target.nexus_url.startswith("http://127.0.0.1:")
    assert session.doctor()
    session.close()


@pytest.mark.usefixtures("keys")
def test_findings_are_in_the_error(opened: Open) -> None:
    session = opened(manifest("apps.yaml", TWO.replace("https://viewer", "ftp://viewer")))
    with pytest.raises(ManifestsInvalid) as raised:
        session.observe()
    assert "apps.yaml:3:19: error RU003: the redirect URI" in raised.value.message
    assert raised.value.hint == "registrar validate apps.yaml"


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_is_changed_in_place(opened: Open) -> None:
    session = opened(manifest("apps.yaml", COMMENTED))
    Path("apps.yaml").chmod(0o640)
    draft = session.draft("viewer")
    assert draft
    assert (draft.file, draft.line, *draft.own) == ("apps.yaml", 3, "description")
    assert draft.values == {
        "name": "Digital Twin Viewer", "redirect_uri": VIEWER_URI, "owner_email": "twin-team@example.org",
        "path": "viewer", "description": "here",
    }  # fmt: skip
    assert session.draft("nobody") is None
    same = session.check(replace(draft, values={**draft.values, "base_url": "", "protected": False}))
    assert same.sound
    assert same.before == same.after == COMMENTED
    values = {key: value for key, value in draft.values.items() if key != "owner_email"}
    changed = replace(draft, values={**values, "description": "there", "base_url": "https://viewer.example.org"})
    checked = session.check(changed)
    assert (checked.path, checked.sound, checked.refusal) == ("viewer", True, "")
    assert [found.rule for found in checked.findings["owner_email"]] == ["AP004"]
    assert Path("apps.yaml").read_text() == COMMENTED
    assert session.save(changed) == checked
    written = COMMENTED.replace("here", "there").replace(
        "    owner_email: twin-team@example.org\n", "    base_url: https://viewer.example.org\n"
    )
    assert Path("apps.yaml").read_text() == checked.after == written
    assert Path("apps.yaml").stat().st_mode & 0o777 == 0o640
    assert list(Path().iterdir()) == [Path("apps.yaml")]


def test_a_new_entry_is_judged_among_all_others(opened: Open) -> None:
    Path("apps").mkdir()
    Path("apps/a.yaml").write_text(COMMENTED)
    Path("apps/b.yaml").write_text(
        "apps:\n  - {name: Deep, redirect_uri: 'https://d.example.org/cb', path: plant/deep}\n"
    )
    session = opened("apps")
    assert session.files() == ("apps/a.yaml", "apps/b.yaml")
    empty = Draft("apps/b.yaml", {"name": "", "redirect_uri": "", "owner_email": ""})
    checked = session.check(empty)
    assert not checked.sound
    assert {"name", "redirect_uri"} <= checked.findings.keys()

    def findings(**values: str | bool) -> dict[str, list[str]]:
        good: dict[str, str | bool] = {
            "name": "New",
            "redirect_uri": "https://n.example.org/cb",
            "owner_email": "a@b.cd",
        }
        found = session.check(Draft("apps/b.yaml", {**good, **values}))
        assert not found.refusal
        return {field: [one.rule for one in group] for field, group in found.findings.items()}

    assert findings() == {}
    assert findings(name="Digital twin viewer") == {"name": ["AP001"]}
    assert findings(path="viewer") == findings(path="viewer/in") == findings(path="plant") == {"path": ["AP003"]}
    assert findings(redirect_uri="http://x.example.org/cb#") == {"redirect_uri": ["RU002", "RU003"]}
    secret = findings(description="Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ubw")
    assert secret == {"description": ["MF002"]}
    saved = session.save(Draft("apps/b.yaml", {"name": "New", "redirect_uri": "https://n.example.org/cb", "path": ""}))
    assert (saved.path, saved.sound) == ("new", True)
    draft = session.draft("new")
    assert draft
    assert draft.line == 3
    renamed = session.check(replace(draft, values={**draft.values, "name": "Newer"}))
    assert renamed.sound
    assert [str(found.level) for found in renamed.findings["path"]] == ["warning"]
    elsewhere = session.check(Draft("/etc/apps.yaml", {"name": "x", "redirect_uri": "y"}))
    assert "none of this target's manifests" in elsewhere.refusal


def test_a_file_that_was_changed_meanwhile_is_not_written(opened: Open) -> None:
    session = opened(manifest("apps.yaml", COMMENTED))
    draft = session.draft("viewer")
    assert draft
    changed = replace(draft, values={**draft.values, "name": "Other"})
    theirs = "# theirs\n" + COMMENTED
    Path("apps.yaml").write_text(theirs)
    with pytest.raises(Stale, match="changed meanwhile") as raised:
        session.save(changed)
    assert raised.value.hint == "esc, and open it again"
    assert "changed meanwhile" in session.check(changed).refusal
    assert Path("apps.yaml").read_text() == theirs


def test_the_first_manifest_of_a_folder_is_made(opened: Open) -> None:
    Path("apps").mkdir()
    session = opened("apps")
    assert session.files() == ("apps/apps.yaml",)
    draft = Draft("apps/apps.yaml", {"name": "First", "redirect_uri": "https://f.example.org/cb", "owner_email": ""})
    assert session.save(draft).sound
    text = Path("apps/apps.yaml").read_text()
    assert text == "apps:\n  - name: First\n    redirect_uri: https://f.example.org/cb\n"
    assert session.files() == ("apps/apps.yaml",)


def test_without_manifests_nothing_can_be_written(opened: Open) -> None:
    session = opened()
    draft = Draft("apps.yaml", {"name": "First", "redirect_uri": "https://f.example.org/cb"})
    assert session.files() == ()
    for checked in (session.check(draft), session.save(draft)):
        assert checked.refusal.startswith("no manifests are configured: ")
        assert not checked.sound
    assert list(Path().iterdir()) == []


def test_what_cannot_be_edited_is_refused_with_its_reason(opened: Open) -> None:
    text = "apps:\n  - &a {name: One, redirect_uri: 'https://o.example.org/cb', owner_email: a@b.cd}\n"
    Path("linked.yaml").write_text(text)
    Path("apps.yaml").symlink_to("linked.yaml")
    session = opened("apps.yaml")
    draft = session.draft("one")
    assert draft
    checked = session.check(replace(draft, values={**draft.values, "name": "Two"}))
    assert "by hand: line 2" in checked.refusal
    assert not checked.sound
    assert session.save(replace(draft, values={**draft.values, "name": "Two"})).refusal == checked.refusal
    Path("linked.yaml").write_text(text.replace("&a ", ""))
    draft = session.draft("one")
    assert draft
    assert session.save(replace(draft, values={**draft.values, "name": "Two"})).sound
    assert Path("apps.yaml").is_symlink()
    assert "Two" in Path("linked.yaml").read_text()


@pytest.mark.parametrize("style", ["block", "flow"])
def test_a_long_file_is_checked_by_its_piece_as_by_the_whole(opened: Open, style: str) -> None:
    blocks = "".join(
        f"  - name: App {number}\n    redirect_uri: https://app{number}.example.org/cb\n    "
        f"owner_email: team@example.org\n    # about {number}\n\n"
        for number in range(400)
    )
    text = many(400) if style == "flow" else f"# head\n\napps:\n{blocks}# tail\n"
    Path("apps.yaml").write_text(text)
    session = opened("apps.yaml")
    for path in ("app-0", "app-250", "app-399"):
        draft = session.draft(path)
        assert draft
        changed = replace(draft, values={**draft.values, "name": f"Other {path}", "path": path})
        checked = session.check(changed)
        assert checked.sound
        assert session.save(changed) == checked
    new = Draft("apps.yaml", {"name": "New", "redirect_uri": "https://n.example.org/cb", "owner_email": "a@b.cd"})
    checked = session.check(new)
    assert session.save(new) == checked
    taken = session.check(replace(new, values={**new.values, "path": "app-7"}))
    assert [found.rule for found in taken.findings["path"]] == ["AP003"]


def test_opening_imports_no_client(tmp_path: Path) -> None:
    code = (
        "from registrar.cli.opened import Opened; import click; Opened(click.Context(click.Command('x'), obj={}), {})"
    )
    heavy = "{'urllib3', 'hvac', 'uvicorn', 'textual'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print({heavy} & set(sys.modules))"],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
        env={"PYTHONPATH": str(Path(registrar.__file__).parents[1]), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "set()\n"


def test_it_needs_a_terminal(connected: Program) -> None:
    result = connected.call("tui", "apps.yaml")
    assert result.code == UsageError.exit_code
    assert "the TUI needs a terminal" in result.err

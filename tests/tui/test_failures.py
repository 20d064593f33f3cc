"""What goes wrong while somebody works: services that are away, worlds that change, a stop, a wrong key; each shown."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from textual import events
from textual.widget import Widget
from textual.widgets import Input, Select

import registrar.cli.opened
import registrar.nexus.wire
import registrar.vault.wire
from registrar import lock
from registrar.secret import Secret
from registrar.tui.app import RegistrarApp
from registrar.tui.screens.plan import PlanPage
from registrar.vault import Vault
from tests.cli.manifests import many
from tests.cli.services import Services
from tests.custody.proxy import Exchange, lose, say
from tests.tui.desk import NARROW, WIDE, Desk, Sitting, run, sitting

SEALED = b'{"errors":["Vault is sealed"]}'
DENIED = b'{"errors":["permission denied"]}'


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar.nexus.wire, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(registrar.vault.wire, "_PAUSES_S", (0.01, 0.01))


@contextlib.asynccontextmanager
async def at_once(app: RegistrarApp) -> AsyncIterator[Sitting]:
    """The app as it is before anything was answered."""
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        yield Sitting(app, pilot)
    app.session.close()


class Held:
    """Requests wait until they are let go: all of them, or those that register."""

    def __init__(self, *proxies: Any, registering: bool = False) -> None:
        self.gate = threading.Event()
        self.came = 0
        self._registering = registering
        for between in proxies:
            between.before = self._wait

    def _wait(self, exchange: Exchange) -> None:
        if not self._registering or (exchange.method == "POST" and "tokens" not in exchange.path):
            self.came += 1
            self.gate.wait(20)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()


async def paste(at: Sitting, text: str) -> None:
    """As from a password manager, into the field that has the focus."""
    at.app.post_message(events.Paste(text))
    await at.pilot.pause(0.02)


def lost(services: Services, which: str) -> None:
    """The service goes away, with the connections that are open."""
    between = getattr(services, which)
    between.refuse()
    for method in ("GET", "LIST", "POST", "PUT"):
        between.on(method, "", lose, times=10**6)


async def page(at: Sitting, name: str) -> None:
    """Until this screen has the keys and is drawn."""
    for _ in range(500):
        if at.page == name and at.app.screen.is_mounted:
            await at.pilot.pause(0.03)
            return
        await at.pilot.pause(0.02)
    raise AssertionError(f"{name} did not come; there is {at.page}:\n{at.screen}")


async def asked(at: Sitting, *keys: str) -> None:
    """These keys lead to a question."""
    await at.pilot.press(*keys)
    await page(at, "Confirm")


# ── before the first answer ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_screen_waits_for_no_answer(desk: Desk) -> None:
    """Drawn, resized and with its keys while both services are silent; then it loads all the same."""
    held = Held(desk.services.nexus, desk.services.vault)

    async def look() -> None:
        async with at_once(desk.app()) as at:
            with held:
                await at.until("Looking at Nexus and Vault…")
                assert at.lines[0].startswith(" registrar  dev ")
                await at.until("looking…")
                assert "STATE" in at.lines[1]
                assert "NAME" in at.lines[1]
                await at.until("/ Filter")
                await at.pilot.press("question_mark")
                await page(at, "Help")
                await at.until("Keys here")
                await at.pilot.press("escape")
                await page(at, "Applications")
                await at.pilot.press("slash", "v", "i")
                assert at.app.screen.query_one("#filter", Input).value == "vi"
                await at.pilot.resize_terminal(*WIDE)
                while len(at.app.screen._compositor.render_strips()) != WIDE[1]:
                    await at.pilot.pause(0.02)
                await at.until("Looking at Nexus and Vault…")
                assert len(at.lines[0]) == 120
                assert at.lines[0].rstrip().endswith("looking…")
                assert at.app.seen is None
                held.gate.set()
                await at.until("Digital Twin Viewer")
                assert "/vi: 1 of 2" in at.screen
                assert "Sensor Catalogue" not in at.screen

    run(look())


def test_q_ends_it_while_nothing_answers(desk: Desk) -> None:
    app, held = desk.app(), Held(desk.services.nexus, desk.services.vault)

    async def look() -> None:
        async with at_once(app) as at:
            with held:
                await at.until("Looking at Nexus and Vault…")
                await at.pilot.press("q")
                assert app._exit
                assert app.crash is None
                held.gate.set()

    run(look())


# ── away at the start ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("which", "told"), [("nexus", "Nexus"), ("vault", "Vault"), ("sealed", "sealed"), ("denied", "refuses read")]
)
def test_away_at_the_start(desk: Desk, which: str, told: str) -> None:
    """What happened and the way on are shown, and r tries again with success once it is mended."""
    assert desk.services.vault
    if which in ("nexus", "vault"):
        lost(desk.services, which)
    else:
        answer = say(503, SEALED) if which == "sealed" else say(403, DENIED)
        for method in ("GET", "LIST"):
            desk.services.vault.on(method, "/v1/(sys|auth|secret)/", answer, times=10**6)

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("Nothing could be loaded. r tries again")
            assert at.app.trouble
            assert told in at.app.trouble.message
            assert told in at.screen
            assert "→ " in at.screen
            assert "r tries again; D looks at everything that a run needs" in at.screen
            assert "nothing loaded" in at.lines[0]
            assert "STALE" not in at.screen
            assert not at.app.screen.has_class("-stale")
            for between in (desk.services.nexus, desk.services.vault):
                assert between
                between.clear()
            await at.press("r")
            await at.until("+ 2 new")
            assert "Nothing could be loaded" not in at.screen
            assert "fresh" in at.lines[0]
            assert "→  p  plan and apply" in at.screen

    run(look())


def test_invalid_manifests(desk: Desk) -> None:
    """The findings are on the screen with their places; mended, r loads."""
    text = desk.manifest.read_text()
    desk.write(text.replace("https://viewer.example.org/oauth/callback", "https://viewer.example.org/#cb"))

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("Nothing could be loaded")
            assert "RU002" in at.screen
            assert "apps.yaml:4" in "".join(line.strip() for line in at.lines)  # its folder may take a whole line
            assert "→ registrar validate" in at.screen
            assert "r tries again" in at.screen
            desk.write(text)
            await at.press("r")
            await at.until("+ 2 new")

    run(look())


def test_no_manifest_yet(desk: Desk) -> None:
    """An empty folder is the beginning, and n begins."""
    desk.manifest.unlink()

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("MF001: the folder has no manifests")
            assert "→ add a file such as apps.yaml" in at.screen
            await at.press("n")
            assert at.page == "Edit"
            await paste(at, "Notebook")
            await at.pilot.press("tab")
            await paste(at, "https://notebook.example.org/cb")
            await at.until("+    redirect_uri: https://notebook.example.org/cb")
            await at.press("ctrl+s")
            await at.until("1 to create")

    run(look())
    (made,) = (desk.folder / "manifests").iterdir()
    assert "name: Notebook" in made.read_text()


# ── lost after it was loaded ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("which", ["nexus", "vault"])
def test_lost_after_a_load(desk: Desk, which: str) -> None:
    """The rows stay and say how old they are, a plan says why there is none, and r recovers both."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("= 1 in sync")
            assert not at.app.screen.has_class("-stale")
            lost(desk.services, which)
            await at.press("r")
            await at.until("STALE, ")
            assert " s old" in at.lines[0]
            at.app.seen_at -= 300
            await at.until("STALE, 5 min old")
            assert at.app.screen.has_class("-stale")
            assert "= in sync     Digital Twin" in at.screen
            assert "+ new         Sensor" in at.screen
            assert at.app.trouble
            assert at.app.trouble.message[:40] in at.screen
            await at.press("a")
            await at.until("r plans anew")
            assert at.page == "PlanPage"
            assert "→ " in at.screen
            await at.press("a")
            assert at.page == "PlanPage"  # there is nothing to apply
            between = getattr(desk.services, which)
            between.clear()
            await at.press("r")
            await at.until("1 to create")
            await at.press("escape", "r")
            await at.until("fresh")
            assert not at.app.screen.has_class("-stale")
            assert "STALE" not in at.screen

    run(look())


def test_an_answer_that_comes_after_its_page_was_left(desk: Desk) -> None:
    """Nothing happens: the page that has asked is gone, and the app goes on."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("= 1 in sync")
            for keys in (("a",), ("D",), ("c", "s"), ("c", "v"), ("e",)):
                with Held(desk.services.nexus, desk.services.vault) as held:
                    await at.pilot.press("down", *keys)
                    await at.pilot.press("escape")
                    await page(at, "Applications")
                    held.gate.set()
                await at.settled()
                assert at.app.crash is None, keys
                assert at.page == "Applications"

    run(look())


# ── a plan that is not carried out ────────────────────────────────────────────────────────────────────────────────────


def test_a_stale_plan_is_refused_and_planned_anew(desk: Desk) -> None:
    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.pilot.press("a")
            await at.until("2 to create")
            assert desk.command("apply", "--yes", "--only", "viewer") == 0
            await asked(at, "a")
            await at.press("right", "enter")
            await at.until("the plan has changed since it was shown")
            assert "→ r, to see it anew" in at.screen
            assert len(desk.services.registered()) == 1
            await at.press("r")
            await at.until("1 to create")
            await asked(at, "a")
            await at.press("right", "enter")
            await at.until("1 done")

    run(look())
    assert len(desk.services.registered()) == 2


def test_another_run_holds_the_lock(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who it is while we wait, and that nothing was done when that was too long."""
    monkeypatch.setattr(registrar.cli.opened, "_LOCK_TIMEOUT_S", 1.5)
    running = desk.services.running
    vault = Vault(running.vault_addr, token=Secret(running.vault_token), prefix="nexus/dev")

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.pilot.press("a")
            await at.until("2 to create")
            with contextlib.closing(vault), lock.take(vault, holder="the night shift", domain=lambda: ""):
                await asked(at, "a")
                await at.pilot.press("right", "enter")
                await at.until("Waiting for another run: the night shift")
                await at.until("another run holds the lock: the night shift")
                await at.settled()
                assert at.page == "PlanPage"
            assert desk.services.registered() == []
            await at.press("r")
            await at.until("2 to create")
            await asked(at, "a")
            await at.press("right", "enter")
            await at.until("2 done")

    run(look())


def test_one_step_fails(desk: Desk) -> None:
    """The others are done, the report says which one and what to type, and an apply goes on from there."""
    desk.write(many(4))
    assert desk.services.vault
    desk.services.vault.on("POST", "/data/nexus/dev/app-2$", say(400, b'{"errors":["no, not this one"]}'), times=99)

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.pilot.press("a")
            await at.until("4 to create")
            await asked(at, "a")
            await at.press("right", "enter")
            await at.until("3 done")
            assert "1 failed" in at.screen
            assert "failed" in at.lines[4]  # the first line of the list is what needs attention
            assert "App 2" in at.lines[4]
            assert "no, not this one" in at.screen
            assert "→ " in at.screen
            assert sum("done" in line for line in at.lines[5:8]) == 3
            assert desk.services.vault
            desk.services.vault._rules.clear()
            await at.press("r")
            await at.until("r Plan anew")
            await at.settled()
            await asked(at, "a")
            await at.press("right", "enter")
            await at.until("1 done")

    run(look())
    assert [one.mark for one in desk.services.by_hand.all() if one.mark] == []
    assert desk.command("plan", "--detailed-exitcode") == 0


def test_the_brake_wants_the_number(desk: Desk) -> None:
    """What somebody deleted behind us is registered anew only by the one who counts it."""
    assert desk.command("apply", "--yes") == 0
    for name in ("Digital Twin Viewer", "Sensor Catalogue"):
        desk.services.delete(name)

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.pilot.press("a")
            await at.until("2 to create")
            await asked(at, "a")
            assert "2 of these steps break clients" in at.screen
            assert "Type that number to go on: 2" in at.screen
            await at.press("3", "enter")
            assert at.page == "Confirm"
            assert desk.services.registered() == []
            await at.press("backspace", "2", "enter")
            await at.until("2 done")

    run(look())
    assert len(desk.services.registered()) == 2


# ── stopping ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def applying(at: Sitting, held: Held, count: int) -> None:
    """An apply of so many that has begun its first steps, none of which can end."""
    await at.pilot.press("a")
    await at.until(f"{count} to create")
    await asked(at, "a")
    await at.pilot.press("right", "enter")
    await page(at, "PlanPage")
    await at.until("Applying: esc or ctrl+c starts no new step")
    while not held.came:
        await at.pilot.pause(0.02)
    await at.pilot.pause(0.2)


def test_stop_finishes_what_has_begun_and_begins_nothing(desk: Desk) -> None:
    """Asked by esc, ctrl+c and q alike; one more question offers to stop sooner; nothing half-made is left."""
    desk.write(many(20))

    async def look() -> None:
        async with sitting(desk.app()) as at:
            with Held(desk.services.nexus, registering=True) as held:
                await applying(at, held, 20)
                for key in ("q", "ctrl+c", "escape"):
                    await asked(at, key)
                    assert "Stop this apply?" in at.screen
                    assert not at.app._exit
                    if key != "escape":
                        await at.pilot.press("escape")
                        await page(at, "PlanPage")
                await at.pilot.press("right", "enter")
                await at.until("Stopping: what has begun is being finished")
                await asked(at, "ctrl+c")
                assert "Stop sooner" in at.screen
                await at.pilot.press("escape")
                await page(at, "PlanPage")
                begun = held.came
                held.gate.set()
                await at.until("interrupted")
            await at.settled()
            screen = at.app.screen
            assert isinstance(screen, PlanPage)
            assert screen.report
            assert screen.report.interrupted
            statuses = [str(one.status) for one in screen.report.outcomes]
            assert set(statuses) == {"done", "skipped"}
            assert f"{statuses.count('done')} done  {statuses.count('skipped')} skipped" in at.screen
            assert statuses.count("done") == begun == len(desk.services.registered())
            await at.press("escape")
            assert at.page == "Applications"  # the apply is over, so esc leaves

    run(look())
    assert [one.mark for one in desk.services.by_hand.all() if one.mark] == []
    assert not any("half-made" in path for path in desk.services.records())


def test_stop_sooner_loses_nothing(desk: Desk) -> None:
    """Each step ends as soon as its credential is stored; the next apply needs no flag."""
    desk.write(many(10))

    async def look() -> None:
        async with sitting(desk.app()) as at:
            with Held(desk.services.nexus, registering=True) as held:
                await applying(at, held, 10)
                for _ in range(2):
                    await asked(at, "escape")
                    await at.pilot.press("right", "enter")
                    await page(at, "PlanPage")
                held.gate.set()
                await at.until("interrupted")
            assert len(desk.services.registered()) == held.came < 10
            assert len([one for one in desk.services.records("secret/nexus/dev") if "/app-" in one]) == held.came

    run(look())
    assert desk.command("apply", "--yes") == 0
    assert desk.command("plan", "--detailed-exitcode") == 0
    assert len(desk.services.registered()) == 10


def test_no_other_target_during_an_apply(desk: Desk) -> None:
    """The page of a run that is under way stays until its report."""

    async def look() -> None:
        async with sitting(desk.app()) as at:
            with Held(desk.services.nexus, registering=True) as held:
                await applying(at, held, 2)
                await at.pilot.press("S")
                await at.pilot.pause(0.2)
                if at.page == "Choose":
                    await at.pilot.press("down", "enter")
                await page(at, "PlanPage")
                assert at.app.session.target.name == "dev"
                held.gate.set()
                await at.until("2 done")
            assert at.app.crash is None

    run(look())


# ── who may do what, and where ────────────────────────────────────────────────────────────────────────────────────────


def test_readonly_shows_everything_and_changes_nothing(desk: Desk) -> None:
    assert desk.command("apply", "--yes", "--only", "viewer") == 0
    before = desk.services.dump()

    async def look() -> None:
        async with sitting(desk.app(readonly=True), WIDE) as at:
            await at.until("= 1 in sync")
            assert "[read-only]" in at.lines[0]
            for word in ("Plan", "All", "New", "Edit"):
                assert f" {word} " not in at.lines[-1]
            assert "/ Filter" in at.lines[-1]
            assert "v Verify" in at.lines[-1]
            for key in "paPnetxuoi":
                await at.pilot.press("home", key, "down", key)
                assert at.page == "Applications", key
            await at.press("down", "v")
            await at.until("1 credential: 1 right")
            await at.press("c")
            assert at.page == "CredentialPage"
            assert "Rotate" not in at.lines[-1]
            for key in "tB":
                await at.pilot.press(key)
                assert at.page == "CredentialPage", key
            await at.press("s")
            await at.until(desk.services.credential("dev/viewer")["client_secret"])

    run(look())
    assert desk.services.dump() == before


class TestProduction:
    @pytest.fixture
    def desk(self, desk: Desk) -> Desk:
        made = Desk(desk.folder, desk.services, production=True)
        assert made.command("apply", "--yes") == 0
        return made

    def test_it_says_so_and_wants_the_name_typed(self, desk: Desk) -> None:
        async def look() -> None:
            async with sitting(desk.app()) as at:
                await at.until("= 2 in sync")
                assert "[PRODUCTION]" in at.lines[0]
                assert at.app.screen.query_one("#title").has_class("-production")
                await at.press("x")
                await at.until("1 to retire")
                assert "[PRODUCTION]" in at.lines[0]
                assert at.app.screen.query_one("#title").has_class("-production")
                await asked(at, "a")
                assert "dev (PRODUCTION)" in at.screen
                assert "Type its name to go on: Sensor Catalogue" in at.screen
                await at.press("enter", "tab", "enter")
                assert not any(one["archived"] for one in desk.services.registered())
                await at.press("escape", "escape")
                await page(at, "Applications")
                await at.press("space", "space", "x")
                await at.until("2 to retire")
                await asked(at, "a")
                assert "Type the target's name to go on: dev" in at.screen
                await at.press("escape")

        run(look())
        assert not any(one["archived"] for one in desk.services.registered())


def test_another_target(desk: Desk) -> None:
    """S forgets the one and loads the other, whose records are others."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("= 1 in sync")
            await at.press("down", "v")
            assert at.app.proofs
            before = at.app.session
            await at.press("L", "S")
            await page(at, "Choose")
            with Held(desk.services.vault) as held:
                await at.pilot.press("down", "enter")
                await at.until("Looking at Nexus and Vault…")
                assert at.app.seen is None
                assert at.app.proofs == {}
                assert "in sync" not in at.screen
                held.gate.set()
                await at.until("Digital Twin")
            await at.settled()
            assert at.page == "Applications"
            assert at.lines[0].startswith(" registrar  test ")
            assert at.app.session is not before
            assert at.app.session.target.location("").startswith("secret/nexus/test")
            assert "= 1 in sync" not in at.screen
            await at.press("down")
            assert "registrar --target test apply --only sensors" in " ".join(at.screen.split())

    run(look())


# ── not signed in ─────────────────────────────────────────────────────────────────────────────────────────────────────


def remains(widgets: list[Widget], *texts: str) -> list[str]:
    """Which attributes of these still have one of the texts."""
    return [
        f"{widget!r}.{name}"
        for widget in widgets
        for name, value in vars(widget).items()
        if any(text in item for text in texts for item in _strings(value, 2))
    ]


def _strings(value: Any, depth: int) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth and isinstance(value, dict):
        value = value.values()
    elif not (depth and isinstance(value, list | tuple | set | frozenset)):
        return []
    return [text for item in value for text in _strings(item, depth - 1)]


def everything(app: RegistrarApp) -> list[Any]:
    return [app, *(node for screen in app.screen_stack for node in screen.walk_children(with_self=True))]


def test_sign_in_to_nexus(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key in the environment: asked for, a wrong one refused, the right one loads; nothing typed is left."""
    account = desk.services.running.sysadmin
    for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
        monkeypatch.delenv(name)

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await page(at, "SignIn")
            assert "Sign in to Nexus" in at.screen
            await at.press("escape")
            await at.until("Nothing could be loaded")
            assert "there is no Nexus key" in at.screen
            await at.press("r")
            await page(at, "SignIn")
            await paste(at, account.api_key)
            await at.pilot.press("tab")
            await paste(at, "canary-wrong-secret-0123456789")
            assert account.api_key not in at.screen
            assert "canary-wrong" not in at.screen
            typed = everything(at.app)
            await at.press("enter")
            await at.until("Nothing could be loaded")
            assert at.page == "Applications"
            assert at.app.trouble
            assert "→ " in at.screen
            found = remains([*typed, *everything(at.app)], account.api_key, "canary-wrong-secret")
            assert found == []
            await at.press("K")
            if at.page == "Choose":
                await at.press("enter")
            await page(at, "SignIn")
            await paste(at, account.api_key)
            await at.pilot.press("tab")
            await paste(at, account.api_secret)
            assert any(isinstance(one, Input) and one.value == account.api_secret for one in everything(at.app))
            typed = everything(at.app)
            await at.press("enter")
            await at.until("+ 2 new")
            assert remains([*typed, *everything(at.app)], account.api_key, account.api_secret) == []

    run(look())


def test_sign_in_to_vault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    token = desk.services.running.vault_token
    monkeypatch.delenv("VAULT_TOKEN")

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await page(at, "SignIn")
            assert "Sign in to Vault" in at.screen
            assert at.app.screen.query_one("#way", Select).value == "token"
            await paste(at, token)
            assert token not in at.screen
            typed = everything(at.app)
            await at.press("enter")
            await at.until("+ 2 new")
            assert remains([*typed, *everything(at.app)], token) == []
            await at.press("a")
            await at.until("2 to create")
            await asked(at, "a")
            await at.press("right", "enter")
            await at.until("2 done")

    run(look())

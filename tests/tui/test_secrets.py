"""Secrets in the open only where somebody looks at one, and nowhere after: screens, screenshots, clipboard, crash."""

from __future__ import annotations

import base64
import inspect
import re
import threading
from typing import Any

import pytest
from textual.pilot import Pilot

import registrar.nexus.wire
import registrar.vault.wire
from registrar.cli import output
from registrar.tui.app import RegistrarApp
from registrar.tui.screens import credential as credential_page
from registrar.tui.screens.credential import CredentialPage, Unmasked
from tests.cli.canary import Canary
from tests.cli.leaks import echo
from tests.custody.proxy import Exchange, say
from tests.tui.desk import NARROW, Desk, Sitting, run, sitting


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar.nexus.wire, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(registrar.vault.wire, "_PAUSES_S", (0.01, 0.01))


@pytest.fixture
def stored(desk: Desk) -> dict[str, str]:
    """A credential that is there to be looked at."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0
    return desk.services.credential("dev/viewer")


def pieces(secret: str) -> set[str]:
    return {secret[start : start + 12] for start in range(len(secret) - 11)}


def shows(text: str, secret: str) -> list[str]:
    """Which pieces of the secret are in a text, whose spaces an SVG spells out."""
    return [piece for piece in pieces(secret) if piece in text]


async def credential(at: Sitting) -> None:
    """The page of the viewer's credential."""
    await at.until("= 1 in sync")
    await at.press("down", "c")
    await at.until("s shows it")


async def until_shown(at: Sitting, secret: str) -> None:
    """Until all of it is there, over two lines where there is no room on one."""
    for _ in range(400):
        if secret in "".join(line.strip() for line in at.lines):
            return
        await at.pilot.pause(0.03)
    raise AssertionError("it is not shown")


async def until_hidden(at: Sitting) -> None:
    for _ in range(200):
        if not at.app.screen.query_one(Unmasked).in_the_open:
            return
        await at.pilot.pause(0.05)
    raise AssertionError("it is still shown")


# ── shown, and hidden ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_shown_for_so_long_and_no_longer(
    desk: Desk, stored: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = stored["client_secret"]

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await credential(at)
            assert "client_secret  ********" in at.screen
            assert stored["client_id"] in at.screen
            assert shows(at.screen, secret) == []
            await at.press("s")
            await until_shown(at, secret)
            assert re.search(r"hidden again in (20|19|18|17) s; s hides it now", at.screen)
            await at.press("s")
            await at.until("s shows it")
            assert shows(at.screen, secret) == []
            assert "client_secret  ********" in at.screen
            monkeypatch.setattr(credential_page, "REVEAL_S", 0.7)
            await at.pilot.press("s")
            await until_shown(at, secret)
            await until_hidden(at)
            await at.until("client_secret  ********")
            assert shows(at.screen, secret) == []
            assert at.app.screen.query_one(Unmasked).credential is None

    run(look())


@pytest.mark.parametrize("keys", ["escape", "t", "B", "S", "L", "question_mark"])
def test_leaving_the_page_hides_it(desk: Desk, stored: dict[str, str], keys: str) -> None:
    """However it is left, nothing of it is on the next screen, nor when one comes back."""
    secret = stored["client_secret"]

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await credential(at)
            await at.press("s")
            await until_shown(at, secret)
            page = at.app.screen
            assert isinstance(page, CredentialPage)
            shown = page.query_one(Unmasked)
            await at.press(keys)
            for _ in range(200):
                if at.app.screen is not page and shown.credential is None:
                    break
                await at.pilot.pause(0.02)
            assert at.app.screen is not page
            assert shown.credential is None
            assert not shown.in_the_open
            await at.settled()
            assert shows(at.screen, secret) == []
            await at.press("escape")
            assert at.page in ("CredentialPage", "Applications")
            assert shows(at.screen, secret) == []

    run(look())


def test_an_answer_that_comes_under_another_page_shows_nothing(desk: Desk, stored: dict[str, str]) -> None:
    gate = threading.Event()

    def hold(_: Exchange) -> None:
        gate.wait(20)

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await credential(at)
            page = at.app.screen
            assert desk.services.vault
            desk.services.vault.before = hold
            await at.pilot.press("s", "L")
            await at.until("Requests")
            gate.set()
            await at.settled()
            assert at.app.screen is not page
            assert page.query_one(Unmasked).credential is None
            await at.press("escape")
            assert at.app.screen is page
            assert shows(at.screen, stored["client_secret"]) == []

    try:
        run(look())
    finally:
        gate.set()


def test_a_screenshot_has_a_mask(desk: Desk, stored: dict[str, str]) -> None:
    secret = stored["client_secret"]

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await credential(at)
            await at.press("s")
            await until_shown(at, secret)
            for simplify in (False, True):
                picture = at.app.export_screenshot(simplify=simplify).replace("&#160;", " ")
                assert "client_secret" in picture
                assert "********" in picture
                assert shows(picture, secret) == []
                assert shows(re.sub(r"<[^>]*>", "", picture), secret) == []  # nor across the pieces of a line
            await at.until("client_secret  ********")
            await at.press("s")
            await until_shown(at, secret)
            path = at.app.save_screenshot(path=str(desk.folder))
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 (a picture, as somebody sends it)
                assert shows(file.read(), secret) == []

    run(look())


# ── copied ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_copy_is_osc_52_with_exactly_the_text(
    desk: Desk, stored: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent to the terminal, never shown, and not kept."""
    client_id, secret = stored["client_id"], stored["client_secret"]
    wanted = {
        "i": client_id,
        "y": secret,
        "b": f"NEXUS_CLIENT_ID={client_id}\nNEXUS_CLIENT_SECRET={secret}\n",
    }

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await credential(at)
            sent: list[str] = []
            driver = at.app._driver
            assert driver
            monkeypatch.setattr(driver, "write", sent.append)
            for key, text in wanted.items():
                sent.clear()
                await at.press(key)
                copied = re.findall(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", "".join(sent))
                assert [base64.b64decode(one).decode() for one in copied] == [text]
                assert at.app.clipboard == ""
                assert shows(at.screen, secret) == []
                assert shows(" ".join(str(one) for one in at.app._notifications), secret) == []
                assert shows("".join(sent), secret) == []
            assert sum("sent to the terminal clipboard" in one.message for one in at.app._notifications) == 3

    run(look())


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_has_no_body_and_no_secret(desk: Desk, stored: dict[str, str]) -> None:
    canary = Canary()
    for between in (desk.services.nexus, desk.services.vault):
        assert between
        between.after = canary.overhear

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await credential(at)
            await at.press("v", "s", "L")
            assert at.page == "RequestLog"
            assert "/oauth/exchange" in at.screen
            assert "GET" in at.screen
            assert "200" in at.screen
            await at.pilot.resize_terminal(200, 50)
            await at.settled()
            assert len(canary.planted) > 3
            assert stored["client_secret"] in canary.planted
            assert canary.leaks(at.screen, "the log") == set()
            assert canary.leaks(repr(at.app.requests), "what is kept for it") == set()
            assert "twin-team" not in at.screen  # what bodies have, and no path

    run(look())


# ── a crash ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_crash_prints_no_locals(
    desk: Desk, stored: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A defect while a secret is shown ends the app, and what is said of it is its kind and its place."""
    secret = stored["client_secret"]

    def broken(_: CredentialPage) -> None:
        held = secret  # what a traceback with locals would print
        raise RuntimeError(f"with {held} in its text")

    async def press(pilot: Pilot[Any]) -> None:
        at = Sitting(app, pilot)
        await at.settled()
        await credential(at)
        await at.press("s")
        await until_shown(at, secret)
        monkeypatch.setattr(CredentialPage, "action_verify", broken)
        await pilot.press("v")
        while app.crash is None:
            await pilot.pause(0.02)

    app = desk.app()
    capfd.readouterr()
    app.run(headless=True, size=NARROW, auto_pilot=press)
    app.session.close()
    assert isinstance(app.crash, RuntimeError)
    assert output.fail(output.defect(app.crash)) == 1
    out, err = capfd.readouterr()
    assert "a defect of registrar stopped it: RuntimeError in broken" in err
    assert shows(out + err, secret) == []
    assert "secret = '" not in out + err  # as a table of locals has it
    assert app._exit_renderables == []


def test_a_defect_in_a_worker_is_told_without_its_text(desk: Desk, stored: dict[str, str]) -> None:
    secret = stored["client_secret"]

    async def look() -> None:
        app = desk.app()
        async with sitting(app) as at:
            await credential(at)

            def broken(*_: object) -> None:
                raise ValueError(secret)

            app.session.credential = broken  # type: ignore[method-assign, assignment]
            await at.press("s")
            await at.until("a defect of registrar: ValueError in broken")
            assert shows(at.screen, secret) == []
            assert app.crash is None

    run(look())


# ── everything, searched ──────────────────────────────────────────────────────────────────────────────────────────────


class Watched(RegistrarApp):
    """Keeps whatever was told to the person."""

    CSS_PATH = inspect.getfile(RegistrarApp).replace("app.py", "app.tcss")

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.told: list[str] = []

    def notify(self, message: str, **rest: Any) -> None:
        self.told.append(message)
        super().notify(message, **rest)


class Search:
    """Every screen that was drawn and every picture of one, to be searched once all secrets are known."""

    def __init__(self, at: Sitting) -> None:
        self.at = at
        self.seen: dict[str, str] = {}

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.at.pilot.press(key)
            self.keep(key)
        await self.at.settled()
        self.keep("settled")

    def keep(self, after: str, *, screen: bool = True) -> None:
        where = f"{len(self.seen)}: {self.at.page} after {after}"
        if screen:
            self.seen[f"screen {where}"] = self.at.screen
        app = self.at.app
        self.seen[f"title {where}"] = f"{app.title} {app.sub_title} {app.screen.title} {app.screen.sub_title}"

    def picture(self) -> None:
        picture = self.at.app.export_screenshot()
        plain = re.sub(r"<[^>]*>", "", picture.replace("&#160;", " "))
        self.seen[f"picture {len(self.seen)} of {self.at.page}"] = plain

    def leaks(self, canary: Canary) -> set[str]:
        texts = {text: where for where, text in self.seen.items()}  # each once: most screens come again
        return {leak for text, where in texts.items() for leak in canary.leaks(text, where)}


def test_no_secret_is_anywhere(desk: Desk) -> None:
    """A small session with all of its pages and failures, searched for every secret that went over the wire."""
    services = desk.services
    nexus, vault = services.nexus, services.vault
    assert nexus
    assert vault
    canary = Canary()
    for name, secret in services.environ.items():
        if not name.endswith(("URL", "ADDR")):
            canary.plant(secret, name)
    for between in (nexus, vault):
        between.after = canary.overhear
    by_hand = services.by_hand.create({"name": "Old", "redirect_uri": "https://old.example.org/cb"})
    canary.plant(by_hand.client_secret.reveal(), "the secret of an old one")

    async def look() -> None:
        app = desk.app(kind=Watched)
        assert isinstance(app, Watched)
        async with sitting(app) as at:
            search = Search(at)
            await at.until("+ 2 new")
            await search.press("a")
            await at.until("2 to create")
            search.picture()
            await search.press("a", "right", "enter")
            await at.until("2 done")
            await search.press("down", "y", "escape")
            search.picture()
            await at.until("= 2 in sync")
            await search.press("end", "V", "y", "question_mark", "escape", "D")
            search.picture()
            await search.press("escape", "c", "v", "i", "y", "b")
            await at.pilot.press("s")
            await at.settled()
            assert at.app.screen.query_one(Unmasked).in_the_open
            search.keep("s", screen=False)
            search.picture()
            await search.press("t", "enter")
            await at.until("1 to rotate")
            await search.press("y", "escape", "escape", "L")
            search.picture()
            await search.press("escape", "e", "escape", "n", "escape", "escape")
            # both services answer with all that they were sent
            nexus.on("GET", "/oauth/exchange", echo(500, lambda text: {"message": text}), times=99)
            vault.on("GET", "/data/", echo(400, lambda text: {"errors": [text]}), times=99)
            await search.press("V", "c", "s", "v", "escape")
            for between in (nexus, vault):
                between._rules.clear()
                for method in ("GET", "LIST", "POST", "PUT"):
                    between.on(method, "", echo(403, lambda text: {"errors": [text], "message": text}), times=10**6)
                await search.press("r", "a", "escape", "D")
                search.picture()
                await search.press("escape")
                between._rules.clear()
            nexus.on("POST", "/oauth/tokens$", say(401, b"{}"), times=99)
            await search.press("r", "L")
            search.picture()
            assert len(search.seen) > 60
            kept = {"notifications": "\n".join(app.told), "requests": repr(app.requests), "clipboard": app.clipboard}
            found = search.leaks(canary)
            for where, text in kept.items():
                found |= canary.leaks(text, where)
            assert app.told
            assert found == set()

    run(look())
    assert len(canary.planted) >= 8
    assert any("client" in what.lower() for what in canary.planted.values())
    assert canary.leaks_in_files(desk.folder) == set()

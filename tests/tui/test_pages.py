"""What each page does with its keys, the names that it has to show, and as many applications as there may be."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import click
import pytest
from textual import events
from textual.app import ScreenStackError
from textual.css.query import NoMatches
from textual.widgets import Input, OptionList
from textual.worker import WorkerFailed

import registrar.nexus.wire
import registrar.vault.wire
from registrar.cli import main
from registrar.cli.opened import Opened
from registrar.model import Application, Registered, Target
from registrar.tui import app as app_module
from registrar.tui import intents, rows
from registrar.tui.app import RegistrarApp
from registrar.tui.screens.dialogs import Confirm, Grace
from registrar.tui.screens.edit import Edit
from registrar.tui.screens.page import Page
from registrar.tui.table import Table
from registrar.world import World
from tests.cli.manifests import many
from tests.custody.proxy import lose
from tests.tui.desk import MANIFEST, NARROW, WIDE, Desk, Sitting, run, sitting


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar.nexus.wire, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(registrar.vault.wire, "_PAUSES_S", (0.01, 0.01))


async def paste(at: Sitting, text: str) -> None:
    at.app.post_message(events.Paste(text))
    await at.pilot.pause(0.05)


async def page(at: Sitting, name: str) -> None:
    """Until this screen has the keys and is drawn."""
    for _ in range(400):
        if at.page == name and at.app.screen.is_mounted:
            await at.pilot.pause(0.03)
            return
        await at.pilot.pause(0.02)
    raise AssertionError(f"{name} did not come; there is {at.page}:\n{at.screen}")


async def applied(at: Sitting, typed: str = "") -> None:
    """The plan that is shown, carried out."""
    await at.pilot.press("a")
    await page(at, "Confirm")
    if typed:
        await paste(at, typed)
        await at.press("enter")
    else:
        await at.press("right", "enter")


@contextlib.contextmanager
def copied(app: RegistrarApp) -> Any:
    """What is sent to the clipboard meanwhile."""
    sent: list[str] = []
    with mock.patch.object(app, "copy_to_clipboard", sent.append):
        yield sent


# ── the list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_filter(desk: Desk) -> None:
    """Any words, each in name, host, owner, path or state; esc clears it."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("= 1 in sync")

            async def filtered(words: str) -> list[str]:
                await at.pilot.press("slash", "ctrl+u")
                await paste(at, words)
                await at.pilot.pause(0.05)
                return [line.row.name for line in at.app.screen.query_one(Table).rows]

            both = ["Sensor Catalogue", "Digital Twin Viewer"]
            assert await filtered("SENS") == ["Sensor Catalogue"]
            assert "/SENS: 1 of 2" in at.screen
            assert "Digital Twin" not in "\n".join(at.lines[3:10])
            assert await filtered("example.org") == both
            assert await filtered("example.org viewer twin") == ["Digital Twin Viewer"]
            assert await filtered("viewer sensors") == []
            assert "Nothing has all of these words. esc clears the filter." in at.screen
            assert await filtered("twin-team@") == ["Digital Twin Viewer"]
            assert await filtered("in sync") == ["Digital Twin Viewer"]
            assert await filtered("new") == ["Sensor Catalogue"]
            await at.press("enter")
            assert at.app.screen.query_one(Table).has_focus
            assert at.app.screen.query_one("#filter").display
            await at.press("p")
            await at.until("registrar apply --only sensors")
            await at.press("escape")
            await page(at, "Applications")
            await at.press("escape")
            assert not at.app.screen.query_one("#filter").display
            assert [line.row.name for line in at.app.screen.query_one(Table).rows] == both
            assert "/new" not in at.screen

    run(look())


def test_marks(desk: Desk) -> None:
    """Several are planned together; the counts say how many are marked, and esc forgets them."""
    desk.write(many(4))

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 4 new")
            await at.press("space", "down", "space")
            assert "* 2 marked" in at.lines[-2]
            assert at.lines[2].startswith("* + new")
            assert at.lines[4].startswith("* + new")
            assert at.lines[3].startswith("  + new")
            await at.press("p")
            await at.until("2 to create")
            assert "registrar apply --only app-0 --only app-2" in at.screen
            assert "App 1" not in at.screen
            await applied(at)
            await at.until("2 done")
            await at.press("escape")
            await at.until("= 2 in sync")
            assert "* 2 marked" in at.lines[-2]
            await at.press("escape")
            assert "marked" not in at.lines[-2]

    run(look())
    assert sorted(one["name"] for one in desk.services.registered()) == ["App 0", "App 2"]


def test_what_cannot_be_done_says_so(desk: Desk) -> None:
    """A key that means nothing here tells what does, and opens nothing."""
    desk.services.by_hand.create({"name": "Old Portal", "redirect_uri": "https://portal.example.org/cb"})

    async def look() -> None:
        async with sitting(desk.app(), WIDE) as at:
            await at.until("? by hand")
            for place, key, told in (
                ("home", "c", "It has no credential yet: p plans it."),
                ("end", "p", "It is in no manifest yet: n declares it, then o adopts it."),
                ("end", "e", "No manifest declares it: n writes a new entry."),
                ("end", "o", "n declares it in a manifest first; o on that line adopts it."),
            ):
                await at.press(place, key)
                assert at.page == "Applications"
                assert told in [one.message for one in at.app._notifications]

    run(look())


def test_palette(desk: Desk) -> None:
    """The actions of the page by what they do; enter runs the one that was found."""

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            found = {command.title: command.help for command in at.app.get_system_commands(at.app.screen)}
            assert found["Plan and apply everything that the manifests declare"].startswith("All: ")
            assert found["Prove every stored credential"].startswith("Verify all: ")
            assert "Doctor" in found
            await at.pilot.press("ctrl+p")
            await page(at, "Palette")
            await paste(at, "everything that the manifests")
            await at.until("All: a")
            await at.pilot.press("enter")
            await page(at, "PlanPage")
            await at.until("2 to create")
            found = {command.title: command.help for command in at.app.get_system_commands(at.app.screen)}
            assert "Carry out this plan, after a question" in found
            assert "Prove every stored credential" not in found

        async with sitting(desk.app(readonly=True)) as at:
            found = {command.title: command.help for command in at.app.get_system_commands(at.app.screen)}
            assert "Prove every stored credential" in found
            assert "Plan and apply everything that the manifests declare" not in found

    run(look())


def test_help_lists_the_keys_of_each_page(desk: Desk) -> None:
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def look() -> None:
        async with sitting(desk.app(), (100, 60)) as at:
            await at.until("= 1 in sync")
            for keys in ((), ("a",), ("down", "c"), ("L",), ("D",)):
                await at.press(*keys)
                screen = at.app.screen
                assert isinstance(screen, Page)
                await at.press("question_mark")
                await page(at, "Help")
                await at.until("Keys here")
                shown = " ".join(" ".join(at.lines).replace("│", " ").split())
                for binding in type(screen).BINDINGS:
                    assert not isinstance(binding, tuple)
                    told = binding.tooltip or binding.description
                    assert f"{at.app.get_key_display(binding)} {told}" in shown, (type(screen), binding.action)
                await at.press("q")  # closes the help alone
                assert at.app.screen is screen
                if keys:
                    await at.press("escape")
                    await page(at, "Applications")

    run(look())


# ── the doctor and the log ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_doctor_says_what_the_command_says(desk: Desk) -> None:
    """Line for line, with a service away too."""
    assert desk.services.vault

    def command() -> list[str]:
        said = io.StringIO()
        with desk.environment(), contextlib.redirect_stdout(said):
            main(["doctor"])
        return [_timeless(line) for line in said.getvalue().splitlines()]

    def _timeless(line: str) -> str:
        return "" if " ms" in line or "clock" in line else line.rstrip()

    async def look() -> None:
        async with sitting(desk.app(), (120, 70)) as at:
            for away in (False, True):
                if away:
                    for method in ("GET", "POST", "LIST"):
                        desk.services.vault.on(method, "", lose, times=10**6)  # type: ignore[union-attr]
                wanted = [line for line in command() if line]
                await at.press("D")
                await at.until("Commands" if not away else "✗")
                await at.settled()
                shown = [_timeless(line[2:]) for line in at.lines]
                assert len(wanted) > 8
                assert [line for line in wanted if line not in shown] == [], at.screen
                await at.press("escape")
                await page(at, "Applications")

    run(look())


def test_the_log_has_every_request(desk: Desk) -> None:
    """The newest first, with what did not answer too; it grows while it is looked at."""
    assert desk.services.nexus

    async def look() -> None:
        async with sitting(desk.app(), WIDE) as at:
            await at.until("+ 2 new")
            came = len(desk.services.nexus.seen) + len(desk.services.vault.seen)  # type: ignore[union-attr]
            assert len(at.app.requests) == came
            await at.press("L")
            table = at.app.screen.query_one(Table)
            assert len(table.rows) == came
            assert "/v1/" in at.screen
            assert "METHOD STATUS" in " ".join(at.lines[1].split())
            desk.services.nexus.on("GET", "", lose, times=10**6)  # type: ignore[union-attr]
            at.app.look()
            await at.settled()
            await at.until("none")
            assert len(table.rows) > came
            assert [at for at, _ in table.rows] == sorted((at for at, _ in table.rows), reverse=True)

    run(look())


# ── as Markdown ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plan_and_report_as_markdown(desk: Desk) -> None:
    """For a ticket: a name ends no cell and is no markup."""
    desk.write(
        "apps:\n  - name: 'A | `b` *c* <i>'\n    redirect_uri: https://a.example.org/cb\n"
        "    owner_email: a@example.org\n    path: odd\n"
    )
    cell = "<code>A &#124; &#96;b&#96; &#42;c&#42; &#60;i&#62;</code>"

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 1 new")
            await at.press("a")
            await at.until("1 to create")
            with copied(at.app) as sent:
                await at.press("y")
                await applied(at)
                await at.until("1 done")
                await at.press("y")
            plan, report = sent
            assert plan.startswith("### dev: `http")
            assert f"| create | {cell} | `redirect_uri` |  | `https://a.example.org/cb` |" in plan
            assert "Digest: `" in plan
            assert f"| done | create | {cell} | odd |" in report
            assert report.endswith("1 done.\n")
            for text in sent:
                counts = {line.count("|") for line in text.splitlines() if line.startswith("|")}
                assert counts == {6}

    run(look())


# ── what can be done ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_prune(desk: Desk) -> None:
    """P retires what the set does not declare any more; without a set nothing is known to be ours."""
    assert desk.command("apply", "--yes") == 0
    desk.write(MANIFEST.partition("  - name: Sensor")[0])

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("= 1 in sync")
            await at.press("P")
            await at.until("1 to retire")
            assert "registrar apply --prune" in at.screen
            assert "Sensor Catalogue" in at.screen
            await applied(at, "Sensor Catalogue")
            await at.until("1 done")

    run(look())
    assert {one["name"]: one["archived"] for one in desk.services.registered()} == {
        "Digital Twin Viewer": False,
        "Sensor Catalogue": True,
    }
    settings = desk.folder / "registrar.yaml"
    settings.write_text(settings.read_text().replace("set: twin\n", ""))

    async def without() -> None:
        async with sitting(desk.app()) as at:
            await at.press("P")
            assert at.page == "Applications"
            assert any("names no set" in one.message for one in at.app._notifications)

    run(without())


def test_recover(desk: Desk) -> None:
    """i finishes what a run left that could not store its credential."""
    assert desk.services.vault
    desk.services.vault.on("POST", "/data/nexus/dev/viewer$", lose, times=10**6)
    desk.services.vault.on("PUT", "/data/nexus/dev/viewer$", lose, times=10**6)
    desk.services.nexus.on("DELETE", "", lose, times=10**6)  # type: ignore[union-attr]
    with mock.patch("registrar.reconcile.Pace", _hasty()):
        assert desk.command("apply", "--yes", "--only", "viewer") != 0
    desk.services.vault.clear()
    desk.services.nexus.clear()  # type: ignore[union-attr]
    assert any(one.mark for one in desk.services.by_hand.all())

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("& interrupted")
            assert "& interrupted Digital Twin" in at.lines[2]
            await at.press("i")
            await at.until("1 to recover")
            assert "$ registrar recover" in at.screen
            await applied(at)
            await at.until("1 done")
            await at.press("escape")
            await at.until("fresh")
            assert "& " not in at.lines[-2]

    run(look())
    assert not any(one.mark for one in desk.services.by_hand.all())


def _hasty() -> Any:
    import functools

    from registrar import reconcile

    return functools.partial(reconcile.Pace, doubt_s=0.2, poll_s=0.05)


def test_restore_anew(desk: Desk) -> None:
    """What was deleted in Nexus after it was retired can only be registered anew, and u knows."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0
    assert desk.command("retire", "viewer", "--yes") == 0
    (gone,) = desk.services.by_hand.all()
    desk.services.by_hand.unarchive(gone.id)
    desk.services.by_hand.delete(gone.id)

    async def look() -> None:
        async with sitting(desk.app(), WIDE) as at:
            await at.until("! 1 blocked")
            assert "--rotate" in at.screen
            await at.press("home", "u")
            await at.until("registrar restore viewer --rotate")
            await at.until("1 to ")
            await at.pilot.press("a")
            await page(at, "Confirm")
            if at.app.screen.query("#typed"):
                await paste(at, "Digital Twin Viewer")
                await at.press("enter")
            else:
                await at.press("right", "enter")
            await at.until("1 done")

    run(look())
    (made,) = desk.services.registered()
    assert made["client_id"] != gone.client_id
    assert not made["archived"]


def test_take_over(desk: Desk) -> None:
    """An application of another set is ours after o."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0
    settings = desk.folder / "registrar.yaml"
    settings.write_text(settings.read_text().replace("set: twin", "set: other"))

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("! 1 blocked")
            assert "the record belongs to the set twin, this is the set other" in " ".join(at.screen.split())
            await at.press("home", "o")
            await at.until("1 to adopt")
            assert "registrar adopt viewer --take-over" in at.screen
            await applied(at)
            await at.until("1 done")
            await at.press("escape")
            await at.until("= 1 in sync")

    run(look())
    records = desk.services.records("secret/nexus/dev")
    assert records["nexus/dev/viewer"]["metadata"]["custom_metadata"]["set"] == "other"


# ── edit ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_edit_asks_before_it_forgets(desk: Desk) -> None:
    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            await at.press("e", "escape")
            assert at.page == "Applications"  # nothing was changed
            await at.press("e")
            await at.press("x")
            await at.until("+    redirect_uri")
            await at.pilot.press("escape")
            await page(at, "Confirm")
            assert "Leave without saving?" in at.screen
            await at.press("escape")
            assert at.page == "Edit"
            assert at.app.screen.query_one("#redirect_uri", Input).value.endswith("x")
            await at.pilot.press("escape")
            await page(at, "Confirm")
            await at.press("right", "enter")
            assert at.page == "Applications"

    run(look())
    assert desk.manifest.read_text() == MANIFEST


def test_a_command_names_the_manifests_that_were_named(desk: Desk) -> None:
    async def look() -> None:
        session = Opened(click.Context(click.Command("tui"), obj={}), desk.flags, ("manifests/apps.yaml",))
        async with sitting(RegistrarApp(session)) as at:
            await at.until("+ 2 new")
            assert "registrar apply --only sensors manifests/apps.yaml" in " ".join(at.screen.split())
            await at.press("p")
            await at.until("1 to create")
            assert "registrar apply --only sensors manifests/apps.yaml" in " ".join(at.screen.split())

    run(look())
    assert intents.retire(("a b",)).command(("--target", "dev"), ("m.yaml",)) == (
        "registrar --target dev retire 'a b' --manifests m.yaml"
    )


def test_enter_pressed_twice_in_the_palette(desk: Desk) -> None:
    """Keys come faster than a screen goes: one command, and the page below stays."""

    async def hurry() -> None:
        for command, opened in (("everything that the manifests", "PlanPage"), ("Theme", "Palette")):
            async with sitting(desk.app()) as at:
                await at.until("+ 2 new")
                await at.pilot.press("ctrl+p")
                await page(at, "Palette")
                await paste(at, command)
                await at.settled()
                for _ in range(3):
                    at.app.post_message(events.Key("enter", None))
                await at.settled()
                assert [type(screen).__name__ for screen in at.app.screen_stack] == ["Screen", "Applications", opened]
            assert at.app.crash is None

    run(hurry())


def test_a_question_that_goes_before_it_is_there(desk: Desk) -> None:
    """As when the app ends, or the apply it is about does: it has nothing yet that it could fill."""

    async def early() -> None:
        async with sitting(desk.app()) as at:
            questions = (Confirm("Yes?"), Grace(["Viewer"]), Confirm("Yes?", "viewer", "its name"))
            for question in questions:
                at.app.push_screen(question)
                question.dismiss(None)
            await at.settled()
            at.app.push_screen(Confirm("Yes?"))
        assert at.app.crash is None

    run(early())


def test_a_palette_that_is_left_at_once_ends_nothing(desk: Desk) -> None:
    """It gathers its commands in a worker, which may find its list gone; another worker's failure is a defect."""

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            gone = NoMatches("No nodes match 'CommandList' on Palette()")
            at.app._handle_exception(WorkerFailed(gone))
            assert at.app.crash is None
            others = (
                gone,
                WorkerFailed(NoMatches("No nodes match '#list' on Applications()")),
                WorkerFailed(KeyError()),
            )
            assert not any(map(app_module._of_left_palette, others))
            for _ in range(10):
                await at.pilot.press("ctrl+p", "enter")
            await at.settled()
            assert at.app.crash is None

    run(look())


def test_a_page_is_left_once_whatever_came_over_it(desk: Desk) -> None:
    """The answer to a question reaches its page a moment later, when other keys may have opened another."""

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            await at.press("e", "x")
            await at.until("+    redirect_uri")
            edit = at.app.screen
            assert isinstance(edit, Edit)
            at.app.action_log()
            edit.dismiss()
            edit.dismiss()
            await at.settled()
            assert at.page == "Applications"
            assert at.app.crash is None

    run(look())


def test_edit_never_writes_over_somebody_elses_change(desk: Desk) -> None:
    theirs = MANIFEST.replace("# The applications", "# All applications")

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            await at.press("e")
            await at.press("x")
            await at.until("+    redirect_uri")
            desk.write(theirs)
            await at.press("ctrl+s")
            await at.settled()
            assert at.page == "Edit"
            assert "→ " in at.screen
            assert desk.manifest.read_text() == theirs

    run(look())


def test_edit_marks_what_the_target_has_of_its_own(desk: Desk) -> None:
    desk.write(MANIFEST + "    targets:\n      dev: {redirect_uri: 'https://sensors-dev.example.org/cb'}\n")

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            await at.press("home", "e")
            await at.until("redirect_uri *")
            assert "name *" not in at.screen
            assert at.app.screen.query_one("#redirect_uri", Input).value == "https://sensors-dev.example.org/cb"
            await at.press("x")
            await at.until("* of the target dev alone")
            await at.press("ctrl+s")
            await at.until("1 to create")

    run(look())
    text = desk.manifest.read_text()
    assert "dev: {redirect_uri: 'https://sensors-dev.example.org/cbx'}" in text
    assert "    redirect_uri: https://sensors.example.org/auth/callback\n" in text


def test_edit_makes_a_field_one_targets_alone_and_shows_those_of_others(desk: Desk) -> None:
    desk.write(MANIFEST + "    targets:\n      test:\n        base_url: https://test.example.org\n      lab: false\n")
    desk.settings((desk.folder / "registrar.yaml").read_text() + "  lab:\n    vault_prefix: nexus/lab\n")

    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            await at.press("home", "e")
            await at.until("test  base_url https://test.example.org")
            assert "lab  it is not there" in at.screen
            await at.press("ctrl+t")
            await at.until("redirect_uri *")
            await at.press("x", "ctrl+t")  # everybody's again, as it was
            assert "redirect_uri *" not in at.screen
            assert at.app.screen.query_one("#redirect_uri", Input).value == "https://sensors.example.org/auth/callback"
            await at.press("ctrl+t", "x", "ctrl+s")
            await at.until("1 to create")

    run(look())
    text = desk.manifest.read_text()
    assert text == MANIFEST + (
        "    targets:\n      test:\n        base_url: https://test.example.org\n      lab: false\n"
        "      dev:\n        redirect_uri: https://sensors.example.org/auth/callbackx\n"
    )


def test_a_new_application_is_the_same_on_every_target(desk: Desk) -> None:
    async def look() -> None:
        async with sitting(desk.app()) as at:
            await at.until("+ 2 new")
            await at.press("n", "ctrl+t")
            await at.until("Save it first")
            await at.press("tab", "tab", "tab", "tab", "tab")  # to the path
            await at.press("ctrl+t")
            await at.until("Neither file nor path")

    run(look())


# ── how it is drawn ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["NO_COLOR", "monochrome"])
def test_without_colour(desk: Desk, how: str) -> None:
    """Shades alone, and every state is told by a word and a glyph."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    def drawn(app: RegistrarApp) -> set[str]:
        """What the picture has, which is made of what goes to the terminal."""
        picture = app.export_screenshot()
        body = picture[picture.index("</defs>") if "</defs>" in picture else 0 :]
        style = picture[picture.index("<style>") : picture.index("</style>")]
        found = re.findall(r"r\d+ \{[^}]*fill: (#[0-9a-f]{6})", style) + re.findall(r'rect fill="(#[0-9a-f]{6})"', body)
        assert found
        found = [one for one in found if one != "#c5c8c6"]  # the picture's own default, which nothing here draws
        return {one for one in found if len({one[1:3], one[3:5], one[5:7]}) > 1}

    async def look() -> None:
        context = click.Context(click.Command("tui"), obj={})
        app = RegistrarApp(Opened(context, desk.flags), monochrome=how == "monochrome")
        async with sitting(app) as at:
            await at.until("= 1 in sync")
            assert drawn(app) == set()
            assert "+ new" in at.screen
            await at.press("a")
            await at.until("1 to create")
            assert drawn(app) == set()

    async def in_colour() -> None:
        async with sitting(desk.app()) as at:
            await at.until("= 1 in sync")
            assert drawn(at.app) != set()

    with mock.patch.dict(os.environ, {"NO_COLOR": "1"} if how == "NO_COLOR" else {}):
        run(look())
    run(in_colour())


NAMES = {
    "日本語の名前アプリケーション一覧表示画面": "日本語",
    "[red]x[/red] [@click=app.quit]y[/]": "[red]x[/red]",
    "bell\x07 and \x1b[31mescape": "bell\\x07 and \\x1b[31m",
    "right\u202eto left": "right\\u202eto",
    "👩‍👩‍👧 family": "family",
}


def test_unusual_names_are_only_text(desk: Desk) -> None:
    """Wide ones keep the columns, control characters are spelt out, markup is shown as it is."""
    for number, name in enumerate(NAMES):
        desk.services.by_hand.create({"name": name, "redirect_uri": f"https://n{number}.example.org/cb"})

    async def look() -> None:
        async with sitting(desk.app(), WIDE) as at:
            await at.until("? 5 by hand")
            for place in range(7):
                assert all(len(line) <= 120 for line in at.lines)
                assert not set("\x07\x1b\u202e") & set(at.screen)
                for strip in at.app.screen._compositor.render_strips():
                    assert strip.cell_length == 120
                line = at.app.screen.query_one(Table).current
                if line.row.name in NAMES:
                    assert at.screen.count(NAMES[line.row.name]) >= 1, place
                await at.press("down")
            await at.press("n")
            assert at.page == "Edit"
            assert not set("\x07\x1b\u202e") & set(at.screen)

    run(look())


# ── ten thousand ──────────────────────────────────────────────────────────────────────────────────────────────────────

COUNT = 10_000


class Vast(Opened):
    """A session that has seen very many."""

    def observe(self) -> World:
        applications = tuple(
            Application(
                f"team-{number % 97}/app-{number}", f"App {number}", f"https://h{number}.example.org/cb",
                owner_email=f"team-{number % 97}@example.org",
            )
            for number in range(COUNT)
        )  # fmt: skip
        registered = tuple(
            Registered(number, f"client-{number}", f"Hand {number}", f"https://old{number}.example.org/cb")
            for number in range(100)
        )
        return World(Target("dev", "http://127.0.0.1:1", "http://127.0.0.1:2", "secret"), applications, registered, ())


@contextlib.asynccontextmanager
async def vast(desk: Desk) -> AsyncIterator[Sitting]:
    app = RegistrarApp(Vast(click.Context(click.Command("tui"), obj={}), desk.flags))
    async with sitting(app, NARROW) as at:
        await at.until("10000 new")
        yield at


def test_ten_thousand(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key draws a screenful at most and looks at each line once, whatever their number."""
    drawn: list[int] = []
    filtered: list[int] = []
    whole, matching = Table._row, rows.matching

    def counting(table: Table, number: int, width: int) -> Any:
        drawn.append(number)
        return whole(table, number, width)

    def looking(lines: Any, words: str) -> Any:
        filtered.append(len(lines))
        return matching(lines, words)

    monkeypatch.setattr(Table, "_row", counting)
    monkeypatch.setattr(rows, "matching", looking)

    async def look() -> None:
        async with vast(desk) as at:
            at.app.screen.query_one(Table)
            assert "? 100 by hand" in at.screen
            height = at.app.screen.query_one(Table).size.height
            for key in ("down", "pagedown", "end", "up", "home", "space"):
                drawn.clear()
                await at.pilot.press(key)
                await at.pilot.pause(0.05)
                assert 0 < len(drawn) <= 4 * height, key
            await at.pilot.press("end")
            await at.until("Hand 99")
            assert at.app.screen.query_one(Table).cursor == COUNT + 99
            await at.pilot.press("slash")
            for words in ("7", "77", "777", "7777"):
                drawn.clear()
                filtered.clear()
                await at.pilot.press("7")
                await at.pilot.pause(0.05)
                assert f"/{words}: " in at.screen
                assert filtered == [COUNT + 100]
                assert len(drawn) <= 4 * height
            assert "/7777: 1 of 10100" in at.screen
            assert "App 7777" in at.screen

    run(look())


def test_a_page_key_before_a_list_of_choices_is_drawn(desk: Desk) -> None:
    """Textual's list looks up where its choices are drawn, which it does not know yet."""

    async def early() -> None:
        async with sitting(desk.app()) as at:
            undrawn = OptionList("dev", "test")
            undrawn.highlighted = 0
            with pytest.raises(KeyError):
                undrawn._move_page(1)
            assert await at.app.run_action("page_down", undrawn)

    run(early())


def test_an_action_that_comes_when_the_app_is_ending(desk: Desk) -> None:
    """As from the palette, which closes itself before it carries out what was chosen."""

    async def late() -> None:
        async with sitting(desk.app()) as at:
            page = at.app.screen
            assert not at.app._too_late(ScreenStackError("one page too many is left"))
            at.app.exit()
            assert not await at.app.run_action("restore", page)
        assert not page.check_action("restore", ())
        with pytest.raises(ScreenStackError) as raised:  # a key that a page has handed on
            await at.app._check_bindings("x")
        at.app._handle_exception(raised.value)
        assert at.app.crash is None

    run(late())

"""What a sysadmin does in a week, by keys alone at 80x24: nine things, each seen on the screen and in both services."""

from __future__ import annotations

from registrar.model import Credential
from registrar.secret import Secret
from tests.tui.desk import Desk, run, sitting


def test_look(desk: Desk) -> None:
    """Everything in one glance: what is new, what is in sync, and the counts."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def week() -> None:
        async with sitting(desk.app()) as at:
            assert at.page == "Applications"
            assert "+ new         Sensor" in at.screen
            assert "= in sync     Digital Twin" in at.screen
            assert "+ 1 new   = 1 in sync" in at.screen
            assert "registrar apply --only sensors" in at.screen
            await at.press("down")
            assert "known to     manifest, Nexus, Vault" in at.screen

    run(week())


def test_register(desk: Desk) -> None:
    """New: the form, the file in place, its plan, the apply, the report."""

    async def week() -> None:
        async with sitting(desk.app()) as at:
            await at.press("n")
            assert at.page == "Edit"
            assert "AP001" in at.screen
            await at.type("Notebook")
            await at.press("tab")
            await at.type("https://notebook.example.org/cb")
            await at.pilot.pause(0.4)
            await at.settled()
            assert "error" not in at.screen
            await at.press("ctrl+s")
            await at.until("1 to create")
            assert at.page == "PlanPage"
            await at.press("a")
            assert at.page == "Confirm"
            await at.press("right", "enter")
            await at.until("1 done")
            assert "secret/nexus/dev/notebook" in at.screen
            await at.press("escape")
            assert "= in sync     Notebook" in at.screen

    run(week())
    text = desk.manifest.read_text()
    assert text.startswith("# The applications of the twin platform.\n")
    assert "  - name: Notebook\n    redirect_uri: https://notebook.example.org/cb\n" in text
    assert [one["name"] for one in desk.services.registered()] == ["Notebook"]


def test_fix_a_uri(desk: Desk) -> None:
    """Edit: the rules live, the comment kept, what breaks said and the name typed."""
    assert desk.command("apply", "--yes") == 0

    async def week() -> None:
        async with sitting(desk.app()) as at:
            await at.press("down", "e")
            field = "https://viewer.example.org/oauth/callback"
            await at.press(*["backspace"] * (len(field) - len("https://viewer.example.org")))
            await at.type("#")
            await at.pilot.pause(0.4)
            await at.settled()
            assert "RU002" in at.screen
            await at.press("ctrl+s")
            assert at.page == "Edit"  # not while a rule is broken
            await at.press("backspace")
            await at.type("/cb")
            await at.pilot.pause(0.4)
            await at.settled()
            await at.press("ctrl+s")
            await at.until("1 step breaks clients")
            await at.press("a")
            await at.until("Type its name to go on: Digital Twin Viewer")
            await at.press("enter")
            assert at.page == "Confirm"  # nothing but the name is a yes
            await at.type("Digital Twin Viewer")
            await at.press("enter")
            await at.until("1 done")

    run(week())
    assert "    redirect_uri: https://viewer.example.org/cb\n" in desk.manifest.read_text()
    assert "name: Digital Twin Viewer    # what users see\n" in desk.manifest.read_text()
    assert "https://viewer.example.org/cb" in [one["redirect_uri"] for one in desk.services.registered()]


def test_see_drift_and_heal_it(desk: Desk) -> None:
    assert desk.command("apply", "--yes") == 0
    viewer = next(one for one in desk.services.by_hand.all() if one.name == "Digital Twin Viewer")
    desk.services.by_hand.update(viewer.id, {"base_url": "https://elsewhere.example.org"})

    async def week() -> None:
        async with sitting(desk.app()) as at:
            assert "~ drift       Digital Twin" in at.lines[2]  # what needs attention is first
            assert "≠ base_url" in at.screen
            assert "Nexus      https://elsewhere.example.org" in at.screen
            await at.press("p")
            await at.until("1 to update")
            assert "- https://elsewhere.example.org" in at.screen
            await at.press("a", "right", "enter")
            await at.until("1 done")

    run(week())
    healed = next(one for one in desk.services.by_hand.all() if one.id == viewer.id)
    assert healed.base_url == "https://viewer.example.org"


def test_rotate_and_undo(desk: Desk) -> None:
    """Rotate with a grace, and go back within it."""
    assert desk.command("apply", "--yes", "--only", "viewer") == 0
    before = desk.services.registered()[0]["client_id"]

    async def week() -> None:
        async with sitting(desk.app()) as at:
            await at.press("down", "t")
            assert at.page == "Grace"
            await at.press("enter")
            await at.until("1 to rotate")
            assert "for 24 hours more" in at.screen
            await at.press("a")
            await at.type("Digital Twin Viewer")
            await at.press("enter")
            await at.until("1 done")
            await at.press("escape", "c")
            assert at.page == "CredentialPage"
            assert before in at.screen
            assert "retiring" in at.screen
            await at.press("B")
            await at.until("1 to go back")
            await at.press("a")
            await at.type("Digital Twin Viewer")
            await at.press("enter")
            await at.until("1 done")

    run(week())
    assert (
        desk.services.records("secret/nexus/dev")["nexus/dev/viewer"]["metadata"]["custom_metadata"]["client-id"]
        == before
    )


def test_is_this_credential_good(desk: Desk) -> None:
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def week() -> None:
        async with sitting(desk.app()) as at:
            await at.press("down", "v")
            assert "1 credential: 1 right" in at.screen
            assert "right" in at.lines[3]
            await at.press("c", "v")
            assert "v1: right" in at.screen

    run(week())


def test_take_over_a_hand_made_one(desk: Desk) -> None:
    """By hand in Nexus: declared with what is there, then adopted with its secret, which is proven first."""
    wanted = {"name": "Old Portal", "redirect_uri": "https://portal.example.org/cb", "owner_email": "o@example.org"}
    made: Credential = desk.services.by_hand.create(wanted)

    async def week() -> None:
        async with sitting(desk.app()) as at:
            await at.press("slash")
            await at.type("portal")
            await at.press("enter")
            assert "? by hand     Old Portal" in at.screen
            await at.press("n")
            assert "https://portal.example.org/cb" in at.screen
            await at.press("ctrl+s")
            await at.until("blocked")
            await at.press("escape")
            assert "registrar adopt old-portal" in at.screen
            await at.press("o")
            assert made.client_id in at.screen
            at.app.screen.query_one("#secret").value = "wrong" * 17 + "w"  # type: ignore[attr-defined]
            await at.press("enter")
            await at.until("1 to adopt")
            await at.press("a", "right", "enter")
            await at.until("1 failed")
            await at.press("escape", "o")
            at.app.screen.query_one("#secret").value = made.client_secret.reveal()  # type: ignore[attr-defined]
            await at.press("enter")
            await at.until("1 to adopt")
            await at.press("a", "right", "enter")
            await at.until("1 done")

    run(week())
    stored = desk.services.records("secret/nexus/dev")["nexus/dev/old-portal"]["versions"]["1"]["data"]
    assert stored["client_id"] == made.client_id
    assert Secret(stored["client_secret"]) == made.client_secret


def test_retire_and_bring_back(desk: Desk) -> None:
    assert desk.command("apply", "--yes", "--only", "viewer") == 0

    async def week() -> None:
        async with sitting(desk.app()) as at:
            await at.press("down", "x")
            await at.until("1 to retire")
            assert "nobody signs in through it any more" in at.screen
            await at.press("a")
            await at.type("Digital Twin Viewer")
            await at.press("enter")
            await at.until("1 done")
            assert desk.services.registered()[0]["archived"]
            await at.press("escape")
            assert "! blocked     Digital Twin" in at.screen
            await at.press("home", "u")
            await at.until("1 to restore")
            await at.press("a", "right", "enter")
            await at.until("1 done")

    run(week())
    assert not desk.services.registered()[0]["archived"]

"""One credential: masked until it is asked for, then shown for 20 seconds; copied, proven, rotated, gone back from.

The only screen that opens a Secret, and only inside the line that draws it or the call that copies it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from registrar.errors import NotSignedIn, RegistrarError
from registrar.history import Past, State, history
from registrar.model import Credential
from registrar.secret import MASK
from registrar.tui import intents, words
from registrar.tui.intents import Intent
from registrar.tui.screens.page import Page, Pane, told_error
from registrar.tui.table import Column, Table
from registrar.verify import State as Proven
from registrar.verify import Verification
from registrar.wording import visible

REVEAL_S: Final = 20


class Unmasked(Widget):
    """The secret, as asterisks or in the open; drawn from the Secret itself, which no string outlives."""

    def __init__(self) -> None:
        super().__init__(id="unmasked")
        self.credential: Credential | None = None
        self.in_the_open = False

    def render(self) -> Content:
        if self.credential is None:
            return Content.assemble(("client_secret  ", "dim"), MASK)
        shown = self.credential.client_secret.reveal() if self.in_the_open else MASK
        return Content.assemble(("client_secret  ", "dim"), visible(shown))

    def on_unmount(self) -> None:
        self.credential, self.in_the_open = None, False  # the page finds it no more by then

    def show(self, credential: Credential | None, *, in_the_open: bool) -> None:
        """This one from now on; nothing is kept of the one before."""
        self.credential, self.in_the_open = credential, in_the_open
        self.refresh(layout=True)


class CredentialPage(Page):
    """What an application signs its users in with, and the versions before."""

    SUBJECT = "Credential"
    ACTS = frozenset({"rotate", "back"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "reveal", "Show", tooltip=f"Show the secret for {REVEAL_S} seconds, or hide it"),
        Binding("i", "copy('client id')", "Copy id"),
        Binding("y", "copy('client secret')", "Copy secret"),
        Binding("b", "copy('env block')", "Copy env", tooltip="Copy NEXUS_CLIENT_ID and NEXUS_CLIENT_SECRET as lines"),
        Binding("v", "verify", "Verify", tooltip="Prove it against Nexus"),
        Binding("t", "rotate", "Rotate", tooltip="Replace it by a new one, with a grace for the old"),
        Binding("B", "back", "Go back", show=False, tooltip="Return to the one before, within its grace"),
        Binding("escape", "leave", "Back", show=False),
    ]

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._hidden_at = 0.0
        self._timer: Timer | None = None

    def content(self) -> ComposeResult:
        yield Static(id="who")
        yield Unmasked()
        yield Static(id="reveal")
        yield Table(
            (
                Column("V", lambda past: f"v{past.number}", 4),
                Column("STATE", _state, 10, style=lambda past: "good" if past.state is State.LIVE else "quiet"),
                Column("CREATED", lambda past: f"{past.created_at:%Y-%m-%d %H:%M}", 16),
                Column("UNTIL", lambda past: f"{past.until:%Y-%m-%d %H:%M}" if past.until else "", 16, rank=1),
                Column("CLIENT ID", lambda past: visible(past.client_id) or "-", 43),
            ),
            id="versions",
        )
        yield Pane(id="detail")

    def on_mount(self) -> None:
        self.query_one(Table).focus()

    def on_unmount(self) -> None:
        self.conceal()

    def on_screen_suspend(self) -> None:
        self.conceal()

    def told(self, *, anew: bool) -> None:
        super().told(anew=anew)
        if anew:
            self._show()
        self._count_down()

    def _show(self) -> None:
        world = self.app.seen.world if self.app.seen else None
        record = world.by_path.get(self._path) if world else None
        if record is None or world is None:
            told = f" {visible(self._path)}: nothing is known of it by now"
            self.query_one("#who", Static).update(Content(told))
            return
        facts = record.base
        lines = [
            Content.assemble(
                (visible(facts.name or self._path), "bold"), f"  {visible(world.target.location(self._path))}"
            ),
            Content.assemble(("client_id      ", "dim"), visible(facts.client_id) or "-"),
        ]
        self.query_one("#who", Static).update(Content("\n").join(lines))
        self.query_one(Table).show(history(record), self.query_one(Table).cursor)
        words_of = [words.version(past, record.seen_at) for past in history(record)[:1]]
        former = facts.retiring or facts.leaving
        if facts.retiring:
            words_of.append(
                f"The one before, v{facts.retiring.version}, works until {facts.retiring.until:%Y-%m-%d %H:%M} UTC: B "
                "goes back to it."
            )
        elif former:
            words_of.append(f"The one before, v{former.version}, is claimed for archiving: nothing to go back to.")
        if not self.query_one("#detail", Pane).has_class("-answered"):
            self.query_one("#detail", Pane).say(Content("\n".join(words_of)))

    # ── in the open ───────────────────────────────────────────────────────────────────────────────────────────────────

    def action_reveal(self) -> None:
        """Show it, or hide it again."""
        if self.query_one(Unmasked).in_the_open:
            self.conceal()
        else:
            self._fetch(self._reveal)

    def _reveal(self, credential: Credential) -> None:
        if self.app.screen is not self:
            return  # something has come over it since it was asked for
        self.query_one(Unmasked).show(credential, in_the_open=True)
        self._hidden_at = time.monotonic() + REVEAL_S
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(REVEAL_S, self.conceal)
        self._count_down()

    def conceal(self) -> None:
        """Mask it, and forget it."""
        if self._timer:
            self._timer.stop()
            self._timer = None
        for shown in self.query(Unmasked):
            shown.show(None, in_the_open=False)
        self._count_down()

    def _count_down(self) -> None:
        left = round(self._hidden_at - time.monotonic()) if self._timer else 0
        for line in self.query("#reveal").results(Static):
            line.update(
                Content.styled(f"hidden again in {left} s; s hides it now" if left > 0 else "s shows it", "dim")
            )

    def action_copy(self, what: str) -> None:
        """To the terminal's clipboard, without showing it."""
        self._fetch(lambda credential: self._copy(what, credential))

    def _copy(self, what: str, credential: Credential) -> None:
        client_id, secret = credential.client_id, credential.client_secret
        if what == "client id":
            self.app.send_to_clipboard(client_id, what)
        elif what == "client secret":
            self.app.send_to_clipboard(secret.reveal(), what)
        else:
            block = f"NEXUS_CLIENT_ID={client_id}\nNEXUS_CLIENT_SECRET={secret.reveal()}\n"
            self.app.send_to_clipboard(block, what)

    def _fetch(self, then: Callable[[Credential], None]) -> None:
        """Read the version under the cursor from Vault, each time anew: nothing of it is kept."""
        session, path = self.app.session, self._path
        chosen = self.query_one(Table).current
        version = chosen.number if isinstance(chosen, Past) else 0

        def got(credential: Credential | None) -> None:
            if credential is None:
                self.notify(f"v{version} has no credential that can be read.", severity="warning")
            else:
                then(credential)

        self.app.ask(lambda: session.credential(path, version), got, self._failed, group="credential")

    def _failed(self, error: RegistrarError) -> None:
        pane = self.query_one("#detail", Pane)
        pane.add_class("-answered")
        pane.say(told_error(error))
        if isinstance(error, NotSignedIn):
            self.app.sign_in(error)

    # ── what can be done with it ──────────────────────────────────────────────────────────────────────────────────────

    def action_verify(self) -> None:
        session, path = self.app.session, self._path
        pane = self.query_one("#detail", Pane)
        pane.add_class("-answered")
        pane.say(Content.styled("Proving it against Nexus…", "italic"))
        self.app.ask(lambda: session.verify((path,)), self._verified, self._failed, group="verify")

    def _verified(self, found: Verification) -> None:
        self.app.remember(found)
        lines = []
        for row in found.rows:
            style = {Proven.RIGHT: "$text-success", Proven.WRONG: "$text-error"}.get(row.state, "$text-warning")
            which = f"v{row.version}" + (", retiring" if row.until else "")
            lines.append(Content.assemble(f"{which}: ", (str(row.state), style), f"  {visible(row.reason)}"))
        self.query_one("#detail", Pane).say(Content("\n").join(lines))

    def action_rotate(self) -> None:
        from registrar.tui.screens.dialogs import Grace

        self.app.push_screen(Grace((self._path,)), self._rotate)

    def _rotate(self, grace: timedelta | None) -> None:
        if grace is not None:
            self._carry_out(intents.rotate((self._path,), grace))

    def action_back(self) -> None:
        self._carry_out(intents.back(self._path))

    def _carry_out(self, intent: Intent) -> None:
        from registrar.tui.screens.plan import PlanPage

        self.conceal()
        self.app.push_screen(PlanPage(intent))


def _state(past: Past) -> str:
    return str(past.state)

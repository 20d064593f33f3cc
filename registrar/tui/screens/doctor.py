"""The doctor: the lines that `registrar doctor` prints."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from registrar.doctor import Check
from registrar.errors import RegistrarError
from registrar.render import doctor_text
from registrar.tui.screens.page import Page, Pane, told_error


class Doctor(Page):
    """Everything a run needs, looked at."""

    SUBJECT = "Doctor"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "refresh", "Look again"),
        Binding("escape", "leave", "Back", show=True),
    ]

    def content(self) -> ComposeResult:
        yield Pane(id="detail")

    def on_mount(self) -> None:
        self.query_one(Pane).focus()
        self.action_refresh()

    def action_refresh(self) -> None:
        self.query_one(Pane).say(
            Content.styled("Looking at Nexus, Vault, certificates, clocks, tokens and rights…", "italic")
        )
        self.app.ask(self.app.session.doctor, self._checked, self._failed, group="doctor")

    def _checked(self, checks: tuple[Check, ...]) -> None:
        self.query_one(Pane).say(Content(doctor_text(checks)))

    def _failed(self, error: RegistrarError) -> None:
        self.query_one(Pane).say(told_error(error, "r looks again"))

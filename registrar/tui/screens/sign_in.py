"""Sign-in: who we are to Nexus or Vault, where nothing else tells. What is typed goes to the session alone."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Select, Static

from registrar.errors import RegistrarError
from registrar.secret import Secret
from registrar.tui.screens.dialogs import Dialog
from registrar.wording import visible

_METHODS: Final[dict[str, dict[str, tuple[tuple[str, str], str]]]] = {
    "Nexus": {
        "API key and secret": (("API key", "key"), "API secret"),
        "token": (("", ""), "Token"),
    },
    "Vault": {
        "token": (("", ""), "Token"),
        "userpass": (("Username", "user"), "Password"),
        "ldap": (("Username", "user"), "Password"),
        "approle": (("Role id", "user"), "Secret id"),
    },
}
"""The ways of each service: what is typed in the open and what is hidden."""


class SignIn(Dialog[bool]):
    """The fields of the chosen way; emptied before anything is sent."""

    AUTO_FOCUS: ClassVar[str | None] = "#secret"

    def __init__(self, service: str, message: str) -> None:
        super().__init__()
        self._service, self._message = service, message
        self._ways = _METHODS[service]

    def content(self) -> ComposeResult:
        told = f"Sign in to {self._service}: {visible(self._message)}.\nKept by this session alone, until it ends."
        yield Static(Content(told), classes="text")
        ways = list(self._ways)
        yield Select([(way, way) for way in ways], value=ways[0], allow_blank=False, id="way", compact=True)
        yield Static(id="open-label")
        yield Input(id="open", compact=True)
        yield Static(id="secret-label")
        yield Input(password=True, id="secret", compact=True)
        yield Static(id="refusal")
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button("Sign in", id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        self._ask_for(next(iter(self._ways)))

    @on(Select.Changed)
    def _chosen(self, event: Select.Changed) -> None:
        self._ask_for(str(event.value))

    def _ask_for(self, way: str) -> None:
        (label, kind), hidden = self._ways[way]
        for name in ("#open-label", "#open"):
            self.query_one(name).display = bool(label)
        self.query_one("#open", Input).password = kind == "key"
        self.query_one("#open-label", Static).update(label)
        self.query_one("#secret-label", Static).update(hidden)
        self.query_one("#open" if label else "#secret").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def _sign_in(self) -> None:
        way = str(self.query_one("#way", Select).value)
        shown, hidden = self.query_one("#open", Input), self.query_one("#secret", Input)
        needs = self._ways[way][0][0]
        if not hidden.value or (needs and not shown.value):
            (hidden if shown.value or not needs else shown).focus()
            return
        first, second = Secret(shown.value.strip()), Secret(hidden.value.strip())
        user = shown.value.strip() if self._service == "Vault" else ""
        self.forget()
        try:
            self._hand_over(way, first, second, user)
        except RegistrarError as error:
            self.query_one("#refusal", Static).update(Content.styled(visible(error.message), "$text-error"))
        else:
            self.dismiss(True)

    def _hand_over(self, way: str, first: Secret, second: Secret, user: str) -> None:
        session = self.app.session  # type: ignore[attr-defined]
        if self._service == "Vault":
            session.sign_in_to_vault(way, second, user=user)
        elif way == "token":
            session.sign_in_to_nexus(token=second)
        else:
            session.sign_in_to_nexus(key=first, secret=second)

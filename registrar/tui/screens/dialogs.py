"""Small questions over a page: yes or no, a length of time, a secret, a choice; and the help."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static

from registrar.doctor import length
from registrar.model import Credential
from registrar.secret import Secret
from registrar.tui.intents import GRACE
from registrar.tui.screens.page import LeftOnce, Pane
from registrar.wording import visible

Answer = TypeVar("Answer")


class Dialog(LeftOnce, ModalScreen[Answer], Generic[Answer]):
    """A box in the middle, which escape leaves without an answer."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def on_mount(self) -> None:
        self.app.clear_notifications()  # they would lie over the question

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield from self.content()

    def content(self) -> ComposeResult:
        """What the box holds."""
        raise NotImplementedError

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.forget()
        self.dismiss(None)

    def forget(self) -> None:
        """Leave nothing in the fields: what was typed may be secret."""
        for field in self.query(Input):
            field.value = ""


class Confirm(Dialog[bool]):
    """A question whose default is no; where something has to be typed, nothing else is a yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, text: str, typed: str = "", what: str = "", *, yes: str = "Apply") -> None:
        super().__init__()
        self._text, self._typed, self._what, self._yes = text, typed, what, yes

    def content(self) -> ComposeResult:
        yield Static(Content(visible_lines(self._text)), classes="text")
        if self._typed:
            yield Static(Content.assemble(f"Type {self._what} to go on: ", (visible(self._typed), "bold")))
            yield Input(id="typed", compact=True)
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button(self._yes, id="yes", variant="error" if self._typed else "primary", compact=True)

    def on_mount(self) -> None:
        self.query_one("#yes", Button).disabled = bool(self._typed)
        self.query_one("#typed" if self._typed else "#cancel").focus()

    @on(Input.Changed, "#typed")
    def _check(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = event.value != self._typed

    @on(Input.Submitted, "#typed")
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value == self._typed:
            self.dismiss(True)

    @on(Button.Pressed, "#yes")
    def _say_yes(self) -> None:
        self.dismiss(True)


class Grace(Dialog[timedelta]):
    """How long the old credential goes on working."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def content(self) -> ComposeResult:
        names = ", ".join(visible(name) for name in self._names[:3]) + ("…" if len(self._names) > 3 else "")
        told = f"Rotate {names}.\nNexus cannot change a secret, so the client id changes with it."
        yield Static(Content(told), classes="text")
        yield Static("How long does the old one go on working? 24h, 7d; 0 ends it in the same run (after a leak).")
        yield Input("24h", id="grace", compact=True)
        yield Static(id="refusal")
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button("Plan it", id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def _answer(self) -> None:
        grace = length(self.query_one(Input).value.strip())
        if grace is None:
            self.query_one("#refusal", Static).update(
                Content.styled("That is no length of time: 24h, 7d, 0", "$text-error")
            )
        else:
            self.dismiss(grace if grace != GRACE else GRACE)


class Adoption(Dialog[tuple[str, Credential | None]]):
    """The client id and the secret of what was registered by hand; without one it is replaced."""

    def __init__(self, name: str, client_id: str) -> None:
        super().__init__()
        self._called, self._client_id = name, client_id

    def content(self) -> ComposeResult:
        yield Static(Content(f"Take over {visible(self._called)}, which was registered by hand."), classes="text")
        yield Static("Client id")
        yield Input(self._client_id, id="client-id", compact=True)
        yield Static("Client secret (proven before it is stored)")
        yield Input(password=True, id="secret", compact=True)
        yield Static(id="refusal")
        with Horizontal(classes="buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button("Adopt with this secret", id="yes", variant="primary", compact=True)
            yield Button("Nobody knows it: replace", id="anew", compact=True)

    def on_mount(self) -> None:
        self.query_one("#secret" if self._client_id else "#client-id").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def _answer(self) -> None:
        client_id, field = self.query_one("#client-id", Input).value.strip(), self.query_one("#secret", Input)
        if client_id and field.value:
            credential = Credential(client_id, Secret(field.value.strip()))
            self.forget()
            self.dismiss((client_id, credential))
        else:
            self._refuse("Both are needed; or replace it, where nobody knows the secret.")

    @on(Button.Pressed, "#anew")
    def _anew(self) -> None:
        client_id = self.query_one("#client-id", Input).value.strip()
        if client_id:
            self.forget()
            self.dismiss((client_id, None))
        else:
            self._refuse("The client id is needed to know which one to replace.")

    def _refuse(self, told: str) -> None:
        self.query_one("#refusal", Static).update(Content.styled(told, "$text-error"))


class Choose(Dialog[str]):
    """One of these."""

    def __init__(self, title: str, options: Sequence[str], current: str) -> None:
        super().__init__()
        self._title, self._options, self._current = title, tuple(options), current

    def content(self) -> ComposeResult:
        yield Static(self._title, classes="text")
        yield OptionList(*(Content(visible(option)) for option in self._options), compact=True)

    def on_mount(self) -> None:
        choices = self.query_one(OptionList)
        choices.highlighted = self._options.index(self._current) if self._current in self._options else 0
        choices.focus()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._options[event.option_index])


class Help(Dialog[None]):
    """The keys of the page below, in words."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,q,enter", "cancel", "Close", show=False)]

    def __init__(self, keys: Sequence[ActiveBinding]) -> None:
        super().__init__()
        self._keys = keys

    def content(self) -> ComposeResult:
        yield Pane()

    def on_mount(self) -> None:
        lines = [Content.styled("Keys here", "bold")]
        for active in self._keys:
            key = self.app.get_key_display(active.binding)
            told = active.binding.tooltip or active.binding.description
            lines.append(Content.assemble((f" {key:10}", "$text-accent"), told))
        lines += [
            Content(""),
            Content.styled("In a list", "bold"),
            *(Content.assemble((f" {key:10}", "$text-accent"), told) for key, told in _LIST_KEYS),
            Content(""),
            Content("M, N and V say who has it: manifest, Nexus, Vault. esc closes this."),
        ]
        pane = self.query_one(Pane)
        pane.say(Content("\n").join(lines))
        pane.focus()


_LIST_KEYS = (
    ("↑ ↓ k j", "up and down"), ("PgUp PgDn", "a page"), ("g G", "first and last"),
    ("tab", "to the pane, to scroll it"),
)  # fmt: skip


def visible_lines(text: str) -> str:
    """Text of several lines without any other control character."""
    return "\n".join(visible(line) for line in text.split("\n"))

"""New and edit: a form with what the rules say below each field, and the manifest as it would be beside it.

Saving writes the file in place, and leads to the plan of exactly that application.
"""

from __future__ import annotations

import difflib
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Checkbox, Input, Select, Static

from registrar.errors import RegistrarError
from registrar.lint import Finding, Level
from registrar.model import FIELDS, Registered
from registrar.tui import intents
from registrar.tui.screens.dialogs import Confirm
from registrar.tui.screens.page import Page, Pane, told_error
from registrar.tui.session import Checked, Draft
from registrar.wording import visible

_KEYS: Final = (*FIELDS, "path")
_HINTS: Final = {
    "name": "what users see when they sign in",
    "redirect_uri": "where Nexus sends users back to, byte for byte",
    "base_url": "left empty: not managed",
    "owner_email": "left empty: not managed",
    "description": "left empty: not managed",
    "path": "where in Vault; left empty: from the name",
}
_PROTECTED: Final = "neither retired nor rotated unless named"
_PAUSE_S: Final = 0.15


class Box(Checkbox):
    """A checkbox that is empty when it is off: its colour alone would not tell everybody."""

    BUTTON_INNER = " "

    def watch_value(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()


class Edit(Page):
    """One entry of a manifest."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save and plan", priority=True),
        Binding(
            "ctrl+t",
            "only_here",
            "Only here",
            priority=True,
            tooltip="This field for the current target alone, or for all",
        ),
        Binding("escape", "leave", "Back", show=True),
    ]

    def __init__(self, path: str = "", *, like: Registered | None = None) -> None:
        super().__init__()
        self._path, self._like = path, like
        self._draft: Draft | None = None
        self._first: dict[str, str | bool] = {}
        self._checked: Checked | None = None
        self._timer: Timer | None = None
        self._own: set[str] = set()  # the keys whose values are the target's alone
        self._number = 0  # of the newest check; the answer of an older one is not shown

    def subject(self) -> str:
        return f"Edit {visible(self._path)}" if self._path else "New application"

    def content(self) -> ComposeResult:
        with Container(id="body"):
            with VerticalScroll(id="form"):
                with Horizontal(classes="field"):
                    yield Static("file", classes="label")
                    yield Select[str]([], id="file", compact=True, prompt="looking for manifests…")
                for key in _KEYS:
                    with Horizontal(classes="field"):
                        yield Static(key, classes="label", id=f"label-{key}")
                        yield Input(placeholder=_HINTS[key], id=key, compact=True, select_on_focus=False)
                    yield Static(classes="finding", id=f"finding-{key}")
                yield Box(f"protected: {_PROTECTED}", id="protected", compact=True)
                yield Static(classes="finding", id="finding-")
            yield Pane(id="preview")

    def on_mount(self) -> None:
        self.query_one("#preview").border_title = "the file, as it would change"
        self.query_one("#path", Input).disabled = bool(self._path)
        session, path = self.app.session, self._path
        self.app.ask(
            lambda: (session.files(), session.draft(path) if path else None), self._opened, self._failed, group="draft"
        )

    def _opened(self, answer: tuple[tuple[str, ...], Draft | None]) -> None:
        files, draft = answer
        if self._path and draft is None:
            self.query_one("#preview", Pane).say("No manifest declares it any more. esc leaves.")
            return
        self._draft = draft
        names = [draft.file] if draft else list(files)
        choice = self.query_one("#file", Select)
        choice.set_options([(visible(name), name) for name in names])
        choice.disabled = draft is not None
        if names:
            choice.value = names[0]
        values = dict(draft.values) if draft else self._of(self._like)
        for key in _KEYS:
            self.query_one(f"#{key}", Input).value = str(values.get(key, ""))
        self.query_one("#protected", Checkbox).value = bool(values.get("protected", False))
        self._own = set(draft.own) if draft else set()
        self._mark()
        self._first = values
        self.query_one("#name" if not self._path else "#redirect_uri").focus()
        self._check()

    @staticmethod
    def _of(like: Registered | None) -> dict[str, str | bool]:
        """What Nexus has of one that was registered by hand."""
        return {name: getattr(like, name) for name in FIELDS if getattr(like, name)} if like else {}

    def _mark(self) -> None:
        for key in _KEYS:
            self.query_one(f"#label-{key}", Static).update(f"{key} *" if key in self._own else key)
        self.query_one("#protected", Checkbox).label = f"protected{' *' * ('protected' in self._own)}: {_PROTECTED}"

    # ── live ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _changed(self) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(_PAUSE_S, self._check)

    @property
    def draft(self) -> Draft | None:
        """The form as a draft; a key that was written and is empty by now goes, an empty string in a file stays."""
        file = self.query_one("#file", Select).value
        if not isinstance(file, str):
            return None
        values: dict[str, str | bool] = {}
        for key in _KEYS:
            text = self.query_one(f"#{key}", Input).value
            if text or key in ("name", "redirect_uri") or self._first.get(key) == "":
                values[key] = text
        if self.query_one("#protected", Checkbox).value or "protected" in self._first or "protected" in self._own:
            values["protected"] = self.query_one("#protected", Checkbox).value
        before = self._draft
        return Draft(file, values, before.line if before else 0, frozenset(self._own))

    def _check(self) -> None:
        draft, session = self.draft, self.app.session
        if draft is None:
            return
        self._number += 1
        number = self._number
        self.app.ask(
            lambda: session.check(draft), lambda checked: self._told(number, checked), self._failed, group="check"
        )

    def _told(self, number: int, checked: Checked) -> None:
        if number != self._number or not self.is_mounted:
            return
        self._checked = checked
        for key in (*_KEYS, ""):
            found = checked.findings.get(key, ())
            if key == "":
                known = {*_KEYS}
                found = tuple(one for name, group in checked.findings.items() if name not in known for one in group)
            below = self.query_one(f"#finding-{key}", Static)
            below.update(Content("\n").join(_finding(one) for one in found))
            below.display = bool(found)
        self.query_one("#preview", Pane).say(self._preview(checked), top=False)

    def _preview(self, checked: Checked) -> Content:
        if checked.refusal:
            return Content.styled(visible(checked.refusal), "$text-error")
        lines = list(_diff(checked))
        path = Content.assemble(("Vault path  ", "dim"), visible(checked.path) or "-")
        own = [Content(f"* of the target {visible(self.app.session.target.name)} alone")] if self._own else []
        told = lines or [Content.styled("Nothing changes.", "dim")]
        return Content("\n").join([path, *own, Content(""), *told, *self._elsewhere()])

    def _elsewhere(self) -> list[Content]:
        """What other targets have of their own."""
        if not self._draft or not self._draft.others:
            return []
        lines = [Content(""), Content.styled("Other targets have of their own (S switches to one):", "dim")]
        for target, values in self._draft.others.items():
            differs = [f"{key} {_said(value)}" for key, value in (values or {}).items()]
            told = "it is not there" if values is None else ", ".join(differs) or "nothing"
            lines.append(Content.assemble((f"{visible(target)}  ", "bold"), told))
        return lines

    def action_only_here(self) -> None:
        """Make the field with the focus this target's alone, or everybody's again."""
        key, draft = self.focused.id if self.focused else None, self._draft
        if key not in (*_KEYS, "protected") or key == "path":
            self.notify("Neither file nor path is one target's.", severity="warning")
        elif draft is None:
            self.notify("Save it first: a new application is the same on every target.", severity="warning")
        else:
            self._own ^= {key}
            if key not in self._own:
                self._back_to_base(key, draft.base.get(key, ""))
            self._mark()
            self._changed()

    def _back_to_base(self, key: str, value: str | bool) -> None:
        """What holds for all targets, in the field that was this target's alone."""
        if key == "protected":
            self.query_one("#protected", Checkbox).value = bool(value)
        else:
            self.query_one(f"#{key}", Input).value = str(value)

    def _failed(self, error: RegistrarError) -> None:
        self.query_one("#preview", Pane).say(told_error(error))

    # ── saving ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_save(self) -> None:
        """Write it where the rules allow it, as the form is now: the last check may be of an older one."""
        draft, session = self.draft, self.app.session
        if draft is None:
            self.notify("There is no manifest to write to.", severity="warning")
            return
        self._number += 1  # what is being checked is not shown any more
        self.app.ask(lambda: session.save(draft), self._saved, self._failed, group="save")

    def _saved(self, checked: Checked) -> None:
        from registrar.tui.screens.plan import PlanPage

        if not checked.sound:
            self._told(self._number, checked)
            self.notify("It cannot be saved while a rule is broken: see below the fields.", severity="error")
        elif checked.before == checked.after:
            self.notify("Nothing has changed.", severity="warning")
        else:
            app, file = self.app, self.query_one("#file", Select).value
            self.dismiss()
            app.notify(f"{file} is written. Next: its plan, and a applies it.")
            app.look()
            app.push_screen(PlanPage(intents.apply((checked.path,))))

    def _left(self, yes: bool | None) -> None:
        if yes:
            self.dismiss()

    def action_leave(self) -> None:
        checked = self._checked
        if checked and checked.before != checked.after and not checked.refusal:
            self.app.push_screen(Confirm("Leave without saving?", yes="Leave"), self._left)
        else:
            self.dismiss()


def _said(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else visible(value) or "empty"


def _finding(one: Finding) -> Content:
    style = "$text-error" if one.level is Level.ERROR else "$text-warning"
    return Content.assemble((f"{one.level} {one.rule}: {visible(one.message)}", style), f"  → {visible(one.hint)}")


def _diff(checked: Checked) -> list[Content]:
    """The changed lines with three around them."""
    lines = difflib.unified_diff(checked.before.splitlines(), checked.after.splitlines(), n=3, lineterm="")
    styles = {"+": "$text-success", "-": "$text-error", "@": "dim"}
    return [Content.styled(visible(line), styles.get(line[:1], "")) for line in list(lines)[2:]]

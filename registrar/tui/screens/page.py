"""What every page has: the title with target and mode, its own content, and the keys in the footer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.events import Event, Mount
from textual.screen import Screen
from textual.widgets import Footer, Static

from registrar.errors import RegistrarError
from registrar.wording import visible

if TYPE_CHECKING:
    from registrar.tui.app import RegistrarApp

READ_ONLY = "This session is read-only: registrar tui without --readonly can change things."


class LeftOnce:
    """For a screen that is left once, whatever has come over it meanwhile.

    Textual closes the topmost one instead, and ends on an answer that comes twice. No Screen itself: of several bases
    Textual takes the style of the first.
    """

    async def on_event(self, event: Event) -> None:
        try:
            await super().on_event(event)  # type: ignore[misc]
        except NoMatches:
            app = self.app  # type: ignore[attr-defined]
            if not isinstance(event, Mount) or (app.is_running and self in app.screen_stack):
                raise
            # it was left, or the app ends, before all was there that it fills

    def dismiss(self, result: Any = None) -> AwaitComplete:
        app = self.app  # type: ignore[attr-defined]
        if self not in app.screen_stack:
            return AwaitComplete()
        while app.screen is not self:
            app.pop_screen()
        return super().dismiss(result)  # type: ignore[misc, no-any-return]


class Page(LeftOnce, Screen[None]):
    """A full screen below the title."""

    SUBJECT: ClassVar[str] = ""
    ACTS: ClassVar[frozenset[str]] = frozenset()
    """The actions that lead to a change, which a read-only session does not have."""

    app: RegistrarApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", show=False),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield from self.content()
        yield Footer(show_command_palette=False)

    def content(self) -> ComposeResult:
        """What is between title and footer."""
        raise NotImplementedError

    def on_mount(self) -> None:
        # Textual calls this after the on_mount of each page
        self.told(anew=True)
        self.refresh_bindings()

    def told(self, *, anew: bool) -> None:  # noqa: ARG002 (for the pages that show what was observed)
        """The clock has ticked, or with `anew` something else was observed."""
        target = self.app.session.target
        title = self.query_one("#title", Static)
        title.set_class(target.production, "-production")
        mode = [*(["PRODUCTION"] if target.production else []), *(["read-only"] if self.app.readonly else [])]
        left = Content.assemble(
            (" registrar ", "bold"), f" {visible(target.name)}", *((f" [{word}]", "bold") for word in mode)
        )
        right = Content.assemble(self.subject(), "  ", self.app.freshness(), " ")
        gap = max(self.size.width - left.cell_length - right.cell_length, 1)
        title.update(Content.assemble(left, " " * gap, right))

    def subject(self) -> str:
        """What this page is about, for the title."""
        return self.SUBJECT

    def conceal(self) -> None:
        """Show no secret any more."""

    @property
    def under_way(self) -> bool:
        """Whether a change is being carried out, which neither the end of the app nor another target may cut off."""
        return False

    def interrupted(self) -> None:
        """Ctrl-C, q or escape while a change is under way."""

    def action_leave(self) -> None:
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 (Textual's)
        if not self.is_mounted or not self.query("#title"):
            return False  # for a key that was faster than the page, or came when it had gone
        return not (self.app.readonly and action in self.ACTS)


class Pane(VerticalScroll, can_focus=True):
    """Text of any length that wraps, and can be scrolled when it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._said = Static(markup=False)

    def compose(self) -> ComposeResult:
        yield self._said

    @property
    def width(self) -> int:
        """How many cells a line has."""
        return max(self.scrollable_content_region.width - 2, 20)

    def say(self, text: Content | str, *, top: bool = True) -> None:
        """Show this instead."""
        self._said.update(text)
        if top:
            self.scroll_home(animate=False, immediate=True)


def told_error(error: RegistrarError, retry: str = "") -> Content:
    """What happened, and what to type next."""
    lines = [Content.styled(visible(line), "$text-error") for line in error.message.split("\n")]
    lines += [Content.assemble(("→ ", "$text-accent"), visible(error.hint))] if error.hint else []
    lines += [Content.styled(retry, "dim")] if retry else []
    return Content("\n").join(lines)
